"""Measure what distillation did to the targets, and to the models that learnt from them.

`seqkd.evaluation.diagnostics` describes the measures. Models are measured on the first test set.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqkd.arguments import Output
from seqkd.config.schema import load
from seqkd.config.table_rows import TableConfig
from seqkd.corpus.subset import evenly_spread
from seqkd.corpus.test_sets import load_test_set
from seqkd.errors import SeqkdError
from seqkd.evaluation.diagnostics import (
    MEASURED_PAIRS,
    ORACLE_SENTENCES,
    Diagnostics,
    ParallelText,
    measured_models,
    model_diagnostics,
    nbest_diagnostics,
    text_diagnostics,
)
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.text_statistics import memorised
from seqkd.files import read_lines, read_parallel, write_json
from seqkd.machine.progress import Progress
from seqkd.translation.nbest import from_line, source_digest

PARSED_RECORDS = 50_000  # of an n-best list: parsing millions of them would take hours


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="rows of the results table, YAML")
    add("--scores", type=Path, nargs="+", required=True, help="scores files, JSON")
    add("--test", type=Path, required=True, help="manifest of the test set, JSON")
    add("--train-src", type=Path, required=True)
    add("--train-tgt", type=Path, required=True)
    every = "of each distilled text: "
    add("--targets", nargs="*", default=[], help=f"{every}the name of its targets")
    add("--teachers", nargs="*", default=[], help=f"{every}its teacher, with seeds")
    add("--text-src", type=Path, nargs="*", default=[], help=f"{every}its source side")
    add("--text-tgt", type=Path, nargs="*", default=[], help=f"{every}its target side")
    add("--nbest", type=Path, nargs="*", default=[],
        help=f"{every}the list it was chosen from, in the folder of its name")  # fmt: skip
    add("--output", type=Output, required=True, help="output: JSON")


def run(args: argparse.Namespace) -> None:
    """Write all diagnostics as one JSON file."""
    config = load(TableConfig, args.config)
    test = load_test_set(args.test)
    evaluations = Evaluations(args.scores)
    columns = (args.targets, args.teachers, args.text_src, args.text_tgt, args.nbest)
    if len({len(column) for column in columns}) > 1:
        raise SeqkdError(
            "--targets, --teachers, --text-src, --text-tgt and --nbest need one value per text"
        )
    described = list(zip(*columns, strict=True))
    train = _parallel(args.train_src, args.train_tgt)
    lists = {path: teacher for _, teacher, _, _, path in described}
    work = 1 + len(lists) + len(described) + len(measured_models(config))
    with Progress("diagnose", work, "parts") as progress:
        nbest, best = [], {}
        count = min(len(train.src), PARSED_RECORDS)
        for path, teacher in lists.items():
            measured, best[path] = nbest_diagnostics(
                teacher, path.parent.name, _lists(path, train), count, train, evaluations.bleu
            )
            # Monolingual text has no references; its digests may equal some by chance.
            if measured.sentences > min(count, ORACLE_SENTENCES) // 100:
                nbest.append(measured)
            progress.advance(1, 1)
        size = min([MEASURED_PAIRS, len(train.src), *map(_count, args.text_tgt)])
        texts = [text_diagnostics("gold", None, train, size)]
        progress.advance(1, 1)
        references: dict[str, set[str]] = {}
        for source, target in zip(train.src, train.tgt, strict=True):
            references.setdefault(source, set()).add(target)
        for targets, teacher, src, tgt, path in described:
            text = _parallel(src, tgt)
            texts.append(text_diagnostics(targets, teacher, text, size, references, best[path]))
            progress.advance(1, 1)
        models = []
        for model in model_diagnostics(config, evaluations, test, train.tgt):
            models.append(model)
            progress.advance(1, 1)
    diagnostics = Diagnostics(
        test_set=test.name,
        memorised_references=memorised(test.references, set(train.tgt)),
        texts=texts,
        nbest=nbest,
        models=models,
    )
    write_json(args.output, diagnostics)


def _parallel(src: Path, tgt: Path) -> ParallelText:
    pairs = list(read_parallel(src, tgt))
    return ParallelText([source for source, _ in pairs], [target for _, target in pairs])


def _count(path: Path) -> int:
    return sum(1 for _ in read_lines(path))


def _lists(path: Path, train: ParallelText) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the line of the training text and the hypotheses of an even sample of records."""
    digests = [source_digest(line) for line in train.src]
    line_of = {digest: number for number, digest in enumerate(digests)}
    parsed = set(evenly_spread(len(train.src), PARSED_RECORDS))
    for index, line in enumerate(read_lines(path)):
        if index not in parsed:
            continue
        record = from_line(line, f"{path}, line {index + 1}")
        if record.source and record.source not in line_of:
            continue  # monolingual text
        number = record.id
        if record.source and digests[number : number + 1] != [record.source]:
            number = line_of[record.source]
        if number >= len(train.src):
            raise SeqkdError(f"{path}: record {record.id} has no line in the training text")
        yield number, [hypothesis.text for hypothesis in record.hypotheses]
