"""Measure what distillation did: to the targets, and to the models that learnt from them.

Of each distilled text: complexity and faithfulness (Zhou et al. 2020), variety of words, length,
repeated output, and how often it differs from the most probable hypothesis. Of each n-best list:
the BLEU of its best hypothesis for growing K. Of each model (first seed, first test set): agreement
with its teacher, memorised and repeated output, BLEU by length and F1 by how often a word stood in
training. Long texts are sampled evenly; how much is in the output.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seqkd.alignment.word_alignment import Dictionary, align, complexity, faithfulness
from seqkd.config.schema import load
from seqkd.config.table_rows import TableConfig, load_table_config
from seqkd.config.targets import TargetConfig
from seqkd.corpus.test_sets import TestSet, load_test_set
from seqkd.errors import SeqkdError
from seqkd.evaluation.diagnostics import (
    Diagnostics,
    ModelDiagnostics,
    NbestDiagnostics,
    TextDiagnostics,
    bleu,
    bleu_by_length,
    f1_by_frequency,
    has_loop,
    memorised,
    nested_widths,
    oracle_bleu,
    share,
    variety,
    word_counts,
)
from seqkd.evaluation.results import teacher_of
from seqkd.evaluation.score_files import Evaluations
from seqkd.files import read_lines, write_json
from seqkd.machine.progress import Progress
from seqkd.text import tokenise
from seqkd.translation.nbest import from_line, source_digest

ALIGNED_PAIRS = 20_000
ORACLE_SENTENCES = 1_000
PARSED_RECORDS = 50_000  # of an n-best list: parsing millions of them would take hours


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `seqkd diagnose`."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="rows of the results table, YAML")
    add("--scores", type=Path, nargs="+", required=True, help="scores files, JSON")
    add("--tests", type=Path, required=True, help="folder of the test sets: corpus/tests")
    add("--train-src", type=Path, required=True)
    add("--train-tgt", type=Path, required=True)
    add("--nbest", type=Path, nargs="*", default=[], help="merged n-best lists")
    add("--targets", type=Path, nargs="*", default=[], help="distilled train.{target} files")
    add("--output", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Write all diagnostics as one JSON file.

    Raises:
        SeqkdError: if a file is missing or files do not belong together.
    """
    config = load_table_config(args.config)
    if not config.test_sets:
        raise SeqkdError(f"{args.config}: no test set")
    test = load_test_set(args.tests / f"{config.test_sets[0]}.json")
    evaluations = Evaluations(args.scores)
    train = list(read_lines(args.train_src)), list(read_lines(args.train_tgt))
    work = 1 + len(args.nbest) + len(args.targets) + len(config.rows)
    with Progress("diagnose", work, "parts") as progress:
        first = {path.parent: _nbest(path, train) for path in args.nbest}
        progress.advance(len(args.nbest), len(args.nbest))
        gold, dictionary = _gold(train)
        progress.advance(1, 1)
        texts = [gold]
        for path in args.targets:
            texts.append(_text(path, config, train, dictionary, first))
            progress.advance(1, 1)
        models = []
        for report in _models(config, evaluations, test, train[1]):
            models.append(report)
            progress.advance(1, 1)
    diagnostics = Diagnostics(
        test_set=test.name,
        memorised_references=memorised(test.references, set(train[1])),
        texts=texts,
        nbest=[report for _, report in first.values()],
        models=models,
    )
    write_json(args.output, diagnostics)


Train = tuple[list[str], list[str]]
FirstBest = Mapping[Path, tuple[Mapping[str, str], NbestDiagnostics]]
"""Folder of an n-best list -> (source line -> most probable hypothesis, report)."""


