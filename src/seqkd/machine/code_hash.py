"""A hash of the code that computes one step: a rerun trigger that comments do not pull.

Snakemake sees the shell line of a rule, not the package behind it. So each rule carries, as a
param, the hash of its step's import closure inside this package. Comments, docstrings, formatting
and modules that the step does not import are free; any other change reruns the step. Third-party
packages are no part of it: their versions stand in the manifests.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_DIGITS = 12


def code_hash(*modules: str, root: Path = ROOT) -> str:
    """Return a hash of modules and of all that they import below `root`.

    Args:
        modules: full names, such as `seqkd.steps.train`.
        root: the folder that holds the packages.

    Raises:
        ModuleNotFoundError: if one of `modules` is not below `root`.
    """
    lines = (f"{name} {digest}" for name, digest in sorted(closure(*modules, root=root).items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]


def closure(*modules: str, root: Path = ROOT) -> dict[str, str]:
    """Return modules and all that they import below `root`, each with the hash of its code.

    The outermost package's `__init__` is left out: it computes nothing, and it holds the version.

    Raises:
        ModuleNotFoundError: if one of `modules` is not below `root`.
    """
    for name in modules:
        if _file(root, name) is None:
            raise ModuleNotFoundError(f"no module {name} below {root}")
    found: dict[str, str] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        path = _file(root, name)
        if path is None or name in found or "." not in name:
            continue
        found[name], imported = _read(path, name)
        todo.extend(imported)
    return found


@functools.cache
def _read(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the hash of one module's code, and the names that it may import."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        _drop_inert(node)
    beside = path.with_suffix(".c")  # what a module has compiled is part of its code
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    parents = (name[:place] for place, letter in enumerate(name) if letter == ".")
    code = ast.dump(tree).encode() + (_c_code(beside) if beside.exists() else b"")
    return hashlib.sha256(code).hexdigest(), (*_imports(tree, package), *parents)


def _c_code(path: Path) -> bytes:
    """Return the lines of a file in C without remarks and white space around them."""
    lines = (line.partition(b"//")[0].strip() for line in path.read_bytes().splitlines())
    return b"\n".join(line for line in lines if line)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield every name that could be a module: `from a import b` means `a` and perhaps `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            parts = parts[: len(parts) - node.level + 1]
            base = ".".join([*parts, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _drop_inert(node: ast.AST) -> None:
    """Remove what computes nothing: lone texts (docstrings) and imports for the type checker."""
    for field in ("body", "orelse", "finalbody"):
        body = getattr(node, field, None)
        if isinstance(body, list):
            setattr(node, field, [line for line in body if not _is_inert(line)])


def _is_inert(line: ast.stmt) -> bool:
    match line:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _file(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)
