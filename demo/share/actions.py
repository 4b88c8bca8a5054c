"""What sharing does, for page and endpoints: links made and opened, photos shared and deleted, cards drawn."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from degradations import REGISTRY, Recipe, files
from demo import markup, photos, settings
from demo.api import Workbench, check_generation, check_question, upload_path
from demo.chain import parse_options
from demo.compare.answering import Answers, read_options, read_sliders
from demo.examples import Example, example_of, known_answer
from demo.present.recording import Recording
from demo.present.recording import read as read_recording
from demo.provenance import pair_mark
from demo.share import card, links, panels
from demo.share.links import State
from demo.share.uploads import GoneError, Shared, Uploads
from demo.texts import DEFAULT, LANGUAGES, Text, reason

SCENE = 5 + 4 + len(REGISTRY)
"""How many outputs show a photo with its question and recipe: `demo.compare.tab`'s scene."""


class Sharing:
    """What page and endpoints have in common; `uploads` is None where photos are not to be shared."""

    def __init__(self, bench: Workbench, examples: Sequence[Example], answers: Answers, uploads: Uploads | None):
        self.bench, self.examples, self.answers, self.uploads = bench, examples, answers, uploads
        self.cache = Path(get_upload_folder()) / "shared"

    def state(
        self,
        photo: Path | None,
        question: str,
        options: Sequence[str],
        recipe: Recipe,
        numbers: tuple,
        upload: object,
        recover: object = False,
    ) -> State:
        """What a link to all this holds; a photo that is neither an example nor shared is not in it.

        Args:
            numbers: seed, temperature and most new tokens, checked.
            upload: the id by which the photo was shared, if it was.
            recover: whether the picture is recovered first.
        """
        seed, temperature, max_new_tokens = numbers
        pair = pair_mark(self.bench.pair)
        asked = question, tuple(options), recipe, seed, temperature, max_new_tokens
        state = State(None, None, *asked, pair, bool(recover))
        if photo is None:
            return state
        example = example_of(self.examples, photo)
        if example:
            return replace(state, photo=example.image.name)
        shared = bool(upload and self.uploads) and self.uploads.holds(upload, self.bench.working_photo(photo))
        return replace(state, upload=upload) if shared else state

    def photo_of(self, state: State) -> Path | None:
        """The photo that a link names, as a file that the page may serve; None where it names none.

        Raises:
            GoneError: a shared photo that is no longer there, or an example that never was.
        """
        if state.photo:
            for example in self.examples:
                if example.image.name == state.photo:
                    return example.image
            raise GoneError(Text("share.no-such-photo", name=state.photo))
        if not state.upload:
            return None
        if self.uploads is None:
            raise GoneError(Text("share.gone"))
        path = self.uploads.path(state.upload)
        return photos.save_once(("shared", state.upload), self.cache, lambda: photos.load(path))

    def share(self, photo: Path, consent: object) -> Shared:
        """Keep a photo for links.

        Raises:
            ValueError: photos are not shared here, no consent, no room, a photo that cannot be used.
        """
        if self.uploads is None:
            raise ValueError(Text("share.switched-off"))
        return self.uploads.share(self.bench.working_photo(photo), consent)

    def delete(self, upload: object, key: object) -> None:
        """Delete a shared photo by its key.

        Raises:
            ValueError: there is none, or that is not its key.
        """
        if self.uploads is None:
            raise ValueError(Text("share.switched-off"))
        self.uploads.delete(upload, key)
        self.forget(upload)

    def forget(self, upload: object) -> None:
        """Delete the copy that pages were served."""
        photos.forget(("shared", upload), self.cache)

    def card(self, recording: Recording, language: object) -> str:
        """The path of a picture card of a run."""
        photo = self.answers.photo_of(recording)
        picture = self.bench.degraded(photo, recording.recipe, recording.seed)
        listed = parse_options(recording.question)
        correct = known_answer(self.examples, photo, links.of_question(recording.question, listed), listed)
        spoken = language if language in LANGUAGES else DEFAULT
        content = card.as_png(recording, picture, correct, spoken)
        path = self.answers.cache / hashlib.sha256(content).hexdigest() / "card.png"
        files.write_whole(path, content)
        return str(path)


