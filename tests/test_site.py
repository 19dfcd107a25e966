"""Every page of the built book in a real browser: light and dark, wide and narrow."""

import importlib.util
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from conftest import ROOT, SITE

pytestmark = pytest.mark.slow
SOURCES = sorted([*(ROOT / "book").glob("*.md"), *(ROOT / "book").glob("*.ipynb")])
PAGES = [f"book/{path.stem}.html" for path in SOURCES] + ["search.html"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which npm brings."""
    path = ROOT / "book" / "_ext" / "book_lab.py"
    spec = importlib.util.spec_from_file_location("book_lab", path)
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    try:
        packages = extension.npm_packages(dev=True)
    except OSError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no axe-core: {error}")
    return (packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe: str) -> list[str]:
    """What axe-core finds, one line for each rule."""
    page.evaluate(axe)
    passed, found = page.evaluate(
        """async (runOnly) => {
          const found = await axe.run(document, { runOnly, resultTypes: ["violations"] });
          const say = ({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`;
          return [found.passes.length, found.violations.map(say)];
        }""",
        RULES,
    )
    assert passed > 10, "axe has looked at nothing"
    return found


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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page(chromium, site, axe, name: str, theme: str) -> None:
    page = chromium.new_page(
        viewport={"width": 1280, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    wrong = watch(page, site)
    page.goto(f"{site}/{name}", wait_until="load")
    page.wait_for_timeout(1000)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(400)
        assert violations(page, axe) == [], f"at {width} pixels"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"the page scrolls sideways: {wide} pixels"
    assert wrong == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lab_at_work(chromium, site, axe, theme: str) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 900}, color_scheme=theme)
    wrong = watch(page, site)
    page.goto(f"{site}/book/residual_learning.html")
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
