"""Degradations of coding and transport."""

import cv2
import numpy as np

from degradations.pixels import tiles
from degradations.registry import degradation

_JPEG_SIDE = 65_488
"""The longest side that a JPEG can have, in whole blocks."""


@degradation(
    "jpeg compression", "transmission", "Compression", "JPEG at low quality: blocks, ringing and smeared colour."
)
def jpeg_compression(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    quality = min(100, max(5, int(100 - 95 * intensity)))
    result = np.empty_like(image)
    for tile in tiles(image.shape, _JPEG_SIDE):
        _, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(image[tile], cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        result[tile] = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return result


@degradation(
    "block exchange",
    "transmission",
    "Block change",
    "Square blocks of the picture have swapped places; with the strength their grid changes too.",
)
def block_exchange(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(32, int(5 + 30 * intensity), height, width)
    rows, columns = height // side, width // side
    result = image.copy()
    corners = (rng.random((int(35 * intensity), 4)) * (rows, columns, rows, columns)).astype(int) * side
    for top, left, other_top, other_left in corners.tolist():
        one = result[top : top + side, left : left + side]
        other = result[other_top : other_top + side, other_left : other_left + side]
        kept = one.copy()
        one[:], other[:] = other, kept
    return result


def _rough_mean_shift(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    from degradations.meanshift import rough_mean_shift_filter

    return rough_mean_shift_filter(image, int(40 * intensity))


@degradation(
    "mean shift",
    "transmission",
    "Shifting",
    "Neighbouring colours collapse into flat patches, like a painting.",
    rough=_rough_mean_shift,
)
def mean_shift(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    from degradations.meanshift import mean_shift_filter  # Numba takes half a second to import

    return mean_shift_filter(image, int(40 * intensity))


@degradation("scan lines", "transmission", "Scan lines", "Nearly black bands of rows run across the picture.")
def scan_lines(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    period, band = max(3, int(20 / (intensity + 0.1))), max(5, int(7 * intensity))
    result = image.copy()
    for top in range(0, len(image), period):
        np.floor_divide(image[top : top + band], 100, out=result[top : top + band])
    return result
