"""The page: photo and degradations on the left, two models answering on the right, and what connects them.

Layout first, wiring below; what the events do is in actions.py, what is shown in panels.py.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from degradations import REGISTRY, STAGES
from demo import api, panels, settings
from demo.actions import Actions
from demo.examples import Example
from demo.models import Pair

TITLE = "Seeing through the damage"
SUBTITLE = "One degraded photo, one question, two models. One of them says first what happened to the picture."
STAGE_TITLES = {
    "acquisition": "In the camera",
    "transmission": "On the wire",
    "environment": "In the scene",
    "postprocessing": "Afterwards",
}


PREVIEW_BY_KEYBOARD = """() => {
    const preview = document.getElementById("preview");
    preview.tabIndex = 0;
    preview.role = "group";
    preview.ariaLabel = "Before and after. Left arrow: degraded only. Right arrow: original only. Escape: both.";
    preview.addEventListener("keydown", (event) => {
        const shown = { ArrowLeft: "after", ArrowRight: "before", Escape: "both" }[event.key];
        if (shown) preview.dataset.shown = shown;
    });
    preview.addEventListener("pointerdown", () => { preview.dataset.shown = "both"; });
}"""
"""Gradio's before/after slider answers to a pointer only."""


def launch_options(examples: Sequence[Example] = ()) -> dict:
    """How to launch the page: Gradio takes looks and limits at launch, not at construction.

    Nothing here names another host: the fonts are those of the visitor's system.
    """
    return {
        "theme": gr.themes.Base(
            primary_hue="teal",
            neutral_hue="stone",
            font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
            font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
        ),
        "css_paths": [Path(__file__).with_name("style.css")],
        "max_file_size": settings.MAX_PHOTO_BYTES,
        "allowed_paths": [str(example.image) for example in examples],
        "run_history": False,
        "show_error": True,
        "footer_links": ["api"],
    }


def build(pair: Pair, examples: Sequence[Example] = ()) -> gr.Blocks:
    """The page for a pair of models; its queue is set up."""
    bench = api.Workbench(pair)
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(settings.UPLOADS_KEPT_S // 4, settings.UPLOADS_KEPT_S),
    ) as page:
        gr.HTML(panels.header(TITLE, SUBTITLE, pair.notice, settings.QUEUE_LENGTH), elem_id="head")
        with gr.Row(elem_id="desk"):
            with gr.Column(elem_id="left"):
                ui = SimpleNamespace()
                _photo_card(ui, examples)
                _recipe_card(ui)
                _question_card(ui, pair)
            with gr.Column(elem_id="right"):
                _answer_cards(ui, pair)
        _wire(ui, Actions(bench, examples))
        page.load(None, js=PREVIEW_BY_KEYBOARD, api_visibility="private")
        api.register(bench)
    return page.queue(max_size=settings.QUEUE_LENGTH)


def _card(name: str, title: str, subtitle: str = "") -> gr.Column:
    card = gr.Column(elem_id=name, elem_classes="card")
    with card:
        gr.HTML(panels.heading(title, subtitle))
    return card


def _photo_card(ui: SimpleNamespace, examples: Sequence[Example]) -> None:
    with _card("photo-card", "Photo"):
        ui.photo = gr.Image(
            type="filepath",
            sources=["upload", "clipboard", "webcam"],
            label="Your photo: drop, paste or take one",
            show_label=False,
            placeholder="Drop a photo here\nor click to choose",
            buttons=[],
            height=120,
            elem_id="photo",
        )
        ui.examples = gr.Gallery(
            [(str(example.image), example.title) for example in examples],
            label="Examples",
            show_label=False,
            columns=6,
            allow_preview=False,
            interactive=False,
            object_fit="cover",
            buttons=[],
            visible=bool(examples),
            elem_id="examples",
        )
        ui.note = gr.HTML(panels.message(""), elem_id="note")
        ui.preview = gr.ImageSlider(
            format="png",
            label="Before and after, as the models see it",
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="preview",
        )
        ui.photo_message = gr.HTML(panels.message(""), elem_id="photo-message")


def _recipe_card(ui: SimpleNamespace) -> None:
    with _card("recipe-card", "Degradations"):
        with gr.Row(elem_id="tools"):
            ui.shuffle = gr.Button("Shuffle", size="sm", elem_id="shuffle")
            ui.strengths = {
                intensity: gr.Button(label, size="sm", elem_id=f"strength-{label.split()[0]}", elem_classes="strength")
                for label, intensity in settings.STRENGTHS.items()
            }
            ui.reset = gr.Button("Reset", size="sm", elem_id="reset")
        gr.HTML(
            panels.remark(
                f"{' / '.join(settings.STRENGTHS)} set what is on to "
                f"{' / '.join(map(str, settings.STRENGTHS.values()))}, the strengths of the published benchmarks; "
                "with nothing on, one type is drawn."
            )
        )
        ui.sliders = []
        for number, stage in enumerate(STAGES):
            with gr.Column(elem_id=f"stage-{stage}", elem_classes=["stage", f"stage-{number}"]):
                gr.HTML(panels.stage_heading(STAGE_TITLES[stage], stage))
                for entry in REGISTRY.values():
                    if entry.stage == stage:
                        ui.sliders.append(
                            gr.Slider(
                                0,
                                1,
                                0,
                                step=0.01,
                                label=entry.label,
                                info=entry.description,
                                elem_classes="intensity",
                                elem_id=f"slider-{entry.name.replace(' ', '-')}",
                            )
                        )
        with gr.Row(elem_id="recipe-row"):
            ui.recipe = gr.Textbox(
                "none",
                label="Recipe, to copy or paste",
                lines=2,
                max_lines=5,
                buttons=["copy"],
                elem_id="recipe",
                scale=4,
            )
            ui.seed = gr.Number(
                settings.SEED,
                label="Seed",
                precision=0,
                minimum=0,
                maximum=settings.MAX_SEED,
                min_width=84,
                scale=1,
                elem_id="seed",
            )
        ui.recipe_message = gr.HTML(panels.message(""), elem_id="recipe-message")


