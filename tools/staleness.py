"""What the outputs of a notebook depend on, found without running it, as short hashes: its marks.

Outputs follow from the notebook's code cells, from the modules of ``ippy`` that these import,
directly or through one another, and from the data that all of this can read. Where the source does
not tell, more is counted than may be needed: a notebook that is run once too often costs a minute,
one that is not run shows what is no longer true.

Marks are plain data, ``{"code": hash, "modules": {name: hash}, "data": {path: hash}}``. They are
the same on every Python, so that a book executed by one is not stale for another.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import nbformat
from imports import PACKAGE, Module, binds, digest, library, statements, used
from IPython.core.inputtransformer2 import TransformerManager

#: Folder, pattern of the data in it, and a word that stands in all code that reads them.
PLACES = (
    ("weights", "*.pth", "weights"),
    ("weights", "*.json", "weights"),
    ("weights/results", "*.json", "results"),
    ("benchmarks/results", "*.json", "benchmarks"),
    ("imgs", "*.*", "imgs"),
    ("book", "*.ipynb", "ipynb"),
    (PACKAGE, "**/*.png", ""),
    (PACKAGE, "**/*.json", ""),
    (PACKAGE, "**/*.ttf", ""),
)
#: Who calls these can come upon a file that nobody names.
LISTING = {"glob", "rglob", "iglob", "iterdir", "listdir", "scandir", "walk"}
#: Who calls these can show docstrings and comments.
READING = {"getsource", "getsourcelines", "getdoc", "getcomments", "help", "__doc__"}
#: With these a cell can run code that does not stand in it as code.
RUNNING = {"system", "getoutput", "subprocess", "runpy", "exec", "eval"}
RUNNING |= {"run_line_magic", "run_cell_magic"}


# -- What code mentions ----------------------------------------------------------------------------


def mentions(node: ast.AST) -> set[str]:
    """Every identifier in a tree: names, attributes, and what is imported."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            found.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            found.add(inner.attr)
        elif isinstance(inner, ast.alias):
            found.update(inner.name.split("."))
    return found


def spelled(tree: ast.AST) -> set[str]:
    """The words in the strings of a tree; a name such as ``abdomen_mr`` is two of them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(words(node.value))
        elif isinstance(node, ast.keyword) and node.arg:  # dict(UNet=...)
            found.update(words(node.arg))
    return found


def words(text: str) -> list[str]:
    """The runs of letters in a text."""
    return re.findall(r"[^\W\d_]+", text)


@cache
def _spelled(module: Module) -> set[str]:
    return spelled(module.tree)


@cache
def _pieces(module: Module) -> list[tuple[set[str], set[str]]]:
    """For each statement of a module what it binds and what it mentions."""
    return [(binds(node), mentions(node)) for node in statements(module.tree.body)]


def reaches(names: set[str], modules: Iterable[Module], ends: set[str]) -> bool:
    """Whether code that mentions ``names`` may come to one of the names in ``ends``.

    It may if it mentions one of them, or a name under which a module has code that may. Equal names
    are taken for the same, so this says yes too often, never too rarely.
    """
    known, grown = set(ends), True
    pieces = [piece for module in modules for piece in _pieces(module)]
    while grown:
        grown = False
        for bound, mentioned in pieces:
            if mentioned & known and not bound:  # it happens on import
                return True
            if mentioned & known and not bound <= known:
                known |= bound
                grown = True
    return bool(names & known)


# -- Marks ----------------------------------------------------------------------------------------


class Sources:
    """Library and data of a project as they are now, each file read once."""

    def __init__(self, root: Path) -> None:
        self.modules = library(root)
        self.data: dict[str, str] = {}
        self.places: dict[str, str] = {}  # path -> word that stands in all code that reads it
        for folder, pattern, word in PLACES:
            for path in sorted((root / folder).glob(pattern)):
                name = path.relative_to(root).as_posix()
                self.data[name], self.places[name] = _mark_of_file(path), word

    def marks(self, notebook: nbformat.NotebookNode, name: str = "") -> dict:
        """What the outputs of a notebook, the file ``book/name``, depend on."""
        code = code_cells(notebook)
        try:
            tree = ast.parse("\n".join(map(TransformerManager().transform_cell, code)))
        except SyntaxError:
            tree = None  # nothing is known, so everything counts
        hidden = tree is None or (RUNNING & mentions(tree) and PACKAGE in spelled(tree))
        names = self.modules if hidden else used(tree, self.modules)
        modules = [self.modules[name] for name in sorted(names)]
        whole = tree is None or reaches(mentions(tree), modules, READING)
        read = self.data if tree is None else self._read(tree, modules)
        return {
            "code": digest("\0".join(code)),
            "modules": {m.name: digest(m.source) if whole else m.mark for m in modules},
            "data": {path: self.data[path] for path in read if path != f"book/{name}"},
        }

    def _read(self, tree: ast.Module, modules: list[Module]) -> list[str]:
        """The data that code may read: those whose names it spells, or all that it may list."""
        text = spelled(tree).union(*map(_spelled, modules))
        lists = reaches(mentions(tree), modules, LISTING)
        near = [path for path, word in self.places.items() if word in text or not word]
        return [path for path in near if lists or set(words(Path(path).stem)) <= text]


def code_cells(notebook: nbformat.NotebookNode) -> list[str]:
    """The code cells as text: in a cell even a last semicolon decides what is shown."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _mark_of_file(path: Path) -> str:
    """Hash of a data file; of another notebook its code alone, since outputs follow from it."""
    if path.suffix == ".ipynb":
        return digest("\0".join(code_cells(nbformat.read(path, as_version=4))))
    return digest(path.read_bytes())


def reasons(stored: object, now: dict) -> list[str]:
    """Why a notebook with the marks ``stored`` has to run again; nothing if it need not."""
    if not (isinstance(stored, dict) and set(stored) == {"code", "modules", "data"}):
        return ["it has no marks of what it depends on"]
    found = ["its code changed"] if stored["code"] != now["code"] else []
    for kind in ("modules", "data"):
        before, after = stored[kind], now[kind]
        for name in sorted({*before, *after}):
            if name not in before:
                found.append(f"{name} is new to it")
            elif name not in after:
                found.append(f"{name} is gone or no longer used")
            elif before[name] != after[name]:
                found.append(f"{name} changed")
    return found
