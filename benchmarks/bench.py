"""Benchmarks of training: ``python3 run.py bench [NAME ...]``, or ``--all`` for the long one too.

``speed`` (some minutes) measures on this machine what one training step, one fetched sample and
one reconstruction cost, ``projector`` (a minute) the CT projector, ``blur`` (a minute) the blur,
its adjoint and total variation, ``lecture`` (fifteen minutes) every cell of the book and the short
trainings of a lecture. ``quality`` (hours, resumable) trains networks; what the parts of a recipe
are worth is in the study ``recipe``. Results are stored in ``benchmarks/results`` together with the
machine; every call prints them all in one table. In the first two, things are compared by turns
within one run; ``quality`` multiplies steps by the seconds per step found in ``speed``. Numbers
there are medians, and (least, largest).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import blur
import lecture
import projector
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from ippy import datasets, evaluation, host, paths, results, studies, training
from ippy.files import atomic_write
from ippy.networks import RECIPES, Recipe
from ippy.operators import gaussian_noise
from ippy.studies.runner import Run, identity
from ippy.tasks import SHAPE, measure, task_operator

RESULTS = Path(__file__).parent / "results"
FLOAT32 = {"precision": "float32", "channels_last": True}


def alternate(functions: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Call all by turns, after one call each to warm up; seconds of each call.

    A function that returns a float has measured itself.
    """
    seconds = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            own = function()
            if turn:
                own = own if isinstance(own, float) else time.perf_counter() - start
                seconds[name].append(own)
    return seconds


# --- speed: one step of training, one sample, one reconstruction ---


class PNGFolder(Dataset):
    """The data set of the course as published: every item is decoded and resized when asked for."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.png"))
        self.transform = v2.Compose(
            [v2.Resize(SHAPE), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[index]).convert("L"))


def write_pngs(folder: Path, n_images: int = 16) -> None:
    """Write slices of 512 x 512 pixels, the size of the course's CT images."""
    for index, image in enumerate(datasets.SyntheticDataset(n_images, 512, kind="thorax")):
        Image.fromarray((image[0] * 255).byte().numpy()).save(folder / f"{index}.png")


def endless(loader: DataLoader) -> Iterator[torch.Tensor]:
    while True:
        yield from loader


