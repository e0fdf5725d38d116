"""Numbers and commands of the pages: commits, tables that agree, options that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from seqkd.config.expansion import Experiment
from seqkd.config.experiment import parse_experiment
from seqkd.config.schema import load_yaml, overlay
from seqkd.config.training import TrainingConfig
from workflow_harness import REPOSITORY

DOCS = REPOSITORY / "docs"
CONFIG = REPOSITORY / "config"
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    CONFIG / "README.md",
    *sorted(DOCS.glob("*.md")),
]
COMMIT = re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7}\b")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of all rows of all tables of a page."""
    lines = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def section_of(page: str, heading: str) -> str:
    return text_of(DOCS / page).partition(f"\n## {heading}")[2].partition("\n## ")[0]


def test_code_that_a_page_names_is_in_the_history():
    named = {commit for page in PAGES for commit in COMMIT.findall(text_of(page))}
    assert len(named) > 20

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(REPOSITORY), *words]
        return subprocess.run(command, capture_output=True, text=True)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("no history here")
    history = git("log", "--format=%H").stdout.split()
    assert not [commit for commit in named if not any(x.startswith(commit) for x in history)]


def test_the_readme_repeats_the_table_of_results():
    """Each cell of the short table is in the row of that model."""
    short = rows_of(text_of(REPOSITORY / "README.md").partition("<!-- results -->")[2])[2:]
    full = rows_of(section_of("results.md", "Home Assistant, German to English"))
    blocks: dict[str, dict[str, list[str]]] = {}
    for name, *cells in full:
        if name.startswith("**"):
            block = blocks.setdefault(name.split()[1].partition("-")[2], {})
        elif blocks and not name.startswith((":", "-")):
            block[name.removesuffix(" [1]")] = cells
    assert len(short) == 5
    for name, _, greedy, beam, gain, perplexity in short:
        (size,) = re.findall(r"\dx\d+", name)
        method = name.rpartition(", ")[2].replace(" + ", "+")
        method = "Baseline" if "eacher" in name else method  # the teacher, or "no teacher"
        row = blocks[size][method]
        assert row[0].partition("±")[0] == greedy
        assert row[3].partition("±")[0] == beam
        assert not gain or row[2].startswith(gain.replace(" ± ", "±"))
        assert row[7] == perplexity


def test_the_page_about_deployment_repeats_the_speeds_of_single_sentences():
    speed = text_of(DOCS / "deploy.md").partition("**Speed.**")[2]
    shown = {name.split()[-1]: native for name, native, *_ in rows_of(speed)[2:]}
    measured = {
        name.removesuffix(", int8").split()[-1]: cells[0]
        for name, *cells in rows_of(section_of("performance.md", "One sentence at a time"))
        if re.search(r"\dx\d+, int8$", name)
    }
    assert shown == measured


def test_the_tutorial_states_the_defaults_for_an_amount_of_text():
    rows = rows_of(section_of("tutorial.md", "1. Write the experiment"))
    amounts = [[int(cell.replace(",", "")) for cell in row] for row in rows[2:]]
    assert len(amounts) == 5
    for pairs, size, sentences in amounts:
        assert size == min(max(pairs // 10, 500), 8000)  # tests/unit/test_vocabulary.py
        assert sentences == TrainingConfig().sentences_in_batch(pairs)


def test_the_trainings_of_the_papers_setting_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WMT14_DIR", "wmt14")
    paper = load_yaml(CONFIG / "experiments" / "kim-rush-wmt14.yaml")
    config = overlay(load_yaml(CONFIG / "default.yaml"), paper)
    experiment = Experiment(parse_experiment(overlay(config, {"seeds": [1, 2, 3]})))
    assert f"of them {len(experiment.models)} trainings" in text_of(DOCS / "design.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_name_options_and_files_that_exist(page: Path):
    text = text_of(page).replace("\\\n", " ")
    known = set(get_argument_parser()._option_string_actions)
    for command in re.findall(r"(?:^|`)(?:\w+=\S+ )*snakemake ([^`\n#]*)", text, re.MULTILINE):
        options = set(re.findall(r"(?<!\S)--[a-z-]+", command))
        assert options <= known | {"--logger"}, command
    for script, words in re.findall(r"python (benchmarks/\w+\.py)([^`]*)`", text):
        source = text_of(REPOSITORY / script)
        for option in re.findall(r"(?<!\S)--[a-z-]+", words):
            assert f'"{option}"' in source or script == "benchmarks/peers.py", f"{script} {option}"
    for path in re.findall(r"config/(?:experiments|overlays)/[\w-]+\.yaml", text):
        assert (REPOSITORY / path).is_file(), path
    for name in re.findall(r"EXPERIMENT=([a-z][\w-]*)", text):
        assert (CONFIG / "experiments" / f"{name}.yaml").is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_environment_variables_exist(page: Path):
    sources = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "envs").glob("*.sh")]
    code = "".join(map(text_of, sources))
    for name in set(re.findall(r"\bSEQKD_[A-Z_]+", text_of(page))):
        assert name in code, name
