"""Devices and processes: what this machine computes quickly, and who else takes part."""

import os
import warnings
from typing import TYPE_CHECKING

import torch
from tqdm import TqdmWarning

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["accelerator", "fast_path"]


#: What :func:`ippy.training.train` can compute with.
PRECISIONS = ("float32", "bfloat16")


def accelerator() -> "Accelerator":
    """Accelerate's view of devices and processes; imported late, it takes seconds to import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # it looks for notebook widgets, unused here
        from accelerate import Accelerator
    wanted = int(os.environ.get("WORLD_SIZE", 1))  # as torchrun says it
    on_cpu = wanted > 1 and not torch.accelerator.is_available()
    joined = Accelerator(cpu=on_cpu, mixed_precision="no")  # the loop has its own autocast
    if joined.num_processes != wanted:  # each would train alone and write the same files
        raise RuntimeError(
            f"{wanted} processes were started, but accelerate joins {joined.num_processes} on "
            f"{joined.device}; set ACCELERATE_USE_CPU=true for processes on the CPU"
        )
    return joined


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
    if precision not in PRECISIONS:
        raise ValueError(f"IPPY_PRECISION is {precision!r}; use 'float32' or 'bfloat16'")
    return {"precision": precision, "channels_last": kind != "mps"}
