"""Runs that were kept: what both models said and when, to be played back without a model.

A recording is JSON:

- `format`: "recorded run 1"
- `made`: when, ISO 8601 in UTC; `models`: {baseline, robust} by name
- `question` with its options, `recipe`, `seed`, `temperature`, `max_new_tokens`
- `photo`: an example's file name, or a PNG of the photo at the size the models worked at, in base64
- `events`: [seconds since the question, side, text, tokens, done, stats or null, error or null], in order
- `replies`: {baseline, robust}, what the events say as a whole
- `by_index`: the sides whose answers are an option's index
- `versions`, `checkpoints`: what `demo.provenance` says of the models; recordings of old lack them and the two before
"""

import base64
import binascii
import io
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from degradations import Recipe, files
from demo import settings
from demo.texts import Text, reason

FORMAT = "recorded run 1"
SIDES = ("baseline", "robust")
STOP_REASONS = ("eos", "length", "stopped", "error")
TICK_S = 0.05
"""How finely a text is spread over time."""


@dataclass(frozen=True)
class Stats:
    """How an answer went; the same as `demo.generation.Stats`, which needs the models' libraries."""

    tokens: int
    ttft_s: float | None
    tokens_per_s: float | None
    stop_reason: str


@dataclass(frozen=True)
class Event:
    """News from one side; of `demo.generation.Event` what a recording needs."""

    side: str
    text: str = ""
    done: bool = False
    stats: Stats | None = None
    error: str | None = None
    tokens: int = 0
    by_index: bool = False


@dataclass(frozen=True)
class Recording:
    """One kept run.

    Attributes:
        photo: an example's file name, or the photo itself (mode RGB).
        events: (seconds since the question, event), in order.
        provenance: `demo.provenance.provenance`, {} where it is not known.
    """

    made: str
    models: Mapping[str, str]
    question: str
    recipe: Recipe
    seed: int
    temperature: float
    max_new_tokens: int
    photo: Image.Image | str
    events: tuple[tuple[float, Event], ...]
    provenance: Mapping = field(default_factory=dict)

    @property
    def replies(self) -> dict[str, str]:
        """What each side has said."""
        return {side: "".join(event.text for _, event in self.events if event.side == side) for side in SIDES}

    def as_json(self) -> bytes:
        """The recording as the module describes it."""
        photo = self.photo
        if not isinstance(photo, str):
            photo = {"png": base64.b64encode(files.encode(photo, "png")).decode()}
        return json.dumps(
            {
                "format": FORMAT,
                "made": self.made,
                "models": dict(self.models),
                "question": self.question,
                "recipe": str(self.recipe),
                "seed": self.seed,
                "temperature": self.temperature,
                "max_new_tokens": self.max_new_tokens,
                **self.provenance,
                "replies": self.replies,
                "by_index": sorted({event.side for _, event in self.events if event.by_index}),
                "photo": photo,
                "events": [
                    [round(at, 3), e.side, e.text, e.tokens, e.done, asdict(e.stats) if e.stats else None, e.error]
                    for at, e in self.events
                ],
            },
            ensure_ascii=False,
        ).encode()


class Recorder:
    """Passes a run's events on and keeps them."""

    def __init__(self, models: Mapping[str, str], question: str, recipe: Recipe, seed: int, temperature: float,
                 max_new_tokens: int, photo: Image.Image | str, provenance: Mapping = {}):  # fmt: skip
        self._about = models, question, recipe, seed, temperature, max_new_tokens, photo
        self._provenance = provenance
        self._events: list[tuple[float, Event]] = []

    def record(self, events: Iterable) -> Iterator:
        """The same events; heartbeats are not kept."""
        begin = time.monotonic()
        for event in events:
            if event.text or event.done:
                stats = Stats(**asdict(event.stats)) if event.stats else None
                kept = Event(
                    event.side, event.text, event.done, stats, event.error, event.tokens, by_index=event.by_index
                )
                self._events.append((time.monotonic() - begin, kept))
            yield event

    def recording(self) -> Recording:
        """What has been kept so far."""
        models, question, recipe, seed, temperature, max_new_tokens, photo = self._about
        made = datetime.now(UTC).isoformat(timespec="seconds")
        return Recording(
            made, models, question, recipe, seed, temperature, max_new_tokens, photo, tuple(self._events),
            self._provenance,
        )  # fmt: skip


