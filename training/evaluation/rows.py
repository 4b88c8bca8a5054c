"""What a row of a set says: its pictures in every state, what was done to them, the photo that it is about.

A row is a sample as ``training.synthesize`` writes it, or what `training.evaluation.sets` makes of other sources:
the same keys, and ``"pictures"`` (state -> pictures) with ``"recipes"`` (state -> recipe, None where unknown).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from degradations import COPIES, REGISTRY, Recipe, degrade
from degradations.files import PhotoError, read_photo

CLEAN, DEGRADED = "clean", "degraded"
STATES = {copy: f"{copy} %" for copy in COPIES}
"""Key of a sample's ``copies`` -> what the state is called."""

MCQ, VQA, CAP = "MCQ", "VQA", "CAP"
"""Tasks, by R-Bench's names: choose an option, answer, describe."""

COMPOSED = ("which", "count", "where")
"""Kinds of samples that are made of a background and cut-outs, the one that is asked about first."""


UNDEGRADED = Recipe()


@dataclass(frozen=True)
class Picture:
    """A picture file, degraded when it is read where a recipe says so."""

    path: str
    recipe: Recipe = UNDEGRADED
    seed: int = 0

    def read(self) -> Image.Image:
        """Returns: of mode RGB.

        Raises:
            degradations.files.PhotoError: the file cannot be read; the text says which.
        """
        try:
            photo = read_photo(Path(self.path))
        except PhotoError as error:
            raise PhotoError(f"the picture {self.path} is {error}") from error
        return degrade(photo, self.recipe, self.seed) if self.recipe else photo

    def digest(self) -> str:
        """What the pixels follow from: the file's content, and what is done to it."""
        status = Path(self.path).stat()
        content = _digest_of(self.path, status.st_size, status.st_mtime_ns)
        return f"{content} {self.recipe} {self.seed} {what_degrading_does()}" if self.recipe else content


@cache
def _digest_of(path: str, size: int, changed: int) -> str:
    """A file's hash; read once, as several questions are about one picture, and anew once it has changed."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@cache
def what_degrading_does() -> str:
    """A hash of what every type makes of a small picture: another one where a type was changed."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    digest = hashlib.sha256()
    for name in REGISTRY:
        for intensity in COPIES.values():
            digest.update(degrade(picture, {name: intensity}, 0).tobytes())
    return digest.hexdigest()[:16]


def task_of(row: Mapping) -> str:
    return row.get("task") or (MCQ if row["options"] else VQA)


def states_of(rows: Sequence[Mapping]) -> list[str]:
    """The states that every one of these rows has a picture of: clean and degraded, or clean and the strengths."""
    return [state for state in _recipes(rows[0]) if all(state in _recipes(row) for row in rows)]


def applied(row: Mapping, state: str) -> Recipe | None:
    """What was done to the (first) picture of a state; None where nobody knows."""
    recipe = _recipes(row)[state]
    return None if recipe is None else Recipe.parse(recipe)


def _recipes(row: Mapping) -> dict[str, str | Recipe | None]:
    if "recipes" in row:
        return row["recipes"]
    clean = {CLEAN: Recipe()} if row["clean"] else {}  # samples taken as they are may have none
    recipe = Recipe.parse(row["recipe"])
    if "copies" in row:
        return clean | {STATES[copy]: Recipe(dict.fromkeys(recipe, COPIES[copy])) for copy in COPIES}
    return clean | {DEGRADED: recipe}


def pictures_of(row: Mapping, state: str) -> list[Picture]:
    """The pictures that a question is about, in a state; of a sample's, only the first is degraded."""
    if "pictures" in row:
        return row["pictures"][state]
    return [Picture(path) for path in (picture_of(row, state), *row.get("more_images", []))]


def picture_of(row: Mapping, state: str) -> str:
    """The path of a sample's first picture in a state."""
    if state in (CLEAN, DEGRADED):
        return row["clean" if state == CLEAN else "image"]
    return row["copies"][next(copy for copy, name in STATES.items() if name == state)]


def photo_of(row: Mapping) -> str | int:
    """The photo that a row is about: its own, or in a composed scene the cut-out that is asked for."""
    if "photo" in row:
        return row["photo"]
    made_of = row["made_of"]
    if not made_of:
        return row["id"]
    return made_of[1] if row["kind"] in COMPOSED else made_of[0]


def make_row(
    number: int | str,
    question: str,
    options: list[str],
    answer: str,
    index: int | None,
    kind: str,
    source: str,
    task: str,
) -> dict:
    """The keys of a row that tell of its question; those of its pictures come beside them."""
    return {
        "id": number, "question": question.strip(), "options": options, "answer": answer, "answer_index": index,
        "kind": kind, "source": source, "task": task, "made_of": [],
    }  # fmt: skip
