"""Verdicts: what can be said about a prediction, and what several say together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations import REGISTRY, Recipe
from demo.annotate.verdict import MARKS, Verdict, consensus
from demo.texts import Text

PREDICTED = Recipe.parse("lens blur(0.5), gaussian noise(0.3)")
RIGHT = {"marks": {"lens blur": "right", "gaussian noise": "right"}}


@st.composite
def verdicts(draw, predicted=PREDICTED) -> dict:
    """Whatever an annotator may say about a prediction, as JSON."""
    marks = {name: draw(st.sampled_from(MARKS)) for name in predicted}
    intensities = {}
    for name, mark in marks.items():
        if mark == "weak" and draw(st.booleans()):
            intensities[name] = draw(st.floats(predicted[name], 1, exclude_min=True))
        if mark == "strong" and draw(st.booleans()):
            intensities[name] = draw(st.floats(0, predicted[name], exclude_min=True, exclude_max=True))
    others = st.sampled_from([name for name in REGISTRY if name not in predicted])
    values = st.none() | st.floats(0, 1, exclude_min=True)
    said = {name: draw(st.sampled_from([None, True, False])) for name in ("influence", "reasoning", "answer")}
    return {
        "marks": marks,
        "intensities": intensities,
        "missed": draw(st.dictionaries(others, values, max_size=3)),
        **said,
        "correct_answer": draw(st.sampled_from(["", "dog"])) if said["answer"] is False else "",
        "comment": draw(st.text(max_size=20)),
    }


@given(verdicts())
def test_a_verdict_survives_json(raw):
    verdict = Verdict.read(raw, PREDICTED)
    assert Verdict.read(json.loads(json.dumps(verdict.as_json())), PREDICTED) == verdict


def test_nothing_is_said_that_was_not():
    assert Verdict.read(RIGHT, PREDICTED).as_json() == RIGHT


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"marks": {"lens blur": "right"}}, "verdict-marks"),
        ({"marks": RIGHT["marks"] | {"graffiti": "right"}}, "verdict-marks"),
        ({"marks": {"lens blur": "right", "gaussian noise": "perhaps"}}, "verdict-marks"),
        ({"marks": {"sunshine": "right"}}, "verdict-types"),
        ({"marks": ["lens blur"]}, "verdict-types"),
        ({"missed": {"lens blur": 0.5}}, "verdict-not-missed"),
        ({"missed": {"graffiti": 0}}, "verdict-number"),
        ({"missed": {"graffiti": 1.01}}, "verdict-number"),
        ({"missed": {"graffiti": True}}, "verdict-number"),
        ({"missed": {"graffiti": float("nan")}}, "verdict-number"),
        ({"intensities": {"lens blur": 0.7}}, "verdict-intensity"),
        ({"marks": RIGHT["marks"] | {"lens blur": "weak"}, "intensities": {"lens blur": 0.4}}, "verdict-intensity"),
        ({"marks": RIGHT["marks"] | {"lens blur": "strong"}, "intensities": {"lens blur": 0.6}}, "verdict-intensity"),
        ({"marks": RIGHT["marks"] | {"lens blur": "absent"}, "intensities": {"lens blur": 0.6}}, "verdict-intensity"),
        ({"influence": "yes"}, "verdict-questions"),
        ({"influence": 1}, "verdict-questions"),
        ({"comment": "x" * 2001}, "verdict-texts"),
        ({"comment": 5}, "verdict-texts"),
        ({"correct_answer": "dog"}, "verdict-answer"),
        ({"correct_answer": "dog", "answer": True}, "verdict-answer"),
        ({"admin": True}, "verdict-shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, key):
    with pytest.raises(ValueError) as told:
        Verdict.read(RIGHT | change, PREDICTED)
    assert isinstance(told.value.args[0], Text) and told.value.args[0].key == f"annotate.{key}"
    assert all(told.value.args[0].say(language) for language in ("en", "zh"))


@pytest.mark.parametrize("raw", [None, "right", [], 3])
def test_what_is_no_verdict_at_all_is_refused(raw):
    with pytest.raises(ValueError, match="mapping"):
        Verdict.read(raw, PREDICTED)


def test_corrected_is_what_is_there():
    verdict = Verdict.read(
        {"marks": {"lens blur": "weak", "gaussian noise": "absent"}, "intensities": {"lens blur": 0.8},
         "missed": {"graffiti": None, "dirty lens": 0.2}},
        PREDICTED,
    )  # fmt: skip
    assert verdict.corrected(PREDICTED) == {"lens blur": 0.8, "dirty lens": 0.2, "graffiti": None}
    assert Verdict.read(RIGHT, PREDICTED).corrected(PREDICTED) == dict(PREDICTED)


def say(blur: str, noise: str = "right", **more) -> Verdict:
    return Verdict.read({"marks": {"lens blur": blur, "gaussian noise": noise}} | more, PREDICTED)


def test_most_decide_and_the_median_is_taken():
    most = consensus([say("right"), say("weak", intensities={"lens blur": 0.9}), say("absent"), say("weak")], PREDICTED)
    assert most.corrected == {"lens blur": 0.7, "gaussian noise": 0.3}
    assert most.recipe == Recipe.parse("lens blur(0.7), gaussian noise(0.3)")


def test_a_tie_decides_nothing():
    most = consensus([say("right", answer=True), say("absent", answer=False)], PREDICTED)
    assert most.undecided == ("lens blur",)
    assert most.answer is None
    assert most.recipe is None


def test_an_unknown_intensity_makes_no_recipe():
    assert consensus([say("weak")], PREDICTED).corrected["lens blur"] is None
    assert consensus([say("weak")], PREDICTED).recipe is None


def test_answers_are_counted_among_those_who_gave_one():
    wrong = {"answer": False, "correct_answer": "dog"}
    most = consensus([say("right", **wrong), say("right", **wrong), say("right", answer=True), say("right")], PREDICTED)
    assert (most.answer, most.correct_answer, most.influence) == (False, "dog", None)
    split = consensus([say("right", **wrong), say("right", answer=False, correct_answer="cat")], PREDICTED)
    assert split.correct_answer == ""
