"""The book's source (citations, exercises, figures, stored outputs) and its built site, if any."""

import importlib
import importlib.util
import json
import re
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from pybtex.database import parse_file
from sphinx.cmd.build import build_main
from sphinx.environment import BuildEnvironment
from sphinx.util.inventory import InventoryFile

from ippy import paths, report

ROOT = Path(__file__).resolve().parents[1]
BOOK, SITE = ROOT / "book", ROOT / "_build" / "html"
DRAWING = ROOT / "tools" / "drawing"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
PAGES = sorted([*BOOK.glob("*.md"), *NOTEBOOKS])

REQUIRED_WORKS = """
    he2016deep zhang2017beyond kim2016accurate ronneberger2015unet cicek2016unet oktay2018attention
    zhou2018unet zhou2020unet zhang2018road jin2017deep ye2018deep han2018framing ongie2020deep
    arridge2019solving chambolle2011first araujo2019computing luo2016understanding
    loos2024demystifying mccollough2020low moen2021low nah2017deep wang2004image kingma2015adam
    lecun1998gradient mohan2020robust achddou2021synthetic achddou2023fully evangelista2025stable
    genzel2023solving antun2020instabilities gottschling2025troublesome veit2016residual
    balduzzi2017shattered li2018visualizing odena2016deconvolution isensee2024nnunet
"""

DEBRIS = {
    "an absolute path": r"(?<![\w.:/])/(?:home|Users|root|work|tmp|opt|var|mnt)/|\b[A-Z]:\\",
    "a progress bar": r"\d%\|| ?\[\d+:\d\d<|\d(?:it/s|s/it)\b|\r(?!\n)",
    "a warning": r"\w*Warning\b|\bWARNING\b",
    "a traceback": r"Traceback \(most recent call last\)",
    "a memory address": r"\bat 0x[0-9a-fA-F]{6,}",
}
DIRECTIVE = re.compile(r"^(?:`{3,}|:{3,})\{([\w-]+)\}[ \t]*(.*)\n((?:[ \t]*:[\w-]+:.*\n?)*)", re.M)
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)


def cells(path: Path, kind: str) -> list:
    """The non-empty cells of a notebook that are of a kind, 'code' or 'markdown'."""
    notebook = nbformat.read(path, as_version=4)
    return [c for c in notebook.cells if c.cell_type == kind and c.source.strip()]


def prose(path: Path) -> str:
    """The text of a page, without its code cells."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(c.source for c in cells(path, "markdown"))


def directives(path: Path, *names: str) -> list[tuple[str, str, dict[str, str]]]:
    """Name, argument and options of the directives that bear one of the names."""
    found = []
    for name, argument, block in DIRECTIVE.findall(prose(path)):
        if name in names:
            options = dict(re.findall(r"^[ \t]*:([\w-]+):[ \t]*(.*?)[ \t]*$", block, re.M))
            found.append((name, argument.strip(), options))
    return found


def output_texts(cell: nbformat.NotebookNode) -> list[str]:
    """Everything in a cell's outputs that a reader would see as text."""
    texts = [o.get("text", "") for o in cell.outputs]
    for output in cell.outputs:
        texts += [
            v for k, v in output.get("data", {}).items() if isinstance(v, str) and "image/" not in k
        ]
    return texts


def assert_alt(alt: str, where: str) -> None:
    """An alternative text is a description, not a file name."""
    assert len(alt) >= 15 and " " in alt.strip(), f"{where}: say in alt what is to be seen: {alt!r}"
    assert not re.search(r"\.(png|svg|jpe?g)\b|^[0-9a-f]{16,}", alt), f"{where}: file name as alt"


