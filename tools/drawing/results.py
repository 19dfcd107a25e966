"""Pictures of results for the README and the first page: ``python tools/drawing/results.py``."""

import functools
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import nn

from ippy import datasets, evaluation, metrics, plotting, training, utilities
from ippy.images import sample_image
from ippy.models.opened import OpenedUNet
from ippy.operators import Blurring
from ippy.receptive_field import effective
from ippy.studies import few_views
from ippy.studies.linear import best_linear
from ippy.tasks import KERNEL, TASKS, few_view_projector, measure, task_operator

matplotlib.use("Agg")
IMGS = Path(__file__).resolve().parents[2] / "imgs"
ZOOM = (104, 56, 64)


def save(figure, name: str, dpi: int = 110) -> None:
    """Store a figure as PNG without the metadata that would change from run to run."""
    figure.savefig(IMGS / f"{name}.png", dpi=dpi, metadata={"Software": None})


@functools.cache
def trained(name: str) -> nn.Module:
    """A network of the book with its stored weights."""
    return training.load_or_train(name)[0]


def strongest_map(maps: torch.Tensor) -> torch.Tensor:
    """The channel that varies most, (1, C, H, W) -> (H, W), scaled to [0, 1]."""
    chosen = maps[0, maps[0].std((1, 2)).argmax()]
    return chosen / chosen.max()


def draw_result(x: torch.Tensor, y_delta: torch.Tensor) -> None:
    """The phantom, its measurement and all reconstructions; errors for the last chapter's card."""
    solvers = evaluation.baselines(task_operator())
    pictures = {"clean": x, "measured": y_delta}
    pictures |= {name: solve(y_delta) for name, solve in solvers.items()}
    pictures["UNet"] = evaluation.reconstruct(trained("UNet"), y_delta)
    titles = [
        name if name == "clean" else f"{name}, {metrics.psnr(p, x).item():.1f} dB"
        for name, p in pictures.items()
    ]
    panels = [*pictures.values()]
    save(utilities.show_images(panels, titles=titles, zoom=ZOOM, width=8), "result", 150)

    errors = {"error of TV": pictures["TV"] - x, "error of the UNet": pictures["UNet"] - x}
    save(utilities.show_images(errors, vmin=-0.1, vmax=0.1, width=4.5), "chapter_comparison")


def draw_division(x: torch.Tensor) -> None:
    """What is left of a noisy measurement that is divided by the transfer function."""
    C = Blurring((256, 256), boundary="circular", **KERNEL)
    noisy = measure(x, C)
    naive = torch.fft.ifft2(torch.fft.fft2(noisy.double()) / C.transfer_function()).real
    pair = {"measured": noisy, "divided by H": naive}
    save(utilities.show_images(pair, width=4.5), "chapter_inverse_problems")


def draw_inside_networks(y_delta: torch.Tensor) -> None:
    """Feature maps, a correction and an attention map: cards of the chapters on networks."""
    cnn, unet = trained("SimpleCNN"), trained("UNet")
    first = torch.relu(cnn.conv1(y_delta))
    second = torch.relu(cnn.conv2(first))
    pair = {"first layer": strongest_map(first), "second layer": strongest_map(second)}
    save(utilities.show_images(pair, width=4.5), "chapter_cnn")

    correction = evaluation.reconstruct(trained("ResCNN"), y_delta) - y_delta
    pair = {"measured": y_delta, "correction": correction}
    figure = utilities.show_images(pair, vmin=[0, -0.3], vmax=[1, 0.3], width=4.5)
    save(figure, "chapter_residual_learning")

    e1 = unet.enc1(y_delta)
    e3 = unet.enc3(unet.enc2(e1))
    pair = {"first level": strongest_map(e1), "third level": strongest_map(e3)}
    save(utilities.show_images(pair, width=4.5), "chapter_unet")

    attention, seen = trained("AttentionUNet"), {}
    handle = attention.dec2.attn.psi.register_forward_hook(
        lambda _, __, out: seen.update(alpha=out.sigmoid())
    )
    evaluation.reconstruct(attention, y_delta)
    handle.remove()
    pair = {"measured": y_delta, "attention": seen["alpha"]}
    save(utilities.show_images(pair, width=4.5), "chapter_unet_variants")


