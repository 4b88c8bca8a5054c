"""Pictures that the tests of the degradations share."""

from functools import cache
from pathlib import Path

import cv2
import gradio
import numpy as np

RANDOM = ["lens flare", "motion blur", "dirty lens", "block exchange", "gaussian noise", "graffiti", "watermark damage"]
"""The types that draw something at any intensity; color diffusion does above 0.9 only."""


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth areas, edges, texture and every colour: something for each degradation to act on."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(1, height // 24 + 1), max(1, width // 24 + 1), 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    smooth[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 20)
    grain = rng.integers(-8, 9, smooth.shape)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mask of the pixels that differ in any channel."""
    return (before != after).any(axis=-1)


@cache
def photographs(size: tuple[int, int]) -> list[np.ndarray]:
    """The examples and the photos that come with Gradio, scaled and cropped to (height, width)."""
    here, gradios = Path(__file__).parent.parent / "examples", Path(gradio.__file__).parent / "media_assets" / "images"
    files = sorted(here.glob("*.jpg")) + [gradios / name for name in GRADIO_PHOTOS]
    return [_filling(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), *size) for file in files]


GRADIO_PHOTOS = ("bus.png", "cheetah.jpg", "groot.jpeg", "lion.jpg", "tower.jpg")


def _filling(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    scale = max(height / photo.shape[0], width / photo.shape[1])
    scaled = [max(side, round(length * scale)) for side, length in zip((height, width), photo.shape, strict=False)]
    photo = cv2.resize(photo, scaled[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    photo = np.ascontiguousarray(photo[top : top + height, left : left + width])
    photo.flags.writeable = False  # it is shared
    return photo


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian window of sigma 1.5, mean over pixels and channels."""

    def local(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    one, other = one.astype(np.float64), other.astype(np.float64)
    mean_one, mean_other = local(one), local(other)
    variances = local(one**2) - mean_one**2 + local(other**2) - mean_other**2
    covariance = local(one * other) - mean_one * mean_other
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
    return float((similarity / ((mean_one**2 + mean_other**2 + c1) * (variances + c2))).mean())
