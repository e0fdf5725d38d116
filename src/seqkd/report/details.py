"""The lower parts of the report: corpus, diagnostics, where the time went, provenance."""

from __future__ import annotations

from html import escape

from seqkd.report.html import (
    Cell,
    Head,
    bars,
    details,
    figure_cell,
    glossary,
    name_of,
    plain,
    table,
)
from seqkd.report.material import Material
from seqkd.report.results_table import method_name


def funnel(material: Material) -> str:
    """Return how many pairs each filter let through, and samples of what it dropped."""
    rows, idle = [], []
    for place, stage in enumerate(material.funnel):
        dropped = stage.lines_in - stage.lines_out
        if place and dropped == 0 and not stage.filter.startswith("read"):
            idle.append(stage.filter)
            continue
        note = f"{stage.lines_out:,}" + (f" (\u2212{dropped:,})" if dropped > 0 else "")
        rows.append((stage.filter, float(stage.lines_out), note))
    quiet = f'<p class="small">Dropped nothing: {escape("; ".join(idle))}.</p>' if idle else ""
    shown = "".join(
        f"<h4>{escape(stage.filter)}</h4><ul>"
        + "".join(f"<li>{escape(a)}<br>{escape(b)}</li>" for a, b in stage.samples)
        + "</ul>"
        for stage in material.funnel
        if stage.samples
    )
    return (
        bars(rows, "Sentence pairs left after each filter", ("filter", "pairs left"))
        + quiet
        + details(
            "Samples of what was dropped or changed",
            f'<div class="samples">{shown}</div>' if shown else "",
        )
    )


def texts(material: Material) -> str:
    """Return the table of gold and distilled targets."""
    if material.diagnostics is None:
        return ""
    heads = [
        Head("targets", align="left"),
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
    rows = []
    for entry in material.diagnostics.texts:
        sub = f'<span class="sub">by {escape(entry.teacher)}</span>' if entry.teacher else ""
        name = method_name(entry.targets)
        rows.append(
            [
                Cell(name_of(name) + sub, name),
                figure_cell(entry.pairs, ",.0f"),
                figure_cell(entry.complexity, ".3f"),
                figure_cell(entry.faithfulness, ".3f"),
                figure_cell(entry.variety.distinct_words, ",.0f"),
                figure_cell(entry.variety.mtld, ".1f"),
                figure_cell(entry.words_per_source_word, ".3f"),
                _share(entry.as_gold),
                _share(entry.differs),
                _share(entry.repeated),
            ]
        )
    made = table("What models learn from: gold and distilled targets", heads, rows)
    return made + glossary(heads)


def _share(value: float | None) -> Cell:
    return Cell("", None) if value is None else Cell(f"{100 * value:.1f}%", value)


def models(material: Material) -> str:
    """Return the table of how models behave."""
    if material.diagnostics is None:
        return ""
    rows_by_model = {row.model: row for row in material.config.rows}
    heads = [
        Head("model", align="left"),
        Head("same as teacher", "greedy output equal to the teacher's beam output"),
        Head("BLEU to teacher", "greedy output against the teacher's beam output"),
        Head("memorised", "outputs of 5 words or more that stand in training word for word"),
        Head("loops", "outputs with words three times in a row"),
        Head("MTLD", "lexical diversity"),
        Head("length", "words for each word of the references"),
    ]
    rows = []
    for entry in material.diagnostics.models:
        row = rows_by_model.get(entry.model)
        name = method_name(row.method) if row else entry.model
        sub = (
            f'<span class="sub">{escape(row.architecture)} {escape(row.label)}</span>'
            if row
            else ""
        )
        rows.append(
            [
                Cell(name_of(name) + sub, name),
                _share(entry.same_as_teacher),
                figure_cell(entry.bleu_to_teacher),
                _share(entry.memorised),
                _share(entry.repeated),
                figure_cell(entry.variety.mtld),
                figure_cell(entry.length_ratio, ".3f"),
            ]
        )
    base = 100 * material.diagnostics.memorised_references
    note = f'<p class="small">Of the references themselves, {base:.1f}% are in training.</p>'
    return table("How models behave on the test set, greedy", heads, rows) + glossary(heads) + note


def time_spent(material: Material) -> str:
    """Return what all jobs of each rule took."""
    if not material.costs:
        return ""
    rows = [
        (
            cost.rule,
            cost.seconds,
            f"{_duration(cost.seconds)} \u00b7 {cost.jobs} job{'s' if cost.jobs > 1 else ''}"
            + (f" \u00b7 {cost.peak_memory_mb:,.0f} MB peak" if cost.peak_memory_mb else ""),
        )
        for cost in material.costs
    ]
    cpu = sum(cost.cpu_seconds for cost in material.costs)
    wall = sum(cost.seconds for cost in material.costs)
    note = (
        f'<p class="small">All jobs one after the other: {_duration(wall)}; CPU time '
        f"{_duration(cpu)}. Jobs run side by side, so the run itself was shorter.</p>"
    )
    return bars(rows, "Seconds of all jobs of each rule", ("rule", "time")) + note


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def provenance(material: Material) -> str:
    """Return code, machine, versions, data and cost of every trained model, and the configs."""
    heads = [
        Head("model", align="left"),
        Head("seed"),
        Head("minutes", "wall time of this stage"),
        Head("CPU min"),
        Head("peak MB"),
        Head("data", "sha256 of the training text, source / target", align="left"),
        Head("code", "git commit", align="left"),
    ]
    rows = []
    for (model, seed), trained in material.trained.items():
        run = trained.manifest
        data = " / ".join(
            f"<code>{escape(digest[:8])}</code>"
            for role, digest in run.inputs.items()
            if role in ("train_src", "train_tgt")
        )
        rows.append(
            [
                plain(model),
                Cell(str(seed), seed),
                figure_cell(run.seconds / 60),
                figure_cell(run.cpu_seconds / 60),
                figure_cell(run.peak_memory_mb, ",.0f"),
                Cell(data),
                Cell(f"<code>{escape(run.commit)}</code>", run.commit),
            ]
        )
    whole = table("Trained models, stage by stage", heads, rows, sortable=True) if rows else ""
    configs = "".join(
        details(f"Config: {name}", f'<pre tabindex="0">{escape(content)}</pre>')
        for name, content in material.configs.items()
    )
    return _machine(material) + (details("Every trained model", whole) if whole else "") + configs


def _machine(material: Material) -> str:
    runs = [model.manifest for model in material.trained.values()]
    machines = {str(run.hardware) for run in runs}
    machines |= {str(speed.hardware) for speed in material.speeds.values()}
    versions = {f"{k} {v}" for run in runs for k, v in run.versions.items()}
    commits = {run.commit for run in runs if run.commit}
    facts = [
        ("Code", ", ".join(sorted(commits))),
        ("Hardware", "; ".join(sorted(machines))),
        ("Versions", ", ".join(sorted(versions))),
        ("Metrics", "; ".join(material.analyses[0].signatures)),
    ]
    lines = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts if value
    )
    return f'<dl class="facts">{lines}</dl>' if lines else ""
