"""The config: what it accepts, what it refuses and in which words, and what it expands to."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seqkd import config_reference
from seqkd.config import ExperimentConfig, load_experiment, overlay, parse_experiment
from seqkd.corpus_config import CleaningConfig, CorpusConfig
from seqkd.entry import ModelEntry, load_entry
from seqkd.errors import SeqkdError
from seqkd.experiment import Experiment
from seqkd.schema import to_dict
from seqkd.slices import slice_of, source_slice, table_of
from seqkd.target_config import TargetConfig
from seqkd.training_config import TrainingConfig
from seqkd.vocab_config import VocabConfig

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT / "config" / "default.yaml"
EXPERIMENTS = sorted((ROOT / "config" / "experiments").glob("*.yaml"))
FILE = {"kind": "file", "translations": "theirs.en"}
STUDENT_METHODS = [
    "baseline", "word-kd", "seq-kd", "baseline+seq-inter", "word-kd+seq-inter",
    "seq-kd+seq-inter", "seq-kd+word-kd", "seq-kd+seq-inter+word-kd",
]  # fmt: skip


@pytest.fixture
def smoke() -> dict:
    """The smoke experiment with its defaults, as plain values that a test may spoil."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (DEFAULT, SMOKE)]
    return copy.deepcopy(overlay(*files))


SMOKE = ROOT / "config" / "experiments" / "smoke.yaml"


def put(config: dict, path: str, value: object) -> None:
    """Set one key, given as a path with dots."""
    *folders, last = path.split(".")
    for key in folders:
        config = config[int(key)] if isinstance(config, list) else config.setdefault(key, {})
    config[int(last) if isinstance(config, list) else last] = value


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WMT14_DIR", "wmt14")
    monkeypatch.setenv("IWSLT15_DIR", "iwslt15")
    experiment = Experiment(load_experiment(DEFAULT, path))
    assert experiment.config.experiment == path.stem
    methods = {row.method for row in experiment.rows}
    if path.stem in ("beyond", "headline"):  # these ask another question than Table 1
        assert methods >= {"baseline", "seq-kd", "seq-kd+seq-inter"}
    else:
        assert methods == set(STUDENT_METHODS)


@pytest.mark.parametrize("base", ["home-assistant", "multi30k"])
@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/overlays").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_overlay_fits_an_experiment(path: Path, base: str):
    experiment = Experiment(
        load_experiment(DEFAULT, ROOT / f"config/experiments/{base}.yaml", path)
    )
    if path.stem == "compression":
        assert experiment.config.experiment == base  # so that its models are reused
        assert {row.pruned for row in experiment.all_rows} == {0, 50, 80, 85, 90}
        assert {"int8", "bf16"} <= {row.format for row in experiment.all_rows}
    else:
        assert experiment.config.experiment == path.stem
        assert [row.architecture for row in experiment.rows if row.against] == ["student-fp32"]


def test_beyond_is_about_the_text_and_the_models_of_home_assistant():
    here, there = (
        load_experiment(DEFAULT, ROOT / f"config/experiments/{name}.yaml")
        for name in ("beyond", "home-assistant")
    )
    assert (here.corpus, here.vocab, here.training) == (there.corpus, there.vocab, there.training)
    for name in ("teacher", "student"):
        assert here.architectures[name] == there.architectures[name]
    for name in ("seq-kd", "seq-inter"):
        assert here.targets[name] == there.targets[name]
    for method in ("baseline", "word-kd", "seq-kd", "seq-kd+seq-inter"):
        assert here.methods[method] == there.methods[method]


def test_the_paper_sizes_and_schedule():
    config = load_experiment(DEFAULT, ROOT / "config/experiments/kim-rush-wmt14.yaml")
    sizes = {row.label for row in Experiment(config).rows}
    assert sizes == {"lstm-4x1000", "lstm-2x500", "lstm-2x300"}
    assert config.vocab == VocabConfig(
        kind="word", size=50_000, joint=False, tokenizer="whitespace"
    )
    assert (config.targets["seq-kd"].beam, config.targets["seq-inter"].beam) == (5, 35)
    assert config.targets["seq-inter"].share == 0.5
    training = config.training_of("teacher", config.methods["baseline"][0])
    assert (training.optimizer, training.learning_rate, training.schedule) == (
        "sgd", 1.0, "kim-rush",
    )  # fmt: skip
    fine = config.training_of("large", config.methods["seq-kd+seq-inter"][1])
    assert (fine.learning_rate, fine.schedule, fine.normalise_by) == (0.1, "constant", "sentence")
    assert config.pruning.percentages == (50, 80, 85, 90)


