"""ROAD: the network's output as pixels are replaced by what their surroundings say of them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.metrics.base import image_samples
from sparsight.metrics.faithfulness import BatchPasses, OutputCurve
from sparsight.metrics.imputation import linear_imputation


class Road(OutputCurve):
    """Base of the curves over noisy linear imputation.

    Step 0 is the image as it is. At each further step the given percentage of pixels (rounded to
    whole pixels, all channels at once) is imputed: see `linear_imputation`. Then noise is added to
    what was imputed, so that the network cannot tell imputed pixels by their smoothness. Negative
    attribution speaks against the target, and comes after none at all.

    The noise belongs to the image: a pixel gets the same at every step, in both orders, at every
    level and from every explainer, where the authors' code draws anew for every step. Images are
    not clipped to [0, 1] afterwards, there and here.

    Parameters
    ----------
    value : "accuracy" (1 where the prediction is the target, otherwise 0) or "probability" of the
        target.
    percentages : rising, above 0 and below 100.
    noise : standard deviation, of images in [0, 1]. The authors' 0.01 is on normalised images.
    """

    reference = "Rong et al., ICML 2022, arXiv:2202.00449"
    reducer = "aopc"
    step_axis = "pixels imputed, %"
    shares = "road"
    parameters: ClassVar[dict[str, Any]] = {
        "value": "accuracy",
        "percentages": [1, 11, 21, 31, 41, 51, 61, 71, 81, 91],
        "noise": 0.01,
    }
    least_first: ClassVar[bool] = False
    allowed: ClassVar[dict[str, Any]] = {"value": ("accuracy", "probability"), "noise": "[0, inf)"}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        percentages = self.settings["percentages"]
        if (
            not percentages
            or any(type(one) not in (int, float) or not 0 < one < 100 for one in percentages)
            or any(a >= b for a, b in pairwise(percentages))
        ):
            raise InputError(
                f"metric {self.name}: parameter 'percentages' is {percentages}, it must be a "
                "rising list of numbers above 0 and below 100"
            )

    def step_values(self) -> list[float]:
        """Share of the pixels that are imputed: 0, then the `percentages`."""
        return [0.0, *map(float, self.settings["percentages"])]

    def passes_key(self) -> tuple[Any, ...]:
        return self.least_first, *self.settings["percentages"], self.settings["noise"]

    def logits(self, passes: BatchPasses) -> Iterator[Tensor]:
        images, percentages = passes.batch.images, self.settings["percentages"]
        pixels = images.shape[2] * images.shape[3]
        counts = [round(one * pixels / 100) for one in percentages]
        if counts[-1] >= pixels:
            raise InputError(
                f"ROAD at {percentages[-1]}% removes all {pixels} pixels of an image, and nothing "
                "is left to impute them from; take the percentage out of `percentages`"
            )
        yield passes.logits("unchanged", images)
        ranks = passes.ranks(self.least_first)
        noise = image_samples(images, "road").normal()
        for count in counts:
            removed = (ranks < count)[:, None]
            imputed = linear_imputation(images, removed)[:, 0]
            imputed.addcmul_(noise, removed.to(noise.dtype), value=self.settings["noise"])
            yield passes.batch.logits(imputed)


class RoadMorf(Road):
    """Most relevant pixels first: the sooner the output falls, the better.

    The table's number is the area over the curve (`aopc`), from the unperturbed image on: for
    accuracy the mean loss of correct predictions, -1 to 1.
    """

    name = "road_morf"
    label = "ROAD, most relevant first"
    unit = "output for the target at each step, 0 to 1; the number is their mean loss"


class RoadLerf(Road):
    """Least relevant pixels first: the longer the output lasts, the better.

    The table's number is the mean of all steps, the unperturbed image included: it follows the
    network's accuracy (or confidence), and a network that errs more often has less of it whatever
    the map. Compare explainers within a network, or take the random control as the floor.
    """

    name = "road_lerf"
    label = "ROAD, least relevant first"
    unit = "output for the target at each step, 0 to 1"
    reducer = "mean"
    least_first: ClassVar[bool] = True


class RoadMorfPublished(Road):
    """`road_morf` with the number that arXiv:2509.21387 reports.

    Σ_k (acc(1%) - acc(k)) / 11 over the ten percentages k: against the first perturbed step instead
    of the unperturbed image, and divided by one more than there are steps.
    """

    name = "road_morf_published"
    label = "ROAD as published"
    reference = "Rong et al., ICML 2022, arXiv:2202.00449; area as in arXiv:2509.21387"
    unit = "output for the target at each step, 0 to 1; the number is their loss since the first"
    reducer = "aopc_published"
