"""What the events around photo and recipe do: a visitor's input in, updates of the page out."""

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from degradations import REGISTRY, STAGES, Recipe
from demo import markup, photos, settings
from demo.api import Workbench, check_seed, upload_path
from demo.compare.answering import read_sliders
from demo.examples import Example
from demo.texts import Text, known, reason

log = logging.getLogger(__name__)


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
        self.previews = Previews()
        self.started = uuid.uuid4().hex  # another version of this program may have left other pictures
        # Inside of Gradio's cache, which serves it and cleans it up.
        self.cache = Path(get_upload_folder()) / "previews"

    # Photo and recipe

    def follow_photo(self, request: gr.Request, photo, seed, *intensities):
        """preview, photo message"""
        return self._preview(request, photo, read_sliders(intensities), _seed(seed))

    def follow_sliders(self, request: gr.Request, photo, seed, *intensities):
        """preview, photo message, recipe message, recipe text"""
        try:
            recipe, seed = read_sliders(intensities), check_seed(seed)
        except ValueError as error:
            return gr.skip(), gr.skip(), markup.message(reason(error), "bad"), gr.skip()
        return *self._preview(request, photo, recipe, seed, rough=True), markup.message(""), str(recipe)

    def settle_preview(self, request: gr.Request, photo, seed, *intensities):
        """preview, photo message; the real one after a rough one, unless the visitor has moved on meanwhile"""
        with suppress(ValueError):  # which the rough preview has told
            path, recipe, seed = upload_path(photo), read_sliders(intensities), check_seed(seed)
            if self.bench.takes_long(path, recipe):
                settled = self._preview_of(path, recipe, seed)
                if self.previews.latest(request.session_hash) == (path, recipe, seed):
                    return settled
        return gr.skip(), gr.skip()

    def follow_text(self, request: gr.Request, photo, seed, text):
        """preview, photo message, recipe message, sliders; half a recipe, still being typed, changes nothing"""
        try:
            if text is not None:
                preview, photo_message, message, _, *sliders = self.show(
                    request, photo, Recipe.parse(text), _seed(seed)
                )
                return preview, photo_message, message, *sliders
        except ValueError:
            pass
        return [gr.skip()] * (3 + len(REGISTRY))

    def tidy_text(self, request: gr.Request, photo, seed, text):
        """everything"""
        try:
            return self.show(request, photo, Recipe.parse(text or ""), _seed(seed))
        except ValueError as error:
            message = markup.message(Text("compare.recipe-refused", reason=reason(error)), "bad")
            return gr.skip(), gr.skip(), message, *[gr.skip()] * (1 + len(REGISTRY))

    def shuffle(self, request: gr.Request, photo, seed):
        """everything"""
        return self.show(
            request, photo, Recipe.sample(np.random.default_rng(), count=settings.SHUFFLED_TYPES), _seed(seed)
        )

    def reset(self, request: gr.Request, photo, seed):
        """everything"""
        return self.show(request, photo, Recipe(), _seed(seed))

    def at_strength(self, intensity: float) -> Callable:
        """Everything that is on at one strength; where nothing is, one type, drawn as in the benchmarks: by stage."""

        def set_strength(request: gr.Request, photo, seed, *intensities):
            names = list(read_sliders(intensities))
            if not names:
                rng = np.random.default_rng()
                stage = rng.choice(STAGES)
                names = [rng.choice([entry.name for entry in REGISTRY.values() if entry.stage == stage])]
            return self.show(request, photo, Recipe({str(name): intensity for name in names}), _seed(seed))

        return set_strength

    def choose_example(self, request: gr.Request, event: gr.SelectData):
        """photo, seed, question, options, note, everything"""
        return self.show_example(request, self.examples[event.index])

    def show_example(self, request: gr.Request, example: Example):
        """photo, seed, question, options, note, everything"""
        shown = self.show(request, example.image, example.recipe, example.seed)
        return (
            str(example.image),
            example.seed,
            example.question,
            "\n".join(example.options),
            markup.message(known(example.note)),
            *shown,
        )

    def show(self, request: gr.Request, photo: Mapping | Path | None, recipe: Recipe, seed: int):
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


def _seed(seed: object) -> int:
    """The seed as given, or the default where the field is empty or wrong: a preset must not fail over it."""
    try:
        return check_seed(seed)
    except ValueError:
        return settings.SEED
