"""Which images of a bank a concept is learnt from: drawn from the seed and their ids."""

import torch
from torch import Tensor

from sparsight.explain.randomness import image_seed


def drawn_order(image_ids: Tensor, name: str) -> Tensor:
    """A random order of images that depends on their ids and `name` alone.

    Parameters
    ----------
    image_ids : int64 [N].
    name : of the use, with its seed.

    Returns
    -------
    int64 [N], positions. Another image more or less leaves the order of the others as it is.
    """
    seeds = torch.tensor([image_seed(image_id, name) for image_id in image_ids.tolist()])
    return torch.argsort(seeds, stable=True)


def two_sides(order: Tensor, shown: Tensor, count: int) -> Tensor:
    """The first `count` images that show a concept, and the first `count` that do not.

    Parameters
    ----------
    order : int64 [n], positions in the order in which they are taken.
    shown : bool [N], whether an image shows the concept.
    count : images of each side, or as many as there are; 0 for all.

    Returns
    -------
    int64, positions; those that show it first.
    """
    sides = [order[shown[order]], order[~shown[order]]]
    return torch.cat([side[: count or None] for side in sides])
