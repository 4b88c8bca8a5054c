"""Benchmarks and training samples by the command line; sources of every kind, and nothing lost without a word."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from degradations import REGISTRY, STAGES, Degradation, Recipe, datasets, degrade
from degradations.files import SUFFIXES, read_photo
from degradations.jobs import StoppedError
from tests.dataset_runs import COPIES, fill, rows_of, run
from tests.pictures import picture

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


def test_a_changed_source_is_noticed(tmp_path):
    source = fill(tmp_path / "source", 3)
    run("synthesize", source, tmp_path / "out")
    (source / "photo0.png").rename(source / "photo00.png")
    assert "photos_sha256 was" in run("synthesize", source, tmp_path / "out", status=2)


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


# --- sources that are hard on tables and files ---


@pytest.mark.parametrize("name", ["a.png", "z.png"])
def test_photos_that_come_after_they_were_counted_end_the_run(tmp_path, name):
    source = datasets.Folder(fill(tmp_path / "photos", 5), tmp_path / "out")
    Image.fromarray(picture(8, 8)).save(tmp_path / "photos" / name)
    jobs_of_it = source.jobs()
    assert [next(jobs_of_it).index for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(StoppedError, match="changed meanwhile"):
        next(jobs_of_it)


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
