"""What the events around a question do: asked, answered by the models or from a recording, stopped, kept."""

import hashlib
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from degradations import REGISTRY, Recipe, files
from demo import markup, settings
from demo.api import Workbench, check_generation, check_question, told_to_the_visitor, upload_path
from demo.api import replies as replies_of
from demo.chain import parse_options, question_with_options
from demo.compare import panels
from demo.compare.recovering import Shown, saved
from demo.compare.running import Running, Stop
from demo.examples import Example, example_of, known_answer
from demo.present.playback import paced, replay
from demo.present.recording import Recorder, Recording
from demo.present.recording import read as read_recording
from demo.provenance import provenance, same_weights
from demo.recovery import panels as recovery_panels
from demo.recovery.run import events as events_of
from demo.replies import RECOVERED
from demo.texts import Text, reason

log = logging.getLogger(__name__)

DRAWN = {"baseline": panels.baseline_column, "robust": panels.robust_column, RECOVERED: panels.recovered_column}
COLUMNS = (*DRAWN, *(f"{side}_raw" for side in DRAWN), "score", "recovery", "recovered_card")
"""What a run is shown in; all of it is what a docstring here calls columns."""
UNCHANGED = (gr.skip(),) * len(COLUMNS)


class Answers:
    """One method an event. The order of the returned values is that of the outputs in tab.py."""

    def __init__(self, bench: Workbench, examples: Sequence[Example], show: Callable):
        """`show` gives the updates that show a photo with its recipe: `demo.compare.actions.Actions.show`."""
        self.bench, self.examples, self.show, self.running = bench, examples, show, Running()
        self.cache = Path(get_upload_folder()) / "runs"

    def check(self, photo, question, options):
        """nothing; refuses at once what would only fail after the queue"""
        with told_to_the_visitor():
            check_question(question, options or "")
            self.bench.working_photo(upload_path(photo))

    def switch(self, recover: bool):
        """recovered card"""
        return gr.Column(visible=bool(recover))

    def prepare(self, request: gr.Request, recover, *intensities):
        """status, ask, stop, columns"""
        self.running.asked(request.session_hash)
        waiting = {"text": "", "done": False, "stats": None, "answer": None, "choice": None}
        sides = {side: waiting for side in DRAWN if side != RECOVERED or recover}
        recovery = recovery_panels.recovery(recovery_panels.state_of(None) if recover else None)
        return (
            markup.message(Text("compare.queued")),
            gr.Button(interactive=False),
            gr.Button(interactive=True),
            *columns(sides, None, read_sliders(intensities), recovery, self.switch(recover)),
        )

    def ask(
        self, request: gr.Request, recover, photo, seed, question, options, temperature, max_new_tokens, *intensities
    ):
        """status, columns, kept run; as the models write"""

        def answers() -> Iterator[tuple]:
            numbers = check_generation(seed, temperature, max_new_tokens)
            asked = self.asked(photo, question, options)
            yield from self.answering(asked, read_sliders(intensities), numbers, bool(recover), stop)

        with self.running.entered(request.session_hash) as stop:
            yield from seen(told(answers()), stop)

    def answering(
        self,
        asked: "Asked",
        recipe: Recipe,
        numbers: tuple[int, float, int],
        recover: bool,
        stop: threading.Event,
        characters_per_s: float | None = None,
    ) -> Iterator[tuple]:
        """status, columns, kept run; as the models write, or not faster than so many characters a second

        Args:
            numbers: seed, temperature and most tokens.
            recover: whether the third side is asked.
        """
        recorder = self.recorder(asked, recipe, *numbers, recover)
        events = recorder.record(events_of(self.bench, asked.photo, asked.question, recipe, *numbers, stop, recover))
        if characters_per_s is not None:
            events = paced(events, characters_per_s, stop)
        yield from self.answered(events, asked, recipe, numbers[0], recorder.sides)
        yield gr.skip(), *UNCHANGED, gr.DownloadButton(value=self.keep(recorder.recording()), interactive=True)

    def answered(
        self, events: Iterator, asked: "Asked", recipe: Recipe, seed: int, sides: Collection[str], mark: str = ""
    ) -> Iterator[tuple]:
        """status, columns, and nothing to keep; as the events come in, of each only what has changed

        Args:
            sides: those that are asked.
            mark: what the status says instead of that an answer is coming: that it was recorded.
        """
        recovery = Shown(self.bench, asked.photo, recipe, seed, self.cache) if RECOVERED in sides else None
        shown, card = [None] * (1 + len(COLUMNS)), self.switch(recovery is not None)
        for replies in replies_of(events, sides):
            told = {name: reply.as_json(asked.options) for name, reply in replies.items()}
            over = all(side["done"] for side in told.values())
            html = recovery.html(replies[RECOVERED]) if recovery else recovery_panels.recovery(None)
            new = [mark or markup.message("" if over else Text("compare.answering"))]
            new += columns(told, asked, recipe, html, card)
            yield *[gr.skip() if a == b else b for a, b in zip(shown, new, strict=True)], gr.skip()
            shown = new

    def play(self, request: gr.Request, upload):
        """status, columns, kept run, then the scene, temperature, most tokens and the switch; from a file"""

        def answers() -> Iterator[tuple]:
            path = upload_path(upload)
            if path.stat().st_size > settings.MAX_RECORDING_BYTES:
                raise ValueError(Text("present.recording-too-large", most=settings.MAX_RECORDING_BYTES // 1_000_000))
            recording = read_recording(path.read_bytes())
            numbers = check_generation(recording.seed, recording.temperature, recording.max_new_tokens)
            photo = self.photo_of(recording)
            question, *_ = recording.question.splitlines()
            listed = parse_options(recording.question)
            known = known_answer(self.examples, photo, question, listed)
            asked = Asked(photo, recording.question, listed, known)
            shown = self.show(request, photo, recording.recipe, recording.seed)
            mark = recorded(recording)
            if not same_weights(recording.provenance.get("checkpoints", {}), self.bench.pair, self.bench.joint):
                mark += markup.remark(Text("share.other-weights"))
            fields = str(photo), recording.seed, question, "\n".join(listed), mark, *shown
            again = RECOVERED in recording.models and self.bench.joint is not None
            fields += *numbers[1:], again
            kept = gr.DownloadButton(value=self.keep(recording), interactive=True)
            yield gr.skip(), *UNCHANGED, kept, *fields
            events = replay(recording, 1.0, stop)
            for news in self.answered(events, asked, recording.recipe, numbers[0], recording.models, mark):
                yield *news, *[gr.skip()] * len(fields)

        self.running.asked(request.session_hash)
        with self.running.entered(request.session_hash) as stop:
            yield from seen(told(answers(), more=1 + 5 + 4 + len(REGISTRY) + 3), stop)

    def asked(self, photo, question, options) -> "Asked":
        """What is asked, once it has been found to be usable.

        Raises:
            ValueError: it is not.
        """
        question, listed, path = check_question(question, options or ""), read_options(options), upload_path(photo)
        whole = question_with_options(question, listed)
        correct = known_answer(self.examples, path, question, listed)
        return Asked(path, whole, parse_options(whole), correct)  # a question may bring its own options

    def recorder(
        self, asked: "Asked", recipe: Recipe, seed: int, temperature: float, max_new_tokens: int, recover: bool = False
    ) -> Recorder:
        """Keeps a run of these settings; of an example's photo by its name, of others at the models' size."""
        example = example_of(self.examples, asked.photo)
        photo = example.image.name if example else self.bench.working_photo(asked.photo)
        about = asked.question, recipe, seed, temperature, max_new_tokens, photo
        told = provenance(self.bench.pair, self.bench.joint if recover else None)
        return Recorder(self.bench.models(recover), *about, told)

    def keep(self, recording: Recording) -> str:
        """The path of a file with a run."""
        content = recording.as_json()
        path = self.cache / hashlib.sha256(content).hexdigest() / "run.json"
        files.write_whole(path, content)
        return str(path)

    def photo_of(self, recording: Recording) -> Path:
        """A file with a recording's photo.

        Raises:
            ValueError: it names an example that is not here.
        """
        if isinstance(recording.photo, str):
            for example in self.examples:
                if example.image.name == recording.photo:
                    return example.image
            raise ValueError(Text("present.no-photo", name=recording.photo))
        return Path(saved(recording.photo, self.cache))

    def halt(self, request: gr.Request):
        """status, columns; what was answered long ago stays"""
        stopped = self.running.stop(request.session_hash, settings.STOP_PATIENCE_S)
        if stopped is None:
            return gr.skip(), *UNCHANGED
        if stopped:
            return markup.message(Text("compare.stopped")), *UNCHANGED
        return markup.message(Text("compare.stopped-early")), *nothing_asked()

    def leave(self, request: gr.Request, recover):
        """status, ask, stop, columns, kept run; what was answered about another photo goes with it"""
        self.running.stop(request.session_hash, settings.STOP_PATIENCE_S, leave=True)
        left = nothing_asked(self.switch(recover))
        return "", *self.settle(), *left, gr.DownloadButton(value=None, interactive=False)

    def turned_away(self):
        """status, ask, stop, columns; of a question that found no place in the queue"""
        return markup.message(Text("compare.turned-away"), "bad"), *self.settle(), *nothing_asked()

    def settle(self):
        """ask, stop"""
        return gr.Button(interactive=True), gr.Button(interactive=False)


@dataclass(frozen=True)
class Asked:
    """A usable question: the photo's file, the question with its options, these alone, and the right one if known."""

    photo: Path
    question: str
    options: list[str]
    correct: int | None


def columns(
    sides: Mapping[str, Mapping], asked: Asked | None, recipe: Recipe | None, recovery: str, card: object
) -> list:
    """The values of `COLUMNS`.

    Args:
        sides: as `demo.api` describes them; one that is not there has not been asked.
        recovery: as HTML; card: the update of the third side's card.
    """
    options, correct = (asked.options, asked.correct) if asked else ((), None)
    drawn = [draw(sides.get(name), options, correct) for name, draw in DRAWN.items()]
    raw = [sides[name]["text"] if name in sides else "" for name in DRAWN]
    return [*drawn, *raw, panels.scoreboard(recipe, sides.get("robust")), recovery, card]


def told(answers: Iterator[tuple], more: int = 1) -> Iterator[tuple]:
    """The same updates; a failure is told to the visitor in place of them.

    Args:
        more: how many outputs there are besides status and columns that a failure leaves as they are.
    """
    try:
        yield from answers
    except ValueError as error:
        yield markup.message(reason(error), "bad"), *nothing_asked(), *[gr.skip()] * more
    except Exception as error:  # the page must not go on saying that an answer is coming
        log.exception("a comparison failed")
        said = markup.message(Text("compare.broken", reason=type(error).__name__), "bad")
        yield said, *nothing_asked(), *[gr.skip()] * more


def seen(updates: Iterator[tuple], stop: Stop) -> Iterator[tuple]:
    """The updates of a run as long as nobody has left it."""
    for update in updates:
        if not stop.left:
            yield update


def recorded(recording: Recording) -> str:
    """The mark of what no model is saying now."""
    recovery = recording.provenance.get("checkpoints", {}).get(RECOVERED, {}).get("recovery")
    models = " / ".join(filter(None, dict.fromkeys([*recording.models.values(), recovery])))
    return markup.message(Text("present.recorded", made=recording.made[:16].replace("T", " "), models=models), "played")


def nothing_asked(card: object = UNCHANGED[0]) -> list:
    """columns, before anything is asked; the third side's card stays as it is, or becomes another"""
    return columns({}, None, None, recovery_panels.recovery(None), card)


def read_options(text: str | None) -> list[str]:
    """The options box: one a line, with or without numbers."""
    return parse_options(text or "") or [line.strip() for line in (text or "").splitlines() if line.strip()]


def read_sliders(intensities: Sequence[float | None]) -> Recipe:
    """The recipe of the sliders, in the registry's order."""
    return Recipe({name: value or 0 for name, value in zip(REGISTRY, intensities, strict=True)})
