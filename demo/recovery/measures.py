"""How good a recovery is where the clean picture is known, and where it changed the picture.

PSNR and SSIM are torchmetrics'. All three measures are higher for better pictures.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cosine_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from demo.recovery.encoders import Encoder

CEILING_DB = 40.0
"""A PSNR above this counts as this in means: no eye tells such pictures from clean ones, and of equal ones it is
infinite."""
SSIM_SIDE = 11
"""Of its window; smaller pictures have no SSIM. torchmetrics' Gaussian of sigma 1.5 has just this side."""
NOTICEABLE = 0.1
"""A change of a pixel's colour that counts as one, of the whole range."""


@dataclass(frozen=True)
class Quality:
    """How near a picture comes to the clean one.

    Attributes:
        psnr: peak signal-to-noise ratio in dB; infinite where both are the same.
        ssim: structural similarity (window 11, range 1), at most 1; None for pictures smaller than its window.
        semantic: cosine similarity of embeddings, in [-1, 1]; None without an encoder.
    """

    psnr: float
    ssim: float | None
    semantic: float | None

    @property
    def capped(self) -> float:
        """The PSNR, at most `CEILING_DB`."""
        return min(self.psnr, CEILING_DB)


def as_tensor(image: Image.Image) -> torch.Tensor:
    """Mode RGB to float32 (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


@torch.inference_mode()
def measure(
    image: Image.Image, clean: Image.Image, encoder: Encoder | None = None, meant: torch.Tensor | None = None
) -> Quality:
    """Hold a picture against the clean one.

    Args:
        meant: the clean picture's embedding, where many are held against it.

    Raises:
        ValueError: they have different sizes.
    """
    if image.size != clean.size:
        raise ValueError(f"a picture of {image.size} cannot be held against a clean one of {clean.size}")
    one, other = as_tensor(image), as_tensor(clean)
    psnr = math.inf if torch.equal(one, other) else float(peak_signal_noise_ratio(one, other, data_range=1.0))
    ssim = float(ssim_of(one, other)) if min(image.size) >= SSIM_SIDE else None
    if encoder is None:
        return Quality(psnr, ssim, None)
    meant = encoder.embed(other) if meant is None else meant
    return Quality(psnr, ssim, float(cosine_similarity(encoder.embed(one).float(), meant.float())))


def ssim_of(pictures: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """SSIM of each of some pictures (n, 3, h, w) in [0, 1] with its clean counterpart, (n,)."""
    return ssim_and_map(pictures, clean)[0]


def ssim_and_map(pictures: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`ssim_of`, and what it is the mean of: (n,) and (n, 3, h, w), with the borders that mirroring adds."""
    return structural_similarity_index_measure(
        pictures, clean, gaussian_kernel=True, sigma=1.5, kernel_size=SSIM_SIDE, data_range=1.0,
        reduction="none", return_full_image=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """Where a recovery changed a picture.

    Attributes:
        map: the picture in grey, what changed in colour: the warmer, the more.
        share: of the pixels that changed noticeably, in [0, 1].
    """

    map: Image.Image
    share: float


def changes(before: Image.Image, after: Image.Image) -> Changes:
    """Hold a recovered picture against what was given."""
    one, other = (np.asarray(image, np.float32) / 255 for image in (before, after))
    change = np.abs(one - other).max(-1)
    share = float((change > NOTICEABLE).mean())
    # Single pixels say little: what matters is the region.
    spread = cv2.GaussianBlur(change, (0, 0), max(1.0, max(before.size) / 100))
    level = np.clip(spread / 0.4, 0, 1)
    colours = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1] / 255.0
    grey = np.repeat(cv2.cvtColor(np.asarray(after), cv2.COLOR_RGB2GRAY)[..., None], 3, -1) / 255.0
    weight = np.sqrt(level)[..., None]
    mixed = (1 - weight) * (0.35 + 0.5 * grey) + weight * colours
    return Changes(Image.fromarray(np.clip(mixed * 255, 0, 255).astype(np.uint8)), share)