def load(path: Path) -> ModuleType:
    """Import a Python file that is not part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_contents_list_every_page_once() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    assert len(listed) == len(set(listed))
    assert {f"book/{p.stem}" for p in PAGES} == set(listed)


def test_bibliography_is_complete() -> None:
    works = parse_file(BOOK / "references.bib").entries
    assert set(REQUIRED_WORKS.split()) <= set(works)
    for key, work in works.items():
        venue = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}
        venue["book"] = "publisher"
        assert work.type in venue, f"{key}: unexpected type @{work.type}"
        assert re.fullmatch(r"[a-z]+(19|20)\d\d[a-z]+", key), f"{key}: keys are author, year, word"
        assert work.persons.get("author"), f"{key}: no author"
        for field in ("title", "year", venue[work.type]):
            assert work.fields.get(field), f"{key}: no {field}"
        assert work.fields["year"] in key, f"{key}: key and year differ"
        identified = {"pages", "doi", "eprint", "url"} & set(work.fields)
        assert identified, f"{key}: neither pages nor identifier"
        if work.type == "inproceedings":
            assert {"publisher", "series", "eprint"} & set(work.fields), f"{key}: no publisher"
        assert not work.fields.get("doi", "").startswith("http"), f"{key}: the DOI alone"


def test_every_reference_is_cited() -> None:
    cited = set()
    for path in PAGES:
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", prose(path)):
            cited |= {key.strip() for key in keys.split(",")}
    uncited = set(parse_file(BOOK / "references.bib").entries) - cited
    assert not uncited, f"cited nowhere: {', '.join(sorted(uncited))}"


@each_page
def test_citations_resolve(path: Path) -> None:
    known = parse_file(BOOK / "references.bib").entries
    for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", prose(path)):
        for key in keys.split(","):
            assert key.strip() in known, f"{key.strip()!r} is not in references.bib"


LABEL = re.compile(r"^\(([\w-]+)\)=|^:(?:label|name): ([\w-]+)|\$\$ \(([\w-]+)\)", re.M)


def test_every_label_stands_once_in_the_book() -> None:
    found: Counter[str] = Counter()
    for path in PAGES:
        found.update(next(filter(None, groups)) for groups in LABEL.findall(prose(path)))
        if path.suffix == ".ipynb":
            named = (cell.metadata.get("mystnb", {}).get("figure") for cell in cells(path, "code"))
            found.update(figure["name"] for figure in named if figure)
    assert {"sec-unet-dead", "eq-unet-cost", "fig-unet", "ex-unet-idea"} <= set(found)
    assert [label for label, times in found.items() if times > 1] == []


@each_page
def test_every_figure_is_named_and_referred_to(path: Path) -> None:
    names = [options.get("name") for _, _, options in directives(path, "figure")]
    if path.suffix == ".ipynb":
        figures = [c.metadata.get("mystnb", {}).get("figure") for c in cells(path, "code")]
        names += [figure.get("name") for figure in figures if figure is not None]
    assert None not in names, "a figure without a name"
    assert len(names) == len(set(names)), "two figures of one name"
    referred = set(re.findall(r"\{numref\}`(?:[^`<]*<)?([^`>]+)>?`", prose(path)))
    assert set(names) <= referred, f"no numref to {', '.join(sorted(set(names) - referred))}"


@each_page
def test_every_exercise_has_one_folded_solution(path: Path) -> None:
    exercises = [o.get("label") for _, _, o in directives(path, "exercise", "exercise-start")]
    solutions = directives(path, "solution", "solution-start")
    assert None not in exercises, "an exercise without :label:"
    assert sorted(exercises) == sorted(argument for _, argument, _ in solutions)
    for _, argument, options in solutions:
        assert options.get("class") == "dropdown", f"the solution of {argument} is not folded"
    for gate in ("exercise", "solution"):
        assert len(directives(path, f"{gate}-start")) == len(directives(path, f"{gate}-end"))


def selfchecks(path: Path) -> list[str]:
    """The contents of a page's self-check boxes."""
    box = r"^(:{4,})\{admonition\}[^\n]*\n:class: selfcheck\n(.*?)^\1[ \t]*$"
    return [content for _, content in re.findall(box, prose(path), re.M | re.S)]


@each_page
def test_self_checks_are_well_formed(path: Path) -> None:
    boxes = selfchecks(path)
    assert len(boxes) == len(re.findall(r"^:class:.*\bselfcheck\b", prose(path), re.M))
    for box in boxes:
        question, _, answer = box.partition(":::{dropdown} Answer\n")
        numbers = [int(n) for n in re.findall(r"^(\d+)\. \S", question, re.M)]
        assert question.strip() and not re.match(r"\d+\.", question.strip()), f"no question: {box}"
        assert len(numbers) >= 2 and numbers == list(range(1, len(numbers) + 1)), box
        right = re.match(r"\*\*(\d+)\.\*\* \S", answer)
        assert right and int(right[1]) in numbers, f"the answer begins with **number.**: {box}"
        assert answer.rstrip().endswith("\n:::"), f"the answer is not closed: {box}"


def test_there_are_ten_self_checks() -> None:
    assert sum(len(selfchecks(path)) for path in PAGES) >= 10


