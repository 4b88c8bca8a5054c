"""Photos and cut-outs to make questions of: read from a folder, named in everyday words."""

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.written import whole_rows

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SPLITS = ("train", "development", "validation")
DEVELOPMENT_SHARE = 0.05
"""Of the training pictures, kept apart to choose settings on: whoever chooses on validation flatters its figures."""
VALIDATION_SHARE = 0.1
"""Of a plain folder, which names no split. Both are chosen by file name, which stays when files are added."""


@dataclass(frozen=True)
class Thing:
    """Something a question can be about.

    Attributes:
        name: what options and answers say, e.g. ``"dog"``.
        cue: what one recognises it by, e.g. ``"a muzzle, ears and a furry body"``.
        group: ``"object"`` or ``"garment"``; options are drawn from one group.
        also: further names that are right for the same picture, e.g. ``"fruit"`` for an apple.
    """

    name: str
    cue: str
    group: str
    also: tuple[str, ...] = ()

    @property
    def right(self) -> set[str]:
        """Every name that is right."""
        return {self.name, *self.also}


VOCABULARY = Path(__file__).with_name("everyday.json")


def read_things() -> dict[tuple[str, str], Thing]:
    """The vocabulary: (group, label in lower case) -> thing. Several labels may mean one thing."""
    groups = json.loads(VOCABULARY.read_text())
    return {
        (group, label.lower()): Thing(row["name"], row["cue"], group, tuple(row.get("also", ())))
        for group, rows in (("object", groups["objects"]), ("garment", groups["garments"]))
        for row in rows
        for label in row["labels"]
    }


def read_descriptions() -> list[tuple[str, str | None]]:
    """Phrases in a cut-out's description, the longest first, with the name of the thing that each means, or None."""
    entries = json.loads(VOCABULARY.read_text())["described"]
    phrases = [(phrase, entry["name"]) for entry in entries for phrase in entry["words"]]
    return sorted(phrases, key=lambda entry: -len(entry[0]))


@dataclass(frozen=True)
class Picture:
    """One picture of a corpus; `thing` is None where its label is not in the vocabulary or missing."""

    path: Path
    thing: Thing | None
    cutout: bool
    source: str
    split: str

    def load(self) -> Image.Image:
        """RGB, or RGBA for a cut-out."""
        with Image.open(self.path) as image:
            return image.convert("RGBA" if self.cutout else "RGB")


def read_corpus(folder: Path, split: str) -> list[Picture]:
    """Read one split of a corpus.

    Two layouts are understood. A folder with ``*.jsonl`` files holds rows ``{"image", "split", "label" or "category",
    "source"}``; a row with a ``category`` is a cut-out on a transparent ground, named by its ``description`` if that
    holds a phrase of the vocabulary. Any other folder holds pictures in folders named by their label (or none, which
    then serve as backgrounds); PNG files with an alpha channel are cut-outs.

    Raises:
        ValueError: no picture of that split is there, or a row has no image.
    """
    folder = Path(folder)
    things = read_things()
    tables = sorted(folder.glob("*.jsonl"))
    pictures = _from_tables(folder, tables, things) if tables else _from_folders(folder, things)
    chosen = [picture for picture in pictures if picture.split == split]
    if not chosen:
        raise ValueError(f"no picture of split {split!r} in {folder}; give a folder of photos, or of *.jsonl tables")
    return chosen


def _from_tables(folder: Path, tables: list[Path], things: dict) -> list[Picture]:
    pictures, phrases = [], read_descriptions()
    for table in tables:
        for number, row in whole_rows(table):
            if "image" not in row:
                raise ValueError(f"{table}, line {number}: a row needs an 'image', this one has {sorted(row)}")
            cutout = "category" in row
            label = (row.get("category") or row.get("label") or "").lower()
            group = "garment" if not cutout and ("garment", label) in things else "object"
            source = row.get("source") or table.stem
            path = folder / row["image"]
            split = row.get("split", "train")
            if split == "train" and _draw(path) < DEVELOPMENT_SHARE:
                split = "development"
            thing = things.get((group, label))
            if cutout:
                thing = _described(row.get("description", ""), phrases, things, otherwise=thing)
            pictures.append(Picture(path, thing, cutout, source, split))
    return pictures


def _described(text: str, phrases: list[tuple[str, str | None]], things: dict, otherwise: Thing | None) -> Thing | None:
    """What a description names; None for what is none of the vocabulary's things, though its category may be."""
    words = f" {' '.join(re.findall('[a-z0-9]+', text.lower()))} "
    for phrase, name in phrases:
        if f" {phrase} " in words:
            return things["object", name] if name else None
    return otherwise


def _from_folders(folder: Path, things: dict) -> list[Picture]:
    pictures = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        label = path.parent.name.lower()
        with Image.open(path) as image:
            cutout = image.mode == "RGBA"
        thing = things.get(("garment", label)) or things.get(("object", label))
        drawn = _draw(path) - VALIDATION_SHARE
        split = "validation" if drawn < 0 else "development" if drawn < DEVELOPMENT_SHARE else "train"
        pictures.append(Picture(path, thing, cutout, folder.name, split))
    return pictures


def _draw(path: Path) -> float:
    """A number in [0, 1) that follows from the file's name alone."""
    return zlib.crc32(path.name.encode()) % 1000 / 1000
