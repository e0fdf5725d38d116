"""Hostile n-best files and configs: each is read right or refused in one line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from seqkd.config.corpus import all_sources
from seqkd.config.experiment import ExperimentConfig, parse_experiment
from seqkd.config.schema import load_yaml, overlay
from seqkd.distillation.adoption import READERS, read_moses
from seqkd.errors import SeqkdError
from seqkd.steps.translate import _text
from seqkd.text import normalise
from seqkd.translation.api import Translation

REPOSITORY = Path(__file__).resolve().parents[2]
SMOKE = (REPOSITORY / "config/experiments/smoke.yaml").read_text(encoding="utf-8")
DEFAULT = load_yaml(REPOSITORY / "config/default.yaml")

FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
parts = st.sampled_from(
    [
        "|||",
        " ||| ",
        "|",
        "||||",
        " ",
        "a",
        "F= 1",
        "-1.2",
        "0-0",
        "0",
        "\N{THUMBS UP SIGN}",
        "=",
        ":",
    ]
)
hostile = st.lists(parts, max_size=9).map("".join) | st.text(max_size=9)


@seed(18)
@settings(FUZZ, max_examples=200)
@given(
    lists=st.lists(
        st.lists(st.tuples(hostile.map(normalise), st.floats(-99, 0)), min_size=1, max_size=3),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_our_own_n_best_lists_read_back_exactly(tmp_path: Path, lists: list):
    path, args = tmp_path / "own.nbest", argparse.Namespace(n_best=3)
    made = [[Translation(text, -99.0, score) for text, score in rows] for rows in lists]
    written = [_text(args, number, rows) for number, rows in enumerate(made)]
    assert all(len(row.split(" ||| ")) == 4 for row in "".join(written).split("\n")[:-1])
    path.write_text("".join(written), encoding="utf-8")
    found = [[(x.text, x.score) for x in record.translations] for record in read_moses(path)]
    assert found == [[(text, float(f"{score:.6f}")) for text, score in rows] for rows in lists]


def refusal(work) -> str | None:
    """Return the line that refuses some input, or None if it is accepted."""
    try:
        work()
    except SeqkdError as error:
        return str(error)
    return None


@seed(18)
@settings(FUZZ, max_examples=50)
@given(
    lines=st.lists(st.lists(st.sampled_from(
        ["0", "1", "2", "x", " ||| ", "|||", "-1", "1_0", "nan", "1e999", "F= 1", "a lamp", "[",
         "{", '{"nbest": ["a"]}', '{"id": 1, "nbest": [[-1, "b"]]}', "true", "\ufeff", "\r"]
    ), max_size=8).map("".join), max_size=5),
    format=st.sampled_from(["moses", "json"]),
)  # fmt: skip
def test_fifty_n_best_files(tmp_path: Path, lines: list[str], format: str):
    path = tmp_path / "given"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    records: list = []
    line = refusal(lambda: records.extend(READERS[format](path)))
    if line is None:
        assert len(records) <= len(lines)
        for record in records:
            assert all(normalise(x.text) == x.text for x in record.translations)
    else:
        assert "\n" not in line
        assert line.startswith(f"{path}, line ")


keys = st.sampled_from(sorted({*yaml.safe_load(SMOKE), *ExperimentConfig.model_fields}))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | hostile
    | st.sampled_from(["{x}", "<y>", "..", "/", "-x", "1e999", "no", "*", "$HOME/x", "~", "a/b"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["train", "src", "provider"]) | hostile, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@seed(18)
@settings(FUZZ, max_examples=50)
@given(key=keys, inner=st.none() | hostile, value=values, twice=st.booleans(), junk=hostile)
def test_fifty_configs(tmp_path: Path, key, inner, value, twice: bool, junk: str):
    config = yaml.safe_load(SMOKE)
    config[key] = value if inner is None else {**dict.fromkeys([inner], value)}
    text = yaml.safe_dump(config, allow_unicode=True)
    text += f"{key}: {junk}\n" if twice else ""
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")

    def work() -> None:
        parsed = parse_experiment(overlay(DEFAULT, load_yaml(path)))
        parsed.parallel_corpus.files_of(all_sources(parsed.corpus), tmp_path)
        [teacher.files for teacher in parsed.teachers.values()]

    line = refusal(work)
    assert line is None or "\n" not in line
    assert not twice or line is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {a: 3}\nvocab: {size: 9}\ntraining: {b: 1}\n", "'training'.*lines 1 and 3"),
        ("vocab:\n  size: 60\n  kind: bpe\n  size: 70\n", "'size'.*lines 2 and 4"),
        ("a: [{b: 1, b: 1}]\n", "'b' is given twice, in lines 1 and 1"),
        ('a: 1\n"a": 2\n', "'a' is given twice"),
        ('{"a": 1, "b": {"c": 2, "c": 3}}', "key 'c' is given twice"),
        ("seeds: [1,\n  010]\n", "line 2: '010' would be an octal number"),
        ("save_minutes: 1:30\n", "line 1: '1:30' would be"),
        ("a: [0, 08x, 0.5, 1e-4, -3, '010', 12:30:xx, 0x1F]\n", None),
        ("a: &a [*a]\n", None),
        ("base: &b {x: 1}\ntop:\n  <<: *b\n  x: 2\n", None),
        ("a: [" * 3000, "not valid YAML"),
        ("a: 2026-13-45\n", "not valid YAML"),
        ("# nothing yet\n", r"mine\.yaml: is empty; expected keys"),
        ("- a\n", r"mine\.yaml: has no keys at its top"),
        ("\ufeffa: 1\n", None),
    ],
)  # fmt: skip
def test_keys_are_given_once(tmp_path: Path, text: str, message: str | None):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    if message is None:
        load_yaml(path)
    else:
        with pytest.raises(SeqkdError, match=message):
            load_yaml(path)
