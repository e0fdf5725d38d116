"""CTranslate2's side of a comparison: `in_ctranslate2.py JOB.json int8|float32|bfloat16`.

CTranslate2 has no attentional LSTM, so a Transformer of the same width and about as many weights
stands in: 3 + 3 layers, inner size four times the width. Its weights are random; all hypotheses
are made the same length, in this system and in those it is compared with.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec
from job import Job, report


def main() -> None:
    """Make the model once, translate, report."""
    job, precision = Job.load(sys.argv[1]), sys.argv[2]
    folder = Path(job.data, f"transformer-{job.width}")
    words = ["<blank>", "<unk>", "<s>", "</s>", *job.lines("vocab", "txt")]
    if not (folder / "model.bin").exists():
        make(folder, words, job.width)
    translator = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=precision, inter_threads=1,
        intra_threads=job.threads,
    )  # fmt: skip
    sources = [[*line.split(), "</s>"] for line in job.lines("test", "src")[: job.sentences]]
    options = {
        "beam_size": job.beam, "max_batch_size": job.batch,
        "min_decoding_length": job.length, "max_decoding_length": job.length,
    }  # fmt: skip
    translator.translate_batch(sources[:8], **options)
    cpu, wall = time.process_time(), time.perf_counter()
    calls = [[source] for source in sources] if job.batch == 1 else [sources]
    found = [result for call in calls for result in translator.translate_batch(call, **options)]
    seconds = time.process_time() - cpu, time.perf_counter() - wall
    lines = [" ".join(result.hypotheses[0]) + "\n" for result in found]
    Path(job.output).write_text("".join(lines), encoding="utf-8")
    report(*seconds)


def make(folder: Path, words: list[str], width: int) -> None:
    """Save a Transformer with random weights."""
    rng = np.random.default_rng(1)
    spec = TransformerSpec.from_config((3, 3), max(1, width // 64))

    def fill(linear: Any, rows: int, columns: int) -> None:
        linear.weight = rng.normal(0, 0.05, (rows, columns)).astype(np.float32)
        if hasattr(linear, "bias"):
            linear.bias = np.zeros(rows, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(width, np.float32), np.zeros(width, np.float32)

    fill(spec.encoder.embeddings[0], len(words), width)
    fill(spec.decoder.embeddings, len(words), width)
    fill(spec.decoder.projection, len(words), width)
    for side in (spec.encoder, spec.decoder):
        norm(side.layer_norm)
        for layer in side.layer:
            norm(layer.ffn.layer_norm)
            fill(layer.ffn.linear_0, 4 * width, width)
            fill(layer.ffn.linear_1, width, 4 * width)
            norm(layer.self_attention.layer_norm)
            fill(layer.self_attention.linear[0], 3 * width, width)
            fill(layer.self_attention.linear[1], width, width)
            if side is spec.decoder:
                norm(layer.attention.layer_norm)
                for linear, parts in zip(layer.attention.linear, (1, 2, 1), strict=True):
                    fill(linear, parts * width, width)
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


if __name__ == "__main__":
    main()
