"""Train one model: a teacher, a student, or one stage of it.

The entry (--config) says what is trained and how; the files say on what. With --init, training
goes on from that model's weights. Word-KD takes --soft-targets (stored top-k distributions) or
--teacher (run alongside). A run that is killed goes on where it last saved; SIGTERM and Ctrl-C save
first. Of two processes that train the same model into the same place one waits for the other.

With --processes, or under `torchrun` on several machines, processes share each update's batches
(training.accumulate of them), one GPU each; their number changes the result by rounding alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

from seqkd.config.model_entry import ModelEntry, load_entry
from seqkd.config.pruning import PruneConfig
from seqkd.config.schema import to_dict
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, digest, read_lines, write_json
from seqkd.machine.code_hash import code_hash
from seqkd.machine.manifest import provenance, roles
from seqkd.machine.progress import Progress
from seqkd.machine.runtime import hardware, set_up
from seqkd.machine.work_lock import sole_worker
from seqkd.model_files.model_file import ModelInfo, load_ensemble, load_model, save_model
from seqkd.models.build import Model, build
from seqkd.models.kernels import compiled
from seqkd.models.precision import compute_dtype
from seqkd.training.batching import ParallelTokens
from seqkd.training.checkpoint import ResumableState, fingerprint
from seqkd.training.losses import Objective
from seqkd.training.manifest import TrainingManifest, Validation
from seqkd.training.pruning import Pruner
from seqkd.training.saliency import fisher_of
from seqkd.training.soft_targets import SoftTargets, StoredTopK, TeacherAlongside
from seqkd.training.trainer import Trainer
from seqkd.training.validation import greedy_bleu, perplexity
from seqkd.vocabulary.subword_sampling import SubwordSampler, segmentation_distribution
from seqkd.vocabulary.tokens import encode_lines
from seqkd.vocabulary.vocabulary import Vocabulary, load_vocabulary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="the model's entry, YAML")
    add("--source", required=True, help="language translated from, such as de")
    add("--target", required=True, help="language translated to, such as en")
    add("--src-vocab", type=Path, required=True)
    add("--tgt-vocab", type=Path, required=True)
    add("--train-src", type=Path, required=True, help="training sources, one a line")
    add("--train-tgt", type=Path, required=True, help="training targets: gold or distilled")
    add("--dev-src", type=Path, required=True)
    add("--dev-tgt", type=Path, required=True)
    add("--init", type=Path, help="model file to start from")
    add(
        "--teacher",
        type=Path,
        nargs="+",
        default=[],
        help="model file, or several as an ensemble, run alongside for Word-KD",
    )
    add("--soft-targets", type=Path, help="stored distributions for Word-KD")
    add("--model", type=Path, required=True, help="output: the model file")
    add("--curve", type=Path, required=True, help="output: one JSON line a validation")
    add("--manifest", type=Path, required=True, help="output: inputs, versions, cost")
    add("--state", type=Path, required=True, help="folder for what a killed run goes on from")
    add("--save-seconds", type=float, default=300.0, help="between two saves of it (default: 300)")
    add("--threads", type=int, default=1, help="of each process (default: 1)")
    add("--processes", type=int, default=1, help="on this machine (default: 1)")
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Train and write the model, its curve and its manifest."""
    if args.processes > 1 and "WORLD_SIZE" not in os.environ:
        _become_several(args.processes)
    entry = load_entry(args.config)
    inputs = _inputs(args)
    work = fingerprint(
        to_dict(entry),
        {role: path for role, path in inputs.items() if role != "config"},
        code_hash("seqkd.steps.train"),
    )
    if int(os.environ.get("RANK", "0")) > 0:  # the first process holds the lock for all
        _make(args, entry, inputs, work)
        return
    # Before anything is loaded, and before a GPU is taken: whoever waits needs neither.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    with sole_worker(args.state, work, wait=alone) as waited:
        if waited and _is_made(args, work):
            print("it trained this model to its end: nothing is left to do", file=sys.stderr)
            return
        _make(args, entry, inputs, work)


def _is_made(args: argparse.Namespace, work: str) -> bool:
    """Say whether all outputs are there, made by this very work."""
    try:
        manifest = json.loads(args.manifest.read_text(encoding="utf-8"))
        model = digest(args.model)
    except (OSError, SeqkdError):
        return False
    return args.curve.exists() and (manifest["work"], manifest["output"]) == (work, model)


