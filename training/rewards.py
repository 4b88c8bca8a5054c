"""Rewards: how good a completion is. The evaluation measures with the same functions.

Each reward is a pure function of a completion's text and what is known of its sample. `REWARDS` names those that GRPO
can be given; a new one is a function and an entry. All reading is done by `demo.chain` and all comparing of recipes
by `degradations.compare`, so a text that cannot be read is an empty prediction and a type named twice counts once.

The formulas are those of Robust-R1 (the paper's section on reinforcement learning and its published code).
"""

import re
from collections.abc import Callable, Sequence

from degradations import Recipe, compare
from demo.chain import meant, parse_chain, read_answer

CountTokens = Callable[[list[str]], list[int]]
"""Texts -> how many tokens each has."""


def accuracy(answer: str, truth: str, options: Sequence[str] = ()) -> float:
    """1 if the answer is the true one, else 0 (published code: 0 or 1).

    With options both must mean the same one; without, both must be the same words, cases, articles and punctuation
    aside. An answer that is missing or names nothing is wrong, whatever the truth is.

    Args:
        answer: what stands in a chain's ANSWER block, or the direct answer of a baseline.

    Raises:
        ValueError: the truth is empty, or none of the options.
    """
    if not options:
        if not _words(truth):
            raise ValueError(f"the true answer {truth!r} has no words to compare with")
        return float(_words(answer) == _words(truth))
    right = read_answer(truth, list(options))
    if right is None:
        raise ValueError(f"the true answer {truth!r} is none of the options {list(options)}")
    return float(read_answer(answer, list(options)) == right)


def complete(completion: str) -> float:
    """1 if all five blocks are there in order, each closed by its own tag, else 0 (published code: 0 or 1)."""
    return float(parse_chain(completion).complete)


def r_deg(applied: Recipe, predicted: Recipe) -> float:
    """How well the degradations were named, in the form of the published code.

    Σ over matched types (1.5 - |Δs|) - invented types - missed types, where Δs is the difference of the intensities.
    """
    compared = compare(applied, predicted)
    matched = sum(1.5 - abs(true - said) for true, said in compared.hits.values())
    return matched - len(compared.inventions) - len(compared.misses)


def r_deg_paper(applied: Recipe, predicted: Recipe) -> float:
    """The same as the paper's equation has it, literally.

    Σi Σj [match(i, j) · (1 - |Δs|) - mismatch(i, j)] over every predicted type i and every true type j. Every pair that
    does not match costs 1, so three types named perfectly earn 3 - 6 = -3, and naming nothing earns 0.
    """
    compared = compare(applied, predicted)
    matched = sum(1 - abs(true - said) for true, said in compared.hits.values())
    return matched - (len(applied) * len(predicted) - len(compared.hits))


def r_len(length: int, reference: int) -> float:
    """How near a length is to the reference's, in tokens: 1 - |length - reference| / reference (paper and code).

    At most 1; not bounded below, as published: ten times too long earns -8. What bounds it is the longest completion.

    Raises:
        ValueError: the reference is empty.
    """
    if reference < 1:
        raise ValueError("the reference chain has no tokens")
    return 1 - abs(length - reference) / reference


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the")]


# What follows fits these functions to TRL, which hands every reward the completions of a batch and their samples'
# columns, and reads a function's name for its logs.


def _accuracy(
    texts: list[str], answer: list[str], options: list[list[str]], chain: list[str] | None = None, **_
) -> list[float]:
    said = []
    for text, truth, listed, reference in zip(texts, answer, options, chain or [""] * len(texts), strict=True):
        # What a number means is learned from the reference: where options are numbers, 2 may be the option that says 2
        # or, as in the published data, the one with that index.
        written = parse_chain(reference).answer
        indexed = written != truth and meant(written, listed, by_index=True) == truth
        own = parse_chain(text).answer
        said.append(meant(own, listed, by_index=True) if indexed else own)
    return [accuracy(*one) for one in zip(said, answer, options, strict=True)]


def _format(texts: list[str], **_) -> list[float]:
    return [complete(text) for text in texts]


def _of_recipes(reward: Callable[[Recipe, Recipe], float]) -> Callable[..., list[float]]:
    def of_batch(texts: list[str], recipe: list[str], **_) -> list[float]:
        return [
            reward(Recipe.parse(applied), parse_chain(text).recipe) for text, applied in zip(texts, recipe, strict=True)
        ]

    return of_batch


def _r_len(texts: list[str], chain: list[str], count_tokens: CountTokens, **_) -> list[float]:
    return [r_len(*lengths) for lengths in zip(count_tokens(texts), count_tokens(chain), strict=True)]


REWARDS: dict[str, Callable[..., list[float]]] = {
    "accuracy": _accuracy,
    "format": _format,
    "r_deg": _of_recipes(r_deg),
    "r_deg_paper": _of_recipes(r_deg_paper),
    "r_len": _r_len,
}
"""Name -> function of (texts, the samples' columns, count_tokens) to one reward a text."""

KEPT = ("id", "recipe", "answer")
"""The samples' columns that are kept beside the logged completions."""


def check_names(names: Sequence[str]) -> None:
    """
    Raises:
        ValueError: there is no reward of a name, or no name.
    """
    unknown = [name for name in names if name not in REWARDS]
    if unknown or not names:
        raise ValueError(f"there is no reward {', '.join(unknown) or 'chosen'}; there are {', '.join(REWARDS)}")


def for_trl(names: Sequence[str], tokenizer) -> list[Callable[..., list[float]]]:
    """Rewards as ``GRPOTrainer(reward_funcs=…)`` takes them, in the order of their names.

    Args:
        names: keys of `REWARDS`.
        tokenizer: counts tokens for r_len; the model's own.

    Raises:
        ValueError: there is no such reward.
    """

    def count_tokens(texts: list[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def fitted(position: int, name: str) -> Callable[..., list[float]]:
        def reward(prompts, completions: list[list[dict]], log_extra=None, **columns) -> list[float]:
            if log_extra and position == 0:
                for column in KEPT:
                    log_extra(column, columns[column])
            texts = [completion[0]["content"] for completion in completions]
            return REWARDS[name](texts, count_tokens=count_tokens, **columns)

        reward.__name__ = name
        return reward

    check_names(names)
    return [fitted(position, name) for position, name in enumerate(names)]
