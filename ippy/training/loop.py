"""The training loop: any task, any network from images to images, resumable."""

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from ippy.networks import Recipe
from ippy.training import checkpoints
from ippy.training.batches import Batch
from ippy.training.devices import PRECISIONS, fast_path
from ippy.training.devices import accelerator as join
from ippy.training.graphs import RecordedStep
from ippy.training.optimizers import optimizer_for, restore, set_rate

__all__ = ["train"]

#: Called with reconstructions and truth; gives the number that is minimised.
Loss = Callable[[Tensor, Tensor], Tensor]
#: Called after each validation with step, network and history; a true result ends the run.
Callback = Callable[[int, nn.Module, dict], object]

#: Threads that train on one GPU give it work in turns: contending for Python costs them more.
_LAUNCHING = threading.Lock()


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
    optimizer: Callable[[nn.Module, Recipe], Optimizer] = optimizer_for,
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
            two tensors (``recipe.batch_size``, C, H, W), and where the loss is taken if not
            everywhere, ones and zeros (``recipe.batch_size``, 1, H, W); for the book's task
            :class:`ippy.training.MeasuredCrops`. What has a method ``to(device)`` is moved.
        recipe: Steps, batch size, learning rate and the rest.
        validation: What the network is given and the truth, of images that are not trained on;
            without them there is no validation.
        checkpoint: File that is written at every validation; the caller removes it.
        resume: Continue from ``checkpoint`` if it is there.
        progress: Show a progress bar.
        fast: Precision and memory format; :func:`fast_path` of the device if None.
        loss: What is minimised, of a batch of reconstructions and the truth; the recipes' is the
            mean squared error.
        optimizer: Makes the optimiser from the network and the recipe; the recipe's if left out.
        callback: Called as ``callback(step, model, history)`` after each validation; a true
            result ends the run there.

    Returns:
        History: lists ``step``, ``train_mse`` (mean since the entry before), ``val_step``,
        ``val_mse``; numbers ``seconds`` (training alone, without validation) and ``precision``.

    Raises:
        TypeError: If ``batch`` is no function.
        ValueError: If the batch size does not divide among the processes, ``fast`` names another
            precision than float32 and bfloat16, or the checkpoint belongs to another run.
        FloatingPointError: If the loss becomes NaN or infinite; the last checkpoint is kept.
        KeyboardInterrupt: On Ctrl-C; training can be resumed from the last checkpoint.
    """
    if not callable(batch):
        raise TypeError(
            f"batch is a {type(batch).__name__}, expected a function of the step that returns what "
            "the network is given and the truth: MeasuredCrops(images, operator, recipe) makes one"
        )
    run = _Run(model, recipe, fast, loss, optimizer)
    store = Path(checkpoint) if checkpoint is not None and run.is_main else None
    facts = checkpoints.identity(recipe, batch, validation, loss) if checkpoint else {}
    if facts:
        facts |= checkpoints.made_of(run.own, run.optimizer)
    with run.apart():
        _train(run, batch, validation, store, facts, callback, resume=resume, progress=progress)
    return run.history


def _train(
    run: "_Run",
    batch: Batch,
    validation: tuple[Tensor, Tensor] | None,
    store: Path | None,
    facts: dict[str, str],
    callback: Callback | None,
    *,
    resume: bool,
    progress: bool,
) -> None:
    """The loop of :func:`train`."""
    recipe = run.recipe
    start = run.restore(store if resume else None, facts)
    batch = batch.to(run.device) if hasattr(batch, "to") else batch
    bar = tqdm(
        range(start, recipe.steps),
        initial=start,
        total=recipe.steps,
        unit="step",
        disable=not (progress and run.is_main),
        desc=recipe.model,
    )
    turn = _LAUNCHING if run.device.type == "cuda" else nullcontext()
    kept, clock = start, time.perf_counter()  # step of the checkpoint; begin of what is counted
    try:
        for step in bar:
            with turn:
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
            run.network.train()
            clock = time.perf_counter()
    except KeyboardInterrupt:
        there = (
            f"step {kept} is saved: --resume continues there" if kept else "nothing was saved yet"
        )
        bar.write(f"training was interrupted; {there}")
        raise
    finally:
        bar.close()
        run.network.eval()
    run.finish()


class _Run:
    """A network that is being trained, with all that changes from step to step."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        fast: dict | None,
        loss: Loss,
        optimizer: Callable[[nn.Module, Recipe], Optimizer],
    ) -> None:
        self.recipe, self.loss, self.accelerator = recipe, loss, join()
        self.device, self.is_main = self.accelerator.device, self.accelerator.is_main_process
        self.dtype = next(model.parameters()).dtype
        # several processes take equal parts of every batch
        self.world = self.accelerator.num_processes
        for _, size in (recipe.squares(0), recipe.squares(recipe.steps)):
            if size % self.world:
                raise ValueError(f"batch_size {size} must be a multiple of {self.world} processes")
        # precision and memory format that the machine computes quickly
        self.fast = fast or fast_path(self.device)
        if self.fast["precision"] not in PRECISIONS:
            known = " or ".join(map(repr, PRECISIONS))
            raise ValueError(f"precision {self.fast['precision']!r} is unknown; use {known}")
        last = self.fast["channels_last"]
        self.memory = torch.channels_last if last else torch.contiguous_format
        low = self.fast["precision"] == "bfloat16"
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=low)
        gpu = self.device.type == "cuda"
        # what a checkpoint holds
        self.network = self.accelerator.prepare(model.to(memory_format=self.memory))
        self.network.train()
        self.optimizer = optimizer(self.own, recipe)
        self.averaged = deepcopy(self.own) if recipe.average else None
        followed = (self.averaged, self.own) if self.averaged is not None else ()
        self.followed = [list(network.parameters()) for network in followed]
        self.history: dict = {"step": [], "train_mse": [], "val_step": [], "val_mse": []}
        self.history |= {"seconds": 0.0, "precision": self.fast["precision"]}
        self.errors: list[Tensor] = []  # of the steps since the last entry of the history
        # on a GPU, steps are recorded once they have run three times with batches of a shape
        alone = gpu and self.world == 1 and loss is F.mse_loss
        self.recordable = alone and self.optimizer.defaults.get("capturable", False)
        self.recorded: dict[tuple, RecordedStep] = {}
        self.plain: Counter[tuple] = Counter()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """On a GPU, work on a stream of this run: several threads can train beside each other."""
        if self.device.type != "cuda":
            yield
            return
        before, own = torch.cuda.current_stream(), torch.cuda.Stream()
        own.wait_stream(before)
        try:
            with torch.cuda.stream(own):
                yield
        finally:
            before.wait_stream(own)

    @property
    def own(self) -> nn.Module:
        """The network without what several processes wrap around it."""
        return self.accelerator.unwrap_model(self.network)

    @property
    def result(self) -> nn.Module:
        """The network that the run would end with now."""
        return self.network if self.averaged is None else self.averaged

    def finish(self) -> None:
        """The average, where there is one, takes the place of the last weights."""
        if self.averaged is not None:
            self.own.load_state_dict(self.averaged.state_dict())

    def advance(self, step: int, *batch: Tensor) -> None:
        """One step of the optimiser on this process's part of a batch."""
        share = len(batch[0]) // self.world
        mine = slice(self.accelerator.process_index * share, None)
        placed = [
            t[mine][:share]
            .to(self.device, self.dtype)
            .contiguous(memory_format=self.memory if t.shape[1] > 1 else torch.contiguous_format)
            for t in batch
        ]
        set_rate(self.optimizer, self.recipe.learning_rate(step))
        shapes = tuple(tuple(t.shape) for t in placed)
        if self.recordable and self.plain[shapes] >= 3 and shapes not in self.recorded:
            self.recorded[shapes] = RecordedStep(self._step, placed)
        error = self.recorded.get(shapes, self._step)(*placed)
        self.errors.append(error.clone())  # a recorded step writes the next one to the same place
        self.plain[shapes] += 1
        if self.averaged is not None:
            self._follow(step + 1)
        if self.device.type == "cpu":  # elsewhere asking costs a wait: at every entry
            _require_finite(error.item(), step + 1)

    def _step(self, given: Tensor, truth: Tensor, where: Tensor | None = None) -> Tensor:
        """Change the weights; the squared error before."""
        with self.autocast:
            x_hat = self.network(given)
        x_hat = x_hat.to(self.dtype)
        scale: Tensor | float = 1.0
        if where is not None:
            x_hat, truth, scale = x_hat * where, truth * where, 1 / where.mean()
        objective = self.loss(x_hat, truth) * scale
        # the error that is noted is that of all processes, and always the squared one
        error = self.accelerator.reduce(F.mse_loss(x_hat.detach(), truth) * scale, "mean")
        self.optimizer.zero_grad()
        self.accelerator.backward(objective)
        self.optimizer.step()
        return error

    def _follow(self, done: int) -> None:
        """The average follows the weights; its memory grows with the run, so the start fades."""
        assert self.averaged is not None
        if done == 1:
            self.averaged.load_state_dict(self.own.state_dict())
            return
        decay = min(self.recipe.average, done / (9 + done))
        get_ema_multi_avg_fn(decay)(*self.followed, 0)
        # what a layer counts or measures, such as the statistics of a BatchNorm, is no weight
        for kept, new in zip(self.averaged.buffers(), self.own.buffers(), strict=True):
            kept.copy_(new)

    def note(self, done: int) -> None:
        """An entry of the history: the mean error of the steps since the last one."""
        error = torch.stack(self.errors).cpu().double().mean().item()  # Metal has no float64
        _require_finite(error, done)
        self.history["step"].append(done)
        self.history["train_mse"].append(error)
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
        restore(self.optimizer, saved["optimizer"])
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
