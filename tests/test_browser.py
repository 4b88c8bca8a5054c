"""The tab Compare in a real browser: the running app with the shipped pair, slowed, on a desktop and on a phone.

Everything waits for what it wants to see, for as long as a busy machine may need. Screenshots go to tests/screenshots/.
"""

import re
import time

import numpy as np
import pytest
from playwright.sync_api import expect

from degradations import degrade
from demo.texts import say
from tests.browsing import (
    PATIENCE_MS,
    SIZES,
    amount,
    ask,
    degraded,
    expect_new_preview,
    recipe,
    screenshot,
    shown,
    upload,
    wait_until_answered,
    wait_until_figures,
)

TWO = ("desktop", "phone")

# Collects what each column goes through, without repeats: all its text, and what the model has written alone.
WATCH = """() => { window.states = {};
  for (const id of ['baseline', 'robust']) {
    const column = document.getElementById(id), seen = window.states[id] = [];
    const look = () => {
      const words = [...column.querySelectorAll('[data-block]')].map(block => block.innerText).join(' ');
      const state = [column.innerText, words];
      if (String(state) !== String(seen.at(-1))) seen.push(state);
    };
    look();
    new MutationObserver(look).observe(column, {childList: true, subtree: true, characterData: true});
  } }"""


def test_a_rough_preview_settles(open_page):
    page = open_page()
    upload(page)
    clean = degraded(page)
    amount(page, "mean shift").fill("0.5")
    expect_new_preview(page, clean)
    before = shown(page, 0)
    real, rough = (degrade(before, "mean shift(0.5)", rough=rough) for rough in (False, True))
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not np.array_equal(shown(page, 1), real):
        assert np.array_equal(shown(page, 1), rough) or np.array_equal(shown(page, 1), real)
        assert time.monotonic() < deadline, "the preview stays rough"
        page.wait_for_timeout(50)


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_from_a_photo_to_two_answers(open_page, size, scheme):
    page = open_page(size, scheme)
    upload(page)
    clean = degraded(page)
    expect(page.locator("#photo-message")).to_contain_text("pixels")

    slider = page.locator("#slider-gaussian-noise input[type=range]")
    if size == "phone":
        page.click("#fold")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    expect(recipe(page)).to_have_value("gaussian noise(0.03)")
    expect_new_preview(page, clean)
    before = degraded(page)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    expect_new_preview(page, before)
    strength = float(amount(page, "gaussian noise").input_value())
    assert 0.4 < strength < 0.8

    page.evaluate(WATCH)
    ask(page, "What is the main object?", "teapot\ncup of coffee\nbowl of soup")
    wait_until_figures(page)
    for side, states in page.evaluate("window.states").items():
        assert len(states) >= 3, (side, states)
        assert any("writing" in column for column, _ in states)
        assert "tokens" in states[-1][0]
    lengths = [len(words) for _, words in page.evaluate("window.states.robust")]
    assert len(set(lengths)) >= 6 and lengths == sorted(lengths)
    expect(page.locator("#baseline [data-block=ANSWER] .answer")).not_to_be_empty()

    row = page.locator("#score tr", has_text="Noise")
    expect(row).to_contain_text(f"{strength:.2f}")
    expect(page.locator("#score .tile.hit dd")).to_have_text("1" if "hit" in row.get_attribute("class") else "0")
    expect(page.locator("#score .tile.error")).to_contain_text("mean intensity error")
    screenshot(page, f"{size}-{scheme}-answered")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


@pytest.mark.parametrize("size", TWO)
def test_stop_ends_both_answers_midway(open_page, size):
    page = open_page(size)
    upload(page)
    degraded(page)
    ask(page, "Describe the picture.")
    expect(page.locator("#robust .figures")).to_contain_text("writing")
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped")
    wait_until_answered(page)
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(page.locator("#robust .figures")).to_contain_text("stopped")
    screenshot(page, f"{size}-stopped")

    page.fill("#question textarea", "And now?")
    page.press("#question textarea", "Enter")
    expect(page.locator("#robust .figures")).not_to_contain_text("stopped")
    wait_until_answered(page)


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_an_example_knows_its_answer(open_page, size, scheme):
    page = open_page(size, scheme)
    screenshot(page, f"{size}-{scheme}-empty")
    page.locator("#examples button").first.click()
    degraded(page)
    expect(page.locator("#question textarea")).not_to_have_value("")
    expect(recipe(page)).not_to_have_value("none")
    page.click("#ask")
    expect(page.locator("#baseline .mark")).to_be_visible()
    wait_until_answered(page)
    expect(page.locator("#score tbody tr").first).to_be_visible()
    screenshot(page, f"{size}-{scheme}-example")
    page.locator("#robust-card .raw button").first.click()
    expect(page.locator("#robust-raw textarea")).not_to_have_value("")


def test_another_photo_takes_the_answers_along(open_page):
    page = open_page("desktop")
    upload(page)
    degraded(page)
    ask(page, "Describe the picture.")
    expect(page.locator("#robust .figures")).to_contain_text("writing")
    page.locator("#examples button").first.click()
    expect(page.locator("#robust .empty")).to_be_visible()
    expect(page.locator("#question textarea")).not_to_have_value("Describe the picture.")
    expect(page.locator("#stop")).to_be_disabled()
    page.wait_for_timeout(1500)  # what was on its way would have come by now
    expect(page.locator("#robust .empty")).to_be_visible()
    page.click("#ask")
    expect(page.locator("#baseline .mark")).to_be_visible()
    wait_until_answered(page)
    upload(page)
    expect(page.locator("#robust .empty")).to_be_visible()
    expect(page.locator("#keep")).to_be_disabled()


