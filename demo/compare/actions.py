"""What the events of the tab Compare do: a visitor's input in, updates of the page out."""

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from degradations import REGISTRY, STAGES, Recipe
from demo import markup, photos, settings
from demo.api import Workbench, check_question, check_seed, told_to_the_visitor, upload_path
from demo.chain import parse_options, question_with_options
from demo.compare import panels
from demo.examples import Example, known_answer
from demo.texts import Text, known, reason

log = logging.getLogger(__name__)


class Running:
    """The comparisons that run now, by browser session, so that Stop reaches the generation itself."""

    def __init__(self):
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[threading.Event, threading.Event]] = {}
        self._stopped_early: set[str] = set()

    def asked(self, session: str) -> None:
        """A new question is on its way into the queue: what was stopped before is forgotten."""
        with self._lock:
            self._stopped_early.discard(session)

    @contextmanager
    def entered(self, session: str) -> Iterator[threading.Event]:
        """Register a run; gives the event that stops it, set already if Stop came while it waited in the queue."""
        stop, over = threading.Event(), threading.Event()
        with self._lock:
            self._runs[session] = stop, over
            if session in self._stopped_early:
                stop.set()
        try:
            yield stop
        finally:
            over.set()
            with self._lock:
                if self._runs.get(session) == (stop, over):
                    del self._runs[session]

    def stop(self, session: str, patience: float) -> bool:
        """Stop a session's run and wait until it has said its last; False where none runs yet."""
        with self._lock:
            run = self._runs.get(session)
            if run is None:
                self._stopped_early.add(session)
                return False
        stop, over = run
        stop.set()
        over.wait(patience)
        return True


class Previews:
    """Which preview each browser session asked for last."""

    KEPT = 1000
    """Sessions remembered; of an older one only a rough preview is at stake."""

    def __init__(self):
        self._lock = threading.Lock()
        self._latest: OrderedDict[str, tuple] = OrderedDict()

    def begin(self, session: str, wanted: tuple) -> None:
        with self._lock:
            self._latest[session] = wanted
            self._latest.move_to_end(session)
            if len(self._latest) > self.KEPT:
                self._latest.popitem(last=False)

    def latest(self, session: str) -> tuple | None:
        with self._lock:
            return self._latest.get(session)


