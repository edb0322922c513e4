"""Random logit: does an explanation change with the class that is explained?"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.metrics.agreement.structure import WINDOW, ssim
from sparsight.metrics.base import Explain, Metric
from sparsight.metrics.explaining import require_explainer
from sparsight.metrics.randomness import image_generators


def other_classes(
    images: Tensor, targets: Tensor, class_count: int, wanted: int, name: str
) -> Tensor:
    """Classes other than the target, drawn for each image without replacement.

    Parameters
    ----------
    images : float32 [N, C, H, W], to which with `name` the draw belongs.
    targets : int64 [N] in [0, class_count).
    class_count, wanted : 2 or more; 1 or more, of which there are at most class_count - 1.

    Returns
    -------
    int64 [N, min(wanted, class_count - 1)], on the targets' device.
    """
    orders = [
        torch.randperm(class_count - 1, generator=one)[:wanted]
        for one in image_generators(images, name)
    ]
    drawn = torch.stack(orders).to(targets.device)
    # Without the target there is one class fewer: those from the target on move up.
    return drawn + (drawn >= targets.unsqueeze(1))


class RandomLogit(Metric):
    """Structural similarity of the map with that of another class of the same image.

    1 for an explanation that looks the same for every class, and so says nothing of the target.
    The other class is drawn for each image, and is the same at every level and for every explainer;
    `others` above 1 gives the mean over several classes, all others where there are not so many.

    A comparison is undefined where either map is constant: an empty map is not unlike, it says
    nothing. The mean is over the classes whose comparison is defined, and NaN where none is. Class
    activation maps, whose negative values are cut off, are often empty for a class that the image
    does not show: with one class, every image whose draw falls on such a class is missing. Give
    more `others`, and look at the count of images next to the number.

    As `quantus.RandomLogit` with two differences: that takes the similarity of maps written as one
    row (windows of 7 pixels of a row), this of maps (windows of 7 × 7, `ssim`); and that divides
    maps by the greatest magnitude in the batch, this scales each to its own range.

    Parameters
    ----------
    others : number of other classes.
    """

    name = "random_logit"
    reference = "Sixt et al., ICML 2020, arXiv:1912.09818; as in quantus.RandomLogit"
    category = "randomisation"
    direction = "lower"
    unit = "structural similarity, -1 to 1"
    needs = ("model", "explainer")
    treatment = "signed"
    normalisation = "min_max"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {"others": 1}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        if self.settings["others"] < 1:
            raise InputError(
                f"metric {self.name}: parameter 'others' is {self.settings['others']}, it must be "
                "1 or more"
            )

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N]; see `Metric.score` and the class."""
        network, again = require_explainer(self, model, explain)
        if min(images.shape[2:]) < WINDOW:
            raise InputError(
                f"metric {self.name} needs images of at least {WINDOW} x {WINDOW} pixels, not "
                f"{images.shape[2]} x {images.shape[3]}; take it out of `metrics` for this data set"
            )
        with torch.no_grad():
            class_count = network(images[:1]).shape[1]
        if class_count < 2:
            raise InputError(f"metric {self.name} needs a network of two or more classes")
        others = other_classes(images, targets, class_count, self.settings["others"], self.name)
        values = [ssim(attributions, again(network, images, some)) for some in others.unbind(dim=1)]
        return torch.stack(values).nanmean(dim=0)
