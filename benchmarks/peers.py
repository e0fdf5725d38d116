"""Compare training or decoding with other toolkits: same text, same model, same machine.

  python benchmarks/peers.py train --peers eole,opennmt-py --size 2x256 --vocab 8000
  python benchmarks/peers.py decode --peers eole,opennmt-py --beam 5
  python benchmarks/peers.py decode --peers ctranslate2-int8 --beam 35 --sentences 64
  python benchmarks/peers.py decode --peers ctranslate2-int8 --ours seqkd-int8 --beam 1 --batch 1

Each peer is installed in an environment of its own below --folder. The systems take turns, each in
a fresh process, so that a busy moment of the machine meets all of them; a ratio is taken within
a round. The text is Multi30k de-en where MULTI30K_DIR names its folder, and made otherwise.

All LSTMs decode with the same weights: those of --model, a model file of this project trained on
the same text, or random ones, when every hypothesis is made --length tokens long.

Ratios are of tokens per CPU second. With --processes 2 or --threads 2 they are of tokens per
second, which is what a whole machine of two cores gives, and so they are on a GPU (--device cuda).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

import torch
from in_seqkd import as_in_peers
from job import Job
from ours import new_model
from systems import PACKAGES, SYSTEMS, TORCH, Workshop, run
from table import Measurement, write
from text import prepare

from seqkd.errors import SeqkdError
from seqkd.machine.manifest import code_commit
from seqkd.machine.runtime import hardware
from seqkd.model_files.model_file import load_model


def main() -> None:
    """Run the comparison and print its table."""
    args = _arguments()
    try:
        print(compare_systems(args))
    except SeqkdError as error:
        sys.exit(str(error))


def compare_systems(args: argparse.Namespace) -> str:
    """Take the rounds; return the table, which is also written to {folder}/{name}.md and .json."""
    folder = Path(args.folder).resolve()
    multi30k = os.environ.get("MULTI30K_DIR")
    data = folder / f"text-{'multi30k' if multi30k else 'made'}-{args.vocab}"
    prepare(data, args.vocab, multi30k)
    job = _job(args, data)
    systems = _systems(args)
    workshops = [Workshop(folder, copy) for copy in range(args.processes)]
    runs = list[Measurement]()
    if job.action == "decode":
        job = dataclasses.replace(job, weights=_weights(job, folder, args.model))
    load = [os.getloadavg()[0]]
    for number in range(args.rounds):
        for system in systems:
            found = run(system, workshops, job, number)
            runs.append(found)
            print(f"round {number + 1} {system}: {found.tokens / found.cpu:,.0f} tokens / "
                  f"CPU-second, {found.tokens / found.wall:,.0f} / second, "
                  f"{found.peak_mb:,.0f} MiB",
                  file=sys.stderr, flush=True)  # fmt: skip
        load.append(os.getloadavg()[0])
    name = args.name or f"{args.action}-{args.size}-v{args.vocab}" + (
        f"-beam-{args.beam}" if args.action == "decode" else ""
    )
    facts = _facts(args, job, systems, load, multi30k)
    if job.action == "decode":
        facts["hypotheses as ours"] = _agreement(folder / "work", systems)
    by_clock = args.processes * args.threads > 1 or args.device == "cuda"
    return write(folder, name, runs, systems[0], facts, by_clock=by_clock)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["train", "decode"])
    parser.add_argument("--peers", default="eole", help=f"of: {', '.join(_peer_names())}")
    parser.add_argument("--ours", default="seqkd-bf16", help="seqkd-bf16, -fp32, -int8")
    parser.add_argument("--size", default="2x256", help="layers x width")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=64, help="sentences; 1: one at a time")
    parser.add_argument("--updates", type=int, default=60, help="of training")
    parser.add_argument("--warm-up", type=int, default=10, help="of these updates, not timed")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=1000, help="to decode")
    parser.add_argument("--length", type=int, default=14, help="tokens of each hypothesis")
    parser.add_argument("--model", help="weights to decode with; hypotheses then end by themselves")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--device", default="cpu", help="cuda: one GPU; eole then has bf16")
    parser.add_argument("--processes", type=int, default=1, help="of each system, side by side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default="build/benchmarks")
    parser.add_argument("--name", help="of the table")
    return parser.parse_args()


def _peer_names() -> list[str]:
    return [system for system, environment in SYSTEMS.items() if environment]


def _systems(args: argparse.Namespace) -> list[str]:
    """Return the systems, ours first."""
    chosen = [*args.ours.split(","), *(args.peers.split(",") if args.peers else [])]
    for system in chosen:
        if system not in SYSTEMS:
            raise SeqkdError(f"--peers {system}: expected some of {', '.join(SYSTEMS)}")
        if system == "seqkd-int8" and args.action == "train":
            raise SeqkdError("int8 only decodes")
        if SYSTEMS[system] == "ctranslate2" and (args.action == "train" or args.model):
            raise SeqkdError("CTranslate2 only decodes, and only with random weights")
    return chosen


def _job(args: argparse.Namespace, data: Path) -> Job:
    layers, _, width = args.size.partition("x")
    return Job(
        action=args.action, data=str(data), layers=int(layers), width=int(width),
        batch=args.batch, updates=args.updates, warm_up=args.warm_up, beam=args.beam,
        sentences=args.sentences,
        length=0 if args.model else args.length, threads=args.threads, device=args.device,
    )  # fmt: skip


def _weights(job: Job, folder: Path, model_file: str | None) -> str:
    """Write the tensors that all LSTMs decode with; return the path."""
    vocab_size = len(job.lines("vocab", "txt")) + 4
    model = new_model(job.layers, job.width, vocab_size)
    if model_file:
        model.load_state_dict(load_model(model_file, torch.device("cpu")).model.state_dict())
    path = folder / "work" / "weights.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(as_in_peers(model), path)
    torch.save(model.state_dict(), path.with_suffix(".seqkd.pt"))
    return str(path)


def _agreement(work: Path, systems: list[str]) -> str:
    """Say for each LSTM how many of its hypotheses are those of the first system."""
    written = {s: (work / f"{s}.out").read_text(encoding="utf-8").split("\n") for s in systems}
    first = written.pop(systems[0])
    return ", ".join(
        f"{system} {sum(a == b for a, b in zip(first, lines, strict=True)) / len(first):.0%}"
        for system, lines in written.items()
        if SYSTEMS[system] != "ctranslate2"
    )


def _facts(
    args: argparse.Namespace, job: Job, systems: list[str], load: list[float], multi30k: str | None
) -> dict[str, object]:
    """Return what the figures depend on."""
    work = f"{args.action}, LSTM {args.size} with input feeding, {args.vocab} words, " + (
        f"batches of {job.batch} sentences, dropout 0.2, {job.updates - job.warm_up} updates timed"
        if args.action == "train"
        else f"beam {job.beam}, {job.sentences} sentences{' one by one' * (job.batch == 1)}, "
        + (f"all hypotheses {job.length} tokens" if job.length else f"weights of {args.model}")
    )
    environments = {SYSTEMS[system] for system in systems} - {""}
    pins = [package for name in environments for call in PACKAGES[name] for package in call]
    return {
        "work": work,
        "text": "Multi30k de-en" if multi30k else "made, Zipfian",
        "hardware": str(hardware(torch.device(args.device))),
        "processes x threads": f"{args.processes} x {job.threads}",
        "load before and after each round": ", ".join(f"{x:.1f}" for x in load),
        "versions": ", ".join(sorted({f"torch=={TORCH}", *(p for p in pins if "==" in p)})),
        "commit": code_commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    main()
