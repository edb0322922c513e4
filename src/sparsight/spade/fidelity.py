"""How far a pruned copy still is the network that it is to explain."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sparsight.explain.base import target_logits
from sparsight.explain.network import frozen


def logit_fidelity(network: Tensor, copy: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Compare the logits of a network and of a copy on the same images.

    Parameters
    ----------
    network, copy : float32 [N, classes].
    targets : int64 [N].

    Returns
    -------
    Measures of each image [N]:
    `same_prediction`, bool, whether the largest logits are of the same class;
    `divergence`, float32, KL(network ‖ copy) of the softmax outputs in nats, 0 or more;
    `network_probability` and `copy_probability`, float32 in [0, 1], of the target.

    Raises
    ------
    InputError
        When a target is not one of the classes.
    """
    # in float64: logits far apart leave differences below the rounding of float32
    of_network, of_copy = network.double().log_softmax(1), copy.double().log_softmax(1)
    divergence = (of_network.exp() * (of_network - of_copy)).sum(1)
    return {
        "same_prediction": network.argmax(1) == copy.argmax(1),
        # rounding can leave -1e-17
        "divergence": divergence.clamp(min=0).float(),
        "network_probability": target_logits(of_network, targets).exp().float(),
        "copy_probability": target_logits(of_copy, targets).exp().float(),
    }


def measured_density(network: nn.Module, layers: Iterable[str]) -> float:
    """Share of the weights of named layers that are not zero, counted from the weights.

    It is 1 where no layer is named: nothing was to be pruned.
    """
    weights = [network.get_parameter(f"{name}.weight") for name in layers]
    total = sum(weight.numel() for weight in weights)
    return sum(int((weight != 0).sum()) for weight in weights) / total if total else 1.0


def fidelity(
    network: nn.Module,
    copy: nn.Module,
    images: Tensor,
    targets: Tensor,
    layers: Iterable[str],
) -> dict[str, Tensor]:
    """Compare a copy with its network on images, usually the one that it was pruned for.

    Parameters
    ----------
    network, copy : give logits; both are left as they were.
    images, targets : float32 [N, C, H, W] in [0, 1] and int64 [N], on their device.
    layers : names of the layers that were pruned.

    Returns
    -------
    The measures of `logit_fidelity`, and `density`, float32 [N], the share of non-zero weights that
    the copy has in `layers`, the same for all images.

    Raises
    ------
    InputError
        When a target is not one of the classes.
    """
    with frozen(network), frozen(copy), torch.no_grad():
        found = logit_fidelity(network(images), copy(images), targets)
    density = measured_density(copy, layers)
    return {**found, "density": torch.full((len(images),), density, device=images.device)}
