"""The paper's Tables 2 and 3: how fast, and how small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seqkd.evaluation.results import Results, RowResult
from seqkd.evaluation.speed_files import Speed, SpeedMeasurement, batch_name
from seqkd.report.results_table import method_name, row_name
from seqkd.report.tables import DELTA, PLUS_MINUS, Block, Column, Table, count, megabytes, signed

_TIMES = "\u00d7"


def ratio(value: float) -> str:
    """Return a factor with two or three digits."""
    return f"{value:.0f}{_TIMES}" if value >= 20 else f"{value:.1f}{_TIMES}"


def _base(rows: Sequence[RowResult]) -> RowResult:
    """Return the row that the others are compared with: a teacher of theirs, else the first."""
    taught = {row.row.teacher for row in rows}
    return next((row for row in rows if row.row.model in taught), rows[0])


def speed_table(results: Results, speeds: Sequence[Speed], setting: str) -> Table:
    """Return Table 2: source words a second, with both ratios.

    Args:
        results: the rows; they are compared with the teacher among them, else with the first.
        speeds: measurements, the first seed of each model.
        setting: what was trained, by which commit.
    """
    by_model = {speed.model: speed for speed in reversed(speeds)}
    rows = [row for row in results.rows if row.row.model in by_model]
    beam = results.config.beam
    blocks, records = [], []
    for device, threads, batch in _settings(list(by_model.values())):
        shown = []
        teacher = by_model.get(_base(rows).row.model) if rows else None
        for row in rows:
            speed = by_model[row.row.model]
            timings = [speed.find(width, batch, threads, device) for width in (1, beam)]
            base = [teacher.find(w, batch, threads, device) if teacher else None for w in (1, beam)]
            shown.append(_speed_cells(row, timings, base, results))
            records += list(_speed_records(row, timings, base, results))
        blocks.append(Block(_setting_name(device, threads, batch), shown))
    return Table(
        title=f"Decoding speed: {results.config.experiment}, {results.test_set}",
        caption=[
            *filter(None, [setting]),
            f"Hardware: {'; '.join(_hardware(speeds))}.",
        ],
        columns=[
            Column("model", "left"),
            Column("words/s K=1"),
            Column(f"words/s K={beam}"),
            Column("K1/K1"),
            Column(f"K{beam}/K{beam}"),
            Column(f"K1/K{beam}"),
            Column("BLEU K=1"),
            Column(f"BLEU K={beam}"),
        ],
        blocks=blocks,
        notes=[
            "Source words a second, median of the repeats after warm-up; "
            f"{PLUS_MINUS}: half their range, in percent.",
            f"Ratios to the teacher: like for like (K1/K1, K{beam}/K{beam}), and the paper's, "
            f"this model's greedy search to the teacher's beam search (K1/K{beam}).",
        ],
        records=records,
        label="speed",
    )


def _settings(speeds: Sequence[Speed]) -> list[tuple[str, int, int]]:
    timings = [timing for speed in speeds for timing in speed.measurements]
    found = {(timing.device, timing.threads, timing.batch) for timing in timings}
    return sorted(found)


def _setting_name(device: str, threads: int, batch: int) -> str:
    where = "GPU" if device.startswith("cuda") else f"{threads} thread{'s' if threads > 1 else ''}"
    return f"{where}, {batch_name(batch)}"


def _model_name(row: RowResult) -> str:
    return f"{row.row.label} {row_name(row)}"


def _speed_cells(
    row: RowResult,
    timings: Sequence[SpeedMeasurement | None],
    base: Sequence[SpeedMeasurement | None],
    results: Results,
) -> list[str]:
    cells = [_model_name(row), *map(_words, timings)]
    cells += [_ratio(ours, theirs) for ours, theirs in _ratios(timings, base)]
    return cells + [f"{row.searches[s].bleu.spread.mean:.1f}" for s in results.searches]


def _ratios(
    timings: Sequence[SpeedMeasurement | None], base: Sequence[SpeedMeasurement | None]
) -> list[tuple[SpeedMeasurement | None, SpeedMeasurement | None]]:
    """Return greedy to greedy, beam to beam, greedy to the base's beam."""
    return [(timings[0], base[0]), (timings[1], base[1]), (timings[0], base[1])]


def _words(timing: SpeedMeasurement | None) -> str:
    if timing is None:
        return "-"
    rate = timing.words_per_second
    spread = 50 * (rate.high - rate.low) / rate.median
    return f"{rate.median:,.0f} {PLUS_MINUS}{spread:.0f}%"


def _ratio(ours: SpeedMeasurement | None, theirs: SpeedMeasurement | None) -> str:
    if ours is None or theirs is None:
        return "-"
    return ratio(ours.words_per_second.median / theirs.words_per_second.median)


