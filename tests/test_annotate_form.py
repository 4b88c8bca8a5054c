"""The form of the tab Annotate with its script and style in a real browser, without a server: keys, zoom, verdicts."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from degradations import Recipe
from demo.annotate import panels, plots
from demo.annotate.desk import Progress, Task
from demo.annotate.figures import Judged
from demo.annotate.verdict import Verdict
from demo.chain import format_chain

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / "tests" / "screenshots"
PATIENCE_MS = 240_000
PREDICTED = Recipe.parse("lens blur(0.42), jpeg compression(0.6), gaussian noise(0.3)")
CHAIN = format_chain(PREDICTED, "Fine edges are melted.", "The outline is long and low.", "The outline decides.", "cat")
RIGHT = {"marks": dict.fromkeys(PREDICTED, "right"), "influence": True, "reasoning": True, "answer": True}


def task(**changes) -> Task:
    values = {
        "id": 7, "batch": 1, "number": 4, "key": "cat.jpg", "picture": "a.png", "clean": "b.png",
        "question": "What is it?", "options": ("cat", "dog"), "chain": CHAIN, "predicted": PREDICTED, "model": "small",
        "applied": Recipe.parse("lens blur(0.5), dirty lens(0.2)"), "answer": "cat", "blind": False, "state": "open",
        "revision": 0, "verdict": None,
    }  # fmt: skip
    return Task(**values | changes)


def picture(name: str) -> str:
    content = (ROOT / "examples" / name).read_bytes()
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def form_page(one: Task, figures: str = "") -> str:
    """The tab as Gradio lays it out, its buttons counting how often they are pressed."""
    styles = [ROOT / "demo/style.css", ROOT / "demo/annotate/annotate.css"]
    script = (ROOT / "demo/annotate/annotate.js").read_text()
    script = script[script.index("(name, key) =>") :].rstrip()
    buttons = "".join(
        f'<button id="annotate-{name}" onclick="window.pressed.push(this.id)">{name}</button>'
        for name in ("back", "undo", "skip", "save")
    )
    viewer = panels.viewer(one, picture("cat.jpg"), picture("dress.jpg"), picture("shirt.jpg"))
    progress = panels.progress("anna", Progress(saved=3, skipped=1, left=8, items=12, predicted=12, finished=2))
    return f"""<!doctype html><html lang="en" data-language="en"><meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
        <style>body {{ margin: 0; font-family: sans-serif }} {"".join(style.read_text() for style in styles)}</style>
        <body><div class="gradio-container"><div class="main prose"><div id="tab-annotate">
        <div class="card">{progress}</div><div id="annotate-desk"><div id="annotate-left" class="card">
        <div id="annotate-viewer"></div></div><div id="annotate-right" class="card"><div id="annotate-form"></div>
        <div id="annotate-go" style="display: flex">{buttons}</div>{panels.keys()}</div></div>
        <div class="card">{figures}</div></div></div></div>
        <script>window.pressed = []; window.who = ({script})();
        document.getElementById("annotate-viewer").innerHTML = {json.dumps(viewer)};
        document.getElementById("annotate-form").innerHTML = {json.dumps(panels.form(one))};</script></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Browser, tmp_path):
    """Shows a form; at the end no script may have failed."""
    errors = []

    def show(one: Task, width: int = 1440, height: int = 900, figures: str = "", link: str = "") -> Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        (tmp_path / "form.html").write_text(form_page(one, figures), encoding="utf-8")
        page.goto(f"file://{tmp_path}/form.html{link}")
        return page

    yield show
    assert errors == []


def said(page: Page) -> dict:
    """What would be sent, as the desk would keep it."""
    collected = page.evaluate("window.annotate.collect()")
    assert (collected["item"], collected["revision"]) == (7, 0)
    return Verdict.read(collected["verdict"], PREDICTED).as_json()


def test_untouched_it_says_that_all_is_right_and_enter_saves(show):
    page = show(task())
    assert said(page) == RIGHT
    page.keyboard.press("Enter")
    assert page.evaluate("window.pressed") == ["annotate-save"]
    for key in "sub":
        page.keyboard.press(key)
    assert page.evaluate("window.pressed") == [f"annotate-{name}" for name in ("save", "skip", "undo", "back")]


def test_a_key_that_is_held_down_judges_one_picture(show):
    page = show(task())
    for key in ("Enter", "s"):
        for _ in range(3):
            page.keyboard.down(key)  # from the second on as a repetition
        page.keyboard.up(key)
    page.focus("#annotate-save")
    for _ in range(3):
        page.keyboard.down("Enter")
    assert page.evaluate("window.pressed") == ["annotate-save", "annotate-skip", "annotate-save"]
    page.keyboard.up("Enter")
    page.focus("[name=comment]")
    for _ in range(3):
        page.keyboard.down("s")
    assert said(page)["comment"] == "sss"


def test_enter_opens_what_a_model_wrote_without_tags(show):
    page = show(task(chain="A cat, I think."))
    page.focus(".raw-chain summary")
    page.keyboard.press("Enter")
    expect(page.locator(".raw-chain .words")).to_be_visible()
    assert page.evaluate("window.pressed") == []


