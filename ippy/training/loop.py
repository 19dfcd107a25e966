"""The training loop: measurements made on the fly, checkpoints, resume, ``load_or_train``."""

import hashlib
import io
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from tqdm import TqdmWarning, tqdm

from ippy import data as datasets
from ippy import phantoms, weights
from ippy.evaluation import held_out_metrics, measure
from ippy.live import LiveView
from ippy.operators import Operator
from ippy.recipes import RECIPES, SHAPE, Recipe, task_operator
from ippy.utilities import atomic_write, generator_for

__all__ = [
    "fast_path", "load_or_train", "train", "train_and_save", "train_recipe",
]  # fmt: skip


def _accelerator():
    """Accelerate's view of devices and processes; imported late, it takes seconds to import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # it looks for notebook widgets, unused here
        from accelerate import Accelerator
    wanted = int(os.environ.get("WORLD_SIZE", 1))  # as torchrun says it
    on_cpu = wanted > 1 and not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no")  # the loop has its own autocast
    if accelerator.num_processes != wanted:  # each would train alone and write the same files
        raise RuntimeError(
            f"{wanted} processes were started, but accelerate joins {accelerator.num_processes} on "
            f"{accelerator.device}; set ACCELERATE_USE_CPU=true for processes on the CPU"
        )
    return accelerator


def fast_path(device: torch.device | str = "cpu") -> dict:
    """What this machine computes quickly: ``{"precision": …, "channels_last": …}``.

    bfloat16 autocast where the hardware multiplies bfloat16 matrices (AVX512-BF16 or AMX on a
    CPU, Ampere or newer on CUDA), float32 elsewhere. ``IPPY_PRECISION=float32`` or ``bfloat16``
    overrides the look-up.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif kind == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        fast = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    else:
        fast = False
    precision = os.environ.get("IPPY_PRECISION") or ("bfloat16" if fast else "float32")
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"IPPY_PRECISION is {precision!r}; use 'float32' or 'bfloat16'")
    return {"precision": precision, "channels_last": kind != "mps"}


#: A forward model, or for varying ones a function of the step: forward model and noise level.
Task = Operator | Callable[[int], tuple[Operator, float]]


def _at(task: Task, step: int, noise_level: float) -> tuple[Operator, float]:
    return (task, noise_level) if isinstance(task, Operator) else task(step)


