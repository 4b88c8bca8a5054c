"""Recovery by a network that is loaded here: the small one that ships, or any NAFNet."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from demo import settings
from demo.checkpoints import CheckpointError, first_line
from demo.recovery.nafnet import NAFNet, of_weights
from demo.recovery.tiles import tiled
from demo.texts import Text

WEIGHTS = "nafnet.safetensors"
"""What the file in a folder is called; its keys are those of the architecture, and nothing else is in it."""


class NetworkRecovery:
    """Recovers pictures of any size with a network on tiles; may be called by several threads at once.

    Attributes:
        name: for the page.
        digest: what results follow from: the weights.
    """

    def __init__(self, network: NAFNet, name: str, tile: int = settings.RECOVERY_TILE):
        self.network, self.name, self.tile = network.eval().to(memory_format=torch.channels_last), name, tile
        digest = hashlib.sha256()
        for key, value in sorted(network.state_dict().items()):
            digest.update(key.encode() + value.float().contiguous().cpu().numpy().tobytes())
        self.digest = digest.hexdigest()

    def recover(self, image: Image.Image, progress: Callable[[float], None] = lambda done: None) -> Image.Image:
        """A picture (mode RGB) as it may have been before it was degraded, of the same size.

        Args:
            progress: called with the share that is done; may raise to end the work.

        Raises:
            ValueError: the network computes no numbers; with a `Text`.
        """
        pixels = tiled(np.asarray(image), self._restore, self.tile, settings.RECOVERY_OVERLAP, progress)
        return Image.fromarray(pixels)

    @torch.inference_mode()
    def _restore(self, tile: np.ndarray) -> np.ndarray:
        pictures = torch.from_numpy(tile).permute(2, 0, 1)[None]
        height, width = pictures.shape[-2:]
        pictures = padded(pictures, self.network.multiple)
        restored = self.network(pictures.contiguous(memory_format=torch.channels_last))
        if not restored.isfinite().all():  # as bytes they would pass for a picture
            raise ValueError(Text("recovery.no-numbers", name=self.name))
        return restored[0, :, :height, :width].permute(1, 2, 0).numpy()


def padded(pictures: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pictures (n, 3, h, w) continued at the right and below by their mirror image, to multiples of a number.

    Zeros, by which the architecture pads, would darken what lies beside them.
    """
    right, below = -pictures.shape[3] % multiple, -pictures.shape[2] % multiple
    # A mirror image is at most as wide as the picture less a pixel; of a narrower one the border is repeated.
    mirrored = right < pictures.shape[3] and below < pictures.shape[2]
    return functional.pad(pictures, (0, right, 0, below), "reflect" if mirrored else "replicate")


def load_network(source: str | Path) -> NetworkRecovery:
    """A folder with `WEIGHTS`, or a file of NAFNet weights as safetensors.

    Raises:
        CheckpointError: it is not there, or holds something else.
    """
    path = Path(source)
    file = path / WEIGHTS if path.is_dir() else path
    try:
        network = of_weights(load_file(file))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"recovery {source}: {first_line(error)}") from error
    return NetworkRecovery(network, "/".join(path.parts[-2:]))
