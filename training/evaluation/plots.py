"""The plots of an evaluation, as PNG: intensities, types, calibration, tokens, accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradations import REGISTRY, Recipe
from demo.chain import parse_chain
from training.evaluation.choice import accuracy_of
from training.evaluation.naming import ERROR, F1
from training.evaluation.rows import CLEAN, STATES, applied
from training.evaluation.said import Reply

STYLE = {
    "font.size": 13, "axes.titlesize": 13, "text.parse_math": False, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "axes.edgecolor": "#888888", "grid.color": "#dddddd",
    "figure.facecolor": "white", "axes.facecolor": "white", "legend.frameon": False,
    "figure.constrained_layout.use": True,
}  # fmt: skip
DPI = 130

PLOTS = ("intensity", "types", "tokens", "calibration", "accuracy")
"""What there may be."""

# Okabe and Ito's colours, which the colour-blind tell apart; the last run has the first.
MAIN, *OTHERS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
CEILING = "#333333"
MISSED, INVENTED = "#d55e00", "#cc79a7"


@dataclass(frozen=True)
class Points:
    """What a side's chains say of every degraded picture, beside the truth."""

    pairs: list[tuple[Recipe, Recipe]]
    tokens: list[int]

    @classmethod
    def of(cls, rows: Sequence[Mapping], replies: Mapping[str, Sequence[Reply]]) -> "Points":
        """Pictures of which nobody knows what was done to them are left out."""
        told = [
            (recipe, reply)
            for state, said in replies.items()
            if state != CLEAN
            for row, reply in zip(rows, said, strict=True)
            if (recipe := applied(row, state)) is not None
        ]
        pairs = [(recipe, parse_chain(reply.text).recipe) for recipe, reply in told]
        return cls(pairs, [reply.tokens or 0 for _, reply in told])


def draw(folder: Path, results: Mapping, points: Mapping[str, Points], ceiling: Mapping | None) -> list[Path]:
    """Write the plots that there is something for; returns their paths. Those of an earlier run are deleted.

    Args:
        results: as `training.evaluate` writes them; types and intensities are those of the first set that has some.
        points: name -> points of the sides that write chains, on that set.
        ceiling: what `training.ceiling` wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    main, first = results["main"], next(iter(results["sets"].values()))
    first = results["sets"].get(results.get("drawn"), first)
    points = {name: own for name, own in points.items() if own.pairs}
    others = [name for name in first["sides"] if name != main]
    colours = {main: MAIN} | {name: OTHERS[place % len(OTHERS)] for place, name in enumerate(others)}
    copies = [found for found in results["sets"].values() if list(STATES.values()) == found["states"][1:]]
    written = []
    with matplotlib.rc_context(STYLE):
        plots = {}
        if main in points:
            plots["intensity"] = _intensities(points[main], first["by type"][main])
            plots["types"] = _types(first["by type"], colours, ceiling)
            plots["tokens"] = _lengths(points, colours, main)
            plots["calibration"] = _calibrations(first["calibration"], colours)
        if copies:
            plots["accuracy"] = _accuracies(copies[0], colours)
        for name in set(PLOTS) - set(plots):
            (folder / f"{name}.png").unlink(missing_ok=True)
        for name, figure in plots.items():
            written.append(folder / f"{name}.png")
            figure.savefig(written[-1], dpi=DPI, metadata={"Software": None})
    return written


def draw_recovery(folder: Path, recovery: Mapping[str, Mapping], main: str) -> list[Path]:
    """Write ``recovery-SET.png``: how good answers are against how much recovery gained; returns the paths.

    Args:
        recovery: as `training.evaluation.recovered.told_of` gives it.
    """
    for stale in folder.glob("recovery-*.png"):
        stale.unlink()
    written = []
    for name, states in recovery.items():
        told = {state: found["by gain"] for state, found in states.items() if state != CLEAN and found["by gain"]}
        if not told:
            continue
        with matplotlib.rc_context(STYLE):
            figure = Figure((5.5 * len(told) + 0.5, 6))
            for axes, (state, parts) in zip(np.atleast_1d(figure.subplots(1, len(told))), told.items(), strict=True):
                others = [side for side in parts[0]["sides"] if side != main]
                colours = {main: MAIN} | {side: OTHERS[place % len(OTHERS)] for place, side in enumerate(others)}
                middles = [(part["from"] + part["to"]) / 2 for part in parts]
                for side, colour in colours.items():
                    own = [part["sides"][side] for part in parts]
                    with_intervals(axes, middles, own, colour, side)
                    axes.plot(middles, [one["value"] for one in own], color=colour, linewidth=2)
                axes.axvline(0, color="#888888", linewidth=1)
                axes.set(title=state, xlabel="PSNR gained by recovery, dB", ylabel="right answers", ylim=(0, 1.02))
                axes.grid(linewidth=0.6)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=min(3, len(colours)))
            written.append(folder / f"recovery-{name}.png")
            figure.savefig(written[-1], dpi=DPI, metadata={"Software": None})
    return written


def _intensities(points: Points, by_type: Mapping[str, Mapping]) -> Figure:
    """Predicted against true intensity, one field a type."""
    figure = Figure((11, 12.5))
    fields = figure.subplots(4, 4, sharex=True, sharey=True)
    for axes, name in zip(fields.flat, REGISTRY, strict=True):
        hits = [(a[name], p[name]) for a, p in points.pairs if name in a and name in p]
        missed = [a[name] for a, p in points.pairs if name in a and name not in p]
        invented = [p[name] for a, p in points.pairs if name in p and name not in a]
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1)
        axes.scatter(*_columns(hits), 22, MAIN, alpha=0.45, linewidths=0, label="named")
        axes.scatter(missed, np.full(len(missed), -0.07), 50, MISSED, marker="|", alpha=0.6, label="missed")
        axes.scatter(np.full(len(invented), -0.07), invented, 50, INVENTED, marker="_", alpha=0.6, label="invented")
        told = " · ".join(f"{label} {_value(by_type[name][key])}" for label, key in (("F1", F1), ("error", ERROR)))
        axes.set_title(f"{name}\n{told}")
        axes.set(xlim=(-0.12, 1.04), ylim=(-0.12, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
        axes.grid(linewidth=0.6)
    figure.supxlabel("true intensity")
    figure.supylabel("predicted intensity")
    figure.legend(*fields.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple:
    return tuple(zip(*pairs, strict=True)) or ((), ())


def _value(figure: Mapping) -> str:
    return "–" if figure["value"] is None else f"{figure['value']:.2f}"


def _types(by_type: Mapping[str, Mapping], colours: Mapping[str, str], ceiling: Mapping | None) -> Figure:
    """F1 and intensity error of every type, with intervals; the types in the order of the last run's error."""
    main = list(by_type)[-1]
    head = {"large head": ceiling["figures"]["by type"]} if ceiling else {}
    sides, colours = {**by_type, **head}, {**colours, "large head": CEILING}
    names = sorted(REGISTRY, key=lambda name: by_type[main][name][ERROR]["value"] or 0, reverse=True)
    figure = Figure((11, 1.5 + 0.11 * len(names) * (1 + len(sides))))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key in zip(panels, (ERROR, F1), strict=True):
        for place, (side, own) in enumerate(sides.items()):
            rows = np.arange(len(names)) + 0.7 * ((place + 0.5) / len(sides) - 0.5)
            with_intervals(axes, rows, [own[name][key] for name in names], colours[side], side, across=True)
        axes.set_xlabel("mean intensity error" if key == ERROR else "F1")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(left=0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", linewidth=0.8)
        for row in np.arange(len(names) - 1) + 0.5:
            axes.axhline(row, color="#eeeeee", linewidth=0.8)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(5, len(sides)))
    return figure


