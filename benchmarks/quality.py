"""How much computing each toolkit needs until it translates well: CPU seconds to a dev BLEU.

  MULTI30K_DIR=... python benchmarks/quality.py --systems seqkd,marian-transformer --limit 1500

Each system trains from scratch on Multi30k de-en, with one thread, until its greedy translations of
the dev set reach the highest of --bleu or its CPU time reaches --limit. The recipes are those that
each toolkit's documentation gives, made small: 2 layers of width 256, 4,000 joint subwords, batches
of 64 sentences, one table of embeddings for Transformers. Marian is also given our word alignments.
`seqkd-2x256` is the teacher of config/experiments/multi30k.yaml. `seqkd` is our small recipe, the
best of three that were tried on dev: width 128, batches of 32, three epochs.

The time of a peer is that of its training alone: it is stopped while a checkpoint is scored. Ours
is all that our workflow does: cleaning, vocabulary, alignment, training, and the scoring itself.
Prints a table and writes it with every point of the curves to --folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import sacrebleu
import sentencepiece
from recipes import training_command
from systems import PACKAGES, Workshop
from text import prepare

from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.machine.manifest import code_commit
from seqkd.machine.runtime import hardware

ROOT = Path(__file__).parents[1]
VOCAB = 4000

# What differs from the teacher of the experiment multi30k.
OURS = {
    "seqkd": {
        "width": 128, "dropout": 0.1,
        "training": {
            "epochs": 3, "batch_sentences": 32, "learning_rate": 0.006, "label_smoothing": 0.0,
        },
    },
    "seqkd-2x256": {"width": 256},
}  # fmt: skip
SYSTEMS = [
    *OURS, "marian-transformer", "marian-transformer-guided", "marian-lstm-guided",
    "eole-transformer", "eole-lstm", "opennmt-py-transformer", "opennmt-py-lstm",
]  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A validation: CPU seconds of all processes so far, the most memory they held, dev BLEU."""

    cpu: float
    peak_mb: float
    bleu: float


class Training:
    """A running command, with the CPU time and the memory of all its processes."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "train.log"
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with self.log.open("w") as file:
            self._process = psutil.Popen(
                command, cwd=folder, stdout=file, stderr=subprocess.STDOUT,
                env=os.environ | one_thread | environment, start_new_session=True,
            )  # fmt: skip
        self.cpu = self.peak_mb = 0.0

    def running(self) -> bool:
        """Take the time and the memory; return whether the command still runs."""
        cpu = held = 0.0
        try:
            for process in [self._process, *self._process.children(recursive=True)]:
                cpu += sum(process.cpu_times()[:4])  # with those of children that have ended
                held += process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            pass
        self.cpu, self.peak_mb = max(self.cpu, cpu), max(self.peak_mb, held)
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the command."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)


def main() -> None:
    """Train the systems one after another and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--bleu", type=float, nargs="+", default=[20.0, 30.0, 35.0])
    parser.add_argument("--limit", type=float, default=1500.0, help="CPU seconds of each")
    parser.add_argument("--folder", type=Path, default=Path("build/quality"))
    args = parser.parse_args()
    multi30k = os.environ.get("MULTI30K_DIR")
    if not multi30k:
        sys.exit("set MULTI30K_DIR to a folder with the German-English files of Multi30k")
    unknown = set(args.systems.split(",")) - set(SYSTEMS)
    if unknown:
        sys.exit(f"--systems {unknown.pop()}: expected some of {', '.join(SYSTEMS)}")
    folder = args.folder.resolve()
    prepare(folder / "text", VOCAB, multi30k)
    references = list(read_lines(next(Path(multi30k).glob("val.en*"))))
    rows = []
    for system in args.systems.split(","):
        points = []
        for point in learn(system, folder, references, max(args.bleu), args.limit):
            print(f"{system}: {point.cpu:,.0f} CPU s, dev BLEU {point.bleu:.1f}", flush=True)
            points.append(vars(point))
        (folder / f"{system}.json").write_text(json.dumps(points))
        rows.append(_row(system, pd.DataFrame(points), args.bleu))
    table = pd.DataFrame(rows).to_markdown(index=False)
    text = f"{table}\n\n{hardware()}, commit {code_commit()}, {time.strftime('%Y-%m-%d')}\n"
    (folder / "quality.md").write_text(text)
    print(text)


