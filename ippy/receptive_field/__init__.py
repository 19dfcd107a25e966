r"""Receptive fields: which input pixels an output pixel can depend on, and which it does.

:func:`receptive_field` traces a network with ``torch.export`` and follows, by the rules of
:mod:`ippy.receptive_field.rules`, which input positions reach which positions of every map.
:func:`measured` finds the same by differentiation, and :func:`effective` how much a trained network
uses of it.
"""

from ippy.receptive_field.effective import effective
from ippy.receptive_field.exact import Box, ReceptiveField, receptive_field, recursion
from ippy.receptive_field.measured import measured

__all__ = ["Box", "ReceptiveField", "effective", "measured", "receptive_field", "recursion"]
