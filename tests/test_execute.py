"""tools/execute.py: which notebooks run again and why, and that they are stored whole."""

import ast
import base64
import importlib
import io
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parents[1]

#: A small library: "use" needs "deep.leaf" through a package that hands a name on; none needs
#: "other"; "keys" spells the names of data, "shelf" lists a folder, "stock" does so on import.
LIBRARY = {
    "__init__": '"""The package."""\n',
    "use": "from ippy.deep import leaf_value\n\n\ndef f():\n    return leaf_value\n",
    "deep/__init__": "from ippy.deep.leaf import leaf_value\n",
    "deep/leaf": '"""A leaf."""\nleaf_value = 1  # one\n',
    "deep/side": "side = 2\n",
    "late": "def f():\n    import ippy.deep.side\n    return ippy.deep.side.side\n",
    "other": "x = 3\n",
    "keys": "PLACE = 'weights'\nKEYS = {'Known': 1, 'two_words': 2}\n",
    "stock": "PLACE, KEYS = 'weights', []\nKEYS.extend(place.glob('*'))\n",
    "shelf": "def shelf(path):\n    return books(path)\n\n\ndef books(path):\n"
    "    return [p for p in path.glob('*') if 'weights']\n",
}


@pytest.fixture(scope="module")
def tools() -> Iterator[types.SimpleNamespace]:
    """The scripts of tools/, found by one another as when one of them is started."""
    sys.path.insert(0, str(ROOT / "tools"))
    names = ("imports", "staleness", "execute")
    yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    sys.path.remove(str(ROOT / "tools"))


def write(root: Path, files: dict[str, str]) -> None:
    """Write text files below ``root``."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project: the library, weights, results, a sample image, a notebook that runs."""
    write(tmp_path, {f"ippy/{name}.py": text for name, text in LIBRARY.items()})
    names = ("Known.pth", "Known.json", "two_words.pth", "Stray.pth", "results/cost.json")
    write(tmp_path, {f"weights/{name}": "1" for name in names})
    write(tmp_path, {"imgs/sample_x.png": "1"})
    (tmp_path / "book").mkdir()
    cells = [new_markdown_cell("# Title"), new_code_cell("print(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "n.ipynb")
    return tmp_path


@pytest.fixture
def changes(tools: types.SimpleNamespace, tree: Path) -> Callable:
    """Why a notebook with these code cells is stale after files were written."""

    def changes(code: str, files: dict[str, str]) -> list[str]:
        notebook = new_notebook(cells=[new_code_cell(code)])
        before = tools.staleness.Sources(tree).marks(notebook)
        assert json.loads(json.dumps(before)) == before
        write(tree, files)
        return tools.staleness.reasons(before, tools.staleness.Sources(tree).marks(notebook))

    return changes


# -- What makes a notebook stale ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deep/leaf", '"""Another word."""\nleaf_value = 1  # one\n'),
        ("deep/leaf", '"""A leaf."""\n# why\nleaf_value = (1)\n'),
        ("use", LIBRARY["use"].replace("    return", '    """Say what."""\n    return')),
        ("other", "x = 4\n"),
        ("deep/side", "side = 3\n"),
        ("new", "y = 1\n"),
    ],
)
def test_what_changes_no_output_makes_nothing_stale(changes, name: str, text: str) -> None:
    assert changes("from ippy.use import f\nf()", {f"ippy/{name}.py": text}) == []


@pytest.mark.parametrize(
    ("code", "name", "text", "module"),
    [
        ("from ippy import use", "use", LIBRARY["use"] + "f()\n", "ippy.use"),
        ("from ippy.use import f", "deep/leaf", "leaf_value = 2\n", "ippy.deep.leaf"),
        ("import ippy.use as u", "deep/leaf", "leaf_value = 2\n", "ippy.deep.leaf"),
        ("import ippy.use", "__init__", "x = 1\n", "ippy"),
        ("def f():\n    from ippy import use", "deep/leaf", "leaf_value = 2", "ippy.deep.leaf"),
        ("from ippy import late", "deep/side", "side = 3\n", "ippy.deep.side"),
        ("from ippy import deep\ndeep.side.side", "deep/side", "side = 3\n", "ippy.deep.side"),
        ("import ippy\nippy.deep.side.side", "deep/side", "side = 3\n", "ippy.deep.side"),
        ("from ippy.deep.side import *", "deep/side", "side = 3\n", "ippy.deep.side"),
        ("import importlib\nimportlib.import_module('ippy.other')", "other", "x = 4", "ippy.other"),
        ("%time\nimport ippy.other", "other", "x = 4", "ippy.other"),
    ],
)
def test_what_a_notebook_uses_makes_it_stale(
    changes, code: str, name: str, text: str, module: str
) -> None:
    assert changes(code, {f"ippy/{name}.py": text}) == [f"{module} changed"]


