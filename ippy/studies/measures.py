"""What several studies measure, networks and classical methods, and measures they share.

All networks and classical methods are given the same test images and noise; values per image are
stored, so that pages can compare image by image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ippy import datasets, evaluation, metrics, results, weights
from ippy.datasets.phantoms import GENERATORS
from ippy.images import sample_image
from ippy.networks import NETWORKS, taught
from ippy.operators import Operator
from ippy.studies import trained
from ippy.studies.runner import Run, identity
from ippy.studies.shared import once
from ippy.tasks import NOISE_LEVEL, SHAPE, TASKS, Task, measure, task_operator

__all__ = [
    "CLASSICAL",
    "FAMILIES",
    "FOREIGN",
    "N_TEST",
    "SEEDS",
    "VERSION",
    "Method",
    "Subject",
    "Told",
    "apply",
    "classical",
    "compared",
    "facts",
    "families",
    "family",
    "foreign_images",
    "inside",
    "quality",
    "rounded",
    "shipped",
    "short",
    "test_images",
    "test_pairs",
    "truths",
]

#: What gives images (N, 1, H, W) for measurements.
Method = Callable[[Tensor], Tensor]
#: Seeds of the networks that are trained for a share of the budget.
SEEDS = (0, 1, 2)
#: Version of the procedural images that studies test on.
VERSION = 3
#: Their families.
FAMILIES = tuple(GENERATORS[VERSION])
#: Sample images of kinds that no network has seen, two photographs and an MR slice.
FOREIGN = ("camera", "cat", "abdomen_mr")
#: Number of test images, mixed ones and of each family.
N_TEST = 32
#: Methods that are not trained.
CLASSICAL = ("measurement", "Tikhonov", "TV")


@dataclass(frozen=True)
class Subject:
    """What a study measures: a network or a classical method.

    Args:
        fields: What tells it from others, for :class:`ippy.studies.Run`.
        load: Gives the network or method, and the history of its training or None.
        depends: What it depends on, as a hash.
        code: Functions and names whose code decides what it is.
        missing: Why it cannot be measured here.
    """

    fields: dict
    load: Callable[[], tuple[Method | nn.Module, dict | None]]
    depends: str
    code: tuple[Callable | str, ...]
    missing: str = ""

    def run(self, measure: Callable[["Subject"], dict], *settings: object) -> Run:
        """The run that measures it; ``settings`` are plain data that the result depends on."""
        depends = identity(self.depends, VERSION, *settings)
        code = (measure, *self.code, *GENERATORS[VERSION].values())
        return Run(self.fields, partial(measure, self), depends, code, self.missing)


class Told(nn.Module):
    """A network with what its task does before and after it, as one network of measurements.

    Args:
        model: The network.
        operator: The forward model that it is told.
        task: Says what the network is given, and how its answer is finished.
    """

    def __init__(self, model: nn.Module, operator: Operator, task: Task) -> None:
        super().__init__()
        self.model, self.operator, self.task = model, operator, task

    def forward(self, y_delta: Tensor) -> Tensor:
        """Map measurements ``(N, 1, H, W)`` to reconstructions of the same shape."""
        given = self.task.given(self.operator, y_delta)
        return self.task.finish(self.operator, y_delta, self.model(given))


def compared() -> list[str]:
    """Keys of the networks that are compared on the book's blur: those taught, those told it."""
    told = [key for key, network in NETWORKS.items() if network.recipe.task == "told_deblurring"]
    return taught() + told


def short(name: str, seed: int, budget: str = "short") -> Subject:
    """A network of :mod:`ippy.studies.trained`, after a share of the full training.

    Args:
        name, seed: Network and seed.
        budget: Key of :data:`ippy.studies.trained.BUDGETS`.
    """
    variant = trained.variant(name)
    base = None if variant.base == name else variant.base
    fields = {"network": name, "base": base, **variant.settings(), "seed": seed}
    return Subject(
        {field: value for field, value in fields.items() if value is not None},
        partial(trained.trained, name, seed, budget),
        trained.depends(name, seed, budget),
        trained.code(name),
    )


def shipped(key: str, operator: Operator | None = None) -> Subject:
    """A network with the weights that come with the book.

    Args:
        key: Key of a network whose measurements are blurred images.
        operator: What a network is told that is given more than the measurement; the book's blur
            if None.
    """
    fields, found = {"network": key, "weights": "shipped"}, weights.WEIGHTS_DIR / f"{key}.pth"
    task = TASKS[NETWORKS[key].recipe.task]
    code: tuple[Callable | str, ...] = (f"ippy.models.{NETWORKS[key].recipe.model}",)

    def load() -> tuple[nn.Module, None]:
        model = weights.load(key)
        if not task.gives_measurement:
            model = Told(model, operator or task_operator(), task)
        return model.to(trained.training_device()), None

    if not found.is_file():
        missing = f"it has no weights; train them with 'python -m ippy train {key}'"
        return Subject(fields, load, "", code, missing)
    made = weights.read_card(key)["sha256"][:12]
    if not task.gives_measurement:
        made, code = identity(made, task.probe()), (*code, Told)
    return Subject(fields, load, made, code)


