"""Tables: those that ``training.write`` fills row by row, so that a kill loses nothing that was written or paid; and
those of anybody, of which every row has to be whole."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from json import dumps, loads
from pathlib import Path

from degradations.jobs import read_table


@contextmanager
def appending(table: Path) -> Iterator[Callable[[dict], None]]:
    """Append rows to a JSON Lines file; a row is there for good when the call returns.

    What a kill has left of a line is cut off first.
    """
    with table.open("a+b") as file:
        file.seek(0)
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))

        def append(row: dict) -> None:
            file.write(dumps(row).encode() + b"\n")
            file.flush()

        yield append


def whole_rows(table: Path, most: int | None = None) -> Iterator[tuple[int, dict]]:
    """The rows of a JSON Lines file, or its first ones, each with the number of its line.

    Raises:
        ValueError: a line is no JSON object; the text says which.
    """
    with table.open("rb") as lines:
        for number, line in enumerate(islice(lines, most), 1):
            try:
                row = loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                found = line.rstrip(b"\r\n")[:80].decode(errors="replace")
                raise ValueError(f"{table}, line {number}: not a JSON object: {found!r}")
            yield number, row


@dataclass
class Totals:
    """What the answers of a run came to.

    Attributes:
        answers: how many there are, whether they were of use or not.
        tokens_in, tokens_out: as the endpoint counted them.
        uncounted: answers of which the endpoint said no count.
    """

    answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0

    def add(self, row: dict) -> None:
        self.answers += 1
        if row["usage"] is None:
            self.uncounted += 1
        else:
            self.tokens_in += row["usage"]["prompt_tokens"]
            self.tokens_out += row["usage"]["completion_tokens"]

    def __str__(self) -> str:
        uncounted = f" ({self.uncounted} of them uncounted)" if self.uncounted else ""
        return f"{self.answers} answers{uncounted}, {self.tokens_in} tokens read, {self.tokens_out} written"

    def cost(self, price_in: float, price_out: float) -> float:
        """In the currency of the prices, which are those of a million tokens."""
        return (self.tokens_in * price_in + self.tokens_out * price_out) / 1e6


class Answers:
    """Every answer of an endpoint, stored as it comes: rows ``{"id", "step", "text", "problem", "usage"}``.

    Args:
        table: the JSON Lines file.
        wanted: ids of the samples whose answers are needed; those of others count in the totals only.
    """

    def __init__(self, table: Path, wanted: Container = ()):
        self.totals = Totals()
        self._rows = defaultdict(list)
        self._table = table
        for row in read_table(table):
            self.totals.add(row)
            if row["id"] in wanted:
                self._rows[row["id"], row["step"]].append(row)

    @contextmanager
    def opened(self) -> Iterator["Answers"]:
        """Within this, answers can be added."""
        with appending(self._table) as self._append:
            yield self

    def of(self, sample: dict, step: str) -> list[dict]:
        """The answers to one step of one sample, in the order in which they came."""
        return self._rows[sample["id"], step]

    def add(self, row: dict) -> None:
        self._append(row)
        self.totals.add(row)
        self._rows[row["id"], row["step"]].append(row)
