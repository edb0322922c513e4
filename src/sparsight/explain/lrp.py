"""Layer-wise relevance propagation, by the rules of zennit."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import (
    Explainer,
    channel_reduction,
    detached_float32,
    target_logits,
)
from sparsight.explain.lrp_network import WatchedOperations, merged_copy, require_equal_logits
from sparsight.io.errors import InputError
from sparsight.models.normalise import Normalise

# Composite to its cost: a forward pass, and per part of its rule for convolutions one more and a
# backward pass.
_COSTS = {"epsilon": 4, "epsilon_plus": 7, "alpha2_beta1": 13}
# Keeps denominators from 0 in all rules but the epsilon rule, whose own is a parameter.
_STABILISER = 1e-6


class Lrp(Explainer):
    """Relevance that starts as the target logit and is handed down in proportion to contributions.

    `composite` names the rules: `epsilon` is the epsilon rule everywhere (equation 58);
    `epsilon_plus` takes only positive contributions in convolutions, and `alpha2_beta1` positive
    ones twice and negative ones once (equation 60), both with the epsilon rule in linear layers.
    `epsilon` is that rule's stabiliser; the other rules have one of 1e-6, as in zennit. Average
    pooling and sums hand down in proportion to their inputs, max pooling to its maximum,
    activations pass relevance through.

    Batch normalisation is first merged into the layer before it. A network's own normalisation of
    its images passes relevance through: contributions are those of normalised pixels. Channels are
    summed. With the epsilon rule a map sums to the logit less what biases contribute.

    Convolutions, linear layers, batch normalisation and average pooling must be modules that run
    once. Other operations than those named are refused.
    """

    name: ClassVar[str] = "lrp"
    reference: ClassVar[str] = "doi:10.1371/journal.pone.0130140; rules of zennit: arXiv:2106.13200"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; in units of the logit"
    cost: ClassVar[int] = 7
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"
    parameters: ClassVar[dict[str, Any]] = {"composite": "epsilon_plus", "epsilon": 1e-6}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        composite, epsilon = self.settings["composite"], self.settings["epsilon"]
        if composite not in _COSTS:
            raise InputError(
                f"explainer 'lrp': composite is '{composite}', but must be one of "
                f"{', '.join(_COSTS)}"
            )
        if not epsilon > 0:
            raise InputError(f"explainer 'lrp': epsilon is {epsilon}, but must be above 0")

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size.

        Raises
        ------
        InputError
            Also for a network with operations that have no rule.
        """
        network = merged_copy(model)
        inputs = images.detach().clone().requires_grad_()
        rules = self._rules()
        watch = WatchedOperations(_STABILISER)
        ruled = {
            module: rule
            for name, module in network.named_modules()
            if (rule := rules.module_map({}, name, module)) is not None
        }
        for module, rule in ruled.items():
            watch.enter_module(module, runs_once=_keeps_its_input(rule))
        # On leaving, zennit lets go of the tensors that it holds for the backward pass.
        with rules.context(network), torch.enable_grad():
            for module in ruled:
                watch.leave_module(module)
            with watch:
                logits = network(inputs)
            require_equal_logits(logits[:1].detach(), model(images[:1]).detach())
            score = target_logits(logits, targets)
            (relevance,) = torch.autograd.grad(score, inputs, grad_outputs=score.detach())
        return detached_float32(channel_reduction(relevance, "sum"))

    def _rules(self) -> Any:
        """The zennit composite: which module has which rule."""
        from zennit.composites import LayerMapComposite, layer_map_base
        from zennit.rules import AlphaBeta, Epsilon, Pass, ZPlus
        from zennit.types import Convolution

        epsilon = self.settings["epsilon"]
        convolutions = {
            "epsilon": Epsilon(epsilon=epsilon),
            "epsilon_plus": ZPlus(stabilizer=_STABILISER),
            "alpha2_beta1": AlphaBeta(alpha=2, beta=1, stabilizer=_STABILISER),
        }
        return LayerMapComposite(
            [
                (Normalise, Pass()),
                *layer_map_base(_STABILISER),
                (Convolution, convolutions[self.settings["composite"]]),
                (nn.Linear, Epsilon(epsilon=epsilon)),
            ]
        )

    def facts(self) -> dict[str, Any]:
        """Facts with the cost of the chosen composite."""
        return {**super().facts(), "cost": _COSTS[self.settings["composite"]]}


def _keeps_its_input(rule: Any) -> bool:
    """Whether a rule needs the module's input, of which it holds only the last."""
    from zennit.core import BasicHook

    return isinstance(rule, BasicHook)
