"""Which modules of ``ippy`` a piece of code imports, found without running anything.

Imports in functions, relative ones, packages that hand names on, and chains such as
``ippy.studies.fields.runs`` are followed. A name that has no file and that no package defines, such
as that of a module of the first edition, may lead anywhere, so then all modules count.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "ippy"


def digest(content: str | bytes) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a text or of bytes."""
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:12]


# -- Syntax trees ---------------------------------------------------------------------------------


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove the docstrings from a tree, in place."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[isinstance(first.value.value, str) :]
    return tree


def dump(node: object) -> str:
    """A tree as text. Unlike that of :func:`ast.dump`, it is the same on every Python.

    Fields that are empty are left out, since each Python adds some, and the pieces of an f-string
    are joined, since they are cut differently.
    """
    if isinstance(node, ast.JoinedStr):
        pieces: list[object] = []
        for value in node.values:
            text = value.value if isinstance(value, ast.Constant) else None
            if text is not None and pieces and isinstance(pieces[-1], str):
                pieces[-1] += text
            else:
                pieces.append(value if text is None else text)
        return f"JoinedStr{dump([piece for piece in pieces if piece != ''])}"
    if isinstance(node, ast.Constant):
        return f"Constant({ascii(node.value)})"
    if isinstance(node, ast.AST):
        fields = [(name, getattr(node, name, None)) for name in sorted(node._fields)]
        kept = [f"{name}={dump(value)}" for name, value in fields if value not in (None, [])]
        return f"{type(node).__name__}({', '.join(kept)})"
    if isinstance(node, list):
        return f"[{', '.join(map(dump, node))}]"
    return ascii(node)


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's own level, with those inside ``if``, ``try`` and the like."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def binds(node: ast.stmt) -> set[str]:
    """The names that a statement of a module's own level gives to the module."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    return {name.id for name in stored if isinstance(name.ctx, ast.Store)}


# -- Modules --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """A module of the library; ``package`` says that it is the ``__init__`` of one."""

    name: str
    package: bool
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree without docstrings."""
        return without_docstrings(ast.parse(self.source))

    @cached_property
    def names(self) -> set[str]:
        """The names that it gives to who imports it."""
        return set().union(*map(binds, statements(self.tree.body)))

    @cached_property
    def mark(self) -> str:
        """Hash over all but docstrings and comments."""
        return digest(dump(self.tree))


def library(root: Path) -> dict[str, Module]:
    """The modules of the package in ``root`` by their dotted names."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        found[name] = Module(name, package, path.read_text(encoding="utf-8"))
    return found


def member(base: str, name: str, modules: Mapping[str, Module]) -> str:
    """The module that ``from base import name`` needs; one that has no file if it is not clear."""
    inner = f"{base}.{name}"
    if inner in modules or base not in modules:
        return inner
    if name == "*":
        return inner if modules[base].package else base
    known = name in modules[base].names or re.fullmatch(r"__\w+__", name)
    return base if known else inner


def imports(tree: ast.AST, modules: Mapping[str, Module], package: str = "") -> set[str]:
    """The modules of the library that a tree imports, wherever in it, as dotted names.

    Args:
        tree: Of a module or of code cells.
        modules: The library.
        package: What relative imports start from.

    Returns:
        Names; one that ``modules`` lacks stands for what cannot be found out.
    """
    found: set[str] = set()
    packages = {}  # name in the code -> package that it is bound to
    hooks = set(map(id, _inside_hooks(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    found.add(alias.name)
                    packages[alias.asname or PACKAGE] = alias.name if alias.asname else PACKAGE
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            if base.split(".")[0] == PACKAGE:
                inner = {a.asname or a.name: member(base, a.name, modules) for a in node.names}
                found |= {base, *inner.values()}
                packages |= {name: module for name, module in inner.items() if module != base}
        elif isinstance(node, ast.Call) and id(node) not in hooks:
            found |= _dynamic(node)
    for node in ast.walk(tree):  # ippy.studies.fields.runs, after "import ippy"
        if isinstance(node, ast.Attribute):
            found |= _attribute(node, packages, modules)
    return found


def _base(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of what a ``from`` statement imports from."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])


def _dynamic(node: ast.Call) -> set[str]:
    """What a call imports, if it is one that imports."""
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if called not in ("import_module", "__import__"):
        return set()
    name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "."
    if str(name).startswith("."):  # it depends on what the program does
        return {f"{PACKAGE}.?"}
    return {name} if name.split(".")[0] == PACKAGE else set()


def _inside_hooks(tree: ast.AST) -> Iterator[ast.AST]:
    """What stands in modules with import hooks and in ``__getattr__``.

    They answer for names without a file. Who uses such a name imports what has no file, and that is
    counted there.
    """
    for node in ast.walk(tree):
        bases = {getattr(base, "id", "") for base in getattr(node, "bases", [])}
        if "MetaPathFinder" in bases:
            yield from ast.walk(tree)
        elif getattr(node, "name", "") == "__getattr__":
            yield from ast.walk(node)


def _attribute(
    node: ast.Attribute, packages: Mapping[str, str], modules: Mapping[str, Module]
) -> set[str]:
    """The modules that a chain of attributes leads to, if it starts at a package."""
    names, start = [node.attr], node.value
    while isinstance(start, ast.Attribute):
        names, start = [start.attr, *names], start.value
    base = packages.get(start.id, "") if isinstance(start, ast.Name) else ""
    found = set()
    for name in names:
        if base not in modules or not modules[base].package:
            break
        inner = member(base, name, modules)
        found.add(inner)
        if inner == base:  # something that the package defines; what follows is its affair
            break
        base = inner
    return found


def used(tree: ast.AST, modules: Mapping[str, Module]) -> set[str]:
    """The modules that code cells import, directly or not; all of them if it is not clear."""
    todo, seen = imports(tree, modules), set()
    while todo:
        name = todo.pop()
        if name not in modules:
            return set(modules)
        if name not in seen:
            seen.add(name)
            module = modules[name]
            parent = name.rpartition(".")[0]
            inside = imports(module.tree, modules, name if module.package else parent)
            todo |= inside | ({parent} if parent else set())
    return seen
