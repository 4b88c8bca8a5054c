"""Pairs to learn recovery from: a corpus' photos, degraded live; decoded once and kept on disk."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from degradations import Recipe, degrade
from degradations.files import replacing
from training.corpus import Picture, read_corpus
from training.questions import fit_inside

INTENSITY = (0.05, 1.0)
"""Range of each degradation's intensity, as in the samples."""
TYPES = {1: 0.55, 2: 0.2, 3: 0.15, 4: 0.1}
"""How many types a degraded picture has, and how often: one most often, as benchmarks have it."""

CUTS = 2
"""Sections of one degraded picture: degrading takes about a quarter as long as learning from it."""


class Photos:
    """The photos of one split of a corpus, decoded and scaled once; cut-outs are no photos.

    Args:
        corpus: as `training.corpus.read_corpus` takes it.
        size: the longer side of every photo, in pixels.
        cache: folder for the decoded photos: one file of pixels and one of places, named after what they follow from.

    Attributes:
        sources: the source of each photo.
    """

    def __init__(self, corpus: Path, split: str, size: int, cache: Path):
        chosen = [picture for picture in read_corpus(corpus, split) if not picture.cutout]
        if not chosen:
            raise ValueError(f"{corpus} has no photos of split {split!r}, only cut-outs")
        self.sources = [picture.source for picture in chosen]
        self.paths = [str(picture.path) for picture in chosen]
        follows = json.dumps([size, [[path, Path(path).stat().st_size] for path in self.paths]])
        name = f"photos-{split}-{hashlib.sha256(follows.encode()).hexdigest()[:12]}"
        pixels, places = cache / f"{name}.u8", cache / f"{name}.json"
        if not places.exists():
            cache.mkdir(parents=True, exist_ok=True)
            _decode(chosen, size, pixels, places)
        self._pixels = np.memmap(pixels, np.uint8, "r")
        self._places = json.loads(places.read_text())

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> np.ndarray:
        """Photo `number`, uint8 (h, w, 3), not to be written to."""
        begin, height, width = self._places[number]
        return self._pixels[begin : begin + height * width * 3].reshape(height, width, 3)

    def weights(self) -> np.ndarray:
        """How often each photo is drawn: sources by the roots of their sizes, so that none drowns the others."""
        counts = {source: self.sources.count(source) for source in set(self.sources)}
        weights = np.array([counts[source] ** -0.5 for source in self.sources])
        return weights / weights.sum()


def _decode(chosen: list[Picture], size: int, pixels: Path, places: Path) -> None:
    found, begin = [], 0
    with replacing(pixels) as unfinished, unfinished.open("wb") as file:
        for picture in tqdm(chosen, desc="photos decoded"):
            array = np.asarray(fit_inside(picture.load(), size))
            file.write(array.tobytes())
            found.append([begin, *array.shape[:2]])
            begin += array.size
    with replacing(places) as unfinished:
        unfinished.write_text(json.dumps(found))


class Pairs(Dataset):
    """Clean pictures with degraded ones, drawn anew each time; pair n follows from (seed, n) alone.

    A photo is mirrored half of the time, degraded whole, then cut: what a degradation does depends on all of it.
    A batch is of one size: sections, `CUTS` of each degraded picture, or whole pictures, of which it holds fewer, so
    that every batch takes as long.

    Args:
        count: pairs in all.
        section: width and height of a section, in pixels.
        whole: the same of a whole picture; photos that are smaller are continued by their mirror image.
        section_share: share of the batches that are sections.
        clean_share: share of the pictures that stay clean, so that good ones are left alone.
    """

    def __init__(
        self,
        photos: Photos,
        count: int,
        seed: int,
        section: int = 128,
        whole: int = 256,
        section_share: float = 0.75,
        clean_share: float = 0.1,
    ):
        self.photos, self.count, self.seed = photos, count, seed
        self.section, self.whole = section, whole
        self.section_share, self.clean_share = section_share, clean_share
        self._weights = photos.weights()

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, numbers: list[int]) -> list[dict[str, torch.Tensor]]:
        """A whole batch, as DataLoader asks for it."""
        if np.random.default_rng([self.seed, numbers[0], 1]).random() < self.section_share:
            chosen = numbers[: -(-len(numbers) // CUTS)]
            return [cut for number in chosen for cut in self.cuts(number, self.section, CUTS)][: len(numbers)]
        fewer = max(1, len(numbers) * self.section**2 // self.whole**2)
        return [cut for number in numbers[:fewer] for cut in self.cuts(number, self.whole, 1)]

    def cuts(self, number: int, size: int, count: int) -> list[dict[str, torch.Tensor]]:
        """So many cuts of pair `number`: ``degraded`` and ``clean``, each uint8 (3, size, size)."""
        rng = np.random.default_rng([self.seed, number])
        clean = self.photos[rng.choice(len(self.photos), p=self._weights)]
        clean = np.ascontiguousarray(clean[:, ::-1] if rng.random() < 0.5 else clean)
        recipe = Recipe()
        if rng.random() >= self.clean_share:
            types = int(rng.choice(list(TYPES), p=list(TYPES.values())))
            recipe = Recipe.sample(rng, count=(types, types), intensity=INTENSITY)
        degraded = np.asarray(degrade(clean, recipe, int(rng.integers(2**31))))
        lacking = [max(0, size - length) for length in clean.shape[:2]]
        padding = [*((0, missing) for missing in lacking), (0, 0)]
        clean, degraded = (np.pad(array, padding, "symmetric") for array in (clean, degraded))
        found = []
        for _ in range(count):
            top, left = (int(rng.integers(length - size + 1)) for length in clean.shape[:2])
            cut = np.s_[top : top + size, left : left + size]
            both = {"degraded": degraded[cut], "clean": clean[cut]}
            found.append(
                {name: torch.from_numpy(np.ascontiguousarray(one.transpose(2, 0, 1))) for name, one in both.items()}
            )
        return found