def test_relative_imports_are_followed(changes, tree: Path) -> None:
    write(tree, {"ippy/deep/near.py": "from . import leaf\nfrom .. import other\n"})
    write(tree, {"ippy/deep/up.py": "from .near import leaf\n"})
    edits = {"ippy/deep/leaf.py": "leaf_value = 9\n", "ippy/other.py": "x = 9\n"}
    edits["ippy/late.py"] = "nobody = 'uses it'\n"
    assert changes("import ippy.deep.up", edits) == ["ippy.deep.leaf changed", "ippy.other changed"]


@pytest.mark.parametrize(
    "code",
    [
        "from ippy import data",  # a module of the first edition: a name without a file
        "import ippy.recipes",
        "from ippy.data import KINDS",
        "from ippy.deep import family",
        "import ippy\nippy.data.KINDS",
        "from ippy import *",
        "import importlib\nname = 'x'\nimportlib.import_module(name)",
        "!python -m ippy check",
        "import subprocess\nsubprocess.run(['python', '-c', 'import ippy.other'])",
        "this is no Python",
    ],
)
def test_where_imports_are_unclear_everything_counts(changes, code: str) -> None:
    assert changes(code, {"ippy/other.py": "x = 4\n"}) == ["ippy.other changed"]


def test_a_library_module_that_imports_an_old_name_uses_everything(changes, tree: Path) -> None:
    write(tree, {"ippy/old.py": "def f():\n    from ippy.recipes import SHAPE\n"})
    assert changes("from ippy import old", {"ippy/other.py": "x = 4\n"}) == ["ippy.other changed"]


def test_import_hooks_use_nothing_by_themselves(changes, tree: Path) -> None:
    hook = "class F(MetaPathFinder):\n    def g(self, n):\n        return import_module(n)\n"
    lazy = "def __getattr__(name):\n    return importlib.import_module(name)\n"
    write(tree, {"ippy/__init__.py": "from ippy import hook\n", "ippy/hook.py": hook + lazy})
    assert changes("from ippy import use", {"ippy/other.py": "x = 4\n"}) == []


def test_comments_count_for_a_notebook_that_shows_sources(changes) -> None:
    code = "import inspect\nfrom ippy.use import f\nprint(inspect.getsource(f))"
    text = LIBRARY["use"].replace("return", "# why\n    return")
    assert changes(code, {"ippy/use.py": text}) == ["ippy.use changed"]


@pytest.mark.parametrize(
    ("code", "stale"),
    [
        ("from ippy import keys\nload('Known')", ["Known.json", "Known.pth"]),
        ("from ippy import keys", ["Known.json", "Known.pth"]),  # a loop over KEYS reads them
        ("load('weights/Stray.pth')", ["Stray.pth"]),
        ("load('../weights/' + name + '.pth', dict(Stray=1))", ["Stray.pth"]),
        ("load('Stray')", []),  # and from nowhere
        ("from ippy import use", []),
        ("from ippy.shelf import shelf\nshelf(path)", ["Known.json", "Known.pth", "Stray.pth"]),
        ("from ippy import stock", ["Known.json", "Known.pth", "Stray.pth"]),
        ("Path('../weights').iterdir()", ["Known.json", "Known.pth", "Stray.pth"]),
    ],
)
def test_changed_weights_make_their_readers_stale(changes, code: str, stale: list[str]) -> None:
    files = {f"weights/{name}": "2" for name in ("Known.pth", "Known.json", "Stray.pth")}
    assert changes(code, files) == [f"weights/{name} changed" for name in stale]


def test_results_samples_and_other_notebooks_are_data(changes) -> None:
    assert changes("load('results', 'cost')", {"weights/results/cost.json": "2"}) == [
        "weights/results/cost.json changed"
    ]
    assert changes("show('imgs', 'sample_x')", {"imgs/sample_x.png": "2"}) == [
        "imgs/sample_x.png changed"
    ]
    page = nbformat.writes(new_notebook(cells=[new_code_cell("7")]))
    assert changes("read('n.ipynb')", {"book/n.ipynb": page}) == ["book/n.ipynb changed"]
    page = nbformat.writes(new_notebook(cells=[new_code_cell("7"), new_markdown_cell("prose")]))
    assert changes("read('n.ipynb')", {"book/n.ipynb": page}) == []


