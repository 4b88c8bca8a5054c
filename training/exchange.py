"""Features of things that no training photo shows, made of those that some do.

Who learns names from a thousand photos learns the photos: asked about a new one, it names what the nearest old one
showed. The ImageNet classifier knows a thousand classes, each by its weights on the tower's features. The likeliest
change that exchanges its verdicts on two classes, put where the first is seen, turns the features of a photo of one
thing into likely features of another in the same surroundings. Any photo can stand for any class, and none can be
learned by heart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.corpus import Thing, read_things
from training.embedded import IMAGE_SIZE, IMAGE_TOKENS, PATCH_SIZE
from training.questions import OPTIONS

CLASSES = Path(__file__).with_name("imagenet.txt")
"""The labels of ImageNet's thousand classes, one a line, in the classifier's order."""

WHOLE = np.arange(IMAGE_TOKENS)
_GRID = WHOLE.reshape(IMAGE_SIZE // PATCH_SIZE, -1)
QUARTERS = [
    _GRID[rows, columns].ravel() for rows in (slice(3), slice(-3, None)) for columns in (slice(3), slice(-3, None))
]
"""Positions of the tower's features: all of them, and those of each of `training.questions.PLACES`."""

LARGEST = 6.0
"""The tower's last layer is a ReLU6."""
ROUNDS = 3
"""How often a change is made up for what clipping took of it."""
SURER = 2.0
"""What the verdict on the wanted class gains beyond the exchange: more is left of what was there than its class."""


def labels() -> list[str]:
    """The label of every class; three stand for two classes each."""
    return CLASSES.read_text().lower().splitlines()


def class_things() -> dict[int, Thing]:
    """Class -> the everyday thing that it is; those whose label stands for two classes or for no thing are left out."""
    all_labels, things = labels(), read_things()
    known = {n: things.get(("object", label)) for n, label in enumerate(all_labels) if all_labels.count(label) == 1}
    return {number: thing for number, thing in known.items() if thing}


def named_classes() -> dict[str, list[int]]:
    """Name of a thing -> its classes."""
    names: dict[str, list[int]] = {}
    for number, thing in class_things().items():
        names.setdefault(thing.name, []).append(number)
    return names


def labelled_classes() -> dict[str, list[int]]:
    """Every name of a thing and every label -> its classes."""
    words: dict[str, list[int]] = {}
    for number, label in enumerate(labels()):
        words.setdefault(label, []).append(number)
    return words | named_classes()


KINDS = ("object", "object", "which", "where")
"""Kinds of questions about what features are exchanged for, to draw from: half of them are about the main object."""
MOST = 3
"""So many corners at most show another thing."""
LABEL_SHARE = 0.35
"""Share of options that are labels of ImageNet, "beagle" or "triumphal arch"."""
STRANGE_SHARE = 0.1
"""Share of options that are words nobody has heard."""
DOUBT_SHARE = 0.6
"""Share of things to be chosen beside which something else is seen that is none of the options."""
LEAST_SEEN = 0.2
"""Such a thing's share in what is seen lies between this and what is left of 1."""

_ONSETS, _VOWELS, _ENDS = tuple("bdfgklmnprstvz"), tuple("aeiou"), ("", "", "l", "n", "r", "st")


@dataclass(frozen=True)
class Choice:
    """A thing to be chosen from options.

    Attributes:
        name: the right option.
        number: its class; None for a word that nobody has heard: it is right since no other option is seen.
        options: all of them.
        shares: class -> share of it in what is seen; they sum to 1.
    """

    name: str
    number: int | None
    options: list[str]
    shares: dict[int, float]


