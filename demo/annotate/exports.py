"""Annotations written and read back: JSON Lines (a row an item), CSV (a row a verdict), and folders with pictures.

A folder of `write_folder` is an image dataset as `datasets` and the Hub read it: ``metadata.jsonl`` beside the pictures
that its rows name. Its rows carry the verdicts as JSON text, since every column of Arrow is of one type. What is
written here is read by `demo.annotate.found` as a batch, by `read` as verdicts for a batch that is there, and by
``training`` as corrected samples.
"""

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from degradations import Recipe
from degradations.files import write_whole
from demo.annotate.batches import Wanted
from demo.annotate.pictures import Pictures
from demo.annotate.verdict import QUESTIONS, Verdict, consensus
from demo.chain import meant, parse_chain
from demo.store.database import Store
from demo.store.tables import Batch, Item, Judgement, Seat
from demo.texts import Text

FORMATS = ("jsonl", "csv", "zip")
TABLE, ABOUT = "metadata.jsonl", "batch.json"
PICTURES = "pictures"
ITEM = ("key", "question", "options", "answer", "applied", "model", "chain", "by_index", "predicted")
"""Columns that are the item's own."""
SAID = ("absent", "weak", "right", "strong", "missed", *QUESTIONS, "correct_answer", "comment")
"""Columns of CSV for a verdict; an answer that is right is "yes", one that is not "no"."""
CSV_COLUMNS = ("batch", *ITEM, "picture", "annotator", "revision", "at", "seconds", *SAID, "corrected")
_YES_NO = {True: "yes", False: "no", None: ""}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a cell that a spreadsheet would compute; they get an apostrophe before them."""


def rows(store: Store, batch: int) -> Iterator[dict]:
    """Every item of a batch with what was said about it: the columns of `ITEM`, and

    - ``file_name``, ``clean_file_name``, ``recovered_file_name``: its pictures, as `write_folder` lays them; recovered
      is the one that the prediction was made from, too
    - ``verdicts``: JSON text, a list of what `Verdict.read` takes with annotator, revision, at and seconds
    - ``corrected``: what most annotators say was done to the picture, as a recipe; None where it is not known
    - ``sound``: whether most find influence and reasoning sound and the answer right; None without a majority
    - ``correct_answer``: the right answer as far as truth or annotators tell, an option by its text; None otherwise
    """
    for item, said in judged(store, batch):
        predicted = Recipe.parse(item.predicted or "")
        most = consensus((verdict for _, verdict in said), predicted)
        recipe = most.recipe if said else None
        sound = [getattr(most, name) for name in QUESTIONS]
        said_right = meant(parse_chain(item.chain or "").answer, item.options, item.by_index)
        answer = item.answer or (said_right if most.answer else most.correct_answer)
        row = {"file_name": f"{PICTURES}/{item.picture}"}
        row |= {"clean_file_name": f"{PICTURES}/{item.clean}"} if item.clean else {}
        row |= {"recovered_file_name": f"{PICTURES}/{item.recovered}"} if item.recovered else {}
        row |= {name: getattr(item, name) for name in ITEM}
        row["verdicts"] = json.dumps([_told(one) | verdict.as_json() for one, verdict in said], ensure_ascii=False)
        row["corrected"] = None if recipe is None else str(recipe)
        row["sound"] = False if False in sound else None if None in sound else True
        yield row | {"correct_answer": answer or None}


def judged(store: Store, batch: int) -> Iterator[tuple[Item, list[tuple[Judgement, Verdict]]]]:
    """Every item of a batch with its verdicts that count, by the annotators' names."""
    with store.reading() as session:
        items = session.scalars(select(Item).where(Item.batch_id == batch).order_by(Item.number)).all()
        counting = session.scalars(
            select(Judgement)
            .join(
                Seat,
                (Seat.item_id == Judgement.item_id)
                & (Seat.annotator == Judgement.annotator)
                & (Seat.revision == Judgement.revision),
            )
            .join(Item, Item.id == Judgement.item_id)
            .where(Item.batch_id == batch, Judgement.state == "saved")
            .order_by(Judgement.annotator)
        )
        said: dict[int, list[Judgement]] = {}
        for judgement in counting:
            said.setdefault(judgement.item_id, []).append(judgement)
    for item in items:
        predicted = Recipe.parse(item.predicted or "")
        yield item, [(one, Verdict.read(one.verdict, predicted)) for one in said.get(item.id, ())]


