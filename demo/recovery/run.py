"""One picture recovered, then asked about beside the degraded one: what page and endpoints have in common."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from PIL import Image

from degradations import Recipe
from demo.api import Workbench, states
from demo.chain import parse_options
from demo.recovery.attempt import Attempt
from demo.recovery.encoders import encoder_at_hand
from demo.recovery.joint import NAME
from demo.recovery.measures import changes
from demo.recovery.panels import state_of
from demo.streaming import stream


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

    @property
    def recovered(self) -> Image.Image | None:
        """The recovered picture, once there is one."""
        return self._attempt.image

    @property
    def map(self) -> Image.Image:
        """Where the recovery changed the picture."""
        return changes(self.degraded, self.recovered).map

    def state(self) -> dict:
        """As `demo.recovery.panels.state_of`."""
        if not self._attempt.done:
            return state_of(self._attempt)
        if self._measured is None:
            encoder = encoder_at_hand() if self.clean is not None and self.recovered is not None else None
            self._measured = state_of(self._attempt, self.clean, encoder)
        return self._measured

    def wait(self, stop: threading.Event | None = None) -> Iterator[dict]:
        """States until the recovery has come to its end, that one included."""
        for _ in self._attempt.wait(stop):
            yield self.state()

    def answer(
        self,
        question: str,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        stop: threading.Event | None = None,
    ) -> Iterator[dict]:
        """The answer from both pictures while it comes in, as `demo.replies.Reply.as_json`.

        Raises:
            ValueError: there is no recovered picture.
        """
        if self.recovered is None:
            raise ValueError(self._attempt.error or "the recovery has not ended yet; wait for it first")
        asked = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed, "stop": stop}
        events = stream(self.joint, [self.degraded, self.recovered], question, **asked)
        with closing(states(events, parse_options(question), (NAME,))) as told:
            for sides in told:
                yield sides[NAME]

    def close(self) -> None:
        """Nobody waits any more."""
        self._attempt.close()
