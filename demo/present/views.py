"""What only the stage shows, as HTML. Pure functions; everything a visitor or a deck wrote is escaped."""

from collections.abc import Sequence
from html import escape

from demo.texts import both, known, shown


def question(asked: str, options: Sequence[str]) -> str:
    """The question in large letters, its options beside each other."""
    listed = "".join(f"<li>{escape(option)}</li>" for option in options)
    return f'<p class="asked">{escape(asked)}</p><ol start="0">{listed}</ol>' if asked else ""


def counter(number: int, count: int, has_recording: bool) -> str:
    """Which slide of how many, and whether it can be played without a model."""
    mark = f' · <span class="has-recording">{shown("present.has-recording")}</span>' if has_recording else ""
    return f'<p class="counter">{number + 1} / {count}{mark}</p>'


def notes(text: str) -> str:
    """What the speaker wanted to say, line by line."""
    lines = "".join(f"<p>{both(known(line))}</p>" for line in text.splitlines() if line.strip())
    return f'<div class="notes">{lines}</div>'


def keys() -> str:
    """Which key does what."""
    return f"<p>{shown('present.keys')}</p>"
