"""From replies to results: every set's figures, those of its parts, differences between sides."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.data import read_chained
from training.evaluation import naming, rbench
from training.evaluation.answers import Replies
from training.evaluation.figures import columns, figures, figures_by_type, figures_of, states_in
from training.evaluation.local import replies_of
from training.evaluation.open_answers import JUDGE, PROXY
from training.evaluation.resampling import (
    Columns,
    differences,
    exchanges,
    intervals,
    p_values,
    per_photo,
    sums_of,
    weights,
)
from training.evaluation.rows import DEGRADED, photo_of, states_of
from training.evaluation.said import Reply
from training.evaluation.sides import Side

ANSWERS, RESULTS, REPORT, LATEX, PLOTS = "answers.jsonl", "results.json", "results.md", "results.tex", "plots"
"""What lies in the folder of an evaluation."""

SMALLEST_GROUP = 30
"""Sources and kinds with fewer pictures are not told by themselves."""


def measure(sides: Sequence[Side], sets: Mapping[str, list[dict]], replies: Replies) -> dict[str, dict]:
    """The figures of every set, as JSON can hold them."""
    result = {}
    for name, rows in sets.items():
        cells = {side.name: _columns(side, rows, replies[side.name, name]) for side in sides}
        main, photos = sides[-1].name, [photo_of(row) for row in rows]
        result[name] = {"states": states_of(rows), **_section(cells, main, photos, range(len(rows)), tested=True)}
        for grouping in ("source", "kind"):
            groups = _groups([row[grouping] for row in rows])
            result[name][f"by {grouping}"] = {key: _section(cells, main, photos, own) for key, own in groups.items()}
        chains = {side.name: per_photo(cells[side.name], photos) for side in sides if side.chain}
        drawn = weights(range(len(set(photos))))
        result[name]["by type"] = {
            side: {key: intervals(found) for key, found in figures_by_type(own, drawn).items()}
            for side, own in chains.items()
        }
        result[name]["calibration"] = {
            side: naming.calibration(sums_of(own, drawn), states_in(own)) for side, own in chains.items()
        }
        if all("distortion" in row for row in rows):
            result[name]["R-Bench"] = {
                grading: {side: rbench.measure(rows, own, grading) for side, own in cells.items()}
                for grading in (JUDGE, PROXY)
            }
            result[name]["R-Bench, differences"] = {
                grading: {
                    f"{main} - {side}": rbench.measure_difference(rows, cells[main], own, grading)
                    for side, own in cells.items()
                    if side != main
                }
                for grading in (JUDGE, PROXY)
            }
    return result


def _columns(side: Side, rows: list[dict], replies: Mapping[str, Sequence[Reply]]) -> Columns:
    return columns(rows, replies, side.chain, by_index=side.by_index, by_letter=side.letters)


def _section(cells: dict[str, Columns], main: str, photos: list, places: Sequence[int], tested: bool = False) -> dict:
    """Figures of some of the pictures: of each side, and how far the main one is above each other one.

    Args:
        tested: whether the differences get their p.
    """
    places = list(places)
    own_photos = [photos[place] for place in places]
    numbers = range(len(set(own_photos)))
    drawn = weights(numbers)
    parts = {
        side: per_photo({key: column[places] for key, column in own.items()}, own_photos) for side, own in cells.items()
    }
    found = {side: figures(own, drawn) for side, own in parts.items()}
    exchanged = exchanges(numbers) if tested else None
    told = {}
    for side, own in found.items():
        if side != main:
            p = p_values(parts[main], parts[side], figures_of, exchanged) if tested else None
            told[f"{main} - {side}"] = intervals(differences(found[main], own), p)
    return {
        "samples": len(places),
        "photos": len(numbers),
        "sides": {side: intervals(own) for side, own in found.items()},
        "differences": told,
    }


def _groups(labels: list[str]) -> dict[str, list[int]]:
    """Places of each label that is frequent enough; none where all are of one."""
    frequent = [label for label, count in Counter(labels).most_common() if count >= SMALLEST_GROUP]
    if len(set(labels)) < 2:
        return {}
    return {label: [place for place, own in enumerate(labels) if own == label] for label in frequent}


def measure_chains(folder: Path, tokenizer) -> dict:
    """The figures of a dataset's written chains, as if a side had said them about its degraded pictures."""
    rows = read_chained(folder)
    replies = replies_of([row["chain"] for row in rows], tokenizer)
    told = per_photo(columns(rows, {DEGRADED: replies}, chain=True), [photo_of(row) for row in rows])
    found = figures(told, weights(range(len(next(iter(told.values()))))))
    return {"samples": len(rows), **intervals(found)}
