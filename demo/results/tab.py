"""Layout and wiring of the tab Results. Which folders can be seen is decided by whoever started the page."""

from pathlib import Path

import gradio as gr
from PIL import Image

from demo import markup
from demo.labels import Labels
from demo.results import folders, panels
from demo.texts import Text


def build(root: Path | None, labels: Labels) -> None:
    """The tab's components, wired.

    Args:
        root: a folder that ``training.evaluate`` wrote, or one with several; None for none.
    """
    found = {folder.name: folder for folder in folders.find(root)} if root else {}
    with gr.Column(elem_id="results", elem_classes="card"):
        gr.HTML(markup.heading(Text("results.title"), Text("results.subtitle")))
        if not found:
            gr.HTML(markup.empty(Text("results.none"), Text("results.none-how")))
            return
        first = next(iter(found))
        choice = labels(
            gr.Dropdown,
            choices=list(found),
            value=first,
            label=Text("results.choose"),
            visible=len(found) > 1,
            elem_id="results-choice",
        )
        html, pictures = show(found, first)
        report = gr.HTML(html, elem_id="results-report")
        plots = labels(
            gr.Gallery,
            value=pictures,
            label=Text("results.plots"),
            columns=2,
            object_fit="contain",
            format="png",
            buttons=["download", "fullscreen"],
            interactive=False,
            elem_id="results-plots",
        )

    def chosen(name: str):
        """report, plots"""
        return show(found, name)

    choice.input(chosen, choice, [report, plots], show_progress="hidden", api_visibility="private")


def show(found: dict[str, Path], name: str) -> tuple[str, list[tuple[Image.Image, str]]]:
    """What stands in the tab for one folder: the report as HTML, and the plots with their names."""
    if name not in found:
        return markup.message(Text("results.foreign"), "bad"), []
    try:
        results = folders.read(found[name])
    except ValueError:
        return markup.message(Text("results.broken", name=name), "bad"), []
    plots = [(_picture(path), path.stem) for path in results.plots]
    # The tallest last, or one of the two columns stays empty below.
    return panels.report(results), sorted(plots, key=lambda plot: plot[0].height / plot[0].width)


def _picture(path: Path) -> Image.Image:
    """Read here: the folder itself stays closed to visitors."""
    with Image.open(path) as image:
        return image.convert("RGB")
