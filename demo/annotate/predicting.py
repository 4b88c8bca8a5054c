"""Items that came without a prediction get the one of the page's own model."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from PIL import Image
from sqlalchemy import select, update

from degradations import files
from demo import photos, settings
from demo.annotate.batches import Batches
from demo.annotate.found import predicted_by
from demo.chain import question_with_options
from demo.models import Pair
from demo.recovery.attempt import Attempt
from demo.recovery.joint import Joint
from demo.store.tables import NAME_LENGTH, Item
from demo.streaming import stream_batch
from demo.texts import Text


def predict(
    batches: Batches, batch: int, pair: Pair, stop: threading.Event | None = None, joint: Joint | None = None
) -> Iterator[tuple[int, int]]:
    """Have the degradation-aware model answer about the items that have no prediction; each is kept at once.

    Pictures with the same question go through the model together, `settings.SWEEP_BATCH` at a time. Closing the
    generator, or setting `stop`, ends it within a token; what is unfinished then is not kept.

    Args:
        joint: recovers every picture first, and answers from both; the recovered one is kept, too.

    Yields:
        (items done, items to do): at the beginning, after each, and every `settings.UPDATE_S` between them.

    Raises:
        ValueError: the model or the recovery failed; with a `Text` that says why. What was done stays.
    """
    with batches.store.reading() as session:
        wanting = session.scalars(
            select(Item).where(Item.batch_id == batch, Item.chain.is_(None)).order_by(Item.number)
        ).all()
    done, told = 0, time.monotonic()
    yield done, len(wanting)
    asked = joint or pair
    side = joint.side if joint else pair.robust
    for question, items in _together(wanting):
        images = [pair.fit(photos.load(batches.pictures.path(item.picture))) for item in items]
        recovered: list[Image.Image | None] = [None] * len(items)
        if joint:
            for number, photo in enumerate(images):
                for picture in _recover(joint, photo, stop):
                    recovered[number] = picture
                    yield done, len(wanting)
                if recovered[number] is None:
                    return
        texts = [""] * len(items)
        seen = list(zip(images, recovered, strict=True)) if joint else images
        with closing(stream_batch(asked, seen, question, stop=stop)) as events:
            for event in events:
                if event.side == side.name:
                    texts[event.picture] += event.text
                    if event.error:
                        raise ValueError(Text("annotate.model-failed", cause=event.error))
                    if event.done and event.stats and event.stats.stop_reason != "stopped":
                        item, chain = items[event.picture], texts[event.picture]
                        _keep(batches, item, chain, str(side.label), event.by_index, recovered[event.picture])
                        done, told = done + 1, 0.0
                if time.monotonic() - told >= settings.UPDATE_S:
                    told = time.monotonic()
                    yield done, len(wanting)
        if stop is not None and stop.is_set():
            return


def _recover(joint: Joint, photo: Image.Image, stop: threading.Event | None) -> Iterator[Image.Image | None]:
    """The recovered picture, None while it is not there; None at the end if it was stopped."""
    attempt = Attempt(joint.recovery, photo)
    try:
        for now in attempt.wait(stop):
            yield now.image
    finally:
        attempt.close()
    if attempt.image is None and not (stop and stop.is_set()):
        raise ValueError(Text("annotate.recovery-failed", cause=attempt.error))


def _together(items: Sequence[Item]) -> Iterator[tuple[str, list[Item]]]:
    """The items in groups that are asked the same."""
    alike: dict[str, list[Item]] = {}
    for item in items:
        alike.setdefault(question_with_options(item.question, list(item.options)), []).append(item)
    for question, group in alike.items():
        for first in range(0, len(group), settings.SWEEP_BATCH):
            yield question, group[first : first + settings.SWEEP_BATCH]


def _keep(batches: Batches, item: Item, chain: str, model: str, by_index: bool, recovered: Image.Image | None) -> None:
    values = {"chain": chain, "predicted": str(predicted_by(chain)), "model": model[:NAME_LENGTH]}
    values["by_index"] = by_index
    if recovered is not None:
        values["recovered"] = batches.pictures.keep(files.encode(recovered, "png"))
    with batches.store.writing() as session:
        session.execute(update(Item).where(Item.id == item.id, Item.chain.is_(None)).values(**values))
