"""Store a teacher's top-k word distributions over a target text, for Word-KD.

Several models form an ensemble: the k best words are those of their mean distribution. The manifest
records the text, the teacher, and the share of the probability mass that the k words hold.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from seqkd.arguments import Output, model_file
from seqkd.errors import SeqkdError
from seqkd.files import write_json
from seqkd.machine.manifest import provenance, roles
from seqkd.machine.runtime import set_up
from seqkd.model_files.model_file import load_ensemble
from seqkd.models.precision import compute_dtype
from seqkd.training.batching import read_pairs
from seqkd.training.manifest import SoftTargetsManifest
from seqkd.training.soft_targets import store


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--model", type=model_file, nargs="+", required=True,
        help="model file or exported folder; several: an ensemble")  # fmt: skip
    add("--src", type=Path, required=True, help="training sources")
    add("--tgt", type=Path, required=True, help="training targets, gold or distilled")
    add("--top-k", type=int, required=True, help="words kept for each position")
    add("--output", type=Output, required=True, help="output: .npy")
    add("--manifest", type=Output, required=True, help="output: JSON; `seqkd train` reads it too")
    add("--threads", type=int, default=1)
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Write the distributions and their manifest."""
    started = time.time()
    device = set_up(args.threads, args.device)
    teachers = load_ensemble(args.model, device, compute_dtype("auto", device))
    teacher = teachers[0]
    if args.top_k < 1:
        raise SeqkdError(f"--top-k must be at least 1, got {args.top_k}")
    k = min(args.top_k, teacher.tgt_vocab.size)  # small text makes a smaller vocabulary than asked
    data = read_pairs(args.src, args.tgt, (teacher.src_vocab, teacher.tgt_vocab))
    models = [member.model for member in teachers]
    mass = store(args.output, models, data, k, device)
    inputs = {**roles("model", args.model), "src": args.src, "tgt": args.tgt}
    manifest = SoftTargetsManifest(
        vocabularies=(teacher.src_vocab.digest, teacher.tgt_vocab.digest),
        k=k,
        kept_mass=mass,
        positions=data.tgt_positions,
        **dataclasses.asdict(provenance(inputs, started)),
    )
    write_json(args.manifest, manifest)
