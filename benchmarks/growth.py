"""Measure how the cost of training and decoding grows with corpus, beam, vocabulary and width.

  python benchmarks/growth.py

One thing is varied at a time, from 20,000 made pairs, 8,000 words, 2 layers of 256 and beam 5.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from ours import decode, made_pairs, new_model, train

from seqkd.files import atomic_text, write_json
from seqkd.machine.manifest import code_commit, peak_memory_mb
from seqkd.machine.runtime import hardware, set_up
from seqkd.models.precision import compute_dtype
from seqkd.vocabulary.tokens import source_rows

BASE = {"pairs": 20_000, "vocab": 8000, "width": 256, "beam": 5}
VARIED = {
    "pairs": [2000, 20_000, 200_000, 2_000_000],
    "vocab": [2000, 4000, 8000, 16_000, 32_000, 50_000],
    "width": [64, 128, 256, 500, 1000],
    "beam": [1, 2, 5, 12, 35],
}
LENGTH = 14


def main() -> None:
    """Measure each point in a process of its own, so that its memory is its own; print tables."""
    args = _arguments()
    if args.point:
        print(measure(dict(zip(BASE, map(int, args.point), strict=True)), args.only))
        return
    text, results = [], []
    for name, values in VARIED.items():
        text += [f"| {name} | training, tokens / CPU-second | decoding, tokens / CPU-second |"
                 " most memory, MiB |", "|---|---|---|---|"]  # fmt: skip
        for value in values:
            only = {"pairs": "train", "beam": "decode"}.get(name, "both")
            point = [str(x) for x in (BASE | {name: value}).values()]
            command = [sys.executable, __file__, "--only", only, "--point", *point]
            trained, decoded, memory = subprocess.check_output(command, text=True).split()
            results.append({**BASE, name: value, "varied": name, "train": float(trained),
                            "decode": float(decoded), "memory_mb": float(memory)})  # fmt: skip
            shown = ["-" if x == "nan" else f"{float(x):,.0f}" for x in (trained, decoded, memory)]
            text.append(f"| {value:,} | " + " | ".join(shown) + " |")
            print(text[-1], file=sys.stderr, flush=True)
        text.append("")
    facts = {**asdict(hardware()), "threads": 1, "commit": code_commit()}
    text += [f"- {key}: {value}" for key, value in facts.items()]
    write_json(Path(args.folder, "growth.json"), {"facts": facts, "points": results})
    with atomic_text(Path(args.folder, "growth.md")) as file:
        file.write("\n".join(text) + "\n")
    print("\n".join(text))


def measure(point: dict[str, int], only: str) -> str:
    """Return training rate, decoding rate and peak memory; what was not asked for is nan."""
    device = set_up(1, "cpu")
    dtype = compute_dtype("auto", device)
    data = made_pairs(point["pairs"], point["vocab"])
    model = new_model(2, point["width"], point["vocab"])
    rates = {"train": float("nan"), "decode": float("nan")}
    if only != "decode":
        runs = [train(model, data, dtype, 64, 30, 10) for _ in range(2)]
        rates["train"] = max(run.tokens / run.cpu for run in runs)
    if only != "train":
        count = max(64, 1600 // point["beam"])
        sources = source_rows([data.src[k] for k in range(min(count, 320))])
        found = [decode(model, sources, dtype, point["beam"], LENGTH)[0] for _ in range(2)]
        rates["decode"] = max(run.tokens / run.cpu for run in found)
    memory = peak_memory_mb(resource.getrusage(resource.RUSAGE_SELF))
    return f"{rates['train']} {rates['decode']} {memory}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="build/benchmarks")
    parser.add_argument("--point", nargs=4, metavar=tuple(BASE), help="measure this alone")
    parser.add_argument("--only", choices=["train", "decode", "both"], default="both")
    return parser.parse_args()


if __name__ == "__main__":
    main()
