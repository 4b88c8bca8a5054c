"""One photo and question at many strengths: which pictures are asked about, what comes back, where it breaks.

Nothing here knows the page. A run's state is plain JSON (`Run.as_json`), which the endpoints send, the panels draw and
the exports write:

- `kind`: type, recipe or matrix; `question`, `options`, `truth` (the right answer, null where it is not known)
- `sides`: baseline and robust, and recovered where the pictures were recovered first
- `models`: {side: the checkpoint's name}
- `steps`: one a picture and seed, in order; each with `what` (a degradation or recipe), `intensity`, `seed`, `recipe`,
  `applied` (the sum of its intensities) and a *cell* for every side
- `progress` in [0, 1], `seconds_left` (null while there is nothing to judge by), `done`, `stopped`
- `breaks`: {side: see `breaking_point`}

A cell has `done`, `answer`, `choice`, `verdict` (see `judge`), `tokens`, `error`, `stop_reason`; of a side that writes
a chain also `predicted` (the intensity it says for what is swept, 0 where it names none, null without a chain) and
`predicted_recipe`; the recovered side's also `gain` (PSNR in dB that recovery gained, null where nothing was degraded).
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from degradations import COPIES, REGISTRY, Recipe
from demo import settings
from demo.chain import parse_options
from demo.replies import Reply
from demo.sweep.judging import breaking_point, judge, truth_among
from demo.texts import Text

SIDES = ("baseline", "robust")
RECOVERED = "recovered"
"""The side that sees the recovered picture, too."""
KINDS = ("type", "recipe", "matrix")
RECIPE = "recipe"
"""What is swept when it is no single degradation."""
FIRST_GUESS = {"baseline": 8, "robust": 100, RECOVERED: 100}
"""Tokens of an answer, as long as none has ended."""


@dataclass(frozen=True)
class Step:
    """One picture to ask about.

    Attributes:
        what: a degradation's name, or `RECIPE`.
        intensity: of that degradation, or the factor by which the recipe is scaled; in [0, 1].
        seed: of the degradation.
        recipe: what is applied.
    """

    what: str
    intensity: float
    seed: int
    recipe: Recipe


def grid(steps: int) -> list[float]:
    """Intensities from 0 to 1, evenly apart.

    Raises:
        ValueError: fewer than two.
    """
    if steps < 2:
        raise ValueError(f"a sweep needs at least two steps, not {steps}")
    return [round(number / (steps - 1), 4) for number in range(steps)]


def steps_of(kind: str, what: str, recipe: Recipe, intensities: Sequence[float], seeds: Sequence[int]) -> list[Step]:
    """The pictures of a sweep, by intensity and then by seed; without a degradation, one stands for all seeds.

    Args:
        kind: one of `KINDS`; a matrix takes every type at each intensity above 0, and the clean picture first.
        what: the degradation of a ``type`` sweep.
        recipe: what a ``recipe`` sweep scales.

    Raises:
        ValueError: an unknown kind or degradation, or nothing to scale.
    """
    if kind == "matrix":
        wanted = [("", 0.0), *((name, value) for name in REGISTRY for value in intensities if value > 0)]
    elif kind == "recipe":
        if not recipe:
            raise ValueError(Text("sweep.no-recipe"))
        wanted = [(RECIPE, value) for value in intensities]
    elif kind == "type":
        (name,) = Recipe({what: 1.0})
        wanted = [(name, value) for value in intensities]
    else:
        raise ValueError(Text("sweep.bad-kind", kinds=", ".join(KINDS), kind=repr(kind)))
    steps = []
    for name, value in wanted:
        applied = recipe.scaled(value) if name == RECIPE else Recipe({name: value} if name else {})
        steps += [Step(name, value, seed, applied) for seed in (seeds if applied else seeds[:1])]
    return steps


def matrix_intensities() -> list[float]:
    """The published benchmarks' strengths."""
    return sorted(COPIES.values())


