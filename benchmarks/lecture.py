"""How long each cell of the book takes, and a short training live: ``run.py bench lecture``.

The page for instructors reads the result. Close other programs: what is measured is this machine.
"""

import os
from datetime import datetime
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from torch import Tensor

from ippy import training
from ippy.images import sample_image
from ippy.networks import NETWORKS, RECIPES

ROOT = Path(__file__).resolve().parents[1]


def timed_cells(path: Path) -> list[dict]:
    """Every code cell of a notebook, executed from the top: its ``code`` and its ``seconds``.

    The code is kept so that the page finds a cell by its words, whatever is added before it, and
    so that it can be seen which cells have changed since.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    timed = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            stamps = cell.metadata["execution"]
            start, end = (
                datetime.fromisoformat(stamps[key])
                for key in ("iopub.execute_input", "shell.execute_reply")
            )
            seconds = round((end - start).total_seconds(), 3)
            timed.append({"seconds": seconds, "code": cell.source})
    return timed


def phantom_of(key: str) -> tuple[Tensor, Tensor]:
    """What the network is given of the thorax phantom in its task, and the truth."""
    task = NETWORKS[key].task
    _, given, truth = task.simulate(sample_image("thorax", task.image_shape))
    return given, truth


def quick_run(key: str) -> dict:
    """The run that ``IPPY_TRAIN=quick`` makes: its time, steps, and PSNR on a phantom."""
    given, truth = phantom_of(key)
    view = training.LiveView(truth, given)
    _, history = training.train_recipe(RECIPES[key].quick(), callback=view)
    return {
        "seconds": round(view.elapsed, 1),
        "steps": history["step"][-1],
        "before": round(view.measured, 2),
        "after": round(view.psnrs[-1], 2),
    }


def run() -> dict:
    """All chapters and all networks."""
    os.environ.pop("IPPY_TRAIN", None)
    cells = {}
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        if path.stem != "instructors":  # it shows the result
            cells[path.stem] = timed_cells(path)
            total = sum(cell["seconds"] for cell in cells[path.stem])
            print(f"{path.stem}: {total:.0f} s", flush=True)
    return {"cells": cells, "quick": {key: quick_run(key) for key in RECIPES}}
