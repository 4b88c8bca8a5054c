"""Whole datasets by the command line: the same whatever happens on the way, and nothing lost without a word."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from degradations import REGISTRY, STAGES, Degradation, Recipe, datasets, degrade, jobs
from degradations.files import SUFFIXES, read_photo
from degradations.jobs import StoppedError, claim, read_table, run_jobs
from tests.pictures import picture

COPIES = {"25": 0.23, "50": 0.45, "100": 0.9}


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "degradations", *map(str, arguments)]


def run(*arguments, status: int = 0) -> str:
    """Run a command to its end; returns what it reports."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    return done.stderr


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder; the folder's own path, which tables of paths hold, is left out of them."""
    own = str(folder.resolve()).encode()
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(own, b"")
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def fill(folder: Path, count: int, height: int = 36, width: int = 48) -> Path:
    (folder / "below/deep").mkdir(parents=True)
    for number in range(count):
        name = ("", "below/", "below/deep/")[number % 3] + f"photo{number}.png"
        Image.fromarray(picture(height, width, seed=number)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("source") / "photos", 45, 96, 128)


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The benchmark of `photos`, made without any disturbance."""
    out = tmp_path_factory.mktemp("whole")
    run("benchmark", photos, out, "--workers", 1)
    return out


# --- what a benchmark is ---


def test_the_copies_are_one_type_at_three_strengths(photos, whole):
    rows = rows_of(whole)
    assert [row["source"] for row in rows[::3]] == sorted(
        p.relative_to(photos).as_posix() for p in photos.rglob("*.png")
    )
    for row, (copy, intensity) in zip(rows, list(COPIES.items()) * 45, strict=True):
        (recipe,) = Recipe.parse(row["recipe"]).items()
        first = rows[3 * row["index"]]
        assert recipe == (next(iter(Recipe.parse(first["recipe"]))), intensity)
        assert row["seed"] == first["seed"]
        assert row["file"] == f"images/photos_{copy}/{row['source']}.png"
        expected = degrade(Image.open(photos / row["source"]), row["recipe"], row["seed"])
        assert np.array_equal(Image.open(whole / row["file"]), expected)


def test_the_manifest_has_the_sums_of_the_files(whole):
    listing = "".join(f"{row['sha256']}  {row['file']}\n" for row in rows_of(whole))
    subprocess.run(["sha256sum", "--check", "--quiet"], input=listing, text=True, cwd=whole, check=True)


def test_of_400_photos_every_type_has_its_share():
    for block in range(3):
        dealt = Counter(datasets.dealt_type(7, 400 * block + place) for place in range(400))
        shares = {stage: [dealt[e.name] for e in REGISTRY.values() if e.stage == stage] for stage in STAGES}
        assert all(sum(share) == 100 and share[-1] - share[0] <= 1 for share in shares.values())
        assert shares["postprocessing"] == sorted(shares["postprocessing"])  # 33, 33, 34, as published


def test_few_photos_have_even_stages_too():
    for count in (4, 40, 100, 444):
        dealt = Counter(REGISTRY[datasets.dealt_type(3, place)].stage for place in range(count))
        assert set(dealt.values()) == {count / 4}


def test_types_are_dealt_in_no_order_and_differently_by_seed_and_block():
    decks = [tuple(datasets.dealt_type(seed, place) for place in range(start, start + 400))
             for seed, start in ((0, 0), (1, 0), (0, 400))]  # fmt: skip
    assert len(set(decks)) == 3
    stages = [REGISTRY[name].stage for name in decks[0]]
    assert len({tuple(stages[place : place + 4]) for place in range(0, 400, 4)}) == 24


def test_a_new_type_is_dealt_without_being_told(monkeypatch):
    monkeypatch.setitem(REGISTRY, "sunshine", Degradation("sunshine", "environment", "Sunshine", "Sunshine.", None))
    datasets._deck.cache_clear()
    dealt = Counter(datasets.dealt_type(0, place) for place in range(400))
    datasets._deck.cache_clear()
    shares = [dealt[e.name] for e in REGISTRY.values() if e.stage == "environment"]
    assert dealt["sunshine"] and sum(shares) == 100 and max(shares) - min(shares) <= 1


# --- the same whatever happens ---


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


@pytest.mark.parametrize("name", ["a.png", "z.png"])
def test_photos_that_come_after_they_were_counted_end_the_run(tmp_path, name):
    source = datasets.Folder(fill(tmp_path / "photos", 5), tmp_path / "out")
    Image.fromarray(picture(8, 8)).save(tmp_path / "photos" / name)
    jobs_of_it = source.jobs()
    assert [next(jobs_of_it).index for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(StoppedError, match="changed meanwhile"):
        next(jobs_of_it)


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


def test_names_of_bytes_do_not_meet_either(tmp_path):
    source, out = tmp_path / "photos", tmp_path / "out"
    source.mkdir()
    for name in (b"caf\xe9.png", b"caf\\xe9.png"):
        Image.fromarray(picture(20, 20)).save(os.fsdecode(os.fsencode(source) + b"/" + name), format="PNG")
    run("benchmark", source, out)
    assert len({row["file"] for row in rows_of(out)}) == 6
    assert len(list((out / "images").rglob("*.png"))) == 6


def test_a_folder_named_like_a_copy_is_refused_at_once(tmp_path):
    source = fill(tmp_path / "photos", 2)
    (source / "photo0.png.png").mkdir()
    assert "rename it" in run("benchmark", source, tmp_path / "out", status=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("--name", "n" * 201), ("--question", "\udce9?")])
def test_what_no_table_could_hold_is_refused_at_once(tmp_path, arguments):
    source = fill(tmp_path / "photos", 2)
    run("benchmark", source, tmp_path / "out", *arguments, status=2)
    assert not (tmp_path / "out").exists()


def test_the_source_is_no_place_for_the_copies(tmp_path):
    source = fill(tmp_path / "photos", 2)
    assert "is the source itself" in run("benchmark", source, source, status=2)


def test_a_side_that_no_file_can_have_is_reported(tmp_path):
    source = fill(tmp_path / "photos", 1)
    Image.new("RGB", (70_000, 1)).save(source / "wide.png")
    assert "wide.png: too large for a JPEG: 70000" in run(
        "synthesize", source, tmp_path / "out", "--format", "jpeg", "--types", 0, 0, status=1
    )


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


# --- what cannot be read, and what does not fit ---


def test_every_unreadable_photo_is_reported(tmp_path):
    source = fill(tmp_path / "source", 3)
    (source / "text.jpg").write_text("no picture")
    (source / "empty.png").write_bytes(b"")
    Image.fromarray(picture(60, 60)).save(source / "whole.jpg")
    (source / "cut.jpg").write_bytes((source / "whole.jpg").read_bytes()[:700])
    (source / "gone.webp").symlink_to("nowhere")
    (source / "loop.gif").symlink_to("loop.gif")
    os.mkfifo(source / "pipe.bmp")
    broken = {"text.jpg", "empty.png", "cut.jpg", "gone.webp", "loop.gif", "pipe.bmp"}
    if os.geteuid() != 0:  # root reads everything
        shutil.copy(source / "whole.jpg", source / "secret.jpg")
        (source / "secret.jpg").chmod(0)
        broken.add("secret.jpg")
    report = run("synthesize", source, tmp_path / "out", status=1)
    assert all(name in report for name in broken)
    assert f"Not done: {len(broken)} of {len(broken) + 4} photos" in report
    rows = rows_of(tmp_path / "out")
    assert {row["source"] for row in rows if "error" in row} == broken
    assert {row["source"] for row in rows if "file" in row} >= {"photo0.png", "whole.jpg"}
    (source / "cut.jpg").write_bytes((source / "whole.jpg").read_bytes())
    assert f"Not done: {len(broken) - 1} of" in run("synthesize", source, tmp_path / "out", status=1)
    assert [row["index"] for row in rows_of(tmp_path / "out")] == list(range(len(rows)))


def test_a_long_list_of_failures_is_cut_but_counted(tmp_path):
    (tmp_path / "source").mkdir()
    for number in range(30):
        (tmp_path / f"source/{number:02d}.jpg").write_bytes(b"")
    report = run("synthesize", tmp_path / "source", tmp_path / "out", status=1)
    assert report.count(": not a picture") == 20
    assert "Not done: 30 of 30 photos (the first 20 above, all in " in report


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


def test_a_changed_source_is_noticed(tmp_path):
    source = fill(tmp_path / "source", 3)
    run("synthesize", source, tmp_path / "out")
    (source / "photo0.png").rename(source / "photo00.png")
    assert "photos_sha256 was" in run("synthesize", source, tmp_path / "out", status=2)


def test_a_folder_of_something_else_is_left_alone(photos, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    assert "not empty" in run("benchmark", photos, tmp_path, status=2)
    assert tree(tmp_path) == {"letter.txt": b"dear"}


def test_a_kill_before_the_first_file_leaves_no_foreign_folder(tmp_path):
    (tmp_path / ".0123.unfinished").write_bytes(b"{")
    claim(tmp_path, {"seed": 0})


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("benchmark", "nowhere", "out"), "there is no nowhere"),
        (("benchmark", "empty", "out"), "holds no photos"),
        (("benchmark", "photos", "out", "--workers", 0), "at least 1"),
        (("benchmark", "photos", "out", "--seed", -1), "not be negative"),
        (("benchmark", "photos", "out", "--name", "../x"), "without folders"),
        (("benchmark", "photos/photo0.png", "out"), "no table in UTF-8"),
        (("synthesize", "photos", "out", "--types", 3, 1), "count must be a range"),
        (("synthesize", "photos", "out", "--intensity", 0, 1), "intensity must be a range"),
    ],
)
def test_wrong_arguments_make_nothing(tmp_path, monkeypatch, capsys, arguments, word):
    from degradations.__main__ import main

    fill(tmp_path / "photos", 1)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- sources ---


def names(source: Path, out: Path | None = None) -> list[str]:
    return [job.source for job in datasets.Folder(source, out or source / "out").jobs()]


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    expected = ["A.JPG", "a-b.png", "a.png", "a/b.png", "a/c/d.jpeg", "a0.png", "b/z.gif", "ñ/😀.webp"]
    for name in [*expected, "a/.hidden.png", ".git/x.png", "notes.txt", "out/made.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == sorted(expected) == expected
    assert datasets.Folder(tmp_path, tmp_path / "out").passed_over == 1


def test_links_are_followed_but_never_round(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.png").touch()
    (tmp_path / "real/a.png").touch()
    (tmp_path / "real/back").symlink_to(tmp_path / "real")
    (tmp_path / "real/up").symlink_to(tmp_path)
    (tmp_path / "real/away").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "real") == ["a.png", "away/b.png", "up/elsewhere/b.png"]


def test_sources_that_differ_little_do_not_meet(tmp_path):
    source = tmp_path / "source"
    (source / "b").mkdir(parents=True)
    bytes_name = os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80.png")
    for name in ("a.jpg", "a.png", "a.jpg.png", "b/a.png", "A.png", "with\ttab\n.png", bytes_name, "n" * 251 + ".png"):
        Image.fromarray(picture(20, 20)).save(source / name)
    run("benchmark", source, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len({row["file"] for row in rows}) == len(rows) == 3 * 8
    assert bytes_name in {row["source"] for row in rows}
    assert len(list((tmp_path / "out/images").rglob("*.png"))) == 3 * 8


def test_the_output_may_lie_inside_the_source(tmp_path):
    source = fill(tmp_path / "source", 3)
    run("synthesize", source, source / "made", "--clean")
    run("synthesize", source, source / "made", "--clean")
    assert len(rows_of(source / "made")) == 3


def test_every_suffix_is_one_that_can_be_read():
    Image.init()
    assert {Image.EXTENSION[suffix] for suffix in SUFFIXES} == {"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"}


# --- samples for training ---


def test_a_sample_is_its_clean_photo_degraded_as_it_says(photos, tmp_path):
    run(
        "synthesize",
        photos,
        tmp_path,
        "--copies",
        2,
        "--size",
        100,
        "--clean",
        "--types",
        1,
        3,
        "--intensity",
        0.2,
        0.6,
    )
    rows = rows_of(tmp_path)
    assert len(rows) == len({row["recipe"] for row in rows}) == 2 * 45
    for row in rows:
        clean = read_photo(tmp_path / row["clean"])
        assert clean.size == (100, 75)
        recipe = Recipe.parse(row["recipe"])
        assert 1 <= len(recipe) <= 3 and all(0.2 <= intensity <= 0.6 for intensity in recipe.values())
        assert np.array_equal(degrade(clean, recipe, row["seed"]), Image.open(tmp_path / row["file"]))


def test_small_photos_are_not_enlarged_and_jpeg_is_on_request(tmp_path):
    source = fill(tmp_path / "source", 2)
    run("synthesize", source, tmp_path / "out", "--size", 400, "--format", "jpeg", "--seed", 5)
    for row in rows_of(tmp_path / "out"):
        with Image.open(tmp_path / "out" / row["file"]) as made:
            assert (made.format, made.size) == ("JPEG", (48, 36))
