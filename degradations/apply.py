"""A recipe applied to a picture."""

import zlib
from collections.abc import Mapping
from numbers import Integral

import numpy as np
from PIL import Image

from degradations.files import PhotoError, eight_bits
from degradations.recipe import Recipe
from degradations.registry import REGISTRY


def degrade(
    image: Image.Image | np.ndarray, recipe: Recipe | Mapping[str, float] | str, seed: int = 0, *, rough: bool = False
) -> Image.Image | np.ndarray:
    """Degrade a picture.

    Args:
        image: a PIL image of any mode, or a uint8 array of shape (height, width), (height, width, 1),
            (height, width, 2) grey and alpha, (height, width, 3) RGB or (height, width, 4) RGBA; 1×1 and up. Never
            modified.
        recipe: what to apply; text and mappings are read by `Recipe.parse`.
        seed: non-negative. Every type draws from a generator of its own, made from seed and name, so the result is
            the same on every machine and thread, and one type's intensity never moves another's draws.
        rough: take the fast and coarse form of a type that has one. To be shown until the real picture is there, never
            to a model.

    Returns:
        A picture of the same kind, size and mode (PIL) or shape (array). Grey pictures are degraded as RGB with equal
        channels and reduced to grey again; alpha is kept as it was. PIL modes other than L, LA, RGB and RGBA
        come back as RGB, or RGBA where they carry transparency; greys of more than 8 bits are scaled as
        `files.eight_bits` does.

    Raises:
        ValueError: unreadable recipe, negative seed, an array of another shape or dtype, an empty picture.
        TypeError: an image that is neither a PIL image nor an array, a seed that is no integer.
    """
    recipe = Recipe.parse(recipe)
    if not isinstance(seed, Integral):
        raise TypeError(f"the seed must be an integer, not {seed!r}")
    if seed < 0:
        raise ValueError(f"the seed must not be negative, got {seed}")
    if isinstance(image, Image.Image):
        if image.mode.startswith("I") or image.mode == "F":
            try:
                image = Image.fromarray(eight_bits(np.asarray(image))).convert("RGB")
            except PhotoError as error:
                raise ValueError(f"the picture is {error}") from error
        elif image.mode not in ("L", "LA", "RGB", "RGBA"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        return Image.fromarray(_degrade_array(np.asarray(image), recipe, seed, rough))
    if isinstance(image, np.ndarray):
        return _degrade_array(image, recipe, seed, rough)
    raise TypeError(f"image must be a PIL image or a numpy array, not {type(image).__name__}")


def warm_up() -> None:
    """Compile or load what is compiled when it is first used: seconds the first time ever, less afterwards."""
    degrade(np.zeros((64, 64, 3), np.uint8), dict.fromkeys(REGISTRY, 0.5))


def _degrade_array(image: np.ndarray, recipe: Recipe, seed: int, rough: bool) -> np.ndarray:
    """Degrade any layout of channels by way of RGB; always a new array."""
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or image.size == 0:
        raise ValueError(
            f"expected a non-empty uint8 picture of shape (height, width[, 1..4]), got {image.dtype} of {image.shape}"
        )
    if not recipe:
        return image.copy()
    planes = image.reshape(*image.shape[:2], channels)
    colour = 3 if channels >= 3 else 1
    rgb = np.ascontiguousarray(np.broadcast_to(planes[..., :colour], (*image.shape[:2], 3)))
    for name, intensity in recipe.items():
        entry = REGISTRY[name]
        function = entry.rough if rough and entry.rough else entry.function
        rgb = function(rgb, intensity, np.random.default_rng([seed, zlib.crc32(name.encode())]))
    if colour == 1:
        rgb = _grey(rgb)
    if channels > colour:
        rgb = np.concatenate([rgb, planes[..., colour:]], axis=-1)
    return rgb.reshape(image.shape)


def _grey(rgb: np.ndarray) -> np.ndarray:
    """Luma of an RGB picture, shape (height, width, 1)."""
    return np.array(Image.fromarray(rgb).convert("L"))[..., None]
