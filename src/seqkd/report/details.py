"""The lower parts of the report: corpus, diagnostics, where the time went, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqkd.report.material import Material
from seqkd.report.parts import Bars, Block, Cell, Code, Facts, Folded, Grid, Head, Note, Part
from seqkd.report.results_table import method_name


@dataclass(frozen=True, slots=True)
class Dropped(Part):
    """Samples of what each filter dropped or changed."""

    filters: Sequence[tuple[str, Sequence[tuple[str, str]]]]


def funnel(material: Material) -> list[Part]:
    """Return how many pairs each filter let through, and samples of what it dropped."""
    rows, idle = [], []
    for place, stage in enumerate(material.funnel):
        dropped = stage.lines_in - stage.lines_out
        if place and dropped == 0 and not stage.filter.startswith("read"):
            idle.append(stage.filter)
            continue
        note = f"{stage.lines_out:,}" + (f" (\u2212{dropped:,})" if dropped > 0 else "")
        rows.append((stage.filter, float(stage.lines_out), note))
    heads = ("filter", "pairs left")
    parts: list[Part] = [Bars("Sentence pairs left after each filter", heads, rows)]
    if idle:
        parts.append(Note(f"Dropped nothing: {'; '.join(idle)}."))
    sampled = [(stage.filter, stage.samples) for stage in material.funnel if stage.samples]
    if sampled:
        parts.append(Folded("Samples of what was dropped or changed", [Dropped(sampled)]))
    return parts


def texts(material: Material) -> list[Part]:
    """Return the table of gold and distilled targets."""
    if material.diagnostics is None:
        return []
    heads = [
        Head("targets", left=True),
        Head("pairs"),
        Head("complexity", "mean entropy of the translations of a word, nats; lower is easier"),
        Head("faithfulness", "KL from gold to these translations, nats; lower is nearer to gold"),
        Head("distinct words"),
        Head("MTLD", "lexical diversity; hardly depends on the size of the text"),
        Head("length", "target words for each source word"),
        Head("as gold", "share of lines that are the reference"),
        Head("not 1-best", "share of lines that are not the most probable hypothesis"),
        Head("loops", "share of lines with words three times in a row"),
    ]
    rows = [
        [
            _name(entry.targets, f"by {entry.teacher}" if entry.teacher else ""),
            Cell.number(entry.pairs, ",.0f"),
            Cell.number(entry.complexity, ".3f"),
            Cell.number(entry.faithfulness, ".3f"),
            Cell.number(entry.variety.distinct_words, ",.0f"),
            Cell.number(entry.variety.mtld, ".1f"),
            Cell.number(entry.words_per_source_word, ".3f"),
            Cell.number(entry.as_gold, ".1%"),
            Cell.number(entry.differs, ".1%"),
            Cell.number(entry.repeated, ".1%"),
        ]
        for entry in material.diagnostics.texts
    ]
    return [_explained("What models learn from: gold and distilled targets", heads, rows)]


def _name(method: str, sub: str) -> Cell:
    name = method_name(method)
    return Cell(name, name, sub=sub, kind="method")


def _explained(caption: str, heads: Sequence[Head], rows: Sequence[Sequence[Cell]]) -> Grid:
    """Return a table with its tooltips as notes, for those who cannot point at a heading."""
    notes = [f"{head.title}: {head.about}" for head in heads if head.about]
    return Grid(caption=caption, heads=heads, blocks=[Block(rows=rows)], notes=notes)


def models(material: Material) -> list[Part]:
    """Return the table of how models behave."""
    if material.diagnostics is None:
        return []
    heads = [
        Head("model", left=True),
        Head("same as teacher", "greedy output equal to the teacher's beam output"),
        Head("BLEU to teacher", "greedy output against the teacher's beam output"),
        Head("memorised", "outputs of 5 words or more that are in training word for word"),
        Head("loops", "outputs with words three times in a row"),
        Head("MTLD", "lexical diversity"),
        Head("length", "words for each word of the references"),
    ]
    measured = {entry.model: entry for entry in material.diagnostics.models}
    rows = [
        [
            _name(row.method, f"{row.architecture} {row.label}"),
            Cell.number(entry.same_as_teacher, ".1%"),
            Cell.number(entry.bleu_to_teacher),
            Cell.number(entry.memorised, ".1%"),
            Cell.number(entry.repeated, ".1%"),
            Cell.number(entry.variety.mtld),
            Cell.number(entry.length_ratio, ".3f"),
        ]
        for row in material.config.rows
        if (entry := measured.get(row.model))
    ]
    references = material.diagnostics.memorised_references
    return [
        _explained("How models behave on the test set, greedy", heads, rows),
        Note(f"Of the references themselves, {references:.1%} are in training."),
    ]


def time_spent(material: Material) -> list[Part]:
    """Return what all jobs of each rule took."""
    if not material.costs:
        return []
    rows = []
    for cost in material.costs:
        note = f"{_duration(cost.seconds)} \u00b7 {cost.jobs} job{'s' if cost.jobs > 1 else ''}"
        if cost.peak_memory_mb:
            note += f" \u00b7 {cost.peak_memory_mb:,.0f} MB peak"
        rows.append((cost.rule, cost.seconds, note))
    wall = _duration(sum(cost.seconds for cost in material.costs))
    cpu = _duration(sum(cost.cpu_seconds for cost in material.costs))
    return [
        Bars("Seconds of all jobs of each rule", ("rule", "time"), rows),
        Note(
            f"All jobs one after the other: {wall}; CPU time {cpu}. "
            "Jobs run side by side, so the run itself was shorter."
        ),
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def provenance(material: Material) -> list[Part]:
    """Return code, machine, versions, data and cost of every trained model, and the configs."""
    parts = _machine(material)
    if material.trained:
        parts.append(Folded("Every trained model", [_trained(material)]))
    for name, content in material.configs.items():
        parts.append(Folded(f"Config: {name}", [Code(content)]))
    return parts


def _trained(material: Material) -> Grid:
    rows = []
    for (model, seed), trained in material.trained.items():
        run = trained.manifest
        data = [run.inputs[role][:8] for role in ("train_src", "train_tgt") if role in run.inputs]
        rows.append(
            [
                Cell(model, model),
                Cell.number(seed, "d"),
                Cell.number(run.seconds / 60),
                Cell.number(run.cpu_seconds / 60),
                Cell.number(run.peak_memory_mb, ",.0f"),
                Cell(" / ".join(data), kind="code"),
                Cell(run.commit, run.commit, kind="code"),
            ]
        )
    heads = [
        Head("model", left=True),
        Head("seed"),
        Head("minutes", "wall time of this stage"),
        Head("CPU min"),
        Head("peak MB"),
        Head("data", "sha256 of the training text, source / target", left=True),
        Head("code", "git commit", left=True),
    ]
    caption = "Trained models, stage by stage"
    return Grid(caption=caption, heads=heads, blocks=[Block(rows=rows)], sortable=True)


def _machine(material: Material) -> list[Part]:
    runs = [model.manifest for model in material.trained.values()]
    machines = {str(run.hardware) for run in runs}
    machines |= {str(speed.hardware) for speed in material.speeds.values()}
    facts = [
        ("Code", ", ".join(sorted({run.commit for run in runs if run.commit}))),
        ("Hardware", "; ".join(sorted(machines))),
        (
            "Versions",
            ", ".join(sorted({f"{k} {v}" for run in runs for k, v in run.versions.items()})),
        ),
        ("Metrics", "; ".join(material.analyses[0].signatures)),
    ]
    return [Facts([(name, value) for name, value in facts if value])]
