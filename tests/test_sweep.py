"""Sweeps: which pictures are asked about, how answers are judged, where it breaks; what is drawn and written of it."""

import csv
import io
import json
import re
import threading
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageColor

from degradations import REGISTRY, Recipe, degrade
from demo import drawing, settings
from demo.chain import format_chain
from demo.replies import Event, Stats
from demo.sweep import exports, panels
from demo.sweep.actions import thumbnails
from demo.sweep.chart import NARROW, WIDE, chart
from demo.sweep.engine import Run, grid, matrix_intensities, steps_of, sweep
from demo.sweep.judging import GOOD, breaking_point
from demo.texts import Text
from tests.spoken import spoken

QUESTION = "What is it?\n0. dog\n1. cat"
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
MODELS = {"baseline": "one", "robust": "other"}


def event(side, picture, text="", done=False, stop_reason="eos", error=None, tokens=3):
    stats = Stats(tokens, 0.1, 9.0, stop_reason) if done else None
    return Event(side, text, done, stats, error, tokens, picture)


def chain(answer: str, **seen: float) -> str:
    recipe = Recipe({name.replace("_", " "): value for name, value in seen.items()})
    return format_chain(recipe, "It is soft.", "Two ears.", "An animal.", answer)


class Bench:
    """Models that give way at a strength: the picture tells them how degraded it is by where it stands in the run."""

    def __init__(self, run: Run, baseline_until: float, robust_until: float, fails: int | None = None):
        self.run, self.until, self.fails = run, {"baseline": baseline_until, "robust": robust_until}, fails
        self.asked, self.first = [], 0

    def degraded(self, photo, recipe, seed):
        return degrade(PHOTO, recipe, seed)

    def answers(self, images, question, stop=None, **asked):
        self.asked.append((len(images), question, asked))
        steps = self.run.steps[self.first : self.first + len(images)]
        self.first += len(images)
        for number, (step, image) in enumerate(zip(steps, images, strict=True)):
            assert np.array_equal(np.asarray(image), np.asarray(degrade(PHOTO, step.recipe, step.seed)))
            if stop is not None and stop.is_set():
                for side in ("baseline", "robust"):
                    yield event(side, number, done=True, stop_reason="stopped")
                continue
            for side, until in self.until.items():
                said = "cat" if step.recipe.total <= until else "dog"
                if self.fails == number:
                    yield event(side, number, done=True, error="out of memory", stop_reason="error")
                    continue
                if side == "robust":
                    said = chain(said, **{name.replace(" ", "_"): value / 2 for name, value in step.recipe.items()})
                yield event(side, number, said)
                yield event(side, number, done=True)


def run_of(kind="type", what="gaussian noise", recipe="none", steps=6, seeds=(0,), truth="cat", question=QUESTION):
    intensities = matrix_intensities() if kind == "matrix" else grid(steps)
    return Run(kind, steps_of(kind, what, Recipe.parse(recipe), intensities, seeds), question, truth, MODELS)


def finished(run: Run, *until: float, **more) -> dict:
    *_, last = sweep(Bench(run, *until, **more), Path("photo"), run, 0, 0.0, 50)
    return last.as_json()


# --- which pictures ---


def test_a_type_is_swept_from_nothing_to_all_of_it():
    steps = steps_of("type", "Noise", Recipe(), grid(5), [3, 4])
    assert [(step.intensity, step.seed) for step in steps] == [
        (0.0, 3), (0.25, 3), (0.25, 4), (0.5, 3), (0.5, 4), (0.75, 3), (0.75, 4), (1.0, 3), (1.0, 4)
    ]  # fmt: skip
    assert steps[-1].recipe == {"gaussian noise": 1.0}
    assert steps[0].recipe == Recipe()


def test_a_recipe_is_scaled_as_a_whole():
    recipe = Recipe.parse("lens blur(0.5), gaussian noise(1)")
    steps = steps_of("recipe", "", recipe, grid(3), [0])
    assert [dict(step.recipe) for step in steps] == [
        {}, {"lens blur": 0.25, "gaussian noise": 0.5}, {"lens blur": 0.5, "gaussian noise": 1.0}
    ]  # fmt: skip


