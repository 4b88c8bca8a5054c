"""Degradations of coding and transport."""

import cv2
import numpy as np

from degradations.pixels import tiles, to_uint8
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
    for draws in rng.random((int(35 * intensity), 4)):
        top, left, other_top, other_left = (draws * (rows, columns, rows, columns)).astype(int) * side
        one = result[top : top + side, left : left + side]
        other = result[other_top : other_top + side, other_left : other_left + side]
        one[:], other[:] = other.copy(), one.copy()
    return result


@degradation(
    "mean shift", "transmission", "Shifting", "Neighbouring colours collapse into flat patches, like a painting."
)
def mean_shift(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    radius = int(40 * intensity)
    return cv2.pyrMeanShiftFiltering(image, radius, radius)


@degradation("scan lines", "transmission", "Scan lines", "Nearly black bands of rows run across the picture.")
def scan_lines(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    period, band = max(3, int(20 / (intensity + 0.1))), max(5, int(7 * intensity))
    dark = np.arange(image.shape[0]) % period < band
    result = image.copy()
    result[dark] = to_uint8(result[dark] * 0.01)
    return result
