"""All models of an experiment on one test set, compared: scores, intervals, tests, noise floor.

This is what the results table, the figures and the report show; they decide nothing themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.corpus.test_sets import TestSet
from seqkd.evaluation.score_files import Evaluation, Evaluations, signatures_of
from seqkd.evaluation.significance import (
    RESAMPLES,
    FloatArray,
    Metric,
    NoiseFloor,
    SeedPairs,
    Spread,
    approximate_randomisation,
    bleu_metric,
    bootstrap_scores,
    chrf_metric,
    corpus_scores,
    corrected,
    interval,
    noise_floor,
    paired_bootstrap,
    spread,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A model against another one."""

    other: str
    delta: float
    """Difference of the means over seeds; BLEU."""
    standard_error: float | None
    """Of that difference by seeds alone (noise floor); None where it is not known."""
    p_bootstrap: float
    p_randomisation: float
    p_corrected: float = 1.0
    """The larger of the two, each after Holm's correction over its family of tests."""

    @property
    def within_noise(self) -> bool:
        """Whether other seeds may well show no such difference: below two standard errors."""
        return self.standard_error is not None and abs(self.delta) < 2 * self.standard_error

    @property
    def stars(self) -> str:
        """One for p below 0.05, two for p below 0.01; in brackets within the noise of seeds."""
        made = "**" if self.p_corrected < 0.01 else "*" if self.p_corrected < 0.05 else ""
        return f"({made})" if made and self.within_noise else made


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A score over seeds with its interval over test sentences."""

    spread: Spread
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """One model under one search."""

    bleu: Measured
    chrf: Measured
    length_ratio: float | None
    baseline: Comparison | None = None
    teacher: Comparison | None = None
    against: Comparison | None = None
    """With the row that is to be beaten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowResult:
    """One row: a model over its seeds."""

    row: TableRow
    parameters: int
    nonzero_parameters: int
    file_bytes: int
    compressed_bytes: int
    perplexity: float | None
    mode_mean: float | None
    mode_median: float | None
    searches: Mapping[str, SearchResult]
    """By `greedy` and `beam-{K}`."""

    @property
    def shipped_bytes(self) -> int:
        """Bytes of the file one would ship: zstd leaves out the zeros of a pruned model."""
        return self.compressed_bytes if self.row.pruned else self.file_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """One test set, or a part of it."""

    config: TableConfig
    test_set: str
    sentences: int
    whole: bool
    """All sentences; else those without a near duplicate in training."""
    rows: Sequence[RowResult]
    noise: Mapping[str, Mapping[str, NoiseFloor]]
    """By search and architecture, where some model of it has two seeds."""
    comparisons: int
    """Number of tests that the p values are corrected for."""
    aimed: int
    """Number of tests against what is to be beaten, for which those are corrected."""
    resamples: int
    signatures: Sequence[str]

    @property
    def searches(self) -> tuple[str, str]:
        """Names of the two searches."""
        return "greedy", f"beam-{self.config.beam}"