def test_recipe_text_sliders_and_presets_agree(open_page):
    page = open_page()
    upload(page)
    clean = degraded(page)
    recipe(page).fill("Noise(0.5), darkness(0.25)")  # as a paste does: at once
    expect(amount(page, "gaussian noise")).to_have_value("0.5")
    expect(amount(page, "dark illumination")).to_have_value("0.25")
    expect_new_preview(page, clean)
    recipe(page).blur()
    expect(recipe(page)).to_have_value("dark illumination(0.25), gaussian noise(0.5)")

    preview = page.locator("#preview")
    for key, which in (("ArrowLeft", "after"), ("ArrowRight", "before"), ("Escape", "both")):
        preview.press(key)
        expect(preview).to_have_attribute("data-shown", which)

    recipe(page).fill("sunshine(0.5)")
    recipe(page).blur()
    expect(page.locator("#recipe-message")).to_contain_text("sunshine")
    expect(amount(page, "gaussian noise")).to_have_value("0.5")

    for button, strength in (("#strength-25", 0.23), ("#strength-50", 0.45), ("#strength-100", 0.9)):
        page.click(button)
        expect(recipe(page)).to_have_value(f"dark illumination({strength}), gaussian noise({strength})")
        expect(amount(page, "dark illumination")).to_have_value(str(strength))
    expect(page.locator("#recipe-message")).to_be_empty()
    page.click("#reset")
    expect(recipe(page)).to_have_value("none")
    expect(page.locator("#preview img").nth(1)).to_have_attribute("src", clean)
    page.click("#strength-50")
    expect(recipe(page)).not_to_have_value("none")
    assert recipe(page).input_value().count("(0.45)") == 1
    page.click("#shuffle")
    expect(recipe(page)).not_to_have_value("none")


def test_what_cannot_be_used_is_said_on_the_page(open_page, tmp_path):
    page = open_page()
    page.click("#ask")
    expect(page.locator(".toast-body")).to_contain_text("question")
    (tmp_path / "photo.jpg").write_text("not a picture")
    upload(page, tmp_path / "photo.jpg")
    expect(page.locator("#photo-message")).to_contain_text("not a picture")
    assert "Traceback" not in page.inner_text("body")
    screenshot(page, "desktop-refused")


def test_the_language_switches_everything_but_what_the_visitor_wrote(open_page):
    page = open_page()
    upload(page)
    page.fill("#question textarea", "What is it?")
    amount(page, "gaussian noise").fill("0.5")
    expect(recipe(page)).to_have_value("gaussian noise(0.5)")
    page.click("#ask")
    wait_until_figures(page)
    answer = page.locator("#robust [data-block=ANSWER] .answer").inner_text()
    page.locator("#language label", has_text="中文").click()
    expect(page.locator("#ask")).to_have_text(say("compare.ask", "zh"))
    expect(page.locator("#slider-gaussian-noise")).to_contain_text(say("Noise", "zh"))
    expect(page.locator("#robust-card h2")).to_contain_text(say("compare.robust", "zh"))
    expect(page.locator("#score")).to_contain_text(say("compare.mean-error", "zh"))
    expect(page.locator("#tabs button[role=tab]").first).to_have_text(say("page.tab-compare", "zh"))
    expect(page.locator("#question textarea")).to_have_value("What is it?")
    expect(recipe(page)).to_have_value("gaussian noise(0.5)")
    expect(page.locator("#robust [data-block=ANSWER] .answer")).to_have_text(answer)
    english = re.findall(r"[A-Za-z]{3,}", page.locator("#tab-compare").inner_text())
    own = {"embedded", "base", "adapter", "tokens", "Esc"}  # names; and what the model wrote
    said = set(re.findall(r"[A-Za-z]{3,}", page.locator("#answers").inner_text()))
    assert not set(english) - own - said
    screenshot(page, "desktop-chinese")

    page.reload()  # the choice is kept
    expect(page.locator("#ask")).to_have_text(say("compare.ask", "zh"))
    page.click("#ask")
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text(say("page.no-question", "zh"), use_inner_text=True)
    expect(toast).not_to_contain_text("question", use_inner_text=True)


def test_a_browsers_language_is_the_pages(open_page):
    page = open_page("phone", locale="zh-CN")
    expect(page.locator("#ask")).to_have_text(say("compare.ask", "zh"))
    expect(page.locator("h1")).to_have_text(say("page.title", "zh"), use_inner_text=True)


def test_on_a_phone_the_answers_come_before_the_sliders(open_page):
    page = open_page("phone")
    cards = ["#photo-card", "#question-card", "#ask", "#baseline-card", "#robust-card", "#score-card", "#recipe-card"]
    tops = [page.locator(card).bounding_box()["y"] for card in cards]
    assert tops == sorted(tops)
    slider = page.locator("#slider-gaussian-noise")
    expect(slider).to_be_hidden()
    page.click("#fold")
    expect(slider).to_be_visible()
    page.click("#fold")
    expect(slider).to_be_hidden()


def test_a_second_visitor_sees_the_queue_and_can_leave_it(open_page):
    first, second = open_page(), open_page()
    for page in (first, second):
        upload(page)
        degraded(page)
    for page in (first, second):
        ask(page, "Describe the picture.")
    expect(second.locator("#status")).to_contain_text("queue: 1/1")
    screenshot(second, "desktop-queued")
    second.click("#stop")
    expect(second.locator("#status")).to_contain_text("Stopped")
    expect(second.locator("#ask")).to_be_enabled()
    wait_until_answered(first)
