"""Comparing all models of an experiment on one test set: scores, intervals and tests."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from seqkd.config.table_rows import Key, TableConfig, TableRow
from seqkd.corpus.test_sets import TestSet
from seqkd.evaluation.results import (
    Comparison,
    Measured,
    Results,
    RowResult,
    SearchResult,
)
from seqkd.evaluation.score_files import Evaluation, Evaluations, mean, signatures_of
from seqkd.evaluation.significance import (
    CHRF_COUNTS,
    CHRF_WORDS,
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
    pair_seeds,
    paired_bootstrap,
    spread,
)
from seqkd.text import running_words

INTERVAL_RESAMPLES = 1000  # of scores that no p value needs
Places = npt.NDArray[np.int64]
Role = Literal["baseline", "teacher", "against"]
"""What a row is compared with."""


class OutputStatistics:
    """Sentence statistics of all outputs on one test set, counted once for any part or table of it.

    `counts` are by search and metric, then by model and seed; shape (sentences, k). `words` are by
    search, then by model and seed; shape (sentences,).
    """

    def __init__(self, config: TableConfig, evaluations: Evaluations, test: TestSet) -> None:
        """Read the outputs.

        Raises:
            SeqkdError: if an evaluation of a row is missing.
        """
        self.config, self.test = config, test
        self.evaluations = {
            (row.model, seed): evaluations.get(row.model, seed, test.name)
            for row in config.rows
            for seed in row.seeds
        }
        first = next(iter(self.evaluations.values()))
        self.metrics = {
            "bleu": bleu_metric(first.bleu),
            "chrf": chrf_metric(),
            "chrf_pp": chrf_metric(CHRF_WORDS),
        }
        if first.second_bleu:
            self.metrics["second_bleu"] = bleu_metric(first.second_bleu)
        self.counts: dict[str, dict[str, dict[Key, FloatArray]]] = {}
        self.words: dict[str, dict[Key, FloatArray]] = {}
        extractors = {
            name: metric.extractor(test.references)
            for name, metric in self.metrics.items()
            if name != "chrf"  # whose counts are the first of chrF++'s
        }
        for search in config.searches:
            texts = {key: entry.hypotheses(search) for key, entry in self.evaluations.items()}
            counts = self.counts[search] = {
                name: {key: extract(lines) for key, lines in texts.items()}
                for name, extract in extractors.items()
            }
            counts["chrf"] = {key: both[:, :CHRF_COUNTS] for key, both in counts["chrf_pp"].items()}
            self.words[search] = {key: _words(lines) for key, lines in texts.items()}

    def of(self, config: TableConfig) -> OutputStatistics:
        """Return those of another table, whose outputs must be among these."""
        keys = [(row.model, seed) for row in config.rows for seed in row.seeds]
        part = copy.copy(self)
        part.config = config
        part.evaluations = {key: self.evaluations[key] for key in keys}
        part.counts = {
            search: {name: {key: of_all[key] for key in keys} for name, of_all in counts.items()}
            for search, counts in self.counts.items()
        }
        return part


def analyse_all(outputs: Sequence[OutputStatistics], resamples: int) -> list[Results]:
    """Compare all rows on each test set: whole, then without near duplicates if it has any."""
    analyses = []
    for of_test in outputs:
        analyses.append(analyse(of_test, resamples=resamples))
        if 0 < len(of_test.test.clean) < len(of_test.test.references):
            analyses.append(analyse(of_test, whole=False, resamples=resamples))
    return analyses


def analyse(
    outputs: OutputStatistics, *, whole: bool = True, resamples: int = RESAMPLES
) -> Results:
    """Compare all rows on one test set."""
    config, test = outputs.config, outputs.test
    places = np.arange(len(test.references)) if whole else np.array(test.clean)
    scored: dict[str, dict[str, _Scored]] = {}
    noise = {}
    raw: dict[tuple[str, str, Role], Comparison] = {}
    for search in config.searches:
        scored[search] = {
            # Only BLEU is tested for significance, which takes more resamples than an interval.
            name: _Scored(
                metric,
                outputs.counts[search][name],
                places,
                resamples if name == "bleu" else INTERVAL_RESAMPLES,
            )
            for name, metric in outputs.metrics.items()
        }
        bleu = scored[search]["bleu"]
        noise[search] = _noise(config.rows, bleu)
        for (model, role), comparison in _compare(config, bleu, noise[search]).items():
            raw[search, model, role] = comparison
    # The tests against the models to beat are one family, all others another.
    aimed = {key: comparison for key, comparison in raw.items() if key[2] == "against"}
    others = {key: comparison for key, comparison in raw.items() if key[2] != "against"}
    comparisons = _correct(aimed) | _correct(others)
    reference_words = max(float(_words(test.references)[places].sum()), 1.0)

    def result(row: TableRow, search: str) -> SearchResult:
        words = [outputs.words[search][row.model, n][places].sum() for n in row.seeds]
        return SearchResult(
            **{name: measure.measured(row) for name, measure in scored[search].items()},
            length_ratio=float(sum(words)) / len(words) / reference_words,
            baseline=comparisons.get((search, row.model, "baseline")),
            teacher=comparisons.get((search, row.model, "teacher")),
            against=comparisons.get((search, row.model, "against")),
        )

    rows = [
        _row(row, outputs, {search: result(row, search) for search in scored})
        for row in config.rows
    ]
    return Results(
        config=config,
        test_set=test.name,
        sentences=len(places),
        whole=whole,
        near_duplicates=len(test.near_duplicates) if whole else 0,
        rows=rows,
        noise=noise,
        comparisons=len(others),
        aimed=len(aimed),
        resamples=resamples,
        signatures=signatures_of(outputs.evaluations.values()),
        second_bleu=_second_label(next(iter(outputs.evaluations.values()))),
    )


class _Scored:
    """Sentence statistics and resampled scores of every model and seed, by one metric."""

    def __init__(
        self, metric: Metric, statistics: Mapping[Key, FloatArray], places: Places, resamples: int
    ) -> None:
        self.metric, self.resamples = metric, resamples
        self._statistics = {key: counts[places] for key, counts in statistics.items()}
        systems = list(self._statistics.values())
        self._scores = dict(zip(statistics, corpus_scores(metric, systems), strict=True))
        drawn = bootstrap_scores(metric, systems, resamples)
        self._resampled = dict(zip(statistics, drawn, strict=True))

    def spread(self, row: TableRow) -> Spread:
        return spread([float(self._scores[row.model, seed]) for seed in row.seeds])

    def resampled(self, row: TableRow) -> FloatArray:
        mean: FloatArray = np.mean([self._resampled[row.model, n] for n in row.seeds], axis=0)
        return mean

    def measured(self, row: TableRow) -> Measured:
        over_seeds, (low, high) = self.spread(row), interval(self.resampled(row))
        return Measured(mean=over_seeds.mean, sd=over_seeds.sd, low=low, high=high)

    def pairs(self, row: TableRow, other: TableRow) -> SeedPairs:
        return [
            (self._statistics[row.model, ours], self._statistics[other.model, theirs])
            for ours, theirs in pair_seeds(row.seeds, other.seeds)
        ]


def _second_label(evaluation: Evaluation) -> str | None:
    """Return in what the second BLEU differs, such as `lc` or `tok:13a`; None without one."""
    if evaluation.second_bleu is None:
        return None
    first, second = (x.signature.split("|") for x in (evaluation.bleu, evaluation.second_bleu))
    different = [new for old, new in zip(first, second, strict=True) if old != new]
    return " ".join(different).replace("case:", "") or "again"


def _words(lines: Sequence[str]) -> FloatArray:
    return np.array([running_words(line) for line in lines], dtype=np.float64)


def _noise(rows: Sequence[TableRow], bleu: _Scored) -> dict[str, NoiseFloor]:
    """Pool the spread over seeds within each architecture.

    Large and small models vary differently. A quantised copy is not another training run.
    """
    floors = {}
    trained = [row for row in rows if row.format == "fp32"]
    for architecture in dict.fromkeys(row.architecture for row in trained):
        same = [bleu.spread(row) for row in trained if row.architecture == architecture]
        if (floor := noise_floor(same)) is not None:
            floors[architecture] = floor
    return floors


def _compare(
    config: TableConfig, bleu: _Scored, noise: Mapping[str, NoiseFloor]
) -> dict[tuple[str, Role], Comparison]:
    """Test every row against its baseline, its teacher and its model to beat, by row and role.

    p values are not corrected yet.
    """
    pairs = {
        (row.model, role): (row, other)
        for row in config.rows
        for role, other in _others(config, row)
    }
    randomised = approximate_randomisation(
        bleu.metric, [bleu.pairs(*pair) for pair in pairs.values()], bleu.resamples
    )
    comparisons = {}
    for (key, (row, other)), p_randomisation in zip(pairs.items(), randomised, strict=True):
        delta = bleu.spread(row).mean - bleu.spread(other).mean
        error, degrees = _by_seeds((row, other), noise)
        comparisons[key] = Comparison(
            other=other.model,
            delta=delta,
            standard_error=error,
            degrees=degrees,
            p_bootstrap=paired_bootstrap(bleu.resampled(row), bleu.resampled(other), delta),
            p_randomisation=p_randomisation,
        )
    return comparisons


def _others(config: TableConfig, row: TableRow) -> Iterator[tuple[Role, TableRow]]:
    """Yield the rows that one is compared with; of its teacher, the seed that taught."""
    rows = {other.model: other for other in config.rows if other.model != row.model}
    if row.baseline in rows:
        yield "baseline", rows[row.baseline]
    if teacher := config.teacher_of(row):
        model, seed = teacher
        yield "teacher", rows[model].model_copy(update={"seeds": (seed,)})
    if row.against in rows:
        yield "against", rows[row.against]


def _by_seeds(
    rows: tuple[TableRow, TableRow], noise: Mapping[str, NoiseFloor]
) -> tuple[float, int] | tuple[None, None]:
    """Return the standard error by seeds of the difference of two rows and its degrees of freedom.

    These are the fewer of the two architectures.
    """
    if any(row.architecture not in noise for row in rows):
        return None, None
    floors = [(noise[row.architecture], len(row.seeds)) for row in rows]
    variance = sum(floor.variance(count) for floor, count in floors)
    return math.sqrt(variance), min(floor.degrees for floor, _ in floors)


def _correct(
    family: Mapping[tuple[str, str, Role], Comparison],
) -> dict[tuple[str, str, Role], Comparison]:
    """Return a family of tests with their p values corrected together."""
    p_values = corrected(
        [comparison.p_bootstrap for comparison in family.values()],
        [comparison.p_randomisation for comparison in family.values()],
    )
    return {
        key: replace(comparison, p_corrected=p_value)
        for (key, comparison), p_value in zip(family.items(), p_values, strict=True)
    }


def _row(
    row: TableRow, outputs: OutputStatistics, searches: Mapping[str, SearchResult]
) -> RowResult:
    seeds = [outputs.evaluations[row.model, seed] for seed in row.seeds]
    return RowResult(
        row=row,
        parameters=seeds[0].parameters,
        nonzero_parameters=seeds[0].nonzero_parameters,
        file_bytes=seeds[0].file_bytes,
        compressed_bytes=seeds[0].compressed_bytes,
        perplexity=mean(seeds, lambda entry: entry.perplexity),
        mode_mean=mean(seeds, lambda entry: entry.mode_mean),
        mode_median=mean(seeds, lambda entry: entry.mode_median),
        searches=searches,
    )
