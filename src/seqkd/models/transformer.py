"""The Transformer (Vaswani et al. 2017), pre- or post-norm (Xiong et al. 2020).

It offers the same calls as `lstm`, so any teacher may teach any student. A deep encoder with a
shallow decoder (Kasai et al. 2021) is a matter of the config; `decoder: ssru` replaces the
decoder's self-attention by a simple recurrent unit whose state does not grow (Kim et al. 2019).

Weights and norms are fp32; autocast runs matrix products in `compute_dtype`.

Shapes: B batch, S source length, T target length, D width, H heads, K width of a head, V
vocabulary, L decoder layers, N hypotheses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqkd.config.architecture import TransformerConfig
from seqkd.models.dropout import DropoutNoise
from seqkd.models.kernels.products import PackedLinear
from seqkd.models.precision import autocast
from seqkd.models.protocol import State

_MAX_PERIOD = 10_000.0  # of the sinusoidal positions, Vaswani et al. (2017), sec. 3.5


def sinusoids(start: int, steps: int, width: int, device: torch.device) -> Tensor:
    """Return position encodings (steps, width) from position `start` on, fp32."""
    position = (start + torch.arange(steps, device=device))[:, None].float()
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(_MAX_PERIOD) / width))
    return torch.cat([torch.sin(position * rate), torch.cos(position * rate)], 1)[:, :width]


class _Linear(nn.Linear):
    """`nn.Linear` with Xavier weights and a bias of 0 at first."""

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


def _split(x_BTD: Tensor, heads: int) -> Tensor:
    """Return (B, H, T, K)."""
    split: Tensor = x_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)
    return split


def _join(x_BHTK: Tensor) -> Tensor:
    """Return (B, T, D)."""
    return x_BHTK.transpose(1, 2).flatten(2)


def _in_fp32(norm: nn.Module | None, x: Tensor) -> Tensor:
    """Normalise in fp32 whatever the dtype of x, for the precision of its gradients."""
    return x if norm is None else norm(x.float()).to(x.dtype)


class _SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = _Linear(width, 3 * width)
        self.out = _Linear(width, width)

    def forward(self, mask: Tensor | None, x_BTD: Tensor) -> Tensor:
        q, k, v = (_split(part, self.heads) for part in self.qkv(x_BTD).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)
        joined: Tensor = self.out(_join(mixed))
        return joined

    def step(self, cache_NTD2: Tensor, caches: list[Tensor], x_ND: Tensor) -> Tensor:
        """Attend from one new position to it and all before; add the longer cache to `caches`."""
        q, k, v = self.qkv(x_ND).chunk(3, -1)
        caches.append(torch.cat([cache_NTD2, torch.cat([k, v], -1).unsqueeze(1)], 1))
        keys, values = (_split(part, self.heads) for part in caches[-1].chunk(2, -1))
        mixed = F.scaled_dot_product_attention(_split(q.unsqueeze(1), self.heads), keys, values)
        return self.out(_join(mixed)).squeeze(1)  # type: ignore[no-any-return]


class _Ssru(nn.Module):
    """Simpler simple recurrent unit: c = f * c + (1 - f) * W x; output ReLU(c).

    Source: Kim et al. (2019), D19-5632, sec. 2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = _Linear(width, 2 * width)

    def forward(self, mask: Tensor | None, x_BTD: Tensor) -> Tensor:
        value, forget = self._gates(x_BTD)
        cell = torch.zeros_like(value[:, 0])
        cells = []
        for t in range(x_BTD.shape[1]):
            cell = forget[:, t] * cell + (1 - forget[:, t]) * value[:, t]
            cells.append(cell)
        return torch.relu(torch.stack(cells, 1)).to(x_BTD.dtype)

    def _gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, forget = self.input(x).float().chunk(2, -1)
        return value, torch.sigmoid(forget)

    def step(self, cell_N1D: Tensor, caches: list[Tensor], x_ND: Tensor) -> Tensor:
        """Advance by one position; the cache is the cell state (N, 1, D)."""
        value, forget = self._gates(x_ND)
        cell = forget * cell_N1D.squeeze(1) + (1 - forget) * value
        caches.append(cell.unsqueeze(1))
        return torch.relu(cell).to(x_ND.dtype)


