"""One picture recovered, then asked about beside the degraded one: what page, stage and endpoints have in common."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from PIL import Image

from degradations import Recipe
from demo.api import Workbench
from demo.recovery.attempt import Attempt
from demo.recovery.encoders import encoder_at_hand
from demo.recovery.joint import NAME
from demo.recovery.panels import state_of, was_stopped
from demo.replies import Event, Recovered, Stats
from demo.streaming import stream
from demo.texts import Text


def events(
    bench: Workbench,
    photo: Path,
    question: str,
    recipe: Recipe,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    stop: threading.Event | None = None,
    recover: bool = False,
) -> Iterator[Event]:
    """What all sides say, as it comes: `Workbench.events`, and where it is wanted those of the third side.

    Args:
        recover: the picture is recovered meanwhile, which events of the third side tell; then it answers from both
            pictures. Where there is no recovered picture, its last event says why.

    Raises:
        ValueError: as `Workbench.events`, or there is no recovery.
    """
    pair = bench.events(photo, question, recipe, seed, temperature, max_new_tokens, stop)
    if not recover:
        yield from pair
        return
    if bench.joint is None:
        raise ValueError(Text("sweep.no-recovery"))
    with closing(pair), closing(Run(bench, photo, recipe, seed)) as run:
        for event in pair:
            yield event
            yield from run.news()
        for _ in run.wait(stop):
            yield from run.news()
        yield from run.events(question, temperature, max_new_tokens, seed, stop)


class Run:
    """A recovery that began when this was made, and the question that follows it.

    Attributes:
        degraded: the picture as it was given to the recovery; made here, from the photo.
        clean: what it was before; None where nothing was done to it, and so nobody knows whether it is clean.
    """

    def __init__(self, bench: Workbench, photo: Path, recipe: Recipe, seed: int):
        """
        Args:
            bench: with a `joint`.

        Raises:
            PhotoError: the photo cannot be used.
        """
        self.joint = bench.joint
        self.degraded = bench.degraded(photo, recipe, seed)
        self.clean = bench.working_photo(photo) if recipe else None
        self._attempt = Attempt(self.joint.recovery, self.degraded)
        self._measured: dict | None = None
        self._told = False

    @property
    def recovered(self) -> Image.Image | None:
        """The recovered picture, once there is one."""
        return self._attempt.image

    def state(self) -> dict:
        """As `demo.recovery.panels.state_of`."""
        if not self._attempt.done:
            return state_of(self._attempt) | {"done": False}  # it may have ended just now, and is not measured yet
        if self._measured is None:
            encoder = encoder_at_hand() if self.clean is not None and self.recovered is not None else None
            self._measured = state_of(self._attempt, self.clean, encoder)
        return self._measured

    def news(self) -> Iterator[Event]:
        """How the recovery gets on, as an event; none once its end has been told."""
        if not self._told:
            state = self.state()
            self._told = state["done"]
            yield Event(NAME, recovered=Recovered(state, self.recovered))

    def wait(self, stop: threading.Event | None = None) -> Iterator[dict]:
        """States until the recovery has come to its end, that one included."""
        for _ in self._attempt.wait(stop):
            yield self.state()

    def events(
        self,
        question: str,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        stop: threading.Event | None = None,
    ) -> Iterator[Event]:
        """The answer from both pictures while it comes in; without a recovered picture, why there is none.

        Raises:
            ValueError: the recovery has not ended yet.
        """
        state = self.state()
        if not state["done"]:
            raise ValueError("the recovery has not ended yet; wait for it first")
        if self.recovered is None:
            halted = was_stopped(state)
            stats = Stats(0, None, None, "stopped" if halted else "error")
            yield Event(NAME, done=True, stats=stats, error=None if halted else str(state["error"]))
            return
        asked = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed, "stop": stop}
        yield from stream(self.joint, [self.degraded, self.recovered], question, **asked)

    def close(self) -> None:
        """Nobody waits any more."""
        self._attempt.close()
