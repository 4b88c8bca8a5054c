"""The tabs and the stage in a real browser, as test_browser.py does it for Compare; and what axe-core says of all."""

import json
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from demo.texts import say
from tests.browsing import (
    PATIENCE_MS,
    SIZES,
    choose_example,
    screenshot,
    violations,
    wait_until_figures,
    wait_until_figures_on_stage,
)

TWO = ("desktop", "phone")


def open_sweep(page: Page, steps: int) -> None:
    page.get_by_role("tab", name=say("page.tab-sweep")).click()
    page.locator("#sweep-steps input[type=number]").fill(str(steps))
    page.locator("#sweep-steps input[type=number]").blur()


def fits(page: Page, selector: str) -> bool:
    """Whether something lies between the left and the right edge of what is seen, with nothing of it to scroll to."""
    return page.locator(selector).first.evaluate(
        """one => {
            const box = one.getBoundingClientRect();
            for (let up = one.parentElement; up; up = up.parentElement)
                if (["auto", "scroll"].includes(getComputedStyle(up).overflowX) && up.scrollWidth > up.clientWidth + 1)
                    return false;
            return box.left >= 0 && box.right <= document.documentElement.clientWidth;
        }"""
    )


def wait_until_swept(page: Page) -> None:
    expect(page.locator("#sweep-progress")).to_contain_text(re.compile("done after|stopped"))
    expect(page.locator("#sweep-png")).to_be_enabled()
    expect(page.locator("#sweep-go")).to_be_enabled()


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_a_sweep_shows_where_it_breaks(open_page, size, scheme, tmp_path):
    page = open_page(size, scheme)
    page.get_by_role("tab", name=say("page.tab-sweep")).click()
    expect(page.locator("#sweep-subject")).to_contain_text(say("sweep.nothing-chosen"))
    screenshot(page, f"{size}-{scheme}-sweep-empty")
    page.click("#sweep-choose")
    choose_example(page)
    open_sweep(page, 4)
    expect(page.locator("#sweep-subject img")).to_be_visible()
    page.click("#sweep-go")
    wait_until_swept(page)
    drawing = page.locator("#sweep-chart svg:visible")
    expect(drawing).to_have_class(re.compile("narrow" if size == "phone" else "wide"))
    assert page.locator("#sweep-strip li").count() == 4 == drawing.locator(".column").count()
    marks = drawing.locator(".cell").evaluate_all("cells => cells.map(cell => cell.classList[1])")
    assert len(marks) == 8 and set(marks) <= {"right", "wrong", "unread"}
    page.mouse.move(2, 2)
    for number, strength in ((2, "0.67"), (3, "1.00")):
        tip = drawing.locator(".column").nth(number)
        expect(tip.locator(".tip")).to_be_hidden()
        tip.focus()
        expect(tip.locator(".tip")).to_be_visible()
        expect(tip.locator(".tip")).to_contain_text(strength)
    assert fits(page, "#sweep-chart svg:visible .tip-box >> visible=true")
    assert fits(page, "#sweep-chart svg:visible")
    letters = drawing.locator("text").first.evaluate(
        "one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a"
    )
    assert letters >= 9, "letters keep a size that can be read"
    screenshot(page, f"{size}-{scheme}-sweep-focus")
    for kind in ("csv", "json", "png"):
        with page.expect_download(timeout=PATIENCE_MS) as download:
            page.click(f"#sweep-{kind}")
        download.value.save_as(tmp_path / f"sweep.{kind}")
    assert Image.open(tmp_path / "sweep.png").size == (1920, 1080)
    assert len(json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))["steps"]) == 4
    screenshot(page, f"{size}-{scheme}-sweep")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    if size == "phone":
        assert fits(page, "#sweep-strip li:last-child")


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_the_tables_of_all_types_fit(open_page, size, scheme):
    page = open_page(size, scheme)
    choose_example(page)
    page.get_by_role("tab", name=say("page.tab-sweep")).click()
    page.locator("#sweep-kind label").nth(2).click()
    page.click("#sweep-go")
    expect(page.locator("#sweep-chart .heat:is(.right, .wrong, .unread)").first).to_be_visible()
    page.click("#sweep-stop")
    wait_until_swept(page)
    for number in range(2):
        assert fits(page, f"#sweep-chart .heat-map:nth-child({number + 1}) tr:last-child td:last-child")
    screenshot(page, f"{size}-{scheme}-matrix")


