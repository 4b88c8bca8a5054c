"""The pictures of README.md, taken of the page with the pair that ships: ``python -m tests.capture [EXAMPLE]``."""

import argparse
import io
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.examples import load_examples
from demo.texts import say
from tests.browsing import (
    PATIENCE_MS,
    ROOT,
    SIZES,
    choose_example,
    wait_until_figures,
    wait_until_figures_on_stage,
)
from tests.running_app import run_app

PICTURES = ROOT / "examples" / "pictures"
COLOURS = 256
SETTLED_MS = 1500
"""After which nothing fades or slides any more."""


def main() -> None:
    names = [example.image.name for example in load_examples()]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("example", nargs="?", choices=names, default="shoes.jpg", help="default: %(default)s")
    number = names.index(parser.parse_args().example)
    chromium = shutil.which("chromium") or parser.error("chromium is not here: make test installs it, where it may")
    expect.set_options(timeout=PATIENCE_MS)
    with (
        TemporaryDirectory() as folder,
        contextmanager(run_app)(Path(folder), "app") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        compare(opened(browser, address, "desktop"), number)
        sweep(opened(browser, address, "desktop"), number)
        stage(opened(browser, f"{address}?present=1&hall=dark", "hall"), number)
        browser.close()


def opened(browser: Browser, address: str, size: str) -> Page:
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light", locale="en-GB")
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector("#ask", state="attached")
    return page


def compare(page: Page, number: int) -> None:
    """Two answers about an example."""
    choose_example(page, number)
    page.click("#ask")
    wait_until_figures(page)
    take(page, "compare")


def sweep(page: Page, number: int) -> None:
    """Its recipe at all strengths."""
    choose_example(page, number)
    page.get_by_role("tab", name=say("page.tab-sweep")).click()
    page.locator("#sweep-kind label").nth(1).click()
    page.click("#sweep-go")
    expect(page.locator("#sweep-progress")).to_contain_text(re.compile("done after"))
    take(page, "sweep")


def stage(page: Page, number: int) -> None:
    """Its slide, asked."""
    expect(page.locator("#stage-counter")).to_contain_text("1 / ")
    for slide in range(number):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#stage-counter")).to_contain_text(f"{slide + 2} / ")
    page.keyboard.press(" ")
    wait_until_figures_on_stage(page)
    take(page, "stage")


def take(page: Page, name: str) -> None:
    """Write a picture in few colours: the history of a repository keeps every one of them."""
    page.mouse.move(2, 2)
    page.wait_for_timeout(SETTLED_MS)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    PICTURES.mkdir(exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
