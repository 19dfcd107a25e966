"""What readers bring to the laboratory and take from it: images, links, pictures, experiments."""

import base64
import re
from functools import cache

import numpy as np
import pytest
from laboratory import (
    MEASURED,
    PLAYGROUND,
    encoded,
    open_playground,
    sample,
    settle,
    slide,
    tick,
    values,
    values_of_measurement,
)
from PIL import Image

from ippy import paths

pytestmark = pytest.mark.slow


@pytest.fixture
def fresh(chromium, site):
    """The playground in a new page."""
    page = open_playground(chromium, site)
    yield page
    page.close()


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """Name -> content and what the page has to say about it."""
    cat = np.asarray(Image.open(paths.SAMPLES / "cat.png").convert("L"))
    photo = Image.fromarray(np.tile(cat, (12, 14))[:3000, :4000]).convert("RGB")
    deep = Image.fromarray(cat.astype(np.uint16) * 257)
    whole = encoded(Image.fromarray(cat), "PNG")
    glass = Image.new("LA", (300, 300), (0, 0))
    return {
        "photo 4000.jpg": (encoded(photo, "JPEG"), "4000 × 3000, its middle square, reduced to"),
        "deep.png": (encoded(deep, "PNG"), f"{deep.width} × {deep.height}"),
        "dot.png": (encoded(Image.new("L", (1, 1), 128), "PNG"), "1 × 1, enlarged to 256 × 256."),
        "line.png": (encoded(Image.new("L", (10000, 1), 128), "PNG"), "10000 × 1, its middle"),
        "glass.png": (encoded(glass, "PNG"), "300 × 300, reduced"),
        "black.png": (encoded(Image.new("L", (256, 256)), "PNG"), "256 × 256. It stays"),
        "notes.txt": (b"no image", "“notes.txt” is damaged or no image"),
        "empty.png": (b"", "“empty.png” is empty"),
        "corrupt.png": (whole[:40] + bytes(50) + whole[90:], "“corrupt.png” is damaged"),
        "<b>Ω.png": (whole, "“<b>Ω.png”"),
    }


