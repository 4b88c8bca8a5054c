"""Runs of many jobs: the same whatever happens on the way."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
import tracemalloc
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import psutil
import pytest
from PIL import Image

from degradations import jobs
from degradations.jobs import StoppedError, claim, read_table, run_jobs
from tests.dataset_runs import command, fill, rows_of, run, tree


def test_the_number_of_workers_changes_no_byte(photos, whole, tmp_path):
    run("benchmark", photos, tmp_path, "--workers", 2)
    assert tree(tmp_path) == tree(whole)


def begin(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=Path(__file__).parents[1]
    )


def wait_for_rows(out: Path, more: int) -> None:
    """Until a running command has added so many lines to its manifest."""
    table = out / "manifest.jsonl"
    before = table.read_bytes().count(b"\n") if table.exists() else 0
    until = time.monotonic() + 60
    while not table.exists() or table.read_bytes().count(b"\n") < before + more:
        assert time.monotonic() < until
        time.sleep(0.002)


def is_at_work(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_killed_at_any_moment_it_goes_on_to_the_same_files(photos, whole, tmp_path):
    moments = random.Random(0)
    for kill_all in (True, False, True, False):
        process = begin("benchmark", photos, tmp_path, "--workers", 2)
        workers = []
        if len(list(read_table(tmp_path / "manifest.jsonl"))) < 100:
            wait_for_rows(tmp_path, moments.choice((1, 4, 20)))
            workers = psutil.Process(process.pid).children(recursive=True)
        time.sleep(moments.uniform(0, 0.05))
        (os.killpg if kill_all else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
        until = time.monotonic() + 20
        while any(is_at_work(worker) for worker in workers):
            assert time.monotonic() < until, "workers outlive their parent"
        for row in read_table(tmp_path / "manifest.jsonl"):
            Image.open(tmp_path / row["file"]).load()
    left = rows_of(tmp_path) if (tmp_path / "manifest.jsonl").read_bytes().endswith(b"\n") else []
    assert len(left) < 3 * 45, "the test killed nothing that was at work"
    (tmp_path / "images/photos_25/.left.unfinished").write_bytes(b"half")
    run("benchmark", photos, tmp_path, "--workers", 2)
    assert tree(tmp_path) == tree(whole)


def test_killed_while_it_starts_or_writes_its_tables(photos, whole, tmp_path):
    for seconds in (0.05, 0.3, 0.5):
        process = begin("benchmark", photos, tmp_path / "out", "--workers", 2)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    shutil.copytree(whole, tmp_path / "whole")
    process = begin("benchmark", photos, tmp_path / "whole")
    while process.poll() is None and not list((tmp_path / "whole").glob(".*.unfinished")):
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for out in (tmp_path / "out", tmp_path / "whole"):
        run("benchmark", photos, out, "--workers", 2)
        assert tree(out) == tree(whole)


def test_ctrl_c_says_how_to_go_on(photos, tmp_path):
    process = begin("synthesize", photos, tmp_path, "--copies", 4, "--workers", 2)
    wait_for_rows(tmp_path, 2)
    for worker in psutil.Process(process.pid).children():
        ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{worker.pid}/status").read_text())[1]
        assert int(ignored, 16) & 1 << signal.SIGINT - 1, "the parent decides what Ctrl-C means"
    os.killpg(process.pid, signal.SIGINT)
    _, report = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The same command goes on" in report and "Traceback" not in report


@pytest.mark.parametrize("cut", [1, 40])
def test_what_is_missing_is_made_again_and_nothing_else(photos, whole, tmp_path, cut):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    rows = rows_of(out)
    (out / rows[4]["file"]).unlink()
    table = out / "manifest.jsonl"
    table.write_bytes(table.read_bytes()[:-cut])  # as a kill leaves it
    kept = {path: path.stat().st_mtime_ns for path in (out / "images").rglob("*.png")}
    run("benchmark", photos, out)
    assert tree(out) == tree(whole)
    made = {path.relative_to(out).as_posix() for path in kept if path.stat().st_mtime_ns != kept[path]}
    assert made == {row["file"] for row in rows if row["index"] in (1, 44)} - {rows[4]["file"]}


def double(job: int, folder: Path) -> list[dict]:
    if job == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return [{"index": job}]


def test_a_killed_worker_ends_the_run_with_a_message(tmp_path):
    with pytest.raises(StoppedError, match="a worker process was killed"):
        run_jobs(tmp_path / "t.jsonl", range(50), 50, partial(double, folder=tmp_path), workers=2)


def test_two_runs_do_not_meet_in_one_folder(tmp_path):
    source, out = fill(tmp_path / "photos", 2), tmp_path / "out"
    with jobs.alone_in(tmp_path / "other"):
        run("benchmark", source, out)
    before = tree(out)
    with jobs.alone_in(out):
        (out / ".half-written.unfinished").touch()
        assert "another run is at work" in run("benchmark", source, out, status=3)
        assert (out / ".half-written.unfinished").exists(), "the other run's files were swept"
    run("benchmark", source, out)
    assert tree(out) == before


@pytest.mark.parametrize("content", ["", "[]", "5", '{"command": '])
def test_settings_that_cannot_be_read_are_not_overwritten(tmp_path, content):
    source, out = fill(tmp_path / "photos", 2), tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(content)
    assert "run.json" in run("benchmark", source, out, status=2)
    assert (out / "run.json").read_text() == content


def test_foreign_lines_in_the_manifest_count_for_nothing(tmp_path):
    source, out = fill(tmp_path / "photos", 3), tmp_path / "out"
    run("synthesize", source, out)
    before = tree(out)
    manifest = out / "manifest.jsonl"
    manifest.write_text('5\n{"index": 77, "file": "x"}\n{"file": "x"}\n[1]\n' + manifest.read_text())
    run("synthesize", source, out)
    assert tree(out) == before


class InlinePool:
    """Stands in for the pool where the number of jobs is what is tested."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, job):
        future = Future()
        future.set_result(function(job))
        return future

    def shutdown(self, **_):
        pass


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    """A byte a job while they run; 25 a row for a moment, to sort them. A row kept as it is would be 300 and more."""
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", InlinePool)

    def peak(count: int) -> int:
        table = tmp_path / f"{count}.jsonl"
        tracemalloc.start()
        done = run_jobs(table, iter(range(count)), count, lambda job: [{"index": job, "file": "."}])
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert done.count(1) == count
        with table.open("rb") as rows:
            assert sum(1 for _ in rows) == count
        return highest

    peak(10)  # what is allocated once
    few, many = peak(1_000), peak(100_000)
    assert (many - few) / 99_000 < 64, "bytes for each further image"


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (("--seed", 1), "seed was 0 and is now 1"),
        (("--format", "jpeg"), 'format was "png"'),
        (("--name", "x"), 'name was "photos"'),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(photos, whole, other, what):
    before = tree(whole)
    assert what in run("benchmark", photos, whole, *other, status=2)
    assert tree(whole) == before


def test_another_number_of_workers_is_no_other_setting(photos, whole):
    run("benchmark", photos, whole, "--workers", 2)


def test_a_folder_of_something_else_is_left_alone(photos, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    assert "not empty" in run("benchmark", photos, tmp_path, status=2)
    assert tree(tmp_path) == {"letter.txt": b"dear"}


def test_a_kill_before_the_first_file_leaves_no_foreign_folder(tmp_path):
    (tmp_path / ".0123.unfinished").write_bytes(b"{")
    claim(tmp_path, {"seed": 0})
