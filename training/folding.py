"""Batch normalisation folded into the convolutions before it, for training that leaves its statistics alone.

A degraded picture has other statistics than a clean one, so the embedded tower always normalises by those it stored:
then a normalisation is a scale and a shift, which its convolution can hold. Without it, and without the
squeeze-and-excitation gates that stand at 1, a training step takes about half the time.
"""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_weights

Pair = tuple[nn.Module, str, nn.Module, str]


def fold(tower: nn.Module) -> nn.Module:
    """A copy of an EfficientNet tower that computes the same with fewer steps; its gates must stand at 1.

    Raises:
        ValueError: a squeeze-and-excitation gate does something.
    """
    folded = deepcopy(tower)
    for owner, name, norm_owner, norm_name in _pairs(folded):
        convolution, norm = getattr(owner, name), getattr(norm_owner, norm_name)
        weights = (convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps)
        convolution.weight, bias = fuse_conv_bn_weights(*weights, norm.weight, norm.bias)
        convolution.bias = bias.requires_grad_(convolution.weight.requires_grad)  # a new bias would rest
        setattr(norm_owner, norm_name, nn.Identity())
    for block in folded.encoder.blocks:
        gate = block.squeeze_excite
        if any(layer.weight.any() for layer in (gate.reduce, gate.expand)) or (gate.expand.bias < 15).any():
            raise ValueError("the tower's squeeze-and-excitation is in use: only one that stands at 1 can be left out")
        block.squeeze_excite = nn.Identity()
    return folded


@torch.no_grad()
def unfold(folded: nn.Module, tower: nn.Module) -> None:
    """Put the weights of a folded copy back into the tower that it was made of."""
    for pair, (owner, name, norm_owner, norm_name) in zip(_pairs(folded), _pairs(tower), strict=True):
        source = getattr(pair[0], pair[1])
        norm = getattr(norm_owner, norm_name)
        getattr(owner, name).weight.copy_(source.weight)
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.weight.fill_((1.0 + norm.eps) ** 0.5)
        norm.bias.copy_(source.bias)


def _pairs(tower: nn.Module) -> list[Pair]:
    """Every convolution with its normalisation, as the owners and the names they have there."""
    pairs = [(tower.embeddings, "convolution", tower.embeddings, "batchnorm")]
    for block in tower.encoder.blocks:
        if block.expand:
            pairs.append((block.expansion, "expand_conv", block.expansion, "expand_bn"))
        pairs.append((block.depthwise_conv, "depthwise_conv", block.depthwise_conv, "depthwise_norm"))
        pairs.append((block.projection, "project_conv", block.projection, "project_bn"))
    return [*pairs, (tower.encoder, "top_conv", tower.encoder, "top_bn")]
