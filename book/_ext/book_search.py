"""Local Sphinx extension: a search that finds the chapter of a class first, and clean excerpts.

1. A class or function of ``ippy`` belongs to the chapter that defines it (of a network: explains
   it), else to the one that names it most often. The search index has an entry for it at the
   section of that chapter that names it most.
2. The page of results gets ``search.js``, whose excerpts are sentences, without code and raw TeX.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from ippy.networks import NETWORKS

DEFINITION = re.compile(r"^(?:class|def) (\w+)", re.M)
FEW = 5  # a name said less often than this has no chapter


def chapters_of_names(env: BuildEnvironment) -> dict[str, str]:
    """For the name of each public class and function, the notebook that is about it, if any."""
    objects = env.get_domain("py").data["objects"].items()
    known = {full.split(".")[-1] for full, what in objects if what.objtype in ("class", "function")}
    most: dict[str, tuple[int, str]] = {}
    for page in sorted(env.found_docs):
        numbered = bool(env.toc_secnumbers.get(page))  # a chapter, and no appendix
        if not numbered or Path(env.doc2path(page)).suffix != ".ipynb":
            continue
        text = env.get_doctree(page).astext()
        said = Counter(re.findall(r"\w+", text))
        explained = {n.recipe.model for n in NETWORKS.values() if f"book/{n.chapter}" == page}
        for name in {*DEFINITION.findall(text), *explained}:
            said[name] += 1000
        for name in known & set(said):
            most[name] = max(most.get(name, (FEW - 1, "")), (said[name], page))
    return {name: page for name, (_, page) in most.items() if page}


def index_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Enter the names that belong to a chapter, each at the section that says it most often."""
    if app.builder.format != "html":
        return
    if not hasattr(app, "chapters_of_names"):
        app.chapters_of_names = chapters_of_names(app.env)
    sections = {}
    for section in doctree.findall(nodes.section):
        own = [part.astext() for part in section.children if not isinstance(part, nodes.section)]
        sections[section["ids"][0]] = Counter(re.findall(r"\w+", " ".join(own)))
    for name in [name for name, chapter in app.chapters_of_names.items() if chapter == page]:
        anchor = max(sections, key=lambda anchor: sections[anchor][name])
        doctree += addnodes.index(entries=[("single", name, anchor, "main", None)])


def add_excerpts(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Give the page of results its script."""
    if page == "search":
        app.add_js_file("search.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both parts to Sphinx."""
    app.connect("doctree-resolved", index_names, priority=950)
    app.connect("html-page-context", add_excerpts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
