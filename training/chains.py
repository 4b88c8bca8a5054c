"""Chains from a writer that knows the truth.

The influence says what these degradations at these strengths hide from this question; the reasoning grows with the sum
of the intensities; both are phrased with variety drawn from a generator.
"""

import numpy as np

from degradations import Recipe
from demo.chain import format_chain
from training.corpus import read_things
from training.phrases import (
    AGAINST,
    BECAUSE,
    CONCLUSION,
    LOOKING,
    OTHERS,
    PHRASES,
    SEEN,
    STRONG,
    SUBJECTS,
    UNHARMED,
)

JOINED = 0.3
"""How often a clause shares the sentence of the one before it."""

TIMES = {"one": "once", "two": "twice", "three": "three times", "four": "four times"}
_CUES = {thing.name: thing.cue for thing in read_things().values()}


def write_chain(sample: dict, seed: int = 0, step: float = 0.01, index: bool = True) -> str:
    """Write the chain of a sample.

    Args:
        sample: a row of ``training.synthesize``.
        seed: with the sample's id it rules the wording.
        step: intensities are written as multiples of this, at least one: coarser steps are easier to learn.
        index: answer by the option's index, as published checkpoints do; else by its words, which a small model
            finds more easily.

    Returns:
        All five blocks; without options ANSWER holds the answer in words.
    """
    rng = np.random.default_rng([seed, sample["id"], 1])
    recipe = on_grid(Recipe.parse(sample["recipe"]), step)
    answer = sample["answer"]
    if index and sample["answer_index"] is not None:
        answer = f"{answer}, option {sample['answer_index']}"
    return format_chain(
        recipe,
        _sentences(_influence(sample, recipe, rng), rng),
        _sentences(_reasoning(sample, recipe, rng), rng),
        _sentences([_conclusion(recipe, answer, rng)], rng),
        write_answer(sample) if index else sample["answer"],
    )


def write_answer(sample: dict) -> str:
    """What stands in ANSWER, and what a baseline answers: the option's index, or words where there are no options."""
    index = sample["answer_index"]
    return sample["answer"] if index is None else str(index)


def on_grid(recipe: Recipe, step: float) -> Recipe:
    """The recipe with intensities rounded to multiples of `step`, none below one step."""
    return Recipe({name: round(min(1.0, max(1, round(value / step)) * step), 4) for name, value in recipe.items()})


def _influence(sample: dict, recipe: Recipe, rng: np.random.Generator) -> list[str]:
    """One sentence a degradation, the strongest first, at most four: weaker ones hide nothing that these do not."""
    subjects = SUBJECTS[sample["kind"]]
    if not recipe:
        return [_one_of(rng, UNHARMED).format(subject=_one_of(rng, subjects))]
    return [
        _one_of(rng, PHRASES[name].strong if value >= STRONG else PHRASES[name].mild).format(
            subject=_one_of(rng, subjects)
        )
        for name, value in _strongest(recipe)[:4]
    ]


def _reasoning(sample: dict, recipe: Recipe, rng: np.random.Generator) -> list[str]:
    """What is seen; then, the more the picture suffered, ways around it and options that are ruled out."""
    remedies = [
        _one_of(rng, PHRASES[name].remedy)
        for name, value in _strongest(recipe)[: round(1.4 * recipe.total)]
        if value >= 0.2
    ]
    number = sample["answer"] if sample["kind"] == "count" else ""
    seen = _one_of(rng, LOOKING) + _one_of(rng, SEEN[sample["kind"]]).format(
        cue=sample["cue"],
        thing=sample["thing"],
        a_thing=_with_article(sample["thing"]),
        place=sample["place"],
        number=number,
        times=TIMES.get(number, ""),
    )
    sentences = [*remedies, seen]
    if sample["others"] and recipe.total >= 0.5:
        others = " and ".join(_with_article(name) for name in sample["others"])
        sentences.append(_one_of(rng, OTHERS).format(others=others))
    wrong = [option for option in sample["options"] if option != sample["answer"] and option in _CUES]
    if wrong and recipe.total >= 1:
        name = _one_of(rng, wrong)
        sentences.append(_one_of(rng, AGAINST).format(wrong=name, other_cue=_CUES[name]))
    return sentences


def _conclusion(recipe: Recipe, answer: str, rng: np.random.Generator) -> str:
    if not recipe:
        because = _one_of(rng, BECAUSE["none"])
    else:
        worst, value = _strongest(recipe)[0]
        because = _one_of(rng, BECAUSE["strong" if value >= STRONG else "mild"]).format(worst=worst)
    return _one_of(rng, CONCLUSION).format(because=because, answer=answer)


def _strongest(recipe: Recipe) -> list[tuple[str, float]]:
    return sorted(recipe.items(), key=lambda item: -item[1])


def _sentences(texts: list[str], rng: np.random.Generator) -> str:
    """Clauses as sentences; now and then two of them share one."""
    text = texts[0]
    for clause in texts[1:]:
        inside = clause if clause.startswith("I ") else clause[0].lower() + clause[1:]
        text += f"; {inside}" if rng.random() < JOINED else f". {_capital(clause)}"
    return _capital(text) + "."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


_UNCOUNTED = ("furniture", "clothing", "food")


def _with_article(name: str) -> str:
    if name in _UNCOUNTED:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _one_of(rng: np.random.Generator, texts) -> str:
    return texts[rng.integers(len(texts))]
