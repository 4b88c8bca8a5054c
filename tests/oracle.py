"""The sixteen degradations a second time: the published formulas, as slowly and plainly as they read.

Each takes what the pixel functions take, an RGB picture, an intensity and a generator, and makes the same draws in the
same order. What a draw u in [0, 1) becomes is `between`: an integer of the published range.
"""

import cv2
import numpy as np


def truncate(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def saturate(values: np.ndarray) -> np.ndarray:
    """As OpenCV turns its results into 8 bits."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def between(low: int, high: int, u: float) -> int:
    return low + int(u * (high - low + 1))


def gaussian(side: int, sigma: float) -> np.ndarray:
    x = np.arange(side) - side // 2
    kernel = np.exp(-(x**2) / (2 * sigma**2))
    kernel = np.outer(kernel, kernel)
    return kernel / kernel.sum()


def place(x: float, y: float, image: np.ndarray) -> tuple[int, int]:
    return int(x * image.shape[1]), int(y * image.shape[0])


# --- acquisition ---


def lens_blur(image, i, rng):
    blurred = truncate(cv2.filter2D(image.astype(np.float64), -1, gaussian(int(3 + 300 * i) | 1, 20 * i)))
    return saturate((1 - 0.7 * i) * image + 0.9 * i * blurred)


def lens_flare(image, i, rng):
    layer = np.zeros(image.shape, np.float32)
    for x, y, radius, angle, length in rng.random((3 + int(30 * i), 5)):
        centre = place(x, y, image)
        cv2.circle(layer, centre, between(10, 50, radius), (235, 255, 255), -1)
        length, angle = between(30, 150, length), 2 * np.pi * angle
        end = int(centre[0] + length * np.cos(angle)), int(centre[1] + length * np.sin(angle))
        cv2.line(layer, centre, end, (235, 255, 255), 2)
    return truncate(image + 0.9 * i * cv2.GaussianBlur(layer, (3, 3), 20 * i))


def motion_blur(image, i, rng):
    d = max(5, int(30 * i))
    kernel = np.diag(np.ones(d))
    kernel = cv2.warpAffine(kernel, cv2.getRotationMatrix2D((d / 2, d / 2), 360 * rng.random(), 1), (d, d))
    return saturate(cv2.filter2D(image.astype(np.float64), -1, kernel / kernel.sum()))


def dirty_lens(image, i, rng):
    layer = np.zeros(image.shape, np.float32)
    smudges, specks, drops = rng.spawn(3)
    if i > 0.1:
        for x, y, long, short, angle in smudges.random((int(10 * i), 5)):
            axes = between(150, 300, long), between(100, 200, short)
            cv2.ellipse(layer, place(x, y, image), axes, between(0, 180, angle), 0, 360, (50, 50, 50), -1)
    for x, y, radius, grey in specks.random((int(300 * i), 4)):
        cv2.circle(layer, place(x, y, image), between(4, 20, radius), (between(50, 100, grey),) * 3, -1)
    if i > 0.5:
        for x, y, outer, inner in drops.random((int(5 * i), 4)):
            cv2.circle(layer, place(x, y, image), between(20, 50, outer), (80, 80, 80), -1)
            cv2.circle(layer, place(x, y, image), between(10, 30, inner), (120, 120, 120), -1)
    return saturate((1 - 0.7 * i) * image + 0.8 * i * truncate(cv2.GaussianBlur(layer, (0, 0), 30)))


def hsv_saturation(image, i, rng):
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = truncate(hsv[..., 1] * (1 - i))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


# --- transmission ---


def jpeg_compression(image, i, rng):
    quality = min(100, max(5, int(100 - 95 * i)))
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def block_exchange(image, i, rng):
    result = image.copy()
    side = min(32, int(5 + 30 * i), *image.shape[:2])
    rows, columns = image.shape[0] // side, image.shape[1] // side
    for row, column, other_row, other_column in rng.random((int(35 * i), 4)):
        y, x = int(row * rows) * side, int(column * columns) * side
        v, u = int(other_row * rows) * side, int(other_column * columns) * side
        one, other = result[y : y + side, x : x + side].copy(), result[v : v + side, u : u + side].copy()
        result[y : y + side, x : x + side], result[v : v + side, u : u + side] = other, one
    return result


def mean_shift(image, i, rng):
    return cv2.pyrMeanShiftFiltering(image, int(40 * i), int(40 * i), maxLevel=1)


def scan_lines(image, i, rng):
    result = image.copy()
    for y in range(0, len(result), max(3, int(20 / (i + 0.1)))):
        band = slice(y, y + max(5, int(7 * i)))
        result[band] = truncate(image[band] * 0.01)
    return result


# --- environment ---


def dark_illumination(image, i, rng):
    return truncate(image * (1 - i**2))


def atmospheric_turbulence(image, i, rng):
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    d = 40 * i * np.sin(y / 30 + 5 * i)
    x, y = np.clip(x + d, 0, width - 1), np.clip(y + 0.7 * d, 0, height - 1)
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (x - left)[..., None], (y - top)[..., None]
    above = image[top, left] * (1 - x) + image[top, right] * x
    below = image[bottom, left] * (1 - x) + image[bottom, right] * x
    return saturate(above * (1 - y) + below * y)


def gaussian_noise(image, i, rng):
    return truncate(image + rng.normal(0, 75 * i, image.shape))


def color_diffusion(image, i, rng):
    layer = truncate(cv2.filter2D(image.astype(np.float64), -1, gaussian(3 + 2 * int(20 * i), 50 * i) * i**2))
    if i > 0.9:
        for x, y, radius, grey in rng.random((int(100 * i), 4)):
            cv2.circle(layer, place(x, y, image), between(5, 19, radius), (between(0, 254, grey),) * 3, -1)
    return saturate(max(0.1, 1 - 0.9 * i) * image + min(0.9, 0.9 * i) * layer)


# --- postprocessing ---


def sharpness_change(image, i, rng):
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]) * 80 * i
    return saturate(0.7 * image + 0.3 * saturate(cv2.filter2D(image.astype(np.float64), -1, kernel)))


def graffiti(image, i, rng):
    height, width = image.shape[:2]
    result = image.copy()
    lines, word = rng.spawn(2)
    for x1, y1, x2, y2, thickness, r, g, b in lines.random((int(10 * i), 8)):
        colour = between(0, 255, r), between(0, 255, g), between(0, 255, b)
        thickness = between(1, max(1, int(5 * i)), thickness)
        cv2.line(result, place(x1, y1, image), place(x2, y2, image), colour, thickness)
    if i > 0.55:
        choice, number, x, y = word.random(4)
        text = ["X", "FAKE", "COPY", "VOID", "COPYRIGHT", str(between(1, 100, number))][int(choice * 6)]
        scale = max(0.5, 5 * i)
        style = cv2.FONT_HERSHEY_SIMPLEX, scale
        thickness = max(1, int(scale))
        (text_width, text_height), _ = cv2.getTextSize(text, *style, thickness)
        if height - 10 > text_height + 10:
            corner = between(0, max(1, width - text_width - 10), x), between(text_height + 10, height - 10, y)
            cv2.putText(result, text, corner, *style, (255, 0, 0), thickness)
    return result


def watermark_damage(image, i, rng):
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for x, y, w, h in rng.random((int(1 + 15 * i), 4)):
        left, top = between(0, max(0, width - 50), x), between(0, max(0, height - 50), y)
        mask[top : top + between(20, 80, h), left : left + between(50, 200, w)] = 255
    result = saturate((1 - i) * image + i * cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA).astype(np.float64))
    if i > 0.5:
        edges = cv2.Canny(mask, 100, 200) > 0
        result[edges] = truncate(result[edges] * 0.8)
    return result


ORACLES = {
    function.__name__.replace("_", " "): function
    for function in (
        lens_blur, lens_flare, motion_blur, dirty_lens, hsv_saturation,
        jpeg_compression, block_exchange, mean_shift, scan_lines,
        dark_illumination, atmospheric_turbulence, gaussian_noise, color_diffusion,
        sharpness_change, graffiti, watermark_damage,
    )
}  # fmt: skip
