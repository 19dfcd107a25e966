"""Local Sphinx extension: what the book needs beyond its configuration, and nothing else.

1. The buttons (repository, edit, issue, Binder) follow the checkout's public git remote.
2. MathJax is copied from the installed package ``django-static-mathjax`` into the built site.
3. Scripts that nothing uses, and markup that screen readers stumble over, leave every page.
4. Pictures are fetched when the reader comes near; icons come as a font alone. Plots are marked, so
   that the dark theme can turn them round, which it must not do with images; where white does not
   tell them apart, a cell's picture has the class ``is-plot`` or ``is-image``. A drawing that has a
   narrow one beside it (``x_narrow.svg``) gives way to that on phones.
5. Headings that are the titles of other pages have these titles in a page's contents too.
6. Drawings get the book's fonts: a picture may not use those of the page that shows it.
7. What a page shows first comes first: its fonts and its first picture; scripts wait, and those of
   the search stay with the search.
"""

import base64
import json
import posixpath
import re
import shutil
import subprocess
from functools import partial
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_REMOTE = re.compile(
    r"(?:https://(?:[^@/]+@)?|(?:ssh://)?git@)(github\.com|gitlab\.com)[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)
THEBE = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>\s*(<script>kernelName = .*?</script>)?', re.S
)
PAGE_NAME = re.compile(r'<span class="xref std std-doc">([\w/]+)</span>')
PLOT = 0.75  # share of white from which a picture is a plot; images have less than 0.7
IMAGE = re.compile(r'<img ([^>]*src="([^"]*?)([^"/]+)"[^>]*>)')
PHONE = "screen and (max-width: 600px)"  # as in reading.css
VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
#: Files of fonts for drawings: family and further properties, and the characters they have.
DRAWING_FONTS = {
    "diagram.woff2": ("Inter; font-weight: 400 600", "U+0-24F, U+370-3FF, U+2000-2BFF"),
    "diagram-italic.woff2": ("Literata; font-style: italic", "U+0-24F, U+2000-2BFF"),
    "diagram-italic-greek.woff2": ("Literata; font-style: italic", "U+370-3FF"),
}
#: Fonts of every page's text, headings and sidebars.
FIRST_FONTS = ("literata.woff2", "inter.woff2")
#: From a disk a browser fetches no font ahead, and complains.
PRELOAD = """
<script>if (location.protocol !== "file:") for (const href of %s) document.head.append(
  Object.assign(document.createElement("link"),
    {rel: "preload", as: "font", type: "font/woff2", crossOrigin: "", href}));</script>"""
#: The theme loads the words of all pages with each page, for a search as you type, which is off.
SEARCH_SCRIPT = re.compile(
    r'\s*<script src="[./]*(_static/searchtools|_static/language_data|searchindex)\.js"></script>'
)
MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts", "input/tex/extensions")


def public_url(remote: str) -> str | None:
    """Return the page of a public git remote, without user names or tokens; None for others.

    >>> public_url("git@github.com:someone/book.git")
    'https://github.com/someone/book'
    >>> public_url("/srv/git/book.git") is None
    True
    """
    match = PUBLIC_REMOTE.fullmatch(remote.strip())
    return "https://{}/{}/{}".format(*match.groups()) if match else None


