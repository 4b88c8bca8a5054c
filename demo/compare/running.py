"""Which runs go on now, by browser session, and how they are stopped."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop(threading.Event):
    """Ends a run once it is set; `left` where nobody is there to see how it ends: another photo, another slide."""

    left = False


class Running:
    """The comparisons that run now, by browser session, so that Stop reaches the generation itself."""

    def __init__(self):
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[Stop, threading.Event]] = {}
        self._waiting: set[str] = set()
        self._stopped_early: dict[str, bool] = {}

    def asked(self, session: str) -> None:
        """A new question is on its way into the queue: what was stopped before is forgotten."""
        with self._lock:
            self._stopped_early.pop(session, None)
            self._waiting.add(session)

    @contextmanager
    def entered(self, session: str) -> Iterator[Stop]:
        """Register a run; gives the event that stops it, set already if Stop came while it waited in the queue."""
        stop, over = Stop(), threading.Event()
        with self._lock:
            self._runs[session] = stop, over
            self._waiting.discard(session)
            if session in self._stopped_early:
                stop.left = self._stopped_early[session]
                stop.set()
        try:
            yield stop
        finally:
            over.set()
            with self._lock:
                if self._runs.get(session) == (stop, over):
                    del self._runs[session]

    def stop(self, session: str, patience: float, leave: bool = False) -> bool | None:
        """Stop a session's run and wait until it has said its last; `leave` makes it `Stop.left`.

        Returns:
            False where it is still in the queue, None where there is nothing to stop.
        """
        with self._lock:
            run = self._runs.get(session)
            if run is None:
                if session not in self._waiting:
                    return None
                self._waiting.discard(session)
                self._stopped_early[session] = leave
                return False
        stop, over = run
        stop.left = stop.left or leave
        stop.set()
        over.wait(patience)
        return True
