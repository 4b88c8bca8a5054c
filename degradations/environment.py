"""Degradations of light, air and sensor noise."""

from functools import cache
from statistics import NormalDist

import cv2
import numpy as np

from degradations.pixels import blend, in_strips, integers, tiles, to_uint8
from degradations.registry import degradation


@degradation("dark illumination", "environment", "Darkness", "Too little light: everything sinks towards black.")
def dark_illumination(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    return cv2.LUT(image, to_uint8(np.arange(256) * (1 - intensity**2)))


@degradation(
    "atmospheric turbulence", "environment", "Atmospheric turbulence", "Hot air bends the view into horizontal waves."
)
def atmospheric_turbulence(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    shift = np.float32(40 * intensity) * np.sin(y / 30 + np.float32(5 * intensity))
    x = np.clip(x + shift, 0, width - 1)
    y = np.clip(y + np.float32(0.7) * shift, 0, height - 1)
    return _sample(image, x, y)


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray, tile: int = 16384, reach: int = 42) -> np.ndarray:
    """Bilinear samples of `image` at (x, y), each at most `reach` pixels from home.

    In tiles because OpenCV refuses sides of 32767 pixels and more.
    """
    result = np.empty_like(image)
    for here in tiles(image.shape, tile):
        rows, columns = here
        above, before = max(0, rows.start - reach), max(0, columns.start - reach)
        source = image[above : rows.stop + reach, before : columns.stop + reach]
        result[here] = cv2.remap(
            source, x[here] - before, y[here] - above, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return result


@degradation("gaussian noise", "environment", "Noise", "Random grain in every colour channel.")
def gaussian_noise(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    # A sum with a whole number is truncated where the noise is rounded down, so 16 bits hold all of it.
    noise = np.floor(75 * intensity * normal_quantiles()).astype(np.int16)
    draws = rng.integers(len(noise), size=image.shape, dtype=np.uint16)
    result = np.empty_like(image)

    def add(strip: slice) -> None:
        cv2.add(image[strip], noise[draws[strip]], dst=result[strip], dtype=cv2.CV_8U)

    in_strips(len(image), add)
    return result


@cache
def normal_quantiles() -> np.ndarray:
    """A table that turns a uniform 16-bit draw into a standard normal one, up to 4.3 sigmas."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((draw + 0.5) / 65536) for draw in range(65536)])


@degradation(
    "color diffusion",
    "environment",
    "Color diffusion",
    "Colours bleed into a dim haze; not monotone in strength: above 0.9 grey spots appear and the look changes.",
)
def color_diffusion(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    side, sigma = 3 + 2 * int(20 * intensity), 50 * intensity
    profile = cv2.getGaussianKernel(side, sigma, cv2.CV_32F)
    layer = to_uint8(cv2.sepFilter2D(image.astype(np.float32), -1, profile * np.float32(intensity**2), profile))
    spots = int(100 * intensity) if intensity > 0.9 else 0
    height, width = image.shape[:2]
    for x, y, radius, grey in rng.random((spots, 4)):
        shade = integers(grey, 0, 254)
        cv2.circle(layer, (int(x * width), int(y * height)), integers(radius, 5, 19), (shade, shade, shade), -1)
    return blend(image, max(0.1, 1 - 0.9 * intensity), layer, min(0.9, 0.9 * intensity))
