"""The self-check boxes in a real browser: buttons, verdicts, and what is left of a faulty one."""

import pytest

BOX = """<div class="selfcheck admonition"><p class="admonition-title">Check yourself</p>
<p>Which?</p><ol class="arabic simple"><li><p>first</p></li>
<li><p><em>second</em>, see <a href="away.html"><code>name</code></a></p></li><li>third</li></ol>
<details><summary>Answer</summary><div><p><strong>{answer}.</strong> Because.</p></div></details>
</div>"""
FAULTY = [BOX.format(answer=text) for text in ("4", "0", "two")]
FAULTY.append(BOX.format(answer=2).replace("<ol", "<ul").replace("</ol", "</ul"))

PAGE = f"""<!doctype html><html data-theme="light"><meta charset="utf-8"><title>Test</title>
<link rel="stylesheet" href="_static/custom.css"><script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
</script><script src="_static/frame.js"></script>
<article class="bd-article">{BOX.format(answer=2)}{BOX.format(answer=1)}{"".join(FAULTY)}</article>
<pre></pre><script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
addEventListener("load", async () => {{
  for (let i = 0; i < 100 && !document.querySelector(".selfcheck-verdict"); i++) await wait(50);
  const boxes = [...document.querySelectorAll(".selfcheck")], seen = {{ clicks: [] }};
  const [first, second, ...faulty] = boxes, all = (s) => [...first.querySelectorAll(s)];
  const [verdict] = all(".selfcheck-verdict"), [answer] = all("details");
  const buttons = all("ol button");
  seen.live = verdict.getAttribute("aria-live");
  seen.before = [verdict.textContent, answer.open, buttons.map((b) => b.textContent)];
  seen.links = all("button a").length;
  for (const index of [0, 2, 1, 0]) {{
    buttons[index].focus(); // then Enter and Space are clicks
    const focused = document.activeElement === buttons[index];
    buttons[index].click();
    const pressed = buttons.map((b) => b.getAttribute("aria-pressed") === "true");
    const sign = getComputedStyle(buttons[index], "::before").content;
    seen.clicks.push([verdict.textContent, answer.open, pressed.indexOf(true),
      pressed.filter(Boolean).length, sign, focused]);
  }}
  seen.other = [second.querySelector("details").open, second.querySelectorAll("button").length,
    second.querySelector(".selfcheck-verdict").textContent];
  seen.faulty = faulty.map((box) => [box.querySelectorAll("button").length,
    box.querySelectorAll("li").length, box.querySelectorAll("details").length]);
  document.querySelector("pre").textContent = JSON.stringify({{ ...seen, errors }});
}});
</script>"""


@pytest.fixture(scope="module")
def seen(show) -> dict:
    """What the page's script saw."""
    return show(PAGE)


def test_answers_become_buttons_without_links(seen) -> None:
    assert seen["errors"] == []
    assert seen["before"] == ["", False, ["first", "second, see name", "third"]]
    assert seen["links"] == 0
    assert seen["live"] == "polite"


def test_a_click_says_in_words_whether_it_is_right(seen) -> None:
    wrong = "Answer {} is not right. Try another one."
    assert seen["clicks"] == [
        [wrong.format(1), False, 0, 1, '"✗ "', True],
        [wrong.format(3), False, 2, 1, '"✗ "', True],
        ["Answer 2 is right.", True, 1, 1, '"✓ "', True],
        [wrong.format(1), True, 0, 1, '"✗ "', True],
    ]


def test_boxes_do_not_disturb_each_other_and_faulty_ones_stay_as_they_are(seen) -> None:
    assert seen["other"] == [False, 3, ""]
    assert seen["faulty"] == [[0, 3, 1]] * len(FAULTY)
