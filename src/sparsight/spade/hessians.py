"""Second moments of what enters each layer, over the augmented copies of each image apart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.explain.network import frozen
from sparsight.io.errors import InputError
from sparsight.spade.augmentation import PUBLISHED, copy_batches
from sparsight.spade.layers import PrunedLayer, observed_inputs, unfolded

MEGABYTE = 10**6
#: bytes of a float64 and of a float32
_DOUBLE, _SINGLE = 8, 4
#: matrices as large as a layer's Hessian that solving it needs beside it: a damped copy, a factor
#: and an inverse
_WORKING = 3
#: bytes for each weight of a layer that solving it needs beside the result: `obs_fast` holds
#: weights and errors in float64, a control the order of all weights
_SOLVING = 40
#: most bytes of unfolded inputs at once, unless one copy of an image has more: a 3x3 convolution's
#: are nine times its inputs
_UNFOLDED = 64 * MEGABYTE


def bytes_of_image(layers: Sequence[PrunedLayer], hessians: bool = True) -> int:
    """Bytes that pruning for one image takes: sparse weights, Hessians and what solving adds.

    Parameters
    ----------
    layers : those that are pruned.
    hessians : whether the solver needs them.
    """
    found = bytes_of_weights(layers)
    found += max((layer.weights for layer in layers), default=0) * _SOLVING
    if hessians:
        sizes = [layer.groups * layer.columns**2 * _DOUBLE for layer in layers]
        found += sum(sizes) + _WORKING * max(sizes, default=0)
    return found


def bytes_of_weights(layers: Sequence[PrunedLayer]) -> int:
    """Bytes of the layers' weights for one image."""
    return sum(layer.weights for layer in layers) * _SINGLE


def images_at_once(layers: Sequence[PrunedLayer], budget: int, hessians: bool = True) -> int:
    """How many images can be pruned for together, at least 1.

    The network's own activations, which `batch_size` bounds, come on top.

    Parameters
    ----------
    layers : those that are pruned.
    budget : bytes.
    hessians : whether the solver needs them.

    Raises
    ------
    InputError
        When not even one image fits.
    """
    needed = max(bytes_of_image(layers, hessians), 1)
    if needed > budget:
        raise InputError(
            f"'memory_mb' is {budget // MEGABYTE}, but pruning for one image takes "
            f"{-(-needed // MEGABYTE)} MB; raise it, or give large layers sparsity 0"
        )
    return budget // needed


class _Moments:
    """Sums X Xᵀ of every layer for every image, from the copies that pass through the network.

    Products are taken in float32 and their sums in float64. A product in float64 costs twice as
    much on a CPU and up to 64 times on a GPU, and would gain little: the inputs themselves are
    rounded to float32, and a product over the n positions of a few copies is exact to some
    sqrt(n) * 6e-8. Over all copies that would add up; here it does not.
    """

    def __init__(self, layers: Sequence[PrunedLayer], images: int, device: torch.device) -> None:
        self.sums = {
            layer.name: torch.zeros(
                images,
                layer.groups,
                layer.columns,
                layer.columns,
                dtype=torch.float64,
                device=device,
            )
            for layer in layers
        }
        self.positions = {layer.name: torch.zeros(images, dtype=torch.int64) for layer in layers}
        #: the images whose copies now pass, all with equally many
        self.rows = slice(0, 0)

    def receive(self, name: str, module: nn.Module, inputs: Tensor) -> None:
        """Add a layer's inputs, those of the copies of each image side by side."""
        images = self.rows.stop - self.rows.start
        for image, own in enumerate(inputs.chunk(images), start=self.rows.start):
            kernel = math.prod(module.kernel_size) if isinstance(module, nn.Conv2d) else 1
            step = max(1, _UNFOLDED // (own[0].numel() * kernel * _SINGLE))
            for start in range(0, len(own), step):
                self._add(name, image, unfolded(module, own[start : start + step]))

    def _add(self, name: str, image: int, columns: Tensor) -> None:
        # [n, groups, K, L] -> [groups, K, n * L]
        flat = columns.permute(1, 2, 0, 3).flatten(2)
        self.sums[name][image] += flat @ flat.transpose(1, 2)
        self.positions[name][image] += flat.shape[2]

    def hessians(self) -> dict[str, Tensor]:
        """(2 / N) X Xᵀ by layer; the sums are used up."""
        for name, sums in self.sums.items():
            factors = (1.0 / self.positions[name].double()).to(sums.device).view(-1, 1, 1, 1)
            # the two halves of a product in float32 are rounded differently
            self.sums[name] = (sums + sums.transpose(2, 3)).mul_(factors)
        return self.sums


def sample_hessians(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    layers: Sequence[PrunedLayer],
    count: int,
    seed_name: str,
    augment: Mapping[str, Any] = PUBLISHED,
    batch_size: int = 64,
) -> dict[str, Tensor]:
    """Hessians of every layer's squared output error, over the copies of each image apart.

    For outputs W X of a layer, X being its unfolded inputs [K, N] at all N positions of all copies,
    (1/N) ‖W' X - W X‖² = ½ Σ d H dᵀ over the rows d of W' - W, with H = (2/N) X Xᵀ. All inputs are
    those of the network as it is given, recorded in one pass.

    Parameters
    ----------
    network : gives logits; it runs in evaluation mode and is left as it was.
    images : float32 [B, C, H, W] in [0, 1], on the network's device.
    image_ids : int64 [B]; with `seed_name` they seed the augmentation.
    layers : of `pruned_layers`.
    count : augmented copies of each image.
    augment : in the words of a recipe's `augment`.
    batch_size : copies in a forward pass.

    Returns
    -------
    layer to float64 [B, groups, K, K], symmetric and undamped. Memory does not depend on `count`:
    `bytes_of_image` tells it.

    Raises
    ------
    InputError
        For settings that cannot be used, or a layer that the network does not have or never runs.

    Reference
    ---------
    Hassibi and Stork 1992 (optimal brain surgeon); Frantar and Alistarh 2022, arXiv 2208.11580,
    with one image's copies as the sample: arXiv 2310.04519.
    """
    moments = _Moments(layers, len(images), images.device)
    names = [layer.name for layer in layers]
    with (
        frozen(network),
        observed_inputs(network, names, moments.receive),
        torch.no_grad(),
    ):
        for rows, _, copies in copy_batches(
            images, count, image_ids, seed_name, augment, batch_size
        ):
            moments.rows = rows
            network(copies.flatten(0, 1))
    for name, positions in moments.positions.items():
        if len(images) and not bool(positions.all()):
            raise InputError(f"layer '{name}' does not run in a forward pass; name another")
    return moments.hessians()
