"""Two models, possibly of two experiments, on the same test sentences.

A model is the mean over its seeds. Two models are tested by paired bootstrap and approximate
randomisation over the sentences that both translated (see `significance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from seqkd.config.schema import load
from seqkd.config.table_rows import TableConfig
from seqkd.corpus.test_sets import load_test_set
from seqkd.errors import SeqkdError, nearest
from seqkd.evaluation.score_files import Evaluation, load_evaluation
from seqkd.evaluation.significance import (
    RESAMPLES,
    FloatArray,
    approximate_randomisation,
    bleu_metric,
    bootstrap_scores,
    corpus_scores,
    corrected,
    pair_seeds,
    paired_bootstrap,
)

_ROUNDING = 0.001  # scores are stored with four decimals


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a model of an experiment on one test set."""

    folder: Path
    """Of the experiment."""
    model: str
    evaluations: tuple[Evaluation, ...]
    """One per seed."""

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the evaluations."""
        return [evaluation.seed for evaluation in self.evaluations]

    @property
    def first(self) -> Evaluation:
        """The evaluation of the first seed, for what all seeds share."""
        return self.evaluations[0]

    def references(self) -> Sequence[str] | None:
        """Return the references of the test set; None if the corpus was deleted."""
        path = self.folder / "corpus" / "tests" / f"{self.first.test_set}.json"
        return load_test_set(path).references if path.is_file() else None

    def statistics(self, search: str, references: Sequence[str]) -> dict[int, FloatArray]:
        """Return BLEU's sentence statistics of the translations of each seed."""
        extract = bleu_metric(self.first.bleu).extractor(references)
        return {entry.seed: extract(entry.hypotheses(search)) for entry in self.evaluations}


@dataclass(frozen=True, slots=True)
class Difference:
    """The scores of both sides under one search."""

    search: str
    bleu: tuple[float, float]
    chrf: tuple[float, float]
    p_values: tuple[float, float] | None
    """By paired bootstrap and approximate randomisation, two-sided; None if test sets differ."""

    @property
    def delta(self) -> float:
        """BLEU of the second less that of the first."""
        return self.bleu[1] - self.bleu[0]


def find_model(results: Path, word: str) -> tuple[Path, str, int | None]:
    """Return the experiment folder, model and seed behind `[EXPERIMENT/]MODEL[/seed-N]`.

    Raises:
        SeqkdError: if no experiment, or more than one, has an evaluated model of that name.
    """
    parts = [part for part in Path(word).parts if part not in ("results", "models", "evaluations")]
    seed = None
    if parts and parts[-1].startswith("seed-") and parts[-1][5:].isdigit():
        seed = int(parts.pop()[5:])
    pattern = f"{parts[0]}/evaluations/*" if len(parts) == 2 else "*/evaluations/*"
    folders = {path for path in results.glob(pattern) if path.is_dir()}
    matches = [path for path in folders if parts and path.name == parts[-1]]
    if len(matches) > 1:
        owners = ", ".join(sorted(path.parents[1].name for path in matches))
        raise SeqkdError(f"'{word}' is in several experiments ({owners}); write EXPERIMENT/{word}")
    if not matches:
        names = sorted({path.name for path in folders})
        raise SeqkdError(f"no evaluated model '{word}' in {results}/{nearest(word, names)}")
    return matches[0].parents[1], matches[0].name, seed


def experiment_models(folder: Path) -> list[str]:
    """Return the names of the evaluated models in an experiment's tables."""
    evaluated = (path.name for path in (folder / "evaluations").glob("*") if path.is_dir())
    shown = _shown(folder)
    return sorted(name for name in evaluated if name in shown or not shown)


