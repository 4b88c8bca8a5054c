"""What happens on stage: slides shown one after the other, asked live or played back, at a pace a hall can read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import gradio as gr

from demo import settings
from demo.api import check_generation, told_to_the_visitor, upload_path
from demo.chain import question_with_options
from demo.compare.answering import Answers, Asked, nothing_asked, read_options, read_sliders, recorded, seen, told
from demo.examples import Example
from demo.present import deck, recording, views
from demo.present.deck import Deck, Slide
from demo.present.playback import paced, replay
from demo.texts import Text

READABLE = "readable"
PACES = (READABLE, "1", "2", "4")
"""How fast a text appears: so that it can be read, or a multiple of its true pace."""


class Actions:
    """One method an event. The order of the returned values is that of the outputs in stage.py."""

    def __init__(self, examples: Sequence[Example], scene, answers: Answers, runs: Path, decks: Path):
        """
        Args:
            scene: gives the updates that show an example: `demo.compare.actions.Actions.show_example`.
            runs: folder of recorded runs; decks: folder of decks that a link may name.
        """
        self.examples, self.scene, self.answers = examples, scene, answers
        self.runs, self.decks = runs, decks
        self._playing: set[str] = set()

    def open(self, asked: str):
        """deck, slide's number; of a link: a deck's JSON or name, or nothing for the examples"""
        with told_to_the_visitor():
            self._deck(asked)
        return asked, 0

    def open_file(self, upload):
        """deck, slide's number"""
        with told_to_the_visitor():
            path = upload_path(upload)
            if path.stat().st_size > settings.MAX_DECK_CHARACTERS:
                raise ValueError(Text("present.deck-too-long", most=settings.MAX_DECK_CHARACTERS))
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(Text("present.bad-deck", reason=str(error))) from error
            deck.read(text, self.examples)
        return text, 0

    def turn(self, request: gr.Request, by, text, number, recover):
        """slide's number, question, notes, counter, status, columns, scene; at the ends it stays"""
        with told_to_the_visitor():
            slides = self._deck(text).slides
        self._leave(request)
        number = min(max(int(number or 0) + int(by or 0), 0), len(slides) - 1)
        slide = slides[number]
        return (
            number,
            views.question(slide.example.question, slide.example.options),
            views.notes(slide.notes),
            views.counter(number, len(slides), self._recorded(slide) is not None),
            "",
            *nothing_asked(self.answers.switch(recover)),
            *self.scene(request, slide.example),
        )

    def prepare(self, request: gr.Request, recover, *intensities):
        """status, ask, stop, columns; what is played back makes way, what is asked already goes on"""
        if request.session_hash in self._playing:
            self._leave(request)
        return self.answers.prepare(request, recover, *intensities)

    def _leave(self, request: gr.Request) -> None:
        """End what is being asked or played; from here on it writes nothing into the columns any more."""
        self.answers.running.stop(request.session_hash, settings.STOP_PATIENCE_S, leave=True)

    def enter(self, question, options):
        """question; what the visitor has asked, where the page goes on stage as it is"""
        return views.question(question or "", read_options(options))

    def run(
        self, request: gr.Request, text, number, pace, recover, photo, question, options, temperature, max_new_tokens,
        seed, *sliders,
    ):  # fmt: skip
        """status, columns, kept run; the models answer"""

        def answers() -> Iterator[tuple]:
            asked, recipe = self._asked(text, number, photo, question, options), read_sliders(sliders)
            numbers = check_generation(seed, temperature, max_new_tokens)
            slowly = settings.READABLE_CHARACTERS_PER_S if pace == READABLE else None
            yield from self.answers.answering(asked, recipe, numbers, bool(recover), stop, slowly)

        with self.answers.running.entered(request.session_hash) as stop:
            yield from seen(told(answers()), stop)

    def play(self, request: gr.Request, text, number, pace):
        """status, columns, kept run; a recording answers"""

        def answers() -> Iterator[tuple]:
            speed = _speed(pace)
            slide = self._deck(text).slides[int(number or 0)]
            kept = self._recorded(slide)
            if kept is None:
                raise ValueError(Text("present.no-recording"))
            asked = _asked_by(slide.example)
            events = replay(kept, speed, stop)
            if pace == READABLE:
                events = paced(events, settings.READABLE_CHARACTERS_PER_S, stop)
            yield from self.answers.answered(events, asked, kept.recipe, kept.seed, kept.models, recorded(kept))

        self._leave(request)
        self.answers.running.asked(request.session_hash)
        self._playing.add(request.session_hash)
        try:
            with self.answers.running.entered(request.session_hash) as stop:
                yield from seen(told(answers()), stop)
        finally:
            self._playing.discard(request.session_hash)

    def _asked(self, text, number, photo, question, options) -> Asked:
        """What stands on stage; a slide knows its right answer."""
        asked = self.answers.asked(photo, question, options)
        slides = self._deck(text).slides
        by_slide = _asked_by(slides[min(int(number or 0), len(slides) - 1)].example)
        same = asked.question == by_slide.question and asked.photo.read_bytes() == by_slide.photo.read_bytes()
        return Asked(asked.photo, asked.question, asked.options, by_slide.correct) if same else asked

    def _deck(self, text: str | None) -> Deck:
        if not text:
            return deck.of_examples(self.examples)
        if text.lstrip().startswith("{"):
            return deck.read(text, self.examples)
        return deck.named(text, self.decks, self.examples)

    def _recorded(self, slide: Slide) -> recording.Recording | None:
        """The recorded run of a slide, if there is one of exactly what it asks."""
        path = self.runs / f"{slide.example.image.stem}.json"
        if not path.is_file():
            return None
        kept = recording.read(path.read_bytes())
        example = slide.example
        same = (kept.question, kept.recipe, kept.seed) == (_asked_by(example).question, example.recipe, example.seed)
        return kept if same else None


def _asked_by(example: Example) -> Asked:
    options = list(example.options)
    return Asked(example.image, question_with_options(example.question, options), options, example.answer)


def _speed(pace: object) -> float:
    """How many times as fast as it was a recording is played; a request by hand may bring anything."""
    if pace not in PACES:
        raise ValueError(Text("present.bad-pace", paces=", ".join(PACES)))
    return 1.0 if pace == READABLE else float(pace)
