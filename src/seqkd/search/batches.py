"""Turning sources into translations with any `Decoder`: greedy and beam search, and sampling.

Search never asks which model it drives. Scores are natural logarithms of the model's own
probabilities, `eos` included, always in float32, without length normalisation unless asked
(Kim & Rush 2016 use none). Rules that hold everywhere:

- **Candidates.** A step extends each live hypothesis by every word and keeps the best. PAD and BOS
  are never chosen; they stay in the normalisation, so that a search score equals the score of
  the same words under teacher forcing. An `eos` ends a hypothesis if it is among the `beam` best
  candidates of its sentence; the beam is then refilled with the best that go on.
- **Length limit.** The last permitted word is `eos`, so that every hypothesis is a whole
  sentence with its true probability and none has to be dropped.
- **Ties** go to the hypothesis of higher rank, then to the lower word id; between ended
  hypotheses to the one that ended first. They are common where logits are bfloat16.
- **Memory.** A batch holds at most `batch_budget` source positions times live hypotheses, and the
  model's logits of one step, at most an eighth of that in rows of V; nothing of a sentence is tiled
  over its beam, and the float32 copy of logits is a few rows on a CPU. The state
  that a model keeps for each hypothesis is not counted: for a Transformer, 2 D numbers per decoder
  layer and word so far, at most 3.25 words per position of the budget by default. A step holds up
  to three copies of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from seqkd.models.padding import even_size
from seqkd.models.protocol import Decoder
from seqkd.search.beam import beam_search
from seqkd.search.config import Hypothesis, SearchConfig, batch_budget
from seqkd.search.logits import not_finite
from seqkd.search.rollout import greedy_search
from seqkd.vocabulary.tokens import batches_by_length, pad_rows

# Source positions that a sentence counts at least in a batch: bounds the rows of short ones.
_MIN_POSITIONS = 8


def translate_ids(
    decoder: Decoder,
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    device: torch.device | str = "cpu",
    *,
    on_progress: Callable[[int], None] | None = None,
    first_id: int = 0,
) -> list[list[Hypothesis]]:
    """Translate sources of any length and order, in batches of similar length.

    Args:
        decoder: the model made ready for search.
        sources: word ids of each source, as the model was trained to see them. An empty source
            has the empty translation, with log-probability 0, and never reaches the model.
        config: how to search.
        device: where the model lives.
        on_progress: called with the number of sources just translated.
        first_id: id of the first source; matters to sampling only.

    Returns:
        For each source, in the order given, its hypotheses, best first; at least one.

    Raises:
        SeqkdError: if the model's logits are not numbers.
    """
    results = [[Hypothesis((), 0.0)] for _ in sources]
    budget = batch_budget(device) // config.rows

    def size(length: int) -> int:
        return even_size(budget // max(length, _MIN_POSITIONS))

    for batch in batches_by_length(list(map(len, sources)), size):
        src_BS, length_B = (x.to(device) for x in pad_rows([list(sources[i]) for i in batch]))
        if config.sampling:
            ids = [first_id + i for i in batch]
            lists = config.sampling.search(decoder, src_BS, length_B, config, ids)
        else:
            search = greedy_search if config.beam == 1 else beam_search
            lists = search(decoder, src_BS, length_B, config)
        for i, hypotheses in zip(batch, lists, strict=True):
            wrong = config.log_probs and any(math.isnan(h.log_prob) for h in hypotheses)
            if wrong or not hypotheses:
                raise not_finite()
            results[i] = hypotheses
        if on_progress:
            on_progress(len(batch))
    if on_progress:
        on_progress(sum(not source for source in sources))
    return results
