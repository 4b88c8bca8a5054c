"""The tables. A change here needs a migration beside it: see migrations/versions.

Judgements are only ever added: what an annotator says anew about an item is a further revision, so nobody's words, not
even their own from another window, are overwritten unseen. A seat says which revision counts.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)  # fmt: skip
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
        by_index: whether a number that is its whole answer is an option's index, `demo.settings.Spec`.
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
    by_index: Mapped[bool] = mapped_column(default=False, server_default=false())


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


class Vote(Base):
    """What one visitor, who did not know the names, said about two answers.

    Attributes:
        ballot: the pair of answers as it was shown; it can be voted on once.
        item: hash of photo, question, recipe, seed, settings and models: what was asked, whoever asked it.
        voter: hash of a random mark that the visitor's browser made; nothing of their address.
        photo: an example's file name; None for a photo of the visitor's own, of which nothing is kept.
        options, answer: of the question; answer is the right one, None where it is not known.
        models: {side: {"name": …, "weights": hash}}; replies: {side: what it wrote}.
        first: the side that stood first.
        better, right: a side, ``both`` or ``neither``; right is None where the voter could not say.
        seconds: from the pair's appearance to the vote.
    """

    __tablename__ = "votes"
    __table_args__ = (UniqueConstraint("ballot"), UniqueConstraint("item", "voter"))
    id: Mapped[int] = mapped_column(primary_key=True)
    ballot: Mapped[str] = mapped_column(String(32))
    item: Mapped[str] = mapped_column(String(64))
    voter: Mapped[str] = mapped_column(String(64))
    photo: Mapped[str | None] = mapped_column(String(200))
    question: Mapped[str] = mapped_column(Text)
    options: Mapped[list]
    answer: Mapped[str | None] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(Integer)
    temperature: Mapped[float] = mapped_column(Float)
    max_new_tokens: Mapped[int] = mapped_column(Integer)
    models: Mapped[dict]
    replies: Mapped[dict]
    first: Mapped[str] = mapped_column(String(10))
    better: Mapped[str] = mapped_column(String(10))
    right: Mapped[str | None] = mapped_column(String(10))
    seconds: Mapped[float | None] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(default=now)


class SharedPhoto(Base):
    """A photo that somebody agreed to share; the picture itself lies in a folder, named by the id.

    Attributes:
        id: 128 random bits: who knows it sees the photo.
        key_hash: of the key that deletes it, which only the uploader has.
        sha256, bytes: of the picture's file.
        until: when it expires.
    """

    __tablename__ = "shared_photos"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(Integer)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(default=now)
    until: Mapped[datetime]
