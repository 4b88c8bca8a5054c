"""Layout and wiring of the stage: the tab Compare as a hall sees it, with a bar of controls and their keys.

The stage is a state of the page (present.js sets it, present.css draws it), not another page: the same components show
the same run.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import gradio as gr

from demo import api, settings
from demo.examples import Example
from demo.labels import Labels
from demo.present import views
from demo.present.actions import PACES, Actions
from demo.texts import Text

DECK_OF_LINK = """async () => {
    const asked = new URLSearchParams(location.search).get("deck") ?? "";
    if (!/^https?:/.test(asked)) return asked;
    try {
        const answer = await fetch(asked, { credentials: "omit" });
        return answer.ok ? await answer.text() : asked;
    } catch { return asked; }
}"""
"""The browser fetches a deck that lies elsewhere: this server asks no address that a visitor names."""

BEGIN = "() => window.stage.begin()"
ENTER = "() => window.stage.enter()"
TURNS = "(_, ...others) => [window.stage.turns(), ...others]"
"""Puts in by how many slides to turn: presses that came while one was turned are turned together, none is lost."""


def build(
    page: gr.Blocks, bench: api.Workbench, examples: Sequence[Example], labels: Labels, compare: SimpleNamespace
) -> None:
    """Add the stage to the page; `compare` has the components of the tab Compare."""
    ui = SimpleNamespace()
    ui.question = gr.HTML("", elem_id="stage-question")
    with gr.Row(elem_id="stage-bar"):
        ui.previous = labels(gr.Button, value=Text("present.previous"), size="sm", elem_id="stage-previous")
        ui.next = labels(gr.Button, value=Text("present.next"), size="sm", elem_id="stage-next")
        ui.run = labels(gr.Button, value=Text("present.run"), size="sm", variant="primary", elem_id="stage-run")
        ui.play = labels(gr.Button, value=Text("present.play"), size="sm", elem_id="stage-play")
        ui.stop = labels(gr.Button, value=Text("compare.stop"), size="sm", elem_id="stage-stop")
        recover = labels(
            gr.Button,
            value=Text("present.recover"),
            size="sm",
            visible=bench.joint is not None,
            elem_id="stage-recover",
        )
        ui.pace = labels(
            gr.Radio,
            choices=[(Text(f"present.pace-{pace}"), pace) for pace in PACES],
            value=PACES[0],
            label=Text("present.pace"),
            show_label=False,
            container=False,
            elem_id="stage-pace",
        )
        ui.counter = gr.HTML("", elem_id="stage-counter")
        ui.status = gr.HTML("", elem_id="stage-status", elem_classes="status")
        hall = labels(gr.Button, value=Text("present.hall"), size="sm", elem_id="stage-hall")
        speaker = labels(gr.Button, value=Text("present.notes"), size="sm", elem_id="stage-speaker")
        ui.file = labels(
            gr.UploadButton, label=Text("present.deck"), size="sm", file_types=[".json"], elem_id="stage-deck"
        )
        leave = labels(gr.Button, value=Text("present.leave"), size="sm", elem_id="stage-leave")
        gr.HTML(views.keys(), elem_id="stage-keys")
    ui.notes = gr.HTML("", elem_id="stage-notes")
    ui.deck = gr.Textbox("", visible=False)
    ui.number = gr.Number(0, precision=0, visible=False)
    ui.turns = gr.Number(0, precision=0, visible=False)
    for button, method in ((recover, "recover"), (hall, "hall"), (speaker, "notes"), (leave, "leave")):
        button.click(None, js=f"() => window.stage.{method}()", api_visibility="private")
    actions = Actions(examples, compare.actions.show_example, compare.answers, settings.RUNS, settings.DECKS)
    _wire(page, ui, actions, compare)


def enter_button(labels: Labels) -> gr.Button:
    """The button in the page's head; the stage finds it by its id."""
    button = labels(gr.Button, value=Text("present.enter"), size="sm", elem_id="present")
    button.click(None, js=ENTER, api_visibility="private")
    return button


def _wire(page: gr.Blocks, ui: SimpleNamespace, actions: Actions, compare: SimpleNamespace) -> None:
    at_once = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    raw = {"preprocess": False}
    # A toast for what is wrong with a deck, which only the queue tells.
    told = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
    place = [ui.deck, ui.number]
    turned = [ui.turns, *place, compare.recover]
    slide = [ui.number, ui.question, ui.notes, ui.counter, ui.status, *compare.columns, *compare.scene]
    answers = [ui.status, *compare.columns, compare.keep]

    asked = [ui.deck, ui.number, ui.pace, compare.recover, compare.photo, compare.question, compare.options]
    prepared = ui.run.click(
        actions.prepare,
        [compare.recover, *compare.sliders],
        [ui.status, compare.ask, compare.stop, *compare.columns],
        **at_once,
    )
    running = prepared.success(
        actions.run,
        [*asked, compare.temperature, compare.max_new_tokens, compare.seed, *compare.sliders],
        answers,
        show_progress="hidden",
        api_visibility="private",
        **raw,
        **api.MODEL_QUEUE,
    )
    running.then(actions.answers.settle, None, [compare.ask, compare.stop], **at_once)
    away = [ui.status, compare.ask, compare.stop, *compare.columns]
    running.failure(actions.answers.turned_away, None, away, **at_once)
    playing = ui.play.click(
        actions.play,
        [*place, ui.pace],
        answers,
        show_progress="hidden",
        concurrency_limit=settings.MOST_PLAYED,
        api_visibility="private",
    )
    stopping = ui.stop.click(actions.answers.halt, None, [ui.status, *compare.columns], **at_once)
    stopping.then(None, cancels=[running, playing]).then(
        actions.answers.settle, None, [compare.ask, compare.stop], **at_once
    )

    first = gr.Button(visible="hidden", elem_id="stage-first")
    entered = gr.Button(visible="hidden", elem_id="stage-entered")
    opened = page.load(actions.open, ui.deck, place, js=DECK_OF_LINK, **told)
    opened.then(None, js=BEGIN, api_visibility="private")
    opened.failure(None, js=BEGIN, api_visibility="private")  # with the examples, where a link names no deck
    ui.file.upload(actions.open_file, ui.file, place, **told, **raw).success(actions.turn, turned, slide, **told)
    turning = [ui.next.click, ui.previous.click, first.click]
    # A run that runs is left by turning; one that still waits for the models is taken out of the queue here.
    gr.on(turning, actions.turn, turned, slide, js=TURNS, trigger_mode="always_last", **told).then(
        None, cancels=[running, playing]
    )
    entered.click(actions.enter, [compare.question, compare.options], ui.question, **at_once)
