"""What distillation did: to the targets, and to the models that learnt from them.

Of each distilled text: complexity and faithfulness (Zhou et al. 2020), distinct words, length,
repetition, and how often it differs from the most probable hypothesis. Of each n-best list: the
BLEU of its best hypothesis for growing K. Of each model: agreement with its teacher, memorised and
repeated output, BLEU by length, F1 by word frequency, and words to copy. Complexity, faithfulness
and distinct words depend on the size of a text, so of all texts as many pairs are measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from seqkd.alignment.dictionary import Dictionary, align, complexity, faithfulness
from seqkd.config.bleu import BleuConfig
from seqkd.config.table_rows import Key, TableConfig
from seqkd.corpus.subset import evenly_spread
from seqkd.corpus.test_sets import TestSet
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.significance import bleu_metric
from seqkd.evaluation.text_statistics import (
    Bucket,
    bleu_by_length,
    copied_words,
    corpus_score,
    f1_by_frequency,
    has_loop,
    memorised,
    nested_widths,
    oracle_bleu,
    share,
    word_counts,
)
from seqkd.text import Pair, length, tokenise

MEASURED_PAIRS = 20_000
ORACLE_SENTENCES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDiagnostics:
    """One text that models learn from."""

    targets: str
    """`gold`, or the name of the selection."""
    teacher: str | None
    """With its seeds; None for `gold`."""
    pairs: int
    sampled: int
    """Pairs that are measured: as many of each text."""
    complexity: float
    faithfulness: float | None
    """Over the pairs whose source has a reference; None if there are none."""
    distinct_words: int
    words_per_source_word: float
    repeated: float
    """Share of lines with a loop."""
    as_gold: float | None
    """Share of lines that are the reference, word for word."""
    differs: float | None
    """Share of lines that are not the most probable hypothesis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NbestDiagnostics:
    """One n-best list."""

    teacher: str
    """With its seeds."""
    search: str
    """Folder of the list, such as `beam-5` or `sample-8-seed-1`."""
    sentences: int
    widths: Sequence[int]
    oracle: Sequence[float]
    """BLEU of the best of the first K, for each of `widths`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDiagnostics:
    """One model on the test set."""

    model: str
    seed: int
    teacher: str | None
    teacher_seed: int | None
    same_as_teacher: float | None
    """Share of greedy outputs that are the teacher's beam output, word for word."""
    bleu_to_teacher: float | None
    """BLEU of greedy output with the teacher's beam output as the reference."""
    memorised: float
    """Share of outputs that are references of the training text, word for word."""
    repeated: float
    length_ratio: float
    by_length: Sequence[Bucket]
    by_frequency: Sequence[Bucket]
    copied: Bucket


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostics:
    """`tables/diagnostics.json`."""

    test_set: str
    memorised_references: float
    """Share of the test set's references that are references of the training text, too."""
    texts: Sequence[TextDiagnostics]
    nbest: Sequence[NbestDiagnostics]
    models: Sequence[ModelDiagnostics]

    def of(self, model: str, seed: int | None) -> ModelDiagnostics | None:
        """Return those of one model, if it was measured."""
        found = (each for each in self.models if (each.model, each.seed) == (model, seed))
        return next(found, None)


@dataclass(frozen=True, slots=True)
class ParallelText:
    """Sentence pairs as lines."""

    src: Sequence[str]
    tgt: Sequence[str]