def recording_of(upload: object) -> Recording:
    """The run in an uploaded file.

    Raises:
        ValueError: no file, too large, or no run.
    """
    if not upload:
        raise ValueError(Text("share.no-run"))
    path = upload_path(upload)
    if path.stat().st_size > settings.MAX_RECORDING_BYTES:
        raise ValueError(Text("present.recording-too-large", most=settings.MAX_RECORDING_BYTES // 1_000_000))
    return read_recording(path.read_bytes())


class Actions:
    """One method an event. The order of the returned values is that of the outputs in tab.py."""

    def __init__(self, sharing: Sharing, show: Callable):
        """`show` gives the updates that show a photo with its recipe: `demo.compare.actions.Actions.show`."""
        self.sharing, self.show = sharing, show

    def link(self, page, photo, question, options, seed, temperature, max_new_tokens, upload, recover, *sliders):
        """link, message; `page` is its address as the browser has it"""
        try:
            path = upload_path(photo) if photo else None
            # Half a state is worth a link, too.
            question = check_question(question, options or "") if (question or "").strip() else ""
            numbers = check_generation(seed, temperature, max_new_tokens)
            asked = question, read_options(options), read_sliders(sliders), numbers
            state = self.sharing.state(path, *asked, upload, recover)
        except ValueError as error:
            return gr.skip(), markup.message(reason(error), "bad")
        whole = path is None or state.photo or state.upload
        message = markup.message(Text("share.link-made" if whole else "share.link-without-photo"))
        return f"{str(page or '')[:2000]}{state.as_query()}", message

    def open(self, request: gr.Request, query):
        """scene, temperature, most tokens, switch and card of the third side, upload; of a link"""
        try:
            state = links.read(str(query or ""), self.sharing.bench.pair.max_new_tokens)
        except ValueError as error:
            return self._nothing(markup.message(reason(error), "bad"))
        if state is None:
            return [gr.skip()] * (SCENE + 5)
        mark, photo, upload = markup.message(Text("share.opened")), None, ""
        if state.pair and state.pair != pair_mark(self.sharing.bench.pair):
            mark += markup.remark(Text("share.other-weights"))
        try:
            photo, upload = self.sharing.photo_of(state), state.upload or ""
        except ValueError as error:
            mark = markup.message(reason(error), "bad")
        shown = self.show(request, photo, state.recipe, state.seed)
        fields = state.seed, state.question, "\n".join(state.options), mark
        recover = state.recover and self.sharing.bench.joint is not None
        settled = state.temperature, state.max_new_tokens, recover, gr.Column(visible=recover)
        return str(photo) if photo else None, *fields, *shown, *settled, upload

    def _nothing(self, message: str) -> list:
        return [*[gr.skip()] * 4, message, *[gr.skip()] * SCENE]

    def share(self, photo, consent):
        """upload, receipt, message"""
        try:
            path = upload_path(photo)
            if example_of(self.sharing.examples, path):
                return gr.skip(), gr.skip(), markup.message(Text("share.is-example"))
            shared = self.sharing.share(path, consent)
        except ValueError as error:
            return gr.skip(), gr.skip(), markup.message(reason(error), "bad")
        until = f"{shared.until:%Y-%m-%d}"
        width, height = shared.size
        message = Text("share.shared", until=until, width=width, height=height)
        return shared.id, f"{shared.id}.{shared.key}", markup.message(message, "good")

    def delete(self, receipt):
        """upload, receipt, message"""
        upload, _, key = str(receipt or "").strip().partition(".")
        try:
            self.sharing.delete(upload, key)
        except ValueError as error:
            return gr.skip(), gr.skip(), markup.message(reason(error), "bad")
        return "", "", markup.message(Text("share.deleted"), "good")

    def card(self, language, run):
        """card, message"""
        try:
            path = self.sharing.card(recording_of(run), language)
        except ValueError as error:
            return gr.skip(), markup.message(reason(error), "bad")
        return panels.made_card(path), markup.message(Text("share.card-made"))
