"""``python -m ippy train | evaluate | study | …``: everything from the command line."""

import argparse
import io
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ippy import commands as others
from ippy import evaluation, metrics, operators, paths, report, studies, training, weights
from ippy.files import atomic_write, require_writable
from ippy.images import sample_image
from ippy.networks import NETWORKS, find
from ippy.tasks import KERNEL, NOISE_LEVEL, SHAPE, Task, measure, task_operator


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ippy", description="Everything from the command line."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train networks and store their weights")
    train.add_argument(
        "keys",
        nargs="*",
        help=f"from {', '.join(NETWORKS)}; default: those that have weights",
    )
    train.add_argument("--all", action="store_true", help="every network, one after the other")
    train.add_argument("--data", default=os.environ.get("IPPY_DATA") or None, help="PNGs")
    train.add_argument("--resume", action="store_true", help="continue an interrupted run")
    train.add_argument("--out", type=Path, default=paths.output_dir(), help="weights folder")
    test = commands.add_parser("evaluate", help="measure networks beside the classical methods")
    test.add_argument("keys", nargs="+", metavar="key", help="network, such as UNet")
    test.add_argument("--data", default=os.environ.get("IPPY_DATA") or None, help="PNGs")
    test.add_argument("--json", action="store_true", help="print per-image values as JSON")
    test.add_argument("--kernel", type=Path, help="blur kernel: .npy file or a text matrix")
    test.add_argument("--noise-level", type=float, default=NOISE_LEVEL)
    test.add_argument("--seed", type=int, default=0, help="seed of the noise")
    test.add_argument("--images", type=int, metavar="N", help="the first N images; default: all")
    test.add_argument("--weights-dir", type=Path, help="folder; default: the book's weights")
    study = commands.add_parser("study", help="run an experiment of the book and store its result")
    study.add_argument("name", choices=sorted(studies.STUDIES))
    study.add_argument("--jobs", type=int, default=1, help="runs at a time, for a GPU; default: 1")
    again = study.add_mutually_exclusive_group()
    again.add_argument("--renew", action="store_true", help="run again what changed in its code")
    again.add_argument("--stale", action="store_true", help="list what is missing or out of date")
    again.add_argument("--accept", action="store_true", help="say that the changed code is as good")
    check = commands.add_parser("weights", help="check weight files, or write their table")
    check.add_argument("action", nargs="?", choices=["verify", "table"], default="verify")
    check.add_argument(
        "--weights-dir",
        type=Path,
        help=f"folder; default: the book's weights, for a table {paths.output_dir().name}/",
    )
    commands.add_parser("check", help="verify the weights and reconstruct one image")
    others.add_parsers(commands)
    return parser


def _train(args: argparse.Namespace) -> None:
    keys = list(NETWORKS) if args.all else args.keys
    keys = keys or [key for key in NETWORKS if (args.out / f"{key}.pth").is_file()]
    if not keys:
        raise ValueError(f"{args.out} holds no weights to renew; name a network, or --all")
    for key in keys:
        find(key)  # all names are known, and the folder, before the first hour of training
    try:
        require_writable(args.out)
    except OSError as error:
        raise ValueError(
            f"--out {str(args.out)!r} is no folder that can be written; name another"
        ) from error
    for key in keys:
        _, history = training.train_and_save(
            key, data=args.data, weights_dir=args.out, resume=args.resume
        )
        print(
            f"{key}: validation MSE {history['val_mse'][-1]:.3g} after "
            f"{history['seconds'] / 60:.1f} minutes, stored in {args.out / key}.pth"
        )
    if (args.out / "README.md").is_file():
        _write_table(args.out)


def _read_kernel(path: Path) -> torch.Tensor:
    try:
        kernel = np.load(path) if path.suffix == ".npy" else np.loadtxt(path, ndmin=2)
        if not isinstance(kernel, np.ndarray) or kernel.dtype.kind not in "biuf":
            raise ValueError("it holds no matrix of real numbers")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"kernel file {path.name} cannot be read ({error}); give a .npy file or a text file "
            "with one row of numbers per line"
        ) from error
    return torch.as_tensor(kernel)


def _common_task(tasks: dict[str, Task]) -> Task:
    """The task whose measurements all these networks take."""
    (first, task), *others = tasks.items()
    for key, other in others:
        if not task.measures_like(other):
            raise ValueError(
                f"{first} is trained for another task than {key} ({task.title!r} and "
                f"{other.title!r}): their measurements differ, evaluate them one by one"
            )
    return task


