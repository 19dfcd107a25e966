"""A training run before the eyes of an audience: loss curve and reconstruction, drawn again."""

import sys
import time
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ippy import metrics
from ippy.evaluation import reconstruct

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LiveView"]


class LiveView:
    """A callback for :func:`ippy.training.train` that shows progress and keeps to a time.

    In a notebook one figure is drawn anew at every call: the loss so far, the measurement and
    what the network makes of it now. Elsewhere nothing is drawn.

    Args:
        x: A clean image (1, 1, H, W).
        y_delta: Its measurement, of the same shape.
        seconds: The run is told to end before this, as far as the pace of the calls tells.

    Attributes:
        measured: PSNR of the measurement in dB.
        psnrs: PSNR of the reconstruction in dB, one number for each call.
        elapsed: Seconds from the beginning to the last call.

    >>> view = LiveView(x := __import__("torch").rand(1, 1, 8, 8), x, seconds=60)
    >>> view(1, nn.Conv2d(1, 1, 1), {"step": [1], "train_mse": [0.1]})  # go on
    False
    """

    def __init__(self, x: Tensor, y_delta: Tensor, *, seconds: float = 50.0) -> None:
        self.x, self.y_delta, self.seconds = x, y_delta, seconds
        self.start, self.elapsed = time.perf_counter(), 0.0
        self.psnrs: list[float] = []
        self.measured = metrics.psnr(y_delta, x).item()
        self.handle: Any = None  # of the figure that IPython shows

    def __call__(self, step: int, model: nn.Module, history: dict) -> bool:
        """Draw the state after ``step``; return whether the time is up."""
        x_hat = reconstruct(model, self.y_delta)
        self.psnrs.append(metrics.psnr(x_hat, self.x).item())
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if getattr(shell, "kernel", None) is not None:
            import matplotlib.pyplot as plt
            from IPython.display import display

            figure = self.draw(step, x_hat, history)
            if self.handle is None:
                self.handle = display(figure, display_id=True)
            else:
                self.handle.update(figure)
            plt.close(figure)
        # the next call comes as much later as this one came: it would be too late
        before, self.elapsed = self.elapsed, time.perf_counter() - self.start
        return 2 * self.elapsed - before > self.seconds

    def draw(self, step: int, x_hat: Tensor, history: dict) -> "Figure":
        """The figure: curve, measurement, reconstruction; a new one each time."""
        import matplotlib.pyplot as plt

        figure, (curve, left, right) = plt.subplots(
            1, 3, figsize=(10, 3.2), width_ratios=(1.4, 1, 1), layout="constrained"
        )
        curve.plot(history["step"], history["train_mse"])
        curve.set(xlabel="step", ylabel="mean squared error", yscale="log")
        curve.grid(alpha=0.3)
        titles = (f"measured, {self.measured:.1f} dB", f"step {step}, {self.psnrs[-1]:.1f} dB")
        for axis, image, title in zip((left, right), (self.y_delta, x_hat), titles, strict=True):
            axis.imshow(image[0, 0].clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set_title(title, fontsize=10)
            axis.axis("off")
        return figure
