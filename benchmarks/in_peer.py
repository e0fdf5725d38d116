"""Run an LSTM toolkit's own command in its own environment, timed: `in_peer.py JOB.json NAME ARGS`.

Only the clock and, for decoding, the weights are ours: training is timed where the toolkit makes
its own log line, decoding around the call that translates the whole file.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import torch
from job import Job, report

# For each toolkit: its package, entry points, and the class and method that translate a file.
TOOLKITS = {
    "eole": (
        "eole", "eole.bin.main", "eole.bin.main", "eole.predict.inference", "Inference", "_predict",
    ),
    "opennmt-py": (
        "onmt", "onmt.bin.train", "onmt.bin.translate", "onmt.translate.translator", "Inference",
        "_translate",
    ),
}  # fmt: skip


def main() -> None:
    """Give the toolkit its arguments and let it run."""
    job, name, arguments = Job.load(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if name.endswith("-medium"):
        torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(job.threads)
    package, train, translate, module, owner, method = TOOLKITS[name.removesuffix("-medium")]
    _trust_own_checkpoints()
    if job.action == "train":
        _time_training(importlib.import_module(f"{package}.utils.statistics"), job)
    else:
        _time_decoding(getattr(importlib.import_module(module), owner), method, job)
    sys.argv = [package, *arguments]
    importlib.import_module(train if job.action == "train" else translate).main()


def _trust_own_checkpoints() -> None:
    """Let torch.load read option objects again, as in the release that the toolkit was made for."""
    load = torch.load
    torch.load = lambda *args, **options: load(*args, **{"weights_only": False, **options})


def _time_training(statistics: Any, job: Job) -> None:
    """Report the tokens between the log line at the end of the warm-up and the last one."""
    show = statistics.Statistics.output
    first: list[float] = []
    tokens = [0]

    def output(self: Any, step: int, *args: Any, **options: Any) -> Any:
        now = time.process_time(), time.perf_counter()
        if step <= job.warm_up:
            first[:] = now
        else:
            tokens[0] += self.n_words if hasattr(self, "n_words") else self.n_tokens
        if step == job.updates:
            report(now[0] - first[0], now[1] - first[1], tokens[0])
        return show(self, step, *args, **options)

    statistics.Statistics.output = output


def _time_decoding(owner: Any, method: str, job: Job) -> None:
    """Put our weights into the model before the toolkit translates, and time what it does then."""
    translate = getattr(owner, method)

    def timed(self: Any, *args: Any, **options: Any) -> Any:
        _load(self.model, self.vocabs, job)
        cpu, wall = time.process_time(), time.perf_counter()
        found = translate(self, *args, **options)
        report(time.process_time() - cpu, time.perf_counter() - wall)
        return found

    setattr(owner, method, timed)


@torch.no_grad()
def _load(model: Any, vocabs: Any, job: Job) -> None:
    """Copy our weights, each word's row to where the toolkit's vocabulary has that word."""
    ours = torch.load(job.weights)
    words = ["<blank>", "<unk>", "<s>", "</s>", *job.lines("vocab", "txt")]
    row_of = {word: k for k, word in enumerate(words)}
    tokens = vocabs["src"].ids_to_tokens
    rows = torch.tensor([row_of.get(word, 0) for word in tokens])
    for name, parameter in model.named_parameters():
        if "emb" in name:
            side = "source" if name.startswith(("src", "encoder")) else "target"
            parameter[: len(rows)] = ours[side][rows]
        elif name.startswith("generator"):
            parameter[: len(rows)] = ours[name][rows]
            parameter[len(rows) :] = -1e4 if name.endswith("bias") else 0.0
        else:
            parameter.copy_(ours[name])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
