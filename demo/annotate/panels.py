"""An item, what is asked about it, and how far one has come, as HTML. Pure; everything from outside is escaped.

The form is plain HTML: annotate.js reads it when a verdict is saved, and answers to the keys that it names.
"""

from html import escape

from degradations import COPIES, REGISTRY
from demo.annotate.desk import Progress, Task
from demo.annotate.verdict import MARKS, MOST_CHARACTERS, QUESTIONS, Verdict
from demo.chain import parse_chain
from demo.markup import chips, empty, message, number, paragraph, remark, stage_class, type_name
from demo.texts import Text, both, shown

KEYS = (
    ("↑ ↓", "annotate.keys-move"),
    ("1 2 3 4", "annotate.keys-mark"),
    ("V", "annotate.keys-value"),
    ("M", "annotate.keys-missed"),
    ("I R A", "annotate.keys-questions"),
    ("C", "annotate.keys-comment"),
    ("O", "annotate.keys-clean"),
    ("X", "annotate.keys-recovered"),
    ("+ − 0", "annotate.keys-zoom"),
    ("Enter", "annotate.keys-save"),
    ("S", "annotate.keys-skip"),
    ("U", "annotate.keys-undo"),
    ("B", "annotate.keys-back"),
)  # fmt: skip


def begin() -> str:
    """What stands in the place of a picture before one has started."""
    return f'<div class="begin">{empty(Text("annotate.begin"), Text("annotate.begin-more"))}</div>'


def nothing(waiting: int) -> str:
    """The same where no picture is left: so many still wait for a prediction."""
    if waiting:
        return empty(Text("annotate.waiting"), Text("annotate.waiting-more", count=waiting))
    return empty(Text("annotate.done"), Text("annotate.done-more"))


def viewer(task: Task, picture: str, clean: str | None, recovered: str | None = None) -> str:
    """The picture, to be enlarged, moved, and held against the clean and the recovered one, where there are some.

    All three are addresses as a browser asks for them.
    """
    name = Text("annotate.picture", number=task.number + 1)
    others = {"clean": clean, "recovered": recovered}
    beside = "".join(
        f'<img class="other {kind}" src="{escape(address)}" alt="" draggable="false">'
        f'<span class="label of-{kind}">{shown(f"annotate.other-{kind}")}</span>'
        for kind, address in others.items()
        if address
    )
    tools = [("out", "−"), ("fit", "1:1"), ("in", "+")]
    buttons = "".join(
        f'<button type="button" data-zoom="{act}"><span aria-hidden="true">{sign}</span>'
        f'<span class="visually-hidden">{shown(f"annotate.zoom-{act}")}</span></button>'
        for act, sign in tools
    )
    buttons += "".join(
        f'<button type="button" data-other="{kind}" aria-pressed="false">{shown(f"annotate.show-{kind}")}</button>'
        for kind, address in others.items()
        if address
    )
    return (
        '<div class="viewer" tabindex="0" role="group" aria-labelledby="viewer-name">'
        f'<span class="visually-hidden" id="viewer-name">{both(name)}</span><div class="canvas">'
        f'<img class="degraded" src="{escape(picture)}" alt="" draggable="false">'
        f'{beside}</div></div><div class="viewer-tools">{buttons}</div>{_known(task)}'
    )


def unseen(why: Text | str) -> str:
    """What stands in the place of a picture that cannot be shown."""
    return f'<div class="viewer" tabindex="0">{empty(Text("annotate.unseen"), why)}</div>'


def form(task: Task) -> str:
    """What is asked about an item, with what this annotator has said; untouched, it says that all is right."""
    said = task.verdict or Verdict(marks=dict.fromkeys(task.predicted, "right"))
    types = "".join(_type(name, value, said) for name, value in task.predicted.items())
    none = "" if types else f'<p class="remark">{shown("annotate.none-predicted")}</p>'
    return (
        f'<form id="verdict" data-item="{task.id}" data-revision="{task.revision}">'
        f'<p class="asked">{escape(task.question)}{_options(task)}</p>'
        f"<h3>{shown('annotate.predicted')}</h3>{none}{types}"
        f'<h3 id="missed-title">{shown("annotate.missed")}</h3>{_missed(task, said)}'
        f"<h3>{shown('annotate.chain')}</h3>{_chain(task, said)}"
        f'<label class="comment"><span>{shown("annotate.comment")}</span>'
        f'<textarea name="comment" rows="1" maxlength="{MOST_CHARACTERS}">{escape(said.comment)}</textarea>'
        "</label></form>"
    )


def progress(name: str, done: Progress) -> str:
    """How far the annotator is, and how far the batch."""
    mine, batch = done.saved + done.skipped, done.saved + done.skipped + done.left
    share = mine / batch if batch else 1.0
    waiting = done.items - done.predicted
    more = f" · {shown('annotate.progress-waiting', count=waiting)}" if waiting else ""
    return (
        f'<div class="so-far"><p><b>{escape(name)}</b> '
        f"{shown('annotate.progress', saved=done.saved, skipped=done.skipped, left=done.left)} · "
        f"{shown('annotate.progress-batch', finished=done.finished, items=done.items)}{more}</p>"
        f'<span class="bar" aria-hidden="true" style="--level:{share:.1%}"></span></div>'
    )


