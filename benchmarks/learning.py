"""How surely and how fast the models of a finished experiment learned, from their curves.

    python benchmarks/learning.py results/guided-alignment 25

prints for each model how many of its seeds learned (reached that dev BLEU), dev BLEU over seeds,
and how many updates and epochs it took.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd


def curves(experiment: Path) -> pd.DataFrame:
    """Return the validations of all models: model, seed, and the columns of curve.jsonl."""
    frames = []
    for path in sorted(experiment.glob("models/*/seed-*/curve.jsonl")):
        seed = int(path.parent.name.removeprefix("seed-"))
        frame = pd.read_json(path, lines=True)
        frames.append(frame.assign(model=path.parent.parent.name, seed=seed))
    if not frames:
        raise SystemExit(f"{experiment}: no finished models")
    return pd.concat(frames, ignore_index=True)


def summary(validations: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return a row for each model.

    Args:
        validations: from `curves`.
        target: dev BLEU at which a seed has learned. Seeds that never reach it are not in the
            medians.
    """
    runs = ["model", "seed"]
    best = validations.groupby(runs)["dev_bleu"].max()
    reached = validations[validations["dev_bleu"] >= target]
    first = reached.groupby(runs)[["update", "epoch"]].min().groupby("model").median()
    seeds = best.groupby("model")
    return pd.DataFrame(
        {
            "seeds": seeds.size(),
            "learned": (best >= target).groupby("model").sum(),
            "dev BLEU": seeds.mean().round(1),
            "sd": seeds.std().round(1),
            "least": seeds.min().round(1),
            f"updates to {target:g}": first["update"],
            f"epochs to {target:g}": first["epoch"],
        }
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="folder in results/")
    parser.add_argument("bleu", type=float, help="dev BLEU to reach")
    args = parser.parse_args()
    print(summary(curves(args.experiment), args.bleu).to_markdown())


if __name__ == "__main__":
    main()
