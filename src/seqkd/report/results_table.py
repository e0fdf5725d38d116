"""The results table: the paper's Table 1 with intervals, seeds, noise floor and significance."""

from __future__ import annotations

from collections.abc import Sequence

from seqkd.config.table_rows import TableRow
from seqkd.evaluation.results import (
    Comparison,
    Measured,
    Results,
    RowResult,
    SearchResult,
    by_architecture,
    signed,
)
from seqkd.report.tables import DELTA, PLUS_MINUS, Table, count, counted

_NAMES = {
    "baseline": "Baseline",
    "word-kd": "Word-KD",
    "seq-kd": "Seq-KD",
    "seq-inter": "Seq-Inter",
    "mbr": "MBR",
    "js": "JS",
}


def method_name(method: str) -> str:
    """Return how the paper writes a method: `seq-kd+seq-inter` is `Seq-KD+Seq-Inter`."""
    return "+".join(_NAMES.get(part, capitalised(part)) for part in method.split("+"))


def taught_name(row: TableRow) -> str:
    """Return the method, and the teachers where other rows have the same."""
    name = method_name(row.method)
    return f"{name} from {' and '.join(row.named_teachers)}" if row.named_teachers else name


def row_name(result: RowResult) -> str:
    """Return the method, and what was done to the finished model."""
    name = taught_name(result.row)
    if result.row.pruned:
        name += f", pruned {result.row.pruned}%"
    return f"{name}, {result.row.format}" if result.row.format != "fp32" else name


def results_tables(analyses: Sequence[Results], setting: str) -> list[Table]:
    """Return one table for each analysis; the notes are below the last."""
    *first, last = analyses
    tables = [_table(results, setting, []) for results in first]
    return [*tables, _table(last, setting, _notes(analyses))]


def _table(results: Results, setting: str, notes: Sequence[str]) -> Table:
    config = results.config
    part = "" if results.whole else " with no near duplicate in training"
    title = f"Results: {config.experiment}, {config.source}-{config.target}, {results.test_set}"
    return Table(
        title=f"{title}, {counted(results.sentences, 'sentence')}{part}",
        caption=[setting, *_contamination(results)] if results.whole else [],
        columns=_columns(results),
        blocks=_blocks(results),
        notes=notes,
        records=[_record(results, row) for row in results.rows],
        label=f"results-{results.test_set}{'' if results.whole else '-no-near-duplicate'}",
    )


def _contamination(results: Results) -> list[str]:
    """Return a warning if training repeats all sentences; if it repeats some, a table says it."""
    if results.near_duplicates < results.sentences:
        return []
    return [
        "Each of these sentences has a near duplicate in training, so the scores tell nothing "
        f"about new text; name '{results.test_set}' in corpus.decontaminate."
    ]


def is_seeded(results: Results) -> bool:
    """Return whether a row has several seeds."""
    return any(len(row.row.seeds) > 1 for row in results.rows)


def _aim(results: Results) -> RowResult | None:
    """Return the row that others are to beat, if the config names one."""
    model = next((row.row.against for row in results.rows if row.row.against), None)
    return next((row for row in results.rows if row.row.model == model), None)


def aim_name(results: Results) -> str:
    """Return what the deltas are against, in words."""
    aim = _aim(results)
    return f"{row_name(aim)} of {aim.row.label}" if aim else "the Baseline of the same size"


def gain(results: Results, result: SearchResult) -> Comparison | None:
    """Return the comparison that is a row's delta: with the row to beat, else its baseline."""
    return result.against if _aim(results) else result.baseline


def _columns(results: Results) -> list[str]:
    sd = ["sd"] if is_seeded(results) else []
    searches = [f"BLEU K={width}" for width in (1, results.config.beam)]
    columns = ["model", *(name for search in searches for name in (search, *sd, DELTA))]
    widths = (1, results.config.beam)
    second = [f"{results.second_bleu} K={n}" for n in widths] if results.second_bleu else []
    return [*columns, f"{DELTA} T", *second, *(["PPL", "p(t=y^)"] if results.whole else [])]


def _blocks(results: Results) -> dict[str, list[list[str]]]:
    blocks = {}
    for architecture, rows in by_architecture(results.rows).items():
        title = f"{capitalised(architecture)} {rows[0].row.label} {count(rows[0].parameters)}"
        blocks[title] = [_cells(results, row) for row in rows]
    return blocks


def capitalised(name: str) -> str:
    """Return a name with its first letter in upper case, the others as they are."""
    return name[:1].upper() + name[1:]


def _cells(results: Results, row: RowResult) -> list[str]:
    room = _room_for_stars(results)
    cells = [row_name(row) + seeds_mark(results, row)]
    for search in results.searches:
        result = row.searches[search]
        cells.append(score(result.bleu))
        if is_seeded(results):
            cells.append("n/a" if result.bleu.sd is None else f"{result.bleu.sd:.1f}")
        cells.append(_delta(gain(results, result), room))
    cells.append(_delta(row.searches[results.searches[1]].teacher, room))
    second = (row.searches[search].second_bleu for search in results.searches)
    cells += [f"{measured.mean:.1f}" for measured in second if measured]
    if results.whole:
        cells.append("" if row.perplexity is None else f"{row.perplexity:.1f}")
        cells.append("" if row.mode_mean is None else percent(row.mode_mean))
    return cells


def seeds_mark(results: Results, row: RowResult) -> str:
    """Return the number of a row's seeds, if others of the table have more."""
    seeds = len(row.row.seeds)
    return f" [{seeds}]" if seeds != max(len(other.row.seeds) for other in results.rows) else ""


