"""What a batch is made of: pictures with what is known about them, read from folders, manifests and tables.

A folder that holds one of `TABLES` is read by it: the manifest of ``degradations synthesize``, the samples of
``training.synthesize``, the ``metadata.jsonl`` of a Hub dataset (our own exports among them), or the same as CSV. Any
other folder is pictures alone. A row names its picture by one of `PICTURE`; everything else may be missing.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from degradations import Recipe
from degradations.files import SUFFIXES
from demo import settings
from demo.chain import parse_chain
from demo.texts import Text

TABLES = ("manifest.jsonl", "samples.jsonl", "metadata.jsonl", "metadata.csv")
PICTURE = ("file", "image", "file_name")
CLEAN = ("clean", "clean_file_name")
RECOVERED = ("recovered_file_name",)
MOST_TEXT = 20_000
"""Characters of a question or a chain that are taken."""
MOST_TABLE_BYTES = 200_000_000


@dataclass(frozen=True)
class Found:
    """One picture for a batch.

    Attributes:
        key: what it is called, unique in the batch.
        picture, clean: the names of their files, relative to the source.
        recovered: the same of the recovered picture that the prediction was made from, too; None without.
        question, options, answer: "" and () where the source has none; answer is None where it is not known.
        applied: the recipe that the picture was degraded by, None where it is not known.
        model, chain: a prediction that the source brings along; None without.
        by_index: whether that model answers by the option's index; a published one's name says so, too.
        verdicts: annotations that the source brings along, as `demo.annotate.exports` writes them.
    """

    key: str
    picture: str
    clean: str | None = None
    recovered: str | None = None
    question: str = ""
    options: tuple[str, ...] = ()
    answer: str | None = None
    applied: Recipe | None = None
    model: str | None = None
    chain: str | None = None
    by_index: bool = False
    verdicts: tuple[Mapping, ...] = field(default=(), repr=False)


def find(names: list[str], read: Callable[[str], bytes]) -> Iterator[Found]:
    """What a source holds.

    Args:
        names: paths of its files, relative, with forward slashes.
        read: gives the bytes of one of them.

    Raises:
        ValueError: a table that cannot be read, or that names a file that is not there; no picture at all.
    """
    below = sorted(names, key=lambda name: (name.count("/"), name))
    table = next((name for name in below if PurePosixPath(name).name in TABLES), None)
    count = 0
    if table is None:
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not PurePosixPath(name).name.startswith("."):
                count += 1
                yield Found(key=name, picture=name)
    else:
        here = set(names)
        for number, row in _rows(table, read(table)):
            if "error" not in row:
                count += 1
                yield of_row(row, table, number, here)
    if not count:
        raise ValueError(Text("annotate.no-pictures"))


def of_row(row: Mapping, table: str, number: int, here: set[str]) -> Found:
    """One row of a table; `here` are the files that there are."""
    where = {"table": PurePosixPath(table).name, "line": number}
    folder = PurePosixPath(table).parent

    def named(columns: tuple[str, ...]) -> str | None:
        name = next((row[column] for column in columns if row.get(column)), None)
        if name is None:
            return None
        path = str(folder / name) if isinstance(name, str) else ""
        if path not in here:  # so no row leads out of the source
            raise ValueError(Text("annotate.row-file", **where, file=repr(name)))
        return path

    picture = named(PICTURE)
    if picture is None:
        raise ValueError(Text("annotate.row-no-file", **where, columns=", ".join(PICTURE)))
    try:
        recipe = row.get("recipe", row.get("applied"))
        applied = None if recipe in (None, "") else Recipe.parse(recipe)
        options = row.get("options") or ()
        options = tuple(json.loads(options) if isinstance(options, str) else options)
        verdicts = json.loads(row.get("verdicts") or "[]")
        if not all(isinstance(one, Mapping) for one in verdicts) or not all(isinstance(one, str) for one in options):
            raise ValueError(f"{options!r} {verdicts!r}"[:80])
        by_index = settings.yes_or_no("by_index", row.get("by_index"))
    except (TypeError, ValueError) as error:
        raise ValueError(Text("annotate.row-value", **where, cause=str(error))) from error
    texts = {name: row.get(name) for name in ("question", "answer", "model", "chain")}
    texts = {name: None if value in (None, "") else str(value) for name, value in texts.items()}
    if any(len(text) > MOST_TEXT for text in (*texts.values(), *options) if text):
        raise ValueError(Text("annotate.row-value", **where, cause=f"> {MOST_TEXT}"))
    key = str(row.get("key") or (f"{picture} {texts['model']}" if texts["model"] else picture))
    return Found(
        key=key[:500],
        picture=picture,
        clean=named(CLEAN),
        recovered=named(RECOVERED) if texts["chain"] else None,
        question=texts["question"] or "",
        options=options,
        answer=texts["answer"],
        applied=applied,
        model=texts["model"] if texts["chain"] else None,
        chain=texts["chain"],
        by_index=texts["model"] in settings.BY_INDEX if by_index is None else by_index,
        verdicts=tuple(verdicts),
    )


def predicted_by(chain: str) -> Recipe:
    """The degradations that a model's text names; a text without tags names none."""
    return parse_chain(chain).recipe


def _rows(table: str, content: bytes) -> Iterator[tuple[int, Mapping]]:
    """The rows of a table with their line numbers."""
    name = PurePosixPath(table).name
    if len(content) > MOST_TABLE_BYTES:
        raise ValueError(Text("annotate.table-large", table=name))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(Text("annotate.row-value", table=name, line=1, cause="UTF-8")) from error
    if name.endswith(".csv"):
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
            yield number, row
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(Text("annotate.row-value", table=name, line=number, cause=line[:60]))
        yield number, row


def files_below(folder: Path) -> list[str]:
    """The names of all files in a folder that whoever started the program named; hidden ones are left out."""
    names = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            names.append(relative.as_posix())
    return names
