"""The figures of an evaluation, each with its 95 % bootstrap interval; pure functions, no model.

What a side said is turned into columns: one number a picture (hits, tokens, right or wrong). Every figure follows from
sums of columns over pictures, so a resample is one row of weights and all resamples are one matrix product. Two sides
on the same pictures share the weights: the intervals of their differences are paired. What is resampled is photos, as
several questions are about each.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from degradations import COPIES, REGISTRY, Recipe, compare
from demo.chain import parse_chain, read_answer
from training.rewards import accuracy, complete, r_deg

RESAMPLES = 2000
SEED = 0
COVERED = (2.5, 97.5)
"""Percentiles that an interval reaches from and to."""

MILD, HEAVY = 0.7, 1.8
"""Total intensities up to which a picture is mildly degraded (above 0), and from which heavily."""

CLEAN, DEGRADED = "clean", "degraded"
STATES = {copy: f"{copy} %" for copy in COPIES}
"""Key of a sample's ``copies`` -> what the state is called."""


@dataclass(frozen=True)
class Reply:
    """What a side said about a picture, and how many tokens that is."""

    text: str
    tokens: int


# --- resampling ---


@dataclass(frozen=True)
class Figure:
    """A figure with the interval that 95 % of the resamples lie in; None where there is nothing to measure."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, resampled: np.ndarray) -> "Figure":
        """Args: resampled: the figure of all pictures, followed by those of the resamples; NaN where it has none."""
        value, others = float(resampled[0]), resampled[1:]
        others = others[~np.isnan(others)]
        if math.isnan(value) or not len(others):
            return cls(None if math.isnan(value) else value, None, None)
        low, high = np.percentile(others, COVERED)
        return cls(value, float(low), float(high))

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        return (
            _number(self.value)
            if self.low is None
            else f"{_number(self.value)} [{_number(self.low)}, {_number(self.high)}]"
        )


def weights(photos: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """How often each picture counts: once in the first row; in the others as often as its photo was drawn.

    Photos are drawn with replacement, each with all pictures that were made of it: questions about one photo are no
    independent cases.

    Args:
        photos: the photo of each picture.

    Returns:
        float64 (1 + resamples, pictures).
    """
    number = {photo: place for place, photo in enumerate(dict.fromkeys(photos))}
    drawn = np.random.default_rng(seed).multinomial(len(number), np.full(len(number), 1 / len(number)), resamples)
    return np.vstack([np.ones(len(photos)), drawn[:, [number[photo] for photo in photos]]])


def photo_of(row: Mapping) -> str | int:
    """The photo that a sample is about: its own, or in a composed scene the cut-out that is asked for."""
    made_of = row["made_of"]
    if not made_of:
        return row["id"]
    return made_of[1] if row["kind"] in COMPOSED else made_of[0]


COMPOSED = ("which", "count", "where")
"""Kinds of samples that are made of a background and cut-outs, the one that is asked about first."""


# --- columns ---

Columns = dict[tuple[str, str], np.ndarray]
"""(state, quantity) -> float64 (pictures,), or (pictures, types) for the quantities of `compare`."""


def states_of(rows: Sequence[Mapping]) -> list[str]:
    """The states that every one of these samples has a picture of: clean and degraded, or clean and the strengths."""
    return [state for state in _pictures(rows[0]) if all(state in _pictures(row) for row in rows)]


def picture_of(row: Mapping, state: str) -> str:
    """The path of a sample's picture in a state."""
    return _pictures(row)[state]


def _pictures(row: Mapping) -> dict[str, str]:
    clean = {CLEAN: row["clean"]} if row["clean"] else {}  # samples taken as they are may have none
    if "copies" in row:
        return clean | {STATES[copy]: row["copies"][copy] for copy in COPIES}
    return clean | {DEGRADED: row["image"]}


def applied(row: Mapping, state: str) -> Recipe:
    """What was done to the picture of a state."""
    if state == CLEAN:
        return Recipe()
    recipe = Recipe.parse(row["recipe"])
    if state == DEGRADED:
        return recipe
    strength = next(COPIES[copy] for copy, name in STATES.items() if name == state)
    return Recipe(dict.fromkeys(recipe, strength))


def columns(rows: Sequence[Mapping], replies: Mapping[str, Sequence[Reply]], chain: bool) -> Columns:
    """What a side said about some pictures, as numbers.

    Args:
        replies: state -> a reply for each of the rows.
        chain: whether the side was asked for a chain; otherwise its text is its answer.
    """
    result: Columns = {}
    for state, said in replies.items():
        found = [_quantities(row, state, reply, chain) for row, reply in zip(rows, said, strict=True)]
        for name in found[0]:
            result[state, name] = np.array([one[name] for one in found], float)
    return result


def _quantities(row: Mapping, state: str, reply: Reply, chain: bool) -> dict[str, float | list[float]]:
    options = row["options"]
    parsed = parse_chain(reply.text) if chain else None
    answer = parsed.answer if chain else reply.text
    result = {
        "pictures": 1,
        "tokens": reply.tokens,
        "asked": bool(options),
        "right": accuracy(answer, row["answer"], options) if options else 0,
        "none named": read_answer(answer, options) is None if options else 0,
    }
    if not chain:
        return result
    recipe = applied(row, state)
    compared, total = compare(recipe, parsed.recipe), recipe.total
    mild, heavy = 0 < total <= MILD, total >= HEAVY
    return result | {
        "complete": complete(reply.text),
        "r_deg": r_deg(recipe, parsed.recipe),
        "hits": [name in compared.hits for name in REGISTRY],
        "misses": [name in compared.misses for name in REGISTRY],
        "inventions": [name in compared.inventions for name in REGISTRY],
        "error": [abs(np.subtract(*compared.hits.get(name, (0, 0)))) for name in REGISTRY],
        **_moments("totals", total, parsed.recipe.total),
        **_moments("lengths", total, reply.tokens),
        "mild": mild,
        "mild tokens": mild * reply.tokens,
        "heavy": heavy,
        "heavy tokens": heavy * reply.tokens,
    }