class Actions:
    """One method an event. The order of the returned values is that of the outputs in tab.py."""

    def __init__(self, bench: Workbench, examples: Sequence[Example]):
        self.bench = bench
        self.examples = examples
        self.running = Running()
        self.previews = Previews()
        self.started = uuid.uuid4().hex  # another version of this program may have left other pictures
        # Inside of Gradio's cache, which serves it and cleans it up.
        self.cache = Path(get_upload_folder()) / "previews"

    # Photo and recipe

    def follow_photo(self, request: gr.Request, photo, seed, *intensities):
        """preview, photo message"""
        return self._preview(request, photo, _recipe(intensities), _seed(seed))

    def follow_sliders(self, request: gr.Request, photo, seed, *intensities):
        """preview, photo message, recipe message, recipe text"""
        try:
            recipe, seed = _recipe(intensities), check_seed(seed)
        except ValueError as error:
            return gr.skip(), gr.skip(), markup.message(reason(error), "bad"), gr.skip()
        return *self._preview(request, photo, recipe, seed, rough=True), markup.message(""), str(recipe)

    def settle_preview(self, request: gr.Request, photo, seed, *intensities):
        """preview, photo message; the real one after a rough one, unless the visitor has moved on meanwhile"""
        with suppress(ValueError):  # which the rough preview has told
            path, recipe, seed = upload_path(photo), _recipe(intensities), check_seed(seed)
            if self.bench.takes_long(path, recipe):
                settled = self._preview_of(path, recipe, seed)
                if self.previews.latest(request.session_hash) == (path, recipe, seed):
                    return settled
        return gr.skip(), gr.skip()

    def follow_text(self, request: gr.Request, photo, seed, text):
        """preview, photo message, recipe message, sliders; half a recipe, still being typed, changes nothing"""
        try:
            if text is not None:
                preview, photo_message, message, _, *sliders = self._show(
                    request, photo, Recipe.parse(text), _seed(seed)
                )
                return preview, photo_message, message, *sliders
        except ValueError:
            pass
        return [gr.skip()] * (3 + len(REGISTRY))

    def tidy_text(self, request: gr.Request, photo, seed, text):
        """everything"""
        try:
            return self._show(request, photo, Recipe.parse(text or ""), _seed(seed))
        except ValueError as error:
            message = markup.message(Text("compare.recipe-refused", reason=reason(error)), "bad")
            return gr.skip(), gr.skip(), message, *[gr.skip()] * (1 + len(REGISTRY))

    def shuffle(self, request: gr.Request, photo, seed):
        """everything"""
        return self._show(
            request, photo, Recipe.sample(np.random.default_rng(), count=settings.SHUFFLED_TYPES), _seed(seed)
        )

    def reset(self, request: gr.Request, photo, seed):
        """everything"""
        return self._show(request, photo, Recipe(), _seed(seed))

    def at_strength(self, intensity: float) -> Callable:
        """Everything that is on at one strength; where nothing is, one type, drawn as in the benchmarks: by stage."""

        def set_strength(request: gr.Request, photo, seed, *intensities):
            names = list(_recipe(intensities))
            if not names:
                rng = np.random.default_rng()
                stage = rng.choice(STAGES)
                names = [rng.choice([entry.name for entry in REGISTRY.values() if entry.stage == stage])]
            return self._show(request, photo, Recipe({str(name): intensity for name in names}), _seed(seed))

        return set_strength

    def choose_example(self, request: gr.Request, event: gr.SelectData):
        """photo, seed, question, options, note, everything"""
        example = self.examples[event.index]
        shown = self._show(request, example.image, example.recipe, example.seed)
        return (
            str(example.image),
            example.seed,
            example.question,
            "\n".join(example.options),
            markup.message(known(example.note)),
            *shown,
        )

    def _show(self, request: gr.Request, photo: Mapping | Path | None, recipe: Recipe, seed: int):
        """preview, photo message, recipe message, recipe text, sliders"""
        sliders = [recipe.get(name, 0) for name in REGISTRY]
        return *self._preview(request, photo, recipe, seed), markup.message(""), str(recipe), *sliders

    def _preview(self, request: gr.Request, photo, recipe: Recipe, seed: int, rough: bool = False):
        """preview, photo message; of an upload, or of a file of our own"""
        if not photo:
            return None, markup.message("")
        try:
            path = photo if isinstance(photo, Path) else upload_path(photo)
            self.previews.begin(request.session_hash, (path, recipe, seed))
            return self._preview_of(path, recipe, seed, rough)
        except ValueError as error:
            return None, markup.message(reason(error), "bad")

    def _preview_of(self, path: Path, recipe: Recipe, seed: int, rough: bool = False):
        """preview, photo message"""
        before = self.bench.working_photo(path)
        rough = rough and self.bench.takes_long(path, recipe)
        source = self.started, path, path.stat().st_mtime_ns
        after = *source, recipe, seed, rough
        pictures = (
            photos.save_once(source, self.cache, lambda: before),
            photos.save_once(after, self.cache, lambda: self.bench.degraded(path, recipe, seed, rough)),
        )
        seen = markup.message(Text("compare.seen-at", width=before.width, height=before.height))
        return tuple(map(str, pictures)), seen

    # Question and answers

    def check(self, photo, question, options):
        """nothing; refuses at once what would only fail after the queue"""
        with told_to_the_visitor():
            check_question(question, options or "")
            self.bench.working_photo(upload_path(photo))

    def prepare(self, request: gr.Request, *intensities):
        """status, ask, stop, columns"""
        self.running.asked(request.session_hash)
        waiting = {"text": "", "done": False, "stats": None, "answer": None, "choice": None}
        return (
            markup.message(Text("compare.queued")),
            gr.Button(interactive=False),
            gr.Button(interactive=True),
            panels.baseline_column(waiting),
            panels.robust_column(waiting),
            "",
            "",
            panels.scoreboard(_recipe(intensities), waiting),
        )

    def ask(self, request: gr.Request, photo, seed, question, options, temperature, max_new_tokens, *intensities):
        """status, columns; as the models write"""
        shown = [None] * 6
        with self.running.entered(request.session_hash) as stop:
            try:
                question = check_question(question, options or "")
                options, recipe, path = _options(options), _recipe(intensities), upload_path(photo)
                asked = question_with_options(question, options)
                correct = known_answer(self.examples, path, question, options)
                options = parse_options(asked)  # a question may bring its own
                for sides in self.bench.compare(path, asked, recipe, seed, temperature, max_new_tokens, stop):
                    base, robust = sides["baseline"], sides["robust"]
                    over = base["done"] and robust["done"]
                    new = [
                        markup.message("" if over else Text("compare.answering")),
                        panels.baseline_column(base, options, correct),
                        panels.robust_column(robust, options, correct),
                        base["text"],
                        robust["text"],
                        panels.scoreboard(recipe, robust),
                    ]
                    yield [gr.skip() if a == b else b for a, b in zip(shown, new, strict=True)]
                    shown = new
            except ValueError as error:
                yield markup.message(reason(error), "bad"), *_nothing_asked()
            except Exception as error:  # the page must not go on saying that an answer is coming
                log.exception("a comparison failed")
                yield markup.message(Text("compare.broken", reason=type(error).__name__), "bad"), *_nothing_asked()

    def halt(self, request: gr.Request):
        """status, columns"""
        if self.running.stop(request.session_hash, settings.STOP_PATIENCE_S):
            return markup.message(Text("compare.stopped")), *[gr.skip()] * 5
        return markup.message(Text("compare.stopped-early")), *_nothing_asked()

    def settle(self):
        """ask, stop"""
        return gr.Button(interactive=True), gr.Button(interactive=False)


def _nothing_asked():
    """columns"""
    return panels.baseline_column(None), panels.robust_column(None), "", "", panels.scoreboard(None)


def _options(text: str | None) -> list[str]:
    """The options box: one a line, with or without numbers."""
    return parse_options(text or "") or [line.strip() for line in (text or "").splitlines() if line.strip()]


def _recipe(intensities: Sequence[float | None]) -> Recipe:
    """The recipe of the sliders, in the registry's order."""
    return Recipe({name: value or 0 for name, value in zip(REGISTRY, intensities, strict=True)})


def _seed(seed: object) -> int:
    """The seed as given, or the default where the field is empty or wrong: a preset must not fail over it."""
    try:
        return check_seed(seed)
    except ValueError:
        return settings.SEED
