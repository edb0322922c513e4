"""The same linear system by sparse direct solve: slow, and what is left where iterations stall."""

import numpy as np
import torch
from scipy.sparse import csr_array, identity
from scipy.sparse.linalg import splu
from torch import Tensor

#: offsets of the neighbours and their weights (Rong et al. 2022, section 4.2)
_NEIGHBOURS = {
    (row, column): 1 / 6 if row == 0 or column == 0 else 1 / 12
    for row in (-1, 0, 1)
    for column in (-1, 0, 1)
    if (row, column) != (0, 0)
}


def direct_imputation(images: Tensor, removed: Tensor) -> Tensor:
    """Removed pixels from the factorised system, in float64; see `linear_imputation`.

    Parameters
    ----------
    images : float32 or float64 [B, C, H, W].
    removed : bool [B, H, W], a mask for each image; none of them removes all pixels.

    Returns
    -------
    As `images`.
    """
    found = images.clone()
    for image, mask, target in zip(images, removed, found, strict=True):
        gaps = mask.flatten().cpu().numpy()
        if not gaps.any():
            continue
        means = _neighbour_means(*mask.shape)[gaps]
        pixels = image.flatten(1).cpu().numpy().astype(np.float64).T
        matrix = identity(int(gaps.sum()), format="csr") - means[:, gaps]
        solved = splu(matrix.tocsc()).solve(means[:, ~gaps] @ pixels[~gaps])
        target[:, mask] = torch.from_numpy(solved.T).to(target)
    return found


def _neighbour_means(height: int, width: int) -> csr_array:
    """Weights of every pixel's neighbours [H * W, H * W]; each row adds up to 1."""
    rows, columns = np.indices((height, width))
    places: list[list[np.ndarray]] = [[], [], []]
    for (down, right), weight in _NEIGHBOURS.items():
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        places[0].append((rows * width + columns)[inside])
        places[1].append((row * width + column)[inside])
        places[2].append(np.full(int(inside.sum()), weight))
    source, neighbour, weights = (np.concatenate(part) for part in places)
    size = height * width
    matrix = csr_array((weights, (source, neighbour)), shape=(size, size))
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    return csr_array((weights / totals[source], (source, neighbour)), shape=(size, size))
