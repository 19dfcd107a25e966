"""Local Sphinx extension: figures that look into a network while it runs in the page.

A directive ``inside`` names a UNet of the laboratory (book_lab.py), whose files serve here too, and
what is shown: ``switches``, the network taken apart, or ``gates``, its attention maps. Its content
is the picture that stands there where nothing runs.
"""

import json
from functools import cache
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from torch import Tensor, nn

from ippy import receptive_field, tasks
from ippy.models import SimpleUNet
from ippy.models.opened import OpenedUNet
from ippy.networks import NETWORKS

logger = logging.getLogger(__name__)


class Inside(nodes.General, nodes.Element):
    """A box whose picture the page replaces by a figure of the network inside."""


class UpTo(nn.Module):
    """A UNet up to the output of one of its blocks."""

    def __init__(self, opened: OpenedUNet, name: str) -> None:
        super().__init__()
        self.opened, self.place = opened, 1 + opened.maps.index(name)
        self.ones = nn.ParameterList(Tensor([1.0]) for _ in opened.switches)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 1, H, W)`` to the map of the block."""
        return self.opened(x, *self.ones)[self.place]


@cache
def fields(key: str) -> dict[str, list[int]]:
    """The receptive field of each block, as the first and the last pixel along an axis.

    They are counted from the pixel that the block's output stands at, for those pixels whose
    coordinates are multiples of the coarsest level's stride: fields of others differ by a few
    pixels, and shifted by a stride they are the same.
    """
    opened = OpenedUNet(NETWORKS[key].recipe.build().eval())
    found = {}
    for name in opened.maps:
        exact = receptive_field.receptive_field(UpTo(opened, name), (1, 1, *tasks.SHAPE))
        middle = tasks.SHAPE[0] // 2
        index = (int(middle / exact.stride[0]),) * 2
        if not exact.is_interior(index):
            raise ValueError(f"the field of {name} of {key} does not fit into {tasks.SHAPE}")
        box = exact.box(index)
        if (box.top, box.bottom) != (box.left, box.right):
            raise ValueError(f"the field of {name} of {key} is no square: {box}")
        found[name] = [box.top - middle, box.bottom - middle]
    return found


class InsideDirective(SphinxDirective):
    """A figure of a network from the inside; its content is the picture that stands there."""

    has_content = True
    required_arguments = 1
    option_spec = {
        "show": lambda text: directives.choice(text, ("switches", "gates")),
    }

    def run(self) -> list[nodes.Node]:
        """The box; a network that cannot be taken apart is warned of."""
        key, box = self.arguments[0], Inside()
        self.state.nested_parse(self.content, self.content_offset, box)
        network = NETWORKS.get(key)
        model = network.recipe.build() if network and network.in_laboratory else None
        if not isinstance(model, SimpleUNet):
            logger.warning(
                "%s is no UNet of the laboratory, so that it cannot be looked into",
                key,
                location=self.get_location(),
            )
            return box.children
        opened, show = OpenedUNet(model), self.options.get("show", "switches")
        box["data-inside"], box["data-show"] = key, show
        box["data-switches"] = " ".join(opened.switches)
        box["data-maps"] = " ".join(opened.maps if show == "switches" else opened.gates)
        box["data-fields"] = json.dumps(fields(key)) if show == "switches" else "{}"
        return [box]


def open_box(translator: Any, node: Inside) -> None:
    """Begin the box in a page, with what its script has to know."""
    names = {name: text for name, text in node.attributes.items() if name.startswith("data-")}
    translator.body.append(translator.starttag(node, "div", CLASS="inside full-width", **names))


def close_box(translator: Any, node: Inside) -> None:
    """End the box in a page."""
    translator.body.append("</div>\n")


def no_box(translator: Any, node: Inside) -> None:
    """Elsewhere than in a page the picture stands alone."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts to Sphinx."""
    app.add_directive("inside", InsideDirective)
    app.add_node(Inside, html=(open_box, close_box), latex=(no_box, no_box))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
