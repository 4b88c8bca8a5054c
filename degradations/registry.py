"""What a degradation is, and the registry that lists all sixteen.

A degradation is one decorated pure function ``(image, intensity, rng) -> image``; the decorator's
arguments are all that the page, the command line, the chain and the tests know about it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STAGES = ("acquisition", "transmission", "environment", "postprocessing")
"""The way of a picture from scene to viewer; degradations are always applied in this order."""

COPIES = {"25": 0.23, "50": 0.45, "100": 0.9}
"""The published benchmarks' strengths: share of the full strength in per cent -> intensity."""

PixelFunction = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Degradation:
    """One entry of the registry.

    Attributes:
        name: what a chain writes, e.g. ``"lens blur"``.
        stage: one of `STAGES`.
        label: what the page shows.
        description: one sentence for the visitor.
        function: ``(image, intensity, rng) -> image`` with image uint8 of shape (height, width, 3), RGB,
            intensity in (0, 1] and rng the only source of randomness. Never modifies its input.
        rough: a faster and coarser `function`, for the time until a preview settles; None where `function` is fast.
    """

    name: str
    stage: str
    label: str
    description: str
    function: PixelFunction
    rough: PixelFunction | None = None


REGISTRY: dict[str, Degradation] = {}
"""Chain name -> entry, in the order of application: by stage, inside a stage in order of definition."""


def degradation(
    name: str, stage: str, label: str, description: str, rough: PixelFunction | None = None
) -> Callable[[PixelFunction], PixelFunction]:
    """Decorator that enters a pixel function into `REGISTRY`."""
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r} of {name!r}; the stages are {', '.join(STAGES)}")

    def enter(function: PixelFunction) -> PixelFunction:
        if name in REGISTRY:
            raise ValueError(f"the degradation {name!r} is registered twice")
        REGISTRY[name] = Degradation(name, stage, label, description, function, rough)
        return function

    return enter


# Spellings that people and models use besides the name and the label.
_ALIASES = {
    "blur": "lens blur",
    "defocus blur": "lens blur",
    "gaussian blur": "lens blur",
    "flare": "lens flare",
    "hsv saturation change": "hsv saturation",
    "desaturation": "hsv saturation",
    "jpeg": "jpeg compression",
    "jpeg artifacts": "jpeg compression",
    "block exchanging": "block exchange",
    "mean shifting": "mean shift",
    "scan line": "scan lines",
    "dark": "dark illumination",
    "low light": "dark illumination",
    "turbulence": "atmospheric turbulence",
    "gauss noise": "gaussian noise",
    "colour diffusion": "color diffusion",
    "sharpness": "sharpness change",
    "sharpening": "sharpness change",
    "watermark": "watermark damage",
}


def lookup(spelling: str) -> str | None:
    """The chain name meant by a name, a label or a common spelling, or None.

    Case, underscores, hyphens and repeated spaces do not matter.
    """
    key = re.sub(r"[\s_-]+", " ", spelling).strip().lower()
    if key in REGISTRY:
        return key
    if key in _ALIASES:
        return _ALIASES[key]
    return next((entry.name for entry in REGISTRY.values() if entry.label.lower() == key), None)