def test_a_sweep_that_is_stopped_keeps_what_is_there(open_page):
    page = open_page()
    choose_example(page)
    open_sweep(page, 21)
    page.click("#sweep-go")
    expect(page.locator("#sweep-chart :is(.cell.right, .cell.wrong) >> visible=true").first).to_be_visible()
    page.click("#sweep-stop")
    wait_until_swept(page)
    expect(page.locator("#sweep-progress")).to_contain_text(say("sweep.stopped"))
    expect(page.locator("#sweep-chart .cell.open >> visible=true").first).to_be_visible()
    expect(page.locator("#sweep-chart :is(.cell.right, .cell.wrong) >> visible=true").first).to_be_visible()
    screenshot(page, "desktop-sweep-stopped")


@pytest.mark.parametrize(("size", "hall"), [("hall", "dark"), ("old hall", "bright")])
def test_on_stage_slides_turn_and_are_asked_by_keys(open_page, size, hall):
    page = open_page(size, link=f"?present=1&hall={hall}")
    question = page.locator("#stage-question .asked")
    expect(question).to_be_visible()
    expect(page.locator("#stage-counter")).to_contain_text("1 / ")
    for hidden in ("#recipe-card", "#question-card", "#tabs button[role=tab]", "#ask"):
        expect(page.locator(hidden).first).to_be_hidden()
    first = page.locator("#preview img").nth(1).get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#stage-counter")).to_contain_text("2 / ")
    expect(page.locator("#preview img").nth(1)).not_to_have_attribute("src", first)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#stage-counter")).to_contain_text("1 / ")

    page.keyboard.press(" ")
    expect(page.locator("#robust .panel.open").first).to_be_visible()
    places = page.locator("#robust .panel").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    screenshot(page, f"{size.replace(' ', '-')}-{hall}-writing")
    wait_until_figures_on_stage(page)
    after = page.locator("#robust .panel").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert after == places, "panels moved while they were read"
    width, height = SIZES[size]
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        width,
        height,
    ]
    screenshot(page, f"{size.replace(' ', '-')}-{hall}")
    page.keyboard.press("d")
    expect(page.locator("html")).to_have_attribute("data-hall", "bright" if hall == "dark" else "dark")
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_visible()


