"""The tab Annotate as endpoints. Names, parameters and answers are stable; `name` and `key` say who asks (access.py).

- `/annotate_batches` () -> a list of {`id`, `name`, `blind`, `items`, `waiting`}
- `/annotate_next`, `/annotate_undo` (batch), `/annotate_back` (batch, item) -> an *item* or null: `id`, `number`,
  `key`, `question`, `options`, `picture`, `clean` and `recovered` (addresses), `predicted` {type: intensity}, `chain`,
  `choice` (the index of the option that the chain's answer means, or null), `state`, `revision`, `verdict`, and unless
  the batch is blind `model`, `applied`, `answer`
- `/annotate_save` (item, verdict, revision), `/annotate_skip` (item, revision) -> {`revision`}; the verdict is JSON:
  `marks` {type: absent, weak, right or strong}, and optionally `intensities`, `missed` {type: intensity or null},
  `influence`, `reasoning`, `answer` (true or false), `correct_answer`, `comment`
- `/annotate_progress` (batch) -> the counts; `/annotate_figures` (batch) -> agreement, precision, recall, bias
- for operators: `/annotate_open` (file, source, title, blind, per_item, question, options) -> {`batch`, `items`,
  `refused`}; `/annotate_predict` (batch) -> a stream of {`done`, `count`}; `/annotate_export` (batch, format) -> a
  file; `/annotate_to_hub` (batch) -> {`repo`, `address`, `items`} of the dataset that it has become, whose account is
  up to the server or to the Space's login alone; `/annotate_import` (batch, file) -> {`added`, `same`, `differing`,
  `unknown`}
"""

from dataclasses import asdict
from functools import partial

import gradio as gr

from demo import api, settings
from demo.annotate import asking, figures
from demo.annotate.access import Visitor
from demo.annotate.batches import Wanted
from demo.annotate.desk import Task
from demo.annotate.publish import publish
from demo.annotate.service import Service
from demo.models import Pair


