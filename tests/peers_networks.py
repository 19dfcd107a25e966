"""Receptive fields of the networks of four libraries, beside those that differentiation finds."""

import importlib
import warnings
from collections.abc import Iterator

import torch
from test_public_networks import PEERS, REFUSED, SEGMENTATION, SHAPE, TRUNKS, LastMap, Map, trunk
from test_public_networks import library as torchvision
from torch import nn

from ippy.receptive_field import measured, receptive_field

#: Relative places (row, column) of the outputs that are compared.
PLACES = [(0, 0), (1, 1), (1 / 2, 1 / 2), (1 / 3, 1 / 4), (0, 1), (1 / 2, 3 / 4)]


def networks() -> Iterator[tuple[str, nn.Module, tuple]]:
    """Name, network and shape of its input."""
    for name in TRUNKS:
        yield f"torchvision {name}", trunk(name), SHAPE
    for name in SEGMENTATION:
        yield f"torchvision {name}", Map(name), (1, 3, 64, 256)
    for name in REFUSED:
        yield f"torchvision {name}", getattr(torchvision, name)(weights=None), (1, 3, 224, 224)
    for name, (module, function, arguments, options) in PEERS.items():
        if module == "segmentation_models_pytorch":
            options = {**options, "encoder_weights": None}
        made = getattr(importlib.import_module(module), function)(*arguments, **options)
        yield name, LastMap(made), (1, 3, 128, 256)


def compared(model: nn.Module, shape: tuple) -> tuple[str, int]:
    """What is to be said of a network, and at how many places the two fields differ."""
    try:
        field = receptive_field(model, shape)
    except NotImplementedError as error:
        return str(error).split(" of layer")[0].removeprefix("receptive_field has "), 0
    last = [n - 1 for n in field.output_size]
    places = [(int(a * last[0]), int(b * last[1])) for a, b in PLACES]
    pairs = zip(map(field.box, places), measured(model, shape, places), strict=True)
    wrong = sum(ours != theirs for ours, theirs in pairs)
    extent = field.axes[1].extremes()
    width = f"wider than {shape[3]}" if extent is None else f"width {extent[0]} to {extent[1]}"
    return f"{len(places) - wrong} of {len(places)}; {width}", wrong


def fields() -> Iterator[tuple]:
    """A row per network; one that is refused by name counts as not wrong."""
    warnings.simplefilter("ignore")
    for name, model, shape in networks():
        torch.manual_seed(0)
        said, wrong = compared(model.eval(), shape)
        yield f"field of {name}", "autograd", "", said, wrong, 0
