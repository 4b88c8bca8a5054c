"""HTML that every tab is made of. Pure functions; everything that comes from outside is escaped."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from degradations import REGISTRY, STAGES
from demo.texts import Text, both, shown


def header(notice: Text | str, waiting_room: int) -> str:
    """The head of the page: what this is, which pair runs and how many questions can wait."""
    return (
        f'<header><h1>{shown("page.title")}</h1><p class="subtitle">{shown("page.subtitle")}</p>'
        f'<p class="notice"><span class="lamp" aria-hidden="true"></span><span>{both(notice)}</span> '
        f'<span class="queue">{shown("page.queue", count=waiting_room)}</span></p></header>'
    )


def heading(title: Text | str, subtitle: Text | str = "") -> str:
    """A card's title."""
    return f"<h2>{both(title)}{small(subtitle)}</h2>"


def small(text: Text | str) -> str:
    """What a title adds in quieter letters."""
    return f"<small>{both(text)}</small>" if text else ""


def stage_heading(stage: str) -> str:
    """The title of one stage of a picture's way."""
    return f"<h3>{shown(f'page.stage-{stage}')}{small(Text(f'page.stage-{stage}-name'))}</h3>"


def remark(text: Text | str) -> str:
    """Small explaining text."""
    return f'<p class="remark">{both(text)}</p>'


def message(text: Text | str, kind: str = "info") -> str:
    """One line for the visitor; `kind` is info, good or bad. Empty text gives nothing."""
    role = "alert" if kind == "bad" else "status"
    return f'<p class="message {kind}" role="{role}">{both(text)}</p>' if text else ""


def empty(title: Text | str, text: Text | str) -> str:
    """What stands where nothing is yet."""
    return f'<div class="empty"><p class="title">{both(title)}</p><p>{both(text)}</p></div>'


def paragraph(text: str) -> str:
    """What a model wrote, line by line as it wrote it."""
    return f'<p class="words">{escape(text.strip())}</p>' if text.strip() else ""


def file_address(path: str) -> str:
    """Where a browser finds a file of Gradio's upload folder, whatever address the page has."""
    return f"gradio_api/file={quote(path)}"


def tiles(entries: Sequence[tuple[str, object, Text]]) -> str:
    """Large figures: (kind, figure, what it counts) each."""
    return '<dl class="tiles">{}</dl>'.format(
        "".join(
            f'<div class="tile {kind}"><dt>{both(label)}</dt><dd>{escape(str(value))}</dd></div>'
            for kind, value, label in entries
        )
    )


def type_name(name: str) -> str:
    """A degradation as the visitor knows it."""
    return both(Text(REGISTRY[name].label))


def stage_class(name: str) -> str:
    """The class that gives a degradation the colour of its stage."""
    return f"stage-{STAGES.index(REGISTRY[name].stage)}"


def chips(recipe: dict[str, float]) -> str:
    """Degradations with their intensities, each in its stage's colour."""
    return '<ul class="chips">{}</ul>'.format("".join(_chip(*entry) for entry in recipe.items()))


def _chip(name: str, intensity: float) -> str:
    return (
        f'<li class="chip {stage_class(name)}" style="--level:{intensity:.0%}">'
        f"<span>{type_name(name)}</span><b>{intensity:.2f}</b></li>"
    )


def number(value: float | None) -> str:
    """An intensity or an error, or a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"