class Run:
    """The answers of all sides at every step, while they come in; the sides are those that `models` names."""

    def __init__(self, kind: str, steps: Sequence[Step], question: str, truth: str, models: Mapping[str, str]):
        self.kind, self.steps, self.question, self.models = kind, list(steps), question, dict(models)
        self.options = parse_options(question)
        self.truth = truth_among(truth, self.options)
        self.sides = tuple(self.models)
        self.replies = [{name: Reply(name) for name in self.sides} for _ in steps]
        self.gains: list[float | None] = [None] * len(self.steps)
        self.stopped = False
        self._begin = time.monotonic()

    def take(self, first: int, event) -> None:
        """Add an event about a picture of the batch that begins at step `first`."""
        self.replies[first + event.picture][event.side].take(event)

    def fail(self, number: int, side: str, error: str) -> None:
        """A side that could not even be asked about a step."""
        reply = self.replies[number][side]
        reply.error, reply.done = error, True

    @property
    def progress(self) -> float:
        """How much is answered, in [0, 1]: answers that are still being written count by their expected length."""
        replies = [reply for pair in self.replies for reply in pair.values()]
        expected = {}
        for name in self.sides:
            lengths = [pair[name].tokens for pair in self.replies if pair[name].done and pair[name].tokens]
            expected[name] = sum(lengths) / len(lengths) if lengths else FIRST_GUESS[name]
        parts = [1.0 if reply.done else min(0.95, reply.tokens / expected[reply.name]) for reply in replies]
        return sum(parts) / len(parts)

    def as_json(self) -> dict:
        """The state, as the module describes it."""
        progress, spent = self.progress, time.monotonic() - self._begin
        cells = self._cells()
        over = self.stopped or progress == 1
        return {
            "kind": self.kind,
            "sides": list(self.sides),
            "question": self.question,
            "options": self.options,
            "truth": self.truth,
            "models": self.models,
            "steps": [
                {
                    "what": step.what,
                    "intensity": step.intensity,
                    "seed": step.seed,
                    "recipe": str(step.recipe),
                    "applied": round(step.recipe.total, 4),
                    **pair,
                }
                for step, pair in zip(self.steps, cells, strict=True)
            ],
            "progress": round(progress, 4),
            "seconds_left": None if over or progress < 0.02 else round(spent * (1 - progress) / progress, 1),
            "seconds": round(spent, 2),
            "done": over,
            "stopped": self.stopped,
            "breaks": {name: self.breaks(name, cells) for name in self.sides},
        }

    def breaks(self, name: str, cells: Sequence[Mapping]) -> float | str | None:
        """`breaking_point` of one side; None for a matrix, which has one a type."""
        if self.kind == "matrix":
            return None
        verdicts = [(step.intensity, pair[name]["verdict"]) for step, pair in zip(self.steps, cells, strict=True)]
        return breaking_point(verdicts)

    def _cells(self) -> list[dict]:
        clean = next((number for number, step in enumerate(self.steps) if not step.recipe), None)
        cells = []
        for step, pair, gain in zip(self.steps, self.replies, self.gains, strict=True):
            row = {}
            for name, reply in pair.items():
                reference = self.replies[clean][name] if clean is not None else None
                row[name] = self._cell(step, reply, reference)
            if RECOVERED in row:
                row[RECOVERED]["gain"] = gain
            cells.append(row)
        return cells

    def _cell(self, step: Step, reply: Reply, clean: Reply | None) -> dict:
        answer, choice = reply.answer(self.options)
        reason = reply.stats.stop_reason if reply.stats else None
        cell = {
            "done": reply.done,
            "answer": answer,
            "choice": choice,
            "verdict": judge(reply, clean, self.options, self.truth),
            "tokens": reply.tokens,
            "stop_reason": reason,
            "error": reply.error,
        }
        chain = reply.chain
        if chain is not None:
            told = "TYPE" in chain.closed
            said = sum(chain.recipe.values()) if step.what in (RECIPE, "") else chain.recipe.get(step.what, 0.0)
            cell["predicted"] = round(said, 4) if told else None
            cell["predicted_recipe"] = dict(chain.recipe)
        return cell


def sweep(
    bench,
    photo: Path,
    run: Run,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    stop: threading.Event | None = None,
) -> Iterator[Run]:
    """Answer all of a run's steps, `settings.SWEEP_BATCH` pictures at a time; yields the run as it grows.

    Once `stop` is set, the answers that are complete stay, the others end as stopped, and the last state is yielded.

    Args:
        bench: makes the pictures and asks, as `demo.api.Workbench` does.
        seed: of sampling, where the temperature is above 0.
    """
    shown = 0.0
    yield run
    for first in range(0, len(run.steps), settings.SWEEP_BATCH):
        batch = run.steps[first : first + settings.SWEEP_BATCH]
        images: list[Image.Image] = [bench.degraded(photo, step.recipe, step.seed) for step in batch]
        asked = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed, "stop": stop}
        with closing(_batch(bench, photo, run, first, images, asked)) as news:
            for _ in news:
                if time.monotonic() - shown >= settings.SWEEP_UPDATE_S:
                    shown = time.monotonic()
                    yield run
        if stop is not None and stop.is_set():
            run.stopped = True
            break
    yield run


def _batch(bench, photo: Path, run: Run, first: int, images: Sequence[Image.Image], asked: Mapping) -> Iterator[None]:
    """Ask all sides about the steps from `first` on; yields whenever there is news."""
    with closing(bench.answers(images, run.question, **asked)) as events:
        for event in events:
            run.take(first, event)
            yield
    if RECOVERED not in run.sides:
        return
    pairs, places = [], []
    for place, image in enumerate(images):
        attempt = bench.recovering(image)
        try:
            for _ in attempt.wait(asked["stop"]):
                yield
        finally:
            attempt.close()
        if asked["stop"] is not None and asked["stop"].is_set():  # what was stopped has not failed
            return
        if attempt.image is None:
            run.fail(first + place, RECOVERED, str(attempt.error))
        else:
            run.gains[first + place] = bench.gained(photo, run.steps[first + place].recipe, attempt)
            pairs.append((image, attempt.image))
            places.append(place)
    if pairs:
        with closing(bench.answers_to_both(pairs, run.question, **asked)) as events:
            for event in events:
                run.take(first + places[event.picture] - event.picture, event)
                yield
