"""Small decoders, and a slow obvious twin of beam search, for the tests of search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from seqkd.models.protocol import State
from seqkd.search.config import Hypothesis, SearchConfig, length_penalty
from seqkd.vocabulary.specials import BOS, EOS, PAD


class ToyDecoder:
    """A tiny recurrent decoder with attention-free memory: logits depend on source and prefix."""

    def __init__(self, vocab_size: int, seed: int, width: int = 8, dtype=torch.float64, peak=3.0):
        generator = torch.Generator().manual_seed(seed)

        def weight(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        self.vocab_size, self.dtype = vocab_size, dtype
        self.source, self.word = weight(64, width), weight(vocab_size, width)
        self.recurrent, self.output = weight(width, width), weight(width, vocab_size) * peak
        self.output[:, EOS] += 0.1

    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        real = torch.arange(src_BS.shape[1])[None] < length_B[:, None]
        memory = (self.source[src_BS % 64] * real[:, :, None]).sum(1).tanh()
        return State((memory,), (torch.zeros_like(memory), torch.zeros(len(src_BS))))

    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        (memory,), (hidden, count) = state
        assert len(hidden) == len(token_N)
        assert len(token_N) % len(memory) == 0
        tiled = memory.repeat_interleave(len(token_N) // len(memory), 0)
        hidden = torch.tanh(hidden @ self.recurrent + self.word[token_N] + tiled)
        return hidden @ self.output, State(state.sentence, (hidden, count + 1))


def source(*lengths: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(4, 64, (len(lengths), max(lengths)), generator=generator)
    length = torch.tensor(lengths)
    return src.masked_fill(torch.arange(max(lengths))[None] >= length[:, None], PAD), length


def forced(decoder: ToyDecoder, src: Tensor, words: Sequence[int]) -> float:
    """Log-probability of `words` and `eos` under teacher forcing, one sentence."""
    state = decoder.start(src[None], torch.tensor([len(src)]))
    total = 0.0
    for before, word in itertools.pairwise([BOS, *words, EOS]):
        logits, state = decoder.step(torch.tensor([before]), state)
        total += float(logits.float().double().log_softmax(1)[0, word])
    return total


def slow_beam(decoder: ToyDecoder, src: Tensor, config: SearchConfig) -> list[Hypothesis]:
    """Beam search as a textbook has it: one sentence, Python lists, no cleverness."""
    limit = int(config.limit(torch.tensor(len(src))))

    def rank(hypothesis: Hypothesis) -> float:
        length = torch.tensor(len(hypothesis.tokens) + 1)
        return hypothesis.log_prob / float(length_penalty(length, config.length_penalty))

    def scores(words: tuple[int, ...]) -> list[float]:
        state = decoder.start(src[None], torch.tensor([len(src)]))
        for word in (BOS, *words):
            logits, state = decoder.step(torch.tensor([word]), state)
        return logits.float().double().log_softmax(1)[0].tolist()

    live, ended = [Hypothesis((), 0.0)], []
    for step in range(limit):
        found = [
            (hypothesis.log_prob + score, hypothesis.tokens, word)
            for hypothesis in live
            for word, score in enumerate(scores(hypothesis.tokens))
            if word not in (PAD, BOS) and (step + 1 < limit or word == EOS)
        ]
        found.sort(key=lambda candidate: -candidate[0])  # stable: ties by rank, then word
        ended += [Hypothesis(t, s) for s, t, word in found[: config.beam] if word == EOS]
        ended.sort(key=lambda hypothesis: -rank(hypothesis))
        live = [Hypothesis((*t, word), s) for s, t, word in found if word != EOS][: config.beam]
        if not live:
            break
        worst = rank(ended[config.n_best - 1]) if len(ended) >= config.n_best else -math.inf
        bound = live[0].log_prob / float(length_penalty(torch.tensor(limit), config.length_penalty))
        if worst >= bound:
            break
    return ended[: config.n_best]


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    # Scores are float32 sums; the twin's are float64.
    assert [h.log_prob for h in found] == pytest.approx([h.log_prob for h in expected], abs=2e-5)


def enumerate_all(decoder: ToyDecoder, src: Tensor, limit: int) -> list[Hypothesis]:
    words = [word for word in range(decoder.vocab_size) if word not in (PAD, BOS, EOS)]
    space = itertools.chain.from_iterable(
        itertools.product(words, repeat=length) for length in range(limit)
    )
    every = [Hypothesis(tokens, forced(decoder, src, tokens)) for tokens in space]
    return sorted(every, key=lambda hypothesis: -hypothesis.log_prob)


class TinyDecoder(ToyDecoder):
    """A toy whose every sentence ends within 4 words, and where PAD and BOS have no mass."""

    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        logits, state = super().step(token_N, state)
        logits[:, [PAD, BOS]] = -1e9
        last = state.hypothesis[1] >= 4
        logits[last] = -1e9
        logits[last, EOS] = 0.0
        return logits, state


class ChainDecoder:
    """Log-probabilities after each word from a table; the source says nothing."""

    def __init__(self, table: dict[int, dict[int, float]], vocab_size: int, dtype=torch.float32):
        self.vocab_size = vocab_size
        self.logits = torch.full((vocab_size, vocab_size), -1e4, dtype=dtype)
        for before, row in table.items():
            for word, probability in row.items():
                self.logits[before, word] = math.log(probability)

    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        return State((), ())

    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        return self.logits[token_N].clone(), state