def learn(
    system: str, folder: Path, references: list[str], target: float, limit: float
) -> Iterator[Point]:
    """Train a system; yield its validations until the target or the limit is reached."""
    work = folder / system
    shutil.rmtree(work, ignore_errors=True)  # Marian would continue, and old checkpoints be scored
    work.mkdir(parents=True)
    if system in OURS:
        yield from _ours(work, OURS[system], target, limit)
        return
    peer, model = next((p, system.removeprefix(f"{p}-")) for p in PACKAGES if system.startswith(p))
    workshop = Workshop(folder)
    python = workshop.python(peer)
    command, pattern = training_command(peer, model, python, folder / "text", work)
    training = Training(command, work, {})
    scored: set[Path] = set()
    while training.running() and training.cpu < limit:
        time.sleep(0.2)
        for checkpoint in sorted(set(work.glob(pattern)) - scored, key=_updates):
            scored.add(checkpoint)
            time.sleep(1.0)  # until the file is whole
            training.running()
            training.signal(signal.SIGSTOP)
            bleu = _score(peer, python, checkpoint, folder / "text", work, references)
            yield Point(training.cpu, training.peak_mb, bleu)
            if bleu >= target:
                training.signal(signal.SIGKILL)
                return
            training.signal(signal.SIGCONT)
    training.signal(signal.SIGKILL)
    if not scored:
        raise SeqkdError(f"{system} made no checkpoint; see {training.log}")


def _ours(work: Path, recipe: dict[str, Any], target: float, limit: float) -> Iterator[Point]:
    """Run the workflow as far as its first model, a teacher."""
    settings = recipe.get("training", {}) | {"validations_per_epoch": 4}
    changes = {"teacher": recipe | {"training": settings}}
    config = work / "config.yaml"
    config.write_text(json.dumps({"experiment": "quality", "architectures": changes}))
    model = f"lstm-2x{recipe['width']}.nll/seed-1"
    target_file = f"results/quality/models/{model}/model.safetensors"
    command = [
        sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(work), "--configfile",
        str(ROOT / "config/experiments/multi30k.yaml"), str(config), "--", target_file,
    ]  # fmt: skip
    training = Training(command, work, {"PYTHONPATH": str(ROOT / "src")})
    log = work / f"results/quality/logs/train/{model}.log"
    seen = 0
    while (running := training.running()) or seen == 0:
        time.sleep(0.2)
        text = log.read_text() if log.exists() else ""
        scores = re.findall(r"dev BLEU ([\d.]+)", text)
        for score in scores[seen:]:
            yield Point(training.cpu, training.peak_mb, float(score))
        seen = len(scores)
        if not running or training.cpu > limit or max(map(float, scores), default=0) >= target:
            break
    training.signal(signal.SIGTERM)
    if not seen:
        raise SeqkdError(f"seqkd reported no validation; see {training.log}")


def _updates(checkpoint: Path) -> int:
    return int(re.findall(r"\d+", checkpoint.name)[-1])


def _score(
    peer: str, python: Path, checkpoint: Path, text: Path, work: Path, references: list[str]
) -> float:
    """Return the BLEU of a checkpoint's greedy translations of the dev set."""
    out = work / "dev.out"
    source = text / "dev.src"
    if peer == "marian":
        command = [
            str(python.parent / "pymarian"), "decode", "--models", str(checkpoint), "--vocabs",
            f"{work}/vocab.yml", f"{work}/vocab.yml", "--beam-size", "1", "--cpu-threads", "1",
            "--input", str(source), "--output", str(out), "--max-length", "80", "--mini-batch",
            "64", "--maxi-batch", "20", "--quiet", "--quiet-translation",
        ]  # fmt: skip
    elif peer == "eole":
        command = [
            str(python), "-c", "from eole.bin.main import main; main()", "predict", "-model_path",
            str(checkpoint), "-src", str(source), "-output", str(out), "-beam_size", "1",
            "-batch_size", "64", "-batch_type", "sents", "-max_length", "80",
        ]  # fmt: skip
    else:
        command = [
            str(python), "-c", TRUSTING, "-model", str(checkpoint), "-src", str(source),
            "-output", str(out), "-beam_size", "1", "-batch_size", "64", "-max_length", "80",
            "-gpu", "-1",
        ]  # fmt: skip
    with (work / "decode.log").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT, cwd=work)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(text / "bpe.model"))
    hypotheses = [pieces.decode(line.split()) for line in read_lines(out)]
    return float(sacrebleu.corpus_bleu(hypotheses, [references]).score)


# OpenNMT-py's checkpoints hold objects, which today's torch.load refuses by default.
TRUSTING = (
    "import torch; load = torch.load; "
    "torch.load = lambda *a, **k: load(*a, **{'weights_only': False, **k}); "
    "from onmt.bin.translate import main; main()"
)


def _row(system: str, points: pd.DataFrame, targets: list[float]) -> dict[str, object]:
    """Return a row of the table: CPU seconds to each BLEU, the best BLEU, and memory."""
    row: dict[str, object] = {"system": system}
    for target in targets:
        reached = points[points["bleu"] >= target]
        row[f"CPU s to BLEU {target:g}"] = (
            f"{reached['cpu'].iloc[0]:,.0f}" if len(reached) else f"> {points['cpu'].max():,.0f}"
        )
    return row | {"best": f"{points['bleu'].max():.1f}", "MiB": f"{points['peak_mb'].max():,.0f}"}


if __name__ == "__main__":
    main()
