"""The attentional LSTM: stacked encoder, global attention, input feeding.

Kim & Rush (2016) use exactly the design of Luong et al. (2015): a unidirectional stacked LSTM
encoder, a decoder of the same depth started from the encoder's last states, "general" attention,
input feeding, and three separate embedding matrices. `LstmConfig` says what may differ.

Shapes: B batch, S source length, T target length, E embedding, H width, G = 4 H gates,
L layers, V vocabulary, N hypotheses, D directions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqkd.config.architecture import LstmConfig
from seqkd.models.kernels.dropout import DropoutNoise
from seqkd.models.kernels.product import product
from seqkd.models.kernels.recurrence import attentional_decoder, lstm_layer
from seqkd.models.lstm_decoder import LstmDecoder, padding_mask


class Lstm(nn.Module):
    """Encoder and decoder with teacher forcing; `decoder` gives the form for search.

    Attributes:
        compute_dtype: of matrix products, fp32 or bf16; parameters are always fp32.
        noise: source of dropout masks; training renews it for each batch.
    """

    def __init__(self, config: LstmConfig, src_vocab_size: int, tgt_vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.noise = DropoutNoise([0])
        width, gates, embed = config.width, 4 * config.width, config.embedding_size

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape))

        self.src_embedding_VE = weight(src_vocab_size, embed)
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
                parameter.normal_(std=0.8 / math.sqrt(width))
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

    # ------------------------------------------------------------------ parts

    def _dropout(self, *shape: int, device: torch.device) -> Tensor | None:
        """Return a scaled mask of kept units in the compute dtype, or None."""
        if not self.training or self.config.dropout == 0.0:
            return None
        return self.noise.mask(shape, self.config.dropout, self.compute_dtype, device)

    def _drop(self, x: Tensor) -> Tensor:
        mask = self._dropout(*x.shape, device=x.device)
        return x if mask is None else x * mask

    def _embed(self, token: Tensor, table_VE: Tensor) -> Tensor:
        return self._drop(F.embedding(token, table_VE).to(self.compute_dtype))

    @property
    def target_embedding_VE(self) -> Tensor:
        """Target word vectors, also when they are tied to the output projection."""
        table = self.tgt_embedding_VE
        return self.output_weight_VD if table is None else table

    # ------------------------------------------------------------------ encoder

    def encode(self, src_BS: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return memory (B, S, H) and the decoder's first outputs and cells, each (L, B, H)."""
        x_SBE = self._embed(src_BS.t(), self.src_embedding_VE)
        h_last, c_last = [], []
        for layer, recurrent in enumerate(self.encoder_recurrent):
            if layer:
                x_SBE = self._drop(x_SBE)
            gates, bias = product(x_SBE, self.encoder_input[layer]), self.encoder_bias[layer]
            if recurrent.shape[0] == 2:
                x_SBE, h, c = self._both_ways(gates, recurrent, bias, length_B)
            else:
                h_all, h, c = lstm_layer(gates[:, None], recurrent, bias[None], length_B - 1)
                x_SBE, h, c = h_all.squeeze(1), h[0], c[0]
            h_last.append(h)
            c_last.append(c)
        return x_SBE.transpose(0, 1).contiguous(), torch.stack(h_last), torch.stack(c_last)

    def _both_ways(
        self, gates_SBG: Tensor, recurrent_DHG: Tensor, bias_G: Tensor, length_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run a layer forwards and backwards; return outputs (S, B, H), last output and cell."""
        steps, batch, _ = gates_SBG.shape
        rows = torch.arange(batch, device=gates_SBG.device)
        time_S1 = torch.arange(steps, device=gates_SBG.device)[:, None]
        # Each sentence is reversed within its own length, so padding stays at the end.
        reverse_SB = torch.where(time_S1 < length_B, length_B - 1 - time_S1, time_S1)
        forward_SBG, backward_SBG = gates_SBG.chunk(2, dim=-1)
        gates = torch.stack([forward_SBG, backward_SBG[reverse_SB, rows]], dim=1)
        h, h_last, c_last = lstm_layer(gates, recurrent_DHG, bias_G.view(2, -1), length_B - 1)
        outputs = torch.cat([h[:, 0], h[:, 1][reverse_SB, rows]], dim=-1)
        return outputs, torch.cat(list(h_last), dim=-1), torch.cat(list(c_last), dim=-1)

    def _attention_inputs(self, memory_BSH: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
        keys_BSH = product(memory_BSH, self.attention_HH)
        return keys_BSH, padding_mask(length_B, memory_BSH.shape[1])

    # ------------------------------------------------------------------ teacher forcing

    def hidden(self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor) -> Tensor:
        """Return attentional states (B, T, H) for target prefixes that start with `bos`."""
        config = self.config
        memory_BSH, h0, c0 = self.encode(src_BS, length_B)
        keys_BSH, mask_BS = self._attention_inputs(memory_BSH, length_B)
        batch, steps = tgt_in_BT.shape
        device = src_BS.device
        embedded_TBE = self._embed(tgt_in_BT.t(), self.target_embedding_VE)
        gates_TBG = product(embedded_TBE, self.decoder_input)
        between = (config.layers - 1, steps, batch, config.width)
        hidden_TBH = attentional_decoder(
            gates_TBG, h0, c0, memory_BSH, keys_BSH, mask_BS, self.combine,
            list(self.decoder_recurrent), list(self.decoder_bias),
            drop_layers=self._dropout(*between, device=device) if config.layers > 1 else None,
            drop_output=self._dropout(*between[1:], device=device),
            feeding=config.input_feeding,
        )  # fmt: skip
        return hidden_TBH.transpose(0, 1)

    def decoder(self) -> LstmDecoder:
        """Return the model made ready for search, with weights cast once."""
        return LstmDecoder(self)
