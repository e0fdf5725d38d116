"""Selection of training targets from n-best lists: one function a rule.

A rule ranks a list of hypotheses; the first of them, or the first few, are trained on. A new rule
is one function, one name in `TargetConfig` and one case in `chooser`. `one-best` is Seq-KD,
`most-similar` (to the reference) Seq-Inter.

Sources: Kim & Rush 2016, sections 3.2 (Seq-KD) and 3.3 (Seq-Inter); Kumar & Byrne 2004 (minimum
Bayes risk).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from seqkd.config.bleu import BleuConfig
from seqkd.config.targets import TargetConfig
from seqkd.evaluation.sentence_scores import Segment, Similarity, similarity
from seqkd.translation.nbest import Candidate, Record

Rule: TypeAlias = Callable[[Sequence[Candidate], Sequence[float]], Sequence[int]]
"""Maps hypotheses, most probable first, and their similarities to the reference to indices, best
first."""


class Selected(NamedTuple):
    """A training pair's target side and what was measured on the way."""

    target: str
    similarity: float
    """Of the target to the reference; NaN without one."""
    token_log_prob: float
    """The teacher's log-probability of the target, divided by its tokens, `eos` included."""


@dataclass(slots=True)
class SelectionStatistics:
    """Counts and mean similarities over a text.

    Similarities are means over sentences that have a target and a reference; where these have
    several targets, over them first.
    """

    sentences: int = 0
    kept: int = 0
    dropped_empty: int = 0
    """Sentences without a non-empty hypothesis (or reference line); they have no pair."""
    pairs: int = 0
    """Targets of all sentences."""
    hypotheses: int = 0
    different: int = 0
    """Targets that are not the most probable hypothesis."""
    compared: int = 0
    """Sentences with a reference, of those kept."""
    similarity_sum: float = 0.0
    one_best_sum: float = 0.0
    oracle_sum: float = 0.0

    def add(self, similarities: Sequence[float], chosen: Sequence[int]) -> None:
        """Count one sentence with its targets."""
        self.kept += 1
        self.pairs += len(chosen)
        self.hypotheses += len(similarities)
        self.different += sum(place != 0 for place in chosen)
        if math.isnan(similarities[0]):
            return
        self.compared += 1
        self.similarity_sum += sum(similarities[place] for place in chosen) / len(chosen)
        self.one_best_sum += similarities[0]
        self.oracle_sum += max(similarities)

    def facts(self) -> dict[str, int | float]:
        """Return counts and means for the manifest; without references, no similarities."""
        sentences = max(self.kept, 1)
        counts = {
            "sentences": self.sentences,
            "kept": self.kept,
            "dropped_empty": self.dropped_empty,
            "pairs": self.pairs,
            "mean_hypotheses": round(self.hypotheses / sentences, 3),
            "share_not_one_best": round(self.different / max(self.pairs, 1), 6),
        }
        if not self.compared:
            return counts
        return counts | {
            "mean_similarity": round(self.similarity_sum / self.compared, 6),
            "mean_similarity_of_one_best": round(self.one_best_sum / self.compared, 6),
            "mean_similarity_of_oracle": round(self.oracle_sum / self.compared, 6),
        }


def select(
    config: TargetConfig,
    records: Iterable[tuple[Record, Segment | None]],
    statistics: SelectionStatistics,
    bleu: BleuConfig | None = None,
) -> Iterator[list[Selected]]:
    """Yield the targets of each sentence, the rule's best first; none if all hypotheses are empty.

    Empty hypotheses are never selected. Targets of one sentence differ in more than spaces.
    Several spaces become one, as in the corpus.
    """
    measure = similarity(config.similarity, bleu)
    rule = chooser(config, measure)
    for record, reference in records:
        statistics.sentences += 1
        spaced = (h._replace(text=" ".join(h.text.split())) for h in record.hypotheses)
        hypotheses = [h for h in spaced if h.text]
        if not hypotheses or (reference is not None and not reference.text.strip()):
            statistics.dropped_empty += 1
            yield []
            continue
        similarities = (
            [math.nan] * len(hypotheses)
            if reference is None
            else similarities_to(measure, hypotheses, reference)
        )
        chosen = _first_different(hypotheses, rule(hypotheses, similarities), config.keep)
        statistics.add(similarities, chosen)
        yield [
            Selected(
                target=hypotheses[place].text,
                similarity=similarities[place],
                token_log_prob=hypotheses[place].log_prob / (len(hypotheses[place].tokens) + 1),
            )
            for place in chosen
        ]


def _first_different(
    hypotheses: Sequence[Candidate], ranked: Sequence[int], keep: int
) -> Sequence[int]:
    """Return the first `keep` of the ranked places whose texts differ."""
    places: dict[str, int] = {}
    for place in ranked:
        places.setdefault(hypotheses[place].text, place)
        if len(places) == keep:
            break
    return list(places.values())


def worst(scores: Sequence[float], share: float) -> frozenset[int]:
    """Return the places of the lowest scores, a share of all; of equal ones the first."""
    ranked = sorted(range(len(scores)), key=lambda place: (scores[place], place))
    # As the decimal that was written: in binary, 0.29 of 100 is less than 29.
    return frozenset(ranked[: int(Fraction(str(share)) * len(scores))])


def chooser(config: TargetConfig, measure: Similarity) -> Rule:
    """Return the rule that a config names."""
    match config.rule:
        case "one-best" | "n-best":
            return lambda hypotheses, similarities: range(len(hypotheses))
        case "most-similar":
            return ranked
        case "mbr":
            return lambda hypotheses, similarities: ranked(
                hypotheses, expected_utilities(measure, hypotheses)
            )


def similarities_to(
    measure: Similarity, hypotheses: Sequence[Candidate], reference: Segment
) -> list[float]:
    """Return the similarity of each hypothesis to the reference."""
    against = measure.reference(reference)
    return [
        measure.score(measure.hypothesis(Segment(h.text, h.tokens)), against) for h in hypotheses
    ]


def ranked(hypotheses: Sequence[Candidate], values: Sequence[float]) -> Sequence[int]:
    """Return indices by falling value; ties go to the more probable, then to the earlier."""
    return sorted(range(len(hypotheses)), key=lambda i: (-values[i], -hypotheses[i].log_prob, i))


def expected_utilities(measure: Similarity, hypotheses: Sequence[Candidate]) -> list[float]:
    """Return each hypothesis's mean similarity to the whole list, itself included.

    All members count alike, as in MBR over samples; with `n` hypotheses it takes n * n comparisons.

    Source: Kumar & Byrne 2004; Eikema & Aziz 2020.
    """
    segments = [Segment(h.text, h.tokens) for h in hypotheses]
    candidates = [measure.hypothesis(segment) for segment in segments]
    references = [measure.reference(segment) for segment in segments]
    # fsum: the same similarities in another order are still a tie.
    return [
        math.fsum(measure.score(candidate, reference) for reference in references) / len(references)
        for candidate in candidates
    ]
