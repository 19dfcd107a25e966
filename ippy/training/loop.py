"""The training loop: any task, any network from images to images, resumable."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ippy.networks import Recipe
from ippy.training import checkpoints
from ippy.training.batches import Batch
from ippy.training.devices import accelerator as join
from ippy.training.devices import fast_path

__all__ = ["train"]

#: Called with reconstructions and truth; gives the number that is minimised.
Loss = Callable[[Tensor, Tensor], Tensor]
#: Called after each validation with step, network and history; a true result ends the run.
Callback = Callable[[int, nn.Module, dict], object]


def train(
    model: nn.Module,
    batch: Batch,
    recipe: Recipe,
    *,
    validation: tuple[Tensor, Tensor] | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
    fast: dict | None = None,
    loss: Loss = F.mse_loss,
    callback: Callback | None = None,
) -> dict:
    r"""Train ``model`` in place to give the truth: minimise $\|f_\Theta(given)-x\|^2$.

    Batches are functions of the step: a run that was interrupted and resumed sees what an
    uninterrupted one sees, and so do several processes, which take equal slices of one batch. With
    ``recipe.average`` the network ends with the running average of its weights; validation is of
    that average.

    Args:
        model: Network from (N, C, H, W) to the same shape, already initialised; one of float64 is
            trained in float64.
        batch: Function of the step, 0, 1, …, that returns what the network is given and the truth,
            two tensors (``recipe.batch_size``, C, H, W); for the book's task
            :class:`ippy.training.MeasuredCrops`.
        recipe: Steps, batch size, learning rate and the rest.
        validation: What the network is given and the truth, of images that are not trained on;
            without them there is no validation.
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
        TypeError: If ``batch`` is no function.
        ValueError: If the batch size does not divide among the processes, or the checkpoint
            belongs to another run.
        FloatingPointError: If the loss becomes NaN or infinite; the last checkpoint is kept.
        KeyboardInterrupt: On Ctrl-C; training can be resumed from the last checkpoint.
    """
    if not callable(batch):
        raise TypeError(
            f"batch is a {type(batch).__name__}, expected a function of the step that returns what "
            "the network is given and the truth: MeasuredCrops(images, operator, recipe) makes one"
        )
    run = _Run(model, recipe, fast, loss)
    store = Path(checkpoint) if checkpoint is not None and run.is_main else None
    facts = checkpoints.identity(recipe, batch, validation, loss) if checkpoint else {}
    start = run.restore(store if resume else None, facts)
    bar = tqdm(
        range(start, recipe.steps),
        initial=start,
        total=recipe.steps,
        unit="step",
        disable=not (progress and run.is_main),
        desc=recipe.model,
    )
    kept, clock = start, time.perf_counter()  # step of the checkpoint; begin of what is counted
    try:
        for step in bar:
            run.advance(step, *batch(step))
            done = step + 1
            due = done % recipe.val_every == 0 or done == recipe.steps
            if done % 25 == 0 or due:
                run.note(done)
            if not due:
                continue
            # validation, checkpoint and callback: none of it counts as training
            run.history["seconds"] += time.perf_counter() - clock
            run.require_finite_weights(done)
            if validation is not None:
                error = run.validate(done, *validation)
                bar.set_postfix_str(f"validation MSE {error:.2e}")
            if store is not None:
                checkpoints.write(store, {**run.state(), "step": done, "run": facts})
                kept = done
            if callback is not None and callback(done, run.result, run.history):
                break
            model.train()
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
    run.finish()
    return run.history


class _Run:
    """A network that is being trained, with all that changes from step to step."""

    def __init__(self, model: nn.Module, recipe: Recipe, fast: dict | None, loss: Loss) -> None:
        self.recipe, self.loss, self.accelerator = recipe, loss, join()
        self.device, self.is_main = self.accelerator.device, self.accelerator.is_main_process
        self.dtype = next(model.parameters()).dtype
        # several processes take equal parts of every batch
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if recipe.batch_size % world:
            raise ValueError(
                f"batch_size {recipe.batch_size} must be a multiple of {world} processes"
            )
        share = recipe.batch_size // world
        self.mine = slice(rank * share, (rank + 1) * share)
        # precision and memory format that the machine computes quickly
        self.fast = fast or fast_path(self.device)
        last = self.fast["channels_last"]
        self.memory = torch.channels_last if last else torch.contiguous_format
        low = self.fast["precision"] == "bfloat16"
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=low)
        # what a checkpoint holds
        self.network = self.accelerator.prepare(model.to(memory_format=self.memory))
        self.network.train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=recipe.lr, fused=True)
        self.averaged = self._averaged() if recipe.average else None
        self.history: dict = {"step": [], "train_mse": [], "val_step": [], "val_mse": []}
        self.history |= {"seconds": 0.0, "precision": self.fast["precision"]}
        self.errors: list[float] = []  # of the steps since the last entry of the history

    @property
    def own(self) -> nn.Module:
        """The network without what several processes wrap around it."""
        return self.accelerator.unwrap_model(self.network)

    @property
    def result(self) -> nn.Module:
        """The network that the run would end with now."""
        return self.network if self.averaged is None else self.averaged.module

    def _averaged(self) -> AveragedModel:
        """A copy that follows the weights; its memory grows with the run, so the start fades."""

        def follow(average: Tensor, weight: Tensor, done: Tensor | int) -> Tensor:
            decay = min(self.recipe.average, (1 + int(done)) / (10 + int(done)))
            return torch.lerp(weight, average, decay)

        return AveragedModel(self.own, avg_fn=follow)

    def finish(self) -> None:
        """The average, where there is one, takes the place of the last weights."""
        if self.averaged is not None:
            self.own.load_state_dict(self.averaged.module.state_dict())

    def advance(self, step: int, given: Tensor, truth: Tensor) -> None:
        """One step of the optimiser on this process's part of a batch."""
        given, truth = (t[self.mine].to(self.device, self.dtype) for t in (given, truth))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(step)
        with self.autocast:
            x_hat = self.network(given.contiguous(memory_format=self.memory))
        x_hat = x_hat.to(self.dtype)
        objective = self.loss(x_hat, truth)
        # the error that is noted is that of all processes, and always the squared one
        error = self.accelerator.reduce(F.mse_loss(x_hat.detach(), truth), "mean").item()
        _require_finite(error, step + 1)
        self.optimizer.zero_grad()
        self.accelerator.backward(objective)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.own)
        self.errors.append(error)

    def note(self, done: int) -> None:
        """An entry of the history: the mean error of the steps since the last one."""
        self.history["step"].append(done)
        self.history["train_mse"].append(sum(self.errors) / len(self.errors))
        self.errors.clear()

    @torch.no_grad()
    def validate(self, done: int, given: Tensor, truth: Tensor) -> float:
        """Mean squared error over whole images, four at a time; noted in the history."""
        network = self.result.eval()
        parts = given.to(self.dtype).split(4)
        with self.autocast:
            images = [
                network(part.to(self.device).contiguous(memory_format=self.memory))
                for part in parts
            ]
        self.network.train()
        error = F.mse_loss(torch.cat([x.to("cpu", truth.dtype) for x in images]), truth).item()
        self.history["val_step"].append(done)
        self.history["val_mse"].append(error)
        return error

    def require_finite_weights(self, done: int) -> None:
        total = sum(p.detach().sum().item() for p in self.network.parameters())
        _require_finite(total, done)

    def state(self) -> dict:
        """What a checkpoint holds besides the step and whose run it is."""
        kept = {"model": self.own.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.averaged is not None:
            kept["averaged"] = self.averaged.state_dict()
        return {**kept, "history": self.history, "fast": self.fast}

    def restore(self, path: Path | None, facts: dict[str, str]) -> int:
        """Go on from a checkpoint, if it is there; return the step to go on with."""
        found: list = [None]
        if path is not None and path.is_file():
            found = [checkpoints.read(path, facts, self.fast)]
        if self.accelerator.num_processes > 1:  # other machines may lack the file
            distributed.broadcast_object_list(found)
        if (saved := found[0]) is None:
            return 0
        self.own.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(saved["averaged"])
        self.history = saved["history"]
        return saved["step"]


def _require_finite(number: float, step: int) -> None:
    if not math.isfinite(number):
        raise FloatingPointError(
            f"loss or weights are {number} at step {step}: training stopped, the last checkpoint "
            "is kept; lower the learning rate or look for bad images"
        )
