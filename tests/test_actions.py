"""What the page's events do and what both endpoints send, with scripted models: no checkpoint, no browser."""

import threading
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from degradations import REGISTRY, Recipe, degrade
from demo import api, photos, settings
from demo.chain import format_chain
from demo.compare import tab as compare_tab
from demo.compare.actions import Actions, Previews
from demo.compare.answering import COLUMNS, UNCHANGED, Answers
from demo.compare.running import Running
from demo.examples import Example, known_answer, load_examples
from demo.labels import Labels
from demo.present import stage
from demo.present.actions import Actions as StageActions
from demo.present.recording import Recorder
from demo.replies import Event, Stats
from demo.sweep import tab as sweep_tab

EXAMPLES = load_examples()
CHAIN = format_chain(Recipe({"lens blur": 0.3}), "It is soft.", "Two ears.", "A cat.", "1")
ANN, BOB = SimpleNamespace(session_hash="ann"), SimpleNamespace(session_hash="bob")  # requests of two visitors
ASKED = "What is it?\n0. dog\n1. cat"


@pytest.fixture
def photo(tmp_path, monkeypatch) -> dict:
    """An upload as Gradio hands it over."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return {"path": str(tmp_path / "photo.png")}


@pytest.fixture
def bench() -> api.Workbench:
    return api.Workbench(SimpleNamespace(fit=lambda image: image.resize((30, 20))))


@pytest.fixture
def script(monkeypatch):
    """Let both models say what is scripted; returns what they were asked, and whether their stream was closed."""
    seen = SimpleNamespace(closed=False)

    def play(*events: Event):
        def stream(pair, image, question, **options):
            seen.image, seen.question, seen.options = image, question, options
            try:
                yield from events
            finally:
                seen.closed = True

        monkeypatch.setattr(api, "stream", stream)
        return seen

    return play


def said(side: str, text: str, stop_reason: str = "eos") -> list[Event]:
    words = [Event(side, text=letter) for letter in text]
    return [*words, Event(side, done=True, stats=Stats(len(words), 0.1, 9.0, stop_reason))]


def compare(bench, photo, question=ASKED, recipe="noise(0.5)", seed=3, temperature=0.0, tokens=50, **more):
    return list(
        bench.compare(api.upload_path(photo), question, Recipe.parse(recipe), seed, temperature, tokens, **more)
    )


def test_the_models_get_the_upload_fitted_then_degraded(bench, photo, script):
    seen = script(*said("baseline", "1"), *said("robust", CHAIN))
    compare(bench, photo, recipe="lens blur(0.4)", seed=9, temperature=0.5)
    fitted = photos.load(photo["path"]).resize((30, 20))
    assert np.array_equal(np.asarray(seen.image), np.asarray(degrade(fitted, "lens blur(0.4)", 9)))
    assert seen.question == ASKED
    assert seen.options == {"temperature": 0.5, "max_new_tokens": 50, "seed": 9, "stop": None}
    assert seen.closed


def test_a_clean_photo_of_the_working_size_reaches_the_models_unchanged(photo, script):
    seen = script(*said("baseline", "1"), *said("robust", CHAIN))
    compare(api.Workbench(SimpleNamespace(fit=lambda image: image)), photo, recipe="none")
    assert np.array_equal(np.asarray(seen.image), np.asarray(Image.open(photo["path"])))


def test_what_compare_sends(bench, photo, script):
    script(*said("baseline", "1. cat"), *said("robust", CHAIN))
    states = compare(bench, photo)
    last = states[-1]
    assert last["baseline"] == {
        "text": "1. cat",
        "done": True,
        "stats": {"tokens": 6, "ttft_s": 0.1, "tokens_per_s": 9.0, "stop_reason": "eos"},
        "answer": "cat",
        "choice": 1,
    }
    assert (last["robust"]["answer"], last["robust"]["choice"]) == ("cat", 1)
    assert last["robust"]["chain"]["recipe"] == {"lens blur": 0.3}
    assert states[0]["baseline"]["answer"] is None  # half an answer among options is none


def test_an_open_question_is_answered_as_written(bench, photo, script):
    script(*said("baseline", "A cat, 1 of 2."), *said("robust", CHAIN))
    last = compare(bench, photo, question="What is it?")[-1]
    assert (last["baseline"]["answer"], last["baseline"]["choice"]) == ("A cat, 1 of 2.", None)
    assert (last["robust"]["answer"], last["robust"]["choice"]) == ("1", None)


def test_a_failure_of_one_side_is_its_own(bench, photo, script):
    script(Event("baseline", text="1"), Event("baseline", done=True, error="out of memory"), *said("robust", CHAIN))
    last = compare(bench, photo)[-1]
    assert last["baseline"]["error"] == "out of memory"
    assert last["baseline"]["answer"] is None
    assert "error" not in last["robust"]
    assert last["robust"]["choice"] == 1


def test_leaving_closes_the_stream(bench, photo, script):
    seen = script(*said("baseline", "1" * 99), *said("robust", CHAIN))
    states = bench.compare(api.upload_path(photo), ASKED, Recipe(), 0, 0.0, 50)
    next(states)
    states.close()
    assert seen.closed


@pytest.mark.parametrize("bad", [None, True, "5", float("nan"), float("inf"), -1, 11, 0.5])
def test_numbers_are_checked(bad):
    with pytest.raises(ValueError, match="The seed must be"):
        api.check_number("seed", bad, 0, 10, whole=True)
    assert api.check_number("seed", 5.0, 0, 10, whole=True) == 5


def test_a_photo_is_decoded_once_for_many_previews(bench, photo, monkeypatch):
    decoded = []
    load = photos.load
    monkeypatch.setattr(photos, "load", lambda path: decoded.append(path) or load(path))
    for step in range(5):
        bench.degraded(api.upload_path(photo), Recipe({"lens blur": step / 10}), 0)
    assert len(decoded) == 1


def values(**recipe: float) -> list[float]:
    """The sliders' positions; names with _ for spaces."""
    return [recipe.get(name.replace(" ", "_"), 0) for name in REGISTRY]


