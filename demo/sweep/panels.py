"""A run's state to HTML. Pure functions; everything a model or a visitor wrote is escaped."""

from collections.abc import Mapping, Sequence
from html import escape

from degradations import REGISTRY, STAGES
from demo.markup import empty, file_address, number, stage_class, tiles, type_name
from demo.sweep.chart import MARKS, chart
from demo.sweep.engine import RECIPE, RECOVERED
from demo.sweep.judging import GOOD
from demo.texts import Text, both, shown


def subject(photo: str | None, question: str, options: Sequence[str], recipe: str) -> str:
    """What would be swept: the photo and the question that are chosen on the tab Compare."""
    if not photo or not question.strip():
        return empty(Text("sweep.nothing-chosen"), Text("sweep.nothing-chosen-more"))
    listed = "".join(f"<li>{escape(option)}</li>" for option in options)
    return (
        f'<figure class="subject"><img src="{file_address(photo)}" alt=""><figcaption>'
        f'<p class="asked">{escape(question)}</p><ol start="0">{listed}</ol>'
        f'<p class="remark">{shown("sweep.recipe-now", recipe=recipe)}</p></figcaption></figure>'
    )


def progress(state: Mapping | None) -> str:
    """The bar with the time that is left."""
    if state is None:
        return ""
    done = round(100 * state["progress"])
    parts = [Text("sweep.progress", done=done)]
    if state["stopped"]:
        parts.append(Text("sweep.stopped"))
    elif state["done"]:
        parts.append(Text("sweep.took", seconds=f"{state['seconds']:.0f}"))
    elif state["seconds_left"] is not None:
        parts.append(Text("sweep.left", seconds=f"{state['seconds_left']:.0f}"))
    return (
        f'<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{done}" '
        f'aria-labelledby="sweep-progress-words"><span style="--level:{done}%"></span></div>'
        f'<p class="message" id="sweep-progress-words">{" · ".join(map(both, parts))}</p>'
    )


def summary(state: Mapping | None) -> str:
    """In one glance: from which strength on each side no longer holds."""
    if state is None:
        return empty(Text("sweep.empty"), Text("sweep.empty-more"))
    if state["kind"] == "matrix":
        return tiles([_held(state, name) for name in state["sides"]])
    known = "truth" if state["truth"] is not None else "change"
    entries = []
    for name in state["sides"]:
        point = state["breaks"][name]
        if point is None:
            figure, text = "…", Text(f"sweep.breaks-open-{name}")
        elif point == "never":
            figure, text = "✓", Text(f"sweep.breaks-never-{name}")
        else:
            figure, text = number(point), Text(f"sweep.breaks-{known}-{name}")
        entries.append((f"break-{name}", figure, text))
    return tiles([*entries, *_length(state), *_gain(state)])


def results(state: Mapping | None) -> str:
    """The chart of a sweep, or the heat maps of a matrix."""
    if state is None:
        return ""
    if state["kind"] == "matrix":
        return (
            f'<div class="heat-maps">{"".join(_heat_map(state, name) for name in state["sides"])}</div>{legend(state)}'
        )
    return chart(state) + legend(state)


def strip(state: Mapping | None, thumbnails: Sequence[str]) -> str:
    """Every strength of the first seed: its picture, and what each side answered.

    Args:
        thumbnails: a file for each of `pictured`.
    """
    if state is None or state["kind"] == "matrix":
        return ""
    entries = []
    for step, picture in zip(pictured(state), thumbnails, strict=True):
        answers = "".join(_said(name, step[name]) for name in state["sides"])
        entries.append(
            f'<li><img src="{file_address(picture)}" alt=""><b>{number(step["intensity"])}</b>{answers}</li>'
        )
    return f'<ol class="strip" tabindex="0">{"".join(entries)}</ol>'


def pictured(state: Mapping) -> list[Mapping]:
    """The steps of a state whose pictures are shown: those of the first seed; a matrix shows none."""
    if state["kind"] == "matrix":
        return []
    return [step for step in state["steps"] if step["seed"] == state["steps"][0]["seed"]]


