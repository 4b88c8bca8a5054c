"""The tables. A change here needs a migration beside it: see migrations/versions.

Judgements are only ever added: what an annotator says anew about an item is a further revision, so nobody's words, not
even their own from another window, are overwritten unseen. A seat says which revision counts.
"""

from datetime import UTC, datetime

from sqlalchemy import JSON, DateTime, Float, ForeignKey, Index, Integer, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAME_LENGTH = 100
"""Most characters of an annotator's, a batch's or a model's name."""


class UtcTime(TypeDecorator):
    """Moments with their time zone, also where the database forgets it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value, _):
        return value and value.astimezone(UTC)

    def process_result_value(self, value, _):
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Of every table."""

    type_annotation_map = {datetime: UtcTime, dict: JSON, list: JSON}  # noqa: RUF012


class Batch(Base):
    """Pictures with predictions to be judged.

    Attributes:
        name: unique; what the page lists.
        source: what it was opened from, in words.
        blind: truth and model's name are hidden from those who judge.
        per_item: how many annotators each item is handed to.
        opened_by: the name of whoever opened it.
    """

    __tablename__ = "batches"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    source: Mapped[str] = mapped_column(Text)
    blind: Mapped[bool]
    per_item: Mapped[int] = mapped_column(Integer)
    opened_by: Mapped[str] = mapped_column(String(NAME_LENGTH))
    opened_at: Mapped[datetime] = mapped_column(default=now)


class Item(Base):
    """One picture with one prediction.

    Attributes:
        number: its place in the batch, from 0.
        key: unique in the batch: what the picture was called, and by which model it was judged if by several.
        picture, clean: names of files in the folder of pictures; clean is the picture before it was degraded.
        recovered: the picture as it was recovered for the prediction, which was made from both; None otherwise.
        question, options, answer: what was asked; answer is the right one, None where it is not known.
        applied: the recipe that the picture was degraded by, as text; None where it is not known.
        model: whose prediction it is; None until there is one, and so are chain and predicted.
        chain: all that the model wrote.
        predicted: the recipe that it names.
    """

    __tablename__ = "items"
    __table_args__ = (UniqueConstraint("batch_id", "number"), UniqueConstraint("batch_id", "key"))
    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"))
    number: Mapped[int]
    key: Mapped[str] = mapped_column(String(500))
    picture: Mapped[str] = mapped_column(String(80))
    clean: Mapped[str | None] = mapped_column(String(80))
    question: Mapped[str] = mapped_column(Text)
    options: Mapped[list]
    answer: Mapped[str | None] = mapped_column(Text)
    applied: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    chain: Mapped[str | None] = mapped_column(Text)
    predicted: Mapped[str | None] = mapped_column(Text)
    recovered: Mapped[str | None] = mapped_column(String(80))


class Seat(Base):
    """Where one annotator stands with one item.

    Attributes:
        state: open (it lies on their desk), saved or skipped.
        revision: of the judgement that counts; 0 while there is none.
        at: since when.
    """

    __tablename__ = "seats"
    __table_args__ = (UniqueConstraint("item_id", "annotator"), Index("ix_seats_annotator", "annotator"))
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    annotator: Mapped[str] = mapped_column(String(NAME_LENGTH))
    state: Mapped[str] = mapped_column(String(10), default="open")
    revision: Mapped[int] = mapped_column(Integer, default=0)
    at: Mapped[datetime] = mapped_column(default=now)


class Judgement(Base):
    """One revision of what one annotator says about one item; the highest revision counts.

    Attributes:
        revision: 1, 2, …; unique for item and annotator, so that of two windows that save the second is told.
        state: saved, skipped or open again.
        verdict: what `demo.annotate.verdict.Verdict` is made of; {} unless saved.
        seconds: from the item's appearance to this; None where it is not known.
        undoes: the revision's id that this one took back.
    """

    __tablename__ = "judgements"
    __table_args__ = (
        UniqueConstraint("item_id", "annotator", "revision"),
        Index("ix_judgements_annotator", "annotator"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    annotator: Mapped[str] = mapped_column(String(NAME_LENGTH))
    revision: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    verdict: Mapped[dict]
    seconds: Mapped[float | None] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(default=now)
    undoes: Mapped[int | None] = mapped_column(ForeignKey("judgements.id"))