def test_a_matrix_has_every_type_and_the_clean_picture():
    steps = steps_of("matrix", "", Recipe(), matrix_intensities(), [0])
    assert not steps[0].recipe
    assert {(step.what, step.intensity) for step in steps[1:]} == {
        (name, value) for name in REGISTRY for value in matrix_intensities()
    }


def test_what_cannot_be_swept_is_said():
    for arguments in (("recipe", "", Recipe()), ("type", "sunshine", Recipe()), ("colour", "", Recipe())):
        with pytest.raises(ValueError) as caught:
            steps_of(*arguments, grid(3), [0])
        assert str(caught.value)
    with pytest.raises(ValueError, match="none of the options"):
        run_of(truth="horse")
    with pytest.raises(ValueError, match="at least two"):
        grid(1)


# --- what comes back ---


def test_answers_are_judged_by_the_truth():
    state = finished(run_of(), 0.5, 0.9)
    assert [step["baseline"]["verdict"] for step in state["steps"]] == ["right"] * 3 + ["wrong"] * 3
    assert [step["robust"]["verdict"] for step in state["steps"]] == ["right"] * 5 + ["wrong"]
    assert state["breaks"] == {"baseline": 0.6, "robust": 1.0}
    assert [step["robust"]["predicted"] for step in state["steps"]] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert (state["progress"], state["done"], state["stopped"]) == (1.0, True, False)


def test_without_a_truth_a_side_is_held_against_its_own_clean_answer():
    state = finished(run_of(truth=""), -1, 0.5)  # the baseline says dog even to the clean picture: never changed
    assert {step["baseline"]["verdict"] for step in state["steps"]} == {"same"}
    assert state["breaks"] == {"baseline": "never", "robust": 0.6}
    assert state["steps"][-1]["robust"]["verdict"] == "changed"


def test_an_open_questions_truth_is_looked_for_in_the_answer():
    state = finished(run_of(truth="Cat", question="What is it?"), 0.5, 0.5)
    assert [step["baseline"]["verdict"] for step in state["steps"]] == ["right"] * 3 + ["wrong"] * 3


def test_two_chains_that_end_without_an_answer_do_not_agree():
    run = run_of(truth="", question="What is it?", steps=2)
    for number in range(2):
        for side in ("baseline", "robust"):
            run.take(0, event(side, number, "<TYPE>none" if side == "robust" else "A cat."))
            run.take(0, event(side, number, done=True, stop_reason="length"))
    assert [cell["robust"]["verdict"] for cell in run.as_json()["steps"]] == ["unread", "unread"]
    assert [cell["baseline"]["verdict"] for cell in run.as_json()["steps"]] == ["same", "same"]


def test_a_failure_is_no_answer():
    state = finished(run_of(), 1, 1, fails=2)
    assert state["steps"][2]["baseline"]["verdict"] == "failed"
    assert state["steps"][2]["robust"]["error"] == "out of memory"
    assert state["breaks"]["baseline"] == "never"  # what comes after it holds


@pytest.mark.parametrize(
    ("verdicts", "point"),
    [
        ([(0, "right"), (0.5, "right"), (1, "right")], "never"),
        ([(0, "right"), (0.5, "wrong"), (1, "wrong")], 0.5),
        ([(0, "wrong"), (0.5, "wrong"), (1, "wrong")], 0),
        ([(0, "right"), (0.5, "wrong"), (1, "right")], "never"),
        ([(0, "right"), (0.5, "wrong"), (0.5, "right"), (1, "wrong"), (1, "unread")], 1),
        ([(0, "right"), (1, None)], None),
        ([(0, "right"), (0.5, "failed"), (1, "wrong")], None),
        ([(0, "right"), (0.5, "right"), (1, "failed")], None),
        ([(0, "right"), (1, "failed"), (1, "wrong")], 1),
        ([], None),
    ],
)
def test_where_it_breaks(verdicts, point):
    assert breaking_point(verdicts) == point


