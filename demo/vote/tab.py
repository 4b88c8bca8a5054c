"""Layout and wiring of the tab Vote: picture and question on the left, two answers without names on the right."""

import os
from types import SimpleNamespace

import gradio as gr

from demo import api, markup
from demo.annotate.service import Service
from demo.labels import Labels
from demo.texts import Text
from demo.vote import panels
from demo.vote.actions import SOURCES, Actions
from demo.vote.ballots import CHOICES
from demo.vote.box import FORMATS
from demo.vote.voting import Voting

VOTER = """(ballot, better, right, _) => {
    let mark = localStorage.getItem("voter");
    if (!mark) {
        mark = [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
        localStorage.setItem("voter", mark);
    }
    return [ballot, better, right, mark];
}"""
"""A random mark by which double votes are noticed; only its hash is kept."""


def build(voting: Voting, service: Service, labels: Labels, compare: SimpleNamespace, tab: gr.Tab) -> SimpleNamespace:
    """The tab's components, wired.

    Args:
        service: says who may export.
        compare: the components of the tab Compare, for a visitor's own question.
        tab: the tab that this is called in.
    """
    ui = SimpleNamespace()
    with gr.Row(elem_id="vote-desk"):
        with gr.Column(elem_id="vote-left", elem_classes="card"):
            _question(ui, labels)
        with gr.Column(elem_id="vote-right", elem_classes="card"):
            _ballot(ui, labels)
    with gr.Column(elem_id="vote-results", elem_classes="card"):
        gr.HTML(markup.heading(Text("vote.results")))
        ui.results = gr.HTML(panels.results([]), elem_id="vote-tally")
    with labels(gr.Accordion, label=Text("vote.operating"), open=False, elem_classes="card", elem_id="vote-operating"):
        _operating(ui, service, labels)
    _wire(ui, Actions(voting, service), compare, tab)
    return ui


def _question(ui: SimpleNamespace, labels: Labels) -> None:
    gr.HTML(markup.heading(Text("vote.title")))
    ui.source = labels(
        gr.Radio,
        choices=[(Text(f"vote.source-{source}"), source) for source in SOURCES],
        value=SOURCES[0],
        label=Text("vote.source"),
        elem_id="vote-source",
    )
    ui.ask = labels(gr.Button, value=Text("vote.ask"), variant="primary", elem_id="vote-ask")
    ui.status = gr.HTML(markup.message(""), elem_id="vote-status", elem_classes="status")
    ui.scene = gr.HTML(panels.begin(), elem_id="vote-scene")


def _ballot(ui: SimpleNamespace, labels: Labels) -> None:
    gr.HTML(markup.heading(Text("vote.answers"), Text("vote.blind")))
    ui.answers = gr.HTML(panels.answers(None), elem_id="vote-answers")
    ui.ballot, ui.voter = gr.Textbox("", visible=False), gr.Textbox("", visible=False)
    ui.better = labels(
        gr.Radio,
        choices=[(Text(f"vote.better-{choice}"), choice) for choice in CHOICES],
        label=Text("vote.which-better"),
        elem_id="vote-better",
    )
    ui.right = labels(
        gr.Radio,
        choices=[*((Text(f"vote.right-{choice}"), choice) for choice in CHOICES), (Text("vote.right-unknown"), "")],
        label=Text("vote.which-right"),
        elem_id="vote-right-choice",
    )
    ui.vote = labels(gr.Button, value=Text("vote.vote"), variant="primary", interactive=False, elem_id="vote-go")
    ui.said = gr.HTML(markup.message(""), elem_id="vote-said", elem_classes="status")
    gr.HTML(markup.remark(Text("vote.kept")))
    ui.revealed = gr.HTML("", elem_id="vote-revealed")


def _operating(ui: SimpleNamespace, service: Service, labels: Labels) -> None:
    login = bool(os.environ.get("OAUTH_CLIENT_ID"))  # of a Space with a login, which the tab Annotate offers
    with gr.Row():
        ui.name = labels(gr.Textbox, label=Text("annotate.your-name"), visible=not login, elem_id="vote-name")
        ui.key = labels(
            gr.Textbox,
            label=Text("annotate.your-key"),
            visible=service.access.needs_key and not login,
            type="password",
            elem_id="vote-key",
        )
        ui.format = labels(
            gr.Radio,
            choices=list(FORMATS),
            value=FORMATS[0],
            label=Text("annotate.export-format"),
            elem_id="vote-format",
        )
        ui.export = labels(gr.Button, value=Text("vote.export"), elem_id="vote-export")
    ui.told = gr.HTML(markup.message(""), elem_id="vote-told", elem_classes="status")
    ui.file = labels(gr.File, label=Text("annotate.export-file"), interactive=False, visible=False, elem_id="vote-file")


def _wire(ui: SimpleNamespace, actions: Actions, compare: SimpleNamespace, tab: gr.Tab) -> None:
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private", "preprocess": False}
    ballot = [ui.better, ui.right, ui.vote, ui.said, ui.revealed]
    tab.select(actions.results, None, ui.results, **quick)
    prepared = ui.ask.click(
        actions.prepare, None, [ui.status, ui.ask, ui.scene, ui.ballot, ui.answers, *ballot], **quick
    )
    asking = prepared.then(
        actions.ask,
        [
            ui.source,
            compare.photo,
            compare.question,
            compare.options,
            compare.seed,
            compare.temperature,
            compare.max_new_tokens,
            *compare.sliders,
        ],
        [ui.status, ui.scene, ui.ballot, ui.answers, ui.vote],
        show_progress="minimal",
        show_progress_on=ui.status,
        api_visibility="private",
        preprocess=False,
        **api.MODEL_QUEUE,
    )
    asking.then(actions.settle, None, ui.ask, **quick)
    ui.vote.click(
        actions.vote,
        [ui.ballot, ui.better, ui.right, ui.voter],
        [ui.said, ui.vote, ui.revealed, ui.results],
        js=VOTER,
        **quick,
    )
    ui.export.click(
        actions.export,
        [ui.name, ui.key, ui.format],
        [ui.told, ui.file],
        concurrency_limit=2,
        show_progress="minimal",
        show_progress_on=ui.told,
        api_visibility="private",
        preprocess=False,
    )
