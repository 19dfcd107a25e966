"""Facts about the machine: what is at hand for computing, and what a result was made on."""

import platform
from pathlib import Path

import torch

__all__ = ["get_device", "machine"]


def get_device() -> str:
    """Name of the best device at hand: ``"cuda"``, ``"mps"`` or ``"cpu"``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def machine() -> dict:
    """Processor, cores, system and versions, as recorded beside every measured result."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            row for row in cpuinfo.read_text("utf-8").splitlines() if row.startswith("model name")
        ]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