def test_a_notebook_is_no_data_of_its_own(tools, tree: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell("read(folder.glob('*.ipynb'))")])
    sources = tools.staleness.Sources(tree)
    assert list(sources.marks(notebook, "m.ipynb")["data"]) == ["book/n.ipynb"]
    assert list(sources.marks(notebook, "n.ipynb")["data"]) == []


def test_a_new_network_concerns_who_lists_the_networks(changes) -> None:
    entry = LIBRARY["keys"].replace("'Known': 1", "'Known': 1, 'New': 1")
    files = {"ippy/keys.py": entry, "weights/New.pth": "1", "weights/New.json": "1"}
    assert changes("from ippy import use\nload('weights', 'Known')", files) == []


def test_a_new_network_is_named_where_networks_are_listed(changes) -> None:
    entry = LIBRARY["keys"].replace("'Known': 1", "'Known': 1, 'New': 1")
    why = changes("from ippy import keys", {"ippy/keys.py": entry, "weights/New.pth": "1"})
    assert why == ["ippy.keys changed", "weights/New.pth is new to it"]


def test_code_counts_and_neither_prose_nor_outputs(tools) -> None:
    sources = tools.staleness.Sources(ROOT / "nowhere")
    one = new_notebook(cells=[new_code_cell("1 + 1")])
    same = new_notebook(cells=[new_code_cell("1 + 1"), new_markdown_cell("prose")])
    same.cells[0].outputs = [new_output("stream", text="2")]
    more = new_notebook(cells=[new_code_cell("1 + 1"), new_code_cell("1 + 1")])
    mark = sources.marks(one)
    assert tools.staleness.reasons(mark, sources.marks(same)) == []
    assert tools.staleness.reasons(mark, sources.marks(more)) == ["its code changed"]
    old = {"fingerprint": "9816899cfcda"}
    for stored in (None, {}, old):
        assert tools.staleness.reasons(stored, mark) == ["it has no marks of what it depends on"]


def test_what_is_gone_is_named(tools, tree: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell("from ippy import keys")])
    before = tools.staleness.Sources(tree).marks(notebook)
    (tree / "weights" / "Known.pth").unlink()
    now = tools.staleness.Sources(tree).marks(notebook)
    assert tools.staleness.reasons(before, now) == ["weights/Known.pth is gone or no longer used"]


def test_marks_are_the_same_on_every_python(tools) -> None:
    source = (
        'x = f"a{b!r:>{w}}" "c" f"{{d}}{e}" \'f\'\ny = f"{x=}" f"" "" + "\\u2028é"\n'
        "class A(B, c=1):\n    def f(self, *, a: int = None): ...\n"
    )
    module = tools.imports.Module("m", False, source)
    assert module.mark == "f3d56b311918"  # as Python 3.11, 3.12, 3.13 and 3.14 computed it
    whole, cut = ([ast.Constant("ab")], [ast.Constant("a"), ast.Constant(""), ast.Constant("b")])
    assert tools.imports.dump(ast.JoinedStr(whole)) == tools.imports.dump(ast.JoinedStr(cut))


def test_marks_of_the_book_are_found(tools) -> None:
    sources = tools.staleness.Sources(ROOT)
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        found = sources.marks(notebook, path.name)
        marks = json.loads(json.dumps(found))
        hashes = [marks["code"], *marks["modules"].values(), *marks["data"].values()]
        assert all(len(mark) == 12 and int(mark, 16) >= 0 for mark in hashes)
        assert len(json.dumps(marks)) < 20_000
        imports = any("from ippy" in c.source for c in notebook.cells if c.cell_type == "code")
        assert ("ippy" in marks["modules"]) == imports
        assert tools.staleness.reasons(marks, found) == []
        bare = {name: sources.modules[name].mark for name in marks["modules"]}
        assert marks["modules"] == bare, "a comment in ippy would run this notebook again"


def test_old_module_names_do_not_tie_a_notebook_to_the_whole_library(tools) -> None:
    sources = tools.staleness.Sources(ROOT)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import ippy.tables")])
    found = sources.marks(notebook)["modules"]
    assert "ippy.tables" in found and "ippy.first_edition" in found and len(found) < 10


