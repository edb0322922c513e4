"""The gradient that most pixel methods start from, without a library's import and overhead."""

import torch
from torch import Tensor, nn

from sparsight.explain.base import target_logits


def logit_gradient(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Gradient of each image's target logit with respect to its pixels; one pass each way.

    Parameters
    ----------
    model : frozen network that gives logits [N,K].
    images, targets : float32 [N,C,H,W] and int64 [N].

    Returns
    -------
    float32 [N,C,H,W], detached.

    Raises
    ------
    InputError
        When a target is not one of the K classes.
    """
    inputs = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        # An image's logit depends on that image alone, so the sum gives each its own gradient.
        score = target_logits(model(inputs), targets).sum()
        (gradient,) = torch.autograd.grad(score, inputs)
    return gradient