def register(service: Service, pair: Pair) -> None:
    """Add the endpoints to the Blocks being built; their components are never shown."""
    desk, who = service.desk, partial(asking.who, service)

    def annotate_batches(request: gr.Request, profile: gr.OAuthProfile | None, name, key):
        """The batches that can be annotated."""
        with api.told_to_the_caller():
            who(request, profile, name, key)
            return [asdict(batch) for batch in service.batches.listed()]

    def annotate_next(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """The next item of a batch for this annotator, or null where none is left."""
        with api.told_to_the_caller():
            return _item(service, desk.next(batch, who(request, profile, name, key).name))

    def annotate_undo(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """Take back this annotator's last save or skip; gives the item as it stands then."""
        with api.told_to_the_caller():
            return _item(service, desk.undo(batch, who(request, profile, name, key).name))

    def annotate_back(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, item):
        """The item that this annotator saved or skipped before another one."""
        with api.told_to_the_caller():
            return _item(service, desk.back(batch, who(request, profile, name, key).name, item))

    def annotate_save(request: gr.Request, profile: gr.OAuthProfile | None, name, key, item, verdict, revision):
        """Keep a verdict about an item; it is in the database for good when this returns."""
        with api.told_to_the_caller():
            return {"revision": desk.save(item, who(request, profile, name, key).name, verdict, revision)}

    def annotate_skip(request: gr.Request, profile: gr.OAuthProfile | None, name, key, item, revision):
        """Put an item aside without a verdict."""
        with api.told_to_the_caller():
            return {"revision": desk.skip(item, who(request, profile, name, key).name, revision)}

    def annotate_progress(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """How far this annotator, and the batch, have come."""
        with api.told_to_the_caller():
            return asdict(desk.progress(batch, who(request, profile, name, key).name))

    def annotate_figures(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """Agreement of the annotators and quality of the predictions."""
        with api.told_to_the_caller():
            return _figures(service, who(request, profile, name, key), batch)

    def annotate_open(
        request: gr.Request, profile: gr.OAuthProfile | None, name, key, file, source, title, blind, per_item, question,
        options,
    ):  # fmt: skip
        """Open a batch from a zip, or from a source: an address of a zip, a dataset of the Hub, or a name of the
        server's own."""
        with api.told_to_the_caller():
            options = tuple(line.strip() for line in (options or "").splitlines() if line.strip())
            wanted = Wanted(title, bool(blind), per_item, question or settings.ANNOTATE_QUESTION, options)
            visitor = who(request, profile, name, key)
            opened, _ = asking.open_batch(service, visitor, asking.uploads(file), source or "", wanted)
            refused = [[key, str(why)] for key, why in opened.refused]
            return {"batch": opened.batch, "items": opened.items, "refused": refused}

    def annotate_predict(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch):
        """Have the degradation-aware model predict the items that wait for it; streams how far it is."""
        with api.told_to_the_caller():
            for done, count in asking.predicting(service, who(request, profile, name, key), batch, pair):
                yield {"done": done, "count": count}

    def annotate_export(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, format):
        """A batch with its verdicts as a file: jsonl, csv or zip."""
        with api.told_to_the_caller():
            return str(asking.export_file(service, who(request, profile, name, key), batch, format))

    def annotate_to_hub(
        request: gr.Request, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, name, key, batch
    ):
        """Make a batch with its verdicts a dataset of the Hugging Face Hub; a new one is private."""
        with api.told_to_the_caller():
            account = asking.hub_account(service, who(request, profile, name, key), batch, profile, token)
            return publish(service.store, service.batches.pictures, batch, account)

    def annotate_import(request: gr.Request, profile: gr.OAuthProfile | None, name, key, batch, file):
        """Put the verdicts of an exported table into a batch; nothing that is there is overwritten."""
        with api.told_to_the_caller():
            return asdict(asking.import_file(service, who(request, profile, name, key), batch, asking.uploads(file)))

    with gr.Group(visible=False):
        name, key = gr.Textbox(label="name"), gr.Textbox(label="key")
        batch, item = gr.Number(precision=0, label="batch"), gr.Number(precision=0, label="item")
        revision, verdict = gr.Number(0, precision=0, label="revision"), gr.JSON(label="verdict")
        file, source, title = gr.File(label="file"), gr.Textbox(label="source"), gr.Textbox(label="title")
        blind, per_item = gr.Checkbox(True, label="blind"), gr.Number(1, precision=0, label="per_item")
        question, options = gr.Textbox(label="question"), gr.Textbox(label="options")
        format = gr.Textbox("jsonl", label="format")
        answer = gr.JSON(label="answer")

        def add(function, inputs, output=answer, **more):
            options = {"queue": True, "concurrency_limit": 4, **more}
            gr.Button().click(
                function, [name, key, *inputs], output, preprocess=False, api_name=function.__name__, **options
            )

        add(annotate_batches, [])
        for function in (annotate_next, annotate_undo, annotate_progress, annotate_figures):
            add(function, [batch])
        add(annotate_back, [batch, item])
        add(annotate_save, [item, verdict, revision])
        add(annotate_skip, [item, revision])
        add(annotate_open, [file, source, title, blind, per_item, question, options])
        add(annotate_predict, [batch], **asking.PREDICTING)
        add(annotate_export, [batch, format], gr.File(label="export"))
        add(annotate_to_hub, [batch], **asking.PUBLISHING)
        add(annotate_import, [batch, file])


def _item(service: Service, task: Task | None) -> dict | None:
    if task is None:
        return None
    # How an answer is read would tell models apart.
    hidden = {"by_index", *(("model", "applied", "answer", "key") if task.blind else ())}
    values = {name: value for name, value in vars(task).items() if name not in hidden} | {"choice": task.choice}
    values["predicted"] = dict(task.predicted)
    values["verdict"] = task.verdict.as_json() if task.verdict else None
    if not task.blind:
        values["applied"] = None if task.applied is None else dict(task.applied)
    return values | {
        name: asking.picture_address(service, getattr(task, name)) for name in ("picture", "clean", "recovered")
    }


def _figures(service: Service, visitor: Visitor, batch: int) -> dict:
    service.desk.progress(batch, visitor.name)  # refuses a batch that is not there
    judged = service.judged(batch)

    def told(one: figures.Quality) -> dict:
        return asdict(one) | {"precision": one.precision, "recall": one.recall}

    def groups(key) -> dict:
        return {name: told(figures.quality(own)) for name, own in figures.grouped(judged, key).items()}

    found = {
        "verdicts": len(judged),
        "agreement": figures.agreement(judged),
        "all": told(figures.quality(judged)),
        "by_type": {name: told(one) for name, one in figures.by_type(judged).items()},
        "by_annotator": groups(lambda one: one.annotator),
        "confusion": [[there, said, count] for (there, said), count in figures.confusion(judged).items()],
    }
    blind = next(one.blind for one in service.batches.listed() if one.id == batch)
    if visitor.operator or not blind:
        found["by_model"] = groups(lambda one: one.model)
    return found
