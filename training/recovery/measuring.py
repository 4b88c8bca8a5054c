"""Recoveries measured on photos: clean, and under every type at the published strengths, by several processes."""

import statistics
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from degradations import COPIES, Recipe, degrade
from degradations.jobs import cores, in_processes, read_table
from demo.recovery.attempt import Recovery
from demo.recovery.measures import Quality, as_tensor, measure
from demo.recovery.network import WEIGHTS
from training.corpus import Picture, read_corpus
from training.questions import fit_inside
from training.recovery.load import load_recovery
from training.recovery.rewards import load_encoder
from training.written import appending

CLEAN = "clean"
STRENGTHS = {f"{copy} %": intensity for copy, intensity in COPIES.items()}
TIMED_SIDE, TIMED = 256, 7
"""A speed is the median of so many pictures of this side."""


def chosen_photos(corpus: Path, split: str, limit: int | None) -> list[Picture]:
    """The photos of a split, cut-outs left out; of a limited number every source has its share.

    Raises:
        ValueError: there are none.
    """
    photos = [picture for picture in read_corpus(corpus, split) if not picture.cutout]
    if not photos:
        raise ValueError(f"{corpus} has no photos of split {split!r}, only cut-outs")
    if limit is None or limit >= len(photos):
        return photos
    return [photos[place] for place in np.linspace(0, len(photos) - 1, limit).round().astype(int)]


@dataclass(frozen=True)
class Job:
    """What is to be measured of one photo.

    Attributes:
        wanted: (state, type) -> recovery's name -> key of the row.
    """

    photo: Path
    seed: int
    wanted: Mapping[tuple[str, str], Mapping[str, str]]


class Bench:
    """What one process measures with."""

    def __init__(self, recoveries: Mapping[str, str], encoder: str, size: int):
        self.recoveries = {name: load_recovery(source) for name, source in recoveries.items()}
        self.encoder, self.size = load_encoder(encoder), size

    def __call__(self, job: Job) -> list[dict]:
        """The rows of a job; what is the same for all recoveries is made once."""
        clean = photo_at(job.photo, self.size)
        with torch.inference_mode():
            meant = self.encoder.embed(as_tensor(clean))
        rows = []
        for (state, kind), keys in job.wanted.items():
            degraded = degraded_as(clean, state, kind, job.seed)
            before = _told(measure(degraded, clean, self.encoder, meant))
            for name, key in keys.items():
                after = _told(measure(self.recoveries[name].recover(degraded), clean, self.encoder, meant))
                about = {"key": key, "recovery": name, "photo": str(job.photo), "state": state, "type": kind}
                rows.append(about | {"seed": job.seed, "before": before, "after": after})
        return rows


def photo_at(path: str | Path, size: int) -> Image.Image:
    """A photo with its longer side scaled down to so many pixels, mode RGB."""
    with Image.open(path) as photo:
        return fit_inside(photo.convert("RGB"), size)


def degraded_as(clean: Image.Image, state: str, kind: str, seed: int) -> Image.Image:
    return degrade(clean, Recipe({kind: STRENGTHS[state]}) if kind else Recipe(), seed)


def measure_all(
    recoveries: Mapping[str, str], photos: Sequence[Picture], table: Path, *,
    size: int, types: Sequence[str], encoder: str, workers: int | None = None,
) -> list[dict]:  # fmt: skip
    """Measure what does not stand in the table yet; returns one row a recovery, photo, type and strength.

    Args:
        encoder: as `training.recovery.rewards.load_encoder` takes it.
        workers: processes, one thread each; by default one a core. 1 is this process itself.

    Raises:
        CheckpointError: there is no such recovery.
        ValueError: something recovers no more than it was given.
        StoppedError: a worker was killed.
    """
    known = {row["key"]: row for row in read_table(table)}
    digests = {name: load_recovery(source).digest[:16] for name, source in recoveries.items()}
    cases = [(CLEAN, ""), *((state, kind) for state in STRENGTHS for kind in types)]
    keys, jobs = [], []
    for photo in photos:
        wanted: dict[tuple[str, str], dict[str, str]] = {}
        for case in cases:
            for name, digest in digests.items():
                key = f"{name} {digest} {photo.path} {' '.join(case)}"
                keys.append(key)
                if key not in known:
                    wanted.setdefault(case, {})[name] = key
        if wanted:
            # By its name, so that a photo is degraded alike among many and among few.
            jobs.append(Job(photo.path, zlib.crc32(photo.path.name.encode()), wanted))
    workers = min(workers or cores(), len(jobs))
    bench = recoveries, encoder, size
    here = map(Bench(*bench), jobs) if workers == 1 else None
    with (
        appending(table) as append,
        tqdm(total=len(photos), initial=len(photos) - len(jobs), unit=" photos") as bar,
        nullcontext(here) if here else closing(in_processes(_work, jobs, workers, partial(_begin, *bench))) as found,
    ):
        for rows in found:
            for row in rows:
                known[row["key"]] = row
                append(row)
            bar.update()
    return [known[key] for key in keys]


def _told(quality: Quality) -> dict[str, float | None]:
    return {"psnr": quality.capped, "ssim": quality.ssim, "semantic": quality.semantic}


_bench: Bench | None = None  # one per worker process, made by _begin


def _begin(*bench) -> None:
    global _bench
    torch.set_num_threads(1)
    _bench = Bench(*bench)


def _work(job: Job) -> list[dict]:
    return _bench(job)


# --- speed and size ---


def seconds_of(recovery: Recovery) -> float:
    """Median time that a picture of 256×256 takes on all cores, in seconds."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (TIMED_SIDE, TIMED_SIDE, 3), np.uint8))
    before, taken = torch.get_num_threads(), []
    torch.set_num_threads(cores())
    try:
        for _ in range(1 + TIMED):  # the first one warms up
            begin = time.perf_counter()
            recovery.recover(picture)
            taken.append(time.perf_counter() - begin)
    finally:
        torch.set_num_threads(before)
    return statistics.median(taken[1:])


def megabytes_of(source: str) -> float | None:
    """Size of a network's file; None of what is none."""
    path = Path(source)
    file = path / WEIGHTS if path.is_dir() else path
    return file.stat().st_size / 1e6 if file.is_file() else None
