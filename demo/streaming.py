"""Two answers at the same time, as one stream of events."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from PIL import Image

from demo import settings
from demo.checkpoints import on_zero_gpu
from demo.generation import Event, Request, Stats, answer

if TYPE_CHECKING:
    from demo.models import Pair, Side


def stream(
    pair: "Pair",
    image: Image.Image,
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
        image: mode RGB, at the working resolution (`pair.fit`), degraded as it should be seen.
        question: with its options, without a prompt.
        temperature: 0 is greedy.
        max_new_tokens: None for the pair's own default.
        seed: the same seed draws the same answer.
        stop: once set, both sides end within a token, and their last events say ``stopped``.

    Yields:
        Events; the last one of each side has `done` and `stats`. A side that fails ends with an `error`; the other goes
        on.
    """
    arguments = (image, question, temperature, max_new_tokens or pair.max_new_tokens, seed)
    if not on_zero_gpu():
        yield from pair.answers(*arguments, stop)
        return
    # Only plain values reach ZeroGPU's process: here a stop is closing the generator, and the last events are ours.
    begin, first, tokens = time.monotonic(), {}, {side.name: 0 for side in pair.sides}
    with closing(pair.answers(*arguments)) as events:
        for event in events:
            if event.tokens:
                first.setdefault(event.side, time.monotonic())
            if event.done:
                tokens.pop(event.side, None)
            else:
                tokens[event.side] = max(tokens[event.side], event.tokens)
            yield event
            if stop is not None and stop.is_set():
                break
    for side, count in tokens.items():
        ttft = first[side] - begin if side in first else None
        speed = (count - 1) / (time.monotonic() - first[side]) if count > 1 else None
        yield Event(side, done=True, stats=Stats(count, ttft, speed, "stopped"), tokens=count)


def on_gpu(sides: Sequence["Side"]) -> Callable[..., Iterator[Event]]:
    """The generator function that answers for these sides, decorated for ZeroGPU where this is a ZeroGPU Space."""

    def answers(image, question, temperature, max_new_tokens, seed, stop=None):
        flush = settings.ZERO_GPU_FLUSH_S if on_zero_gpu() else settings.FLUSH_S
        yield from _answers(sides, Request(image, question, temperature, max_new_tokens, seed), stop, flush)

    if not on_zero_gpu():
        return answers
    import spaces

    return spaces.GPU(answers, duration=gpu_seconds)


def gpu_seconds(image, question, temperature, max_new_tokens, seed) -> int:
    """How long ZeroGPU has to lend its GPU for one comparison."""
    return round(settings.ZERO_GPU_START_S + max_new_tokens / settings.ZERO_GPU_TOKENS_PER_S)


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
    speaking = {side.name for side in sides}
    try:
        for worker in workers:
            worker.start()
        while speaking:
            for event in _gathered(inbox, flush) or [Event(min(speaking))]:
                if event.done:
                    speaking.discard(event.side)
                yield event
    finally:
        closed.set()
        for worker in workers:
            worker.join()


def _gathered(inbox: queue.SimpleQueue, flush: float) -> list[Event]:
    """What has come in, one event a side; empty when nothing comes for a while."""
    try:
        news = [inbox.get(timeout=settings.HEARTBEAT_S)]
    except queue.Empty:
        return []
    time.sleep(flush)
    while not inbox.empty():
        news.append(inbox.get())
    merged: dict[str, Event] = {}
    for event in news:
        before = merged.get(event.side)
        if before:
            event = Event(event.side, before.text + event.text, event.done, event.stats, event.error, event.tokens)
        merged[event.side] = event
    return list(merged.values())