def _nbest(path: Path, train: Train) -> tuple[dict[str, str], NbestDiagnostics]:
    """Read an even sample of one list: first hypotheses, and the oracle on a part of those."""
    by_digest = {source_digest(line): place for place, line in enumerate(train[0])}
    every = -(-len(train[0]) // PARSED_RECORDS) or 1
    step = every * max(1, len(train[0]) // every // ORACLE_SENTENCES)
    best, lists, references = {}, [], []
    for index, line in enumerate(read_lines(path)):
        if index % every:
            continue
        record = from_line(line, f"{path}, line {index + 1}")
        place = by_digest.get(record.source, record.id)
        if place >= len(train[0]):
            raise SeqkdError(f"{path}: record {record.id} has no line in the training text")
        texts = [each.text for each in record.hypotheses]
        best[train[0][place]] = texts[0] if texts else ""
        if index % step == 0:
            lists.append(texts)
            references.append(train[1][place])
    beam = max(map(len, lists), default=1)
    widths = nested_widths(max(beam, 1))
    return best, NbestDiagnostics(
        teacher=path.parent.parent.parent.name,
        beam=beam,
        sentences=len(lists),
        widths=widths,
        oracle=oracle_bleu(lists, references, widths),
    )


def _sample(count: int) -> range:
    return range(0, count, max(1, -(-count // ALIGNED_PAIRS)))


def _pairs(source: Sequence[str], target: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    return [(tokenise(source[n]), tokenise(target[n])) for n in _sample(len(source))]


def _gold(train: Train) -> tuple[TextDiagnostics, Dictionary]:
    pairs = _pairs(*train)
    dictionary = align(pairs)
    gold = _report("gold", None, train, pairs, dictionary, dictionary, as_gold=None, differs=None)
    return gold, dictionary


def _report(
    targets: str,
    teacher: str | None,
    text: Train,
    pairs: Sequence[tuple[list[str], list[str]]],
    dictionary: Dictionary,
    gold: Dictionary,
    *,
    as_gold: float | None,
    differs: float | None,
) -> TextDiagnostics:
    sampled = [text[1][n] for n in _sample(len(text[1]))]
    words = sum(len(source) for source, _ in pairs)
    return TextDiagnostics(
        targets=targets,
        teacher=teacher,
        pairs=len(text[1]),
        sampled=len(pairs),
        complexity=complexity(dictionary),
        faithfulness=faithfulness(gold, dictionary),
        variety=variety(sampled),
        words_per_source_word=sum(len(target) for _, target in pairs) / max(words, 1),
        repeated=share(map(has_loop, sampled)),
        as_gold=as_gold,
        differs=differs,
    )


def _text(
    path: Path, config: TableConfig, train: Train, gold: Dictionary, first: FirstBest
) -> TextDiagnostics:
    """Measure one distilled text; its source stands beside it."""
    text = list(read_lines(path.with_suffix(f".{config.source}"))), list(read_lines(path))
    if len(text[0]) != len(text[1]):
        raise SeqkdError(f"{path}: {len(text[1])} lines for {len(text[0])} of its source")
    pairs = _pairs(*text)
    references = dict(zip(*train, strict=True))
    best, _ = first.get(_list_behind(path), ({}, None))
    known = [(s, t) for s, t in zip(*text, strict=True) if s in best]
    differs = share(target != best[source] for source, target in known) if known else None
    return _report(
        path.parent.name,
        path.parent.parent.parent.name,
        text,
        pairs,
        align(pairs),
        gold,
        as_gold=share(references.get(s) == t for s, t in zip(*text, strict=True)),
        differs=differs,
    )


def _list_behind(path: Path) -> Path:
    """Return the folder of the n-best list that targets were chosen from, by their own config."""
    config = path.with_name("config.yaml")
    if not config.is_file():
        return path.parent.parent
    return path.parent.parent / load(TargetConfig, config).list_name


def _models(
    config: TableConfig,
    evaluations: Evaluations,
    test: TestSet,
    training: Sequence[str],
) -> Iterator[ModelDiagnostics]:
    counts, lines = word_counts(training), frozenset(training)
    seeds = {row.model: row.seeds[0] for row in config.rows}
    for row in config.rows:
        own = evaluations.get(row.model, row.seeds[0], test.name)
        output = own.hypotheses("greedy")
        teacher = teacher_of(config, row)
        taught: list[str] | None = None
        if teacher is not None and teacher in seeds:
            found = evaluations.get(teacher, seeds[teacher], test.name)
            taught = found.hypotheses(f"beam-{config.beam}")
        words = sum(len(tokenise(line)) for line in test.references)
        measured = variety(output)
        yield ModelDiagnostics(
            model=row.model,
            seed=row.seeds[0],
            teacher=teacher,
            same_as_teacher=share(a == b for a, b in zip(output, taught, strict=True))
            if taught
            else None,
            bleu_to_teacher=bleu(output, taught) if taught else None,
            memorised=memorised(output, lines),
            repeated=share(map(has_loop, output)),
            variety=measured,
            length_ratio=measured.words / max(words, 1),
            by_length=bleu_by_length(test.sources, output, test.references),
            by_frequency=f1_by_frequency(output, test.references, counts),
        )
