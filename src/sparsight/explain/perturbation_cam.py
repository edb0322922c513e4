"""What class activation maps that try every channel have in common."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, detached_float32
from sparsight.explain.cam import weighted_map
from sparsight.explain.network import explained_layer, recorded
from sparsight.io.errors import InputError

# So many trials go into a pass even where a batch has fewer images: the last batch of a data set
# may hold a single one, and a pass of one row takes nearly as long as one of thirty.
_LEAST_ROWS = 32


class PerturbationCam(Explainer):
    """A ReLU of channels weighted by what the network gives when each is tried by itself.

    `channels` is how many the layer may have: `cost`, which must be known before any network is
    there, is stated for it. A layer with more is refused. Channels whose trial can be told without
    the network are not tried, so that a pruned network costs less.

    No pass has more images than the batch has, or than 32 if the batch has fewer: memory is that of
    a batch of that size.
    """

    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "weighted sum"
    cost: ClassVar[int] = 513
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "channels": 512}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.settings["channels"] < 1:
            raise InputError(
                f"explainer '{self.name}': channels is {self.settings['channels']}, but must be at "
                "least 1"
            )

    @abstractmethod
    def weights(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        layer: str,
        activations: Tensor,
        logits: Tensor,
    ) -> Tensor:
        """Weights [N,C] of the channels of `activations`, the layer's output [N,C,h,w].

        `logits` [N,K] are those of the images. Called without gradients.
        """

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; h and w are the layer's."""
        layer = explained_layer(model, self.settings["layer"])
        with torch.no_grad():
            with recorded(model, [layer]) as outputs:
                logits = model(images)
            if layer not in outputs:
                raise InputError(f"layer '{layer}' does not run in a forward pass; name another")
            activations = outputs[layer].detach()
            if activations.shape[1] > self.settings["channels"]:
                raise InputError(
                    f"explainer '{self.name}': layer '{layer}' has {activations.shape[1]} "
                    f"channels; set the parameter 'channels', now {self.settings['channels']}, to "
                    "at least that, or name another layer"
                )
            weights = self.weights(model, images, targets, layer, activations, logits)
        return detached_float32(weighted_map(activations, weights))

    @staticmethod
    def rows_of_a_pass(images: Tensor) -> int:
        """How many trials go into one pass, for a batch of `images` [N,C,H,W]."""
        return max(len(images), _LEAST_ROWS)

    def facts(self) -> dict[str, Any]:
        """Facts with the cost of as many channels as there may be."""
        return {**super().facts(), "cost": self.settings["channels"] + 1}
