"""Layout and wiring of the tab Sweep. Photo, question and recipe are those that are chosen on the tab Compare."""

from collections.abc import Sequence
from types import SimpleNamespace

import gradio as gr

from degradations import REGISTRY
from demo import api, markup, settings
from demo.examples import Example
from demo.labels import Labels
from demo.sweep import panels
from demo.sweep.actions import Actions
from demo.sweep.engine import KINDS
from demo.sweep.exports import FORMATS
from demo.texts import Text

CHOOSE = "() => document.querySelector('#tabs button[role=tab]').click()"
"""Back to the first tab, where photo and question are chosen."""


def build(
    bench: api.Workbench,
    examples: Sequence[Example],
    labels: Labels,
    compare: SimpleNamespace,
    tab: gr.Tab,
    language: gr.Radio,
) -> SimpleNamespace:
    """The tab's components, wired.

    Args:
        compare: the components of the tab Compare.
        tab: the tab that this is called in.
        language: the page's language, for the slide that can be downloaded.
    """
    ui = SimpleNamespace()
    with gr.Row(elem_id="sweep-desk"):
        with gr.Column(elem_id="sweep-left"):
            _choice_card(ui, labels, bool(bench.joint))
        with gr.Column(elem_id="sweep-right"):
            _result_cards(ui, labels)
    _wire(ui, Actions(bench, examples), compare, tab, language)
    return ui


def _choice_card(ui: SimpleNamespace, labels: Labels, recovers: bool) -> None:
    with gr.Column(elem_id="sweep-choice", elem_classes="card"):
        gr.HTML(markup.heading(Text("sweep.what")))
        ui.subject = gr.HTML(panels.subject(None, "", (), ""), elem_id="sweep-subject")
        ui.choose = labels(gr.Button, value=Text("sweep.choose"), size="sm", elem_id="sweep-choose")
        ui.kind = labels(
            gr.Radio,
            choices=[(Text(f"sweep.kind-{kind}"), kind) for kind in KINDS],
            value=KINDS[0],
            label=Text("sweep.kind"),
            elem_id="sweep-kind",
        )
        ui.what = labels(
            gr.Dropdown,
            choices=[(Text(entry.label), entry.name) for entry in REGISTRY.values()],
            value=settings.SWEEP_TYPE,
            label=Text("sweep.type"),
            elem_id="sweep-type",
        )
        ui.steps = labels(
            gr.Slider,
            2,
            settings.MOST_SWEEP_STEPS,
            settings.SWEEP_STEPS,
            step=1,
            label=Text("sweep.steps"),
            elem_id="sweep-steps",
        )
        ui.seeds = labels(
            gr.Slider, 1, settings.MOST_SWEEP_SEEDS, 1, step=1, label=Text("sweep.seeds"), elem_id="sweep-seeds"
        )
        ui.truth = labels(
            gr.Textbox,
            label=Text("sweep.truth"),
            placeholder=Text("sweep.truth-placeholder"),
            max_length=settings.MAX_QUESTION_CHARACTERS,
            elem_id="sweep-truth",
        )
        ui.recover = labels(
            gr.Checkbox, False, label=Text("sweep.recover"), container=False, visible=recovers, elem_id="sweep-recover"
        )
        with gr.Row(elem_classes="go"):
            ui.sweep = labels(gr.Button, value=Text("sweep.go"), variant="primary", elem_id="sweep-go", scale=3)
            ui.stop = labels(
                gr.Button, value=Text("compare.stop"), variant="stop", interactive=False, elem_id="sweep-stop", scale=1
            )
        ui.status = gr.HTML(markup.message(""), elem_id="sweep-status", elem_classes="status")


def _result_cards(ui: SimpleNamespace, labels: Labels) -> None:
    with gr.Column(elem_id="sweep-result", elem_classes="card"):
        gr.HTML(markup.heading(Text("sweep.result")))
        ui.progress = gr.HTML("", elem_id="sweep-progress")
        ui.summary = gr.HTML(panels.summary(None), elem_id="sweep-summary")
        ui.results = gr.HTML("", elem_id="sweep-chart")
        ui.strip = gr.HTML("", elem_id="sweep-strip")
        with gr.Row(elem_id="sweep-files"):
            ui.files = [
                labels(
                    gr.DownloadButton,
                    label=Text(f"sweep.download-{kind}"),
                    size="sm",
                    interactive=False,
                    elem_id=f"sweep-{kind}",
                )
                for kind in FORMATS
            ]


def _wire(ui: SimpleNamespace, actions: Actions, compare: SimpleNamespace, tab: gr.Tab, language: gr.Radio) -> None:
    at_once = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    raw = {"preprocess": False}
    asked = [compare.photo, compare.question, compare.options]
    plan = [ui.kind, ui.what, ui.steps, ui.seeds, ui.truth, ui.recover]
    everything = [*asked, compare.seed, *compare.sliders]
    shown = [ui.progress, ui.summary, ui.results, ui.strip, *ui.files]

    tab.select(actions.subject, [*asked, *compare.sliders], ui.subject, **at_once, **raw)
    ui.choose.click(None, js=CHOOSE, api_visibility="private")
    checked = ui.sweep.click(
        actions.check, [*plan, *everything], None, concurrency_limit=None, api_visibility="private", **raw
    )
    prepared = checked.success(actions.prepare, None, [ui.status, ui.sweep, ui.stop, *shown], **at_once)
    running = prepared.success(
        actions.run,
        [language, *plan, compare.temperature, compare.max_new_tokens, *everything],
        [ui.status, *shown],
        show_progress="minimal",
        show_progress_on=ui.status,
        api_visibility="private",
        **raw,
        **api.MODEL_QUEUE,
    )
    running.then(actions.settle, None, [ui.sweep, ui.stop], **at_once)
    running.failure(actions.turned_away, None, [ui.status, ui.sweep, ui.stop], **at_once)
    stopping = ui.stop.click(actions.halt, None, ui.status, **at_once)
    stopping.then(None, cancels=[running]).then(actions.settle, None, [ui.sweep, ui.stop], **at_once)
