"""The paper's Tables 2 and 3: how fast, and how small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seqkd.evaluation.results import Results, RowResult, signed
from seqkd.evaluation.speed_files import Speed, SpeedMeasurement, setting_name
from seqkd.report.results_table import capitalised, is_seeded, row_name, score, taught_name
from seqkd.report.tables import DELTA, PLUS_MINUS, Table, count, megabytes, ratio


def _base(rows: Sequence[RowResult]) -> RowResult:
    """Return the row that the others are compared with: a teacher of theirs, else the first."""
    teachers = {row.row.teacher for row in rows}
    return next((row for row in rows if row.row.model in teachers), rows[0])


def _full_name(row: RowResult) -> str:
    return f"{row.row.label} {row_name(row)}"


def speed_table(results: Results, speeds: Sequence[Speed], setting: str) -> Table:
    """Return Table 2: source words per second, with both ratios."""
    by_model = {speed.model: speed for speed in reversed(speeds)}
    rows = [row for row in results.rows if row.row.model in by_model]
    base_row = _base(rows or results.rows)
    beam = results.config.beam
    blocks: dict[str, list[list[str]]] = {}
    records: list[dict[str, object]] = []
    processors = list(dict.fromkeys(speed.hardware.processor for speed in speeds))
    used = {(x.hardware.processor, entry.setting) for x in speeds for entry in x.measurements}
    for processor, measured_with in sorted(used, key=lambda u: (processors.index(u[0]), u[1])):
        measured = {
            model: speed.timings(measured_with, beam)
            for model, speed in by_model.items()
            if speed.hardware.processor == processor
        }
        title = setting_name(measured_with)
        cells = blocks[title if len(processors) == 1 else f"{title}, {processor}"] = []
        base = measured.get(base_row.row.model, (None, None))
        for row in rows:
            if row.row.model in measured:
                cells.append(_speed_cells(results, row, measured[row.row.model], base))
                for record in _speed_records(results, row, measured[row.row.model], base):
                    records.append({**record, "processor": processor})
    hardware = "; ".join(dict.fromkeys(str(speed.hardware) for speed in speeds))
    return Table(
        title=f"Decoding speed: {results.config.experiment}, {results.test_set}",
        caption=[*filter(None, [setting]), f"Hardware: {hardware}."],
        columns=[
            *("model", "words/s K=1", f"words/s K={beam}", "K1/K1", f"K{beam}/K{beam}"),
            *(f"K1/K{beam}", "BLEU K=1", f"BLEU K={beam}"),
        ],
        blocks=blocks,
        notes=[
            "Source words per second, median of the repeats after warm-up; "
            f"{PLUS_MINUS}: half their range, in percent.",
            f"Ratios to {_full_name(base_row)}: like for like (K1/K1, K{beam}/K{beam}), and the "
            f"paper's, greedy search of a model to beam search of that one (K1/K{beam}).",
            *(["No ratio to speeds of another processor."] if len(processors) > 1 else []),
            *(["Speed: of the first seed; BLEU: mean over seeds."] if is_seeded(results) else []),
        ],
        records=records,
        label="speed",
    )


_Pair = Sequence[SpeedMeasurement | None]  # greedy and beam search under one setting


def _speed_cells(results: Results, row: RowResult, measured: _Pair, base: _Pair) -> list[str]:
    greedy, beam = measured
    ratios = [(greedy, base[0]), (beam, base[1]), (greedy, base[1])]
    return [
        _full_name(row),
        *map(_words, measured),
        *("-" if (value := _ratio(*pair)) is None else ratio(value) for pair in ratios),
        *(f"{row.searches[search].bleu.mean:.1f}" for search in results.searches),
    ]


def _words(measurement: SpeedMeasurement | None) -> str:
    if measurement is None:
        return "-"
    rate = measurement.words_per_second
    spread = 50 * (rate.high - rate.low) / rate.median
    return f"{rate.median:,.0f} {PLUS_MINUS}{spread:.0f}%"


def _ratio(ours: SpeedMeasurement | None, theirs: SpeedMeasurement | None) -> float | None:
    if ours is None or theirs is None:
        return None
    return ours.words_per_second.median / theirs.words_per_second.median


def _row_record(results: Results, row: RowResult) -> dict[str, object]:
    return {
        "experiment": results.config.experiment,
        "model": row.row.model,
        "label": row.row.label,
        "method": row.row.method,
        "format": row.row.format,
        "pruned": row.row.pruned,
    }


def _speed_records(
    results: Results, row: RowResult, measured: _Pair, base: _Pair
) -> Iterator[dict[str, object]]:
    for measurement, same, search in zip(measured, base, results.searches, strict=True):
        if measurement is None:
            continue
        yield {
            **_row_record(results, row),
            "device": measurement.device,
            "threads": measurement.threads,
            "batch": measurement.batch,
            "beam": measurement.beam,
            "words_per_second": measurement.words_per_second.median,
            "words_per_second_low": measurement.words_per_second.low,
            "words_per_second_high": measurement.words_per_second.high,
            "sentences_per_second": measurement.sentences_per_second.median,
            "ratio_like_for_like": _ratio(measurement, same),
            "ratio_to_beam": _ratio(measurement, base[1]),
            "bleu": row.searches[search].bleu.mean,
        }


def pruning_table(results: Results, setting: str) -> Table:
    """Return Table 3: parameters, share pruned, bytes, BLEU, and the ratios to the teacher."""
    base = _base(results.rows)
    name = _full_name(base)
    blocks = {}
    for label in dict.fromkeys(row.row.label for row in results.rows):
        rows = [row for row in results.rows if row.row.label == label]
        title = f"{capitalised(rows[0].row.architecture)} {label}"
        blocks[title] = [_pruning_cells(results, row, base) for row in rows]
    return Table(
        title=f"Size: {results.config.experiment}, {results.test_set}",
        caption=[*filter(None, [setting])],
        columns=[
            *("model", "pruned", "params", "ratio", "file", ".zst", "ratio"),
            *("BLEU K=1", f"BLEU K={results.config.beam}", DELTA),
        ],
        blocks=blocks,
        notes=[
            f"params: weights that are not zero. The ratio is all weights of {name} to them.",
            "file, .zst: MB (10^6 bytes) of the model file, vocabularies included, as it is and "
            f"compressed by zstd; `seqkd translate` loads both. The ratio is the file of {name} to "
            "this one, or to its .zst if pruned.",
            f"{DELTA}: BLEU K={results.config.beam} against {name}.",
        ],
        records=[_pruning_record(results, row, base) for row in results.rows],
        label="pruning",
    )


def _against(results: Results, row: RowResult, base: RowResult) -> float:
    """Return the BLEU of beam search less that of the base."""
    ours, theirs = (entry.searches[results.searches[1]].bleu.mean for entry in (row, base))
    return ours - theirs


def _pruning_cells(results: Results, row: RowResult, base: RowResult) -> list[str]:
    plain = taught_name(row.row)
    return [
        plain if row.row.format == "fp32" else f"{plain}, {row.row.format}",
        f"{row.row.pruned}%",
        count(row.nonzero_parameters),
        ratio(base.parameters / max(row.nonzero_parameters, 1)),
        *map(megabytes, (row.file_bytes, row.compressed_bytes)),
        ratio(base.file_bytes / max(row.shipped_bytes, 1)),
        *(score(row.searches[search].bleu) for search in results.searches),
        "-" if row is base else signed(_against(results, row, base)),
    ]


def _pruning_record(results: Results, row: RowResult, base: RowResult) -> dict[str, object]:
    return {
        **_row_record(results, row),
        "parameters": row.parameters,
        "nonzero_parameters": row.nonzero_parameters,
        "ratio_parameters": base.parameters / max(row.nonzero_parameters, 1),
        "file_bytes": row.file_bytes,
        "compressed_bytes": row.compressed_bytes,
        "ratio_bytes": base.file_bytes / max(row.shipped_bytes, 1),
        **{
            f"{search.replace('-', '_')}_bleu": row.searches[search].bleu.mean
            for search in results.searches
        },
        "delta": _against(results, row, base),
    }
