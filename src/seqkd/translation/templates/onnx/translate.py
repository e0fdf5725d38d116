"""Translate lines from standard input, by greedy search with ONNX Runtime."""

import re
import signal
import sys
import unicodedata
from itertools import islice
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from sentencepiece import SentencePieceProcessor

PAD, BOS, EOS, MOST = 0, 2, 3, 250
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
INVISIBLE = re.compile(
    r"[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
WORD_MARK = "\u2581"  # sentencepiece's mark of a space
FOLDER = Path(__file__).parent
options = SessionOptions()
options.intra_op_num_threads = 1  # these products are too small for more
encoder, decoder = (
    InferenceSession(FOLDER / f"{name}.onnx", options) for name in ("encoder", "decoder")
)
source, target = (
    SentencePieceProcessor(str(FOLDER / f"{side}.model")) for side in ("source", "target")
)


def normalise(line: str) -> str:
    """Return a line in NFC, without control or invisible characters, with single spaces."""
    line = INVISIBLE.sub("", CONTROL.sub(" ", line)).replace(WORD_MARK, " ")
    return " ".join(unicodedata.normalize("NFC", line).split())


def translate(lines: list[str]) -> list[str]:
    """Return the translation of each line."""
    encoded = source.encode([normalise(line) for line in lines])
    for line, tokens in zip(lines, encoded, strict=True):
        if len(tokens) > MOST:
            print(f"cut after {MOST} of {len(tokens)} tokens: {line[:40]}...", file=sys.stderr)
    ids = [[*tokens[:MOST], EOS] for tokens in encoded]
    length = np.array([len(row) for row in ids])
    padded = np.array([row + [PAD] * (length.max() - len(row)) for row in ids])
    names = [output.name for output in encoder.get_outputs()]
    state = dict(zip(names, encoder.run(None, {"source": padded, "length": length}), strict=True))
    changed = [output.name.removeprefix("next_") for output in decoder.get_outputs()[1:]]
    words: list[list[int]] = [[] for _ in lines]
    token, alive, limit = np.full(len(lines), BOS), length > 1, np.minimum(2 * length + 10, MOST)
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
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end without a word if the reader does
    with (
        open(0, encoding="utf-8", errors="replace", newline="\n") as lines,
        open(1, "w", encoding="utf-8", newline="\n") as output,
    ):
        while batch := list(islice(lines, 32)):
            print(*translate(batch), sep="\n", file=output, flush=True)
