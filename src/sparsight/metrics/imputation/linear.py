"""ROAD's noisy linear imputation (Rong et al. 2022, arXiv:2202.00449), for a batch of images."""

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.metrics.imputation.multigrid import hierarchy, solve, start

#: 2-norm of the error over removed pixels, relative to that of the imputed values, at most
TOLERANCE = 1e-3
# What is measured is what the last correction changes; errors after it were found below this share.
_MARGIN = 0.5
# Relative to the channel's largest value; much below it, differences are rounding.
_FLOOR = 1e-2
# Numbers in one tensor of a group of problems: on a CPU what its caches hold, elsewhere enough to
# keep the device busy.
_GROUP = {"cpu": 800_000}
_GROUP_ELSEWHERE = 2**24


def linear_imputation(images: Tensor, removed: Tensor) -> Tensor:
    """Replace removed pixels by the solution of the linear system (Rong et al. 2022, section 4.2).

    Every removed pixel becomes the weighted mean of its eight neighbours, 1/6 across an edge and
    1/12 across a corner, all removed pixels at once. At the border of the image the neighbours that
    exist share the weight, as in the authors' code: their weights divided by their sum.

    The 2-norm of the error, over the removed pixels of a channel, is at most `TOLERANCE` times that
    of the solution (of a hundredth of the channel's largest value, where the solution is darker).
    Where a single pixel of a large image is known, the rounding of float32 may exceed that: it was
    up to 1e-4 of the largest value.

    Parameters
    ----------
    images : float32 or float64 [N, C, H, W].
    removed : bool [N, P, H, W], pixels to impute, P shares of each image.

    Returns
    -------
    As `images`, [N, P, C, H, W] on the same device. Known pixels are copied exactly.

    Raises
    ------
    InputError
        Where all pixels of an image are removed: nothing is left to impute them from.
    """
    count, shares = removed.shape[:2]
    if bool(removed.flatten(2).all(dim=2).any()):
        raise InputError(
            "all pixels of an image are removed, and nothing is left to impute them from; use "
            "percentages below 100"
        )
    found = images.new_empty((count, shares, *images.shape[1:]))
    masks, target = removed.flatten(0, 1), found.flatten(0, 1)
    size = _GROUP.get(images.device.type, _GROUP_ELSEWHERE) // max(1, images.shape[1:].numel())
    owners = torch.arange(count, device=images.device).repeat_interleave(shares)
    # Constants are solutions: without the mean, numbers are smaller, and so is their rounding.
    means = images.mean(dim=(2, 3), keepdim=True)
    peaks = images.abs().flatten(2).amax(dim=2, keepdim=True)
    for first in range(0, count * shares, max(1, size)):
        some = slice(first, first + max(1, size))
        who = owners[some]
        target[some] = _imputed(images[who], means[who], _FLOOR * peaks[who], masks[some])
    return found


def _imputed(images: Tensor, means: Tensor, floors: Tensor, removed: Tensor) -> Tensor:
    """The same for [B, C, H, W] with one mask each, [B, H, W].

    `means` [B, C, 1, 1] are subtracted meanwhile; `floors` [B, C, 1] are the least values that
    errors are measured against.
    """
    levels = hierarchy(removed.to(images.dtype))
    stencil = levels[0].stencil
    grid = stencil.grid
    gaps = removed[:, None]
    # Removed pixels are 0 here, so the matrix leaves only what they get from known neighbours.
    known = (images - means).masked_fill_(gaps, 0)
    right = stencil.less_applied(None, grid.spread(known))
    values = start(levels, right)
    whole = grid.plane(values)[..., 1 : images.shape[2] + 1, 1 : images.shape[3] + 1]
    scale = ((whole + means) * gaps).flatten(2).norm(dim=2, keepdim=True)
    least = floors * removed.flatten(1).sum(dim=1).sqrt()[:, None, None]
    solve(levels, right, values, _MARGIN * TOLERANCE * torch.maximum(scale, least))
    return torch.where(gaps, whole + means, images)
