"""Events shown later or slower than they came: recordings played back, texts at a pace to be read."""

import threading
import time
from collections.abc import Iterable, Iterator

from demo.present.recording import Recording
from demo.recovery.attempt import STOPPED
from demo.replies import RECOVERED, SIDES, Event, Recovered, Stats

TICK_S = 0.05
"""How finely a text is spread over time."""


def replay(recording: Recording, speed: float, stop: threading.Event | None = None) -> Iterator[Event]:
    """A recording's events at their true pace, or `speed` times as fast; once `stop` is set, all sides end."""
    begin, stopped = time.monotonic(), stop or threading.Event()
    counts = dict.fromkeys(recording.models, 0)
    ahead = recording.recovery
    for at, event in recording.events:
        while (left := begin + at / speed - time.monotonic()) > 0 and not stopped.is_set():
            yield Event(event.side)
            stopped.wait(min(left, 2 * TICK_S))
        if stopped.is_set():
            break
        if event.recovered:
            ahead = None
        elif event.done:
            counts.pop(event.side)
        else:
            counts[event.side] = event.tokens
        yield event
    if ahead:
        cut = {"progress": 0.0, "error": STOPPED, "image": False}
        yield Event(RECOVERED, recovered=Recovered(ahead[1].state | cut))
    for side, tokens in counts.items():
        yield Event(side, done=True, stats=Stats(tokens, None, None, "stopped"), tokens=tokens)


def paced(events: Iterable, characters_per_s: float, stop: threading.Event | None = None) -> Iterator:
    """The same events with each side's text spread out so that a hall can read along; what is slower stays as it is.

    Args:
        characters_per_s: how fast each side's text may appear; its last event comes when all of it is there.
        stop: once set, what is held back comes at once.
    """
    held = {side: _Held() for side in SIDES}
    stopped = stop or threading.Event()

    def due() -> Iterator:
        for side, one in held.items():
            yield from one.due(side, characters_per_s, stopped.is_set())

    for event in events:
        if event.recovered:
            yield event
        else:
            held[event.side].add(event)
        yield from due()
    while any(one.waits for one in held.values()):
        yield from due()
        stopped.wait(TICK_S)


class _Held:
    """One side's text that has come but is not shown yet."""

    def __init__(self):
        self.text, self.end, self.tokens, self.begin, self.sent = "", None, 0, None, 0
        self.by_index = False

    @property
    def waits(self) -> bool:
        return bool(self.text) or self.end is not None

    def add(self, event) -> None:
        self.text += event.text
        self.tokens = max(self.tokens, event.tokens)
        self.by_index = self.by_index or event.by_index
        if event.done:
            self.end = event
        if self.text and self.begin is None:
            self.begin = time.monotonic()

    def due(self, side: str, characters_per_s: float, at_once: bool) -> Iterator:
        if self.text:
            spent = time.monotonic() - self.begin
            count = len(self.text) if at_once else max(0, int(spent * characters_per_s) - self.sent)
            piece, self.text = self.text[:count], self.text[count:]
            self.sent += len(piece)
            if piece:
                yield Event(side, piece, tokens=self.tokens, by_index=self.by_index)
        if self.end is not None and not self.text:
            end, self.end = self.end, None
            yield Event(side, "", True, end.stats, end.error, end.tokens, by_index=self.by_index)