def test_pictures_go_through_the_models_in_batches(monkeypatch):
    monkeypatch.setattr(settings, "SWEEP_BATCH", 4)
    run = run_of(steps=11)
    bench = Bench(run, 1, 1)
    states = [now.as_json() for now in sweep(bench, Path("x"), run, 7, 0.5, 9)]
    assert [count for count, *_ in bench.asked] == [4, 4, 3]
    assert all(asked == {"temperature": 0.5, "max_new_tokens": 9, "seed": 7} for *_, asked in bench.asked)
    progress = [state["progress"] for state in states]
    assert progress == sorted(progress) and progress[0] == 0 and progress[-1] == 1


def test_stop_keeps_what_is_there(monkeypatch):
    monkeypatch.setattr(settings, "SWEEP_BATCH", 3)
    monkeypatch.setattr(settings, "SWEEP_UPDATE_S", 0.0)
    run, stop = run_of(steps=11), threading.Event()
    for now in sweep(Bench(run, 1, 1), Path("x"), run, 0, 0.0, 9, stop):
        if now.replies[1]["robust"].done:
            stop.set()
    state = run.as_json()
    assert state["stopped"] and state["done"] and 0 < state["progress"] < 1
    verdicts = [step["baseline"]["verdict"] for step in state["steps"]]
    assert verdicts[:2] == ["right", "right"] and set(verdicts[3:]) == {None}
    assert state["breaks"]["baseline"] is None
    assert len(exports.as_csv(state).splitlines()) == 12


# --- what is shown and written ---


@pytest.fixture(scope="module")
def state() -> dict:
    return finished(run_of(steps=5, seeds=(0, 1)), 0.5, 0.9)


@pytest.fixture(scope="module")
def matrix() -> dict:
    return finished(run_of("matrix"), 0.3, 0.5)


def letters(html: str, language: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<[^>]*>", " ", spoken(html, language))))


def test_the_chart_shows_every_step_and_its_figures(state):
    drawings = re.findall(r"<svg.*?</svg>", chart(state), re.DOTALL)
    assert ["wide" in drawings[0], "narrow" in drawings[1], len(drawings)] == [True, True, 2]
    for svg in drawings:
        assert svg.count('<g class="column"') == 5 == svg.count('class="cursor"')
        assert svg.count('class="predicted-dot"') == 9
        assert len(re.findall(r'class="cell (right|wrong)"', svg)) == 10
        tips = re.findall(r'<div class="tip-box">(.*?)</div>', svg)
        assert "strength 0.50" in spoken(tips[2]) and "predicted 0.25, applied 0.50" in spoken(tips[2])
        assert letters(svg, "zh") <= {"cat", "dog"}


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=lambda layout: layout.name)
@pytest.mark.parametrize("steps", [2, settings.MOST_SWEEP_STEPS])
@pytest.mark.parametrize("sides", [2, 3])
def test_nothing_of_a_chart_leaves_it_or_covers_its_neighbour(layout, steps, sides):
    state = finished(run_of(steps=steps), 0.5, 0.9)
    if sides == 3:
        state["sides"].append("recovered")
        for step in state["steps"]:
            step["recovered"] = step["robust"] | {"gain": 1.0}
    svg = re.findall(r"<svg.*?</svg>", chart(state), re.DOTALL)[layout is NARROW]
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    boxes = [
        tuple(map(float, box))
        for box in re.findall(
            r'class="(?:cell \w+|tip)" x="([\d.-]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg
        )
    ]
    assert len(boxes) == steps * (sides + 1)
    assert all(x >= 0 and x + w <= width and y >= 0 and y + h <= height for x, y, w, h in boxes)
    cells = [box for box in boxes if box[2:] != tuple(map(float, layout.tip))]
    rows = {y: sorted((x, x + w) for x, other, w, _ in cells if other == y) for _, y, _, _ in cells}
    assert len(rows) == sides
    assert all(end < begin for row in rows.values() for (_, end), (begin, _) in pairwise(row))
    lengths = [
        float(y) for y in re.search(r'class="length-line" points="([^"]*)"', svg)[1].replace(",", " ").split()[1::2]
    ]
    assert max(y + h for _, y, _, h in cells) < min(lengths) <= max(lengths) < height


