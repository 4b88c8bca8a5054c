"""The figures of a side: every family's quantities as columns, every family's figures from their sums.

A family is a module with ``quantities`` (an answer -> numbers) and ``figures`` (sums of these -> figures).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from training.evaluation import choice, length, naming, open_answers
from training.evaluation.resampling import Columns, Figures, Sums, sums_of
from training.evaluation.rows import CLEAN
from training.evaluation.said import Reply, Said

OF_ALL = (length.quantities, choice.quantities, open_answers.quantities)
OF_CHAINS = (naming.quantities, length.quantities_of_chain)
FAMILIES = (naming, length, choice, open_answers)
"""In the order of the tables."""


def columns(
    rows: Sequence[Mapping],
    replies: Mapping[str, Sequence[Reply]],
    chain: bool,
    by_index: bool = False,
    by_letter: bool = False,
) -> Columns:
    """What a side said about some pictures, as numbers.

    Args:
        replies: state -> a reply for each of the rows.
        chain: whether the side was asked for a chain; otherwise its text is its answer.
        by_index, by_letter: see `Said`.
    """
    result: Columns = {}
    labels = {"by_index": by_index, "by_letter": by_letter}
    known = zip(rows, replies.get(CLEAN, ()), strict=False)
    clean = [Said(row, CLEAN, reply, chain, **labels) for row, reply in known]
    for state, said in replies.items():
        found = []
        for place, (row, reply) in enumerate(zip(rows, said, strict=True)):
            one = Said(row, state, reply, chain, clean[place] if clean and state != CLEAN else None, **labels)
            numbers = {}
            for count in (*OF_ALL, *(OF_CHAINS if chain else ())):
                numbers |= count(one)
            found.append(numbers)
        for name in found[0]:
            result[state, name] = np.array([numbers[name] for numbers in found], float)
    return result


def states_in(sums: Mapping[tuple[str, str], object]) -> list[str]:
    return list(dict.fromkeys(state for state, _ in sums))


def figures_of(sums: Sums) -> Figures:
    """Every figure that these sums make."""
    states, result = states_in(sums), {}
    for family in FAMILIES:
        result |= family.figures(sums, states)
    return result


def figures(columns: Columns, weights: np.ndarray) -> Figures:
    """Every figure of a side, of all pictures and of each resample; NaN without a base."""
    return figures_of(sums_of(columns, weights))


def figures_by_type(columns: Columns, weights: np.ndarray) -> dict[str, Figures]:
    """F1, intensity error and bias of every degradation, over the states other than clean."""
    return naming.figures_by_type(sums_of(columns, weights), states_in(columns))
