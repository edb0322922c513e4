"""Input times gradient."""

from typing import ClassVar

from torch import Tensor, nn

from sparsight.explain.base import Explainer, channel_reduction, detached_float32
from sparsight.explain.logit_gradient import logit_gradient


class InputXGradient(Explainer):
    """Gradient of the target logit times the pixel; channels are summed.

    Exact for a linear network without bias, where a map sums to the logit. A black pixel gets 0.
    """

    name: ClassVar[str] = "input_x_gradient"
    reference: ClassVar[str] = "arXiv:1605.01713"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "sum"
    value_range: ClassVar[str] = "any; 0 where the image is black"
    cost: ClassVar[int] = 3
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size."""
        product = images * logit_gradient(model, images, targets)
        return detached_float32(channel_reduction(product, "sum"))
