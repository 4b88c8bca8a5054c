"""R-Bench's questions as rows: about a reference picture and a distorted one, with or without options."""

import ast
import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from degradations import Recipe
from training.evaluation.levels import States, decoded, keep
from training.evaluation.rows import CAP, CLEAN, DEGRADED, MCQ, VQA, Picture, make_row
from training.evaluation.tsv import index_of

PICTURES = {CLEAN: "ref_image", DEGRADED: "dis_image"}
"""State -> the column of its picture."""

COLUMNS = ("question", "choice", "answer", "type", "distortion", "strength")
"""What every record has besides."""


STRENGTHS = {1: "low", 2: "mid", 3: "high"}
DISTORTIONS = range(1, 34)


def is_rbench(columns: Iterable[str]) -> bool:
    return set(PICTURES.values()) <= set(columns)


def csv_records(path: Path) -> Iterator[dict]:
    """The records of a CSV; numbers are left as texts."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default does not hold a photo
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def read_rbench(records: Iterable[Mapping], folder: Path, kept: Path, limit: int | None = None) -> list[dict]:
    """Rows of R-Bench.

    Pictures are bytes, paths relative to `folder`, or base64. Which of R-Bench's 33 distortions a picture has is known;
    what that is among our types is not.

    Raises:
        ValueError: a record is not R-Bench's; the text says which and why.
    """
    rows = []
    for number, raw in enumerate(islice(records, limit)):
        place = f"row {number} of R-Bench"
        if not is_rbench(raw):
            raise ValueError(f"{place} has no {' or '.join(PICTURES.values())}; it has {', '.join(map(str, raw))}")
        if lacking := [name for name in COLUMNS if raw.get(name) is None]:
            raise ValueError(f"{place} has no {', '.join(lacking)}; it has {', '.join(map(str, raw))}")
        options, answer, index, references = options_of(raw["choice"]), str(raw["answer"]).strip(), None, []
        match raw["type"]:
            case "MCQ":
                index = index_of(answer, options, place)
                answer = options[index]
            case "CAP":
                references = _captions(answer, place)
                answer = references[0]
            case "VQA":
                pass
            case other:
                raise ValueError(f"{place} has the type {other!r}, none of {MCQ}, {VQA} and {CAP}")
        states = States()
        for state, column in PICTURES.items():
            picture = Picture(str(_picture(raw[column], folder, kept, place)))
            states.add(state, [picture], Recipe() if state == CLEAN else None)
        row = make_row(number, raw["question"], options, answer, index, raw["type"], "R-Bench", raw["type"])
        distortion, strength = int(raw["distortion"]), int(raw["strength"])
        if distortion not in DISTORTIONS or strength not in STRENGTHS:
            raise ValueError(f"{place} has distortion {distortion} (1 to 33) at strength {strength} (1 to 3)")
        row |= states.keys() | {"distortion": distortion, "strength": strength}
        rows.append(row | ({"references": references} if references else {}))
    return rows


def options_of(choice: str) -> list[str]:
    """The options of ``A.x; B.y``, none of ``N``; semicolons occur without a blank behind them, and full-width ones."""
    return [part.strip() for part in re.split(r"(?:^|[;；])\s*[A-Z]\.\s*", str(choice))[1:]]


def _captions(text: str, place: str) -> list[str]:
    """Raises: ValueError: the text is no list of captions as Python writes it."""
    try:
        captions = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # which a hostile text can raise
        captions = None
    if not isinstance(captions, list | tuple) or not captions:
        raise ValueError(f"{place} is a CAP, and its answer is no list of captions: {text[:80]!r}")
    return list(map(str, captions))


def _picture(value: object, folder: Path, kept: Path, place: str) -> Path:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return keep(value, kept)
    if isinstance(value, str) and len(value) < 1000 and (folder / value).is_file():
        return folder / value
    if isinstance(value, str):
        return keep(decoded(value, place), kept)
    raise ValueError(f"{place} has a picture that is neither bytes, a path nor base64: {str(value)[:80]!r}")
