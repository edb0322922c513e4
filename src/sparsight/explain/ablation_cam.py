"""Ablation-CAM: channels weighted by what the target logit loses without them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import target_logits
from sparsight.explain.network import named_layer
from sparsight.explain.perturbation_cam import PerturbationCam
from sparsight.rounding import is_constant

# Difference between logits, as a share of the largest, that rounding may make.
_TOLERANCE = 1e-3


class AblationCam(PerturbationCam):
    """A channel's weight is the target logit less that with the channel set to 0.

    The paper divides the weights by the logit. That scales a map, which its normalisation undoes,
    and where the logit is negative it would turn evidence against the target into evidence for it,
    which the library's maps show; so it is left out. The library sets a channel to 0 only if the
    smallest activation is 0; otherwise, as before a ReLU, to -1e7 and lower with every channel.

    Ablating the channels of one image repeats only what follows the layer: what comes before it
    runs on that image alone, wherever the network allows it.
    """

    name: ClassVar[str] = "ablation_cam"
    reference: ClassVar[str] = "doi:10.1109/WACV45572.2020.9093360"
    value_range: ClassVar[str] = "0 or more; in units of the logit times the activation"

    def weights(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        layer: str,
        activations: Tensor,
        logits: Tensor,
    ) -> Tensor:
        """See `PerturbationCam.weights`."""
        whole = target_logits(logits, targets)
        rows = self.rows_of_a_pass(images)
        weights = torch.zeros_like(activations[:, :, 0, 0])
        repeats = _must_repeat_image(model, images[:1], layer, activations[:1], logits[:1])
        for place, present in enumerate(activations.ne(0).flatten(2).any(dim=2)):
            image = images[place : place + 1]
            # Setting a channel of zeros to 0 changes nothing: its weight stays 0.
            for channels in present.nonzero().flatten().split(rows):
                ablated = activations[place].repeat(len(channels), 1, 1, 1)
                ablated[torch.arange(len(channels), device=channels.device), channels] = 0
                shown = image.repeat(len(channels), 1, 1, 1) if repeats else image
                with _replaced(model, layer, ablated):
                    found = model(shown)
                left = target_logits(found, targets[place].expand(len(channels)))
                weights[place, channels] = whole[place] - left
        # A network whose logit goes by no channel differs between passes in the last bits.
        left = whole[:, None] - weights
        unmoved = is_constant(torch.cat([whole[:, None], left], dim=1), 1)
        return weights.masked_fill(unmoved[:, None], 0)


@contextmanager
def _replaced(model: nn.Module, layer: str, output: Tensor) -> Iterator[None]:
    """Let the layer give `output`, whatever it gets."""
    handle = named_layer(model, layer).register_forward_hook(lambda *_: output)
    try:
        yield
    finally:
        handle.remove()


def _must_repeat_image(
    model: nn.Module, image: Tensor, layer: str, activations: Tensor, logits: Tensor
) -> bool:
    """Whether two outputs of the layer for one image [1,C,H,W] do not go through the network.

    Sums with what goes around the layer do (a shortcut), concatenations with it do not.
    """
    with _replaced(model, layer, activations.repeat(2, 1, 1, 1)):
        try:
            found = model(image)
        except torch.OutOfMemoryError:
            # Is a RuntimeError, but says nothing of the network.
            raise
        except RuntimeError:
            return True
    if found.shape != (2, logits.shape[1]):
        return True
    # Also where they are NaN.
    return not bool((found - logits).abs().max() <= _TOLERANCE * logits.abs().max())
