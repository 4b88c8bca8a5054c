"""A recovery to HTML: its progress, the pictures side by side, its figures. Pure; what comes from outside is escaped.

A *state* is what `state_of` makes of an attempt, as `/recover` sends it, too.
"""

from collections.abc import Mapping
from html import escape
from math import inf, isinf
from urllib.parse import quote

from PIL import Image

from demo import settings
from demo.markup import empty, message, remark
from demo.recovery.attempt import STOPPED, Attempt
from demo.recovery.encoders import Encoder
from demo.recovery.measures import changes, measure
from demo.texts import Text, both, shown

MEASURES = {"psnr": (0, inf), "ssim": (-1, 1), "semantic": (-1, 1)}
"""With the least and the most that each can be."""
PICTURES = ("degraded", "recovered", "clean", "changes")


def state_of(attempt: Attempt | None, clean: Image.Image | None = None, encoder: Encoder | None = None) -> dict:
    """Where an attempt stands, as JSON can hold it.

    Args:
        clean: the picture before it was degraded, where it is known and something was done to it.
        encoder: measures semantic similarity.

    Returns:
        ``progress`` in [0, 1], ``seconds``, ``done``, ``error`` (None, or why there is no picture), ``unchanged``;
        once there is a picture also ``before`` and ``after`` (``psnr`` in dB, None where the pictures are the same;
        ``ssim``, ``semantic``; both None where the clean picture is not known), ``encoder``, ``share`` (of the pixels
        that changed noticeably).
    """
    if attempt is None:
        return {"progress": 0.0, "seconds": 0.0, "done": False, "error": None, "unchanged": False, "image": False}
    state = {
        "progress": round(attempt.progress, 3),
        "seconds": round(attempt.seconds, 2),
        "done": attempt.done,
        "error": attempt.error,
        "unchanged": attempt.unchanged,
        "image": attempt.image is not None,
    }
    if attempt.image is None:
        return state
    state["share"] = round(changes(attempt.before, attempt.image).share, 4)
    state["before"] = state["after"] = state["encoder"] = None
    if clean is not None:
        state["before"], state["after"] = (
            _as_json(measure(image, clean, encoder)) for image in (attempt.before, attempt.image)
        )
        state["encoder"] = encoder.name if encoder else None
    return state


def _as_json(quality) -> dict[str, float | None]:
    told = {name: getattr(quality, name) for name in MEASURES}
    # Infinity is no JSON.
    return {name: None if value is None or isinf(value) else round(value, 4) for name, value in told.items()}


def recovery(state: Mapping | None, pictures: Mapping[str, str] = {}) -> str:
    """Everything that is shown of a recovery.

    Args:
        state: None before anything is asked.
        pictures: paths in Gradio's upload folder, by the names in `PICTURES`; of what there is.
    """
    if state is None:
        return empty(Text("recovery.empty"), Text("recovery.empty-more"))
    if not state["done"]:
        return f'<div class="recovery">{_progress(state)}{_pictures(pictures)}</div>'
    if state["error"]:
        if was_stopped(state):
            return f'<div class="recovery">{message(Text("recovery.halted"))}{_pictures(pictures)}</div>'
        failed = f'<p class="failure" role="alert"><b>{shown("recovery.failed")}</b> {both(state["error"])}</p>'
        return f'<div class="recovery">{failed}{_pictures(pictures)}</div>'
    said = [message(Text("recovery.took", seconds=f"{state['seconds']:.1f}"))]
    if state["unchanged"]:
        said.append(message(Text("recovery.unchanged")))
    else:
        said.append(f'<p class="warning">{shown("recovery.warning")} {_share(state["share"])}</p>')
    return f'<div class="recovery">{_pictures(pictures)}{"".join(said)}{_figures(state)}</div>'


def nothing_to_answer(state: Mapping) -> str:
    """What stands in the place of an answer where there is no recovered picture."""
    return empty(no_picture(state), Text("recovery.no-answer"))


def no_picture(state: Mapping) -> Text:
    """That there is no recovered picture, by a failure or by somebody's will."""
    return Text("recovery.halted" if was_stopped(state) else "recovery.failed")


def was_stopped(state: Mapping) -> bool:
    """Whether somebody ended it: that is no failure."""
    return state["error"] == STOPPED


def _share(share: float) -> str:
    return shown("recovery.share", share=f"{100 * share:.0f}")


def _progress(state: Mapping) -> str:
    done = round(100 * state["progress"])
    if not state["seconds"]:
        words = Text("recovery.waiting")
    else:
        slow = state["seconds"] > settings.RECOVERY_SLOW_S
        name = "recovery.under-way-slow" if slow else "recovery.under-way"
        words = Text(name, done=done, seconds=f"{state['seconds']:.0f}")
    return (
        f'<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{done}" '
        f'aria-labelledby="recovery-progress"><span style="--level:{done}%"></span></div>'
        f'<p class="message" id="recovery-progress">{both(words)}</p>'
    )


def _pictures(pictures: Mapping[str, str]) -> str:
    figures = "".join(
        f'<figure class="{name}"><img src="gradio_api/file={quote(pictures[name])}" alt="">'
        f"<figcaption>{shown(f'recovery.picture-{name}')}</figcaption></figure>"
        for name in PICTURES
        if name in pictures
    )
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _figures(state: Mapping) -> str:
    """The measures before and after, losses included."""
    if state["before"] is None:
        return remark(Text("recovery.nothing-degraded"))
    rows = "".join(_row(name, state["before"][name], state["after"][name]) for name in MEASURES)
    head = "".join(
        f'<th scope="col" class="number">{shown(f"recovery.when-{name}")}</th>' for name in ("before", "after", "gain")
    )
    named = f'<p class="remark">{shown("recovery.encoder", name=state["encoder"])}</p>' if state["encoder"] else ""
    return (
        f'<table class="facts"><thead><tr><th scope="col">{shown("recovery.measure")}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{named}"
    )


def _row(name: str, before: float | None, after: float | None) -> str:
    if name != "psnr" and (before is None or after is None):
        return ""
    digits = 1 if name == "psnr" else 3
    # A PSNR that cannot be said is that of equal pictures.
    told = ["∞" if value is None else f"{value:.{digits}f}" for value in (before, after)]
    gain, kind = "–", ""
    if before is not None and after is not None:
        gain, kind = f"{after - before:+.{digits}f}", "good" if after >= before else "bad"
    cells = "".join(f'<td class="number">{value}</td>' for value in told)
    return (
        f'<tr><th scope="row">{shown(f"recovery.of-{name}")}</th>{cells}'
        f'<td class="number gain {kind}">{escape(gain)}</td></tr>'
    )