def classical(name: str) -> Subject:
    """A classical method with its chosen parameter; ``"measurement"`` does nothing."""
    chosen = results.load("baselines")["chosen"][f"{NOISE_LEVEL:g}"]
    depends = identity(chosen.get(name), TASKS["deblurring"].probe())

    def load() -> tuple[Method, None]:
        if name == "measurement":
            return (lambda y_delta: y_delta), None
        return evaluation.baselines(task_operator())[name], None

    return Subject({"network": name}, load, depends, (evaluation.baselines, task_operator))


def apply(f: Method | nn.Module, y_delta: Tensor) -> Tensor:
    """Reconstructions (N, 1, H, W) of a network or a classical method."""
    return evaluation.reconstruct(f, y_delta) if isinstance(f, nn.Module) else f(y_delta)


def rounded(values: Tensor | Sequence[float], digits: int = 5) -> list[float]:
    """Numbers with as many significant digits as a stored result keeps."""
    return [float(f"{float(v):.{digits}g}") for v in values]


@once
def test_images(n: int | None = None, kind: str = "mixed", noise: bool = True) -> Tensor:
    """The first ``n`` test images, float32 (n, 1, 256, 256): never trained on, never tuned on.

    Args:
        n: Number of images; :data:`N_TEST` if None.
        kind: ``"mixed"`` or one of :data:`FAMILIES`.
        noise: Whether the thorax has the noise of its scanner; the others have none.
    """
    images = datasets.SyntheticDataset(
        n or N_TEST, SHAPE, kind=kind, split="test", version=VERSION, noise=noise
    )
    return datasets.materialise(images).float() / 255


@once
def test_pairs(n: int | None = None, kind: str = "mixed") -> tuple[Tensor, Tensor]:
    """Measurements and truth of the first ``n`` test images; arguments as :func:`test_images`."""
    x = test_images(n, kind)
    return measure(x, task_operator()), x


def foreign_images() -> Tensor:
    """The images of :data:`FOREIGN`, float32 (3, 1, 256, 256)."""
    return torch.cat([sample_image(name, SHAPE) for name in FOREIGN])


def inside(x: Tensor) -> Tensor:
    """Pixels that have brighter ones (> 0.2) on all four sides: the body, without the air around.

    Args:
        x: Clean images (N, 1, H, W) in [0, 1].

    Returns:
        Mask of the same shape.
    """
    bright = (x > 0.2).int()
    found = torch.ones_like(bright)
    for axis in (2, 3):
        found *= bright.cummax(axis)[0] * bright.flip(axis).cummax(axis)[0].flip(axis)
    return found.bool()


def quality(f: Method | nn.Module) -> dict:
    """MSE, PSNR and SSIM of each of the mixed test images."""
    y_delta, x = test_pairs()
    x_hat = apply(f, y_delta)
    return {m: rounded(getattr(metrics, m)(x_hat, x)) for m in ("mse", "psnr", "ssim")}


def truths(f: Method | nn.Module) -> dict:
    """PSNR against other truths than the image that was measured.

    Returns:
        ``psnr_noise_free``: of the mixed test images against their pictures without the scanner's
        noise, which nobody can reconstruct; ``psnr_inside``: of thorax phantoms inside the body.
    """
    noise_free = metrics.psnr(apply(f, test_pairs()[0]), test_images(None, "mixed", False))
    y_delta, x = test_pairs(None, "thorax")
    within = metrics.psnr(apply(f, y_delta), x, mask=inside(x))
    return {"psnr_noise_free": rounded(noise_free), "psnr_inside": rounded(within)}


def families(f: Method | nn.Module) -> dict[str, list[float]]:
    """PSNR of each test image of each family."""
    return {kind: family(f, kind) for kind in FAMILIES}


def family(f: Method | nn.Module, kind: str) -> list[float]:
    """PSNR of each test image of one family."""
    y_delta, x = test_pairs(None, kind)
    return rounded(metrics.psnr(apply(f, y_delta), x))


def facts(f: Method | nn.Module, history: dict | None) -> dict:
    """The size of a network, and how its training went."""
    found: dict = {}
    if isinstance(f, nn.Module):
        found["parameters"] = sum(p.numel() for p in f.parameters())
    if history:
        found["train_seconds"] = round(history["seconds"])
        found |= {"val_step": history["val_step"], "val_mse": rounded(history["val_mse"])}
    return found
