"""Insertion, deletion and pixel flipping: the output as pixels change in the map's order."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.metrics.base import Explain, Metric
from sparsight.metrics.faithfulness.perturbation import (
    BASELINES,
    VALUES,
    check_choice,
    check_positive,
    pixel_ranks,
    replaced,
    stand_ins,
    without_order,
)
from sparsight.metrics.outputs import OutputKind, chosen_output


class PixelCurve(Metric):
    """Base of curves over pixels that are removed, or inserted, from the highest attribution on.

    Step k of `steps` has changed the round(k·n / steps) highest of n pixels, all channels at once;
    step 0 none, the last all. Pixels that are alike go in a random order, the image's own
    (`perturbation.tie_order`). A constant map ranks no pixel above another: NaN, as for a map of
    NaN.

    One step of the whole batch is one pass. The unperturbed and the fully perturbed batch, and the
    passes of curves that differ only in `value`, are shared with the other curves of the group.

    Parameters
    ----------
    steps : number of steps, so that each changes 1 / steps of the pixels.
    baseline : what a pixel becomes when it is removed; see `perturbation.stand_ins`.
    value : "probability" (softmax) or "logit" of the target.
    """

    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    shares = "pixel_curves"
    inserts: ClassVar[bool] = False

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_positive(self.name, self.settings, "steps")
        check_choice(self.name, self.settings, "baseline", BASELINES)
        check_choice(self.name, self.settings, "value", VALUES)

    def step_values(self) -> list[float]:
        """Share of the pixels that have changed, 0 to 100 %; rounding to pixels is left out."""
        steps = self.settings["steps"]
        return [100 * step / steps for step in range(steps + 1)]

    def score(
        self,
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> Tensor:
        """float32 [N, steps + 1]; see `Metric.score` and the class."""
        curves = self.score_together({"": self}, attributions, images, targets, masks, model)
        return curves[""]

    @classmethod
    def score_together(
        cls,
        metrics: Mapping[str, Metric],
        attributions: Tensor,
        images: Tensor,
        targets: Tensor,
        masks: Tensor | None,
        model: nn.Module | None = None,
        explain: Explain | None = None,
    ) -> dict[str, Tensor]:
        """Curves float32 [N, steps + 1] of several metrics; see `Metric.score_together`."""
        assert model is not None  # `needs` names it
        groups: dict[tuple[str, bool, int], dict[str, OutputKind]] = {}
        for name, metric in metrics.items():
            assert isinstance(metric, PixelCurve)  # no other metric shares these passes
            _check_steps(metric, images)
            key = (metric.settings["baseline"], metric.inserts, metric.settings["steps"])
            groups.setdefault(key, {})[name] = metric.settings["value"]
        undefined = without_order(attributions)[:, None]
        passes = _Passes(model, images, pixel_ranks(attributions, images))
        found = {}
        for key, kinds in groups.items():
            curves: dict[OutputKind, list[Tensor]] = {kind: [] for kind in kinds.values()}
            for logits in passes.curve(*key):
                for kind, values in curves.items():
                    values.append(chosen_output(logits, targets, kind))
            for name, kind in kinds.items():
                curve = torch.stack(curves[kind], dim=1)
                found[name] = curve.masked_fill(undefined, torch.nan)
        return {name: found[name] for name in metrics}


def _check_steps(metric: Metric, images: Tensor) -> None:
    height, width = images.shape[2:]
    if metric.settings["steps"] > height * width:
        raise InputError(
            f"metric {metric.name}: parameter 'steps' is {metric.settings['steps']}, but the "
            f"images have only {height}x{width} pixels"
        )


class _Passes:
    """Logits of a batch as its pixels change; those of unchanged and of blank images are kept."""

    def __init__(self, model: nn.Module, images: Tensor, ranks: Tensor) -> None:
        self._model, self._images, self._ranks = model, images, ranks
        self._ends: dict[str, Tensor] = {}

    def curve(self, baseline: str, inserts: bool, steps: int) -> Iterator[Tensor]:
        """Logits [N, K] at each of the `steps` + 1 steps."""
        blank = stand_ins(self._images, baseline)
        first, last = ("", baseline) if not inserts else (baseline, "")
        start, finish = (self._images, blank) if not inserts else (blank, self._images)
        pixels = self._ranks[0].numel()
        yield self._end(first, start)
        for step in range(1, steps):
            changed = self._ranks < round(step * pixels / steps)
            yield self._logits(replaced(start, finish, changed))
        yield self._end(last, finish)

    def _end(self, name: str, images: Tensor) -> Tensor:
        if name not in self._ends:
            self._ends[name] = self._logits(images)
        return self._ends[name]

    @torch.no_grad()
    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self._model(images)
        return logits


class Insertion(PixelCurve):
    """Output as the pixels appear, in the map's order, on a blurred canvas.

    The paper's number is the area under the curve by trapezoids, for an axis from 0 to 1 (the
    reducer "area"). The paper inserts 224 of 224x224 pixels a step,
    which would be 224 steps; the default of 20 is some ten times cheaper. The canvas is the blurred
    image, so that the inserted pixels bring in no edges of their own.
    """

    name = "insertion"
    reference = "Petsiuk et al., BMVC 2018, arXiv:1806.07421"
    category = "faithfulness"
    direction = "higher"
    unit = "output for the target at each step: probability 0 to 1, or logit"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    reducer = "area"
    step_axis = "pixels inserted, %"
    shares = "pixel_curves"
    parameters: ClassVar[dict[str, Any]] = {
        "steps": 20,
        "baseline": "blur",
        "value": "probability",
    }
    inserts: ClassVar[bool] = True


class Deletion(PixelCurve):
    """Output as the pixels vanish, in the map's order, into black.

    See `Insertion`. The paper replaces pixels by 0 in the network's normalised input, the data
    set's mean colour; here 0 is black. `baseline: mean` is the image's own mean colour.

    The area also falls for a network that is merely less confident, before a pixel is removed:
    between networks it says nothing unless the random control on the same network stands beside it.
    """

    name = "deletion"
    reference = "Petsiuk et al., BMVC 2018, arXiv:1806.07421"
    category = "faithfulness"
    direction = "lower"
    unit = "output for the target at each step: probability 0 to 1, or logit"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    reducer = "area"
    step_axis = "pixels removed, %"
    shares = "pixel_curves"
    parameters: ClassVar[dict[str, Any]] = {
        "steps": 20,
        "baseline": "zero",
        "value": "probability",
    }


class PixelFlipping(PixelCurve):
    """The target's logit as pixels are flipped in the map's order.

    The table's number is the mean loss of the logit, from the unperturbed image on (`aopc`): a
    constant added to all logits, which changes no prediction, does not change it. The scale of the
    logits still does, and differs between networks: compare explainers within a network, or choose
    `value: probability`.

    The paper follows the output that it decomposes, which is no probability, and inverts the pixels
    of MNIST (`baseline: inverted`). The default replaces them by black, as `quantus.PixelFlipping`
    does on images that hold 0; it then differs from `deletion` by the logit only, and the two share
    all passes. quantus takes the probability, begins with the first flipped pixels and flips one
    pixel a step; on colour images it ranks the values of single channels, where here a pixel goes
    with all its channels.
    """

    name = "pixel_flipping"
    reference = "Bach et al., PLoS ONE 10 (2015), doi:10.1371/journal.pone.0130140"
    category = "faithfulness"
    direction = "higher"
    unit = "logit (or probability) of the target at each step; the number is their mean loss"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    reducer = "aopc"
    step_axis = "pixels flipped, %"
    shares = "pixel_curves"
    parameters: ClassVar[dict[str, Any]] = {
        "steps": 20,
        "baseline": "zero",
        "value": "logit",
    }
