"""A run's state as files: JSON with everything, CSV for a spreadsheet, one PNG of 1920 × 1080 made for a slide."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from PIL import Image

from degradations import REGISTRY, files
from demo.drawing import ACCENT, BAD, GOOD, GRID, OTHER, QUIET, box, shortened, style
from demo.sweep.chart import MARKS
from demo.sweep.engine import RECOVERED, SIDES
from demo.sweep.panels import pictured, what_was_swept
from demo.texts import DEFAULT, LANGUAGES, Text, say

FORMATS = ("csv", "json", "png")
CELL = ("answer", "choice", "verdict", "tokens", "stop_reason", "error")
STEP = ("what", "intensity", "seed", "recipe", "applied")
COLUMNS = [
    *STEP, *(f"{name}_{field}" for name in SIDES for field in CELL), "robust_predicted", "robust_predicted_recipe",
]  # fmt: skip
OF_RECOVERED = [f"{RECOVERED}_{field}" for field in (*CELL, "predicted", "predicted_recipe", "gain")]
"""Columns that come after those where the picture was recovered first."""
VERDICTS = {"right": GOOD, "same": GOOD, "wrong": BAD, "changed": BAD}


def check_language(language: object) -> str:
    """A language as a script names it.

    Raises:
        ValueError: it is none of `LANGUAGES`; with a `Text` that names them.
    """
    if language not in LANGUAGES:
        raise ValueError(Text("sweep.bad-language", known=", ".join(LANGUAGES), given=repr(language)[:80]))
    return language


def write(state: Mapping, thumbnails: Sequence[str | Path], language: str, folder: Path) -> list[Path]:
    """The files of a state, one of each of `FORMATS`, in a folder of their own below `folder`.

    Args:
        thumbnails: a file for each of `demo.sweep.panels.pictured`.
        language: of the slide.
    """
    pictures = [Image.open(path).convert("RGB") for path in thumbnails]
    content = {"csv": as_csv(state), "json": as_json(state), "png": as_png(state, pictures, language)}
    own = folder / hashlib.sha256(content["json"] + language.encode()).hexdigest()
    for kind in FORMATS:
        files.write_whole(own / f"sweep.{kind}", content[kind])
    return [own / f"sweep.{kind}" for kind in FORMATS]


def as_json(state: Mapping) -> bytes:
    """The whole state, indented."""
    return (json.dumps(state, ensure_ascii=False, indent=1) + "\n").encode()


def as_csv(state: Mapping) -> bytes:
    """One row a step, `COLUMNS` and perhaps `OF_RECOVERED`; UTF-8 with the mark that spreadsheets look for."""
    out = io.StringIO()
    recovered = RECOVERED in state["sides"]
    writer = csv.DictWriter(out, COLUMNS + (OF_RECOVERED if recovered else []), lineterminator="\r\n")
    writer.writeheader()
    for step in state["steps"]:
        row = {name: step[name] for name in STEP}
        row |= {f"{name}_{field}": _harmless(step[name][field]) for name in state["sides"] for field in CELL}
        for name in state["sides"][1:]:
            said = step[name].get("predicted_recipe")
            row[f"{name}_predicted"] = step[name].get("predicted")
            row[f"{name}_predicted_recipe"] = None if said is None else json.dumps(said)
        if recovered:
            row[f"{RECOVERED}_gain"] = step[RECOVERED]["gain"]
        writer.writerow(row)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _harmless(value: object) -> object:
    """A text that a spreadsheet would take for a formula, marked as a text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def as_png(state: Mapping, pictures: Sequence[Image.Image], language: str = DEFAULT) -> bytes:
    """A slide: question, thumbnails, predictions and answers; of a matrix, both heat maps.

    Args:
        pictures: a thumbnail for each of `demo.sweep.panels.pictured`.
        language: of the slide's own words.
    """
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(19.2, 10.8), dpi=100)
        canvas = FigureCanvasAgg(figure)
        title = what_was_swept(state).say(language)
        figure.text(0.04, 0.94, title, fontsize=32, weight="bold", va="center")
        figure.text(0.04, 0.885, shortened(state["question"].splitlines()[0], 110), fontsize=21, color=QUIET)
        models = " · ".join(f"{say(f'compare.{name}', language)}: {state['models'][name]}" for name in state["sides"])
        figure.text(0.04, 0.03, models, fontsize=14, color=QUIET)
        if state["kind"] == "matrix":
            _heat_maps(figure, state, language)
        else:
            _sweep(figure, state, pictures, language)
        out = io.BytesIO()
        canvas.print_png(out)
    return out.getvalue()


