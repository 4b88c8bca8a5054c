"""Pictures that the tests of the degradations share."""

import cv2
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
