"""The third column: what Compare shows of it, sweeps and annotations that take it in; with scripted models."""

import csv
import io
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from degradations import REGISTRY, Recipe, degrade, files
from demo import api, page, settings
from demo.annotate import exports
from demo.annotate import panels as annotate_panels
from demo.annotate.batches import Batches, Wanted
from demo.annotate.predicting import predict
from demo.compare import answering
from demo.compare.actions import Actions
from demo.compare.answering import COLUMNS, UNCHANGED, Answers
from demo.recovery import run as recovery_run
from demo.store.tables import Item
from demo.sweep import exports as sweep_exports
from demo.sweep import panels
from demo.sweep.actions import begin
from demo.sweep.chart import chart
from demo.sweep.engine import RECOVERED, sweep
from tests.batch_making import open_batches
from tests.pictures import picture
from tests.recovering import CHAIN, Models, Scripted, brighter
from tests.spoken import spoken
from training.annotations import read_annotation

ANN = SimpleNamespace(session_hash="ann")
PHOTO = Image.fromarray(picture(40, 60))


@pytest.fixture
def photo(tmp_path, monkeypatch) -> dict:
    """An upload as Gradio hands it over."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    PHOTO.save(tmp_path / "photo.png")
    return {"path": str(tmp_path / "photo.png")}


@pytest.fixture(autouse=True)
def no_checkpoints(monkeypatch):
    """Loading an encoder takes longer than all else here, and scripted models have no weights to tell of."""
    monkeypatch.setattr(recovery_run, "encoder_at_hand", lambda: None)
    monkeypatch.setattr(answering, "provenance", lambda *asked: {})


def asked(models: Models, photo: dict, on: bool = True, **recipe: float) -> list[tuple]:
    """All updates of a question."""
    sliders = [recipe.get(name.replace(" ", "_"), 0) for name in REGISTRY]
    return list(answers_of(models).ask(ANN, on, photo, 3, "What?", "dog\ncat", 0.0, 50, *sliders))


def answers_of(models: Models) -> Answers:
    bench = api.Workbench(models.pair, models.joint)
    return Answers(bench, (), Actions(bench, ()).show)


def shown(updates: list[tuple], column: str) -> list:
    """What stood in a column, one after the other; the status comes before all columns."""
    place = 1 + COLUMNS.index(column)
    return [update[place] for update in updates if update[place] != gr.skip()]


def last(updates: list[tuple], column: str):
    """What stood there at the end."""
    return shown(updates, column)[-1]


def test_the_picture_is_recovered_shown_and_both_are_asked_about(photo, monkeypatch):
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    models = Models(Scripted(brighter, steps=3, pause=0.1))
    updates = asked(models, photo, dark_illumination=0.5)
    assert {len(update) for update in updates} == {2 + len(COLUMNS)}
    ((given, recovered),) = models.shown
    assert np.array_equal(given, degrade(PHOTO, "darkness(0.5)", 3)) and np.array_equal(recovered, brighter(given))
    html = spoken(last(updates, "recovery"), "en")
    assert all(f'class="{name}"' in html for name in ("degraded", "recovered", "clean", "changes"))
    assert "confidently wrong" in html and "PSNR" in html
    assert "cat" in last(updates, "recovered") and last(updates, "recovered_raw") == CHAIN
    told = shown(updates, "recovery")
    assert updates[-2][0] == "" and "Recovering" in "".join(told) and last(updates, "recovered_card").visible
    assert 'class="recovered"' not in told[0], "nothing stands in its place before it is there"


def test_a_failed_recovery_is_shown_and_nothing_is_asked(photo):
    def fail(image):
        raise ValueError("the server is gone")

    models = Models(Scripted(fail))
    updates = asked(models, photo, dark_illumination=0.5)
    html = spoken(last(updates, "recovery"), "en")
    assert "no recovered picture" in html and "the server is gone" in html and 'class="recovered"' not in html
    assert models.shown == [] and "nothing is asked" in spoken(last(updates, "recovered"), "en")
    assert "cat" in last(updates, "baseline"), "the two others have answered"


def test_what_breaks_leaves_nothing_that_waits(photo):
    models = Models(Scripted(brighter))
    models.pair.answers = lambda *asked: 1 / 0
    updates = asked(models, photo, dark_illumination=0.5)
    assert list(updates[-1][1:]) == [*answering.nothing_asked(), gr.skip()]
    assert "ZeroDivisionError" in updates[-1][0]


def test_stop_before_it_began_leaves_nothing_that_waits(photo):
    answers = answers_of(Models(Scripted(brighter)))
    assert answers.halt(ANN)[1:] == UNCHANGED, "nothing was asked"
    waiting = answers.prepare(ANN, True, *[0] * len(REGISTRY))
    assert "Waiting for the recovery" in waiting[3 + COLUMNS.index("recovery")] and waiting[-1].visible
    assert list(answers.halt(ANN)[1:]) == answering.nothing_asked()


def test_a_recovery_that_is_stopped_has_not_failed(photo, monkeypatch):
    monkeypatch.setattr(settings, "HEARTBEAT_S", 0.02)
    answers = answers_of(Models(Scripted(brighter, steps=100, pause=0.05)))
    updates = []
    for update in answers.ask(ANN, True, photo, 3, "What?", "", 0.0, 50, *[0] * len(REGISTRY)):
        updates.append(update)
        answers.running.stop("ann", 0)
    html = spoken(last(updates, "recovery"), "en")
    assert "Stopped: there is no recovered picture" in html and "failed" not in html
    html = spoken(last(updates, "recovered"), "en")
    assert "Stopped" in html and "nothing is asked" in html


def test_without_degradation_the_photo_is_not_called_clean(photo):
    html = last(asked(Models(Scripted(brighter)), photo), "recovery")
    assert 'class="clean"' not in html and "Nothing was degraded" in spoken(html, "en")


def test_switched_off_nothing_is_recovered(photo):
    models = Models(Scripted(brighter))
    updates = asked(models, photo, on=False, dark_illumination=0.5)
    assert models.shown == [] and not models.joint.recovery.left.is_set()
    assert not last(updates, "recovered_card").visible and last(updates, "recovered") == ""


def test_a_server_without_recovery_refuses_to_recover(photo):
    models = Models(Scripted(brighter))
    models.joint = None
    (update,) = asked(models, photo, dark_illumination=0.5)
    assert "no recovery on this server" in spoken(update[0], "en")


def test_the_page_offers_the_column_only_where_something_recovers():
    models = Models(Scripted(brighter))
    with_it, without = page.build(models.pair, joint=models.joint), page.build(models.pair)

    def offered(blocks: gr.Blocks) -> dict[str, bool]:
        switches = ("recover", "stage-recover", "recovered-card")
        return {one.elem_id: one.visible for one in blocks.blocks.values() if getattr(one, "elem_id", None) in switches}

    assert offered(with_it) == {"recover": True, "stage-recover": True, "recovered-card": False}
    assert set(offered(without).values()) == {False}, "the card is for runs that are played back"
    names = [{function.api_name for function in blocks.fns.values()} for blocks in (with_it, without)]
    assert {"recover", "answer_recovered"} <= names[0] and not {"recover", "answer_recovered"} & names[1]


# --- sweeps ---


def swept(recovery: Scripted, path: Path) -> tuple[Models, dict]:
    models = Models(recovery)
    bench = api.Workbench(models.pair, models.joint)
    question = "What?\n0. dog\n1. cat"
    run = begin(bench, "type", "dark illumination", Recipe(), 3, 1, 0, question, "cat", recovered=True)
    *_, state = [now.as_json() for now in sweep(bench, path, run, 0, 0.0, 50)]
    return models, state


def test_a_sweep_takes_the_third_side_in(photo):
    models, state = swept(Scripted(brighter), Path(photo["path"]))
    assert state["done"] and state["sides"] == ["baseline", "robust", RECOVERED] and len(models.shown) == 3
    cells = [step[RECOVERED] for step in state["steps"]]
    assert [cell["verdict"] for cell in cells] == ["right"] * 3 and cells[1]["predicted"] == 0.4
    assert cells[0]["gain"] is None and cells[2]["gain"] != 0
    assert state["breaks"][RECOVERED] == "never"
    html = chart(state) + panels.summary(state) + panels.strip(state, ["/x"] * 3)
    assert html.count('class="said-by recovered right"') == 3 and "dB" in spoken(panels.summary(state), "en")
    (*_, strongest) = csv.DictReader(io.StringIO(sweep_exports.as_csv(state).decode("utf-8-sig")))
    assert strongest["recovered_answer"] == "cat" and float(strongest["recovered_gain"]) == cells[2]["gain"]
    with Image.open(io.BytesIO(sweep_exports.as_png(state, [PHOTO] * 3))) as slide:
        assert slide.size == (1920, 1080)


def test_a_recovery_that_fails_costs_its_own_cells_alone(photo):
    def fail_in_the_dark(image):
        if np.asarray(image).mean() < 60:
            raise ValueError("too dark")
        return brighter(image)

    models, state = swept(Scripted(fail_in_the_dark), Path(photo["path"]))
    verdicts = [step[RECOVERED]["verdict"] for step in state["steps"]]
    assert verdicts == ["right", "right", "failed"] and state["steps"][2][RECOVERED]["error"] == "too dark"
    assert [step["robust"]["verdict"] for step in state["steps"]] == ["right"] * 3
    assert len(models.shown) == 2


def test_a_sweep_that_is_stopped_has_not_failed(photo):
    stop, begun = threading.Event(), []

    def stopped_meanwhile(image):
        begun.append(image)
        stop.set()
        return brighter(image)

    models = Models(Scripted(stopped_meanwhile))
    bench = api.Workbench(models.pair, models.joint)
    run = begin(bench, "type", "dark illumination", Recipe(), 3, 1, 0, "What?\n0. dog\n1. cat", "cat", recovered=True)
    *_, state = [now.as_json() for now in sweep(bench, Path(photo["path"]), run, 0, 0.0, 50, stop)]
    assert state["stopped"] and len(begun) == 1, "no further recovery is begun"
    assert [step[RECOVERED]["verdict"] for step in state["steps"]] == [None] * 3
    assert [step["robust"]["verdict"] for step in state["steps"]] == ["right"] * 3


def test_a_server_without_recovery_says_so():
    bench = api.Workbench(Models(Scripted(brighter)).pair)
    with pytest.raises(ValueError, match="no recovery on this server"):
        begin(bench, "type", "dark illumination", Recipe(), 3, 1, 0, "What?", "", recovered=True)


# --- annotations ---


def bare_batch(folder: Path) -> Batches:
    """A batch of one picture without a prediction."""
    (folder / "in").mkdir()
    PHOTO.save(folder / "in/a.png")
    batches = open_batches(folder / "data")
    batches.open_path(folder / "in", Wanted("one", question="What?"), "anna")
    return batches


def test_predictions_are_made_from_recovered_pictures_which_are_kept(tmp_path):
    models, batches = Models(Scripted(brighter)), bare_batch(tmp_path)
    told = list(predict(batches, 1, models.pair, joint=models.joint))
    assert (told[0], told[-1]) == ((0, 1), (1, 1))
    with batches.store.reading() as session:
        item = session.get(Item, 1)
        assert item.model == "third" and item.chain == CHAIN
        kept = files.read_photo(batches.pictures.path(item.recovered))
    assert np.array_equal(kept, brighter(PHOTO))
    ((_, recovered),) = models.shown
    assert np.array_equal(recovered, kept)


def test_an_export_holds_the_recovered_picture_and_brings_it_back(tmp_path):
    models, batches = Models(Scripted(brighter)), bare_batch(tmp_path)
    list(predict(batches, 1, models.pair, joint=models.joint))
    exports.write_folder(batches.store, batches.pictures, 1, tmp_path / "export")
    (row,) = exports.rows(batches.store, 1)
    assert np.array_equal(Image.open(tmp_path / "export" / row["recovered_file_name"]), brighter(PHOTO))
    other = open_batches(tmp_path / "other")
    other.open_path(tmp_path / "export", Wanted("again", question="What?"), "anna")
    with other.store.reading() as session:
        name = session.get(Item, 1).recovered
    assert np.array_equal(files.read_photo(other.pictures.path(name)), brighter(PHOTO))
    judged = row | {"verdicts": "[{}]", "corrected": row["predicted"], "correct_answer": "cat", "sound": True}
    assert read_annotation(judged, tmp_path / "export").chain is None, "it may tell what the degraded one hides"
    del judged["recovered_file_name"]
    assert read_annotation(judged, tmp_path / "export").chain == CHAIN


def test_a_prediction_without_a_recovered_picture_is_none(tmp_path):
    models, batches = Models(Scripted(lambda image: 1 / 0)), bare_batch(tmp_path)
    with pytest.raises(ValueError, match="recovery failed"):
        list(predict(batches, 1, models.pair, joint=models.joint))
    with batches.store.reading() as session:
        assert session.get(Item, 1).chain is None


def test_annotators_can_look_at_the_recovered_picture():
    task = SimpleNamespace(number=0, blind=True, model=None, applied=None, answer=None, clean=None)
    html = annotate_panels.viewer(task, "a.png", None, '"b.png')
    assert 'data-other="recovered"' in html and 'data-other="clean"' not in html and 'src="&quot;b.png"' in html
