"""The endpoints as another program uses them, on the running app with the shipped pair."""

import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from degradations import REGISTRY, Recipe, degrade
from demo import photos, settings
from demo.chain import parse_chain

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CAT, SHIRT = EXAMPLES / "cat.jpg", EXAMPLES / "shirt.jpg"
RECIPE = "dark illumination(0.55), gaussian noise(0.3)"
QUESTION = "What is the main object?\n0. dog\n1. cat\n2. fox"
LONG = 300
"""Tokens enough for a chain of the shipped pair."""


@pytest.fixture(scope="module")
def client(app) -> Client:
    return Client(app, verbose=False)


def compare(client: Client, photo=CAT, question=QUESTION, recipe=RECIPE, seed=7, temperature=0.0, tokens=LONG):
    """Submit a comparison; iterating over the job gives its states."""
    return client.submit(handle_file(photo), question, recipe, seed, temperature, tokens, api_name="/compare")


def test_names_and_parameters_are_the_promised_ones(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    parameters = {name: [p["parameter_name"] for p in entry["parameters"]] for name, entry in endpoints.items()}
    # test_annotate_page.py and test_share_page.py have the others.
    elsewhere = ("/annotate_", "/vote_", "/share", "/record_run", "/read_run", "/draw_card", "/make_link", "/open_link",
                 "/delete_photo", "/remove_photo")  # fmt: skip
    parameters = {name: own for name, own in parameters.items() if not name.startswith(elsewhere)}
    assert parameters == {
        "/degrade": ["image", "recipe", "seed"],
        "/compare": ["image", "question", "recipe", "seed", "temperature", "max_new_tokens"],
        "/sweep": [
            "image", "question", "what", "recipe", "steps", "seeds", "seed", "truth", "temperature", "max_new_tokens",
            "recovered",
        ],
        "/matrix": ["image", "question", "seed", "truth", "temperature", "max_new_tokens", "recovered"],
        "/export_sweep": [
            "image", "question", "what", "recipe", "steps", "seeds", "seed", "truth", "temperature", "max_new_tokens",
            "recovered", "language",
        ],
        "/export_matrix": [
            "image", "question", "seed", "truth", "temperature", "max_new_tokens", "recovered", "language",
        ],
    }  # fmt: skip


def test_degrade_gives_a_png_of_the_uploads_own_size(client):
    path = client.predict(handle_file(CAT), RECIPE, 7, api_name="/degrade")
    with Image.open(path) as degraded:
        assert degraded.format == "PNG"
        assert np.array_equal(np.asarray(degraded), np.asarray(degrade(photos.load(CAT), Recipe.parse(RECIPE), 7)))


def test_degrade_by_nothing_leaves_every_pixel(client):
    for recipe in ("none", ""):
        with Image.open(client.predict(handle_file(CAT), recipe, 0, api_name="/degrade")) as same:
            assert np.array_equal(np.asarray(same), np.asarray(photos.load(CAT)))


def test_degrade_puts_a_rotated_transparent_upload_right(client, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGBA", (40, 20), (255, 0, 0, 0)).save(tmp_path / "photo.png", exif=exif)
    with Image.open(client.predict(handle_file(tmp_path / "photo.png"), "none", 0, api_name="/degrade")) as upright:
        assert upright.size == (20, 40)
        assert upright.getpixel((10, 10)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("recipe", "seed", "message"),
    [
        ("sunshine(0.5)", 0, "unknown degradation 'sunshine'"),
        ("noise(1.5)", 0, "1.5"),
        ("none", -1, "seed"),
        ("none", 0.5, "seed"),
    ],
)
def test_degrade_says_what_is_wrong(client, recipe, seed, message):
    with pytest.raises(AppError, match=message):
        client.predict(handle_file(CAT), recipe, seed, api_name="/degrade")


def test_a_file_that_is_no_picture_is_a_message(client, tmp_path):
    (tmp_path / "photo.jpg").write_text("not a picture")
    for name, more in (("/degrade", ()), ("/compare", ("What?", "none"))):
        arguments = more or ("none", 0)
        with pytest.raises(AppError, match="not a picture"):
            client.predict(handle_file(tmp_path / "photo.jpg"), *arguments, api_name=name)


@pytest.mark.parametrize(
    "request_",
    [{"question": " "}, {"temperature": -1.0}, {"tokens": 0}, {"tokens": 10**9}, {"recipe": "x"}, {"seed": -3}],
)
def test_compare_says_what_is_wrong(client, request_):
    with pytest.raises(AppError):
        compare(client, **request_).result()


def test_compare_streams_both_sides(client):
    states = list(compare(client))
    assert len(states) >= 3
    for state in states:
        assert set(state) == {"baseline", "robust"}
        for name, side in state.items():
            extra = {"chain"} if name == "robust" else set()
            assert set(side) == {"text", "done", "stats", "answer", "choice"} | extra
    for before, after in pairwise(states):
        for name in after:
            assert after[name]["text"].startswith(before[name]["text"])
            assert after[name]["done"] >= before[name]["done"]
    last = states[-1]
    for side in last.values():
        assert side["done"]
        assert side["text"]
        assert set(side["stats"]) == {"tokens", "ttft_s", "tokens_per_s", "stop_reason"}
        assert side["stats"]["stop_reason"] == "eos"
        assert side["choice"] in (0, 1, 2, None)
    chain = parse_chain(last["robust"]["text"])
    assert chain.complete
    assert last["robust"]["chain"] == {
        "recipe": dict(chain.recipe),
        "influence": chain.influence,
        "reasoning": chain.reasoning,
        "conclusion": chain.conclusion,
        "answer": chain.answer,
        "open": chain.open,
    }


def test_compare_is_repeatable_when_greedy_and_by_its_seed(client):
    def texts(**request_):
        return {name: side["text"] for name, side in compare(client, tokens=40, **request_).result().items()}

    assert texts() == texts()
    assert texts(temperature=1.0) == texts(temperature=1.0)


def sweep(client: Client, what="gaussian noise", recipe="none", steps=3, seeds=1, truth="cat", tokens=LONG):
    """Submit a sweep; iterating over the job gives its states."""
    asked = handle_file(CAT), QUESTION, what, recipe, steps, seeds, 7, truth, 0.0, tokens
    return client.submit(*asked, api_name="/sweep")


def test_a_sweep_says_at_every_step_what_a_comparison_says(client):
    states = list(sweep(client, recipe=RECIPE, what="recipe"))
    assert len(states) >= 2
    last = states[-1]
    assert last["done"] and last["progress"] == 1
    for step in last["steps"]:
        alone = compare(client, recipe=step["recipe"], seed=step["seed"]).result()
        for side in ("baseline", "robust"):
            assert (step[side]["answer"], step[side]["choice"]) == (alone[side]["answer"], alone[side]["choice"])
            assert step[side]["tokens"] == alone[side]["stats"]["tokens"]
            assert step[side]["verdict"] == ("right" if alone[side]["choice"] == 1 else "wrong")
        assert step["robust"]["predicted_recipe"] == alone["robust"]["chain"]["recipe"]


def test_a_matrix_has_every_type_at_three_strengths(client):
    asked = handle_file(CAT), QUESTION, 0, "", 0.0, 3  # three tokens are enough for an answer of the baseline
    *_, last = client.submit(*asked, api_name="/matrix")
    assert len(last["steps"]) == 1 + 3 * len(REGISTRY)
    assert {step["baseline"]["verdict"] for step in last["steps"]} <= {"same", "changed", "unread"}
    assert all(step["baseline"]["done"] and step["robust"]["done"] for step in last["steps"])


def test_the_files_of_a_sweep_are_those_of_its_state(client):
    asked = handle_file(CAT), QUESTION, "gaussian noise", "none", 3, 2, 7, "cat", 0.0, LONG, False, "zh"
    *before, (state, table, raw, slide) = client.submit(*asked, api_name="/export_sweep")
    assert before and all(list(files) == [None] * 3 for _, *files in before), "the files come last"
    assert state["done"] and json.loads(Path(raw).read_text(encoding="utf-8")) == state
    with Path(table).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["robust_answer"] or None for row in rows] == [step["robust"]["answer"] for step in state["steps"]]
    assert len(rows) == 1 + 2 * 2, "the clean picture, and two strengths by two seeds"
    with Image.open(slide) as picture:
        assert (picture.format, picture.size) == ("PNG", (1920, 1080))


def test_the_files_of_a_matrix_have_every_type(client):
    asked = handle_file(CAT), QUESTION, 0, "", 0.0, 3, False, "en"
    *_, (state, table, raw, slide) = client.submit(*asked, api_name="/export_matrix")
    assert json.loads(Path(raw).read_text(encoding="utf-8")) == state and state["kind"] == "matrix"
    assert len(Path(table).read_text(encoding="utf-8-sig").splitlines()) == 2 + 3 * len(REGISTRY)
    with Image.open(slide) as picture:
        assert picture.size == (1920, 1080)


def test_a_slide_in_a_language_that_is_not_there_is_refused_before_a_model_is_asked(client):
    asked = handle_file(CAT), QUESTION, 0, "", 0.0, 3, False, "fr"
    with pytest.raises(AppError, match="one of en, zh, not 'fr'"):
        client.predict(*asked, api_name="/export_matrix")


@pytest.mark.parametrize(
    "request_", [{"what": "sunshine"}, {"what": "recipe"}, {"steps": 1}, {"steps": 9**9}, {"seeds": 0}, {"truth": "x"}]
)
def test_sweep_says_what_is_wrong(client, request_):
    with pytest.raises(AppError):
        sweep(client, **request_).result()


def test_cancel_frees_the_models(slow_app):
    client = Client(slow_app, verbose=False)
    begin = time.monotonic()
    assert compare(client).result()["robust"]["stats"]["stop_reason"] == "eos"
    whole = time.monotonic() - begin
    job = compare(client)
    assert not next(iter(job))["robust"]["done"]
    begin = time.monotonic()
    assert job.cancel()
    assert compare(client, tokens=3).result()["robust"]["stats"]["tokens"] <= 3
    assert time.monotonic() - begin < whole / 2  # else the first answer was written to its end


def test_two_clients_at_once_get_their_own_answers(app, client):
    requests = [{"photo": CAT, "seed": 7}, {"photo": SHIRT, "question": "Which garment is shown?", "recipe": "none"}]
    alone = [compare(client, tokens=60, **request_).result() for request_ in requests]

    def ask(request_):
        return compare(Client(app, verbose=False), tokens=60, **request_).result()

    with ThreadPoolExecutor(2) as visitors:
        together = list(visitors.map(ask, requests))
    for one, other in zip(alone, together, strict=True):
        assert {name: side["text"] for name, side in one.items()} == {
            name: side["text"] for name, side in other.items()
        }
    assert together[0]["robust"]["text"] != together[1]["robust"]["text"]


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "demo/settings.py", str(EXAMPLES / "examples.json")])
def test_no_file_outside_of_the_uploads_is_served(app, path):
    for spelling in (path, str(Path(EXAMPLES).parent / path), f"../../../../..{path}"):
        assert httpx.get(f"{app}gradio_api/file={spelling}").status_code in (403, 404)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        ("degrade", ("none", 0)),
        ("compare", ("What?", "none", 0, 0.0, 3)),
        ("sweep", ("What?", "gaussian noise", "none", 2, 1, 0, "", 0.0, 3, False)),
        ("matrix", ("What?", 0, "", 0.0, 3, False)),
        ("export_sweep", ("What?", "gaussian noise", "none", 2, 1, 0, "", 0.0, 3, False, "en")),
        ("export_matrix", ("What?", 0, "", 0.0, 3, False, "en")),
    ],
)
def test_no_file_outside_of_the_uploads_is_read(app, endpoint, more, marked):
    """Gradio checks the paths that a request marks as files; a hand-written one need not."""
    foreign = {"path": str(CAT)} | ({"meta": {"_type": "gradio.FileData"}} if marked else {})
    call = httpx.post(f"{app}gradio_api/call/{endpoint}", json={"data": [foreign, *more]}).json()["event_id"]
    answer = httpx.get(f"{app}gradio_api/call/{endpoint}/{call}", timeout=60).text
    assert "event: error" in answer and "path" not in answer


