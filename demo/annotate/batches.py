"""Batches: opened from what was found, listed, predicted, closed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from demo import settings
from demo.annotate.archives import opened
from demo.annotate.found import TABLES, Found, files_below, find, predicted_by
from demo.annotate.pictures import Pictures
from demo.store.database import Store
from demo.store.tables import NAME_LENGTH, Batch, Item
from demo.texts import Text, reason


@dataclass(frozen=True)
class Listed:
    """A batch as a list shows it."""

    id: int
    name: str
    blind: bool
    items: int
    waiting: int
    """Items without a prediction."""


@dataclass(frozen=True)
class Opened:
    """A new batch: its number, its items, and the pictures that could not be taken, each with the reason."""

    batch: int
    items: int
    refused: tuple[tuple[str, "Text | str"], ...]
    verdicts: tuple[tuple[str, Mapping], ...]
    """Annotations that the source brought along: (item's key, as exports.py writes it)."""


@dataclass(frozen=True)
class Wanted:
    """How a batch is to be.

    Attributes:
        name: what it is called; unique.
        blind, per_item: as in `demo.store.tables.Batch`.
        question, options: for pictures that come without.
    """

    name: str
    blind: bool = True
    per_item: int = 1
    question: str = settings.ANNOTATE_QUESTION
    options: tuple[str, ...] = ()


class Batches:
    """All batches of a database."""

    def __init__(self, store: Store, pictures: Pictures, bounds: settings.Bounds = settings.BATCH_BOUNDS):
        self.store, self.pictures, self.bounds = store, pictures, bounds

    def listed(self) -> list[Listed]:
        """Every batch, the newest first."""
        with self.store.reading() as session:
            rows = session.execute(
                select(Batch, func.count(Item.id), func.count(Item.chain))
                .outerjoin(Item)
                .group_by(Batch.id)
                .order_by(Batch.id.desc())
            )
            return [Listed(one.id, one.name, one.blind, items, items - done) for one, items, done in rows]

    def open_path(self, path: Path, wanted: Wanted, by: str) -> Opened:
        """Open what whoever started the program named: a folder, a manifest in a folder, or a zip.

        Raises:
            ValueError: there is no such thing, or it cannot be taken; nothing was opened.
        """
        if path.is_dir():
            return self._open(files_below(path), lambda name: (path / name).read_bytes(), wanted, str(path), by)
        if path.name in TABLES and path.is_file():
            below = [name for name in files_below(path.parent) if Path(name).name not in TABLES]
            names = [path.name, *below]
            return self._open(names, lambda name: (path.parent / name).read_bytes(), wanted, str(path), by)
        if path.is_file():
            return self.open_zip(path, wanted, str(path), by)
        raise ValueError(Text("annotate.no-source", path=str(path)))

    def open_zip(self, path: Path, wanted: Wanted, source: str, by: str) -> Opened:
        """Open a zip archive of anybody's.

        Raises:
            ValueError: as `archives.opened`, or it cannot be taken; nothing was opened.
        """
        with opened(path, self.bounds) as archive:
            return self._open(archive.names, archive.read, wanted, source, by)

    def open_files(self, files: Mapping[str, Path], wanted: Wanted, source: str, by: str) -> Opened:
        """Open uploaded files: the name that each had -> where it lies.

        Raises:
            ValueError: as `open_zip`.
        """
        sizes = [path.stat().st_size for path in files.values()]
        if len(sizes) > self.bounds.files or sum(sizes) > self.bounds.bytes:
            raise ValueError(Text("annotate.too-much", files=self.bounds.files, most=round(self.bounds.bytes / 1e6)))
        return self._open(list(files), lambda name: files[name].read_bytes(), wanted, source, by)

    def _open(self, names: list[str], read: Callable[[str], bytes], wanted: Wanted, source: str, by: str) -> Opened:
        _check(wanted)
        with self.store.reading() as session:
            if session.scalar(select(Batch.id).where(Batch.name == wanted.name)):
                raise ValueError(Text("annotate.name-taken", name=wanted.name))
        rows, refused, verdicts, keys = [], [], [], set()
        for found in find(names, read):
            try:
                if found.key in keys:
                    raise ValueError(Text("annotate.key-twice"))
                picture = self.pictures.keep(read(found.picture))
                clean, recovered = (name and self.pictures.keep(read(name)) for name in (found.clean, found.recovered))
            except ValueError as error:
                why = reason(error)
                if not (isinstance(why, Text) and why.key in _OF_ONE_PICTURE):
                    raise
                refused.append((found.key, why))
                continue
            keys.add(found.key)
            verdicts += [(found.key, verdict) for verdict in found.verdicts]
            rows.append(_row(found, picture, clean, recovered, wanted))
        if not rows:
            raise ValueError(Text("annotate.none-readable", count=len(refused), reason=refused[0][1]))
        with self.store.writing() as session:
            if session.scalar(select(Batch.id).where(Batch.name == wanted.name)):
                raise ValueError(Text("annotate.name-taken", name=wanted.name))
            batch = Batch(
                name=wanted.name, source=source, blind=wanted.blind, per_item=wanted.per_item, opened_by=by
            )  # fmt: skip
            session.add(batch)
            session.flush()
            session.add_all(Item(batch_id=batch.id, number=number, **row) for number, row in enumerate(rows))
            return Opened(batch.id, len(rows), tuple(refused), tuple(verdicts))


_OF_ONE_PICTURE = {"annotate.picture-large", "annotate.picture-unread", "annotate.key-twice", "annotate.zip-file-large"}
"""What is wrong with one picture alone; the others are taken."""


def _check(wanted: Wanted) -> None:
    name = wanted.name
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise ValueError(Text("annotate.batch-name", most=NAME_LENGTH))
    if type(wanted.per_item) is not int or not 1 <= wanted.per_item <= settings.MOST_PER_ITEM:
        raise ValueError(Text("annotate.per-item", most=settings.MOST_PER_ITEM))
    if not wanted.question.strip() or len(wanted.question) > settings.MAX_QUESTION_CHARACTERS:
        raise ValueError(Text("annotate.batch-question", most=settings.MAX_QUESTION_CHARACTERS))


def _row(found: Found, picture: str, clean: str | None, recovered: str | None, wanted: Wanted) -> dict:
    own = bool(found.question)
    return {
        "key": found.key,
        "picture": picture,
        "clean": clean,
        "recovered": recovered,
        "question": found.question if own else wanted.question.strip(),
        "options": list(found.options if own else wanted.options),
        "answer": found.answer,
        "applied": None if found.applied is None else str(found.applied),
        "model": None if found.chain is None else (found.model or "")[:NAME_LENGTH],
        "chain": found.chain,
        "predicted": None if found.chain is None else str(predicted_by(found.chain)),
        "by_index": found.chain is not None and found.by_index,
    }


def names_of(paths: Iterable[Path]) -> dict[str, Path]:
    """Batches that the command line names -> what the list of them shows: the last parts that tell them apart."""
    shown = {}
    for path in paths:
        name = path.name or str(path)
        while name in shown:
            name = f"{name} ({len(shown) + 1})"
        shown[name] = path
    return shown