class Classes:
    """The classes and their names, to draw from.

    Names of many classes come more often, but not in proportion: there are 118 breeds of dogs and two elephants.
    """

    def __init__(self):
        self.named = named_classes()
        frequency = np.sqrt([len(classes) for classes in self.named.values()])
        self.frequency = frequency / frequency.sum()
        things, self.labels = class_things(), labels()
        self.right: dict[str, set[int]] = {}
        """Word -> the classes that it is a right name of."""
        for number, label in enumerate(self.labels):
            for word in {label} | (things[number].right if number in things else set()):
                self.right.setdefault(word, set()).add(number)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[list[str], list[int]]:
        """Different names, and a class of each."""
        names = [str(name) for name in rng.choice(list(self.named), count, replace=False, p=self.frequency)]
        return names, [int(rng.choice(self.named[name])) for name in names]

    def corners(self, rng: np.random.Generator) -> tuple[list[str], list[int], list[int]]:
        """Names, classes and corners (indices of `training.questions.PLACES`) of things to be put there."""
        names, classes = self.draw(rng, int(rng.integers(1, MOST + 1)))
        return names, classes, rng.permutation(len(QUARTERS))[: len(names)].tolist()

    def choose(self, rng: np.random.Generator) -> Choice:
        """A thing among options; often something else is seen as well as it, or better.

        Who always sees the right thing best names what it sees best and does not look at the options. In new photos
        that is often none of them.
        """
        name, number = self._word(rng)
        options, taken = [name], set(self.right.get(name, ()))
        while len(options) < OPTIONS:
            word, other = self._word(rng)
            if (number is None and other is None) or word in options or taken & self.right.get(word, set()):
                continue
            options.append(word)
        shown = set().union(*(self.right.get(word, ()) for word in options))
        beside = int(rng.choice([n for n in range(len(self.labels)) if n not in shown]))
        shares = {beside: 1.0} if number is None else {number: 1.0}
        if number is not None and rng.random() < DOUBT_SHARE:
            share = round(float(rng.uniform(LEAST_SEEN, 1 - LEAST_SEEN)), 2)
            shares = {number: share, beside: round(1 - share, 2)}
        return Choice(name, number, [str(word) for word in rng.permutation(options)], shares)

    def _word(self, rng: np.random.Generator) -> tuple[str, int | None]:
        """An everyday name or a label, and its class; or a word that nobody has heard."""
        drawn = rng.random()
        if drawn < STRANGE_SHARE:
            while (word := _strange(rng)) in self.right:  # "gar" is a fish
                pass
            return word, None
        if drawn < STRANGE_SHARE + LABEL_SHARE:
            number = int(rng.integers(len(self.labels)))
            return self.labels[number], number
        (name,), (number,) = self.draw(rng, 1)
        return name, number


def _strange(rng: np.random.Generator) -> str:
    syllables = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.integers(1, 4))]
    return "".join(syllables) + str(rng.choice(_ENDS))


class Exchange:
    """Exchanges classes in features.

    Weights tell how to read a class, not how it looks: what goes along with it in pictures is their product with the
    covariance (Haufe et al., NeuroImage 87, 2014). A change along the weights alone would be seen by the classifier and
    by nobody else.

    Args:
        classifier: on the mean of a picture's features, (channels -> classes).
        means: these means of many clean pictures, float32 (pictures, channels).
    """

    def __init__(self, classifier: torch.nn.Linear, means: np.ndarray):
        self.weight = classifier.weight.detach().numpy()
        self.bias = classifier.bias.detach().numpy()
        self.patterns = self.weight @ np.cov(means, rowvar=False, dtype=np.float32)

    def __call__(self, features: np.ndarray, shares: Mapping[int, float]) -> np.ndarray:
        """Exchange the likeliest class with others, each in its share of what is seen.

        Args:
            features: of one picture, float32 (positions, channels), in [0, 6].
            shares: class -> its share; they sum to 1.

        Returns:
            The same shape, in [0, 6]. Of a single class, its verdict and that on the likeliest have about changed
            places; of several, features and verdicts lie between those of each.
        """
        return sum(np.float32(share) * self._with(features, wanted) for wanted, share in shares.items())

    def _with(self, features: np.ndarray, wanted: int) -> np.ndarray:
        verdict = self.weight @ features.mean(0) + self.bias
        found = int(verdict.argmax())
        if found == wanted:
            return features
        both = [found, wanted]
        weight, pattern = self.weight[both], self.patterns[both]
        goal = verdict[[wanted, found]] - self.bias[both] + np.float32([-SURER, SURER])
        likeliest = pattern.T @ np.linalg.inv(weight @ pattern.T)  # likeliest @ x is a change with weight @ change = x
        evidence = np.maximum(features @ weight[0], 0)[:, None]
        evidence /= evidence.mean() or 1.0
        for _ in range(ROUNDS):
            change = likeliest @ (goal - weight @ features.mean(0))
            features = np.clip(features + evidence * change, 0.0, LARGEST)
        return features
