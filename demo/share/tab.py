"""Layout and wiring of the panel Share on the tab Compare: link, picture card, one's own photo."""

from collections.abc import Sequence
from types import SimpleNamespace

import gradio as gr

from demo import api, markup
from demo.examples import Example
from demo.labels import Labels
from demo.share import panels
from demo.share.actions import Actions, Sharing
from demo.share.uploads import Uploads
from demo.texts import Text

HERE = "(_, ...rest) => [location.origin + location.pathname, ...rest]"
"""A link's beginning: the address by which this visitor reached the page."""
LINK = "() => location.search"


def build(
    bench: api.Workbench,
    examples: Sequence[Example],
    labels: Labels,
    compare: SimpleNamespace,
    uploads: Uploads | None,
    language: gr.Radio,
) -> SimpleNamespace:
    """The panel's components, wired; they stand below the answers of the tab Compare.

    Args:
        compare: the components of that tab.
        uploads: None where photos are not to be shared.
        language: the page's language, for the words on a card.
    """
    ui = SimpleNamespace(sharing=Sharing(bench, examples, compare.answers, uploads))
    with (
        compare.right,
        labels(gr.Accordion, label=Text("share.title"), open=False, elem_id="share", elem_classes="card"),
    ):
        with gr.Row(elem_id="share-go"):
            ui.link_button = labels(gr.Button, value=Text("share.make-link"), size="sm", elem_id="share-link")
            ui.card_button = labels(gr.Button, value=Text("share.make-card"), size="sm", elem_id="share-card")
        ui.message = gr.HTML(markup.message(""), elem_id="share-message", elem_classes="status")
        ui.link = labels(
            gr.Textbox,
            label=Text("share.link"),
            interactive=False,
            lines=1,
            max_lines=3,
            buttons=["copy"],
            elem_id="share-address",
        )
        ui.card = gr.HTML(panels.made_card(None), elem_id="share-picture")
        ui.upload = gr.Textbox("", visible=False)
        ui.page = gr.Textbox("", visible=False)
        if uploads:
            _photo(ui, uploads, labels)
    _wire(ui, Actions(ui.sharing, compare.actions.show), compare, language)
    return ui


def _photo(ui: SimpleNamespace, uploads: Uploads, labels: Labels) -> None:
    gr.HTML(markup.heading(Text("share.own-photo")))
    gr.HTML(markup.remark(Text("share.terms", days=f"{uploads.days:g}")))
    if uploads.forgets:
        gr.HTML(markup.message(Text("share.forgets")), elem_id="share-forgets")
    ui.consent = labels(gr.Checkbox, False, label=Text("share.consent"), elem_id="share-consent")
    ui.share = labels(gr.Button, value=Text("share.share"), size="sm", elem_id="share-photo")
    with gr.Row(elem_id="share-delete"):
        ui.receipt = labels(
            gr.Textbox,
            label=Text("share.receipt"),
            max_lines=1,
            max_length=200,
            buttons=["copy"],
            scale=4,
            elem_id="share-receipt",
        )
        ui.delete = labels(gr.Button, value=Text("share.delete"), size="sm", scale=1, elem_id="share-forget")


def on_load(page: gr.Blocks, ui: SimpleNamespace, compare: SimpleNamespace) -> None:
    """A page that was opened by a link shows what it holds."""
    numbers = compare.temperature, compare.max_new_tokens
    page.load(
        ui.open,
        ui.page,
        [*compare.scene, *numbers, compare.recover, compare.recovered_card, ui.upload],
        js=LINK,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _wire(ui: SimpleNamespace, actions: Actions, compare: SimpleNamespace, language: gr.Radio) -> None:
    ui.open = actions.open
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private", "preprocess": False}
    asked = [compare.photo, compare.question, compare.options, compare.seed]
    numbers = compare.temperature, compare.max_new_tokens
    state = [ui.page, *asked, *numbers, ui.upload, compare.recover, *compare.sliders]
    linked = {"fn": actions.link, "inputs": state, "outputs": [ui.link, ui.message], "js": HERE, **quick}
    ui.link_button.click(**linked)
    # Drawing takes half a second of a core.
    ui.card_button.click(
        actions.card,
        [language, compare.keep],
        [ui.card, ui.message],
        concurrency_limit=2,
        show_progress="minimal",
        show_progress_on=ui.message,
        api_visibility="private",
        preprocess=False,
    )
    if ui.sharing.uploads:
        told = [ui.upload, ui.receipt, ui.message]
        shared = ui.share.click(actions.share, [compare.photo, ui.consent], told, **quick)
        # The link that the visitor came for; what it says beside would hide that the photo is shared.
        shared.then(**linked | {"outputs": [ui.link, gr.HTML(visible=False)]})
        ui.delete.click(actions.delete, ui.receipt, told, **quick)
