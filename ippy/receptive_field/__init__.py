r"""Receptive fields: which input pixels an output pixel can depend on, and which it does.

:func:`receptive_field` traces a network with ``torch.export`` and follows, by the rules of
:mod:`ippy.receptive_field.rules`, which input positions reach which positions of every map.
:func:`measured` finds the same by differentiation, and :func:`effective` how much a trained network
uses of it. From the field :func:`tile_overlap` finds how far tiles must overlap, and
:func:`apply_in_tiles` applies a network to images that are too large to be handled whole.
"""

from ippy.receptive_field.effective import effective
from ippy.receptive_field.exact import Box, ReceptiveField, receptive_field, recursion
from ippy.receptive_field.measured import measured
from ippy.receptive_field.tiles import Overlap, TileOverlap, apply_in_tiles, tile_overlap

__all__ = [
    "Box",
    "Overlap",
    "ReceptiveField",
    "TileOverlap",
    "apply_in_tiles",
    "effective",
    "measured",
    "receptive_field",
    "recursion",
    "tile_overlap",
]
