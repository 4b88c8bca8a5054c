"""Runs with a third side: kept, read, played back, shown on stage, drawn as a card; with scripted models."""

import io
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from degradations import REGISTRY, Recipe
from demo import api, photos, settings
from demo.compare import answering
from demo.compare.actions import Actions
from demo.compare.answering import COLUMNS, Answers, Asked
from demo.examples import load_examples
from demo.present import __main__ as command_line
from demo.present.actions import Actions as StageActions
from demo.present.playback import paced, replay
from demo.present.recording import Recording, read
from demo.recovery import run as recovery_run
from demo.replies import SIDES, Event, Recovered, Stats
from demo.share import card
from demo.texts import Text
from tests.pictures import picture
from tests.recovering import CHAIN, Models, Scripted, brighter
from tests.spoken import spoken

ANN = SimpleNamespace(session_hash="ann")
EXAMPLES = load_examples()
CAT = next(example for example in EXAMPLES if example.image.name == "cat.jpg")
RECIPE = Recipe({"dark illumination": 0.5})
CHECKPOINTS = {side: {"name": side, "weights": None} for side in SIDES}
CHECKPOINTS["recovered"] |= {"recovery": "scripted", "recovery_weights": "0" * 64}


@pytest.fixture(autouse=True)
def scripted(monkeypatch, tmp_path):
    """Scripted models have no weights to tell of, and loading an encoder takes longer than all else here."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(recovery_run, "encoder_at_hand", lambda: None)
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    told = {"versions": {}, "checkpoints": CHECKPOINTS}
    for module in (answering, command_line):
        monkeypatch.setattr(module, "provenance", lambda pair, joint=None: told)


def answers_of(recovery: Scripted, joint: bool = True) -> Answers:
    models = Models(recovery)
    bench = api.Workbench(models.pair, models.joint if joint else None)
    return Answers(bench, EXAMPLES, Actions(bench, EXAMPLES).show)


def fail(image):
    raise ValueError("the server is gone")


@pytest.fixture
def keep(tmp_path):
    """Asks all three sides about a photo of one's own and gives the kept run's JSON."""

    def keep(make=brighter, stop: threading.Event | None = None, pause: float = 0.02) -> bytes:
        Image.fromarray(picture(40, 60)).save(tmp_path / "photo.png")
        asked = Asked(tmp_path / "photo.png", "What?\n0. dog\n1. cat", ["dog", "cat"], 1)
        answers = answers_of(Scripted(make, steps=3, pause=pause))
        *_, last = answers.answering(asked, RECIPE, (3, 0.0, 50), True, stop or threading.Event())
        kept = last[-1].value
        return Path(kept["path"] if isinstance(kept, dict) else kept).read_bytes()

    return keep


def played(content: bytes, folder: Path, joint: bool = True) -> list[tuple]:
    (folder / "run.json").write_bytes(content)
    return list(answers_of(Scripted(brighter), joint).play(ANN, {"path": str(folder / "run.json")}))


def last(updates: list[tuple], column: str):
    """What stood in a column, or in the status, at the end."""
    place = ("status", *COLUMNS).index(column)
    return next(update[place] for update in reversed(updates) if update[place] != gr.skip())


def test_a_kept_run_holds_all_three_sides(keep):
    raw, recording = json.loads(keep()), read(keep())
    assert raw["format"] == "recorded run 2"
    assert raw["models"] == {"baseline": "one", "robust": "other", "recovered": "third"}
    assert raw["replies"] == {"baseline": "1", "robust": CHAIN, "recovered": CHAIN}
    assert raw["checkpoints"]["recovered"]["recovery_weights"] == "0" * 64
    assert raw["recovery"]["after"]["psnr"] > 0 and raw["recovery"]["error"] is None
    at, recovered = recording.recovery
    assert np.array_equal(recovered.image, brighter(api.degrade(recording.photo, RECIPE, 3)))
    assert recovered.state["before"] == raw["recovery"]["before"] and recovered.state["seconds"] >= 0.06
    answered = [then for then, event in recording.events if event.side == "recovered" and event.text]
    assert 0.06 <= at <= answered[0]
    assert read(recording.as_json()).as_json() == recording.as_json()


@pytest.mark.parametrize("joint", [True, False])
def test_playing_it_back_shows_all_three_as_recorded(keep, tmp_path, joint):
    content = keep()
    updates = played(content, tmp_path, joint)
    assert {len(update) for update in updates} == {len(updates[0])}
    mark = spoken(last(updates, "status"), "en")
    assert "Recorded on" in mark and "one / other / third / scripted" in mark
    assert last(updates, "recovered_card").visible
    assert all("cat" in last(updates, side) for side in SIDES) and last(updates, "recovered_raw") == CHAIN
    html = spoken(last(updates, "recovery"), "en")
    assert "confidently wrong" in html and "PSNR" in html and "Recovered in" in html
    shown = html.split('class="recovered"><img src="gradio_api/file=')[1].split('"')[0]
    assert np.array_equal(photos.load(shown), read(content).recovery[1].image)
    assert updates[0][-1] is joint, "to ask again is to recover again, where that can be done"


def test_a_failed_recovery_is_kept_and_played_as_failed(keep, tmp_path):
    content = keep(fail)
    raw = json.loads(content)
    assert raw["recovery"]["error"] == "the server is gone" and raw["recovery"]["picture"] is None
    assert raw["replies"]["recovered"] == ""
    updates = played(content, tmp_path)
    html = spoken(last(updates, "recovery"), "en")
    assert "The recovery failed" in html and "the server is gone" in html and 'class="recovered"' not in html
    assert "nothing is asked" in spoken(last(updates, "recovered"), "en")
    assert "cat" in last(updates, "robust")


def test_a_stopped_recovery_is_kept_as_stopped(keep, tmp_path):
    stop = threading.Event()
    stop.set()
    updates = played(keep(stop=stop, pause=2.0), tmp_path)
    html = spoken(last(updates, "recovery"), "en")
    assert "Stopped: there is no recovered picture" in html and "failed" not in html


def test_a_run_of_two_sides_and_of_the_first_format_is_played_without_a_third(keep, tmp_path):
    raw = json.loads(keep())
    for name in ("models", "replies", "checkpoints"):
        del raw[name]["recovered"]
    del raw["recovery"]
    raw["events"] = [row for row in raw["events"] if row[1] != "recovered"]
    updates = played(json.dumps(raw | {"format": "recorded run 1"}).encode(), tmp_path)
    assert "Recorded on" in last(updates, "status") and "cat" in last(updates, "robust")
    assert not last(updates, "recovered_card").visible and updates[0][-1] is False
    assert last(updates, "recovered") == ""


WRONG = {
    "no base64": {"picture": {"png": "no base64!"}},
    "no picture": {"picture": {"png": "aGVsbG8="}},
    "an endless figure": {"share": float("inf")},
    "no number": {"seconds": "soon"},
    "an impossible figure": {"after": {"psnr": 20.0, "ssim": 1.5, "semantic": None}},
    "a figure that is missing": {"before": {"psnr": 20.0}},
    "both picture and failure": {"error": "it failed"},
    "an answer from no picture": {"error": "it failed", "picture": None},
    "neither picture nor failure": {"picture": None},
    "an answer before the picture": {"at": 3000.0},
    "a time that is none": {"at": float("nan")},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_recovery_that_cannot_be_is_refused(keep, wrong):
    raw = json.loads(keep())
    raw["recovery"] |= WRONG[wrong]
    with pytest.raises(ValueError, match="no recorded run"):
        read(json.dumps(raw).encode())


def test_a_third_side_without_its_recovery_is_refused_and_pictures_are_bounded(keep, monkeypatch):
    raw = json.loads(keep())
    with pytest.raises(ValueError, match="recovery"):
        read(json.dumps({name: value for name, value in raw.items() if name != "recovery"}).encode())
    with pytest.raises(ValueError, match="unknown side"):
        read(json.dumps(raw | {"models": {"baseline": "one", "robust": "other"}}).encode())
    monkeypatch.setattr(settings, "MAX_PHOTO_PIXELS", 40 * 60 - 1)
    with pytest.raises(ValueError, match="pixels"):
        read(json.dumps(raw | {"photo": "cat.jpg"}).encode())


def test_playback_that_is_stopped_before_the_recovery_shows_no_picture(keep):
    stop = threading.Event()
    stop.set()
    events = list(replay(read(keep()), 0.01, stop))
    (news,) = [event.recovered for event in events if event.recovered]
    assert news.image is None and news.state["error"] == Text("recovery.stopped")
    assert {event.side: event.stats.stop_reason for event in events if event.done} == dict.fromkeys(SIDES, "stopped")


def test_at_a_pace_to_be_read_the_picture_comes_at_once_and_the_text_does_not():
    ended = Stats(3, 0.1, 9.0, "eos")
    run = [Event("recovered", recovered=Recovered({"done": True})), Event("recovered", "word " * 10, tokens=9),
           Event("recovered", done=True, stats=ended, tokens=9)]  # fmt: skip
    shown = list(paced(iter(run), 100.0))
    assert shown[0].recovered and shown[-1].done
    assert len([event for event in shown if event.text]) >= 3


# --- on stage ---


def on_stage(folder: Path) -> StageActions:
    answers = answers_of(Scripted(brighter))
    return StageActions([CAT], lambda request, example: (), answers, folder, folder)


def test_the_stage_plays_the_third_column_of_a_slides_recording(tmp_path):
    models = Models(Scripted(brighter))
    path = command_line.record(api.Workbench(models.pair, models.joint), CAT, tmp_path)
    assert path.name == "cat.json" and read(path.read_bytes()).recovery[1].image is not None
    stage = on_stage(tmp_path)
    updates = list(stage.play(ANN, "", 0, "4"))
    assert "Recorded on" in last(updates, "status") and last(updates, "recovered_card").visible
    assert 'class="recovered"' in last(updates, "recovery") and last(updates, "recovered_raw") == CHAIN
    assert [stage.turn(ANN, 0, "", 0, on)[-1].visible for on in (True, False)] == [True, False]


def test_the_stage_asks_all_three_sides_where_the_switch_is_on(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(CAT.image.read_bytes())
    asked = {"path": str(photo)}, CAT.question, "\n".join(CAT.options), 0.0, 50, 0, *[0.5] * len(REGISTRY)
    for on in (True, False):
        updates = list(on_stage(tmp_path).run(ANN, "", 0, "1", on, *asked))
        assert last(updates, "recovered_card").visible is on
        assert (last(updates, "recovered_raw") == CHAIN) is on


def test_a_failed_recovery_is_nothing_to_record_for_a_talk(tmp_path):
    models = Models(Scripted(fail))
    with pytest.raises(RuntimeError, match="recovered failed: the server is gone"):
        command_line.record(api.Workbench(models.pair, models.joint), CAT, tmp_path)


# --- as a card ---


def drawn(recording: Recording, language: str = "en") -> np.ndarray:
    image = Image.open(io.BytesIO(card.as_png(recording, recording.photo, 1, language)))
    assert image.size == card.SIZE
    return np.asarray(image.convert("RGB"))


def test_the_card_draws_the_recovered_picture_and_the_third_answer(keep):
    whole, failed = read(keep()), read(keep(fail))
    for language in ("en", "zh"):
        pixels = drawn(whole, language)
        ink = (pixels < 200).any(axis=2)
        assert ink[80:370, 100:400].mean() > 0.5 and ink[480:760, 100:400].mean() > 0.5, "both pictures"
        assert not ink[:, -30:].any() and not ink[-5:].any()
    assert not (drawn(failed)[500:760, 100:400] < 200).all(axis=2).any(), "no picture where there is none"
    answers = [drawn(one)[300:560, 800:] for one in (whole, failed)]
    assert not np.array_equal(*answers), "a failure among the answers, too"


def test_long_answers_of_three_sides_stay_on_the_card(keep):
    raw = json.loads(keep())
    raw["question"] = "Why " + "very " * 200 + "long?"
    for row in raw["events"]:
        row[2] = row[2].replace("<ANSWER>1", "<ANSWER>" + "这是一只猫，" * 60) if row[1] != "baseline" else row[2]
    raw["replies"] = {side: "".join(row[2] for row in raw["events"] if row[1] == side) for side in SIDES}
    ink = (drawn(read(json.dumps(raw).encode())) < 200).any(axis=2)
    assert not ink[:, -30:].any() and not ink[-5:].any()