def _make(
    args: argparse.Namespace, entry: ModelEntry, inputs: dict[str, Path | None], work: str
) -> None:
    started = time.time()
    device = _distributed(set_up(args.threads, args.device))
    src_vocab, tgt_vocab = load_vocabulary(args.src_vocab), load_vocabulary(args.tgt_vocab)
    data = _parallel(args.train_src, args.train_tgt, src_vocab, tgt_vocab)
    dev = _parallel(args.dev_src, args.dev_tgt, src_vocab, tgt_vocab)
    references = list(read_lines(args.dev_tgt))
    model = _initial_model(entry, args.init, src_vocab, tgt_vocab).to(device)
    trainer = Trainer(
        model=model,
        data=data,
        validate=lambda m: (
            perplexity(m, dev, device), greedy_bleu(m, dev, references, tgt_vocab, device),
        ),
        config=entry.training,
        objective=Objective(
            kd_weight=entry.objective.kd_weight,
            label_smoothing=entry.training.label_smoothing,
            temperature=entry.objective.temperature,
            divergence=entry.objective.divergence,
            select=entry.objective.select,
            top_1_weight=entry.objective.top_1_weight,
        ),
        seed=entry.seed,
        device=device,
        soft=_soft_targets(entry, args, data, src_vocab, tgt_vocab, device),
        recut=_recut(entry, args, src_vocab, tgt_vocab),
        compute_dtype=compute_dtype(entry.training.precision, device),
    )  # fmt: skip
    if not len(trainer.indices):
        raise SeqkdError(f"no pair of {args.train_src} has 1 to {entry.training.max_length} tokens")
    arithmetic = f"{trainer.compute_dtype} {compiled.name(trainer.compute_dtype, device)}"
    saved = ResumableState(args.state, f"{work} {arithmetic}", args.save_seconds)
    _train(trainer, saved, entry)
    if trainer.rank == 0:
        _write(args, entry, trainer, saved, inputs, work, src_vocab, tgt_vocab, started)
        saved.clear()
    if dist.is_initialized():
        # Whoever leaves first may fail in leaving, and the launcher would stop the one that writes.
        dist.barrier()
        dist.destroy_process_group()


def _become_several(processes: int) -> None:
    """Replace this process by PyTorch's launcher, which starts the same command several times."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    os.execv(sys.executable, [sys.executable, *launcher, "-m", "seqkd", *sys.argv[1:]])


def _distributed(device: torch.device) -> torch.device:
    """Join the other processes if started by `torchrun`; each takes its own GPU."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def _parallel(src: Path, tgt: Path, src_vocab: Vocabulary, tgt_vocab: Vocabulary) -> ParallelTokens:
    data = ParallelTokens(
        encode_lines(read_lines(src), src_vocab), encode_lines(read_lines(tgt), tgt_vocab)
    )
    if len(data.src) != len(data.tgt):
        raise SeqkdError(
            f"not parallel: {src} has {len(data.src):,} lines and {tgt} {len(data.tgt):,}"
        )
    return data


def _recut(
    entry: ModelEntry, args: argparse.Namespace, src_vocab: Vocabulary, tgt_vocab: Vocabulary
) -> Callable[[int], ParallelTokens] | None:
    """Return what cuts the training text anew for an epoch, if that is asked for."""
    rate = entry.training.subword_sampling
    if not rate:
        return None
    sides = [
        (args.train_src, segmentation_distribution(src_vocab, rate)),
        (args.train_tgt, segmentation_distribution(tgt_vocab, rate)),
    ]

    @functools.lru_cache(maxsize=1)
    def cut(epoch: int) -> ParallelTokens:
        src, tgt = (
            encode_lines(read_lines(path), SubwordSampler(distribution, [entry.seed, epoch, side]))
            for side, (path, distribution) in enumerate(sides)
        )
        return ParallelTokens(src, tgt)

    return cut


def _same_vocabularies(
    path: Path, theirs: tuple[Vocabulary, Vocabulary], ours: tuple[Vocabulary, Vocabulary]
) -> None:
    if [v.digest for v in theirs] != [v.digest for v in ours]:
        raise SeqkdError(
            f"{path} was trained with other vocabularies than those given; "
            "train it again, or give the vocabularies it was trained with"
        )


def _initial_model(
    entry: ModelEntry, init: Path | None, src_vocab: Vocabulary, tgt_vocab: Vocabulary
) -> Model:
    if init is None:
        torch.manual_seed(entry.seed)
        return build(entry.architecture, src_vocab.size, tgt_vocab.size)
    loaded = load_model(init)
    _same_vocabularies(init, (loaded.src_vocab, loaded.tgt_vocab), (src_vocab, tgt_vocab))
    torch.manual_seed(entry.seed)
    model = build(entry.architecture, src_vocab.size, tgt_vocab.size)
    try:
        model.load_state_dict(loaded.model.state_dict())
    except RuntimeError:
        raise SeqkdError(f"{init}: its architecture is not that of {entry.model}") from None
    return model