def test_defaults_stand_in_one_place():
    default = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    assert default["training"] == to_dict(TrainingConfig())
    assert default["vocab"] == to_dict(VocabConfig())
    assert default["corpus"]["cleaning"] == to_dict(CleaningConfig())
    assert default["targets"]["seq-kd"] == {"rule": "one-best", "beam": 5}
    corpus = {f.name: f.default for f in dataclasses.fields(CorpusConfig)}
    for key in ("near_duplicate", "limit", "decontamination"):
        assert default["corpus"][key] == corpus[key]
    top = {f.name: f for f in dataclasses.fields(ExperimentConfig)}
    for key in ("pruning", "quantisation", "decoding", "evaluation", "speed", "soft_targets"):
        assert default[key] == to_dict(top[key].default_factory())
    known = set(top) - {"experiment", "source", "target", "architectures", "models"}
    assert set(default) == known


def test_every_key_of_the_defaults_is_reached(smoke: dict):
    keys = {field.name for field in dataclasses.fields(TargetConfig)}
    assert set(smoke["targets"]["seq-inter"]) <= keys


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sedes", [1], "sedes: unknown key (did you mean 'seeds'?)"),
        (
            "architectures.student.dropuot", 0.1,
            "architectures.student.dropuot: unknown key (did you mean 'dropout'?)",
        ),
        (
            "architectures.student.training", {"epoch": 3},
            "architectures.student.training.epoch: unknown key (did you mean 'epochs'?)",
        ),
        (
            "methods.word-kd", [{"targets": "gold", "kd_wieght": 0.5}],
            "methods.word-kd[0].kd_wieght: unknown key (did you mean 'kd_weight'?)",
        ),
        ("training.epochs", "three", "training.epochs: expected a whole number, got 'three'"),
        ("training.epochs", 2.5, "training.epochs: expected a whole number, got 2.5"),
        ("vocab.joint", "maybe", "vocab.joint: expected true or false, got 'maybe'"),
        ("target", False, "target: expected a text, got False; put it in quotes"),
        ("target", "english", "'english' is not a language code such as de or pt-BR"),
        ("vocab.kind", "unigrm", "'unigrm' is not one of unigram, bpe, word"),
        ("architectures.student.family", "lstn", "(did you mean 'lstm'?)"),
        ("models.1.architecture", "studnet", "unknown 'studnet' (did you mean 'student'?)"),
        ("models.1.methods", ["word-dk"], "unknown 'word-dk' (did you mean 'word-kd'?)"),
        ("models.1.methods", ["baseline", "baseline"], "methods: baseline is listed twice"),
        ("models.1.methods", [], "methods: expected at least one, got an empty list"),
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
        ("teachers", {"student": FILE}, "teachers.student: an architecture has this name"),
        ("teachers", {"x": {"kind": "flie"}}, "'flie' is not one of file, hugging-face"),
        ("teachers", {"x": {"kind": "file"}}, "teachers.x.translations: missing"),
        ("methods.baseline", [], "methods.baseline: expected at least one stage"),
        ("targets.seq-inter.beam", 0, "targets.seq-inter: beam must be at least 1, got 0"),
        ("targets.seq-inter.share", 1.5, "share must be above 0 and at most 1, got 1.5"),
        ("targets.gold", {"rule": "one-best"}, "targets.gold: this name means the training text"),
        ("corpus.decontaminate", ["tset"], "(did you mean 'test'?)"),
        ("corpus.test_sets", {}, "corpus.test_sets: expected at least one test set"),
        ("corpus.train", [{"provider": "flies"}], "(did you mean 'files'?)"),
        ("pruning.percentages", [80, 120], "percentages: 120 is out of range (1 to 99)"),
        ("pruning.percentages", [80, 80], "percentages: 80 is listed twice"),
        ("pruning.stages", [], "stages: expected at least one stage of retraining"),
        ("pruning.of", [{"architecture": "student", "method": "mbr"}], "is not among `models`"),
        ("seeds", [], "seeds: expected at least one, got an empty list"),
        ("seeds", [1, 2, 1], "seeds: 1 is listed twice"),
        ("seeds", [-1], "seeds: -1 is out of range (0 or more)"),
        ("decoding.shards", 0, "decoding: shards must be at least 1, got 0"),
        ("evaluation.beam", 1, "beam must be at least 2"),
        ("experiment", "My Run", "'My Run' must be lower-case letters and digits joined by '-'"),
        ("models", [], "models: expected at least one entry"),
        ("architectures.student.width", 0, "layers and width must be at least 1"),
        ("training.learning_rate", -1, "training.learning_rate: -1.0 is out of range"),
        ("training.subword_sampling", 1.5, "training.subword_sampling: 1.5 is out of range"),
        ("training.subword_sampling", 0.1, "with Word-KD it needs soft_targets: alongside"),
        ("training", [1], "training: expected keys and values, got [1]"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(smoke: dict, path: str, value: object, message: str):
    put(smoke, path, value)
    with pytest.raises(SeqkdError) as caught:
        Experiment(parse_experiment(smoke))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("models.1.methods", ["word-kd"], "Word-KD needs the word distributions of a teacher that"),
        ("models.1.teacher_method", "seq-kd", "has no teacher_method and no teacher_seeds"),
        ("models.1.teacher_seeds", [1, 2], "has no teacher_method and no teacher_seeds"),
        ("targets.seq-kd.sample", {"draws": 2}, "nothing can be drawn from it"),
        ("targets.seq-kd.drop", 0.1, "has no scores to drop by; take drop_by: similarity"),
    ],
)
def test_a_file_cannot_teach_everything(smoke: dict, path: str, value: object, message: str):
    smoke["teachers"] = {"theirs": FILE}
    smoke["models"] = [
        {"architecture": "teacher", "methods": ["baseline"]},
        {"architecture": "student", "teacher": "theirs", "methods": ["baseline", "seq-kd"]},
    ]
    smoke |= {"pruning": {}, "quantisation": {}, "speed": {}}
    student = Experiment(parse_experiment(smoke)).models["lstm-1x16.seq-kd.from-theirs", 1]
    assert (student.teacher, student.teacher_seeds) == ("theirs", (0,))
    put(smoke, path, value)
    with pytest.raises(SeqkdError, match=f"teachers.theirs .*{message}"):
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


