"""Statistics of batch normalisation, measured anew on a network that pruning has changed."""

from dataclasses import dataclass

import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.models.base import batch_norms
from sparsight.training.randomness import generator


@dataclass(frozen=True)
class Recalibration:
    """The entry `recalibrate_batch_norm` of a pruner in the configuration.

    Attributes
    ----------
    images : how many training images, all where there are fewer.
    batch_size : images a batch. All batches are of one size, since each counts alike: what is left
        over after the last whole batch is not used.
    """

    images: int
    batch_size: int


@torch.no_grad()
def recalibrate(
    network: nn.Module, images: torch.Tensor, facts: Recalibration, seed: int
) -> list[str]:
    """Replace the running mean and variance of every batch normalisation, in place.

    They become the averages over the batches of the batch's own mean and (unbiased) variance, as
    `torch.optim.swa_utils.update_bn` computes them. Batches are normalised by their own statistics
    meanwhile, but all other layers work as they do when predicting: dropout drops nothing. No
    weight moves. The network is in evaluation mode afterwards. (Li et al. 2020, EagleEye,
    arXiv:2007.02491.)

    Parameters
    ----------
    images : training split, uint8 [N, C, H, W]; they are taken as they are, without augmentation
        and noise.
    facts : how many of them.
    seed : of the network; the same images are drawn at every level and for every pruner.

    Returns
    -------
    Names of the buffers that were measured anew.
    """
    norms = batch_norms(network)
    if not norms:
        raise InputError(
            "recalibrate_batch_norm: the network has no batch normalisation; drop the key"
        )
    network.eval()
    momenta = {name: norm.momentum for name, norm in norms.items()}
    for norm in norms.values():
        norm.reset_running_stats()
        # a plain average over all batches
        norm.momentum = None
        norm.train()
    for batch in _batches(images, facts, seed):
        network(batch.float().div_(255))
    for name, norm in norms.items():
        norm.momentum = momenta[name]
    network.eval()
    return [f"{name}.{key}" for name, norm in norms.items() for key, _ in norm.named_buffers()]


def _batches(images: torch.Tensor, facts: Recalibration, seed: int) -> list[torch.Tensor]:
    draw = generator(images.device, seed, "recalibration")
    order = torch.randperm(len(images), generator=draw, device=images.device)[: facts.images]
    size = min(facts.batch_size, len(order))
    whole = order[: len(order) // size * size]
    return [images[part] for part in whole.split(size)]
