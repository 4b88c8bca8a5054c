"""Pairs of answers that wait for a vote: of sides that are drawn, without names, each to be voted on once.

They are kept in memory, for an hour: the names must not travel to the browser before the vote, and a pair that nobody
votes on is worth nothing.
"""

import hashlib
import json
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from degradations import Recipe
from demo import settings
from demo.replies import Reply
from demo.texts import Text

PLACES = ("a", "b")
BOTH, NEITHER = "both", "neither"
CHOICES = (*PLACES, BOTH, NEITHER)
"""What a voter may say, of what is better and of what is right."""


@dataclass(frozen=True)
class Ballot:
    """Two answers to one question.

    Attributes:
        id: what a vote names it by; it tells nothing.
        item: hash of what was asked of which models; the same for everybody who asks it, whichever sides are drawn.
        photo: an example's file name, None for a visitor's own photo.
        question: with its options, which `options` lists.
        answer: the right one, None where it is not known.
        models: {side: {"name", "weights"}} of the two.
        replies: {side: what it wrote}; said: {side: what the page shows of it before the vote, None for no answer}.
        sides: {place: side}.
    """

    id: str
    item: str
    photo: str | None
    question: str
    options: tuple[str, ...]
    answer: str | None
    recipe: Recipe
    seed: int
    temperature: float
    max_new_tokens: int
    models: Mapping[str, Mapping[str, str]]
    replies: Mapping[str, str]
    said: Mapping[str, str | None]
    sides: Mapping[str, str]
    begin: float

    def side(self, choice: str) -> str:
        """A side for a place; ``both`` and ``neither`` stay."""
        return self.sides.get(choice, choice)


def item_of(pixels: bytes, question: str, recipe: Recipe, numbers: Sequence, models: Mapping) -> str:
    """The hash of what was asked: photo (its pixels at the models' size), question, recipe, settings, models."""
    told = [hashlib.sha256(pixels).hexdigest(), question, str(recipe), list(numbers), models]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def shown(reply: Reply, options: Sequence[str]) -> str | None:
    """What is shown of a reply before the vote: the answer alone, since a chain would tell whose it is.

    Raises:
        ValueError: the side failed, so there is nothing to choose between.
    """
    if reply.error:
        raise ValueError(Text("vote.side-failed"))
    return reply.answer(list(options))[0]


class Ballots:
    """Those of one server; bounded in number and time."""

    def __init__(
        self,
        most: int = settings.BALLOTS_OPEN,
        kept_s: float = settings.BALLOT_KEPT_S,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._lock, self._open = threading.Lock(), OrderedDict()
        self._most, self._kept_s, self._rng, self._clock = most, kept_s, rng or random.SystemRandom(), clock

    def draw(self, sides: Sequence[str]) -> dict[str, str]:
        """Two of some sides, each pair and order as likely as any other: {place: side}."""
        return dict(zip(PLACES, self._rng.sample(sides, len(PLACES)), strict=True))

    def add(self, **about: object) -> Ballot:
        """A new ballot; `about` are the attributes of `Ballot` that do not say which one it is, and since when."""
        ballot = Ballot(id=secrets.token_hex(16), begin=self._clock(), **about)
        with self._lock:
            self._open[ballot.id] = ballot
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        return ballot

    def get(self, name: object) -> Ballot:
        """A ballot that waits.

        Raises:
            ValueError: there is none: voted on, too old, or of before a restart.
        """
        with self._lock:
            ballot = self._open.get(name) if isinstance(name, str) else None
        if ballot is None or self.seconds(ballot) > self._kept_s:
            raise ValueError(Text("vote.no-ballot"))
        return ballot

    def seconds(self, ballot: Ballot) -> float:
        """How long a ballot has been there."""
        return self._clock() - ballot.begin

    def close(self, ballot: Ballot) -> None:
        """Take a ballot away once it has been voted on."""
        with self._lock:
            self._open.pop(ballot.id, None)