class _CrossAttention(nn.Module):
    """Multi-head attention of target positions to the source."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = _Linear(width, width)
        self.memory = _Linear(width, 2 * width)
        self.out = _Linear(width, width)

    def forward(self, memory_BSD2: Tensor, mask_BS: Tensor, x: Tensor) -> Tensor:
        """Attend from (B, T, D), or from (N, D): the hypotheses of a sentence share its memory."""
        keys, values = (_split(part, self.heads) for part in memory_BSD2.chunk(2, -1))
        query = _split(self.query(x.view(memory_BSD2.shape[0], -1, x.shape[-1])), self.heads)
        mixed = F.scaled_dot_product_attention(query, keys, values, mask_BS[:, None, None])
        return self.out(_join(mixed)).view(x.shape)  # type: ignore[no-any-return]

    def first_head(self, memory_BSD2: Tensor, mask_BS: Tensor, x_BTD: Tensor) -> Tensor:
        """Return the attention weights of the first head, (B, T, S), fp32."""
        key_BSK = _split(memory_BSD2.chunk(2, -1)[0], self.heads)[:, 0]
        query_BTK = _split(self.query(x_BTD), self.heads)[:, 0]
        scores_BTS = (query_BTK @ key_BSK.transpose(1, 2)).float() / math.sqrt(key_BSK.shape[-1])
        return scores_BTS.masked_fill(~mask_BS[:, None], -math.inf).softmax(-1)


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = _Linear(width, inner)
        self.outer = _Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        outer: Tensor = self.outer(torch.relu(self.inner(x)))
        return outer


class _EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.mix = _SelfAttention(config.width, config.heads)
        self.feed_forward = _FeedForward(config.width, config.feedforward_size)
        self.first, self.last = nn.LayerNorm(config.width), nn.LayerNorm(config.width)


class _DecoderLayer(nn.Module):
    """Self-attention or a recurrent unit, attention to the memory, a feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        recurrent = config.decoder == "ssru"
        self.mix = _Ssru(width) if recurrent else _SelfAttention(width, config.heads)
        self.cross = _CrossAttention(width, config.heads)
        self.feed_forward = _FeedForward(width, config.feedforward_size)
        self.first, self.middle, self.last = (nn.LayerNorm(width) for _ in range(3))


