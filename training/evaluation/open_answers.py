"""Questions without options: graded by a judge, and by an offline proxy that is never mixed with it.

A judge's grades are R-Bench's 0, 1 and 2, halved (`training.evaluation.judge`). The proxy counts words: how well the
words of an answer are those of its reference. It knows no meaning and says little about a single answer.
"""

import re
from collections import Counter
from collections.abc import Mapping

from training.evaluation.resampling import Figures, Sums, ratio
from training.evaluation.rows import CAP, CLEAN, task_of
from training.evaluation.said import Said

ARTICLES = ("a", "an", "the")

JUDGE, PROXY = "judge's grade", "proxy grade (word overlap)"
"""Names of the two gradings; each figure's name begins with one."""


def grade_of(grading: str, state: str) -> str:
    return f"{grading}, {state}"


def kept_of(grading: str, state: str) -> str:
    return f"relative robustness by {grading}, {state}"


def no_answer(state: str) -> str:
    """The name of the share of questions without options to which nothing was said, or nothing in an ANSWER block."""
    return f"no answer, {state}"


def references_of(row: Mapping) -> list[str]:
    """What an open answer is held against: the captions of a picture, or the one right answer."""
    return row.get("references") or [row["answer"]]


def proxy_grade(answer: str, references: list[str], task: str) -> float:
    """How well an answer's words are those of its references, from 0 to 1; articles and inflections aside.

    Answers to questions: the share of the reference's words that the answer has. Descriptions: the mean over the
    references of the words' F1.
    """
    said = _words(answer)
    grades = []
    for reference in references:
        wanted = _words(reference)
        common = (said & wanted).total()
        if task == CAP:
            grades.append(2 * common / max(1, said.total() + wanted.total()))
        else:
            grades.append(common / max(1, wanted.total()))
    return sum(grades) / len(grades)


def _words(text: str) -> Counter:
    words = (word for word in re.findall(r"\w+", text.lower()) if word not in ARTICLES)
    return Counter(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def quantities(said: Said) -> dict[str, float]:
    names = ("open", "empty", "proxy", "proxy paired", "proxy kept", "graded", "grade", "grade paired", "grade kept")
    if said.row["options"]:
        return dict.fromkeys(names, 0)
    task, references, clean = task_of(said.row), references_of(said.row), said.clean
    proxy = proxy_grade(said.answer, references, task)
    proxy_kept = grade_kept = 0.0
    if clean is not None:
        proxy_kept = proxy_grade(said.answer, [clean.answer], task) * proxy_grade(clean.answer, references, task)
    grade, agreement = said.reply.grade, said.reply.agreement
    paired = clean is not None and agreement is not None and clean.reply.grade is not None
    if paired:
        grade_kept = agreement * clean.reply.grade
    found = (
        1,
        not said.answer.strip(),
        proxy,
        clean is not None,
        proxy_kept,
        grade is not None,
        grade or 0,
        paired,
        grade_kept,
    )
    return dict(zip(names, map(float, found), strict=True))


def figures(sums: Sums, states: list[str]) -> Figures:
    """Nothing where no question is without options; a judge's figures only where a judge was asked."""
    if not any(sums[state, "open"][0] for state in states):
        return {}
    judged = any(sums[state, "graded"][0] for state in states)
    result = {no_answer(state): ratio(sums[state, "empty"], sums[state, "open"]) for state in states}
    for grading, grade, whole, kept, paired in (
        (JUDGE, "grade", "graded", "grade kept", "grade paired"),
        (PROXY, "proxy", "open", "proxy kept", "proxy paired"),
    ):
        if grading == JUDGE and not judged:
            continue
        result |= {grade_of(grading, state): ratio(sums[state, grade], sums[state, whole]) for state in states}
        if CLEAN in states:
            for state in states:
                if state != CLEAN:
                    result[kept_of(grading, state)] = ratio(sums[state, kept], sums[state, paired])
    if judged:
        for state in states:
            missing = sums[state, "open"] - sums[state, "graded"]
            result[f"without a grade of the judge, {state}"] = ratio(missing, sums[state, "open"])
    return result
