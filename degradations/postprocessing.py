"""Degradations of editing: sharpening, scribbles, removed watermarks."""

import cv2
import numpy as np

from degradations.pixels import blend, integers, to_uint8
from degradations.registry import degradation

_WORDS = ("X", "FAKE", "COPY", "VOID", "COPYRIGHT")


@degradation(
    "sharpness change",
    "postprocessing",
    "Sharpness change",
    "A sharpening filter overshoots: burnt highlights, hard edges; not monotone, most of it is there from the start.",
)
def sharpness_change(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32) * (80 * intensity)
    return blend(image, 0.7, cv2.filter2D(image, -1, kernel), 0.3)


@degradation(
    "graffiti",
    "postprocessing",
    "Graffiti",
    "Random strokes are scribbled over the picture; when strong, a red word too.",
)
def graffiti(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    result = image.copy()
    line_rng, word_rng = rng.spawn(2)
    for x1, y1, x2, y2, thickness, *colour in line_rng.random((int(10 * intensity), 8)).tolist():
        start, end = (int(x1 * width), int(y1 * height)), (int(x2 * width), int(y2 * height))
        cv2.line(
            result,
            start,
            end,
            [integers(c, 0, 255) for c in colour],
            integers(thickness, 1, max(1, int(5 * intensity))),
        )
    if intensity > 0.55:
        _write_word(result, intensity, word_rng)
    return result


def _write_word(image: np.ndarray, intensity: float, rng: np.random.Generator) -> None:
    """Write one red word into `image`; none where the picture is too low for it."""
    height, width = image.shape[:2]
    choice, number, x, y = rng.random(4)
    words = (*_WORDS, str(integers(number, 1, 100)))
    word = words[int(choice * len(words))]
    scale = max(0.5, 5 * intensity)
    thickness = max(1, int(scale))
    (text_width, text_height), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    if height - 10 <= text_height + 10:
        return
    left = integers(x, 0, max(1, width - text_width - 10))
    baseline = integers(y, text_height + 10, height - 10)
    cv2.putText(image, word, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 0, 0), thickness)


@degradation(
    "watermark damage",
    "postprocessing",
    "Watermark damage",
    "Rectangles were erased and painted over from their surroundings, leaving smears.",
)
def watermark_damage(image: np.ndarray, intensity: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for x, y, w, h in rng.random((int(1 + 15 * intensity), 4)):
        left, top = integers(x, 0, max(0, width - 50)), integers(y, 0, max(0, height - 50))
        mask[top : top + integers(h, 20, 80), left : left + integers(w, 50, 200)] = 255
    result = blend(image, 1 - intensity, _inpaint(image, mask), intensity)
    if intensity > 0.5:
        edges = cv2.Canny(mask, 100, 200) > 0
        result[edges] = to_uint8(result[edges] * 0.8)
    return result


def _inpaint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill the pixels under `mask` from their surroundings."""
    height, width = mask.shape
    if min(height, width) == 1:  # OpenCV reads past the end of a single row or column
        image, mask = (cv2.copyMakeBorder(plane, 0, 1, 0, 1, cv2.BORDER_REPLICATE) for plane in (image, mask))
    return cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA)[:height, :width]
