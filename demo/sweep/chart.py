"""A sweep as SVG, drawn anew as results come: prediction against strength, answers that hold, length of the chain.

It is drawn twice, for wide places and for a phone's: letters keep their size where the drawing gets narrow. The style
sheet shows the one that fits, and gives the colours, so it follows light and dark. Pointing at a step, or reaching it
with the Tab key, shows that step's figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import mean

from demo.markup import number
from demo.texts import Text, both, shown


@dataclass(frozen=True)
class Layout:
    """Where things stand, in units of the drawing; from the top: predictions, a row of answers a side, lengths.

    Attributes:
        name: its class in the style sheet.
        width, height: of all, where there are two sides.
        left, right: from the edges to the weakest and the strongest step.
        cell: the most that an answer's mark is wide.
        prediction, length: top and bottom of these parts; length where there are two sides.
        answers: top of the first row.
        tip: width and height of what is shown of one step.
    """

    name: str
    width: int
    height: int
    left: int
    right: int
    cell: int
    prediction: tuple[int, int]
    answers: int
    length: tuple[int, int]
    tip: tuple[int, int]

    def x(self, intensity: float) -> float:
        return round(self.left + intensity * self.along, 1)

    @property
    def along(self) -> int:
        """From the weakest to the strongest step."""
        return self.width - self.left - self.right


WIDE = Layout("wide", 760, 430, 84, 24, 34, (16, 226), 262, (346, 396), (214, 160))
NARROW = Layout("narrow", 340, 380, 54, 18, 24, (16, 186), 212, (296, 346), (214, 160))
ROW, THIRD = 24, 32
"""Height of a row of answers, and from one to the next: by so much the rest moves down where there is a third side."""
MARKS = {"right": "✓", "same": "✓", "wrong": "✗", "changed": "✗", "unread": "?", "failed": "!"}


def chart(state: Mapping) -> str:
    """The SVG of a type's or a recipe's sweep, in both layouts.

    Args:
        state: `demo.sweep.engine.Run.as_json`.
    """
    return (
        f'<p class="visually-hidden" id="sweep-chart-title">{shown("sweep.chart")}</p>'
        f"{_drawing(state, WIDE)}{_drawing(state, NARROW)}"
    )


def _drawing(state: Mapping, layout: Layout) -> str:
    columns = _columns(state["steps"])
    top = max(1.0, *(step["applied"] for step in state["steps"]))
    longest = max([step["robust"]["tokens"] for step in state["steps"]] + [1])
    places = {intensity: layout.x(intensity) for intensity in columns}
    sides, band = state["sides"], layout.prediction
    down = THIRD * (len(sides) - 2)
    length = layout.length[0] + down, layout.length[1] + down
    parts = [
        _axes(layout, top, longest, sides, length),
        _line("applied-line", [(places[i], _y(steps[0]["applied"] / top, band)) for i, steps in columns.items()]),
        _line("predicted-line", _means(columns, places, "predicted", top, band)),
        _line("length-line", _means(columns, places, "tokens", longest, length)),
        *(_dots(steps, places[intensity], top, band) for intensity, steps in columns.items()),
        *(_column(layout, i, steps, len(columns), sides, length[1]) for i, steps in columns.items()),
    ]
    return (
        f'<svg class="sweep-chart {layout.name}" viewBox="0 0 {layout.width} {layout.height + down}" role="group" '
        f'aria-labelledby="sweep-chart-title">{"".join(parts)}</svg>'
    )


def _columns(steps: Sequence[Mapping]) -> dict[float, list[Mapping]]:
    """The steps of each intensity, one a seed."""
    columns: dict[float, list[Mapping]] = {}
    for step in steps:
        columns.setdefault(step["intensity"], []).append(step)
    return columns


def _y(share: float, band: tuple[int, int]) -> float:
    top, bottom = band
    return round(bottom - min(share, 1.0) * (bottom - top), 1)


def _axes(layout: Layout, top: float, longest: int, sides: Sequence[str], length: tuple[int, int]) -> str:
    height = layout.height + length[0] - layout.length[0]
    left, right, band = layout.left, layout.width - layout.right, layout.prediction
    lines = [
        f'<line class="grid" x1="{left}" x2="{right}" y1="{_y(share, part)}" y2="{_y(share, part)}"/>'
        for part, shares in ((band, (0, 0.5, 1)), (length, (0, 1)))
        for share in shares
    ]
    numbers = [_label(left - 8, _y(share, band) + 4, f"{share * top:.1f}", "end") for share in (0, 0.5, 1)]
    numbers += [_label(left - 8, _y(share, length) + 4, str(round(share * longest)), "end") for share in (0, 1)]
    numbers += [_label(layout.x(share), height - 16, f"{share:g}", "middle") for share in (0, 0.25, 0.5, 0.75, 1)]
    beside = left - layout.cell / 2 - 6
    titles = [
        _label(left, band[0] - 5, Text("sweep.axis-predicted"), "start"),
        _label(left, length[0] - 7, Text("sweep.axis-length"), "start"),
        _label(right, height - 1, Text("sweep.axis-strength"), "end"),
        *(
            _label(beside, layout.answers + row * THIRD + ROW - 7, Text(f"sweep.short-{name}"), "end")
            for row, name in enumerate(sides)
        ),
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


def _dots(steps: Sequence[Mapping], x: float, top: float, band: tuple[int, int]) -> str:
    said = [step["robust"].get("predicted") for step in steps]
    return "".join(
        f'<circle class="predicted-dot" cx="{x}" cy="{_y(value / top, band)}" r="4"/>'
        for value in said
        if value is not None
    )


def _column(
    layout: Layout, intensity: float, steps: Sequence[Mapping], count: int, sides: Sequence[str], bottom: int
) -> str:
    """One strength: its marks, and what is shown when it is pointed at."""
    x, wide = layout.x(intensity), layout.along / max(1, count - 1)
    cell = min(wide - 3, layout.cell)
    marks = "".join(_mark(steps, name, x, layout.answers + row * THIRD, cell) for row, name in enumerate(sides))
    tip_wide, tip_high = layout.tip
    tip_x = min(max(x - tip_wide / 2, 2), layout.width - tip_wide - 2)
    top = layout.prediction[0]
    return (
        f'<g class="column" tabindex="0" role="img" aria-label="{_spoken(intensity, steps, sides)}">'
        f'<rect class="hit" x="{x - wide / 2:.1f}" y="0" width="{wide:.1f}" height="{bottom}"/>'
        f'<line class="cursor" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>{marks}'
        f'<foreignObject class="tip" x="{tip_x:.1f}" y="{top + 6}" width="{tip_wide}" height="{tip_high}">'
        f"{_tip(intensity, steps, sides)}</foreignObject></g>"
    )


def _mark(steps: Sequence[Mapping], name: str, x: float, top: int, wide: float) -> str:
    """A cell of the row of answers: the verdict of most seeds."""
    verdicts = [step[name]["verdict"] for step in steps]
    said = [verdict for verdict in verdicts if verdict]
    verdict = max(said, key=said.count) if said else "open"
    box = f'x="{x - wide / 2:.1f}" y="{top}" width="{wide:.1f}" height="{ROW}"'
    return (
        f'<rect class="cell {verdict}" {box} rx="4"/>'
        f'<text class="cell-mark" x="{x}" y="{top + ROW - 7}" text-anchor="middle">{MARKS.get(verdict, "·")}</text>'
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
