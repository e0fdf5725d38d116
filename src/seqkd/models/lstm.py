"""The paper's model: stacked LSTM encoder and decoder, global attention, input feeding.

Kim & Rush (2016) use the design of Luong et al. (2015): a unidirectional encoder, a decoder of the
same depth that starts from the encoder's last states, "general" attention, input feeding, and
three separate embedding matrices. `LstmConfig` says what may differ.

This file is the model in plain PyTorch, for any device. On a CPU with a C compiler, `hidden` and
`decoder` use `kernels`, which compute the same faster, and training on a GPU replays this code as
CUDA graphs (`kernels.graphs`); SEQKD_KERNELS=0 switches both off.

Matrix products run in `compute_dtype`; cell states, softmax and nonlinearities are fp32.

Shapes: B batch, S source length, T target length, N hypotheses, E embedding, H width,
G = 4 H gates in the order o, i, f, g, L layers, D directions, X = H / D, K = N / B, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqkd.config.architecture import LstmConfig
from seqkd.models.dropout import DropoutNoise
from seqkd.models.kernels import compiled, graphs, teacher_forcing
from seqkd.models.kernels.lstm_decoder import LstmDecoder
from seqkd.models.padding import padding_mask, reverse_index
from seqkd.models.precision import autocast, cast_matrices
from seqkd.models.protocol import Decoder, State


def lstm_cell(gates_NG: Tensor, c_NX: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and cell state after one step (Hochreiter & Schmidhuber 1997)."""
    if c_NX.is_cuda:
        return _lstm_cell_on_gpu(gates_NG, c_NX)
    o, i, f, g = gates_NG.chunk(4, -1)
    c_NX = torch.sigmoid(f) * c_NX + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_NX), c_NX


