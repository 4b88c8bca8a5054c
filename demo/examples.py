"""The examples that ship: photo, question, the answer that is right, and the recipe that makes it hard."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from degradations import Recipe
from demo import settings


@dataclass(frozen=True)
class Example:
    """One entry of examples/examples.json.

    Attributes:
        image: the photo's file.
        title: a few words under the thumbnail.
        question, options: as the page shows them; no options for an open question.
        answer: index of the right option, None for an open question.
        recipe, seed: how the photo is degraded.
        note: what to watch for.
    """

    image: Path
    title: str
    question: str
    options: tuple[str, ...]
    answer: int | None
    recipe: Recipe
    seed: int
    note: str


def load_examples(folder: Path = settings.EXAMPLES) -> tuple[Example, ...]:
    """Read the examples of a folder.

    Raises:
        ValueError: an entry whose photo is missing, whose recipe cannot be read or whose answer is none of its options.
    """
    entries = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    return tuple(_example(folder, entry) for entry in entries)


def _example(folder: Path, entry: dict) -> Example:
    example = Example(
        image=folder / entry["image"],
        title=entry["title"],
        question=entry["question"],
        options=tuple(entry.get("options", ())),
        answer=entry.get("answer"),
        recipe=Recipe.parse(entry["recipe"]),
        seed=entry.get("seed", 0),
        note=entry.get("note", ""),
    )
    if not example.image.is_file():
        raise ValueError(f"the example {example.title!r} has no photo {example.image}")
    if example.answer is not None and not 0 <= example.answer < len(example.options):
        raise ValueError(f"the answer {example.answer} of the example {example.title!r} is none of its options")
    return example


def example_of(examples: Iterable[Example], photo: Path) -> Example | None:
    """The example whose photo this is, byte by byte: it is copied on its way through the page."""
    content = photo.read_bytes()
    return next((example for example in examples if example.image.read_bytes() == content), None)


def known_answer(examples: Iterable[Example], photo: Path, question: str, options: list[str]) -> int | None:
    """The right option where photo, question and options are those of an example, else None.

    Photos are compared by content: an example's photo is copied on its way through the page.
    """
    for example in examples:
        same = (question, tuple(options)) == (example.question, example.options)
        if same and example.image.read_bytes() == photo.read_bytes():
            return example.answer
    return None
