"""ROAD: the network's output as pixels are replaced by what their surroundings say of them."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.metrics.base import (
    MapBatch,
    Metric,
    OutputKind,
    chosen_output,
    image_samples,
    shows_nothing,
)
from sparsight.metrics.faithfulness import pixel_ranks
from sparsight.metrics.imputation import linear_imputation

# what the parameter `value` names, in terms of `chosen_output`
VALUES: dict[str, OutputKind] = {"accuracy": "correct", "probability": "probability"}


class Road(Metric):
    """Base of the curves over noisy linear imputation.

    Step 0 is the image as it is. At each further step the given percentage of pixels (rounded to
    whole pixels, all channels at once) is imputed: see `linear_imputation`. Then noise is added to
    what was imputed, so that the network cannot tell imputed pixels by their smoothness. Pixels are
    taken in the order of the map's values. Those that are alike go in a random order, the image's
    own (`tie_order`), from either end of the map: where a map is silent its curve is
    that of the random control. Negative attribution speaks against the target, and comes after none
    at all; for absolute attributions choose an explainer that gives them. A constant map ranks no
    pixel above another: NaN, as for a map of NaN.

    The noise belongs to the image: a pixel gets the same at every step, in both orders, at every
    level and from every explainer, so differences between them are not noise. The authors' code
    draws anew for every step, which is the same for each step alone. Images are not clipped to
    [0, 1] afterwards, there and here.

    One step of the whole batch is one pass. Curves that differ only in `value` or in how they are
    reduced share imputations and passes, all share the unperturbed batch.

    Parameters
    ----------
    value : "accuracy" (1 where the prediction is the target, otherwise 0) or "probability" of the
        target.
    percentages : rising, above 0 and below 100.
    noise : standard deviation, of images in [0, 1]. The authors' 0.01 is on normalised images.
    """

    reference = "Rong et al., ICML 2022, arXiv:2202.00449"
    category = "faithfulness"
    direction = "higher"
    needs = ("model",)
    reducer = "aopc"
    step_axis = "pixels imputed, %"
    shares = "road"
    parameters: ClassVar[dict[str, Any]] = {
        "value": "accuracy",
        "percentages": [1, 11, 21, 31, 41, 51, 61, 71, 81, 91],
        "noise": 0.01,
    }
    least_first: ClassVar[bool] = False
    allowed: ClassVar[dict[str, Any]] = {
        "value": ("accuracy", "probability"),
        "noise": "[0, inf)",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        percentages = self.settings["percentages"]
        numbers = all(
            isinstance(one, (int, float)) and not isinstance(one, bool) for one in percentages
        )
        if (
            not numbers
            or not percentages
            or not all(0 < one < 100 for one in percentages)
            or any(a >= b for a, b in pairwise(percentages))
        ):
            raise InputError(
                f"metric {self.name}: parameter 'percentages' is {percentages}, it must be a "
                "rising list of numbers above 0 and below 100"
            )

    def step_values(self) -> list[float]:
        """Share of the pixels that are imputed: 0, then the `percentages`."""
        return [0.0, *map(float, self.settings["percentages"])]

    def score(self, batch: MapBatch) -> Tensor:
        """float32 [N, percentages + 1]; see `Metric.score` and the class."""
        return self.score_together({"": self}, batch)[""]

    @classmethod
    def score_together(cls, metrics: Mapping[str, Metric], batch: MapBatch) -> dict[str, Tensor]:
        """Curves float32 [N, percentages + 1] of several; see `Metric.score_together`."""
        groups: dict[tuple[bool, tuple[float, ...], float], dict[str, OutputKind]] = {}
        for name, metric in metrics.items():
            assert isinstance(metric, Road)  # no other metric shares these passes
            settings = metric.settings
            key = (metric.least_first, tuple(settings["percentages"]), settings["noise"])
            groups.setdefault(key, {})[name] = VALUES[settings["value"]]
        attributions, images, targets = batch.attributions, batch.images, batch.targets
        whole = batch.logits()
        noise = image_samples(images, "road").normal()
        undefined = shows_nothing(attributions)[:, None]
        found = {}
        for (least_first, percentages, spread), kinds in groups.items():
            ranks = pixel_ranks(-attributions if least_first else attributions, images)
            curves = {kind: [chosen_output(whole, targets, kind)] for kind in kinds.values()}
            for count in _counts(percentages, ranks):
                removed = ranks < count
                imputed = linear_imputation(images, removed[:, None])[:, 0]
                imputed.addcmul_(noise, removed[:, None].to(noise.dtype), value=spread)
                logits = batch.logits(imputed)
                for kind, values in curves.items():
                    values.append(chosen_output(logits, targets, kind))
            for name, kind in kinds.items():
                curve = torch.stack(curves[kind], dim=1)
                found[name] = curve.masked_fill(undefined, torch.nan)
        return {name: found[name] for name in metrics}


def _counts(percentages: tuple[float, ...], ranks: Tensor) -> list[int]:
    """Pixels that each percentage removes, of maps [N, H, W]."""
    pixels = ranks.shape[1] * ranks.shape[2]
    counts = [round(one * pixels / 100) for one in percentages]
    if counts[-1] >= pixels:
        raise InputError(
            f"ROAD at {percentages[-1]}% removes all {pixels} pixels of an image, and nothing is "
            "left to impute them from; take the percentage out of `percentages`"
        )
    return counts


class RoadMorf(Road):
    """Most relevant pixels first: the sooner the output falls, the better.

    The table's number is the area over the curve (`aopc`), from the unperturbed image on: for
    accuracy the mean loss of correct predictions, -1 to 1.
    """

    name = "road_morf"
    unit = "output for the target at each step, 0 to 1; the number is their mean loss"


class RoadLerf(Road):
    """Least relevant pixels first: the longer the output lasts, the better.

    The table's number is the mean of all steps, the unperturbed image included: it follows the
    network's accuracy (or confidence), and a network that errs more often has less of it whatever
    the map. Compare explainers within a network, or take the random control as the floor.
    """

    name = "road_lerf"
    unit = "output for the target at each step, 0 to 1"
    reducer = "mean"
    least_first: ClassVar[bool] = True


class RoadMorfPublished(Road):
    """`road_morf` with the number that arXiv:2509.21387 reports.

    Σ_k (acc(1%) - acc(k)) / 11 over the ten percentages k: against the first perturbed step instead
    of the unperturbed image, and divided by one more than there are steps.
    """

    name = "road_morf_published"
    reference = "Rong et al., ICML 2022, arXiv:2202.00449; area as in arXiv:2509.21387"
    unit = "output for the target at each step, 0 to 1; the number is their loss since the first"
    reducer = "aopc_published"
