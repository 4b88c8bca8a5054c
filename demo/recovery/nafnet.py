"""NAFNet (Chen et al. 2022, arXiv 2204.04676), with the names that published weights have.

A checkpoint of any width and depth is known by its keys alone, as `spandrel` does it: what is trained here loads there
(its architecture NAFNet), and the other way round.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (n, channels, h, w)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Channels last in memory, this is a view and torch's own kernel.
        x = functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6)
        return x.permute(0, 3, 1, 2)


def gate(x: torch.Tensor) -> torch.Tensor:
    """The simple gate: one half of the channels times the other."""
    first, second = x.chunk(2, 1)
    return first * second


class Mean(nn.Module):
    """The mean over all positions; its place in a Sequential gives the convolution behind it the published name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3), keepdim=True)


class Block(nn.Module):
    """One block: gated depthwise convolution with channel attention, then a gated feed-forward part, both residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.sca = nn.Sequential(Mean(), nn.Conv2d(channels, channels, 1))
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(inner * self.sca(inner)) * self.beta
        return x + self.conv5(gate(self.conv4(self.norm2(x)))) * self.gamma


class NAFNet(nn.Module):
    """The network: pictures (n, 3, h, w) in [0, 1] -> the same, restored; not clipped.

    Args:
        width: channels at full resolution; every level has twice those of the one before.
        encoders, decoders: blocks of each level, from the finest to the coarsest, and back.
        middle: blocks at the coarsest resolution.
    """

    def __init__(
        self,
        width: int = 16,
        encoders: Sequence[int] = (1, 1, 1, 1),
        middle: int = 1,
        decoders: Sequence[int] = (1, 1, 1, 1),
        channels: int = 3,
    ):
        super().__init__()
        if len(encoders) != len(decoders):
            raise ValueError(f"as many encoders as decoders are needed, not {len(encoders)} and {len(decoders)}")
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        for count in encoders:
            self.encoders.append(nn.Sequential(*(Block(width) for _ in range(count))))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, 2))
            width *= 2
        self.middle_blks = nn.Sequential(*(Block(width) for _ in range(middle)))
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        for count in decoders:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(nn.Sequential(*(Block(width) for _ in range(count))))
        self.multiple = 2 ** len(self.encoders)
        """Sides are padded to a multiple of this."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        height, width = pictures.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        pictures = functional.pad(pictures, padding)
        x, finer = self.intro(pictures), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            finer.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            x = decoder(up(x) + finer.pop())
        return (pictures + self.ending(x))[..., :height, :width]


def of_weights(state: Mapping[str, torch.Tensor]) -> NAFNet:
    """The network that these weights are of.

    Raises:
        ValueError: they are no NAFNet's.
    """

    def count(prefix: str) -> int:
        return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})

    intro = state.get("intro.weight")
    if intro is None or intro.ndim != 4 or not count("downs."):
        known = ", ".join(sorted(state)[:3]) or "nothing"
        raise ValueError(f"these weights are no NAFNet's: they hold {known}, and no intro.weight with downs")
    levels = range(count("encoders."))
    network = NAFNet(
        width=intro.shape[0],
        encoders=[count(f"encoders.{level}.") for level in levels],
        middle=count("middle_blks."),
        decoders=[count(f"decoders.{level}.") for level in range(count("decoders."))],
        channels=intro.shape[1],
    )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"these weights are no NAFNet's: {str(error).splitlines()[-1].strip()}") from error
    return network
