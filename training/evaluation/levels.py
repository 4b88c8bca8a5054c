"""In which states questions are asked, and where the pictures of these come from."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from degradations import COPIES, Recipe
from degradations.datasets import MANIFEST, dealt
from degradations.files import write_whole
from degradations.jobs import SETTINGS
from training.evaluation.rows import CLEAN, STATES, Picture

LEVELS = (CLEAN, *COPIES)
"""What `Levels` can be, as the command line has it."""


@dataclass
class States:
    """A question's pictures: state -> pictures, and state -> what was done to the first, None where unknown."""

    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    recipes: dict[str, str | None] = field(default_factory=dict)

    def add(self, state: str, pictures: list[Picture], recipe: Recipe | str | None) -> None:
        self.pictures[state] = pictures
        self.recipes[state] = None if recipe is None else str(recipe)

    def keys(self) -> dict:
        """The keys of a row that tell of them; several questions about one photo are known by its file."""
        first = next(iter(self.pictures.values()))[0]
        photo = hashlib.sha256(first.path.encode()).hexdigest()[:16]
        return {"pictures": self.pictures, "recipes": self.recipes, "photo": photo}


@dataclass(frozen=True)
class Levels:
    """In which states questions without states of their own are asked.

    Attributes:
        states: some of `LEVELS`.
        seed: what is drawn for each picture follows from it and the picture's place.
        folder: that ``python -m degradations benchmark`` wrote from the same table; None to degrade on the fly.
    """

    states: tuple[str, ...] = LEVELS
    seed: int = 0
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Levels":
        """Read ``clean,25,50,100`` or some of them, or the path of a folder of copies.

        Raises:
            ValueError: neither.
        """
        if Path(text).is_dir():
            return cls(folder=Path(text), seed=seed)
        states = tuple(text.split(","))
        if unknown := [state for state in states if state not in LEVELS]:
            raise ValueError(f"levels are some of {','.join(LEVELS)}, or a folder of copies, not {','.join(unknown)!r}")
        return cls(tuple(state for state in LEVELS if state in states), seed)

    def on_the_fly(self, files: Sequence[tuple[int, str]]) -> States:
        """A question's pictures as the published protocol degrades them.

        Args:
            files: the place of each picture in its source, and its file.
        """
        result = States()
        for state in self.states:
            if state == CLEAN:
                result.add(CLEAN, [Picture(path) for _, path in files], Recipe())
                continue
            made = [(path, *dealt(self.seed, place)) for place, path in files]
            pictures = [Picture(path, Recipe({kind: COPIES[state]}), seed) for path, kind, seed in made]
            result.add(STATES[state], pictures, pictures[0].recipe)
        return result


PUBLISHED = Levels()


class Copies:
    """The pictures that ``python -m degradations benchmark TABLE FOLDER`` wrote.

    Raises:
        ValueError: the folder has no manifest, or is of another table.
    """

    def __init__(self, folder: Path, table: Path):
        self.folder, name = folder, table.stem
        if not ((folder / MANIFEST).exists() and (folder / SETTINGS).exists()):
            raise ValueError(f"{folder} holds no {MANIFEST}: python -m degradations benchmark {name}.tsv {folder}")
        with table.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        if json.loads((folder / SETTINGS).read_text()).get("photos_sha256") != content:
            raise ValueError(f"{folder} holds copies of another table than {table}: give that one, or make copies anew")
        self.made: dict[tuple[str, str], dict] = {}
        for line in (folder / MANIFEST).read_text().splitlines():
            row = json.loads(line)
            if "file" in row:
                _, copy, file = row["file"].split("/", 2)
                self.made[copy.removeprefix(f"{name}_"), Path(file).with_suffix("").as_posix()] = row

    def states(self, files: Sequence[tuple[int, str]], stems: Sequence[str]) -> States:
        """A question's pictures, the clean ones among them.

        Raises:
            ValueError: a copy was not made.
        """
        result = States()
        result.add(CLEAN, [Picture(path) for _, path in files], Recipe())
        for copy, state in STATES.items():
            if lacking := [stem for stem in stems if (copy, stem) not in self.made]:
                raise ValueError(f"{self.folder} lacks the copy of picture {lacking[0]} at {copy} %; make it anew")
            found = [self.made[copy, stem] for stem in stems]
            result.add(state, [Picture(str(self.folder / row["file"])) for row in found], found[0]["recipe"])
        return result


# --- pictures that lie inside of tables ---


def decoded(text: str, source: str) -> bytes:
    """Raises: ValueError: it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the picture of {source} is not base64 ({error})") from error


def keep(content: bytes, folder: Path) -> Path:
    """Write a picture's file under a name that follows from its content; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(content).hexdigest()[:32]
    if not path.exists():
        write_whole(path, content)
    return path