def test_everything_is_said_by_keys(show):
    page = show(task())
    press = page.keyboard.press
    for key in ("ArrowDown", "2", "v"):
        press(key)
    page.keyboard.type("0.7")
    press("Escape")
    for key in ("ArrowDown", "1", "ArrowDown", "4", "i", "r", "r", "a"):
        press(key)
    page.fill("[name=correct_answer]", "dog")
    press("Escape")
    for key in ("m", "Space", "c"):
        press(key)
    page.keyboard.type("us")
    press("Escape")
    assert said(page) == {
        "marks": {"lens blur": "weak", "jpeg compression": "absent", "gaussian noise": "strong"},
        "intensities": {"lens blur": 0.7}, "missed": {"lens flare": None}, "influence": False, "answer": False,
        "correct_answer": "dog", "comment": "us",
    }  # fmt: skip
    assert page.evaluate("window.pressed") == [], "letters in a text are letters"


def test_a_number_says_which_way_a_prediction_is_off(show):
    page = show(task())
    page.evaluate("document.querySelector('[value=weak]').checked = true")
    page.fill("[name='value lens blur']", "0.2")
    assert said(page)["marks"]["lens blur"] == "strong"
    page.check("[name=missed][value='dirty lens']")
    page.fill("[name='value dirty lens']", "0.45")
    assert said(page)["missed"] == {"dirty lens": 0.45}


def test_what_was_said_before_stands_in_the_form(show):
    before = {"marks": RIGHT["marks"] | {"lens blur": "weak"}, "intensities": {"lens blur": 0.9},
              "missed": {"graffiti": 0.3},
              "answer": False, "correct_answer": "dog", "comment": "<b>well</b>"}  # fmt: skip
    page = show(task(verdict=Verdict.read(before, PREDICTED)))
    assert said(page) == before


def test_an_item_does_not_inherit_what_was_said_about_the_one_before(show):
    """Gradio patches the elements that are there: their attributes become the new item's, their state stays."""
    page = show(task())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("2")
    page.fill("[name=comment]", "about the first")
    page.evaluate("document.getElementById('verdict').dataset.item = 8")
    page.wait_for_function("window.annotate.shown === '8 0'")
    assert page.evaluate("window.annotate.collect().verdict.marks['lens blur']") == "right"
    assert page.evaluate("window.annotate.collect().verdict.comment") == ""


def test_a_known_wrong_answer_is_marked_so(show):
    assert said(show(task(answer="dog")))["answer"] is False


def test_the_picture_is_enlarged_moved_and_held_against_the_clean_one(show):
    page = show(task())
    for _ in range(3):
        page.keyboard.press("+")
    assert page.evaluate("window.annotate.view.scale") == pytest.approx(1.5**3)
    box = page.locator(".viewer").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    before = page.evaluate("window.annotate.view.x")
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 100)
    page.mouse.up()
    assert page.evaluate("window.annotate.view.x") == pytest.approx(before - 40)
    page.keyboard.press("0")
    assert page.evaluate("[window.annotate.view.scale, window.annotate.view.x]") == [1, 0]
    expect(page.locator(".viewer .clean")).to_be_hidden()
    page.keyboard.press("o")
    expect(page.locator(".viewer .clean")).to_be_visible()
    page.keyboard.press("x")
    expect(page.locator(".viewer .clean")).to_be_hidden()
    expect(page.locator(".viewer .recovered")).to_be_visible()
    expect(page.locator(".viewer .label:visible")).to_contain_text("may be wrong")
    page.click("[data-other=clean]")
    expect(page.locator(".viewer .recovered")).to_be_hidden()
    page.click("[data-other=clean]")
    expect(page.locator(".viewer .clean")).to_be_hidden()


def test_a_link_says_who_it_is_and_leaves_no_key_behind(show):
    page = show(task(), link="#annotator=Zo%C3%AB&key=0123")
    assert page.evaluate("window.who") == ["Zoë", "0123"]
    assert "key" not in page.url
    page.reload()
    assert page.evaluate("window.who") == ["Zoë", "0123"], "this window remembers"


@pytest.mark.parametrize(("width", "height", "dark"), [(1440, 900, False), (390, 844, True)])
def test_how_it_looks(show, width, height, dark):
    judged = [
        Judged(item, who, model, PREDICTED, Recipe.parse("lens blur(0.5)"), Verdict.read(verdict, PREDICTED), 4.0)
        for item, (who, model, verdict) in enumerate(
            [("anna", "large", RIGHT), ("ben", "small", RIGHT | {"missed": {"graffiti": 0.4}}),
             ("anna", "small", {"marks": RIGHT["marks"] | {"lens blur": "absent"}, "missed": {"motion blur": None}})]
        )
    ]  # fmt: skip
    page = show(task(), width, height, plots.drawn(judged))
    if dark:
        page.evaluate("document.body.classList.add('dark'); document.documentElement.classList.add('dark')")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the page"
    page.locator("[value=weak]").first.check(force=True)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"annotate-form-{width}.png", full_page=True)
