"""How often each side has won, with intervals. Pure functions of votes.

A vote is on two sides, of which the *other* is the one that stands later among `demo.replies.SIDES`: the one with more
to it. A *share* is the other's, of the votes that decide: those for one side alone. Ties (both, neither) are counted
and stated, not shared out. Its interval is Wilson's, which also holds for few votes and for shares near 0 and 1 (E. B.
Wilson, 1927, Probable inference, the law of succession, and statistical inference). It takes votes for independent;
`voters` says how many people they come from.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from demo.replies import SIDES
from demo.vote.ballots import BOTH, NEITHER

CONFIDENCE = 0.95
QUESTIONS = ("better", "right")


def wilson(wins: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share of `wins` among `count`; (0, 1) where there is none.

    Raises:
        ValueError: more wins than cases, or fewer than none.
    """
    if not 0 <= wins <= count:
        raise ValueError(f"{wins} wins among {count} cases cannot be")
    if count == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, scale = wins / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # Exact at the ends, where rounding would leave a sliver.
    return (0.0 if wins == 0 else middle - half), (1.0 if wins == count else middle + half)


@dataclass(frozen=True)
class Standing:
    """What was said to one question about one pair of models.

    Attributes:
        wins: {side: votes for that side alone}, the other one last; both, neither: ties; silent: those who could not
            say.
        share: of the other side among the votes that decide, None without one.
        low, high: the share's interval.
    """

    wins: Mapping[str, int]
    both: int
    neither: int
    silent: int

    @property
    def decided(self) -> int:
        return sum(self.wins.values())

    @property
    def share(self) -> float | None:
        return self._others / self.decided if self.decided else None

    @property
    def low(self) -> float:
        return wilson(self._others, self.decided)[0]

    @property
    def high(self) -> float:
        return wilson(self._others, self.decided)[1]

    @property
    def _others(self) -> int:
        return list(self.wins.values())[-1]

    def as_json(self) -> dict:
        ties = {name: getattr(self, name) for name in ("both", "neither", "silent")}
        return {**self.wins, **ties, **{name: getattr(self, name) for name in ("decided", "share", "low", "high")}}


@dataclass(frozen=True)
class Result:
    """All votes on one pair of models.

    Attributes:
        models: {side: {"name", "weights"}} of the two, the other one last.
        votes, voters, items: how many votes, of how many voters, on how many different items.
        standings: {question of `QUESTIONS`: Standing}.
        first: share of the decided votes on what is better that went to the answer that stood first; about a half
            unless voters favour a place.
    """

    models: dict
    votes: int
    voters: int
    items: int
    standings: dict[str, Standing]
    first: float | None

    def as_json(self) -> dict:
        return vars(self) | {"standings": {name: one.as_json() for name, one in self.standings.items()}}


def results(votes: Iterable) -> list[Result]:
    """The votes by pair of models, the pair with the most votes first.

    Args:
        votes: `demo.store.tables.Vote`, or what has its attributes.
    """
    by_models: dict[tuple, list] = {}
    for vote in votes:
        key = tuple((side, vote.models[side]["name"], vote.models[side]["weights"]) for side in sides_of(vote))
        by_models.setdefault(key, []).append(vote)
    found = [_result(own) for own in by_models.values()]
    return sorted(found, key=lambda one: -one.votes)


def sides_of(vote) -> list[str]:
    """The two sides that a vote is on, the other one last."""
    return [side for side in SIDES if side in vote.models]


def _result(votes: Sequence) -> Result:
    decided, sides = [vote for vote in votes if vote.better in SIDES], sides_of(votes[0])
    return Result(
        models={side: dict(votes[0].models[side]) for side in sides},
        votes=len(votes),
        voters=len({vote.voter for vote in votes}),
        items=len({vote.item for vote in votes}),
        standings={name: standing([getattr(vote, name) for vote in votes], sides) for name in QUESTIONS},
        first=sum(vote.better == vote.first for vote in decided) / len(decided) if decided else None,
    )


def standing(said: Sequence[str | None], sides: Sequence[str]) -> Standing:
    """The count of what was said of two sides: one of them, ``both``, ``neither``, or None."""
    count = Counter(said)
    return Standing({side: count[side] for side in sides}, count[BOTH], count[NEITHER], count[None])
