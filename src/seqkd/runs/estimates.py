"""What a plan costs: seconds of each job and bytes of what it leaves behind.

A job that ran before, also with another seed, costs what its benchmark file says. Training, search
and evaluation of what never ran are worked out from a probe of this machine. All other jobs count
as the start of a process: next to training they are small.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.config.architecture import Architecture
from seqkd.config.corpus import HeldOut, files_of_test_set, required_files
from seqkd.config.expansion import Experiment
from seqkd.config.model_entry import ModelEntry
from seqkd.config.sources import HomeAssistantSource
from seqkd.errors import SeqkdError
from seqkd.files import open_bytes, read_lines
from seqkd.runs.planning import Job
from seqkd.runs.probe import Probe
from seqkd.vocabulary.vocabulary import Vocabulary, load_vocabulary

START_SECONDS = 3.0  # Python and PyTorch; 2 to 4 s measured on the two cores of a small VM
ASSUMED_PAIRS = 100_000
_SPEED_PASSES = 8  # over a test set: warm-up and repeats, one thread and all
_ASSUMED_TOKENS = 20.0
_HOME_ASSISTANT_PAIRS = 36_000  # German-English after cleaning; Spanish about the same, others less
_HOME_ASSISTANT_TOKENS = 9.0
_SUBWORDS_A_WORD = 1.4  # German and English with 4,000 joint subwords: 1.3 to 1.5
_SAMPLE = 2_000  # lines
_WEIGHT_BYTES = 4
_TOP_K_BYTES = 6  # a four-byte id and a two-byte probability
_NBEST_TOKEN_BYTES = 1.5  # of text and ids, for each token; 1.2 in smoke, whose few words pack well
_TEXT_TOKEN_BYTES = 4.5
_STATES = {"adam": 4, "sgd": 2}  # weights, the best so far, and Adam's two moments


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """How much there is to learn from."""

    pairs: int
    src_tokens: float
    """Mean length of a source."""
    tgt_tokens: float
    origin: str
    """Where the numbers are from, in words."""


def measure_text(experiment: Experiment, pairs: int | None) -> Text:
    """Return the size of the training text: of the prepared corpus, of local files, or assumed.

    Args:
        experiment: whose text.
        pairs: the user's own number, which replaces the one found.
    """
    config = experiment.config
    folder = Path("results", config.experiment)
    prepared = [folder / "corpus" / f"train.{side}" for side in (config.source, config.target)]
    if all(path.is_file() for path in prepared):
        vocabularies = [_vocabulary(folder / "vocab" / f"{side}.vocab") for side in ("src", "tgt")]
        src, tgt = map(_mean_tokens, prepared, vocabularies)
        return Text(
            pairs=pairs or _count_lines(prepared[0]), src_tokens=src, tgt_tokens=tgt,
            origin="the prepared corpus",
        )  # fmt: skip
    found, tokens, origin = _first_guess(experiment)
    if config.corpus.limit is not None and config.corpus.limit < found:
        found, origin = config.corpus.limit, "corpus.limit"
    return Text(
        pairs=pairs or found,
        src_tokens=tokens,
        tgt_tokens=tokens,
        origin=f"{'given' if pairs else origin}; {tokens:.0f} tokens each",
    )


def _first_guess(experiment: Experiment) -> tuple[int, float, str]:
    """Return pairs, mean length and where they are from, of a corpus not prepared yet."""
    corpus = experiment.config.corpus
    if all(isinstance(source, HomeAssistantSource) for source in corpus.train):
        return _HOME_ASSISTANT_PAIRS, _HOME_ASSISTANT_TOKENS, "what this source usually has"
    if path := _local_source(experiment):
        return _count_lines(path), _mean_subwords(path), f"lines of {path}"
    return ASSUMED_PAIRS, _ASSUMED_TOKENS, "assumed: --pairs tells better"


def _local_source(experiment: Experiment) -> Path | None:
    """Return the first local source file; None if all are still to be fetched."""
    files = required_files(experiment.config.corpus, Path("resources"))
    return next((path for path in files if path.is_file() and _is_text(path)), None)


def _is_text(path: Path) -> bool:
    return path.suffix not in (".whl", ".zip") and path.parts[0] != "resources"


def _count_lines(path: Path) -> int:
    with open_bytes(path) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _mean_subwords(path: Path) -> float:
    """Return about how many subwords a line has, in each column if it has several."""
    with open_bytes(path) as file:
        lines = list(itertools.islice(file, _SAMPLE))
    columns = 1 + max((line.count(b"\t") for line in lines), default=0)
    words = sum(len(line.split()) for line in lines)
    return _SUBWORDS_A_WORD * words / columns / max(len(lines), 1)


def _vocabulary(path: Path) -> Vocabulary | None:
    try:
        return load_vocabulary(path)
    except SeqkdError:  # not made yet, or to be made again
        return None


def _mean_tokens(path: Path, vocabulary: Vocabulary | None) -> float:
    lines = list(itertools.islice(read_lines(path), _SAMPLE))
    if vocabulary is not None:
        count = float(sum(map(len, vocabulary.encode(lines))))
    else:
        count = _SUBWORDS_A_WORD * sum(len(line.split()) for line in lines)
    return count / max(len(lines), 1)


class Estimator:
    """Seconds and bytes of jobs, of one experiment on one machine."""

    def __init__(self, experiment: Experiment, text: Text, probe: Probe) -> None:
        self.experiment, self.text, self.probe = experiment, text, probe
        self._sentences = functools.cache(self._count_sentences)
        self.sources: Counter[str] = Counter()
        """How many jobs were estimated from what."""

    def seconds(self, job: Job) -> float:
        """Return how long a job takes on one core or GPU."""
        if (measured := _benchmarked(job)) is not None:
            self.sources["earlier runs"] += 1
            return measured
        match job.rule:
            case "train":
                work = self._training(job)
            case "decode":
                work = self._decoding(job)
            case "soft_targets":
                seeds = job.wildcards["seed"].split("+")
                entry = self.experiment.models[job.wildcards["teacher"], int(seeds[0])]
                # Forward only, and no more than a third of training.
                work = self.text.pairs * self._pair_seconds(entry) * len(seeds) / 3
            case "evaluate":
                work = self._evaluation(job)
            case "speed":
                work = _SPEED_PASSES * self._evaluation(job)
            case _:
                self.sources["start of a process"] += 1
                return 0.0 if job.rule == "settings" else START_SECONDS
        self.sources["a probe of this machine"] += 1
        return START_SECONDS + work

    def gigabytes(self, jobs: Sequence[Job]) -> dict[str, float]:
        """Return what finished jobs leave on disk, by kind."""
        sizes: dict[str, float] = {}
        for job in jobs:
            kind, size = self._bytes(job)
            sizes[kind] = sizes.get(kind, 0.0) + size / 1e9
        sizes.pop("", None)
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))

    def state_gigabytes(self, jobs: Sequence[Job], cores: int) -> float:
        """Return what trainings side by side need while they run, for what they resume from."""
        sizes = []
        for job in jobs:
            if job.rule == "train":
                name = job.wildcards["trained"]
                entry = self.experiment.models[name, int(job.wildcards["seed"])]
                sizes.append(_STATES[entry.training.optimizer] * self._weights(name))
        return sum(sorted(sizes, reverse=True)[:cores]) / 1e9

    def _training(self, job: Job) -> float:
        entry = self.experiment.models[job.wildcards["trained"], int(job.wildcards["seed"])]
        learning = self.text.pairs * self._share(entry.targets) * self._pair_seconds(entry)
        dev = self.experiment.config.corpus.dev
        sentences = dev.held_out if isinstance(dev, HeldOut) else 1_000
        looks = sentences * self.probe.seconds_a_sentence(entry.architecture, 1)
        return entry.training.epochs * (learning + entry.training.validations_per_epoch * looks)

    def _pair_seconds(self, entry: ModelEntry) -> float:
        teacher = None
        if entry.teacher is not None and entry.teacher not in self.experiment.config.teachers:
            teacher = self._architecture(entry.teacher)
        return self.probe.seconds_a_pair(
            entry.architecture, entry.training, entry.objective, teacher
        )

    def _decoding(self, job: Job) -> float:
        beam, share = _nbest(job.wildcards["nbest"])
        sentences = self.text.pairs * share / int(job.wildcards["shards"])
        teacher = self._architecture(job.wildcards["teacher"])
        members = len(job.wildcards["seed"].split("+"))
        return sentences * self.probe.seconds_a_sentence(teacher, beam) * members

    def _evaluation(self, job: Job) -> float:
        config = self.experiment.config
        architecture = self._architecture(job.wildcards["model"])
        searches = [
            self.probe.seconds_a_sentence(architecture, beam)
            for beam in (1, config.evaluation.beam)
        ]
        name = job.wildcards.get("test_set", next(iter(config.corpus.test_sets)))
        return self._sentences(name) * sum(searches)

    def _count_sentences(self, test_set: str) -> int:
        corpus = self.experiment.config.corpus
        entry = corpus.test_sets[test_set]
        if isinstance(entry, HeldOut):
            return entry.held_out
        files = files_of_test_set(corpus, test_set, Path("resources"))
        return _count_lines(files[0]) if files[0].is_file() and _is_text(files[0]) else 2_000

    def _share(self, targets: str) -> float:
        known = self.experiment.config.targets
        return known[targets].pairs_a_line if targets in known else 1.0

    def _architecture(self, model: str) -> Architecture:
        """Return the architecture behind a model's name, whatever was done to it later."""
        label = re.match(r"[^.]+", model)
        for (name, _), entry in self.experiment.models.items():
            if name == model or (label and name.partition(".")[0] == label[0]):
                return entry.architecture
        raise AssertionError(model)

    def _weights(self, model: str) -> float:
        return _WEIGHT_BYTES * float(self.probe.parameters(self._architecture(model)))

    def _bytes(self, job: Job) -> tuple[str, float]:
        text = self.text
        match job.rule:
            case "train":
                return "models", self._weights(job.wildcards["trained"])
            case "quantize":
                smaller = 4 if job.wildcards["format"] == "int8" else 2
                return "models", self._weights(job.wildcards["trained"]) / smaller
            case "merge":
                beam, share = _nbest(job.wildcards["nbest"])
                tokens = text.pairs * share * beam * text.tgt_tokens
                return "n-best lists", tokens * _NBEST_TOKEN_BYTES
            case "select":
                share = self._share(job.wildcards["targets"])
                tokens = text.pairs * share * (text.src_tokens + text.tgt_tokens)
                return "distilled text", tokens * _TEXT_TOKEN_BYTES
            case "soft_targets":
                share = self._share(job.wildcards["targets"])
                positions = text.pairs * share * (text.tgt_tokens + 1)
                k = self.experiment.config.soft_targets.k
                return "top-k distributions", positions * k * _TOP_K_BYTES
        return "", 0.0


def _nbest(name: str) -> tuple[int, float]:
    """Return length and share from the name of a folder such as `beam-35-share-50`."""
    length, share = re.search(r"[0-9]+", name), re.search(r"-share-([0-9]+)", name)
    assert length is not None, name
    return int(length[0]), int(share[1]) / 100 if share else 1.0


def _benchmarked(job: Job) -> float | None:
    """Return the mean seconds of the same job in earlier runs, of any seed; None without one."""
    if not job.benchmark:
        return None
    path = Path(job.benchmark)
    parts = ["seed-*" if re.match(r"seed-[0-9]+", part) else part for part in path.parts]
    if path.stem.startswith("seed-"):
        parts[-1] = f"seed-*{path.suffix}"
    found = [_read_seconds(other) for other in sorted(Path().glob("/".join(parts)))]
    times = [seconds for seconds in found if seconds is not None]
    return sum(times) / len(times) if times else None


def _read_seconds(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8").splitlines()[0])["s"])
    except (OSError, ValueError, KeyError, IndexError):
        return None
