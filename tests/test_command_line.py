"""The command line: one photo, the contact sheet, tables for VLMEvalKit, help."""

import base64
import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from degradations import REGISTRY, Recipe, degrade
from degradations.__main__ import main
from degradations.files import read_photo, write_whole
from degradations.tables import Table
from tests.pictures import picture
from tests.test_datasets import COPIES, fill, rows_of
from tests.vlmevalkit import read_data_set

RECIPE = "motion blur(0.45), jpeg compression(0.7)"


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(picture(60, 80)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def call(*arguments) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


# --- one photo ---


def test_apply_writes_what_degrade_returns_and_prints_its_row(photo, tmp_path, capsys):
    out = tmp_path / "new/out.png"
    assert call("apply", photo, RECIPE, out, "--seed", 4) == 0
    assert np.array_equal(Image.open(out), degrade(read_photo(photo), RECIPE, 4))
    row = json.loads(capsys.readouterr().out)
    assert list(row) == ["source", "recipe", "seed", "file", "sha256"]
    assert (row["recipe"], row["file"]) == (RECIPE, str(out))


@pytest.mark.parametrize("name", ["photo.jpg", "link.png", "hard.png"])
def test_apply_never_overwrites_its_photo(photo, tmp_path, capsys, name):
    (tmp_path / "link.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    before = photo.read_bytes()
    assert call("apply", photo, "none", tmp_path / name, "--format", "jpeg" if name.endswith("jpg") else "png") == 2
    assert "never overwritten" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_a_jpeg_is_written_on_request_only(photo, tmp_path, capsys):
    out = tmp_path / "out.jpg"
    assert call("apply", photo, RECIPE, out) == 2
    assert "degrades once more" in capsys.readouterr().err and not out.exists()
    assert call("apply", photo, RECIPE, out, "--format", "jpeg") == 0
    assert Image.open(out).format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("photo.jpg", "sunshine(0.5)", "out.png"), "sunshine"),
        (("gone.jpg", "none", "out.png"), "gone.jpg is not there"),
        (("text.png", "none", "out.png"), "text.png is not a picture"),
        (("photo.jpg", "none", "out.gif"), "does not end in .png"),
    ],
)
def test_what_cannot_be_applied_says_why(photo, tmp_path, monkeypatch, capsys, arguments, word):
    (tmp_path / "text.png").write_text("text")
    monkeypatch.chdir(tmp_path)
    assert call("apply", *arguments) == 2
    assert word in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "a.png", b"content")
    assert not list(tmp_path.iterdir())


# --- the contact sheet ---


@pytest.mark.parametrize("size", [(451, 300), (60, 300), (900, 30)])
def test_the_sheet_fits_a_page_whatever_the_photo(tmp_path, size):
    Image.fromarray(picture(*size[::-1])).save(tmp_path / "photo.png")
    assert call("sheet", tmp_path / "photo.png", tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        assert 1000 < sheet.width <= 1600


def test_the_sheet_shows_every_type(tmp_path, monkeypatch):
    """Without a type its row is missing, and so are its three pictures and its names."""
    from degradations import sheet

    drawn = []
    monkeypatch.setattr(sheet, "degrade", lambda photo, recipe, seed: drawn.append((*recipe.items(), seed)) or photo)
    sheet.contact_sheet(Image.fromarray(picture(60, 90)), seed=2)
    assert drawn == [((name, intensity), 2) for name in REGISTRY for intensity in (0.25, 0.5, 0.9)]


# --- tables ---


def base64_of(image: np.ndarray, kind: str = "PNG") -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    return base64.b64encode(content.getvalue()).decode()


def write_table(path: Path, rows: list[dict], **options) -> Path:
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False, **options)
    return path


QUESTION = "Which \"thing\" is it?\nSecond line,\twith a tab — 是什么？ 'x'"


@pytest.fixture
def table(tmp_path):
    """Pictures of their own, pointers in both directions, a list, none, and a broken one with a pointer to it."""
    images = [picture(40 + 2 * number, 60, seed=number) for number in range(5)]
    cells = {
        "1": base64_of(images[0]), "2": base64_of(images[1], "JPEG"), "3": "1", "4": "7",
        "5": str([base64_of(images[2]), base64_of(images[3])]), "6": None, "7": base64_of(images[4]),
        "8": "A" * 100, "9": "8", "10": "5",
    }  # fmt: skip
    rows = [
        {"index": index, "question": QUESTION, "hint": None, "A": "NA", "B": '"quoted"', "answer": "B", "category": "é",
         "l2-category": "x\ny", "image": cell, "split": "dev"}
        for index, cell in cells.items()
    ]  # fmt: skip
    return write_table(tmp_path / "Bench_DEV.tsv", rows)


