"""Random samples for a batch, drawn image by image and one sample of the batch at a time.

Libraries draw from one global generator for a whole batch, so that an image's numbers depend on its
batch, and they expand a batch by the number of samples. Here an image's numbers depend on its id
and the explainer's name alone, and memory stays that of one batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sparsight.explain.randomness import image_generator


class ImageSamples:
    """Endless draws, each of the shape of one image, from one generator per image.

    Parameters
    ----------
    images : [N,C,H,W]; gives the shape, the kind of numbers and the device.
    image_ids : int64 [N], on the CPU.
    seed_name : the explainer's configured name.
    """

    def __init__(self, images: Tensor, image_ids: Tensor, seed_name: str) -> None:
        self._like = images
        self._generators = [image_generator(key, seed_name) for key in image_ids.tolist()]

    def normal(self) -> Tensor:
        """Standard normal numbers [N,C,H,W]."""
        return self._stacked(torch.randn, self._like.shape[1:])

    def uniform(self) -> Tensor:
        """Numbers [N,C,H,W], uniform in [0, 1)."""
        return self._stacked(torch.rand, self._like.shape[1:])

    def uniform_per_image(self) -> Tensor:
        """One number per image [N,1,1,1], uniform in [0, 1)."""
        return self._stacked(torch.rand, torch.Size([1, 1, 1]))

    def _stacked(self, draw: Callable[..., Tensor], shape: torch.Size) -> Tensor:
        # Drawn on the CPU: the numbers are the same on every device.
        rows = [draw(shape, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._like)
