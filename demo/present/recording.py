"""Runs that were kept: what all sides said and when, to be played back without a model.

A recording is JSON:

- `format`: "recorded run 2"; version 1, which is read as well, has no recovery
- `made`: when, ISO 8601 in UTC; `models`: {side: name} of baseline, robust and, where it was asked, recovered
- `question` with its options, `recipe`, `seed`, `temperature`, `max_new_tokens`
- `photo`: an example's file name, or a PNG of the photo at the size the models worked at, in base64
- `events`: [seconds since the question, side, text, tokens, done, stats or null, error or null], in order
- `replies`: {side: what the events say as a whole}
- `by_index`: the sides whose answers are an option's index
- `versions`, `checkpoints`: what `demo.provenance` says of the models; recordings of old lack them and the two before
- `recovery`, only with the side recovered: `at` (seconds since the question when it ended), `error` (null, or why there
  is no picture), `picture` (null, or as `photo`), and of `demo.recovery.panels.state_of` what stays: `seconds`,
  `unchanged`, and of a picture `share`, `before`, `after`, `encoder`
"""

import base64
import binascii
import io
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from degradations import Recipe, files
from demo import settings
from demo.recovery.attempt import STOPPED
from demo.recovery.panels import MEASURES
from demo.replies import PAIR, RECOVERED, SIDES, Event, Recovered, Stats
from demo.texts import Text, reason

FORMAT = "recorded run 2"
FORMATS = ("recorded run 1", FORMAT)
STOP_REASONS = ("eos", "length", "stopped", "error")


@dataclass(frozen=True)
class Recording:
    """One kept run.

    Attributes:
        photo: an example's file name, or the photo itself (mode RGB).
        models: of every side that was asked.
        events: (seconds since the question, event), in order; of a recovery how it ended.
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
        return {side: "".join(event.text for _, event in self.events if event.side == side) for side in self.models}

    @property
    def recovery(self) -> tuple[float, Recovered] | None:
        """When the recovery ended, and how; None where nothing was to be recovered."""
        return next(((at, event.recovered) for at, event in self.events if event.recovered), None)

    def as_json(self) -> bytes:
        """The recording as the module describes it."""
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
                "photo": self.photo if isinstance(self.photo, str) else _as_png(self.photo),
                "events": [
                    [round(at, 3), e.side, e.text, e.tokens, e.done, asdict(e.stats) if e.stats else None, e.error]
                    for at, e in self.events
                    if not e.recovered
                ],
                **({"recovery": _as_json(*self.recovery)} if self.recovery else {}),
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

    @property
    def sides(self) -> tuple[str, ...]:
        """Those that are asked."""
        return tuple(self._about[0])

    def record(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same events; heartbeats, and how a recovery got on before it ended, are not kept."""
        begin = time.monotonic()
        for event in events:
            if event.text or event.done or (event.recovered and event.recovered.state["done"]):
                self._events.append((time.monotonic() - begin, event))
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
        if raw["format"] not in FORMATS:
            raise ValueError(Text("present.run-format", found=repr(raw["format"]), known=", ".join(FORMATS)))
        question = raw["question"]
        if not isinstance(question, str) or not 0 < len(question) <= settings.MAX_QUESTION_CHARACTERS:
            raise ValueError(Text("present.run-question", most=settings.MAX_QUESTION_CHARACTERS))
        sides = [side for side in SIDES if side in PAIR or side in raw["models"]]
        events = list(_events(raw["events"], raw.get("by_index", []), sides))
        if RECOVERED in sides:
            events = _with_recovery(raw["recovery"], events)
        recording = Recording(
            made=str(raw["made"])[:40],
            models={side: str(raw["models"][side])[:200] for side in sides},
            question=question,
            recipe=Recipe.parse(raw["recipe"]),
            seed=int(raw["seed"]),
            temperature=float(raw["temperature"]),
            max_new_tokens=int(raw["max_new_tokens"]),
            photo=_photo(raw["photo"]),
            events=tuple(events),
            provenance=_provenance(raw, sides),
        )
        if raw.get("replies", recording.replies) != recording.replies:
            raise ValueError(Text("present.run-replies"))
        return recording
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        said = Text("present.lacks", name=str(error)) if isinstance(error, KeyError) else reason(error)
        raise ValueError(Text("present.bad-recording", reason=said)) from error


def _photo(photo: object) -> Image.Image | str:
    if not isinstance(photo, str):
        return _picture(photo)
    if Path(photo).name != photo:
        raise ValueError(Text("present.run-photo"))
    return photo


def _picture(picture: Mapping) -> Image.Image:
    try:
        return files.read_photo(io.BytesIO(base64.b64decode(picture["png"], validate=True)), settings.MAX_PHOTO_PIXELS)
    except binascii.Error as error:
        raise ValueError(Text("present.run-picture")) from error


def _as_png(picture: Image.Image) -> dict[str, str]:
    return {"png": base64.b64encode(files.encode(picture, "png")).decode()}


def _as_json(at: float, recovered: Recovered) -> dict:
    kept = {name: value for name, value in recovered.state.items() if name not in ("progress", "done", "image")}
    error = None if kept["error"] is None else str(kept["error"])
    picture = None if recovered.image is None else _as_png(recovered.image)
    return kept | {"at": round(at, 3), "error": error, "picture": picture}


def _with_recovery(raw: Mapping, events: Sequence[tuple[float, Event]]) -> list[tuple[float, Event]]:
    """The events with the end of the recovery among them, as it would have been told."""
    at, error, image = float(raw["at"]), raw["error"], None
    state = {"progress": 1.0, "seconds": _number(raw["seconds"], 0, settings.LONGEST_RUN_S), "done": True}
    if raw["picture"] is None:
        # In all languages, and no failure: somebody wanted it so.
        state["error"] = STOPPED if error == str(STOPPED) else str(error)[: settings.MAX_QUESTION_CHARACTERS]
    else:
        image = _picture(raw["picture"])
        measured = {when: None if raw[when] is None else _measures(raw[when]) for when in ("before", "after")}
        encoder = None if raw["encoder"] is None else str(raw["encoder"])[:200]
        state |= {"error": None, "share": _number(raw["share"], 0, 1), "encoder": encoder, **measured}
    state |= {"unchanged": bool(raw["unchanged"]), "image": image is not None}
    answers = [then for then, event in events if event.side == RECOVERED and event.text]
    # Whoever answers from a recovered picture has seen it.
    if (image is None) != (error is not None) or (answers and (image is None or answers[0] < at)):
        raise ValueError(Text("present.run-recovery"))
    if not 0 <= at <= settings.LONGEST_RUN_S:
        raise ValueError(Text("present.run-long", most=settings.LONGEST_RUN_S))
    return sorted([(at, Event(RECOVERED, recovered=Recovered(state, image))), *events], key=lambda told: told[0])


def _measures(raw: Mapping) -> dict[str, float | None]:
    return {name: None if raw[name] is None else _number(raw[name], *bounds) for name, bounds in MEASURES.items()}


def _number(value: object, low: float, high: float) -> float:
    if not low <= float(value) <= high or math.isinf(value):
        raise ValueError(Text("present.run-recovery"))
    return float(value)


def _provenance(raw: Mapping, sides: Sequence[str]) -> dict:
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
            for side in sides
        }
    return found


def _events(rows: list, by_index: list[str], sides: Sequence[str]) -> Iterator[tuple[float, Event]]:
    last, speaking = 0.0, set(sides)
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
