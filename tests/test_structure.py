"""The house: imports run one way, modules and functions stay short, rooms hold what they say."""

import ast
import graphlib
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def name_of(path: Path) -> str:
    """Name under which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {
    name_of(path): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "ippy").rglob("*.py"))
}


def imported(tree: ast.AST, known: set[str]) -> set[str]:
    """What a module imports, at its top and within functions; of known ones the very module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (full & known) | ({node.module} if full - known else set())
    return found


def circle(imports: dict[str, set[str]]) -> list[str]:
    """A circle of modules, or none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return []


def long_functions(tree: ast.AST, limit: int) -> dict[str, int]:
    """Functions with more lines than the limit, their docstrings not counted."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = node.end_lineno - node.lineno + 1
        if ast.get_docstring(node) is not None:
            lines -= node.body[0].end_lineno - node.body[0].lineno + 1
        if lines > limit:
            found[node.name] = lines
    return found


IMPORTS = {name: imported(tree, set(TREES)) for name, tree in TREES.items()}


def outside(room: str) -> set[str]:
    """Modules of the package that a room imports from other rooms."""
    names = [name for name in TREES if name == room or name.startswith(f"{room}.")]
    assert names, room
    found = set().union(*(IMPORTS[name] for name in names))
    return {name for name in found if name in TREES} - set(names)


def test_the_checks_of_this_file_can_fail():
    late = "def f():\n    from pack import b\n"
    trees = {"pack.a": ast.parse(late), "pack.b": ast.parse("import pack.a")}
    imports = {name: imported(tree, set(trees)) for name, tree in trees.items()}
    assert sorted(set(circle(imports))) == ["pack.a", "pack.b"]
    assert imported(ast.parse("from torch import nn"), set(trees)) == {"torch"}
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    assert long_functions(ast.parse(text), 1) == {"f": 2} and not long_functions(ast.parse(text), 2)


def test_imports_run_one_way():
    own = {name: found & set(TREES) for name, found in IMPORTS.items()}
    assert len(own) > 40 and sum(map(len, own.values())) > 100
    # a package is the sum of its modules: they import each other, never what gathers them
    assert (found := circle(own)) == [], " imports ".join(found)
    rooms = {name: name.split(".")[1] for name in TREES if "." in name}
    between = {room: set() for room in rooms.values()}
    for name, room in rooms.items():
        between[room] |= {rooms[other] for other in own[name] if other in rooms} - {room}
    assert (found := circle(between)) == [], " imports ".join(found)


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("ippy.models", set()),
        ("ippy.operators", set()),
        ("ippy.metrics", set()),
        ("ippy.receptive_field", set()),
        ("ippy.classical", {"ippy.operators", "ippy.operators.base"}),
        ("ippy.tasks", {"ippy.classical", "ippy.operators", "ippy.operators.noise", "ippy.seeds"}),
    ],
)
def test_what_stands_below_knows_nothing_of_what_stands_above(room, allowed):
    assert outside(room) <= allowed


def test_the_package_knows_neither_the_book_nor_its_tools():
    for name, found in IMPORTS.items():
        first = {module.split(".")[0] for module in found}
        assert not first & {"book", "tools", "tests", "benchmarks", "imgs", "run"}, name


def test_modules_and_functions_stay_short():
    for name, tree in TREES.items():
        end = max((node.end_lineno for node in tree.body), default=0)
        assert end <= 400, f"{name} has {end} lines: two ideas, two modules"
        assert long_functions(tree, 80) == {}, name


@pytest.mark.parametrize("name", [name for name in TREES if name != "ippy.__main__"])
def test_every_module_says_what_is_public_and_has_it(name):
    module = importlib.import_module(name)
    assert ast.get_docstring(TREES[name]), "no docstring"
    public = module.__all__
    assert len(public) == len(set(public))
    assert [missing for missing in public if not hasattr(module, missing)] == []


def test_pictures_lie_among_no_code():
    folder = ROOT / "imgs"
    code = [p.name for p in folder.rglob("*") if p.suffix in (".py", ".js", ".ipynb", ".sh")]
    assert any(folder.glob("*.svg")) and code == []