def test_the_page_reads_no_file_outside_of_the_uploads(app):
    """Every event of the page that takes a photo, sent as a browser would but with a foreign path."""
    config = httpx.get(f"{app}config").json()
    named = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    photo, mine = named["photo"], {named["vote-source"]: "mine"}  # a vote is on an example unless one says so
    events = [event for event in config["dependencies"] if photo in event["inputs"]]
    assert len(events) >= 6
    for event in events:
        data = [{"path": str(CAT)} if part == photo else mine.get(part) for part in event["inputs"]]
        request = {"data": data, "fn_index": event["id"], "session_hash": "foreign"}
        if event["queue"] is False:
            answer = httpx.post(f"{app}gradio_api/run/predict", json=request, timeout=60).text
        else:
            httpx.post(f"{app}gradio_api/queue/join", json=request, timeout=60)
            answer = httpx.get(f"{app}gradio_api/queue/data", params={"session_hash": "foreign"}, timeout=60).text
        assert "picture.png" not in answer and "writing" not in answer, event


def test_too_many_bytes_are_refused_on_their_way(app):
    too_much = b"\0" * (settings.MAX_PHOTO_BYTES + 1)
    assert (
        httpx.post(f"{app}gradio_api/upload", files={"files": ("photo.png", too_much)}, timeout=60).status_code == 413
    )
