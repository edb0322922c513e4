"""How far the outputs of a pruned layer are from those of the dense one."""

import torch
from torch import Tensor


def reconstruction_error(weights: Tensor, pruned: Tensor, hessians: Tensor) -> Tensor:
    """½ tr(Δ H Δᵀ) with Δ = pruned - weights: the mean over inputs of ‖Δx‖².

    With H = (2/N) X Xᵀ this is ‖ΔX‖²/N: squared errors, summed over the outputs and averaged over
    the N unfolded inputs; the objective of Soltani Moakhar et al., arXiv 2310.04519. It is
    computed without damping.

    Parameters
    ----------
    weights, pruned : float [B, O, K].
    hessians : float [B, K, K], symmetric.

    Returns
    -------
    float64 [B], not negative up to rounding.
    """
    difference = pruned.to(torch.float64) - weights.to(torch.float64)
    products = difference @ hessians.to(torch.float64)
    return (products * difference).sum(dim=(1, 2)) / 2
