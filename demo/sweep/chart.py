"""A sweep as one SVG, drawn anew as results come: prediction against strength, answers that hold, length of the chain.

It takes its colours from the page's style sheet, so it follows light and dark; pointing at a step, or reaching it with
the Tab key, shows that step's figures.
"""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import mean

from demo.markup import number
from demo.texts import Text, both, shown

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT = 84, 24
PREDICTION = (16, 226)
"""Top and bottom of the part that shows the predictions, in units of the drawing; so the next."""
ANSWERS = {"baseline": (262, 286), "robust": (294, 318), "recovered": (326, 350)}
LENGTH = (346, 396)
THIRD = 32
"""By how much what stands below the answers moves down where there is a third side."""
MARKS = {"right": "✓", "same": "✓", "wrong": "✗", "changed": "✗", "unread": "?", "failed": "!"}
TIP = (190, 160)
"""Width and height of what is shown of one step."""


def chart(state: Mapping) -> str:
    """The SVG of a type's or a recipe's sweep.

    Args:
        state: `demo.sweep.engine.Run.as_json`.
    """
    columns = _columns(state["steps"])
    top = max(1.0, *(step["applied"] for step in state["steps"]))
    longest = max([step["robust"]["tokens"] for step in state["steps"]] + [1])
    places = {intensity: _x(intensity) for intensity in columns}
    sides = state["sides"]
    down = THIRD * (len(sides) - 2)
    length = LENGTH[0] + down, LENGTH[1] + down
    parts = [
        _axes(top, longest, sides, length),
        _line("applied-line", [(places[i], _y(steps[0]["applied"] / top, PREDICTION)) for i, steps in columns.items()]),
        _line("predicted-line", _means(columns, places, "predicted", top, PREDICTION)),
        _line("length-line", _means(columns, places, "tokens", longest, length)),
        *(_dots(steps, places[intensity], top) for intensity, steps in columns.items()),
        *(_column(i, steps, places[i], len(columns), sides, length[1]) for i, steps in columns.items()),
    ]
    box = f"0 0 {WIDTH} {HEIGHT + down}"
    return (
        f'<p class="visually-hidden" id="sweep-chart-title">{shown("sweep.chart")}</p>'
        f'<svg class="sweep-chart" viewBox="{box}" role="group" aria-labelledby="sweep-chart-title">'
        f"{''.join(parts)}</svg>"
    )


def _columns(steps: Sequence[Mapping]) -> dict[float, list[Mapping]]:
    """The steps of each intensity, one a seed."""
    columns: dict[float, list[Mapping]] = {}
    for step in steps:
        columns.setdefault(step["intensity"], []).append(step)
    return columns


def _x(intensity: float) -> float:
    return round(LEFT + intensity * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float, band: tuple[int, int]) -> float:
    top, bottom = band
    return round(bottom - min(share, 1.0) * (bottom - top), 1)


def _axes(top: float, longest: int, sides: Sequence[str], length: tuple[int, int]) -> str:
    height = HEIGHT + length[0] - LENGTH[0]
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(share, band)}" y2="{_y(share, band)}"/>'
        for band, shares in ((PREDICTION, (0, 0.5, 1)), (length, (0, 1)))
        for share in shares
    ]
    numbers = [_label(LEFT - 8, _y(share, PREDICTION) + 4, f"{share * top:.1f}", "end") for share in (0, 0.5, 1)]
    numbers += [_label(LEFT - 8, _y(share, length) + 4, str(round(share * longest)), "end") for share in (0, 1)]
    numbers += [_label(_x(share), height - 16, f"{share:g}", "middle") for share in (0, 0.25, 0.5, 0.75, 1)]
    titles = [
        _label(LEFT, PREDICTION[0] - 5, Text("sweep.axis-predicted"), "start"),
        _label(LEFT, length[0] - 7, Text("sweep.axis-length"), "start"),
        _label(WIDTH - RIGHT, height - 1, Text("sweep.axis-strength"), "end"),
        *(_label(LEFT - 24, ANSWERS[name][1] - 7, Text(f"sweep.short-{name}"), "end") for name in sides),
    ]
    return "".join(lines + numbers + titles)


