"""Sharing and voting on a running app: their endpoints, and the page in a real browser."""

import json
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from demo import photos
from demo.share import card
from demo.texts import say
from tests.browsing import PATIENCE_MS, PHOTO, SIZES, screenshot, upload, wait_until_figures
from tests.running_app import ROOT

CAT = ROOT / "examples" / "cat.jpg"
QUESTION = "What is the main object?\n0. dog\n1. cat"
RECIPE = "dark illumination(0.55)"
ASKED = QUESTION, RECIPE, 7, 0.0, 60
LOOKS = [("desktop", "light", "en-GB"), ("phone", "dark", "zh-CN")]


@pytest.fixture(scope="module")
def client(app) -> Client:
    return Client(app, verbose=False)


@pytest.fixture
def own(tmp_path) -> Path:
    """A photo of one's own, with a camera in its metadata."""
    exif = Image.Exif()
    exif[271] = "SecretCamera"
    pixels = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.jpg", exif=exif)
    return tmp_path / "own.jpg"


# --- endpoints ---


def test_names_and_parameters_are_the_promised_ones(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    asked = ["question", "recipe", "seed", "temperature", "max_new_tokens"]
    promised = {
        "/record_run": ["image", *asked, "recovered"], "/read_run": ["run"], "/draw_card": ["run", "language"],
        "/make_link": ["image", "upload", *asked, "recovered"], "/open_link": ["link"],
        "/share_photo": ["image", "consent"], "/delete_photo": ["upload", "key"], "/shared_photos": ["name", "key"],
        "/remove_photo": ["name", "key", "upload"], "/vote_pair": ["image", *asked],
        "/vote_cast": ["ballot", "better", "right", "voter"], "/vote_results": [],
        "/vote_export": ["name", "key", "format"],
    }  # fmt: skip
    for name, parameters in promised.items():
        assert [one["parameter_name"] for one in endpoints[name]["parameters"]] == parameters, name


def test_a_run_is_made_read_drawn_and_repeated(client):
    run = client.predict(handle_file(CAT), *ASKED, api_name="/record_run")
    told = client.predict(handle_file(run), api_name="/read_run")
    assert (told["question"], told["recipe"], told["seed"]) == (QUESTION, RECIPE, 7)
    hashes = {side: one["weights"] for side, one in told["checkpoints"].items()}
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes.values()) and len(set(hashes.values())) == 2
    *_, last = client.submit(handle_file(CAT), *ASKED, api_name="/compare")
    assert told["replies"] == {side: last[side]["text"] for side in last}, "the same seed says the same"
    assert json.loads(Path(run).read_text(encoding="utf-8"))["photo"] == "cat.jpg"
    for language in ("en", "zh"):
        assert Image.open(client.predict(handle_file(run), language, api_name="/draw_card")).size == card.SIZE
    with pytest.raises(AppError, match="no recorded run"):
        client.predict(handle_file(CAT), api_name="/read_run")


def test_a_photo_is_shared_linked_and_deleted(client, app, own):
    with pytest.raises(AppError, match="tick first"):
        client.predict(handle_file(own), False, api_name="/share_photo")
    shared = client.predict(handle_file(own), True, api_name="/share_photo")
    query = client.predict(handle_file(own), shared["upload"], *ASKED, api_name="/make_link")
    assert shared["upload"] in query and shared["forgets"] is False
    state, path = client.predict(f"https://elsewhere/{query}", api_name="/open_link")
    assert (state["question"], state["options"], state["recipe"]) == (QUESTION.splitlines()[0], ["dog", "cat"], RECIPE)
    assert (state["seed"], state["temperature"], state["max_new_tokens"]) == (7, 0.0, 60)
    kept = photos.load(path)
    assert max(kept.size) <= max(Image.open(own).size) and b"SecretCamera" not in Path(path).read_bytes()
    listed = client.predict("olga", "", api_name="/shared_photos")
    assert shared["upload"] in [one["id"] for one in listed], "on one's own machine everybody is an operator"
    with pytest.raises(AppError, match="does not belong"):
        client.predict(shared["upload"], "guessed", api_name="/delete_photo")
    client.predict(shared["upload"], shared["key"], api_name="/delete_photo")
    with pytest.raises(AppError, match="no longer there"):
        client.predict(query, api_name="/open_link")
    other = client.predict(handle_file(own), True, api_name="/share_photo")
    client.predict("olga", "", other["upload"], api_name="/remove_photo")
    with pytest.raises(AppError, match="no longer there"):
        client.predict("olga", "", other["upload"], api_name="/remove_photo")
    assert client.predict(handle_file(own), other["upload"], *ASKED, api_name="/make_link").count("upload=") == 0


