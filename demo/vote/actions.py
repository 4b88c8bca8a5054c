"""What the events of the tab Vote do: a visitor's choices in, updates of the page out."""

import logging
import time
from collections.abc import Iterator

import gradio as gr

from demo import markup, settings
from demo.annotate import asking
from demo.annotate.service import Service
from demo.api import check_question, upload_path
from demo.chain import question_with_options
from demo.compare.answering import read_options, read_sliders
from demo.texts import Text, reason
from demo.vote import panels
from demo.vote.figures import results
from demo.vote.voting import Question, Voting

log = logging.getLogger(__name__)

SOURCES = ("drawn", "mine")
"""Where a question comes from: an example under degradations that are drawn, or what is chosen on the tab Compare."""


class Actions:
    """One method an event. The order of the returned values is that of the outputs in tab.py."""

    def __init__(self, voting: Voting, service: Service):
        self.voting, self.service = voting, service

    def prepare(self):
        """status, ask, scene, ballot, answers, better, right, vote, said, revealed"""
        return (
            markup.message(Text("compare.queued")),
            gr.Button(interactive=False),
            panels.begin(),
            "",
            panels.answers(None),
            gr.Radio(value=None),
            gr.Radio(value=None),
            gr.Button(interactive=False),
            markup.message(""),
            "",
        )

    def ask(self, source, photo, question, options, seed, temperature, max_new_tokens, *sliders):
        """status, scene, ballot, answers, vote; as the models write nothing is shown of it: pace tells who it is"""

        def shown() -> Iterator[tuple]:
            if source == "mine":
                whole = question_with_options(check_question(question, options or ""), read_options(options))
                recipe = read_sliders(sliders)
                asked = self.voting.question(upload_path(photo), whole, recipe, seed, temperature, max_new_tokens)
            else:
                asked = self.voting.drawn()
            yield self._asked(asked)
            told = time.monotonic()
            for ballot in self.voting.asking(asked):
                if ballot:
                    ready = markup.message(Text("vote.ready"))
                    yield ready, gr.skip(), ballot.id, panels.answers(ballot), gr.Button(interactive=True)
                elif time.monotonic() - told > settings.UPDATE_S:  # so that whoever leaves frees the models
                    told = time.monotonic()
                    yield [gr.skip()] * 5

        try:
            yield from shown()
        except Exception as error:
            yield _told(error), *[gr.skip()] * 4

    def _asked(self, asked: Question) -> tuple:
        scene = panels.asked(self.voting.picture(asked), asked.whole)
        return markup.message(Text("compare.answering")), scene, *[gr.skip()] * 3

    def settle(self):
        """ask"""
        return gr.Button(interactive=True)

    def vote(self, ballot, better, right, voter):
        """said, vote, revealed, results; what is shown as saved is in the database"""
        try:
            if not better:
                raise ValueError(Text("vote.choose-better"))
            voted, counted = self.voting.vote(ballot, better, right, voter)
            message = markup.message(Text("vote.saved" if counted else "vote.double"), "good" if counted else "info")
            return message, gr.Button(interactive=False), panels.revealed(voted), self.results()
        except Exception as error:
            return _told(error), *[gr.skip()] * 3

    def results(self):
        """results"""
        return panels.results(results(self.voting.box.votes()))

    def export(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, format):
        """message, file"""
        try:
            self.service.access.operator(asking.who(self.service, request, profile, name, key))
            return markup.message(Text("vote.exported"), "good"), gr.File(self.voting.export(format), visible=True)
        except Exception as error:
            return _told(error), gr.skip()


def _told(error: Exception) -> str:
    """What is shown of an error: its own words where it is about the input; anything else is logged."""
    if isinstance(error, ValueError):
        return markup.message(reason(error), "bad")
    log.error("voting failed", exc_info=error)
    return markup.message(Text("vote.failed", kind=type(error).__name__), "bad")
