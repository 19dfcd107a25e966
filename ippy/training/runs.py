"""From a recipe to weights: ``load_or_train`` and what it is made of."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import Dataset

from ippy import datasets, paths, weights
from ippy.evaluation import held_out_metrics
from ippy.files import require_writable
from ippy.images import sample_image
from ippy.networks import Recipe, find
from ippy.seeds import seeded
from ippy.tasks import TASKS
from ippy.training.batches import Batch, MeasuredCrops, validation_pairs
from ippy.training.devices import accelerator
from ippy.training.live import LiveView
from ippy.training.loop import train
from ippy.training.pairs import PairedCrops, given_pairs

__all__ = ["batches_of", "load_or_train", "train_and_save", "train_recipe"]


def _training_images(
    recipe: Recipe, data: str | os.PathLike | None, shape: tuple[int, int]
) -> tuple[Dataset | Tensor, Dataset | Tensor]:
    """Training and validation images: procedural, or the train folder of a Mayo directory.

    ``shape`` is that of the reconstructions; a task that is measured on a finer grid has images of
    twice that size.
    """
    finer = TASKS[recipe.task].finer
    if not data:
        val = {**recipe.data, "n_images": recipe.val_images}
        sets = [
            datasets.SyntheticDataset(data_shape=shape, split=split, **options)
            for split, options in (("train", recipe.data), ("val", val))
        ]
        train_set, val_set = map(datasets.FinePictures, sets) if finer else sets
        return train_set, val_set
    folder = datasets.MayoDataset(data, (2 * shape[0], 2 * shape[1]) if finer else shape)
    patients = [file.parent for file in folder.files]
    cut = patients.index(patients[-1]) or int(0.9 * len(patients))  # the last patient validates
    if cut < 1:
        raise ValueError(f"{data} holds {len(folder)} image(s); training needs at least 2")
    images = datasets.materialise(folder)
    return images[:cut], images[cut:]


def batches_of(
    recipe: Recipe, train_set: Dataset | Tensor, val_set: Dataset | Tensor
) -> tuple[Batch, tuple[Tensor, Tensor]]:
    """The batches of a recipe, and its validation: what the network is given and the truth.

    Where a network is given the measurement, crops are measured in every step; where it is given a
    reconstruction, that is computed once for every image, and kept.

    Args:
        recipe: What is to be trained; its task says what a network is given.
        train_set: Training images, of the size ``task.image_shape``.
        val_set: Validation images of that size.
    """
    task = TASKS[recipe.task]
    if task.gives_measurement:
        operator = task.operator()
        batch = MeasuredCrops(train_set, operator, recipe)
        return batch, validation_pairs(val_set, operator, recipe)
    # seeds of the sets and not of the recipe: runs of several seeds share what was computed
    given, truth = given_pairs(task, train_set, recipe.noise_level, seed=1)
    pairs = PairedCrops(given, truth, recipe).to(accelerator().device)
    given, truth = given_pairs(task, val_set, recipe.noise_level, seed=2)
    n = recipe.val_images
    return pairs, (given[:n].float(), truth[:n].float() / 255)


def train_recipe(
    recipe: Recipe,
    *,
    data: str | os.PathLike | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    callback: Callable[[int, nn.Module, dict], object] | None = None,
) -> tuple[nn.Module, dict]:
    """Build the network of a recipe and train it on the recipe's (or a folder's) images.

    Args:
        recipe: What to train.
        data: Folder of PNGs (``<folder>/<patient>/*.png``); procedural images if None.
        checkpoint: File for checkpoints; none are written without it.
        resume: Continue from ``checkpoint`` if it is there.
        callback: As in :func:`train`.

    Returns:
        The network, on the CPU and in evaluation mode, and its history.
    """
    batch, validation = batches_of(
        recipe, *_training_images(recipe, data, TASKS[recipe.task].shape)
    )
    with seeded(recipe.seed):
        model = recipe.build()
    history = train(
        model,
        batch,
        recipe,
        validation=validation,
        checkpoint=checkpoint,
        resume=resume,
        callback=callback,
    )
    return model.cpu().eval(), history


def load_or_train(
    key: str,
    *,
    data: str | os.PathLike | None = None,
    weights_dir: str | os.PathLike | None = None,
) -> tuple[nn.Module, dict]:
    """Load the trained network ``key``, or train it with visible progress if it is not there.

    With the environment variable ``IPPY_TRAIN=quick`` a live run of less than a minute takes the
    place of loading, on this machine, now, with a moving loss curve and reconstruction in a
    notebook (:class:`ippy.training.LiveView`); shipped weights are neither used nor touched.

    Args:
        key: Key of :data:`ippy.networks.NETWORKS`, such as ``"UNet"``.
        data: Folder with training images; procedural images if None.
        weights_dir: Folder of the weight files; as in :func:`ippy.weights.load` if None.

    Returns:
        The network in evaluation mode and its history.

    Raises:
        KeyError: If there is no such network.
        ValueError: If the weights are there but damaged; nothing is overwritten.
    """
    recipe = find(key).recipe
    mode = os.environ.get("IPPY_TRAIN", "")
    if mode not in ("", "quick"):
        raise ValueError(f"IPPY_TRAIN is {mode!r}; set it to 'quick' or leave it unset")
    if mode == "quick":
        return _train_live(key, data)
    path = Path(weights_dir) / f"{key}.pth" if weights_dir else paths.weight_file(key)
    if not path.is_file():
        print(f"{key}: no weights in {path.parent.name}/, training for {recipe.steps} steps")
        return train_and_save(key, data=data, weights_dir=path.parent, resume=True)
    model, card = weights.load(path), weights.read_card(path)
    trained = f", trained for {card['recipe']['steps']:,} steps" if "recipe" in card else ""
    print(f"{key}: {card['parameters']:,} parameters{trained}")
    return model, card.get("history", {})


def _train_live(key: str, data: str | os.PathLike | None) -> tuple[nn.Module, dict]:
    """A short run before the eyes of an audience; nothing is stored."""
    network = find(key)
    recipe, task = network.recipe, network.task
    _, given, x = task.simulate(sample_image("thorax", task.image_shape))
    view = LiveView(x, given)
    model, history = train_recipe(recipe.quick(), data=data, callback=view)
    steps, (before, *_, after) = history["step"][-1], [view.measured, *view.psnrs]
    print(
        f"{key}: trained live for {steps} steps, {before:.1f} -> {after:.1f} dB on a phantom; "
        "the shipped weights are untouched"
    )
    return model, history


def train_and_save(
    key: str,
    *,
    data: str | os.PathLike | None = None,
    weights_dir: str | os.PathLike | None = None,
    resume: bool = False,
) -> tuple[nn.Module, dict]:
    """Train ``key``, store weights and card in ``weights_dir``, then drop the checkpoint.

    Arguments and result are those of :func:`load_or_train`; ``resume`` continues from the
    checkpoint in the user's cache directory. Where nothing can be written there, it trains without
    checkpoints, and says so.

    Raises:
        OSError: If ``weights_dir`` cannot be written; it is tried before the training.
    """
    recipe = find(key).recipe
    tag = hashlib.sha256(json.dumps([recipe.as_dict(), str(data)]).encode()).hexdigest()[:8]
    folder = Path(weights_dir or paths.output_dir())
    require_writable(folder)
    checkpoint: Path | None = None
    try:
        require_writable(paths.cache_dir() / "checkpoints")
        checkpoint = paths.cache_dir() / "checkpoints" / f"{key}-{tag}.pt"
    except OSError as error:
        warnings.warn(
            f"no checkpoints are kept, so an interrupted training is lost: {error}; set IPPY_CACHE "
            "to a folder that can be written",
            stacklevel=2,
        )
    model, history = train_recipe(recipe, data=data, checkpoint=checkpoint, resume=resume)
    joined = accelerator()
    if joined.is_main_process:
        card = {
            "model": recipe.model,
            "model_args": recipe.model_args,
            "recipe": recipe.as_dict(),
            "data": "folder of images" if data else f"synthetic v{datasets.GENERATOR_VERSION}",
            "metrics": held_out_metrics(model, task=TASKS[recipe.task]),
            "history": history,
        }
        weights.save(model, folder / f"{key}.pth", card)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
    joined.wait_for_everyone()
    return model, history
