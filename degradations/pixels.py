"""Arithmetic that the pixel functions share."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

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


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a uint8 or float32 picture, borders as OpenCV's default; float32, not rounded.

    A wide blur is done on a coarser grid, whose step is a power of two and at most a third of sigma: averaging into
    cells and interpolating between them are blurs too, whose variances are taken off sigma's. That is exact to half a
    level of 255.
    """
    step = 1
    while sigma / (2 * step) >= 3:
        step *= 2
    if step == 1:
        side = int(8 * sigma) | 1
        return cv2.GaussianBlur(image.astype(np.float32, copy=False), (side, side), sigma)
    height, width = image.shape[:2]
    pad = -(-int(3.5 * sigma) // step) * step
    below, right = pad + -height % step, pad + -width % step
    padded = cv2.copyMakeBorder(image, pad, below, pad, right, cv2.BORDER_REFLECT_101)
    cells = cv2.resize(padded, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA).astype(np.float32)
    averaging, interpolating = (step**2 - 1) / 12, step**2 / 6
    cells = cv2.GaussianBlur(cells, (0, 0), (sigma**2 - averaging - interpolating) ** 0.5 / step)
    # Back to pixels, from the cells that the picture covers and one more on each side to interpolate from.
    edge = pad // step - 1
    cells = cells[edge : edge + 2 - (-height // step), edge : edge + 2 - (-width // step)]
    pixels = cv2.resize(cells, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    return pixels[step : step + height, step : step + width]


def in_strips(height: int, work: Callable[[slice], object], least: int = 128) -> None:
    """Call `work` for strips of rows that make up `height`, in as many threads as OpenCV uses.

    The result must not depend on where a strip begins.

    Args:
        least: rows of a strip that are worth a thread's start.
    """
    threads = max(1, cv2.getNumThreads())
    rows = max(least, -(-height // (4 * threads)))
    strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    if threads == 1 or len(strips) == 1:
        for strip in strips:
            work(strip)
        return
    # A pool of its own, gone at once: threads that outlive the call would be missing after a fork.
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, strips):
            pass  # raises what a thread raised