def test_numbers_may_be_written_as_everybody_writes_them(smoke: dict):
    put(smoke, "training.learning_rate", "4e-3")  # what PyYAML makes of 4e-3
    put(smoke, "seeds", ["1", "2"])  # what Snakemake's --config makes of [1, 2]
    config = parse_experiment(smoke)
    assert config.training["learning_rate"] == 0.004
    assert config.seeds == (1, 2)


def test_training_is_laid_over_in_the_order_general_architecture_stage(smoke: dict):
    smoke["training"] = {"epochs": 1, "learning_rate": 0.1, "patience": 1}
    smoke["architectures"]["student"]["training"] = {"epochs": 2, "learning_rate": 0.2}
    smoke["methods"]["seq-kd"] = [{"targets": "seq-kd", "training": {"epochs": 3}}]
    config = parse_experiment(smoke)
    training = config.training_of("student", config.methods["seq-kd"][0])
    assert (training.epochs, training.learning_rate, training.patience) == (3, 0.2, 1)


def test_shared_stages_are_trained_once(smoke: dict):
    experiment = Experiment(parse_experiment(smoke))
    assert len(experiment.rows) == 10
    # Two pruned models, of which one is the way to the other, and every stage a model of a row.
    assert len(experiment.models) == 12
    fine = experiment.models["lstm-1x16.seq-kd_seq-inter.from-lstm-1x32", 1]
    assert fine.parent == "lstm-1x16.seq-kd.from-lstm-1x32"
    assert (fine.teacher, fine.teacher_seed) == ("lstm-1x32.nll", 1)


