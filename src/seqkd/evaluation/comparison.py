"""Two models, or the rows of two experiments, side by side on the same test sentences.

A model is the mean over its seeds. Two models are tested by paired bootstrap and approximate
randomisation on the sentences that both translated (see `statistics`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.corpus.test_sets import load_test_set
from seqkd.errors import SeqkdError, nearest
from seqkd.evaluation.score_files import Evaluation, load_evaluation
from seqkd.evaluation.significance import (
    RESAMPLES,
    Metric,
    approximate_randomisation,
    bleu_metric,
    bootstrap_scores,
    corpus_scores,
    paired_bootstrap,
)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a model of an experiment, with the evaluations of its seeds."""

    results: Path
    """Folder of the experiment."""
    model: str
    evaluations: tuple[Evaluation, ...]
    """On one test set, one a seed."""

    @property
    def first(self) -> Evaluation:
        """The evaluation of the first seed, for what all seeds share."""
        return self.evaluations[0]

    def mean(self, field: Callable[[Evaluation], float | None]) -> float | None:
        """Return the mean over seeds of a field, None where one has none."""
        values = [value for value in map(field, self.evaluations) if value is not None]
        return _mean(values) if len(values) == len(self.evaluations) else None


@dataclass(frozen=True, slots=True)
class Difference:
    """What one search gives on both sides."""

    search: str
    bleu: tuple[float, float]
    chrf: tuple[float, float]
    p_bootstrap: float | None
    """Two-sided; None where the two were tested on different sentences."""
    p_randomisation: float | None

    @property
    def delta(self) -> float:
        """BLEU of the second less that of the first."""
        return self.bleu[1] - self.bleu[0]


def find_model(results: Path, word: str) -> tuple[Path, str, int | None]:
    """Return experiment folder, model and seed behind `[EXPERIMENT/]MODEL[/seed-N]`.

    Args:
        results: the folder of all experiments.
        word: what the user wrote; leading parts of a path are fine.

    Raises:
        SeqkdError: if no experiment, or more than one, has an evaluated model of that name.
    """
    parts = [part for part in Path(word).parts if part not in ("results", "models", "evaluations")]
    seed = None
    if parts and parts[-1].startswith("seed-") and parts[-1][5:].isdigit():
        seed = int(parts.pop()[5:])
    pattern = f"{parts[0]}/evaluations/*" if len(parts) == 2 else "*/evaluations/*"
    folders = {path for path in results.glob(pattern) if path.is_dir()}
    found = [path for path in folders if parts and path.name == parts[-1]]
    if len(found) > 1:
        owners = ", ".join(sorted(path.parents[1].name for path in found))
        raise SeqkdError(f"'{word}' is in several experiments ({owners}); write EXPERIMENT/{word}")
    if not found:
        names = sorted({path.name for path in folders})
        raise SeqkdError(f"no evaluated model '{word}' in {results}/{nearest(word, names)}")
    return found[0].parents[1], found[0].name, seed


def experiment_models(folder: Path) -> list[str]:
    """Return the evaluated models of an experiment, by name."""
    return sorted(path.name for path in (folder / "evaluations").glob("*") if path.is_dir())


def load_side(folder: Path, model: str, test_set: str, seed: int | None = None) -> Side | None:
    """Return one side with all its seeds, or one of them; None if it was not evaluated."""
    pattern = f"seed-{'*' if seed is None else seed}/{test_set}.json"
    paths = sorted((folder / "evaluations" / model).glob(pattern))
    return Side(folder, model, tuple(map(load_evaluation, paths))) if paths else None


def test_sets_of(folder: Path, model: str) -> list[str]:
    """Return the names of the test sets that a model was evaluated on."""
    paths = (folder / "evaluations" / model).glob("seed-*/*.json")
    return sorted({path.stem for path in paths} - {"speed"})


def compare(one: Side, two: Side, resamples: int = RESAMPLES) -> list[Difference]:
    """Compare two sides on their test set, by each search that both have.

    Args:
        one: what is compared with.
        two: what is compared.
        resamples: of both tests.
    """
    references = [_references(side) for side in (one, two)]
    same = references[0] is not None and references[0] == references[1]
    found = []
    for search in one.first.searches:
        if search not in two.first.searches:
            continue
        metric = bleu_metric(one.first.tokenizer(search))
        p_values: tuple[float, float] | None = None
        if same and references[0]:
            p_values = _test(metric, one, two, search, references[0], resamples)
        sides = (one, two)
        bleu = [_mean([e.searches[search].bleu for e in side.evaluations]) for side in sides]
        chrf = [_mean([e.searches[search].chrf for e in side.evaluations]) for side in sides]
        found.append(
            Difference(
                search,
                (bleu[0], bleu[1]),
                (chrf[0], chrf[1]),
                p_values[0] if p_values else None,
                p_values[1] if p_values else None,
            )
        )
    return found


def _references(side: Side) -> Sequence[str] | None:
    path = side.results / "corpus" / "tests" / f"{side.first.test_set}.json"
    return load_test_set(path).references if path.is_file() else None


def _test(
    metric: Metric,
    one: Side,
    two: Side,
    search: str,
    references: Sequence[str],
    resamples: int,
) -> tuple[float, float]:
    """Return p by paired bootstrap and by approximate randomisation."""
    extract = metric.extractor(references)
    first = [extract(each.hypotheses(search)) for each in one.evaluations]
    second = [extract(each.hypotheses(search)) for each in two.evaluations]
    scores = corpus_scores(metric, [*first, *second])
    drawn = bootstrap_scores(metric, [*first, *second], resamples)
    cut = len(first)
    delta = float(scores[cut:].mean() - scores[:cut].mean())
    bootstrap = paired_bootstrap(drawn[cut:].mean(axis=0), drawn[:cut].mean(axis=0), delta)
    # Equal seeds face each other; where one side has fewer, its seeds take turns.
    pairs = [(second[n % len(second)], first[n % len(first)]) for n in range(max(cut, len(second)))]
    (randomised,) = approximate_randomisation(metric, [pairs], resamples)
    return bootstrap, randomised


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
