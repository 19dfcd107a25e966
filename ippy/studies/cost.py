"""Arithmetic and time of a reconstruction."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ippy.networks import NETWORKS
from ippy.studies.measures import CLASSICAL, apply, method, test_pairs


def _cost(name: str) -> dict:
    f = method(name, "classical" if name in CLASSICAL else "shipped")
    y_delta, found, times = test_pairs(1)[0], {}, []
    if isinstance(f, nn.Module):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            f(y_delta)
        found["flops"] = counter.get_total_flops()
    for _ in range(7):
        start = time.perf_counter()
        apply(f, y_delta)
        times.append(time.perf_counter() - start)
    return found | {"inference_seconds": sorted(times)[3]}


def cost() -> dict[str, Callable]:
    return {name: partial(_cost, name) for name in (*NETWORKS, "Tikhonov", "TV")}
