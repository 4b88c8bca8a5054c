"""Items handed out to annotators, and what they say taken back in. Every method is one transaction.

An item goes to as many annotators as its batch says; one that lies on a desk counts as taken for `LEASE`. What a method
returns is in the database for good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from degradations import Recipe
from demo.annotate.verdict import Verdict
from demo.chain import parse_chain, read_answer
from demo.store.database import Store
from demo.store.tables import Batch, Item, Judgement, Seat, now
from demo.texts import Text

LEASE = timedelta(minutes=15)
"""How long an item that was handed out waits for its verdict before it goes to another annotator, too."""


class ConflictError(ValueError):
    """The same annotator has said something else about the item meanwhile, in another window."""


@dataclass(frozen=True)
class Task:
    """An item as an annotator gets it.

    Attributes:
        id, number: of the item, and its place in the batch.
        key, picture, clean, recovered, question, options: as in `demo.store.tables.Item`.
        chain, predicted, by_index: the prediction, and how its answer is read.
        model, applied, answer: None in a blind batch.
        blind: whether they are hidden.
        state, revision, verdict: what this annotator has said so far; open, 0 and None where nothing.
    """

    id: int
    batch: int
    number: int
    key: str
    picture: str
    clean: str | None
    question: str
    options: tuple[str, ...]
    chain: str
    predicted: Recipe
    model: str | None
    applied: Recipe | None
    answer: str | None
    blind: bool
    state: str
    revision: int
    verdict: Verdict | None
    recovered: str | None = None
    by_index: bool = False

    @property
    def choice(self) -> int | None:
        """The index of the option that the prediction's answer means; None where it means none."""
        return read_answer(parse_chain(self.chain).answer, list(self.options), self.by_index)


@dataclass(frozen=True)
class Progress:
    """Of one annotator in a batch: items saved, skipped, and still to be had; and of the batch: items in all, those
    with a prediction, and those that as many annotators have judged as it wants."""

    saved: int
    skipped: int
    left: int
    items: int
    predicted: int
    finished: int


class Desk:
    """What annotators do; `annotator` is always a name that was checked (see access.py)."""

    def __init__(self, store: Store):
        self.store = store

    def next(self, batch: int, annotator: str) -> Task | None:
        """The item that lies on the annotator's desk, or else the next one; None where none is left."""
        with self.store.writing() as session:
            wanted = _batch(session, batch, alone=True)
            mine = session.scalars(
                select(Item)
                .join(Seat)
                .where(Item.batch_id == batch, Seat.annotator == annotator, Seat.state == "open")
                .order_by(Seat.at.desc(), Seat.id.desc())
            ).first()
            item = mine or session.scalars(_free(wanted, annotator).order_by(Item.number).limit(1)).first()
            if item is None:
                return None
            seat = _seat(session, item, annotator)
            seat.state, seat.at = "open", now()
            return _task(session, item, seat)

    def task(self, item: int, annotator: str) -> Task:
        """An item as it stands, without handing it out."""
        with self.store.reading() as session:
            found = _item(session, item)
            seat = session.scalar(select(Seat).where(Seat.item_id == item, Seat.annotator == annotator))
            return _task(session, found, seat or Seat(item_id=item, annotator=annotator, state="open", revision=0))

    def save(self, item: int, annotator: str, verdict: object, revision: int) -> int:
        """Keep a verdict; returns its revision.

        Args:
            verdict: as `Verdict.read` takes it.
            revision: of what the annotator saw when they began, 0 for nothing.

        Raises:
            ConflictError: another window of theirs has saved meanwhile; what that said is kept.
            ValueError: no such item, or the verdict does not fit its prediction.
        """
        return self._add(item, annotator, "saved", verdict, revision)

    def skip(self, item: int, annotator: str, revision: int) -> int:
        """Put an item aside without a verdict; otherwise as `save`."""
        return self._add(item, annotator, "skipped", None, revision)

    def undo(self, batch: int, annotator: str) -> Task | None:
        """Take back the annotator's last save or skip in a batch; again, the one before. None where none is left."""
        with self.store.writing() as session:
            _batch(session, batch, alone=True)
            undone = select(Judgement.undoes).where(Judgement.annotator == annotator, Judgement.undoes.is_not(None))
            done = (
                select(Judgement)
                .join(Item, Item.id == Judgement.item_id)
                .where(Item.batch_id == batch, Judgement.annotator == annotator)
                .where(Judgement.undoes.is_(None), Judgement.id.not_in(undone))
                .order_by(Judgement.id.desc())
            )
            last = session.scalars(done.limit(1)).first()
            if last is None:
                return None
            before = session.scalars(
                done.where(Judgement.item_id == last.item_id, Judgement.id < last.id).limit(1)
            ).first()
            item = _item(session, last.item_id)
            seat = _seat(session, item, annotator)
            seat.revision += 1
            seat.state, seat.at = (before.state if before else "open"), now()
            session.add(
                Judgement(
                    item_id=item.id, annotator=annotator, revision=seat.revision, state=seat.state,
                    verdict=before.verdict if before else {}, undoes=last.id,
                )
            )  # fmt: skip
            session.flush()
            return _task(session, item, seat)

    def back(self, batch: int, annotator: str, item: int | None) -> Task | None:
        """What the annotator saved or skipped before this item; their last one if they have not. None at the first."""
        with self.store.reading() as session:
            _batch(session, batch)
            done = (
                select(Item, Seat)
                .join(Seat)
                .where(Item.batch_id == batch, Seat.annotator == annotator, Seat.state != "open")
                .order_by(Seat.at.desc(), Seat.id.desc())
            )
            at = Seat.item_id == (item if type(item) is int else None)
            here = session.scalar(select(Seat).where(at, Seat.annotator == annotator))
            if here is not None and here.state != "open":
                done = done.where(or_(Seat.at < here.at, and_(Seat.at == here.at, Seat.id < here.id)))
            found = session.execute(done.limit(1)).first()
            return _task(session, *found) if found else None

    def progress(self, batch: int, annotator: str) -> Progress:
        """How far the annotator, and the batch, have come."""
        with self.store.reading() as session:
            wanted = _batch(session, batch)
            states = dict(
                session.execute(
                    select(Seat.state, func.count())
                    .join(Item)
                    .where(Item.batch_id == batch, Seat.annotator == annotator)
                    .group_by(Seat.state)
                ).all()
            )
            items = select(func.count()).select_from(Item).where(Item.batch_id == batch)
            saved = select(func.count()).where(Seat.item_id == Item.id, Seat.state == "saved").scalar_subquery()
            return Progress(
                saved=states.get("saved", 0),
                skipped=states.get("skipped", 0),
                left=session.scalar(select(func.count()).select_from(_free(wanted, annotator).subquery())),
                items=session.scalar(items),
                predicted=session.scalar(items.where(Item.chain.is_not(None))),
                finished=session.scalar(items.where(saved >= wanted.per_item)),
            )

    def _add(self, item: int, annotator: str, state: str, raw: object, revision: int) -> int:
        with self.store.writing() as session:
            found = _item(session, item)
            _batch(session, found.batch_id, alone=True)  # of two windows the second waits here
            if found.predicted is None:
                raise ValueError(Text("annotate.not-predicted"))
            verdict = {} if state == "skipped" else Verdict.read(raw, Recipe.parse(found.predicted)).as_json()
            seat = _seat(session, found, annotator)
            if seat.revision != revision:
                raise ConflictError(Text("annotate.conflict"))
            moment = now()
            waited = (moment - seat.at).total_seconds() if seat.id and seat.state == "open" else None
            seat.revision, seat.state, seat.at = revision + 1, state, moment
            session.add(
                Judgement(
                    item_id=item, annotator=annotator, revision=seat.revision, state=state, verdict=verdict,
                    seconds=waited, at=moment,
                )
            )  # fmt: skip
            return revision + 1


