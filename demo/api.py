"""What the demo does, without the page: degrade a photo, compare two models on it; and both as endpoints.

The endpoints' names, parameters and answers are stable:

`/degrade` (image, recipe text, seed) -> PNG of the upload's own size.

`/compare` (image, question with its options, recipe text, seed, temperature, max_new_tokens) -> a stream of JSON
objects with the keys `baseline` and `robust`, each the state of that side so far (a *side*):

- `text`: what the model has written; `done`: whether it has ended
- `stats`: null until then; `tokens`, `ttft_s` (seconds to the first), `tokens_per_s`, `stop_reason` (eos, length,
  stopped or error)
- `answer`: null until there is one; the text of the option it means where the question has options, else as written
- `choice`: the index of that option, null where the answer means none
- `error`: only on failure, what went wrong
- `chain` (robust only): `recipe` {name: intensity}, `influence`, `reasoning`, `conclusion`, `answer`, `open`
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from degradations import REGISTRY, Recipe, degrade
from demo import photos, settings
from demo.chain import parse_options
from demo.models import Pair, Side
from demo.recovery.attempt import Attempt
from demo.recovery.measures import measure
from demo.replies import PAIR, Event, Reply
from demo.streaming import stream, stream_batch
from demo.texts import Text, both, reason, shown

if TYPE_CHECKING:
    from demo.recovery.joint import Joint, Speaker

MODEL_QUEUE = {"concurrency_id": "models", "concurrency_limit": 1}
"""Every event that uses the models: one visitor at a time, the others wait in the queue."""


class Workbench:
    """One pair of models and everything a visitor does with it; keeps nothing about anyone."""

    def __init__(self, pair: Pair, joint: "Joint | None" = None):
        """`joint` recovers pictures and answers from both; without it there is no third column."""
        self.pair, self.joint = pair, joint
        # Sliders ask for the same photo many times a second; the key holds the content's hash (Gradio's upload folder).
        self._fitted = lru_cache(maxsize=settings.FITTED_PHOTOS_KEPT)(lambda path, _: pair.fit(photos.load(path)))
        # One run asks for its picture several times: for the models, for the recovery, to be shown.
        self._degraded = lru_cache(maxsize=settings.DEGRADED_PHOTOS_KEPT)(
            lambda path, _, recipe, seed, rough: degrade(self.working_photo(path), recipe, seed, rough=rough)
        )

    def working_photo(self, photo: Path) -> Image.Image:
        """A photo, RGB, at the size the models work at.

        Raises:
            PhotoError: as `photos.load`.
        """
        return self._fitted(photo, _version(photo))

    def degraded(self, photo: Path, recipe: Recipe, seed: int, rough: bool = False) -> Image.Image:
        """The degraded photo as the models see it, not to be changed; `rough` as in `degrade`."""
        return self._degraded(photo, _version(photo), recipe, seed, rough)

    def takes_long(self, photo: Path, recipe: Recipe) -> bool:
        """Whether a slider feels it, so that a rough preview should come first."""
        before = self.working_photo(photo)
        many = before.width * before.height > settings.ROUGH_PREVIEW_PIXELS
        return many and any(REGISTRY[name].rough for name in recipe)

    def compare(
        self,
        photo: Path,
        question: str,
        recipe: Recipe,
        seed: int,
        temperature: float,
        max_new_tokens: int,
        stop: threading.Event | None = None,
    ) -> Iterator[dict[str, dict]]:
        """Ask both models: the `states` of their `events`.

        Raises:
            ValueError: as `events`.
        """
        events = self.events(photo, question, recipe, seed, temperature, max_new_tokens, stop)
        yield from states(events, parse_options(question))

    def events(
        self,
        photo: Path,
        question: str,
        recipe: Recipe,
        seed: int,
        temperature: float,
        max_new_tokens: int,
        stop: threading.Event | None = None,
    ) -> Iterator[Event]:
        """What both models say, as it comes.

        The degraded picture is made here, from the photo: never taken from what a browser shows.

        Raises:
            ValueError: something in the request that cannot be used (PhotoError included).
        """
        question = check_question(question)
        seed, temperature, max_new_tokens = check_generation(seed, temperature, max_new_tokens)
        image = self.degraded(photo, recipe, seed)
        asked = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed, "stop": stop}
        with closing(stream(self.pair, image, question, **asked)) as events:
            yield from events

    def answers(self, images: Sequence[Image.Image], question: str, **asked: object) -> Iterator[Event]:
        """Ask both models about several pictures at once, as `demo.streaming.stream_batch` does."""
        return stream_batch(self.pair, images, question, **asked)

    def models(self, recover: bool = False) -> dict[str, str]:
        """The names of the models behind the sides, the third one included where it is asked, too."""
        return {side.name: str(side.label) for side in self.sides(recover)}

    def sides(self, recover: bool = True) -> "list[Side | Speaker]":
        """The pair's and, unless it is not asked or not there, the third one."""
        there = (self.pair, self.joint if recover else None)
        return [side for one in there if one for side in one.sides]

    def recovering(self, image: Image.Image) -> Attempt:
        """Begin to recover a picture; there has to be a `joint`."""
        return Attempt(self.joint.recovery, image)

    def gained(self, photo: Path, recipe: Recipe, attempt: Attempt) -> float | None:
        """PSNR that a recovery gained, in dB; None where nothing was degraded, so that nothing could be."""
        if not recipe or attempt.image is None:
            return None
        clean = self.working_photo(photo)
        before, after = (measure(image, clean).capped for image in (attempt.before, attempt.image))
        return round(after - before, 2)

    def answers_to_both(
        self, pictures: Sequence[tuple[Image.Image, Image.Image]], question: str, **asked: object
    ) -> Iterator[Event]:
        """Ask the side that sees a degraded and a recovered picture together, about several such at once."""
        return stream_batch(self.joint, pictures, question, **asked)


