"""Measure what Word-KD with stored distributions costs a student's update.

  python benchmarks/word_kd.py --size 2x64

Updates with and without it take turns, on made pairs and made distributions: neither text nor
probabilities change what an update costs.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
from ours import made_pairs, new_model, train

from seqkd.machine.runtime import set_up
from seqkd.models.precision import compute_dtype
from seqkd.training.divergences import Objective
from seqkd.training.soft_targets import StoredTopK, record_type


def main() -> None:
    """Take the rounds and print a table."""
    args = _arguments()
    layers, _, width = args.size.partition("x")
    dtype = compute_dtype("auto", set_up(1, "cpu"))
    data = made_pairs(5000, args.vocab)
    model = new_model(int(layers), int(width), args.vocab)
    records = np.zeros(data.tgt_positions, record_type(args.k))
    records["ids"] = np.random.default_rng(1).integers(4, args.vocab, records["ids"].shape)
    records["probs"] = 1 / args.k
    stored = StoredTopK(lambda: records)
    ways = {"NLL": (Objective(), None), "NLL + Word-KD": (Objective(kd_weight=0.5), stored)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            run = train(model, data, dtype, 64, args.updates, 5, *way)
            rates[name].append(run.tokens / run.cpu)
    ratios = [plain / soft for plain, soft in zip(*rates.values(), strict=True)]
    print(f"| {args.size}, {args.vocab:,} words, top {args.k} | tokens / CPU-second |\n|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):,.0f} |")
    print(f"\nAn update with Word-KD takes {statistics.median(ratios):.2f} times as long "
          f"({min(ratios):.2f} to {max(ratios):.2f} over {args.rounds} rounds).")  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="2x64", help="of the student, layers x width")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("-k", type=int, default=16, help="words stored a position")
    parser.add_argument("--updates", type=int, default=25, help="a round, 5 of them warm-up")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
