"""Features of things that no training photo shows, made of those that some do.

Who learns names from a thousand photos learns the photos: asked about a new one, it names what the nearest old one
showed. The ImageNet classifier knows a thousand classes, each by its weights on the tower's features. The likeliest
change that exchanges its verdicts on two classes, put where the first is seen, turns the features of a photo of one
thing into likely features of another in the same surroundings. Any photo can stand for any class, and none can be
learned by heart.
"""

from pathlib import Path

import numpy as np
import torch

from training.corpus import Thing, read_things
from training.embedded import IMAGE_SIZE, IMAGE_TOKENS, PATCH_SIZE

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


def class_things() -> dict[int, Thing]:
    """Class -> the everyday thing that it is; those whose label stands for two classes or for no thing are left out."""
    labels, things = CLASSES.read_text().lower().splitlines(), read_things()
    known = {number: things.get(("object", label)) for number, label in enumerate(labels) if labels.count(label) == 1}
    return {number: thing for number, thing in known.items() if thing}


def named_classes() -> dict[str, list[int]]:
    """Name of a thing -> its classes."""
    names: dict[str, list[int]] = {}
    for number, thing in class_things().items():
        names.setdefault(thing.name, []).append(number)
    return names


class Classes:
    """The classes that have everyday names, to draw from.

    Names of many classes come more often, but not in proportion: there are 118 breeds of dogs and two elephants.
    """

    def __init__(self):
        self.named = named_classes()
        frequency = np.sqrt([len(classes) for classes in self.named.values()])
        self.frequency = frequency / frequency.sum()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[list[str], list[int]]:
        """Different names, and a class of each."""
        names = [str(name) for name in rng.choice(list(self.named), count, replace=False, p=self.frequency)]
        return names, [int(rng.choice(self.named[name])) for name in names]


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

    def __call__(self, features: np.ndarray, wanted: int) -> np.ndarray:
        """Exchange the likeliest class with the wanted one.

        Args:
            features: of one picture, float32 (positions, channels), in [0, 6].

        Returns:
            The same shape, in [0, 6]: the verdict on each of the two is about what it was on the other.
        """
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
