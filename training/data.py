"""Samples read back for training: pictures as tensors, recipes as targets."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from tqdm import tqdm

from degradations import REGISTRY, Recipe
from degradations.jobs import read_table
from training.written import whole_rows

TYPES = list(REGISTRY)


def read_samples(folder: Path, limit: int | None = None, exchanged: bool = False) -> list[dict]:
    """Rows of ``training.synthesize`` with the pictures' paths made whole; those with an error are left out.

    Args:
        exchanged: take samples of ``training.exchanged``, too, which are not about what their pictures show.

    Raises:
        ValueError: the folder holds no samples, a row that is not whole, or such that were not asked for; or the limit
            is no number of samples.
    """
    folder = Path(folder)
    table = folder / "samples.jsonl"
    if not table.exists():
        raise ValueError(f"{folder} holds no samples.jsonl; make it with python -m training.synthesize")
    _check_limit(limit)
    rows = [row for _, row in whole_rows(table) if "error" not in row][:limit]
    if not exchanged and any("exchanged" in row for row in rows):
        raise ValueError(
            f"{folder} asks about what its pictures do not show, for training.sft and training.grpo alone: "
            "give another folder"
        )
    for row in rows:
        row["image"], row["clean"] = str(folder / row["image"]), row["clean"] and str(folder / row["clean"])
        if "copies" in row:
            row["copies"] = {name: str(folder / path) for name, path in row["copies"].items()}
        if "recovered" in row:
            row["recovered"] = str(folder / row["recovered"])
        if "more_images" in row:
            row["more_images"] = [str(folder / path) for path in row["more_images"]]
    return rows


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is at least 1, not {limit}; without one all samples are taken")


def read_pairs(folder: Path, limit: int | None = None) -> list[dict]:
    """The rows of `read_samples` for a stage that looks at the clean picture beside the degraded one.

    Raises:
        ValueError: a sample's clean picture is not known, as after an import of degraded ones.
    """
    rows = read_samples(folder, limit)
    lacking = [row["id"] for row in rows if row["clean"] is None]
    if lacking:
        raise ValueError(f"{len(lacking)} samples of {folder} have no clean picture, the first is {lacking[0]!r}")
    return rows


def read_chained(folder: Path, limit: int | None = None, exchanged: bool = False) -> list[dict]:
    """The rows that have a chain, with the key ``"chain"`` beside those of `read_samples`; rejected ones are left out.

    Raises:
        ValueError: no chains were written for the folder yet, or none for any of its samples.
    """
    table = Path(folder) / "chains.jsonl"
    if not table.exists():
        raise ValueError(f"{folder} holds no chains.jsonl; write it with python -m training.write {folder}")
    _check_limit(limit)
    chains = {row["id"]: row["chain"] for row in read_table(table)}
    rows = [
        row | {"chain": chains[row["id"]]} for row in read_samples(folder, exchanged=exchanged) if row["id"] in chains
    ][:limit]
    if not rows:
        raise ValueError(f"no row of {table} belongs to a sample; write it anew with python -m training.write {folder}")
    return rows


def ordinary_variation(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """What any photographer's pictures vary by: a little brightness, contrast and colour."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.8, 1.2))
    return image


def read_picture(path: str | Path) -> Image.Image:
    """A stored picture, RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def pixels(image: Image.Image, size: int) -> torch.Tensor:
    """A picture as the embedded processor's ``pixel_values``: float32 (3, size, size), padded with black."""
    array = np.zeros((size, size, 3), np.uint8)
    top, left = (size - image.height + 1) // 2, (size - image.width + 1) // 2  # the processor rounds up
    array[top : top + image.height, left : left + image.width] = np.asarray(image)
    return (torch.from_numpy(array).permute(2, 0, 1).float() - 127) / 128


def targets(recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Presence (0 or 1) and intensity of every type, each float32 of shape (16,)."""
    intensity = torch.tensor([recipe.get(name, 0.0) for name in TYPES])
    return (intensity > 0).float(), intensity


def cached(folder: Path, name: str, source: str, shape: tuple[int, ...], batches: Iterable[np.ndarray]) -> np.ndarray:
    """An array that is computed once and kept on disk, float16, in a file named after what it follows from."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}.f16"
    if not path.exists():
        unfinished = path.with_suffix(".tmp")
        array = np.memmap(unfinished, np.float16, "w+", shape=shape)
        position = 0
        with tqdm(total=len(array), desc=name) as bar:
            for batch in batches:
                array[position : position + len(batch)] = batch
                position += len(batch)
                bar.update(len(batch))
        array.flush()
        unfinished.rename(path)
    return np.memmap(path, np.float16, "r", shape=shape)
