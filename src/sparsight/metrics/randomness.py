"""Randomness that belongs to an image and a metric, never to a position in a batch.

A metric is given images, not their ids, so the pixels name the image. Every level and explainer
sees the same image and therefore the same perturbations: scores are paired.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor


def image_generators(images: Tensor, name: str) -> Iterator[torch.Generator]:
    """A generator on the CPU for each image, seeded by its pixels and the metric's name.

    Parameters
    ----------
    images : float32 [N, C, H, W] in [0, 1], the images as they were explained.
    name : of the metric, and of the use where it draws for several.

    Yields
    ------
    N generators, in the order of the images; the numbers are the same on every device.
    """
    # The pixels come from bytes: rounding makes the seed independent of the device's arithmetic.
    pixels = (images.detach() * 255).round().to(torch.uint8).cpu().numpy()
    for image in pixels:
        digest = hashlib.sha256(name.encode() + b"\0" + image.tobytes()).digest()
        yield torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
