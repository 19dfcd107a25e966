"""Which code a result was made with: a hash that comments, docstrings and hints do not change.

A hash covers the definitions that are really used: from a function it goes on to every function,
class and constant of ippy that its syntax tree names, and to what those name. A class that is
added beside them changes nothing.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

__all__ = ["digest", "read"]

#: Lists that grow, and how they are looked up; what an entry says is part of a run's identity.
_REGISTRIES = {
    ("ippy.datasets.phantoms", "GENERATORS"),
    ("ippy.networks", "NETWORKS"),
    ("ippy.networks", "RECIPES"),
    ("ippy.networks", "Network"),
    ("ippy.networks", "find"),
    ("ippy.tasks", "TASKS"),
    ("ippy.studies.trained", "BUDGETS"),
    ("ippy.studies.trained", "VARIANTS"),
}
#: Modules that store and find files, or show progress; they decide no number.
_PLUMBING = {
    "ippy.files",
    "ippy.paths",
    "ippy.host",
    "ippy.results",
    "ippy.training.checkpoints",
    "ippy.training.live",
}

#: Parts of a syntax tree that decide nothing: type hints, and what versions of Python differ in.
_SILENT = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params"}


def digest(*roots: Callable | type | str) -> str:
    """Twelve hex digits over the code that ``roots`` use.

    Args:
        roots: Functions and classes, or their full names such as ``"ippy.models.SimpleUNet"``.
            What they look up by a string, ``getattr(models, name)``, has to be named beside them.

    >>> digest("ippy.metrics.psnr") == digest("ippy.metrics.psnr", "ippy.metrics.mse")
    True
    """
    waiting = [_name(root) for root in roots]
    found: dict[tuple[str, str], str] = {}
    while waiting:
        for place in _resolve(*waiting.pop()):
            if place not in found:
                found[place], used = _definition(read(place[0]), place[1])
                waiting += [(place[0], name) for name in used]
    text = "\n".join(sorted(f"{_label(module)}.{name} {h}" for (module, name), h in found.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _label(module: str) -> str:
    """The name of a module, also where it is the program that was started."""
    path = _path(module) if module == "__main__" else None
    return path.stem if path else module


@cache
def _path(module: str) -> Path | None:
    """The source file of a module; None if there is no such module."""
    if file := getattr(sys.modules.get(module), "__file__", None):
        return Path(file)
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def read(module: str) -> str:
    """The source of a module, as it is now."""
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(f"there is no source of a module {module!r}")
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, changed: int) -> str:
    return path.read_text("utf-8")


def _name(root: Callable | type | str) -> tuple[str, str]:
    """Module and dotted name inside it."""
    if isinstance(root, str):
        module, _, name = root.rpartition(".")
        return module, name
    return root.__module__, root.__qualname__.split(".")[0]


def _resolve(module: str, dotted: str) -> Iterator[tuple[str, str]]:
    """Where a name that stands in a module is defined: (module, name) of its parts of ippy.

    Nothing for names of Python and of other libraries. For a module that is named as a whole, all
    of its names, but nothing for a package.
    """
    first, *rest = dotted.split(".")
    if module in _PLUMBING or first == "__all__" or (module, first) in _REGISTRIES:
        return
    own, imported = _bindings(read(module))
    if first in own:
        yield module, first
    elif first in imported:
        source, name = imported[first]
        if not (source == "ippy" or source.startswith("ippy.")):
            return
        whole = f"{source}.{name}" if name else source
        if not _is_module(whole):
            yield from _resolve(source, name)
            return
        while rest and _is_module(f"{whole}.{rest[0]}"):
            whole = f"{whole}.{rest.pop(0)}"
        if rest:
            yield from _resolve(whole, rest[0])
        elif whole not in _PLUMBING and (path := _path(whole)) and path.name != "__init__.py":
            for name in _bindings(read(whole))[0]:
                yield from _resolve(whole, name)


@cache
def _is_module(name: str) -> bool:
    return name.startswith("ippy") and _path(name) is not None


@cache
def _bindings(text: str) -> tuple[dict[str, list[ast.stmt]], dict[str, tuple[str, str]]]:
    """What a module defines, name -> statements, and imports, name -> (module, name or "")."""
    tree = ast.parse(text)
    own: dict[str, list[ast.stmt]] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imported[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name.split(".")[0]] = (alias.name, "")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for target in ast.walk(node):
                if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                    own.setdefault(target.id, []).append(node)
    return own, imported


@cache
def _definition(text: str, name: str) -> tuple[str, tuple[str, ...]]:
    """A hash of a definition's bare syntax tree, and the dotted names in it."""
    nodes = _bindings(text)[0][name]
    used = {found for node in nodes for found in _dotted(node)} - {name}
    tree = repr([_bare(node) for node in nodes])
    return hashlib.sha256(tree.encode()).hexdigest(), tuple(sorted(used))


def _dotted(node: ast.AST) -> Iterator[str]:
    """Names in a tree, with the attributes that follow them: ``training.train``.

    Names of classes that a thing is only asked to be are left out: they are not run.
    """
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
        yield from _dotted(node.args[0])
        return
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
        yield from _dotted(node.left)
        return
    rest, inner = [], node
    while isinstance(inner, ast.Attribute):
        rest.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield ".".join([inner.id, *reversed(rest)])
        return
    for child in ast.iter_child_nodes(inner if rest else node):
        yield from _dotted(child)


def _bare(node: object) -> object:
    """A syntax tree as plain data, the same on all Pythons, without docstrings and type hints."""
    if isinstance(node, list):
        kept = [item for item in node if not _is_text(item)]
        return [_bare(item) for item in kept]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {k: v for k, v in ast.iter_fields(node) if k not in _SILENT and v not in (None, [])}
    return type(node).__name__, [(k, _bare(v)) for k, v in fields.items()]


def _is_text(node: object) -> bool:
    """Whether a statement is a bare string: a docstring, or a comment by another name."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
