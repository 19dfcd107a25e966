"""The copy of the book without solutions: what has to go, what has to stay, and no loose ends."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "tools" / "no_solutions.py"
spec = importlib.util.spec_from_file_location("no_solutions", FILE)
no_solutions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(no_solutions)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The book of this repository without solutions."""
    target = tmp_path_factory.mktemp("copy") / "no-solutions"
    no_solutions.copy(ROOT, target)
    return target


def source(path: Path) -> str:
    """All that a page's file holds: text, code and outputs."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return nbformat.writes(nbformat.read(path, as_version=4))


def text(path: Path) -> str:
    """The prose of a page."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def pages(root: Path) -> list[Path]:
    """All pages of a book's source."""
    return sorted([*(root / "book").glob("*.md"), *(root / "book").glob("*.ipynb")])


def test_short_and_gated_solutions_go_with_code_and_outputs() -> None:
    output = new_output("stream", text="SECRET 3")
    cells = [
        new_markdown_cell("Before.\n\n```{exercise} One\n:label: ex-one\nAsk.\n```\n"),
        new_markdown_cell(
            "```{solution} ex-one\n:label: sol-one\nSECRET 1\n```\n\n"
            "::::{exercise-start} Two\n:label: ex-two\n::::\nAsk again."
        ),
        new_code_cell("given = 1"),
        new_markdown_cell("::::{exercise-end}\n::::"),
        new_markdown_cell("```{solution-start} ex-two\n:label: sol-two\n```\nSECRET 2"),
        new_code_cell("SECRET = 3", outputs=[output]),
        new_markdown_cell("SECRET 4\n```{solution-end}\n```\n\nAfter."),
        new_code_cell("kept = 1"),
    ]
    cut = no_solutions.cut(nbformat.writes(new_notebook(cells=cells)), "a.ipynb")
    notebook = nbformat.reads(cut, as_version=4)
    nbformat.validate(notebook)
    assert "SECRET" not in cut and "sol-" not in cut
    sources = [cell.source for cell in notebook.cells]
    assert sources[1:] == [
        "\n::::{exercise-start} Two\n:label: ex-two\n::::\nAsk again.",
        "given = 1",
        "::::{exercise-end}\n::::",
        "\nAfter.",
        "kept = 1",
    ]
    assert sources[0].startswith("Before.") and sources[0].endswith("Ask.\n```")


@pytest.mark.parametrize("end", ["", "```{solution-end}\n"])
def test_a_solution_without_end_is_an_error(end: str) -> None:
    page = f"Text\n```{{solution-start}} ex-one\n```\nSECRET\n{end}"
    with pytest.raises(ValueError, match=r"page\.md: a solution does not end"):
        no_solutions.cut(page, "page.md")


def test_an_old_copy_goes(tmp_path: Path) -> None:
    for name in ("_config.yml", "_toc.yml", "book/a.md", "imgs/a.svg", "weights/a.pth"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text("kept\n", encoding="utf-8")
    (tmp_path / "out" / "book").mkdir(parents=True)
    (tmp_path / "out" / "book" / "old.md").touch()
    no_solutions.copy(tmp_path / "root", tmp_path / "out")
    files = {p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/**/*.*")}
    assert files == {"_config.yml", "_toc.yml", "book/a.md", "imgs/a.svg"}


def test_the_copy_has_all_that_a_build_reads(copy: Path) -> None:
    def files(root: Path) -> set[str]:
        made = {".ipynb_checkpoints", "__pycache__", "node_modules"}
        found = (p.relative_to(root) for part in ("book", "imgs") for p in (root / part).rglob("*"))
        return {p.as_posix() for p in found if not made & set(p.parts) and (root / p).is_file()}

    assert files(copy) == files(ROOT)
    assert (copy / "weights" / "README.md").is_file(), "a page includes it"


def test_no_solution_is_left_and_all_else_is(copy: Path) -> None:
    assert [p.name for p in pages(copy)] == [p.name for p in pages(ROOT)]
    exercises = 0
    for full, cut in zip(pages(ROOT), pages(copy), strict=True):
        left, whole = source(cut), text(full)
        assert "{solution" not in left, cut.name
        assert not re.search(r"\bsol-\w", left), f"{cut.name} refers to a solution"
        solutions = len(re.findall(r"\{solution(?:-start)?\}", whole))
        assert (len(left) < len(source(full))) == bool(solutions), cut.name
        for kept in (r"\{exercise(?:-start)?\}", ":class: predict", ":class: selfcheck", "^#+ "):
            count = len(re.findall(kept, whole, re.M))
            assert len(re.findall(kept, text(cut), re.M)) == count, f"{cut.name}: {kept}"
        exercises += solutions
    assert exercises >= 10, "nothing was cut"


def test_nothing_refers_to_what_a_solution_held(copy: Path) -> None:
    labels, referred = set(), set()
    for path in pages(copy):
        prose, glued = text(path), set()
        labels |= set(re.findall(r"^\s*:(?:name|label): *(\S+)", prose, re.M))
        labels |= set(re.findall(r"^\(([\w-]+)\)=", prose, re.M))
        labels |= set(re.findall(r"\$\$ *\(([\w-]+)\)", prose))
        if path.suffix == ".ipynb":
            for cell in nbformat.read(path, as_version=4).cells:
                labels.add(cell.metadata.get("mystnb", {}).get("figure", {}).get("name"))
                for output in cell.get("outputs", []):
                    glued.add(output.get("metadata", {}).get("scrapbook", {}).get("name"))
        missing = set(re.findall(r"\{glue:\w+\}`([^`]+)`", prose)) - glued
        assert not missing, f"{path.name}: computed only in a solution: {missing}"
        roles = re.findall(r"\{(?:numref|ref|eq)\}`(?:[^`<]*<)?([^`>]+)>?`", prose)
        referred |= {(path.name, label) for label in roles}
    loose = {(page, label) for page, label in referred if label not in labels}
    assert not loose, f"defined only in a solution: {loose}"
