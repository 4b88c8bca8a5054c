"""One answer beside what is known of its picture: what every family of figures counts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from degradations import Comparison, Recipe, compare
from demo.chain import Chain, parse_chain
from training.evaluation.extraction import chosen
from training.evaluation.rows import applied


@dataclass(frozen=True)
class Reply:
    """What a side said about a picture.

    Attributes:
        tokens: how many that is; None where an endpoint does not count them.
        seconds: its share of the time that its batch took, or what an endpoint took for it; None where not measured.
        grade: a judge's, from 0 to 1, of an answer without options; None where there is none.
        agreement: a judge's, of how far it agrees with the side's own answer about the clean picture.
    """

    text: str
    tokens: int | None
    seconds: float | None = None
    grade: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Said:
    """An answer with its question.

    Attributes:
        chain: whether the side was asked for a chain; otherwise its text is its answer.
        by_index, by_letter: whether a number, or a letter, that is the whole answer is the option's label in any case.
        clean: the same side's answer to the same question about the clean picture, where there is one.
    """

    row: Mapping
    state: str
    reply: Reply
    chain: bool
    clean: "Said | None" = None
    by_index: bool = False
    by_letter: bool = False

    @cached_property
    def parsed(self) -> Chain:
        return parse_chain(self.reply.text)

    @property
    def answer(self) -> str:
        return self.parsed.answer if self.chain else self.reply.text

    @cached_property
    def chosen(self) -> int | None:
        """The index of the option that the answer names, None where it names none."""
        return chosen(self.answer, self.row["options"], self.by_index, self.by_letter)

    @cached_property
    def applied(self) -> Recipe | None:
        return applied(self.row, self.state)

    @cached_property
    def compared(self) -> Comparison:
        """What the chain names against what was applied; nothing where nobody knows what was."""
        return compare(Recipe(), Recipe()) if self.applied is None else compare(self.applied, self.parsed.recipe)
