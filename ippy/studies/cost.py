"""Arithmetic and time of a reconstruction. Times of one machine only can be compared."""

import time
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ippy.studies.measures import Subject, apply, classical, compared, shipped, test_pairs
from ippy.studies.runner import Run

__all__ = ["REPEATS", "runs"]

QUESTION = "Arithmetic and time of a reconstruction. Times of one machine only can be compared"

REPEATS = 7


def _cost(subject: Subject) -> dict:
    f, _ = subject.load()
    y_delta, found, times = test_pairs(1)[0], {}, []
    if isinstance(f, nn.Module):
        f.cpu()  # where a reader runs it
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            f(y_delta)
        found["flops"] = counter.get_total_flops()
    for _ in range(REPEATS):
        start = time.perf_counter()
        apply(f, y_delta)
        times.append(time.perf_counter() - start)
    return found | {"inference_seconds": median(times)}


def runs() -> list[Run]:
    """Every network that has weights, and the classical methods."""
    subjects = [shipped(name) for name in compared()]
    subjects += [classical(name) for name in ("Tikhonov", "TV")]
    return [subject.run(_cost) for subject in subjects]
