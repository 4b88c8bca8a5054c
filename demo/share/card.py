"""A run as a picture: PNG of 1600 × 900 for a chat or a slide; what was shown, what was asked, what all said of it."""

import io
from dataclasses import dataclass

from PIL import Image

from degradations import REGISTRY, compare
from demo.chain import parse_options
from demo.drawing import ACCENT, BAD, GOOD, GRID, INK, OTHER, QUIET, box, shortened, style
from demo.present.recording import Recording
from demo.recovery.panels import no_picture
from demo.replies import RECOVERED, Recovered, Reply
from demo.texts import DEFAULT, say

SIZE = (1600, 900)
DPI = 100
LEFT, RIGHT = 0.04, 0.96
COLUMN = 0.5
"""Where the words begin, beside the picture."""
MOST_TYPES = 6
"""Degradations that are drawn at most; of more, or where there is less room, the strongest."""
ROW = (0.036, 0.066)
"""Least and most height of one of them."""
FOOT = 0.1
"""Where the card's foot begins."""
LONG = 40
"""Questions and answers of more characters than this are set smaller."""
ANSWERS = {2: ((34, 2), (21, 3)), 3: ((26, 1), (18, 2))}
"""By the number of sides: size and most lines of a short answer, and of a long one."""


@dataclass(frozen=True)
class _Line:
    """Words in one line, with how they look."""

    text: str
    size: float
    colour: str = INK
    weight: str = "normal"


def as_png(recording: Recording, picture: Image.Image, correct: int | None = None, language: str = DEFAULT) -> bytes:
    """Draw a run.

    Args:
        picture: as the models saw it, degraded; mode RGB.
        correct: index of the right option, None where it is not known.
        language: of the card's own words.
    """
    options = parse_options(recording.question)
    replies = replies_of(recording)
    recovered = replies[RECOVERED].recovered if RECOVERED in replies else None
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        _pictures(figure, picture, recovered, language)
        y = 0.93
        asked = recording.question.splitlines()[0]
        size, most = (30, 2) if len(asked) <= LONG else (21, 3)
        y = _words(figure, y, _wrapped(figure, asked, size, most, weight="bold"))
        if options:
            y = _words(figure, y, _wrapped(figure, " · ".join(options), 17, 2, QUIET))
        for name, reply in replies.items():
            y -= 0.05 / len(replies)
            y = _words(figure, y, [_Line(shortened(_who(recording, name, language), 70), 16, QUIET)])
            y = _answer(figure, y, reply, options, correct, language, ANSWERS[len(replies)])
        _degradations(figure, y - 0.03, recording, replies["robust"], language)
        _foot(figure, recording, language)
        out = io.BytesIO()
        canvas.print_png(out)
    return out.getvalue()


def replies_of(recording: Recording) -> dict[str, Reply]:
    """What each side said in a run, whole."""
    replies = {name: Reply(name) for name in recording.models}
    for _, event in recording.events:
        replies[event.side].take(event)
    return replies


def _who(recording: Recording, name: str, language: str) -> str:
    return f"{say(f'compare.{name}', language)} · {recording.models[name]}"


def _pictures(figure, picture: Image.Image, recovered: Recovered | None, language: str) -> None:
    """The degraded picture; below it the recovered one with what that gained or lost, or that there is none."""
    if recovered is None:
        _picture(figure, picture, 0.12, 0.82)
        return
    _picture(figure, picture, 0.57, 0.37)
    figure.text(LEFT, 0.55, say("recovery.picture-degraded", language), fontsize=14, color=QUIET, va="center")
    if recovered.image is None:
        words = no_picture(recovered.state).say(language)
        figure.text(LEFT, 0.5, words, fontsize=17, color=BAD, va="center")
        return
    _picture(figure, recovered.image, 0.135, 0.37)
    psnr = [(recovered.state[when] or {}).get("psnr") for when in ("before", "after")]
    figures = "" if None in psnr else " · PSNR {:.1f} → {:.1f} dB".format(*psnr)
    words = say("recovery.picture-recovered", language) + figures
    figure.text(LEFT, 0.112, words, fontsize=14, color=QUIET, va="center")


def _picture(figure, picture: Image.Image, bottom: float, height: float) -> None:
    axes = figure.add_axes((LEFT, bottom, COLUMN - LEFT - 0.03, height), anchor="W")
    axes.imshow(picture)
    axes.axis("off")


def _answer(
    figure, y: float, reply: Reply, options: list[str], correct: int | None, language: str, sizes: tuple
) -> float:
    answer, choice = reply.answer(options)
    if reply.error:
        answer, colour, mark = say("compare.failed", language), BAD, ""
    elif answer is None:
        answer, colour, mark = "–", OTHER, ""
    elif correct is None or not options:
        colour, mark = INK, ""
    else:
        colour, mark = (GOOD, "✓ ") if choice == correct else (BAD, "✗ ")
    size, most = sizes[len(answer) > LONG]
    return _words(figure, y, _wrapped(figure, mark + shortened(answer, 300), size, most, colour, "bold"))