def _label(x: float, y: float, text: Text | str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{both(text, "tspan")}</text>'


def _line(kind: str, points: Sequence[tuple[float, float]]) -> str:
    if len(points) < 2:
        return ""
    return f'<polyline class="{kind}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'


def _means(columns: Mapping, places: Mapping, field: str, whole: float, band: tuple[int, int]) -> list:
    """Points of the robust side's mean over the seeds, where it has said something."""
    points = []
    for intensity, steps in columns.items():
        cells = [step["robust"] for step in steps if step["robust"]["done"] and not step["robust"]["error"]]
        values = [cell[field] for cell in cells if cell[field] is not None]
        if values:
            points.append((places[intensity], _y(mean(values) / whole, band)))
    return points


def _dots(steps: Sequence[Mapping], x: float, top: float) -> str:
    said = [step["robust"].get("predicted") for step in steps]
    return "".join(
        f'<circle class="predicted-dot" cx="{x}" cy="{_y(value / top, PREDICTION)}" r="4"/>'
        for value in said
        if value is not None
    )


def _column(intensity: float, steps: Sequence[Mapping], x: float, count: int, sides: Sequence[str], bottom: int) -> str:
    """One strength: its marks, and what is shown when it is pointed at."""
    wide = (WIDTH - LEFT - RIGHT) / max(1, count - 1)
    marks = "".join(_mark(steps, name, x, min(wide - 3, 34)) for name in sides)
    tip_x = min(max(x - TIP[0] / 2, 2), WIDTH - TIP[0] - 2)
    return (
        f'<g class="column" tabindex="0" role="img" aria-label="{_spoken(intensity, steps, sides)}">'
        f'<rect class="hit" x="{x - wide / 2:.1f}" y="0" width="{wide:.1f}" height="{bottom}"/>'
        f'<line class="cursor" x1="{x}" x2="{x}" y1="{PREDICTION[0]}" y2="{bottom}"/>{marks}'
        f'<foreignObject class="tip" x="{tip_x:.1f}" y="{PREDICTION[0] + 6}" width="{TIP[0]}" height="{TIP[1]}">'
        f"{_tip(intensity, steps, sides)}</foreignObject></g>"
    )


def _mark(steps: Sequence[Mapping], name: str, x: float, wide: float) -> str:
    """A cell of the row of answers: the verdict of most seeds."""
    top, bottom = ANSWERS[name]
    verdicts = [step[name]["verdict"] for step in steps]
    said = [verdict for verdict in verdicts if verdict]
    verdict = max(said, key=said.count) if said else "open"
    box = f'x="{x - wide / 2:.1f}" y="{top}" width="{wide:.1f}" height="{bottom - top}"'
    return (
        f'<rect class="cell {verdict}" {box} rx="4"/>'
        f'<text class="cell-mark" x="{x}" y="{bottom - 7}" text-anchor="middle">{MARKS.get(verdict, "·")}</text>'
    )


def _tip(intensity: float, steps: Sequence[Mapping], sides: Sequence[str]) -> str:
    cell = steps[0]["robust"]
    lines = [f"<b>{shown('sweep.strength', value=number(intensity))}</b>"]
    for name in sides:
        verdict = steps[0][name]["verdict"]
        mark = MARKS.get(verdict, "·")
        lines.append(f"<span>{shown(f'sweep.short-{name}')}: {escape(steps[0][name]['answer'] or '–')} {mark}</span>")
    if cell.get("predicted") is not None:
        applied, predicted = number(steps[0]["applied"]), number(cell["predicted"])
        lines.append(f"<span>{shown('sweep.predicted', predicted=predicted, applied=applied)}</span>")
    gain = steps[0].get("recovered", {}).get("gain")
    if gain is not None:
        lines.append(f"<span>{shown('sweep.gained', gain=f'{gain:+.1f}')}</span>")
    if cell["tokens"]:
        lines.append(f"<span>{shown('compare.tokens', count=cell['tokens'])}</span>")
    return f'<div class="tip-box">{"".join(lines)}</div>'


def _spoken(intensity: float, steps: Sequence[Mapping], sides: Sequence[str]) -> str:
    """A column in figures and the models' own words, which need no translation."""
    answers = (f"{steps[0][name]['answer'] or '–'} {MARKS.get(steps[0][name]['verdict'], '')}" for name in sides)
    return escape(f"{number(intensity)}: {', '.join(answers)}")
