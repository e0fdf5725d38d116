"""Choosing training targets from n-best lists: one function a rule.

A rule maps a list of hypotheses, best first, to the index of the one to train on. A new rule is one
function, one name in `TargetConfig` and one case in `chooser`.

Sources: Kim & Rush 2016, sections 3.2 (Seq-KD) and 3.3 (Seq-Inter); Kumar & Byrne 2004 (minimum
Bayes risk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from seqkd.nbest import Record, Scored
from seqkd.similarity import Segment, Similarity, similarity
from seqkd.target_config import TargetConfig

Rule: TypeAlias = Callable[[Sequence[Scored], Sequence[float]], int]
"""From hypotheses, best first, and their similarities to the reference to an index."""


class Selected(NamedTuple):
    """A training pair's target side and what was measured on the way."""

    target: str
    place: int
    """Place in the n-best list; 0 is the most probable."""
    similarity: float
    """Of the target to the reference."""


@dataclass(slots=True)
class SelectionStatistics:
    """What was chosen, over a text. Similarities are means over sentences that have a target."""

    sentences: int = 0
    kept: int = 0
    dropped_empty: int = 0
    """Sentences without a non-empty hypothesis (or reference line); they have no pair."""
    hypotheses: int = 0
    different: int = 0
    """Targets that are not the most probable hypothesis."""
    similarity_sum: float = 0.0
    one_best_sum: float = 0.0
    oracle_sum: float = 0.0

    def add(self, similarities: Sequence[float], chosen: int) -> None:
        """Count one sentence with a target."""
        self.kept += 1
        self.hypotheses += len(similarities)
        self.different += chosen != 0
        self.similarity_sum += similarities[chosen]
        self.one_best_sum += similarities[0]
        self.oracle_sum += max(similarities)

    def facts(self) -> dict[str, int | float]:
        """Return counts and means for the manifest."""
        kept = max(self.kept, 1)
        return {
            "sentences": self.sentences,
            "kept": self.kept,
            "dropped_empty": self.dropped_empty,
            "mean_hypotheses": round(self.hypotheses / kept, 3),
            "share_not_one_best": round(self.different / kept, 6),
            "mean_similarity": round(self.similarity_sum / kept, 6),
            "mean_similarity_of_one_best": round(self.one_best_sum / kept, 6),
            "mean_similarity_of_oracle": round(self.oracle_sum / kept, 6),
        }


def select(
    config: TargetConfig,
    records: Iterable[tuple[Record, Segment]],
    statistics: SelectionStatistics,
) -> Iterator[Selected | None]:
    """Yield the target of each sentence, or None where there is nothing to train on.

    Empty hypotheses are never chosen: they teach to say nothing.

    Args:
        config: the rule and its measure.
        records: each n-best list with the reference.
        statistics: filled in on the way.
    """
    measure = similarity(config.similarity, config.unit)
    rule = chooser(config, measure)
    for record, reference in records:
        statistics.sentences += 1
        usable = [i for i, h in enumerate(record.hypotheses) if h.text.strip()]
        if not usable or not reference.text.strip():
            statistics.dropped_empty += 1
            yield None
            continue
        hypotheses = [record.hypotheses[i] for i in usable]
        similarities = similarities_to(measure, hypotheses, reference)
        chosen = rule(hypotheses, similarities)
        statistics.add(similarities, chosen)
        yield Selected(hypotheses[chosen].text, usable[chosen], similarities[chosen])


def chooser(config: TargetConfig, measure: Similarity) -> Rule:
    """Return the rule that a config names."""
    match config.rule:
        case "one-best":
            return lambda hypotheses, similarities: 0
        case "most-similar":
            return best
        case "mbr":
            return lambda hypotheses, similarities: best(
                hypotheses, expected_utilities(measure, hypotheses)
            )


def similarities_to(
    measure: Similarity, hypotheses: Sequence[Scored], reference: Segment
) -> list[float]:
    """Return the similarity of each hypothesis to the reference."""
    against = measure.reference(reference)
    return [
        measure.score(measure.hypothesis(Segment(h.text, h.tokens)), against) for h in hypotheses
    ]


def best(hypotheses: Sequence[Scored], values: Sequence[float]) -> int:
    """Return the index of the highest value; ties go to the more probable, then to the earlier."""
    return max(range(len(hypotheses)), key=lambda i: (values[i], hypotheses[i].log_prob, -i))


def expected_utilities(measure: Similarity, hypotheses: Sequence[Scored]) -> list[float]:
    """Return each hypothesis's mean similarity to the whole list, itself included.

    All members count alike, as in MBR over samples; with `n` hypotheses it takes n * n comparisons.

    Source: Kumar & Byrne 2004; Eikema & Aziz 2020.
    """
    segments = [Segment(h.text, h.tokens) for h in hypotheses]
    ours = [measure.hypothesis(segment) for segment in segments]
    theirs = [measure.reference(segment) for segment in segments]
    return [
        sum(measure.score(candidate, other) for other in theirs) / len(theirs) for candidate in ours
    ]
