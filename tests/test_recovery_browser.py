"""The third column in a real browser: asked, kept, played back, drawn as a card; and on stage."""

import json

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browsing import SIZES, screenshot, violations

SIDES = ("baseline", "robust", "recovered")


def wait_until_all_figures(page: Page) -> None:
    for side in SIDES:
        expect(page.locator(f"#{side} .figures")).to_contain_text("tokens/s")


def answer(page: Page) -> str:
    return page.locator("#recovered [data-block=ANSWER] .answer").inner_text()


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_a_run_with_a_third_column_is_kept_played_back_and_drawn(open_recovering_page, tmp_path, size, scheme):
    page = open_recovering_page(size, scheme)
    expect(page.locator("#recovered-card")).to_be_hidden()
    page.locator("#examples button").first.click()
    expect(page.locator("#question textarea")).not_to_have_value("")
    page.check("#recover input")
    expect(page.locator("#recovered-card")).to_be_visible()
    page.click("#ask")
    wait_until_all_figures(page)
    expect(page.locator("#recovery .recovered img")).to_be_visible()
    expect(page.locator("#keep")).to_be_enabled()
    said = answer(page)
    with page.expect_download() as download:
        page.click("#keep")
    download.value.save_as(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["recovery"]["picture"]["png"]

    page.reload()
    page.wait_for_selector("#ask")
    expect(page.locator("#recovered-card")).to_be_hidden()
    page.set_input_files("#kept input[type=file]", tmp_path / "run.json")
    expect(page.locator("#status .played")).to_be_visible()
    wait_until_all_figures(page)
    assert answer(page) == said
    expect(page.locator("#recovery .recovered img")).to_be_visible()
    expect(page.locator("#recover input")).to_be_checked()
    page.locator("#share button").first.click()
    page.click("#share-card")
    expect(page.locator("#share-picture img")).to_be_visible()
    with page.expect_download() as download:
        page.click("#share-picture a")
    download.value.save_as(tmp_path / "card.png")
    with Image.open(tmp_path / "card.png") as card:
        assert card.size == (1600, 900)
        card.save(screenshot(page, f"{size}-{scheme}-recovered").with_name(f"{size}-card-recovered.png"))
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert not violations(page)
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#recovery .recovered")).to_have_count(0)


@pytest.mark.parametrize(("size", "hall"), [("hall", "dark"), ("old hall", "bright")])
def test_the_stage_shows_the_third_column(open_recovering_page, size, hall):
    page = open_recovering_page(size, link=f"?present=1&hall={hall}")
    expect(page.locator("#stage-counter")).to_contain_text("1 / ")
    page.locator("#stage-pace label").last.click()
    page.keyboard.press("r")
    expect(page.locator("#recovered-card")).to_be_visible()
    page.keyboard.press(" ")
    wait_until_all_figures(page)
    screenshot(page, f"{size.replace(' ', '-')}-{hall}-recovered")
    root = "document.documentElement"
    assert page.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]") == list(SIZES[size])
    parts = [f"#{side} {part}" for side in SIDES for part in (".mark", ".figures")]
    for part in ("#recovery .recovered img", "#recovery .facts", "#recovery .warning", *parts):
        assert shown_whole(page, part), f"{part} is cut off"
    assert not violations(page)
    page.keyboard.press("r")
    expect(page.locator("#recovered-card")).to_be_hidden()


def shown_whole(page: Page, part: str) -> bool:
    """Whether nothing cuts a part off: neither a card around it nor the window."""
    return page.locator(part).first.evaluate(
        """(part) => {
            const own = part.getBoundingClientRect();
            for (let around = part.parentElement; around; around = around.parentElement) {
                if (getComputedStyle(around).overflowY === "visible") continue;
                const box = around.getBoundingClientRect();
                if (own.bottom > box.bottom + 1 || own.right > box.right + 1) return false;
            }
            return own.height > 0 && own.bottom <= innerHeight && own.right <= innerWidth;
        }"""
    )
