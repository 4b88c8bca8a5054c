"""Tables of VLMEvalKit as rows: MMMB, MMStar, RealWorldQA and all that look like them."""

import os
from collections.abc import Mapping
from pathlib import Path
from string import ascii_uppercase

from degradations.tables import NO_PICTURE, Table
from demo.chain import question_with_options
from training.evaluation.levels import Copies, Levels, decoded, keep
from training.evaluation.rows import MCQ, VQA, make_row

CACHE = "LMUData"
"""VLMEvalKit's name for the variable with the path of its data, and for its folder without one."""


def find_table(source: str) -> Path | None:
    """The file of a table, by its path or by its name in VLMEvalKit's cache; None where it is no table.

    Raises:
        ValueError: it is called like a table, and not there.
    """
    path = Path(source)
    if path.suffix == ".tsv":
        if not path.is_file():
            raise ValueError(f"there is no table {source}")
        return path
    if path.exists() or "/" in source:
        return None
    table = cache() / f"{source}.tsv"
    return table if table.is_file() else None


def cache() -> Path:
    """Where VLMEvalKit keeps its tables."""
    return Path(os.environ.get(CACHE) or Path.home() / CACHE)


def read_tsv(path: Path, kept: Path, levels: Levels, limit: int | None = None) -> list[dict]:
    """Rows of a table; those without a picture are passed over, as VLMEvalKit does.

    Raises:
        ValueError: a row's answer is none of its options, or there is none; or as `degradations.tables.Table`.
    """
    table = Table(path)
    named = [(dict(zip(table.columns, values, strict=True)), stems) for values, stems, _ in table.rows()]
    named = [(raw, stems) for raw, stems in named if stems][:limit]
    files = _files(table, kept, {stem for _, stems in named for stem in stems})
    copies = Copies(levels.folder, path) if levels.folder else None
    rows = []
    for raw, stems in named:
        own = [files[stem] for stem in stems]
        states = copies.states(own, stems) if copies else levels.on_the_fly(own)
        rows.append(_question(raw, path.stem) | states.keys())
    return rows


def _files(table: Table, kept: Path, wanted: set[str]) -> dict[str, tuple[int, str]]:
    """Stem -> place in the table and file of every wanted picture."""
    found = {}
    for place, (source, stem, content) in enumerate(table.pictures()):
        if stem in wanted:
            found[stem] = place, str(content if isinstance(content, Path) else keep(decoded(content, source), kept))
        if len(found) == len(wanted):
            break
    return found


def question_of_row(raw: Mapping[str, str]) -> str:
    """A row's question with its hint and numbered options, as our models have learned them."""
    return question_with_options(*_parts(raw))


ABSENT = ("", "nan", "NaN", "<NA>")
"""What stands for no option. "None" and "NA", which readers of tables take for empty cells, too, can be options."""


def _parts(raw: Mapping[str, str]) -> tuple[str, list[str]]:
    letters = [letter for letter in ascii_uppercase if raw.get(letter, "") not in ABSENT]
    # An option that a reader of tables took for an empty cell keeps its letter, or the others would get other ones.
    offered = ascii_uppercase[: ascii_uppercase.index(letters[-1]) + 1] if letters else ""
    options = [raw[letter] if letter in letters else "None" for letter in offered]
    return raw["question"] if raw.get("hint", "") in NO_PICTURE else f"{raw['hint']}\n{raw['question']}", options


def _question(raw: Mapping[str, str], name: str) -> dict:
    question, options = _parts(raw)
    answer, index = raw.get("answer", "").strip(), None
    if not answer:
        raise ValueError(f"row {raw['index']} of {name} has no answer; a split without answers cannot be scored here")
    if options:
        index = index_of(answer, options, f"row {raw['index']} of {name}")
        answer = options[index]
    kind = raw.get("l2-category") or raw.get("category") or name
    return make_row(raw["index"], question, options, answer, index, kind, name, MCQ if options else VQA)


def index_of(letter: str, options: list[str], place: str) -> int:
    """The index of an option by its letter.

    Raises:
        ValueError: there is no such option.
    """
    index = ascii_uppercase.find(letter.strip().upper()) if len(letter.strip()) == 1 else -1
    if not 0 <= index < len(options):
        raise ValueError(f"{place} has {len(options)} options, and its answer is {letter!r}")
    return index
