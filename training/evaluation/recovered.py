"""Recovered pictures in an evaluation: sides that see them, how good they are, and what that does to answers.

Recovering is done once a picture: ``recovered`` holds the pictures, ``recovered.jsonl`` how near they and the degraded
ones come to the clean ones.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from degradations.files import encode, read_photo, write_whole
from degradations.jobs import read_table
from demo.recovery.attempt import Recovery
from demo.recovery.encoders import Encoder
from demo.recovery.measures import CEILING_DB, measure
from training.evaluation.resampling import Figure, ratio, weights
from training.evaluation.rows import CLEAN, Picture, photo_of, pictures_of, states_of
from training.written import appending

GIVEN, RECOVERED, BOTH = "given", "recovered", "both"
"""What a side sees: the picture as it came, the recovered one instead, or both, in this order."""

FOLDER, QUALITIES = "recovered", "recovered.jsonl"
MEASURES = ("psnr", "ssim", "semantic")
BINS = 4
"""Into so many parts of one size pictures are sorted by how much recovery gained."""


class Recoverer:
    """Recovers pictures, each once.

    Args:
        folder: of the evaluation.
    """

    def __init__(self, recovery: Recovery, folder: Path):
        self.recovery, self.folder = recovery, folder / FOLDER

    @property
    def digest(self) -> str:
        """What the pictures follow from besides those that are given."""
        return hashlib.sha256(self.recovery.digest.encode()).hexdigest()[:16]

    def recover(self, picture: Picture) -> Image.Image:
        key = hashlib.sha256(f"{picture.digest()} {self.digest}".encode()).hexdigest()[:32]
        path = self.folder / f"{key}.png"
        if not path.exists():
            write_whole(path, encode(self.recovery.recover(picture.read()), "png"))
        return read_photo(path)


@dataclass(frozen=True)
class Restored:
    """The recovered picture of a picture; read like one (`training.evaluation.rows.Picture`)."""

    picture: Picture
    recoverer: Recoverer

    def read(self) -> Image.Image:
        return self.recoverer.recover(self.picture)


def seen(sees: str, pictures: Sequence[Picture], recoverer: Recoverer | None) -> list[Picture | Restored]:
    """What a side sees of a question's pictures; the first is the one that was degraded.

    Raises:
        ValueError: a recovered picture is to be seen, and nothing recovers any.
    """
    if sees == GIVEN:
        return list(pictures)
    if recoverer is None:
        raise ValueError(f"a side that sees {sees} needs --recovery: a network's folder, or MODEL@URL")
    first, *more = pictures
    restored = Restored(first, recoverer)
    return [first, restored, *more] if sees == BOTH else [restored, *more]


# --- how good recovered pictures are ---


def measure_recoveries(
    sets: Mapping[str, Sequence[dict]], recoverer: Recoverer, encoder: Encoder, folder: Path
) -> None:
    """Hold every degraded picture, and the recovered one, against the clean picture, where there is one.

    What stands in ``recovered.jsonl`` already is not measured again.
    """
    table = folder / QUALITIES
    known = {row["key"] for row in read_table(table)}
    with appending(table) as append:
        for name, rows in sets.items():
            states = states_of(rows)
            for state in states if CLEAN in states else ():
                for row in rows:
                    picture, clean = pictures_of(row, state)[0], pictures_of(row, CLEAN)[0]
                    source = f"{picture.digest()} {clean.digest()} {recoverer.digest} {encoder.name}"
                    key = hashlib.sha256(f"{name} {row['id']} {state} {source}".encode()).hexdigest()[:16]
                    if key in known:
                        continue
                    before, after, original = picture.read(), recoverer.recover(picture), clean.read()
                    told = {"set": name, "state": state, "id": row["id"], "key": key, "encoder": encoder.name}
                    for when, image in (("before", before), ("after", after)):
                        quality = measure(image, original, encoder)
                        told[when] = {"psnr": quality.capped, "ssim": quality.ssim, "semantic": quality.semantic}
                    append(told)


def quality_of(folder: Path, name: str, rows: Sequence[Mapping], state: str) -> list[dict | None]:
    """What `measure_recoveries` found of each row in a state, the last word of each; None where it found nothing."""
    found = {row["id"]: row for row in read_table(folder / QUALITIES) if (row["set"], row["state"]) == (name, state)}
    return [found.get(row["id"]) for row in rows]


def gains(qualities: Sequence[Mapping | None], rows: Sequence[Mapping]) -> dict[str, dict]:
    """Mean of every measure before and after, and what was gained, each with its interval over photos."""
    known = [(told, row) for told, row in zip(qualities, rows, strict=True) if told]
    if not known:
        return {}
    drawn = weights([photo_of(row) for _, row in known])
    result = {}
    for measured in MEASURES:
        pairs = [(told["before"][measured], told["after"][measured]) for told, _ in known]
        # A picture that is too small has no SSIM.
        there = np.array([None not in pair for pair in pairs], float)
        before, after = (np.array([pair[side] or 0.0 for pair in pairs], float) * there for side in (0, 1))
        count = drawn @ there
        for label, column in (("before", before), ("after", after), ("gain", after - before)):
            result[f"{measured} {label}"] = vars(Figure.of(ratio(drawn @ column, count)))
    return result


def by_gain(
    qualities: Sequence[Mapping | None], rows: Sequence[Mapping], right: Mapping[str, Sequence[float]]
) -> list[dict]:
    """Right answers of every side on pictures of which recovery gained little, more, much, in PSNR.

    Args:
        right: side -> 1 or 0 for each of the rows; questions without options are left out.

    Returns:
        ``from`` and ``to`` (dB), ``count`` and, under ``sides``, the share of right answers with its interval.
    """
    places = [place for place, told in enumerate(qualities) if told and rows[place]["options"]]
    if len(places) < 2 * BINS:
        return []
    gained = np.array([qualities[place]["after"]["psnr"] - qualities[place]["before"]["psnr"] for place in places])
    order = np.argsort(gained, kind="stable")
    result = []
    for part in np.array_split(order, BINS):
        mine = [places[number] for number in part]
        drawn = weights([photo_of(rows[place]) for place in mine])
        told = {}
        for side, own in right.items():
            told[side] = vars(Figure.of((drawn @ np.array([own[place] for place in mine])) / drawn.sum(1)))
        low, high = float(gained[part].min()), float(gained[part].max())
        result.append({"from": low, "to": high, "count": len(mine), "sides": told})
    return result


def told_of(
    folder: Path, sets: Mapping[str, Sequence[Mapping]], right: Mapping[tuple[str, str], Mapping[str, Sequence[float]]]
) -> dict[str, dict]:
    """What results say of recovery: for each set and state `gains` and `by_gain`; nothing where nothing was measured.

    Args:
        right: (side, set) -> state -> 1 or 0 for each row.
    """
    result: dict[str, dict] = {}
    for name, rows in sets.items():
        sides = {side: own for (side, of), own in right.items() if of == name}
        states = list(next(iter(sides.values()))) if sides else []
        for state in states:
            qualities = quality_of(folder, name, rows, state)
            if not any(qualities):
                continue
            result.setdefault(name, {})[state] = {
                "encoder": next(told["encoder"] for told in qualities if told),
                "ceiling": CEILING_DB,
                "figures": gains(qualities, rows),
                "by gain": by_gain(qualities, rows, {side: own[state] for side, own in sides.items()}),
            }
    return result