def course_step(model: nn.Module, folder: Path) -> Callable[[], None]:
    """One step of the course's loop: float32, contiguous, 8 whole images, Adam as it comes."""
    batches = endless(DataLoader(PNGFolder(folder), batch_size=8, shuffle=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    K = task_operator()

    def step() -> None:
        x = next(batches)
        y = K(x)
        loss = F.mse_loss(model(y + gaussian_noise(y, 0.01)), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def our_step(
    model: nn.Module, images: torch.Tensor, recipe: Recipe, fast: dict | None = None
) -> float:
    """Seconds per step of ``ippy.training.train``, the loop that made the weights."""
    steps = 2 if recipe.crop is None else 16
    recipe = replace(recipe, steps=steps, val_every=steps)
    batch = training.MeasuredCrops(images, task_operator(), recipe)
    history = training.train(model, batch, recipe, progress=False, fast=fast)
    return history["seconds"] / steps


def variants(key: str, images: torch.Tensor, folder: Path) -> dict[str, Callable]:
    """The loops to compare, each with a network of its own."""
    new = RECIPES[key].build
    whole = replace(RECIPES[key], crop=None, batch_size=8)  # the same work as the course's step
    return {
        "course": course_step(new(), folder),
        "ours": partial(our_step, new(), images, whole),
        "ours, float32": partial(our_step, new(), images, whole, FLOAT32),
        "ours, crops": partial(our_step, new(), images, RECIPES[key]),
    }


def training_images() -> torch.Tensor:
    recipe = RECIPES["UNet"]
    return datasets.materialise(datasets.SyntheticDataset(data_shape=SHAPE, **recipe.data))


def flop(model: nn.Module, side: int) -> int:
    """Floating point operations of forward and backward on 8 images, counted by PyTorch."""
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(8, 1, side, side)).sum().backward()
    return counter.get_total_flops()


def matrix_peak(precision: torch.dtype, size: int = 2048, repeats: int = 8) -> float:
    """FLOP/s of the fastest of some products of square matrices."""
    a, b = (torch.randn(size, size).to(precision) for _ in range(2))
    return 2 * size**3 / min(alternate({"product": lambda: a @ b}, repeats)["product"])


def peak_memory(key: str, variant: str, folder: Path) -> float:
    """Largest resident memory, in GB, of a fresh process that takes steps with one loop."""
    command = [sys.executable, __file__, "--memory", key, variant, str(folder)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report_memory(key: str, variant: str, folder: str) -> None:
    """The fresh process of :func:`peak_memory`; what it reads only Linux has."""
    images = None if variant == "course" else training_images()
    step = variants(key, images, Path(folder))[variant]
    for _ in range(2):
        step()
    status = Path("/proc/self/status").read_text().split()
    print(int(status[status.index("VmHWM:") + 1]) * 1024 / 1e9)


def speed(rounds: int = 3) -> dict:
    """Measure steps of every network, samples and reconstructions."""
    images, found = training_images(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pngs(folder)
        for key, recipe in RECIPES.items():
            print(f"speed: {key}", file=sys.stderr, flush=True)
            row = {"seconds": alternate(variants(key, images, folder), rounds)}
            row["flop"] = flop(recipe.build(), 256)
            model = recipe.build().to(memory_format=torch.channels_last)
            for size in (1, 8):
                y = torch.rand(size, 1, *SHAPE)
                row[f"inference {size}"] = alternate(
                    {"": lambda y=y, m=model: evaluation.reconstruct(m, y, 8)},
                    rounds,
                )[""]
            if sys.platform == "linux":
                row["memory"] = {
                    variant: peak_memory(key, variant, folder) for variant in ("course", "ours")
                }
            found[key] = row
        peaks = {
            name: max(matrix_peak(precision) for _ in range(3))
            for name, precision in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
        }
        pngs = PNGFolder(folder)
        K, fresh = task_operator(), datasets.SyntheticDataset(64, SHAPE)
        index = torch.randint(len(images), (8,))
        x = images[index] / 255
        sample = alternate(
            {
                "decoded from a PNG": lambda: [pngs[i] for i in range(8)],
                "drawn": lambda: [fresh[i] for i in range(8)],
                "fetched": lambda: images.index_select(0, index) / 255,
                "blur and noise": lambda: measure(x, K, seed=0),
            },
            10,
        )
    return {"networks": found, "peaks": peaks, "seconds for 8 samples": sample}


# --- quality: how long until ours is as good as the course's recipe ---

# Measured on the images that ours is measured on: a validation error of other images says nothing.
IMAGES = {"data": RECIPES["UNet"].data, "val_images": RECIPES["UNet"].val_images}
COURSE = Recipe(
    "SimpleUNet", steps=800, crop=None, flips=False, schedule="constant", val_every=50, **IMAGES
)
# Long enough to pass the course's recipe: a schedule that ends later would also pass it later.
OURS = replace(RECIPES["UNet"], steps=1000, val_every=50)
CNN = replace(RECIPES["ResCNN"], steps=2500, val_every=50, **IMAGES)
QUALITY = {"course": COURSE, "ours": OURS, "ours, ResCNN": CNN}
# A course's run takes over 40 min; with two, both above 10, a third cannot pull the median below.
SEEDS = {"course": 2, "ours": 3, "ours, ResCNN": 3}


def fit(name: str, seed: int) -> dict:
    """Validation error step by step, and mean PSNR on the 32 test images.

    The seed decides all that is random: initialisation, batches, crops and noise.
    """
    checkpoint = paths.cache_dir() / "checkpoints" / f"bench {name} {seed}.pt"
    model, history = training.train_recipe(
        replace(QUALITY[name], seed=seed), checkpoint=checkpoint, resume=True
    )
    checkpoint.unlink(missing_ok=True)
    kept = {name: history[name] for name in ("val_step", "val_mse", "precision")}
    return {**kept, "test_psnr": evaluation.held_out_metrics(model)["network"]["psnr"][0]}


def quality() -> list[Run]:
    """All runs. The steps of the course's recipe are taken with our loop: the same, but sooner."""
    return [
        Run({"recipe": name, "seed": seed}, partial(fit, name, seed), identity(QUALITY[name]))
        for name, n_seeds in SEEDS.items()
        for seed in range(n_seeds)
    ]


def steps_until(run: dict, mse: float) -> int | None:
    """First validated step at which a run's validation error was at most ``mse``."""
    pairs = zip(run["val_step"], run["val_mse"], strict=True)
    return next((step for step, error in pairs if error <= mse), None)


# --- the table ---


def spread(values: list[float], factor: float = 1.0, digits: int = 2) -> str:
    """Median (least, largest) as text."""
    shown = [f"{factor * v:.{digits}f}" for v in (median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]}, {shown[2]})"


def ratio(a: list[float], b: list[float]) -> str:
    """Quotients of two lists measured by turns, turn by turn."""
    return spread([x / y for x, y in zip(a, b, strict=True)], digits=1)


def speed_rows(stored: dict) -> Iterator[tuple[str, str, str]]:
    peaks = stored["peaks"]
    for name, peak in peaks.items():
        yield f"matrix product, {name}", f"{peak / 1e9:.0f} GFLOP/s", ""
    for key, row in stored["networks"].items():
        seconds = row["seconds"]
        fast = stored["precision"]
        yield f"{key}: step of the course's loop", spread(seconds["course"]) + " s", ""
        for name in ("ours", "ours, float32", "ours, crops"):
            text = spread(seconds[name], digits=3) + " s"
            note = f"ratio {ratio(seconds['course'], seconds[name])}"
            if name != "ours, crops":
                rate = row["flop"] / median(seconds[name])
                share = rate / peaks["float32" if "float32" in name else fast]
                note += f"; {rate / 1e9:.0f} GFLOP/s, {share:.0%} of the product's peak"
            yield f"{key}: step, {name}", text, note
        for size in (1, 8):
            yield f"{key}: reconstruct {size}", spread(row[f"inference {size}"], 1e3, 0) + " ms", ""
        if "memory" in row:
            used = row["memory"]
            yield f"{key}: peak memory", f"{used['ours']:.2f} GB", f"course {used['course']:.2f} GB"
    for name, values in stored["seconds for 8 samples"].items():
        yield f"one sample {name}", spread(values, 1e3 / 8, 3) + " ms", ""
    share = [
        median(stored["seconds for 8 samples"]["blur and noise"])
        / median(stored["networks"]["UNet"]["seconds"][name])
        for name in ("ours", "ours, crops")
    ]
    yield "blur and noise in a UNet step", f"{share[0]:.1%}", f"with crops {share[1]:.1%}"


def quality_rows(stored: results.Study) -> Iterator[tuple[str, str, str]]:
    steps = json.loads((RESULTS / "speed.json").read_text("utf-8"))["networks"]["UNet"]["seconds"]
    course, ours = median(steps["course"]), median(steps["ours, crops"])
    ratios = []
    for seed in range(SEEDS["course"]):
        target = stored.run(recipe="course", seed=seed)["val_mse"][-1]
        needed = steps_until(stored.run(recipe="ours", seed=seed), target)
        ratios.append(COURSE.steps * course / (needed * ours) if needed else 0.0)
        note = f"validation MSE {target:.2e}; ours after step {needed}"
        yield f"time to quality, seed {seed}", f"ratio {ratios[-1]:.1f}", note
    yield "time to quality", f"ratio {spread(ratios, digits=1)}", "0.0: not reached"
    for name, recipe in QUALITY.items():
        runs = stored.runs(recipe=name)
        mse = spread([1e4 * run["val_mse"][-1] for run in runs])
        psnr = spread([run["test_psnr"] for run in runs])
        yield (
            f"{SEEDS[name]} seeds: {name}",
            psnr + " dB",
            f"{recipe.steps} steps; validation MSE {mse} e-4",
        )


def projector_rows(stored: dict) -> Iterator[tuple[str, str, str]]:
    seconds = stored["seconds"]
    for name, values in seconds.items():
        note = f"scikit-image / this: {ratio(seconds['scikit-image'], values)}"
        if name in stored["disc error"]:
            note += f"; error on a disc {stored['disc error'][name]:.3f} pixels"
        yield f"8 images, 180 angles: {name}", spread(values, digits=3) + " s", note
    yield "CTProjector: matrices built once", f"{stored['built']:.1f} s", ""


def blur_rows(stored: dict) -> Iterator[tuple[str, str, str]]:
    """Ratios are turn by turn: adjoint over forward, before over now."""
    before = "{}, padded by conv2d"
    for row in stored["operators"]:
        seconds = row["seconds"]
        forward, adjoint = seconds["forward"], seconds["adjoint"]
        note = f"forward × {ratio(adjoint, forward)}; before, "
        old = [seconds[before.format(name)] for name in ("adjoint", "forward")]
        note += f"forward × {ratio(*old)}"
        label = f"adjoint of a blur, {row['kernel']} pixels, batch {row['batch']}"
        yield label, spread(adjoint, 1e3) + " ms", note
    for row in stored["solver"]:
        seconds, name = row["seconds"], "total variation"
        note = f"{row['iterations']} iterations; first edition / now: "
        note += ratio(seconds[f"{name}, first edition"], seconds[name])
        yield f"{name}, batch {row['batch']}", spread(seconds[name]) + " s", note


def lecture_rows(stored: dict) -> Iterator[tuple[str, str, str]]:
    for name, cells in stored["cells"].items():
        seconds = [cell["seconds"] for cell in cells]
        yield f"chapter {name}", f"{sum(seconds):.0f} s", f"longest cell {max(seconds):.1f} s"
    for name, run in stored["quick"].items():
        note = f"{run['steps']} steps, {run['before']:.1f} to {run['after']:.1f} dB"
        yield f"live training: {name}", f"{run['seconds']:.0f} s", note


PARTS = {
    "speed": speed_rows,
    "projector": projector_rows,
    "blur": blur_rows,
    "lecture": lecture_rows,
    "quality": quality_rows,
}


def table() -> None:
    """Print all results that are stored."""
    for name, rows in PARTS.items():
        path = RESULTS / f"{name}.json"
        if not path.is_file():
            print(f"{name}: no result; run 'python3 run.py bench {name}'")
            continue
        stored = results.read(path)
        machine = stored["machine"]
        print(f"\n{name}: {machine['processor']}, {machine['threads']} threads")
        for label, value, note in rows(stored):
            print(f"  {label:40} {value:28} {note}")


def main(argv: list[str]) -> None:
    if argv[:1] == ["--memory"]:
        return report_memory(*argv[1:])
    parser = argparse.ArgumentParser(prog="run.py bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--all", action="store_true", help="all of them")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.names) - set(PARTS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in PARTS if chosen.all else chosen.names or ["speed"]:
        if name in ("speed", "projector", "blur", "lecture"):
            facts = {"machine": host.machine(), "precision": training.fast_path()["precision"]}
            measure = {"speed": speed, "lecture": lecture.run}
            measure |= {"projector": partial(projector.run, alternate)}
            measure |= {"blur": partial(blur.run, alternate)}
            measured = measure[name]()
            text = json.dumps({**facts, **measured}, indent=1) + "\n"
            atomic_write({RESULTS / f"{name}.json": text.encode()})
        else:
            studies.run(name, RESULTS, (quality, None))
    table()


if __name__ == "__main__":
    main(sys.argv[1:])
