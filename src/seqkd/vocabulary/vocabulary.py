"""Vocabularies: text to ids and back.

Two kinds behind one protocol: subwords of sentencepiece (unigram or BPE), and the paper's list of
the most frequent words with `<unk>` for the rest. A vocabulary is one file; its content shows its
kind.

Source: Kim & Rush (2016), sec. 4.1 (50,000 words a side); Kudo (2018) and Sennrich et al. (2016).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from seqkd import files
from seqkd.errors import SeqkdError
from seqkd.vocabulary.word_tokenizer import UNKNOWN, Tokenizer, detokenise_words, tokenise_words

SPECIALS = ("<pad>", UNKNOWN, "<s>", "</s>")
"""Tokens 0 to 3 of every vocabulary."""
_WORD_HEADER = "# seqkd word vocabulary, tokenizer "


class Vocabulary(Protocol):
    """The tokens of one side."""

    @property
    def size(self) -> int:
        """Number of tokens, the four special ones included."""
        ...

    @property
    def digest(self) -> str:
        """sha256 of `serialise()`, in hexadecimal: equal digests, equal ids."""
        ...

    def serialise(self) -> bytes:
        """Return the content of the vocabulary's file."""
        ...

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the ids of each line, without sentence marks."""
        ...

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return each sentence as plain text; `<pad>`, `<s>` and `</s>` leave nothing."""
        ...


class SubwordVocabulary:
    """Subwords of a sentencepiece model."""

    def __init__(self, proto: bytes) -> None:
        """Load a model.

        Raises:
            SeqkdError: if it is not one, or its special tokens are not 0 to 3.
        """
        from sentencepiece import SentencePieceProcessor

        if not proto:
            raise SeqkdError("the file is empty")
        try:
            self._model = SentencePieceProcessor(model_proto=proto)
        except RuntimeError:
            raise SeqkdError("neither a word list of seqkd nor a sentencepiece model") from None
        self._proto = proto
        model = self._model
        specials = (model.pad_id(), model.unk_id(), model.bos_id(), model.eos_id())
        if specials != (0, 1, 2, 3):
            raise SeqkdError(
                f"this sentencepiece model numbers pad, unk, bos, eos as {specials}, expected "
                f"(0, 1, 2, 3); train it with --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3"
            )

    @property
    def size(self) -> int:
        """Number of subwords, the four special ones included."""
        return int(self._model.get_piece_size())

    @property
    def digest(self) -> str:
        """sha256 of the model file."""
        return hashlib.sha256(self._proto).hexdigest()

    def serialise(self) -> bytes:
        """Return the sentencepiece model file."""
        return self._proto

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the ids of each line."""
        # One thread: the number of threads is set by the steps, and this is no bottleneck.
        ids: list[list[int]] = self._model.encode(list(lines), num_threads=1)
        return ids

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return each sentence as plain text; an unknown subword as U+2047."""
        # sentencepiece takes an empty batch for an empty sentence.
        lines: list[str] = self._model.decode([list(x) for x in ids], num_threads=1) if ids else []
        return lines


class WordVocabulary:
    """The most frequent words; all others are `<unk>`.

    `<unk>` in a text is the token itself, so a model's `<unk>` survives being written and read.
    """

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer) -> None:
        """Number the words, most frequent first, after the four special tokens."""
        self._words = (*SPECIALS, *words)
        self._tokenizer = tokenizer
        self._ids = {word: number for number, word in enumerate(self._words)}
        # Only <unk> means something in a text; the others would cut sentences short.
        self._unknown = self._ids[UNKNOWN]
        for special in SPECIALS:
            if special != UNKNOWN:
                del self._ids[special]
        if len(self._ids) != len(self._words) - 3:
            raise SeqkdError("a word occurs twice in the list")

    @property
    def size(self) -> int:
        """Number of words, the four special tokens included."""
        return len(self._words)

    @property
    def digest(self) -> str:
        """sha256 of the file."""
        return hashlib.sha256(self.serialise()).hexdigest()

    def serialise(self) -> bytes:
        """Return a header line and one token a line."""
        lines = (_WORD_HEADER + self._tokenizer, *self._words)
        return "".join(f"{line}\n" for line in lines).encode("utf-8")

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the ids of each line's words."""
        ids, unknown, tokenizer = self._ids, self._unknown, self._tokenizer
        return [[ids.get(x, unknown) for x in tokenise_words(line, tokenizer)] for line in lines]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return each sentence as plain text, `<unk>` where a word is unknown."""
        silent = {number for number, word in enumerate(SPECIALS) if word != UNKNOWN}
        return [
            detokenise_words([self._words[i] for i in x if i not in silent], self._tokenizer)
            for x in ids
        ]


def load_vocabulary(path: str | Path) -> Vocabulary:
    """Read a vocabulary file of either kind.

    Raises:
        SeqkdError: if the file is missing or not a vocabulary.
    """
    with files.open_bytes(path) as file:
        content = file.read()
    try:
        return parse_vocabulary(content)
    except SeqkdError as error:
        raise SeqkdError(f"{path}: not a vocabulary: {error}") from None


def parse_vocabulary(content: bytes) -> Vocabulary:
    """Build the vocabulary that `serialise` wrote.

    Raises:
        SeqkdError: if the bytes are not a vocabulary.
    """
    if not content.startswith(_WORD_HEADER.encode()):
        return SubwordVocabulary(content)
    try:
        header, *words = content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise SeqkdError(f"a word list must be in UTF-8 (byte {error.start})") from None
    tokenizer = header.removeprefix(_WORD_HEADER)
    if tuple(words[: len(SPECIALS)]) != SPECIALS:
        raise SeqkdError(f"a word list must begin with {' '.join(SPECIALS)}")
    match tokenizer:
        case "simple" | "whitespace":
            return WordVocabulary(words[len(SPECIALS) :], tokenizer)
    raise SeqkdError(f"the word list has an unknown tokenizer '{tokenizer}'")
