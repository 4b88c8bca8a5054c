"""R-Bench's scores: by task and strength, by step and group of distortions, and both overall figures in use.

``python -m training.evaluate rbench --distorted dis.csv [--relative com.csv --reference ref.csv]`` scores result files
in R-Bench's own format: one row an item with ``type, distortion, strength`` and a column ``result`` from 0 to 1.
Absolute robustness is the mean over the distorted pictures; relative robustness the mean of the agreement with the
model's own clean answer (``--relative``) times the score of that (``--reference``).
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from training.evaluation.open_answers import JUDGE, PROXY
from training.evaluation.rbench_questions import csv_records
from training.evaluation.resampling import Columns, Figure, weights
from training.evaluation.rows import CAP, DEGRADED, MCQ, VQA, photo_of

TASKS = (MCQ, VQA, CAP)
STRENGTHS = {1: "low", 2: "mid", 3: "high"}
CELLS = tuple(f"{task} {strength}" for task in TASKS for strength in STRENGTHS.values())

STEPS = {
    "environment": range(1, 5), "camera": range(5, 9), "analog": range(9, 14), "source": range(14, 19),
    "channel": range(19, 23), "receive": range(23, 28), "enhance": range(28, 34),
}  # fmt: skip
"""Step of the picture's way -> its distortions."""

GROUPS = {
    "blur": (1, 5, 28), "luminance": (25, 26, 27), "chrominance": (14, 23, 24, 29, 30, 32, 33),
    "spatial": (6, 13, 18, 19, 20, 21, 22), "noise": (9, 10, 11, 12, 31), "compression": (15, 16, 17),
    "wild": (2, 3, 4, 7, 8),
}  # fmt: skip

ITEMS, OF_CELLS = "overall (mean of the items)", "overall (mean of the nine cells)"
"""R-Bench's own overall figure, and Robust-R1's."""


@dataclass(frozen=True)
class Item:
    """One result: which task, distortion (1 to 33) and strength (1 to 3), and how well it went, from 0 to 1."""

    task: str
    distortion: int
    strength: int
    result: float


def score(items: Sequence[Item], photos: Sequence | None = None) -> dict[str, dict[str, Figure]]:
    """Every figure with its interval.

    Args:
        photos: what is resampled (default: the items themselves).

    Returns:
        ``"overall"``, ``"task"``, ``"strength"``, ``"cell"``, ``"step"`` and ``"group"``, each name -> figure; None
        without any item.
    """
    drawn = weights(photos if photos is not None else range(len(items)))
    results = np.array([item.result for item in items], float)

    def mean(wanted) -> np.ndarray:
        chosen = np.array([bool(wanted(item)) for item in items], float)
        with np.errstate(invalid="ignore"):
            return (drawn @ (chosen * results)) / (drawn @ chosen)

    cells = {
        f"{task} {name}": mean(lambda i, t=task, s=strength: (i.task, i.strength) == (t, s))
        for task in TASKS
        for strength, name in STRENGTHS.items()
    }
    found = {
        "overall": {ITEMS: mean(lambda item: True), OF_CELLS: np.mean(list(cells.values()), 0)},
        "task": {task: mean(lambda item, t=task: item.task == t) for task in TASKS},
        "strength": {name: mean(lambda i, s=s: i.strength == s) for s, name in STRENGTHS.items()},
        "cell": cells,
        "step": {name: mean(lambda i, own=own: i.distortion in own) for name, own in STEPS.items()},
        "group": {name: mean(lambda i, own=own: i.distortion in own) for name, own in GROUPS.items()},
    }
    return {part: {name: Figure.of(values) for name, values in own.items()} for part, own in found.items()}


def measure(rows: Sequence[Mapping], own: Columns, grading: str) -> dict | None:
    """The scores of a side that answered R-Bench's questions, as `score_files` gives them.

    Args:
        own: the side's columns (`training.evaluation.figures.columns`).
        grading: `JUDGE` or `PROXY`, by which questions without options are scored.

    Returns:
        None where a judge was not asked for all of them.
    """
    grade, whole, kept, paired = {
        JUDGE: ("grade", "graded", "grade kept", "grade paired"),
        PROXY: ("proxy", "open", "proxy kept", "proxy paired"),
    }[grading]
    state = DEGRADED
    if own[state, whole].sum() < own[state, "open"].sum():
        return None

    def items(results: np.ndarray) -> list[Item]:
        return [
            Item(row["task"], row["distortion"], row["strength"], float(value))
            for row, value in zip(rows, results, strict=True)
        ]

    photos = [photo_of(row) for row in rows]
    result = {"items": len(rows), "absolute": _plain(score(items(own[state, "right"] + own[state, grade]), photos))}
    if (own[state, "paired"] + own[state, paired]).all():
        result["relative"] = _plain(score(items(own[state, "kept"] + own[state, kept]), photos))
    return result


# --- result files ---


def read_results(path: Path) -> list[Item]:
    """Raises: ValueError: the file lacks a column, or a result is no number from 0 to 1."""
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist() if path.suffix == ".parquet" else list(csv_records(path))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    needed = ("type", "distortion", "strength", "result")
    if not rows or any(column not in rows[0] for column in needed):
        raise ValueError(
            f"{path} needs the columns {', '.join(needed)}; it has {', '.join(rows[0]) if rows else 'no row'}"
        )
    items = []
    for number, row in enumerate(rows):
        try:
            item = Item(row["type"], int(row["distortion"]), int(row["strength"]), float(row["result"]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"row {number} of {path}: {error}") from error
        if item.task not in TASKS or item.strength not in STRENGTHS or not 0 <= item.result <= 1:
            raise ValueError(f"row {number} of {path} is {item}: a result is from 0 to 1, a strength 1, 2 or 3")
        items.append(item)
    return items


def score_files(distorted: Path, relative: Path | None = None, reference: Path | None = None) -> dict:
    """Absolute robustness, and relative robustness where both files for it are given, as JSON can hold them.

    Raises:
        ValueError: a file cannot be used, one of two is missing, or they are about other items.
    """
    if bool(relative) != bool(reference):
        raise ValueError("relative robustness needs --relative (agreement with the clean answer) and --reference")
    dis = read_results(distorted)
    result = {"items": len(dis), "absolute": _plain(score(dis))}
    if relative:
        com, ref = read_results(relative), read_results(reference)
        for path, other in ((relative, com), (reference, ref)):
            if [item.task for item in other] != [item.task for item in dis]:
                raise ValueError(
                    f"{path} is about other items than {distorted}: same rows in the same order are needed"
                )
        kept = [Item(c.task, c.distortion, c.strength, c.result * r.result) for c, r in zip(com, ref, strict=True)]
        result["relative"] = _plain(score(kept))
    return result


def _plain(scores: Mapping[str, Mapping[str, Figure]]) -> dict:
    return {
        part: {name: {"value": f.value, "low": f.low, "high": f.high} for name, f in own.items()}
        for part, own in scores.items()
    }


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate rbench", description=__doc__)
    text = "results on the distorted pictures, CSV or Parquet"
    parser.add_argument("--distorted", type=Path, required=True, help=text)
    parser.add_argument("--relative", type=Path, help="agreement with the model's own clean answers")
    parser.add_argument("--reference", type=Path, help="results on the reference pictures")
    arguments = parser.parse_args(words)
    try:
        result = score_files(arguments.distorted, arguments.relative, arguments.reference)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2))
    return 0