def test_vlmevalkit_gets_the_degraded_pictures_and_every_column(table, tmp_path, capsys):
    out = tmp_path / "out"
    assert call("benchmark", table, out, "--seed", 3, "--workers", 2) == 1
    report = capsys.readouterr().err
    assert "Bench_DEV.tsv#8: not a picture" in report and "Bench_DEV.tsv#9: that of row '8'" not in report
    assert "2 rows are without a picture" in report
    made = {(row["source"], row["file"].split("/")[1]): row for row in rows_of(out) if "file" in row}
    source = pd.read_csv(table, sep="\t")
    for copy, intensity in COPIES.items():
        name = f"Bench_DEV_{copy}"
        written = pd.read_csv(out / f"{name}.tsv", sep="\t")
        kept = [column for column in source if column != "image"]
        pd.testing.assert_frame_equal(written[kept], source[kept])
        pictures = read_data_set(out, name)
        local = read_data_set(out, f"{name}_local")
        assert list(pictures) == list(local) == ["1", "2", "3", "4", "5", "7", "10"]
        assert [len(shown) for shown in pictures.values()] == [1, 1, 1, 1, 2, 1, 2]
        for index, shown in pictures.items():
            own = {"3": "1", "4": "7", "10": "5"}.get(index, index)
            row = made[f"Bench_DEV.tsv#{own}", name]
            assert list(Recipe.parse(row["recipe"]).values()) == [intensity]
            assert all(np.array_equal(a, b) for a, b in zip(shown, local[index], strict=True))
        original = read_photo(io.BytesIO(base64.b64decode(source["image"][0])))
        row = made["Bench_DEV.tsv#1", name]
        assert np.array_equal(pictures["3"][0], degrade(original, row["recipe"], row["seed"]))


@pytest.mark.parametrize("shared", [None, "OneFolderForAll"])
def test_a_table_alone_is_exact_anywhere(table, tmp_path, shared):
    """Also where VLMEvalKit decodes the pictures of all three copies into one folder."""
    call("benchmark", table, tmp_path / "out", "--workers", 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for copy in COPIES:
        (elsewhere / f"Bench_DEV_{copy}.tsv").write_bytes((tmp_path / f"out/Bench_DEV_{copy}.tsv").read_bytes())
    for copy in COPIES:
        here = read_data_set(tmp_path / "out", f"Bench_DEV_{copy}_local")
        there = read_data_set(elsewhere, f"Bench_DEV_{copy}", shared)
        for index, shown in there.items():
            assert all(np.array_equal(a, b) for a, b in zip(shown, here[index], strict=True)), (copy, index)


def test_a_pointer_to_nowhere_is_reported(tmp_path, capsys):
    rows = [
        {"index": "a", "image": base64_of(picture(9, 9)), "question": "?"},
        {"index": "b", "image": "z", "question": "?"},
    ]
    assert call("benchmark", write_table(tmp_path / "t.tsv", rows), tmp_path / "out", "--workers", 1) == 1
    report = capsys.readouterr().err
    assert "t.tsv#b: that of row 'z', which has none of its own" in report and "1 rows are without" in report


def test_a_table_of_paths_is_read(tmp_path, capsys):
    (tmp_path / "images/t").mkdir(parents=True)
    for number, path in enumerate(("beside.png", "images/t/own.png")):
        Image.fromarray(picture(30, 30, seed=number)).save(tmp_path / path)
    rows = [
        {"index": number, "image_path": path, "question": "?"}
        for number, path in enumerate(("beside.png", "own.png", str(["own.png", "beside.png"]), "gone.png"))
    ]
    assert call("benchmark", write_table(tmp_path / "t.tsv", rows), tmp_path / "out", "--workers", 1) == 1
    assert "t.tsv#3: not there" in capsys.readouterr().err
    assert {index: len(shown) for index, shown in read_data_set(tmp_path / "out", "t_50").items()} == {
        "0": 1, "1": 1, "2": 2,
    }  # fmt: skip


def test_a_folder_becomes_tables_with_one_question(tmp_path):
    source = fill(tmp_path / "photos.v2", 3)
    assert call("benchmark", source, tmp_path / "out", "--question", "What?", "--workers", 1) == 0
    written = pd.read_csv(tmp_path / "out/photos.v2_100.tsv", sep="\t")
    assert list(written["question"]) == ["What?"] * 3
    assert len(read_data_set(tmp_path / "out", "photos.v2_100")) == 3


def test_tables_of_other_writers_are_read_alike(tmp_path):
    rows = [{"index": number, "image": base64_of(picture(9, 9)), "question": QUESTION} for number in range(3)]
    quoted = Table(write_table(tmp_path / "a.tsv", rows, quoting=csv.QUOTE_ALL, encoding="utf-8-sig"))
    plain = Table(write_table(tmp_path / "b.tsv", rows, lineterminator="\r\n"))
    assert [row[0] for row in quoted.rows()] == [row[0] for row in plain.rows()]
    assert [row[0][1] for row in plain.rows()] == [QUESTION] * 3


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("question\timage\n?\tx\n", "no column index"),
        ("index\tquestion\n1\t?\n", "no column image or image_path"),
        ("", "no column index"),
        ("index\timage\n1\tx\tmore\n", "more fields"),
        ("index\timage\n", "no photos"),
    ],
)
def test_what_is_no_table_says_why(tmp_path, capsys, content, word):
    (tmp_path / "t.tsv").write_text(content)
    assert call("benchmark", tmp_path / "t.tsv", tmp_path / "out") == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- help ---


@pytest.mark.parametrize("command", ["apply", "sheet", "benchmark", "synthesize"])
def test_help_explains_itself(capsys, command):
    assert call("--help") == 0
    assert command in capsys.readouterr().out
    assert call(command, "--help") == 0
    text = capsys.readouterr().out
    assert len(text) > 300 and "%(" not in text
    if command in ("benchmark", "synthesize"):
        assert "exit status" in text and "manifest.jsonl" in text


def test_no_command_is_wrong_usage(capsys):
    assert call() == 2
