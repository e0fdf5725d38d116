"""The hash of a step's code: what moves it and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqkd.cli import VERBS
from seqkd.machine import code_hash as module
from seqkd.machine.code_hash import closure, code_hash

STEPS = sorted(
    f"seqkd.steps.{path.stem}"
    for path in (module.ROOT / "seqkd" / "steps").glob("*.py")
    if path.stem != "__init__"
)
FILES = {
    "pack/__init__.py": "__version__ = '1'\n",
    "pack/cli.py": "from pack import step\n",
    "pack/step.py": "from __future__ import annotations\nfrom pack import maths\n\nX = maths.TWO\n",
    "pack/maths.py": '"""Numbers."""\nTWO = 2\n\n\ndef f():\n    """Return one."""\n    return 1\n',
    "pack/maths.c": "// numbers\nint two = 2;\n",
    "pack/other.py": "THREE = 3\n",
    "pack/deep/__init__.py": "from .inner import FOUR\n",
    "pack/deep/inner.py": "from .. import other\n\nFOUR = other.THREE + 1\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small package."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def after(tree: Path, name: str, old: str, new: str) -> str:
    """Return the hash of the step after an edit."""
    path = tree / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    module._read.cache_clear()
    return code_hash("pack.step", root=tree)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/maths.py", "TWO = 2", "TWO = 2  # a remark"),
        ("pack/maths.py", "TWO = 2", "\n\n\nTWO = (2)"),
        ("pack/maths.py", "Return one.", "Return the number one."),
        ("pack/maths.py", "TWO = 2", "TWO = 2\n'''What it is.'''"),
        ("pack/maths.c", "2;", "2;  // a remark"),
        ("pack/maths.c", "int two", "\n\n    int two"),
        ("pack/other.py", "3", "4"),
        ("pack/cli.py", "step", "other"),
        ("pack/__init__.py", "'1'", "'2'"),
    ],
)
def test_what_computes_nothing_does_not_move_it(tree: Path, name: str, old: str, new: str):
    before = code_hash("pack.step", root=tree)
    assert after(tree, name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/maths.py", "TWO = 2", "TWO = 3"),
        ("pack/maths.py", "return 1", "return '1'"),
        ("pack/step.py", "X =", "Y ="),
        ("pack/step.py", "maths\n", "maths, deep\n"),
    ],
)
def test_a_real_change_moves_it(tree: Path, name: str, old: str, new: str):
    before = code_hash("pack.step", root=tree)
    assert after(tree, name, old, new) != before


def test_c_code_beside_a_module_is_part_of_it(tree: Path):
    before = code_hash("pack.step", root=tree)
    (tree / "pack" / "maths.c").write_text("int two(void) { return 2; }\n")
    module._read.cache_clear()
    with_c = code_hash("pack.step", root=tree)
    assert with_c != before
    assert after(tree, "pack/maths.c", "2", "3") not in (before, with_c)


def test_it_follows_relative_imports_and_packages(tree: Path):
    assert set(closure("pack.deep.inner", root=tree)) == {
        "pack.deep", "pack.deep.inner", "pack.other",
    }  # fmt: skip


def test_imports_for_the_type_checker_are_not_followed(tree: Path):
    (tree / "pack" / "step.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack import other\n"
    )
    module._read.cache_clear()
    assert set(closure("pack.step", root=tree)) == {"pack.step"}


def test_an_unknown_module_is_an_error(tree: Path):
    with pytest.raises(ModuleNotFoundError, match=r"pack\.absent"):
        code_hash("pack.absent", root=tree)


def test_every_verb_has_its_step():
    missing = {verb for verb, (name, _) in VERBS.items() if f"seqkd.steps.{name}" not in STEPS}
    assert not missing


@pytest.mark.parametrize("step", STEPS)
def test_no_step_depends_on_the_table_of_verbs_or_on_the_version(step: str):
    assert not {"seqkd", "seqkd.cli", "seqkd.__main__"} & set(closure(step))


def test_steps_of_the_corpus_do_not_depend_on_the_models():
    for step in ("fetch", "corpus", "test_set", "vocab", "merge"):
        modules = set(closure(f"seqkd.steps.{step}"))
        assert not modules & {
            "seqkd.models.lstm",
            "seqkd.training.trainer",
            "seqkd.config.experiment",
        }, step


def test_each_file_is_read_once_for_all_hashes():
    module._read.cache_clear()
    for step in STEPS:
        code_hash(step)
    files = module._read.cache_info()
    assert files.misses == files.currsize