def test_a_slide_that_is_left_takes_its_run_along(open_page):
    page = open_page("hall", link="?present=1&hall=dark")
    counter = page.locator("#stage-counter")
    expect(counter).to_contain_text("1 / ")
    page.keyboard.press(" ")
    expect(page.locator("#robust .panel.open").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(counter).to_contain_text("2 / ")
    expect(page.locator("#robust .empty")).to_be_visible()
    page.wait_for_timeout(1000)  # in which the run that was left would write on
    expect(page.locator("#robust .empty")).to_be_visible()


def test_no_turn_is_lost_however_fast_they_come(open_page):
    page = open_page("hall", link="?present=1")
    counter = page.locator("#stage-counter")
    expect(counter).to_contain_text("1 / ")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(counter).to_contain_text("4 / ")
    page.keyboard.press("ArrowLeft")
    expect(counter).to_contain_text("3 / ")


def test_keys_stay_with_the_slides_and_stop_stops_only_what_runs(open_page):
    page = open_page("hall", link="?present=1")
    expect(page.locator("#stage-counter")).to_contain_text("1 / ")
    page.locator("#stage-pace label").last.click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#stage-counter")).to_contain_text("2 / ")
    page.keyboard.press(" ")
    wait_until_figures_on_stage(page)
    answer = page.locator("#robust").inner_text()
    page.keyboard.press("s")
    page.wait_for_timeout(500)
    assert page.locator("#robust").inner_text() == answer, "there was nothing to stop"
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_enabled()


def test_decks_are_opened_and_their_notes_stand_in_a_window_of_their_own(open_page, slow_app, tmp_path):
    slides = [{"example": "hat.jpg", "notes": "Say hello."}, {"example": "cat.jpg", "notes": "Look closely."}]
    (tmp_path / "talk.json").write_text(json.dumps({"slides": slides}))
    page = open_page("hall", link="?present=1&deck=nowhere")
    counter = page.locator("#stage-counter")
    expect(page.get_by_text("There is no deck named nowhere").first).to_be_visible()
    expect(counter).to_contain_text("1 / ")
    page.set_input_files("#stage-bar input[type=file]", tmp_path / "talk.json")
    expect(counter).to_contain_text("1 / 2")
    with page.expect_popup() as opened:
        page.keyboard.press("n")
    notes = opened.value.locator("body")
    expect(notes).to_contain_text("Say hello.")
    page.keyboard.press("ArrowRight")
    expect(notes).to_contain_text("Look closely.")
    opened.value.close()
    page.keyboard.press("ArrowLeft")
    expect(counter).to_contain_text("1 / 2")
    screenshot(page, "hall-deck")

    page.route(f"{slow_app}talk.json", lambda route: route.fulfill(path=tmp_path / "talk.json"))
    page.goto(f"{slow_app}?present=1&deck={slow_app}talk.json")
    expect(counter).to_contain_text("1 / 2")


def test_a_run_is_kept_and_played_back(open_page, tmp_path):
    page = open_page()
    choose_example(page)
    page.click("#ask")
    wait_until_figures(page)
    answer = page.locator("#robust [data-block=ANSWER] .answer").inner_text()
    expect(page.locator("#keep")).to_be_enabled()
    with page.expect_download() as download:
        page.click("#keep")
    download.value.save_as(tmp_path / "run.json")

    page.reload()
    page.wait_for_selector("#ask")
    page.set_input_files("#kept input[type=file]", tmp_path / "run.json")
    expect(page.locator("#status .played")).to_be_visible()
    expect(page.locator("#robust [data-block=ANSWER] .answer")).to_have_text(answer)
    expect(page.locator("#preview img").nth(1)).to_be_visible()
    expect(page.locator("#question textarea")).not_to_have_value("")
    wait_until_figures_on_stage(page)
    page.wait_for_timeout(500)  # a second file is taken once the first has been played
    (tmp_path / "other.json").write_text("{}")
    page.set_input_files("#kept input[type=file]", tmp_path / "other.json")
    expect(page.locator("#status .bad")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(open_page, scheme):
    page = open_page("desktop", scheme)
    choose_example(page)
    page.click("#ask")
    wait_until_figures(page)
    assert not violations(page)
    open_sweep(page, 3)
    page.click("#sweep-go")
    wait_until_swept(page)
    assert not violations(page)
    for tab in ("annotate", "results"):
        page.get_by_role("tab", name=say(f"page.tab-{tab}")).click()
        expect(page.locator(f"#tab-{tab}")).to_be_visible()
        assert not violations(page), tab


@pytest.mark.parametrize("hall", ["dark", "bright"])
def test_axe_finds_nothing_serious_on_stage(open_page, hall):
    page = open_page("hall", link=f"?present=1&hall={hall}")
    expect(page.locator("#stage-counter")).to_contain_text("1 / ")
    page.locator("#stage-pace label").last.click()
    page.keyboard.press(" ")
    wait_until_figures_on_stage(page)
    assert not violations(page)
