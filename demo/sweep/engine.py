"""One photo and question at many strengths: which pictures are asked about, what comes back, where it breaks.

Nothing here knows the page. A run's state is plain JSON (`Run.as_json`), which the endpoints send, the panels draw and
the exports write:

- `kind`: type, recipe or matrix; `question`, `options`, `truth` (the right answer, null where it is not known)
- `models`: {baseline, robust}: the checkpoints' names
- `steps`: one a picture and seed, in order; each with `what` (a degradation or recipe), `intensity`, `seed`, `recipe`,
  `applied` (the sum of its intensities) and a *cell* for `baseline` and `robust`
- `progress` in [0, 1], `seconds_left` (null while there is nothing to judge by), `done`, `stopped`
- `breaks`: {baseline, robust}: see `breaking_point`

A cell has `done`, `answer`, `choice`, `verdict` (see `judge`), `tokens`, `error`, `stop_reason`; the robust side's also
`predicted` (the intensity it says for what is swept, 0 where it names none, null without a chain) and
`predicted_recipe`.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from degradations import COPIES, REGISTRY, Recipe
from demo import settings
from demo.chain import parse_options, read_answer
from demo.replies import Reply
from demo.texts import Text

SIDES = ("baseline", "robust")
KINDS = ("type", "recipe", "matrix")
RECIPE = "recipe"
"""What is swept when it is no single degradation."""
GOOD = ("right", "same")
"""Verdicts of an answer that held."""
FIRST_GUESS = {"baseline": 8, "robust": 100}
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
    """The answers of both sides at every step, while they come in."""

    def __init__(self, kind: str, steps: Sequence[Step], question: str, truth: str, models: Mapping[str, str]):
        self.kind, self.steps, self.question, self.models = kind, list(steps), question, dict(models)
        self.options = parse_options(question)
        self.truth = _truth(truth, self.options)
        self.replies = [{name: Reply(name) for name in SIDES} for _ in steps]
        self.stopped = False
        self._begin = time.monotonic()

    def take(self, first: int, event) -> None:
        """Add an event about a picture of the batch that begins at step `first`."""
        self.replies[first + event.picture][event.side].take(event)

    @property
    def progress(self) -> float:
        """How much is answered, in [0, 1]: answers that are still being written count by their expected length."""
        replies = [reply for pair in self.replies for reply in pair.values()]
        expected = {}
        for name in SIDES:
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
            "breaks": {name: self.breaks(name, cells) for name in SIDES},
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
        for step, pair in zip(self.steps, self.replies, strict=True):
            row = {}
            for name, reply in pair.items():
                reference = self.replies[clean][name] if clean is not None else None
                row[name] = self._cell(step, reply, reference)
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


def judge(reply: Reply, clean: Reply | None, options: list[str], truth: str | None) -> str | None:
    """How an answer did, None where nothing can be said (yet).

    With a known truth: ``right`` or ``wrong``. Without: ``same`` or ``changed`` against the side's own answer about the
    clean picture. ``unread`` is an answer that means none of the options, or a chain that ended without one; ``failed``
    a model that failed.
    """
    if reply.error:
        return "failed"
    if not _whole(reply):
        return None
    answer, choice = reply.answer(options)
    if answer is None or (options and choice is None):
        return "unread"  # and two chains without an answer are not the same answer
    if truth is not None:
        return "right" if _means(answer, truth, bool(options)) else "wrong"
    if clean is None or not _whole(clean):
        return None
    before, _ = clean.answer(options)
    return "same" if _plain(before) == _plain(answer) else "changed"


def _whole(reply: Reply) -> bool:
    """Whether a reply ended by itself, so that others can be compared with it."""
    return bool(reply.done and not reply.error and reply.stats and reply.stats.stop_reason != "stopped")


def breaking_point(verdicts: Sequence[tuple[float, str | None]]) -> float | str | None:
    """From which intensity on an answer no longer holds.

    Args:
        verdicts: (intensity, verdict) of each step; several of one intensity are seeds, of which half must hold. A
            model that failed has said nothing, so such a step counts neither way.

    Returns:
        The least intensity that does not hold while nothing above it holds either; ``never`` if the highest one holds;
        None while a verdict is missing, or where nothing but failures stands in the way.
    """
    if not verdicts or any(verdict is None for _, verdict in verdicts):
        return None
    by_intensity: dict[float, list[bool]] = {}
    for intensity, verdict in verdicts:
        held = by_intensity.setdefault(intensity, [])
        held += [] if verdict == "failed" else [verdict in GOOD]
    point: float | str = "never"
    for intensity, held in sorted(by_intensity.items(), reverse=True):
        if not held:
            return None
        if 2 * sum(held) >= len(held):
            break
        point = intensity
    return point


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
        with closing(bench.answers(images, run.question, **asked)) as events:
            for event in events:
                run.take(first, event)
                if time.monotonic() - shown >= settings.SWEEP_UPDATE_S:
                    shown = time.monotonic()
                    yield run
        if stop is not None and stop.is_set():
            run.stopped = True
            break
    yield run


def _truth(truth: str, options: list[str]) -> str | None:
    """The right answer as it is compared: an option's text where there are options.

    Raises:
        ValueError: it is none of the options.
    """
    truth = (truth or "").strip()
    if not truth:
        return None
    if not options:
        return truth
    choice = read_answer(truth, options)
    if choice is None:
        raise ValueError(Text("sweep.bad-truth", truth=truth, options=", ".join(options)))
    return options[choice]


def _means(answer: str | None, truth: str, among_options: bool) -> bool:
    if among_options:
        return answer == truth
    return bool(re.search(rf"(?<!\w){re.escape(_plain(truth))}(?!\w)", _plain(answer)))


def _plain(text: str | None) -> str:
    return " ".join((text or "").casefold().split()).strip(" .!\"'")
