"""Links, photos that are shared, runs as JSON and as picture cards. No model, no browser."""

import io
import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from degradations import Recipe
from demo import api, photos, settings
from demo.chain import format_chain
from demo.compare.actions import Actions as CompareActions
from demo.compare.answering import Answers, Asked
from demo.examples import load_examples
from demo.present.recording import Recorder, read
from demo.provenance import pair_mark, provenance, same_weights
from demo.replies import Event, Stats
from demo.share import __main__ as command_line
from demo.share import card, links
from demo.share.actions import Actions, Sharing
from demo.share.links import State
from demo.share.uploads import GoneError, Uploads, on_a_mount
from demo.store.database import Store, default_url

EXAMPLES = load_examples()
CAT = next(example for example in EXAMPLES if example.image.name == "cat.jpg")
CHAIN = format_chain(Recipe({"lens blur": 0.3}), "It is soft.", "Two ears.", "A cat.", "1")
END = Stats(3, 0.1, 9.0, "eos")
ANN = SimpleNamespace(session_hash="ann")
QUESTION = "What is it?\n0. dog\n1. cat"


def side(name: str, weights: str) -> SimpleNamespace:
    base = SimpleNamespace(device=torch.device("cpu"), dtype=torch.float32)
    checkpoint = SimpleNamespace(name="/somewhere/demo/embedded/base", base=base)
    return SimpleNamespace(
        name=name, label=f"model {name}", checkpoint=checkpoint, weights=weights, prompt="{question}"
    )


def fake_pair(weights: str = "abc") -> SimpleNamespace:
    sides = side("baseline", weights), side("robust", f"{weights}+")
    spec = SimpleNamespace(adapter="/somewhere/demo/embedded/adapter")
    return SimpleNamespace(
        sides=sides,
        spec=spec,
        max_new_tokens=320,
        fit=lambda image: image.resize((30, 20)) if image.width > 30 else image,
    )


@pytest.fixture
def bench() -> api.Workbench:
    return api.Workbench(fake_pair())


