"""Layout and wiring of the tab Annotate: a picture on the left, what is asked about it on the right."""

import os
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from gradio.utils import get_space

from demo import markup, settings
from demo.annotate import asking, panels
from demo.annotate.actions import Actions
from demo.annotate.exports import FORMATS
from demo.annotate.service import Service
from demo.labels import Labels
from demo.models import Pair
from demo.recovery.joint import Joint
from demo.texts import Text

SCRIPT = Path(__file__).with_name("annotate.js")
COLLECT = "(name, key, batch, _) => [name, key, batch, JSON.stringify(window.annotate.collect())]"
"""The form is read by the browser when it is sent."""


def build(service: Service, pair: Pair, labels: Labels, joint: Joint | None = None) -> SimpleNamespace:
    """The tab's components, wired; with `joint`, predictions may be made from recovered pictures, too."""
    ui = SimpleNamespace(actions=Actions(service, pair, joint))
    with gr.Column(elem_id="annotate-head", elem_classes="card"):
        _who(ui, service, labels)
        ui.progress = gr.HTML("", elem_id="annotate-progress")
        ui.status = gr.HTML(markup.message(""), elem_id="annotate-status", elem_classes="status")
    with gr.Row(elem_id="annotate-desk"):
        with gr.Column(elem_id="annotate-left", elem_classes="card"):
            ui.viewer = gr.HTML(panels.begin(), elem_id="annotate-viewer")
        with gr.Column(elem_id="annotate-right", elem_classes="card"):
            ui.form = gr.HTML("", elem_id="annotate-form")
            ui.said = gr.Textbox(visible=False)
            with gr.Row(elem_id="annotate-go"):
                ui.back, ui.undo, ui.skip, ui.save = (
                    labels(gr.Button, value=Text(f"annotate.do-{name}"), scale=scale, elem_id=f"annotate-{name}")
                    for name, scale in (("back", 1), ("undo", 1), ("skip", 1), ("save", 2))
                )
            with labels(gr.Accordion, label=Text("annotate.keys"), open=False):
                gr.HTML(panels.keys())
    with labels(gr.Accordion, label=Text("annotate.figures"), open=False, elem_classes="card") as ui.figures_card:
        ui.figures = gr.HTML("", elem_id="annotate-figures")
        ui.timer = gr.Timer(settings.FIGURES_S, active=False)
    with labels(
        gr.Accordion, label=Text("annotate.operating"), open=False, elem_classes="card", elem_id="annotate-operating"
    ):
        _operating(ui, service, labels)
    _wire(ui, ui.actions)
    return ui


def on_load(page: gr.Blocks, ui: SimpleNamespace) -> None:
    """What a browser does with this tab once it is there."""
    script = SCRIPT.read_text(encoding="utf-8")
    script = script[script.index("(name, key) =>") :].rstrip()
    page.load(None, [ui.name, ui.key], [ui.name, ui.key], js=script, api_visibility="private")
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private", "preprocess": False}
    page.load(ui.actions.listed, ui.batch, ui.batch, **quick)


def _who(ui: SimpleNamespace, service: Service, labels: Labels) -> None:
    with gr.Row(elem_id="annotate-who"):
        # Of a Space alone: elsewhere Gradio lets everybody in as whoever started the server.
        login = bool(get_space() and os.environ.get("OAUTH_CLIENT_ID"))
        if login:
            gr.LoginButton(scale=1)
        ui.name = labels(
            gr.Textbox,
            label=Text("annotate.your-name"),
            visible=not login,
            max_lines=1,
            scale=2,
            elem_id="annotate-name",
        )
        ui.key = labels(
            gr.Textbox,
            label=Text("annotate.your-key"),
            visible=service.access.needs_key and not login,
            type="password",
            scale=2,
            elem_id="annotate-key",
        )
        # Empty until `on_load`: a list that changes under an open menu turns a click into the choice of its neighbour.
        ui.batch = labels(gr.Dropdown, choices=[], label=Text("annotate.batch"), scale=3, elem_id="annotate-batch")
        ui.enter = labels(gr.Button, value=Text("annotate.start"), variant="primary", scale=1, elem_id="annotate-start")


