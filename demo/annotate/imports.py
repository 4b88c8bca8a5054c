"""Verdicts from elsewhere put into a batch: nothing that is there is overwritten."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from degradations import Recipe
from demo.annotate.access import check_name
from demo.annotate.exports import moment
from demo.annotate.verdict import Verdict
from demo.store.database import Store
from demo.store.tables import Batch, Item, Judgement, Seat, now
from demo.texts import Text


@dataclass(frozen=True)
class Imported:
    """What became of verdicts: so many are new, so many were here already; and those that were left out: the item's
    key with the annotator's name where something else is here, the keys that the batch has no item for."""

    added: int
    same: int
    differing: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


def add_verdicts(store: Store, batch: int, entries: Iterable[tuple[str, Mapping]]) -> Imported:
    """Put verdicts into a batch, all in one transaction.

    Args:
        entries: as `demo.annotate.exports.read` gives them.

    Raises:
        ValueError: one of them does not fit its item's prediction; nothing was imported.
    """
    added, same, differing, unknown = 0, 0, [], []
    with store.writing() as session:
        if session.get(Batch, batch, with_for_update=True) is None:
            raise ValueError(Text("annotate.no-batch", batch=repr(batch)[:80]))
        items = {item.key: item for item in session.scalars(select(Item).where(Item.batch_id == batch))}
        seats = {
            (seat.item_id, seat.annotator): seat
            for seat in session.scalars(select(Seat).join(Item).where(Item.batch_id == batch))
        }
        for key, entry in entries:
            item = items.get(key)
            if item is None or item.predicted is None:
                unknown.append(str(key))
                continue
            annotator = check_name(entry.get("annotator"))
            raw = {name: entry[name] for name in Verdict.__dataclass_fields__ if name in entry}
            verdict = Verdict.read(raw, Recipe.parse(item.predicted)).as_json()
            seat = seats.get((item.id, annotator))
            if seat is not None and seat.revision:
                here = session.scalar(
                    select(Judgement.verdict).where(
                        Judgement.item_id == item.id,
                        Judgement.annotator == annotator,
                        Judgement.revision == seat.revision,
                        Judgement.state == "saved",
                    )
                )
                if here == verdict:
                    same += 1
                else:
                    differing.append((key, annotator))
                continue
            if seat is None:
                seat = seats[item.id, annotator] = Seat(item_id=item.id, annotator=annotator)
                session.add(seat)
            at, seconds = moment(entry.get("at")) or now(), entry.get("seconds")
            seat.state, seat.revision, seat.at = "saved", 1, at
            session.add(
                Judgement(
                    item_id=item.id, annotator=annotator, revision=1, state="saved", verdict=verdict, at=at,
                    seconds=seconds if isinstance(seconds, int | float) else None,
                )
            )  # fmt: skip
            session.flush()
            added += 1
    return Imported(added, same, tuple(differing), tuple(unknown))