def score(measured: Measured) -> str:
    """Return a score with half its interval."""
    return f"{measured.mean:.1f}{PLUS_MINUS}{measured.margin:.1f}"


def _room_for_stars(results: Results) -> int:
    compared = [
        comparison
        for row in results.rows
        for result in row.searches.values()
        for comparison in (result.baseline, result.teacher, result.against)
        if comparison is not None
    ]
    return max((len(comparison.stars) for comparison in compared), default=0)


def _delta(comparison: Comparison | None, room: int) -> str:
    if comparison is None:
        return "-"
    text = signed(comparison.delta)
    if comparison.standard_error is not None:
        text += f"{PLUS_MINUS}{comparison.standard_error:.1f}"
    return f"{text}{comparison.stars:<{room}}"  # room for stars in each row: numbers align


def percent(share: float) -> str:
    """Return a share as percent with one digit, as the paper does."""
    return "<0.1%" if 0 < share < 0.0005 else f"{100 * share:.1f}%"


def _notes(analyses: Sequence[Results]) -> list[str]:
    results = analyses[0]
    beam = results.config.beam
    tests = f"{_counts([results.comparisons for results in analyses])} comparisons of its table"
    if results.aimed:
        aimed = _counts([results.aimed for results in analyses])
        tests = f"{aimed} comparisons of {DELTA} and, apart from them, for the other {tests}"
    return [
        f"BLEU: greedy (K=1) and beam search of {beam} (K={beam}); {PLUS_MINUS}: half the 95% "
        f"interval over test sentences ({results.resamples:,} bootstrap resamples).",
        f"{DELTA}: against {aim_name(results)}. {DELTA} T: K={beam} against "
        f"K={beam} of its teacher, the seed that taught; for a Baseline, of the teacher of most "
        "other rows of its size; none for an ensemble. After each architecture: its parameters.",
        # Markdown takes a star at the start of an item for a list in it.
        "Stars: * p < 0.05, ** p < 0.01 by both paired bootstrap and approximate randomisation, "
        f"each Holm-corrected for the {tests}.",
        noise_note(results),
        "PPL: perplexity per token on the references. p(t=y^): probability of the greedy output, "
        "mean over sentences.",
        *second_note(results),
        *(f"signature: {signature}" for signature in results.signatures),
    ]


def second_note(results: Results) -> list[str]:
    """Return what the columns of a second BLEU show, if there is one."""
    return [f"{results.second_bleu}: BLEU by the second signature."] if results.second_bleu else []


def _counts(numbers: Sequence[int]) -> str:
    return " and ".join(dict.fromkeys(map(str, numbers)))


def noise_note(results: Results) -> str:
    """Return what the spread over seeds says, or that there is none."""
    if not is_seeded(results):
        return (
            "One seed each, so there is no spread over seeds and no noise floor. Whatever p is, "
            "another seed may not show the same difference."
        )
    seeds = max(len(row.row.seeds) for row in results.rows)
    other = any(len(row.row.seeds) != seeds for row in results.rows)
    greedy, beam = (results.noise[search] for search in results.searches)
    floors = "; ".join(
        f"{name} {floor.sd:.2f} (K=1) and {beam[name].sd:.2f} (K={results.config.beam}) BLEU, "
        f"{floor.degrees} degrees of freedom"
        for name, floor in greedy.items()
    )
    return (
        f"{seeds} seeds{' ([n]: n instead)' if other else ''}: means; sd: over seeds. "
        f"{PLUS_MINUS} after {DELTA}: its standard error by seeds alone (noise floor, from the sd "
        f"of one training on {results.test_set}, pooled by architecture: {floors}). Stars in "
        f"brackets: {DELTA} is within its 95% interval by seeds (Student's t), so other seeds may "
        "not show it."
    )


def _record(results: Results, result: RowResult) -> dict[str, object]:
    """Return one line of the CSV."""
    record: dict[str, object] = {
        "experiment": results.config.experiment,
        "test_set": results.test_set,
        "sentences": results.sentences,
        "subset": "all" if results.whole else "no-near-duplicate",
        "architecture": result.row.architecture,
        "label": result.row.label,
        "method": result.row.method,
        "model": result.row.model,
        "pruned": result.row.pruned,
        "format": result.row.format,
        "seeds": " ".join(map(str, result.row.seeds)),
        "parameters": result.parameters,
        "nonzero_parameters": result.nonzero_parameters,
        "file_bytes": result.file_bytes,
    }
    for search in results.searches:
        scores = _search_record(result.searches[search])
        prefix = search.replace("-", "_")
        record |= {f"{prefix}_{name}": value for name, value in scores.items()}
    if results.whole:
        record |= {
            "perplexity": result.perplexity,
            "mode_probability_mean": result.mode_mean,
            "mode_probability_median": result.mode_median,
        }
    return record | {"signatures": " ; ".join(results.signatures)}


def _search_record(result: SearchResult) -> dict[str, float | None]:
    record: dict[str, float | None] = {"length_ratio": result.length_ratio}
    for name in ("bleu", "chrf", "chrf_pp", "second_bleu"):
        measured: Measured | None = getattr(result, name)
        if measured is None:
            continue
        record |= {
            name: measured.mean,
            f"{name}_sd": measured.sd,
            f"{name}_low": measured.low,
            f"{name}_high": measured.high,
        }
    roles = {"baseline": result.baseline, "teacher": result.teacher, "aim": result.against}
    fields = ("delta", "standard_error", "p_bootstrap", "p_randomisation", "p_corrected")
    for role, comparison in roles.items():
        for field in fields:
            record[f"vs_{role}_{field}"] = getattr(comparison, field, None)
    return record
