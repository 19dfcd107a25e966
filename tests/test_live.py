"""A live run before an audience: it keeps to its time, draws and improves."""

from dataclasses import replace

import nbformat
import pytest
from nbclient import NotebookClient
from small_runs import IMAGES, RECIPE, K, fit

from ippy import networks
from ippy.training import LiveView

pytestmark = pytest.mark.usefixtures("own_cache")


def test_a_live_run_keeps_to_its_time():
    x = IMAGES[:1]
    view = LiveView(x, K(x), seconds=0.0)
    model, history = fit(callback=view)
    assert history["step"] == [4] and len(view.psnrs) == 1
    patient = LiveView(x, K(x), seconds=60.0)
    _, history = fit(replace(RECIPE, steps=60), callback=patient)
    assert history["step"][-1] == 60 and patient.psnrs[-1] > patient.psnrs[0]
    paced = LiveView(x, K(x), seconds=1.0)
    paced.start -= 0.6  # the next call would come at 1.2 s
    assert paced(25, model, history)
    figure = patient.draw(60, x, history)
    assert [axis.get_title() for axis in figure.axes][2] == f"step 60, {patient.psnrs[-1]:.1f} dB"
    assert list(figure.axes[0].lines[0].get_ydata()) == history["train_mse"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "calls", "reached"),
    [
        (75, 3, 0.0),
        pytest.param(networks.RECIPES["ResCNN"].quick_steps, 10, 22.8, marks=pytest.mark.release),
    ],
    ids=["short", "whole"],
)
def test_a_live_run_in_a_notebook_draws_and_improves(steps, calls, reached):
    code = f"""\
import os
os.environ["IPPY_TRAIN"] = "quick"
import time
from dataclasses import replace
from ippy import training
from ippy.networks import NETWORKS
entry = NETWORKS["ResCNN"]
NETWORKS["ResCNN"] = replace(entry, recipe=replace(entry.recipe, quick_steps={steps}))
start = time.process_time()  # what other programs take does not count, nor ends the run
training.LiveView.__init__.__kwdefaults__["seconds"] = 1000.0
drawn = []
draw = training.LiveView.draw
training.LiveView.draw = lambda self, *a: drawn.append(self.psnrs[-1]) or draw(self, *a)
_, history = training.load_or_train("ResCNN")
print(time.process_time() - start, len(drawn), history["step"][-1], *drawn)"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    outputs = notebook.cells[0].outputs
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 1, "one figure, drawn again and again"
    said = "".join(o.text for o in outputs if o.get("name") == "stdout")
    seconds, count, last, *drawn = map(float, said.splitlines()[-1].split())
    assert seconds < 60
    assert count >= calls and last == steps
    assert drawn[-1] > max(drawn[0], reached), "no visible improvement; measured: 22.4 dB"
