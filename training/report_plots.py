"""The plots of a dataset's report, as SVG that takes the colours of the page around it."""

import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MOST_BARS = 14
"""Longer lists of names are cut to the most frequent ones; the JSON has them all."""

# Stand for the page's colours, which follow the reader's light or dark setting.
INK, GRID, *SHADES = (f"#a1b2{number:02x}" for number in range(8))
COLOURS = {INK: "var(--ink)", GRID: "var(--grid)"} | {
    shade: f"var(--shade-{number})" for number, shade in enumerate(SHADES)
}
ACCENT = SHADES[3]
POINTS = "#4a90d9"
"""Of what is drawn as pixels, which cannot follow; readable on both grounds."""

STYLE = {
    "svg.hashsalt": "report", "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "text.color": INK,
    "axes.labelcolor": INK, "axes.edgecolor": GRID, "xtick.color": GRID, "ytick.color": GRID, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "grid.color": GRID, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "figure.constrained_layout.use": True, "legend.frameon": False, "axes.facecolor": "none",
    "figure.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip
WIDTH = 4.8
"""Of every plot, in inches: its text can still be read when a phone shows it 340 pixels wide."""


def draw(figures: dict, unit: str) -> dict[str, str]:
    """The plots of `training.report.measure`'s figures by name; those that have nothing to show are left out.

    Args:
        unit: what the chains were measured in.
    """
    with matplotlib.rc_context(STYLE):
        plots = {"number": _columns(figures["types_per_picture"], "types in one picture", "pictures")}
        if any(row["pictures"] for row in figures["types"].values()):
            plots |= {"types": _stacked(figures["types"]), "intensities": _strips(figures["types"])}
        if figures["chain_length"]:
            plots["length"] = _growth(figures["points"], figures["chain_length"], unit)
        for name in ("kinds", "sources", "answers", "writers"):
            if len(figures[name]) > (name == "writers"):  # one writer alone is told in words
                plots[name] = _bars(figures[name])
        return {name: _svg(figure, name) for name, figure in plots.items()}


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, height))
    return figure, figure.add_subplot()


def _stacked(types: dict[str, dict]) -> Figure:
    figure, axes = _figure(5.0)
    names = list(types)
    numbers = sorted({number for row in types.values() for number in row["by_number_of_types"]})
    left = np.zeros(len(names))
    for place, number in enumerate(numbers):
        counts = np.array([row["by_number_of_types"].get(number, 0) for row in types.values()])
        shade = SHADES[min(place, len(SHADES) - 1)]
        axes.barh(names, counts, 0.72, left, color=shade, label=str(number))
        left += counts
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.6)
    axes.tick_params(length=0)
    axes.set_xlabel("pictures")
    figure.legend(title="types in the picture", loc="outside upper center", ncols=len(numbers))
    return figure


def _columns(counts: dict[int, int], below: str, beside: str) -> Figure:
    figure, axes = _figure(2.6)
    bars = axes.bar([str(number) for number in counts], list(counts.values()), 0.7, color=ACCENT)
    axes.bar_label(bars, padding=2)
    axes.set_xlabel(below)
    axes.set_ylabel(beside)
    axes.tick_params(length=0)
    axes.grid(axis="y", linewidth=0.6)
    axes.margins(y=0.15)
    return figure


def _strips(types: dict[str, dict]) -> Figure:
    """One histogram a type, each of its own height, above one another."""
    figure = Figure((WIDTH, 6.6))
    rows = figure.subplots(len(types), 1, sharex=True)
    for axes, (name, row) in zip(rows, types.items(), strict=True):
        axes.stairs(row["intensities"], np.linspace(0, 1, len(row["intensities"]) + 1), fill=True, color=ACCENT)
        axes.set_ylim(0, max(1, *row["intensities"]) * 1.1)
        axes.set_yticks([])
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        mean = "" if row["mean_intensity"] is None else f"mean {row['mean_intensity']:.2f}"
        axes.text(1.02, 0.5, mean, transform=axes.transAxes, va="center")
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
    rows[-1].set_xlim(0, 1)
    rows[-1].set_xlabel("intensity")
    return figure


def _growth(points: dict, figures: dict, unit: str) -> Figure:
    figure, axes = _figure(3.4)
    axes.scatter(points["total_intensity"], points["length"], 6, POINTS, alpha=0.4, linewidths=0, rasterized=True)
    means = figures["by_total_intensity"]
    axes.plot([row["mean_total"] for row in means], [row["mean"] for row in means], color=INK, marker="o", markersize=4)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("sum of the intensities")
    axes.set_ylabel(f"{unit} in the chain")
    axes.grid(linewidth=0.6)
    axes.tick_params(length=0, pad=6)
    return figure


def _bars(counts: dict[str, int]) -> Figure:
    shown = dict(list(counts.items())[:MOST_BARS])
    figure, axes = _figure(0.4 + 0.25 * len(shown))
    bars = axes.barh(range(len(shown)), list(shown.values()), 0.72, color=ACCENT)
    axes.set_yticks(range(len(shown)), [name if len(name) <= 28 else f"{name[:27]}…" for name in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.bar_label(bars, padding=3)
    axes.margins(x=0.12)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _svg(figure: Figure, name: str) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", dpi=200, metadata={"Date": None})
    svg = file.getvalue().partition("<svg")[2]
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, variable)
    return f'<svg role="img" aria-label="plot: {name}"{svg}'
