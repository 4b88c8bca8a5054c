"""What the events around a question do: asked, answered by the models or from a recording, stopped, kept."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from degradations import REGISTRY, Recipe, files
from demo import markup, photos, settings
from demo.api import Workbench, check_generation, check_question, states, told_to_the_visitor, upload_path
from demo.chain import parse_options, question_with_options
from demo.compare import panels
from demo.examples import Example, example_of, known_answer
from demo.present.recording import Recorder, Recording, replay
from demo.present.recording import read as read_recording
from demo.provenance import provenance, same_weights
from demo.texts import Text, reason

log = logging.getLogger(__name__)


class Stop(threading.Event):
    """Ends a run once it is set; `left` where nobody is there to see how it ends: another photo, another slide."""

    left = False


class Running:
    """The comparisons that run now, by browser session, so that Stop reaches the generation itself."""

    def __init__(self):
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[Stop, threading.Event]] = {}
        self._waiting: set[str] = set()
        self._stopped_early: dict[str, bool] = {}

    def asked(self, session: str) -> None:
        """A new question is on its way into the queue: what was stopped before is forgotten."""
        with self._lock:
            self._stopped_early.pop(session, None)
            self._waiting.add(session)

    @contextmanager
    def entered(self, session: str) -> Iterator[Stop]:
        """Register a run; gives the event that stops it, set already if Stop came while it waited in the queue."""
        stop, over = Stop(), threading.Event()
        with self._lock:
            self._runs[session] = stop, over
            self._waiting.discard(session)
            if session in self._stopped_early:
                stop.left = self._stopped_early[session]
                stop.set()
        try:
            yield stop
        finally:
            over.set()
            with self._lock:
                if self._runs.get(session) == (stop, over):
                    del self._runs[session]

    def stop(self, session: str, patience: float, leave: bool = False) -> bool | None:
        """Stop a session's run and wait until it has said its last; `leave` makes it `Stop.left`.

        Returns:
            False where it is still in the queue, None where there is nothing to stop.
        """
        with self._lock:
            run = self._runs.get(session)
            if run is None:
                if session not in self._waiting:
                    return None
                self._waiting.discard(session)
                self._stopped_early[session] = leave
                return False
        stop, over = run
        stop.left = stop.left or leave
        stop.set()
        over.wait(patience)
        return True


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
            panels.scoreboard(read_sliders(intensities), waiting),
        )

    def ask(self, request: gr.Request, photo, seed, question, options, temperature, max_new_tokens, *intensities):
        """status, columns, kept run; as the models write"""

        def answers() -> Iterator[tuple]:
            asked, recipe = self.asked(photo, question, options), read_sliders(intensities)
            numbers = check_generation(seed, temperature, max_new_tokens)
            recorder = self.recorder(asked, recipe, *numbers)
            events = self.bench.events(asked.photo, asked.question, recipe, *numbers, stop)
            yield from answered(recorder.record(events), asked, recipe)
            yield *[gr.skip()] * 6, gr.DownloadButton(value=self.keep(recorder.recording()), interactive=True)

        with self.running.entered(request.session_hash) as stop:
            yield from seen(told(answers()), stop)

    def play(self, request: gr.Request, upload):
        """status, columns, kept run, then the scene, temperature and most tokens; from a file"""

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
            if not same_weights(recording.provenance.get("checkpoints", {}), self.bench.pair):
                mark += markup.remark(Text("share.other-weights"))
            fields = str(photo), recording.seed, question, "\n".join(listed), mark, *shown
            fields += numbers[1:]
            kept = gr.DownloadButton(value=self.keep(recording), interactive=True)
            yield *[gr.skip()] * 6, kept, *fields
            for columns in answered(replay(recording, 1.0, stop), asked, recording.recipe, mark):
                yield *columns, *[gr.skip()] * len(fields)

        self.running.asked(request.session_hash)
        with self.running.entered(request.session_hash) as stop:
            yield from seen(told(answers(), more=1 + 5 + 4 + len(REGISTRY) + 2), stop)

    def asked(self, photo, question, options) -> "Asked":
        """What is asked, once it has been found to be usable.

        Raises:
            ValueError: it is not.
        """
        question, listed, path = check_question(question, options or ""), read_options(options), upload_path(photo)
        whole = question_with_options(question, listed)
        correct = known_answer(self.examples, path, question, listed)
        return Asked(path, whole, parse_options(whole), correct)  # a question may bring its own options

    def recorder(self, asked: "Asked", recipe: Recipe, seed: int, temperature: float, max_new_tokens: int) -> Recorder:
        """Keeps a run of these settings; of an example's photo by its name, of others at the models' size."""
        example = example_of(self.examples, asked.photo)
        photo = example.image.name if example else self.bench.working_photo(asked.photo)
        models = {side.name: str(side.label) for side in self.bench.pair.sides}
        about = asked.question, recipe, seed, temperature, max_new_tokens, photo
        return Recorder(models, *about, provenance(self.bench.pair))

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
        pixels = hashlib.sha256(recording.photo.tobytes()).hexdigest(), recording.photo.size
        return photos.save_once(pixels, self.cache, lambda: recording.photo)

    def halt(self, request: gr.Request):
        """status, columns; what was answered long ago stays"""
        stopped = self.running.stop(request.session_hash, settings.STOP_PATIENCE_S)
        if stopped is None:
            return [gr.skip()] * 6
        if stopped:
            return markup.message(Text("compare.stopped")), *[gr.skip()] * 5
        return markup.message(Text("compare.stopped-early")), *nothing_asked()

    def leave(self, request: gr.Request):
        """status, ask, stop, columns, kept run; what was answered about another photo goes with it"""
        self.running.stop(request.session_hash, settings.STOP_PATIENCE_S, leave=True)
        return "", *self.settle(), *nothing_asked(), gr.DownloadButton(value=None, interactive=False)

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


def answered(events: Iterator, asked: Asked, recipe: Recipe, mark: str = "") -> Iterator[tuple]:
    """status, columns, and nothing to keep; as the events come in, of each only what has changed

    Args:
        mark: what the status says instead of that an answer is coming: that it was recorded.
    """
    shown = [None] * 6
    for sides in states(events, asked.options):
        base, robust = sides["baseline"], sides["robust"]
        over = base["done"] and robust["done"]
        new = [
            mark or markup.message("" if over else Text("compare.answering")),
            panels.baseline_column(base, asked.options, asked.correct),
            panels.robust_column(robust, asked.options, asked.correct),
            base["text"],
            robust["text"],
            panels.scoreboard(recipe, robust),
        ]
        yield *[gr.skip() if a == b else b for a, b in zip(shown, new, strict=True)], gr.skip()
        shown = new


def told(answers: Iterator[tuple], more: int = 1, last: Sequence = ()) -> Iterator[tuple]:
    """The same updates; a failure is told to the visitor in place of them.

    Args:
        more: how many outputs there are besides status and columns that a failure leaves as they are.
        last: what further outputs show after a failure.
    """
    try:
        yield from answers
    except ValueError as error:
        yield markup.message(reason(error), "bad"), *nothing_asked(), *[gr.skip()] * more, *last
    except Exception as error:  # the page must not go on saying that an answer is coming
        log.exception("a comparison failed")
        said = markup.message(Text("compare.broken", reason=type(error).__name__), "bad")
        yield said, *nothing_asked(), *[gr.skip()] * more, *last


def seen(updates: Iterator[tuple], stop: Stop) -> Iterator[tuple]:
    """The updates of a run as long as nobody has left it."""
    for update in updates:
        if not stop.left:
            yield update


def recorded(recording: Recording) -> str:
    """The mark of what no model is saying now."""
    models = f"{recording.models['baseline']} / {recording.models['robust']}"
    return markup.message(Text("present.recorded", made=recording.made[:16].replace("T", " "), models=models), "played")


def nothing_asked():
    """columns, before anything is asked"""
    return panels.baseline_column(None), panels.robust_column(None), "", "", panels.scoreboard(None)


def read_options(text: str | None) -> list[str]:
    """The options box: one a line, with or without numbers."""
    return parse_options(text or "") or [line.strip() for line in (text or "").splitlines() if line.strip()]


def read_sliders(intensities: Sequence[float | None]) -> Recipe:
    """The recipe of the sliders, in the registry's order."""
    return Recipe({name: value or 0 for name, value in zip(REGISTRY, intensities, strict=True)})