def states(events: Iterator[Event], options: list[str], names: Sequence[str] = PAIR) -> Iterator[dict[str, dict]]:
    """All sides so far as JSON, as often as `replies`; closes the events."""
    with closing(replies(events, names)) as told:
        for sides in told:
            yield {name: side.as_json(options) for name, side in sides.items()}


def replies(events: Iterator[Event], names: Sequence[str]) -> Iterator[dict[str, Reply]]:
    """All sides so far, a few times a second, and at once when one begins or ends; closes the events."""
    sides = {name: Reply(name) for name in names}
    with closing(events):
        shown = 0.0
        for event in events:
            side = sides[event.side]
            begins = event.text and not side.text
            news = event.done or begins or (event.recovered and event.recovered.state["done"])
            side.take(event)
            if news or time.monotonic() - shown >= settings.UPDATE_S:
                shown = time.monotonic()
                yield sides


def _version(photo: Path) -> int:
    return photo.stat().st_mtime_ns if photo.exists() else 0


def upload_path(upload: Mapping | None) -> Path:
    """The file behind what gr.Image sends (it reaches us undecoded: events that take photos have preprocess=False).

    Raises:
        PhotoError: no photo, or a path outside of Gradio's upload folder: anyone can write a request by hand, and
            Gradio checks only those paths that are marked as files.
    """
    path = upload.get("path") if isinstance(upload, Mapping) else None
    if not path:
        raise photos.PhotoError(Text("page.no-photo"))
    if not isinstance(path, str) or not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise photos.PhotoError(Text("page.foreign-photo"))
    return Path(path)


def check_question(question: object, options: object = "") -> str:
    """A question, with or without its options, as a visitor may give it; stripped."""
    if not isinstance(question, str) or not question.strip():
        raise ValueError(Text("page.no-question"))
    # Before anything reads them: nothing endless reaches a pattern.
    if not isinstance(options, str) or len(question) + len(options) > settings.MAX_QUESTION_CHARACTERS:
        raise ValueError(Text("page.question-too-long", most=settings.MAX_QUESTION_CHARACTERS))
    return question.strip()


