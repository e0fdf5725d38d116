"""Measure training and search of the paper's sizes on one GPU, within ten minutes.

  python benchmarks/gpu.py --folder gpu

Each point is added to gpu.csv in the folder as soon as it is there: tokens per second by the clock,
peak memory, and the share of the rate that bare products of 8,192 rows and columns reach in the
same precision. What no longer fits into --minutes is named at the end. fp32 means TF32 on a GPU, as
in training. profile-*.txt say where the time of the first size goes. `--device cpu` with small
sizes shows that the program runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from ours import Timed, decode, made_pairs, new_model, train
from rooflines import shapes

from seqkd.errors import SeqkdError
from seqkd.machine.manifest import code_commit, peak_memory_mb
from seqkd.machine.runtime import hardware, set_up
from seqkd.models.precision import compute_dtype
from seqkd.vocabulary.tokens import source_rows


class Point(NamedTuple):
    """One thing to measure; `batch` is sentences up to 64, then target tokens, of training."""

    action: str
    size: str
    precision: str
    batch: int
    beam: int


def main() -> None:
    """Measure as many points as there is time for."""
    args = _arguments()
    try:
        device = set_up(1, args.device)
    except SeqkdError as error:
        sys.exit(f"{error}. Nothing was measured: figures of a GPU need one.")
    folder, end = Path(args.folder), time.monotonic() + 60 * args.minutes
    folder.mkdir(parents=True, exist_ok=True)
    peaks = {p: product_rate(device, p, args.square) for p in args.precisions.split(",")}
    print(hardware(device), code_commit(), f"TFLOP/s of bare products: {peaks}", sep="\n")
    left = points(args)
    for action in ("train", "search"):  # first, since they also make the GPU's programs
        with torch.profiler.profile() as profiler:
            run(next(point for point in left if point.action == action), args, device, 9)
        by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
        text = profiler.key_averages().table(sort_by=by, row_limit=25)
        (folder / f"profile-{action}.txt").write_text(text, encoding="utf-8")
    with (folder / "gpu.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*Point._fields, "tokens/s", "peak MiB", "TFLOP/s", "share of peak"])
        while left and time.monotonic() < end:
            point = left.pop(0)
            row = [*point, *measured(point, args, device, peaks[point.precision])]
            table.writerow(row)
            file.flush()
            print(*row, flush=True)
    print(f"no time for: {left}" if left else "all points measured")


def points(args: argparse.Namespace) -> list[Point]:
    """Return what is measured; what matters most comes first."""
    found = []
    for precision, size in itertools.product(args.precisions.split(","), args.sizes.split(",")):
        found += [Point("train", size, precision, n, 0) for n in (64, args.batch_tokens)]
        found += [Point("search", size, precision, 0, k) for k in map(int, args.beams.split(","))]
    return found


def product_rate(device: torch.device, precision: str, size: int) -> float:
    """Return TFLOP/s of a square product."""
    dtype = compute_dtype("bf16" if precision == "bf16" else "fp32", device)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    for count in (3, 10):  # the first warm up
        start = time.perf_counter()
        for _ in range(count):
            result = torch.mm(a, b)
        result[0, 0].item()  # waits for the GPU
    return round(2e-12 * size**3 * count / (time.perf_counter() - start), 3)


def measured(
    point: Point, args: argparse.Namespace, device: torch.device, peak: float
) -> list[object]:
    """Return tokens per second, memory, TFLOP/s and their share of the peak."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        timed = run(point, args, device, args.updates)
    except torch.cuda.OutOfMemoryError:
        return ["out of memory"]
    layers, width = map(int, point.size.split("x"))
    table = shapes(layers, width, args.vocab, 64, max(1, point.beam))
    flop = sum(s.training if point.action == "train" else s.decoding for s in table)
    rate = timed.tokens / timed.wall
    memory = torch.cuda.max_memory_allocated(device) / (1 << 20) if on_gpu else (
        peak_memory_mb(resource.getrusage(resource.RUSAGE_SELF)))  # fmt: skip
    reached = 1e-12 * rate * flop
    return [round(rate), round(memory), round(reached, 3), round(reached / peak, 4)]


def run(point: Point, args: argparse.Namespace, device: torch.device, updates: int) -> Timed:
    """Train for some updates, of which two thirds warm up, or search some sentences."""
    layers, width = map(int, point.size.split("x"))
    data = made_pairs(args.pairs, args.vocab)
    model = new_model(layers, width, args.vocab).to(device)
    dtype = compute_dtype("bf16" if point.precision == "bf16" else "fp32", device)
    if point.action == "train":
        sentences, tokens = (point.batch, 0) if point.batch <= 64 else (0, point.batch)
        return train(model, data, dtype, sentences, updates, 2 * updates // 3, batch_tokens=tokens)
    count = args.sentences // max(1, point.beam // 5)
    sources = source_rows([data.src[k] for k in range(count)])
    decode(model, sources, dtype, point.beam, 14)  # the first search also loads kernels
    return decode(model, sources, dtype, point.beam, 14)[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="cuda")
    add("--sizes", default="2x500,4x1000,2x300", help="layers x width")
    add("--precisions", default="bf16,fp32")
    add("--vocab", type=int, default=50_000)
    add("--beams", default="1,5,35")
    add("--batch-tokens", type=int, default=16_384, help="of the second training batch")
    add("--updates", type=int, default=300, help="of training; two thirds warm up")
    add("--sentences", type=int, default=2048, help="to search with beam 1 and 5")
    add("--pairs", type=int, default=50_000)
    add("--square", type=int, default=8192, help="size of the bare products")
    add("--minutes", type=float, default=9.0, help="after which nothing new begins")
    add("--folder", default="build/benchmarks")
    return parser.parse_args()


if __name__ == "__main__":
    main()
