"""Which degradations, how strong, in what order; and how two recipes compare."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from degradations.registry import REGISTRY, lookup

# No two neighbours in this pattern match the same character, so that hostile text is read in linear time.
_ENTRY = re.compile(r"([^(),]*)\(([^(),]*)\)\s*")


class Recipe(Mapping[str, float]):
    """An immutable mapping from degradation names to intensities in (0, 1], in the order of application.

    Intensities of 0 mean "not applied" and are left out. Names may be chain names, labels or common spellings.

    Raises:
        ValueError: for an unknown name, a name given twice, or an intensity that is not a finite number in [0, 1].
    """

    __slots__ = ("_intensities",)

    def __init__(self, intensities: Mapping[str, float] | Iterable[tuple[str, float]] = ()):
        pairs = intensities.items() if isinstance(intensities, Mapping) else intensities
        found: dict[str, float] = {}
        for spelling, value in pairs:
            name = lookup(spelling) if isinstance(spelling, str) else None
            if name is None:
                raise ValueError(f"unknown degradation {spelling!r}; known are: {', '.join(REGISTRY)}")
            if name in found:
                raise ValueError(f"the degradation {name!r} is given twice")
            found[name] = _intensity(name, value)
        self._intensities = {name: found[name] for name in REGISTRY if found.get(name)}

    @classmethod
    def parse(cls, recipe: "str | Mapping[str, float] | Recipe") -> "Recipe":
        """Read a recipe from text (``lens blur(0.31), gaussian noise(0.5)``, ``none`` or nothing) or a mapping.

        Raises:
            ValueError: where the text cannot be read, or as the constructor does.
        """
        if isinstance(recipe, Mapping):
            return cls(recipe)
        if not isinstance(recipe, str):
            raise ValueError(f"a recipe is a text or a mapping, not {type(recipe).__name__}")
        text = recipe.strip()
        if text.lower() in ("", "none"):
            return cls()
        pairs, position = [], 0
        while True:
            entry = _ENTRY.match(text, position)
            if entry is None:
                raise ValueError(
                    f"cannot read {text[position:]!r} in the recipe; write it as 'lens blur(0.31), gaussian noise(0.5)'"
                )
            pairs.append((entry[1].strip(), entry[2].strip()))
            position = entry.end()
            if position == len(text):
                return cls(pairs)
            if text[position] != ",":
                raise ValueError(f"expected a comma before {text[position:]!r} in the recipe")
            position += 1

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        *,
        count: tuple[int, int] = (0, 4),
        intensity: tuple[float, float] = (0.1, 1.0),
    ) -> "Recipe":
        """Draw a realistic recipe: several types over the stages, each of a uniform intensity.

        Args:
            rng: the only source of randomness.
            count: least and most types at once, uniform between (at most one per entry of the registry).
            intensity: range of each intensity, within (0, 1]; drawn in hundredths, or a bound that is none.
        """
        low, high = count
        if not 0 <= low <= high <= len(REGISTRY):
            raise ValueError(f"count must be a range within 0..{len(REGISTRY)}, not {count}")
        if not 0 < intensity[0] <= intensity[1] <= 1:
            raise ValueError(f"intensity must be a range within (0, 1], not {intensity}")
        names = rng.choice(list(REGISTRY), size=rng.integers(low, high + 1), replace=False)
        low, high = intensity
        drawn = {str(name): round(float(rng.uniform(low, high)), 2) for name in names}
        return cls({name: min(max(value, low), high) for name, value in drawn.items()})

    def scaled(self, factor: float) -> "Recipe":
        """The recipe with every intensity times `factor` (at least 0), none above 1."""
        return Recipe({name: min(value * factor, 1.0) for name, value in self.items()})

    @property
    def total(self) -> float:
        """Sum of the intensities: how degraded the picture is as a whole."""
        return math.fsum(self._intensities.values())

    def __getitem__(self, name: str) -> float:
        return self._intensities[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._intensities)

    def __len__(self) -> int:
        return len(self._intensities)

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __str__(self) -> str:
        entries = (f"{name}({np.format_float_positional(value, trim='0')})" for name, value in self.items())
        return ", ".join(entries) or "none"

    def __repr__(self) -> str:
        return f"Recipe.parse({str(self)!r})"


def _intensity(name: str, value: object) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the intensity of {name!r} must be a number in [0, 1], not {value!r}") from None
    if not 0 <= number <= 1:  # refuses NaN too
        raise ValueError(f"the intensity of {name!r} must lie in [0, 1], not {value!r}")
    return number


@dataclass(frozen=True)
class Comparison:
    """One prediction against what was applied; each mapping is in the order of application.

    Attributes:
        hits: name -> (applied, predicted) of the types in both.
        misses: name -> applied of the types that were not predicted.
        inventions: name -> predicted of the types that were not applied.
    """

    hits: dict[str, tuple[float, float]]
    misses: dict[str, float]
    inventions: dict[str, float]

    @property
    def intensity_error(self) -> float | None:
        """Mean absolute difference of the intensities over the hits; None without hits."""
        return Score.of_comparisons([self]).intensity_error

    @property
    def f1(self) -> float | None:
        """F1 of the types; None where nothing was applied and nothing predicted."""
        return Score.of_comparisons([self]).f1


def compare(applied: Recipe, predicted: Recipe) -> Comparison:
    """Split a prediction into hits, misses and inventions. A text that cannot be read is an empty prediction."""
    return Comparison(
        hits={name: (value, predicted[name]) for name, value in applied.items() if name in predicted},
        misses={name: value for name, value in applied.items() if name not in predicted},
        inventions={name: value for name, value in predicted.items() if name not in applied},
    )


@dataclass(frozen=True)
class Score:
    """Predictions over a set of pictures, micro-averaged over (picture, type).

    A figure without a base (no types at all, no hits) is None, never 0 or 1.
    """

    hits: int
    misses: int
    inventions: int
    absolute_error: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[Recipe, Recipe]]) -> "Score":
        """Score (applied, predicted) pairs."""
        return cls.of_comparisons([compare(applied, predicted) for applied, predicted in pairs])

    @classmethod
    def of_comparisons(cls, comparisons: Iterable[Comparison]) -> "Score":
        comparisons = list(comparisons)
        differences = [abs(applied - predicted) for c in comparisons for applied, predicted in c.hits.values()]
        return cls(
            hits=len(differences),
            misses=sum(len(c.misses) for c in comparisons),
            inventions=sum(len(c.inventions) for c in comparisons),
            absolute_error=math.fsum(differences),
        )

    @property
    def precision(self) -> float | None:
        return _ratio(self.hits, self.hits + self.inventions)

    @property
    def recall(self) -> float | None:
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float | None:
        return _ratio(2 * self.hits, 2 * self.hits + self.misses + self.inventions)

    @property
    def intensity_error(self) -> float | None:
        """Mean absolute difference of the intensities over the matched types."""
        return _ratio(self.absolute_error, self.hits)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
