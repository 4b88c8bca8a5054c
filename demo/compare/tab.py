"""Layout and wiring of the tab Compare: photo and degradations on the left, two models answering on the right.

Layout first, wiring below; what the events do is in actions.py, what is shown in panels.py.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import gradio as gr

from degradations import REGISTRY, STAGES
from degradations.registry import Degradation
from demo import api, markup, settings
from demo.compare import panels
from demo.compare.actions import Actions
from demo.compare.answering import COLUMNS, Answers
from demo.examples import Example
from demo.labels import Labels
from demo.recovery import panels as recovery_panels
from demo.recovery.joint import Joint
from demo.texts import Text, shown

PREVIEW_BY_KEYBOARD = """() => {
    const preview = document.getElementById("preview");
    preview.tabIndex = 0;
    preview.role = "group";
    preview.setAttribute("aria-labelledby", "preview-keys");
    preview.addEventListener("keydown", (event) => {
        const shown = { ArrowLeft: "after", ArrowRight: "before", Escape: "both" }[event.key];
        if (shown) preview.dataset.shown = shown;
    });
    preview.addEventListener("pointerdown", () => { preview.dataset.shown = "both"; });
}"""
"""Gradio's before/after slider answers to a pointer only."""

FOLD = """() => {
    const card = document.getElementById("recipe-card"), button = document.getElementById("fold");
    button.ariaExpanded = card.classList.toggle("unfolded");
}"""
"""On a narrow page the sliders are folded away until they are asked for (style.css)."""


def build(bench: api.Workbench, examples: Sequence[Example], labels: Labels) -> SimpleNamespace:
    """The tab's components, wired; other tabs read photo, question and recipe from them."""
    ui = SimpleNamespace()
    with gr.Row(elem_id="desk"):
        with gr.Column(elem_id="left"):
            _photo_card(ui, examples, labels)
            _question_card(ui, bench, labels)
            _recipe_card(ui, labels)
        with gr.Column(elem_id="right") as ui.right:
            _answer_cards(ui, bench, labels)
    ui.actions = Actions(bench, examples)
    ui.answers = Answers(bench, examples, ui.actions.show)
    _wire(ui, ui.actions, ui.answers)
    return ui


def on_load(page: gr.Blocks) -> None:
    """What a browser does with this tab once it is there."""
    page.load(None, js=PREVIEW_BY_KEYBOARD, api_visibility="private")


def _card(name: str, title: Text, subtitle: Text | str = "") -> gr.Column:
    card = gr.Column(elem_id=name, elem_classes="card")
    with card:
        gr.HTML(markup.heading(title, subtitle))
    return card


def _photo_card(ui: SimpleNamespace, examples: Sequence[Example], labels: Labels) -> None:
    with _card("photo-card", Text("compare.photo")):
        ui.photo = labels(
            gr.Image,
            type="filepath",
            sources=["upload", "clipboard", "webcam"],
            label=Text("compare.photo-label"),
            show_label=False,
            placeholder=Text("compare.photo-placeholder"),
            buttons=[],
            height=120,
            elem_id="photo",
        )
        ui.examples = labels(
            gr.Gallery,
            [(str(example.image), example.title) for example in examples],
            label=Text("compare.examples"),
            show_label=False,
            columns=6,
            allow_preview=False,
            interactive=False,
            object_fit="cover",
            buttons=[],
            visible=bool(examples),
            elem_id="examples",
        )
        ui.note = gr.HTML(markup.message(""), elem_id="note")
        ui.preview = labels(
            gr.ImageSlider,
            format="png",
            label=Text("compare.preview"),
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="preview",
        )
        gr.HTML(f'<p id="preview-keys" class="visually-hidden">{shown("compare.preview-keys")}</p>')
        ui.photo_message = gr.HTML(markup.message(""), elem_id="photo-message")


def _recipe_card(ui: SimpleNamespace, labels: Labels) -> None:
    with _card("recipe-card", Text("compare.recipe-card")):
        with gr.Row(elem_id="tools"):
            ui.shuffle = labels(gr.Button, value=Text("compare.shuffle"), size="sm", elem_id="shuffle")
            ui.strengths = {
                intensity: gr.Button(label, size="sm", elem_id=f"strength-{label.split()[0]}", elem_classes="strength")
                for label, intensity in settings.STRENGTHS.items()
            }
            ui.reset = labels(gr.Button, value=Text("compare.reset"), size="sm", elem_id="reset")
        names, intensities = " / ".join(settings.STRENGTHS), " / ".join(map(str, settings.STRENGTHS.values()))
        gr.HTML(markup.remark(Text("compare.strengths-remark", names=names, intensities=intensities)))
        ui.fold = labels(gr.Button, value=Text("compare.sliders"), size="sm", elem_id="fold")
        ui.sliders = []
        for number, stage in enumerate(STAGES):
            with gr.Column(elem_id=f"stage-{stage}", elem_classes=["stage", f"stage-{number}"]):
                gr.HTML(markup.stage_heading(stage))
                for entry in REGISTRY.values():
                    if entry.stage == stage:
                        ui.sliders.append(_slider(entry, labels))
        with gr.Row(elem_id="recipe-row"):
            ui.recipe = labels(
                gr.Textbox,
                "none",
                label=Text("compare.recipe"),
                lines=2,
                max_lines=5,
                buttons=["copy"],
                elem_id="recipe",
                scale=4,
            )
            ui.seed = labels(
                gr.Number,
                settings.SEED,
                label=Text("compare.seed"),
                precision=0,
                minimum=0,
                maximum=settings.MAX_SEED,
                min_width=84,
                scale=1,
                elem_id="seed",
            )
        ui.recipe_message = gr.HTML(markup.message(""), elem_id="recipe-message")


