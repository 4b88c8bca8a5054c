"""One recovery under way: in a thread of its own, watched, stopped, and never taken for done when it is not."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from PIL import Image

from demo import settings
from demo.checkpoints import first_line
from demo.texts import Text, reason

log = logging.getLogger(__name__)

STOPPED = Text("recovery.stopped")
"""Why there is no picture where somebody ended its recovery."""


class Recovery(Protocol):
    """Whatever recovers pictures.

    Attributes:
        name: for the page.
        digest: what results follow from.
        limit_s: seconds after which it has failed; one that has none gets `settings.RECOVERY_LIMIT_S`.
    """

    name: str
    digest: str

    def recover(self, image: Image.Image, progress=...) -> Image.Image:
        """A picture of mode RGB, restored, of the same size and mode.

        Args:
            progress: called with the share that is done, in [0, 1], as far as it is known; may raise to end the work.

        Raises:
            ValueError: it came to nothing; the text is fit for the page.
        """


class StoppedError(Exception):
    """Raised inside of a recovery that nobody waits for any more."""


class Attempt:
    """A recovery of one picture, begun when this is made.

    Attributes:
        before: the picture as it was given.
        progress: the share that is done, in [0, 1].
        image: the recovered picture; None until it is there, and where it failed.
        error: why there is none, fit for the page; None otherwise.
    """

    def __init__(self, recovery: Recovery, image: Image.Image, limit_s: float | None = None):
        """
        Args:
            limit_s: after so many seconds it has failed; by default what the recovery says, or else
                `settings.RECOVERY_LIMIT_S`.
        """
        self.recovery, self.before = recovery, image
        own = getattr(recovery, "limit_s", settings.RECOVERY_LIMIT_S)
        self.limit = own if limit_s is None else limit_s
        self.progress, self.image, self.error = 0.0, None, None
        self._begin, self._took = time.monotonic(), None
        self._closed, self._over = threading.Event(), threading.Event()
        self._settling = threading.Lock()
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether it has come to an end: with a picture, or with an error."""
        return self._over.is_set()

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return time.monotonic() - self._begin if self._took is None else self._took

    @property
    def unchanged(self) -> bool:
        """Whether the recovery found nothing to change: every pixel is what it was."""
        return self.image is not None and np.array_equal(np.asarray(self.image), np.asarray(self.before))

    def wait(self, stop: threading.Event | None = None) -> Iterator["Attempt"]:
        """Itself, now and then until it has come to an end, and once more then.

        Args:
            stop: once set, the recovery ends as stopped.
        """
        while not self._over.wait(settings.HEARTBEAT_S):
            if stop is not None and stop.is_set():
                self._end(error=STOPPED)
            elif self.seconds > self.limit:
                self._end(error=Text("recovery.too-slow", seconds=f"{self.limit:.0f}"))
            else:
                yield self
        yield self

    def close(self) -> None:
        """Nobody waits any more: the work ends at its next step."""
        self._end(error=STOPPED)

    def _work(self) -> None:
        try:
            image = self.recovery.recover(self.before, self._progressed)
            if image.mode != "RGB" or image.size != self.before.size:
                raise ValueError(
                    Text(
                        "recovery.other-size",
                        found=f"{image.width} × {image.height}",
                        wanted=f"{self.before.width} × {self.before.height}",
                    )
                )
            self._end(image=image)
        except StoppedError:
            pass  # who closed it has said why
        except ValueError as error:
            self._end(error=reason(error))
        except Exception as error:
            log.exception("recovering with %s", self.recovery.name)
            self._end(error=first_line(error))

    def _progressed(self, done: float) -> None:
        if self._closed.is_set():
            raise StoppedError
        self.progress = done

    def _end(self, image: Image.Image | None = None, error: Text | str | None = None) -> None:
        """The first end counts: a picture that comes after its time is not shown."""
        with self._settling:
            if self.done:
                return
            self._took = time.monotonic() - self._begin
            self.image, self.error = image, error
            self._closed.set()
            self._over.set()