@pytest.fixture
def upload(tmp_path, monkeypatch) -> dict:
    """A photo with a camera and a place, as Gradio hands it over."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    (tmp_path / "gradio").mkdir()
    exif = Image.Exif()
    exif[271] = "SecretCamera"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    path = tmp_path / "gradio" / "photo.jpg"
    Image.fromarray(pixels).save(path, exif=exif)
    return {"path": str(path)}


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.fixture
def uploads(tmp_path, clock) -> Uploads:
    return Uploads(Store(default_url(tmp_path)), tmp_path / "shared", days=30, clock=lambda: clock.now)


@pytest.fixture
def sharing(bench, uploads) -> Sharing:
    answers = Answers(bench, EXAMPLES, CompareActions(bench, EXAMPLES).show)
    return Sharing(bench, EXAMPLES, answers, uploads)


def picture(seed: int = 0, size: tuple[int, int] = (30, 20)) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


# --- links ---


def test_a_link_holds_the_whole_state():
    state = State(
        None, "ab" * 16, "Was ist das? 这是什么? & = # +", ("a dog", "1 % of a cat"),
        Recipe({"lens blur": 0.31, "gaussian noise": 0.5}), 7, 0.35, 77, "0123456789ab", True,
    )  # fmt: skip
    assert links.read(state.as_query()) == state
    assert links.read(State(photo="cat.jpg").as_query()) == State(photo="cat.jpg")
    assert "lens+blur(0.31)" in state.as_query(), "it can be read"


@pytest.mark.parametrize("query", ["", "?", "?present=1&deck=talk&lang=zh", "__theme=dark", "?fbclid=1"])
def test_a_query_of_something_else_is_no_link(query):
    assert links.read(query) is None


@pytest.mark.parametrize(
    "query",
    [
        "recipe=sunshine(1)", "seed=-1", "seed=1.5", "seed=x", "temperature=nan", "temperature=9", "tokens=0",
        "photo=../cat.jpg", "photo=%2Fetc%2Fpasswd", "upload=../../x", "upload=" + "a" * 31, "question=" + "x" * 2001,
        "seed=1&" * 60, "question=x&pad=" + "y" * 30_000,
    ],
)  # fmt: skip
def test_what_a_link_cannot_say_is_refused_with_a_reason(query):
    with pytest.raises(ValueError, match="link"):
        links.read(query)


@given(st.text(max_size=300) | st.builds(lambda f, v: f"{f}={v}", st.sampled_from(links.FIELDS), st.text(max_size=80)))
def test_any_query_is_read_or_refused(query):
    try:
        state = links.read(query)
    except ValueError:
        return
    assert state is None or links.read(state.as_query()) == state


def test_a_link_without_settings_takes_the_pairs_own():
    assert links.read("photo=cat.jpg", 320).max_new_tokens == 320


# --- shared photos ---


def test_a_photo_is_kept_without_what_its_file_said(sharing, upload, uploads):
    shared = sharing.share(api.upload_path(upload), True)
    assert re.fullmatch("[0-9a-f]{32}", shared.id)
    path = uploads.path(shared.id)
    content = path.read_bytes()
    assert content[:4] == b"\x89PNG" and b"SecretCamera" not in content and b"Exif" not in content
    with Image.open(path) as kept:
        assert not kept.getexif() and not kept.info.get("exif")
        assert np.array_equal(np.asarray(kept), np.asarray(sharing.bench.working_photo(api.upload_path(upload))))


@pytest.mark.parametrize("consent", [False, None, "", "yes", 1, []])
def test_nothing_is_kept_without_consent(sharing, upload, uploads, consent):
    with pytest.raises(ValueError, match="tick first"):
        sharing.share(api.upload_path(upload), consent)
    assert uploads.listed() == [] and not list(uploads.folder.rglob("*.png"))


def test_only_the_key_deletes_a_photo(uploads):
    shared, other = uploads.share(picture(), True), uploads.share(picture(), True)
    assert shared.id != other.id and shared.key != other.key, "of one photo shared twice each is deleted by itself"
    for key in ("", None, other.key, shared.id):
        with pytest.raises(ValueError, match="does not belong"):
            uploads.delete(shared.id, key)
    path = uploads.path(shared.id)
    uploads.delete(shared.id, shared.key)
    assert not path.exists()
    with pytest.raises(GoneError):
        uploads.path(shared.id)
    with pytest.raises(GoneError):
        uploads.delete(shared.id, shared.key)
    assert uploads.path(other.id).is_file()


def test_the_database_does_not_hold_the_key(uploads, tmp_path):
    shared = uploads.share(picture(), True)
    uploads.store.close()
    assert all(shared.key.encode() not in path.read_bytes() for path in tmp_path.glob("annotations.db*"))


def test_a_photo_expires_and_then_nothing_of_it_is_there(uploads, clock):
    shared = uploads.share(picture(), True)
    path = uploads.path(shared.id)
    assert shared.until == clock.now + timedelta(days=30)
    clock.now += timedelta(days=29, hours=23)
    assert uploads.sweep() == 0 and path.exists()
    clock.now += timedelta(hours=2)
    with pytest.raises(GoneError):
        uploads.path(shared.id)
    assert uploads.sweep() == 1
    assert not path.exists() and uploads.listed() == []


def test_room_is_bounded_and_comes_back(tmp_path):
    store = Store(default_url(tmp_path))
    few = Uploads(store, tmp_path / "shared", most=2)
    first = few.share(picture(1), True)
    few.share(picture(2), True)
    with pytest.raises(ValueError, match="no room"):
        few.share(picture(3), True)
    few.delete(first.id, first.key)
    few.share(picture(3), True)
    small = Uploads(store, tmp_path / "shared", most_bytes=sum(row["bytes"] for row in few.listed()) + 10)
    with pytest.raises(ValueError, match="no room"):
        small.share(picture(4), True)
    assert len(list((tmp_path / "shared").rglob("*.png"))) == 2, "what was refused left nothing"


def test_a_link_survives_a_restart(tmp_path, bench, upload):
    def server() -> Sharing:
        uploads = Uploads(Store(default_url(tmp_path)), tmp_path / "shared")
        return Sharing(bench, EXAMPLES, None, uploads)

    first = server()
    path = api.upload_path(upload)
    shared = first.share(path, True)
    numbers = 7, 0.0, 50
    query = first.state(path, "What?", ["a", "b"], Recipe({"lens blur": 0.3}), numbers, shared.id).as_query()
    example = first.state(CAT.image, "What?", [], Recipe(), numbers, "").as_query()
    again = server()
    state = links.read(query)
    assert (state.question, state.options, state.recipe) == ("What?", ("a", "b"), Recipe({"lens blur": 0.3}))
    assert (state.seed, state.temperature, state.max_new_tokens) == numbers
    restored = photos.load(again.photo_of(state))
    assert np.array_equal(np.asarray(restored), np.asarray(bench.working_photo(path)))
    assert again.photo_of(links.read(example)) == CAT.image


def test_what_a_stopped_process_left_goes(uploads):
    uploads.folder.mkdir()
    (uploads.folder / "ab").mkdir()
    for name, age in (("old.png", 7200), (".x.unfinished", 7200), ("new.png", 0)):
        path = uploads.folder / "ab" / name
        path.write_bytes(b"")
        os.utime(path, (time.time() - age,) * 2)
    uploads.sweep()
    assert [path.name for path in (uploads.folder / "ab").iterdir()] == ["new.png"]


@pytest.mark.parametrize("days", [0, -1, float("nan"), 10_000])
def test_a_time_that_cannot_be_is_refused(tmp_path, days):
    with pytest.raises(ValueError, match="days"):
        Uploads(Store(default_url(tmp_path)), tmp_path, days=days)


def test_a_disk_of_its_own_is_told_from_the_containers():
    mounted = lambda path: path == Path("/data")  # noqa: E731
    assert on_a_mount(Path("/data/annotations"), mounted)
    assert not on_a_mount(Path("/home/user/app/data"), mounted)
    assert not on_a_mount(Path("/home/user/app/data"), lambda path: path == Path("/")), "the root is the container's"


def test_whoever_runs_the_server_lists_and_deletes(tmp_path, capsys):
    uploads = Uploads(Store(default_url(tmp_path)), tmp_path / "shared")
    shared = uploads.share(picture(), True)
    where = ["--data", str(tmp_path)]
    assert command_line.main([*where, "list"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == shared.id
    assert command_line.main([*where, "delete", shared.id]) == 0
    assert uploads.listed() == [] and not list(uploads.folder.rglob("*.png"))
    assert command_line.main([*where, "delete", shared.id]) == 2
    assert "no longer there" in capsys.readouterr().err


# --- what the page does ---


def linked(actions: Actions, photo, upload="", question="What is it?", options="dog\ncat", seed=7, recover=False):
    sliders = [0.25, *[0] * 15]
    return actions.link("https://here/", photo, question, options, seed, 0.5, 60, upload, recover, *sliders)


def test_a_link_is_made_and_opened(sharing):
    actions = Actions(sharing, CompareActions(sharing.bench, EXAMPLES).show)
    link, message = linked(actions, None)
    assert link.startswith("https://here/?question=") and "sees what you see" in message
    state = actions.open(ANN, link.partition("?")[2])
    photo, seed, question, options, note, *_ = state
    assert (photo, seed, question, options) == (None, 7, "What is it?", "dog\ncat")
    assert "Opened from a link" in note
    assert (*state[-5:-2], state[-1]) == (0.5, 60, False, "")
    assert state[9] == 0.25, "the sliders follow the recipe"
    assert len(state) == 30 == len(actions.open(ANN, "?present=1")) == len(actions.open(ANN, "?seed=x"))
    assert set(map(str, actions.open(ANN, "?present=1"))) == {str(gr.skip())}
    assert "cannot be opened" in actions.open(ANN, "?seed=x")[4]


def test_ones_own_photo_is_in_a_link_only_once_it_is_shared(sharing, upload):
    actions = Actions(sharing, CompareActions(sharing.bench, EXAMPLES).show)
    link, message = linked(actions, upload)
    assert "upload=" not in link and "not in this link" in message
    assert "tick first" in actions.share(upload, False)[2]
    name, receipt, message = actions.share(upload, True)
    assert "Shared until" in message
    link, _ = linked(actions, upload, name)
    assert f"upload={name}" in link
    stranger, _ = linked(actions, upload, "0" * 32)
    assert "upload=" not in stranger
    opened = actions.open(ANN, link.partition("?")[2])
    shown = photos.load(opened[0])
    assert np.array_equal(np.asarray(shown), np.asarray(sharing.bench.working_photo(api.upload_path(upload))))
    assert opened[-1] == name

    assert "does not belong" in actions.delete(f"{name}.wrong")[2]
    assert "Deleted" in actions.delete(receipt)[2]
    assert not Path(opened[0]).exists(), "nor is the copy that pages were served"
    gone = actions.open(ANN, link.partition("?")[2])
    assert gone[0] is None and "no longer there" in gone[4] and gone[2] == "What is it?"


def test_examples_need_no_sharing(sharing, upload):
    copy = Path(upload["path"]).with_name("copy.jpg")
    copy.write_bytes(CAT.image.read_bytes())
    actions = Actions(sharing, CompareActions(sharing.bench, EXAMPLES).show)
    assert "one of the examples" in actions.share({"path": str(copy)}, True)[2]
    link, _ = linked(actions, {"path": str(copy)})
    assert "photo=cat.jpg" in link
    assert actions.open(ANN, link.partition("?")[2])[0] == str(CAT.image)


def test_a_link_of_other_models_says_so(sharing):
    actions = Actions(sharing, CompareActions(sharing.bench, EXAMPLES).show)
    link, _ = linked(actions, None)
    other = Sharing(api.Workbench(fake_pair("xyz")), EXAMPLES, None, None)
    assert pair_mark(other.bench.pair) != pair_mark(sharing.bench.pair)
    opened = Actions(other, CompareActions(other.bench, EXAMPLES).show).open(ANN, link.partition("?")[2])
    assert "other models" in opened[4]


def test_without_sharing_a_shared_link_says_that_its_photo_is_gone(bench):
    actions = Actions(Sharing(bench, EXAMPLES, None, None), CompareActions(bench, EXAMPLES).show)
    assert "no longer there" in actions.open(ANN, "?upload=" + "0" * 32)[4]
    assert "cannot be shared" in actions.delete("a.b")[2]


# --- a run as JSON ---


def recorded(answers: Answers, photo: Path, question: str = QUESTION, reply: str = CHAIN, failed: bool = False):
    recorder = answers.recorder(Asked(photo, question, [], None), Recipe({"lens blur": 0.4}), 7, 0.0, 50)
    error = "out of memory" if failed else None
    events = [
        Event("baseline", "dog", tokens=1), Event("robust", reply[:9], tokens=2), Event("robust", reply[9:], tokens=3),
        Event("baseline", done=True, stats=END, tokens=3, error=error),
        Event("robust", done=True, stats=END, tokens=3),
    ]  # fmt: skip
    list(recorder.record(iter(events)))
    return recorder.recording()


def test_a_run_says_all_that_is_needed_to_repeat_it(sharing):
    raw = json.loads(recorded(sharing.answers, CAT.image).as_json())
    assert {"torch", "transformers", "numpy", "pillow", "python", "code"} <= set(raw["versions"])
    assert raw["versions"]["torch"] == torch.__version__.split("+")[0] or raw["versions"]["torch"] == torch.__version__
    robust = raw["checkpoints"]["robust"]
    assert (robust["weights"], robust["adapter"], robust["prompt"]) == ("abc+", "embedded/adapter", "{question}")
    assert raw["checkpoints"]["baseline"]["adapter"] is None
    assert "/somewhere" not in json.dumps(raw), "not where it lay"
    assert raw["replies"] == {"baseline": "dog", "robust": CHAIN}
    assert (raw["question"], raw["recipe"], raw["seed"], raw["photo"]) == (QUESTION, "lens blur(0.4)", 7, "cat.jpg")
    assert (raw["temperature"], raw["max_new_tokens"]) == (0.0, 50)


def test_a_run_comes_back_with_what_it_says(sharing, upload):
    for photo in (CAT.image, api.upload_path(upload)):
        recording = recorded(sharing.answers, photo)
        again = read(recording.as_json())
        assert again.provenance == recording.provenance == provenance(sharing.bench.pair)
        assert again.replies == recording.replies
        assert read(again.as_json()).as_json() == again.as_json()
    assert same_weights(again.provenance["checkpoints"], sharing.bench.pair)
    assert not same_weights(again.provenance["checkpoints"], fake_pair("xyz"))
    assert same_weights({}, sharing.bench.pair), "a run of old does not say"


def test_replies_that_contradict_the_events_are_refused(sharing):
    raw = json.loads(recorded(sharing.answers, CAT.image).as_json())
    with pytest.raises(ValueError, match="replies"):
        read(json.dumps(raw | {"replies": {"baseline": "cat", "robust": CHAIN}}).encode())
    for broken in ({"versions": 3}, {"checkpoints": {"robust": {}}}, {"checkpoints": []}):
        with pytest.raises(ValueError, match="no recorded run"):
            read(json.dumps(raw | broken).encode())
    for name in ("versions", "checkpoints", "replies"):
        del raw[name]
    assert read(json.dumps(raw).encode()).provenance == {}


def test_a_played_run_brings_everything_back(sharing, upload, monkeypatch):
    answers = sharing.answers
    content = recorded(answers, CAT.image).as_json()
    path = Path(upload["path"]).with_name("run.json")
    path.write_bytes(content)
    states = list(answers.play(ANN, {"path": str(path)}))
    assert {len(state) for state in states} == {11 + 5 + 20 + 3}
    photo, seed, question, options, mark = states[0][11:16]
    assert (photo, seed, question, options) == (str(CAT.image), 7, "What is it?", "dog\ncat")
    assert states[0][-3:] == (0.0, 50, False) and "other models" not in mark
    kept = states[0][10].value
    assert Path(kept["path"] if isinstance(kept, dict) else kept).is_file()
    assert "dog" in states[-1][1] or any("dog" in str(state[1]) for state in states)
    raw = json.loads(content)
    raw["checkpoints"]["robust"]["weights"] = "another"
    path.write_text(json.dumps(raw))
    assert "other models" in next(iter(answers.play(ANN, {"path": str(path)})))[15]
    path.write_text(json.dumps(raw | {"temperature": 1e9}))
    (refused,) = answers.play(ANN, {"path": str(path)})
    assert "temperature" in refused[0]


# --- a run as a picture ---


def drawn(recording, correct=None, language="en") -> np.ndarray:
    image = Image.open(io.BytesIO(card.as_png(recording, picture(1, (224, 224)), correct, language)))
    assert image.size == card.SIZE and image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def inked(pixels: np.ndarray) -> np.ndarray:
    return (pixels < 200).any(axis=2)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_card_shows_picture_and_words_within_its_margins(sharing, language):
    pixels = drawn(recorded(sharing.answers, CAT.image), 1, language)
    ink = inked(pixels)
    assert ink[200:500, 100:700].mean() > 0.5, "the picture"
    assert ink[:, 800:1500].sum() > 2000, "the words"
    assert not ink[:, -30:].any() and not ink[:20].any(), "nothing at the edges"
    assert not np.array_equal(pixels, drawn(recorded(sharing.answers, CAT.image), 0, language)), "right or wrong"


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("Why $x_1$ \\frac{ " + "very " * 200 + "long?", CHAIN),
        ("W" * 1500, format_chain(Recipe(), "", "", "", "这是一只猫，" * 60)),
        ("这张照片里有什么？" * 60, "no chain at all"),
        ("What?", format_chain(Recipe({"noise": 1, "lens blur": 1, "graffiti": 0.5}), "", "", "", "x" * 900)),
    ],
)
def test_words_of_any_length_stay_on_the_card(sharing, question, reply):
    ink = inked(drawn(recorded(sharing.answers, CAT.image, question, reply)))
    assert not ink[:, -30:].any() and not ink[-5:].any()


def test_a_failure_is_drawn_as_one(sharing):
    whole, failed = (drawn(recorded(sharing.answers, CAT.image, failed=failed)) for failed in (False, True))
    assert not np.array_equal(whole, failed)


def test_the_page_draws_the_run_it_has(sharing, upload):
    actions = Actions(sharing, None)
    assert "Ask both models first" in actions.card("en", None)[1]
    path = Path(upload["path"]).with_name("run.json")
    path.write_bytes(recorded(sharing.answers, api.upload_path(upload)).as_json())
    html, message = actions.card("zh", {"path": str(path)})
    drawn_card = unquote(re.search('href="gradio_api/file=([^"]*)" download', html)[1])
    assert Image.open(drawn_card).size == card.SIZE and "Here is the run" in message
    path.write_text("{}")
    assert "no recorded run" in actions.card("en", {"path": str(path)})[1]


def test_recorders_without_a_pair_still_work():
    recorder = Recorder({"baseline": "a", "robust": "b"}, "What?", Recipe(), 0, 0.0, 9, "cat.jpg")
    assert recorder.recording().provenance == {}
    assert settings.SHARE_DAYS == 30
