"""276 tagged answers of every sloppy kind, against truth by hand; and what two harnesses make of the same texts."""

from collections import Counter

import pytest

from demo.chain import parse_chain
from tests.tagged_answers import LETTERS, OPTIONS, tagged_answers
from training.evaluation.extraction import (
    chosen,
    handed_over,
    lmms_first_letter,
    lmms_last_letter,
    lmms_words,
    vlmevalkit_choice,
)
from training.evaluation.figures import columns, figures
from training.evaluation.measuring import measure
from training.evaluation.naming import CHAINS_COMPLETE
from training.evaluation.resampling import weights
from training.evaluation.rows import DEGRADED
from training.evaluation.said import Reply
from training.evaluation.sides import Side

TAGGED = tagged_answers()


def test_there_are_enough_and_they_differ():
    assert len(TAGGED) == 276 and len({one.text for one in TAGGED}) > 260


def test_every_one_is_read_as_it_is_meant():
    wrong = [one for one in TAGGED if chosen(parse_chain(one.text).answer, OPTIONS) != one.index]
    assert not wrong, wrong[:5]
    misread = [one for one in TAGGED if dict(parse_chain(one.text).recipe) != one.types]
    assert not misread, misread[:5]
    assert [parse_chain(one.text).complete for one in TAGGED] == [one.complete for one in TAGGED]


def test_what_is_handed_over_is_the_letter_or_nothing():
    for one in TAGGED:
        letter = "" if one.index is None else LETTERS[one.index]
        assert handed_over(one.text, OPTIONS) == (letter, one.index is not None), one
        # A harness reads a letter alone as it is meant, whatever its rules.
        if letter:
            assert vlmevalkit_choice(letter, OPTIONS) == letter
            assert lmms_first_letter(letter, letter) and lmms_last_letter(letter, OPTIONS) == letter
            assert lmms_words(letter, OPTIONS) == letter.lower()


def test_the_scores_are_those_of_the_truth():
    """Accuracy, extraction failures and complete chains where the truth of every question is its second option."""
    rows = [
        {"id": n, "image": "", "clean": None, "recipe": "none", "options": OPTIONS, "answer": "Cat", "answer_index": 1}
        | {"kind": "object", "source": "s", "made_of": []}
        for n in range(len(TAGGED))
    ]
    said = {DEGRADED: [Reply(one.text, 1) for one in TAGGED]}
    found = {name: own[0] for name, own in figures(columns(rows, said, True), weights(range(len(rows)))).items()}
    indices = Counter(one.index for one in TAGGED)
    assert found["accuracy, degraded"] == indices[1] / 276
    assert found["no option named, degraded"] == indices[None] / 276
    assert found[CHAINS_COMPLETE] == sum(one.complete for one in TAGGED) / 276


def test_a_harness_that_gets_the_whole_chain_misreads_it():
    """Of the answers that name an option: read as meant, as another one, or not at all."""
    told = Counter()
    for one in TAGGED:
        if one.index is None:
            continue
        letter = LETTERS[one.index]
        found = vlmevalkit_choice(one.text, OPTIONS)
        told["VLMEvalKit", "none" if found is None else "right" if found == letter else "wrong"] += 1
        told["MMStar", "right" if lmms_first_letter(one.text, letter) else "wrong"] += 1
        found = lmms_last_letter(one.text, OPTIONS)
        told["MMMU", "none" if found is None else "right" if found == letter else "wrong"] += 1
        told["RealWorldQA", "right" if lmms_words(one.text, OPTIONS) == letter.lower() else "wrong"] += 1
    named = sum(one.index is not None for one in TAGGED)
    assert named == 209
    assert told == MISREAD