def _question_card(ui: SimpleNamespace, pair: Pair) -> None:
    with _card("question-card", "Question"):
        ui.question = gr.Textbox(
            label="Question",
            show_label=False,
            placeholder="What is the main object?",
            lines=1,
            max_lines=4,
            elem_id="question",
            max_length=settings.MAX_QUESTION_CHARACTERS,
        )
        ui.options = gr.Textbox(
            label="Options, one a line; none for an open question",
            placeholder="dog\ncat",
            lines=3,
            max_lines=8,
            elem_id="options",
        )
        with gr.Row(elem_id="go"):
            ui.ask = gr.Button("Ask both", variant="primary", elem_id="ask", scale=3)
            ui.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", scale=1)
        ui.status = gr.HTML(panels.message(""), elem_id="status")
        with gr.Accordion("Generation", open=False, elem_id="generation"):
            ui.temperature = gr.Slider(
                0,
                settings.MAX_TEMPERATURE,
                settings.TEMPERATURE,
                step=0.05,
                label="Temperature (0: greedy, repeatable)",
                elem_id="temperature",
            )
            ui.max_new_tokens = gr.Slider(
                1,
                settings.MAX_NEW_TOKENS,
                pair.max_new_tokens,
                step=1,
                label="At most this many new tokens",
                elem_id="max-new-tokens",
            )


def _answer_cards(ui: SimpleNamespace, pair: Pair) -> None:
    with gr.Row(elem_id="answers"):
        with _card("baseline-card", "Baseline", pair.baseline.label):
            ui.baseline = gr.HTML(panels.baseline_column(None), elem_id="baseline")
            with gr.Accordion("Raw text", open=False, elem_classes="raw"):
                ui.baseline_raw = _raw("baseline-raw")
        with _card("robust-card", "Degradation-aware", pair.robust.label):
            ui.robust = gr.HTML(panels.robust_column(None), elem_id="robust")
            with gr.Accordion("Raw text", open=False, elem_classes="raw"):
                ui.robust_raw = _raw("robust-raw")
    with _card("score-card", "Applied and predicted"):
        ui.score = gr.HTML(panels.scoreboard(None), elem_id="score")


def _raw(elem_id: str) -> gr.Textbox:
    return gr.Textbox(
        show_label=False, label="Raw text", interactive=False, lines=3, max_lines=16, buttons=["copy"], elem_id=elem_id
    )


def _wire(ui: SimpleNamespace, actions: Actions) -> None:
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
    for intensity, button in ui.strengths.items():
        button.click(actions.at_strength(intensity), [*photo, *ui.sliders], everything, **at_once, **raw)
    ui.examples.select(actions.choose_example, None, [*photo, ui.question, ui.options, ui.note, *everything], **at_once)

    columns = [ui.baseline, ui.robust, ui.baseline_raw, ui.robust_raw, ui.score]
    switches = [ui.ask, ui.stop]
    # The check has no outputs, because Gradio writes "Error" across those of an event that fails; and it goes through
    # the queue, which alone tells the visitor why.
    checked = ui.ask.click(
        actions.check,
        [ui.photo, ui.question, ui.options],
        None,
        concurrency_limit=None,
        api_visibility="private",
        **raw,
    )
    prepared = checked.success(actions.prepare, ui.sliders, [ui.status, *switches, *columns], **at_once)
    asking = prepared.success(
        actions.ask,
        [*photo, ui.question, ui.options, ui.temperature, ui.max_new_tokens, *ui.sliders],
        [ui.status, *columns],
        show_progress="minimal",
        show_progress_on=ui.status,
        api_visibility="private",
        **raw,
        **api.MODEL_QUEUE,
    )
    # By way of the button, which is off while an answer is on its way.
    ui.question.submit(None, js="() => document.getElementById('ask').click()", api_visibility="private")
    asking.then(actions.settle, None, switches, **at_once)
    # Stop ends the generation; cancelling also takes a question out of the queue that has not begun.
    stopping = ui.stop.click(actions.halt, None, [ui.status, *columns], **at_once)
    stopping.then(None, cancels=[asking]).then(actions.settle, None, switches, **at_once)
