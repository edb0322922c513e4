"""Score-CAM: channels weighted by what the network says to the parts of the image they show."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.base import target_logits
from sparsight.explain.perturbation_cam import PerturbationCam
from sparsight.rounding import is_constant

# As in the library.
_EPSILON = 1e-8


class ScoreCam(PerturbationCam):
    """A channel's weight is the softmax, over channels, of the target logit of the masked image.

    The mask is the channel, upsampled and brought to [0, 1]; what it hides is black. The paper
    subtracts the logit of a black image first, which the softmax takes away again. As in the
    library, the mask's corners lie on the image's corners (`align_corners=True`).

    A channel that is constant up to rounding makes a black mask. The library's minimum and maximum
    of such a channel differ by rounding after upsampling, and its mask is then noise; the authors'
    code leaves the channel out. Here the black image is looked at once for all of them.

    The authors' code has no softmax over channels: there a channel weighs as much as the
    probability of the class for its masked image. With a softmax of logits, as in the paper and the
    library, the scale of the logits sets how peaked the weights are: a network that is sure of
    itself is explained by few channels, and two networks whose logits differ in scale by weights
    that are not alike.

    As in the library, 1e-8 is added to a mask's maximum before it divides. Channels that vary by
    less than about 1e-6 make dim masks for that reason; in the paper every mask reaches 1.

    Before a ReLU this mean may be below 0 everywhere and the map be empty; prefer a layer behind
    one.
    """

    name: ClassVar[str] = "score_cam"
    reference: ClassVar[str] = "arXiv:1910.01279"
    value_range: ClassVar[str] = "0 or more; a weighted mean of the channels"

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
        black = model(torch.zeros_like(images[:1])).expand(len(images), -1)
        scores = target_logits(black, targets)[:, None].repeat(1, activations.shape[1])
        varied = ~is_constant(activations, (2, 3))
        for pairs in varied.nonzero().split(self.rows_of_a_pass(images)):
            image, channel = pairs.unbind(1)
            masked = images[image] * _masks(activations[image, channel], images.shape[2:])
            scores[image, channel] = target_logits(model(masked), targets[image])
        return scores.softmax(dim=1)


def _masks(channels: Tensor, size: torch.Size) -> Tensor:
    """Masks [M,1,H,W] in [0, 1] from channels [M,h,w]."""
    masks = functional.interpolate(
        channels.unsqueeze(1), size=tuple(size), mode="bilinear", align_corners=True
    )
    masks = masks - masks.amin(dim=(2, 3), keepdim=True)
    return masks / (masks.amax(dim=(2, 3), keepdim=True) + _EPSILON)
