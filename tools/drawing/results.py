"""Pictures of results for the README and the first page: ``python tools/drawing/results.py``."""

import base64
import functools
import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from moving import front
from PIL import Image, ImageChops
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
#: Rows and columns of the phantom on the first page.
FRONT = slice(72, 168), slice(32, 224)
PIECE = IMGS.parent / "book" / "_static" / "small" / "thorax.js"
PIECE_MODULE = """// A piece of the thorax phantom, 128 of its 256 pixels along each side, as a
// picture in text: pages that are opened from a disk may not read the pixels of a file. Written by
// tools/drawing/results.py.
import { make, pen } from "../lab/dom.js";

export const CROP = 128; // pixels of a side
export const PIECE = "data:image/png;base64,"
%s;

/** Its grey values in [0, 1], row by row. @returns {Promise<Float64Array>} */
export async function thorax() {
  const image = make("img", { src: PIECE });
  await image.decode();
  const canvas = make("canvas", { width: CROP, height: CROP }), context = pen(canvas);
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, CROP, CROP);
  return Float64Array.from({ length: CROP * CROP }, (_, i) => data[4 * i] / 255);
}
"""


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


def write_piece(x: torch.Tensor) -> None:
    """The piece of a phantom that small figures compute with, also in pages from a disk."""
    piece = x[0, 0, 48:176, 16:144].mul(255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(piece).save(file, "PNG", optimize=True)
    text = base64.b64encode(file.getvalue()).decode()
    lines = [f'  + "{text[k : k + 92]}"' for k in range(0, len(text), 92)]
    PIECE.write_text(PIECE_MODULE % "\n".join(lines), encoding="utf-8")


def draw_small_figures(x: torch.Tensor) -> None:
    """What stands in the place of the small figures where there are no scripts."""
    x_piece, K = x[..., 48:176, 16:144], task_operator((128, 128))
    kernel = F.pad(K.kernel, (12, 12, 12, 12)) / K.kernel.max()
    transfer = torch.fft.fftshift(K.transfer_function((128, 128)).abs())
    pictures = {"kernel": kernel, "|H|": transfer, "blurred": K(x_piece)}
    save(utilities.show_images(pictures, width=6.5), "drag_kernel", dpi=90)

    y_delta = measure(x_piece, K)
    pictures = {"measured": y_delta}
    pictures |= {name: solve(y_delta) for name, solve in evaluation.baselines(K).items()}
    save(utilities.show_images(pictures, width=6.5), "drag_lambda", dpi=90)

    task, scan = TASKS["few_view"], few_view_projector()
    sinogram, truth = task.measured(few_views.test_pictures("thorax")[1:2], scan)
    faults = {"motion blur": measure(truth, task_operator()), "streaks": scan.fbp(sinogram)}
    window, panels = slice(94, 119), {}
    for name, image in faults.items():
        panels |= {name: image, f"{name}, seen": image[..., window, window]}
    figure = utilities.show_images(panels, width=8)
    for axis in figure.axes[::2]:
        axis.add_patch(plt.Rectangle((93.5, 93.5), 25, 25, fill=False, edgecolor="C1", lw=1.5))
    save(figure, "drag_window", dpi=90)


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


def draw_front(x: torch.Tensor, y_delta: torch.Tensor) -> None:
    """The moving picture of the first page: a piece of the phantom that is blurred and repaired."""
    rows, columns = FRONT

    def piece(image: torch.Tensor) -> torch.Tensor:
        return image[0, 0, rows, columns]

    blurs = [Blurring((256, 256), **(KERNEL | {"kernel_size": side})) for side in (3, 5, 7, 9)]
    blurred = [piece(x), *(piece(blur(x)) for blur in blurs)]
    repaired = evaluation.reconstruct(trained("UNet"), y_delta)
    drawing = front(blurred, piece(y_delta), piece(repaired))
    (IMGS / "front.svg").write_text(drawing, encoding="utf-8", newline="\n")


@torch.no_grad()
def main() -> None:
    """Draw the result, and one picture for each chapter."""
    plotting.book_style()
    x = sample_image("thorax")
    y_delta = measure(x, task_operator())
    draw_front(x, y_delta)
    draw_result(x, y_delta)
    draw_division(x)
    draw_inside_networks(y_delta)
    draw_fields()
    draw_laboratories(x)
    draw_insides(y_delta)
    write_piece(x)
    draw_small_figures(x)
    draw_few_views()


if __name__ == "__main__":
    main()
