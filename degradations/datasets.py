"""Whole datasets: the three copies of a benchmark, samples of several degradations for training.

Everything that is drawn for a photo follows from the run's seed and the photo's position in the sorted source.
"""

import base64
import binascii
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from degradations.apply import degrade
from degradations.files import ENCODERS, SUFFIXES, PhotoError, encode, read_photo, write_whole
from degradations.jobs import StoppedError, alone_in, claim, run_jobs
from degradations.recipe import Recipe
from degradations.registry import COPIES, REGISTRY, STAGES
from degradations.tables import POINTER, Table, write_tables

MANIFEST = "manifest.jsonl"

PER_STAGE = 100
"""Photos of each stage in a block of the benchmark."""


@dataclass(frozen=True)
class Job:
    """One photo to read: its place in the source, its name there, base64 or path, and what its files are called."""

    index: int
    source: str
    content: str | Path
    stem: str


@dataclass(frozen=True)
class Made:
    """What a run made: photos done and photos that could not be, with the manifest that tells of both."""

    manifest: Path
    done: int
    failed: int
    passed_over: int  # files that are no photos by their name


# --- sources ---


class Folder:
    """The photos in a folder and in those below it, sorted by their path.

    Hidden files and folders and files without the suffix of a picture are passed over, and so is `leave_out`. Links to
    folders are followed, except back to one that leads there. Names are read anew each time, one folder at a time.
    """

    columns = ("index", "question")

    def __init__(self, path: Path, leave_out: Path, question: str = ""):
        self.path, self.leave_out, self.question = path, leave_out, question
        sums, self.count, self.passed_over = hashlib.sha256(), 0, 0
        for name in self._names():
            if _is_photo(name):
                sums.update(_line(name))
                self.count += 1
            else:
                self.passed_over += 1
        self.fingerprint = sums.hexdigest()

    def jobs(self) -> Iterator[Job]:
        sums = hashlib.sha256()
        for index, name in enumerate(filter(_is_photo, self._names())):
            sums.update(_line(name))
            if index < self.count:
                yield Job(index, name, self.path / name, _stem(name))
        if sums.hexdigest() != self.fingerprint:
            raise StoppedError(f"{self.path} changed meanwhile, so what was made is mixed: start with another folder")

    def rows(self) -> Iterator[tuple[list[str], list[str], str]]:
        """The folder as a table: one question about every photo."""
        for job in self.jobs():
            yield [str(job.index), self.question], [job.stem], ""

    def _names(self, below: str = "", above: frozenset = frozenset()) -> Iterator[str]:
        folder = self.path / below
        identity = _identity(folder)
        if identity in above or (self.leave_out.exists() and identity == _identity(self.leave_out)):
            return
        with os.scandir(folder) as entries:
            # With a slash behind each folder the names of one level sort as the paths of all levels do.
            names = sorted(
                entry.name + "/" * Path(entry.path).is_dir() for entry in entries if not entry.name.startswith(".")
            )
        for suffix, _ in ENCODERS.values():
            if clash := {name + suffix + "/" for name in names} & set(names):
                raise ValueError(f"{folder} holds {clash.pop()!r}, as the copy of a photo would be called; rename it")
        for name in names:
            if name.endswith("/"):
                yield from self._names(below + name, above | {identity})
            else:
                yield below + name


class TableSource(Table):
    """The pictures of a VLMEvalKit table, in the order of its rows."""

    passed_over = 0

    def __init__(self, path: Path):
        super().__init__(path)
        self.count = sum(1 for _ in self.pictures())
        with path.open("rb") as file:
            self.fingerprint = hashlib.file_digest(file, "sha256").hexdigest()

    def jobs(self) -> Iterator[Job]:
        for index, (source, stem, content) in enumerate(self.pictures()):
            yield Job(index, source, content, stem)


def _line(name: str) -> bytes:
    return os.fsencode(name) + b"\0"


