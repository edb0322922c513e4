"""Guided backpropagation."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.autograd_graph import graph_nodes, operation, require_operations
from sparsight.explain.base import (
    Explainer,
    channel_reduction,
    detached_float32,
    target_logits,
)
from sparsight.io.errors import InputError


class GuidedBackprop(Explainer):
    """Gradient of the target logit in which every ReLU lets only positive gradients pass.

    The pixels themselves follow no ReLU, so values may be negative.
    Channels are summed.

    ReLUs are found in the graph of the network's operations, not among its modules as captum does:
    functional, in-place and shared ones count too. A network without ReLUs, for which the method
    would be the plain gradient, is refused, and so is one with other non-linear operations than
    ReLU and max pooling.
    """

    name: ClassVar[str] = "guided_backprop"
    reference: ClassVar[str] = "arXiv:1412.6806"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any"
    cost: ClassVar[int] = 3
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size.

        Raises
        ------
        InputError
            Also for a network without ReLUs, or with non-linear operations of another kind.
        """
        inputs = images.detach().clone().requires_grad_()
        with torch.enable_grad():
            score = target_logits(model(inputs), targets).sum()
            require_operations(
                score,
                ("Relu", "MaxPool2DWithIndices"),
                self.name,
                "it is defined for networks of ReLU and max pooling between linear layers",
            )
            rectifiers = [node for node in graph_nodes(score) if operation(node) == "Relu"]
            if not rectifiers:
                raise InputError(
                    "explainer 'guided_backprop' would be the plain gradient on this network, "
                    "which has no ReLU; use saliency"
                )
            for node in rectifiers:
                # The graph, and the hooks with it, live as long as this call.
                node.register_prehook(_positive)
            (gradient,) = torch.autograd.grad(score, inputs)
        return detached_float32(channel_reduction(gradient, "sum"))


def _positive(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(gradient.clamp_min(0) for gradient in gradients)
