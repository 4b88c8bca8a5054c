"""Runs that were kept and played back, the pace of a hall, decks. No model, no browser."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from degradations import Recipe
from demo import settings
from demo.examples import load_examples
from demo.present import deck, views
from demo.present.actions import PACES, _speed
from demo.present.playback import paced, replay
from demo.present.recording import Recorder, read
from demo.replies import Event, Stats
from demo.texts import reason
from tests.spoken import spoken

EXAMPLES = load_examples()
QUESTION = "What is it?\n0. dog\n1. cat"
MODELS = {"baseline": "one", "robust": "other"}
END = Stats(3, 0.1, 9.0, "eos")
RUN = [
    Event("baseline", "cat", tokens=1),
    Event("baseline"),
    Event("robust", "<TYPE>none", tokens=2),
    Event("baseline", done=True, stats=END, tokens=2),
    Event("robust", "<TYPE_END>", tokens=3),
    Event("robust", done=True, stats=END, tokens=3),
]


def kept(photo="cat.jpg", pause: float = 0.0):
    recorder = Recorder(MODELS, QUESTION, Recipe({"lens blur": 0.3}), 7, 0.0, 50, photo)

    def events():
        for event in RUN:
            time.sleep(pause)
            yield event

    assert list(recorder.record(events())) == RUN
    return recorder.recording()


def said(events) -> dict[str, str]:
    texts = {"baseline": "", "robust": ""}
    for event in events:
        texts[event.side] += event.text
    return texts


def test_a_run_is_kept_and_read_back_as_it_was():
    recording = kept()
    again = read(recording.as_json())
    assert [event for _, event in again.events] == [event for event in RUN if event.text or event.done]
    assert (again.question, again.recipe, again.seed) == (QUESTION, recording.recipe, 7)
    assert (again.models, again.photo, again.made) == (MODELS, "cat.jpg", recording.made)


def test_a_run_whose_model_answers_by_the_index_is_read_the_same_way():
    run = [replace(event, by_index=event.side == "robust") for event in RUN]
    recorder = Recorder(MODELS, QUESTION, Recipe(), 7, 0.0, 50, "cat.jpg")
    list(recorder.record(run))
    again = read(recorder.recording().as_json())
    for events in (replay(again, 1000.0), paced(iter(run), 1e6)):
        marked = {event.side for event in events if event.by_index}
        assert marked == {"robust"}
    old = json.loads(recorder.recording().as_json())
    del old["by_index"]
    assert not any(event.by_index for _, event in read(json.dumps(old).encode()).events)


def test_a_photo_of_ones_own_travels_with_the_run():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    again = read(kept(photo).as_json())
    assert np.array_equal(np.asarray(again.photo), np.asarray(photo))


def test_playback_keeps_the_true_pace_or_is_faster():
    recording = kept(pause=0.05)
    last = recording.events[-1][0]
    assert last >= 0.25
    for speed in (1.0, 4.0):
        begin = time.monotonic()
        events = list(replay(recording, speed))
        assert time.monotonic() - begin >= last / speed
        assert said(events) == {"baseline": "cat", "robust": "<TYPE>none<TYPE_END>"}
        assert [event.stats for event in events if event.done] == [END, END]


def test_playback_that_is_stopped_says_so_at_once():
    recording, stop = kept(pause=0.05), threading.Event()
    stop.set()
    begin = time.monotonic()
    events = list(replay(recording, 0.01, stop))  # which would take half a minute
    assert time.monotonic() - begin < 10
    assert {(event.side, event.stats.stop_reason) for event in events if event.done} == {
        ("baseline", "stopped"),
        ("robust", "stopped"),
    }


def test_what_comes_fast_is_spread_out_to_be_read():
    text = "word " * 20
    events = [Event("robust", text, tokens=9), Event("robust", done=True, stats=END, tokens=9)]
    begin = time.monotonic()
    shown = list(paced(iter(events), 200.0))
    assert time.monotonic() - begin >= len(text) / 200 - 0.1
    assert said(shown)["robust"] == text
    assert len([event for event in shown if event.text]) >= 3
    assert shown[-1].done and shown[-1].stats == END
    assert [event.done for event in shown].count(True) == 1


def test_what_is_held_back_comes_at_once_after_a_stop():
    stop = threading.Event()
    stop.set()
    events = [Event("robust", "a" * 10_000, tokens=9), Event("robust", done=True, stats=END, tokens=9)]
    begin = time.monotonic()
    assert said(paced(iter(events), 1.0, stop))["robust"] == "a" * 10_000
    assert time.monotonic() - begin < 10


def changed(**more) -> bytes:
    return json.dumps(json.loads(kept().as_json()) | more).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100_000,
        changed(format="another"), changed(recipe="sunshine(1)"), changed(question=""), changed(photo="../secret.jpg"),
        changed(photo={"png": "no base64!"}), changed(photo={"png": "aGVsbG8="}), changed(models={}),
        changed(events=[]), changed(events=[[0, "third", "x", 1, False, None, None]]),
        changed(events=[[2, "robust", "x", 1, False, None, None], [1, "robust", "x", 1, False, None, None]]),
        changed(events=[[0, "robust", "x", 1, True, None, None]]),
        changed(events=[[0, "robust", 5, 1, False, None, None]]),
        changed(events=[[1e9, "robust", "x", 1, False, None, None]]),
        changed(events=[[0, "robust", "x", float("inf"), False, None, None]]), changed(seed=float("inf")),
    ],
    ids=range(20),
)  # fmt: skip
def test_what_is_no_recording_is_refused_with_a_reason(content):
    with pytest.raises(ValueError, match="no recorded run"):
        read(content)


def test_a_recording_has_a_most_size(monkeypatch):
    monkeypatch.setattr(settings, "MAX_RECORDING_BYTES", 10)
    with pytest.raises(ValueError, match="at most"):
        read(kept().as_json())


@pytest.mark.parametrize("path", sorted(settings.RUNS.glob("*.json")), ids=lambda path: path.stem)
def test_a_recording_that_ships_is_of_an_example_as_it_is(path):
    recording = read(path.read_bytes())
    example = next(example for example in EXAMPLES if example.image.stem == path.stem)
    assert recording.photo == example.image.name
    assert recording.question.splitlines()[0] == example.question
    assert (recording.recipe, recording.seed) == (example.recipe, example.seed)


@pytest.mark.parametrize("pace", ["0", "0.0001", "nan", "", None, ["1"]])
def test_a_recording_is_played_at_no_other_pace_than_those_that_can_be_chosen(pace):
    """A pace of next to nothing would hold one of the few places for ever."""
    with pytest.raises(ValueError, match="readable, 1, 2, 4"):
        _speed(pace)
    assert [_speed(pace) for pace in PACES] == [1.0, 1.0, 2.0, 4.0]


# --- decks ---


def test_a_deck_takes_examples_and_changes_them():
    text = json.dumps(
        {
            "title": "Talk",
            "slides": [
                {"example": "cat.jpg", "notes": "Hello.\nLook."},
                {"example": "hat.jpg", "recipe": "lens blur(0.5)", "seed": 3, "question": "What?",
                 "options": ["a", "b"], "answer": 1},
            ],
        }
    )  # fmt: skip
    talk = deck.read(text, EXAMPLES)
    assert talk.title == "Talk"
    first, second = talk.slides
    assert first.example == next(example for example in EXAMPLES if example.image.name == "cat.jpg")
    assert first.notes == "Hello.\nLook."
    assert (second.example.recipe, second.example.seed) == (Recipe({"lens blur": 0.5}), 3)
    assert (second.example.question, second.example.options, second.example.answer) == ("What?", ("a", "b"), 1)
    assert [slide.example for slide in deck.of_examples(EXAMPLES).slides] == list(EXAMPLES)


@pytest.mark.parametrize(
    "slides",
    [
        [], [{}], [{"example": "none.jpg"}], [{"example": "cat.jpg", "recipe": "sunshine(1)"}],
        [{"example": "cat.jpg", "image": "/etc/passwd"}], [{"example": "cat.jpg", "seed": -1}],
        [{"example": "cat.jpg", "options": ["a"], "answer": 4}], [{"example": "cat.jpg", "question": "x" * 9_000}], "x",
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_deck_is_refused_with_a_reason(slides):
    with pytest.raises(ValueError, match="no deck that can be shown") as caught:
        deck.read(json.dumps({"slides": slides}), EXAMPLES)
    told = reason(caught.value)
    assert told.values["reason"].say("zh") in told.say("zh"), "the reason is told in one language"


def test_a_link_names_only_decks_of_the_servers_folder(tmp_path):
    (tmp_path / "decks").mkdir()
    content = json.dumps({"slides": [{"example": "cat.jpg"}]})
    (tmp_path / "decks" / "talk.json").write_text(content)
    (tmp_path / "secret.json").write_text(content)
    assert len(deck.named("talk", tmp_path / "decks", EXAMPLES).slides) == 1
    for name in ("../secret", "secret", str(Path(tmp_path, "secret")), "https://example.org/deck.json", "a" * 1000):
        with pytest.raises(ValueError, match="no deck named"):
            deck.named(name, tmp_path / "decks", EXAMPLES)


def test_what_a_deck_says_stays_text():
    hostile = "<script>alert(1)</script>"
    assert "<script" not in views.question(hostile, [hostile]) + views.notes(hostile)
    assert spoken(views.counter(2, 9, True)).startswith('<p class="counter">3 / 9')