def _without_infinity(data: Any) -> Any:
    """Data for JSON, which has no infinite numbers, such as the PSNR of equal images: None."""
    if isinstance(data, dict):
        return {name: _without_infinity(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_without_infinity(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _evaluate(args: argparse.Namespace) -> None:
    networks, tasks = {}, {}
    for key in args.keys:
        networks[key], tasks[key] = others.load_network(key, args.weights_dir)
    task = _common_task(tasks)
    if args.images is not None and args.images < 1:
        raise ValueError(f"--images is {args.images}; expected at least 1")
    images = evaluation.images_of(task, args.data)[: args.images]
    operator = task.operator()
    if args.kernel:
        if not isinstance(operator, operators.Blurring):
            raise ValueError(
                f"--kernel is a blur, and {args.keys[0]} is trained for another task "
                f"({task.title!r}); leave it out"
            )
        operator = operators.Blurring(task.shape, kernel=_read_kernel(args.kernel))
    methods = evaluation.baselines(operator, args.noise_level, task)
    for key, model in networks.items():
        methods[key] = evaluation.network_method(model, operator, tasks[key])
    table = evaluation.evaluate(
        methods, images, operator, args.noise_level, task=task, seed=args.seed
    )
    mean = {n: {m: float(np.mean(v)) for m, v in t.items()} for n, t in table.items()}
    if args.json:
        settings = {"images": len(images), "noise_level": args.noise_level, "seed": args.seed}
        settings |= {"task": task.title, "data": args.data or "synthetic"}
        if isinstance(operator, operators.Blurring):
            settings["kernel"] = str(args.kernel or KERNEL)
        found = _without_infinity({**settings, "mean": mean, "per_image": table})
        print(json.dumps(found, indent=1, allow_nan=False))
        return
    print(f"{len(images)} images, noise level {args.noise_level:g}")
    print(f"{'':13s} {'MSE':>9s} {'PSNR':>6s} {'SSIM':>6s}")
    for name, value in mean.items():
        print(f"{name:13s} {value['mse']:9.2e} {value['psnr']:6.2f} {value['ssim']:6.3f}")


def _write_table(folder: Path) -> None:
    if not any(folder.glob("*.pth")):
        raise ValueError(f"there are no weights in {str(folder)!r}; choose a --weights-dir")
    atomic_write({folder / "README.md": report.weights_table(folder).encode()})
    print(f"the table of {folder / 'README.md'} is that of its cards")


def _weights(args: argparse.Namespace) -> None:
    if args.action == "table":
        return _write_table(args.weights_dir or paths.output_dir())
    verdicts = weights.verify(args.weights_dir)
    for key, verdict in verdicts.items():
        print(f"{key}: {verdict}")
    if not verdicts:
        folder = args.weights_dir or paths.WEIGHTS
        raise ValueError(
            f"there are no weights in {folder}; choose a --weights-dir, or {paths.restore()}"
        )
    if any(verdict != "ok" for verdict in verdicts.values()):
        raise ValueError("not all weights are in order")


def _study(args: argparse.Namespace) -> None:
    if args.stale:
        print("\n".join(studies.stale(args.name)) or f"{args.name}: nothing is out of date")
    elif args.accept:
        studies.accept(args.name)
    else:
        studies.run(args.name, renew=args.renew, jobs=args.jobs)


def _check() -> None:
    """All weights are what they claim, and the UNet does on this machine what it did on its own."""
    verdicts = weights.verify(paths.WEIGHTS)
    if bad := [f"{key}: {verdict}" for key, verdict in verdicts.items() if verdict != "ok"]:
        raise ValueError("; ".join(bad))
    x, K = sample_image("thorax", SHAPE), task_operator()
    y_delta = measure(x, K)
    model, start = weights.load("UNet"), time.perf_counter()
    x_hat = evaluation.reconstruct(model, y_delta)
    seconds = time.perf_counter() - start
    before, after = (metrics.psnr(image, x).item() for image in (y_delta, x_hat))
    print(
        f"      {len(verdicts)} networks verified; the UNet takes {before:.1f} dB to "
        f"{after:.1f} dB in {seconds:.1f} s with {torch.get_num_threads()} threads"
    )
    if not after > before + 10:
        raise ValueError("the reconstruction is not what it should be; install again")


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status. Expected failures end in one clear line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a code page that lacks a letter, such as ×
    args = _parser().parse_args(argv)
    run = {
        "train": _train,
        "evaluate": _evaluate,
        "weights": _weights,
        "study": _study,
        "check": lambda _: _check(),
        "receptive-field": others.run_receptive_field,
        "reconstruct": others.run_reconstruct,
    }[args.command]
    try:
        run(args)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, FloatingPointError, KeyError) as error:
        print(f"ippy: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
