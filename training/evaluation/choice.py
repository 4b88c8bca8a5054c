"""Questions with options: accuracy, what degradation costs, and how often no option was named.

Absolute robustness is the accuracy on degraded pictures; relative robustness (R-Bench) the share of questions that were
answered rightly about the clean picture and in the same way about the degraded one.
"""

from string import ascii_uppercase

from training.evaluation.extraction import vlmevalkit_choice
from training.evaluation.resampling import Figures, Sums, ratio
from training.evaluation.rows import CLEAN
from training.evaluation.said import Said
from training.rewards import accuracy


def accuracy_of(state: str) -> str:
    """The name of the share of multiple-choice questions that were answered rightly."""
    return f"accuracy, {state}"


def drop_to(state: str) -> str:
    """The name of the accuracy on clean pictures less that on those of a state."""
    return f"drop from clean to {state}"


def relative_of(state: str) -> str:
    return f"relative robustness, {state}"


def none_named(state: str) -> str:
    return f"no option named, {state}"


def by_vlmevalkit(state: str) -> str:
    return f"accuracy by VLMEvalKit's rules, {state}"


def right(said: Said) -> float:
    """1 if the right option is named, else 0.

    By its index where that is known, not by its text: two options may differ in nothing but case (``RR``, ``Rr``).
    """
    if said.row["answer_index"] is None:
        return accuracy(said.answer, said.row["answer"], said.row["options"])
    return float(said.chosen == said.row["answer_index"])


def quantities(said: Said) -> dict[str, float]:
    row = said.row
    options = row["options"]
    if not options:
        return dict.fromkeys(("asked", "right", "none named", "right by VLMEvalKit", "paired", "kept"), 0)
    letter = ascii_uppercase[row["answer_index"]] if row["answer_index"] is not None else None
    clean = said.clean
    kept = clean is not None and right(clean) and said.chosen == clean.chosen
    return {
        "asked": 1,
        "right": right(said),
        "none named": said.chosen is None,
        "right by VLMEvalKit": vlmevalkit_choice(said.reply.text, options) == letter,
        "paired": clean is not None,
        "kept": bool(kept),
    }


def figures(sums: Sums, states: list[str]) -> Figures:
    """An answer that names no option is wrong."""
    damaged = [state for state in states if state != CLEAN]
    result = {accuracy_of(state): ratio(sums[state, "right"], sums[state, "asked"]) for state in states}
    if CLEAN in states:
        for state in damaged:
            result[drop_to(state)] = result[accuracy_of(CLEAN)] - result[accuracy_of(state)]
            result[relative_of(state)] = ratio(sums[state, "kept"], sums[state, "paired"])
    for name, quantity in ((none_named, "none named"), (by_vlmevalkit, "right by VLMEvalKit")):
        result |= {name(state): ratio(sums[state, quantity], sums[state, "asked"]) for state in states}
    return result