def _calibrations(curves: Mapping[str, Sequence[Mapping]], colours: Mapping[str, str]) -> Figure:
    """By what was said: how strong it truly was, and how often it was there at all."""
    figure = Figure((11, 5.6))
    panels = figure.subplots(1, 2)
    for axes, key in zip(panels, ("true", "there"), strict=True):
        for side, rows in curves.items():
            middles = [(row["from"] + row["to"]) / 2 for row in rows]
            with_intervals(axes, middles, [row[key] for row in rows], colours[side], side)
        axes.set(xlabel="predicted intensity", xlim=(0, 1), ylim=(0, 1.04))
        axes.grid(linewidth=0.6)
    panels[0].plot([0, 1], [0, 1], color="#888888", linewidth=1)
    panels[0].set_ylabel("true intensity, where the type was there")
    panels[1].set_ylabel("share that was there")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside upper center", ncols=min(5, len(curves)))
    return figure


def _lengths(points: Mapping[str, Points], colours: Mapping[str, str], main: str) -> Figure:
    """Tokens against the total intensity: every picture of the last run, and the means of all."""
    figure = Figure((11, 6))
    axes = figure.add_subplot()
    for name, own in points.items():
        totals, tokens = np.array([a.total for a, _ in own.pairs]), np.array(own.tokens)
        if name == main:
            axes.scatter(totals, tokens, 16, MAIN, alpha=0.25, linewidths=0)
        bins = np.ceil(totals / 0.5)  # undegraded pictures are one by themselves
        means = [(totals[bins == b].mean(), tokens[bins == b].mean()) for b in np.unique(bins)]
        style = {"linewidth": 3.5, "zorder": 3} if name == main else {"linewidth": 2}
        axes.plot(*_columns(means), color=colours[name], marker="o", label=name, **style)
    axes.set(xlabel="sum of the true intensities", ylabel="tokens in the answer")
    axes.set_ylim(bottom=0)
    axes.grid(linewidth=0.6)
    axes.legend()
    return figure


def _accuracies(found: Mapping, colours: Mapping[str, str]) -> Figure:
    """The share of right answers from clean pictures to those of full strength."""
    figure = Figure((11, 6))
    axes = figure.add_subplot()
    states = found["states"]
    for place, (side, own) in enumerate(found["sides"].items()):
        columns = np.arange(len(states)) + 0.3 * ((place + 0.5) / len(found["sides"]) - 0.5)
        told = [own[accuracy_of(state)] for state in states]
        with_intervals(axes, columns, told, colours[side], side)
        axes.plot(columns, [figure["value"] for figure in told], color=colours[side], linewidth=2)
    axes.set_xticks(range(len(states)), states)
    axes.set(xlabel="strength of the degradation", ylabel="right answers")
    axes.grid(axis="y", linewidth=0.6)
    axes.legend(ncols=2)
    return figure


def with_intervals(axes: Axes, places, told: Sequence[Mapping], colour: str, label: str, across: bool = False) -> None:
    """Points with their intervals; `told` is figures as `resampling.intervals` gives them."""
    known = [(place, figure) for place, figure in zip(places, told, strict=True) if figure["low"] is not None]
    places, values = [place for place, _ in known], [figure["value"] for _, figure in known]
    # A percentile interval need not hold the value itself.
    reach = [[max(0, f["value"] - f["low"]) for _, f in known], [max(0, f["high"] - f["value"]) for _, f in known]]
    style = {"fmt": "o", "color": colour, "label": label, "markersize": 6, "elinewidth": 1.6}
    if across:
        axes.errorbar(values, places, xerr=reach, **style)
    else:
        axes.errorbar(places, values, yerr=reach, **style)