def _sweep(figure, state: Mapping, pictures: Sequence[Image.Image], language: str) -> None:
    one_seed = list(zip(pictured(state), pictures, strict=True))
    intensities = [step["intensity"] for step, _ in one_seed]
    left, wide = 0.13, 0.83
    room = wide / len(one_seed)
    for number, (step, picture) in enumerate(one_seed):
        axes = figure.add_axes((left + number * room, 0.72, room * 0.92, 0.13))
        axes.imshow(picture)
        axes.axis("off")
        axes.set_title(f"{step['intensity']:.2f}", fontsize=15, color=QUIET)
    for row, name in enumerate(state["sides"]):
        axes = figure.add_axes((left, 0.62 - row * 0.085, wide, 0.07))
        axes.set_xlim(0, len(one_seed))
        axes.set_ylim(0, 1)
        axes.axis("off")
        axes.text(-0.05, 0.5, say(f"sweep.short-{name}", language), ha="right", va="center", fontsize=17)
        for number, (step, _) in enumerate(one_seed):
            cell = step[name]
            colour = VERDICTS.get(cell["verdict"], OTHER)
            axes.add_patch(box(number + 0.02, 0.04, 0.9, 0.92, colour))
            words = (
                f"{MARKS.get(cell['verdict'], '·')} {shortened(cell['answer'] or '–', max(6, 130 // len(one_seed)))}"
            )
            axes.text(number + 0.47, 0.5, words, ha="center", va="center", color="white", fontsize=13)
    axes = figure.add_axes((left, 0.1, wide, 0.36 - 0.085 * (len(state["sides"]) - 2)))
    axes.grid(color=GRID)
    axes.plot(intensities, [step["applied"] for step, _ in one_seed], color=QUIET, linestyle="--",
              label=say("sweep.key-applied", language))  # fmt: skip
    points = [
        (step["intensity"], step["robust"]["predicted"])
        for step in state["steps"]
        if step["robust"].get("predicted") is not None
    ]
    axes.plot(*zip(*points, strict=True) if points else ([], []), "o", color=ACCENT, alpha=0.5, markersize=9)
    means = {x: mean(value for at, value in points if at == x) for x, _ in points}
    axes.plot(list(means), list(means.values()), color=ACCENT, linewidth=3, label=say("sweep.key-predicted", language))
    axes.set_xlabel(say("sweep.axis-strength", language))
    axes.set_ylabel(say("sweep.axis-predicted", language))
    axes.legend(frameon=False, loc="upper left")


def _heat_maps(figure, state: Mapping, language: str) -> None:
    cells = {(step["what"], step["intensity"]): step for step in state["steps"] if step["what"]}
    intensities = sorted({intensity for _, intensity in cells})
    room = 0.82 / len(state["sides"])
    for place, name in enumerate(state["sides"]):
        axes = figure.add_axes((0.17 + place * room, 0.09, room - 0.05, 0.72))
        axes.set_xlim(0, len(intensities))
        axes.set_ylim(len(REGISTRY), 0)
        axes.set_title(say(f"compare.{name}", language), fontsize=22, pad=12)
        axes.set_xticks([number + 0.5 for number in range(len(intensities))], [f"{value:.2f}" for value in intensities])
        labels = [say(entry.label, language) for entry in REGISTRY.values()] if place == 0 else []
        axes.set_yticks([number + 0.5 for number in range(len(REGISTRY))] if labels else [], labels)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for row, what in enumerate(REGISTRY):
            for column, value in enumerate(intensities):
                cell = cells[what, value][name]
                axes.add_patch(box(column + 0.02, row + 0.05, 0.95, 0.9, VERDICTS.get(cell["verdict"], OTHER)))
                words = f"{MARKS.get(cell['verdict'], '·')} {shortened(cell['answer'] or '–', 18)}"
                axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", color="white", fontsize=13)
