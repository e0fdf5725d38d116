"""The pages say what is true: verbs, options, keys, links and examples exist."""

from __future__ import annotations

import argparse
import importlib
import operator
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from seqkd.cli import VERBS
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import ExperimentConfig, load_experiment, parse_experiment
from seqkd.config.naming import FORMATS, MODEL
from seqkd.config.schema import overlay
from seqkd.config.training import TrainingConfig
from seqkd.runs.experiments import find_configs
from workflow_harness import REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
DEFAULTS = REPOSITORY / "config" / "default.yaml"
HOME_ASSISTANT = REPOSITORY / "config" / "experiments" / "home-assistant.yaml"
PACKAGE = REPOSITORY / "src" / "seqkd"
PAPER = REPOSITORY / "docs" / "paper.md"
# Entries that stand for any name in a key.
EXAMPLES = {
    "architectures.NAME": "architectures.teacher",
    "methods.NAME[]": "methods.word-kd[0]",
    "targets.NAME": "targets.seq-kd",
}
LINK = re.compile(r"\]\(([^)\s]+)\)")
CALL = re.compile(r"\bseqkd ([a-z][a-z-]*)((?: [^`\n#|]*)?)")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOT_VERBS = {"reproduces"}  # sentences that begin with the name of the program


def page_id(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def parser_of(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"seqkd.steps.{VERBS[verb][0]}").configure(parser)
    return parser


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each verb that a page calls, with the options after it; commands only, not prose."""
    code = [body for _, body in BLOCK.findall(text)]
    code += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    for piece in code:
        for verb, rest in CALL.findall(piece.replace("\\\n", " ")):
            yield verb, re.findall(r"(?<!\S)--[a-z-]+", rest)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for link in LINK.findall(text):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{link} in {page.name}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
            assert anchor in slugs, f"{link} in {page.name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_verbs_and_their_options_exist(page: Path):
    for verb, options in calls(page.read_text(encoding="utf-8")):
        if verb in NOT_VERBS:
            continue
        assert verb in VERBS, f"seqkd {verb} in {page.name}"
        known = parser_of(verb)._option_string_actions
        for option in options:
            assert option in known, f"seqkd {verb} {option} in {page.name}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_by_help(verb: str):
    module = importlib.import_module(f"seqkd.steps.{VERBS[verb][0]}")
    assert module.__doc__
    assert len(module.__doc__.strip()) > 60
    assert parser_of(verb).format_help()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_targets_of_make_exist(page: Path):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    variables = re.findall(r"^([A-Z]+) [?:]=", makefile, re.MULTILINE)
    for words in re.findall(
        r"(?:^|`)make ([^`\n#]+)", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        for word in shlex.split(words):
            name, _, value = word.partition("=")
            assert name in (variables if value else targets), f"make {words} in {page.name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_of_config_are_valid(page: Path):
    base = overlay(overlay(*map(yaml_of, (DEFAULTS, HOME_ASSISTANT))), {"web": None})
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language != "yaml":
            continue
        example = yaml.safe_load(body)
        if "experiment" in example:
            parsed = parse_experiment(overlay(yaml_of(DEFAULTS), example))
        elif set(example) <= {"corpus", "targets", "methods", "models", "seeds", "vocab"}:
            parsed = parse_experiment(overlay(base, example))
        else:
            continue  # of a profile, not of an experiment
        assert Experiment(parsed).models


def yaml_of(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_names_of_models_follow_the_grammar(page: Path):
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"(?:`|models/)((?:lstm|transformer|ssru)-[^`/\s]*\.[^`/\s]+)", text)
    for name in names:
        assert re.fullmatch(MODEL, name), f"{name} in {page.name}"


def test_files_and_functions_in_the_walk_through_the_paper_exist():
    named = re.findall(r"`([\w/]+\.py)(?:::([\w.]+))?`", PAPER.read_text(encoding="utf-8"))
    assert named
    for path, function in named:
        folder = REPOSITORY if path.startswith("tests/") else PACKAGE
        assert (folder / path).is_file(), path
        if function:
            module = importlib.import_module(f"seqkd.{path[:-3].replace('/', '.')}")
            assert callable(operator.attrgetter(function)(module)), f"{path}::{function}"


def test_keys_in_the_walk_through_the_paper_exist():
    config = experiment_of("home-assistant")
    sections = "|".join(name for name in type(config).model_fields)
    keys = re.findall(rf"`((?:{sections})[.\[][\w.+\[\]-]+)`", PAPER.read_text(encoding="utf-8"))
    assert len(keys) > 30
    for key in keys:
        for name, example in EXAMPLES.items():
            key = key.replace(name, example)
        setting(config, key)


def test_settings_in_the_walk_through_the_paper_are_those_of_the_experiments():
    table = PAPER.read_text(encoding="utf-8").split("settings -->\n")[1].splitlines()
    header, _, *rows = [re.split(r" *\| *", line)[1:-1] for line in table[:-1]]
    configs = {cell: experiment_of(cell.strip("`")) for cell in header[2:]}
    for key, _, *cells in rows:
        for (experiment, config), cell in zip(configs.items(), cells, strict=True):
            written = yaml.safe_load(cell.split("`")[1])
            assert written == setting(config, key.strip("`")), f"{key} of {experiment}"


def experiment_of(name: str) -> ExperimentConfig:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WMT14_DIR", "wmt14")
        return load_experiment(DEFAULTS, HOME_ASSISTANT.with_stem(name))


def setting(config: ExperimentConfig, key: str) -> object:
    """Return the value of a dotted key; a `training` has the general one where it sets nothing."""
    value: object = config
    for step in re.findall(r"[\w+-]+", key):
        if isinstance(value, TrainingConfig) and step not in value.model_fields_set:
            value = config.training
        if isinstance(value, dict):
            value = value[step]
        elif isinstance(value, tuple):
            value = value[int(step)]
        elif value is not None:
            value = getattr(value, step)
    return value


def test_the_grammar_names_every_format():
    text = (REPOSITORY / "docs" / "paths.md").read_text(encoding="utf-8")
    assert all(f"`{each}`" in text for each in FORMATS)


def test_every_experiment_is_in_the_reference():
    text = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    for path in HOME_ASSISTANT.parent.glob("*.yaml"):
        assert f"`{path.stem}`" in text


def test_dotted_keys_in_prose_exist():
    reference = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    sections = ("corpus", "vocab", "training", "soft_targets", "decoding", "evaluation")
    for page in PAGES:
        for section, key in re.findall(
            rf"`({'|'.join(sections)})\.([a-z_]+)`", page.read_text(encoding="utf-8")
        ):
            body = reference.partition(f"## `{section}`")[2].partition("\n## ")[0]
            assert f"| `{key}` |" in body, f"{section}.{key} in {page.name}"


def test_messages_in_troubleshooting_are_printed_by_the_code():
    """The fixed words of each message that the page quotes stand in the sources."""
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sources = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
        for path in (REPOSITORY / "src").rglob("*.py")
    )
    for heading in re.findall(r"^\*\*(`.*?)\*\*", page, re.MULTILINE | re.DOTALL):
        for message in re.findall(r"`([^`]+)`", " ".join(heading.split())):
            fixed = message.partition(" (did you mean")[0]
            parts = [part.strip(" '") for part in fixed.split("...")]
            longest = max(parts, key=len)
            if longest and not longest.startswith("--"):
                assert longest in sources, message


def test_the_default_experiment_is_the_one_that_the_pages_describe():
    config = load_experiment(DEFAULTS, *find_configs([]))
    names = {row.model for row in Experiment(config).rows}
    assert "lstm-2x64.seq-kd_seq-inter.from-lstm-2x192" in names


def test_a_full_disk_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch):
    import errno
    import os

    from seqkd import cli
    from seqkd.steps import part

    def full(args: argparse.Namespace) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(part, "run", full)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["part", "--text", "x", "--part", "1", "--lines", "1", "--output", "y"])
    assert stopped.value.code == (
        "seqkd part: No space left on device: free some space, then run the same command again"
    )
