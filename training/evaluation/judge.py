"""A judge for answers without options: a language model behind an endpoint, graded as R-Bench has it.

0, 1 or 2 for no, partial and full agreement with the reference, halved. Answers to questions are graded five times,
descriptions once for each caption of the picture; the grade is the mean. How far an answer agrees with the side's own
one about the clean picture is graded five times. Every judgement is kept in ``judgements.jsonl``, so none is paid
twice; one that cannot be read is asked for three times in all. The prompts are our own words for R-Bench's.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from degradations.jobs import read_table
from training.endpoint import Endpoint
from training.evaluation import served
from training.evaluation.open_answers import references_of
from training.evaluation.rows import CAP, CLEAN, task_of
from training.evaluation.said import Reply, Said
from training.written import appending

JUDGEMENTS = "judgements.jsonl"
TIMES = 5
ATTEMPTS = 3
"""How often a judgement is asked for until it can be read."""

SCALE = """\
0: the response is no valid answer, or does not agree with the reference at all.
1: it agrees in part, in completeness, accuracy and relevance.
2: it agrees wholly, or nearly so.
Write "Score:" and the grade, nothing else."""

ANSWER_PROMPT = (
    """\
A question about a picture: {question}
The reference answer: {reference}
A response: {answer}

How well does the response agree with the reference? Grade it:
"""
    + SCALE
)

CAPTION_PROMPT = (
    """\
A description of a picture, the reference: {reference}
Another description of it, the response: {answer}

