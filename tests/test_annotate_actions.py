"""What the tab Annotate shows after each event, and predicting, with a scripted model: no checkpoint, no browser."""

import json
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from demo import settings
from demo.annotate import predicting
from demo.annotate.access import Access
from demo.annotate.actions import Actions
from demo.annotate.batches import Wanted
from demo.annotate.desk import Desk
from demo.annotate.service import Service
from demo.replies import Event, Stats
from demo.store.tables import Item
from tests.batch_making import chain, open_batches, open_one, picture

REQUEST = SimpleNamespace(username=None, client=SimpleNamespace(host="127.0.0.1"), headers={})
NOTHING = [gr.skip()] * 4


@pytest.fixture
def at(tmp_path, monkeypatch):
    """The events of anna's page, and the batch of four that she is at."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    batches, batch = open_one(tmp_path, 4)
    service = Service(Access(local=True), batches, Desk(batches.store), {})
    return SimpleNamespace(
        actions=Actions(service, None), service=service, batch=batch, who=(REQUEST, None, "anna", "", batch)
    )


def said(at, number: int = 0) -> str:
    """What annotate.js sends of an untouched item."""
    task = at.service.desk.task(number + 1, "anna")
    verdict = {"marks": dict.fromkeys(task.predicted, "right")}
    return json.dumps({"item": task.id, "revision": task.revision, "verdict": verdict})


def saved(at) -> int:
    return at.service.desk.progress(at.batch, "anna").saved


# --- judging ---


def test_choosing_a_batch_begins_nothing_and_switches_who_has_begun(at):
    for nothing in (None, "null", "{}"):
        assert at.actions.choose(*at.who, nothing) == NOTHING
    assert at.service.desk.next(at.batch, "ben").number == 0, "nothing was handed out by choosing"
    _, form, *_ = at.actions.choose(*at.who, said(at))
    assert 'id="verdict"' in form


def test_saving_before_the_start_says_what_to_do(at):
    *rest, status = at.actions.save(*at.who, "null")
    assert rest == [gr.skip()] * 3 and "press Start" in status


def test_what_is_saved_is_told_also_where_the_next_picture_fails(at, monkeypatch):
    at.actions.enter(*at.who)

    def failing(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr(at.service.desk, "next", failing)
    *_, status = at.actions.save(*at.who, said(at))
    assert saved(at) == 1
    assert "Saved: picture 1" in status and "nothing was changed" not in status


def test_a_picture_that_cannot_be_shown_can_be_skipped(at):
    with at.service.store.reading() as session:
        name = session.get(Item, 1).picture
    at.service.batches.pictures.path(name).unlink()
    viewer, form, _, _ = at.actions.enter(*at.who)
    assert "no longer on the server" in viewer and 'data-item="1"' in form
    viewer, form, *_ = at.actions.skip(*at.who, said(at))
    assert "<img" in viewer and 'data-item="2"' in form


def test_a_push_that_never_began_is_told_on_the_page(at):
    assert "--push-to" in at.actions.pushed()
    at.service.not_pushed = "owner/kept", "the Hub is away"
    assert "owner/kept" in at.actions.pushed() and 'class="message bad"' in at.actions.pushed()


# --- predicting ---


class Pair:
    """Models that say one chain, a word a picture in turn; `ends` is how each picture's answer ends."""

    robust = SimpleNamespace(name="robust", label="tiny")
    max_new_tokens = 9

    def __init__(self, **ends: str):
        self.ends, self.asked, self.closed = ends, [], False

    def fit(self, photo: Image.Image) -> Image.Image:
        return photo

    def answers(self, images, question, temperature, max_new_tokens, seed, stop=None):
        self.asked.append((len(images), question))
        try:
            for word in chain("lens blur(0.5)").split(" "):
                for number in range(len(images)):
                    yield Event("robust", f"{word} ", tokens=1, picture=number)
            for number in range(len(images)):
                reason = self.ends.get(f"p{number}", "eos")
                error = "out of memory" if reason == "error" else None
                yield Event("robust", "", True, Stats(9, 0.1, 9.0, reason), error, picture=number)
                yield Event("baseline", "a cat", True, Stats(2, 0.1, 9.0, "eos"), picture=number)
        finally:
            self.closed = True


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A batch of five pictures without predictions, of which the models take two at a time."""
    monkeypatch.setattr(settings, "SWEEP_BATCH", 2)
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / f"in/{number}.png").write_bytes(picture(number))
    batches = open_batches(tmp_path)
    return batches, batches.open_path(tmp_path / "in", Wanted("bare", question="What?"), "olga").batch


def waiting(batches) -> int:
    return batches.listed()[0].waiting


def test_pictures_with_the_same_question_are_predicted_together(bare):
    batches, batch = bare
    with batches.store.writing() as session:
        session.get(Item, 2).options = ["cat", "dog"]
    pair = Pair()
    steps = list(predicting.predict(batches, batch, pair))
    assert sorted(pair.asked) == [(1, "What?\n0. cat\n1. dog"), (2, "What?"), (2, "What?")]
    assert steps[0] == (0, 5) and steps[-1] == (5, 5) and steps == sorted(steps)
    assert waiting(batches) == 0
    task = Desk(batches.store).next(batch, "anna")
    assert task.predicted == {"lens blur": 0.5} and task.chain.strip() == chain("lens blur(0.5)")
    assert list(predicting.predict(batches, batch, pair)) == [(0, 0)]


def test_leaving_ends_the_models_and_keeps_what_is_whole(bare, monkeypatch):
    monkeypatch.setattr(settings, "UPDATE_S", 0.0)
    batches, batch = bare
    pair = Pair()
    steps = predicting.predict(batches, batch, pair)
    assert [next(steps) for _ in range(3)] == [(0, 5)] * 3, "it can be left while the models write"
    steps.close()
    assert pair.closed and waiting(batches) == 5
    for done, _ in (steps := predicting.predict(batches, batch, pair)):
        if done == 1:
            break
    steps.close()
    assert pair.closed and waiting(batches) == 4


def test_what_was_stopped_or_failed_is_no_prediction(bare):
    batches, batch = bare
    list(predicting.predict(batches, batch, Pair(p0="stopped")))
    assert waiting(batches) == 3
    with pytest.raises(ValueError, match="out of memory"):
        list(predicting.predict(batches, batch, Pair(p1="error")))
    assert waiting(batches) == 2, "what was whole before the failure stays"
