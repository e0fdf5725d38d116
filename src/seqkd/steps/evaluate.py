"""Translate a test set with greedy and with beam search, and score both. The model file is enough.

The scores are BLEU, chrF, the perplexity of the references under teacher forcing, and p(t = y^),
the probability of the greedy output. They do not depend on time or on the speed of the machine.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.arguments import Output, model_file
from seqkd.config.bleu import BleuConfig, bleu_for
from seqkd.errors import SeqkdError
from seqkd.evaluation.metrics import (
    forced_log_probs,
    mode_probability,
    perplexity,
    translation_scores,
)
from seqkd.evaluation.score_files import Evaluation
from seqkd.files import atomic_text, digest, read_parallel, write_json
from seqkd.machine.progress import Progress
from seqkd.machine.runtime import set_up
from seqkd.model_files.conversion import compressed_size
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.translation.engine import MAX_SOURCE, Engine, load_engine


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--model", type=model_file, required=True, help="model file or exported folder")
    add("--src", type=Path, required=True, help="test sources; the file name is the test set's")
    add("--reference", type=Path, required=True, help="their translations")
    add("--beam", type=int, default=5, help="width of the beam search (default: 5)")
    add("--bleu", help="how to compute BLEU: case:mixed|tok:13a (default: by the target language)")
    add("--second-bleu", help="a second way to compute it, shown in addition")
    add("--scores", type=Output, required=True, help="output: JSON")
    add("--greedy", type=Output, required=True, help="output: greedy translations")
    add("--beam-output", type=Output, required=True, help="output: translations of the beam search")
    add("--threads", type=int, default=1)
    add("--device", default="auto", help="auto, cpu or cuda")


@dataclass(frozen=True)
class _Test:
    """The test set as text and as ids."""

    lines: list[str]
    references: list[str]
    sources: list[list[int]]

    @property
    def usable(self) -> list[int]:
        """Sentences that reach the model: all whose source is not empty."""
        return [i for i, source in enumerate(self.sources) if source]


def run(args: argparse.Namespace) -> None:
    """Write translations and scores."""
    device = set_up(args.threads, args.device)
    translator = load_engine([args.model], device)
    test, cut = _read_test(args, translator)
    given = [BleuConfig.from_signature(x) if x else None for x in (args.bleu, args.second_bleu)]
    bleu, second = given[0] or bleu_for(translator.models[0].info.target), given[1]
    searches = [SearchConfig(beam=width) for width in (1, args.beam)]
    with Progress(f"evaluate {args.src.stem}", 2 * len(test.lines), "sentences") as progress:
        greedy, beam = (_translate(translator, test, search, progress) for search in searches)
        if cut:
            progress.say(
                f"{len(cut)} sources have more than {MAX_SOURCE} tokens; their ends were cut off"
            )
    texts = {"greedy": translator.text(greedy), f"beam-{args.beam}": translator.text(beam)}
    for path, lines in zip((args.greedy, args.beam_output), texts.values(), strict=True):
        with atomic_text(path) as file:
            file.writelines(f"{line}\n" for line in lines)
    write_json(args.scores, _evaluation(args, translator, test, greedy, texts, bleu, second))


def _read_test(args: argparse.Namespace, translator: Engine) -> tuple[_Test, dict[int, int]]:
    pairs = list(read_parallel(args.src, args.reference))
    if not pairs:
        raise SeqkdError(f"{args.src}: the test set is empty")
    lines, references = map(list, zip(*pairs, strict=True))
    if args.beam < 2:
        raise SeqkdError(f"--beam must be at least 2 (greedy is always measured), got {args.beam}")
    sources, cut = translator.encode(lines)
    return _Test(lines, references, sources), cut


def _translate(
    translator: Engine, test: _Test, config: SearchConfig, progress: Progress
) -> list[Hypothesis]:
    lists = translator.translate(test.sources, config, on_progress=lambda n: progress.advance(n, n))
    return [hypotheses[0] for hypotheses in lists]


def _evaluation(
    args: argparse.Namespace,
    translator: Engine,
    test: _Test,
    greedy: Sequence[Hypothesis],
    texts: dict[str, list[str]],
    bleu: BleuConfig,
    second: BleuConfig | None,
) -> Evaluation:
    (loaded,) = translator.models
    parameters = sum(p.numel() for p in loaded.model.parameters())
    searches = {}
    for (search, lines), path in zip(texts.items(), (args.greedy, args.beam_output), strict=True):
        name = os.path.relpath(path, args.scores.parent)
        searches[search] = translation_scores(lines, test.references, bleu, second, name)
    mean, median = mode_probability([greedy[i].log_prob for i in test.usable])
    return Evaluation(
        model=loaded.info.model,
        seed=loaded.info.seed,
        test_set=args.src.stem,
        sentences=len(test.lines),
        parameters=parameters,
        # Counted by training: int8 has more zeros, by rounding.
        nonzero_parameters=round(parameters * (1.0 - loaded.info.pruned)),
        file_bytes=args.model.stat().st_size,
        compressed_bytes=compressed_size(args.model),
        storage=loaded.info.storage,
        sha256=digest(args.model),
        perplexity=_perplexity(translator, test),
        mode_mean=mean,
        mode_median=median,
        searches=searches,
    )


def _perplexity(translator: Engine, test: _Test) -> float | None:
    """Return the perplexity of the references whose source is not empty."""
    (loaded,) = translator.models
    sources = [test.sources[i] for i in test.usable]
    targets = loaded.tgt_vocab.encode([test.references[i] for i in test.usable])
    log_probs = forced_log_probs(loaded.model, sources, targets, translator.device)
    value = perplexity(log_probs, targets)
    return None if value is None else round(value, 4)
