"""Infidelity: how far the attribution is from predicting what perturbations cost."""

from collections.abc import Iterator
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
    replaced,
    stand_ins,
)
from sparsight.metrics.outputs import target_outputs
from sparsight.metrics.randomness import image_generators

PERTURBATIONS = ("squares", "every_square", "noise")


def infidelity(
    predicted: Tensor, lost: Tensor, scaled: bool, non_negative_scale: bool = False
) -> Tensor:
    """Mean over perturbations of (β·predicted - lost)², equation 1 of Yeh et al.

    Parameters
    ----------
    predicted : float [N, n], IᵀΦ of each perturbation.
    lost : float [N, n], f(x) - f(x - I).
    scaled : whether β is the scale that makes the mean least, Σ predicted·lost / Σ predicted²,
        instead of 1. It does not matter where `predicted` is 0 throughout.
    non_negative_scale : whether β must be 0 or more. Where the best β is below 0, it is then 0.

    Returns
    -------
    float64 [N], 0 or more; NaN where a value is NaN.
    """
    guess, truth = predicted.double(), lost.double()
    if scaled:
        power = guess.square().sum(dim=1, keepdim=True)
        scale = (guess * truth).sum(dim=1, keepdim=True) / power
        scale = scale.clamp_min(0) if non_negative_scale else scale
        guess = torch.where(power == 0, guess, scale * guess)
    return (guess - truth).square().mean(dim=1)


class Squares:
    """All squares of sides 1 to `largest` within an image, numbered."""

    def __init__(self, height: int, width: int, largest: int, device: torch.device) -> None:
        self._height, self._width = height, width
        sides = torch.arange(1, largest + 1)
        counts = (height - sides + 1) * (width - sides + 1)
        self._ends = counts.cumsum(0).to(device)
        self._starts = self._ends - counts.to(device)
        self.count = int(counts.sum())

    def masks(self, numbers: Tensor) -> Tensor:
        """Pixels of squares: numbers int64 [N] from 0 to `count` - 1 -> bool [N, H, W]."""
        place = torch.searchsorted(self._ends, numbers, right=True)
        side, rest = place + 1, numbers - self._starts[place]
        columns = self._width - side + 1
        top, left = rest // columns, rest % columns
        return (
            self._along(self._height, top, side)[:, :, None]
            & (self._along(self._width, left, side)[:, None, :])
        )

    @staticmethod
    def _along(length: int, start: Tensor, side: Tensor) -> Tensor:
        """Bool [N, length]: from `start`, `side` pixels."""
        places = torch.arange(length, device=start.device)
        return (places >= start[:, None]) & (places < (start + side)[:, None])


