"""Measure how fast a model translates, in source words and sentences per second.

It measures greedy and beam search, one sentence at a time and many together, with one thread and
with --threads, on the CPU and (--device auto or cuda) on a GPU. Each setting is warmed up, then
repeated; the output has the median and the range. Make sure that nothing else is running.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from seqkd.arguments import Output, model_file
from seqkd.errors import SeqkdError
from seqkd.evaluation.speed_files import Speed, SpeedSetting
from seqkd.files import read_lines, write_json
from seqkd.machine.manifest import versions
from seqkd.machine.progress import Progress
from seqkd.machine.runtime import hardware, set_up
from seqkd.translation.lines import CHUNK_LINES
from seqkd.translation.speed import Stopwatch, sample


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--model", type=model_file, required=True, help="model file or exported folder")
    add("--src", type=Path, required=True, help="source sentences, one per line")
    add("--output", type=Output, required=True, help="output: JSON")
    add("--beam", type=int, default=5, help="width of the beam search (default: 5)")
    add("--repeats", type=int, default=5, help="repeats of each setting (default: 5)")
    add("--sentences", type=int, default=1000, help="sentences translated together (default: 1000)")
    add("--single", type=int, default=32, help="sentences translated one at a time (default: 32)")
    add("--threads", type=int, default=1, help="threads, measured in addition to one (default: 1)")
    add("--device", default="auto", help="cpu, cuda, or auto: both where there is a GPU")


def run(args: argparse.Namespace) -> None:
    """Measure every setting and write them."""
    device = set_up(args.threads, args.device)
    if min(args.repeats, args.sentences, args.single) < 1:
        raise SeqkdError("--repeats, --sentences and --single must be at least 1")
    lines = sample(list(read_lines(args.src)), args.sentences)
    if not lines:
        raise SeqkdError(f"{args.src}: all lines are empty")
    single = sample(lines, args.single)
    settings = list(_settings(args, device))
    stopwatches = {name: Stopwatch(args.model, torch.device(name)) for name in _devices(device)}
    info = next(iter(stopwatches.values())).info
    measurements = []
    with Progress(f"speed {info.model}", len(settings), "settings") as progress:
        for setting in settings:
            text = single if setting.batch == 1 else lines
            measured = stopwatches[setting.device].measure(text, setting, args.repeats)
            measurements.append(measured)
            rate = measured.words_per_second.median
            progress.advance(1, 1, f"beam {setting.beam} x{setting.batch}: {rate:,.0f} words/s")
    speed = Speed(
        model=info.model,
        seed=info.seed,
        storage=info.storage,
        test_set=args.src.stem,
        hardware=hardware(device),
        versions=versions(),
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        measurements=measurements,
    )
    write_json(args.output, speed)


def _devices(device: torch.device) -> list[str]:
    return ["cpu"] if device.type == "cpu" else ["cpu", str(device)]


def _settings(args: argparse.Namespace, device: torch.device) -> Iterator[SpeedSetting]:
    """Yield what is measured, all models alike."""
    for name in _devices(device):
        if name == "cpu" and args.device.startswith("cuda"):
            continue
        # Models timed beside a GPU with different numbers of cores are timed alike.
        threads = sorted({1, args.threads}) if name == "cpu" else [1]
        beams = sorted({1, args.beam})
        for count, batch, beam in itertools.product(threads, (1, CHUNK_LINES), beams):
            yield SpeedSetting(device=name, threads=count, beam=beam, batch=batch)
