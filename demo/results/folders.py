"""Folders of an evaluation, read: titles, texts and tables of ``results.md``, plots, what the figures belong to.

Nothing here knows how figures are made; any folder that ``python -m training.evaluate`` wrote can be read.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

_STEM = "results"
REPORT, RESULTS, PLOTS = f"{_STEM}.md", f"{_STEM}.json", "plots"

SHORT_HASH = 12
"""Digits of a hash that are shown."""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first row is the head, the first cell of each row its name."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of a report: texts and tables below one title."""

    title: str
    parts: tuple[str | Table, ...]


@dataclass(frozen=True)
class Results:
    """One evaluation.

    Attributes:
        name: the folder's.
        sides: name -> what it is, the one that the others are compared with last.
        hashes: side or set -> the first digits of what it follows from.
        judge: who graded answers without options, None where nobody did.
    """

    name: str
    sections: tuple[Section, ...]
    plots: tuple[Path, ...]
    sides: dict[str, str]
    hashes: dict[str, str]
    judge: str | None


def find(root: Path) -> list[Path]:
    """The folders with results: this one, else those in it, by name."""
    folders = [root] if (root / RESULTS).is_file() else sorted(path.parent for path in root.glob(f"*/{RESULTS}"))
    return [folder for folder in folders if (folder / REPORT).is_file()]  # ablations have results of another kind


def read(folder: Path) -> Results:
    """Read a folder.

    Raises:
        ValueError: its files are not those of an evaluation.
    """
    try:
        told = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        sections = tuple(split((folder / REPORT).read_text(encoding="utf-8")))
        sides = dict(side.split("=", 1) for side in told["sides"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} cannot be read: {error}") from error
    hashes = {
        name: (own if isinstance(own, str) else own["source"])[:SHORT_HASH]
        for kind in told.get("hashes", {}).values()
        for name, own in kind.items()
    }
    plots = tuple(sorted((folder / PLOTS).glob("*.png")))
    return Results(folder.name, sections, plots, sides, hashes, told.get("judge"))


def split(report: str) -> list[Section]:
    """The sections of a report in Markdown: titles of the second level, paragraphs and tables."""
    sections = []
    for block in re.split(r"^## ", report, flags=re.MULTILINE)[1:]:
        title, _, body = block.partition("\n")
        parts = [_part(part) for part in re.split(r"\n{2,}", body.strip()) if part.strip()]
        sections.append(Section(title.strip(), tuple(parts)))
    return sections


def _part(text: str) -> str | Table:
    lines = text.strip().splitlines()
    if not lines[0].startswith("|"):
        return text.strip()
    rows = [tuple(cell.strip() for cell in line.strip()[1:-1].split("|")) for line in lines]
    return Table(tuple(row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)))