def _operating(ui: SimpleNamespace, service: Service, labels: Labels) -> None:
    gr.HTML(markup.remark(Text("annotate.open-remark", most=round(settings.MAX_PHOTO_BYTES / 1e6))))
    with gr.Row():
        ui.files = labels(gr.File, label=Text("annotate.open-files"), file_count="multiple", elem_id="annotate-files")
        with gr.Column():
            ui.source = labels(gr.Textbox, label=Text("annotate.open-source"), elem_id="annotate-source")
            ui.named = labels(
                gr.Dropdown,
                choices=list(service.named),
                label=Text("annotate.open-named"),
                visible=bool(service.named),
                elem_id="annotate-named",
            )
            ui.title = labels(gr.Textbox, label=Text("annotate.open-title"), elem_id="annotate-title")
        with gr.Column():
            ui.question = labels(
                gr.Textbox,
                settings.ANNOTATE_QUESTION,
                label=Text("annotate.open-question"),
                elem_id="annotate-question",
            )
            ui.options = labels(gr.Textbox, label=Text("annotate.open-options"), lines=2, elem_id="annotate-options")
            ui.per_item = labels(
                gr.Number,
                1,
                label=Text("annotate.open-per-item"),
                precision=0,
                minimum=1,
                maximum=settings.MOST_PER_ITEM,
                elem_id="annotate-per-item",
            )
            ui.blind = labels(gr.Checkbox, True, label=Text("annotate.open-blind"), elem_id="annotate-blind")
    with gr.Row():
        ui.open = labels(gr.Button, value=Text("annotate.open"), variant="primary", elem_id="annotate-open")
        ui.predict = labels(gr.Button, value=Text("annotate.predict"), elem_id="annotate-predict")
        ui.recover = labels(
            gr.Checkbox,
            False,
            label=Text("annotate.recover"),
            container=False,
            visible=bool(ui.actions.joint),
            elem_id="annotate-recover",
        )
        ui.stop = labels(gr.Button, value=Text("annotate.stop"), variant="stop", elem_id="annotate-stop")
    ui.operating = gr.HTML(markup.message(""), elem_id="annotate-told", elem_classes="status")
    with gr.Row():
        with gr.Column():
            ui.format = labels(
                gr.Radio,
                choices=list(FORMATS),
                value=FORMATS[0],
                label=Text("annotate.export-format"),
                elem_id="annotate-format",
            )
            with gr.Row(elem_classes="go"):
                ui.export = labels(gr.Button, value=Text("annotate.export"), elem_id="annotate-export")
                ui.to_hub = labels(gr.Button, value=Text("annotate.to-hub"), elem_id="annotate-to-hub")
            # Not before there is one: Gradio's empty box has a name that no screen reader may read.
            ui.exported = labels(
                gr.File,
                label=Text("annotate.export-file"),
                interactive=False,
                visible=False,
                elem_id="annotate-exported",
            )
        with gr.Column():
            ui.table = labels(gr.File, label=Text("annotate.import-file"), elem_id="annotate-table")
            ui.take = labels(gr.Button, value=Text("annotate.import"), elem_id="annotate-import")
    ui.push = gr.HTML("", elem_id="annotate-push")


def _wire(ui: SimpleNamespace, actions: Actions) -> None:
    # Files and choices are checked by the actions, as anyone can write a request by hand.
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private", "preprocess": False}
    me = [ui.name, ui.key, ui.batch]
    desk = [ui.viewer, ui.form, ui.progress, ui.status]
    begun = gr.on([ui.enter.click, ui.name.submit, ui.key.submit], actions.enter, me, desk, **quick)
    chosen = ui.batch.input(actions.choose, [*me, ui.said], desk, js=COLLECT, **quick)
    for event in (begun, chosen):
        event.then(None, js=STARTED, inputs=[ui.name, ui.key], api_visibility="private")
    ui.save.click(actions.save, [*me, ui.said], desk, js=COLLECT, **quick)
    ui.skip.click(actions.skip, [*me, ui.said], desk, js=COLLECT, **quick)
    ui.back.click(actions.back, [*me, ui.said], desk, js=COLLECT, **quick)
    ui.undo.click(actions.undo, me, desk, **quick)

    ui.figures_card.expand(actions.figures, me, ui.figures, **quick).then(
        lambda: gr.Timer(active=True), None, ui.timer, **quick
    )
    ui.figures_card.collapse(lambda: gr.Timer(active=False), None, ui.timer, **quick)
    ui.timer.tick(actions.figures, me, ui.figures, **quick)

    asked = [ui.files, ui.source, ui.named, ui.title, ui.blind, ui.per_item, ui.question, ui.options]
    told = {
        "show_progress": "minimal",
        "show_progress_on": ui.operating,
        "api_visibility": "private",
        "preprocess": False,
    }
    ui.open.click(actions.open, [ui.name, ui.key, *asked], [ui.operating, ui.batch], concurrency_limit=2, **told)
    predicting = ui.predict.click(actions.predict, [*me, ui.recover], ui.operating, **told, **asking.PREDICTING)
    ui.stop.click(None, cancels=[predicting]).then(actions.stopped, None, ui.operating, **quick)
    ui.export.click(actions.export, [*me, ui.format], [ui.operating, ui.exported], concurrency_limit=2, **told)
    ui.to_hub.click(actions.to_hub, me, ui.operating, **told, **asking.PUBLISHING)
    ui.take.click(actions.take, [*me, ui.table], ui.operating, concurrency_limit=2, **told)
    ui.timer.tick(actions.pushed, None, ui.push, **quick)
    gr.on([ui.enter.click, ui.open.click], actions.pushed, None, ui.push, **quick)


STARTED = """(name, key) => {
    sessionStorage.setItem("annotator", name ?? "");
    sessionStorage.setItem("annotator-key", key ?? "");
    document.querySelector("#annotate-viewer .viewer")?.focus({ preventScroll: true });
}"""
"""Who it was, for the next time this window loads the page; and the keys go to the picture, not to Start once more."""
