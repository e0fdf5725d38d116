"""A hash of the code that computes one step: the rerun trigger of its rule.

Snakemake sees the shell command of a rule, not the package behind it. So each rule carries, as a
param, the hash of its step's import closure inside this package. Only code that computes counts:
comments, docstrings, formatting, type-checking imports, messages (help texts, the texts of errors,
prints and progress) and the names of modules are free, and so are whole modules that never change
a number (`INERT`). Any other change reruns the step. Third-party packages are not included: their
versions are recorded in the manifests.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import re
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from seqkd.files import write_json

ROOT = Path(__file__).resolve().parents[2]
INERT = frozenset({"machine", "errors", "cli"})
"""Packages and modules, directly below the outermost package, that never change a number."""

_DIGITS = 12
_KEPT = Path("__pycache__", "code-hashes.json")
_SETTLED_S = 2.0
_INCLUDE = re.compile(r'^#include "(.+)"', re.MULTILINE)
_MESSAGE_CALLS = frozenset({"print", "say", "advance", "warn"})
_MESSAGE_KEYWORDS = frozenset({"help", "description", "metavar", "epilog"})


def code_hash(*modules: str, unused: frozenset[str] = frozenset(), root: Path = ROOT) -> str:
    """Return a hash of modules and of everything that they import below `root`.

    Args:
        modules: full names, such as `seqkd.steps.train`.
        unused: modules that this job never enters, although they are imported.
        root: the folder that holds the packages.

    Raises:
        ModuleNotFoundError: if one of `modules` is not below `root`.
    """
    package, question = root / modules[0].partition(".")[0], " ".join([*modules, *sorted(unused)])
    state = _state(package)
    known = _kept(package).get(state, {})
    if question not in known:
        digests = (_closure(root, name, unused) for name in modules)
        known[question] = hashlib.sha256(" ".join(digests).encode()).hexdigest()[:_DIGITS]
        if state:
            _keep(package, {state: known})
    return known[question]


@functools.cache  # as the code below: a process never keeps what it read earlier for a later state
def _state(package: Path) -> str:
    """Return what changes with each change of a file; empty if one changed just now.

    Such a file may change again within the same tick of its time stamps.
    """
    files = (path for path in sorted(package.rglob("*")) if path.parent.name != "__pycache__")
    stats = [(str(path), path.stat()) for path in files if path.is_file()]
    if max((x.st_ctime for _, x in stats), default=0.0) > time.time() - _SETTLED_S:
        return ""
    parts = [[p, x.st_ino, x.st_size, x.st_mtime_ns, x.st_ctime_ns] for p, x in stats]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kept(package: Path) -> dict[str, dict[str, str]]:
    """Return the hashes that were kept, by the state of the code and by what was asked."""
    with contextlib.suppress(OSError, ValueError):
        kept: dict[str, dict[str, str]] = json.loads((package / _KEPT).read_text("utf-8"))
        return kept
    return {}


def _keep(package: Path, hashes: dict[str, dict[str, str]]) -> None:
    """Keep hashes: a plan asks for two dozen of them, which would take most of its time."""
    with contextlib.suppress(OSError):  # a cache is no reason to fail
        write_json(package / _KEPT, hashes)


@functools.cache
def _closure(root: Path, name: str, unused: frozenset[str]) -> str:
    """Return the digest of a module's code and of everything that it imports."""
    own, targets = _module(root, name)
    imports = [_closure(root, target, unused) for target in targets if target not in unused]
    return hashlib.sha256(" ".join([own, *imports]).encode()).hexdigest()


