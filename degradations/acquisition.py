"""Degradations of the camera: optics, motion, dirt, sensor colour."""

import cv2
import numpy as np

from degradations.pixels import blend, gaussian_blur, in_strips, integers, to_uint8
from degradations.registry import degradation


@degradation(
    "lens blur", "acquisition", "Lens blur", "The lens is out of focus: fine detail melts and highlights spread."
)
def lens_blur(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    # The published kernel reaches past seven sigmas, so it is a Gaussian cut off nowhere.
    blurred = gaussian_blur(image, 20 * intensity).astype(np.uint8)
    return blend(image, 1 - 0.7 * intensity, blurred, 0.9 * intensity)


@degradation("lens flare", "acquisition", "Lens flare", "Stray light draws bright discs and streaks over the picture.")
def lens_flare(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    count, sigma, strength = 3 + int(30 * intensity), 20 * intensity, 0.9 * intensity
    height, width = image.shape[:2]
    light = np.zeros((height, width), np.float32)
    for x, y, radius, angle, length in rng.random((count, 5)).tolist():
        centre = int(x * width), int(y * height)
        cv2.circle(light, centre, integers(radius, 10, 50), 1, -1)
        reach = integers(length, 30, 150)
        end = (
            int(centre[0] + reach * np.cos(2 * np.pi * angle)),
            int(centre[1] + reach * np.sin(2 * np.pi * angle)),
        )
        cv2.line(light, centre, end, 1, 2)
    light = cv2.GaussianBlur(light, (3, 3), sigma)
    # All flares are R 235, G 255, B 255. A whole number plus a truncated one is their sum truncated.
    red, other = ((light * np.float32(strength * value)).astype(np.uint8) for value in (235, 255))
    return cv2.add(image, cv2.merge([red, other, other]))


@degradation(
    "motion blur",
    "acquisition",
    "Motion blur",
    "The camera moved during exposure: everything smears along one direction (constant below 0.2).",
)
def motion_blur(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    side = max(5, int(30 * intensity))
    rotation = cv2.getRotationMatrix2D((side / 2, side / 2), 360 * rng.random(), 1)
    # In double precision OpenCV interpolates in 32nds of a pixel, as it did in any when the published data were made.
    kernel = cv2.warpAffine(np.eye(side), rotation, (side, side))
    return _correlate(image, kernel / kernel.sum())


def _correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """``cv2.filter2D`` for a square kernel of non-negative weights, most of them 0, summing to 1."""
    from degradations.kernels import add_taps  # Numba takes half a second to import

    weights = np.rint(kernel * 65536).astype(np.uint16)
    rows, columns = np.nonzero(weights)
    before, after = len(kernel) // 2, (len(kernel) - 1) // 2
    padded = cv2.copyMakeBorder(image, before, after, before, after, cv2.BORDER_REFLECT_101)
    padded = padded.astype(np.uint16).reshape(len(padded), -1) << 8
    taps = np.stack([rows, 3 * columns, weights[rows, columns]], axis=1).astype(np.uint32)
    result = np.empty_like(image)
    in_strips(
        len(image), lambda strip: add_taps(padded[strip.start :], taps, result[strip].reshape(-1, result[0].size))
    )
    return result


@degradation("dirty lens", "acquisition", "Dirty lens", "Smudges and specks on the glass veil parts of the view.")
def dirty_lens(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    smudges = int(10 * intensity) if intensity > 0.1 else 0
    specks = int(300 * intensity)
    drops = int(5 * intensity) if intensity > 0.5 else 0
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.float32)
    smudge_rng, speck_rng, drop_rng = rng.spawn(3)
    for x, y, long, short, angle in smudge_rng.random((smudges, 5)):
        axes = integers(long, 150, 300), integers(short, 100, 200)
        cv2.ellipse(layer, (int(x * width), int(y * height)), axes, integers(angle, 0, 180), 0, 360, 50, -1)
    for x, y, radius, grey in speck_rng.random((specks, 4)):
        cv2.circle(layer, (int(x * width), int(y * height)), integers(radius, 4, 20), integers(grey, 50, 100), -1)
    for x, y, outer, inner in drop_rng.random((drops, 4)):
        centre = int(x * width), int(y * height)
        cv2.circle(layer, centre, integers(outer, 20, 50), 80, -1)
        cv2.circle(layer, centre, integers(inner, 10, 30), 120, -1)
    dirt = gaussian_blur(layer, 30).astype(np.uint8)
    return blend(image, 1 - 0.7 * intensity, cv2.merge([dirt] * 3), 0.8 * intensity)


@degradation("hsv saturation", "acquisition", "Saturation", "Colours fade towards grey.")
def hsv_saturation(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    # The product is truncated like every float result here; a table does it once per value.
    faded = cv2.LUT(cv2.extractChannel(hsv, 1), to_uint8(np.arange(256) * (1 - intensity)))
    cv2.insertChannel(faded, hsv, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=hsv)