def labels(path: Path) -> list[str]:
    """The labels that a page defines: of sections, exercises, formulas and figures."""
    text = prose(path)
    found = re.findall(r"^[ \t]*:(?:name|label):[ \t]*(\S+)", text, re.M)
    found += re.findall(r"^\(([\w-]+)\)=", text, re.M)
    found += re.findall(r"\$\$[ \t]*\(([\w-]+)\)", text)
    if path.suffix == ".ipynb":
        figures = [c.metadata.get("mystnb", {}).get("figure", {}) for c in cells(path, "code")]
        found += [figure["name"] for figure in figures if "name" in figure]
    return found


def test_labels_are_unique_over_the_book() -> None:
    count = Counter(label for path in PAGES for label in labels(path))
    assert len(count) > 100
    twice = {label: n for label, n in count.items() if n > 1}
    assert not twice, f"a reference would be ambiguous: {twice}"


@each_page
def test_pictures_in_text_are_described(path: Path) -> None:
    for name, argument, options in directives(path, "figure", "image"):
        assert_alt(options.get("alt", ""), f"{name} {argument}")
        assert (path.parent / argument).exists(), f"{argument} does not exist"
    for name, _, options in directives(path, "card", "grid-item-card"):
        for image in ("img-top", "img-bottom", "img-background"):
            if image in options:
                assert_alt(options.get("img-alt", ""), f"{name} {options[image]}")
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose(path)):
        assert_alt(alt, target)


@each_notebook
def test_pictures_from_code_are_described(path: Path) -> None:
    for cell in cells(path, "code"):
        render = cell.metadata.get("mystnb", {})
        where = f"cell {cell.execution_count}"
        if any(k.startswith("image/") for o in cell.outputs for k in o.get("data", {})):
            assert_alt(render.get("image", {}).get("alt", ""), where)
        if "figure" in render:
            assert len(cell.outputs) == 1, f"{where}: a figure's cell has one output"
            assert render["figure"].get("caption"), f"{where}: a figure without caption"


@each_notebook
def test_code_cells_are_short(path: Path) -> None:
    lengths = [len(c.source.splitlines()) for c in cells(path, "code")]
    assert max(lengths, default=0) <= 40, f"longest cell: {max(lengths)} lines"
    assert statistics.median(lengths or [0]) <= 10, f"median: {statistics.median(lengths)} lines"


