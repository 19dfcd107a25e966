"""Local Sphinx extension: slides of every chapter, made of its page, shown by reveal.js.

The cells of a notebook say in their metadata (``slideshow.slide_type``, edited in JupyterLab) what
becomes of them: ``slide`` and ``subslide`` (begin one), ``fragment`` (appears on a key), ``-``
(goes on), ``notes`` or ``skip``. On the slides stand headings, lists, formulas, boxes, figures and
tables; running text becomes the speaker's notes (key S). Code stands there where it defines
something, or where its cell is marked ``slide``, ``subslide`` or ``fragment``; a figure stands
without its code; of a story the first paragraph, the others are for the speaker. What is too high
for one slide goes on to the next (slides.js).
"""

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

from book_lab import npm_packages
from bs4 import BeautifulSoup, Tag
from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.application import Sphinx
from sphinx.util import logging

MARK = "from-cell-"
DEFINITION = re.compile(r"^(?:class|def) \w+", re.M)
LEFT_OUT = ("Exercises", "Further reading")  # sections for the desk
ASIDE = {"solution", "prerequisites"}  # boxes for the desk
REVEAL = ("dist/reveal.css", "dist/reset.css", "dist/reveal.js", "plugin/notes/notes.js")
CODE_LINES = 24  # as many fit below a heading in the smallest type that a hall can read
SHOWN = {"slide", "subslide", "fragment"}  # cells so marked keep their code
LEXER, PLAIN = PythonLexer(), HtmlFormatter(nowrap=True)
PAGE = """<!doctype html>
<html lang="en" data-theme="light" data-content_root="../"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="icon" href="../_static/logo.svg">
<link rel="stylesheet" href="reveal/reset.css"><link rel="stylesheet" href="reveal/reveal.css">
<link rel="stylesheet" href="../_static/pygments.css">
<link rel="stylesheet" href="../_static/look.css">
<link rel="stylesheet" href="../_static/custom.css">
<link rel="stylesheet" href="../_static/slides/slides.css">
<script>window.MathJax = {mathjax}</script>
<script defer src="../_static/mathjax/tex-mml-chtml.js"></script>
<script defer src="../_static/frame.js"></script>
</head><body><main><div class="reveal"><div class="slides">
{slides}
</div></div></main>
{facts}
<script src="reveal/reveal.js"></script><script src="reveal/notes.js"></script>
<script src="../_static/slides/slides.js"></script>
</body></html>
"""
logger = logging.getLogger(__name__)