def load_side(folder: Path, model: str, test_set: str, seed: int | None = None) -> Side | None:
    """Return a model with the seeds of its table, or with one seed; None if it was not evaluated.

    A model that is in no table, such as one of an earlier config, has all seeds that it ever had.
    """
    seeds = [seed] if seed is not None else _shown(folder).get(model, ["*"])
    evaluations = folder / "evaluations" / model
    paths = [path for seed in seeds for path in evaluations.glob(f"seed-{seed}/{test_set}.json")]
    return Side(folder, model, tuple(map(load_evaluation, sorted(paths)))) if paths else None


def test_sets_of(folder: Path, model: str) -> list[str]:
    """Return the names of the test sets that a model was evaluated on, without removed ones."""
    paths = (folder / "evaluations" / model).glob("seed-*/*.greedy.*")
    names = {path.name.partition(".greedy.")[0] for path in paths}
    known = {name for table in _tables(folder) for name in table.test_sets}
    return sorted(names & known if known else names)


def _shown(folder: Path) -> dict[str, Sequence[int | str]]:
    """Return the seeds of each model in an experiment's tables.

    Folders of other models and seeds may be there: nothing deletes what an earlier config made.
    """
    return {row.model: row.seeds for table in _tables(folder) for row in table.rows}


def _tables(folder: Path) -> list[TableConfig]:
    return [load(TableConfig, path) for path in sorted((folder / "tables").glob("*.yaml"))]


def compare(first: Side, second: Side, resamples: int = RESAMPLES) -> list[Difference]:
    """Compare two models on their test set, by each search that both have.

    Raises:
        SeqkdError: if BLEU was computed in different ways, or the test set has changed since.
    """
    if first.first.bleu != second.first.bleu:
        raise SeqkdError(
            f"BLEU of {first.model} has {first.first.bleu.signature}, that of {second.model} "
            f"{second.first.bleu.signature}: set the same evaluation.tokenizer in both"
        )
    references = first.references()
    if references != second.references():
        references = None
    differences = []
    for search in first.first.searches:
        if search in second.first.searches:
            scores = [[e.scores(search) for e in side.evaluations] for side in (first, second)]
            bleu_a, bleu_b = (fmean(score.bleu for score in seeds) for seeds in scores)
            chrf_a, chrf_b = (fmean(score.chrf for score in seeds) for seeds in scores)
            p_values = references and _test(first, second, search, references, resamples)
            differences.append(
                Difference(search, (bleu_a, bleu_b), (chrf_a, chrf_b), p_values or None)
            )
    return differences


def _test(
    first: Side, second: Side, search: str, references: Sequence[str], resamples: int
) -> tuple[float, float]:
    """Return p by paired bootstrap and by approximate randomisation."""
    metric = bleu_metric()
    counts = [side.statistics(search, references) for side in (first, second)]
    systems, cut = [*counts[0].values(), *counts[1].values()], len(counts[0])
    scores, drawn = corpus_scores(metric, systems), bootstrap_scores(metric, systems, resamples)
    stored = [e.scores(search).bleu for side in (first, second) for e in side.evaluations]
    if not np.allclose(scores, stored, rtol=0.0, atol=_ROUNDING):
        raise SeqkdError(
            f"{first.first.test_set}: the scores are older than the test set; run the experiment "
            "to its end first"
        )
    delta = float(scores[cut:].mean() - scores[:cut].mean())
    bootstrap = paired_bootstrap(drawn[cut:].mean(axis=0), drawn[:cut].mean(axis=0), delta)
    ours, theirs = counts
    pairs = [(ours[a], theirs[b]) for a, b in pair_seeds(list(ours), list(theirs))]
    (randomised,) = approximate_randomisation(metric, [pairs], resamples)
    return bootstrap, randomised


def corrected_p_values(differences: Sequence[Difference]) -> list[float | None]:
    """Return the larger p of each difference, each corrected by Holm over all; None without p."""
    tested = [entry.p_values for entry in differences if entry.p_values]
    p_values = iter(corrected(*zip(*tested, strict=True)) if tested else [])
    return [next(p_values) if entry.p_values else None for entry in differences]
