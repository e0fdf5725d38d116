"""The files that are shipped: valid, true to the paper and the pages, all keys documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seqkd.config import reference
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import load_experiment
from seqkd.config.vocab import VocabConfig
from seqkd.corpus.cleaning import rejection
from workflow_harness import REPOSITORY

DEFAULT = REPOSITORY / "config" / "default.yaml"
EXPERIMENTS = sorted((REPOSITORY / "config" / "experiments").glob("*.yaml"))
OVERLAYS = sorted((REPOSITORY / "config" / "overlays").glob("*.yaml"))
STUDENT_METHODS = [
    "baseline", "word-kd", "seq-kd", "baseline+seq-inter", "word-kd+seq-inter",
    "seq-kd+seq-inter", "seq-kd+word-kd", "seq-kd+seq-inter+word-kd",
]  # fmt: skip


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WMT14_DIR", "wmt14")
    monkeypatch.setenv("IWSLT15_DIR", "iwslt15")
    experiment = Experiment(load_experiment(DEFAULT, path))
    assert experiment.config.experiment == path.stem
    # Under Seq-KD, perplexity on the references rises while BLEU rises.
    assert experiment.config.training.best != "perplexity"
    methods = {row.method for row in experiment.rows}
    if path.stem == "quick":  # does not make all of Table 1
        assert methods >= {"baseline", "seq-kd", "seq-kd+seq-inter"}
    else:
        assert methods == set(STUDENT_METHODS)


@pytest.mark.parametrize("name", ["kim-rush-wmt14", "kim-rush-iwslt"])
def test_pairs_of_the_paper_have_up_to_fifty_words_of_its_text(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WMT14_DIR", "wmt14")
    monkeypatch.setenv("IWSLT15_DIR", "iwslt15")
    config = load_experiment(DEFAULT, REPOSITORY / f"config/experiments/{name}.yaml")
    line = " ".join(["it &apos;s", "well @-@ known"] * 10)
    assert len(line.split()) == 50
    assert rejection((line, line), config.corpus.cleaning) is None
    assert config.training.max_length == 50


@pytest.mark.parametrize(
    ("base", "overlay"),
    [
        ("home-assistant", "compression"),
        ("multi30k", "compression"),
        ("home-assistant", "beyond"),
        *(("multi30k", name) for name in ("how-much", "headline", "precision", "guided-alignment")),
    ],
)
def test_every_overlay_fits_an_experiment(base: str, overlay: str):
    experiment = overlaid(base, overlay)
    if overlay == "compression":
        assert experiment.config.experiment == base  # so that its models are reused
        assert {row.pruned for row in experiment.all_rows} == {0, 50, 80, 85, 90}
        assert {"int8", "bf16"} <= {row.format for row in experiment.all_rows}
        return
    assert experiment.config.experiment == overlay
    if overlay == "precision":
        assert [row.architecture for row in experiment.rows if row.against] == ["student-fp32"]


def test_all_overlays_are_tested():
    assert {path.stem for path in OVERLAYS} == {
        *("compression", "beyond", "how-much", "headline", "precision", "guided-alignment")
    }


def overlaid(base: str, overlay: str) -> Experiment:
    folder = REPOSITORY / "config"
    return Experiment(
        load_experiment(
            DEFAULT, folder / f"experiments/{base}.yaml", folder / f"overlays/{overlay}.yaml"
        )
    )


def test_students_of_more_text_have_as_many_updates():
    students = [
        model.training
        for (name, _), model in overlaid("multi30k", "how-much").models.items()
        if name.startswith("lstm-2x64")
    ]
    assert {(x.epochs, x.epoch_updates, x.batch_sentences) for x in students} == {(16, 900, 32)}


def test_the_paper_sizes_and_schedule():
    config = load_experiment(DEFAULT, REPOSITORY / "config/experiments/kim-rush-wmt14.yaml")
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


def test_default_yaml_holds_no_default_of_a_class():
    default = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    assert set(default) == {"targets", "methods"}


def test_the_reference_and_the_schema_are_up_to_date():
    """`make docs` writes both."""
    assert reference.README.read_text(encoding="utf-8") == reference.reference()
    schema = json.loads(reference.SCHEMA.read_text(encoding="utf-8"))
    assert schema == reference.schema()


@pytest.mark.parametrize("path", [DEFAULT, *EXPERIMENTS, *OVERLAYS], ids=lambda path: path.stem)
def test_the_schema_accepts_every_shipped_file(path: Path):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(reference.schema())
    assert not list(validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8"))))


def test_the_schema_shows_sections_with_defaults_to_readers_that_follow_no_reference():
    """Snakemake's workflow catalog is one."""
    properties = reference.schema()["properties"]
    cleaning = properties["corpus"]["properties"]["cleaning"]["properties"]
    assert cleaning["min_tokens"] == {
        "type": "integer", "default": 1, "minimum": 1,
        "description": "Minimum number of tokens on each side.",
    }  # fmt: skip
    for section in ("vocab", "training", "soft_targets", "pruning", "evaluation"):
        for key, node in properties[section]["properties"].items():
            assert "default" in node, f"{section}.{key}"
            assert "description" in node, f"{section}.{key}"


@pytest.mark.parametrize("config", [{"sedes": [1]}, {"vocab": {"kind": "unigrm"}}, {"seeds": 1}])
def test_the_schema_refuses_mistakes(config: dict):
    jsonschema = pytest.importorskip("jsonschema")
    assert list(jsonschema.Draft202012Validator(reference.schema()).iter_errors(config))


def test_no_text_breaks_a_table_of_the_reference():
    _, keys = reference.reference().split("## The top of the file")
    rows = [line for line in keys.splitlines() if line.startswith("| `")]
    assert {row.replace(r"\|", "").count("|") for row in rows} == {5}


def test_every_key_has_a_meaning():
    empty = [line for line in reference.reference().splitlines() if line.endswith("|  |")]
    assert not empty


def test_the_config_is_light_to_import():
    heavy = ("torch", "pandas", "sacrebleu", "sentencepiece", "numpy", "matplotlib")
    program = (
        "import sys, seqkd.config.experiment, seqkd.config.slices; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    words = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert words == "[]"