def _soft_targets(
    entry: ModelEntry,
    args: argparse.Namespace,
    data: ParallelTokens,
    src_vocab: Vocabulary,
    tgt_vocab: Vocabulary,
    device: torch.device,
) -> SoftTargets | None:
    if entry.objective.kd_weight == 0.0:
        return None
    if args.soft_targets is not None:
        positions = int(data.tgt.offsets[-1]) + len(data.tgt)
        return StoredTopK.open(args.soft_targets, digest(args.train_tgt), positions)
    if not args.teacher:
        raise SeqkdError("Word-KD needs --soft-targets or --teacher")
    teachers = load_ensemble(args.teacher, device)
    theirs = (teachers[0].src_vocab, teachers[0].tgt_vocab)
    _same_vocabularies(args.teacher[0], theirs, (src_vocab, tgt_vocab))
    for loaded in teachers:
        loaded.model.compute_dtype = compute_dtype(entry.training.precision, device)
    return TeacherAlongside(*(loaded.model for loaded in teachers))


def _hold_masks(trainer: Trainer, config: PruneConfig) -> None:
    """Cut weights, or take up the zeros of a run that goes on; hold them from now on."""
    updates = math.ceil(trainer.batches_per_epoch() / trainer.config.accumulate)
    pruner = Pruner(
        trainer.model,
        config,
        updates * trainer.config.epochs,
        update=trainer.state.update,
        fisher=lambda: fisher_of(trainer.model, trainer.data, trainer.indices, trainer.device),
    )
    trainer.after_update = lambda model: pruner.after_update(model, trainer.state.update)


def _train(trainer: Trainer, saved: ResumableState, entry: ModelEntry) -> None:
    note = saved.restore(trainer)
    trainer.check_alike()
    if entry.prune is not None:
        _hold_masks(trainer, entry.prune)
    per_epoch = trainer.batches_per_epoch()
    done = trainer.state.epoch * per_epoch + trainer.state.position
    total = trainer.config.epochs * per_epoch
    with Progress(f"train {entry.model}", total, "target tokens", done) as progress:
        if note and trainer.rank == 0:
            progress.say(note)

        def announce(result: Validation, better: bool) -> None:
            if trainer.rank == 0:
                progress.say(
                    f"epoch {result.epoch}  update {result.update:,}  "
                    f"train loss {result.train_loss:.3f}  dev perplexity "
                    f"{result.dev_perplexity:.2f}  dev BLEU {result.dev_bleu:.2f}"
                    + ("  best so far" if better else "")
                )

        trainer.announce = announce
        if trainer.rank == 0:
            trainer.report = lambda batches, tokens, loss: progress.advance(
                batches, tokens, f"loss {loss:.3f}"
            )
        trainer.save = saved.save
        trainer.run()


def _inputs(args: argparse.Namespace) -> dict[str, Path | None]:
    given = (
        "config", "src_vocab", "tgt_vocab", "train_src", "train_tgt", "dev_src", "dev_tgt",
        "init", "soft_targets",
    )  # fmt: skip
    return {**{role: getattr(args, role) for role in given}, **roles("teacher", args.teacher)}


def _write(
    args: argparse.Namespace,
    entry: ModelEntry,
    trainer: Trainer,
    saved: ResumableState,
    inputs: dict[str, Path | None],
    work: str,
    src_vocab: Vocabulary,
    tgt_vocab: Vocabulary,
    started: float,
) -> None:
    state, model = trainer.state, trainer.model
    with atomic_text(args.curve) as file:
        for result in state.curve:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
    total = sum(p.numel() for p in model.parameters())
    zeros = sum(int((p == 0).sum()) for p in model.parameters()) if entry.prune else 0
    info = ModelInfo(
        model=entry.model,
        seed=entry.seed,
        source=args.source,
        target=args.target,
        architecture=dataclasses.asdict(entry.architecture),
        data=digest(args.train_src) + digest(args.train_tgt),
        parent=digest(args.init) if args.init else "",
        teacher="+".join(map(digest, args.teacher)),
        precision=str(trainer.compute_dtype).removeprefix("torch."),
        pruned=zeros / total,
    )
    save_model(args.model, model, info, src_vocab, tgt_vocab)
    manifest = TrainingManifest(
        model=entry.model,
        seed=entry.seed,
        parent=entry.parent,
        teacher=entry.teacher,
        targets=entry.targets,
        kd_weight=entry.objective.kd_weight,
        pruned=entry.prune.percentage if entry.prune else 0,
        parameters=total,
        nonzero_parameters=total - zeros,
        pairs=len(trainer.data.src),
        pairs_too_long_or_empty=len(trainer.data.src) - len(trainer.indices),
        updates=state.update,
        best_update=state.best_update,
        stopped_early=state.finished,
        resumed_from_update=saved.resumed_from,
        precision=info.precision,
        pointwise=compiled.name(trainer.compute_dtype, trainer.device),
        processes=trainer.world,
        hardware=hardware(trainer.device),
        curve=os.path.relpath(args.curve, args.manifest.parent),
        work=work,
        output=digest(args.model),
        **dataclasses.asdict(provenance(inputs, started)),
    )
    write_json(args.manifest, manifest)