def _moments(name: str, x: float, y: float) -> dict[str, float]:
    return {f"{name} {moment}": value for moment, value in zip(MOMENTS, (x, y, x * x, y * y, x * y), strict=True)}


MOMENTS = ("x", "y", "xx", "yy", "xy")


# --- figures ---


def accuracy_of(state: str) -> str:
    """The name of the share of multiple-choice questions that were answered rightly."""
    return f"accuracy, {state}"


def drop_to(state: str) -> str:
    """The name of the accuracy on clean pictures less that on those of a state."""
    return f"drop from clean to {state}"


CHAINS_COMPLETE = "chains complete"
F1, PRECISION, RECALL = "types F1", "types precision", "types recall"
ERROR = "intensity error"
TOTALS = "correlation of true and predicted total intensity"
R_DEG = "r_deg"
INVENTIONS = "inventions per clean picture"
TOKENS, MILD_TOKENS, HEAVY_TOKENS = "tokens", f"tokens, mildly degraded (≤ {MILD})", f"tokens, heavily (≥ {HEAVY})"
GROWTH = "tokens, heavily less mildly degraded"
LENGTHS = "correlation of tokens with total intensity"


def figures(columns: Columns, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every figure of a side, of all pictures and of each resample: name -> (1 + resamples,), NaN without a base.

    Types, intensities, r_deg and tokens are those of the states other than clean together; chains are complete on all.
    An answer that names no option is wrong.
    """
    sums = {key: weights @ column for key, column in columns.items()}
    states = list(dict.fromkeys(state for state, _ in columns))
    damaged = [state for state in states if state != CLEAN]

    def total(quantity: str, of: Iterable[str] = damaged) -> np.ndarray:
        return sum(sums[state, quantity] for state in of)

    result = {}
    if damaged and (damaged[0], "complete") in columns:
        hits, misses, inventions = (total(name).sum(-1) for name in ("hits", "misses", "inventions"))
        result |= {
            CHAINS_COMPLETE: ratio(total("complete", states), total("pictures", states)),
            F1: ratio(2 * hits, 2 * hits + misses + inventions),
            PRECISION: ratio(hits, hits + inventions),
            RECALL: ratio(hits, hits + misses),
            ERROR: ratio(total("error").sum(-1), hits),
            TOTALS: _correlation(total("pictures"), *(total(f"totals {moment}") for moment in MOMENTS)),
            R_DEG: ratio(total("r_deg"), total("pictures")),
        }
        if CLEAN in states:
            result[INVENTIONS] = ratio(sums[CLEAN, "inventions"].sum(-1), sums[CLEAN, "pictures"])
        mild, heavy = (ratio(total(f"{name} tokens"), total(name)) for name in ("mild", "heavy"))
        result |= {MILD_TOKENS: mild, HEAVY_TOKENS: heavy, GROWTH: heavy - mild}
        result[LENGTHS] = _correlation(total("pictures"), *(total(f"lengths {moment}") for moment in MOMENTS))
    if damaged:
        result[TOKENS] = ratio(total("tokens"), total("pictures"))
    for state in states:
        result[accuracy_of(state)] = ratio(sums[state, "right"], sums[state, "asked"])
    for state in damaged if CLEAN in states else ():
        result[drop_to(state)] = result[accuracy_of(CLEAN)] - result[accuracy_of(state)]
    for state in states:
        result[f"no option named, {state}"] = ratio(sums[state, "none named"], sums[state, "asked"])
    return result


def figures_by_type(columns: Columns, weights: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """F1 and intensity error of every degradation by itself, over the states other than clean."""
    sums = {
        name: sum(
            weights @ column for (state, quantity), column in columns.items() if state != CLEAN and quantity == name
        )
        for name in ("hits", "misses", "inventions", "error")
    }
    f1 = ratio(2 * sums["hits"], 2 * sums["hits"] + sums["misses"] + sums["inventions"])
    error = ratio(sums["error"], sums["hits"])
    return {name: {F1: f1[:, place], ERROR: error[:, place]} for place, name in enumerate(REGISTRY)}


def intervals(resampled: Mapping[str, np.ndarray]) -> dict[str, dict[str, float | None]]:
    """Figures as JSON can hold them."""
    return {name: asdict(Figure.of(values)) for name, values in resampled.items()}


def differences(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The figures of one side less those of another that was resampled by the same weights; those that both have."""
    return {name: values - other[name] for name, values in one.items() if name in other}


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)


def _correlation(n, x, y, xx, yy, xy) -> np.ndarray:
    """Pearson's, from the sums of n points; NaN where x or y does not vary."""

    def spread(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        variance = n * second - first * first
        return np.where(variance > 1e-12 * n * second, variance, 0)  # less is what rounding leaves of none

    return ratio(n * xy - x * y, np.sqrt(spread(x, xx) * spread(y, yy)))


# --- tables ---


def table(columns: Mapping[str, Mapping[str, object]], corner: str = "") -> str:
    """Columns side by side as Markdown: heading -> row's name -> what stands there."""
    longest_first = sorted(columns.values(), key=len, reverse=True)
    names = dict.fromkeys(name for column in longest_first for name in column)
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(shown(column.get(name)) for column in columns.values()) + " |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """A number, a figure as `intervals` gives it, or a text, as a table has it."""
    if isinstance(value, Mapping):
        return str(Figure(**value))
    if isinstance(value, float):
        return _number(value)
    return "–" if value is None else str(value)


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}".replace("-0.000", "0.000")
