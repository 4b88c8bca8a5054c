"""Runs of the command line over folders of photos, shared by the tests of datasets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

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
