"""What several tests share: a cache of their own, and pages opened in a real browser."""

import contextlib
import functools
import http.server
import importlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import TimeoutError, sync_playwright
from small_runs import RECIPE

from ippy.networks import NETWORKS
from tools import chromium as chromium_here
from tools.chromium import FLAGS

ROOT = Path(__file__).resolve().parents[1]
#: Scripts that need what the extra ``peers`` installs; doctests are looked for in all others.
collect_ignore = ["peers.py", "peers_physics.py"]
STATIC, SITE = ROOT / "book" / "_static", ROOT / "_build" / "html"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def rank(item: pytest.Item) -> int:
        if item.path.suffix == ".ipynb":
            return 1
        return 0 if item.path in slow else 2

    items.sort(key=rank)  # stable: within a file nothing changes its place


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A cache folder of the test's own, and none of the reader's settings."""
    monkeypatch.setenv("IPPY_CACHE", str(tmp_path / "cache"))
    for name in ("IPPY_TRAIN", "IPPY_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def tiny(monkeypatch, own_cache) -> None:
    """The ResCNN's recipe becomes one of twelve steps."""
    entry = replace(NETWORKS["ResCNN"], recipe=replace(RECIPE, quick_steps=2))
    monkeypatch.setitem(NETWORKS, "ResCNN", entry)


def extension_of_the_book(name: str) -> ModuleType:
    """A Sphinx extension of the book, which like all of them can import its neighbours."""
    folder = str(ROOT / "book" / "_ext")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def browser() -> str:
    """Path of a Chromium; without one the test is skipped, or fails where CI is set."""
    found = chromium_here.find()
    if found is None:
        reason = chromium_here.sentence("this test")
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves quietly."""

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def show(chromium, tmp_path_factory) -> Iterator[Callable]:
    """Open a page of a folder with the book's static files; return the JSON that it leaves."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(STATIC, folder / "_static")
    left = "document.querySelector('pre')?.textContent.trim()"

    def run(text: str, anchor: str = "", data: object = None) -> dict:
        (folder / "page.html").write_text(text, encoding="utf-8")
        (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
        page, said = chromium.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{address}/page.html{anchor}")
        try:
            return json.loads(page.wait_for_function(left, timeout=300_000).json_value())
        except TimeoutError:
            pytest.fail(f"the page left no result: {said} {page.content()[-2000:]}")
        finally:
            page.close()

    with served(folder) as address:
        yield run


class Isolated(Handler):
    """Serves pages that browsers allow several threads."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@contextlib.contextmanager
def served(folder: Path, handler: type = Handler) -> Iterator[str]:
    """Address of a plain static server for a folder."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Address of the book, as the last build left it."""
    if not (SITE / "index.html").is_file():
        reason = "the book is not built: run 'run.py book' first"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with served(SITE) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """A Chromium that Playwright drives; it ends with the module, since its loop blocks others."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=browser(), args=FLAGS)
        yield found
        found.close()


#: What axe-core looks for.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which npm brings."""
    try:
        packages = extension_of_the_book("book_lab").npm_packages(dev=True)
    except RuntimeError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no axe-core: {error}")
    return (packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe: str, where: str = "html") -> list[str]:
    """What axe-core finds, one line for each rule, in the parts of a page that a selector names."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    passed, found = page.evaluate(
        """async ([where, runOnly]) => {
          const found = await axe.run(where, { runOnly, resultTypes: ["violations"] });
          const say = ({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`;
          return [found.passes.length, found.violations.map(say)];
        }""",
        [where, RULES],
    )
    assert passed > 10, "axe has looked at nothing"
    return found
