"""Optimisers by name."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from sparsight.training.options import OPTIMISERS, checked_choice


def build_optimiser(
    given: Mapping[str, Any], parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """A fresh optimiser without state.

    Parameters
    ----------
    given : `{name, learning_rate, ...}`, see `sparsight.training.options.OPTIMISERS`. `sgd` adds
        the weight decay to the gradient, `adamw` and `ranger` shrink the weights (decoupled).

    Raises
    ------
    InputError
        For an unknown name or an unknown, missing or unusable hyper-parameter.

    Reference
    ---------
    AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101. Ranger: rectified Adam (Liu et al. 2020,
    arXiv 1908.03265) with lookahead (Zhang et al. 2019, arXiv 1907.08610; six steps, half way) and
    gradient centralisation (Yong et al. 2020, arXiv 2004.01461).
    """
    name, facts = checked_choice("optimiser", OPTIMISERS, given)
    rate, decay = facts["learning_rate"], facts["weight_decay"]
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=facts["momentum"], weight_decay=decay)
    adaptive = {"betas": tuple(facts["betas"]), "eps": facts["epsilon"], "weight_decay": decay}
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, **adaptive)
    # late: two thirds of a second that other optimisers need not pay
    from pytorch_optimizer import Ranger

    # Before the variance can be rectified, Ranger takes plain momentum steps, as its author's code
    # does. The library's default takes them with the wrong sign: the first five go uphill.
    return Ranger(parameters, lr=rate, degenerated_to_sgd=True, **adaptive)
