"""The app, but slow enough to be watched and stopped: ``python -m tests.slow_app``.

Its models write at a steady pace, and any photo counts as one whose preview takes long.
"""

import time

import app
from demo import settings
from demo.generation import Row

PACE_S = 0.02
"""Of every token of every side; the small pair alone would be done within a second."""


def main() -> None:
    push = Row.push

    def push_slowly(self, token):
        time.sleep(PACE_S)
        push(self, token)

    Row.push = push_slowly
    settings.ROUGH_PREVIEW_PIXELS = 0
    app.main()


if __name__ == "__main__":
    main()
