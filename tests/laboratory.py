"""What tests of the laboratory share: its page, its controls, images as JavaScript has them."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ippy import paths
from ippy.images import sample_image
from ippy.networks import NETWORKS

PLAYGROUND = "/book/playground.html"
MEASURED = ".lab-panel .lab-value:not(:empty)"
CLASSICAL = ("Tikhonov", "TV")


def numbers(image: Tensor) -> str:
    """An image as JavaScript reads it: base64 of float64."""
    return base64.b64encode(image.double().numpy().tobytes()).decode()


def image(text: str) -> Tensor:
    """The inverse of :func:`numbers`, for one image."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text)).copy()).reshape(1, 1, 256, 256)


TOOLS = """
const decode = (text) => new Float64Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const encode = (array) => {
  const bytes = new Uint8Array(Float64Array.from(array).buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
const module = (name) => import(new URL(`../_static/lab/${name}.js`, location.href).href);
const math = await module("math"), lab = { ...(await module("facts")), ...(await module("engine")) };
"""  # noqa: E501


def call(page, body: str, argument: object = None) -> object:
    """Run JavaScript in a page, with the lab's arithmetic at hand."""
    return page.evaluate(f"async (given) => {{ {TOOLS} {body} }}", argument)


def open_playground(chromium, site: str, size: tuple[int, int] = (1280, 800)):
    """The playground in a new page, with lists of its ``errors`` and of what it ``asked`` for."""
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(site + PLAYGROUND)
    page.wait_for_selector(MEASURED)
    return page


def tick(page, *keys: str) -> None:
    """Choose exactly these methods."""
    for box in page.locator(".lab-methods input").all():
        box.set_checked(box.get_attribute("value") in keys)


def slide(page, name: str, value: float) -> None:
    """Move a slider."""
    page.locator(f"input[id$=-{name}]").evaluate(
        "(slider, v) => { slider.value = v; slider.dispatchEvent(new Event('input')); }", value
    )


def settle(page) -> None:
    """Wait until everything that is ticked belongs to the settings."""
    page.wait_for_timeout(100)  # settings act in the next frame
    page.wait_for_function(
        """!document.querySelector('.lab-stale, .lab-empty')
        && document.querySelector('.lab-status').textContent.startsWith('Computed')""",
        timeout=120_000,
    )


def values(page) -> dict[str, float]:
    """PSNR of every panel that has one, as the page shows it at last."""
    settle(page)
    panels = page.locator(".lab-panel").all()[1:]
    return {
        p.locator("strong").text_content(): float(p.locator(".lab-value").text_content().split()[0])
        for p in panels
    }


def sample(name: str = "thorax") -> Tensor:
    """A sample image as the page has it, with 8 bits."""
    return sample_image(name).mul(255).round() / 255


def offered() -> list[str]:
    """Keys of the networks that the laboratory of this checkout has to offer."""
    return [
        key
        for key, network in NETWORKS.items()
        if network.in_laboratory
        and network.recipe.task in ("deblurring", "told_deblurring")
        and (paths.WEIGHTS / f"{key}.pth").is_file()
    ]


def encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def values_of_measurement(page) -> str:
    return page.locator(".lab-value").nth(1).text_content()