def test_sliders_text_and_presets_say_the_same(bench, photo):
    actions = Actions(bench, EXAMPLES)
    *_, text = actions.follow_sliders(ANN, photo, 0, *values(lens_blur=0.2, scan_lines=0.5))
    assert text == "lens blur(0.2), scan lines(0.5)"
    assert list(actions.tidy_text(ANN, photo, 0, "Scan lines(0.5), blur(0.2)")[4:]) == values(
        lens_blur=0.2, scan_lines=0.5
    )
    for strength in settings.STRENGTHS.values():
        shown = actions.at_strength(strength)(ANN, photo, 0, *values(lens_blur=0.2, scan_lines=0.5))
        assert list(shown[4:]) == values(lens_blur=strength, scan_lines=strength)
        drawn = actions.at_strength(strength)(ANN, photo, 0, *values())
        assert sorted(drawn[4:])[-2:] == [0, strength]
    assert actions.reset(ANN, photo, 0)[3] == "none"
    assert 1 <= len(Recipe.parse(actions.shuffle(ANN, photo, None)[3])) <= settings.SHUFFLED_TYPES[1]


def test_a_slow_degradation_is_shown_roughly_and_settles(bench, photo, monkeypatch):
    monkeypatch.setattr(settings, "ROUGH_PREVIEW_PIXELS", 30 * 20 - 1)
    actions, sliders, recipe = Actions(bench, EXAMPLES), values(mean_shift=0.5), {"mean shift": 0.5}
    before = bench.working_photo(api.upload_path(photo))

    def picture(preview) -> np.ndarray:
        return np.asarray(Image.open(preview[1]))

    moving, *_ = actions.follow_sliders(ANN, photo, 0, *sliders)
    assert np.array_equal(picture(moving), degrade(before, recipe, rough=True))
    settled, _ = actions.settle_preview(ANN, photo, 0, *sliders)
    assert np.array_equal(picture(settled), degrade(before, recipe))
    assert not np.array_equal(picture(settled), picture(moving))
    pressed, *_ = actions.at_strength(0.5)(ANN, photo, 0, *sliders)
    assert pressed == settled

    # Nothing follows what is fast, or small, or no photo.
    fast = values(lens_blur=0.5)
    assert actions.settle_preview(ANN, photo, 0, *fast) == (gr.skip(), gr.skip())
    assert actions.settle_preview(ANN, None, 0, *sliders) == (gr.skip(), gr.skip())
    monkeypatch.setattr(settings, "ROUGH_PREVIEW_PIXELS", 30 * 20)
    assert actions.follow_sliders(ANN, photo, 0, *sliders)[0] == settled
    assert actions.settle_preview(ANN, photo, 0, *sliders) == (gr.skip(), gr.skip())


