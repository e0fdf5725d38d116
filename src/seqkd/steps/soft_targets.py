"""Store a teacher's top-k word distributions over a target text, for Word-KD.

Several models are an ensemble: the k best words are those of their mean distribution. The file
says which text and which teacher it belongs to; the manifest says how much of the probability mass
the k words hold.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.files import digest, read_lines
from seqkd.machine.manifest import roles, write_manifest
from seqkd.machine.runtime import set_up
from seqkd.model_files.model_file import load_ensemble
from seqkd.models.precision import compute_dtype
from seqkd.training.batching import ParallelTokens
from seqkd.training.soft_targets import store
from seqkd.vocabulary.tokens import encode_lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--model", type=Path, nargs="+", required=True, help="model file; several: an ensemble")
    add("--src", type=Path, required=True, help="training sources")
    add("--tgt", type=Path, required=True, help="training targets, gold or distilled")
    add("--top-k", type=int, required=True, help="words kept for each position")
    add("--output", type=Path, required=True)
    add("--manifest", type=Path, required=True)
    add("--threads", type=int, default=1)
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Write the distributions and their manifest."""
    started = time.time()
    device = set_up(args.threads, args.device)
    teachers = load_ensemble(args.model, device)
    teacher = teachers[0]
    for member in teachers:
        member.model.compute_dtype = compute_dtype("auto", device)
    if not 1 <= args.top_k <= teacher.tgt_vocab.size:
        raise SeqkdError(f"--top-k must be in 1 to {teacher.tgt_vocab.size}, got {args.top_k}")
    data = ParallelTokens(
        encode_lines(read_lines(args.src), teacher.src_vocab),
        encode_lines(read_lines(args.tgt), teacher.tgt_vocab),
    )
    if len(data.src) != len(data.tgt):
        raise SeqkdError(
            f"not parallel: {args.src} has {len(data.src):,} lines, {args.tgt} {len(data.tgt):,}"
        )
    names = "+".join(map(digest, args.model))
    mass = store(
        args.output,
        [member.model for member in teachers],
        data,
        k=args.top_k,
        device=device,
        header={"tgt": digest(args.tgt), "teacher": names, "k": args.top_k},
    )
    write_manifest(
        args.manifest,
        inputs={**roles("model", args.model), "src": args.src, "tgt": args.tgt},
        facts={"k": args.top_k, "kept_mass": mass, "positions": len(data.tgt) + len(data.tgt.ids)},
        started=started,
    )
