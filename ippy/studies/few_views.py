"""Few-view tomography: every method, at home and away, and whether answers agree with the data."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ippy import datasets, evaluation, metrics, networks, results, weights
from ippy.datasets.phantoms import GENERATORS
from ippy.images import sample_image
from ippy.operators import CTProjector
from ippy.studies.comparison import insert_vessels
from ippy.studies.measures import FAMILIES, VERSION, rounded
from ippy.studies.runner import Run, identity
from ippy.studies.shared import once
from ippy.tasks import TASKS, VIEWS, data_step, few_view_projector

__all__ = [
    "CONTRASTS", "METHODS", "N_TEST", "NOISE_LEVELS", "N_VIEWS", "WEIGHTS", "residual",
    "test_pictures",
]  # fmt: skip

QUESTION = (
    "Few-view tomography: every method, at home and away, and whether answers agree with the data"
)

TASK = TASKS["few_view"]
#: Mixed test images, images of each family, and of each setting away from home.
N_TEST, N_FAMILY, N_AWAY = 32, 16, 12
N_VIEWS = (15, 20, 30, 45, 60)
NOISE_LEVELS = (0.0, 0.003, 0.01, 0.03, 0.1)
#: Grey values that inserted vessels add.
CONTRASTS = (0.04, 0.08, 0.16, 0.32)
#: Weights of the distance from a network's answer, tried on training images.
WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
N_TUNING = 12
#: What solves the task, from the projector and the measurements.
Method = Callable[[CTProjector, Tensor], Tensor]


def residual(K: CTProjector, y_delta: Tensor, x_hat: Tensor) -> Tensor:
    """Relative distance of an answer's sinogram from what was measured, (N,)."""
    return (K(x_hat) - y_delta).flatten(1).norm(dim=1) / y_delta.flatten(1).norm(dim=1)


@once
def test_pictures(kind: str = "mixed", split: str = "test") -> Tensor:
    """Clean pictures on the fine grid, uint8 (N_TEST, 1, 512, 512)."""
    images = datasets.SyntheticDataset(N_TEST, TASK.shape, kind=kind, split=split, version=VERSION)
    return datasets.materialise(datasets.FinePictures(images))


# --- methods ---


def _classical(name: str) -> Method:
    """A method without training; a penalty is weighed against the number of terms of the data."""
    if name.startswith("FBP"):
        window = "hann" if "Hann" in name else "ramp"
        return lambda K, y_delta: K.fbp(y_delta, window)
    lam = results.load(TASK.parameters)["chosen"][f"{TASK.noise_level:g}"][name]

    def method(K: CTProjector, y_delta: Tensor) -> Tensor:
        scaled = lam * len(K.angles) / VIEWS
        return evaluation.classical_method(name, K, scaled)(y_delta)

    return method


def _network(key: str) -> Method:
    """A network on the filtered backprojection."""
    model = weights.load(key)
    return lambda K, y_delta: evaluation.reconstruct(model, TASK.given(K, y_delta))


def _with_step(key: str, mu: float) -> Method:
    """A network, then one step towards the data."""
    network = _network(key)
    return lambda K, y_delta: data_step(K, y_delta, network(K, y_delta), mu)


#: Methods without training.
METHODS = ("FBP", "FBP (Hann)", "Tikhonov", "TV")


# --- what is measured ---


def _answers(
    f: Method, pictures: Tensor, views: int = VIEWS, level: float = TASK.noise_level
) -> tuple[CTProjector, Tensor, Tensor, Tensor]:
    """Projector, measurements, truth and a method's answers to clean pictures."""
    K = few_view_projector(TASK.shape, views)
    y_delta, x = TASK.measured(pictures, K, level)
    x_hat = torch.cat([f(K, part) for part in y_delta.split(8)])
    return K, y_delta, x, x_hat


def _mean(f: Method, pictures: Tensor, **settings: Any) -> float:
    _, _, x, x_hat = _answers(f, pictures, **settings)
    return round(metrics.psnr(x_hat, x).mean().item(), 3)


