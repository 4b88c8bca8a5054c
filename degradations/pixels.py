"""Arithmetic that the pixel functions share."""

from collections.abc import Iterator

import cv2
import numpy as np


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Clip to 0..255 and truncate (not round), as the published pictures were made."""
    return np.clip(values, 0, 255).astype(np.uint8)


def integers(u: float | np.ndarray, low: int, high: int) -> int:
    """Map a uniform draw u in [0, 1) to an integer in low..high, both included.

    Drawing floats first keeps the stream of draws the same whatever the bounds are, so that bounds which
    depend on the intensity do not move what a weaker intensity drew.
    """
    return low + int(u * (high - low + 1))


def tiles(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, slice]]:
    """Cut a picture of `shape` into tiles of at most `side` pixels a side; an ordinary picture is one tile."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, top + side), slice(left, left + side)


def blend(first: np.ndarray, first_weight: float, second: np.ndarray, second_weight: float) -> np.ndarray:
    """Weighted sum of two uint8 images, rounded and saturated."""
    return cv2.addWeighted(first, first_weight, second, second_weight, 0)


def blur(image: np.ndarray, side: int, sigma: float) -> np.ndarray:
    """Gaussian blur with a square kernel of odd `side` (0: derived from sigma), borders as OpenCV's default."""
    return cv2.GaussianBlur(image, (side, side), sigma)