def _batch(images: Tensor, task: Task, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """The global batch of one step, a function of (seed, step): measurements and truth.

    The whole image is measured and both are cut at the same place, so a crop contains light from
    beyond its edge, and noise of the level of the whole image.
    """
    generator = generator_for(recipe.seed, step)
    index = torch.randint(len(images), (recipe.batch_size,), generator=generator)
    x = images.index_select(0, index)
    flips = torch.rand(2, generator=generator) < 0.5
    if recipe.flips:
        x = x.flip([axis for axis, flip in zip((2, 3), flips, strict=True) if flip])
    x = x / 255
    y_delta = measure(x, *_at(task, step, recipe.noise_level), generator=generator)
    side, (n, _, height, width) = recipe.crop, x.shape
    if side is None or side >= min(height, width):
        return y_delta, x
    rows = torch.randint(height - side + 1, (n, 1), generator=generator) + torch.arange(side)
    columns = torch.randint(width - side + 1, (n, 1), generator=generator) + torch.arange(side)
    cut = (torch.arange(n)[:, None, None], slice(None), rows[:, :, None], columns[:, None])
    return y_delta[cut].movedim(-1, 1), x[cut].movedim(-1, 1)  # indexing moves C to the end


def _as_images(dataset: Dataset | Tensor) -> Tensor:
    """The whole data set as a uint8 tensor (N, C, H, W)."""
    if not torch.is_tensor(dataset):
        return datasets.materialise(dataset)
    if dataset.ndim != 4 or len(dataset) == 0:
        raise ValueError(f"training images must be (N, C, H, W), got {tuple(dataset.shape)}")
    if dataset.dtype != torch.uint8:
        if not dataset.is_floating_point():
            raise ValueError(
                f"training images must be uint8 or float in [0, 1], not {dataset.dtype}"
            )
        if not torch.isfinite(dataset).all():
            raise ValueError("the training images contain NaN or infinity; check how they are read")
        return (dataset.clamp(0, 1) * 255).round().to(torch.uint8)
    return dataset


@torch.no_grad()
def _fingerprint(recipe: Recipe, images: Tensor, task: Task) -> str:
    """Identifies a run: a checkpoint of another recipe, data set or blur is not continued."""
    facts = [recipe.as_dict(), list(images.shape)]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(images[:: max(1, len(images) // 64)].numpy().tobytes())
    probe = torch.zeros(1, images.shape[1], *images.shape[-2:])
    probe[..., images.shape[-2] // 2, images.shape[-1] // 2] = 1
    digest.update(_at(task, 0, recipe.noise_level)[0](probe).numpy().tobytes())
    return digest.hexdigest()


def train(
    model: nn.Module,
    dataset: Dataset | Tensor,
    operator: Task,
    recipe: Recipe,
    *,
    val_dataset: Dataset | Tensor | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
    fast: dict | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    callback: Callable[[int, nn.Module, dict], object] | None = None,
) -> dict:
    r"""Train ``model`` in place to invert ``operator``: minimise $\|f_\Theta(y^\delta)-x\|^2$.

    Batches, crops, flips and noise are functions of (``recipe.seed``, step): a run that was
    interrupted and resumed sees what an uninterrupted one sees, and so do several processes,
    which take equal slices of one global batch.

    Args:
        model: Network from (N, C, H, W) to the same shape, already initialised; one of float64 is
            trained in float64.
        dataset: Clean images: a data set of (C, H, W) tensors in [0, 1], or a tensor
            (N, C, H, W), uint8 or float in [0, 1].
        operator: Forward model for the data set's image shape; or a function of the step that gives
            a forward model and a noise level, for training on ranges (validation: at step 0).
        recipe: Steps, batch size, learning rate, noise level and the rest.
        val_dataset: Clean validation images; without them there is no validation.
        checkpoint: File that is written at every validation; the caller removes it.
        resume: Continue from ``checkpoint`` if it is there.
        progress: Show a progress bar.
        fast: Precision and memory format; :func:`fast_path` of the device if None.
        loss: What is minimised, of a batch of reconstructions and the truth; the recipes' is the
            mean squared error.
        callback: Called as ``callback(step, model, history)`` after each validation; a true
            result ends the run there.

    Returns:
        History: lists ``step``, ``train_mse`` (mean since the entry before), ``val_step``,
        ``val_mse``; numbers ``seconds`` (training alone, without validation) and ``precision``.

    Raises:
        ValueError: If the images are not finite, the batch size does not divide among the
            processes, or the checkpoint belongs to another run.
        FloatingPointError: If the loss becomes NaN or infinite; the last checkpoint is kept.
        KeyboardInterrupt: On Ctrl-C; training can be resumed from the last checkpoint.
    """
    accelerator, dtype = _accelerator(), next(model.parameters()).dtype
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    if recipe.batch_size % world:
        raise ValueError(f"batch_size {recipe.batch_size} must be a multiple of {world} processes")
    images = _as_images(dataset)
    if val_dataset is not None:  # measured once: the noise of an image is that of its index
        val_x = _as_images(val_dataset)[: recipe.val_images].float() / 255
        val_y = measure(val_x, *_at(operator, 0, recipe.noise_level), seed=recipe.seed).to(dtype)
    fast = fast or fast_path(device)
    memory = torch.channels_last if fast["channels_last"] else torch.contiguous_format
    network = accelerator.prepare(model.to(memory_format=memory))
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr, fused=True)
    history = {"step": [], "train_mse": [], "val_step": [], "val_mse": [], "seconds": 0.0}
    history["precision"] = fast["precision"]
    run, start = _fingerprint(recipe, images, operator), 0
    checkpoint = None if checkpoint is None else Path(checkpoint)
    found = [None]
    if resume and checkpoint is not None and accelerator.is_main_process and checkpoint.is_file():
        found = [_read_checkpoint(checkpoint, run, fast)]
    if world > 1:  # other machines may lack the file
        distributed.broadcast_object_list(found)
    if saved := found[0]:
        accelerator.unwrap_model(network).load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        history, start = saved["history"], saved["step"]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=fast["precision"] == "bfloat16")
    mine = slice(rank * recipe.batch_size // world, (rank + 1) * recipe.batch_size // world)
    losses, kept = [], start  # since the last entry of the history; step of the checkpoint
    bar = tqdm(
        range(start, recipe.steps),
        initial=start,
        total=recipe.steps,
        unit="step",
        disable=not (progress and accelerator.is_main_process),
        desc=recipe.model,
    )
    network.train()
    clock = time.perf_counter()
    try:
        for step in bar:
            y_delta, x = (t[mine].to(device, dtype) for t in _batch(images, operator, recipe, step))
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate(step)
            with autocast:
                x_hat = network(y_delta.contiguous(memory_format=memory))
            objective = loss(x_hat.to(dtype), x)
            error = F.mse_loss(x_hat.detach().to(dtype), x)
            mean_error = accelerator.reduce(error, "mean").item()  # of all processes
            _require_finite(mean_error, step + 1)
            optimizer.zero_grad()
            accelerator.backward(objective)
            optimizer.step()
            losses.append(mean_error)
            done = step + 1
            validate = done % recipe.val_every == 0 or done == recipe.steps
            if done % 25 == 0 or validate:
                history["step"].append(done)
                history["train_mse"].append(sum(losses) / len(losses))
                losses.clear()
            if validate:
                _require_finite(sum(p.detach().sum().item() for p in model.parameters()), done)
                history["seconds"] += time.perf_counter() - clock
                if val_dataset is not None:
                    with autocast:
                        error = _validate(network, val_x, val_y, memory, device)
                    history["val_step"].append(done)
                    history["val_mse"].append(error)
                    bar.set_postfix_str(f"validation MSE {error:.2e}")
                if checkpoint is not None and accelerator.is_main_process:
                    file = io.BytesIO()
                    weights_now = accelerator.unwrap_model(network).state_dict()
                    state = {"model": weights_now, "optimizer": optimizer.state_dict()}
                    facts = {"history": history, "step": done, "run": run, "fast": fast}
                    torch.save(state | facts, file)
                    atomic_write({checkpoint: file.getvalue()})
                    kept = done
                enough = callback is not None and callback(done, model, history)
                network.train()
                if enough:
                    break
                clock = time.perf_counter()
    except KeyboardInterrupt:
        there = (
            f"step {kept} is saved: --resume continues there" if kept else "nothing was saved yet"
        )
        bar.write(f"training was interrupted; {there}")
        raise
    finally:
        bar.close()
        model.eval()
    return history


def _require_finite(number: float, step: int) -> None:
    if not math.isfinite(number):
        raise FloatingPointError(
            f"loss or weights are {number} at step {step}: training stopped, the last checkpoint "
            "is kept; lower the learning rate or look for bad images"
        )


def _read_checkpoint(path: Path, run: str, fast: dict) -> dict:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own text would advise to switch its safety off
        raise ValueError(f"checkpoint {path} cannot be read, it may be torn; delete it") from error
    if saved["run"] != run:
        raise ValueError(
            f"checkpoint {path} belongs to a run with another recipe, data set or blur; "
            "delete it or train without --resume"
        )
    if saved["fast"] != fast:
        raise ValueError(
            f"checkpoint {path} was made with {saved['fast']}, not {fast}; set IPPY_PRECISION "
            "to continue it, or delete it"
        )
    return saved


@torch.no_grad()
def _validate(network, x: Tensor, y_delta: Tensor, memory, device) -> float:
    network.eval()
    parts = [
        network(part.to(device).contiguous(memory_format=memory)).to("cpu", x.dtype)
        for part in y_delta.split(4)
    ]
    network.train()
    return F.mse_loss(torch.cat(parts), x).item()


def _training_images(recipe: Recipe, data: str | os.PathLike | None, shape) -> tuple:
    """Training and validation images: procedural, or the train folder of a Mayo directory."""
    if not data:
        train_set = datasets.SyntheticDataset(data_shape=shape, split="train", **recipe.data)
        val = {**recipe.data, "n_images": recipe.val_images}
        return train_set, datasets.SyntheticDataset(data_shape=shape, split="val", **val)
    folder = datasets.MayoDataset(data, shape)
    patients = [file.parent for file in folder.files]
    cut = patients.index(patients[-1]) or int(0.9 * len(patients))  # the last patient validates
    if cut < 1:
        raise ValueError(f"{data} holds {len(folder)} image(s); training needs at least 2")
    images = datasets.materialise(folder)
    return images[:cut], images[cut:]


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
    operator = task_operator()
    train_set, val_set = _training_images(recipe, data, operator.img_shape)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = recipe.build()
    history = train(
        model,
        train_set,
        operator,
        recipe,
        val_dataset=val_set,
        checkpoint=checkpoint,
        resume=resume,
        callback=callback,
    )
    return model.cpu().eval(), history


def _recipe(key: str) -> Recipe:
    if key not in RECIPES:
        raise KeyError(f"there is no recipe {key!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[key]


def load_or_train(
    key: str,
    *,
    data: str | os.PathLike | None = None,
    weights_dir: str | os.PathLike | None = None,
) -> tuple[nn.Module, dict]:
    """Load the trained network ``key``, or train it with visible progress if it is not there.

    With the environment variable ``IPPY_TRAIN=quick`` a live run of less than a minute takes the
    place of loading, on this machine, now, with a moving loss curve and reconstruction in a
    notebook (:class:`ippy.live.LiveView`); shipped weights are neither used nor touched.

    Args:
        key: Key of :data:`ippy.recipes.RECIPES`, such as ``"UNet"``.
        data: Folder with training images; procedural images if None.
        weights_dir: Folder of the weight files; the book's ``weights`` if None.

    Returns:
        The network in evaluation mode and its history.

    Raises:
        KeyError: If there is no such recipe.
        ValueError: If the weights are there but damaged; nothing is overwritten.
    """
    recipe = _recipe(key)
    folder = Path(weights_dir or weights.WEIGHTS_DIR)
    mode = os.environ.get("IPPY_TRAIN", "")
    if mode not in ("", "quick"):
        raise ValueError(f"IPPY_TRAIN is {mode!r}; set it to 'quick' or leave it unset")
    if mode == "quick":
        x = datasets.sample_image("thorax", SHAPE)
        view = LiveView(x, measure(x, task_operator(), recipe.noise_level))
        model, history = train_recipe(recipe.quick(), data=data, callback=view)
        steps, (before, *_, after) = history["step"][-1], [view.measured, *view.psnrs]
        print(
            f"{key}: trained live for {steps} steps, {before:.1f} -> {after:.1f} dB on a phantom; "
            "the shipped weights are untouched"
        )
        return model, history
    path = folder / f"{key}.pth"
    if not path.is_file():
        print(f"{key}: no weights in {folder.name}/, training for {recipe.steps} steps")
        return train_and_save(key, data=data, weights_dir=folder, resume=True)
    model, card = weights.load(path), weights.read_card(path)
    steps = card["recipe"]["steps"]
    print(f"{key}: {card['parameters']:,} parameters, trained for {steps:,} steps")
    return model, card["history"]


def train_and_save(
    key: str,
    *,
    data: str | os.PathLike | None = None,
    weights_dir: str | os.PathLike | None = None,
    resume: bool = False,
) -> tuple[nn.Module, dict]:
    """Train ``key``, store weights and card in ``weights_dir``, then drop the checkpoint.

    Arguments and result are those of :func:`load_or_train`; ``resume`` continues from the
    checkpoint in the user's cache directory.
    """
    recipe = _recipe(key)
    tag = hashlib.sha256(json.dumps([recipe.as_dict(), str(data)]).encode()).hexdigest()[:8]
    checkpoint = datasets.cache_dir() / "checkpoints" / f"{key}-{tag}.pt"
    model, history = train_recipe(recipe, data=data, checkpoint=checkpoint, resume=resume)
    accelerator = _accelerator()
    if accelerator.is_main_process:
        card = {
            "model": recipe.model,
            "model_args": recipe.model_args,
            "recipe": recipe.as_dict(),
            "data": "folder of images" if data else f"synthetic v{phantoms.GENERATOR_VERSION}",
            "metrics": held_out_metrics(model),
            "history": history,
        }
        weights.save(model, Path(weights_dir or weights.WEIGHTS_DIR) / f"{key}.pth", card)
        checkpoint.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return model, history