@pytest.mark.parametrize(("other", "outdated"), [(ANN, True), (BOB, False)])
def test_a_preview_that_settles_late_does_not_replace_a_newer_one(bench, photo, monkeypatch, other, outdated):
    monkeypatch.setattr(settings, "ROUGH_PREVIEW_PIXELS", 0)
    actions, sliders, slow = Actions(bench, EXAMPLES), values(mean_shift=0.5), bench.degraded
    actions.follow_sliders(ANN, photo, 0, *sliders)

    def degraded_while_something_else_is_asked(*arguments):
        monkeypatch.setattr(bench, "degraded", slow)
        actions.reset(other, photo, 0)
        return slow(*arguments)

    monkeypatch.setattr(bench, "degraded", degraded_while_something_else_is_asked)
    settled = actions.settle_preview(ANN, photo, 0, *sliders)
    assert (settled == (gr.skip(), gr.skip())) == outdated
    # Nor does one whose place was taken before it began.
    if outdated:
        assert actions.settle_preview(ANN, photo, 0, *sliders) == (gr.skip(), gr.skip())
    # What the sliders' own event refuses leads to nothing here either.
    assert actions.settle_preview(ANN, photo, 0, *values(mean_shift=5)) == (gr.skip(), gr.skip())


def test_visitors_of_old_are_forgotten():
    previews = Previews()
    for number in range(Previews.KEPT + 1):
        previews.begin(str(number), ("photo", number))
    assert previews.latest("0") is None and previews.latest("1") == ("photo", 1)


def test_a_wrong_recipe_moves_no_slider(bench, photo):
    actions = Actions(bench, EXAMPLES)
    _, _, message, *rest = actions.tidy_text(ANN, photo, 0, "sunshine(0.5)")
    assert "sunshine" in message
    assert rest == [gr.skip()] * (1 + len(REGISTRY))
    assert actions.follow_text(ANN, photo, 0, "lens bl") == [gr.skip()] * (3 + len(REGISTRY))


def test_stop_reaches_its_own_run_only():
    running = Running()
    with running.entered("a") as mine, running.entered("b") as other:
        stopper = threading.Thread(target=running.stop, args=("a", 10))
        stopper.start()
        assert mine.wait(10)
        assert not other.is_set()
    stopper.join(10)
    assert not stopper.is_alive()


def test_a_stop_in_the_queue_counts_until_the_next_question():
    running = Running()
    running.asked("a")
    assert running.stop("a", 0) is False
    with running.entered("a") as stop:
        assert stop.is_set()
    running.asked("a")
    with running.entered("a") as stop:
        assert not stop.is_set()


def on_stage(bench, tmp_path) -> StageActions:
    answers = Answers(bench, EXAMPLES, None)
    models = {"baseline": "one", "robust": "other"}
    answers.recorder = lambda *about: Recorder(models, "?", Recipe(), 0, 0.0, 50, "cat.jpg")
    answers.keep = lambda kept: "run.json"
    return StageActions(EXAMPLES, lambda request, example: (), answers, tmp_path, tmp_path)