def draw_insides(y_delta: torch.Tensor) -> None:
    """What stands in the place of the figures that look into networks where nothing runs."""
    opened = OpenedUNet(trained("UNet"))
    found = opened(y_delta, *torch.ones(len(opened.switches), 1))[1:]
    maps = {name: strongest_map(h) for name, h in zip(opened.maps, found, strict=True)}
    down, bottom, up = list(maps)[:3], list(maps)[3:4], list(maps)[:3:-1]
    sides = ({name: maps[name] for name in names} for names in (down, bottom, up))
    save(plotting.show_levels(*sides, width=6.5), "inside_unet", dpi=90)

    opened = OpenedUNet(trained("AttentionUNet"))
    found = opened(y_delta, *torch.ones(len(opened.switches), 1))
    gates = {f"gate of level {k}": h for k, h in enumerate(reversed(found[-3:]), start=1)}
    save(utilities.show_images({"measured": y_delta, **gates}, vmin=None, vmax=None, width=8.5),
         "inside_gates", dpi=90)  # fmt: skip


def draw_fields() -> None:
    """What a UNet uses of its field, beside the best linear filter of 31 pixels."""
    x = datasets.materialise(datasets.SyntheticDataset(64)).float() / 255
    measured = measure(x, task_operator())
    with torch.enable_grad():
        used, _ = effective(trained("UNet"), measured[:8])
    used = (used / used.max()).clamp(min=1e-4).log10()[98:159, 98:159] / 4 + 1
    filter31 = best_linear(measured, x, (31,))[31]
    pair = {"seen by a UNet": used, "best linear filter": 0.5 + filter31 / filter31.abs().max()}
    save(utilities.show_images(pair, width=4.5), "chapter_receptive_field")


def draw_laboratories(x: torch.Tensor) -> None:
    """Pictures of what the playground and the laboratory of a chapter show."""
    solve = evaluation.baselines(task_operator())["TV"]  # it is told 20 degrees, as in the page
    rescnn, unet = trained("ResCNN"), trained("UNet")
    rows = {}
    for angle in (20, 60):
        y_delta = measure(x, task_operator(motion_angle=float(angle)))
        rows |= {
            f"measured, {angle}°": y_delta,
            f"TV, {angle}°": solve(y_delta),
            f"ResCNN, {angle}°": evaluation.reconstruct(rescnn, y_delta),
            f"UNet, {angle}°": evaluation.reconstruct(unet, y_delta),
        }
    save(utilities.show_images(rows, columns=4, width=8), "playground")
    pair = [rows["measured, 20°"], rows["UNet, 60°"]]
    save(utilities.show_images(pair, width=4.5), "chapter_playground")

    y_delta = rows["measured, 20°"]
    three = {
        "measured": y_delta,
        "SimpleCNN": evaluation.reconstruct(trained("SimpleCNN"), y_delta),
    }
    three["ResCNN"] = rows["ResCNN, 20°"]
    save(utilities.show_images(three, zoom=ZOOM, width=6.5), "lab_residual")


def draw_few_views() -> None:
    """What stands in the place of the figure of views where there are no scripts; a card."""
    task, K = TASKS["few_view"], few_view_projector()
    y_delta, x = task.measured(few_views.test_pictures("thorax")[1:2], K)
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
    titles = ("sinogram, 30 views", "filtered backprojection", "slice")
    for axis, picture, title in zip(axes, (y_delta, K.fbp(y_delta), x), titles, strict=True):
        is_image = picture.shape == x.shape
        axis.imshow(picture[0, 0], cmap="gray", aspect="equal" if is_image else "auto",
                    vmin=0, vmax=1 if is_image else None)  # fmt: skip
        axis.set_title(title, fontsize=10)
        axis.axis("off")
        if is_image:
            axis.add_patch(plt.Rectangle((140, 116), 7, 7, fill=False, edgecolor="C1"))
    save(figure, "few_views")
    pair = {"30 views": K.fbp(y_delta), "slice": x}
    save(utilities.show_images(pair, width=4.5), "chapter_few_view")


@torch.no_grad()
def main() -> None:
    """Draw the result, and one picture for each chapter."""
    x = sample_image("thorax")
    y_delta = measure(x, task_operator())
    draw_result(x, y_delta)
    draw_division(x)
    draw_inside_networks(y_delta)
    draw_fields()
    draw_laboratories(x)
    draw_insides(y_delta)
    draw_few_views()


if __name__ == "__main__":
    main()
