"""The box that votes are put into: the database. A vote that is shown as counted is there for good."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from degradations.files import write_whole
from demo import settings
from demo.replies import SIDES
from demo.store.database import Store
from demo.store.tables import Vote
from demo.texts import Text
from demo.vote.ballots import CHOICES, PLACES, Ballot

FORMATS = ("jsonl", "csv")
BACKUP = "votes.jsonl"
"""What the votes are called among what a server pushes."""
COLUMNS = (
    "ballot", "item", "voter", "at", "photo", "question", "options", "answer", "recipe", "seed", "temperature",
    "max_new_tokens", "baseline", "baseline_weights", "robust", "robust_weights", "baseline_reply", "robust_reply",
    "first", "better", "right", "seconds", "recovered", "recovered_weights", "recovered_reply",
)  # fmt: skip
"""Those of a side that was not drawn are empty."""
MOST_MARK = 200
"""Characters of the mark that a voter's browser, or script, sends."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class DoubleVoteError(ValueError):
    """A vote that does not count, because an earlier one does."""


class Box:
    """The votes in a database."""

    def __init__(self, store: Store, most: int = settings.MOST_VOTES):
        self.store, self._most = store, most

    def cast(self, ballot: Ballot, better: object, right: object, voter: object, seconds: float | None = None) -> None:
        """Put a vote into the box; it is there for good when this returns.

        Args:
            better, right: one of `CHOICES`, by the places of the ballot; right may be None or empty: cannot say.
            voter: a mark that stays the same for one voter; only its hash is kept.

        Raises:
            DoubleVoteError: this ballot, or this voter on the same item, has been counted already. Of two votes the
                first counts: it alone was blind.
            ValueError: no such choice, no mark, or a full box.
        """
        if better not in CHOICES or (right or None) not in (None, *CHOICES):
            raise ValueError(Text("vote.choose", choices=", ".join(CHOICES)))
        if not isinstance(voter, str) or not 0 < len(voter.strip()) <= MOST_MARK:
            raise ValueError(Text("vote.no-voter", most=MOST_MARK))
        vote = Vote(
            ballot=ballot.id,
            item=ballot.item,
            voter=hashlib.sha256(voter.strip().encode()).hexdigest(),
            photo=ballot.photo,
            question=ballot.question,
            options=list(ballot.options),
            answer=ballot.answer,
            recipe=str(ballot.recipe),
            seed=ballot.seed,
            temperature=ballot.temperature,
            max_new_tokens=ballot.max_new_tokens,
            models={side: dict(model) for side, model in ballot.models.items()},
            replies=dict(ballot.replies),
            first=ballot.sides[PLACES[0]],
            better=ballot.side(better),
            right=ballot.side(right) if right else None,
            seconds=seconds,
        )
        try:
            with self.store.writing() as session:
                if session.scalar(select(func.count()).select_from(Vote)) >= self._most:
                    raise ValueError(Text("vote.full"))
                session.add(vote)
        except IntegrityError as error:
            raise DoubleVoteError(Text("vote.double")) from error

    def votes(self) -> list[Vote]:
        """All of them, in the order in which they came."""
        with self.store.reading() as session:
            return list(session.scalars(select(Vote).order_by(Vote.id)))

    def rows(self) -> Iterator[dict]:
        """The votes as plain values: the columns of `COLUMNS`."""
        for vote in self.votes():
            own = {name: getattr(vote, name) for name in COLUMNS if hasattr(vote, name)}
            for side, model in vote.models.items():
                own |= {side: model["name"], f"{side}_weights": model["weights"]}
                own[f"{side}_reply"] = vote.replies[side]
            own["at"] = vote.at.isoformat(timespec="seconds")
            yield {name: own.get(name) for name in COLUMNS}

    def as_jsonl(self) -> str:
        """The votes as JSON Lines."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows())

    def as_csv(self) -> str:
        """The votes as CSV; what a spreadsheet would compute gets an apostrophe before it."""
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in self.rows():
            table.writerow({name: _cell(value) for name, value in row.items()})
        return text.getvalue()

    def keep_in(self, folder: Path) -> None:
        """Bring the file `BACKUP` in a folder up to date; where there are no votes, or no new ones, nothing is done."""
        path, content = folder / BACKUP, self.as_jsonl().encode()
        if content and not (path.is_file() and path.read_bytes() == content):
            write_whole(path, content)

    def take_back(self, folder: Path) -> int:
        """Put the votes that `keep_in` has written into the box, where they are not in it; returns how many.

        Raises:
            ValueError: the file is none of ours.
        """
        path = folder / BACKUP
        if not path.is_file():
            return 0
        try:
            votes = [_vote(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no votes of ours: {error!r}") from error
        with self.store.writing() as session:
            known = set(session.scalars(select(Vote.ballot)))
            missing = [vote for vote in votes if vote.ballot not in known]
            session.add_all(missing)
        return len(missing)

    def written(self, format: object) -> str:
        """The votes in one of `FORMATS`.

        Raises:
            ValueError: there is no such format.
        """
        if format not in FORMATS:
            raise ValueError(Text("annotate.no-format", formats=", ".join(FORMATS)))
        return self.as_csv() if format == "csv" else self.as_jsonl()


def _vote(row: dict) -> Vote:
    """The vote that a row of `Box.rows` tells of."""
    own = {name: row[name] for name in COLUMNS if hasattr(Vote, name)}
    own["at"] = datetime.fromisoformat(row["at"])
    drawn = [side for side in SIDES if row.get(side) is not None]
    if len(drawn) != len(PLACES):
        raise ValueError(f"two sides are drawn, not {drawn}")
    models = {side: {"name": row[side], "weights": row[f"{side}_weights"]} for side in drawn}
    return Vote(**own, models=models, replies={side: row[f"{side}_reply"] for side in drawn})


def _cell(value: object) -> str:
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("'", *_FORMULA)) else text
