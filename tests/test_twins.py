"""A class that a chapter defines in its own cells is the library's class, checks of input aside."""

import ast
import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from ippy import models
from ippy.models import unet

ROOT = Path(__file__).resolve().parents[1]
ONE, TWO = [(1, 2, 33, 32)], [(1, 8, 16, 16), (1, 4, 33, 32)]
#: Block -> its arguments and the shapes of its inputs; networks take an image.
BLOCKS = {
    "DoubleConv": ((2, 4), ONE),
    "ResidualDoubleConv": ((2, 4), ONE),
    "DownBlock": ((2, 4), ONE),
    "UpBlock": ((8, 4, 4), TWO),
    "AttentionGate": ((4, 6, 5), [(1, 4, 9, 8), (1, 6, 9, 8)]),
    "AttentionUpBlock": ((8, 4, 4), TWO),
}


def classes_in(code: str) -> dict[str, ast.ClassDef]:
    return {n.name: n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ClassDef)}


def shown() -> list[tuple[str, str, str]]:
    """(notebook, class name, all code of its class cells) for classes that models has too."""
    found = []
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        code = "\n\n".join(s for s in sources if s.startswith("class "))
        found += [(path.name, name, code) for name in classes_in(code) if name in models.__all__]
    return found


class Strip(ast.NodeTransformer):
    """Remove docstrings, annotations and checks of input, and an __init__ that only passes on."""

    def visit_FunctionDef(self, node):
        node.returns = None
        for arg in [*node.args.args, *node.args.kwonlyargs]:
            arg.annotation = None
        node.body = [s for s in node.body if not self.is_check(s)]
        passes_on = len(node.body) == 1 and ast.unparse(node.body[0]).startswith("super().__init__")
        return None if node.name == "__init__" and passes_on else node

    def visit_ClassDef(self, node):
        node.body = [s for s in node.body if not self.is_check(s)]
        return self.generic_visit(node)

    @staticmethod
    def is_check(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.If):
            return isinstance(statement.body[0], ast.Raise)
        text = ast.unparse(statement)
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        check = text.startswith(("check_input(", "check_channels("))
        return docstring or check or text == "self.in_ch = in_ch"


def skeleton(node: ast.ClassDef) -> str:
    return ast.unparse(Strip().visit(node))


def test_the_chapters_show_classes():
    found = Counter(notebook for notebook, _, _ in shown())
    least = {
        "cnn.ipynb": 1,
        "residual_learning.ipynb": 1,
        "unet.ipynb": 4,
        "unet_variants.ipynb": 4,
    }
    assert all(found[notebook] >= n for notebook, n in least.items()), found
    assert set(BLOCKS) <= {name for _, name, _ in shown()}


@pytest.mark.parametrize(("notebook", "name", "code"), shown(), ids=lambda v: v[:24])
def test_a_shown_class_is_the_librarys_class(notebook, name, code):
    module = getattr(models, name).__module__.replace(".", "/") + ".py"
    library = classes_in((ROOT / module).read_text("utf-8"))[name]
    assert skeleton(classes_in(code)[name]) == skeleton(library)
    space = {**vars(unet), "SimpleCNN": models.SimpleCNN}
    exec(code, space)
    args, shapes = BLOCKS.get(name, ((1, 1, 8), [(1, 1, 33, 32)]))
    twin, ours = space[name](*args), getattr(models, name)(*args)
    twin.load_state_dict(ours.state_dict(), strict=True)
    inputs = [torch.rand(shape) for shape in shapes]
    assert torch.equal(twin(*inputs), ours(*inputs))
