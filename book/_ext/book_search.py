"""Local Sphinx extension: a search that finds where a chapter builds a class, and clean excerpts.

1. Classes and functions that a chapter's code defines are entries of the search index, which come
   before pages that only use them.
2. The page of results gets ``search.js``, whose excerpts are sentences, without code and raw TeX.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

DEFINITION = re.compile(r"^(?:class|def) (\w+)", re.M)


def index_definitions(app: Sphinx, doctree: nodes.document) -> None:
    """Enter what the cells of a notebook define, each at the section around its first cell."""
    entries = app.env.get_domain("index").data["entries"].setdefault(app.env.docname, [])
    known = {entry[1] for entry in entries}
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code_source":
            continue
        section = cell.parent
        while not isinstance(section, nodes.section):
            section = section.parent
        for name in DEFINITION.findall(cell.astext()):
            if name not in known:
                known.add(name)
                entries.append(("single", name, section["ids"][0], "main", None))


def add_excerpts(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Give the page of results its script."""
    if page == "search":
        app.add_js_file("search.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both parts to Sphinx."""
    app.connect("doctree-read", index_definitions)
    app.connect("html-page-context", add_excerpts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
