"""The hash of a step's code: what changes it and what must not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from seqkd.cli import VERBS
from seqkd.machine import code_hash as module
from seqkd.machine.code_hash import code_hash

MODULES = [
    ".".join(path.relative_to(module.ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((module.ROOT / "seqkd").rglob("*.py"))
]
STEPS = [name for name in MODULES if name.startswith("seqkd.steps.")]
STEP = """\
from __future__ import annotations

import argparse
import sys

from pack import maths
from pack.errors import PackError as Wrong, nearest
from pack.machine.progress import Progress


def run(parser: argparse.ArgumentParser, name: str) -> float:
    parser.add_argument("--width", default="wide", help="in " + f"{name} units")
    if not name:
        raise Wrong(f"no name{nearest(name)}")
    assert name != "x", "bad name"
    print("done", file=sys.stderr)
    with open(name) as file, Progress("train", 5) as progress:
        progress.say("half way")
        print("result", file=file)
    return error() or maths.TWO


def error():
    return Wrong("out of" " range")
"""
FILES = {
    "pack/__init__.py": "__version__ = '1'\n",
    "pack/cli.py": "from pack import step\n",
    "pack/errors.py": "class PackError(ValueError): ...\n\ndef nearest(word): return word\n",
    "pack/machine/__init__.py": "",
    "pack/machine/progress.py": "POLL_SECONDS = 5\n\nclass Progress: ...\n",
    "pack/step.py": STEP,
    "pack/maths.py": '"""Numbers."""\nTWO = 2\n\n\ndef f():\n    """Return one."""\n    return 1\n',
    "pack/maths.c": '// numbers\n#include "numbers.h"\nint two = 2;\n',
    "pack/numbers.h": '#include <math.h>\n#include "more.h"\nint one = 1;\n',
    "pack/more.h": '#include "numbers.h"\nint ten = 10;\n',
    "pack/other.py": "THREE = 3\n",
    "pack/deep/__init__.py": "",
    "pack/deep/inner.py": "from .. import other\n\nFOUR = other.THREE + 1\n",
    "pack/deep/user.py": "from pack.deep.inner import FOUR\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small package."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def edit(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    start_process()


def start_process() -> None:
    """Forget what this process has read."""
    for function in (module._state, module._closure, module._module):
        function.cache_clear()


def depends(step: str, *modules: str) -> bool:
    """Say whether a step imports one of some modules, as far as the hash follows."""
    assert {*modules} <= {*MODULES}
    return code_hash(step) != code_hash(step, unused=frozenset(modules))


def after(tree: Path, name: str, old: str, new: str) -> str:
    """Return the hash of the step after an edit."""
    edit(tree, name, old, new)
    return code_hash("pack.step", root=tree)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/maths.py", "TWO = 2", "TWO = 2  # a comment"),
        ("pack/maths.py", "TWO = 2", "\n\n\nTWO = (2)"),
        ("pack/maths.py", "Return one.", "Return the number one."),
        ("pack/maths.py", "TWO = 2", "TWO = 2\n'''What it is.'''"),
        ("pack/maths.c", "2;", "2;  // a comment"),
        ("pack/maths.c", "int two", "\n\n    int two"),
        ("pack/other.py", "3", "4"),
        ("pack/cli.py", "step", "other"),
        ("pack/__init__.py", "'1'", "'2'"),
        ("pack/errors.py", "return word", "return word + '?'"),
        ("pack/machine/progress.py", "5", "9"),
        ("pack/step.py", "in ", "measured in "),
        ("pack/step.py", 'f"no name{nearest(name)}"', '"the name is missing"'),
        ("pack/step.py", "bad name", "wrong name"),
        ("pack/step.py", "done", "finished"),
        ("pack/step.py", '"train"', '"training"'),
        ("pack/step.py", "half way", "50 %"),
        ("pack/step.py", '"out of" " range"', '"too large"'),
    ],
)
def test_what_computes_nothing_does_not_change_it(tree: Path, name: str, old: str, new: str):
    before = code_hash("pack.step", root=tree)
    assert after(tree, name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/maths.py", "TWO = 2", "TWO = 3"),
        ("pack/maths.py", "return 1", "return '1'"),
        ("pack/step.py", "or maths", "and maths"),
        ("pack/step.py", "maths\n", "maths, other\n"),
        ("pack/step.py", "wide", "narrow"),
        ("pack/step.py", "--width", "--height"),
        ("pack/step.py", "result", "results"),
        ("pack/step.py", "not name", "name"),
        ("pack/step.py", "raise Wrong", "raise KeyError"),
        # C code belongs to the module of its name.
        ("pack/maths.c", "two = 2", "two = 3"),
        ("pack/numbers.h", "one = 1", "one = 2"),
        ("pack/more.h", "ten = 10", "ten = 11"),
    ],
)
def test_a_real_change_changes_it(tree: Path, name: str, old: str, new: str):
    before = code_hash("pack.step", root=tree)
    assert after(tree, name, old, new) != before


def test_every_python_gives_the_same_hash(tmp_path: Path):
    (tmp_path / "pack").mkdir()
    lines = ["x = f\"{'|'.join(y)} {z:<{width}}{z!r:>9}\"", "t = f'{{' + f''"]
    (tmp_path / "pack" / "step.py").write_text("\n".join(lines), encoding="utf-8")
    assert code_hash("pack.step", root=tmp_path) == "08a191f00dde"


def test_templates_are_part_of_the_module_that_loads_them(tree: Path):
    (tree / "pack" / "templates").mkdir()
    (tree / "pack" / "templates" / "page.html.j2").write_text("<p>one</p>")
    edit(tree, "pack/other.py", "THREE = 3", "THREE = templates_of('pack')")
    before = code_hash("pack.deep.user", root=tree)
    edit(tree, "pack/templates/page.html.j2", "one", "two")
    assert code_hash("pack.deep.user", root=tree) != before


def test_a_moved_module_changes_nothing(tree: Path):
    before = code_hash("pack.deep.user", root=tree)
    shutil.move(tree / "pack" / "deep" / "inner.py", tree / "pack" / "numbers.py")
    edit(tree, "pack/numbers.py", "from .. import", "from pack import")
    edit(tree, "pack/deep/user.py", "pack.deep.inner", "pack.numbers")
    assert code_hash("pack.deep.user", root=tree) == before


def test_two_modules_that_change_places_are_a_change(tree: Path):
    (tree / "pack" / "two.py").write_text("VALUE = 2\n")
    (tree / "pack" / "three.py").write_text("VALUE = 3\n")
    text = "from pack.two import VALUE as A\nfrom pack.three import VALUE as B\n"
    (tree / "pack" / "both.py").write_text(text)
    before = code_hash("pack.both", root=tree)
    swapped = text.replace("two", "x").replace("three", "two").replace("x", "three")
    (tree / "pack" / "both.py").write_text(swapped)
    start_process()
    assert code_hash("pack.both", root=tree) != before


def test_a_relative_import_is_followed_unless_it_is_unused(tree: Path):
    unused = frozenset({"pack.other"})
    before = code_hash("pack.deep.inner", root=tree)
    without = code_hash("pack.deep.inner", unused=unused, root=tree)
    edit(tree, "pack/other.py", "3", "4")
    assert code_hash("pack.deep.inner", root=tree) != before
    assert code_hash("pack.deep.inner", unused=unused, root=tree) == without


def test_imports_for_the_type_checker_are_not_followed(tree: Path):
    (tree / "pack" / "step.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack import other\n"
    )
    before = code_hash("pack.step", root=tree)
    assert after(tree, "pack/other.py", "3", "4") == before


def test_hashes_are_kept_until_a_file_changes(tree: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SETTLED_S", 0.0)
    before = code_hash("pack.step", root=tree)
    monkeypatch.setattr(module, "_closure", None)  # is not asked again
    assert code_hash("pack.step", root=tree) == before
    monkeypatch.undo()
    path = tree / "pack" / "maths.py"
    stat = path.stat()
    path.write_text(path.read_text().replace("TWO = 2", "TWO = 3"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # of the same size and date
    start_process()
    assert code_hash("pack.step", root=tree) != before


def test_code_that_changes_during_a_run_is_not_kept_under_its_old_hash(
    tree: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_SETTLED_S", 0.0)
    code_hash("pack.deep.inner", root=tree)
    path = tree / "pack" / "other.py"
    path.write_text("THREE = 4\n")
    during = code_hash("pack.deep.user", root=tree)  # from what the process has read
    start_process()
    assert code_hash("pack.deep.user", root=tree) != during


def test_a_file_that_changed_just_now_is_not_trusted(tree: Path):
    code_hash("pack.step", root=tree)
    assert not list(tree.rglob("code-hashes.json"))


def test_an_unknown_module_is_an_error(tree: Path):
    with pytest.raises(ModuleNotFoundError, match=r"pack\.absent"):
        code_hash("pack.absent", root=tree)
    with pytest.raises(ModuleNotFoundError, match="absent"):
        code_hash("absent", root=tree)


def test_every_verb_has_its_step():
    missing = {verb for verb, (name, _) in VERBS.items() if f"seqkd.steps.{name}" not in STEPS}
    assert not missing


@pytest.mark.parametrize("step", STEPS)
def test_no_step_depends_on_what_never_changes_a_number(step: str):
    assert not depends(step, *filter(module._is_inert, MODULES))


def test_steps_of_the_corpus_do_not_depend_on_the_models():
    for step in ("fetch", "corpus", "test_set", "vocab", "merge"):
        modules = ("seqkd.models.lstm", "seqkd.training.trainer", "seqkd.config.experiment")
        assert not depends(f"seqkd.steps.{step}", *modules), step


def test_only_decoding_depends_on_sampling():
    steps = {step for step in STEPS if depends(step, "seqkd.search.sampling")}
    assert steps == {"seqkd.steps.decode", "seqkd.steps.decode_hugging_face"}
