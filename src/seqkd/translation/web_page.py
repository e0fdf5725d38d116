"""A page that translates: one HTML file with the model, to be opened without a network or server.

The programs of the page are in `templates/web`: plain JavaScript that computes what `lstm_int8`
computes, from the bytes of an int8 model file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seqkd import __version__
from seqkd.errors import SeqkdError
from seqkd.evaluation.score_files import Evaluation, signatures_of
from seqkd.files import atomic_text, digest
from seqkd.languages import script_of, standard_code
from seqkd.model_files.model_file import ModelInfo, read_info
from seqkd.templates import templates_of
from seqkd.translation.export import scores_of, teacher_scores_of

_SCRIPTS = (
    *("products.js", "model_file.js", "text.js", "vocabulary.js", "lstm.js", "search.js"),
    "worker.js",
)
"""What the page's worker runs, in this order."""
_RIGHT_TO_LEFT_SCRIPTS = frozenset(
    {"Adlm", "Arab", "Aran", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"}
)
_RIGHT_TO_LEFT = frozenset({
    "ar", "arc", "ary", "arz", "azb", "ckb", "dv", "fa", "he", "ks", "nqo", "pnb", "ps", "sd",
    "syr", "ug", "ur", "yi",
})  # fmt: skip
"""Languages, for codes that name no script."""
_MOST_INPUTS = 2080  # of a product that products.js computes exactly
_TEMPLATES = templates_of("seqkd.translation")


def write_page(
    model: Path,
    page: Path,
    scores: Sequence[Path],
    teacher_scores: Sequence[Path],
    licence: str,
    lost: Sequence[str],
) -> None:
    """Write a model as a page that translates.

    Args:
        model: an LSTM in a model file that is stored in int8 and is not compressed.
        page: the HTML file.
        scores: scores files of this model, for its card.
        teacher_scores: those of its teacher, to say what distillation lost.
        licence: of the training data.
        lost: what distillation lost, by other measures.

    Raises:
        SeqkdError: if the model is missing, damaged, or not one that a page can compute, or scores
            are of another model.
    """
    info, sha256 = read_info(model), digest(model)
    _check(model, info)
    evaluations = scores_of(info, sha256, scores)
    of_teacher = teacher_scores_of(info, teacher_scores)
    size = model.stat().st_size
    text = _TEMPLATES.get_template("web/page.html.j2").render(
        info=info,
        code=standard_code,
        direction=_direction,
        facts=dict(_facts(info, size, sha256, evaluations, of_teacher, licence, lost)),
        model=base64.b64encode(model.read_bytes()).decode("ascii"),
        scripts=_SCRIPTS,
    )
    with atomic_text(page) as file:
        file.write(text)


def _check(model: Path, info: ModelInfo) -> None:
    """Refuse what the page's programs do not compute."""
    family, width = info.architecture.get("family"), info.architecture.get("width")
    if family != "lstm":
        raise SeqkdError(f"{model}: web pages support LSTMs, not a {family}; use --onnx")
    if not isinstance(width, int) or 2 * width > _MOST_INPUTS:
        raise SeqkdError(
            f"{model}: width {width}, but a web page supports at most {_MOST_INPUTS // 2}"
        )
    if info.storage != "int8":
        raise SeqkdError(f"{model}: stored as {info.storage}, but a web page needs int8")


def _direction(language: str) -> str:
    """Return the direction of writing, as HTML names it."""
    script = script_of(language)
    if script is not None:
        return "rtl" if script in _RIGHT_TO_LEFT_SCRIPTS else "ltr"
    return "rtl" if standard_code(language).partition("-")[0] in _RIGHT_TO_LEFT else "ltr"


def _facts(
    info: ModelInfo,
    size: int,
    sha256: str,
    evaluations: Sequence[Evaluation],
    of_teacher: Sequence[Evaluation],
    licence: str,
    lost: Sequence[str],
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the lines of the model's card by their titles."""
    yield "Model", [f"{info.model}, seed {info.seed}"]
    yield "Architecture", [_architecture(info.architecture)]
    yield "Size", [f"{size / 1e6:.2f} MB in int8, vocabularies included"]
    if evaluations:
        yield "Quality", [*map(_quality, evaluations), *sorted(signatures_of(evaluations))]
    losses = [*_losses(evaluations, of_teacher), *lost]
    if losses:
        yield "Lost by distillation", losses
    yield "Licence of the training data", [licence or "not recorded"]
    yield "Model file", [f"sha256 {sha256}"]
    yield "Made with", [f"seqkd {__version__}"]


def _architecture(architecture: Mapping[str, object]) -> str:
    layers = architecture["layers"]
    size = f"{layers} layer{'s' * (layers != 1)} of {architecture['width']}"
    tables = {"all": "one table", "True": "two tables"}.get(
        str(architecture.get("tie_embeddings")), "three tables"
    )
    directions = ", reads both ways" if architecture.get("bidirectional") else ""
    return f"LSTM with attention, {size}{directions}, {tables} of word vectors"


def _quality(evaluation: Evaluation) -> str:
    scores = ", ".join(
        f"{search} {each.bleu:.1f} BLEU, {each.chrf:.1f} chrF"
        for search, each in evaluation.searches.items()
    )
    return f"{evaluation.test_set}, {evaluation.sentences:,} sentences: {scores}"


def _losses(evaluations: Sequence[Evaluation], of_teacher: Sequence[Evaluation]) -> Iterator[str]:
    """Yield for each test set how far the model is from its teacher's best search."""
    teachers = {each.test_set: each for each in of_teacher}
    for own in evaluations:
        teacher = teachers.get(own.test_set)
        if teacher is None:
            continue
        search = max(teacher.searches, key=lambda name: teacher.searches[name].bleu)
        for name, scores in own.searches.items():
            loss = teacher.searches[search].bleu - scores.bleu
            yield (
                f"{own.test_set}, {name}: {loss:.1f} BLEU below the teacher's "
                f"{teacher.searches[search].bleu:.1f} ({search}), with "
                f"{teacher.parameters / own.parameters:.1f} times fewer parameters"
            )
