"""A layer's outputs and the slopes of class logits there, both reduced to one number a channel."""

from pathlib import Path

import torch
from torch import Tensor

from sparsight.data.packed import batches
from sparsight.explain.network import activations_and_gradients, recorded
from sparsight.models.base import Architecture


@torch.no_grad()
def pooled_outputs(
    network: Architecture,
    path: Path,
    rows: Tensor,
    layer: str,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """Outputs of `layer`, averaged over positions; one forward pass an image.

    Parameters
    ----------
    network : in evaluation mode, on `device`.
    path, rows : packed split, and positions in it, int64 [n].
    layer : name of a module with feature maps.

    Returns
    -------
    float32 [n, D], on the CPU.

    Raises
    ------
    InputError
        When the network has no such layer, or it has no feature maps.
    """
    found = []
    for batch in batches(path, rows, batch_size):
        with recorded(network, [layer]) as outputs:
            network(batch.images("clean").to(device))
        found.append(outputs[layer].detach().mean(dim=(2, 3)).cpu())
    return torch.cat(found)


def class_slopes(
    network: Architecture,
    path: Path,
    rows: Tensor,
    layer: str,
    batch_size: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Slope of each image's own class logit as all positions of a channel rise together.

    One forward and one backward pass an image. Parameters as `pooled_outputs`.

    Returns
    -------
    slopes : float32 [n, D], gradients summed over positions, on the CPU.
    labels : int64 [n].
    """
    slopes, labels = [], []
    for batch in batches(path, rows, batch_size):
        images, targets = batch.images("clean").to(device), batch.labels.to(device)
        _, gradients = activations_and_gradients(network, images, targets, [layer])[layer]
        slopes.append(gradients.sum(dim=(2, 3)).cpu())
        labels.append(batch.labels)
    return torch.cat(slopes), torch.cat(labels)


def positive_shares(slopes: Tensor, labels: Tensor, vectors: Tensor, class_count: int) -> Tensor:
    """TCAV scores: the share of each class's images whose logit rises along a vector.

    Parameters
    ----------
    slopes, labels : float32 [n, D] and int64 [n].
    vectors : [..., D], any number of concept activation vectors.

    Returns
    -------
    float64 [class_count, ...]; NaN for a class without images.

    Reference
    ---------
    Kim et al. 2018 (arXiv:1711.11279) equation 2.
    """
    flat = vectors.reshape(-1, vectors.shape[-1]).to(slopes.dtype)
    rises = (slopes @ flat.T > 0).double()
    members = torch.nn.functional.one_hot(labels, class_count).double()
    shares = (members.T @ rises) / members.sum(dim=0)[:, None]
    return shares.reshape(class_count, *vectors.shape[:-1])
