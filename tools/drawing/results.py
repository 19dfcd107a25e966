"""Pictures of results for the README and the first page: ``python tools/drawing/results.py``."""

from pathlib import Path

import matplotlib
import torch

from ippy import data, evaluation, metrics, training, utilities
from ippy.operators import Blurring
from ippy.receptive_field import effective
from ippy.recipes import KERNEL, task_operator
from ippy.studies.width import best_linear

matplotlib.use("Agg")
IMGS = Path(__file__).resolve().parents[2] / "imgs"
ZOOM = (104, 56, 64)


def save(figure, name: str, dpi: int = 110) -> None:
    """Store a figure as PNG without the metadata that would change from run to run."""
    figure.savefig(IMGS / f"{name}.png", dpi=dpi, metadata={"Software": None})


@torch.no_grad()
def main() -> None:
    """Draw the result, and one picture for each chapter."""
    x, K = data.sample_image("thorax"), task_operator()
    y_delta = evaluation.measure(x, K)
    unet, _ = training.load_or_train("UNet")
    pictures = {"clean": x, "measured": y_delta}
    pictures |= {name: solve(y_delta) for name, solve in evaluation.baselines(K).items()}
    pictures["UNet"] = evaluation.reconstruct(unet, y_delta)
    titles = [
        name if name == "clean" else f"{name}, {metrics.psnr(p, x).item():.1f} dB"
        for name, p in pictures.items()
    ]
    save(
        utilities.show_images([*pictures.values()], titles=titles, zoom=ZOOM, width=8),
        "result",
        150,
    )

    C = Blurring((256, 256), boundary="circular", **KERNEL)
    noisy = evaluation.measure(x, C)
    naive = torch.fft.ifft2(torch.fft.fft2(noisy.double()) / C.transfer_function()).real
    chapter = {"measured": noisy, "divided by H": naive}
    save(utilities.show_images(chapter, width=4.5), "chapter_inverse_problems")

    cnn, _ = training.load_or_train("SimpleCNN")
    first = torch.relu(cnn.conv1(y_delta))
    second = torch.relu(cnn.conv2(first))
    chapter = {"first layer": strongest_map(first), "second layer": strongest_map(second)}
    save(utilities.show_images(chapter, width=4.5), "chapter_cnn")

    rescnn, _ = training.load_or_train("ResCNN")
    correction = evaluation.reconstruct(rescnn, y_delta) - y_delta
    chapter = {"measured": y_delta, "correction": correction}
    figure = utilities.show_images(chapter, vmin=[0, -0.3], vmax=[1, 0.3], width=4.5)
    save(figure, "chapter_residual_learning")

    x = data.materialise(data.SyntheticDataset(64)).float() / 255
    measured = evaluation.measure(x, K)
    with torch.enable_grad():
        used, _ = effective(unet, measured[:8])
    used = (used / used.max()).clamp(min=1e-4).log10()[98:159, 98:159] / 4 + 1
    filter31 = best_linear(measured, x, (31,))[31]
    chapter = {"seen by a UNet": used, "best linear filter": 0.5 + filter31 / filter31.abs().max()}
    save(utilities.show_images(chapter, width=4.5), "chapter_receptive_field")

    e1 = unet.enc1(y_delta)
    e3 = unet.enc3(unet.enc2(e1))
    chapter = {"first level": strongest_map(e1), "third level": strongest_map(e3)}
    save(utilities.show_images(chapter, width=4.5), "chapter_unet")

    attention, _ = training.load_or_train("AttentionUNet")
    seen = {}
    gate = attention.dec2.attn
    handle = gate.psi.register_forward_hook(lambda _, __, out: seen.update(alpha=out.sigmoid()))
    evaluation.reconstruct(attention, y_delta)
    handle.remove()
    chapter = {"measured": y_delta, "attention": seen["alpha"]}
    save(utilities.show_images(chapter, width=4.5), "chapter_unet_variants")

    x = data.sample_image("thorax")
    errors = {"error of TV": pictures["TV"] - x, "error of the UNet": pictures["UNet"] - x}
    save(utilities.show_images(errors, vmin=-0.1, vmax=0.1, width=4.5), "chapter_comparison")

    rows = {}
    for angle in (20, 60):
        y_delta = evaluation.measure(x, task_operator(motion_angle=float(angle)))
        rows |= {
            f"measured, {angle}°": y_delta,
            f"TV, {angle}°": evaluation.baselines(K)["TV"](y_delta),
            f"ResCNN, {angle}°": evaluation.reconstruct(rescnn, y_delta),
            f"UNet, {angle}°": evaluation.reconstruct(unet, y_delta),
        }
    save(utilities.show_images(rows, columns=4, width=8), "playground")
    save(
        utilities.show_images([rows["measured, 20°"], rows["UNet, 60°"]], width=4.5),
        "chapter_playground",
    )
    y_delta = rows["measured, 20°"]
    pair = {"measured": y_delta, "SimpleCNN": evaluation.reconstruct(cnn, y_delta)}
    pair["ResCNN"] = rows["ResCNN, 20°"]
    save(utilities.show_images(pair, zoom=ZOOM, width=6.5), "lab_residual")


def strongest_map(maps: torch.Tensor) -> torch.Tensor:
    """The channel that varies most, (1, C, H, W) -> (H, W), scaled to [0, 1]."""
    chosen = maps[0, maps[0].std((1, 2)).argmax()]
    return chosen / chosen.max()


if __name__ == "__main__":
    main()
