"""Measure the ceilings of this machine, and how near training and decoding come to them.

  python benchmarks/rooflines.py --size 2x256 --vocab 8000

A ceiling is the best rate of a bare matrix product of a shape that the model uses. The share is the
time that the products of a token need at these rates, over the time that a token takes.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from ours import decode, made_pairs, new_model, train

from seqkd.files import atomic_text, write_json
from seqkd.machine.manifest import code_commit
from seqkd.machine.runtime import hardware, set_up
from seqkd.models.precision import has_bf16
from seqkd.vocabulary.tokens import source_rows

PRECISIONS = ("fp32", "fp32-medium", "bf16")
SECONDS = 0.15  # of one timing; the best of several counts


class Shape(NamedTuple):
    """A product (rows x inner) (inner x columns), and how many FLOP a token spends in its kind."""

    name: str
    rows: int
    inner: int
    columns: int
    training: float
    decoding: float


def shapes(layers: int, width: int, vocab: int, batch: int, beam: int) -> list[Shape]:
    """Return the products of a model with word vectors as wide as its state.

    Source and target are taken to be alike long. A backward pass costs two forward passes: one for
    the input's gradient, in the recurrence, and one for the weights', over all steps at once.
    """
    recurrence = 2.0 * width * 4 * width
    step = 3 * layers * recurrence  # encoder layers read their own output, decoder layers two
    combine, keys = 4.0 * width * width, 2.0 * width * width
    inputs = (layers + 1) * recurrence  # of encoder layers, and the decoder's words
    project = 2.0 * width * vocab
    rows = batch * 14
    return [
        Shape("recurrence", batch, 2 * width, 4 * width, 2 * (step + combine), 0),
        Shape("recurrence of a search", batch * beam, 2 * width, 4 * width, 0,
              beam * (2 * layers * recurrence + combine) + layers * recurrence),
        Shape("all steps at once", rows, width, 4 * width,
              step + combine + 3 * inputs + 3 * keys, layers * recurrence + keys),
        Shape("projection", 512, width, vocab, 3 * project, 0),
        Shape("projection of a search", batch * beam, width, vocab, 0, beam * project),
        Shape("square", 2048, 2048, 2048, 0, 0),
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    args = _arguments()
    set_up(args.threads, "cpu")
    layers, width = map(int, args.size.split("x"))
    table = shapes(layers, width, args.vocab, args.batch, args.beam)
    in_bf16 = has_bf16(torch.device("cpu"))
    # Without such hardware bf16 is calculated in fp32, tens of times as slowly.
    precisions = PRECISIONS if in_bf16 else PRECISIONS[:1]
    ceilings = {p: {s.name: ceiling(s, p) for s in table} for p in precisions}
    lines = [
        "| GFLOP/s | shape | " + " | ".join(precisions) + " |",
        "|---" * (2 + len(precisions)) + "|",
    ]
    for s in table:
        rates = " | ".join(f"{ceilings[p][s.name]:,.0f}" for p in precisions)
        lines.append(f"| {s.name} | {s.rows} x {s.inner} x {s.columns} | {rates} |")
    used = ("fp32", "bf16") if in_bf16 else ("fp32",)
    reached = [share(layers, width, args, table, p, ceilings[p]) for p in used]
    facts = {
        **asdict(hardware()),
        "threads": args.threads,
        "copy GB/s": round(bandwidth(), 1),
        "bf16 in hardware": in_bf16,
        "commit": code_commit(),
    }
    notes = [f"- {key}: {value}" for key, value in facts.items()]
    text = "\n".join([*lines, "", *(line for part in reached for line in part), "", *notes, ""])
    folder = Path(args.folder)
    write_json(folder / f"rooflines-{args.size}.json", {"facts": facts, "GFLOP/s": ceilings})
    with atomic_text(folder / f"rooflines-{args.size}.md") as file:
        file.write(text)
    print(text)


def ceiling(shape: Shape, precision: str) -> float:
    """Return the best rate of a product, GFLOP/s."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(shape.rows, shape.inner).to(dtype)
    weight = torch.randn(shape.columns, shape.inner).to(dtype).t()
    flop = 2e-9 * shape.rows * shape.inner * shape.columns
    with _matmul_precision("medium" if precision == "fp32-medium" else "highest"):
        return flop / best_seconds(lambda: torch.mm(x, weight))


def bandwidth() -> float:
    """Return the rate of copying memory far larger than the caches, read plus write, GB/s."""
    a = torch.ones(64 << 20)
    b = torch.empty_like(a)
    return 8e-9 * a.numel() / best_seconds(lambda: b.copy_(a))


def best_seconds(work: Callable[[], object]) -> float:
    """Return the least CPU time of one call, over several stretches of calls."""
    for _ in range(3):
        work()
    best = float("inf")
    for _ in range(5):
        calls, start = 0, time.process_time()
        while time.process_time() - start < SECONDS:
            work()
            calls += 1
        best = min(best, (time.process_time() - start) / calls)
    return best


@contextlib.contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def share(
    layers: int,
    width: int,
    args: argparse.Namespace,
    table: list[Shape],
    precision: str,
    ceilings: dict[str, float],
) -> list[str]:
    """Return a line for training and one for decoding: rate, GFLOP/s, share of the ceilings."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    data = made_pairs(4000, args.vocab)
    model = new_model(layers, width, args.vocab)
    trained = max(
        (train(model, data, dtype, args.batch, 40, 10) for _ in range(args.rounds)),
        key=lambda timed: timed.tokens / timed.cpu,
    )
    sources = source_rows([data.src[k] for k in range(320)])
    decoded = max(
        (decode(model, sources, dtype, args.beam, 14)[0] for _ in range(args.rounds)),
        key=lambda timed: timed.tokens / timed.cpu,
    )
    lines = []
    for name, timed in (("training", trained), ("decoding", decoded)):
        flop = {s.name: s.training if name == "training" else s.decoding for s in table}
        ideal = sum(1e-9 * flop[key] / ceilings[key] for key in flop)
        rate, total = timed.tokens / timed.cpu, 1e-9 * sum(flop.values())
        lines.append(
            f"- {name}, {precision}: {rate:,.0f} tokens / CPU-second, {rate * total:,.0f} GFLOP/s, "
            f"{rate * ideal:.0%} of what these products allow"
        )
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="2x256", help="layers x width")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default="build/benchmarks")
    return parser.parse_args()


if __name__ == "__main__":
    main()
