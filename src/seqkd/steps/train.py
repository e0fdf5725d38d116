"""Train one model: a teacher, a student, or one stage of it.

The entry (--config) says what to train and how; the files are the text. With --init, training
starts from that model's weights. Word-KD takes --soft-targets (stored top-k distributions) or
--teacher (run alongside). A killed run resumes from its last checkpoint; SIGTERM and Ctrl-C save
one first. If two processes train the same model into the same folder, the second waits.

With --processes, or under `torchrun`, processes share each update's batches (training.accumulate of
them), one GPU each. Their number changes the result only by rounding.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

from seqkd.arguments import Output, model_file
from seqkd.config.bleu import BleuConfig, bleu_for
from seqkd.config.model_entry import ModelEntry
from seqkd.config.schema import load
from seqkd.files import atomic_text, digest, write_json
from seqkd.machine.code_hash import code_hash
from seqkd.machine.manifest import provenance
from seqkd.machine.runtime import set_up
from seqkd.machine.work_lock import sole_worker
from seqkd.model_files.model_file import save_model
from seqkd.models.kernels import compiled
from seqkd.training import distributed
from seqkd.training.checkpoint import Checkpoint, fingerprint
from seqkd.training.manifest import FEW_SKIPPED, TrainingManifest
from seqkd.training.outputs import is_complete, model_info, run_facts
from seqkd.training.session import run_training
from seqkd.training.setup import TrainingFiles, initial_model, make_task
from seqkd.training.state import TrainingState
from seqkd.training.trainer import TrainingTask


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="the model's entry, YAML")
    add("--source", required=True, help="source language, such as de")
    add("--target", required=True, help="target language, such as en")
    add("--bleu", help="BLEU on dev: case:mixed|tok:13a (default: by the target language)")
    add("--src-vocab", type=Path, required=True)
    add("--tgt-vocab", type=Path, required=True)
    add("--train-src", type=Path, required=True, help="training sources, one per line")
    add("--train-tgt", type=Path, required=True, help="training targets: gold or distilled")
    add("--dev-src", type=Path, required=True)
    add("--dev-tgt", type=Path, required=True)
    add("--init", type=model_file, help="model file to start from")
    add("--teacher", type=model_file, nargs="+", default=[], metavar="MODEL",
        help="model file, or several for an ensemble, for Word-KD or its attention")  # fmt: skip
    add("--soft-targets", type=Path, nargs=2, default=[], metavar=("NPY", "JSON"),
        help="stored distributions for Word-KD and their manifest")  # fmt: skip
    add("--lexicon", type=Path, help="lexicon of `seqkd align`, for guided alignment")
    add("--model", type=Output, required=True, help="output: the model file")
    add("--curve", type=Output, required=True, help="output: one JSON line per validation")
    add("--manifest", type=Output, required=True, help="output: inputs, versions, cost")
    add("--state", type=Path, required=True, help="folder for the checkpoint of a killed run")
    add("--save-seconds", type=float, default=300.0, help="time between checkpoints (default: 300)")
    add("--threads", type=int, default=1, help="threads of each process (default: 1)")
    add("--processes", type=int, default=1, help="processes on this machine (default: 1)")
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Train and write the model, its curve and its manifest."""
    starter = distributed.starter()
    entry = load(ModelEntry, args.config)
    names = (field.name for field in dataclasses.fields(TrainingFiles))
    files = TrainingFiles(**{name: getattr(args, name) for name in names})
    code = code_hash("seqkd.steps.train")
    bleu = BleuConfig.from_signature(args.bleu) if args.bleu else bleu_for(args.target)
    settings = {**entry.model_dump(mode="json"), "bleu": bleu.signature}
    work = fingerprint(settings, files.by_role(), code)
    lock = sole_worker(args.state, work, wait=distributed.world_size() == 1)
    # The first process holds it for all. A waiting process needs neither data nor a GPU yet.
    with lock if distributed.rank() == 0 else contextlib.nullcontext():
        if is_complete(args.manifest, args.model, args.curve, work):
            print("this model is already trained; nothing is left to do", file=sys.stderr)
        elif args.processes > 1 and distributed.world_size() == 1:
            distributed.launch(args.processes, starter)  # frees the lock for its first process
        else:
            _train(args, entry, files, bleu, work)
        # If Snakemake was killed, the next one considers the model incomplete and makes it again,
        # from the checkpoint.
        if not distributed.has_died(starter):
            shutil.rmtree(args.state, ignore_errors=True)


def _train(
    args: argparse.Namespace, entry: ModelEntry, files: TrainingFiles, bleu: BleuConfig, work: str
) -> None:
    started = time.time()
    device = distributed.join(set_up(args.threads, args.device))
    vocabularies = files.load_vocabularies()
    task = make_task(entry, files, vocabularies, device, bleu)
    if distributed.rank() == 0:
        _report_skipped(task)
    model = initial_model(entry, files.init, vocabularies).to(device)
    state = TrainingState.start(model, entry.training)
    kernels = compiled.name(task.compute_dtype, device)
    run_id = f"{work} {task.compute_dtype} {kernels}"
    checkpoint = Checkpoint(args.state, run_id, args.save_seconds, started)
    run_training(task, state, checkpoint, entry)
    if distributed.rank() == 0:
        info = model_info(entry, files, task, model, (args.source, args.target))
        save_model(args.model, model, info, *vocabularies)
        with atomic_text(args.curve) as file:
            file.writelines(f"{json.dumps(dataclasses.asdict(v))}\n" for v in state.curve)
        inputs = {"config": args.config, **files.by_role()}
        manifest = TrainingManifest(
            **run_facts(entry, task, state),
            resumed_from_update=checkpoint.resumed_from,
            curve=os.path.relpath(args.curve, args.manifest.parent),
            work=work,
            output=digest(args.model),
            **dataclasses.asdict(provenance(inputs, started, checkpoint.earlier)),
        )
        write_json(args.manifest, manifest)
    distributed.leave()


def _report_skipped(task: TrainingTask) -> None:
    """Say how many pairs are not trained on, if they are more than a few."""
    pairs, longest = task.pairs, task.config.max_length
    skipped = pairs.skipped(longest)
    if skipped > FEW_SKIPPED * len(pairs.src):
        print(
            f"seqkd train: {skipped:,} of {len(pairs.src):,} pairs are empty or longer than "
            f"training.max_length ({longest} tokens), so they are not trained on",
            file=sys.stderr,
        )
