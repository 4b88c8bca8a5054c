"""The two rewards of a recovery, in their published form: structure, and what the picture means."""

import torch

from demo.recovery.encoders import Encoder, clip_encoder, tower_encoder
from demo.recovery.measures import ssim_and_map
from training.embedded import build_model, build_tokenizer
from training.folding import fold

SHARPNESS = 5.0
"""Of the semantic reward, ``exp(-5 (1 - cos))``."""
IMAGENET = "imagenet"
"""Names the encoder that is at hand without a network."""


def load_encoder(name: str) -> Encoder:
    """CLIP by folder or cached Hub name; `IMAGENET` for EfficientNet-Lite0 with its published ImageNet weights.

    Raises:
        OSError: there is no such CLIP on this machine.
    """
    if name != IMAGENET:
        return clip_encoder(name)
    tower = fold(build_model(build_tokenizer([])).model.vision_tower.eval())
    return tower_encoder(tower, "EfficientNet-Lite0 (ImageNet)")


def semantic(cosine: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of image embeddings -> reward in (0, 1]."""
    return torch.exp(-SHARPNESS * (1 - cosine))


def structure(pictures: torch.Tensor, clean: torch.Tensor, region: int | None) -> torch.Tensor:
    """SSIM (window 11, range 1) of pictures (n, 3, h, w) with clean ones, of each region of so many pixels square.

    Returns:
        (n, rows, columns); (n, 1, 1) of the whole pictures for no region.
    """
    whole, local = ssim_and_map(pictures, clean)
    if region is None:
        return whole[:, None, None]
    pad = (local.shape[-2] - pictures.shape[-2]) // 2  # torchmetrics leaves the mirrored border on its map
    height, width = pictures.shape[-2:]
    local = local[..., pad : pad + height, pad : pad + width].mean(1, keepdim=True)
    return torch.nn.functional.avg_pool2d(local, region)[:, 0]
