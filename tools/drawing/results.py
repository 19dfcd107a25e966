"""Pictures of results for the README and the first page: ``python tools/drawing/results.py``."""

import functools
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageChops
from torch import nn

from ippy import datasets, evaluation, metrics, training, utilities
from ippy.images import sample_image
from ippy.operators import Blurring
from ippy.receptive_field import effective
from ippy.studies.width import best_linear
from ippy.tasks import KERNEL, measure, task_operator

matplotlib.use("Agg")
IMGS = Path(__file__).resolve().parents[2] / "imgs"
ZOOM = (104, 56, 64)


def save(figure, name: str, dpi: int = 110) -> None:
    """Store a figure as PNG: grey if it has no colours, without what changes from run to run."""
    file = IMGS / f"{name}.png"
    figure.savefig(file, dpi=dpi, metadata={"Software": None})
    with Image.open(file) as picture:
        grey = picture.convert("RGB").convert("L")
        if ImageChops.difference(grey.convert("RGB"), picture.convert("RGB")).getbbox() is None:
            grey.save(file, optimize=True, dpi=(dpi, dpi))


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


if __name__ == "__main__":
    main()