class Transformer(nn.Module):
    """Encoder and decoder with teacher forcing; `decoder` gives the form for search.

    Attributes:
        compute_dtype: of matrix products, fp32 or bf16; parameters are always fp32.
        noise: source of dropout masks; training renews it for each batch.
    """

    def __init__(self, config: TransformerConfig, src_vocab_size: int, tgt_vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.noise = DropoutNoise([0])
        width = config.width
        std = width**-0.5
        # None: shared with the output projection.
        self.src_embedding_VD = (
            None if config.tie_embeddings == "all" else _normal(src_vocab_size, width, std)
        )
        self.tgt_embedding_VD = (
            None if config.tie_embeddings else _normal(tgt_vocab_size, width, std)
        )
        self.encoder_layers = nn.ModuleList(_EncoderLayer(config) for _ in range(config.layers))
        self.decoder_layers = nn.ModuleList(
            _DecoderLayer(config) for _ in range(config.depth_of_decoder)
        )
        self.encoder_norm = nn.LayerNorm(width) if config.norm == "pre" else None
        self.decoder_norm = nn.LayerNorm(width) if config.norm == "pre" else None
        self.output_weight_VD = _normal(tgt_vocab_size, width, std)
        self.output_bias_V = nn.Parameter(torch.zeros(tgt_vocab_size))

    # ------------------------------------------------------------------ parts

    @property
    def source_embedding_VD(self) -> Tensor:
        """Source word vectors, also when they are tied to the output projection."""
        table = self.src_embedding_VD
        return self.output_weight_VD if table is None else table

    @property
    def target_embedding_VD(self) -> Tensor:
        """Target word vectors, also when they are tied to the output projection."""
        table = self.tgt_embedding_VD
        return self.output_weight_VD if table is None else table

    @property
    def stack(self) -> list[_DecoderLayer]:
        """The decoder's layers, typed."""
        return cast(list[_DecoderLayer], list(self.decoder_layers))

    def _drop(self, x: Tensor) -> Tensor:
        if not self.training or self.config.dropout == 0.0:
            return x
        return x * self.noise.mask(x.shape, self.config.dropout, x.dtype, x.device)

    def embed(self, token_BT: Tensor, table_VD: Tensor, start: int = 0) -> Tensor:
        """Return scaled word vectors plus positions, in the compute dtype, after dropout."""
        width = self.config.width
        x = F.embedding(token_BT, table_VD) * math.sqrt(width)
        x = x + sinusoids(start, token_BT.shape[1], width, token_BT.device)
        return self._drop(x.to(self.compute_dtype))

    def sublayer(self, x: Tensor, norm: nn.Module, f: Callable[[Tensor], Tensor]) -> Tensor:
        """Add what `f` makes of x to x; pre-norm normalises the input of `f`, post-norm the sum."""
        if self.config.norm == "pre":
            return x + self._drop(f(_in_fp32(norm, x)))
        return _in_fp32(norm, x + self._drop(f(x)))

    def encode(self, src_BS: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return memory (B, S, D) and the mask of real words (B, S)."""
        mask_BS = torch.arange(src_BS.shape[1], device=src_BS.device)[None] < length_B[:, None]
        x = self.embed(src_BS, self.source_embedding_VD)
        for layer in cast(Iterable[_EncoderLayer], self.encoder_layers):
            mix = functools.partial(layer.mix, mask_BS[:, None, None])
            x = self.sublayer(x, layer.first, mix)
            x = self.sublayer(x, layer.last, layer.feed_forward)
        return _in_fp32(self.encoder_norm, x), mask_BS

    # ------------------------------------------------------------------ teacher forcing

    def hidden(self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor) -> Tensor:
        """Return states before the output projection (B, T, D) for prefixes that start with bos."""
        return self._forced(src_BS, length_B, tgt_in_BT)

    def hidden_and_attention(
        self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the same, and the attention (B, T, S) of the last layer's first head, fp32."""
        attention: list[Tensor] = []
        hidden_BTD = self._forced(src_BS, length_B, tgt_in_BT, attention)
        return hidden_BTD, attention[0]

    def _forced(
        self,
        src_BS: Tensor,
        length_B: Tensor,
        tgt_in_BT: Tensor,
        attention: list[Tensor] | None = None,
    ) -> Tensor:
        """Return what `hidden` does; add the last layer's attention to `attention`."""
        with autocast(src_BS.device, self.compute_dtype):
            memory_BSD, mask_BS = self.encode(src_BS, length_B)
            x = self.embed(tgt_in_BT, self.target_embedding_VD)
            for layer in self.stack:
                memory_BSD2 = layer.cross.memory(memory_BSD)
                cross = functools.partial(layer.cross, memory_BSD2, mask_BS)
                x = self.sublayer(x, layer.first, functools.partial(layer.mix, None))
                if attention is not None and layer is self.stack[-1]:
                    query = _in_fp32(layer.middle, x) if self.config.norm == "pre" else x
                    attention.append(layer.cross.first_head(memory_BSD2, mask_BS, query))
                x = self.sublayer(x, layer.middle, cross)
                x = self.sublayer(x, layer.last, layer.feed_forward)
        return self._drop(_in_fp32(self.decoder_norm, x))

    def decoder(self) -> TransformerDecoder:
        """Return the model made ready for search."""
        return TransformerDecoder(self)


def _normal(rows: int, width: int, std: float) -> nn.Parameter:
    table = torch.empty(rows, width)
    return nn.Parameter(table if table.is_meta else nn.init.normal_(table, std=std))


class TransformerDecoder:
    """A `Transformer` ready for search: keys and values of earlier positions are kept.

    State: sentence = keys and values of the memory (B, L, S, 2 D), mask (B, S); hypothesis =
    cache (N, L, T, 2 D) of self-attention, growing, or (N, L, 1, D) cells of the recurrent unit,
    and the position (N,).

    Attributes:
        output: the projection of states (N, D) to logits (N, V).
    """

    @torch.inference_mode()
    def __init__(self, model: Transformer) -> None:
        model.eval()
        self._model = model
        self._dtype = model.compute_dtype
        self.vocab_size = model.output_weight_VD.shape[0]
        self.output: Callable[[Tensor], Tensor] = PackedLinear(
            model.output_weight_VD.t(), model.output_bias_V, self._dtype
        )

    @torch.inference_mode()
    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        """Encode the sources; see `protocol.Decoder`."""
        model = self._model
        with autocast(src_BS.device, self._dtype):
            memory_BSD, mask_BS = model.encode(src_BS, length_B)
            memories = torch.stack([layer.cross.memory(memory_BSD) for layer in model.stack], 1)
        batch, layers, width = src_BS.shape[0], len(model.decoder_layers), model.config.width
        if model.config.decoder == "ssru":
            cache = torch.zeros(batch, layers, 1, width, device=src_BS.device)
        else:
            cache = memories.new_empty(batch, layers, 0, 2 * width)
        position = torch.zeros(batch, dtype=torch.long, device=src_BS.device)
        return State((memories, mask_BS), (cache, position))

    @torch.inference_mode()
    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance each hypothesis by one word; see `protocol.Decoder`."""
        model = self._model
        memories_BLSD2, mask_BS = state.sentence
        cache_NLTD2, position_N = state.hypothesis
        # Hypotheses of one search are all at the same position; `int` would fix it in a trace.
        position = cast(int, position_N[0].item()) if position_N.shape[0] else 0
        caches: list[Tensor] = []
        with autocast(token_N.device, self._dtype):
            x = model.embed(token_N[:, None], model.target_embedding_VD, position).squeeze(1)
            for k, layer in enumerate(model.stack):
                mix = functools.partial(layer.mix.step, cache_NLTD2[:, k], caches)
                cross = functools.partial(layer.cross, memories_BLSD2[:, k], mask_BS)
                x = model.sublayer(x, layer.first, mix)
                x = model.sublayer(x, layer.middle, cross)
                x = model.sublayer(x, layer.last, layer.feed_forward)
        logits_NV = self.output(_in_fp32(model.decoder_norm, x))
        return logits_NV, State(state.sentence, (torch.stack(caches, 1), position_N + 1))