class Infidelity(Metric):
    """Mean squared error of the attribution as a linear prediction of what perturbations cost.

    Over perturbations I of the image x it is the mean of (IᵀΦ - (f(x) - f(x - I)))², Φ the map and
    f the target's logit. A map has one value a pixel: its colour channels share it.

    Scale: with `scaled` (the default) each map is first multiplied by the factor that suits it
    best, as the authors' code does; only so can maps be compared that are no gradients, such as
    class activation maps. quantus and captum (`normalize=False`) do not. The value is in squared
    units of the output, so networks with smaller logits have smaller infidelity: compare explainers
    within a network, or choose `value: probability`. An all-zero or constant map is defined.

    Two consequences, as the authors write it. β may be below 0, so that a map and its negative
    score alike: the value does not say whether a map names evidence for the class or against it.
    With `non_negative_scale` β is 0 or more, and a map that is best turned round scores as a map of
    zeros does, the mean of (f(x) - f(x - I))². And lower is better, while a network whose output
    does not depend on the image loses nothing: every map of it scores 0, the best value. Do not
    take the low values of a network that has collapsed for good explanations.

    Which maps: Φ is compared in the units of IᵀΦ, so a setting suits one kind of map only.

    * Slopes, output per change of a pixel (the signed gradient, `guided_backprop`): the default,
      and `perturbation: noise`. Exact where channels share a slope, as in grey images.
    * Contributions, output that a pixel accounts for (`input_x_gradient`, `integrated_gradients`,
      `lrp`, `deep_lift`, `gradient_shap`, `occlusion`; `lime` and `kernel_shap`, whose superpixels
      repeat one value on all of their pixels, as far as these are equally large):
      `multiplied_by_input: true`, with the baseline that the explainer had.
    * Unsigned maps (`saliency` and `smooth_grad` here, which are absolute values; class activation
      maps): neither. The value is defined and says how far such a map is from being signed.

    Under the wrong setting a perfect map is not perfect. Logit x₁ + 2 x₂ at x = (1, 1/2), squares
    of one pixel: contributions (1, 1) score 0 with `multiplied_by_input: true` and 0.1 without, the
    gradient (1, 2) scores 0 without and 0.1 with, where a map of zeros scores 1.

    Cost: one forward pass a sample. quantus removes the blocks of a grid one after another without
    putting any back, and goes through this ten times with the same result (490 passes of 28x28
    images); its value is another one. captum gives ours for our perturbations.

    Parameters
    ----------
    perturbation : "squares", of sides 1 to `largest_side`, drawn from all that lie within the image
        (the paper's square removal, by sampling); "every_square", each of them once, as in the
        paper: thousands of passes; "noise", the paper's noisy baseline, I = x - clip(ε, 0, 1) with
        ε normal. What is drawn belongs to the image: the same at every level and for every
        explainer.
    samples : number of perturbations, for those that are drawn.
    largest_side : of a square, in pixels; 10 in the paper.
    noise : standard deviation of ε; 0.2 in the paper.
    baseline : what the pixels of a square become; see `perturbation.stand_ins`.
    multiplied_by_input : whether the map holds contributions, so that IᵀΦ is its sum over the
        square, instead of slopes, so that IᵀΦ is the sum of slope times change. Squares only.
    scaled : see above.
    non_negative_scale : whether β must be 0 or more; only with `scaled`. The authors' code lets it
        be below 0.
    value : "logit" or "probability" of the target.
    """

    name = "infidelity"
    reference = "Yeh et al., NeurIPS 2019, arXiv:1901.09392"
    category = "faithfulness"
    direction = "lower"
    unit = "squared output for the target, 0 or more"
    needs = ("model",)
    treatment = "signed"
    normalisation = "none"
    mask_rule = "none"
    parameters: ClassVar[dict[str, Any]] = {
        "perturbation": "squares",
        "samples": 100,
        "largest_side": 10,
        "noise": 0.2,
        "baseline": "zero",
        "multiplied_by_input": False,
        "scaled": True,
        "non_negative_scale": False,
        "value": "logit",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_choice(self.name, self.settings, "perturbation", PERTURBATIONS)
        check_choice(self.name, self.settings, "baseline", BASELINES)
        check_choice(self.name, self.settings, "value", VALUES)
        check_positive(self.name, self.settings, "samples")
        check_positive(self.name, self.settings, "largest_side")
        if self.settings["noise"] <= 0:
            raise InputError(
                f"metric {self.name}: parameter 'noise' is {self.settings['noise']}, it must be "
                "above 0"
            )
        if self.settings["non_negative_scale"] and not self.settings["scaled"]:
            raise InputError(
                f"metric {self.name}: 'non_negative_scale' is about the scale that is fitted and "
                "needs 'scaled'"
            )
        if self.settings["perturbation"] == "noise" and self.settings["multiplied_by_input"]:
            raise InputError(
                f"metric {self.name}: with 'multiplied_by_input' the perturbation must be squares, "
                "not noise, since such a map says nothing of partly changed pixels"
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
        assert model is not None  # `needs` names it
        kind, chunk = self.settings["value"], max(len(images), 1)
        whole = target_outputs(model, images, targets, kind, chunk)
        predicted, lost = [], []
        for perturbed, weights in self.perturbations(images):
            lost.append(whole - target_outputs(model, perturbed, targets, kind, chunk))
            predicted.append((attributions * weights).sum(dim=(1, 2), dtype=torch.float64))
        found = infidelity(
            torch.stack(predicted, dim=1),
            torch.stack(lost, dim=1),
            self.settings["scaled"],
            self.settings["non_negative_scale"],
        )
        return found.to(torch.float32)

    def perturbations(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The perturbations of a batch, one of each image at a time.

        Parameters
        ----------
        images : float32 [N, C, H, W] in [0, 1].

        Yields
        ------
        The perturbed images x - I, float32 [N, C, H, W], and what their maps are weighted with to
        give IᵀΦ, float32 [N, H, W]: I summed over channels, or 1 where a pixel is removed.
        """
        if self.settings["perturbation"] == "noise":
            yield from self._noise(images)
            return
        others = stand_ins(images, self.settings["baseline"])
        for square in self._squares(images):
            perturbed = replaced(images, others, square)
            if self.settings["multiplied_by_input"]:
                yield perturbed, square.to(images.dtype)
            else:
                yield perturbed, (images - perturbed).sum(dim=1)

    def _squares(self, images: Tensor) -> Iterator[Tensor]:
        height, width = images.shape[2:]
        largest = self.settings["largest_side"]
        if largest > min(height, width):
            raise InputError(
                f"metric {self.name}: parameter 'largest_side' is {largest}, but the images have "
                f"only {height}x{width} pixels"
            )
        squares = Squares(height, width, largest, images.device)
        if self.settings["perturbation"] == "every_square":
            for number in range(squares.count):
                yield squares.masks(torch.full((len(images),), number, device=images.device))
            return
        shape = (self.settings["samples"],)
        drawn = [
            torch.randint(squares.count, shape, generator=generator)
            for generator in image_generators(images, f"{self.name} squares")
        ]
        for numbers in torch.stack(drawn, dim=1).to(images.device):
            yield squares.masks(numbers)

    def _noise(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        generators = list(image_generators(images, f"{self.name} noise"))
        for _ in range(self.settings["samples"]):
            drawn = [torch.randn(images.shape[1:], generator=one) for one in generators]
            perturbed = (torch.stack(drawn).to(images) * self.settings["noise"]).clamp(0, 1)
            yield perturbed, (images - perturbed).sum(dim=1)
