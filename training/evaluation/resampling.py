"""Resampling: figures with intervals, differences with tests; pure functions of arrays.

Every figure follows from sums of columns over pictures, so a resample is one row of weights and all resamples are one
matrix product. Two sides on the same pictures share the weights: the intervals of their differences are paired. What is
drawn, or exchanged between two sides, is photos, as several questions are about each.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

RESAMPLES = 2000
SEED = 0
COVERED = (2.5, 97.5)
"""Percentiles that an interval reaches from and to."""

Columns = dict[tuple[str, str], np.ndarray]
"""(state, quantity) -> float64 (pictures,), or (pictures, types)."""

Sums = dict[tuple[str, str], np.ndarray]
"""(state, quantity) -> its weighted sums over pictures, float64 (1 + resamples,) or (1 + resamples, types)."""

Figures = dict[str, np.ndarray]
"""Name -> the figure of all pictures, followed by those of the resamples: (1 + resamples,); NaN without a base."""


@dataclass(frozen=True)
class Figure:
    """A figure with the interval that 95 % of the resamples lie in; None where there is nothing to measure.

    Attributes:
        p: of a difference, how often chance alone makes one as large (see `p_values`); None of other figures.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None = None

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
        text = number(self.value)
        if self.low is not None:
            text += f" [{number(self.low)}, {number(self.high)}]"
        return text if self.p is None else f"{text} p {'<' if self.p < 0.001 else ''}{max(self.p, 0.001):.3f}"


def number(value: float) -> str:
    """A number as tables have it."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}".replace("-0.000", "0.000")


# --- the bootstrap ---


def weights(photos: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """How often each picture counts: once in the first row; in the others as often as its photo was drawn.

    Photos are drawn with replacement, each with all pictures that were made of it: questions about one photo are no
    independent cases.

    Args:
        photos: the photo of each picture.

    Returns:
        float64 (1 + resamples, pictures).
    """
    places, count = _places(photos)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return np.vstack([np.ones(len(photos)), drawn[:, places]])


def per_photo(columns: Columns, photos: Sequence[Hashable]) -> Columns:
    """The columns' sums over each photo's pictures, in the order in which photos first come.

    Resampled by one weight a photo they make the figures that their pictures make, in less memory: 2000 resamples of
    40 000 pictures are 640 MB.
    """
    places, count = _places(photos)
    result = {}
    for key, column in columns.items():
        result[key] = np.zeros((count, *column.shape[1:]))
        np.add.at(result[key], places, column)
    return result


def sums_of(columns: Columns, weights: np.ndarray) -> Sums:
    return {key: weights @ column for key, column in columns.items()}


def intervals(resampled: Figures, p: Mapping[str, float | None] | None = None) -> dict[str, dict[str, float | None]]:
    """Figures as JSON can hold them; with their p where they are differences."""
    found = {name: asdict(Figure.of(values)) for name, values in resampled.items()}
    for name, figure in found.items():
        if p is None:
            del figure["p"]
        else:
            figure["p"] = p.get(name)
    return found


def differences(one: Figures, other: Figures) -> Figures:
    """The figures of one side less those of another that was resampled by the same weights; those that both have."""
    return {name: values - other[name] for name, values in one.items() if name in other}


# --- the paired test ---


def exchanges(photos: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Which pictures' answers two sides exchange: none in the first row; in the others those of every second photo.

    Returns:
        float64 (1 + resamples, pictures) of 0 and 1, drawn photo by photo.
    """
    places, count = _places(photos)
    drawn = np.random.default_rng(seed).integers(0, 2, (resamples, count))
    return np.vstack([np.zeros(len(photos)), drawn[:, places]])


def p_values(
    one: Columns, other: Columns, figures: Callable[[Sums], Figures], exchanged: np.ndarray
) -> dict[str, float | None]:
    """Approximate randomization (Noreen 1989): two-sided p of each figure's difference on the same pictures.

    Were the two sides alike, their answers to a photo could be exchanged. p is the share of random exchanges, the
    observed one among them, whose difference is at least as large; None where there is no difference to test.

    Args:
        figures: makes figures of sums; called with what both sides have.
        exchanged: see `exchanges`.
    """
    shared = [key for key in one if key in other]
    moved = {key: exchanged @ (other[key] - one[key]) for key in shared}
    mine = figures({key: one[key].sum(0) + moved[key] for key in shared})
    theirs = figures({key: other[key].sum(0) - moved[key] for key in shared})
    result = {}
    for name, values in differences(mine, theirs).items():
        found = np.abs(values[~np.isnan(values)])
        result[name] = None if math.isnan(values[0]) else float(np.mean(found >= found[0] - 1e-12))
    return result


def _places(photos: Sequence[Hashable]) -> tuple[list[int], int]:
    """The number of each picture's photo, and how many photos there are."""
    numbers = {photo: place for place, photo in enumerate(dict.fromkeys(photos))}
    return [numbers[photo] for photo in photos], len(numbers)


# --- arithmetic of sums ---


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Quotient; NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)


MOMENTS = ("x", "y", "xx", "yy", "xy")


def moments(name: str, x: float, y: float) -> dict[str, float]:
    """What a correlation needs of one point, as quantities."""
    return {f"{name} {moment}": value for moment, value in zip(MOMENTS, (x, y, x * x, y * y, x * y), strict=True)}


def correlation(n, x, y, xx, yy, xy) -> np.ndarray:
    """Pearson's, from the sums of n points; NaN where x or y does not vary."""

    def spread(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        variance = n * second - first * first
        return np.where(variance > 1e-12 * n * second, variance, 0)  # less is what rounding leaves of none

    return ratio(n * xy - x * y, np.sqrt(spread(x, xx) * spread(y, yy)))
