"""Items that came without a prediction get the one of the page's own model."""

import threading
from collections.abc import Iterator
from contextlib import closing

from sqlalchemy import select, update

from demo import photos
from demo.annotate.batches import Batches
from demo.annotate.found import predicted_by
from demo.chain import question_with_options
from demo.models import Pair
from demo.store.tables import NAME_LENGTH, Item
from demo.streaming import stream
from demo.texts import Text


def predict(batches: Batches, batch: int, pair: Pair, stop: threading.Event | None = None) -> Iterator[tuple[int, int]]:
    """Have the degradation-aware model answer about the items that have no prediction; each is kept at once.

    Yields:
        (items done, items to do), at the beginning and after each.

    Raises:
        ValueError: the model failed; with a `Text` that says why. What was done stays.
    """
    with batches.store.reading() as session:
        wanting = session.scalars(
            select(Item).where(Item.batch_id == batch, Item.chain.is_(None)).order_by(Item.number)
        ).all()
    yield 0, len(wanting)
    for done, item in enumerate(wanting, 1):
        chain = _ask(batches, pair, item, stop)
        if chain is None:
            return
        values = {"chain": chain, "predicted": str(predicted_by(chain)), "model": str(pair.robust.label)[:NAME_LENGTH]}
        with batches.store.writing() as session:
            session.execute(update(Item).where(Item.id == item.id, Item.chain.is_(None)).values(**values))
        yield done, len(wanting)


def _ask(batches: Batches, pair: Pair, item: Item, stop: threading.Event | None) -> str | None:
    """What the degradation-aware side says about an item; None if it was stopped."""
    photo = pair.fit(photos.load(batches.pictures.path(item.picture)))
    question, text = question_with_options(item.question, list(item.options)), ""
    with closing(stream(pair, photo, question, stop=stop)) as events:
        for event in events:
            if event.side != pair.robust.name:
                continue
            text += event.text
            if event.error:
                raise ValueError(Text("annotate.model-failed", cause=event.error))
            if event.done:
                return None if event.stats and event.stats.stop_reason == "stopped" else text
    return None
