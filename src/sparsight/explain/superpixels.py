"""Superpixels: the pieces of an image that perturbation methods switch on and off."""

import math

import numpy as np
import torch
from torch import Tensor

#: images with a smaller side are cut into a grid: their objects are a few pixels wide
_SMALLEST_SIDE = 48
# Weight of a pixel's place against its colour, and Gaussian smoothing in pixels. scikit-image's
# defaults (10 and none) leave a few segments only of images with noise on them.
_COMPACTNESS, _SMOOTHING = 20.0, 1.0


def superpixels(images: Tensor, count: int) -> Tensor:
    """Superpixels of each image, from that image alone and without randomness.

    RGB images are segmented by SLIC (scikit-image, with connected segments), whose number of
    segments is near `count` and differs between images. Images of another number of channels, with
    a side below 48 pixels, or in which SLIC finds less than half or more than twice of `count`, are
    cut into a grid of at most `count` rectangles.

    Nothing is kept between calls: where the network runs on a CPU, a segmentation costs less than
    one hundredth of the forward passes that follow it. That does not hold on a GPU, whose passes
    are far cheaper: the segmentation stays on the CPU.

    Parameters
    ----------
    images : float32 [N,C,H,W] in [0, 1].
    count : segments asked for, at least 1.

    Returns
    -------
    int64 [N,H,W] on the device of the images: each pixel's segment, from 0 without gaps.

    Reference
    ---------
    SLIC: Achanta et al. 2012, doi:10.1109/TPAMI.2012.120.
    """
    channels, height, width = images.shape[1:]
    if channels != 3 or min(height, width) < _SMALLEST_SIDE:
        grid = _grid(height, width, count).to(images.device)
        return grid.expand(len(images), height, width)
    found = [_slic(image, count) for image in images]
    grid = _grid(height, width, count)
    fits = [count / 2 <= int(part.max()) + 1 <= 2 * count for part in found]
    kept = [part if fit else grid for part, fit in zip(found, fits, strict=True)]
    return torch.stack(kept).to(images.device)


def _grid(height: int, width: int, count: int) -> Tensor:
    """Rectangles whose sides differ by a pixel at most, numbered row by row."""
    rows = min(height, max(1, min(count, round(math.sqrt(count * height / width)))))
    columns = min(width, count // rows)
    row = torch.arange(height) * rows // height
    column = torch.arange(width) * columns // width
    return row[:, None] * columns + column


def _slic(image: Tensor, count: int) -> Tensor:
    from skimage.segmentation import slic

    pixels = image.detach().permute(1, 2, 0).cpu().numpy().astype(np.float64)
    labels = slic(
        pixels, n_segments=count, compactness=_COMPACTNESS, sigma=_SMOOTHING, start_label=0
    )
    _, labels = np.unique(labels, return_inverse=True)
    return torch.from_numpy(labels.reshape(pixels.shape[:2]).astype(np.int64))
