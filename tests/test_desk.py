"""Items handed out and taken back: undo, skip, back, several annotators, processes that die."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from demo.annotate import desk as desks
from demo.annotate.desk import ConflictError, Desk
from demo.store.database import Store
from demo.store.tables import Batch, Judgement, Seat, now
from tests.batch_making import database, open_one

ROOT = Path(__file__).resolve().parent.parent


def right(task, **more) -> dict:
    return {"marks": dict.fromkeys(task.predicted, "right")} | more


@pytest.fixture
def opened(tmp_path):
    batches, batch = open_one(tmp_path, 4)
    return Desk(batches.store), batch


def save(desk, task, annotator="anna", **more) -> int:
    return desk.save(task.id, annotator, right(task, **more), task.revision)


def test_items_come_in_order_until_none_is_left(opened):
    desk, batch = opened
    numbers = []
    while task := desk.next(batch, "anna"):
        numbers.append(task.number)
        assert save(desk, task) == 1
    assert numbers == [0, 1, 2, 3]
    progress = desk.progress(batch, "anna")
    assert (progress.saved, progress.skipped, progress.left, progress.finished) == (4, 0, 0, 4)


def test_what_lies_on_a_desk_comes_again_and_goes_to_nobody_else(opened):
    desk, batch = opened
    first = desk.next(batch, "anna")
    assert desk.next(batch, "anna").id == first.id
    assert desk.next(batch, "ben").number == 1


def test_what_is_left_lying_goes_to_another(opened):
    desk, batch = opened
    first = desk.next(batch, "anna")
    with desk.store.writing() as session:
        session.execute(update(Seat).values(at=now() - desks.LEASE - timedelta(seconds=1)))
    assert desk.next(batch, "ben").id == first.id
    assert save(desk, first) == 1, "a late verdict is taken all the same"


def test_an_item_goes_to_as_many_as_its_batch_says(opened):
    desk, batch = opened
    with desk.store.writing() as session:
        session.execute(update(Batch).values(per_item=2))
    tasks = {name: desk.next(batch, name) for name in ("anna", "ben", "chen")}
    assert [task.number for task in tasks.values()] == [0, 0, 1]
    for name in ("anna", "ben"):
        save(desk, tasks[name], name)
    with desk.store.reading() as session:
        said = session.execute(select(Judgement.annotator, Judgement.revision).order_by(Judgement.annotator)).all()
    assert said == [("anna", 1), ("ben", 1)]
    assert desk.progress(batch, "chen").finished == 1


def test_skip_puts_aside_and_frees_the_place(opened):
    desk, batch = opened
    first = desk.next(batch, "anna")
    assert desk.skip(first.id, "anna", 0) == 1
    assert desk.next(batch, "anna").number == 1
    assert desk.next(batch, "ben").id == first.id
    assert desk.progress(batch, "anna").skipped == 1


def test_undo_takes_back_one_after_the_other(opened):
    desk, batch = opened
    first = desk.next(batch, "anna")
    save(desk, first, comment="one")
    second = desk.next(batch, "anna")
    desk.skip(second.id, "anna", 0)
    again = desk.undo(batch, "anna")
    assert (again.id, again.state, again.verdict) == (second.id, "open", None)
    again = desk.undo(batch, "anna")
    assert (again.id, again.state, again.verdict, again.revision) == (first.id, "open", None, 2)
    assert desk.undo(batch, "anna") is None
    assert desk.next(batch, "anna").id == first.id
    assert save(desk, again) == 3
    assert desk.next(batch, "anna").id == second.id


def test_undo_of_a_change_brings_back_what_was_said_before(opened):
    desk, batch = opened
    first = desk.next(batch, "anna")
    save(desk, first, comment="one")
    changed = desk.task(first.id, "anna")
    save(desk, changed, comment="two")
    restored = desk.undo(batch, "anna")
    assert (restored.state, restored.verdict.comment, restored.revision) == ("saved", "one", 3)
    assert desk.undo(batch, "anna").verdict is None
    assert desk.progress(batch, "anna").saved == 0


def test_undo_reaches_nobody_elses(opened):
    desk, batch = opened
    save(desk, desk.next(batch, "anna"))
    assert desk.undo(batch, "ben") is None
    assert desk.progress(batch, "anna").saved == 1


def test_back_walks_through_what_was_done(opened):
    desk, batch = opened
    for _ in range(2):
        save(desk, desk.next(batch, "anna"))
    desk.skip(desk.next(batch, "anna").id, "anna", 0)
    here = desk.next(batch, "anna")
    walked = []
    while back := desk.back(batch, "anna", walked[-1].id if walked else here.id):
        walked.append(back)
    assert [(task.number, task.state) for task in walked] == [(2, "skipped"), (1, "saved"), (0, "saved")]
    assert desk.next(batch, "anna").id == here.id, "the item on the desk is still there"


def test_of_two_windows_the_second_is_told(opened):
    desk, batch = opened
    task = desk.next(batch, "anna")
    save(desk, task, comment="first window")
    with pytest.raises(ConflictError):
        save(desk, task, comment="second window")
    with pytest.raises(ConflictError):
        desk.skip(task.id, "anna", task.revision)
    assert desk.task(task.id, "anna").verdict.comment == "first window"


@pytest.mark.parametrize("wrong", [0, 99, -1, True, "1", None])
def test_items_and_batches_that_are_not_there(opened, wrong):
    desk, _ = opened
    for call in (
        lambda: desk.save(wrong, "anna", {}, 0),
        lambda: desk.task(wrong, "anna"),
        lambda: desk.next(wrong, "anna"),
        lambda: desk.undo(wrong, "anna"),
        lambda: desk.back(wrong, "anna", 1),
        lambda: desk.progress(wrong, "anna"),
    ):
        with pytest.raises(ValueError, match=r"no (batch|item)"):
            call()


def test_a_verdict_that_does_not_fit_changes_nothing(opened):
    desk, batch = opened
    task = desk.next(batch, "anna")
    with pytest.raises(ValueError, match="mark"):
        desk.save(task.id, "anna", {"marks": {}}, 0)
    assert desk.task(task.id, "anna").revision == 0


@pytest.mark.parametrize("blind", [True, False])
def test_blind_hides_truth_and_model(tmp_path, blind):
    batches, batch = open_one(tmp_path, 2, blind=blind)
    task = Desk(batches.store).next(batch, "anna")
    assert (task.model is None, task.applied is None, task.answer is None, task.key == "") == (blind,) * 4
    assert task.predicted


# --- several processes ---


def annotator(folder: Path, batch: int, name: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.annotating", str(folder), str(batch), name],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def told(lines) -> set[tuple[int, int]]:
    return {tuple(map(int, line.split()[1:])) for line in lines if line.startswith("saved") and line.endswith("\n")}


def test_two_processes_at_once_share_the_work_and_overwrite_nothing(tmp_path):
    _, batch = open_one(tmp_path, 40)
    people = {name: annotator(tmp_path, batch, name) for name in ("anna", "ben")}
    for process in people.values():
        process.stdin.write("go\n")
        process.stdin.flush()
    saved = {name: told(process.communicate(timeout=300)[0].splitlines(True)) for name, process in people.items()}
    assert all(process.returncode == 0 for process in people.values())
    assert all(saved.values()), "both had their share"
    assert not saved["anna"] & saved["ben"]
    with Store(database(tmp_path)).reading() as session:
        kept = session.scalars(select(Judgement)).all()
    assert {(one.annotator, one.item_id) for one in kept} == {
        (name, item) for name, items in saved.items() for item, _ in items
    }
    assert len(kept) == 40
    assert all(one.verdict["comment"].startswith(one.annotator) for one in kept)


def test_a_kill_at_any_moment_loses_nothing_that_was_told_as_saved(tmp_path):
    """SIGKILL right after a line, each time after another number of them, while the next save is under way."""
    _, batch = open_one(tmp_path, 60)
    shown: set[tuple[int, int]] = set()
    for lines in (1, 2, 5, 9):
        process = annotator(tmp_path, batch, "anna")
        process.stdin.write("go\n")
        process.stdin.flush()
        seen = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        shown |= told(seen + process.stdout.readlines())
        process.wait(60)
        assert process.returncode == -9
        with Store(database(tmp_path)).reading() as session:
            kept = set(session.execute(select(Judgement.item_id, Judgement.revision)).all())
            seats = set(session.execute(select(Seat.item_id, Seat.revision).where(Seat.revision > 0)).all())
        assert shown <= kept
        assert kept == seats, "a verdict and its seat are there together or not at all"
        assert len(kept) <= len(shown) + 1
    assert len(shown) >= 17
