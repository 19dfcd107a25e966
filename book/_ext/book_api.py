"""Local Sphinx extension for the API reference: formulas in docstrings, links from the chapters.

1. ``$...$`` in a docstring is a formula, as it is in the chapters.
2. Inline code that names exactly one documented object of ``ippy`` becomes a link to its entry.
3. A default that is a function stands in the signature by its name.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

API_PAGE = "book/api"
ALIASES = {"rf": "receptive_field"}  # import ippy.receptive_field as rf
NAME = re.compile(r"(?:(\w+)\.)?((?:\w+\.)*\w+)(?:\(.*\))?", re.S)  # with or without arguments
MEMBERS = ("method", "property", "attribute")
DEFAULT = re.compile(r"<(?:function |class ')?([\w.]+)[^<>]*>")
FORMULA = re.compile(r"(?<![\\$])\$(?!\s)([^$\n]+(?:\n[^$\n]+)?)(?<!\s)\$")


def typeset(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the ``$...$`` of a docstring into reStructuredText's role for formulas, in place."""
    text = FORMULA.sub(lambda match: f":math:`{' '.join(match[1].split())}`", "\n".join(lines))
    lines[:] = text.split("\n")


def readable(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    given: str | None,
    returns: str | None,
) -> tuple[str | None, str | None] | None:
    """Write what Python has no source for, ``<function f>``, as ``f``; the rest can be read then.

    >>> readable(None, "", "", None, None, "(g: ~typing.Any = <function f>, h=<factory>)", None)
    ('(g: ~typing.Any = f, h=...)', None)
    """
    if given is None or "<" not in given:
        return None
    return DEFAULT.sub(lambda m: "..." if m[1] == "factory" else m[1], given), returns


def find(code: str, kinds: dict[str, str]) -> str | None:
    """The one documented name that ``code`` means; None if there is none, or several.

    Args:
        code: Inline code of a chapter.
        kinds: Full name -> kind (``"class"``, ``"function"``, ``"method"``, ...) of all entries.

    >>> kinds = {"ippy.metrics.mse": "function", "ippy.operators.Operator.T": "property"}
    >>> find("metrics.mse(x, y)", kinds), find("mse", kinds), find("T", kinds)
    ('ippy.metrics.mse', None, None)
    """
    match = NAME.fullmatch(code)
    if not match:
        return None
    first, rest = match.groups()
    wanted = f"{ALIASES.get(first, first)}.{rest}" if first else rest
    if not first and rest.islower() and "_" not in rest:
        return None  # mse and train are words as well: only metrics.mse is surely the function
    skipped = () if first else MEMBERS  # a method is named with its class
    names = [name for name, kind in kinds.items() if f".{name}".endswith(f".{wanted}")]
    names = [name for name in names if kinds[name] not in skipped]
    return names[0] if len(names) == 1 else None


class LinkNames(SphinxPostTransform):
    """Link inline code to the API reference, outside headings and links."""

    default_priority = 50  # after the references of the text are resolved

    def run(self, **kwargs: Any) -> None:
        """Replace the nodes of one page."""
        if self.env.docname == API_PAGE:
            return
        known = self.env.get_domain("py").objects
        kinds = {name: entry.objtype for name, entry in known.items() if not entry.aliased}
        for node in list(self.document.findall(nodes.literal)):
            name = find(node.astext(), kinds)
            parent = node.parent
            while name and parent is not None:
                if isinstance(parent, nodes.title | nodes.reference | nodes.rubric):
                    name = None
                parent = parent.parent
            if name:
                page, anchor = known[name].docname, known[name].node_id
                here, copy = self.env.docname, node.deepcopy()
                node.replace_self(make_refnode(self.app.builder, here, page, anchor, copy, name))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts to Sphinx."""
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(extension)
    app.connect("autodoc-process-docstring", typeset)
    app.connect("autodoc-process-signature", readable)
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