# -- What execute does ----------------------------------------------------------------------------


def test_execute_stores_clean_outputs_once(tools, tree: Path, capsys) -> None:
    path = tree / "book" / "n.ipynb"
    assert tools.execute.main([], tree) == 0
    assert "n.ipynb: running, since it has no marks" in capsys.readouterr().out
    stored = path.read_bytes()
    notebook = json.loads(stored)
    assert notebook["cells"][1]["outputs"][0]["text"] == ["42\n"]
    assert notebook["cells"][1]["metadata"] == {}  # no time of day
    assert notebook["metadata"]["language_info"]["pygments_lexer"] == "ipython3"
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert stored.endswith(b"}\n") and b"\r" not in stored and b'\n "cells"' in stored
    assert tools.execute.main(["n"], tree) == 0
    assert "n.ipynb: unchanged" in capsys.readouterr().out
    assert path.read_bytes() == stored


def test_check_and_accept_run_nothing(tools, tree: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(tools.execute, "run", lambda *_: pytest.fail("it ran"))
    path = tree / "book" / "n.ipynb"
    cells = [new_markdown_cell("# Title"), new_code_cell("from ippy import use")]
    nbformat.write(new_notebook(cells=cells), path)
    before = path.read_bytes()
    assert tools.execute.main(["--check"], tree) == 1 and path.read_bytes() == before
    assert tools.execute.main(["--accept"], tree) == 0
    after = json.loads(path.read_bytes())
    assert set(after["metadata"].pop("ippy")) == {"code", "modules", "data"}
    assert after == json.loads(before)
    assert tools.execute.main(["--check"], tree) == 0
    write(tree, {"ippy/use.py": "f = 1\n"})
    capsys.readouterr()
    assert tools.execute.main(["--check"], tree) == 1
    assert capsys.readouterr().out == (
        "n.ipynb: stale, since ippy.deep is gone or no longer used, "
        "ippy.deep.leaf is gone or no longer used, ippy.use changed\n"
    )


def test_of_many_reasons_the_first_are_said(tools) -> None:
    assert tools.execute.sentence(["a changed", "b changed"]) == "a changed, b changed"
    assert tools.execute.sentence([*"abcdefg"]) == "a, b, c, and 4 more"


def encode(image: Image.Image) -> str:
    """A picture as notebooks store it."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode(picture: str) -> Image.Image:
    """The stored picture."""
    return Image.open(io.BytesIO(base64.b64decode(picture)))


def test_stored_pictures_shrink_and_look_the_same(tools) -> None:
    grey = encode(Image.effect_noise((64, 64), 50).convert("RGBA"))
    smaller = tools.execute.compact(grey)
    assert decode(smaller).mode == "L" and len(smaller) < len(grey)
    assert decode(smaller).convert("RGBA").tobytes() == decode(grey).tobytes()
    coloured = tools.execute.compact(encode(Image.new("RGBA", (8, 8), (200, 10, 10, 255))))
    assert decode(coloured).convert("RGB").getpixel((0, 0)) == (200, 10, 10)
    noise = Image.merge("RGB", [Image.effect_noise((64, 64), 50)] * 2 + [Image.new("L", (64, 64))])
    smaller = tools.execute.compact(encode(noise))
    assert decode(smaller).mode == "P" and len(smaller) < 0.7 * len(encode(noise))
    change = ImageChops.difference(decode(smaller).convert("RGB"), noise)
    assert max(high for _, high in change.getextrema()) < 10
    see_through = encode(Image.new("RGBA", (8, 8), (200, 10, 10, 0)))
    assert tools.execute.compact(see_through) == see_through


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; print('careful', file=sys.stderr)", "cell 1 wrote to stderr: 'careful'"),
        ("from pathlib import Path; Path.home()", "shows a path of this machine"),
    ],
)
def test_failing_notebook_stays_as_it_was(
    tools, tree: Path, capsys, code: str, message: str
) -> None:
    path = tree / "book" / "n.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    before = path.read_bytes()
    assert tools.execute.main([], tree) == 1
    assert message in capsys.readouterr().out
    assert path.read_bytes() == before and os.listdir(path.parent) == ["n.ipynb"]


def test_execute_of_an_unknown_notebook_lists_the_known(tools, tree: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        tools.execute.main(["unett"], tree)
    assert "no notebook 'unett'; there are n" in capsys.readouterr().err