def read(content: bytes) -> Recording:
    """A recording from its JSON, which may come from anyone.

    Raises:
        ValueError: it is too large, no such JSON, or says something impossible.
    """
    if len(content) > settings.MAX_RECORDING_BYTES:
        raise ValueError(Text("present.recording-too-large", most=settings.MAX_RECORDING_BYTES // 1_000_000))
    try:
        raw = json.loads(content)
        if raw["format"] != FORMAT:
            raise ValueError(Text("present.run-format", found=repr(raw["format"]), known=repr(FORMAT)))
        question = raw["question"]
        if not isinstance(question, str) or not 0 < len(question) <= settings.MAX_QUESTION_CHARACTERS:
            raise ValueError(Text("present.run-question", most=settings.MAX_QUESTION_CHARACTERS))
        recording = Recording(
            made=str(raw["made"])[:40],
            models={name: str(raw["models"][name])[:200] for name in SIDES},
            question=question,
            recipe=Recipe.parse(raw["recipe"]),
            seed=int(raw["seed"]),
            temperature=float(raw["temperature"]),
            max_new_tokens=int(raw["max_new_tokens"]),
            photo=_photo(raw["photo"]),
            events=tuple(_events(raw["events"], raw.get("by_index", []))),
            provenance=_provenance(raw),
        )
        if raw.get("replies", recording.replies) != recording.replies:
            raise ValueError(Text("present.run-replies"))
        return recording
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        said = Text("present.lacks", name=str(error)) if isinstance(error, KeyError) else reason(error)
        raise ValueError(Text("present.bad-recording", reason=said)) from error


def _photo(photo: object) -> Image.Image | str:
    if isinstance(photo, str):
        if Path(photo).name != photo:
            raise ValueError(Text("present.run-photo"))
        return photo
    try:
        return files.read_photo(io.BytesIO(base64.b64decode(photo["png"], validate=True)), settings.MAX_PHOTO_PIXELS)
    except binascii.Error as error:
        raise ValueError(Text("present.run-picture")) from error


def _provenance(raw: Mapping) -> dict:
    """Versions and checkpoints as far as they are said; texts of a reasonable length, no more."""
    found = {}
    if "versions" in raw:
        found["versions"] = {str(name)[:100]: str(value)[:100] for name, value in list(raw["versions"].items())[:50]}
    if "checkpoints" in raw:
        found["checkpoints"] = {
            side: {
                str(name)[:100]: value if value is None else str(value)[: settings.MAX_QUESTION_CHARACTERS]
                for name, value in list(raw["checkpoints"][side].items())[:20]
            }
            for side in SIDES
        }
    return found


def _events(rows: list, by_index: list[str]) -> Iterator[tuple[float, Event]]:
    last, speaking = 0.0, set(SIDES)
    for at, side, text, tokens, done, stats, error in rows:
        if side not in speaking or not isinstance(text, str) or not float(at) >= last:
            raise ValueError(Text("present.run-order"))
        last = float(at)
        if last > settings.LONGEST_RUN_S:
            raise ValueError(Text("present.run-long", most=settings.LONGEST_RUN_S))
        if done:
            speaking.discard(side)
        read_stats = None
        if stats is not None:
            numbers = [None if stats[name] is None else float(stats[name]) for name in ("ttft_s", "tokens_per_s")]
            if stats["stop_reason"] not in STOP_REASONS:
                raise ValueError(Text("present.run-ended", found=repr(stats["stop_reason"])))
            read_stats = Stats(int(stats["tokens"]), *numbers, stats["stop_reason"])
        if bool(done) != (read_stats is not None):
            raise ValueError(Text("present.run-figures"))
        failure = None if error is None else str(error)
        yield last, Event(side, text, bool(done), read_stats, failure, int(tokens), by_index=side in by_index)
    if speaking:
        raise ValueError(Text("present.run-open", sides=", ".join(sorted(speaking))))


def replay(recording: Recording, speed: float, stop: threading.Event | None = None) -> Iterator[Event]:
    """A recording's events at their true pace, or `speed` times as fast; once `stop` is set, both sides end."""
    begin, stopped = time.monotonic(), stop or threading.Event()
    counts = dict.fromkeys(SIDES, 0)
    for at, event in recording.events:
        while (left := begin + at / speed - time.monotonic()) > 0 and not stopped.is_set():
            yield Event(event.side)
            stopped.wait(min(left, 2 * TICK_S))
        if stopped.is_set():
            break
        if event.done:
            counts.pop(event.side)
        else:
            counts[event.side] = event.tokens
        yield event
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