def test_panels_of_every_state(state, matrix):
    assert "empty" in panels.summary(None) and panels.results(None) == panels.strip(None, []) == ""
    pictures = [f"/x/{number}.png" for number in range(5)]
    html = panels.strip(state, pictures)
    assert html.count("<li>") == 5 == html.count("<img")
    assert spoken(panels.summary(state)).count("wrong from here on") == 2
    heat = panels.results(matrix)
    assert heat.count('<td class="heat right"') + heat.count('<td class="heat wrong"') == 2 * 48
    for shown in (html, heat, panels.summary(state), panels.summary(matrix), panels.progress(state)):
        assert letters(shown, "zh") <= {"cat", "dog"}
    assert panels.what_was_swept(state) == Text("sweep.title-type", name=Text("Noise"))
    waiting = run_of().as_json()
    assert "…" in panels.summary(waiting) and 'aria-valuenow="0"' in panels.progress(waiting)


def test_what_a_model_or_visitor_wrote_stays_text():
    hostile = "<script>alert(1)</script>"
    run = run_of(question=f"{hostile}?", truth="")
    run.take(0, event("baseline", 0, hostile, done=True))
    run.take(0, event("robust", 0, chain(hostile), done=True))
    state = run.as_json()
    html = panels.results(state) + panels.strip(state, ["/x"] * 6) + panels.subject("/x", hostile, [hostile], hostile)
    assert "<script" not in html and html.count("&lt;script&gt;") >= 5
    assert "<script" not in panels.subject('/x"><script>', "?", [], "")


def test_the_table_has_a_row_a_step_and_nothing_that_a_spreadsheet_runs(state):
    rows = list(csv.DictReader(io.StringIO(exports.as_csv(state).decode("utf-8-sig"))))
    assert len(rows) == len(state["steps"]) == 9
    assert list(rows[0]) == exports.COLUMNS
    assert {row["baseline_verdict"] for row in rows} == {"right", "wrong"}
    assert json.loads(rows[-1]["robust_predicted_recipe"]) == {"gaussian noise": 0.5}
    state = json.loads(json.dumps(state))
    state["steps"][0]["baseline"]["answer"] = "=1+1"
    assert b"'=1+1" in exports.as_csv(state)
    assert json.loads(exports.as_json(state)) == state


def test_only_what_is_shown_is_made_small(state, matrix, tmp_path):
    """Nobody waits for the pictures of other seeds, or of a matrix, before the models are asked."""
    (tmp_path / "photo").touch()
    made = []
    bench = SimpleNamespace(degraded=lambda photo, recipe, seed: made.append((str(recipe), seed)) or PHOTO)
    assert thumbnails(bench, tmp_path / "photo", matrix, tmp_path) == made == []
    paths = thumbnails(bench, tmp_path / "photo", state, tmp_path)
    assert made == [(step["recipe"], 0) for step in state["steps"] if step["seed"] == 0]
    assert len(set(paths)) == 5 and all(max(Image.open(path).size) <= settings.THUMBNAIL for path in paths)


def test_the_files_hold_what_is_asked_for(state, tmp_path):
    Image.fromarray(np.asarray(PHOTO)).save(tmp_path / "small.png")
    thumbnails = [tmp_path / "small.png"] * 5
    written = {language: exports.write(state, thumbnails, language, tmp_path) for language in ("en", "zh")}
    assert [path.name for path in written["en"]] == [f"sweep.{kind}" for kind in exports.FORMATS]
    contents = {language: [path.read_bytes() for path in paths] for language, paths in written.items()}
    assert contents["en"][:2] == contents["zh"][:2] == [exports.as_csv(state), exports.as_json(state)]
    assert contents["en"][2] != contents["zh"][2], "each slide keeps its language"
    with pytest.raises(ValueError, match="one of en, zh, not 'fr'"):
        exports.check_language("fr")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_slide_is_a_picture_of_full_size(state, matrix, language):
    for one in (state, matrix):
        slide = exports.as_png(one, [PHOTO] * len(panels.pictured(one)), language)
        with Image.open(io.BytesIO(slide)) as picture:
            assert picture.size == (1920, 1080)
            colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            assert (colours == ImageColor.getrgb(drawing.GOOD)).all(1).sum() > 1000, "no answer is green"


def test_good_verdicts_are_those_that_hold():
    assert {"right", "same"} == set(GOOD)