def _slider(entry: Degradation, labels: Labels) -> gr.Slider:
    return labels(
        gr.Slider,
        0,
        1,
        0,
        step=0.01,
        label=Text(entry.label),
        info=Text(entry.description),
        elem_classes="intensity",
        elem_id=f"slider-{entry.name.replace(' ', '-')}",
    )


def _question_card(ui: SimpleNamespace, bench: api.Workbench, labels: Labels) -> None:
    with _card("question-card", Text("compare.question")):
        ui.question = labels(
            gr.Textbox,
            label=Text("compare.question"),
            show_label=False,
            placeholder=Text("compare.question-placeholder"),
            lines=1,
            max_lines=4,
            elem_id="question",
            max_length=settings.MAX_QUESTION_CHARACTERS,
        )
        ui.options = labels(
            gr.Textbox,
            label=Text("compare.options"),
            placeholder=Text("compare.options-placeholder"),
            lines=3,
            max_lines=8,
            elem_id="options",
        )
        ui.recover = labels(
            gr.Checkbox,
            False,
            label=Text("recovery.switch"),
            container=False,
            visible=bench.joint is not None,
            elem_id="recover",
        )
        with gr.Row(elem_id="go", elem_classes="go"):
            ui.ask = labels(gr.Button, value=Text("compare.ask"), variant="primary", elem_id="ask", scale=3)
            ui.stop = labels(
                gr.Button, value=Text("compare.stop"), variant="stop", interactive=False, elem_id="stop", scale=1
            )
        ui.status = gr.HTML(markup.message(""), elem_id="status", elem_classes="status")
        with labels(gr.Accordion, label=Text("compare.generation"), open=False, elem_id="generation"):
            ui.temperature = labels(
                gr.Slider,
                0,
                settings.MAX_TEMPERATURE,
                settings.TEMPERATURE,
                step=0.05,
                label=Text("compare.temperature"),
                elem_id="temperature",
            )
            ui.max_new_tokens = labels(
                gr.Slider,
                1,
                settings.MAX_NEW_TOKENS,
                bench.pair.max_new_tokens,
                step=1,
                label=Text("compare.max-new-tokens"),
                elem_id="max-new-tokens",
            )


def _answer_cards(ui: SimpleNamespace, bench: api.Workbench, labels: Labels) -> None:
    pair = bench.pair
    with gr.Row(elem_id="answers"):
        with _card("baseline-card", Text("compare.baseline"), pair.baseline.label):
            ui.baseline = gr.HTML(panels.baseline_column(None), elem_id="baseline")
            ui.baseline_raw = _raw("baseline-raw", labels)
        with _card("robust-card", Text("compare.robust"), pair.robust.label):
            ui.robust = gr.HTML(panels.robust_column(None), elem_id="robust")
            ui.robust_raw = _raw("robust-raw", labels)
        _recovered_card(ui, bench.joint, labels)
    with _card("score-card", Text("compare.score")):
        ui.score = gr.HTML(panels.scoreboard(None), elem_id="score")
    with gr.Row(elem_id="kept"):
        ui.keep = labels(gr.DownloadButton, label=Text("compare.keep"), size="sm", interactive=False, elem_id="keep")
        ui.play = labels(gr.UploadButton, label=Text("compare.play"), size="sm", file_types=[".json"], elem_id="play")


def _recovered_card(ui: SimpleNamespace, joint: Joint | None, labels: Labels) -> None:
    """Without a recovery here, the card is for runs that are played back."""
    with gr.Column(elem_id="recovered-card", elem_classes="card", visible=False) as ui.recovered_card:
        label = joint.side.label if joint else ""
        notice = joint.notice if joint else Text("recovery.notice-recorded")
        gr.HTML(markup.heading(Text("compare.recovered"), label))
        gr.HTML(markup.remark(notice), elem_id="recovered-notice")
        with gr.Row(elem_id="recovered-parts"):
            ui.recovery = gr.HTML(recovery_panels.recovery(None), elem_id="recovery")
            ui.recovered = gr.HTML(panels.recovered_column(None), elem_id="recovered")
        ui.recovered_raw = _raw("recovered-raw", labels)


