"""The tab Annotate in a real browser and its endpoints, on a running app that wants keys."""

import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect
from sqlalchemy import select

from demo import settings
from demo.annotate import exports
from demo.annotate.access import Access
from demo.annotate.batches import Batches, Wanted
from demo.annotate.pictures import Pictures
from demo.store.database import Store
from demo.store.tables import Judgement
from demo.texts import say
from tests.batch_making import picture, write_folder, write_zip
from tests.browsing import SCREENSHOTS, SIZES, violations
from tests.running_app import run_app

SECRET = "the tests' own secret"
ACCESS = Access(SECRET)
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, Path, int]]:
    """Address, folder and batch of an app with a blind batch of twelve, each for two annotators; and one more batch."""
    folder = tmp_path_factory.mktemp("annotating")
    data = folder / settings.DATA
    batches = Batches(Store(f"sqlite:///{data}/annotations.db"), Pictures(data / "pictures"))
    source = write_folder(folder / "source", 12)
    rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"clean": row["file_name"]}) for row in rows]
    (source / "metadata.jsonl").write_text("\n".join(lines))
    batch = batches.open_path(source, Wanted("twelve", per_item=2), "olga").batch
    batches.open_path(source, Wanted("for keys", per_item=2), "olga")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(settings.ANNOTATION_SECRET, SECRET)
        for address in run_app(folder, "app"):
            yield address, folder, batch


def kept(folder: Path, annotator: str) -> list[Judgement]:
    """What the database holds of an annotator, read by this process."""
    with Store(f"sqlite:///{folder / settings.DATA}/annotations.db").reading() as session:
        return list(session.scalars(select(Judgement).where(Judgement.annotator == annotator).order_by(Judgement.id)))


# --- endpoints ---


@pytest.fixture(scope="module")
def ask(served) -> Callable:
    """Calls an endpoint as somebody."""
    client = Client(served[0], verbose=False)

    def ask(endpoint: str, *arguments, name="anna", key=None, operator=False):
        key = ACCESS.key(name, operator) if key is None else key
        return client.predict(name, key, *arguments, api_name=f"/annotate_{endpoint}")

    return ask


def test_names_and_parameters_are_the_promised_ones(served):
    endpoints = Client(served[0], verbose=False).view_api(return_format="dict", print_info=False)["named_endpoints"]
    parameters = {name: [p["parameter_name"] for p in entry["parameters"]] for name, entry in endpoints.items()}
    wanted = {"batches": [], "next": ["batch"], "undo": ["batch"], "back": ["batch", "item"],
              "save": ["item", "verdict", "revision"], "skip": ["item", "revision"], "progress": ["batch"],
              "figures": ["batch"], "predict": ["batch"], "export": ["batch", "format"], "to_hub": ["batch"],
              "import": ["batch", "file"],
              "open": ["file", "source", "title", "blind", "per_item", "question", "options"]}  # fmt: skip
    found = {name: own for name, own in parameters.items() if name.startswith("/annotate_")}
    assert found == {f"/annotate_{name}": ["name", "key", *own] for name, own in wanted.items()}


def test_an_item_is_judged_through_the_endpoints(ask, served):
    _, folder, batch = served
    listed = {one["name"]: one for one in ask("batches")}
    assert listed.keys() == {"twelve", "for keys"}
    twelve = listed["twelve"]
    assert (twelve["id"], twelve["items"], twelve["waiting"]) == (batch, 12, 0)
    item = ask("next", batch, name="api")
    assert item["predicted"] == {"lens blur": 0.5, "gaussian noise": 0.3}
    assert not {"model", "applied", "answer", "key"} & set(item), "the batch is blind"
    assert httpx.get(served[0] + item["picture"]).content[:4] == b"\x89PNG"
    verdict = {"marks": {"lens blur": "weak", "gaussian noise": "absent"}, "missed": {"graffiti": 0.4}}
    assert ask("save", item["id"], verdict, 0, name="api") == {"revision": 1}
    assert kept(folder, "api")[-1].verdict == verdict
    with pytest.raises(AppError, match="another window"):
        ask("save", item["id"], verdict, 0, name="api")
    second = ask("next", batch, name="api")
    assert ask("skip", second["id"], 0, name="api") == {"revision": 1}
    assert ask("back", batch, second["id"], name="api")["id"] == item["id"]
    assert ask("undo", batch, name="api")["id"] == second["id"]
    progress = ask("progress", batch, name="api")
    assert (progress["saved"], progress["skipped"]) == (1, 0)
    figures = ask("figures", batch, name="api")
    assert figures["by_type"]["lens blur"]["weak"] == 1 and "by_model" not in figures
    assert "small" in ask("figures", batch, name="olga", operator=True)["by_model"]


