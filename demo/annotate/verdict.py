"""What an annotator says about one prediction, and what several say together. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from degradations import REGISTRY, Recipe
from demo.texts import Text

MARKS = ("absent", "weak", "right", "strong")
"""Of a predicted type: it is not there, or there and predicted too weak, right, too strong."""
QUESTIONS = ("influence", "reasoning", "answer")
"""What is asked of the chain: is the influence sound, is the reasoning sound, is the answer right?"""
MOST_CHARACTERS = 2_000
"""Of a comment, and of the right answer."""


@dataclass(frozen=True)
class Verdict:
    """One annotator's verdict about one item.

    Attributes:
        marks: every predicted type -> one of `MARKS`.
        intensities: the annotator's own value in (0, 1], for types that are marked weak or strong; may be left out.
        missed: types that are there and were not predicted -> their intensity, or None.
        influence, reasoning, answer: sound or right, or None where nothing was said.
        correct_answer: what is right where the answer is not, "" if not said.
        comment: free text.
    """

    marks: Mapping[str, str] = field(default_factory=dict)
    intensities: Mapping[str, float] = field(default_factory=dict)
    missed: Mapping[str, float | None] = field(default_factory=dict)
    influence: bool | None = None
    reasoning: bool | None = None
    answer: bool | None = None
    correct_answer: str = ""
    comment: str = ""

    @classmethod
    def read(cls, raw: object, predicted: Recipe) -> "Verdict":
        """A verdict from JSON, as `as_json` writes it or as a page or a script sends it.

        Raises:
            ValueError: it does not fit the prediction; with a `Text` that says where.
        """
        if not isinstance(raw, Mapping) or set(raw) - set(cls.__dataclass_fields__):
            raise ValueError(Text("annotate.verdict-shape", fields=", ".join(cls.__dataclass_fields__)))
        marks, intensities, missed = (_types(raw.get(name), name) for name in ("marks", "intensities", "missed"))
        if set(marks) != set(predicted) or not set(marks.values()) <= set(MARKS):
            expected = ", ".join(predicted) or "–"
            raise ValueError(Text("annotate.verdict-marks", expected=expected, marks=", ".join(MARKS)))
        if both := set(missed) & set(predicted):
            raise ValueError(Text("annotate.verdict-not-missed", name=sorted(both)[0]))
        intensities = {name: _intensity(name, value) for name, value in intensities.items()}
        for name, value in intensities.items():
            mark = marks.get(name)
            if not ((mark == "weak" and value > predicted[name]) or (mark == "strong" and value < predicted[name])):
                raise ValueError(Text("annotate.verdict-intensity", name=name, value=value))
        missed = {name: None if value is None else _intensity(name, value) for name, value in missed.items()}
        said = {name: raw.get(name) for name in QUESTIONS}
        if not all(value is None or isinstance(value, bool) for value in said.values()):
            raise ValueError(Text("annotate.verdict-questions", names=", ".join(QUESTIONS)))
        texts = {name: raw.get(name) or "" for name in ("correct_answer", "comment")}
        if not all(isinstance(text, str) and len(text) <= MOST_CHARACTERS for text in texts.values()):
            raise ValueError(Text("annotate.verdict-texts", most=MOST_CHARACTERS))
        texts = {name: text.strip() for name, text in texts.items()}
        if texts["correct_answer"] and said["answer"] is not False:
            raise ValueError(Text("annotate.verdict-answer"))
        return cls(_ordered(marks), _ordered(intensities), _ordered(missed), **said, **texts)

    def as_json(self) -> dict:
        """What `read` reads; nothing that was not said."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        return {name: value for name, value in values.items() if name == "marks" or value not in (None, "", {})}

    def corrected(self, predicted: Recipe) -> dict[str, float | None]:
        """The types that are there, with their intensities; None where the annotator gave no number."""
        there = {}
        for name, mark in self.marks.items():
            if mark != "absent":
                there[name] = predicted[name] if mark == "right" else self.intensities.get(name)
        return _ordered(there | dict(self.missed))


@dataclass(frozen=True)
class Consensus:
    """What most annotators of an item say; a tie says nothing.

    Attributes:
        corrected: the types that are there -> the median of the intensities that were given, None without any.
        undecided: the types over which the annotators are split evenly.
        influence, reasoning, answer: as in `Verdict`.
        correct_answer: the right answer that most name, "" if none does.
    """

    corrected: dict[str, float | None]
    undecided: tuple[str, ...]
    influence: bool | None
    reasoning: bool | None
    answer: bool | None
    correct_answer: str

    @property
    def recipe(self) -> Recipe | None:
        """The corrected recipe, None where a type or an intensity of it is not known."""
        if self.undecided or None in self.corrected.values():
            return None
        return Recipe(self.corrected)


def consensus(verdicts: Iterable[Verdict], predicted: Recipe) -> Consensus:
    """The majority of some verdicts about one item."""
    verdicts = list(verdicts)
    said = [verdict.corrected(predicted) for verdict in verdicts]
    corrected, undecided = {}, []
    for name in REGISTRY:
        there = [one[name] for one in said if name in one]
        if 2 * len(there) == len(said) and there:
            undecided.append(name)
        elif 2 * len(there) > len(said):
            known = [value for value in there if value is not None]
            corrected[name] = round(median(known), 4) if known else None
    answers = {name: _majority(getattr(verdict, name) for verdict in verdicts) for name in QUESTIONS}
    named = Counter(verdict.correct_answer for verdict in verdicts if verdict.correct_answer).most_common(2)
    clear = named and (len(named) == 1 or named[0][1] > named[1][1])
    return Consensus(corrected, tuple(undecided), **answers, correct_answer=named[0][0] if clear else "")


def _majority(values: Iterable[bool | None]) -> bool | None:
    counts = Counter(value for value in values if value is not None)
    return None if counts[True] == counts[False] else counts[True] > counts[False]


def _types(value: object, field_name: str) -> dict:
    value = {} if value is None else value
    if not isinstance(value, Mapping) or not set(value) <= set(REGISTRY):
        raise ValueError(Text("annotate.verdict-types", field=field_name, known=", ".join(REGISTRY)))
    return dict(value)


def _intensity(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(Text("annotate.verdict-number", name=name, value=repr(value)))
    return float(value)


def _ordered(types: Mapping) -> dict:
    return {name: types[name] for name in REGISTRY if name in types}
