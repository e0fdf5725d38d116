"""Model files as an earlier version wrote them, with random weights, and their translations.

The LSTMs have joint unigram subwords, the Transformer two vocabularies of words. The weights were
drawn until the translations were diverse and stayed the same under relative noise of 1e-5 (int8:
1e-6), a hundred times the rounding error of fp32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import seqkd
from seqkd.models.kernels.lstm_int8 import activation_steps

GOLDEN = Path(__file__).parents[1] / "reference" / "golden"
TRANSLATIONS = GOLDEN / "translations.json"
MODELS = ("lstm", "transformer", "lstm-int8")
SEARCHES = ("greedy", "beam-3")
SOURCES = [
    "mira tolu vek",
    "sano rilu",
    "",
    "vek vek dorima selu tolu naru",
    "pelo mira dorima kanu sano rilu vek tolu",
    "kanu",
    "zzz naru selu!",  # characters and words that no vocabulary has
]

NBest = list[list[dict[str, Any]]]
"""For each source its hypotheses: `text` and `log_prob`."""


def translations(name: str, search: str) -> NBest:
    """Translate the sources with a frozen model."""
    width = 1 if search == "greedy" else 3
    precision = "auto" if name.endswith("int8") else "fp32"
    model = seqkd.load(GOLDEN / f"{name}.safetensors", device="cpu", precision=precision)
    lists = model.n_best(SOURCES, beam=width, n_best=width)
    return [[{"text": h.text, "log_prob": h.log_prob} for h in hypotheses] for hypotheses in lists]


def key(name: str, search: str) -> str:
    """Return the key of the stored translations.

    Activations have fewer int8 steps on a CPU without VNNI, so there are two correct results.
    """
    steps = f", {activation_steps()} steps" if "int8" in name else ""
    return f"{name}{steps}, {search}"


def stored() -> dict[str, NBest]:
    """Return all stored translations."""
    return json.loads(TRANSLATIONS.read_text(encoding="utf-8"))