@pytest.mark.parametrize("name", files())
def test_files_of_the_reader(fresh, name: str) -> None:
    content, message = files()[name]
    tick(fresh, "ResCNN")
    before = values_of_measurement(fresh)
    drop = """(box, { name, text }) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], name));
      box.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    given = {"name": name, "text": base64.b64encode(content).decode()}
    asked = len(fresh.asked)
    fresh.locator(".lab-body").evaluate(drop, given)
    fresh.wait_for_function("document.querySelector('.lab-read').textContent")
    fresh.wait_for_timeout(100)
    status = fresh.locator(".lab-read")
    assert message in status.text_content()
    assert status.locator("*").count() == 0, "the name of a file became markup"
    refused = "Choose a PNG or JPEG" in message or "damaged" in message or "empty" in message
    assert ("lab-problem" in status.get_attribute("class")) == refused
    sent = [u for u in fresh.asked[asked:] if not u.startswith(("blob:", "data:"))]
    assert [u for u in sent if not u.endswith("logo.svg")] == []  # the icon of a new address
    if refused:
        assert values_of_measurement(fresh) == before, "the old image is gone"
    fresh.locator(".lab-start").click()
    settle(fresh)
    shown = fresh.locator(".lab-value").all_text_contents()[1:]
    assert all(re.fullmatch(r"\d+\.\d\d dB|∞ dB", value) for value in shown), shown
    if name == "black.png":
        assert shown[0] == "∞ dB"
    assert fresh.errors == []


def test_a_deep_image_is_read_like_a_shallow_one(fresh) -> None:
    cat = sample("cat")[0, 0].mul(255).numpy()
    shown = []
    for picture in (cat.astype(np.uint8), cat.astype(np.uint16) * 257):
        content = encoded(Image.fromarray(picture), "PNG")
        fresh.locator(".lab-file").set_input_files(
            {"name": "cat.png", "mimeType": "image/png", "buffer": content}
        )
        fresh.wait_for_timeout(1000)
        shown.append(values_of_measurement(fresh))
    assert shown[0] == shown[1] != ""


def give(page, name: str, picture: Image.Image, kind: str = "PNG") -> None:
    """Choose a file."""
    content = encoded(picture, kind)
    page.locator(".lab-file").set_input_files(
        {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": content}
    )
    page.wait_for_function("document.querySelector('.lab-read').textContent")
    page.wait_for_timeout(300)


def coloured() -> Image.Image:
    """A wide image: red at the left, blue at the right, a dark grid over both."""
    pixels = np.zeros((400, 800, 3), np.uint8)
    pixels[:, :400], pixels[:, 400:] = (220, 60, 40), (40, 60, 220)
    pixels[::20], pixels[:, ::20] = 20, 20
    return Image.fromarray(pixels)


def middle_colour(page, k: int) -> np.ndarray:
    """Mean colour of the middle of a panel."""
    return np.array(
        page.locator(".lab-panel canvas")
        .nth(k)
        .evaluate(
            """canvas => {
              const { data } = canvas.getContext("2d").getImageData(156, 156, 200, 200);
              return [0, 1, 2].map((c) =>
                data.filter((_, i) => i % 4 === c).reduce((a, b) => a + b) / 40000);
            }"""
        )
    )


def test_colour_is_kept_and_brightness_restored(fresh) -> None:
    tick(fresh, "ResCNN")
    give(fresh, "flag.png", coloured().crop((0, 0, 390, 400)))
    assert "its colour kept" in fresh.locator(".lab-read").text_content()
    fresh.locator(".lab-start").click()
    values(fresh)
    for k in range(3):
        red, _, blue = middle_colour(fresh, k)
        assert red > blue + 80, f"panel {k} has lost its colour"
    give(fresh, "cat.png", Image.open(paths.SAMPLES / "cat.png").convert("L"))
    assert "colour" not in fresh.locator(".lab-read").text_content()


def test_the_square_of_a_large_image_can_be_chosen(fresh) -> None:
    give(fresh, "flag.png", coloured())
    assert "800 × 400, its middle square" in fresh.locator(".lab-read").text_content()
    chooser = fresh.locator(".lab-square")
    box = chooser.bounding_box()
    chooser.click(position={"x": 5, "y": box["height"] / 2})
    fresh.wait_for_timeout(300)
    red, _, blue = middle_colour(fresh, 0)
    assert red > blue + 80
    assert "a square of it" in fresh.locator(".lab-read").text_content()
    chooser.focus()
    for _ in range(20):
        fresh.keyboard.press("ArrowRight")
    fresh.get_by_label("Size of the square").fill("0")
    fresh.wait_for_timeout(300)
    red, _, blue = middle_colour(fresh, 0)
    assert blue > red + 80
    assert "a square of 256 pixels. It" in fresh.locator(".lab-read").text_content().replace(
        " Its brightness is measured and restored, its colour kept.", ""
    )
    fresh.get_by_role("combobox", name="Image").select_option(label="Cat")
    fresh.wait_for_timeout(500)
    assert not chooser.is_visible()
    assert fresh.errors == []


def test_an_image_can_be_pasted(fresh) -> None:
    text = base64.b64encode(encoded(coloured(), "PNG")).decode()
    fresh.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        text,
    )
    fresh.wait_for_function("document.querySelector('.lab-read').textContent")
    assert "“pasted.png”, 800 × 400" in fresh.locator(".lab-read").text_content()


PICTURE = "document.querySelectorAll('.lab-panel canvas')[2].toDataURL()"


def test_a_link_reproduces_the_picture(fresh, chromium, site) -> None:
    tick(fresh, "ResCNN")
    fresh.get_by_role("combobox", name="Image").select_option(label="Cat")
    slide(fresh, "angle", 75)
    slide(fresh, "level", 0.03)
    fresh.get_by_role("button", name="New noise").click()
    fresh.get_by_text("errors", exact=True).click()
    fresh.locator(".lab-start").click()
    values(fresh)
    fresh.wait_for_timeout(500)
    link = fresh.url
    assert "#lab:image=cat&" in link and "angle=75" in link and "seed=2" in link
    other = chromium.new_page(viewport={"width": 1280, "height": 800})
    other.goto(link)
    other.wait_for_selector(MEASURED)
    other.locator(".lab-start").click()
    assert values(other) == values(fresh)
    assert other.evaluate(PICTURE) == fresh.evaluate(PICTURE)
    other.goto(f"{site}{PLAYGROUND}#lab:angle=400&length=5&image=own")
    other.reload()
    other.wait_for_selector(MEASURED)
    other.wait_for_selector(".lab-read.lab-problem")
    said = other.locator(".lab-read").text_content()
    assert "“angle=400”" in said and "an image of its sender" in said
    assert other.locator("input[id$=-length]").input_value() == "5"
    other.close()


def test_the_saved_picture_has_panels_and_settings(fresh) -> None:
    slide(fresh, "angle", 33)
    fresh.wait_for_timeout(300)
    with fresh.expect_download() as got:
        fresh.get_by_role("button", name="Save").click()
    assert got.value.suggested_filename == "laboratory-thorax-9-pixels-33-degrees-noise-0.01.png"
    picture = Image.open(got.value.path())
    assert picture.width > 1000 and picture.height > 550
    panel = np.asarray(picture.convert("L").crop((24, 24, 536, 536)).resize((256, 256)))
    x = sample()[0, 0].mul(255).numpy()
    assert np.corrcoef(panel.flatten(), x.flatten())[0, 1] > 0.98
    text = np.asarray(picture.convert("L"))[-90:]
    assert (text < 90).sum() > 1000, "the settings are not in the picture"


def test_every_thing_to_try_has_its_buttons(fresh) -> None:
    titles = fresh.locator("article .admonition.predict .admonition-title").all_text_contents()
    numbered = [title for title in titles if re.search(r"look: \d", title)]
    boxes = fresh.locator("article .admonition.predict:has(.lab-try)")
    assert boxes.count() == len(numbered) == 7
    fresh.get_by_role("button", name="Angle 60°, told").click()
    fresh.wait_for_timeout(300)
    assert fresh.locator("input[id$=-angle]").input_value() == "60"
    assert fresh.get_by_label("Tell the classical methods").is_checked()
    fresh.get_by_role("button", name="The values of the training").click()
    fresh.wait_for_timeout(300)
    assert fresh.locator("input[id$=-angle]").input_value() == "20"
    assert not fresh.get_by_label("Tell the classical methods").is_checked()
    with fresh.expect_file_chooser():
        fresh.get_by_role("button", name="Choose a photograph").click()
