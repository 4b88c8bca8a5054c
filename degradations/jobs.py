"""Many jobs on all cores, with a table of what they made: repeatable, resumable, in constant memory.

What a job makes may depend on nothing but the job, so neither the number of workers nor the order matters. Each job's
rows are appended to a JSON Lines table when its files are there; a run that was killed reads the table and makes what
is missing. What grows with the number of jobs is one byte each, and two numbers a row while the table is put in order.
"""

import json
import os
import signal
import threading
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_end
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from degradations.files import UNFINISHED, replacing, sweep, write_whole

SETTINGS = "run.json"
LOCK = ".lock"


class OtherRunError(ValueError):
    """A folder that holds something else than the run which is asked for; the text says what."""


class StoppedError(RuntimeError):
    """A run that ended too early for a reason outside of it; starting it again goes on."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if need be.

    Raises:
        StoppedError: another run is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StoppedError(f"another run is at work in {folder}") from None
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make `folder` the place of one run, or find that it is this run's already.

    Args:
        settings: everything that what is made follows from, as JSON can hold it.

    Raises:
        OtherRunError: the folder holds another run, or files that no run made.
    """
    marker = folder / SETTINGS
    if marker.exists():
        try:
            before = json.loads(marker.read_text())
        except ValueError:
            before = None
        if not isinstance(before, dict):
            raise OtherRunError(f"{marker} is not readable, so {folder} may hold any run; give another")
        differing = [
            f"{name} was {json.dumps(before.get(name))} and is now {json.dumps(settings.get(name))}"
            for name in {**before, **settings}
            if before.get(name) != settings.get(name)
        ]
        if differing:
            raise OtherRunError(
                f"{folder} holds a run with other settings: {'; '.join(differing)}. Give the same, or another folder."
            )
        return
    if folder.exists() and not folder.is_dir():
        raise OtherRunError(f"{folder} is a file; give a folder")
    if folder.exists() and any(path.suffix != UNFINISHED for path in folder.iterdir()):
        raise OtherRunError(f"{folder} is not empty, and no earlier run left its {SETTINGS} there; give another folder")
    write_whole(marker, (json.dumps(settings, indent=2) + "\n").encode())


def run_jobs(
    table: Path,
    jobs: Iterable[Any],
    count: int,
    work: Callable[[Any], list[dict]],
    *,
    rows_each: int = 1,
    key: str = "index",
    files: tuple[str, ...] = ("file",),
    workers: int | None = None,
    start: Callable[[], None] | None = None,
    description: str | None = None,
) -> bytearray:
    """Do every job whose rows are not in the table yet, then put the table in the order of the jobs.

    Args:
        table: the JSON Lines file; paths in its rows are relative to its folder.
        jobs: in a fixed order, `count` of them; each can be pickled. They are drawn as they are needed.
        work: makes the files of one job and returns their rows: `rows_each` of them, or one with the key "error".
            Runs in another process. What it raises ends the run.
        key: what rows call the number of their job.
        files: what rows call the files that were made.
        workers: processes; by default as many as there are cores.
        start: called once in every worker.

    Returns:
        One byte a job: 1 where it is made, 0 where its row is an error.

    Raises:
        StoppedError: a worker was killed.
    """
    sweep(table.parent)
    done = _settle(table, count, key, rows_each, lambda row: _is_made(row, table.parent, files))
    missing = (job for number, job in enumerate(jobs) if not done[number])
    with (
        table.open("a") as rows,
        tqdm(total=count, initial=done.count(1), desc=description, unit=" photos") as bar,
        closing(in_processes(work, missing, workers, start)) as made,
    ):
        for found in made:
            rows.write("".join(json.dumps(row) + "\n" for row in found))
            rows.flush()
            bar.update()
    return _settle(table, count, key, rows_each, lambda row: True)


def read_table(table: Path) -> Iterator[dict]:
    """The rows of a JSON Lines file, without what a kill left of a line."""
    if table.exists():
        with table.open("rb") as file:
            for line in file:
                row = _parse(line)
                if row is not None:
                    yield row


def in_processes(
    work: Callable[[Any], Any],
    jobs: Iterable[Any],
    workers: int | None = None,
    start: Callable[[], None] | None = None,
) -> Iterator[Any]:
    """What is made of every job, as it comes; the arguments are those of `run_jobs`. To be closed if it is left early.

    Raises:
        StoppedError: a worker was killed.
    """
    workers = workers or cores()
    waiting = set()
    # Spawned, not forked: a fork inherits OpenCV's thread pool without its threads, and waits for them for ever.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=(start,)) as pool:

        def finished(most_waiting: int) -> Iterator[Any]:
            nonlocal waiting
            while len(waiting) > most_waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()

        try:
            for job in jobs:
                waiting.add(pool.submit(work, job))
                yield from finished(4 * workers)
            yield from finished(0)
        except BrokenProcessPool as error:
            raise StoppedError(
                "a worker process was killed, perhaps for want of memory, which fewer --workers need less of; "
                "the same command goes on from here"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(start: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)  # the processes share the cores already
    warnings.simplefilter("ignore")  # what matters about a file is in its row
    if start:
        start()


def end_with_parent() -> None:
    """A worker waits for its next job for ever, also after its parent was killed."""
    wait_for_end([parent_process().sentinel])
    os._exit(1)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _settle(table: Path, count: int, key: str, rows_each: int, keep: Callable[[dict], bool]) -> bytearray:
    """Reduce a table to the rows that are to be kept, of jobs that have all of theirs, in the order of the jobs.

    Returns:
        One byte a job: 1 where it is made.
    """
    numbers, failed, offsets, offset = array("q"), array("b"), array("q"), 0
    table.touch()
    with table.open("rb") as rows:
        for line in rows:
            row = _parse(line)
            if row is not None and row.get(key) in range(count) and keep(row):
                numbers.append(row[key])
                failed.append("error" in row)
                offsets.append(offset)
            offset += len(line)
        numbers, failed = np.asarray(numbers), np.asarray(failed) == 1
        made = np.bincount(numbers[~failed], minlength=count) == rows_each
        with replacing(table) as unfinished, unfinished.open("wb") as ordered:
            for position in np.argsort(numbers, kind="stable"):
                if made[numbers[position]] or failed[position]:
                    rows.seek(offsets[position])
                    ordered.write(rows.readline())
    return bytearray(made)


def _is_made(row: dict, folder: Path, files: tuple[str, ...]) -> bool:
    return "error" not in row and all((folder / row[name]).is_file() for name in files if name in row)


def _parse(line: bytes) -> dict | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