def test_a_slide_that_is_left_takes_its_run_along(bench, photo, script, tmp_path):
    script(*said("baseline", "1"), *said("robust", CHAIN))
    stage, sliders = on_stage(bench, tmp_path), [0.0] * len(REGISTRY)
    asked = False, photo, "What is it?", "dog\ncat", 0.0, 50, 0, *sliders
    assert any("correct" in str(one) or "cat" in str(one) for one in list(stage.run(ANN, "", 0, "1", *asked))[-2])
    run = stage.run(ANN, "", 0, "1", *asked)
    assert "Answering" in next(run)[0]
    turned = []
    turning = threading.Thread(target=lambda: turned.append(stage.turn(ANN, 1, "", 0, False)))
    turning.start()
    assert stage.answers.running._runs["ann"][0].wait(10)
    assert not turned, "it waits until the run has written its last"
    assert list(run) == [], "nothing of the run reaches the next slide"
    turning.join(10)
    assert turned[0][0] == 1 and "empty" in turned[0][6]


def test_a_run_that_waits_while_its_slide_is_left_writes_nothing(bench, photo, script, tmp_path):
    script(*said("baseline", "1"), *said("robust", CHAIN))
    stage, sliders = on_stage(bench, tmp_path), [0.0] * len(REGISTRY)
    stage.prepare(ANN, False, *sliders)
    stage.turn(ANN, 1, "", 0, False)
    asked = False, photo, "What is it?", "dog\ncat", 0.0, 50, 0, *sliders
    assert list(stage.run(ANN, "", 0, "1", *asked)) == []
    stage.prepare(ANN, False, *sliders)
    assert list(stage.run(ANN, "", 0, "1", *asked)) != []


def test_what_finds_no_place_in_the_queue_is_told_and_can_be_tried_again(bench):
    """In the browser, what follows by `then` does not follow a failure."""
    bench.pair.max_new_tokens = 50
    bench.pair.baseline = bench.pair.robust = SimpleNamespace(name="robust", label="tiny")
    with gr.Blocks() as page:
        labels = Labels()
        desk = compare_tab.build(bench, EXAMPLES, labels)
        with gr.Tab() as tab:
            sweep_tab.build(bench, EXAMPLES, labels, desk, tab, gr.Radio())
        stage.build(page, bench, EXAMPLES, labels, desk)
    queued = {fn._id for fn in page.fns.values() if fn.concurrency_id == api.MODEL_QUEUE["concurrency_id"]}
    followed = {fn.trigger_after for fn in page.fns.values() if fn.trigger_only_on_failure}
    assert len(queued) == 3 and queued <= followed
    status, ask, stop, *columns = Answers(bench, EXAMPLES, None).turned_away()
    assert "too many are waiting" in status and (ask.interactive, stop.interactive) == (True, False)
    assert len(columns) == len(COLUMNS)


def test_a_stop_where_nothing_runs_leaves_the_answers_alone(bench):
    answers = Answers(bench, EXAMPLES, None)
    assert answers.halt(ANN) == (gr.skip(), *UNCHANGED)
    answers.prepare(ANN, False, *[0.0] * len(REGISTRY))
    assert "before it began" in answers.halt(ANN)[0]
    with answers.running.entered("ann") as stop:
        assert stop.is_set()
    assert answers.halt(ANN) == (gr.skip(), *UNCHANGED)
    answers.prepare(ANN, False, *[0.0] * len(REGISTRY))
    with answers.running.entered("ann") as stop:
        assert not stop.is_set(), "a stop before the question was asked does not count for it"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_examples_are_whole_and_know_their_answer(example: Example, tmp_path):
    copy = tmp_path / "another name.jpg"
    copy.write_bytes(example.image.read_bytes())
    assert photos.load(copy).mode == "RGB"
    assert known_answer(EXAMPLES, copy, example.question, list(example.options)) == example.answer
    assert known_answer(EXAMPLES, copy, example.question, ["another"]) is None
    other = next(one for one in EXAMPLES if one.image != example.image)
    if (other.question, other.options) != (example.question, example.options):
        assert known_answer(EXAMPLES, other.image, example.question, list(example.options)) is None