How well does the response agree with the reference? Grade it:
"""
    + SCALE
)

_OUT_OF = re.compile(r"(?:/|out of)\s*2\b")
_GRADE = re.compile(r"(?<![\d.])([012])(?:\.0+)?(?![\d.]*\d)")
_SCORE = re.compile(r"score\W{0,9}(?=\d)", re.IGNORECASE)


def read_grade(text: str) -> float | None:
    """The grade that a judge gave, from 0 to 1; None where there is none.

    It is the number right after the word score, the last time that there is one, else the last 0, 1 or 2 that stands
    alone.
    """
    text = _OUT_OF.sub("", text)
    places = [found.end() for found in _SCORE.finditer(text)]
    if places:
        found = _GRADE.match(text, places[-1])
        return int(found[1]) / 2 if found else None
    found = _GRADE.findall(text)
    return int(found[-1]) / 2 if found else None


def grade_all(
    replies: Mapping[tuple[str, str], Mapping[str, Sequence[Reply]]],
    sets: Mapping[str, Sequence[dict]],
    chains: Mapping[str, bool],
    folder: Path,
    judge: Endpoint | None,
) -> dict[tuple[str, str], dict[str, list[Reply]]]:
    """The same replies with grades and agreements where a question has no options.

    Args:
        chains: side -> whether it was asked for a chain.
        judge: whom to ask for what is not stored; None to take only what is stored.

    Raises:
        training.endpoint.EndpointError, degradations.jobs.StoppedError: as `training.evaluation.served.ask_all`.
    """
    said = {
        (*place, state, number): one
        for place, states in replies.items()
        for state, own in states.items()
        for number, one in enumerate(_said(sets[place[1]], states, state, own, chains[place[0]]))
        if not one.row["options"]
    }
    file = folder / JUDGEMENTS
    graded = {place: {state: list(own) for state, own in states.items()} for place, states in replies.items()}
    if said and judge:
        _ask(said.values(), file, judge)
    model = grading_judge(sets, folder, judge)
    if model is None:
        return graded
    known = {row["key"]: row["grade"] for row in read_table(file)}
    for (side, name, state, number), one in said.items():
        reply = graded[side, name][state][number]
        grade, agreement = (_mean(known, prompts) for prompts in (_grading(one, model), _agreeing(one, model)))
        graded[side, name][state][number] = replace(reply, grade=grade, agreement=agreement)
    return graded


def grading_judge(sets: Mapping[str, Sequence[dict]], folder: Path, judge: Endpoint | None) -> str | None:
    """The name of the model whose grades count; None where there is nothing to grade, or nobody graded it.

    Raises:
        ValueError: no judge is given, and the stored grades are those of several.
    """
    if all(row["options"] for rows in sets.values() for row in rows):
        return None
    return judge.model if judge else _only_model(folder / JUDGEMENTS)


def _said(rows, states, state: str, own: Sequence[Reply], chain: bool) -> Iterator[Said]:
    for number, (row, reply) in enumerate(zip(rows, own, strict=True)):
        clean = Said(row, CLEAN, states[CLEAN][number], chain) if CLEAN in states and state != CLEAN else None
        yield Said(row, state, reply, chain, clean)


def _grading(one: Said, model: str) -> list[tuple[str, str]]:
    """(key, prompt) of every judgement that the grade of an answer is the mean of; none of an empty answer."""
    if not one.answer.strip():
        return []
    references = references_of(one.row)
    if task_of(one.row) == CAP:
        return [_judgement(model, CAPTION_PROMPT, one, reference, 0) for reference in references]
    return [_judgement(model, ANSWER_PROMPT, one, references[0], time) for time in range(TIMES)]


def _agreeing(one: Said, model: str) -> list[tuple[str, str]] | None:
    """The same of its agreement with the clean answer; None where there is none."""
    if one.clean is None:
        return None
    if not one.answer.strip() or not one.clean.answer.strip():
        return []
    prompt = CAPTION_PROMPT if task_of(one.row) == CAP else ANSWER_PROMPT
    return [_judgement(model, prompt, one, one.clean.answer, time) for time in range(TIMES)]


def _judgement(model: str, template: str, one: Said, reference: str, time: int) -> tuple[str, str]:
    parts = {"question": one.row["question"], "reference": reference, "answer": one.answer}
    prompt = re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], template)  # in one pass: texts may hold braces
    return hashlib.sha256(json.dumps([model, prompt, time]).encode()).hexdigest()[:16], prompt


def _mean(known: Mapping[str, float], judgements: list[tuple[str, str]] | None) -> float | None:
    """The mean of the grades that could be read; 0 for an answer that says nothing.

    None where a judgement was not asked for yet, or none could be read.
    """
    if judgements is None or any(key not in known for key, _ in judgements):
        return None
    if not judgements:
        return 0.0
    grades = [known[key] for key, _ in judgements if known[key] is not None]
    return sum(grades) / len(grades) if grades else None


def _only_model(file: Path) -> str | None:
    """Which judge's grades are stored; None where there are none.

    Raises:
        ValueError: those of several.
    """
    models = {row["model"] for row in read_table(file)}
    if len(models) > 1:
        raise ValueError(f"{file} holds grades of several judges, {', '.join(sorted(models))}; name one with --judge")
    return models.pop() if models else None


def _ask(said, file: Path, judge: Endpoint) -> None:
    wanted = {}
    for one in said:
        wanted |= dict([*_grading(one, judge.model), *(_agreeing(one, judge.model) or [])])
    times, read = Counter(), set()  # how often each was asked for, in all runs

    def count(row: Mapping) -> None:
        times[row["key"]] += 1
        if row["grade"] is not None:
            read.add(row["key"])

    for row in read_table(file):
        count(row)
    with appending(file) as append:
        for _ in range(ATTEMPTS):
            missing = [
                served.Question(key, prompt)
                for key, prompt in wanted.items()
                if key not in read and times[key] < ATTEMPTS
            ]
            with tqdm(total=len(missing), desc=f"judge {judge.model}", disable=not missing) as bar:

                def take(question: served.Question, answer: served.Answer, bar=bar) -> None:
                    grade = read_grade(answer.text)
                    row = {"key": question.key, "model": judge.model, "grade": grade, "text": answer.text}
                    append(row)
                    count(row)
                    bar.update()

                served.ask_all(judge, missing, take)
