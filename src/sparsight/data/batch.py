"""Images of a split, with noise, masks and ids, as explaining and scoring take them."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sparsight.data.base import OBJECT
from sparsight.io.errors import InputError

Condition = Literal["clean", "noisy"]
CONDITIONS: tuple[Condition, ...] = ("clean", "noisy")


@dataclass(frozen=True)
class Batch:
    """Images of a split with all that belongs to them.

    Attributes
    ----------
    pixels : uint8 [B, C, H, W], the noiseless images, 0..255.
    noise : uint8 [B, C, H, W], each image's own noise, 0..255.
    labels : int64 [B].
    mask_values : uint8 [B, H, W], 0..255, or None where the data set has no masks.
    image_ids : int64 [B].
    """

    pixels: Tensor
    noise: Tensor
    labels: Tensor
    mask_values: Tensor | None
    image_ids: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, condition: str) -> Tensor:
        """The images as a network sees them, float32 [B, C, H, W] in [0, 1].

        Under the condition `noisy`, pixels that are exactly zero take the image's noise.
        """
        if condition == "clean":
            values = self.pixels
        elif condition == "noisy":
            values = add_noise(self.pixels, self.noise)
        else:
            raise InputError(
                f"unknown condition '{condition}'; known are {' and '.join(CONDITIONS)}"
            )
        return values.float() / 255

    def soft_masks(self) -> Tensor:
        """How much each pixel belongs to the object, float32 [B, H, W] in [0, 1]."""
        return self._masks().float() / 255

    def binary_masks(self) -> Tensor:
        """The pixels that belong at least half to the object, bool [B, H, W]."""
        # mask / 255 >= 0.5, in integers.
        return self._masks() >= OBJECT

    def _masks(self) -> Tensor:
        if self.mask_values is None:
            raise InputError("this data set has no masks; leave out the metrics that need them")
        return self.mask_values

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return Batch(
            self.pixels.to(device),
            self.noise.to(device),
            self.labels.to(device),
            None if self.mask_values is None else self.mask_values.to(device),
            self.image_ids.to(device),
        )


def add_noise(pixels: Tensor, noise: Tensor) -> Tensor:
    """`noise` where `pixels` are exactly zero, `pixels` elsewhere (same shape and dtype)."""
    return torch.where(pixels == 0, noise, pixels)


def no_noise(pixels: Tensor) -> Tensor:
    """Zeros like `pixels` that take no memory."""
    return torch.zeros((), dtype=pixels.dtype, device=pixels.device).expand(pixels.shape)