@each_notebook
def test_notebook_was_run_once_from_top_to_bottom(path: Path) -> None:
    counts = [c.execution_count for c in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_stored_outputs_are_clean(path: Path) -> None:
    for cell in cells(path, "code"):
        where = f"cell {cell.execution_count}"
        for output in cell.outputs:
            assert output.output_type != "error", f"{where}: {output.get('ename')}"
            assert output.get("name") != "stderr", f"{where} wrote to stderr: {output.get('text')}"
        for text in output_texts(cell):
            for what, pattern in DEBRIS.items():
                found = re.search(pattern, text)
                assert not found, f"{where}: {what} in the output: {found and found[0]!r}"


@each_notebook
def test_only_live_training_escapes_comparison(path: Path) -> None:
    trains = {"backward"}  # and every function of the notebook that does
    for cell in cells(path, "code"):
        if "backward" in cell.source:
            trains |= set(re.findall(r"^def (\w+)\(", cell.source, re.M))
    for cell in cells(path, "code"):
        tags = set(cell.metadata.get("tags", []))
        assert not {"nbval-skip", "raises-exception"} & tags
        if "nbval-ignore-output" in tags:
            assert trains & set(re.findall(r"(\w+)\(", cell.source)), "it does not train"


@each_notebook
def test_notebook_file_is_small_and_names_its_language(path: Path) -> None:
    assert path.stat().st_size < 1.5e6
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.get("language_info", {}).get("pygments_lexer") == "ipython3"


def test_every_dependency_has_its_line() -> None:
    page = (BOOK / "dependencies.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"^\| ([^|]+) \|", page, re.M))))
    needed = re.findall(r"^([\w-]+)[>=]", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
    web = json.loads((BOOK / "_web" / "package.json").read_text(encoding="utf-8"))
    needed += [*web["dependencies"], *web["devDependencies"]]
    assert len(needed) > 20 and set(needed) <= listed, set(needed) - listed
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    for name in re.findall(r"^([\w-]+)[>=]", (ROOT / "requirements.txt").read_text("utf-8"), re.M):
        assert f"{name}==" in pinned, f"{name} has no tested version"


def test_importing_the_library_only_defines() -> None:
    code = """
import random, numpy, torch
state = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
threads, kind = torch.get_num_threads(), torch.get_default_dtype()
import pkgutil, importlib, sys, ippy
for module in pkgutil.walk_packages(ippy.__path__, 'ippy.'):
    importlib.import_module(module.name)
assert state[0] == random.getstate() and state[2] == torch.get_rng_state().tolist()
assert state[1] == numpy.random.get_state()[1].tolist()
assert (threads, kind) == (torch.get_num_threads(), torch.get_default_dtype())
late = {"torchmetrics", "pytorch_optimizer", "accelerate"} & set(sys.modules)
assert not late, f"they take as long as all the rest, and few programs need them: {late}"
"""
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_workflow_pins_its_actions_and_asks_for_little() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["test"]
    assert workflow["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    actions = [s["uses"] for job in workflow["jobs"].values() for s in job["steps"] if "uses" in s]
    assert len(actions) >= 4
    for action in actions:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action), f"not pinned: {action}"


def test_drawings_are_what_the_code_draws(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(DRAWING)
    diagrams = load(DRAWING / "diagrams.py")
    diagrams.main(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(diagrams.DRAWINGS)
    for name in diagrams.DRAWINGS:
        drawn = (tmp_path / name).read_bytes()
        stored = (ROOT / "imgs" / name).read_bytes().replace(b"\r\n", b"\n")
        assert drawn == stored, f"{name} is stale: run python tools/drawing/diagrams.py"
        svg = ET.fromstring(drawn)
        assert svg.get("viewBox"), name
        for tag in ("title", "desc"):
            assert svg.findtext(f"{{http://www.w3.org/2000/svg}}{tag}"), f"{name} has no {tag}"


def test_moving_pictures_are_what_the_code_draws(monkeypatch) -> None:
    monkeypatch.syspath_prepend(DRAWING)
    moving = load(DRAWING / "moving.py")
    for name, draw in moving.MOVING.items():
        stored = (ROOT / "imgs" / name).read_text("utf-8")
        if draw is not moving.inverse_filter:  # its weights are computed, and rounded
            assert draw() == stored, f"{name} is stale: run python tools/drawing/moving.py"


@pytest.mark.parametrize(
    "name", ["convolution.svg", "front.svg", "inverse_filter.svg", "pixel_layers.svg"]
)
def test_moving_pictures_are_light_and_can_stand_still(name: str) -> None:
    stored = (ROOT / "imgs" / name).read_text("utf-8")
    assert len(stored) < 100_000, f"{name} is heavy"
    svg = ET.fromstring(stored)
    for tag in ("title", "desc"):
        assert svg.findtext(f"{{http://www.w3.org/2000/svg}}{tag}"), f"{name} has no {tag}"
    # nothing moves for those who asked for that, on paper, or behind #still
    before, _, after = stored.partition("@media screen and (prefers-reduced-motion: no-pref")
    assert "animation" not in before and "#still:not(:target)" in after
    figures = [figure for path in PAGES for figure in directives(path, "figure")]
    shown = [options for _, target, options in figures if target == f"../imgs/{name}"]
    assert len(shown) == 1 and "moving" in shown[0].get("figclass", "").split(), (
        f"{name} has no button to stop it"
    )


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/someone/book.git\n", "https://github.com/someone/book"),
        ("https://name:secret@github.com/someone/book", "https://github.com/someone/book"),
        ("git@gitlab.com:someone/book.git", "https://gitlab.com/someone/book"),
        ("ssh://git@github.com/someone/book.git", "https://github.com/someone/book"),
        ("http://localhost/someone/book.git", None),
        ("https://git.intern.example/someone/book.git", None),
        ("/srv/git/book.git", None),
        ("", None),
    ],
)
def test_buttons_follow_public_remotes_only(remote: str, page: str | None) -> None:
    pytest.importorskip("sphinx")
    assert load(BOOK / "_ext" / "book_frame.py").public_url(remote) == page


def test_frame_needs_neither_git_nor_repository(tmp_path: Path, monkeypatch) -> None:
    frame = load(BOOK / "_ext" / "book_frame.py")
    assert frame.git_remote(tmp_path) == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert frame.git_remote(ROOT) == ""


def test_drawings_of_the_site_bring_their_fonts(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    frame = load(BOOK / "_ext" / "book_frame.py")
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(imagedir="_images"))
    shutil.copytree(BOOK / "_static" / "fonts", tmp_path / "_static" / "fonts")
    shutil.copytree(ROOT / "imgs", tmp_path / "_images", ignore=shutil.ignore_patterns("*.png"))
    frame.add_fonts(app, None)
    drawings = {path: path.read_text("utf-8") for path in (tmp_path / "_images").glob("*.svg")}
    for path, text in drawings.items():
        ET.fromstring(text)
        faces = re.findall(r"@font-face { font-family: (\w+)", text)
        named = "<text" in (ROOT / "imgs" / path.name).read_text("utf-8")
        assert faces == (["Inter", "Literata", "Literata"] if named else []), path.name
    frame.add_fonts(app, None)  # a second build adds nothing
    assert drawings == {path: path.read_text("utf-8") for path in drawings}


@pytest.fixture(scope="module")
def api() -> ModuleType:
    """The extension behind the API reference."""
    return load(BOOK / "_ext" / "book_api.py")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("ippy.operators.Blurring", "ippy.operators.Blurring"),
        ("operators.Blurring((256, 256))", "ippy.operators.Blurring"),
        ("SimpleUNet", "ippy.models.SimpleUNet"),
        ("rf.effective", "ippy.receptive_field.effective"),
        ("load_or_train(key)", "ippy.training.load_or_train"),
        ("Operator.T", "ippy.operators.Operator.T"),
        ("linear.best_linear", "ippy.studies.linear.best_linear"),
        ("ippy.metrics", "ippy.metrics"),
        ("result", None),  # a word
        ("T", None),  # a method without its class
        ("K.T(y)", None),
        ("KINDS", None),  # two of them
        ("UNet", None),  # the end of a name is not the name
        ("torch.nn.Conv2d", None),
        ("x + SimpleUNet", None),
        ("python -m ippy train UNet", None),
    ],
)
def test_inline_code_finds_its_entry(api: ModuleType, code: str, name: str | None) -> None:
    kinds = {
        "ippy.metrics": "module",
        "ippy.operators.Blurring": "class",
        "ippy.operators.Operator.T": "property",
        "ippy.models.SimpleUNet": "class",
        "ippy.receptive_field.effective": "function",
        "ippy.training.load_or_train": "function",
        "ippy.studies.result": "function",
        "ippy.studies.linear.best_linear": "function",
        "ippy.datasets.KINDS": "data",
        "ippy.studies.depth.KINDS": "data",
    }
    assert api.find(code, kinds) == name


def test_text_links_to_the_reference_and_headings_do_not(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(BOOK / "_ext")
    (tmp_path / "book").mkdir()
    (tmp_path / "conf.py").write_text("extensions = ['book_api']\n", encoding="utf-8")
    entries = ".. py:function:: pack.one.some_name(x)\n\n   About ``some_name``.\n"
    (tmp_path / "book" / "api.rst").write_text(f":orphan:\n\nAPI\n===\n\n{entries}", "utf-8")
    page = "Head ``some_name``\n==================\n\n"
    page += "``one.some_name(2)``, ``other_name``, :py:func:`pack.one.some_name`\n"
    (tmp_path / "index.rst").write_text(page, encoding="utf-8")
    options = ["-q", "-b", "html", str(tmp_path), str(tmp_path / "out")]
    assert build_main(options) == 0
    body = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<a [^>]*><a ", body), "a link in a link"
    links = re.findall(r'<a class="reference internal" href="(book/api.html#[^"]+)"[^>]*>', body)
    assert links == ["book/api.html#pack.one.some_name"] * 2  # the transform's and the role's
    assert re.search(r'pack.one.some_name"><code[^>]*><span class="pre">one.some_name', body)
    reference = (tmp_path / "out" / "book" / "api.html").read_text(encoding="utf-8")
    assert "About <code" in reference, "a link from the reference to itself"


def test_numbered_references_read_a_page_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(BOOK / "_ext")
    (tmp_path / "conf.py").write_text("extensions = ['book_numbers']\nnumfig = True\n", "utf-8")
    tables = [f".. list-table:: Table\n   :name: t{n}\n\n   * - {n}\n\n" for n in range(1, 4)]
    (tmp_path / "tables.rst").write_text("Tables\n======\n\n" + "".join(tables), "utf-8")
    page = "Index\n=====\n\n.. toctree::\n\n   tables\n\n:numref:`t3` :numref:`t1` :numref:`t2`\n"
    (tmp_path / "index.rst").write_text(page, encoding="utf-8")
    read, get_doctree = [], BuildEnvironment.get_doctree

    def spy(env: BuildEnvironment, page: str) -> object:
        read.append(page)
        return get_doctree(env, page)

    monkeypatch.setattr(BuildEnvironment, "get_doctree", spy)
    assert build_main(["-q", "-b", "html", str(tmp_path), str(tmp_path / "out")]) == 0
    body = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'tables.html#(t\d)"[^>]*><span[^>]*>Table (\d)', body) == [
        ("t3", "3"),
        ("t1", "1"),
        ("t2", "2"),
    ]
    assert read.count("tables") == 2, "once for its own page, once for all references"


def test_formulas_of_docstrings_become_roles(api: ModuleType) -> None:
    lines = [r"Noise $e$ with $\|e\|_2 =", r"c\|y\|_2$ and :math:`K`.", "", "It costs 5$ or 6 $."]
    api.typeset(None, "function", "f", None, None, lines)
    assert lines == [
        r"Noise :math:`e` with :math:`\|e\|_2 = c\|y\|_2` and :math:`K`.",
        "",
        "It costs 5$ or 6 $.",
    ]


def test_reference_has_every_public_name() -> None:
    if not (SITE / "objects.inv").exists():
        pytest.skip("no built site: run 'python run.py book' first")
    with (SITE / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    entries = {name for kind, found in inventory.items() if kind[:3] == "py:" for name in found}
    modules = re.findall(r"automodule:: (\S+)", (BOOK / "api.md").read_text(encoding="utf-8"))
    assert len(modules) >= 13
    for module in map(importlib.import_module, modules):
        for name in module.__all__:
            if callable(getattr(module, name)):  # a constant is shown if a comment explains it
                assert f"{module.__name__}.{name}" in entries
    page = (SITE / "book" / "api.html").read_text(encoding="utf-8")
    page = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert "math notranslate" in page
    assert "$" not in page, "a formula that is not typeset"


def test_reference_has_every_module() -> None:
    page = (BOOK / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"automodule:: (\S+)", page)
    assert len(listed) == len(set(listed))
    package = ROOT / "ippy"
    found = {f"ippy.{path.stem}" for path in package.glob("*.py")}
    found |= {f"ippy.{path.parent.name}" for path in package.glob("*/__init__.py")}
    found |= {f"ippy.studies.{path.stem}" for path in (package / "studies").glob("*.py")}
    # pictures, the command line, what studies keep in memory; names of other modules
    found -= {"ippy.__init__", "ippy.studies.__init__", "ippy.samples", "ippy.__main__"}
    found -= {"ippy.studies.shared", "ippy.utilities", "ippy.first_edition"}
    assert found <= set(listed), found - set(listed)
    assert "`ippy.utilities`" in page


def test_table_of_weights_is_that_of_the_cards() -> None:
    stored = (paths.WEIGHTS / "README.md").read_text(encoding="utf-8")
    assert stored == report.weights_table(), "renew it: python -m ippy weights table"


class Resources(HTMLParser):
    """Collects what a page loads, and its pictures without alt."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.without_alt: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        source = "href" if tag == "link" else "src"
        if tag in ("script", "link", "img", "iframe", "source") and values.get(source):
            self.urls.append(values[source])
        if tag == "img" and "alt" not in values:
            self.without_alt.append(values.get("src", ""))


def test_site_loads_nothing_from_elsewhere() -> None:
    if not (SITE / "index.html").exists():
        pytest.skip("no built site: run 'python run.py book' first")
    pages = [p for p in SITE.rglob("*.html") if "_static" not in p.parts]
    assert len(pages) > len(PAGES), "the site has fewer pages than the book"
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found = Resources()
        found.feed(text)
        assert not found.without_alt, f"{page.name}: pictures without alt {found.without_alt}"
        assert "<p>| " not in text, f"{page.name}: a table shown as text"
        for url in found.urls:
            parts = urlsplit(url)
            assert parts.scheme in ("", "data") and not parts.netloc, f"{page.name} loads {url}"
            if not parts.scheme:
                assert (page.parent / unquote(parts.path)).exists(), f"{page.name}: no {url}"
        assert "thebe" not in text, f"{page.name} still speaks of thebe"
    assert (SITE / "_static" / "mathjax" / "tex-mml-chtml.js").stat().st_size > 1e6
    assert any((SITE / "_static" / "mathjax" / "output" / "chtml" / "fonts").rglob("*.woff"))