@functools.cache
def _module(root: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a module's own code, and the modules that it imports.

    Names of imported modules are left out of the code, so that a module may be moved.
    """
    path = _file(root, name)
    if path is None:
        raise ModuleNotFoundError(f"no module {name} below {root}")
    tree = ast.parse(path.read_bytes())
    targets: list[str] = []
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _walk(root, tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            targets += _internal(root, node, package)
            if isinstance(node, ast.ImportFrom) and _file(root, _base(node, package)):
                node.module, node.level = "_", 0
    # Unlike that of ast.dump, the same for every Python, but for f-strings.
    code = ast.unparse(_FstringsAsCalls().visit(tree)).encode()
    if (c_code := path.with_suffix(".c")).exists():  # compiled by the module of this name
        code += b"".join(map(_c_code, _with_headers(c_code)))
    if b"templates_of(" in code:  # the templates of this package are part of the module
        templates = sorted(filter(Path.is_file, (path.parent / "templates").rglob("*")))
        code += b"".join(template.read_bytes() for template in templates)
    targets = [target for target in targets if not _is_inert(target)]
    return hashlib.sha256(code).hexdigest(), tuple(targets)


def _internal(root: Path, node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Return the modules below `root` that a statement imports.

    `from a import b` imports `a` and, where there is such a module, `a.b`.
    """
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _base(node, package)
        names = [base, *(f"{base}.{name}" for name in names)]
    return [name for name in names if _file(root, name)]


def _base(node: ast.ImportFrom, package: str) -> str:
    """Return the full name behind `from`."""
    parts = package.split(".") if node.level else []
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *filter(None, [node.module])])


def _is_inert(name: str) -> bool:
    """Say whether a module never changes a number.

    The outermost package's `__init__` computes nothing and holds the version.
    """
    parts = name.split(".")
    return len(parts) == 1 or parts[1] in INERT


def _file(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _with_headers(path: Path) -> list[Path]:
    """Return a C file and those of the project that it includes, each once."""
    files = [path]
    for file in files:
        included = (file.parent / name for name in _INCLUDE.findall(file.read_text("utf-8")))
        files += [header for header in included if header not in files]
    return files


def _c_code(path: Path) -> bytes:
    """Return a C file without comments and surrounding white space."""
    lines = (line.partition(b"//")[0].strip() for line in path.read_bytes().splitlines())
    return b"\n".join(line for line in lines if line)


def _walk(root: Path, tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes, breadth first, and remove those on the way that compute nothing.

    These are docstrings, imports for the type checker, and the texts of messages.
    """
    inert_names: set[str] = set()  # from inert modules: errors, progress, locks
    todo = deque([tree])
    while todo:
        node = todo.popleft()
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                setattr(node, field, [line for line in body if not _computes_nothing(line)])
        match node:
            case ast.ImportFrom(module=str(name)) if _is_inert(name) and _file(root, name):
                inert_names.update(alias.asname or alias.name for alias in node.names)
            case ast.Raise(exc=ast.Call() as call):
                _blank_texts(call)
            case ast.Assert():
                node.msg = None
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in inert_names or (name in _MESSAGE_CALLS and not _prints_to_file(node)):
                    _blank_texts(node)
            case ast.keyword(arg=str(name), value=value) if name in _MESSAGE_KEYWORDS:
                node.value = _blank(value)
        todo.extend(ast.iter_child_nodes(node))
        yield node


class _FstringsAsCalls(ast.NodeTransformer):
    """Writes f-strings as calls: since Python 3.12 they are printed with other quotes."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Call:
        self.generic_visit(node)
        empty = ast.dump(ast.Constant(""))  # that of Python 3.11 after `{x:<{width}}`
        parts = [part for part in node.values if ast.dump(part) != empty]
        return ast.Call(ast.Name("f"), parts, [])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.Call:
        self.generic_visit(node)
        form = [node.format_spec] if node.format_spec else []
        return ast.Call(ast.Name("value"), [node.value, ast.Constant(node.conversion), *form], [])


def _computes_nothing(line: ast.AST) -> bool:
    match line:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _prints_to_file(call: ast.Call) -> bool:
    """Say whether a text is printed to a file, where it may be a result, and not for people."""
    targets = [keyword.value for keyword in call.keywords if keyword.arg == "file"]
    return any(ast.unparse(target) != "sys.stderr" for target in targets)


def _blank_texts(call: ast.Call) -> None:
    call.args = [_blank(value) for value in call.args]
    for keyword in call.keywords:
        keyword.value = _blank(keyword.value)


def _blank(value: ast.expr) -> ast.expr:
    return ast.Constant("") if _is_text(value) else value


def _is_text(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _is_text(left) or _is_text(right)
    return False