MISREAD = {
    ("VLMEvalKit", "right"): 1,
    ("VLMEvalKit", "none"): 208,
    ("MMStar", "wrong"): 209,
    ("RealWorldQA", "right"): 44,
    ("RealWorldQA", "wrong"): 165,
    ("MMMU", "right"): 65,
    ("MMMU", "wrong"): 127,
    ("MMMU", "none"): 17,
}
"""By VLMEvalKit's exact matching and three of lmms-eval's tasks; MMMU's takes letters of words and of tags."""


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("The answer is (C).", "C"),
        ("It is a dog", "C"),
        ("A dog or a Cat", None),  # two options' texts, and the A too far from the end to be told from an article
        ("B or C", None),
        ("Z", "Z"),
        ("Cannot determine the answer", "Z"),
        ("B it is, as far as one can see", "Z2"),
    ],
)
def test_vlmevalkits_rules(text, letter):
    if letter == "Z2":  # the letter is not among the last five words, and no option's text occurs
        letter = None
    assert vlmevalkit_choice(text, OPTIONS) == letter


def test_where_options_are_numbers_an_index_is_one_for_models_that_answer_by_it():
    numbers, text = ["1", "2", "3"], "<ANSWER>1<ANSWER_END>"
    assert handed_over(text, numbers) == ("A", True) and handed_over(text, numbers, index=True) == ("B", True)
    labels = ("2", "(0)", "2.", "3", "2. 3", "two", "")
    assert [chosen(one, numbers, by_index=True) for one in labels] == [2, 0, 2, 2, 2, None, None]
    row = {"id": 0, "image": "", "clean": None, "recipe": "none", "options": numbers, "answer": "2", "answer_index": 1}
    row |= {"kind": "object", "source": "s", "made_of": []}
    said = {DEGRADED: [Reply(text, 1)]}
    for index in (False, True):
        found = figures(columns([row], said, True, by_index=index), weights([0]))
        assert found["accuracy, degraded"][0] == index


def test_where_options_are_letters_a_letter_is_one_for_models_that_answer_by_it():
    """Options of diagrams: the label B stands for the text C."""
    letters = ["B", "C", "A"]
    assert [chosen(one, letters, by_letter=True) for one in ("A", "(B)", "c.", "D", "B. C", "")] == [
        0, 1, 2, None, 1, None,
    ]  # fmt: skip
    row = {"id": 0, "image": "", "clean": None, "recipe": "none", "options": letters, "answer": "B", "answer_index": 0}
    row |= {"kind": "object", "source": "s", "made_of": []}
    for by_letter, right in ((False, 0), (True, 1)):
        found = figures(columns([row], {DEGRADED: [Reply("A", 1)]}, False, by_letter=by_letter), weights([0]))
        assert found["accuracy, degraded"][0] == right
    replies = {("l", "s"): {DEGRADED: [Reply("A", 1)]}}
    found = measure([Side("l", "x", None, False, letters=True)], {"s": [row]}, replies)["s"]
    assert found["sides"]["l"]["accuracy, degraded"]["value"] == 1


def test_options_that_differ_in_case_only_are_told_apart():
    options = ["RR", "Rr", "rr"]
    assert [chosen(one, options) for one in ("RR", "Rr", "rr", "C", "2")] == [0, 1, 2, 2, 2]
    row = {"id": 0, "image": "", "clean": None, "recipe": "none", "options": options, "answer": "rr"}
    row |= {"answer_index": 2, "kind": "object", "source": "s", "made_of": []}
    for text, right in (("C", 1), ("rr", 1), ("A", 0), ("RR", 0)):
        found = figures(columns([row], {DEGRADED: [Reply(text, 1)]}, False), weights([0]))
        assert found["accuracy, degraded"][0] == right, text


def test_the_last_complete_answer_counts_for_a_harness():
    text = "<ANSWER>0<ANSWER_END> no: <ANSWER>2<ANSWER_END> <ANSWER>3"
    assert handed_over(text, OPTIONS) == ("C", True)
    assert handed_over("<ANSWER>3", OPTIONS) == ("D", True)
    assert handed_over("<ANSWER>0 <REASONING>no:<ANSWER>2<ANSWER_END>", OPTIONS) == ("C", True)
    assert handed_over("<ANSWER>red<ANSWER_END>", []) == ("red", True) and handed_over("red", []) == ("", False)
