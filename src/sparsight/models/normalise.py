"""Normalisation as the first module of a network, so that every image everywhere is in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import nn

#: mean and standard deviation of ImageNet's channels, with which its networks were trained
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: what Inception networks were trained with: images in [-1, 1]
INCEPTION_MEAN = (0.5, 0.5, 0.5)
INCEPTION_STD = (0.5, 0.5, 0.5)


class Normalise(nn.Module):
    """(image - mean) / std per channel.

    Explainers, metrics and noise work on images in [0, 1]; what a network does to them first is its
    own matter. Mean and deviation are constants and not in the state_dict, whose keys stay those of
    other libraries' networks.

    Parameters
    ----------
    mean, std : one number per channel, std positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W], normalised."""
        return (images - self.mean) / self.std
