"""What pictures that are drawn for a slide or a chat have in common: colours, letters, words cut to a width."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PAPER, INK, QUIET, GRID, ACCENT = "#ffffff", "#23211d", "#6d675d", "#e5e1d8", "#0f6e6a"
GOOD, BAD, OTHER = "#26734a", "#b23a36", "#a39d92"
FONTS = ["Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "DejaVu Sans"]
"""The first that this machine has draws a glyph; Chinese needs one of the former."""


_drawing = threading.Lock()  # matplotlib's settings are one per process


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib as all of these pictures want it; one is drawn at a time."""
    # Here, because nothing but drawing needs it, and a page on which nobody draws need not wait for it.
    import matplotlib.font_manager

    installed = set(matplotlib.font_manager.get_font_names())
    chosen = {
        "font.family": [name for name in FONTS if name in installed] or ["sans-serif"], "font.size": 17,
        "text.parse_math": False, "text.color": INK, "axes.edgecolor": GRID, "axes.labelcolor": QUIET,
        "xtick.color": QUIET, "ytick.color": QUIET, "axes.spines.top": False, "axes.spines.right": False,
        "figure.facecolor": PAPER,
    }  # fmt: skip
    with _drawing, matplotlib.rc_context(chosen):
        yield


def box(x: float, y: float, wide: float, high: float, colour: str):
    """A filled rectangle, in the units of whatever it is added to."""
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), wide, high, facecolor=colour, edgecolor="none")


def shortened(text: str, most: int) -> str:
    """A text in one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