def test_who_waits_longest_goes_first(smoke: dict):
    dependants = Experiment(parse_experiment(smoke)).dependants
    assert max(dependants, key=dependants.__getitem__) == ("lstm-1x32.nll", 1)
    assert dependants["lstm-1x16.nll", 1] == 1
    assert dependants["lstm-1x16.word-kd_seq-inter.from-lstm-1x32", 1] == 0


def test_pruned_weights_are_held_in_the_second_stage(smoke: dict):
    models = Experiment(parse_experiment(smoke)).models
    name = "lstm-1x16.seq-kd_seq-inter.from-lstm-1x32.pruned-80"
    first, second = models[f"{name}-stage-1", 1], models[name, 1]
    assert first.prune is not None
    assert second.prune is not None
    assert (first.prune.held, second.prune.held) == (False, True)
    assert second.parent == first.model


def test_rows_know_their_baseline_and_teacher(smoke: dict):
    rows = {(r.architecture, r.method): r for r in Experiment(parse_experiment(smoke)).rows}
    assert rows["student", "seq-kd"].baseline == "lstm-1x16.nll"
    assert rows["student", "seq-kd"].teacher == "lstm-1x32.nll"
    assert rows["student", "baseline"].baseline is None
    assert rows["teacher", "baseline+seq-inter"].teacher == "lstm-1x32.nll"


def test_taught_rows_know_what_is_to_be_beaten(smoke: dict):
    put(smoke, "evaluation.against", {"architecture": "student", "method": "seq-kd"})
    rows = {(r.architecture, r.method): r for r in Experiment(parse_experiment(smoke)).rows}
    aim = rows["student", "seq-kd"]
    assert {row.against for row in rows.values() if row is not aim} == {aim.model}
    smoke["models"][0].pop("teacher")
    smoke["models"][0]["methods"] = ["baseline"]
    rows = {(r.architecture, r.method): r for r in Experiment(parse_experiment(smoke)).rows}
    assert rows["teacher", "baseline"].against is None
    assert rows["student", "baseline"].against == aim.model
    put(smoke, "evaluation.against", {"architecture": "student", "method": "mbr"})
    with pytest.raises(SeqkdError, match="'student' with method 'mbr' is not among `models`"):
        Experiment(parse_experiment(smoke))


def test_a_student_learns_from_the_first_seed_of_its_teacher(smoke: dict):
    smoke["seeds"] = [3, 4]
    models = Experiment(parse_experiment(smoke)).models
    assert {entry.teacher_seed for entry in models.values() if entry.teacher} == {3}


def test_an_entry_survives_its_file(smoke: dict, tmp_path: Path):
    for entry in Experiment(parse_experiment(smoke)).models.values():
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(to_dict(entry)), encoding="utf-8")
        loaded = load_entry(path)
        assert isinstance(loaded, ModelEntry)
        assert loaded == entry


def test_the_slice_of_training_does_not_know_other_test_sets(smoke: dict):
    before = slice_of(Experiment(parse_experiment(smoke)), "corpus/config")
    smoke["corpus"]["test_sets"]["other"] = {"provider": "files", "src": "a", "tgt": "b"}
    assert slice_of(Experiment(parse_experiment(smoke)), "corpus/config") == before


def test_a_wheel_is_not_fetched_again_for_another_language():
    home = {"provider": "home-assistant"}
    slices = []
    for language in ("de", "es"):
        corpus = CorpusConfig.from_dict(
            {"source": language, "target": "en", "train": [home], "dev": {"held_out": 5}}
        )
        slices.append(
            source_slice(corpus, "home-assistant/homeassistant-2026.11.0-py3-none-any.whl")
        )
    assert slices[0] == slices[1]
    CorpusConfig.from_dict(slices[0])


