"""Recoveries for tests: scripted ones beside scripted models, and a small network."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from degradations import Recipe
from demo.chain import format_chain
from demo.recovery.joint import NAME, Joint, Speaker
from demo.recovery.nafnet import NAFNet
from demo.recovery.network import WEIGHTS
from demo.replies import Event, Stats
from demo.texts import Text

CHAIN = format_chain(Recipe({"dark illumination": 0.4}), "It is dark.", "Two ears.", "A cat.", "1")


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


def said(side: str, text: str, place: int = 0) -> list[Event]:
    ended = Stats(3, 0.1, 9.0, "eos")
    return [Event(side, text, tokens=3, picture=place), Event(side, done=True, stats=ended, tokens=3, picture=place)]


class Models:
    """A pair, and a third side that remembers what it was shown."""

    def __init__(self, recovery: Scripted):
        self.shown = []
        sides = (Speaker("baseline", "one"), Speaker("robust", "other"))
        self.pair = SimpleNamespace(
            sides=sides,
            baseline=sides[0],
            robust=sides[1],
            max_new_tokens=50,
            notice="scripted",
            fit=lambda photo: photo,
            answers=self.two,
        )
        third = Speaker(NAME, "third")
        self.joint = Joint(recovery, third, self.third, 50, Text("recovery.notice", recovery="net", model="third"))

    def two(self, images, question, temperature, max_new_tokens, seed, stop=None):
        for place in range(len(images)):
            yield from said("baseline", "1", place)
            yield from said("robust", CHAIN, place)

    def third(self, images, question, temperature, max_new_tokens, seed, stop=None):
        self.shown += images
        for place in range(len(images)):
            yield from said(NAME, CHAIN, place)


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