def _vessels(f: Method) -> dict[str, dict[str, list[float]]]:
    """Amplitude of vessels in the answer, where they are and where they are not; 1 is perfect."""
    plain = test_pictures("thorax")[:N_AWAY].float() / 255
    *_, x, without = _answers(f, plain)
    found: dict[str, dict[str, list[float]]] = {}
    for contrast in CONTRASTS:
        drawn = [insert_vessels(p[None], i, contrast, scale=2) for i, p in enumerate(plain)]
        *_, x_drawn, with_them = _answers(f, torch.cat([picture for picture, _ in drawn]))
        amplitudes: dict[str, list[float]] = {"with": [], "without": []}
        for i, (_, centres) in enumerate(drawn):
            for row, column in ((r // 2, c // 2) for r, c in centres):
                at = (i, 0, slice(row - 6, row + 7), slice(column - 6, column + 7))
                shape = x_drawn[at] - x[at]
                for name, image in (("with", with_them), ("without", without)):
                    part = ((image[at] - x[at]) * shape).sum() / shape.square().sum()
                    amplitudes[name].append(round(part.item(), 3))
        found[f"{contrast:g}"] = amplitudes
    return found


def _measure(load: Callable[[], Method]) -> dict:
    """Quality at home, by family of images, away from home; agreement with the data; vessels."""
    f = load()
    K, y_delta, x, x_hat = _answers(f, test_pictures())
    home = {m: rounded(getattr(metrics, m)(x_hat, x)) for m in ("psnr", "ssim")}
    of_family = {}
    for kind in FAMILIES:
        *_, truth, answer = _answers(f, test_pictures(kind)[:N_FAMILY])
        of_family[kind] = rounded(metrics.psnr(answer, truth))
    few = test_pictures()[:N_AWAY]
    world = torch.stack([sample_image(n, TASK.image_shape)[0] for n in ("camera", "cat")])
    return {
        **home,
        "psnr_families": of_family,
        "residual": rounded(residual(K, y_delta, x_hat)),
        "views": [_mean(f, few, views=views) for views in N_VIEWS],
        "noise": [_mean(f, few, level=level) for level in NOISE_LEVELS],
        "photographs": _mean(f, world),
        "vessels": _vessels(f),
    }


def _tune(key: str) -> dict:
    """Mean PSNR on training images before the data step, and after it for each weight."""
    f = _network(key)
    K, y_delta, x, x_hat = _answers(f, test_pictures("mixed", "train")[:N_TUNING])
    gains = [
        round(metrics.psnr(data_step(K, y_delta, x_hat, mu), x).mean().item(), 4) for mu in WEIGHTS
    ]
    return {"psnr_before": round(metrics.psnr(x_hat, x).mean().item(), 4), "psnr_of_mu": gains}


def _stepped(key: str) -> dict:
    """A network with the data step whose weight is best on training images."""
    tuned = _tune(key)
    mu = max(zip(tuned["psnr_of_mu"], WEIGHTS, strict=True))[1]
    return {**tuned, "mu": mu, **_measure(partial(_with_step, key, mu))}


def runs() -> list[Run]:
    """The classical methods, the networks, and each network with a step towards the data."""
    settings = (N_TEST, N_FAMILY, N_AWAY, N_VIEWS, NOISE_LEVELS, CONTRASTS, VERSION, TASK.probe())
    images: tuple[Callable, ...] = tuple(GENERATORS[VERSION].values())
    code: tuple[Callable | str, ...]
    found = []
    for name in METHODS:
        chosen = results.load(TASK.parameters)["chosen"][f"{TASK.noise_level:g}"].get(name)
        compute = partial(_measure, partial(_classical, name))
        code = (_measure, _vessels, evaluation.classical_method, *images)
        found.append(Run({"network": name}, compute, identity(chosen, *settings), code))
    for key in (k for k, n in networks.NETWORKS.items() if n.recipe.task == "few_view"):
        file = weights.WEIGHTS_DIR / f"{key}.pth"
        missing = "" if file.is_file() else f"no weights; run 'python -m ippy train {key}'"
        made = "" if missing else weights.read_card(key)["sha256"][:12]
        code = (_measure, _vessels, f"ippy.models.{networks.RECIPES[key].model}", *images)
        plain = partial(_measure, partial(_network, key))
        found.append(Run({"network": key}, plain, identity(made, *settings), code, missing))
        stepped = {"network": key, "data_step": True}
        depends = identity(made, WEIGHTS, N_TUNING, *settings)
        found.append(Run(stepped, partial(_stepped, key), depends, (_tune, *code), missing))
    return found
