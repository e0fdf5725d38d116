"""What the config refuses, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config_values import put
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import parse_experiment
from seqkd.config.schema import Section
from seqkd.config.sources import user_file
from seqkd.config.teachers import HuggingFaceTeacher
from seqkd.errors import SeqkdError

BASELINE = {"architecture": "teacher", "methods": ["baseline"]}
FILE = {"kind": "file", "translations": "theirs.en"}
ATTENTION = {
    "targets": "gold",
    "label": "attention",
    "training": {"guided_alignment": {"by": "teacher"}},
}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sedes", [1], "unknown key 'sedes' (did you mean 'seeds'?)"),
        (
            "architectures.student.dropuot", 0.1,
            "architectures.student: unknown key 'dropuot' (did you mean 'dropout'?)",
        ),
        (
            "architectures.student.training", {"epoch": 3},
            "architectures.student.training: unknown key 'epoch' (did you mean 'epochs'?)",
        ),
        (
            "methods.word-kd", [{"targets": "gold", "kd_wieght": 0.5}],
            "methods.word-kd[0]: unknown key 'kd_wieght' (did you mean 'kd_weight'?)",
        ),
        ("training.epochs", "three", "training.epochs: should be an integer, got 'three'"),
        ("training.epochs", 2.5, "training.epochs: should be an integer, got 2.5"),
        ("training.epochs", True, "training.epochs: should be an integer, got True"),
        ("training.dropout", 0.1, "training: unknown key 'dropout'; known keys: epochs, epoch_"),
        ("training.learning_rate", "nan", "training.learning_rate: should be a finite number"),
        ("vocab.joint", "maybe", "vocab.joint: should be true or false, got 'maybe'"),
        ("target", False, "target: should be a string, got False; put it in quotes"),
        ("target", "english", "'english' is not a language code such as de or pt-BR"),
        (
            "vocab.kind", "unigrm",
            "should be 'unigram', 'bpe' or 'word', got 'unigrm' (did you mean 'unigram'?)",
        ),
        ("architectures.student.family", "lstn", "(did you mean 'lstm'?)"),
        ("models.1.architecture", "studnet", "unknown 'studnet' (did you mean 'student'?)"),
        ("models.1.methods", ["word-dk"], "unknown 'word-dk' (did you mean 'word-kd'?)"),
        ("models.1.methods", ["baseline", "baseline"], "methods: baseline is listed twice"),
        ("models.1.methods", [], "models[1].methods: should have at least one item, got []"),
        (
            "methods.seq-kd", [{"targets": "seq-dk"}],
            "methods.seq-kd[0].targets: unknown 'seq-dk' (did you mean 'seq-kd'?)",
        ),
        (
            "models.1.teacher", None,
            "models[1]: method 'word-kd' needs a teacher; add 'teacher: NAME'",
        ),
        ("models.1.teacher_method", "seq-kd", "is not trained by 'seq-kd'"),
        ("models.1.teacher", "theirs", "models[1].teacher: unknown 'theirs' (did you mean 'teach"),
        ("teachers", {"Theirs": FILE}, "teachers.Theirs: 'Theirs' must be lower-case"),
        (
            "teachers", {"student": FILE},
            "teachers.student: this name is already used by an architecture",
        ),
        (
            "teachers", {"x": {"kind": "flie"}},
            "teachers.x.kind: should be one of 'file', 'hugging-face', got 'flie'",
        ),
        ("teachers", {"x": {"kind": "file"}}, "teachers.x.translations: missing"),
        ("methods.baseline", [], "methods.baseline: should have at least one stage"),
        (
            "targets.seq-inter.beam", 0,
            "targets.seq-inter.beam: should be greater than or equal to 1, got 0",
        ),
        ("targets.seq-inter.share", 1.5, "share: should be less than or equal to 1, got 1.5"),
        ("targets.gold", {"rule": "one-best"}, "targets.gold: this name means the training text"),
        ("corpus.decontaminate", ["tset"], "(did you mean 'test'?)"),
        ("corpus.decontaminate", ["test", "test"], "corpus.decontaminate: test is listed twice"),
        ("corpus.train.0.tgt", "tests/data/./smoke/smoke.de", "src and tgt are the same file"),
        ("corpus.train.0.columns", [1], "corpus.train[0].columns[1]: missing"),
        ("corpus.train.0.src", "a*.de", "corpus.train[0].src: 'a*.de': a path cannot have '*'"),
        ("architectures.student.tag", "Big", "architectures.student.tag: 'Big' must be lower-case"),
        ("corpus.test_sets", {}, "corpus.test_sets: should have at least one test set"),
        ("corpus.train", [{"provider": "flies"}], "(did you mean 'files'?)"),
        (
            "pruning.percentages", [80, 120],
            "percentages[1]: should be less than or equal to 99, got 120",
        ),
        ("pruning.percentag", [50], "pruning: unknown key 'percentag' (did you mean"),
        ("pruning.percentages", [80, 80], "percentages: 80 is listed twice"),
        ("pruning.cut_until", 0.7, "pruning: cut_until needs cuts: a single cut is made before"),
        ("pruning.schedule", "linear", "pruning: schedule needs cuts"),
        ("pruning.stages", [], "pruning: 'of' needs at least one item in 'stages'"),
        ("seeds", [], "seeds: should have at least one item, got []"),
        ("seeds", [1, 2, 1], "seeds: 1 is listed twice"),
        ("seeds", [-1], "seeds[0]: should be greater than or equal to 0, got -1"),
        ("decoding.shards", 0, "decoding.shards: should be greater than or equal to 1, got 0"),
        ("evaluation.beam", 1, "beam: should be greater than or equal to 2, got 1"),
        ("experiment", "My Run", "'My Run' must be lower-case letters and digits joined by '-'"),
        ("models", [], "models: should have at least one item, got []"),
        (
            "architectures.student.width", 0,
            "student.width: should be greater than or equal to 1, got 0",
        ),
        ("training.learning_rate", -1, "training.learning_rate: should be greater than 0, got -1"),
        ("training.decay_from", 9, "decay_from: linear needs a fraction of all updates, at most 1"),
        (
            "training.schedule", "kim-rush",
            "training of 'teacher' on 'gold': decay_from: kim-rush needs an epoch, a whole number "
            "from 1; got 0.5",
        ),
        (
            "training", {"schedule": "kim-rush", "decay_from": 1.5},
            "kim-rush needs an epoch, a whole number from 1; got 1.5",
        ),
        (
            "architectures.student.training", {"decay_from": 9},
            "training of 'student' on 'gold': decay_from: linear needs",
        ),
        (
            "pruning.stages.1.training", {"schedule": "kim-rush"},
            "training of 'student' on 'seq-inter': decay_from: kim-rush needs",
        ),
        (
            "training", {"best": "last", "patience": 2},
            "training of 'teacher' on 'gold': patience needs best: bleu or perplexity; got last",
        ),
        ("quantisation.formats", [], "'of' needs at least one item in 'formats'"),
        ("models.0", {**BASELINE, "teacher_seeds": [1]}, "models[0]: teacher_seeds needs teacher"),
        ("models.0", {**BASELINE, "teacher_method": "x"}, "teacher_method needs teacher"),
        ("targets.seq-kd.length_penalty", 300, "length_penalty: at most 10"),
        (
            "corpus.test_sets.speed", {"provider": "files", "src": "a", "tgt": "b"},
            "corpus: test_sets: 'speed' is the name of the timings' file; rename it",
        ),
        ("training", [1], "training: should be a mapping, got [1]"),
        (
            "targets.seq-kd.monolingual", {"sentences": 5},
            "targets.seq-kd.monolingual: corpus.monolingual names no text",
        ),
        ("targets.seq-kd.monolingual", {}, "targets.seq-kd.monolingual.sentences: missing"),
        ("corpus.train.0.columns", [2, 3], "columns: only 'tsv' has columns; remove it"),
        ("vocab.tokenizer", "whitespace", "tokenizer: only kind word uses it; remove it"),
        ("vocab", {"kind": "word", "character_coverage": 0.99}, "only subwords use it; remove it"),
        (
            "corpus.monolingual", [{"provider": "sacrebleu", "name": "wmt14"}],
            "corpus.monolingual",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_in_one_line(smoke: dict, path: str, value: object, message: str):
    put(smoke, path, value)
    with pytest.raises(SeqkdError) as caught:
        Experiment(parse_experiment(smoke))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["pruning.of[0]", "quantisation.of[0]", "speed.of[0]", "evaluation.against", "web.of"]
)
def test_a_row_that_no_entry_makes_is_refused_where_it_is_named(smoke: dict, path: str):
    row = {"architecture": "student", "method": "mbr"}
    put(smoke, path.removesuffix("[0]"), [row] if path.endswith("[0]") else row)
    with pytest.raises(SeqkdError) as caught:
        Experiment(parse_experiment(smoke))
    assert str(caught.value).startswith(f"{path}: 'student' with method 'mbr' is not among")


def test_no_section_hides_a_check_of_another():
    todo: list[type] = [Section]
    for kind in todo:
        todo += kind.__subclasses__()
        hidden = {name for base in kind.__mro__[1:] for name in vars(base)} & vars(kind).keys()
        assert not [name for name in hidden if name.startswith("_check")], kind


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("models.1.methods", ["word-kd"], "Word-KD and guided_alignment by the teacher need one"),
        ("models.1.methods", ["attention"], "Word-KD and guided_alignment by the teacher need one"),
        (
            "architectures.student.training", {"guided_alignment": {"by": "teacher"}},
            "Word-KD and guided_alignment by the teacher need one",
        ),
        ("models.1.teacher_method", "seq-kd", "has no teacher_method and no teacher_seeds"),
        ("models.1.teacher_seeds", [1, 2], "has no teacher_method and no teacher_seeds"),
        ("targets.seq-kd.sample", {"draws": 2}, "cannot be sampled"),
        ("targets.seq-kd.length_penalty", 1.0, "so `length_penalty` has no effect"),
        ("targets.seq-kd.drop", 0.1, "has no scores to drop by; use drop_by: similarity"),
        ("targets.seq-kd.monolingual", {"sentences": 1}, "cannot translate monolingual text"),
        ("pruning.stages", [{"targets": "gold", "kd_weight": 0.5}], "Word-KD and guided_alignment"),
        ("pruning.stages", [ATTENTION], "Word-KD and guided_alignment by the teacher need one"),
        ("pruning.stages", [{"targets": "sampled"}], "cannot be sampled"),
        ("pruning.stages", [{"targets": "penalised"}], "so `length_penalty` has no effect"),
        ("pruning.stages", [{"targets": "more"}], "cannot translate monolingual text"),
        (
            "pruning.stages", [{"targets": "seq-kd", "teacher_method": "seq-kd"}],
            "has no teacher_method and no teacher_seeds",
        ),
    ],
)  # fmt: skip
def test_a_file_cannot_teach_everything(smoke: dict, path: str, value: object, message: str):
    smoke["teachers"] = {"theirs": FILE}
    smoke["models"] = [
        {"architecture": "teacher", "methods": ["baseline"]},
        {"architecture": "student", "teacher": "theirs", "methods": ["seq-kd"]},
    ]
    smoke["methods"]["attention"] = [ATTENTION]
    smoke["corpus"]["monolingual"] = [{"provider": "files", "src": "mono.de"}]
    for name, key, given in (
        ("sampled", "sample", {}), ("penalised", "length_penalty", 1.0),
        ("more", "monolingual", {"sentences": 1}),
    ):  # fmt: skip
        smoke["targets"][name] = {"rule": "one-best", key: given}
    pruned = {"of": [{"architecture": "student", "method": "seq-kd"}], "percentages": [50]}
    smoke |= {"quantisation": {}, "speed": {}, "web": {}}
    smoke["pruning"] = {**pruned, "stages": [{"targets": "seq-kd"}]}
    models = Experiment(parse_experiment(smoke)).models
    for name in ("lstm-1x16.seq-kd.from-theirs", "lstm-1x16.seq-kd.from-theirs.pruned-50"):
        assert (models[name, 1].teacher, models[name, 1].teacher_seeds) == ("theirs", (0,))
    put(smoke, path, value)
    with pytest.raises(SeqkdError, match=f"teachers.theirs .*{message}"):
        Experiment(parse_experiment(smoke))


@pytest.mark.parametrize("method", ["word-kd", "seq-kd+word-kd", "attention"])
def test_a_model_of_hugging_face_gives_translations_alone(smoke: dict, method: str):
    smoke["teachers"] = {"theirs": {"kind": "hugging-face", "folder": "model"}}
    smoke["methods"]["attention"] = [ATTENTION]
    smoke["models"] = [{"architecture": "student", "teacher": "theirs", "methods": [method]}]
    with pytest.raises(
        SeqkdError, match=r"teachers\.theirs gives translations; Word-KD and guided"
    ):
        Experiment(parse_experiment(smoke))


@pytest.mark.parametrize("key", ["experiment", "source", "corpus", "architectures", "models"])
def test_a_missing_key_is_named(smoke: dict, key: str):
    del smoke[key]
    with pytest.raises(SeqkdError, match=f"{key}: missing"):
        parse_experiment(smoke)


def test_a_teacher_cannot_teach_itself_before_it_exists(smoke: dict):
    smoke["models"][0] |= {"teacher_method": "seq-kd", "methods": ["seq-kd"]}
    smoke["models"][1] |= {"teacher_method": "seq-kd"}
    with pytest.raises(SeqkdError, match="would need itself as its own teacher"):
        Experiment(parse_experiment(smoke))


def test_one_name_for_two_models_is_refused(smoke: dict):
    smoke["architectures"]["twin"] = {**smoke["architectures"]["student"], "dropout": 0.5}
    smoke["models"].append({"architecture": "twin", "methods": ["baseline"]})
    with pytest.raises(SeqkdError, match=r"two different models would be called 'lstm-1x16\.nll'"):
        Experiment(parse_experiment(smoke))
    smoke["architectures"]["twin"]["tag"] = "wet"
    names = {row.model for row in Experiment(parse_experiment(smoke)).rows}
    assert "lstm-1x16-wet.nll" in names


def test_one_model_for_two_rows_is_refused(smoke: dict):
    smoke["methods"]["again"] = smoke["methods"]["seq-kd"]
    smoke["models"][1]["methods"].append("again")
    with pytest.raises(SeqkdError, match="are the same model"):
        Experiment(parse_experiment(smoke))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"divergence": "kl"},
            "divergence: should be 'forward-kl', 'reverse-kl' or 'js', got 'kl'",
        ),
        ({"divergence": "reverse-kl"}, "reverse-kl needs soft_targets: alongside"),
        ({"select": 0}, "select: should be greater than 0"),
        ({"top_1_weight": -1}, "top_1_weight: should be greater than or equal to 0"),
    ],
)
def test_impossible_losses_are_refused(smoke: dict, stage: dict, message: str):
    smoke["methods"]["word-kd"] = [{"targets": "gold", "kd_weight": 0.5, **stage}]
    with pytest.raises(SeqkdError, match=message):
        parse_experiment(smoke)


@pytest.mark.parametrize("weight", [{}, {"kd_weight": 0}])
@pytest.mark.parametrize(
    "key",
    [
        {"select": 0.5}, {"top_1_weight": 1.0}, {"divergence": "js"}, {"temperature": 2.0},
        {"soft_targets": "alongside"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["methods.baseline", "pruning.stages"])
def test_settings_of_word_kd_without_it_are_refused(
    smoke: dict, path: str, key: dict, weight: dict
):
    put(smoke, path, [{"targets": "gold", **key, **weight}])
    with pytest.raises(SeqkdError) as caught:
        parse_experiment(smoke)
    assert str(caught.value) == (
        f"{path}[0]: {next(iter(key))} needs kd_weight: without it there is no Word-KD"
    )


def test_a_decay_is_checked_where_its_schedule_uses_it(smoke: dict):
    smoke["training"] |= {"schedule": "kim-rush", "decay_from": 9, "epochs": 3}
    fine = {"schedule": "constant", "learning_rate": 0.1}
    for stages in [*smoke["methods"].values(), smoke["pruning"]["stages"]]:
        for stage in stages[1:]:
            stage["training"] = fine
    assert Experiment(parse_experiment(smoke)).rows
    smoke["training"]["schedule"] = "inverse-sqrt"
    assert Experiment(parse_experiment(smoke)).rows


def test_losses_that_differ_need_names_that_differ(smoke: dict):
    stage = {"targets": "gold", "kd_weight": 0.5, "divergence": "js"}
    smoke["models"][1]["methods"].append("js")
    smoke["methods"]["js"] = [stage]
    with pytest.raises(SeqkdError, match="'label'"):
        Experiment(parse_experiment(smoke))
    smoke["methods"]["js"] = [{**stage, "label": "js-kd"}]
    assert ("lstm-1x16.js-kd.from-lstm-1x32", 1) in Experiment(parse_experiment(smoke)).models


def test_a_language_that_a_teacher_does_not_have_is_refused_before_any_job(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    teacher = {"kind": "hugging-face", "folder": str(tmp_path), "target_language": "deu_Latin"}
    codes = ["deu_Latn", "eng_Latn", "fra_Latn", "nld_Latn", "spa_Latn"]
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"additional_special_tokens": codes}), encoding="utf-8"
    )
    with pytest.raises(SeqkdError, match=r"'deu_Latin' \(did you mean 'deu_Latn'"):
        _ = HuggingFaceTeacher(**teacher).files
    teacher["target_language"] = "deu_Latn"
    assert len(HuggingFaceTeacher(**teacher).files) == 2
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(SeqkdError, match="a pointer of Git LFS"):
        _ = HuggingFaceTeacher(**teacher).files


@pytest.mark.parametrize(
    "path", ["{x}.de", "<results>/x", "$HOME/x", "a*.de", "-x", "", "s3://b/x", "~nobodyxx/x"]
)
def test_paths_that_snakemake_would_misread_are_refused(path: str):
    with pytest.raises(SeqkdError, match=r"a path cannot have|is not a path|no user ~nobodyxx"):
        user_file(path)


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(SeqkdError, match="is a folder; expected a file"):
        user_file(str(tmp_path))


@pytest.mark.parametrize("name", ["a/b", "{x}", "..", "", "a b", "-x"])
def test_names_of_test_sets_are_parts_of_paths(smoke: dict, name: str):
    smoke["corpus"]["test_sets"][name] = {"provider": "files", "src": "a", "tgt": "b"}
    with pytest.raises(SeqkdError, match="must be letters, digits"):
        parse_experiment(smoke)


FILES = {"provider": "files", "src": "a", "tgt": "b"}
HOME = {"provider": "home-assistant"}
URL = {
    "provider": "url",
    **{key: {"url": f"https://x.org/{key}", "sha256": "0" * 64} for key in ("src", "tgt")},
}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (FILES, {}), (FILES, {"src": "${PWD}/a", "tgt": "c/../b"}), (URL, {"mirror": "copies"}),
        (HOME, {"wheel": "copy.whl"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("other", "one"), [("dev", r"train\[0\]"), ("test_sets.seen", "dev")])
def test_text_is_not_both_learned_from_and_scored(
    smoke: dict, other: str, one: str, text: dict, more: dict
):
    smoke["corpus"]["dev"] = text
    put(smoke, "corpus.train.0" if other == "dev" else "corpus.test_sets.seen", text | more)
    with pytest.raises(SeqkdError, match=f"corpus.{other} is the same text as corpus.{one}"):
        parse_experiment(smoke)