def test_tables_hold_the_rows_that_they_show(smoke: dict):
    experiment = Experiment(parse_experiment(smoke))
    assert len(table_of(experiment, "results").rows) == 10
    pruning = [(row.model, row.pruned) for row in table_of(experiment, "pruning").rows]
    assert pruning == [
        ("lstm-1x32.nll", 0),
        ("lstm-1x16.seq-kd_seq-inter.from-lstm-1x32", 0),
        ("lstm-1x16.seq-kd_seq-inter.from-lstm-1x32.pruned-80", 80),
    ]
    formats = [row.format for row in table_of(experiment, "speed").rows]
    assert formats == ["fp32", "fp32", "int8"]


def test_the_config_is_light_to_import():
    heavy = ("torch", "pandas", "sacrebleu", "sentencepiece", "numpy", "matplotlib")
    program = (
        "import sys, seqkd.config, seqkd.slices; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    words = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert words == "[]"


def test_the_reference_and_the_schema_are_up_to_date():
    """`make docs` writes both."""
    assert config_reference.README.read_text(encoding="utf-8") == config_reference.reference()
    schema = json.loads(config_reference.SCHEMA.read_text(encoding="utf-8"))
    assert schema == config_reference.schema()


@pytest.mark.parametrize("path", [DEFAULT, *EXPERIMENTS], ids=lambda path: path.stem)
def test_the_schema_accepts_every_shipped_file(path: Path):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(config_reference.schema())
    assert not list(validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8"))))


def test_every_key_has_a_meaning():
    empty = [line for line in config_reference.reference().splitlines() if line.endswith("|  |")]
    assert not empty


@pytest.fixture
def ensemble(smoke: dict) -> dict:
    """Smoke with a second seed of the teacher, and one student that both teach."""
    smoke["models"][0]["seeds"] = [1, 2]
    entry = {"architecture": "student", "teacher": "teacher", "teacher_seeds": [1, 2]}
    smoke["models"].append({**entry, "methods": ["seq-kd", "word-kd"]})
    return smoke


def test_an_ensemble_teaches_beside_its_first_member(ensemble: dict):
    experiment = Experiment(parse_experiment(ensemble))
    both = experiment.models["lstm-1x16.seq-kd.from-lstm-1x32-ensemble-2", 1]
    one = experiment.models["lstm-1x16.seq-kd.from-lstm-1x32", 1]
    assert (both.teacher, both.teacher_seeds) == ("lstm-1x32.nll", (1, 2))
    assert (one.teacher, one.teacher_seeds) == ("lstm-1x32.nll", (1,))
    assert list(experiment.models).index(("lstm-1x32.nll", 2)) < list(experiment.models).index(
        (both.model, 1)
    )


def test_a_member_that_is_not_trained_is_told(ensemble: dict):
    ensemble["models"][2]["teacher_seeds"] = [1, 3]
    with pytest.raises(
        SeqkdError, match="taught by seed 3 of 'teacher', which is trained with 1, 2"
    ):
        Experiment(parse_experiment(ensemble))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"divergence": "kl"}, "divergence: 'kl' is not one of forward-kl, reverse-kl, js"),
        ({"divergence": "reverse-kl"}, "reverse-kl needs soft_targets: alongside"),
        ({"select": 0}, "select must be above 0"),
        ({"top_1_weight": -1}, "top_1_weight must be 0 or more"),
    ],
)
def test_impossible_losses_are_refused(smoke: dict, stage: dict, message: str):
    smoke["methods"]["word-kd"] = [{"targets": "gold", "kd_weight": 0.5, **stage}]
    with pytest.raises(SeqkdError, match=message):
        parse_experiment(smoke)


def test_losses_that_differ_need_names_that_differ(smoke: dict):
    stage = {"targets": "gold", "kd_weight": 0.5, "divergence": "js"}
    smoke["models"][1]["methods"].append("js")
    smoke["methods"]["js"] = [stage]
    with pytest.raises(SeqkdError, match="'label'"):
        Experiment(parse_experiment(smoke))
    smoke["methods"]["js"] = [{**stage, "label": "js-kd"}]
    assert ("lstm-1x16.js-kd.from-lstm-1x32", 1) in Experiment(parse_experiment(smoke)).models
