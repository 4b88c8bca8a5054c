"""The page: its head with the switch of the language, and one tab a feature."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from demo import api, markup, settings
from demo.annotate import api as annotate_api
from demo.annotate import tab as annotate
from demo.annotate.service import Service
from demo.compare import tab as compare
from demo.examples import Example
from demo.labels import Labels
from demo.models import Pair
from demo.present import stage
from demo.recovery import endpoints as recovery_endpoints
from demo.recovery.joint import Joint
from demo.results import tab as results
from demo.share import endpoints as share_endpoints
from demo.share import tab as share
from demo.share.uploads import Uploads
from demo.sweep import endpoints
from demo.sweep import tab as sweep
from demo.texts import DEFAULT, LANGUAGES, Text, say
from demo.vote import endpoints as vote_endpoints
from demo.vote import tab as vote
from demo.vote.voting import Voting

HERE = Path(__file__).parent

SCRIPTS = ("page.js", "present/present.js")

SWITCH = """(language) => {
    document.documentElement.dataset.language = language;
    localStorage.setItem("language", language);
    return language;
}"""


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
        "css_paths": [HERE / "style.css", *sorted(HERE.glob("*/*.css"))],
        # Before the first paint, so that no text is ever seen in the other language.
        "head": "".join(f"<script>{(HERE / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS),
        "max_file_size": settings.MAX_PHOTO_BYTES,
        "allowed_paths": [str(example.image) for example in examples],
        "run_history": False,
        "show_error": True,
        "footer_links": ["api"],
    }


def build(
    pair: Pair,
    examples: Sequence[Example] = (),
    annotating: Service | None = None,
    results_folder: Path | None = None,
    uploads: Uploads | None = None,
    joint: Joint | None = None,
) -> gr.Blocks:
    """The page for a pair of models; its queue is set up.

    Args:
        annotating: what the tab Annotate works on, and the store of the tab Vote; without it there is neither.
        results_folder: what the tab Results shows.
        uploads: photos that visitors share; without it they share none.
        joint: recovers pictures and answers from both; without it there is no third column.
    """
    bench, labels = api.Workbench(pair, joint), Labels()
    with gr.Blocks(
        title=str(Text("page.title")),
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(settings.UPLOADS_KEPT_S // 4, settings.UPLOADS_KEPT_S),
    ) as page:
        language = _head(pair, labels)
        with gr.Tabs(elem_id="tabs"):
            with _tab("compare", labels):
                desk = compare.build(bench, examples, labels)
                sharing = share.build(bench, examples, labels, desk, uploads, language)
            with _tab("sweep", labels) as tab:
                sweep.build(bench, examples, labels, desk, tab, language)
            if annotating:
                with _tab("annotate", labels):
                    annotator = annotate.build(annotating, pair, labels, joint)
                voting = Voting(bench, examples, annotating.store)
                with _tab("vote", labels) as tab:
                    vote.build(voting, annotating, labels, desk, tab)
            with _tab("results", labels):
                results.build(results_folder, labels)
        stage.build(page, bench, examples, labels, desk)
        compare.on_load(page)
        share.on_load(page, sharing, desk)
        if annotating:
            annotate.on_load(page, annotator)
            annotate_api.register(annotating, pair)
            vote_endpoints.register(voting, annotating)
        _speak(page, language, labels)
        api.register(bench)
        endpoints.register(bench)
        share_endpoints.register(bench, sharing.sharing, annotating)
        if joint:
            recovery_endpoints.register(bench)
    return page.queue(max_size=settings.QUEUE_LENGTH)


def _head(pair: Pair, labels: Labels) -> gr.Radio:
    """The head of the page; returns the switch of the language."""
    with gr.Row(elem_id="head"):
        gr.HTML(markup.header(pair.notice, settings.QUEUE_LENGTH), elem_id="title")
        stage.enter_button(labels)
        return gr.Radio(
            choices=[(name, code) for code, name in LANGUAGES.items()],
            value=DEFAULT,
            label=" / ".join(say("page.language", code) for code in LANGUAGES),
            show_label=False,
            container=False,
            elem_id="language",
        )


def _tab(name: str, labels: Labels) -> gr.Tab:
    """A tab whose children are there from the start: what changes language or photo reaches all of them."""
    return labels(gr.Tab, label=Text(f"page.tab-{name}"), id=name, elem_id=f"tab-{name}", render_children=True)


def _speak(page: gr.Blocks, language: gr.Radio, labels: Labels) -> None:
    """Put the page into the browser's language, and into the one that is chosen."""
    silently = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def greet(language: str):
        """language, labels"""
        known = language if language in LANGUAGES else DEFAULT
        return [known, *(labels.updates(known) if known != DEFAULT else [gr.skip()] * len(labels.components))]

    spoken = "() => document.documentElement.dataset.language"
    page.load(greet, language, [language, *labels.components], js=spoken, **silently)
    language.input(labels.updates, language, labels.components, js=SWITCH, **silently)
