"""What each step takes for millions of pairs: peak memory and CPU seconds, on synthetic text.

  python benchmarks/scale.py --pairs 2000000 --folder scale

Makes parallel text of invented words with the frequencies of a language (Zipf's law), then runs
the steps that see the whole corpus, each as a process of its own: corpus, test-set, vocab, align,
train up to its first saved state (plain, and with stored distributions, a file of their size that
is all zeros), decode (one block of one shard, by a tiny model), soft-targets for a while, merge and
select on pretended n-best lists. The table shows each process's peak of resident memory. Two
million pairs take 3 GB of disk; fewer than 16,000 get a smaller vocabulary, dev and test set. The
exit status is 1 if a step took more than --limit-mb.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from seqkd.files import atomic_text, digest, read_lines
from seqkd.machine.manifest import peak_memory_mb, write_manifest
from seqkd.training.soft_targets import record_type
from seqkd.translation.nbest import (
    BLOCK,
    Candidate,
    Record,
    ShardHeader,
    source_digest,
    to_line,
    write_shard,
)
from seqkd.vocabulary.tokens import encode_lines
from seqkd.vocabulary.vocabulary import load_vocabulary

_WORDS = 200_000
_MEAN_LENGTH = 20.0  # tokens a side, about that of news
_ZIPF = 1.05
_BATCH = 50_000
_SHARDS = 4
_BEAM = 5
_TOP_K = 16
_SOFT_SECONDS = 300.0
_POLL_SECONDS = 0.05
_SYLLABLES = ("ba", "de", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "fa", "ge", "hi", "jo")


@dataclass(frozen=True)
class Cost:
    """What one step took."""

    step: str
    seconds: float
    """Of the processor, so that other programs do not count."""
    peak_mb: float


def main() -> None:
    """Make the text, run the steps, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="for text and results")
    parser.add_argument("--limit-mb", type=float, default=2048.0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(args.folder)
    if not Path("raw.en").exists():
        write_text(args.pairs)
    costs = []
    for cost in run_steps(args.pairs):
        print(f"{cost.step:<24} {cost.seconds:>8.1f} s {cost.peak_mb:>8,.0f} MiB", flush=True)
        costs.append(cost)
    raise SystemExit(int(any(cost.peak_mb > args.limit_mb for cost in costs)))


def write_text(pairs: int) -> None:
    """Write two files of parallel lines; about one pair in fifty repeats an earlier one."""
    random = np.random.default_rng(1)
    weights = 1.0 / np.arange(1, _WORDS + 1) ** _ZIPF
    sides = {side: _invent(side) for side in ("de", "en")}
    with atomic_text("raw.de") as de, atomic_text("raw.en") as en:
        for start in range(0, pairs, _BATCH):
            count = min(_BATCH, pairs - start)
            lengths = np.clip(random.poisson(_MEAN_LENGTH, count), 3, 59)
            words = random.choice(_WORDS, int(lengths.sum()), p=weights / weights.sum())
            for row in np.split(words, np.cumsum(lengths)[:-1]):
                de.write(" ".join(sides["de"][k] for k in row) + "\n")
                en.write(" ".join(sides["en"][k] for k in row) + "\n")


def _invent(side: str) -> list[str]:
    """Return words, the frequent ones short; the two sides never share one."""
    made = itertools.chain.from_iterable(
        itertools.product(_SYLLABLES, repeat=n) for n in itertools.count(1)
    )
    return [
        ("" if side == "de" else "x") + "".join(word) for word in itertools.islice(made, _WORDS)
    ]


def run_steps(pairs: int) -> Iterator[Cost]:
    """Run one step after the other on so many pairs; yield what each took."""
    source = {"provider": "files", "src": "raw.de", "tgt": "raw.en"}
    corpus = {
        "source": "de", "target": "en", "train": [source],
        "dev": {"provider": "held-out", "held_out": min(2000, pairs // 8)},
        "test_sets": {"test": {"provider": "held-out", "held_out": min(3000, pairs // 5)}},
    }  # fmt: skip
    _write("corpus.yaml", corpus)
    _write("vocab.yaml", {"kind": "unigram", "size": min(16_000, pairs)})
    text = ["--train-src", "corpus/train.de", "--train-tgt", "corpus/train.en"]
    yield measure("corpus", "--config", "corpus.yaml", "--resources", ".", "--output-dir", "corpus")
    yield measure(
        "test-set", "--config", "corpus.yaml", "--name", "test", "--resources", ".", *text,
        "--held-out-src", "corpus/held-out.de", "--held-out-tgt", "corpus/held-out.en",
        "--output-dir", "tests",
    )  # fmt: skip
    yield measure(
        "vocab", "--config", "vocab.yaml", *text, "--src-vocab", "src.vocab",
        "--tgt-vocab", "tgt.vocab", "--manifest", "vocab.json",
    )  # fmt: skip
    yield measure(
        "align", "--src", "corpus/train.de", "--tgt", "corpus/train.en", "--src-vocab", "src.vocab",
        "--tgt-vocab", "tgt.vocab", "--output", "lexicon.safetensors",
    )  # fmt: skip
    yield from _train([*text, "--lexicon", "lexicon.safetensors"])
    yield from _distil()


def _train(text: list[str]) -> Iterator[Cost]:
    entry = {
        "model": "lstm-1x16.nll", "seed": 1,
        "architecture": {"family": "lstm", "layers": 1, "width": 16, "embedding": 16},
        "training": {"epochs": 1}, "targets": "gold", "objective": {},
    }  # fmt: skip
    _write("model.yaml", entry)
    with atomic_text("dev.de") as de, atomic_text("dev.en") as en:
        for file, side in ((de, "de"), (en, "en")):
            file.writelines(f"{line}\n" for line in itertools.islice(
                read_lines(f"corpus/dev.{side}"), 20))  # fmt: skip
    common = [
        "train", "--config", "model.yaml", "--source", "de", "--target", "en", "--device", "cpu",
        "--src-vocab", "src.vocab", "--tgt-vocab", "tgt.vocab", "--dev-src", "dev.de",
        "--dev-tgt", "dev.en", "--model", "model.safetensors", "--curve", "curve.jsonl",
        "--manifest", "model.json", "--state", "state", "--save-seconds", "0",
    ]  # fmt: skip
    saved = Path("state/checkpoint.pt")
    yield measure(*common, *text, until=saved.exists)
    saved.unlink()
    _write("model.yaml", entry | {"objective": {"kd_weight": 0.5}})
    _pretend_to_store()
    yield measure(
        *common, *text, "--soft-targets", "top-k.npy", "top-k.json", until=saved.exists,
        label="train (Word-KD)",
    )  # fmt: skip
    # A model for decoding: of the dev text, so that it is finished in no time.
    saved.unlink()
    _write("model.yaml", entry)
    subprocess.run(
        [sys.executable, "-m", "seqkd", *common, "--train-src", "dev.de", "--train-tgt", "dev.en",
         "--lexicon", "lexicon.safetensors"], check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _pretend_to_store() -> None:
    """Write a file of a text's top-k distributions, all zeros, and its manifest."""
    text = Path("corpus/train.en")
    tokens = encode_lines(read_lines(text), load_vocabulary("tgt.vocab"))
    shape = (len(tokens.ids) + len(tokens),)
    np.lib.format.open_memmap("top-k.npy", "w+", record_type(_TOP_K), shape)
    vocabularies = [load_vocabulary(f"{side}.vocab").digest for side in ("src", "tgt")]
    facts = {"k": _TOP_K, "kept_mass": 1.0, "positions": shape[0], "vocabularies": vocabularies}
    inputs = {"src": Path("corpus/train.de"), "tgt": text}
    write_manifest("top-k.json", inputs=inputs, facts=facts, started=time.time())


def _distil() -> Iterator[Cost]:
    blocks = sum(1 for _ in read_lines("corpus/train.de")) // BLOCK + 1
    yield measure(
        "decode", "--model", "model.safetensors", "--src", "corpus/train.de", "--beam", "1",
        "--shard", "1", "--shards", str(blocks), "--output", "one.jsonl.zst", "--device", "cpu",
    )  # fmt: skip
    enough = time.monotonic() + _SOFT_SECONDS
    yield measure(
        "soft-targets", "--model", "model.safetensors", "--src", "corpus/train.de", "--tgt",
        "corpus/train.en", "--top-k", str(_TOP_K), "--output", "stored.npy", "--manifest",
        "stored.json", "--device", "cpu", until=lambda: time.monotonic() > enough,
    )  # fmt: skip
    shards = [f"shard-{n}.jsonl.zst" for n in range(1, _SHARDS + 1)]
    if not Path(shards[-1]).exists():
        _pretend_to_decode(shards)
    yield measure(
        "merge", "--shards", *shards, "--src", "corpus/train.de", "--output", "nbest.jsonl.zst"
    )
    for rule in ("one-best", "most-similar"):
        _write("target.yaml", {"rule": rule, "beam": _BEAM})
        yield measure(
            "select", "--config", "target.yaml", "--nbest", "nbest.jsonl.zst", "--src",
            "corpus/train.de", "--reference", "corpus/train.en", "--tgt-vocab", "tgt.vocab",
            "--output-src", f"{rule}.de", "--output-tgt", f"{rule}.en", "--manifest", "select.json",
            label=f"select ({rule})",
        )  # fmt: skip


def _pretend_to_decode(shards: list[str]) -> None:
    """Write n-best lists whose hypotheses are the reference with words left out."""
    vocabulary = load_vocabulary("tgt.vocab")
    source = digest("corpus/train.de")

    def lines(shard: int) -> Iterator[str]:
        pairs = zip(read_lines("corpus/train.de"), read_lines("corpus/train.en"), strict=True)
        for block in itertools.count():
            rows = list(itertools.islice(pairs, BLOCK))
            if not rows:
                return
            if block % _SHARDS != shard:
                continue
            texts = [_hypothesis(tgt, k) for _, tgt in rows for k in range(_BEAM)]
            ids = vocabulary.encode(texts)
            for n, (src, _) in enumerate(rows):
                places = range(n * _BEAM, (n + 1) * _BEAM)
                found = tuple(Candidate(-1.0 - k, texts[k], tuple(ids[k])) for k in places)
                yield to_line(Record(block * BLOCK + n, found, source_digest(src)))

    for number, path in enumerate(shards):
        header = ShardHeader(
            models=("0" * 64,), source=source, search={"beam": _BEAM}, block=BLOCK,
            shard=number + 1, shards=_SHARDS, arithmetic="float32", code="synthetic",
        )  # fmt: skip
        write_shard(path, header, lines(number))


def _hypothesis(reference: str, k: int) -> str:
    words = reference.split(" ")
    drop = zlib.crc32(reference.encode()) + k
    return " ".join(words[: drop % len(words)] + words[drop % len(words) + 1 :])


def measure(*words: str, label: str = "", until: Callable[[], bool] | None = None) -> Cost:
    """Run one step as a process of its own.

    Args:
        words: of the command line.
        label: of the step, where its verb does not say enough.
        until: stop the step once this is true, unless it has ended.

    Raises:
        SystemExit: if the step fails.
    """
    process = subprocess.Popen([sys.executable, "-m", "seqkd", *words], stderr=subprocess.DEVNULL)
    peak_mb, told = 0.0, False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak_mb = max(peak_mb, _peak_mb(process.pid))
        if until is not None and not told and until():
            process.send_signal(signal.SIGTERM)
            told = True
        time.sleep(_POLL_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ({0, 128 + signal.SIGTERM} if told else {0}):
        raise SystemExit(f"{' '.join(words)}: exit status {process.returncode}")
    peak_mb = peak_mb or peak_memory_mb(usage)  # without /proc
    return Cost(label or words[0], usage.ru_utime + usage.ru_stime, peak_mb)


def _peak_mb(pid: int) -> float:
    """Return the most resident memory so far; unlike `ru_maxrss`, without that of our own fork."""
    with contextlib.suppress(OSError, StopIteration):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def _write(path: str, value: object) -> None:
    with atomic_text(path) as file:
        yaml.safe_dump(value, file, sort_keys=False)


if __name__ == "__main__":
    main()
