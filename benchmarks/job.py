"""What is measured in a comparison, as one value that every system is given. Standard library only.

`in_*.py` run inside the environments of other toolkits, so nothing here may import this package.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RESULT = "RESULT "  # begins the line of standard output that carries a run's figures


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work.

    Attributes:
        action: `train` counts target tokens, `decode` counts tokens of the best hypotheses.
        data: folder with {train,dev,test}.{src,tgt}, one sentence of tokens per line; vocab.txt.
        layers, width: of encoder and decoder each; word vectors are as wide.
        batch: sentences.
        updates: of training; the first `warm_up` are not counted.
        beam: of decoding.
        sentences: of the test text to decode.
        length: tokens that every hypothesis is made to have; 0 lets the model end them.
        weights: file of tensors that every LSTM decodes with.
        output: file that takes the best hypotheses, one line each.
        threads: of one process.
        device: cpu or cuda.
    """

    action: Literal["train", "decode"]
    data: str
    layers: int = 2
    width: int = 256
    batch: int = 64
    updates: int = 60
    warm_up: int = 10
    beam: int = 5
    sentences: int = 320
    length: int = 0
    weights: str = ""
    output: str = ""
    threads: int = 1
    device: str = "cpu"

    def save(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: str) -> Job:
        """Read what `save` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def lines(self, split: str, side: str) -> list[str]:
        """Return the sentences of one side of a split."""
        path = Path(self.data, f"{split}.{side}")
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def report(cpu: float, wall: float, tokens: int = 0) -> None:
    """Print a run's figures: CPU seconds of the process, seconds by the clock, tokens made.

    Decoding leaves the tokens to be counted in `Job.output`.
    """
    print(RESULT + json.dumps({"tokens": tokens, "cpu": cpu, "wall": wall}), flush=True)