def _lstm_cell_on_gpu(gates_NG: Tensor, c_NX: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same by one kernel forwards and one backwards, of a dozen and two dozen."""
    with torch.autocast("cuda", enabled=False):  # which would round cell states to bf16
        ifgo_NG = gates_NG.float().roll(-c_NX.shape[1], -1)  # the order that the kernel has
        none_NG = torch.zeros_like(ifgo_NG)  # the gates come as two addends
        h_NX, c_NX, _ = torch.ops.aten._thnn_fused_lstm_cell(ifgo_NG, none_NG, c_NX)
    return h_NX, c_NX


def run_direction(
    gates_SBG: Tensor, weight_XG: Tensor, length_B: Tensor, *, backwards: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one direction of an encoder layer from a zero state.

    Args:
        gates_SBG: the input's part of the gates, bias included.
        weight_XG: recurrent weights.
        length_B: words of each source.
        backwards: read each source from its end.

    Returns:
        Outputs (S, B, X), and the output and the cell after each source's last step (B, X).
        Outputs on padding are meaningless.
    """
    reverse = reverse_index(length_B, len(gates_SBG))
    if backwards:
        gates_SBG = gates_SBG[reverse]
    h_BX = c_BX = gates_SBG.new_zeros(len(length_B), len(weight_XG))
    outputs, cells = [], []
    for gates_BG in gates_SBG:
        h_BX, c_BX = lstm_cell(gates_BG + h_BX @ weight_XG, c_BX)
        outputs.append(h_BX)
        cells.append(c_BX)
    h_SBX, c_SBX = torch.stack(outputs), torch.stack(cells)
    last = length_B - 1, torch.arange(len(length_B), device=length_B.device)
    return h_SBX[reverse] if backwards else h_SBX, h_SBX[last], c_SBX[last]


class Lstm(nn.Module):
    """Encoder and decoder, for teacher forcing (`hidden`) and for search (`start`, `step`).

    Attributes:
        compute_dtype: of matrix products, fp32 or bf16; parameters are always fp32.
        noise: source of dropout masks; training renews it for each batch.
        vocab_size: of the target.
    """

    def __init__(self, config: LstmConfig, src_vocab_size: int, tgt_vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.noise = DropoutNoise([0])
        self.vocab_size = tgt_vocab_size
        width, gates, embed = config.width, 4 * config.width, config.embedding_size

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape))

        # None: shared with the output projection.
        shares_all = config.tie_embeddings == "all"
        self.src_embedding_VE = None if shares_all else weight(src_vocab_size, embed)
        self.tgt_embedding_VE = None if config.tie_embeddings else weight(tgt_vocab_size, embed)
        directions = [2 if config.bidirectional and k == 0 else 1 for k in range(config.layers)]
        sizes = [embed] + [width] * (config.layers - 1)
        self.encoder_input = nn.ParameterList(weight(size, gates) for size in sizes)
        self.encoder_bias = nn.ParameterList(weight(gates) for _ in sizes)
        self.encoder_recurrent = nn.ParameterList(
            weight(d, width // d, gates // d) for d in directions
        )
        below = [width if config.input_feeding else 0] + [width] * (config.layers - 1)
        self.decoder_input = weight(embed, gates)
        self.decoder_bias = nn.ParameterList(weight(gates) for _ in sizes)
        self.decoder_recurrent = nn.ParameterList(weight(b + width, gates) for b in below)
        self.attention_HH = weight(width, width)
        self.combine = weight(2 * width, width)
        self.output_weight_VD = weight(tgt_vocab_size, width)
        self.output_bias_V = weight(tgt_vocab_size)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        if self.config.init == "uniform":
            for parameter in self.parameters():
                parameter.uniform_(-0.1, 0.1)
            return
        # Larger word vectors and attention scores, and an open forget gate: the plateau before
        # alignment is learned is much shorter. Scores and logits start with the same spread
        # whatever the width.
        width = self.config.width
        for name, parameter in self.named_parameters():
            if name.endswith("_VE"):
                parameter.normal_(std=0.5)
            elif name == "output_weight_VD":
                # As word vectors of the source the rows want to be large, as a projection small.
                shared = self.config.tie_embeddings == "all"
                parameter.normal_(std=0.2 if shared else 0.8 / math.sqrt(width))
            elif parameter.dim() == 1:
                parameter.zero_()
            elif parameter.dim() == 3:
                for direction in parameter:
                    nn.init.xavier_uniform_(direction)
            else:
                gain = 32 / math.sqrt(width) if name == "attention_HH" else 1.0
                nn.init.xavier_uniform_(parameter, gain=gain)
        for bias, recurrent in zip(self.encoder_bias, self.encoder_recurrent, strict=True):
            for block in bias.view(recurrent.shape[0], 4, -1):
                block[2] = 1.0
        for bias in self.decoder_bias:
            bias.view(4, -1)[2] = 1.0

    @property
    def source_embedding_VE(self) -> Tensor:
        """Source word vectors, also when they are tied to the output projection."""
        table = self.src_embedding_VE
        return self.output_weight_VD if table is None else table

    @property
    def target_embedding_VE(self) -> Tensor:
        """Target word vectors, also when they are tied to the output projection."""
        table = self.tgt_embedding_VE
        return self.output_weight_VD if table is None else table

    # ------------------------------------------------------------------ dropout and word vectors

    def dropout_mask(self, *shape: int) -> Tensor | None:
        """Return a scaled mask in the compute dtype, or None where nothing is dropped."""
        if not self.training or self.config.dropout == 0.0:
            return None
        device = self.output_bias_V.device
        return self.noise.mask(shape, self.config.dropout, self.compute_dtype, device)

    def drop(self, x: Tensor) -> Tensor:
        """Apply dropout."""
        mask = self.dropout_mask(*x.shape)
        return x if mask is None else x * mask

    def embed(self, token: Tensor, table_VE: Tensor) -> Tensor:
        """Return word vectors in the compute dtype, after dropout."""
        return self.drop(F.embedding(token, table_VE).to(self.compute_dtype))

    # ------------------------------------------------------------------ encoder

    def encode(
        self, words_SBE: Tensor, length_B: Tensor, drop_SBH: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the memory (B, S, H), and each layer's last output and cell, both (B, L, H).

        Args:
            words_SBE: word vectors, see `embed`.
            length_B: words of each source.
            drop_SBH: scaled dropout masks below each layer but the first, or none at all.
        """
        x_SBH = words_SBE
        h_last, c_last = [], []
        for layer, weight_DXG in enumerate(self.encoder_recurrent):
            if layer and drop_SBH:
                x_SBH = x_SBH * drop_SBH[layer - 1]
            gates_SBG = x_SBH @ self.encoder_input[layer] + self.encoder_bias[layer]
            gates = gates_SBG.chunk(len(weight_DXG), -1)
            runs = [
                run_direction(gates[d], weight_XG, length_B, backwards=d == 1)
                for d, weight_XG in enumerate(weight_DXG)
            ]
            x_SBH, h_BH, c_BH = (torch.cat(halves, -1) for halves in zip(*runs, strict=True))
            h_last.append(h_BH)
            c_last.append(c_BH)
        return x_SBH.transpose(0, 1), torch.stack(h_last, 1), torch.stack(c_last, 1)

    # ------------------------------------------------------------------ decoder

    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        """Encode the sources; see `protocol.Decoder`.

        State: sentence = memory (B, S, H), keys (B, S, H), mask (B, S); hypothesis = attentional
        state (N, H), outputs (N, L, H), cells (N, L, H).
        """
        words_SBE = self.embed(src_BS.t(), self.source_embedding_VE)
        return self._start(words_SBE, length_B)

    def _start(self, words_SBE: Tensor, length_B: Tensor, drop_SBH: Sequence[Tensor] = ()) -> State:
        """Return the state before the first target word; for the arguments see `encode`."""
        with autocast(words_SBE.device, self.compute_dtype):
            memory_BSH, h_BLH, c_BLH = self.encode(words_SBE, length_B, drop_SBH)
            keys_BSH = memory_BSH @ self.attention_HH
        mask_BS = padding_mask(length_B, words_SBE.shape[0])
        first_BH = torch.zeros_like(h_BLH[:, 0])
        return State((memory_BSH, keys_BSH, mask_BS), (first_BH, h_BLH, c_BLH))

    def decoder_step(
        self,
        word_NE: Tensor,
        state: State,
        drop_LNH: Tensor | None = None,
        drop_NH: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Do one step of the decoder (Luong et al. 2015, sec. 3.1 and 3.3).

        `kernels` compute the same where they can.

        Args:
            word_NE: vectors of the words before.
            state: see `start`.
            drop_LNH: scaled dropout masks between layers, or None.
            drop_NH: scaled dropout mask of the attentional state, or None.

        Returns:
            The attentional state (N, H), the attention weights (N, S), and the state after the
            step.
        """
        memory_BSH, keys_BSH, mask_BS = state.sentence
        attentional_NH, h_NLH, c_NLH = state.hypothesis
        # The stacked LSTM. The attentional state before is part of the input: input feeding.
        x_NI = attentional_NH if self.config.input_feeding else attentional_NH[:, :0]
        outputs, cells = [], []
        for layer, weight in enumerate(self.decoder_recurrent):
            if layer and drop_LNH is not None:
                x_NI = x_NI * drop_LNH[layer - 1]
            gates_NG = torch.cat([x_NI, h_NLH[:, layer]], 1) @ weight + self.decoder_bias[layer]
            if layer == 0:
                gates_NG = gates_NG + word_NE @ self.decoder_input
            x_NI, c_NH = lstm_cell(gates_NG, c_NLH[:, layer])
            outputs.append(x_NI)
            cells.append(c_NH)
        # "General" attention: the score of a source word is h W_a h_s (eq. 8), keys are W_a h_s.
        h_NH = x_NI
        h_BKH = h_NH.view(memory_BSH.shape[0], -1, h_NH.shape[1])
        scores_BKS = h_BKH @ keys_BSH.transpose(1, 2) + mask_BS[:, None]
        attention_BKS = torch.softmax(scores_BKS, -1)
        context_NH = (attention_BKS @ memory_BSH).view(h_NH.shape)
        # The attentional state: tanh(W_c [context; h]) (eq. 5).
        attentional_NH = torch.tanh(torch.cat([context_NH, h_NH], 1) @ self.combine)
        if drop_NH is not None:
            attentional_NH = attentional_NH * drop_NH
        hypothesis = attentional_NH, torch.stack(outputs, 1), torch.stack(cells, 1)
        return attentional_NH, attention_BKS.flatten(0, 1), State(state.sentence, hypothesis)

    def hidden(self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor) -> Tensor:
        """Return attentional states (B, T, H) for target prefixes that start with `bos`."""
        return self.hidden_and_attention(src_BS, length_B, tgt_in_BT)[0]

    def hidden_and_attention(
        self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the same, and the attention weights (B, T, S) of each step, fp32."""
        if compiled.available(self.compute_dtype, src_BS.device):
            return teacher_forcing.hidden_and_attention(self, src_BS, length_B, tgt_in_BT)
        if graphs.available(self, src_BS.device):
            return graphs.hidden_and_attention(self, src_BS, length_B, tgt_in_BT)
        return self.forced(*self.forced_inputs(src_BS, length_B, tgt_in_BT))

    def forced_inputs(
        self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the arguments of `forced`: word vectors, and all that is random."""
        batch, steps = tgt_in_BT.shape
        layers, width = self.config.layers, self.config.width
        words_SBE = self.embed(src_BS.t(), self.source_embedding_VE)
        drops = [self.dropout_mask(src_BS.shape[1], batch, width) for _ in range(layers - 1)]
        words_TBE = self.embed(tgt_in_BT.t(), self.target_embedding_VE)
        drops += [
            self.dropout_mask(layers - 1, steps, batch, width),
            self.dropout_mask(steps, batch, width),
        ]
        masks = [mask for mask in drops if mask is not None]
        return words_SBE, length_B, words_TBE, *masks

    def forced(
        self, words_SBE: Tensor, length_B: Tensor, words_TBE: Tensor, *drop: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `hidden_and_attention` does.

        Args:
            words_SBE: vectors of the source words.
            length_B: words of each source.
            words_TBE: vectors of the target words before.
            drop: scaled dropout masks: L - 1 for the encoder, one for the decoder's layers
                (L - 1, T, B, H), one for its attentional states (T, B, H); or none.
        """
        *drop_SBH, drop_LTBH, drop_TBH = drop or (None, None)
        with autocast(words_SBE.device, self.compute_dtype):
            state = self._start(words_SBE, length_B, drop_SBH)
            states, attention = [], []
            for t, word_BE in enumerate(words_TBE):
                drop_LBH = None if drop_LTBH is None else drop_LTBH[:, t]
                drop_BH = None if drop_TBH is None else drop_TBH[t]
                attentional_BH, attention_BS, state = self.decoder_step(
                    word_BE, state, drop_LBH, drop_BH
                )
                states.append(attentional_BH)
                attention.append(attention_BS)
        return torch.stack(states, 1).to(self.compute_dtype), torch.stack(attention, 1)

    # ------------------------------------------------------------------ search

    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance each hypothesis by one word; see `protocol.Decoder`."""
        with autocast(token_N.device, self.compute_dtype):
            word_NE = F.embedding(token_N, self.target_embedding_VE)
            attentional_NH, _, state = self.decoder_step(word_NE, state)
            return F.linear(attentional_NH, self.output_weight_VD, self.output_bias_V), state

    def decoder(self) -> Decoder:
        """Return the model made ready for search."""
        self.eval()
        if compiled.available(self.compute_dtype, self.output_bias_V.device):
            return LstmDecoder(self)
        return cast_matrices(self, self.compute_dtype)
