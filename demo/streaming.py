"""Two answers at the same time, as one stream of events."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from demo import settings
from demo.checkpoints import on_zero_gpu
from demo.generation import Request, answer
from demo.replies import Event, Stats

if TYPE_CHECKING:
    from demo.models import Pair, Side


def stream(
    pair: "Pair",
    image: Image.Image | Sequence[Image.Image],
    question: str,
    *,
    temperature: float = settings.TEMPERATURE,
    max_new_tokens: int | None = None,
    seed: int = settings.SEED,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Ask both sides about an image, and pass on what they say as they say it.

    Sides of one checkpoint run as one batch, those of two at the same time; neither waits for the other. Closing the
    generator ends both within a token and frees the models, also while it waits for them: at least every
    `settings.HEARTBEAT_S` it yields something.

    Args:
        pair: or a `demo.recovery.joint.Joint`, whose one side is asked about several images together.
        image: mode RGB, at the working resolution (`pair.fit`), degraded as it should be seen; or several, which one
            question is about: the degraded and the recovered one.
        question: with its options, without a prompt.
        temperature: 0 is greedy.
        max_new_tokens: None for the pair's own default.
        seed: the same seed draws the same answer.
        stop: once set, both sides end within a token, and their last events say ``stopped``.

    Yields:
        Events; the last one of each side has `done` and `stats`. A side that fails ends with an `error`; the other goes
        on.
    """
    asked = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed, "stop": stop}
    yield from stream_batch(pair, [image], question, **asked)


def stream_batch(
    pair: "Pair",
    images: Sequence[Image.Image | Sequence[Image.Image]],
    question: str,
    *,
    temperature: float = settings.TEMPERATURE,
    max_new_tokens: int | None = None,
    seed: int = settings.SEED,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Ask both sides about several images at once, as one batch a checkpoint: `stream` for each, in less time.

    Args:
        images: each as in `stream`, at least one; all of them are in memory at the same time.

    Yields:
        Events as `stream` does; `Event.picture` says which image they are about.
    """
    arguments = (list(images), question, temperature, max_new_tokens or pair.max_new_tokens, seed)
    if not on_zero_gpu():
        yield from pair.answers(*arguments, stop)
        return
    # Only plain values reach ZeroGPU's process: here a stop is closing the generator, and the last events are ours.
    begin, first = time.monotonic(), {}
    tokens = {(picture, side.name): 0 for picture in range(len(images)) for side in pair.sides}
    with closing(pair.answers(*arguments)) as events:
        for event in events:
            row = event.picture, event.side
            if event.tokens:
                first.setdefault(row, time.monotonic())
            if event.done:
                tokens.pop(row, None)
            else:
                tokens[row] = max(tokens[row], event.tokens)
            yield event
            if stop is not None and stop.is_set():
                break
    for (picture, side), count in tokens.items():
        began = first.get((picture, side))
        ttft = None if began is None else began - begin
        speed = (count - 1) / (time.monotonic() - began) if count > 1 else None
        yield Event(side, "", True, Stats(count, ttft, speed, "stopped"), None, count, picture)


def on_gpu(sides: Sequence["Side"]) -> Callable[..., Iterator[Event]]:
    """The generator function that answers for these sides, decorated for ZeroGPU where this is a ZeroGPU Space."""

    def answers(images, question, temperature, max_new_tokens, seed, stop=None):
        flush = settings.ZERO_GPU_FLUSH_S if on_zero_gpu() else settings.FLUSH_S
        yield from _answers(sides, Request(images, question, temperature, max_new_tokens, seed), stop, flush)

    if not on_zero_gpu():
        return answers
    import spaces

    return spaces.GPU(answers, duration=gpu_seconds)


def gpu_seconds(images, question, temperature, max_new_tokens, seed) -> int:
    """How long ZeroGPU has to lend its GPU for one comparison, or for a batch of them."""
    more = (len(images) - 1) * settings.ZERO_GPU_MORE_S
    return round(settings.ZERO_GPU_START_S + more + max_new_tokens / settings.ZERO_GPU_TOKENS_PER_S)


def _answers(sides: Sequence["Side"], request: Request, stop: threading.Event | None, flush: float) -> Iterator[Event]:
    inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
    closed = threading.Event()

    def halted() -> bool:
        return closed.is_set() or (stop is not None and stop.is_set())

    batches: dict[int, list[Side]] = {}
    for side in sides:
        batches.setdefault(id(side.checkpoint), []).append(side)
    workers = [
        threading.Thread(
            target=answer,
            args=(batch, request, inbox.put, halted, max(1, batch[0].checkpoint.threads // len(batches))),
            daemon=True,
        )
        for batch in batches.values()
    ]
    speaking = {(picture, side.name) for picture in range(len(request.images)) for side in sides}
    try:
        for worker in workers:
            worker.start()
        while speaking:
            for event in _gathered(inbox, flush) or [_heartbeat(*min(speaking))]:
                if event.done:
                    speaking.discard((event.picture, event.side))
                yield event
    finally:
        closed.set()
        for worker in workers:
            worker.join()


def _heartbeat(picture: int, side: str) -> Event:
    return Event(side, picture=picture)


def _gathered(inbox: queue.SimpleQueue, flush: float) -> list[Event]:
    """What has come in, one event a side and picture; empty when nothing comes for a while."""
    try:
        news = [inbox.get(timeout=settings.HEARTBEAT_S)]
    except queue.Empty:
        return []
    time.sleep(flush)
    while not inbox.empty():
        news.append(inbox.get())
    merged: dict[tuple[int, str], Event] = {}
    for event in news:
        row = event.picture, event.side
        before = merged.get(row)
        merged[row] = replace(event, text=before.text + event.text) if before else event
    return list(merged.values())