def _is_photo(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _stem(name: str) -> str:
    """A source's name as the beginning of its output's: with its suffix, so that a.jpg and a.png do not meet.

    A name that a table cannot hold, since it is not UTF-8, or that leaves no room for a suffix, of at most 255 bytes in
    all, becomes its sha256.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return _sha256(name)
    folder, slash, last = name.rpartition("/")
    return name if len(last.encode()) < 250 else folder + slash + _sha256(last)


def _sha256(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()


# --- what is made of a photo ---


def make_copies(job: Job, out: Path, names: dict[str, str], seed: int, format: str) -> list[dict]:
    """The copies of one photo for the benchmark: one type, one seed, three intensities."""
    kind, degrade_seed = dealt(seed, job.index)
    recipes = {
        f"images/{name}/{job.stem}": (Recipe({kind: COPIES[copy]}), degrade_seed) for copy, name in names.items()
    }
    return _make(job, out, recipes, format)


def make_samples(
    job: Job, out: Path, seed: int, copies: int, types: tuple[int, int], intensity: tuple[float, float],
    size: int | None, clean: bool, format: str,
) -> list[dict]:  # fmt: skip
    """Training samples of one photo: recipes of several types, and the photo as it was before them."""
    rng = np.random.default_rng([seed, job.index])
    recipes = {
        f"degraded/{job.index * copies + copy:06d}": (
            Recipe.sample(rng, count=types, intensity=intensity),
            int(rng.integers(2**31)),
        )
        for copy in range(copies)
    }
    return _make(job, out, recipes, format, size, f"clean/{job.index:06d}" if clean else None)


def _make(
    job: Job, out: Path, recipes: dict[str, tuple[Recipe, int]], format: str,
    size: int | None = None, clean: str | None = None,
) -> list[dict]:  # fmt: skip
    """Degrade a photo by every recipe and write it; returns the manifest's rows.

    A photo that cannot be read or degraded becomes a row with an error. A file that cannot be written ends the run:
    the next one could not be either.
    """
    row = {"index": job.index, "source": job.source}
    try:
        photo = _read(job.content)
        if size:
            photo.thumbnail((size, size), Image.Resampling.LANCZOS)
        contents = [encode(degrade(photo, *recipe), format) for recipe in recipes.values()]
        clean_content = encode(photo, format) if clean else b""
    except Exception as error:
        return [row | {"error": str(error) if isinstance(error, PhotoError) else f"{type(error).__name__}: {error}"}]
    suffix = ENCODERS[format][0]
    if clean:
        write_whole(out / f"{clean}{suffix}", clean_content)
        row["clean"] = f"{clean}{suffix}"
    rows = []
    for (stem, (recipe, seed)), content in zip(recipes.items(), contents, strict=True):
        file = f"{stem}{suffix}"
        sha256 = write_whole(out / file, content)
        rows.append(row | {"recipe": str(recipe), "seed": seed, "file": file, "sha256": sha256})
    return rows


def _read(content: str | Path) -> Image.Image:
    if isinstance(content, Path):
        return read_photo(content)
    if len(content) <= POINTER:
        raise PhotoError(f"that of row {content!r}, which has none of its own")
    try:
        return read_photo(io.BytesIO(base64.b64decode(content)))
    except binascii.Error as error:
        raise PhotoError(f"not base64 ({error})") from error


def dealt(seed: int, index: int) -> tuple[str, int]:
    """The one type of the benchmark's photo `index`, and the seed that all its copies are degraded with."""
    return dealt_type(seed, index), int(np.random.default_rng([seed, index]).integers(2**31))


def dealt_type(seed: int, index: int) -> str:
    """The one type of the benchmark's photo `index`.

    After every four photos all stages are even; of 100 photos of a stage each type has its even share, the last one
    what is left over (33, 33, 34).
    """
    block, place = divmod(index, PER_STAGE * len(STAGES))
    return _deck(seed, block)[place]


@lru_cache(maxsize=8)
def _deck(seed: int, block: int) -> list[str]:
    rng = np.random.default_rng([seed, block, PER_STAGE])
    piles = []
    for stage in STAGES:
        types = [entry.name for entry in REGISTRY.values() if entry.stage == stage]
        piles.append(rng.permutation([types[-1 - len(types) * place // PER_STAGE] for place in range(PER_STAGE)]))
    return [str(piles[stage][place]) for place in range(PER_STAGE) for stage in rng.permutation(len(STAGES))]


# --- runs ---


def benchmark(
    source: Path, out: Path, *, name: str | None = None, seed: int = 0, format: str = "png",
    question: str, workers: int | None = None,
) -> tuple[Made, int]:  # fmt: skip
    """Make the three copies of a folder or a table; also returns how many rows of the tables lack a picture."""
    is_table, source = source.is_file(), source.resolve()
    name = name or (source.stem if is_table else source.name)
    names = {copy: f"{name}_{copy}" for copy in COPIES}
    for text in (name, question, str(out.resolve())):
        if text != text.encode("utf-8", "replace").decode():
            raise ValueError(f"{text!r} is not UTF-8, which the tables would have to hold; give another")
    if len(name.encode()) > 200:
        raise ValueError(f"the name {name!r} is too long for files named after it; give another --name")
    photos = TableSource(source) if is_table else Folder(source, out, question)
    settings = {"command": "benchmark", "name": name, "seed": seed, "format": format}
    settings |= {} if is_table else {"question": question}
    work = partial(make_copies, out=out, names=names, seed=seed, format=format)
    with _claimed(photos, out, settings):
        made = _run(photos, out, work, len(COPIES), workers, "benchmark")
        return made, write_tables(photos, out, list(names.values()), ENCODERS[format][0])


def synthesize(
    source: Path, out: Path, *, seed: int = 0, copies: int = 1, types: tuple[int, int], intensity: tuple[float, float],
    size: int | None = None, clean: bool = False, format: str = "png", workers: int | None = None,
) -> Made:  # fmt: skip
    """Make training samples of the photos in a folder."""
    Recipe.sample(np.random.default_rng(), count=types, intensity=intensity)  # refuses what no worker could draw
    settings = {
        "seed": seed, "copies": copies, "types": list(types), "intensity": list(intensity), "size": size,
        "clean": clean, "format": format,
    }  # fmt: skip
    work = partial(make_samples, out=out, **settings)
    photos = Folder(source, out)
    with _claimed(photos, out, {"command": "synthesize", **settings}):
        return _run(photos, out, work, copies, workers, "synthesize")


@contextmanager
def _claimed(photos: Folder | TableSource, out: Path, settings: dict) -> Iterator[None]:
    """Have `out` for this run alone."""
    if out.resolve() == photos.path.resolve():
        raise ValueError(f"{out} is the source itself; name another folder")
    if not photos.count:
        raise ValueError(f"{photos.path} holds no photos; their names end in {', '.join(SUFFIXES)}")
    claim(out, {**settings, "types": list(REGISTRY), "photos": photos.count, "photos_sha256": photos.fingerprint})
    with alone_in(out):
        yield


def _run(
    photos: Folder | TableSource, out: Path, work: Callable, rows_each: int, workers: int | None, description: str
) -> Made:
    done = run_jobs(
        out / MANIFEST, photos.jobs(), photos.count, work, rows_each=rows_each, workers=workers, description=description
    )
    return Made(out / MANIFEST, done.count(1), done.count(0), photos.passed_over)
