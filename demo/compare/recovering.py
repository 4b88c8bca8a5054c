"""The third column of Compare: the picture recovered and shown, then both asked about."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from degradations import Recipe
from demo import markup, photos
from demo.api import Workbench, check_generation
from demo.compare import panels
from demo.compare.answering import Answers, Asked, answered, read_sliders, seen, told
from demo.recovery import panels as recovery_panels
from demo.recovery.run import Run
from demo.texts import Text

OUTPUTS = 3
"""Of this column: recovery, answer, raw text."""


class Recovering:
    """One method an event. The order of the returned values is that of the outputs in tab.py."""

    def __init__(self, bench: Workbench, answers: Answers):
        self.bench, self.answers = bench, answers

    def switch(self, on: bool):
        """column"""
        return gr.Column(visible=bool(on))

    def prepare(self, on: bool):
        """recovery, answer, raw; as long as the question waits in the queue"""
        state = recovery_panels.state_of(None) if on else None
        return recovery_panels.recovery(state), panels.recovered_column(None), ""

    def ask(self, request: gr.Request, on, photo, seed, question, options, temperature, max_new_tokens, *intensities):
        """status, columns, kept run, recovery, answer, raw; as the models write"""
        if not on:
            asked = photo, seed, question, options, temperature, max_new_tokens
            for update in self.answers.ask(request, *asked, *intensities):
                yield *update, *_nothing()
            return

        def updates() -> Iterator[tuple]:
            asked, recipe = self.answers.asked(photo, question, options), read_sliders(intensities)
            seed_, *numbers = check_generation(seed, temperature, max_new_tokens)
            recorder = self.answers.recorder(asked, recipe, seed_, *numbers)
            column = Column(self.bench, asked, recipe, seed_, self.answers.cache)
            try:
                events = self.bench.events(asked.photo, asked.question, recipe, seed_, *numbers, stop)
                for update in answered(recorder.record(events), asked, recipe):
                    yield *update, *column.news()
                kept = gr.DownloadButton(value=self.answers.keep(recorder.recording()), interactive=True)
                still = markup.message(Text("compare.answering"))
                yield still, *[gr.skip()] * 5, kept, *column.news()
                for news in column.rest(*numbers, seed_, stop):
                    yield *[gr.skip()] * 7, *news
                yield markup.message(""), *[gr.skip()] * 6, *_nothing()
            finally:
                column.run.close()

        with self.answers.running.entered(request.session_hash) as stop:
            yield from seen(told(updates(), last=self.clear()), stop)

    def halt(self, request: gr.Request):
        """status, columns, recovery, answer, raw; a question that had not begun leaves nothing that waits"""
        status, *columns = self.answers.halt(request)
        running = columns[0] == gr.skip()
        return status, *columns, *(_nothing() if running else self.clear())

    def clear(self):
        """recovery, answer, raw; another photo, or a run that is played back, has no third column"""
        return self.prepare(False)


class Column:
    """What the third column shows while its run goes on."""

    def __init__(self, bench: Workbench, asked: Asked, recipe: Recipe, seed: int, cache: Path):
        self.run, self.asked, self.cache = Run(bench, asked.photo, recipe, seed), asked, cache
        self._source = asked.photo, asked.photo.stat().st_mtime_ns, recipe, seed, bench.joint.recovery.digest
        # Of a server, the same request may give another picture: what is shown belongs to this run.
        self._source = *map(str, self._source), uuid.uuid4().hex
        self._shown: str | None = None

    def news(self) -> tuple:
        """recovery, answer, raw; of each only what has changed"""
        state = self.run.state()
        drawn = recovery_panels.recovery(state, self._pictures(state))
        if drawn == self._shown:
            return _nothing()
        self._shown = drawn
        return drawn, gr.skip(), gr.skip()

    def rest(self, temperature, max_new_tokens, seed, stop) -> Iterator[tuple]:
        """recovery, answer, raw; until the recovery is there, then while the answer comes"""
        for _ in self.run.wait(stop):
            yield self.news()
        if self.run.recovered is None:
            yield gr.skip(), recovery_panels.nothing_to_answer(self.run.state()), ""
            return
        for side in self.run.answer(self.asked.question, temperature, max_new_tokens, seed, stop):
            yield gr.skip(), panels.recovered_column(side, self.asked.options, self.asked.correct), side["text"]

    def _pictures(self, state: dict) -> dict[str, str]:
        made = {"degraded": lambda: self.run.degraded}
        if self.run.clean is not None:
            made["clean"] = lambda: self.run.clean
        if state["image"]:
            made |= {"recovered": lambda: self.run.recovered, "changes": lambda: self.run.map}
        return {name: str(photos.save_once((*self._source, name), self.cache, make)) for name, make in made.items()}


def _nothing() -> tuple:
    return (gr.skip(),) * OUTPUTS