def _speed_records(
    row: RowResult,
    timings: Sequence[SpeedMeasurement | None],
    base: Sequence[SpeedMeasurement | None],
    results: Results,
) -> Iterator[dict[str, object]]:
    paper = base[1]
    for timing, same, search in zip(timings, base, results.searches, strict=True):
        if timing is None:
            continue
        words = timing.words_per_second.median
        yield {
            "experiment": results.config.experiment,
            "model": row.row.model,
            "label": row.row.label,
            "method": row.row.method,
            "format": row.row.format,
            "pruned": row.row.pruned,
            "device": timing.device,
            "threads": timing.threads,
            "batch": timing.batch,
            "beam": timing.beam,
            "words_per_second": words,
            "words_per_second_low": timing.words_per_second.low,
            "words_per_second_high": timing.words_per_second.high,
            "sentences_per_second": timing.sentences_per_second.median,
            "ratio_like_for_like": words / same.words_per_second.median if same else None,
            "ratio_to_beam": words / paper.words_per_second.median if paper else None,
            "bleu": row.searches[search].bleu.spread.mean,
        }


def _hardware(speeds: Sequence[Speed]) -> list[str]:
    return list(dict.fromkeys(str(speed.hardware) for speed in speeds))


def pruning_table(results: Results, setting: str) -> Table:
    """Return Table 3: parameters, share pruned, bytes, BLEU, and the ratios to the teacher.

    Args:
        results: the rows; they are compared with the teacher among them, else with the first.
        setting: what was trained, by which commit.
    """
    base = _base(results.rows)
    beam = results.config.beam
    blocks = []
    for label in dict.fromkeys(row.row.label for row in results.rows):
        rows = [row for row in results.rows if row.row.label == label]
        architecture = rows[0].row.architecture
        title = f"{architecture[:1].upper()}{architecture[1:]} {label}"
        blocks.append(Block(title, [_pruning_cells(results, row, base) for row in rows]))
    return Table(
        title=f"Size: {results.config.experiment}, {results.test_set}",
        caption=[*filter(None, [setting])],
        columns=[
            Column("model", "left"),
            Column("pruned"),
            Column("params"),
            Column("ratio"),
            Column("file"),
            Column(".zst"),
            Column("ratio"),
            Column("BLEU K=1"),
            Column(f"BLEU K={beam}"),
            Column(DELTA),
        ],
        blocks=blocks,
        notes=[
            "params: weights that are not zero; their ratio is to all weights of the teacher.",
            "file, .zst: MB (10^6 bytes) of the model file, vocabularies included, as it is and "
            "compressed by zstd; `seqkd translate` loads both. The ratio is the teacher's file to "
            "this one, or to its .zst if pruned.",
            f"{DELTA}: BLEU K={beam} against the teacher.",
        ],
        records=[_pruning_record(results, row, base) for row in results.rows],
        label="pruning",
    )


def _pruning_cells(results: Results, row: RowResult, base: RowResult) -> list[str]:
    greedy, beam = results.searches
    delta = row.searches[beam].bleu.spread.mean - base.searches[beam].bleu.spread.mean
    plain = method_name(row.row.method)
    return [
        plain if row.row.format == "fp32" else f"{plain}, {row.row.format}",
        f"{row.row.pruned}%",
        count(row.nonzero_parameters),
        ratio(base.parameters / max(row.nonzero_parameters, 1)),
        megabytes(row.file_bytes),
        megabytes(row.compressed_bytes),
        ratio(base.file_bytes / max(row.shipped_bytes, 1)),
        _bleu(row, greedy),
        _bleu(row, beam),
        "-" if row is base else signed(delta),
    ]


def _bleu(row: RowResult, search: str) -> str:
    bleu = row.searches[search].bleu
    return f"{bleu.spread.mean:.1f}{PLUS_MINUS}{bleu.margin:.1f}"


def _pruning_record(results: Results, row: RowResult, base: RowResult) -> dict[str, object]:
    beam = results.searches[1]
    record: dict[str, object] = {
        "experiment": results.config.experiment,
        "model": row.row.model,
        "label": row.row.label,
        "method": row.row.method,
        "format": row.row.format,
        "pruned": row.row.pruned,
        "parameters": row.parameters,
        "nonzero_parameters": row.nonzero_parameters,
        "ratio_parameters": base.parameters / max(row.nonzero_parameters, 1),
        "file_bytes": row.file_bytes,
        "compressed_bytes": row.compressed_bytes,
        "ratio_bytes": base.file_bytes / max(row.shipped_bytes, 1),
    }
    for search in results.searches:
        record[f"{search.replace('-', '_')}_bleu"] = row.searches[search].bleu.spread.mean
    delta = row.searches[beam].bleu.spread.mean - base.searches[beam].bleu.spread.mean
    return record | {"delta": delta}
