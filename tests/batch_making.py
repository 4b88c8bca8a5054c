"""Batches to annotate, and processes that do it."""

import hashlib
import io
import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from demo.annotate.batches import Batches, Wanted
from demo.annotate.pictures import Pictures
from demo.chain import format_chain
from demo.store.database import Store

CHAINS = (
    "lens blur(0.5), gaussian noise(0.3)",
    "jpeg compression(0.7)",
    "none",
)
"""What is predicted in turn."""


def picture(number: int, size: int = 32) -> bytes:
    """A PNG, different for every number."""
    noise = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "PNG")
    return content.getvalue()


def chain(recipe: str) -> str:
    return format_chain(recipe, "edges are soft", "it has ears", "so it is a cat", "cat")


def rows(count: int, model: str = "small") -> list[dict]:
    """Rows of a table with predictions and known truth."""
    return [
        {
            "file_name": f"pictures/{number}.png",
            "question": "What is it?",
            "options": ["dog", "cat"],
            "answer": "cat",
            "recipe": "lens blur(0.6)",
            "model": model,
            "chain": chain(CHAINS[number % len(CHAINS)]),
        }
        for number in range(count)
    ]


def write_folder(folder: Path, count: int = 6, **row) -> Path:
    """A folder as a Hub dataset has it."""
    (folder / "pictures").mkdir(parents=True)
    for number in range(count):
        (folder / f"pictures/{number}.png").write_bytes(picture(number))
    lines = [json.dumps(one | row) for one in rows(count)]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write_zip(path: Path, folder: Path) -> Path:
    """The same as an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def database(folder: Path) -> str:
    """The URL of a database that belongs to a folder: SQLite in it, or one of the server that TEST_DATABASE names."""
    server = os.environ.get("TEST_DATABASE")
    if not server:
        return f"sqlite:///{folder}/store.db"
    name = f"test_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, suppress(ProgrammingError):  # it is there already
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def open_batches(folder: Path) -> Batches:
    """An empty database with its pictures."""
    return Batches(Store(database(folder)), Pictures(folder / "pictures"))


def open_one(folder: Path, count: int = 6, **wanted) -> tuple[Batches, int]:
    """A database with one batch."""
    batches = open_batches(folder)
    source = write_folder(folder / "source", count)
    return batches, batches.open_path(source, Wanted("one", **wanted), "olga").batch