Key = tuple[str, int]
"""Model and seed."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """All outputs of one search, counted once, whichever part of the test set is looked at."""

    bleu: Mapping[Key, FloatArray]
    """Statistics (sentences, 10)."""
    chrf: Mapping[Key, FloatArray]
    """Statistics (sentences, 18)."""
    words: Mapping[Key, FloatArray]
    """Words of each hypothesis."""


@dataclass(frozen=True, slots=True)
class Counted:
    """All outputs on one test set, by search."""

    config: TableConfig
    test: TestSet
    found: Mapping[Key, Evaluation]
    searches: Mapping[str, Outputs]


def count_outputs(config: TableConfig, evaluations: Evaluations, test: TestSet) -> Counted:
    """Read all outputs of the rows on one test set and take their sentence statistics.

    Args:
        config: the rows.
        evaluations: those of all rows.
        test: the test set.

    Raises:
        SeqkdError: if an evaluation of a row is missing.
    """
    found = {
        (row.model, seed): evaluations.get(row.model, seed, test.name)
        for row in config.rows
        for seed in row.seeds
    }
    first = next(iter(found.values()))
    searches = {}
    chrf = chrf_metric().extractor(test.references)
    for search in ("greedy", f"beam-{config.beam}"):
        bleu = bleu_metric(first.tokenizer(search)).extractor(test.references)
        texts = {key: each.hypotheses(search) for key, each in found.items()}
        searches[search] = Outputs(
            bleu={key: bleu(lines) for key, lines in texts.items()},
            chrf={key: chrf(lines) for key, lines in texts.items()},
            words={key: _words(lines) for key, lines in texts.items()},
        )
    return Counted(config, test, found, searches)


def analyse(counted: Counted, *, whole: bool = True, resamples: int = RESAMPLES) -> Results:
    """Compare all rows on one test set.

    Args:
        counted: all outputs on it.
        whole: all sentences, or only those without a near duplicate in training.
        resamples: of the bootstrap, and trials of the randomisation.
    """
    config, test = counted.config, counted.test
    kept = np.arange(len(test.references)) if whole else np.array(test.clean)
    reference_words = float(_words(test.references)[kept].sum())
    searches: dict[str, dict[str, SearchResult]] = {row.model: {} for row in config.rows}
    noise: dict[str, dict[str, NoiseFloor]] = {}
    raw: list[tuple[str, str, str, Comparison]] = []
    for search, outputs in counted.searches.items():
        bleu = _Scored(config.rows, outputs.bleu, kept, bleu_metric(), resamples)
        chrf = _Scored(config.rows, outputs.chrf, kept, chrf_metric(), min(resamples, 1000))
        noise[search] = _noise(config.rows, bleu)
        for row in config.rows:
            words = [float(outputs.words[row.model, seed][kept].sum()) for seed in row.seeds]
            searches[row.model][search] = SearchResult(
                bleu=bleu.measured(row),
                chrf=chrf.measured(row),
                length_ratio=sum(words) / len(words) / max(reference_words, 1.0),
            )
        raw += _comparisons(config, search, bleu, noise[search])
    # What the table asks is a family of tests of its own; all the others are another.
    aimed = [each for each in raw if each[2] == "against"]
    others = [each for each in raw if each[2] != "against"]
    for family in (aimed, others):
        _correct(family, searches)
    return Results(
        config=config,
        test_set=test.name,
        sentences=len(kept),
        whole=whole,
        rows=[_row(row, counted.found, searches[row.model]) for row in config.rows],
        noise=noise,
        comparisons=len(others),
        aimed=len(aimed),
        resamples=resamples,
        signatures=signatures_of(counted.found.values()),
    )


def _words(lines: Sequence[str]) -> FloatArray:
    return np.array([len(line.split()) for line in lines], dtype=np.float64)


def teacher_of(config: TableConfig, row: TableRow) -> str | None:
    """Return the teacher of a row; for a baseline, that of its architecture's other rows."""
    same = [row, *(other for other in config.rows if other.architecture == row.architecture)]
    teacher = next((other.teacher for other in same if other.teacher), None)
    return None if teacher == row.model else teacher


class _Scored:
    """Sentence statistics and resampled scores of every model and seed, by one metric."""

    def __init__(
        self,
        rows: Sequence[TableRow],
        statistics: Mapping[Key, FloatArray],
        kept: npt.NDArray[np.int64],
        metric: Metric,
        resamples: int,
    ) -> None:
        self.metric, self.resamples = metric, resamples
        self.rows = {row.model: row for row in rows}
        self._place = {key: place for place, key in enumerate(statistics)}
        self._statistics = [each[kept] for each in statistics.values()]
        self._scores = corpus_scores(metric, self._statistics)
        self._resampled = bootstrap_scores(metric, self._statistics, resamples)

    def spread(self, row: TableRow) -> Spread:
        return spread([float(self._scores[self._place[row.model, seed]]) for seed in row.seeds])

    def resampled(self, row: TableRow) -> FloatArray:
        places = [self._place[row.model, seed] for seed in row.seeds]
        mean: FloatArray = self._resampled[places].mean(axis=0)
        return mean

    def measured(self, row: TableRow) -> Measured:
        low, high = interval(self.resampled(row))
        return Measured(spread=self.spread(row), low=low, high=high)

    def pairs(self, row: TableRow, other: TableRow) -> SeedPairs:
        """Pair equal seeds; where the other has not that seed, its seeds in turn."""
        paired = []
        for turn, seed in enumerate(row.seeds):
            match = seed if seed in other.seeds else other.seeds[turn % len(other.seeds)]
            ours = self._statistics[self._place[row.model, seed]]
            paired.append((ours, self._statistics[self._place[other.model, match]]))
        return paired


