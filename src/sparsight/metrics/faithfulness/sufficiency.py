"""Sufficiency: whether the highlighted pixels alone are enough for the prediction."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.metrics.base import Explain, Metric
from sparsight.metrics.faithfulness.perturbation import (
    check_choice,
    check_positive,
    pixel_ranks,
    replaced,
    without_order,
)
from sparsight.metrics.outputs import target_outputs
from sparsight.metrics.randomness import image_generators

SURROUNDINGS = ("shuffled", "uniform")


class Sufficiency(Metric):
    """Share of images holding the same highlighted pixels for which the prediction is the same.

    The paper's local sufficiency of an explanation e(x) is the probability, over images x', that
    f(x') = f(x) given that e(x) applies to x'. Both terms are left to be filled in:

    * An explanation *applies* here to the images that hold the highlighted pixels, the `share` of
      the image with the highest attribution, as they stand in x. An anchor applies in that way
      to the inputs that satisfy it, and its sufficiency is its precision.
    * The *images* x' come from x itself, not from the data set: outside the highlighted pixels
      they are drawn at random, from the image's own pixels or uniformly. They belong to the image:
      the same at every level and for every explainer.

    `quantus.Sufficiency` takes x' from the scored batch, and an explanation for applicable where
    the distance of two maps is below a share of the greatest distance in that batch. That depends
    on which images happen to be scored together, so it is refused here, and its values cannot be
    compared with these.

    f(x) is the predicted class, whichever class is explained. A constant map highlights nothing:
    NaN. Of pixels that are alike, some are taken at random, the same for every map of the image
    (`perturbation.tie_order`). A random map does not score 0: compare with the random control.

    Parameters
    ----------
    share : of the pixels that are highlighted, above 0 and below 1.
    samples : number of images x', each of which is a forward pass.
    surroundings : "shuffled", the image's own pixels in random order (all channels together);
        "uniform", values uniform in [0, 1].
    """

    name = "sufficiency"
    reference = "Dasgupta et al., ICML 2022, arXiv:2202.00734"
    category = "faithfulness"
    direction = "higher"
    unit = "share of images, 0 to 1"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {
        "share": 0.1,
        "samples": 50,
        "surroundings": "shuffled",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_choice(self.name, self.settings, "surroundings", SURROUNDINGS)
        check_positive(self.name, self.settings, "samples")
        if not 0 < self.settings["share"] < 1:
            raise InputError(
                f"metric {self.name}: parameter 'share' is {self.settings['share']}, it must be "
                "above 0 and below 1"
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
        """float32 [N] in [0, 1]; see `Metric.score` and the class."""
        assert model is not None  # `needs` names it
        with torch.no_grad():
            predicted = model(images).argmax(dim=1)
        pixels = images.shape[2] * images.shape[3]
        count = max(round(self.settings["share"] * pixels), 1)
        outside = pixel_ranks(attributions, images) >= count
        kept = torch.zeros(len(images), device=images.device)
        for others in self.neighbours(images):
            mixed = replaced(images, others, outside)
            kept += target_outputs(model, mixed, predicted, "correct", max(len(images), 1))
        found: Tensor = kept / self.settings["samples"]
        return found.masked_fill(without_order(attributions), torch.nan)

    def neighbours(self, images: Tensor) -> Iterator[Tensor]:
        """`samples` times what surrounds the highlighted pixels, float32 [N, C, H, W] in [0, 1].

        Each image's own pixels in another order, or uniform noise, drawn with a generator of the
        image's own.
        """
        how, shape = self.settings["surroundings"], images.shape[1:]
        generators = list(image_generators(images, f"{self.name} {how}"))
        flat = images.flatten(start_dim=2)
        for _ in range(self.settings["samples"]):
            if how == "uniform":
                drawn = [torch.rand(shape, generator=one) for one in generators]
                yield torch.stack(drawn).to(images)
            else:
                places = [torch.randperm(flat.shape[2], generator=one) for one in generators]
                order = torch.stack(places).to(images.device).unsqueeze(1)
                yield flat.gather(2, order.expand_as(flat)).view(images.shape)
