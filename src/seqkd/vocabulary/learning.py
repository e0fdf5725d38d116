"""Training vocabularies: subwords by sentencepiece, or a list of the most frequent words.

Sources: Kudo (2018); Sennrich et al. (2016); Kim & Rush (2016), sec. 4.1.
"""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from seqkd.config.vocab import VocabConfig
from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.vocabulary.specials import UNK
from seqkd.vocabulary.vocabulary import SPECIALS, SubwordVocabulary, Vocabulary, WordVocabulary
from seqkd.vocabulary.word_tokenizer import tokenise_words

# Characters that subwords are learned from, at most: more change little, and sentencepiece takes 20
# bytes for each.
_TRAINING_CHARACTERS = 50_000_000
_LONGEST_LINE_BYTES = 1 << 16
# What an unknown subword is written as: one character that is itself unknown, so that text with it
# is read back the same.
_UNKNOWN_SURFACE = "\u2047"
_MEASURED_LINES = 20_000
_WORDS = 50_000  # the paper, sec. 4.1


def train_vocabularies(texts: Mapping[str, Path], config: VocabConfig) -> dict[str, Vocabulary]:
    """Learn the vocabulary of each side; a joint vocabulary is one for both.

    Raises:
        SeqkdError: if a text is empty or does not support the size.
    """
    pairs = sum(1 for _ in read_lines(texts["source"]))
    if config.joint:
        both = itertools.chain.from_iterable(map(read_lines, texts.values()))
        return dict.fromkeys(texts, _train_side("both sides", both, config, pairs))
    return {
        side: _train_side(f"the {side} side", read_lines(text), config, pairs)
        for side, text in texts.items()
    }


def _train_side(side: str, lines: Iterator[str], config: VocabConfig, pairs: int) -> Vocabulary:
    """Learn a vocabulary; errors name the side."""
    first = next(lines, None)
    if first is None:
        raise SeqkdError(f"vocabulary of {side}: the training text is empty")
    try:
        return train_vocabulary(itertools.chain([first], lines), config, pairs)
    except SeqkdError as error:
        raise SeqkdError(f"vocabulary of {side}: {error}") from None


def coverage(vocabulary: Vocabulary, lines: Iterable[str]) -> dict[str, float]:
    """Return tokens per line and the share of unknown ones, on the first lines."""
    encoded = vocabulary.encode(list(itertools.islice(lines, _MEASURED_LINES)))
    tokens = sum(map(len, encoded))
    unknown = sum(ids.count(UNK) for ids in encoded)
    return {
        "tokens_per_line": round(tokens / max(len(encoded), 1), 3),
        "unknown_share": round(unknown / max(tokens, 1), 6),
    }


def train_vocabulary(lines: Iterable[str], config: VocabConfig, pairs: int = 0) -> Vocabulary:
    """Learn a vocabulary from text; the same text and config give the same bytes.

    Args:
        lines: training text of one side, or of both for a joint vocabulary.
        config: kind and size.
        pairs: size of the training text, by which subwords get a size if the config has none.

    Raises:
        SeqkdError: if the text does not support the size.
    """
    if config.kind == "word":
        return _train_words(lines, config)
    return _train_subwords(lines, config, pairs)


def _default_size(sample: Sequence[str], pairs: int) -> int:
    """Return the number of subwords for so many pairs of which `sample` is a part."""
    return min(max(pairs // 10, 500), 8000) + len(set(itertools.chain.from_iterable(sample)))


def _train_words(lines: Iterable[str], config: VocabConfig) -> WordVocabulary:
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(tokenise_words(line, config.tokenizer))
    for special in SPECIALS:
        counts.pop(special, None)
    if config.size is not None and len(counts) < config.size:
        raise SeqkdError(
            f"vocab.size is {config.size}, but the training text has only {len(counts)} different "
            f"words; set vocab.size to {len(counts)} or less"
        )
    # Equal counts in the order of their code points, whatever order the text has.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return WordVocabulary([word for word, _ in ranked[: config.size or _WORDS]], config.tokenizer)


def _train_subwords(lines: Iterable[str], config: VocabConfig, pairs: int) -> SubwordVocabulary:
    from sentencepiece import SentencePieceTrainer

    sample = thin(lines, _TRAINING_CHARACTERS)
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            # An iterator and not a file: the model would carry the file's name.
            sentence_iterator=map(_learnable, sample),
            model_writer=model,
            model_type=config.kind,
            vocab_size=config.size or _default_size(sample, pairs),
            hard_vocab_limit=config.size is not None,
            character_coverage=config.character_coverage,
            normalization_rule_name="identity",  # `text.normalise` did it, for all kinds alike
            max_sentence_length=_LONGEST_LINE_BYTES,
            num_threads=1,  # sums in another order would give other scores
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            unk_surface=_UNKNOWN_SURFACE,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise SeqkdError(_explain(str(error), config)) from None
    return SubwordVocabulary(model.getvalue())


def _learnable(line: str) -> str:
    """Return a line without what sentencepiece skips it for, U+2585, or erases: special tokens."""
    line = line.replace("\u2585", " ")
    for special in SPECIALS:
        line = line.replace(special, " ".join(special))
    return line


def thin(lines: Iterable[str], most: int) -> list[str]:
    """Return evenly spaced lines of at most `most` characters: all, every 2nd, every 4th..."""
    sample: list[str] = []
    step, size = 1, 0
    for number, line in enumerate(lines):
        if number % step == 0:
            sample.append(line)
            size += len(line)
            while size > most and len(sample) > 1:
                sample = sample[::2]
                size = sum(map(len, sample))
                step *= 2
    return sample


def _explain(error: str, config: VocabConfig) -> str:
    """Return sentencepiece's reason as one readable line."""
    if match := re.search(r"Please set it to a value <= (\d+)", error):
        return (
            f"vocab.size is {config.size}, but the training text supports at most {match[1]} "
            f"subwords ({config.kind}); set vocab.size to {match[1]} or less"
        )
    if match := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return (
            f"vocab.size is {config.size}, but the single characters of the text alone need "
            f"{match[1]}; raise vocab.size, or lower vocab.character_coverage"
        )
    return f"sentencepiece could not learn a vocabulary: {' '.join(error.split())[:300]}"