@pytest.mark.parametrize("name", ["batches", "next", "save", "skip", "undo", "back", "progress", "figures", "open",
                                  "predict", "export", "to_hub", "import"])  # fmt: skip
def test_nobody_gets_in_without_their_key(ask, served, name):
    batch = served[2]
    arguments = {"batches": (), "save": (1, {}, 0), "skip": (1, 0), "back": (batch, 1), "export": (batch, "jsonl"),
                 "open": (None, "owner/name", "x", True, 1, "", ""), "import": (batch, None)}  # fmt: skip
    for key in ("", "0" * 32, ACCESS.key("ben")):
        with pytest.raises(AppError, match="not the key of anna"):
            ask(name, *arguments.get(name, (batch,)), key=key)
    if name in ("open", "predict", "export", "to_hub", "import"):
        with pytest.raises(AppError, match="may annotate, but not"):
            ask(name, *arguments.get(name, (batch,)))


def test_a_zip_is_opened_exported_and_imported(ask, served, tmp_path):
    archive = write_zip(tmp_path / "one.zip", write_folder(tmp_path / "source", 3))
    olga = {"name": "olga", "operator": True}
    opened = ask("open", handle_file(archive), "", "from a zip", False, 1, "", "", **olga)
    assert (opened["items"], opened["refused"]) == (3, [])
    item = ask("next", opened["batch"], name="ben")
    assert (item["model"], item["applied"]) == ("small", {"lens blur": 0.6})
    ask("save", item["id"], {"marks": dict.fromkeys(item["predicted"], "right")}, 0, name="ben")
    table = ask("export", opened["batch"], "csv", **olga)
    assert "from a zip" in Path(table).read_text() and exports.read(Path(table).read_bytes(), "x.csv")
    assert ask("import", opened["batch"], handle_file(table), **olga)["same"] == 1
    assert Path(ask("export", opened["batch"], "zip", **olga)).read_bytes()[:2] == b"PK"
    with pytest.raises(AppError, match="--hub-account"):
        ask("to_hub", opened["batch"], **olga)


def test_the_pages_model_predicts_what_comes_without(ask, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(picture(1, 64))
    olga = {"name": "olga", "operator": True}
    archive = write_zip(tmp_path / "bare.zip", tmp_path / "in")
    batch = ask("open", handle_file(archive), "", "bare", False, 1, "What is it?", "cat\ndog", **olga)["batch"]
    assert ask("next", batch, name="ben") is None
    assert ask("predict", batch, **olga) == {"done": 1, "count": 1}
    item = ask("next", batch, name="ben")
    assert item["options"] == ["cat", "dog"] and "<TYPE>" in item["chain"] and item["model"]


@pytest.mark.parametrize(
    "source",
    ["/etc", "../source", "file:///etc/passwd", "http://127.0.0.1:1/a.zip", "http://169.254.169.254/", "sqlite://"],
)
def test_no_visitor_names_what_lies_on_the_server(ask, source):
    with pytest.raises(AppError):
        ask("open", None, source, "x", False, 1, "", "", name="olga", operator=True)


def test_no_file_of_the_server_is_opened_as_an_upload(ask, served):
    """Gradio checks the paths that a request marks as files; a hand-written one need not."""
    paths = "/etc/passwd", str(served[1] / settings.DATA / "annotations.db")
    marks = {}, {"meta": {"_type": "gradio.FileData"}}
    for path, mark in product(paths, marks):
        data = ["olga", ACCESS.key("olga", True), {"path": path, **mark}, "", "x", False, 1, "", ""]
        call = httpx.post(f"{served[0]}gradio_api/call/annotate_open", json={"data": data}).json()["event_id"]
        answer = httpx.get(f"{served[0]}gradio_api/call/annotate_open/{call}", timeout=120).text
        assert "event: error" in answer
    assert {batch["name"] for batch in ask("batches")}.isdisjoint({"x"})


def test_database_and_pictures_are_not_served(served):
    data = served[1] / settings.DATA
    for path in (data / "annotations.db", next((data / "pictures").rglob("*.png"))):
        assert httpx.get(f"{served[0]}gradio_api/file={path}").status_code in (403, 404)


# --- the page ---


@pytest.fixture
def annotate(served, browser) -> Iterator[Callable[..., Page]]:
    """Opens the tab by the link of an annotator, and starts."""
    errors, contexts = [], []
    expect.set_options(timeout=PATIENCE_MS)

    def annotate(
        name: str, size: str = "desktop", scheme: str = "light", locale: str = "en-GB", batch: str = "twelve"
    ) -> Page:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{served[0]}#{urlencode({'annotator': name, 'key': ACCESS.key(name)})}")
        page.wait_for_selector("#ask")
        language = "zh" if locale.startswith("zh") else "en"
        page.get_by_role("tab", name=say("page.tab-annotate", language)).click()
        expect(page.locator("#annotate-name textarea, #annotate-name input")).to_have_value(name)
        page.click("#annotate-batch input")
        page.get_by_role("option", name=batch).click()
        page.click("#annotate-start")
        expect(page.locator("#verdict")).to_be_visible()
        expect(page.locator("#annotate-viewer .viewer")).to_be_focused()  # the keys are at hand
        return page

    yield annotate
    for context in contexts:
        context.close()
    assert errors == []


def status(page: Page):
    return page.locator("#annotate-status")


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"annotate-{name}.png", full_page=True)