def git_remote(root: Path = ROOT) -> str:
    """Return the URL of the remote ``origin``; empty without git, repository or remote."""
    try:
        done = subprocess.run(
            ["git", f"--git-dir={root / '.git'}", "remote", "get-url", "origin"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def add_repository(app: Sphinx, config: Config) -> None:
    """Switch on the buttons that need a repository, if there is a public one."""
    if url := public_url(git_remote()):
        config.html_theme_options |= {
            "repository_url": url,
            "repository_branch": "main",
            "path_to_docs": "",
            "use_repository_button": True,
            "use_edit_page_button": True,
            "use_issues_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
        }


def copy_mathjax(app: Sphinx) -> None:
    """Put the needed files of MathJax (2 MB) beside the site's other static files."""
    if app.builder.format != "html":
        return
    spec = find_spec("mathjax")
    if spec is None or spec.origin is None:
        raise ExtensionError(
            "the package 'django-static-mathjax' is not installed, so formulas cannot be shown "
            "offline; install it with: pip install -r requirements.txt"
        )
    source = Path(spec.origin).parent / "static" / "mathjax" / "es5"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def box_of(drawing: Path) -> list[int]:
    """Width and height of an SVG drawing; empty if it does not tell."""
    box = VIEW_BOX.search(drawing.read_text(encoding="utf-8"))
    return [round(float(number)) for number in box.groups()] if box else []


def lazy(files: dict[str, Path], images: Path, image: re.Match) -> str:
    """An image that is fetched when the reader comes near, and whose room is kept till then.

    Args:
        files: The sources of all images, by their names in the site.
        images: Folder of the images in the site.
        image: Its tag in the page, as :data:`IMAGE` matches it.
    """
    tag, folder, name = image.groups()
    path, size, kind = files.get(name), (), ""
    if path is not None and path.suffix == ".png":
        with Image.open(path) as picture:
            size, grey = picture.size, picture.convert("RGB").convert("L")
        white = sum(grey.histogram()[250:]) > PLOT * size[0] * size[1]
        if "is-plot" in tag or (white and "is-image" not in tag):  # classes that a cell may give
            kind = "data-plot "
    elif path is not None and path.suffix == ".svg":
        size = box_of(path)
    room = 'width="{}" height="{}" '.format(*size) if size else ""
    picture = f'<img loading="lazy" {kind}{room}{tag}'
    narrow = path and path.with_name(f"{path.stem}_narrow{path.suffix}")
    if not (narrow and narrow.is_file()):
        return picture
    shutil.copyfile(narrow, images / narrow.name)
    room = 'width="{}" height="{}"'.format(*box_of(narrow))
    source = f'<source media="{PHONE}" srcset="{folder}{narrow.name}" {room}>'
    return f"<picture>{source}{picture}</picture>"


def hasten(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Fetch a page's fonts and its first picture at once, and let its scripts wait."""
    path_to = context["pathto"]
    fonts = [path_to(f"_static/fonts/{font}", resource=True) for font in FIRST_FONTS]
    context["metatags"] = context.get("metatags", "") + PRELOAD % json.dumps(fonts)

    def waiting(script: Any) -> Any:
        # scripts within the page speak to the first of these before the others run
        if not script.filename or "documentation_options" in str(script.filename):
            return script
        attributes = {"defer": "defer", **script.attributes}
        return type(script)(script.filename, priority=script.priority, **attributes)

    if page != "search":  # whose own scripts do not wait
        context["script_files"] = [waiting(script) for script in context["script_files"]]
    if "body" in context:
        first = '<img fetchpriority="high"'
        context["body"] = context["body"].replace('<img loading="lazy"', first, 1)


def name_pages(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Write titles of pages into a page's contents, where their headings are such titles."""

    def full_title(name: re.Match) -> str:
        title = app.env.titles.get(posixpath.join(posixpath.dirname(page), name[1]))
        return escape(title.astext()) if title else name[0]

    if "toc" in context:
        context["toc"] = PAGE_NAME.sub(full_title, context["toc"])


def tidy_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Drop scripts and styles of live code (not used) and repair the lists of bibliographies."""

    def used(file: Any) -> bool:
        text = f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', '')}"
        return "thebe" not in text.lower()

    for files in (context.get("script_files", []), context.get("css_files", [])):
        files[:] = filter(used, files)
    if "body" in context:
        files = {name: Path(app.srcdir) / path for path, name in app.builder.images.items()}
        images = Path(app.outdir) / app.builder.imagedir
        images.mkdir(exist_ok=True)
        body = IMAGE.sub(partial(lazy, files, images), THEBE.sub("", context["body"]))
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def drop_icon_script(app: Sphinx, error: Exception | None) -> None:
    """Empty the theme's script of icons, half of a page's weight: its style sheet has them too."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if error is None and script.is_file():
        script.write_text("// icons: see the web font\n", encoding="utf-8")
        script.with_suffix(".js.map").unlink(missing_ok=True)


def add_fonts(app: Sphinx, error: Exception | None) -> None:
    """Put the fonts into the site's drawings, as a part of their style sheet."""
    fonts, rules = Path(app.outdir) / "_static" / "fonts", ""
    if error is not None or not fonts.is_dir():
        return
    for name, (face, letters) in DRAWING_FONTS.items():
        data = base64.b64encode((fonts / name).read_bytes()).decode()
        rules += (
            f"@font-face {{ font-family: {face}; unicode-range: {letters}; "
            f"src: url(data:font/woff2;base64,{data}) }}\n"
        )
    for drawing in (Path(app.outdir) / app.builder.imagedir).glob("*.svg"):
        text = drawing.read_text(encoding="utf-8")
        if "font-family: Inter" in text and "@font-face" not in text:
            drawing.write_text(text.replace("<style>", f"<style>\n{rules}", 1), encoding="utf-8")


def keep_search_to_itself(app: Sphinx, error: Exception | None) -> None:
    """Take the scripts of the search, 200 kB and more, out of all pages but its own."""
    if error is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if path.name != "search.html" and SEARCH_SCRIPT.search(text):
            path.write_text(SEARCH_SCRIPT.sub("", text), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts to Sphinx."""
    app.connect("config-inited", add_repository)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", name_pages, priority=100)  # before the theme keeps it
    app.connect("html-page-context", tidy_page, priority=900)
    app.connect("html-page-context", hasten, priority=910)
    app.connect("build-finished", drop_icon_script)
    app.connect("build-finished", add_fonts)
    app.connect("build-finished", keep_search_to_itself)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
