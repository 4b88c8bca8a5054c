"""Photos and cut-outs to make questions of: read from a folder, named in everyday words."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VALIDATION_SHARE = 0.1
"""Of a plain folder, which names no split: chosen by file name, so that it stays the same when files are added."""


@dataclass(frozen=True)
class Thing:
    """Something a question can be about.

    Attributes:
        name: what options and answers say, e.g. ``"dog"``.
        cue: what one recognises it by, e.g. ``"a muzzle, ears and a furry body"``.
        group: ``"object"`` or ``"garment"``; options are drawn from one group.
    """

    name: str
    cue: str
    group: str


def read_things() -> dict[tuple[str, str], Thing]:
    """The vocabulary: (group, label in lower case) -> thing. Several labels may mean one thing."""
    groups = json.loads(Path(__file__).with_name("everyday.json").read_text())
    return {
        (group, label.lower()): Thing(row["name"], row["cue"], group)
        for group, rows in (("object", groups["objects"]), ("garment", groups["garments"]))
        for row in rows
        for label in row["labels"]
    }


def thing_numbers() -> dict[str, int]:
    """Name of every thing in the vocabulary -> class number."""
    return {name: number for number, name in enumerate(sorted({thing.name for thing in read_things().values()}))}


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
    "source"}``; a row with a ``category`` is a cut-out on a transparent ground. Any other folder holds pictures in
    folders named by their label (or none, which then serve as backgrounds); PNG files with an alpha channel are
    cut-outs.

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
    pictures = []
    for table in tables:
        for number, line in enumerate(table.read_text().splitlines(), 1):
            row = json.loads(line)
            if "image" not in row:
                raise ValueError(f"{table}, line {number}: a row needs an 'image', this one has {sorted(row)}")
            cutout = "category" in row
            label = (row.get("category") or row.get("label") or "").lower()
            group = "garment" if not cutout and ("garment", label) in things else "object"
            source = row.get("source") or table.stem
            pictures.append(
                Picture(folder / row["image"], things.get((group, label)), cutout, source, row.get("split", "train"))
            )
    return pictures


def _from_folders(folder: Path, things: dict) -> list[Picture]:
    pictures = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        label = path.parent.name.lower()
        with Image.open(path) as image:
            cutout = image.mode == "RGBA"
        thing = things.get(("garment", label)) or things.get(("object", label))
        held_out = zlib.crc32(path.name.encode()) % 1000 < 1000 * VALIDATION_SHARE
        pictures.append(Picture(path, thing, cutout, folder.name, "validation" if held_out else "train"))
    return pictures
