"""A UNet taken apart: its maps are handed out, and what its decoder is given can be turned down."""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from ippy.models.unet import AttentionUpBlock, SimpleUNet

__all__ = ["OpenedUNet"]


class OpenedUNet(nn.Module):
    r"""A UNet with a factor for each map that its decoder is given, and with its maps as outputs.

    A decoder step is given two maps, the skip :math:`s` of its own level and what comes up from
    :math:`b` below; here it is given :math:`\alpha s` and :math:`\beta b`. Ones change nothing. A
    zero silences the map, as :func:`ippy.studies.skips.silenced` does.

    Args:
        unet: A trained ``SimpleUNet`` or one of its variants; it is not copied.

    Attributes:
        switches: What the factors belong to, in their order: ``"dec1_skip"`` is the skip that
            ``dec1`` is given, ``"dec1_below"`` what comes up to it.
        maps: Names of the blocks whose outputs are returned, in the order of their computation.
        gates: Names of the attention maps that follow these, one for each gate.

    Raises:
        TypeError: If the network is none of these.

    Example:
        >>> opened = OpenedUNet(SimpleUNet(base_ch=2))
        >>> x_hat, *maps = opened(torch.zeros(1, 1, 32, 32), *torch.ones(6, 1))
        >>> [f"{name} {tuple(h.shape)}" for name, h in zip(opened.maps, maps)][3]
        'bottleneck (1, 16, 4, 4)'
    """

    def __init__(self, unet: SimpleUNet) -> None:
        super().__init__()
        if not isinstance(unet, SimpleUNet):
            raise TypeError(
                f"{type(unet).__name__} cannot be opened; expected a SimpleUNet, ResidualUNet, "
                "AttentionUNet or CorrectionUNet"
            )
        self.unet = unet
        levels = range(1, unet.levels + 1)
        steps = [f"dec{i}" for i in levels]
        self.switches = [f"{step}_{part}" for step in steps for part in ("skip", "below")]
        self.maps = [*(f"enc{i}" for i in levels), "bottleneck", *reversed(steps)]
        gated = [s for s in steps if isinstance(unet.get_submodule(s), AttentionUpBlock)]
        self.gates = [f"gate_{step}" for step in reversed(gated)]

    def forward(self, y_delta: Tensor, *factors: Tensor) -> tuple[Tensor, ...]:
        """Map ``(N, in_ch, H, W)`` and a factor for each switch to the output and all maps.

        Raises:
            ValueError: If there is not one factor for each switch.
        """
        if len(factors) != len(self.switches):
            raise ValueError(
                f"{len(factors)} factors for {len(self.switches)} switches; give one for each of "
                + ", ".join(self.switches)
            )
        factor = dict(zip(self.switches, factors, strict=True))
        found: dict[str, Tensor] = {}

        def turn_down(step: str, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            below, skip = inputs
            return factor[f"{step}_below"] * below, factor[f"{step}_skip"] * skip

        def keep(name: str, out: Tensor) -> None:
            found[name] = torch.sigmoid(out) if name in self.gates else out

        with ExitStack() as hooks:
            for step in (name for name in self.maps if name.startswith("dec")):
                block = self.unet.get_submodule(step)
                hooks.enter_context(
                    block.register_forward_pre_hook(lambda _, given, s=step: turn_down(s, given))
                )
            sources = {name: name for name in self.maps}
            sources |= {name: f"{name.removeprefix('gate_')}.attn.psi" for name in self.gates}
            for name, place in sources.items():
                block = self.unet.get_submodule(place)
                hooks.enter_context(
                    block.register_forward_hook(lambda _, given, out, n=name: keep(n, out))
                )
            x_hat = self.unet(y_delta)
        return (x_hat, *(found[name] for name in [*self.maps, *self.gates]))
