"""Image embeddings for semantic similarity, each named as what it is.

CLIP where its weights are on this machine; otherwise the vision tower that ships with the embedded pair.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn
from torch.nn import functional
from transformers import AutoModelForImageTextToText, CLIPImageProcessorPil, CLIPVisionModelWithProjection

from demo import settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Encoder:
    """Pictures to embeddings.

    Attributes:
        name: what tables and page call it.
        module: what embeds, to be put on the pictures' device.
        embed: pictures (n, 3, h, w) in [0, 1] -> (n, d); gradients pass through.
    """

    name: str
    module: nn.Module
    embed: Callable[[torch.Tensor], torch.Tensor]


def tower_encoder(tower: nn.Module, name: str, side: int = 224) -> Encoder:
    """An EfficientNet tower's mean features; pictures are fitted inside its square, as the embedded model sees them."""
    tower = tower.eval().requires_grad_(False)

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        pictures = fitted(pictures, side)
        seen = tower(((pictures * 255 - 127) / 128).contiguous(memory_format=torch.channels_last))
        return seen.last_hidden_state.mean((2, 3))

    return Encoder(name, tower, embed)


def fitted(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Pictures (n, 3, h, w) inside a square of this side: scaled down where they are larger, padded with black."""
    height, width = pictures.shape[-2:]
    scale = side / max(height, width)
    if scale < 1:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        pictures = functional.interpolate(pictures, size, mode="bilinear", antialias=True)
        height, width = size
    top, left = (side - height + 1) // 2, (side - width + 1) // 2
    return functional.pad(pictures, (left, side - width - left, top, side - height - top))


def clip_encoder(name: str) -> Encoder:
    """A CLIP's image embeddings, from a folder or the Hub's cache.

    Raises:
        OSError: it is not there.
    """
    model = CLIPVisionModelWithProjection.from_pretrained(name, local_files_only=True).eval().requires_grad_(False)
    processor = CLIPImageProcessorPil.from_pretrained(name, local_files_only=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
    side = model.config.image_size

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        scale = side / min(pictures.shape[-2:])
        size = [max(side, round(length * scale)) for length in pictures.shape[-2:]]
        pictures = functional.interpolate(pictures, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((length - side) // 2 for length in size)
        pictures = pictures[..., top : top + side, left : left + side]
        return model(pixel_values=(pictures - mean.to(pictures)) / std.to(pictures)).image_embeds

    return Encoder(f"CLIP ({'/'.join(Path(name).parts[-2:])})", model, embed)


@lru_cache(maxsize=1)
def encoder_at_hand(clip: str = settings.CLIP) -> Encoder:
    """CLIP if its weights are on this machine, else the tower that ships."""
    if Path(clip).is_dir() or isinstance(try_to_load_from_cache(clip, "config.json"), str):
        try:
            return clip_encoder(clip)
        except (OSError, ValueError) as error:
            log.warning("CLIP cannot be loaded from %s (%s): the tower that ships measures instead.", clip, error)
    model = AutoModelForImageTextToText.from_pretrained(settings.EMBEDDED / "base", dtype=torch.float32)
    return tower_encoder(model.model.vision_tower, "EfficientNet-Lite0, the embedded pair's vision tower")
