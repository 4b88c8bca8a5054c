"""Samples read back for training: pictures as tensors, recipes as targets."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import Dataset

from degradations import REGISTRY, Recipe

TYPES = list(REGISTRY)


def read_samples(folder: Path, limit: int | None = None) -> list[dict]:
    """Rows of ``training.synthesize`` with absolute picture paths.

    Raises:
        ValueError: the folder holds no samples.
    """
    folder = Path(folder)
    table = folder / "samples.jsonl"
    if not table.exists():
        raise ValueError(f"{folder} holds no samples.jsonl; make it with python -m training.synthesize")
    rows = [json.loads(line) for line in table.read_text().splitlines()[:limit]]
    for row in rows:
        row["image"], row["clean"] = str(folder / row["image"]), str(folder / row["clean"])
    return rows


def ordinary_variation(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """What any photographer's pictures vary by: a little brightness, contrast and colour."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.8, 1.2))
    return image


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


class PerceptionSamples(Dataset):
    """Degraded pictures with their recipes, each with a clean picture under ordinary variation and what it shows.

    ``things`` maps names to class numbers; composed scenes show several things and have none (-1).
    """

    def __init__(self, rows: list[dict], things: dict[str, int], size: int, seed: int = 0):
        self.rows, self.things, self.size, self.seed = rows, things, size, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.degraded(index) | self.clean(index)

    def degraded(self, index: int) -> dict:
        row = self.rows[index]
        presence, intensity = targets(Recipe.parse(row["recipe"]))
        with Image.open(row["image"]) as image:
            return {"degraded": pixels(image, self.size), "presence": presence, "intensity": intensity}

    def clean(self, index: int) -> dict:
        row = self.rows[index]
        rng = np.random.default_rng([self.seed, row["id"]])
        one_thing = row["kind"] in ("object", "garment")
        with Image.open(row["clean"]) as image:
            clean = pixels(ordinary_variation(image, rng), self.size)
        return {"clean": clean, "thing": self.things[row["thing"]] if one_thing else -1}


class FlippedSamples(PerceptionSamples):
    """The same for training: flipped anew in every draw, and a clean picture only for one sample in `clean_every`.

    Degraded pictures are flipped both ways, which changes no degradation; clean ones left to right only. The flips come
    from torch's global generator, which a checkpoint of the trainer keeps.
    """

    def __init__(self, rows: list[dict], things: dict[str, int], size: int, seed: int = 0, clean_every: int = 1):
        super().__init__(rows, things, size, seed)
        self.clean_every = clean_every

    def __getitems__(self, indices: list[int]) -> list[dict]:
        """A whole batch, as DataLoader asks for it: its items 0, clean_every, … have the clean picture too."""
        items = []
        for position, index in enumerate(indices):
            item = self.degraded(index)
            item["degraded"] = _flip(_flip(item["degraded"], -1), -2)
            if position % self.clean_every == 0:
                item |= self.clean(index)
                item["clean"] = _flip(item["clean"], -1)
            items.append(item)
        return items


def _flip(picture: torch.Tensor, axis: int) -> torch.Tensor:
    """Along one axis, half of the time."""
    return picture.flip(axis) if torch.rand(()) < 0.5 else picture
