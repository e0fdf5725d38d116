"""What `seqkd evaluate` writes: scores and translations of one model, seed and test set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from seqkd.artefacts import read_json
from seqkd.config.bleu import BleuConfig
from seqkd.errors import SeqkdError
from seqkd.files import read_lines


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchScores:
    """Scores of greedy search or of one beam, 0 to 100, and the signatures that say how."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    chrf_pp: float
    """chrF++: chrF with words and pairs of words."""
    chrf_pp_signature: str
    second_bleu: float | None = None
    """BLEU computed in a second way, if the config asks for it."""
    second_bleu_signature: str | None = None
    translations: str
    """File of the translations; in JSON, its name beside the scores file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One model with one seed on one test set: the JSON file of `seqkd evaluate`."""

    model: str
    seed: int
    test_set: str
    sentences: int
    parameters: int
    nonzero_parameters: int
    file_bytes: int
    compressed_bytes: int
    """Of the model file under zstd."""
    storage: str
    sha256: str = ""
    """Of the model file; empty if an earlier version wrote the scores."""
    perplexity: float | None
    """None if no sentence has both a source and a reference token."""
    mode_mean: float | None
    """p(t = y^): the probability of the greedy output, 0 to 1, mean over sentences; or None."""
    mode_median: float | None
    searches: Mapping[str, SearchScores]
    """By `greedy` and `beam-{K}`."""

    def hypotheses(self, search: str) -> list[str]:
        """Return the translations of one search.

        Raises:
            SeqkdError: if they are missing or are not one per sentence.
        """
        path = self.scores(search).translations
        lines = list(read_lines(path))
        if len(lines) != self.sentences:
            raise SeqkdError(f"{path}: {len(lines)} lines for {self.sentences} sentences")
        return lines

    def scores(self, search: str) -> SearchScores:
        """Return the scores of one search.

        Raises:
            SeqkdError: if the model was not evaluated with it.
        """
        if search not in self.searches:
            raise SeqkdError(f"{self.model}, seed {self.seed}: no {search} on {self.test_set}")
        return self.searches[search]

    @property
    def bleu(self) -> BleuConfig:
        """How BLEU was computed."""
        return BleuConfig.from_signature(self.scores("greedy").bleu_signature)

    @property
    def second_bleu(self) -> BleuConfig | None:
        """The second way in which it was computed, if there is one."""
        signature = self.scores("greedy").second_bleu_signature
        return BleuConfig.from_signature(signature) if signature else None


def load_evaluation(path: str | Path) -> Evaluation:
    """Read one scores file; the paths of its translations are resolved.

    Raises:
        SeqkdError: if it is missing or wrong.
    """
    evaluation = read_json(Evaluation, path)
    searches = {
        search: replace(scores, translations=str(Path(path).parent / scores.translations))
        for search, scores in evaluation.searches.items()
    }
    return replace(evaluation, searches=searches)


class Evaluations:
    """The scores files of an experiment, by model, seed and test set."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        loaded = map(load_evaluation, paths)
        self._by_key = {(entry.model, entry.seed, entry.test_set): entry for entry in loaded}

    @property
    def bleu(self) -> BleuConfig:
        """How BLEU was computed, which is the same for all of an experiment."""
        return next(iter(self._by_key.values())).bleu

    def get(self, model: str, seed: int, test_set: str) -> Evaluation:
        """Return one evaluation.

        Raises:
            SeqkdError: if it is not among the files.
        """
        evaluation = self._by_key.get((model, seed, test_set))
        if evaluation is None:
            raise SeqkdError(f"no scores of {model}, seed {seed}, on {test_set} among --scores")
        return evaluation


def mean(seeds: Sequence[Evaluation], field: Callable[[Evaluation], float | None]) -> float | None:
    """Return the mean of a field over seeds; None if it is missing for one."""
    values = [value for value in map(field, seeds) if value is not None]
    return fmean(values) if len(values) == len(seeds) else None


def signatures_of(evaluations: Iterable[Evaluation]) -> list[str]:
    """Return the distinct signatures of all scores."""
    signatures: dict[str, None] = {}
    for evaluation in evaluations:
        for scores in evaluation.searches.values():
            signatures[f"BLEU {scores.bleu_signature}"] = None
            if scores.second_bleu_signature:
                signatures[f"second BLEU {scores.second_bleu_signature}"] = None
            signatures[f"chrF {scores.chrf_signature}"] = None
            signatures[f"chrF++ {scores.chrf_pp_signature}"] = None
    return list(signatures)