def _noise(rows: Sequence[TableRow], bleu: _Scored) -> dict[str, NoiseFloor]:
    """Pool the spread over seeds within each architecture: a teacher's says nothing of students."""
    floors = {}
    for architecture in dict.fromkeys(row.architecture for row in rows):
        same = [bleu.spread(row) for row in rows if row.architecture == architecture]
        if (floor := noise_floor(same)) is not None:
            floors[architecture] = floor
    return floors


def _comparisons(
    config: TableConfig, search: str, bleu: _Scored, noise: Mapping[str, NoiseFloor]
) -> list[tuple[str, str, str, Comparison]]:
    """Test every row against its baseline, its teacher and what is to be beaten.

    p values are not corrected yet.
    """
    wanted = []
    for row in config.rows:
        others = {"baseline": row.baseline, "teacher": teacher_of(config, row)}
        for role, name in {**others, "against": row.against}.items():
            if name is not None and name != row.model and name in bleu.rows:
                wanted.append((row, role, bleu.rows[name]))
    randomised = approximate_randomisation(
        bleu.metric, [bleu.pairs(row, other) for row, _, other in wanted], bleu.resamples
    )
    compared = []
    for (row, role, other), p_randomisation in zip(wanted, randomised, strict=True):
        delta = bleu.spread(row).mean - bleu.spread(other).mean
        floors = [noise.get(each.architecture) for each in (row, other)]
        variances = [
            floor.variance(len(each.seeds))
            for floor, each in zip(floors, (row, other), strict=True)
            if floor is not None
        ]
        error = math.sqrt(sum(variances)) if len(variances) == 2 else None
        comparison = Comparison(
            other=other.model,
            delta=delta,
            standard_error=error,
            p_bootstrap=paired_bootstrap(bleu.resampled(row), bleu.resampled(other), delta),
            p_randomisation=p_randomisation,
        )
        compared.append((row.model, search, role, comparison))
    return compared


def _correct(
    raw: Sequence[tuple[str, str, str, Comparison]],
    searches: dict[str, dict[str, SearchResult]],
) -> None:
    """Correct the p values of a family of tests together; put the comparisons into their rows."""
    p_values = corrected(
        [comparison.p_bootstrap for *_, comparison in raw],
        [comparison.p_randomisation for *_, comparison in raw],
    )
    for (model, search, role, comparison), p_value in zip(raw, p_values, strict=True):
        known = replace(comparison, p_corrected=p_value)
        result = searches[model][search]
        match role:
            case "baseline":
                searches[model][search] = replace(result, baseline=known)
            case "teacher":
                searches[model][search] = replace(result, teacher=known)
            case _:
                searches[model][search] = replace(result, against=known)


def _row(
    row: TableRow,
    found: Mapping[Key, Evaluation],
    searches: Mapping[str, SearchResult],
) -> RowResult:
    each = [found[row.model, seed] for seed in row.seeds]
    return RowResult(
        row=row,
        parameters=each[0].parameters,
        nonzero_parameters=each[0].nonzero_parameters,
        file_bytes=each[0].file_bytes,
        compressed_bytes=each[0].compressed_bytes,
        perplexity=_mean([one.perplexity for one in each]),
        mode_mean=_mean([one.mode_mean for one in each]),
        mode_median=_mean([one.mode_median for one in each]),
        searches=searches,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