def check_number(name: str, value: object, low: float, high: float, whole: bool = False) -> float | int:
    """A number as a visitor may give it.

    Raises:
        ValueError: not a finite number in [low, high], or not a whole one where it must be.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(Text("page.bad-number", name=name, low=low, high=high, value=repr(value)))
    if whole and value != int(value):
        raise ValueError(Text("page.bad-whole-number", name=name, value=repr(value)))
    return int(value) if whole else float(value)


def check_seed(seed: object) -> int:
    """A seed as a visitor may give it."""
    return check_number("seed", seed, 0, settings.MAX_SEED, whole=True)


def check_generation(seed: object, temperature: object, max_new_tokens: object) -> tuple[int, float, int]:
    """What rules an answer besides photo, question and recipe, as a visitor may give it."""
    return (
        check_seed(seed),
        check_number("temperature", temperature, 0, settings.MAX_TEMPERATURE),
        check_number("max_new_tokens", max_new_tokens, 1, settings.MAX_NEW_TOKENS, whole=True),
    )


@contextmanager
def told_to_the_caller() -> Iterator[None]:
    """Hand the message of a request that cannot be used to whoever called an endpoint, not a traceback."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), title=str(Text("page.please-check")), print_exception=False) from error


@contextmanager
def told_to_the_visitor() -> Iterator[None]:
    """The same to a visitor of the page, in the page's language."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(both(reason(error)), title=shown("page.please-check"), print_exception=False) from error


def register(bench: Workbench) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown."""

    def degrade_photo(image, recipe, seed):
        """Degrade a photo; the result is a PNG of the photo's own size.

        Args:
            image: the photo.
            recipe: degradations with intensities in (0, 1], such as "lens blur(0.31), gaussian noise(0.5)", or "none".
            seed: whole number; the same seed gives the same pixels.

        Returns:
            The degraded photo.
        """
        with told_to_the_caller():
            return degrade(photos.load(upload_path(image)), Recipe.parse(recipe or ""), check_seed(seed))

    def compare_models(image, question, recipe, seed, temperature, max_new_tokens):
        """Ask two vision-language models about a degraded photo: a baseline, and one that first names the degradations.
        Streams JSON objects with the keys baseline and robust.

        Args:
            image: the photo.
            question: with its options, one a line as "0. dog", or without for an open question.
            recipe: degradations with intensities in (0, 1], such as "lens blur(0.31)", or "none".
            seed: whole number; the same seed degrades and samples alike.
            temperature: 0 is greedy and repeatable; at most 2.
            max_new_tokens: the most tokens of an answer.

        Returns:
            A JSON object: for each model its text, answer, choice and stats; the robust one's chain, too.
        """
        with told_to_the_caller():
            asked = Recipe.parse(recipe or ""), seed, temperature, max_new_tokens
            yield from bench.compare(upload_path(image), question, *asked)

    with gr.Group(visible=False):
        image = gr.Image(type="filepath", format="png", label="image")
        recipe = gr.Textbox("none", label="recipe")
        seed = gr.Number(settings.SEED, precision=0, label="seed")
        degraded = gr.Image(format="png", label="degraded")
        gr.Button().click(
            degrade_photo,
            [image, recipe, seed],
            degraded,
            preprocess=False,
            api_name="degrade",
            concurrency_limit=settings.DEGRADE_CONCURRENCY,
        )
        question = gr.Textbox(label="question")
        temperature = gr.Number(settings.TEMPERATURE, label="temperature")
        max_new_tokens = gr.Number(bench.pair.max_new_tokens, precision=0, label="max_new_tokens")
        gr.Button().click(
            compare_models,
            [image, question, recipe, seed, temperature, max_new_tokens],
            gr.JSON(label="baseline and robust"),
            preprocess=False,
            api_name="compare",
            **MODEL_QUEUE,
        )
