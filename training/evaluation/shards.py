"""One evaluation on several processes: ``accelerate launch -m training.evaluate …``.

Every process works out the same batches and asks for its share of them, into a file of its own; the first one puts them
together. Batches are those of a single process, so the union is what it would have written.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState

from degradations.jobs import read_table
from training.written import appending

PATIENCE = timedelta(days=30)
"""How long processes wait for each other: an endpoint is asked by one of them, however long that takes."""


@dataclass(frozen=True)
class Shard:
    """One of the processes; the first one is alone to read and write what they share."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            PartialState().wait_for_everyone()

    def end(self) -> None:
        """Leave the others; nothing can be waited for after it."""
        if self.count > 1:
            PartialState().destroy_process_group()

    def share(self, batches: Sequence) -> Sequence:
        return batches[self.rank :: self.count]

    def file(self, table: Path) -> Path:
        """Where this process writes what belongs into the table."""
        return table if self.count == 1 else table.with_suffix(f".{self.rank}{table.suffix}")


ALONE = Shard()
"""The only process."""


def this_process() -> Shard:
    """Which of accelerate's processes this is; the only one without accelerate."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    if torch.cuda.is_available():
        torch.cuda.set_device(state.device)
    return Shard(state.process_index, state.num_processes)


def gather(table: Path) -> None:
    """Put what processes have written, also ones that were killed, into the one table."""
    with appending(table) as append:
        known = {row["key"] for row in read_table(table)}
        for part in sorted(table.parent.glob(f"{table.stem}.*{table.suffix}")):
            for row in read_table(part):
                if row["key"] not in known:
                    append(row)
                    known.add(row["key"])
            part.unlink()