def at_hub(repo: str, address: str) -> str:
    """Where a batch is that was exported to the Hub."""
    link = f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(repo)}</a>'
    return message(Text("annotate.to-hub-done"), "good") + f'<p class="message">{link}</p>'


def keys() -> str:
    """The keys, for those who do not know them yet."""
    rows = "".join(f"<div><dt><kbd>{escape(key)}</kbd></dt><dd>{shown(text)}</dd></div>" for key, text in KEYS)
    return f'<dl class="keys">{rows}</dl>'


def _known(task: Task) -> str:
    """Truth and model, unless the batch is blind."""
    if task.blind:
        return f'<p class="remark">{shown("annotate.is-blind")}</p>'
    facts = [("annotate.model", escape(task.model or "–"))]
    if task.applied is not None:
        facts.append(("annotate.applied", chips(dict(task.applied)) if task.applied else shown("annotate.nothing")))
    if task.answer:
        facts.append(("annotate.truth", escape(task.answer)))
    facts.append(("annotate.file", escape(task.key)))
    rows = "".join(f"<div><dt>{shown(key)}</dt><dd>{value}</dd></div>" for key, value in facts)
    return f'<dl class="known">{rows}</dl>'


def _options(task: Task) -> str:
    return f'<span class="options">{escape(" · ".join(task.options))}</span>' if task.options else ""


def _type(name: str, predicted: float, said: Verdict) -> str:
    choices = "".join(
        f'<label><input type="radio" name="mark {escape(name)}" value="{mark}"'
        f"{' checked' if said.marks.get(name) == mark else ''}><span><kbd>{key}</kbd>{shown(f'annotate.mark-{mark}')}"
        f"</span></label>"
        for key, mark in enumerate(MARKS, 1)
    )
    own = said.intensities.get(name)
    return (
        f'<fieldset class="type {stage_class(name)}" data-type="{escape(name)}" data-predicted="{predicted}">'
        f'<legend><span class="name">{type_name(name)}</span><b>{number(predicted)}</b>'
        f'<span class="level" aria-hidden="true" style="--level:{predicted:.0%}"></span></legend>'
        f'<div class="marks">{choices}</div>{_value(name, own)}</fieldset>'
    )


def _value(name: str, value: float | None) -> str:
    text = "" if value is None else f"{value:g}"
    return (
        f'<label class="own"><span>{shown("annotate.own-value")}</span>'
        f'<input type="number" name="value {escape(name)}" '
        f'min="0.01" max="1" step="0.01" inputmode="decimal" value="{text}"></label>'
    )


def _missed(task: Task, said: Verdict) -> str:
    rows = []
    for name in REGISTRY:
        if name not in task.predicted:
            here = name in said.missed
            rows.append(
                f'<div class="miss {stage_class(name)}"><label><input type="checkbox" name="missed" '
                f'value="{escape(name)}"{" checked" if here else ""}><span>{type_name(name)}</span></label>'
                f"{_value(name, said.missed.get(name))}</div>"
            )
    hint = Text("annotate.missed-hint", strengths=" / ".join(f"{value:g}" for value in COPIES.values()))
    group = f'<div class="misses" role="group" aria-labelledby="missed-title">{"".join(rows)}</div>'
    return group + remark(hint)


def _chain(task: Task, said: Verdict) -> str:
    chain = parse_chain(task.chain)
    parts = []
    for key, name in zip("IRA", QUESTIONS, strict=True):
        text = getattr(chain, name)
        if name == "reasoning" and chain.conclusion:
            text += f"\n{chain.conclusion}"
        value = getattr(said, name)
        if task.verdict is None and text.strip():
            value = _is_true(chain.answer, task) if name == "answer" and task.answer else True
        choices = "".join(
            f'<label><input type="radio" name="{name}" value="{code}"{" checked" if value is meaning else ""}>'
            f"<span>{shown(f'annotate.said-{name}-{code}')}</span></label>"
            for code, meaning in (("yes", True), ("no", False), ("open", None))
        )
        body = paragraph(text) or f'<p class="remark">{shown("annotate.unsaid")}</p>'
        if name == "answer" and task.choice is not None and task.options[task.choice] != text.strip():
            body += remark(Text("annotate.means", option=task.options[task.choice]))
        right = _correct(task, said) if name == "answer" else ""
        parts.append(
            f'<fieldset class="said-by-model" data-question="{name}"><legend><kbd>{key}</kbd> '
            f'{shown(f"annotate.about-{name}")}</legend>{body}<div class="marks">{choices}</div>{right}</fieldset>'
        )
    whole = ""
    if not chain.complete:
        whole = (
            f'<details class="raw-chain"><summary>{shown("annotate.whole")}</summary>{paragraph(task.chain)}</details>'
        )
    return "".join(parts) + whole


def _is_true(answer: str, task: Task) -> bool:
    """Whether an answer is the known right one."""
    if task.answer in task.options:
        return task.choice == task.options.index(task.answer)
    return answer.strip().lower() == task.answer.strip().lower()


def _correct(task: Task, said: Verdict) -> str:
    options = "".join(f'<option value="{escape(option)}"></option>' for option in task.options)
    return (
        f'<label class="own correct"><span>{shown("annotate.correct-answer")}</span><input type="text" '
        f'name="correct_answer" list="options-of-item" maxlength="{MOST_CHARACTERS}" autocomplete="off" '
        f'value="{escape(said.correct_answer)}"></label><datalist id="options-of-item">{options}</datalist>'
    )