def nbest_diagnostics(
    teacher: str,
    search: str,
    lists: Iterable[tuple[int, Sequence[str]]],
    count: int,
    train: ParallelText,
    bleu: BleuConfig,
) -> tuple[NbestDiagnostics, dict[str, set[str]]]:
    """Measure an n-best list.

    Args:
        teacher: the model that made it, with its seeds.
        search: folder of the list.
        lists: line of the training text and hypotheses, best first, evenly sampled; none of
            monolingual text.
        count: about how many there are; the oracle takes an even sample of them.
        train: the training text.
        bleu: how BLEU is computed.

    Returns:
        The diagnostics, and source line -> most probable hypotheses, several if it is repeated.
    """
    best: dict[str, set[str]] = {}
    texts, references = [], []
    for number, (place, hypotheses) in enumerate(lists):
        best.setdefault(train.src[place], set()).add(hypotheses[0] if hypotheses else "")
        if number % max(1, count // ORACLE_SENTENCES) == 0:
            texts.append(hypotheses)
            references.append(train.tgt[place])
    widths = nested_widths(max([1, *map(len, texts)]))
    diagnostics = NbestDiagnostics(
        teacher=teacher,
        search=search,
        sentences=len(texts),
        widths=widths,
        oracle=oracle_bleu(bleu, texts, references, widths) if texts else [],
    )
    return diagnostics, best


def text_diagnostics(
    targets: str,
    teacher: str | None,
    text: ParallelText,
    size: int,
    references: Mapping[str, Set[str]] | None = None,
    best: Mapping[str, Set[str]] | None = None,
) -> TextDiagnostics:
    """Measure a text that models learn from.

    Args:
        targets: `gold`, or the name of the selection.
        teacher: the model that translated it, with its seeds; None for `gold`.
        text: its pairs.
        size: how many pairs are measured, the same number for all texts that are compared.
        references: source line -> its gold targets, several if it is repeated; None for `gold`.
        best: source line -> its most probable hypotheses, where known; None for `gold`.
    """
    sample = [(text.src[n], text.tgt[n]) for n in evenly_spread(len(text.src), size)]
    lines = [target for _, target in sample]
    return TextDiagnostics(
        targets=targets,
        teacher=teacher,
        pairs=len(text.tgt),
        sampled=len(sample),
        complexity=complexity(_dictionary(sample)),
        faithfulness=0.0 if references is None else _faithfulness(sample, references),
        distinct_words=len(word_counts(lines)),
        words_per_source_word=sum(map(length, lines)) / max(sum(length(x) for x, _ in sample), 1),
        repeated=share(map(has_loop, lines)),
        as_gold=_agreement(text, references),
        differs=None if (same := _agreement(text, best)) is None else 1 - same,
    )


def _dictionary(pairs: Sequence[Pair]) -> Dictionary:
    return align([(tokenise(source), tokenise(target)) for source, target in pairs])


def _faithfulness(pairs: Sequence[Pair], references: Mapping[str, Set[str]]) -> float | None:
    """Return it against gold pairs of the same sources: others have other words around them."""
    known = [(source, target) for source, target in pairs if source in references]
    gold = [(source, min(references[source])) for source, _ in known]
    return faithfulness(_dictionary(gold), _dictionary(known)) if known else None


def _agreement(text: ParallelText, known: Mapping[str, Set[str]] | None) -> float | None:
    """Return the share of lines that are a known target of their source, of those with one."""
    pairs = zip(text.src, text.tgt, strict=True)
    flags = [target in known[source] for source, target in pairs if known and source in known]
    return share(flags) if flags else None


def measured_models(config: TableConfig) -> list[Key]:
    """Return the models to measure: the first seed of each row, and the models that taught one."""
    first = [(row.model, row.seeds[0]) for row in config.rows]
    taught = filter(None, map(config.teacher_of, config.rows))
    return list(dict.fromkeys([*first, *taught]))


def model_diagnostics(
    config: TableConfig, evaluations: Evaluations, test: TestSet, training: Sequence[str]
) -> Iterator[ModelDiagnostics]:
    """Yield those of each of `measured_models`, on one test set."""
    counts, lines = word_counts(training), frozenset(training)
    bleu = bleu_metric(evaluations.bleu)
    reference_words = word_counts(test.references).total()
    rows = {row.model: row for row in config.rows}
    for model, seed in measured_models(config):
        output = evaluations.get(model, seed, test.name).hypotheses("greedy")
        teacher = config.teacher_of(rows[model])
        taught: list[str] | None = None
        if teacher is not None:
            taught = evaluations.get(*teacher, test.name).hypotheses(config.searches[1])
        yield ModelDiagnostics(
            model=model,
            seed=seed,
            teacher=teacher[0] if teacher else None,
            teacher_seed=teacher[1] if teacher else None,
            same_as_teacher=share(a == b for a, b in zip(output, taught, strict=True))
            if taught
            else None,
            bleu_to_teacher=corpus_score(bleu, output, taught) if taught else None,
            memorised=memorised(output, lines),
            repeated=share(map(has_loop, output)),
            length_ratio=word_counts(output).total() / max(reference_words, 1),
            by_length=bleu_by_length(bleu, test.sources, output, test.references),
            by_frequency=f1_by_frequency(output, test.references, counts),
            copied=copied_words(test.sources, output, test.references),
        )