def test_the_key_does_not_stay_in_the_address(annotate):
    page = annotate("kim")
    assert "key" not in page.url
    assert not page.locator("#annotate-viewer").get_by_text("small", exact=True).count(), "the batch is blind"


def test_an_easy_item_takes_one_key_and_is_kept_before_it_is_told(annotate, served):
    page = annotate("quick", batch="for keys")
    item = page.locator("#verdict").get_attribute("data-item")
    begin = time.monotonic()
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text(re.sub(r"\{number\}.*", "", say("annotate.saved")))
    (judgement,) = kept(served[1], "quick")
    expect(page.locator("#verdict")).not_to_have_attribute("data-item", item)
    print(f"from Enter to the next picture: {time.monotonic() - begin:.2f} s")
    assert str(judgement.item_id) == item
    assert judgement.verdict == {"marks": {"lens blur": "right", "gaussian noise": "right"}, "influence": True,
                                 "reasoning": True, "answer": True}  # fmt: skip


def test_everything_can_be_said_by_keys(annotate, served):
    page = annotate("keys", batch="for keys")
    press = page.keyboard.press
    for key in ("ArrowDown", "2", "v"):
        press(key)
    page.keyboard.type("0.8")
    press("Escape")
    for key in ("ArrowDown", "ArrowDown", "1", "i", "a", "m", "Space", "c"):
        press(key)
    page.keyboard.type("u and s are letters here")
    press("Escape")
    press("o")
    expect(page.locator(".viewer")).to_have_class(re.compile("shows-clean"))
    for _ in range(3):
        press("+")
    assert page.evaluate("window.annotate.view.scale") > 3
    screenshot(page, "said")
    item = page.locator("#verdict").get_attribute("data-item")
    press("Enter")
    expect(page.locator("#verdict")).not_to_have_attribute("data-item", item)
    assert page.evaluate("window.annotate.view.scale") == 1
    verdict = kept(served[1], "keys")[-1].verdict
    assert verdict["marks"]["lens blur"] == "weak" and verdict["intensities"] == {"lens blur": 0.8}
    assert (verdict["influence"], verdict["answer"], verdict["reasoning"]) == (False, False, True)
    assert verdict["comment"] == "u and s are letters here" and len(verdict["missed"]) == 1

    press("s")
    expect(status(page)).to_contain_text("Skipped")
    press("u")
    expect(status(page)).to_contain_text("Taken back")
    press("b")
    expect(page.locator("#verdict")).to_have_attribute("data-item", item)
    expect(page.locator("#verdict [name=comment]")).to_have_value("u and s are letters here")
    assert [one.state for one in kept(served[1], "keys")] == ["saved", "skipped", "open"]


def test_what_another_window_has_saved_is_told_and_kept(annotate, served):
    first, second = annotate("twice"), annotate("twice")
    first.fill("#verdict [name=comment]", "first")
    first.click("#annotate-save")
    expect(status(first)).to_contain_text("Saved")
    second.fill("#verdict [name=comment]", "second")
    second.click("#annotate-save")
    expect(status(second)).to_contain_text("another window")
    expect(second.locator("#verdict [name=comment]")).to_have_value("first")
    assert [one.verdict.get("comment") for one in kept(served[1], "twice")] == ["first"]


def test_a_wrong_key_is_told_and_opens_nothing(annotate):
    page = annotate("wrong")
    page.fill("#annotate-key input", "guessed")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("not the key of wrong")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_how_it_looks(annotate, size, scheme):
    page = annotate(f"{size} {scheme}", size, scheme, "zh-CN" if (size, scheme) == ("phone", "dark") else "en-GB")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "nothing is wider than the page"
    if size == "desktop":
        page.locator("#annotate-operating button").first.click()
        expect(page.locator("#annotate-open")).to_be_visible()
        assert not violations(page)
    screenshot(page, f"{size}-{scheme}")
