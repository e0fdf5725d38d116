"""Our side of a comparison, in a process of its own: `in_seqkd.py JOB.json bf16|fp32|int8`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from job import Job, report
from ours import decode, new_model, train
from torch import Tensor

from seqkd.machine.runtime import set_up
from seqkd.models.lstm import Lstm
from seqkd.training.batching import ParallelTokens
from seqkd.vocabulary.specials import UNK
from seqkd.vocabulary.tokens import encode_lines, source_rows


class Words:
    """The words of vocab.txt, numbered after the special ones."""

    def __init__(self, words: list[str]) -> None:
        self._names = ["<blank>", "<unk>", "<s>", "</s>", *words]
        self._id = {word: k for k, word in enumerate(self._names)}
        self.size = len(self._names)

    def encode(self, lines: list[str]) -> list[list[int]]:
        """Return the ids of each line."""
        return [[self._id.get(word, UNK) for word in line.split()] for line in lines]

    def text(self, sentences: Sequence[Sequence[int]]) -> str:
        """Return a line of words for each sentence of ids."""
        return "".join(" ".join(self._names[k] for k in ids) + "\n" for ids in sentences)


def main() -> None:
    """Do the job and report it."""
    job = Job.load(sys.argv[1])
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32, "int8": torch.int8}[sys.argv[2]]
    device = set_up(job.threads, job.device)
    words = Words(job.lines("vocab", "txt"))
    model = new_model(job.layers, job.width, words.size).to(device)
    if job.action == "train":
        src, tgt = (encode_lines(job.lines("train", side), words) for side in ("src", "tgt"))
        pairs = ParallelTokens(src, tgt)
        tokens, cpu, wall = train(model, pairs, dtype, job.batch, job.updates, job.warm_up)
        report(cpu, wall, tokens)
        return
    model.load_state_dict(torch.load(Path(job.weights).with_suffix(".seqkd.pt")))
    sources = source_rows(words.encode(job.lines("test", "src")[: job.sentences]))
    (_, cpu, wall), found = decode(
        model, sources, dtype, job.beam, job.length, singly=job.batch == 1
    )
    Path(job.output).write_text(words.text([best.tokens for best, *_ in found]), encoding="utf-8")
    report(cpu, wall)


def as_in_peers(model: Lstm) -> dict[str, Tensor]:
    """Return the weights under the names and in the layout that the LSTM peers share."""

    def gates(weight_IG: Tensor) -> Tensor:
        o, i, f, g = weight_IG.chunk(4, dim=-1)
        return torch.cat([i, f, g, o], dim=-1).t().contiguous()

    out: dict[str, Tensor] = {
        "source": model.src_embedding_VE,
        "target": model.target_embedding_VE,
        "generator.weight": model.output_weight_VD,
        "generator.bias": model.output_bias_V,
        "decoder.attn.linear_in.weight": model.attention_HH,
        "decoder.attn.linear_out.weight": model.combine.t().contiguous(),
    }
    for k in range(model.config.layers):
        lower, own = model.decoder_recurrent[k].split(model.config.width)
        below = torch.cat([model.decoder_input, lower]) if k == 0 else lower
        encoder, decoder = "encoder.rnn.{}_l" + str(k), f"decoder.rnn.layers.{k}." + "{}"
        parts = (
            (encoder, model.encoder_input[k], model.encoder_recurrent[k][0], model.encoder_bias[k]),
            (decoder, below, own, model.decoder_bias[k]),
        )
        for name, input_weight, recurrent, bias in parts:
            out[name.format("weight_ih")] = gates(input_weight)
            out[name.format("weight_hh")] = gates(recurrent)
            out[name.format("bias_ih")] = gates(bias)
            out[name.format("bias_hh")] = torch.zeros_like(bias)
    return {name: tensor.detach().clone() for name, tensor in out.items()}


if __name__ == "__main__":
    main()
