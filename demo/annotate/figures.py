"""What the verdicts of a batch come to: agreement of the annotators, and how good the predictions are. Pure.

Precision, recall and bias hold a prediction against what its annotators say is there. They count judged predictions:
one that three people have judged counts three times.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import krippendorff
import numpy as np

from degradations import REGISTRY, Recipe, Score
from demo.annotate.verdict import QUESTIONS, Verdict


@dataclass(frozen=True)
class Judged:
    """One verdict, with what it is about."""

    item: int
    annotator: str
    model: str
    predicted: Recipe
    applied: Recipe | None
    verdict: Verdict
    seconds: float | None = None

    @property
    def there(self) -> dict[str, float | None]:
        """What the annotator says is there."""
        return self.verdict.corrected(self.predicted)


@dataclass(frozen=True)
class Quality:
    """How good some predictions are.

    Attributes:
        hits: predicted and there; weak, right, strong: how many of them were marked so.
        misses: there and not predicted.
        inventions: predicted and not there.
        bias: mean of predicted minus true intensity, over the hits of which the annotator knows it; None without.
    """

    hits: int
    misses: int
    inventions: int
    weak: int
    right: int
    strong: int
    bias: float | None

    @property
    def precision(self) -> float | None:
        return self.hits / (self.hits + self.inventions) if self.hits + self.inventions else None

    @property
    def recall(self) -> float | None:
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else None


def quality(judged: Iterable[Judged], name: str | None = None) -> Quality:
    """Of all types together, or of the one that is named."""
    marks, misses, differences = Counter(), 0, []
    for one in judged:
        there = one.there
        for type_, mark in one.verdict.marks.items():
            if name in (None, type_):
                marks[mark] += 1
                if mark != "absent" and there[type_] is not None:
                    differences.append(one.predicted[type_] - there[type_])
        misses += sum(name in (None, type_) for type_ in one.verdict.missed)
    bias = math.fsum(differences) / len(differences) if differences else None
    hits = marks["weak"] + marks["right"] + marks["strong"]
    return Quality(hits, misses, marks["absent"], marks["weak"], marks["right"], marks["strong"], bias)


def by_type(judged: Sequence[Judged]) -> dict[str, Quality]:
    """Type -> its quality, of the types that occur."""
    found = {name: quality(judged, name) for name in REGISTRY}
    return {name: one for name, one in found.items() if one.hits + one.misses + one.inventions}


def grouped(judged: Iterable[Judged], key: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    """The verdicts by model, by annotator or by whatever `key` gives, in the order of the names."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(key(one), []).append(one)
    return dict(sorted(groups.items()))


def confusion(judged: Iterable[Judged]) -> dict[tuple[str | None, str | None], float]:
    """(what is there, what was predicted) -> how often.

    A type that was missed is shared out evenly among those that were predicted instead, in the same prediction; None
    stands for nothing: predicted although nothing was missed, or missed although nothing else was predicted.
    """
    counts: Counter = Counter()
    for one in judged:
        invented = [name for name, mark in one.verdict.marks.items() if mark == "absent"]
        missed = list(one.verdict.missed)
        for name, mark in one.verdict.marks.items():
            if mark != "absent":
                counts[name, name] += 1
        for name in missed:
            for instead in invented or [None]:
                counts[name, instead] += 1 / max(1, len(invented))
        if not missed:
            for name in invented:
                counts[None, name] += 1
    return dict(counts)


def agreement(judged: Sequence[Judged]) -> dict[str, float | None]:
    """Krippendorff's alpha over what several annotators judged.

    Of ``types`` (is a type there; nominal, a unit for each item and type), ``strength`` (too weak, right, too strong;
    ordinal, a unit for each predicted type that two say is there) and of each of `QUESTIONS` (nominal). None where no
    unit has two values, or where all values are the same: then there is nothing to agree about by more than chance.
    """
    people = sorted({one.annotator for one in judged})
    units: dict[str, dict[tuple, dict[str, float]]] = {name: {} for name in ("types", "strength", *QUESTIONS)}
    order = {"weak": -1.0, "right": 0.0, "strong": 1.0}
    for one in judged:
        there = one.there
        for name in REGISTRY:
            units["types"].setdefault((one.item, name), {})[one.annotator] = float(name in there)
        for name, mark in one.verdict.marks.items():
            if mark in order:
                units["strength"].setdefault((one.item, name), {})[one.annotator] = order[mark]
        for name in QUESTIONS:
            if (said := getattr(one.verdict, name)) is not None:
                units[name].setdefault((one.item,), {})[one.annotator] = float(said)
    return {name: _alpha(people, list(found.values()), name == "strength") for name, found in units.items()}


def _alpha(people: list[str], units: list[dict[str, float]], ordinal: bool) -> float | None:
    units = [unit for unit in units if len(unit) > 1]
    if len({value for unit in units for value in unit.values()}) < 2:
        return None
    data = np.array([[unit.get(person, np.nan) for unit in units] for person in people])
    level = "ordinal" if ordinal else "nominal"
    return float(krippendorff.alpha(reliability_data=data, level_of_measurement=level))


def f1_against_truth(judged: Iterable[Judged]) -> float | None:
    """F1 of the types that annotators say are there against those that were applied; None where that is not known."""
    hits = misses = inventions = 0
    for one in judged:
        if one.applied is not None:
            there = set(one.there)
            hits += len(there & set(one.applied))
            misses += len(set(one.applied) - there)
            inventions += len(there - set(one.applied))
    return Score(hits, misses, inventions, 0.0).f1


def shares(judged: Iterable[Judged]) -> dict[str, tuple[int, int]]:
    """Of each of `QUESTIONS`: (how often yes, how often answered)."""
    judged = list(judged)
    said = {name: [getattr(one.verdict, name) for one in judged] for name in QUESTIONS}
    return {name: (values.count(True), len(values) - values.count(None)) for name, values in said.items()}


def median_seconds(judged: Iterable[Judged]) -> float | None:
    """How long an annotator took for an item."""
    known = [one.seconds for one in judged if one.seconds is not None]
    return float(np.median(known)) if known else None
