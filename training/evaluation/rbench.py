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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet

from training.evaluation.open_answers import JUDGE, PROXY
from training.evaluation.rbench_questions import DISTORTIONS, STRENGTHS, csv_records
from training.evaluation.resampling import (
    Columns,
    Figure,
    Figures,
    Sums,
    differences,
    exchanges,
    p_values,
    ratio,
    sums_of,
    weights,
)
from training.evaluation.rows import CAP, DEGRADED, MCQ, VQA, photo_of

TASKS = (MCQ, VQA, CAP)
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


PARTS: dict[str, dict[str, Callable[[Item], bool]]] = {
    "task": {task: lambda item, task=task: item.task == task for task in TASKS},
    "strength": {name: lambda item, own=own: item.strength == own for own, name in STRENGTHS.items()},
    "cell": {cell: lambda item, own=cell: f"{item.task} {STRENGTHS[item.strength]}" == own for cell in CELLS},
    "step": {name: lambda item, own=own: item.distortion in own for name, own in STEPS.items()},
    "group": {name: lambda item, own=own: item.distortion in own for name, own in GROUPS.items()},
}
"""Part -> name -> whether an item belongs to it."""


def score(items: Sequence[Item], photos: Sequence | None = None) -> dict[str, dict[str, Figure]]:
    """Every figure with its interval.

    Args:
        photos: what is resampled (default: the items themselves).

    Returns:
        ``"overall"`` and the keys of `PARTS`, each name -> figure; None without any item.
    """
    drawn = weights(photos if photos is not None else range(len(items)))
    return _by_part(_figures(sums_of(_columns(items), drawn)))


def differences_of(one: Sequence[Item], other: Sequence[Item], photos: Sequence) -> dict[str, dict[str, Figure]]:
    """How far one side's figures are above another's on the same items, with interval and p; as `score` has them."""
    mine, theirs = _columns(one), _columns(other)
    p = p_values(mine, theirs, _figures, exchanges(photos))
    drawn = weights(photos)
    found = differences(_figures(sums_of(mine, drawn)), _figures(sums_of(theirs, drawn)))
    return _by_part(found, p)


def _columns(items: Sequence[Item]) -> Columns:
    """For every part's name how many items it has, and what they come to."""
    results = np.array([item.result for item in items], float)
    told: Columns = {}
    for part, names in ({"overall": {ITEMS: lambda item: True}} | PARTS).items():
        for name, belongs in names.items():
            chosen = np.array([belongs(item) for item in items], float)
            told[part, f"{name} count"], told[part, f"{name} sum"] = chosen, chosen * results
    return told


def _figures(sums: Sums) -> Figures:
    """``part: name`` -> figure."""
    found = {
        f"{part}: {name}": ratio(sums[part, f"{name} sum"], sums[part, f"{name} count"])
        for part, name in [("overall", ITEMS), *((part, name) for part, names in PARTS.items() for name in names)]
    }
    return found | {f"overall: {OF_CELLS}": np.mean([found[f"cell: {cell}"] for cell in CELLS], 0)}


def _by_part(figures: Figures, p: Mapping[str, float | None] | None = None) -> dict[str, dict[str, Figure]]:
    result: dict[str, dict[str, Figure]] = {}
    for place, values in figures.items():
        part, _, name = place.partition(": ")
        result.setdefault(part, {})[name] = replace(Figure.of(values), p=p and p[place])
    return result


def measure(rows: Sequence[Mapping], own: Columns, grading: str) -> dict | None:
    """The scores of a side that answered R-Bench's questions, as `score_files` gives them.

    Args:
        own: the side's columns (`training.evaluation.figures.columns`).
        grading: `JUDGE` or `PROXY`, by which questions without options are scored.

    Returns:
        None where a judge was not asked for all of them.
    """
    items, photos = _items(rows, own, grading), [photo_of(row) for row in rows]
    if items is None:
        return None
    result = {"items": len(rows), "absolute": _plain(score(items["absolute"], photos))}
    if "relative" in items:
        result["relative"] = _plain(score(items["relative"], photos))
    return result


def measure_difference(rows: Sequence[Mapping], one: Columns, other: Columns, grading: str) -> dict | None:
    """How far one side is above another: absolute and relative robustness, each where both sides have it."""
    mine, theirs, photos = _items(rows, one, grading), _items(rows, other, grading), [photo_of(row) for row in rows]
    if mine is None or theirs is None:
        return None
    return {
        kind: _plain(differences_of(mine[kind], theirs[kind], photos), tested=True) for kind in mine if kind in theirs
    }


def _items(rows: Sequence[Mapping], own: Columns, grading: str) -> dict[str, list[Item]] | None:
    grade, whole, kept, paired = {
        JUDGE: ("grade", "graded", "grade kept", "grade paired"),
        PROXY: ("proxy", "open", "proxy kept", "proxy paired"),
    }[grading]
    state = DEGRADED
    if own[state, whole].sum() < own[state, "open"].sum():
        return None
    results = {"absolute": own[state, "right"] + own[state, grade]}
    if (own[state, "paired"] + own[state, paired]).all():
        results["relative"] = own[state, "kept"] + own[state, kept]
    return {
        kind: [
            Item(row["task"], row["distortion"], row["strength"], float(value))
            for row, value in zip(rows, values, strict=True)
        ]
        for kind, values in results.items()
    }


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
        known = item.task in TASKS and item.strength in STRENGTHS and item.distortion in DISTORTIONS
        if not known or not 0 <= item.result <= 1:
            raise ValueError(
                f"row {number} of {path} is {item}: a result is from 0 to 1, a strength 1, 2 or 3, a distortion 1 to 33"
            )
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


def _plain(scores: Mapping[str, Mapping[str, Figure]], tested: bool = False) -> dict:
    keys = ("value", "low", "high", "p") if tested else ("value", "low", "high")
    return {
        part: {name: {key: getattr(figure, key) for key in keys} for name, figure in own.items()}
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
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2))
    return 0
