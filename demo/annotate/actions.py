"""What the tab's events do: an annotator's input in, updates of the page out."""

import json
import logging
from collections.abc import Callable
from functools import partial

import gradio as gr

from demo import markup
from demo.annotate import asking, panels, plots
from demo.annotate.access import Visitor
from demo.annotate.batches import Wanted
from demo.annotate.desk import ConflictError, Task
from demo.annotate.publish import publish
from demo.annotate.service import Service, batch_name
from demo.models import Pair
from demo.recovery.joint import Joint
from demo.texts import Text, reason

log = logging.getLogger(__name__)


class Actions:
    """One method an event. The order of the returned values is that of the outputs in tab.py.

    Nothing here raises: where an event fails, Gradio would write over what the annotator has just said.
    """

    def __init__(self, service: Service, pair: Pair, joint: Joint | None = None):
        self.service, self.pair, self.joint = service, pair, joint
        self.who = partial(asking.who, service)

    # Judging; each gives viewer, form, progress, status

    def enter(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """desk"""
        return self._at_desk(request, profile, name, key, batch, self.service.desk.next)

    def choose(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, said):
        """desk; who is judging goes on with the batch that they choose, nobody begins by choosing one"""
        if "item" not in _read(said):
            return [gr.skip()] * 4
        return self.enter(request, profile, name, key, batch)

    def save(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, said):
        """desk; what is shown as saved is in the database"""
        return self._settle(request, profile, name, key, batch, said, "annotate.saved")

    def skip(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, said):
        """desk"""
        return self._settle(request, profile, name, key, batch, said, "annotate.skipped")

    def undo(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """desk"""
        desk = self.service.desk
        return self._at_desk(
            request, profile, name, key, batch, desk.undo, "annotate.undone", "annotate.nothing-to-undo"
        )

    def back(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, said):
        """desk"""
        here = _read(said)
        back = lambda number, who: self.service.desk.back(number, who, here.get("item"))  # noqa: E731
        return self._at_desk(request, profile, name, key, batch, back, "annotate.went-back", "annotate.nothing-before")

    def _at_desk(self, request, profile, name, key, batch, move: Callable, done: str = "", none: str = ""):
        try:
            visitor = self.who(request, profile, name, key)
            task = move(_number(batch), visitor.name)
            if task is None and none:
                return gr.skip(), gr.skip(), self._progress(visitor, batch), markup.message(Text(none))
            message = Text(done, number=task.number + 1) if done and task else ""
            return *self._item(visitor, batch, task), self._progress(visitor, batch), markup.message(message)
        except Exception as error:
            return gr.skip(), gr.skip(), gr.skip(), _told(error)

    def _settle(self, request, profile, name, key, batch, said, done: str):
        try:
            visitor, said, desk = self.who(request, profile, name, key), _read(said), self.service.desk
            item, revision = said.get("item"), said.get("revision")
            if item is None:
                raise ValueError(Text("annotate.not-begun"))
            try:
                if done == "annotate.saved":
                    desk.save(item, visitor.name, said.get("verdict"), revision)
                else:
                    desk.skip(item, visitor.name, revision)
            except ConflictError as error:
                return *self._item(visitor, batch, desk.task(item, visitor.name)), gr.skip(), _told(error)
            message = markup.message(Text(done, number=desk.task(item, visitor.name).number + 1), "good")
        except Exception as error:
            return gr.skip(), gr.skip(), gr.skip(), _told(error)
        try:
            task = desk.next(_number(batch), visitor.name)
            return *self._item(visitor, batch, task), self._progress(visitor, batch), message
        except Exception as error:  # what is saved is saved, whatever comes after it
            return gr.skip(), gr.skip(), gr.skip(), message + _told(error)

    def _item(self, visitor: Visitor, batch, task: Task | None) -> tuple[str, str]:
        """viewer, form"""
        if task is not None:
            try:
                shown = [
                    asking.picture_address(self.service, one) for one in (task.picture, task.clean, task.recovered)
                ]
            except ValueError as error:  # it can still be skipped
                return panels.unseen(reason(error)), panels.form(task)
            return panels.viewer(task, *shown), panels.form(task)
        done = self.service.desk.progress(_number(batch), visitor.name)
        return panels.nothing(done.items - done.predicted), ""

    def _progress(self, visitor: Visitor, batch) -> str:
        return panels.progress(visitor.name, self.service.desk.progress(_number(batch), visitor.name))

    def figures(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """figures"""
        try:
            visitor = self.who(request, profile, name, key)
            self.service.desk.progress(_number(batch), visitor.name)
            blind = next(one.blind for one in self.service.batches.listed() if one.id == _number(batch))
            return plots.drawn(self.service.judged(_number(batch)), revealed=visitor.operator or not blind)
        except Exception as error:
            return _told(error)

    # Batches

    def listed(self, batch):
        """batch; the newest where none is chosen"""
        return gr.Dropdown(**self.choices(batch))

    def choices(self, chosen: object = None) -> dict:
        """What the list of batches shows."""
        batches = self.service.batches.listed()
        known = [batch.id for batch in batches]
        value = chosen if chosen in known else next(iter(known), None)
        return {"choices": [(f"{batch.name} ({batch.items})", batch.id) for batch in batches], "value": value}

    def open(
        self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, files, source, named, title, blind,
        per_item, question, options,
    ):  # fmt: skip
        """operating, batch"""
        try:
            visitor = self.who(request, profile, name, key)
            options = tuple(line.strip() for line in (options or "").splitlines() if line.strip())
            wanted = Wanted(str(title or "").strip(), bool(blind), per_item, str(question or ""), options)
            opened, _ = asking.open_batch(self.service, visitor, asking.uploads(files), source or named or "", wanted)
            text = Text("annotate.opened", name=wanted.name, count=opened.items)
            if opened.refused:
                first, why = opened.refused[0]
                text = Text("annotate.opened-but", name=wanted.name, count=opened.items, refused=len(opened.refused),
                            first=first, reason=why)  # fmt: skip
            return markup.message(text, "good"), gr.Dropdown(**self.choices(opened.batch))
        except Exception as error:
            return _told(error), gr.skip()

    def predict(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, recover):
        """operating; as the model goes on"""
        try:
            visitor = self.who(request, profile, name, key)
            done = count = 0
            joint = self.joint if recover else None
            for done, count in asking.predicting(self.service, visitor, _number(batch), self.pair, joint):
                yield markup.message(Text("annotate.predicting", done=done, count=count))
            said = "annotate.predicted-all" if count else "annotate.nothing-to-predict"
            yield markup.message(Text(said, count=done), "good")
        except Exception as error:
            yield _told(error)

    def stopped(self):
        """operating"""
        return markup.message(Text("annotate.stopped"))

    def export(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, format):
        """operating, file"""
        try:
            visitor = self.who(request, profile, name, key)
            path = asking.export_file(self.service, visitor, _number(batch), format)
            return markup.message(Text("annotate.exported"), "good"), gr.File(str(path), visible=True)
        except Exception as error:
            return _told(error), gr.skip()

    def to_hub(
        self, request: gr.Request, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, name, key, batch
    ):
        """operating; first where it goes"""
        try:
            visitor = self.who(request, profile, name, key)
            account = asking.hub_account(self.service, visitor, _number(batch), profile, token)
            repo = account.repo(batch_name(self.service, batch))
            yield markup.message(Text("annotate.to-hub-going", repo=repo))
            found = publish(self.service.store, self.service.batches.pictures, batch, account)
            yield panels.at_hub(found["repo"], found["address"])
        except Exception as error:
            yield _told(error)

    def take(self, request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, file):
        """operating"""
        try:
            visitor = self.who(request, profile, name, key)
            found = asking.import_file(self.service, visitor, _number(batch), asking.uploads(file))
            values = {"added": found.added, "same": found.same, "differing": len(found.differing)}
            return markup.message(Text("annotate.imported", **values, unknown=len(found.unknown)), "good")
        except Exception as error:
            return _told(error)

    def pushed(self):
        """push"""
        pushing = self.service.pushing
        if failed := self.service.not_pushed:
            return markup.message(Text("annotate.push-never", repo=failed[0], cause=failed[1]), "bad")
        if pushing is None:
            return markup.remark(Text("annotate.push-off"))
        when = pushing.last_success and f"{pushing.last_success:%Y-%m-%d %H:%M} UTC"
        if pushing.last_error:
            values = {"repo": pushing.repo_id, "cause": pushing.last_error}
            return markup.message(Text("annotate.push-failed", **values, when=when or "–"), "bad")
        return markup.remark(
            Text("annotate.push-done" if when else "annotate.push-first", repo=pushing.repo_id, when=when)
        )


def _told(error: Exception) -> str:
    """What is shown of an error: its own words where it is about the input; anything else is logged."""
    if isinstance(error, ValueError):
        return markup.message(reason(error), "bad")
    log.error("annotating failed", exc_info=error)
    return markup.message(Text("annotate.failed", kind=type(error).__name__), "bad")


def _number(batch: object) -> int:
    if type(batch) is not int:
        raise ValueError(Text("annotate.choose-batch"))
    return batch


def _read(said: object) -> dict:
    """What annotate.js collects."""
    try:
        read = json.loads(said) if isinstance(said, str) else None
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {}