def legend(state: Mapping) -> str:
    """What the marks mean in this run."""
    kinds = ("right", "wrong") if state["truth"] is not None else ("same", "changed")
    marks = "".join(
        f'<span class="key-mark {kind}">{MARKS[kind]} {shown(f"sweep.mark-{kind}")}</span>' for kind in kinds
    )
    lines = "" if state["kind"] == "matrix" else (
        f'<span class="key-line applied-line">{shown("sweep.key-applied")}</span>'
        f'<span class="key-line predicted-line">{shown("sweep.key-predicted")}</span>'
    )  # fmt: skip
    return f'<p class="legend">{lines}{marks}<span class="key-mark unread">? {shown("sweep.unread")}</span></p>'


def what_was_swept(state: Mapping) -> Text:
    """The title of a run."""
    what = state["steps"][-1]["what"]
    if state["kind"] == "matrix":
        return Text("sweep.title-matrix")
    return Text("sweep.title-recipe") if what == RECIPE else Text("sweep.title-type", name=Text(REGISTRY[what].label))


def _said(name: str, cell: Mapping) -> str:
    verdict = cell["verdict"] or "open"
    words = cell["answer"] or ("…" if not cell["done"] else "–")
    return (
        f'<span class="said-by {name} {verdict}" title="{escape(words)}">'
        f"<i>{shown(f'sweep.short-{name}')}</i> {escape(words)} {MARKS.get(verdict, '')}</span>"
    )


def _length(state: Mapping) -> list[tuple[str, str, Text]]:
    """The chain's mean length at the clean end and at the strongest."""
    done = [step for step in state["steps"] if step["robust"]["done"] and step["robust"]["tokens"]]
    if len(done) < 2:
        return []
    figure = f"{done[0]['robust']['tokens']} → {done[-1]['robust']['tokens']}"
    return [("length", figure, Text("sweep.lengths"))]


def _gain(state: Mapping) -> list[tuple[str, str, Text]]:
    """What recovery gained at the strongest step, losses included."""
    gains = [step[RECOVERED]["gain"] for step in state["steps"] if RECOVERED in step]
    told = [gain for gain in gains if gain is not None]
    return [("gain", f"{told[-1]:+.1f} dB", Text("sweep.gain"))] if told else []


def _held(state: Mapping, name: str) -> tuple[str, str, Text]:
    verdicts = [step[name]["verdict"] for step in state["steps"] if step["what"]]
    held = sum(verdict in GOOD for verdict in verdicts)
    kind = "right" if state["truth"] is not None else "same"
    said = sum(verdict not in (None, "failed") for verdict in verdicts)
    return f"held-{name}", f"{held}/{said}", Text(f"sweep.held-{kind}-{name}")


def _heat_map(state: Mapping, name: str) -> str:
    intensities = sorted({step["intensity"] for step in state["steps"] if step["what"]})
    cells = {(step["what"], step["intensity"]): step for step in state["steps"]}
    head = "".join(f'<th scope="col">{number(value)}</th>' for value in intensities)
    rows = []
    for stage in STAGES:
        for entry in REGISTRY.values():
            if entry.stage == stage:
                body = "".join(_heat(cells[entry.name, value], name) for value in intensities)
                rows.append(
                    f'<tr class="{stage_class(entry.name)}"><th scope="row">{type_name(entry.name)}</th>{body}</tr>'
                )
    clean = next((step for step in state["steps"] if not step["what"]), None)
    on_clean = f'<p class="remark">{shown("sweep.clean")} {_said(name, clean[name])}</p>' if clean else ""
    return (
        f'<section class="heat-map"><h3>{shown(f"compare.{name}")}</h3>{on_clean}'
        f'<table class="facts"><thead><tr><th scope="col">{shown("sweep.type")}</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _heat(step: Mapping, name: str) -> str:
    cell = step[name]
    verdict = cell["verdict"] or "open"
    words = cell["answer"] or ("" if cell["done"] else "…")
    predicted = ""
    if cell.get("predicted") is not None:
        predicted = f'<span class="bar predicted" style="--level:{min(cell["predicted"], 1):.0%}"></span>'
    return (
        f'<td class="heat {verdict}" title="{escape(words)}"><span>{MARKS.get(verdict, "·")} {escape(words)}</span>'
        f"{predicted}</td>"
    )
