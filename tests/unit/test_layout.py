"""The house: packages import only from the floors below, and no module hides a name of Python's."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqkd.machine.code_hash import code_hash

SRC = Path(__file__).resolve().parents[2] / "src" / "seqkd"
# From the top floor to the ground (CONTRIBUTING.md). What is in `seqkd` itself is below all.
FLOORS = (
    *("steps", "report", "runs", "distillation", "training", "translation", "model_files"),
    *("evaluation", "search", "models", "alignment", "vocabulary", "corpus", "config", "machine"),
)
MODULES = sorted(SRC.rglob("*.py"))


def package_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else None


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "seqkd":
            yield from (f"seqkd.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_package_has_a_floor():
    folders = {path.parent.name for path in SRC.glob("*/__init__.py")}
    assert folders == set(FLOORS)


@pytest.mark.parametrize("package", FLOORS)
def test_a_package_imports_from_its_own_floor_and_below(package: str):
    above = set(FLOORS[: FLOORS.index(package)])
    wrong = [
        f"{path.relative_to(SRC)} imports {name}"
        for path in MODULES
        if path.relative_to(SRC).parts[0] == package
        for name in imports(path)
        if package_of(name) in above
    ]
    assert not wrong


def test_package_files_are_empty():
    # Importing one module of a package must not import the others.
    assert not [path for path in SRC.glob("*/**/__init__.py") if path.read_text().strip()]


def test_config_imports_no_heavy_library():
    heavy = {"torch", "numpy", "pandas", "sentencepiece", "matplotlib"}
    for path in (SRC / "config").glob("*.py"):
        assert not heavy & {name.split(".")[0] for name in imports(path)}, path


def test_pandas_is_imported_for_tables_alone():
    assert {path.parent.name for path in MODULES if "pandas" in imports(path)} == {"report"}
    report = frozenset(f"seqkd.report.{path.stem}" for path in (SRC / "report").glob("*.py"))
    for module in ("seqkd.steps.translate", "seqkd.runs.start", "seqkd.config.expansion"):
        assert code_hash(module) == code_hash(module, unused=report)
    assert code_hash("seqkd.steps.table") != code_hash("seqkd.steps.table", unused=report)


def test_no_module_hides_one_of_the_standard_library():
    assert not [
        path for path in MODULES if path.stem in sys.stdlib_module_names - {"__init__", "__main__"}
    ]


def test_no_two_classes_share_a_name():
    seen: dict[str, Path] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in seen, f"{node.name}: {seen[node.name]} and {path}"
                seen[node.name] = path
