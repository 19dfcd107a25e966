"""Commands for other people's networks and pictures: receptive fields, and pictures restored."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from ippy import evaluation, weights
from ippy.files import atomic_write
from ippy.networks import find
from ippy.pictures import read_picture
from ippy.receptive_field import ReceptiveField, TileOverlap, receptive_field, tile_overlap
from ippy.receptive_field.tiles import input_channels
from ippy.tasks import TASKS, Task

__all__ = [
    "add_parsers",
    "imported_network",
    "load_network",
    "run_receptive_field",
    "run_reconstruct",
]


def add_parsers(commands: Any) -> None:
    """Describe both commands to the subparsers of the command line."""
    field = commands.add_parser(
        "receptive-field",
        help="which input pixels an output of any network sees",
        description="Exact receptive field of a network that can be imported, layer by layer, and "
        "how far tiles of a large image must overlap.",
    )
    field.add_argument(
        "network",
        metavar="MODULE:CALLABLE",
        help="called without arguments it gives the network; such as torchvision.models:resnet18",
    )
    field.add_argument(
        "--input",
        metavar="N,C,H,W",
        help="shape of its input, larger than the field; default: 1,C,256,256, with the channels "
        "of its first convolution",
    )
    how = field.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print everything as JSON")
    how.add_argument("--table", action="store_true", help="print one line per layer")
    restore = commands.add_parser(
        "reconstruct",
        help="apply a network to picture files",
        description="Apply a network of the book to pictures that were blurred as its task says. "
        "PNG and TIFF, 8 or 16 bits; of colours the luminance is restored and the rest kept. Large "
        "pictures are handled in tiles.",
    )
    restore.add_argument("key", help="network, such as UNet")
    restore.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PNG or TIFF")
    restore.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for results")
    restore.add_argument("--force", action="store_true", help="overwrite what is in the folder")
    restore.add_argument("--weights-dir", type=Path, help="folder; default: the book's weights")


def load_network(key: str, folder: Path | None) -> tuple[nn.Module, Task]:
    """A network of the book, or the path of its weights, and the task that its card names.

    Raises:
        FileNotFoundError: If there are no weights.
        KeyError: If nobody knows a network of that name.
        ValueError: As :func:`ippy.weights.load`.
    """
    try:
        model = weights.load(key, weights_dir=folder)
        task = weights.task_of(weights.read_card(key, folder))
    except FileNotFoundError:
        if not Path(key).suffix:
            find(key)  # of a name that nobody knows it says so, and not how to train it
        raise
    if task not in TASKS:
        raise ValueError(
            f"the card of {key} names the task {task!r}, not one of {', '.join(TASKS)}"
        )
    return model, TASKS[task]


def imported_network(name: str) -> nn.Module:
    """A network from ``module:callable``, in evaluation mode.

    Raises:
        ValueError: If the name has another form, the module or the name cannot be imported, or
            calling it without arguments gives no network.
    """
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise ValueError(
            f"{name!r} names no network; expected MODULE:CALLABLE, such as "
            "torchvision.models:resnet18"
        )
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # whatever a stranger's module raises
        raise ValueError(
            f"cannot import {module!r} ({_one_line(error)}); install it, or run 'python -m ippy' "
            "in the folder where it lies"
        ) from error
    try:
        for part in path.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise ValueError(f"module {module!r} has no {path!r}; check the name") from None
    if not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:
            raise ValueError(
                f"{name} cannot be called without arguments ({_one_line(error)}); write a function "
                "that takes none and returns the network"
            ) from error
    if not isinstance(found, nn.Module):
        raise ValueError(f"{name} gives a {type(found).__name__}, expected a torch.nn.Module")
    return found.eval()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"--input is {text!r}, expected four numbers N,C,H,W such as 1,3,224,224")
    return shape


def run_receptive_field(args: argparse.Namespace) -> None:
    """Print the receptive field of ``args.network`` for an input of shape ``args.input``.

    Without a shape the input has 256 × 256 pixels and the channels of the first convolution.

    Raises:
        ValueError: If there is no such network, or its field cannot be followed; in one line.
    """
    given = None if args.input is None else _shape(args.input)
    model = imported_network(args.network)
    shape = given or (1, input_channels(model), 256, 256)
    try:
        field = receptive_field(model, shape)
    except (NotImplementedError, ValueError) as error:
        raise ValueError(_one_line(error)) from error
    tiles: TileOverlap | str
    try:
        tiles = tile_overlap(model, shape)
    except (NotImplementedError, ValueError) as error:
        tiles = _one_line(error)
    if args.json:
        print(json.dumps(_as_data(args.network, shape, field, tiles), indent=1))
        return
    if args.table:
        _print_table(field)
    height, width = (axis.extremes() for axis in field.axes)
    print(f"{args.network} on an input of {' × '.join(map(str, shape))}")
    print(f"field     {_extent(height)} × {_extent(width)} pixels (height × width)")
    print(f"outputs   {field.output_size[0]} × {field.output_size[1]}, every ", end="")
    print(f"{field.stride[0]} × {field.stride[1]} pixels")
    if field.global_layers:
        print(f"global    {', '.join(dict.fromkeys(field.global_layers))}")
    if isinstance(tiles, str):
        print(f"tiles     {tiles}")
    else:
        print(
            f"tiles     overlap by {tiles.height.pixels} × {tiles.width.pixels} pixels, begin at "
        )
        print(f"          multiples of {tiles.height.stride} × {tiles.width.stride}")


def _extent(extremes: tuple[int, int] | None) -> str:
    """Least to largest extent, or that the input is too small to tell."""
    if extremes is None:
        return "(larger than the input allows)"
    least, largest = extremes
    return str(least) if least == largest else f"{least} to {largest}"


def _print_table(field: ReceptiveField) -> None:
    print(f"{'layer':40s} {'operation':22s} {'size':>11s} {'height':>11s} {'stride':>7s}")
    for row in field.table():
        size, height = " × ".join(map(str, row["size"])), row["height"]
        extent = "-" if height is None else _extent(height).replace(" to ", "-")
        line = f"{row['layer'][-40:]:40s} {row['operation'][:22]:22s} {size:>11s} {extent:>11s}"
        print(f"{line} {row['stride'][0]!s:>7s}")


def _as_data(
    name: str, shape: tuple[int, ...], field: ReceptiveField, tiles: TileOverlap | str
) -> dict:
    """Everything that is known of a field, of numbers and strings."""
    height, width = (axis.extremes() for axis in field.axes)
    data: dict[str, Any] = {"network": name, "input": shape, "output": field.output_size}
    data |= {"height": height, "width": width, "stride": [str(jump) for jump in field.stride]}
    data |= {"global_layers": field.global_layers, "positional_layers": field.positional_layers}
    if isinstance(tiles, str):
        data["tiles"] = {"refused": tiles}
    else:
        data["tiles"] = {
            axis: {**overlap._asdict(), "jump": str(overlap.jump)}
            for axis, overlap in tiles._asdict().items()
        }
    rows = [{**row, "stride": [str(jump) for jump in row["stride"]]} for row in field.table()]
    return {**data, "layers": rows}


def run_reconstruct(args: argparse.Namespace) -> None:
    """Restore the pictures ``args.files`` with the network ``args.key``, into ``args.out``.

    Raises:
        FileNotFoundError: If weights or a picture are missing.
        FileExistsError: If a result is there already and ``args.force`` is not given.
        OSError: If a picture cannot be read, or a result written.
        ValueError: If two results have one name, the folder is that of a picture, or the network
            does not take pictures.
    """
    targets = _targets(args.files, args.out, args.force)
    model, task = load_network(args.key, args.weights_dir)
    operator = task.operator((64, 64))
    if operator.out_shape != operator.img_shape:
        raise ValueError(
            f"{args.key} is trained for another kind of measurement ({task.title}); expected a "
            "network of pictures, such as UNet"
        )
    for file, target in tqdm(targets.items(), "pictures", unit="picture", disable=len(targets) < 2):
        picture = read_picture(file)
        y_delta = picture.luminance
        shape = (int(y_delta.shape[2]), int(y_delta.shape[3]))
        try:
            method = evaluation.network_method(model, task.operator(shape), task)
            with torch.no_grad():
                x_hat = method(y_delta)
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
        atomic_write({target: picture.with_luminance(x_hat).encoded()})
    print(f"{len(targets)} of {len(targets)} pictures restored by {args.key} in {args.out}")


def _targets(files: list[Path], folder: Path, force: bool) -> dict[Path, Path]:
    """Where each result goes; everything that can be refused is refused before the first one."""
    targets: dict[Path, Path] = {}
    for file in files:
        target = folder / file.name
        if target in targets.values():
            raise ValueError(f"two pictures are called {file.name}; restore them into two folders")
        if not file.is_file():
            raise FileNotFoundError(f"no picture file {str(file)!r}; check the path")
        if target.exists() and target.samefile(file):
            raise ValueError(
                f"--out {str(folder)!r} is the folder of {file.name} itself, which would be lost; "
                "name another"
            )
        if target.exists() and not force:
            raise FileExistsError(
                f"{file.name} is there already in {str(folder)!r}; name another folder, or "
                "overwrite it with --force"
            )
        targets[file] = target
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {str(folder)!r} is no folder; name another")
    return targets
