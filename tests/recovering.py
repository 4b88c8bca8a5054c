"""Recoveries for tests: scripted ones, a small network, and the wrong ways in which they can end."""

import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from demo.recovery.nafnet import NAFNet
from demo.recovery.network import WEIGHTS


class Scripted:
    """A recovery that does as it is told.

    Args:
        make: the degraded picture -> the recovered one; may raise.
        steps: how often it reports progress on its way, each after a pause.
    """

    def __init__(self, make, steps: int = 2, pause: float = 0.0):
        self.make, self.steps, self.pause = make, steps, pause
        self.name, self.digest, self.left = "scripted", "0" * 64, threading.Event()

    def recover(self, image, progress=lambda done: None):
        try:
            for step in range(self.steps):
                time.sleep(self.pause)
                progress((step + 1) / self.steps)
            return self.make(image)
        finally:
            self.left.set()


def brighter(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.minimum(np.asarray(image).astype(int) + 40, 255).astype(np.uint8))


def network(seed: int = 0, width: int = 4, depth: int = 2) -> NAFNet:
    """A small NAFNet whose blocks do something."""
    torch.manual_seed(seed)
    made = NAFNet(width, [1] * depth, 1, [1] * depth)
    for name, weight in made.named_parameters():
        if name.endswith((".beta", ".gamma")):
            torch.nn.init.normal_(weight, std=0.3)
    return made.eval()


def saved(folder: Path, **shape) -> Path:
    """A folder with the weights of a small network."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in network(**shape).state_dict().items()}, folder / WEIGHTS)
    return folder
