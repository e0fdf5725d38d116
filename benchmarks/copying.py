"""Measure what models copy: numbers, addresses, versions and emoji that need no translation.

  python benchmarks/copying.py results/home-assistant/models/*/seed-1/model.safetensors

Each line of the test set should come out as it went in. It is made here from a seed. A model that
was trained with `made_copies` may have seen short ones, such as percentages. Without --embedded a
line is the thing alone; with it, the thing ends a sentence that the model knows, and counts if it
is anywhere in the translation.
"""

from __future__ import annotations

import argparse
import operator
import random
import re
from collections.abc import Callable
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.translation.api import load

_EMOJI = list(
    "\U0001f44d\U0001f389\U0001f525\U0001f680\U0001f4a1\U0001f50b\U0001f3e0\U0001f514\u2705"
)
_EMOJI += ["\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\U0001f468\u200d\U0001f469\u200d\U0001f467"]
_WORDS = ("home", "light", "door", "lamp", "garden", "kitchen", "sensor", "heating")
_DRAW: dict[str, Callable[[random.Random], str]] = {
    "number": lambda draw: str(draw.randrange(10 ** draw.randint(1, 6))),
    "decimal": lambda draw: f"{draw.randrange(1000)}.{draw.randrange(100):02}",
    "time": lambda draw: f"{draw.randrange(24):02}:{draw.randrange(60):02}",
    "percentage": lambda draw: f"{draw.randrange(101)}%",
    "IP": lambda draw: ".".join(str(draw.randrange(256)) for _ in range(4)),
    "URL": lambda draw: f"https://{draw.choice(_WORDS)}.example.org/{draw.choice(_WORDS)}",
    "version": lambda draw: f"v{draw.randrange(10)}.{draw.randrange(30)}.{draw.randrange(30)}",
    "phone": lambda draw: f"+49 {draw.randrange(100, 999)} {draw.randrange(10**6, 10**7)}",
    "emoji": lambda draw: " ".join(draw.choices(_EMOJI, k=draw.randint(1, 2))),
}


def things_to_copy(count: int, seed: int = 1) -> dict[str, list[str]]:
    """Return `count` lines of each kind, the same on every machine."""
    draw = random.Random(seed)
    return {kind: [make(draw) for _ in range(count)] for kind, make in _DRAW.items()}


def main() -> None:
    """Print a table: exact copies of each kind, in percent, a line for each model."""
    args = _arguments()
    kinds = things_to_copy(args.count)
    print("| model | " + " | ".join([*kinds, "all"]) + " |")
    print("|---" * (len(kinds) + 2) + "|")
    for path in args.models:
        try:
            translator = load(path, device=args.device)
        except SeqkdError as error:
            raise SystemExit(str(error)) from None
        shares = []
        for things in kinds.values():
            sources = [f"{args.embedded} {x}" if args.embedded else x for x in things]
            found = translator.translate(sources, beam=args.beam)
            has = _contains if args.embedded else operator.eq
            right = [has(line, thing) for line, thing in zip(found, things, strict=True)]
            shares.append(100 * sum(right) / len(right))
        shares.append(sum(shares) / len(shares))
        name = "/".join(path.parts[-3:-1]) or str(path)
        print(f"| {name} | " + " | ".join(f"{share:.1f}" for share in shares) + " |", flush=True)


def _contains(line: str, thing: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(thing)}(?!\w)", line) is not None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", type=Path, nargs="+", help="model files")
    add("--count", type=int, default=100, help="lines of each kind (default: 100)")
    add("--beam", type=int, default=5)
    add("--embedded", metavar="TEXT", default="", help="what each thing follows, such as Adresse:")
    add("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