def _raw(elem_id: str, labels: Labels) -> gr.Textbox:
    with labels(gr.Accordion, label=Text("compare.raw"), open=False, elem_classes="raw"):
        return labels(
            gr.Textbox,
            show_label=False,
            label=Text("compare.raw"),
            interactive=False,
            lines=3,
            max_lines=16,
            buttons=["copy"],
            elem_id=elem_id,
        )


def _wire(ui: SimpleNamespace, actions: Actions, answers: Answers) -> None:
    # Previews skip the queue, and of many slider steps only the last is worth answering.
    live = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
    at_once = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    # Photos reach the actions as files: decoding is photos.py's business.
    raw = {"preprocess": False}
    preview = [ui.preview, ui.photo_message]
    everything = [*preview, ui.recipe_message, ui.recipe, *ui.sliders]
    photo = [ui.photo, ui.seed]

    # input, not change: what a handler has set has its preview already.
    by_hand = [slider.input for slider in ui.sliders] + [ui.seed.input]
    following = gr.on(
        by_hand, actions.follow_sliders, [*photo, *ui.sliders], [*preview, ui.recipe_message, ui.recipe], **live, **raw
    )
    following.then(actions.settle_preview, [*photo, *ui.sliders], preview, **live, **raw)
    ui.photo.input(actions.follow_photo, [*photo, *ui.sliders], preview, **live, **raw)
    # A Textbox's input event misses pasted text, and its change event follows the sliders too: the browser knows who
    # wrote.
    typed = "(photo, seed, text) => [photo, seed, document.activeElement?.closest('#recipe') ? text : null]"
    ui.recipe.change(
        actions.follow_text, [*photo, ui.recipe], [*preview, ui.recipe_message, *ui.sliders], js=typed, **live, **raw
    )
    gr.on([ui.recipe.submit, ui.recipe.blur], actions.tidy_text, [*photo, ui.recipe], everything, **at_once, **raw)
    ui.shuffle.click(actions.shuffle, photo, everything, **at_once, **raw)
    ui.reset.click(actions.reset, photo, everything, **at_once, **raw)
    ui.fold.click(None, js=FOLD, api_visibility="private")
    for intensity, button in ui.strengths.items():
        button.click(actions.at_strength(intensity), [*photo, *ui.sliders], everything, **at_once, **raw)
    ui.scene = [*photo, ui.question, ui.options, ui.note, *everything]
    ui.examples.select(actions.choose_example, None, ui.scene, **at_once)

    columns = ui.columns = [getattr(ui, name) for name in COLUMNS]
    switches = [ui.ask, ui.stop]
    # The check has no outputs, because Gradio writes "Error" across those of an event that fails; and it goes through
    # the queue, which alone tells the visitor why.
    checked = ui.ask.click(
        answers.check,
        [ui.photo, ui.question, ui.options],
        None,
        concurrency_limit=None,
        api_visibility="private",
        **raw,
    )
    prepared = checked.success(answers.prepare, [ui.recover, *ui.sliders], [ui.status, *switches, *columns], **at_once)
    ui.recover.input(answers.switch, ui.recover, ui.recovered_card, **at_once)
    asking = prepared.success(
        answers.ask,
        [ui.recover, *photo, ui.question, ui.options, ui.temperature, ui.max_new_tokens, *ui.sliders],
        [ui.status, *columns, ui.keep],
        show_progress="minimal",
        show_progress_on=ui.status,
        api_visibility="private",
        **raw,
        **api.MODEL_QUEUE,
    )
    # By way of the button, which is off while an answer is on its way.
    ui.question.submit(None, js="() => document.getElementById('ask').click()", api_visibility="private")
    # Needs no model, so it waits for none.
    playing = ui.play.upload(
        answers.play,
        ui.play,
        [ui.status, *columns, ui.keep, *ui.scene, ui.temperature, ui.max_new_tokens, ui.recover],
        show_progress="hidden",
        concurrency_limit=settings.MOST_PLAYED,
        api_visibility="private",
        **raw,
    )
    asking.then(answers.settle, None, switches, **at_once)
    # What follows by `then` does not follow a failure, and a full queue is one.
    asking.failure(answers.turned_away, None, [ui.status, *switches, *columns], **at_once)
    # Stop ends the generation; cancelling also takes a question out of the queue that has not begun.
    stopping = ui.stop.click(answers.halt, None, [ui.status, *columns], **at_once)
    stopping.then(None, cancels=[asking]).then(answers.settle, None, switches, **at_once)
    cleared = [ui.status, *switches, *columns, ui.keep]
    anew = [ui.examples.select, ui.photo.input]
    gr.on(anew, answers.leave, ui.recover, cleared, cancels=[asking, playing], **at_once)
