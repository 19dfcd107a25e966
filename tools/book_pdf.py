"""Print the built book as one PDF: ``python tools/book_pdf.py SITE FILE``.

A Chromium prints page after page, in the book's order and numbered through; pypdf joins them. Links
from page to page, which point to files of the site, become links inside the PDF, and the headings
become its outline. Folded answers stand at the end of their chapter.
"""

import io
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag

import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Error, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    Fit,
    FloatObject,
    NameObject,
    NullObject,
    NumberObject,
    TextStringObject,
)

if __package__:
    from tools import chromium
else:
    import chromium

ROOT = Path(__file__).resolve().parents[1]
TOP = 842.0  # points: the height of A4
SCRIPT = Path(__file__).with_suffix(".js")
PATIENCE = 120_000  # milliseconds; a busy machine may take some for a page
PAPER = """@page { size: A4; margin: 20mm 18mm 18mm;
  @top-left { content: "%s"; font: 8.5pt sans-serif; color: #555; }
  @bottom-right { content: counter(page); font: 9pt sans-serif; color: #333; } }
:root { counter-reset: page %d; }"""
COVER = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
@page {{ size: A4; margin: 22mm 20mm; }}
body {{ font: 11pt/1.45 system-ui, sans-serif; color: #1d2630; }}
h1 {{ margin: 45mm 0 4mm; font-size: 34pt; line-height: 1.1; color: #1b5e93; }}
img {{ width: 100%; margin: 18mm 0; }} h2 {{ break-before: page; margin: 0 0 4mm; }}
h3 {{ margin: 5mm 0 1mm; font-size: 11pt; color: #48566b; break-after: avoid; }}
ol {{ margin: 0; padding: 0; list-style: none; }}
li a {{ display: flex; gap: 1em; color: inherit; text-decoration: none; }}
li span {{ margin-left: auto; }}
</style><h1>{title}</h1><p>{author}</p><img src="{picture}" alt="">
<p>{edition}</p><h2>Contents</h2>{contents}"""


class Chapter(NamedTuple):
    """A page of the site; ``part`` is the caption of its part, empty for the book's first page."""

    part: str
    path: Path


class Link(NamedTuple):
    """A link on paper: page of the PDF, its rectangle there, and the address it shows."""

    page: int
    box: list[float]
    address: str


class Printed(NamedTuple):
    """A printed page of the site: its pages, links, headings and where its anchors are.

    ``headings`` are (level, title, page, height); ``anchors`` map a name to (page, height). Pages
    count from 0, heights in points from the bottom.
    """

    reader: PdfReader
    links: list[Link]
    headings: list[tuple[int, str, int, float]]
    anchors: dict[str, tuple[int, float]]


def chapters(site: Path, source: Path = ROOT) -> list[Chapter]:
    """The pages of the book in its order.

    Raises:
        FileNotFoundError: If the site lacks one.
    """
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    found = [Chapter("", site / f"{toc['root']}.html")]
    for part in toc["parts"]:
        found += [Chapter(part["caption"], site / f"{c['file']}.html") for c in part["chapters"]]
    for chapter in found:
        if not chapter.path.is_file():
            raise FileNotFoundError(
                f"the built book has no {chapter.path}; build it with 'run.py book'"
            )
    return found


def wanted_anchors(pages: list[Path]) -> dict[str, set[str]]:
    """For the address of each page, the anchors in it that links of any page point to."""
    wanted: dict[str, set[str]] = {page.as_uri(): set() for page in pages}
    for page in pages:
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for link in soup.select("article a[href]"):
            path, anchor = urldefrag(link["href"])
            target = (page.parent / unquote(path)).resolve() if path else page
            if ":" not in path and anchor and target.as_uri() in wanted:
                wanted[target.as_uri()].add(unquote(anchor))
    return wanted


def print_page(page: Page, address: str, anchors: set[str], first: int) -> Printed:
    """Print a page of the site, whose first sheet gets the number ``first``, and take it apart."""
    page.goto(address, wait_until="load")
    found = page.evaluate(SCRIPT.read_text(encoding="utf-8"), sorted(anchors))
    title = found[0][1].replace("\\", "\\\\").replace('"', '\\"')
    page.add_style_tag(content=PAPER % (title, first - 1))
    reader = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    links = list(take_links(reader, address))
    places = {
        unquote(name.lstrip("/")): (reader.get_destination_page_number(place), float(place.top))
        for name, place in reader.named_destinations.items()
    }
    headings = [(level, title, *places[anchor]) for level, title, anchor in found]
    return Printed(reader, links, headings, places)


def take_links(reader: PdfReader, address: str) -> Iterator[Link]:
    """Take all links off the pages; those inside the page are told by its own address."""
    for number, sheet in enumerate(reader.pages):
        for entry in sheet.pop("/Annots", []):
            note = entry.get_object()
            box = [float(edge) for edge in note["/Rect"]]
            if "/Dest" in note:
                yield Link(number, box, f"{address}#{str(note['/Dest']).lstrip('/')}")
            elif "/URI" in note.get("/A", {}):
                yield Link(number, box, str(note["/A"]["/URI"]))


def contents(printed: dict[Chapter, Printed]) -> str:
    """The table of contents as HTML, with the numbers of the pages."""
    parts, lines, number = set(), [], 1
    for chapter, pages in printed.items():
        if chapter.part not in parts:
            parts.add(chapter.part)
            heading = f"<h3>{escape(chapter.part)}</h3>" if chapter.part else ""
            lines.append(f"{'</ol>' if len(parts) > 1 else ''}{heading}<ol>")
        title = escape(pages.headings[0][1])
        link = f'<a href="{chapter.path.as_uri()}">{title} <span>{number}</span></a>'
        lines.append(f"<li>{link}</li>")
        number += len(pages.reader.pages)
    return "\n".join([*lines, "</ol>"])


def cover(page: Page, printed: dict[Chapter, Printed]) -> PdfReader:
    """Title page and contents, whose links are addresses of the site's pages."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    text = COVER.format(
        title=escape(config["title"]),
        author=escape(config["author"]),
        picture=(ROOT / "imgs" / "task.svg").as_uri(),
        edition=f"Version {cited['version']}, {config['copyright']}",
        contents=contents(printed),
    )
    # a file, since a page that was set as text may not link to files or show them
    place = next(iter(printed)).path.with_name(".cover.html")
    place.write_text(text, encoding="utf-8")
    try:
        page.goto(place.as_uri(), wait_until="load")
        return PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    finally:
        place.unlink()


class Binder:
    """Collects printed pages in one document; ``starts`` are the first sheets by address."""

    def __init__(self, front: PdfReader, printed: dict[Chapter, Printed]) -> None:
        self.writer, self.printed = PdfWriter(), printed
        self.starts: dict[str, tuple[int, Printed]] = {}
        self.links = list(take_links(front, ""))
        self.writer.append(front, import_outline=False)
        for chapter, pages in printed.items():
            start = len(self.writer.pages)
            self.starts[chapter.path.as_uri()] = start, pages
            self.links += [link._replace(page=link.page + start) for link in pages.links]
            self.writer.append(pages.reader, import_outline=False)
        for names in ("/Names", "/Dests"):  # of anchors, which pages share
            self.writer.root_object.pop(names, None)
        count = len(front.pages)
        self.writer.set_page_label(0, count - 1, style="/r")
        self.writer.set_page_label(count, len(self.writer.pages) - 1, style="/D", start=1)

    def action(self, address: str) -> DictionaryObject | None:
        """What a link does: go to a place of the book or to an address of the web.

        Returns:
            None for files of the site that are not on paper.
        """
        path, anchor = urldefrag(address)
        if path in self.starts:
            start, pages = self.starts[path]
            sheet, height = pages.anchors.get(unquote(anchor), (0, TOP))
            there = self.writer.pages[start + sheet].indirect_reference
            place = [there, NameObject("/XYZ"), NullObject(), FloatObject(height), NullObject()]
            act = {"/S": NameObject("/GoTo"), "/D": ArrayObject(place)}
        elif path.startswith("file:"):
            return None
        else:
            act = {"/S": NameObject("/URI"), "/URI": TextStringObject(address)}
        return DictionaryObject({NameObject(key): value for key, value in act.items()})

    def add_links(self) -> None:
        """Put back all links that lead somewhere."""
        for link in self.links:
            if (action := self.action(link.address)) is not None:
                note = {
                    "/Type": NameObject("/Annot"),
                    "/Subtype": NameObject("/Link"),
                    "/Border": ArrayObject([NumberObject(0)] * 3),
                    "/Rect": ArrayObject([FloatObject(edge) for edge in link.box]),
                    "/A": action,
                }
                note = DictionaryObject({NameObject(key): value for key, value in note.items()})
                self.writer.add_annotation(page_number=link.page, annotation=note)

    def add_outline(self) -> None:
        """Parts, the chapters in them, and their sections."""
        parts: dict[str, Any] = {"": None}
        for chapter, pages in self.printed.items():
            start, _ = self.starts[chapter.path.as_uri()]
            if chapter.part not in parts:
                parts[chapter.part] = self.writer.add_outline_item(
                    title=chapter.part, page_number=start, bold=True
                )
            above = [parts[chapter.part]]
            for level, title, sheet, height in pages.headings:
                del above[level:]
                item = self.writer.add_outline_item(
                    title=title,
                    page_number=start + sheet,
                    parent=above[-1],
                    fit=Fit.xyz(top=height),
                    is_open=False,
                )
                above.append(item)


def make(site: Path, target: Path, source: Path = ROOT) -> PdfWriter:
    """Print the site into a file; ``source`` has the table of contents.

    Raises:
        FileNotFoundError: If a page or a Chromium is missing.
    """
    program = chromium.find()
    if program is None:
        raise FileNotFoundError(chromium.sentence("the PDF"))
    book = chapters(site.resolve(), source)
    wanted, printed, number = wanted_anchors([c.path for c in book]), {}, 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=chromium.FLAGS)
        page = browser.new_page(color_scheme="light", reduced_motion="reduce")
        page.set_default_timeout(PATIENCE)
        for chapter in book:
            address = chapter.path.as_uri()
            printed[chapter] = print_page(page, address, wanted[address], number)
            count = len(printed[chapter].reader.pages)
            print(f"{chapter.path.stem}: {count} pages", flush=True)
            number += count
        binder = Binder(cover(page, printed), printed)
        browser.close()
    binder.add_links()
    binder.add_outline()
    writer = binder.writer
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.page_mode = "/UseOutlines"
    writer.compress_identical_objects()
    target.parent.mkdir(parents=True, exist_ok=True)
    writer.write(target)
    return writer


if __name__ == "__main__":
    try:
        done = make(Path(sys.argv[1]), Path(sys.argv[2]))
    except (FileNotFoundError, Error) as error:
        raise SystemExit(f"run.py: {error}") from None
    print(f"{len(done.pages)} pages")