def test_shared_pictures_and_the_database_are_not_served(client, app, own):
    name = client.predict(handle_file(own), True, api_name="/share_photo")["upload"]
    for path in ("data/annotations/annotations.db", f"data/annotations/shared/{name[:2]}/{name}.png"):
        for spelling in (path, f"./{path}", f"../{path}"):
            assert httpx.get(f"{app}gradio_api/file={spelling}").status_code in (403, 404)


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [("record_run", (*ASKED, False)), ("make_link", ("", *ASKED, False)), ("share_photo", (True,)),
     ("vote_pair", ASKED), ("read_run", ()), ("draw_card", ("en",))],
)  # fmt: skip
@pytest.mark.parametrize("mark", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_no_file_outside_of_the_uploads_is_read(app, endpoint, more, mark):
    data = [{"path": str(CAT), **mark}, *more]
    call = httpx.post(f"{app}gradio_api/call/{endpoint}", json={"data": data}).json()["event_id"]
    assert "event: error" in httpx.get(f"{app}gradio_api/call/{endpoint}/{call}", timeout=120).text


def test_a_vote_by_the_endpoints(client):
    pair, picture = client.predict(handle_file(CAT), *ASKED, api_name="/vote_pair")
    assert set(pair) == {"ballot", "question", "options", "a", "b"} and Image.open(picture).size
    with pytest.raises(AppError, match="better"):
        client.predict(pair["ballot"], "robust", "", "me", api_name="/vote_cast")
    told = client.predict(pair["ballot"], "a", "both", "me", api_name="/vote_cast")
    assert told["counted"] and {told["a"]["side"], told["b"]["side"]} == {"baseline", "robust"}
    again, _ = client.predict(handle_file(CAT), *ASKED, api_name="/vote_pair")
    assert not client.predict(again["ballot"], "b", "", "me", api_name="/vote_cast")["counted"]
    drawn, _ = client.predict(None, "", "", 0, 0.0, 60, api_name="/vote_pair")
    assert client.predict(drawn["ballot"], "neither", "", "", api_name="/vote_cast")["answer"] in drawn["options"]
    with pytest.raises(AppError, match="no longer"):
        client.predict(drawn["ballot"], "neither", "", "", api_name="/vote_cast")
    (result,) = client.predict(api_name="/vote_results")
    better = result["standings"]["better"]
    assert result["votes"] == 2 and better["decided"] == 1 and better["neither"] == 1
    assert 0 <= better["low"] <= better["share"] <= better["high"] <= 1
    table = client.predict("olga", "", "jsonl", api_name="/vote_export")
    rows = [json.loads(line) for line in Path(table).read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2 and "127.0.0.1" not in Path(table).read_text(encoding="utf-8")


# --- the page ---


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def make_link(page: Page) -> str:
    page.click("#share-link")
    address = page.locator("#share-address textarea")
    expect(address).to_have_value(re.compile(r"\?"))
    return address.input_value()


def fits(page: Page, size: str) -> bool:
    return page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


@pytest.mark.parametrize(("size", "scheme", "locale"), LOOKS)
def test_a_run_is_shared_as_a_link_and_as_a_card(open_page, size, scheme, locale, tmp_path):
    language = "zh" if locale.startswith("zh") else "en"
    page = open_page(size, scheme, locale)
    page.locator("#examples button").first.click()
    expect(page.locator("#question textarea")).not_to_have_value("")
    if size == "phone":
        page.click("#fold")
    page.fill("#seed input", "41")
    page.locator("#seed input").blur()
    question = page.locator("#question textarea").input_value()
    page.locator("#share button").first.click()
    page.click("#share-card")
    expect(page.locator("#share-message")).to_contain_text(say("share.no-run", language))
    page.click("#ask")
    wait_until_figures_in(page, language)
    expect(page.locator("#keep")).to_be_enabled()
    page.click("#share-card")
    expect(page.locator("#share-picture img")).to_be_visible()
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.click("#share-picture a")
    download.value.save_as(tmp_path / "card.png")
    assert Image.open(tmp_path / "card.png").size == card.SIZE
    link = make_link(page)
    assert "photo=cat.jpg" in link and "seed=41" in link
    assert fits(page, size)
    assert not violations(page)
    screenshot(page, f"{size}-{scheme}-share")

    other = open_page(size, scheme, locale, link.split("/", 3)[3])
    expect(other.locator("#question textarea")).to_have_value(question)
    expect(other.locator("#seed input")).to_have_value("41")
    expect(other.locator("#preview img").nth(1)).to_be_visible()
    expect(other.locator("#note")).to_contain_text(say("share.opened", language))
    assert other.locator("#recipe textarea").input_value() == page.locator("#recipe textarea").input_value()


def wait_until_figures_in(page: Page, language: str) -> None:
    if language == "en":
        wait_until_figures(page)
    for side in ("baseline", "robust"):
        expect(page.locator(f"#{side} .figures")).to_contain_text(say("compare.speed", language, tokens="")[2:])
    expect(page.locator("#ask")).to_be_enabled()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_photo_of_ones_own_is_shared_by_consent_and_deleted(open_page, size):
    page = open_page(size)
    upload(page, PHOTO.with_name("pictures") / "compare.png")
    expect(page.locator("#preview img").nth(1)).to_be_visible()
    page.fill("#question textarea", "What is this?")
    page.locator("#share button").first.click()
    assert "upload=" not in make_link(page)
    page.click("#share-photo")
    expect(page.locator("#share-message")).to_contain_text(say("share.no-consent"))
    page.check("#share-consent input")
    page.click("#share-photo")
    receipt = page.locator("#share-receipt").locator("input, textarea")
    expect(receipt).to_have_value(re.compile("[0-9a-f]{32}[.]"))
    expect(page.locator("#share-address textarea")).to_have_value(re.compile("upload="))
    link = page.locator("#share-address textarea").input_value()
    screenshot(page, f"{size}-shared-photo")
    assert fits(page, size)

    other = open_page(size, link=link.split("/", 3)[3])
    expect(other.locator("#preview img").nth(1)).to_be_visible()
    expect(other.locator("#question textarea")).to_have_value("What is this?")
    page.click("#share-forget")
    expect(page.locator("#share-message")).to_contain_text(say("share.deleted")[:8])
    late = open_page(size, link=link.split("/", 3)[3])
    expect(late.locator("#note .bad")).to_contain_text("no longer there")
    expect(late.locator("#question textarea")).to_have_value("What is this?")


@pytest.mark.parametrize(("size", "scheme", "locale"), LOOKS)
def test_a_visitor_votes_and_learns_who_it_was(open_page, size, scheme, locale):
    language = "zh" if locale.startswith("zh") else "en"
    page = open_page(size, scheme, locale)
    page.get_by_role("tab", name=say("page.tab-vote", language)).click()
    screenshot(page, f"{size}-{scheme}-vote-empty")
    page.click("#vote-ask")
    expect(page.locator("#vote-go")).to_be_enabled()
    blind = page.locator("#vote-answers").inner_text() + page.locator("#vote-scene").inner_text()
    for name in ("embedded/", say("compare.baseline", language), say("compare.robust", language)):
        assert name not in blind
    page.click("#vote-go")
    expect(page.locator("#vote-said")).to_contain_text(say("vote.choose-better", language))
    page.locator("#vote-better label").nth(0).click()
    page.locator("#vote-right-choice label").nth(3).click()
    screenshot(page, f"{size}-{scheme}-vote")
    page.click("#vote-go")
    expect(page.locator("#vote-said")).to_contain_text(say("vote.saved", language))
    expect(page.locator("#vote-revealed")).to_contain_text("embedded/")
    expect(page.locator("#vote-go")).to_be_disabled()
    expect(page.locator("#vote-tally .interval").first).to_be_visible()
    assert fits(page, size)
    assert not violations(page)
    screenshot(page, f"{size}-{scheme}-vote-revealed")
    mark = page.evaluate("localStorage.getItem('voter')")
    assert re.fullmatch("[0-9a-f]{32}", mark)
    assert page.context.cookies() == []


def test_whoever_runs_the_server_gets_the_votes(open_page, tmp_path):
    page = open_page()
    page.get_by_role("tab", name=say("page.tab-vote")).click()
    page.locator("#vote-operating button").first.click()
    page.click("#vote-export")
    expect(page.locator("#vote-told .bad")).to_be_visible()
    page.locator("#vote-name").locator("input, textarea").fill("olga")
    page.click("#vote-export")
    expect(page.locator("#vote-told")).to_contain_text(say("vote.exported"))
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.locator("#vote-file a").first.click()
    download.value.save_as(tmp_path / "votes.jsonl")
    for line in (tmp_path / "votes.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["better"] in ("baseline", "robust", "both", "neither")