def _degradations(figure, top: float, recording: Recording, robust: Reply, language: str) -> None:
    """A pair of bars a type: applied above, predicted below."""
    applied, predicted = recording.recipe, robust.chain.recipe
    names = [name for name in REGISTRY if name in applied or name in predicted]
    names = sorted(names, key=lambda name: -max(applied.get(name, 0), predicted.get(name, 0)))
    room = top - 0.03 - FOOT
    names = names[: max(0, min(MOST_TYPES, int(room / ROW[0])))]
    if not applied and not predicted:
        _words(figure, top, [_Line(say("share.card-clean", language), 17, QUIET)])
        return
    if not names:
        return  # no room
    wide, row = RIGHT - COLUMN, min(ROW[1], room / len(names))
    for place, (key, colour) in enumerate((("sweep.key-applied", OTHER), ("sweep.key-predicted", ACCENT))):
        x = COLUMN + place * 0.13
        figure.add_artist(box(x, top - 0.018, 0.018, 0.012, colour))
        figure.text(x + 0.024, top - 0.012, say(key, language), fontsize=14, color=QUIET, va="center")
    error = compare(applied, predicted).intensity_error
    if error is not None:
        words = f"{say('compare.mean-error', language)} {error:.2f}"
        figure.text(RIGHT, top - 0.012, words, fontsize=14, color=QUIET, va="center", ha="right")
    for number, name in enumerate(names):
        middle = top - 0.03 - (number + 0.5) * row
        figure.text(COLUMN, middle, say(REGISTRY[name].label, language), fontsize=15, va="center")
        x, room = COLUMN + wide * 0.34, wide * 0.5
        for value, shift, colour in ((applied.get(name), 0.1, OTHER), (predicted.get(name), -0.24, ACCENT)):
            figure.add_artist(box(x, middle + row * (shift - 0.03), room, row * 0.2, GRID))
            if value is not None:
                figure.add_artist(box(x, middle + row * (shift - 0.03), room * value, row * 0.2, colour))
        numbers = " / ".join(
            "–" if value is None else f"{value:.2f}" for value in (applied.get(name), predicted.get(name))
        )
        figure.text(RIGHT, middle, numbers, fontsize=14, color=QUIET, va="center", ha="right")


def _foot(figure, recording: Recording, language: str) -> None:
    figure.add_artist(box(LEFT, 0.082, RIGHT - LEFT, 0.0015, GRID))
    seed = f"{say('compare.seed', language)} {recording.seed} · {recording.made[:10]}"
    figure.text(LEFT, 0.05, say("page.title", language), fontsize=16, weight="bold", va="center")
    figure.text(LEFT, 0.022, shortened(str(recording.recipe), 190), fontsize=12, color=QUIET, va="center")
    figure.text(RIGHT, 0.05, seed, fontsize=14, color=QUIET, va="center", ha="right")


def _words(figure, top: float, lines: list[_Line]) -> float:
    """Write lines below each other; returns where the next one may begin."""
    for line in lines:
        figure.text(COLUMN, top, line.text, fontsize=line.size, color=line.colour, weight=line.weight, va="top")
        top -= line.size * 1.45 / 72 * DPI / SIZE[1]
    return top


def _wrapped(figure, text: str, size: float, most: int, colour: str = INK, weight: str = "normal") -> list[_Line]:
    """A text in at most so many lines that fit beside the picture; Chinese breaks between any two signs."""
    from matplotlib.font_manager import FontProperties

    renderer = figure.canvas.get_renderer()
    letters = FontProperties(size=size, weight=weight)
    room = (RIGHT - COLUMN) * SIZE[0]

    def fits(line: str) -> bool:
        return renderer.get_text_width_height_descent(line, letters, ismath=False)[0] <= room

    lines = [""]
    for word in _breakable(" ".join(text.split())):
        if fits((lines[-1] + word).rstrip()):
            lines[-1] += word
        elif lines[-1]:
            lines.append(word)
        else:
            lines[-1] = word
    if len(lines) > most:
        last = lines[most - 1].rstrip()
        while last and not fits(f"{last}…"):
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last}…"]
    return [_Line(line.strip(), size, colour, weight) for line in lines]


def _breakable(text: str) -> list[str]:
    """Pieces between which a line may break: words with the space behind them, longer ones and Chinese in parts."""
    pieces, word = [], ""
    for sign in text:
        word += sign
        if sign == " " or ord(sign) > 0x2E80 or len(word) >= 12:
            pieces.append(word)
            word = ""
    return [*pieces, word] if word else pieces
