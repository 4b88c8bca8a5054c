"""The app, but its models write at a pace at which one can watch them and stop them: ``python -m tests.slow_app``."""

import time

import app
from demo.generation import Row

PACE_S = 0.02
"""Of every token of every side; the small pair alone would be done within a second."""


def main() -> None:
    push = Row.push

    def push_slowly(self, token):
        time.sleep(PACE_S)
        push(self, token)

    Row.push = push_slowly
    app.main()


if __name__ == "__main__":
    main()
