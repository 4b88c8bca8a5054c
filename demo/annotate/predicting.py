"""Items that came without a prediction get the one of the page's own model."""

import threading
from collections.abc import Iterator
from contextlib import closing

from PIL import Image
from sqlalchemy import select, update

from degradations import files
from demo import photos
from demo.annotate.batches import Batches
from demo.annotate.found import predicted_by
from demo.chain import question_with_options
from demo.models import Pair
from demo.recovery.attempt import Attempt
from demo.recovery.joint import Joint
from demo.store.tables import NAME_LENGTH, Item
from demo.streaming import stream
from demo.texts import Text


def predict(
    batches: Batches, batch: int, pair: Pair, stop: threading.Event | None = None, joint: Joint | None = None
) -> Iterator[tuple[int, int]]:
    """Have the degradation-aware model answer about the items that have no prediction; each is kept at once.

    Args:
        joint: recovers every picture first, and answers from both; the recovered one is kept, too.

    Yields:
        (items done, items to do), at the beginning and after each.

    Raises:
        ValueError: the model or the recovery failed; with a `Text` that says why. What was done stays.
    """
    with batches.store.reading() as session:
        wanting = session.scalars(
            select(Item).where(Item.batch_id == batch, Item.chain.is_(None)).order_by(Item.number)
        ).all()
    yield 0, len(wanting)
    for done, item in enumerate(wanting, 1):
        photo = pair.fit(photos.load(batches.pictures.path(item.picture)))
        recovered, side = None, pair.robust
        if joint:
            side, recovered = joint.side, _recover(joint, photo, stop)
            if recovered is None:
                return
        chain = _ask(joint or pair, side.name, item, [photo, recovered] if joint else photo, stop)
        if chain is None:
            return
        values = {"chain": chain, "predicted": str(predicted_by(chain)), "model": str(side.label)[:NAME_LENGTH]}
        if recovered:
            values["recovered"] = batches.pictures.keep(files.encode(recovered, "png"))
        with batches.store.writing() as session:
            session.execute(update(Item).where(Item.id == item.id, Item.chain.is_(None)).values(**values))
        yield done, len(wanting)


def _recover(joint: Joint, photo: Image.Image, stop: threading.Event | None) -> Image.Image | None:
    """The recovered picture; None if it was stopped."""
    attempt = Attempt(joint.recovery, photo)
    try:
        for _ in attempt.wait(stop):
            pass
    finally:
        attempt.close()
    if attempt.image is None and not (stop and stop.is_set()):
        raise ValueError(Text("annotate.recovery-failed", cause=attempt.error))
    return attempt.image


def _ask(
    asked: Pair | Joint, side: str, item: Item, pictures: Image.Image | list[Image.Image], stop: threading.Event | None
) -> str | None:
    """What a side says about an item; None if it was stopped."""
    question, text = question_with_options(item.question, list(item.options)), ""
    with closing(stream(asked, pictures, question, stop=stop)) as events:
        for event in events:
            if event.side != side:
                continue
            text += event.text
            if event.error:
                raise ValueError(Text("annotate.model-failed", cause=event.error))
            if event.done:
                return None if event.stats and event.stats.stop_reason == "stopped" else text
    return None
