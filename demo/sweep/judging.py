"""Whether an answer held, and from which strength on none does any more. Pure functions."""

import re
from collections.abc import Sequence

from demo.chain import read_answer
from demo.replies import Reply
from demo.texts import Text

GOOD = ("right", "same")
"""Verdicts of an answer that held."""


def judge(reply: Reply, clean: Reply | None, options: list[str], truth: str | None) -> str | None:
    """How an answer did, None where nothing can be said (yet).

    With a known truth: ``right`` or ``wrong``. Without: ``same`` or ``changed`` against the side's own answer about the
    clean picture. ``unread`` is an answer that means none of the options, or a chain that ended without one; ``failed``
    a model that failed.
    """
    if reply.error:
        return "failed"
    if not _whole(reply):
        return None
    answer, choice = reply.answer(options)
    if answer is None or (options and choice is None):
        return "unread"  # and two chains without an answer are not the same answer
    if truth is not None:
        return "right" if _means(answer, truth, bool(options)) else "wrong"
    if clean is None or not _whole(clean):
        return None
    before, _ = clean.answer(options)
    return "same" if _plain(before) == _plain(answer) else "changed"


def _whole(reply: Reply) -> bool:
    """Whether a reply ended by itself, so that others can be compared with it."""
    return bool(reply.done and not reply.error and reply.stats and reply.stats.stop_reason != "stopped")


def breaking_point(verdicts: Sequence[tuple[float, str | None]]) -> float | str | None:
    """From which intensity on an answer no longer holds.

    Args:
        verdicts: (intensity, verdict) of each step; several of one intensity are seeds, of which half must hold. A
            model that failed has said nothing, so such a step counts neither way.

    Returns:
        The least intensity that does not hold while nothing above it holds either; ``never`` if the highest one holds;
        None while a verdict is missing, or where nothing but failures stands in the way.
    """
    if not verdicts or any(verdict is None for _, verdict in verdicts):
        return None
    by_intensity: dict[float, list[bool]] = {}
    for intensity, verdict in verdicts:
        held = by_intensity.setdefault(intensity, [])
        held += [] if verdict == "failed" else [verdict in GOOD]
    point: float | str = "never"
    for intensity, held in sorted(by_intensity.items(), reverse=True):
        if not held:
            return None
        if 2 * sum(held) >= len(held):
            break
        point = intensity
    return point


def truth_among(truth: str, options: list[str]) -> str | None:
    """The right answer as it is compared: an option's text where there are options.

    Raises:
        ValueError: it is none of the options.
    """
    truth = (truth or "").strip()
    if not truth:
        return None
    if not options:
        return truth
    choice = read_answer(truth, options)
    if choice is None:
        raise ValueError(Text("sweep.bad-truth", truth=truth, options=", ".join(options)))
    return options[choice]


def _means(answer: str | None, truth: str, among_options: bool) -> bool:
    if among_options:
        return answer == truth
    return bool(re.search(rf"(?<!\w){re.escape(_plain(truth))}(?!\w)", _plain(answer)))


def _plain(text: str | None) -> str:
    return " ".join((text or "").casefold().split()).strip(" .!\"'")
