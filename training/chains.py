"""Chains from a writer that knows the truth.

The influence says what these degradations at these strengths hide from this question; the reasoning names the evidence
and, the more the picture suffered, ways around the damage and options that are ruled out. How long a chain is follows
from the sum of the intensities alone; how it is phrased is drawn.
"""

import random
from dataclasses import dataclass
from functools import cache

from degradations import Recipe
from demo.chain import format_chain
from training.corpus import read_things
from training.phrases import (
    AGAINST,
    AGAINST_UNKNOWN,
    CHECK,
    CLEAN,
    CONCLUSION,
    DESPITE,
    HEAVY,
    HIDDEN,
    LEFT,
    LOOKING,
    LOOKING_HARD,
    MUCH,
    OTHERS,
    PHRASES,
    SEEN,
    SUBJECTS,
    UNHARMED,
    strength,
)

WORDS_CLEAN, WORDS_EACH = 24, 28
"""How long a chain is to be, in words without tags: of a clean picture, and more for each 1.0 of total intensity."""

TIMES = {"one": "once", "two": "twice", "three": "three times", "four": "four times"}


def write_chain(sample: dict, seed: int = 0, step: float = 0.01, index: bool = True) -> str:
    """Write the chain of a sample.

    Args:
        sample: a row of ``training.synthesize``; of the kind "other" it needs neither cue nor thing.
        seed: with the sample's id it rules the wording.
        step: intensities are written as multiples of this, at least one: coarser steps are easier to learn.
        index: answer by the option's index, as published checkpoints do; else by its words, which a small model
            finds more easily.

    Returns:
        All five blocks; without options ANSWER holds the answer in words.

    Raises:
        ValueError: the recipe cannot be read, or a text of the sample contains a tag of the chain.
    """
    rng = random.Random(f"{seed} {sample['id']}")
    recipe = on_grid(Recipe.parse(sample["recipe"]), step)
    answer = write_answer(sample) if index else sample["answer"]
    conclusion = _conclusion(sample, recipe, rng, index)
    words = WORDS_CLEAN + WORDS_EACH * recipe.total - _words(f"{recipe} {conclusion} {answer}")
    chosen = _fitting([*_influence(sample, recipe, rng), *_reasoning(sample, recipe, rng)], words)
    influence, reasoning = (
        " ".join(part.text for part in chosen if part.block == block) for block in ("INFLUENCE", "REASONING")
    )
    return format_chain(recipe, influence, reasoning, conclusion, answer)


def write_answer(sample: dict) -> str:
    """What stands in ANSWER, and what a baseline answers: the option's index, or words where there are no options."""
    index = sample["answer_index"]
    return sample["answer"] if index is None else str(index)


def on_grid(recipe: Recipe, step: float) -> Recipe:
    """The recipe with intensities rounded to multiples of `step`, none below one step."""
    return Recipe({name: round(min(1.0, max(1, round(value / step)) * step), 4) for name, value in recipe.items()})


@dataclass(frozen=True)
class _Part:
    """A sentence that a block may hold; those of rank 0 are always there, lower ranks come before higher ones."""

    block: str
    rank: float
    text: str


def _fitting(parts: list[_Part], words: float) -> list[_Part]:
    """The parts that together come nearest to a number of words, in their order."""
    chosen = [part for part in parts if part.rank == 0]
    words -= sum(_words(part.text) for part in chosen)
    for part in sorted((part for part in parts if part.rank), key=lambda part: part.rank):
        if _words(part.text) < 2 * words:  # with it nearer than without it
            chosen.append(part)
            words -= _words(part.text)
    return [part for part in parts if part in chosen]


def _influence(sample: dict, recipe: Recipe, rng: random.Random) -> list[_Part]:
    """A sentence a degradation, the strongest first; what that means for the question."""
    kind, subject = sample["kind"], rng.choice(SUBJECTS[sample["kind"]])
    if not recipe:
        return [_Part("INFLUENCE", 0, _sentence(rng.choice(UNHARMED).format(subject=subject)))]
    parts = []
    for number, (name, value) in enumerate(_strongest(recipe)):
        text = rng.choice(getattr(PHRASES[name], strength(value)))
        parts.append(_Part("INFLUENCE", number and 1 + number / 100, _sentence(text.format(subject=subject))))
        if number == 0 and "{subject}" in text:
            subject = "it"
    left = rng.choice((HIDDEN if _suffered(recipe) else LEFT)[kind])
    return [*parts, _Part("INFLUENCE", 1.5, _sentence(left))]


