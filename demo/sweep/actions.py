"""What the events of the tab Sweep do: a visitor's choices in, results as they come out."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from degradations import Recipe
from demo import markup, photos, settings
from demo.api import (
    Workbench,
    check_generation,
    check_number,
    check_question,
    check_seed,
    told_to_the_visitor,
    upload_path,
)
from demo.chain import question_with_options
from demo.compare.answering import Running, read_options, read_sliders
from demo.examples import Example, known_answer
from demo.sweep import exports, panels
from demo.sweep.engine import RECOVERED, Run, grid, matrix_intensities, steps_of, sweep
from demo.texts import Text, reason

log = logging.getLogger(__name__)


def begin(
    bench: Workbench, kind: str, what: str, recipe: Recipe, steps: object, seeds: object, seed: object, question: str,
    truth: str, recovered: bool = False,
) -> Run:  # fmt: skip
    """A run that has not asked yet.

    Args:
        recovered: recover every picture, too, and ask about both.

    Raises:
        ValueError: something that cannot be swept.
    """
    steps = check_number("steps", steps, 2, settings.MOST_SWEEP_STEPS, whole=True)
    count = check_number("seeds", seeds, 1, settings.MOST_SWEEP_SEEDS, whole=True)
    first = check_seed(seed)
    intensities = matrix_intensities() if kind == "matrix" else grid(steps)
    wanted = steps_of(kind, what, recipe, intensities, range(first, first + (1 if kind == "matrix" else count)))
    models = {side.name: str(side.label) for side in bench.pair.sides}
    if recovered:
        if bench.joint is None:
            raise ValueError(Text("sweep.no-recovery"))
        models[RECOVERED] = str(bench.joint.side.label)
    return Run(kind, wanted, check_question(question), truth, models)


def thumbnails(bench: Workbench, photo: Path, state: Mapping, folder: Path) -> list[str]:
    """Small pictures of the steps that are shown with one, as files that Gradio serves."""

    def small(recipe: str, seed: int) -> Image.Image:
        picture = bench.degraded(photo, Recipe.parse(recipe), seed).copy()
        picture.thumbnail((settings.THUMBNAIL, settings.THUMBNAIL))
        return picture

    made = photo, photo.stat().st_mtime_ns, "thumbnail"
    wanted = [(step["recipe"], step["seed"]) for step in panels.pictured(state)]
    return [str(photos.save_once((*made, *one), folder, lambda one=one: small(*one))) for one in wanted]


def cache() -> Path:
    """Where thumbnails and exports lie: inside of Gradio's cache, which serves them and cleans them up."""
    return Path(get_upload_folder()) / "sweeps"


class Actions:
    """One method an event. The order of the returned values is that of the outputs in tab.py."""

    def __init__(self, bench: Workbench, examples: Sequence[Example]):
        self.bench, self.examples, self.running = bench, examples, Running()
        self.cache = cache()

    def subject(self, photo, question, options, *sliders):
        """subject"""
        try:
            path = str(upload_path(photo)) if photo else None
        except ValueError:
            path = None
        recipe = str(read_sliders(sliders))
        return panels.subject(path, question or "", read_options(options), recipe)

    def check(self, kind, what, steps, seeds, truth, recovered, photo, question, options, seed, *sliders):
        """nothing; refuses at once what would only fail after the queue"""
        with told_to_the_visitor():
            self.bench.working_photo(upload_path(photo))
            self._begin(kind, what, steps, seeds, truth, recovered, photo, question, options, seed, sliders)

    def prepare(self, request: gr.Request):
        """status, sweep, stop, progress, summary, results, strip, files"""
        self.running.asked(request.session_hash)
        return (
            markup.message(Text("compare.queued")),
            gr.Button(interactive=False),
            gr.Button(interactive=True),
            "",
            panels.summary(None),
            "",
            "",
            *[gr.DownloadButton(interactive=False)] * 3,
        )

    def run(
        self, request: gr.Request, language, kind, what, steps, seeds, truth, recovered, temperature, max_new_tokens,
        photo, question, options, seed, *sliders,
    ):  # fmt: skip
        """status, progress, summary, results, strip, files; as the models answer"""
        with self.running.entered(request.session_hash) as stop:
            try:
                plan = kind, what, steps, seeds, truth, recovered
                run = self._begin(*plan, photo, question, options, seed, sliders)
                numbers = check_generation(seed, temperature, max_new_tokens)
                yield from self._shown(upload_path(photo), run, numbers, stop, language)
            except ValueError as error:
                yield markup.message(reason(error), "bad"), "", panels.summary(None), "", "", *[gr.skip()] * 3
            except Exception as error:  # the page must not go on saying that results are coming
                log.exception("a sweep failed")
                said = markup.message(Text("sweep.broken", reason=type(error).__name__), "bad")
                yield said, *[gr.skip()] * 7

    def _begin(self, kind, what, steps, seeds, truth, recovered, photo, question, options, seed, sliders) -> Run:
        question = check_question(question, options or "")
        listed = read_options(options)
        if not truth:
            known = known_answer(self.examples, upload_path(photo), question, listed)
            truth = "" if known is None else listed[known]
        asked = question_with_options(question, listed)
        recipe = read_sliders(sliders)
        return begin(self.bench, kind, what, recipe, steps, seeds, seed, asked, truth, bool(recovered))

    def _shown(self, photo: Path, run: Run, numbers: tuple, stop: threading.Event, language: str) -> Iterator[tuple]:
        waiting = [gr.skip()] * len(exports.FORMATS)
        state = run.as_json()
        pictures = thumbnails(self.bench, photo, state, self.cache)
        for now in sweep(self.bench, photo, run, *numbers, stop):
            state = now.as_json()
            yield (
                markup.message("" if state["done"] else Text("compare.answering")),
                panels.progress(state),
                panels.summary(state),
                panels.results(state),
                panels.strip(state, pictures),
                *waiting,
            )
        written = exports.write(state, pictures, language, self.cache)
        yield *[gr.skip()] * 5, *[gr.DownloadButton(value=str(path), interactive=True) for path in written]

    def halt(self, request: gr.Request):
        """status"""
        stopped = self.running.stop(request.session_hash, settings.SWEEP_STOP_PATIENCE_S)
        if stopped is None:
            return gr.skip()
        if stopped:
            return markup.message(Text("compare.stopped"))
        return markup.message(Text("compare.stopped-early"))

    def turned_away(self):
        """status, sweep, stop; of a sweep that found no place in the queue"""
        return markup.message(Text("compare.turned-away"), "bad"), *self.settle()

    def settle(self):
        """sweep, stop"""
        return gr.Button(interactive=True), gr.Button(interactive=False)