def as_jsonl(store: Store, batch: int) -> str:
    """The rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(store, batch))


def as_csv(store: Store, batch: int) -> str:
    """The verdicts as CSV, for spreadsheets."""
    with store.reading() as session:
        name = session.get_one(Batch, batch).name
    text = io.StringIO()
    table = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    table.writeheader()
    for item, said in judged(store, batch):
        predicted = Recipe.parse(item.predicted or "")
        own = {column: getattr(item, column) for column in ITEM} | {"options": json.dumps(item.options)}
        for one, verdict in said:
            row = {"batch": name, **own, "picture": item.picture, **_told(one), **_said(verdict)}
            row["corrected"] = _types(verdict.corrected(predicted))
            table.writerow({column: _cell(row.get(column)) for column in CSV_COLUMNS})
    return text.getvalue()


def write_folder(store: Store, pictures: Pictures, batch: int, folder: Path) -> None:
    """Write a batch as an image dataset; of an earlier one in the folder only what changed is written anew."""
    with store.reading() as session:
        one = session.get_one(Batch, batch)
        about = {name: getattr(one, name) for name in ("name", "source", "blind", "per_item", "opened_by")}
    lines = []
    for row in rows(store, batch):
        for column in ("file_name", "clean_file_name", "recovered_file_name"):
            target = folder / row[column] if column in row else None
            if target and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(pictures.path(target.name), target)
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    for name, text in ((TABLE, "".join(lines)), (ABOUT, json.dumps(about, ensure_ascii=False, indent=2) + "\n")):
        if not (folder / name).exists() or (folder / name).read_bytes() != text.encode():
            write_whole(folder / name, text.encode())


# --- reading ---


def about(folder: Path) -> tuple[Wanted, str]:
    """How the batch of a folder of `write_folder` was, and who opened it."""
    said = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return Wanted(said["name"], bool(said["blind"]), int(said["per_item"])), str(said["opened_by"])


def read(content: bytes, name: str) -> list[tuple[str, Mapping]]:
    """The verdicts of an exported table: (item's key, what `demo.annotate.imports` takes).

    Args:
        name: of the file; its suffix tells the format.

    Raises:
        ValueError: it is no such table; with a `Text` that names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(Text("annotate.row-value", table=name, line=1, cause="UTF-8")) from error
    if name.lower().endswith(".csv"):
        table = csv.DictReader(io.StringIO(text))
        if not {"key", "annotator", *SAID} <= set(table.fieldnames or ()):
            raise ValueError(Text("annotate.row-value", table=name, line=1, cause=", ".join(SAID)))
        return [_of_csv(row, name, number) for number, row in enumerate(table, 2)]
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
                verdicts = json.loads(row["verdicts"])
                found += [(row["key"], {**verdict}) for verdict in verdicts]
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(Text("annotate.row-value", table=name, line=number, cause=str(error)[:80])) from error
    return found


def _of_csv(row: Mapping, table: str, line: int) -> tuple[str, dict]:
    row = {column: _uncell(value or "") for column, value in row.items() if column}
    try:
        said = {mark: _untypes(row[mark]) for mark in ("absent", "weak", "right", "strong", "missed")}
        verdict = {
            "marks": {name: mark for mark, types in said.items() if mark != "missed" for name in types},
            "intensities": {name: v for mark in ("weak", "strong") for name, v in said[mark].items() if v is not None},
            "missed": said["missed"],
            **{name: {yes_no: value for value, yes_no in _YES_NO.items()}[row[name]] for name in QUESTIONS},
            "correct_answer": row["correct_answer"],
            "comment": row["comment"],
            "annotator": row["annotator"],
            "at": row.get("at") or None,
            "seconds": float(row["seconds"]) if row.get("seconds") else None,
        }
    except (KeyError, ValueError) as error:
        raise ValueError(Text("annotate.row-value", table=table, line=line, cause=str(error)[:80])) from error
    return row["key"], verdict


# --- one verdict ---


def _told(judgement: Judgement) -> dict:
    at = judgement.at.isoformat(timespec="milliseconds")
    seconds = None if judgement.seconds is None else round(judgement.seconds, 2)
    return {"annotator": judgement.annotator, "revision": judgement.revision, "at": at, "seconds": seconds}


def _said(verdict: Verdict) -> dict[str, str]:
    marked = {mark: {} for mark in ("absent", "weak", "right", "strong")}
    for name, mark in verdict.marks.items():
        marked[mark][name] = verdict.intensities.get(name)
    said = {mark: _types(types) for mark, types in marked.items()} | {"missed": _types(verdict.missed)}
    said |= {name: _YES_NO[getattr(verdict, name)] for name in QUESTIONS}
    return said | {"correct_answer": verdict.correct_answer, "comment": verdict.comment}


def _types(types: Mapping[str, float | None]) -> str:
    return ", ".join(name if value is None else f"{name}({value})" for name, value in types.items())


def _untypes(text: str) -> dict[str, float | None]:
    types = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, bracket, value = entry.rstrip(")").partition("(")
        types[name.strip()] = float(value) if bracket else None
    return types


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("'", *_FORMULA)) else text


def _uncell(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:2] in ("'", *_FORMULA) else text


def moment(value: object) -> datetime | None:
    """A moment as `read` gives it; None where it is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None
