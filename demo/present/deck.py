"""A deck: an ordered list of examples with notes for the speaker, as JSON.

    {"title": "…", "slides": [{"example": "cat.jpg", "recipe": "…", "notes": "…"}, …]}

A slide names an example by its photo's file; `question`, `options`, `answer`, `recipe` and `seed` replace the example's
own. `notes` are for the speaker alone.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from degradations import Recipe
from demo import settings
from demo.examples import Example
from demo.texts import Text, reason

FIELDS = {"example", "question", "options", "answer", "recipe", "seed", "notes"}


@dataclass(frozen=True)
class Slide:
    """One example of a deck and what to say about it."""

    example: Example
    notes: str = ""


@dataclass(frozen=True)
class Deck:
    """Slides in order; at least one."""

    title: str
    slides: tuple[Slide, ...]


def of_examples(examples: Sequence[Example]) -> Deck:
    """All examples in their own order, their notes for the speaker."""
    return Deck("", tuple(Slide(example, example.note) for example in examples))


def read(text: str, examples: Sequence[Example]) -> Deck:
    """A deck from its JSON, which may come from anyone.

    Raises:
        ValueError: it is too long, no such JSON, names an example that is not here, or a recipe that cannot be read.
    """
    if len(text) > settings.MAX_DECK_CHARACTERS:
        raise ValueError(Text("present.deck-too-long", most=settings.MAX_DECK_CHARACTERS))
    by_photo = {example.image.name: example for example in examples}
    try:
        raw = json.loads(text)
        slides = tuple(_slide(entry, by_photo) for entry in raw["slides"])
        if not slides:
            raise ValueError(Text("present.deck-empty"))
        return Deck(str(raw.get("title", ""))[:200], slides)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = Text("present.lacks", name=str(error)) if isinstance(error, KeyError) else reason(error)
        raise ValueError(Text("present.bad-deck", reason=said)) from error


def _slide(entry: dict, examples: dict[str, Example]) -> Slide:
    if unknown := set(entry) - FIELDS:
        raise ValueError(Text("present.slide-fields", found=_listed(unknown), known=_listed(FIELDS)))
    if entry["example"] not in examples:
        raise ValueError(Text("present.slide-example", name=repr(entry["example"])[:80], known=", ".join(examples)))
    example = examples[entry["example"]]
    changes = {}
    if "question" in entry or "options" in entry:
        changes["question"] = str(entry.get("question", example.question))
        changes["options"] = tuple(str(option) for option in entry.get("options", example.options))
        changes["answer"] = entry.get("answer") if "answer" in entry or "options" in entry else example.answer
        length = len(changes["question"]) + sum(map(len, changes["options"]))
        if length > settings.MAX_QUESTION_CHARACTERS:
            raise ValueError(Text("present.slide-long", name=entry["example"], most=settings.MAX_QUESTION_CHARACTERS))
        answer = changes["answer"]
        if answer is not None and not (isinstance(answer, int) and 0 <= answer < len(changes["options"])):
            raise ValueError(Text("present.slide-answer", answer=repr(answer)[:80], name=entry["example"]))
    if "recipe" in entry:
        changes["recipe"] = Recipe.parse(entry["recipe"])
    if "seed" in entry:
        seed = entry["seed"]
        if not isinstance(seed, int) or not 0 <= seed <= settings.MAX_SEED:
            said = {"seed": repr(seed)[:80], "name": entry["example"], "most": settings.MAX_SEED}
            raise ValueError(Text("present.slide-seed", **said))
        changes["seed"] = seed
    return Slide(replace(example, **changes), str(entry.get("notes", example.note)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))[:200]


def named(name: str, folder: Path, examples: Sequence[Example]) -> Deck:
    """A deck of the folder that whoever started the server chose.

    Raises:
        ValueError: no such deck, or as `read`.
    """
    path = folder / f"{name}.json"
    if not re.fullmatch(r"[\w-]{1,80}", name) or not path.is_file():
        raise ValueError(Text("present.no-deck", name=name[:80]))
    return read(path.read_text(encoding="utf-8"), examples)