def mark(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Leave at every block the number of the notebook's cell that it comes from."""
    if not hasattr(app, "slides") or Path(app.env.doc2path(page)).suffix != ".ipynb":
        return
    for section in [doctree, *doctree.findall(nodes.section)]:
        for block in section.children:
            # MyST-NB numbers the lines of cell k from 10,000 (k + 1).
            if isinstance(block, nodes.Element) and block.line and "classes" in block:
                block["classes"].append(f"{MARK}{block.line // 10_000 - 1}")


def slide_types(notebook: Path) -> list[str]:
    """What becomes of each cell; a cell without metadata goes on with the slide before it."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell["metadata"].get("slideshow", {}).get("slide_type", "-") for cell in cells]


class Deck:
    """Collects stacks of slides, a stack for each section; a slide is its blocks and its notes."""

    def __init__(self, types: list[str]) -> None:
        self.types, self.stacks, self.heading = types, [], ""

    def begin(self, stack: bool = False) -> dict:
        """A new slide, below the last one or beside it."""
        slide = {"heading": self.heading, "blocks": [], "notes": []}
        if stack or not self.stacks:
            self.stacks.append([])
        self.stacks[-1].append(slide)
        return slide

    def read(self, section: Tag) -> None:
        """Take up a section of the page and those inside it."""
        title = section.find(["h1", "h2", "h3"], recursive=False)
        if title is not None:
            for number in title.select(".section-number"):
                number.decompose()
            name = "".join(t for t in title.find_all(string=True) if t.parent.name != "a").strip()
            if name in LEFT_OUT:
                return
            self.heading = html.escape(name)
            self.begin(stack=title.name != "h3")
        for block in section.find_all(True, recursive=False):
            if block.name == "section":
                self.read(block)
            elif block is not title:
                self.add(block)

    def add(self, block: Tag) -> None:
        """Put a block on a slide, into its notes, or nowhere."""
        classes = block.get("class", [])
        number = next((int(c[len(MARK) :]) for c in classes if c.startswith(MARK)), None)
        kind = "-" if number is None else self.types[number]
        slide = self.stacks[-1][-1]
        if kind == "skip" or block.name in ("span", "script") or ASIDE & set(classes):
            return
        if block.name == "p" or kind == "notes":
            slide["notes"].append(str(block))
            return
        if "story" in classes:
            slide["notes"] += [str(text.extract()) for text in block.find_all("p")[2:]]
        if "cell" in classes:
            block = self.cell(block, kind in SHOWN)
            if block is None:
                return
        large = block.name not in ("ul", "ol") and "math" not in classes
        if kind in ("slide", "subslide") and slide["blocks"] and large or len(slide["blocks"]) > 2:
            slide = self.begin(stack=False)
        if kind == "fragment":
            block["class"] = [*block.get("class", []), "fragment"]
        slide["blocks"].append(str(block))

    @staticmethod
    def cell(block: Tag, shown: bool) -> Tag | None:
        """A cell of code for the projector: its figure, or its output and, where it counts, code.

        Args:
            block: The cell in the page.
            shown: Whether its code stays even if it defines nothing.

        Returns:
            None if nothing of it is for the projector.
        """
        figure = block.find("figure")
        if figure is not None:
            return figure
        for hidden in block.select("details.hide"):
            hidden.decompose()
        code = block.select_one(".cell_input pre")
        if code is not None and not (shown or DEFINITION.search(code.get_text())):
            block.select_one(".cell_input").decompose()
        for pre in block.find_all("pre"):
            cut(pre, is_code=pre.find_parent(class_="cell_input") is not None)
        return block if block.get_text(strip=True) or block.find("img") else None

    def html(self) -> str:
        """All slides as sections inside sections; one without blocks shows its first sentences.

        One that has none of these either is left out.
        """
        stacks = []
        for stack in self.stacks:
            shown = []
            for slide in stack:
                blocks, notes = slide["blocks"], slide["notes"]
                if not blocks:
                    blocks, notes = notes[:1], notes[1:]
                if not blocks:
                    continue
                text = f"<h2>{slide['heading']}</h2>" + "".join(blocks)
                aside = f'<aside class="notes">{"".join(notes)}</aside>' if notes else ""
                shown.append(f"<section>{text}{aside}</section>")
            if shown:
                stacks.append(f"<section>{''.join(shown)}</section>")
        return "\n".join(stacks)


def cut(pre: Tag, is_code: bool) -> None:
    """Put a long listing into pieces of at most ``CODE_LINES``, if possible at empty lines."""
    lines = pre.get_text().rstrip().split("\n")
    if len(lines) <= CODE_LINES:
        return
    while lines:
        end = min(CODE_LINES, len(lines))
        if len(lines) > CODE_LINES:
            gaps = [i for i in range(CODE_LINES // 3, end) if not lines[i].strip()]
            end = gaps[-1] if gaps else end
        text, lines = "\n".join(lines[:end]).strip("\n"), lines[end:]
        piece = highlight(text, LEXER, PLAIN) if is_code else html.escape(text)
        pre.insert_before(BeautifulSoup(f"<pre>{piece}</pre>", "html.parser"))
    pre.decompose()


def title_slide(title: str, book: str, picture: str = "") -> str:
    """The first slide of a deck, which says of what it is and how to go through it.

    Args:
        title: Title of the chapter, HTML.
        book: Title of the book.
        picture: Address of the chapter's picture, if it has one.
    """
    keys = "Space goes on · S opens the notes · O shows all · F fills the screen"
    image = f'<img src="{picture}" alt="">' if picture else ""
    return (
        f'<section><section class="title-slide"><p>{html.escape(book)}</p><h1>{title}</h1>'
        f'{image}<p class="keys">{keys}</p></section></section>\n'
    )


def title_picture(app: Sphinx, name: str) -> str:
    """Copy a chapter's picture on the first page beside the decks; its address, or nothing."""
    picture = Path(app.srcdir) / "imgs" / f"chapter_{name}.png"
    if not picture.is_file():
        return ""
    shutil.copyfile(picture, Path(app.outdir) / "slides" / picture.name)
    return picture.name


def write_slides(app: Sphinx, page: str, template: str, context: dict, doctree: Any) -> None:
    """Make the slides of a chapter from its page, and take the marks off the page."""
    body = context.get("body", "")
    if not hasattr(app, "slides") or MARK not in body:
        return
    context["body"] = re.sub(rf" ?{MARK}\d+", "", body)
    types = slide_types(Path(app.env.doc2path(page)))
    if "slide" not in types:
        return
    soup = BeautifulSoup(body, "html.parser")
    for link in soup.select("a.headerlink, .copybtn"):
        link.decompose()
    for link in soup.find_all("a", href=True):
        if not re.match(r"[a-z]+:", link["href"]):
            here = "" if link["href"].startswith("#") else "../book/"
            link["href"] = here + link["href"] if here else f"../{page}.html{link['href']}"
    name = page.split("/")[-1]
    link = f'<p class="for-screens"><a href="../slides/{name}.html">Slides of this chapter</a></p>'
    context["body"] = context["body"].replace("</h1>", "</h1>" + link, 1)
    deck = Deck(types)
    deck.read(soup.find("section"))
    facts = soup.find(id="lab-facts")
    app.slides[name] = f'<li><a href="{name}.html">{context["title"]}</a></li>'
    text = PAGE.format(
        title=context["title"],
        mathjax=json.dumps(app.config.mathjax3_config).replace("<", "\\u003c"),
        slides=title_slide(context["title"], app.config.project, title_picture(app, name))
        + re.sub(rf" ?{MARK}\d+", "", deck.html()),
        facts=facts or "",
    )
    (Path(app.outdir) / "slides" / f"{name}.html").write_text(text, encoding="utf-8")


def link_decks(app: Sphinx, page: str, template: str, context: dict, doctree: Any) -> None:
    """Name all decks on the page for instructors, below its title."""
    if not hasattr(app, "slides") or page.split("/")[-1] != "instructors":
        return
    links = []
    for chapter in contents(app.env, app.config.root_doc):
        notebook = Path(app.env.doc2path(chapter))
        if notebook.suffix == ".ipynb" and "slide" in slide_types(notebook):
            title = app.env.titles[chapter].astext()
            links.append(
                f'<a href="../slides/{chapter.split("/")[-1]}.html">{html.escape(title)}</a>'
            )
    text = f'<p class="for-screens">Slides: {", ".join(links)}.</p>'
    context["body"] = context["body"].replace("</h1>", "</h1>" + text, 1)


def write_contents(app: Sphinx, error: Exception | None) -> None:
    """A page that lists the slides of all chapters, in the book's order."""
    if error is None and getattr(app, "slides", None):
        pages = [page.split("/")[-1] for page in contents(app.env, app.config.root_doc)]
        links = "".join(app.slides[name] for name in pages if name in app.slides)
        text = PAGE.format(
            title=app.config.project,
            mathjax="{}",
            slides=f'<section><h1>Slides</h1><ul class="decks">{links}</ul></section>',
            facts="",
        )
        (Path(app.outdir) / "slides" / "index.html").write_text(text, encoding="utf-8")


def contents(env: Any, page: str) -> list[str]:
    """A page and those below it, depth first."""
    return [
        page,
        *(p for child in env.toctree_includes.get(page, []) for p in contents(env, child)),
    ]


def prepare(app: Sphinx) -> None:
    """Fetch reveal.js; without it there are no slides, and the build says so."""
    if app.builder.format != "html":
        return
    target = Path(app.outdir) / "slides"
    try:
        source = npm_packages() / "reveal.js"
    except RuntimeError as error:
        logger.info("There are no slides: %s\nRepeat the build with a connection.", error)
        return
    (target / "reveal").mkdir(parents=True, exist_ok=True)
    for name in REVEAL:
        shutil.copyfile(source / name, target / "reveal" / Path(name).name)
    app.slides = {}


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts to Sphinx."""
    app.connect("builder-inited", prepare)
    app.connect("doctree-resolved", mark, priority=900)
    app.connect("html-page-context", write_slides, priority=950)
    app.connect("html-page-context", link_decks, priority=960)
    app.connect("build-finished", write_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
