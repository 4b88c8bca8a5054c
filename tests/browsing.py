"""The running app in a real browser: pages that are watched for errors, and what tests do on them."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "coffee.jpg"
SCREENSHOTS = ROOT / "tests" / "screenshots"
SIZES = {"desktop": (1440, 900), "phone": (390, 844), "hall": (1920, 1080), "old hall": (1024, 768)}
PATIENCE_MS = 120_000

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(slow_app: str, browser: Browser) -> Iterator[OpenPage]:
    """Opens the page at some size; at the end nothing may have been asked of another host, nor gone wrong unseen."""
    yield from pages_of(slow_app, browser)


@pytest.fixture
def open_recovering_page(recovering_app: str, browser: Browser) -> Iterator[OpenPage]:
    """The same where there is a recovery."""
    yield from pages_of(recovering_app, browser)


def pages_of(app: str, browser: Browser) -> Iterator[OpenPage]:
    """What opens an app's pages, and what is checked at the end."""
    foreign, errors, contexts = [], [], []

    def open_page(size: str = "desktop", scheme: str = "light", locale: str = "en-GB", link: str = "") -> Page:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, app) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(app + link)
        page.wait_for_selector("#ask", state="attached")
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield open_page
    for context in contexts:
        context.close()
    assert foreign == []
    assert errors == []


def is_foreign(url: str, app: str) -> bool:
    return urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).netloc != urlsplit(app).netloc


def upload(page: Page, photo: Path = PHOTO) -> None:
    page.set_input_files("#photo input[type=file]", photo)


def degraded(page: Page) -> str:
    """The address of the picture behind the slider; it is named by photo, recipe and seed."""
    picture = page.locator("#preview img").nth(1)
    expect(picture).to_be_visible()
    return picture.get_attribute("src")


def shown(page: Page, which: int) -> np.ndarray:
    """The picture before (0) or behind (1) the slider."""
    address = page.locator("#preview img").nth(which).get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(address).body())))


def expect_new_preview(page: Page, old: str) -> None:
    expect(page.locator("#preview img").nth(1)).not_to_have_attribute("src", old)


def recipe(page: Page):
    return page.locator("#recipe textarea")


def amount(page: Page, name: str):
    return page.locator(f"#slider-{name.replace(' ', '-')} input[type=number]")


def ask(page: Page, question: str, options: str = "") -> None:
    page.fill("#question textarea", question)
    page.fill("#options textarea", options)
    page.click("#ask")


def wait_until_answered(page: Page) -> None:
    expect(page.locator("#stop")).to_be_disabled()
    expect(page.locator("#ask")).to_be_enabled()


def choose_example(page: Page, number: int = 0) -> None:
    page.locator("#examples button").nth(number).click()
    expect(page.locator("#question textarea")).not_to_have_value("")
    expect(page.locator("#preview img").nth(1)).to_be_visible()


def wait_until_figures(page: Page) -> None:
    """Until both sides say how long they took."""
    wait_until_figures_on_stage(page)
    wait_until_answered(page)


def wait_until_figures_on_stage(page: Page) -> None:
    """The same where the buttons of Compare are not seen."""
    for side in ("baseline", "robust"):
        expect(page.locator(f"#{side} .figures")).to_contain_text("tokens/s")


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or worse, of our own and of Gradio's."""
    found = Axe().run(page).response["violations"]
    return [
        f"{entry['id']}: {node['html'][:160]}"
        for entry in found
        if entry["impact"] in ("serious", "critical")
        for node in entry["nodes"]
    ]


def screenshot(page: Page, name: str) -> Path:
    """The picture that was taken."""
    SCREENSHOTS.mkdir(exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