def _free(batch: Batch, annotator: str):
    """The items of a batch that this annotator may have next."""
    mine, other = aliased(Seat), aliased(Seat)
    done = exists().where(mine.item_id == Item.id, mine.annotator == annotator, mine.state != "open")
    taken = (
        select(func.count())
        .where(other.item_id == Item.id, other.annotator != annotator)
        .where(or_(other.state == "saved", and_(other.state == "open", other.at > now() - LEASE)))
        .scalar_subquery()
    )
    return select(Item).where(Item.batch_id == batch.id, Item.chain.is_not(None), ~done, taken < batch.per_item)


def _batch(session: Session, batch: int, alone: bool = False) -> Batch:
    """A batch; `alone` in it, nobody else hands out or saves until the session's end."""
    found = session.get(Batch, batch, with_for_update=alone or None) if type(batch) is int else None
    if found is None:
        raise ValueError(Text("annotate.no-batch", batch=repr(batch)[:80]))
    return found


def _item(session: Session, item: int) -> Item:
    found = session.get(Item, item) if type(item) is int else None
    if found is None:
        raise ValueError(Text("annotate.no-item", item=repr(item)[:80]))
    return found


def _seat(session: Session, item: Item, annotator: str) -> Seat:
    """The annotator's seat at an item; a new one if need be."""
    seat = session.scalar(select(Seat).where(Seat.item_id == item.id, Seat.annotator == annotator))
    if seat is None:
        seat = Seat(item_id=item.id, annotator=annotator, state="open", revision=0, at=now())
        session.add(seat)
        session.flush()
    return seat


def _task(session: Session, item: Item, seat: Seat) -> Task:
    batch = session.get(Batch, item.batch_id)
    predicted = Recipe.parse(item.predicted or "")
    said: Mapping | None = None
    if seat.revision:
        said = session.scalar(
            select(Judgement.verdict).where(
                Judgement.item_id == item.id,
                Judgement.annotator == seat.annotator,
                Judgement.revision == seat.revision,
                Judgement.state == "saved",
            )
        )
    applied = None if item.applied is None else Recipe.parse(item.applied)
    return Task(
        id=item.id,
        batch=item.batch_id,
        number=item.number,
        key="" if batch.blind else item.key,
        picture=item.picture,
        clean=item.clean,
        question=item.question,
        options=tuple(item.options),
        chain=item.chain or "",
        predicted=predicted,
        model=None if batch.blind else item.model,
        applied=None if batch.blind else applied,
        answer=None if batch.blind else item.answer,
        blind=batch.blind,
        state=seat.state,
        revision=seat.revision,
        verdict=None if said is None else Verdict.read(said, predicted),
        recovered=item.recovered,
        by_index=item.by_index,
    )
