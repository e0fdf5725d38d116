"""Translate lines from standard input, by greedy search with ONNX Runtime."""

import unicodedata
from itertools import islice
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from sentencepiece import SentencePieceProcessor

PAD, BOS, EOS = 0, 2, 3
FOLDER = Path(__file__).parent
options = SessionOptions()
options.intra_op_num_threads = 1  # these products are too small for more
encoder, decoder = (
    InferenceSession(FOLDER / f"{name}.onnx", options) for name in ("encoder", "decoder")
)
source, target = (
    SentencePieceProcessor(str(FOLDER / f"{side}.model")) for side in ("source", "target")
)


def translate(lines: list[str]) -> list[str]:
    """Return the translation of each line."""
    clean = [unicodedata.normalize("NFC", " ".join(line.split())) for line in lines]
    ids = [[*tokens[:250], EOS] for tokens in source.encode(clean)]
    length = np.array([len(row) for row in ids])
    padded = np.array([row + [PAD] * (length.max() - len(row)) for row in ids])
    names = [output.name for output in encoder.get_outputs()]
    state = dict(zip(names, encoder.run(None, {"source": padded, "length": length}), strict=True))
    changed = [output.name.removeprefix("next_") for output in decoder.get_outputs()[1:]]
    words: list[list[int]] = [[] for _ in lines]
    token, alive, limit = np.full(len(lines), BOS), length > 1, np.minimum(2 * length + 10, 250)
    for step in range(1, limit.max()):
        logits, *values = decoder.run(None, {"token": token, **state})
        state.update(zip(changed, values, strict=True))
        logits[:, [PAD, BOS]] = -np.inf
        token = logits.argmax(1)
        alive &= (token != EOS) & (step < limit)
        if not alive.any():
            break
        for row in np.flatnonzero(alive):
            words[row].append(int(token[row]))
    translations: list[str] = target.decode(words)
    return translations


if __name__ == "__main__":
    with open(0, encoding="utf-8", errors="replace", newline="\n") as lines:
        while batch := list(islice(lines, 32)):
            print(*translate(batch), sep="\n", flush=True)