def _reasoning(sample: dict, recipe: Recipe, rng: random.Random) -> list[_Part]:
    """Ways around the degradations, the evidence, what else there is, what it is not."""
    kind, names = sample["kind"], _names(sample)
    looking = rng.choice(LOOKING_HARD if _suffered(recipe) else LOOKING)
    texts = [(rank, rng.choice(PHRASES[name].remedy)) for rank, (name, _) in enumerate(_strongest(recipe), 1)]
    texts.append((0, looking + rng.choice(SEEN[kind]).format(**names)))
    if sample.get("others"):
        texts.append((2.5, rng.choice(OTHERS).format(**names)))
    if recipe:
        texts += zip((1.2, 3, 4, 4), [*_against(sample, rng), rng.choice(CHECK[kind])], strict=False)
    return [_Part("REASONING", rank, _sentence(text)) for rank, text in texts]


def _against(sample: dict, rng: random.Random) -> list[str]:
    """Up to three wrong options ruled out, each in another way where its cue is known."""
    if sample["kind"] in ("count", "where"):  # whose options are no things
        return []
    wrong = [option for option in sample["options"] if option != sample["answer"]]
    texts = []
    for text, option in zip(rng.sample(AGAINST, 3), rng.sample(wrong, len(wrong)), strict=False):
        cue = _cues().get(option) if sample["kind"] != "other" else None
        text = text if cue else rng.choice(AGAINST_UNKNOWN)
        texts.append(text.format(wrong=_plain(option), a_wrong=_with_article(option), other_cue=cue))
    return texts


def _conclusion(sample: dict, recipe: Recipe, rng: random.Random, index: bool) -> str:
    if recipe:
        worst, value = _strongest(recipe)[0]
        beginning = rng.choice(DESPITE[strength(value)]).format(worst=PHRASES[worst].noun)
    else:
        beginning = rng.choice(CLEAN)
    text = beginning + rng.choice(CONCLUSION[sample["kind"]]).format(**_names(sample))
    if index and sample["answer_index"] is not None:
        text += f", option {sample['answer_index']}"
    return _sentence(text)


def _names(sample: dict) -> dict[str, str]:
    """What the phrases of `SEEN`, `OTHERS` and `CONCLUSION` are filled with."""
    answer, thing = _plain(sample["answer"]), sample.get("thing", "")
    number = answer if sample["kind"] == "count" else ""
    return {
        "answer": answer,
        "a_answer": _with_article(answer),
        "cue": sample.get("cue", ""),
        "thing": thing,
        "a_thing": _with_article(thing),
        "place": sample.get("place", ""),
        "others": " and ".join(map(_with_article, sample.get("others", ()))),
        "number": number,
        "times": TIMES.get(number, ""),
    }


def _suffered(recipe: Recipe) -> bool:
    return recipe.total >= MUCH or any(value >= HEAVY for value in recipe.values())


def _strongest(recipe: Recipe) -> list[tuple[str, float]]:
    return sorted(recipe.items(), key=lambda item: -item[1])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _words(text: str) -> int:
    return len(text.split())


def _plain(answer: str) -> str:
    """An answer as a sentence can hold it."""
    return " ".join(answer.split()).rstrip(".")


_BARE = {
    *("bread", "broccoli", "coral", "corn", "meat", "outwear", "pants", "pasta"),
    *("scissors", "shoes", "shorts", "soup", "sunglasses"),
}
"""Names that take no article: uncounted ones, plurals."""


def _with_article(name: str) -> str:
    if not name or name in _BARE:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


@cache
def _cues() -> dict[str, str]:
    return {thing.name: thing.cue for thing in read_things().values()}
