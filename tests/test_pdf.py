"""``run.py pdf``: a small book on paper, its links, outline and answers; failures in words."""

import importlib.util
from pathlib import Path

import pytest
from conftest import ROOT, browser
from pypdf import PdfReader

from tools import book_pdf, chromium

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>
<link rel="stylesheet" href="print.css" media="print"><article class="bd-article">
<section id="{name}"><h1>{name}<a class="headerlink" href="#{name}">#</a></h1>{text}
</section></article></html>"""
PAGES = {
    "start": '<p><a href="next.html#deep">down</a> <a href="next.html">next</a> '
    '<a href="https://example.org/">web</a> <a href="notes.txt">no page</a></p>'
    '<section id="why"><h2>Why "this"</h2><p><a href="#why">here</a></p></section>',
    "next": '<p>Begin.</p><div style="height: 40cm"></div><section id="deep"><h2>Deep</h2>'
    '<div class="predict admonition"><p class="admonition-title">Predict: one</p><p>Which?</p>'
    "<details><summary>Answer</summary><p>Forty-two.</p></details></div></section>"
    '<div class="solution dropdown"><p class="admonition-title">Solution to Exercise 1</p>'
    "<p>Seven.</p></div>",
}
TOC = "root: start\nparts:\n- caption: A part\n  chapters:\n  - file: next\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """A folder with a site of two pages."""
    folder = tmp_path_factory.mktemp("book")
    for name, text in PAGES.items():
        (folder / f"{name}.html").write_text(PAGE.format(name=name, text=text), encoding="utf-8")
    (folder / "_toc.yml").write_text(TOC, encoding="utf-8")
    style = (ROOT / "book" / "_static" / "print.css").read_text(encoding="utf-8")
    (folder / "print.css").write_text(style, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pdf(book) -> PdfReader:
    """That site as a PDF: title, contents, one sheet of the start, several of the other page."""
    browser()
    book_pdf.make(book, book / "out" / "book.pdf", source=book)
    return PdfReader(book / "out" / "book.pdf")


def sheet_of(pdf: PdfReader, words: str) -> int:
    """The only sheet that holds these words."""
    (found,) = [i for i, sheet in enumerate(pdf.pages) if words in sheet.extract_text()]
    return found


def test_pages_are_in_order_and_numbered_through(pdf) -> None:
    assert sheet_of(pdf, "here") == 2 < sheet_of(pdf, "Begin.") == 3 < sheet_of(pdf, "Which?")
    count = len(pdf.pages)
    assert pdf.page_labels == ["i", "ii", *(str(n + 1) for n in range(count - 2))]
    for number, sheet in enumerate(list(pdf.pages)[2:], 1):
        assert str(number) in sheet.extract_text().split("\n"), "no number on the sheet"
    lines = pdf.pages[1].extract_text().replace("\n", " ")
    assert "start 1" in lines and "A part" in lines and "next 2" in lines


def test_links_lead_to_their_place(pdf) -> None:
    inside, outside = {}, []
    for number, sheet in enumerate(pdf.pages):
        for note in sheet.get("/Annots", []):
            action = note.get_object()["/A"]
            if action["/S"] == "/URI":
                outside.append(action["/URI"])
            else:
                place, kind, _, height, _ = action["/D"]
                assert kind == "/XYZ"
                inside.setdefault(number, []).append(
                    (pdf.get_page_number(place.get_object()), float(height))
                )
    assert outside == ["https://example.org/"], "a link to a file of the site is no link on paper"
    deep = sheet_of(pdf, "Which?")
    assert [sheet for sheet, _ in inside[1]] == [2, 3], "the table of contents"
    assert [sheet for sheet, _ in inside[2]] == [deep, 3, 2]
    assert inside[2][0][1] < inside[2][1][1], "not the anchor's height"


def test_the_outline_has_parts_chapters_and_sections(pdf) -> None:
    def names(entries: list) -> list:
        return [names(e) if isinstance(e, list) else e.title for e in entries]

    deep = ["Deep", "Answers"]
    assert names(pdf.outline) == ["start", ['Why "this"'], "A part", ["next", deep]]
    _, _, _, (_, (there, answers)) = pdf.outline
    assert pdf.get_destination_page_number(there) == sheet_of(pdf, "Which?")
    assert pdf.get_destination_page_number(answers) == sheet_of(pdf, "Forty-two.")


def test_answers_stand_at_the_end_with_the_numbers_of_their_questions(pdf) -> None:
    text = "".join(sheet.extract_text() for sheet in list(pdf.pages)[3:])
    words = ["Which?", "Answer 1 is", "Answer 2 is", "Answers", "1. Predict: one", "Forty-two."]
    places = [text.index(word) for word in [*words, "2. Solution to Exercise 1", "Seven."]]
    assert places == sorted(places)
    assert text.count("Forty-two.") == text.count("Seven.") == 1


def test_a_page_that_is_missing_is_named(book, tmp_path) -> None:
    (tmp_path / "_toc.yml").write_text(TOC.replace("file: next", "file: gone"), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="has no .*gone.html; build it with 'run.py book'"):
        book_pdf.make(book, tmp_path / "book.pdf", source=tmp_path)


def test_without_a_chromium_a_sentence_says_what_to_do(book, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "PLACES", ())
    assert chromium.find() is None
    with pytest.raises(FileNotFoundError, match="the PDF needs a Chromium.*Install Chromium"):
        book_pdf.make(book, tmp_path / "book.pdf", source=book)


def test_a_chromium_is_found_by_name_path_or_place(tmp_path, monkeypatch) -> None:
    program = tmp_path / "msedge"
    program.touch(mode=0o755)
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.find() == str(program)
    shell = tmp_path / "chromium-headless-shell"
    shell.touch(mode=0o755)
    assert chromium.find() == str(shell), "the faster one first"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setattr(chromium, "PLACES", ("/nowhere", "$HERE/msedge"))
    assert chromium.find() == str(program)
    monkeypatch.setenv("CHROMIUM", "/opt/mine")
    assert chromium.find() == "/opt/mine"


def test_the_command_prints_the_built_site(tmp_path, monkeypatch, capsys) -> None:
    spec = importlib.util.spec_from_file_location("run_of_the_book", ROOT / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    calls, built = [], []
    monkeypatch.setattr(run, "SITE", tmp_path / "html")
    monkeypatch.setattr(run, "setup", lambda: None)
    monkeypatch.setattr(run, "book", built.append)
    monkeypatch.setattr(run, "call", lambda command: calls.append(command[1:]) or len(calls) - 1)
    assert run.main(["pdf", "--out", str(tmp_path / "mine.pdf")]) == 0
    assert built == [[]], "a site that is not there has to be built"
    assert calls == [[ROOT / "tools" / "book_pdf.py", tmp_path / "html", tmp_path / "mine.pdf"]]
    assert f"The book is in {tmp_path / 'mine.pdf'}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="there is no PDF"):
        run.main(["pdf"])
