"""Faithfulness: what a network's output loses as the pixels that an explanation ranks change."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.explain.surrogates import superpixels
from sparsight.io.errors import InputError
from sparsight.metrics.base import (
    MapBatch,
    Metric,
    OutputKind,
    chosen_output,
    holds_nan,
    image_generators,
    image_samples,
    per_image,
    row_correlation,
)
from sparsight.rounding import is_constant

# The authors' blur of the canvas for insertion (github.com/eclique/RISE, Evaluation.ipynb).
BLUR_SIDE = 11
BLUR_SIGMA = 5.0


def tie_order(images: Tensor) -> Tensor:
    """Order int64 [N, H * W] in which an image's pixels go where its map does not tell them apart.

    A class activation map is zero on most of its pixels. In reading order these would go from the
    top of the image to its bottom; here they go as those of a random map do. The order belongs to
    the image, float32 [N, C, H, W] in [0, 1] as it was explained: for every network, explainer and
    metric the same, and from either end of the map.
    """
    return image_samples(images, "ties").orders(images.shape[2] * images.shape[3])


def descending_ranks(values: Tensor, order: Tensor) -> Tensor:
    """Place of each value in the descending order of its row, int64 [N, n] from 0.

    Of values that are alike the one comes first that comes first in `order`, int64 [N, n], which
    holds each place of the row once.
    """
    sorting = values.gather(1, order).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order.gather(1, sorting), places)


def pixel_ranks(attributions: Tensor, images: Tensor) -> Tensor:
    """Place of each pixel in the descending order of its map [N, H, W], int64 from 0.

    Pixels that are alike go in the `tie_order` of the images [N, C, H, W].
    """
    return descending_ranks(per_image(attributions), tie_order(images)).view_as(attributions)


def stand_ins(images: Tensor, baseline: str) -> Tensor:
    """What stands in for each pixel once it is removed, float32 [N, C, H, W] in [0, 1].

    Parameters
    ----------
    images : float32 [N, C, H, W] in [0, 1].
    baseline : "zero" (black); "mean" (the mean colour of the image itself); "blur" (the image under
        a Gaussian of standard deviation 5, cut off at 11x11 pixels; edge pixels are repeated, where
        the authors pad with zeros, which darkens the border); "inverted" (1 - x).
    """
    if baseline == "zero":
        return torch.zeros_like(images)
    if baseline == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    if baseline == "inverted":
        return 1 - images
    channels = images.shape[1]
    offsets = torch.arange(BLUR_SIDE, device=images.device) - BLUR_SIDE // 2
    weights = torch.exp(-(offsets / BLUR_SIGMA).square() / 2)
    weights = (weights / weights.sum()).expand(channels, 1, 1, -1)
    padded = functional.pad(images, [BLUR_SIDE // 2] * 4, mode="replicate")
    rows = functional.conv2d(padded, weights, groups=channels)
    return functional.conv2d(rows, weights.transpose(2, 3), groups=channels)


def replace_pixels(images: Tensor, others: Tensor, where: Tensor) -> Tensor:
    """`images` [N, C, H, W] with the pixels `where` (bool [N, H, W]) taken from `others`."""
    return torch.where(where.unsqueeze(1), others, images)


class BatchPasses:
    """What the curves of a batch share: the order of its pixels, and logits of some images."""

    def __init__(self, batch: MapBatch) -> None:
        self.batch = batch
        self._ranks: dict[bool, Tensor] = {}
        self._logits: dict[str, Tensor] = {}

    def ranks(self, least_first: bool = False) -> Tensor:
        """See `pixel_ranks`; `least_first` for the ascending order."""
        if least_first not in self._ranks:
            maps = self.batch.attributions
            self._ranks[least_first] = pixel_ranks(
                -maps if least_first else maps, self.batch.images
            )
        return self._ranks[least_first]

    def logits(self, name: str, images: Tensor) -> Tensor:
        """Logits [N, K] of the images of that name; one pass for each name."""
        if name not in self._logits:
            self._logits[name] = self.batch.logits(images)
        return self._logits[name]


class OutputCurve(Metric):
    """Base of curves of the target's output as pixels change in the order of the map.

    Pixels that are alike go in a random order, the image's own (`tie_order`), from either end of
    the map: where a map is silent its curve is that of the random control. An empty or constant map
    ranks no pixel above another, and its whole curve is that of chance. NaN for a map of NaN.

    One step of the whole batch is one pass, which curves of equal `passes_key` share: they differ
    in the parameter `value` ("accuracy", "probability" or "logit"), or in how they are reduced.
    """

    version = 2
    category = "faithfulness"
    direction = "higher"
    needs = ("model",)

    @abstractmethod
    def passes_key(self) -> tuple[Any, ...]:
        """What the passes of the curve depend on."""

    @abstractmethod
    def logits(self, passes: BatchPasses) -> Iterator[Tensor]:
        """Logits [N, K] at each step."""

    def score(self, batch: MapBatch) -> Tensor:
        return self.score_together({"": self}, batch)[""]

    @classmethod
    def score_together(cls, metrics: Mapping[str, Metric], batch: MapBatch) -> dict[str, Tensor]:
        groups: dict[tuple[Any, ...], dict[str, OutputCurve]] = {}
        for name, metric in metrics.items():
            assert isinstance(metric, OutputCurve)  # no other metric shares these passes
            groups.setdefault(metric.passes_key(), {})[name] = metric
        undefined = holds_nan(batch.attributions)[:, None]
        passes, found = BatchPasses(batch), {}
        for group in groups.values():
            kinds: dict[str, OutputKind] = {
                name: one.settings["value"] for name, one in group.items()
            }
            curves: dict[OutputKind, list[Tensor]] = {kind: [] for kind in kinds.values()}
            for logits in next(iter(group.values())).logits(passes):
                for kind, steps in curves.items():
                    steps.append(chosen_output(logits, batch.targets, kind))
            for name, kind in kinds.items():
                curve = torch.stack(curves[kind], dim=1)
                found[name] = curve.masked_fill(undefined, torch.nan)
        return {name: found[name] for name in metrics}


class PixelCurve(OutputCurve):
    """Base of curves over pixels that are removed, or inserted, from the highest attribution on.

    Step k of `steps` has changed the round(k·n / steps) highest of n pixels, all channels at once;
    step 0 none, the last all.

    Parameters
    ----------
    steps : number of steps, so that each changes 1 / steps of the pixels.
    baseline : what a pixel becomes when it is removed; see `stand_ins`.
    value : "probability" (softmax) or "logit" of the target.
    """

    unit = "output for the target at each step: probability 0 to 1, or logit"
    shares = "pixel_curves"
    inserts: ClassVar[bool] = False
    allowed: ClassVar[dict[str, Any]] = {
        "steps": "[1, inf)",
        "baseline": ("zero", "mean", "blur", "inverted"),
        "value": ("logit", "probability"),
    }

    def step_values(self) -> list[float]:
        """Share of the pixels that have changed, 0 to 100 %; rounding to pixels is left out."""
        steps = self.settings["steps"]
        return [100 * step / steps for step in range(steps + 1)]

    def passes_key(self) -> tuple[Any, ...]:
        return self.inserts, self.settings["baseline"], self.settings["steps"]

    def logits(self, passes: BatchPasses) -> Iterator[Tensor]:
        images, steps = passes.batch.images, self.settings["steps"]
        height, width = images.shape[2:]
        if steps > height * width:
            raise InputError(
                f"metric {self.name}: parameter 'steps' is {steps}, but the images have only "
                f"{height}x{width} pixels"
            )
        baseline = self.settings["baseline"]
        ends = [("unchanged", images), (baseline, stand_ins(images, baseline))]
        start, finish = ends[::-1] if self.inserts else ends
        yield passes.logits(*start)
        for step in range(1, steps):
            changed = passes.ranks() < round(step * height * width / steps)
            yield passes.batch.logits(replace_pixels(start[1], finish[1], changed))
        yield passes.logits(*finish)


class Insertion(PixelCurve):
    """Output as the pixels appear, in the map's order, on a blurred canvas.

    The number is the area under the curve by trapezoids, for an axis from 0 to 1 (the reducer
    "area"). The paper takes 224 steps for images of 224x224. The canvas is the blurred image, so
    that the inserted pixels bring in no edges of their own.
    """

    name = "insertion"
    reference = "Petsiuk et al., BMVC 2018, arXiv:1806.07421"
    reducer = "area"
    step_axis = "pixels inserted, %"
    parameters: ClassVar[dict[str, Any]] = {"steps": 20, "baseline": "blur", "value": "probability"}
    inserts: ClassVar[bool] = True


class Deletion(PixelCurve):
    """Output as the pixels vanish, in the map's order, into black.

    See `Insertion`. The paper replaces pixels by 0 in the network's normalised input, the data
    set's mean colour; here 0 is black. `baseline: mean` is the image's own mean colour.

    The area also falls for a network that is merely less confident, before a pixel is removed:
    compare networks only together with the random control on the same network.
    """

    name = "deletion"
    reference = "Petsiuk et al., BMVC 2018, arXiv:1806.07421"
    direction = "lower"
    reducer = "area"
    step_axis = "pixels removed, %"
    parameters: ClassVar[dict[str, Any]] = {"steps": 20, "baseline": "zero", "value": "probability"}


class PixelFlipping(PixelCurve):
    """The target's logit as pixels are flipped in the map's order.

    The table's number is the mean loss of the logit, from the unperturbed image on (`aopc`): a
    constant added to all logits, which changes no prediction, does not change it. The scale of the
    logits still does, and differs between networks: compare explainers within a network, or choose
    `value: probability`.

    The paper follows the output that it decomposes, which is no probability, and inverts the pixels
    of MNIST (`baseline: inverted`). The default replaces them by black: it then differs from
    `deletion` by the logit only, and the two share all passes. `quantus.PixelFlipping` takes the
    probability, begins with the first flipped pixels and flips one pixel a step; on colour images
    it ranks the values of single channels, where here a pixel goes with all its channels.
    """

    name = "pixel_flipping"
    reference = "Bach et al., PLoS ONE 10 (2015), doi:10.1371/journal.pone.0130140"
    unit = "logit (or probability) of the target at each step; the number is their mean loss"
    reducer = "aopc"
    step_axis = "pixels flipped, %"
    parameters: ClassVar[dict[str, Any]] = {"steps": 20, "baseline": "zero", "value": "logit"}


def random_subsets(images: Tensor, size: int, samples: int, name: str) -> Iterator[Tensor]:
    """Random subsets of each image's pixels, without replacement.

    Yields `samples` tensors int64 [N, size] of places in the flattened image, on the images'
    device. They belong to the image and `name`, whatever the batch.
    """
    draws = image_samples(images, name)
    for _ in range(samples):
        yield draws.orders(images.shape[2] * images.shape[3])[:, :size]


class FaithfulnessCorrelation(Metric):
    """Correlation of subsets' summed attribution with the loss of output when they are removed.

    Pearson's r over random subsets S of |S| pixels: Σ_{i in S} a_i with f(x) - f(x without S), f
    the target's logit. The subsets of an image are the same at every level and for every
    explainer. An empty or constant map scores 0, as a random one does in the mean. The value is NaN
    where no removal changes the output.

    Which maps: sums of attribution are compared with losses of output, so the metric is made for
    contributions (`input_x_gradient`, `integrated_gradients`, `lrp`, `deep_lift`, `gradient_shap`,
    `occlusion`, `lime`, `kernel_shap`), with the baseline that the explainer had; exact ones of a
    linear network score 1. Slopes (gradients, `guided_backprop`) leave out the change of the pixel,
    and no setting supplies it: multiply them by the input first. For the logit x₁ + 2 x₂ + 2 x₃ at
    x = (1, 1/2, 1/4), pixel by pixel, the contributions (1, 1, 1/2) score 1 and the exact gradient
    (1, 2, 2) scores -1/2. Unsigned maps (`saliency` and `smooth_grad` here, class activation maps)
    cannot say which pixels speak against the target, and reach 1 only where none does.

    Defaults are those of `quantus.FaithfulnessCorrelation`, made for images of 224x224: choose
    `subset_size` for the images at hand. On colour images quantus removes the values of single
    channels; here a pixel goes with all of them. "Black" is there the image's lowest value, here 0.

    Parameters
    ----------
    samples : number of subsets, each of which is a forward pass.
    subset_size : pixels of a subset; fewer than the image has.
    baseline : what removed pixels become; see `stand_ins`.
    value : "logit" or "probability" of the target.
    """

    name = "faithfulness_correlation"
    version = 2
    reference = "Bhatt et al., IJCAI 2020, arXiv:2005.00631"
    category = "faithfulness"
    direction = "higher"
    unit = "Pearson's r, -1 to 1"
    needs = ("model",)
    parameters: ClassVar[dict[str, Any]] = {
        "samples": 100,
        "subset_size": 224,
        "baseline": "zero",
        "value": "logit",
    }
    allowed: ClassVar[dict[str, Any]] = {
        "samples": "[1, inf)",
        "subset_size": "[1, inf)",
        "baseline": ("zero", "mean", "blur", "inverted"),
        "value": ("logit", "probability"),
    }

    def score(self, batch: MapBatch) -> Tensor:
        images, size, kind = batch.images, self.settings["subset_size"], self.settings["value"]
        height, width = images.shape[2:]
        if size >= height * width:
            raise InputError(
                f"metric {self.name}: parameter 'subset_size' is {size}, it must be below the "
                f"{height}x{width} pixels of the images"
            )
        others, flat = stand_ins(images, self.settings["baseline"]), per_image(batch.attributions)
        whole = batch.outputs(kind)
        sums, outputs = [], []
        for subset in random_subsets(images, size, self.settings["samples"], self.name):
            removed = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, subset, True)
            perturbed = replace_pixels(images, others, removed.view_as(batch.attributions))
            outputs.append(batch.outputs(kind, perturbed))
            sums.append(flat.gather(1, subset).sum(dim=1, dtype=torch.float64))
        losses = whole[:, None] - torch.stack(outputs, dim=1)
        value = row_correlation(torch.stack(sums, dim=1), losses)
        value = value.masked_fill(is_constant(flat, 1), 0)
        # Losses that are rounding are so at the scale of the outputs, not at their own.
        unmoved = is_constant(torch.stack([whole, *outputs], dim=1), 1)
        return value.masked_fill(unmoved, torch.nan).to(torch.float32)


def infidelity(
    predicted: Tensor, lost: Tensor, scaled: bool, non_negative_scale: bool = False
) -> Tensor:
    """Mean over perturbations of (β·predicted - lost)², equation 1 of Yeh et al., float64 [N].

    `predicted` and `lost`, [N, n], are IᵀΦ and f(x) - f(x - I) of each perturbation. If `scaled`, β
    is the scale that makes the mean least, Σ predicted·lost / Σ predicted², and with
    `non_negative_scale` at least 0; otherwise 1.
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

        def along(length: int, start: Tensor) -> Tensor:
            offsets = torch.arange(length, device=start.device) - start[:, None]
            return (offsets >= 0) & (offsets < side[:, None])

        rows = along(self._height, rest // columns)[:, :, None]
        return rows & along(self._width, rest % columns)[:, None, :]


class Infidelity(Metric):
    """Mean squared error of the attribution as a linear prediction of what perturbations cost.

    Over perturbations I of the image x it is the mean of (IᵀΦ - (f(x) - f(x - I)))², Φ the map and
    f the target's logit. A map has one value a pixel: its colour channels share it.

    Scale: with `scaled` (the default) each map is first multiplied by the factor β that suits it
    best, as the authors' code does; only so can maps be compared that are no gradients, such as
    class activation maps. quantus and captum (`normalize=False`) do not. The value is in squared
    units of the output, so networks with smaller logits have smaller infidelity: compare explainers
    within a network, or choose `value: probability`. An all-zero or constant map is defined.

    β may be below 0, so that a map and its negative score alike. With `non_negative_scale` β is 0
    or more, and a map that is best turned round scores as a map of zeros does, the mean of
    (f(x) - f(x - I))². Every map of a network whose output does not depend on the image scores 0,
    the best value: do not take the low values of a collapsed network for good explanations.

    Which maps: Φ is compared in the units of IᵀΦ, so a setting suits one kind of map only.

    * Slopes, output per change of a pixel (the signed gradient, `guided_backprop`): the default,
      and `perturbation: noise`. Exact where channels share a slope, as in grey images.
    * Contributions, output that a pixel accounts for (`input_x_gradient`, `integrated_gradients`,
      `lrp`, `deep_lift`, `gradient_shap`, `occlusion`; `lime` and `kernel_shap` as far as their
      superpixels are equally large): `multiplied_by_input: true`, with the explainer's baseline.
    * Unsigned maps (`saliency`, `smooth_grad`, class activation maps): neither. The value is
      defined and says how far such a map is from being signed.

    Under the wrong setting a perfect map is not perfect. Logit x₁ + 2 x₂ at x = (1, 1/2), squares
    of one pixel: contributions (1, 1) score 0 with `multiplied_by_input: true` and 0.1 without, the
    gradient (1, 2) scores 0 without and 0.1 with, where a map of zeros scores 1.

    Cost: one forward pass a sample. quantus removes the blocks of a grid one after another without
    putting any back; its value is another one. captum gives ours for our perturbations.

    Parameters
    ----------
    perturbation : "squares", of sides 1 to `largest_side`, drawn from all that lie within the image
        (the paper's square removal, by sampling); "every_square", each of them once, as in the
        paper: thousands of passes; "noise", the paper's noisy baseline, I = x - clip(ε, 0, 1) with
        ε normal. What is drawn belongs to the image.
    samples : number of perturbations, for those that are drawn.
    largest_side : of a square, in pixels; 10 in the paper.
    noise : standard deviation of ε; 0.2 in the paper.
    baseline : what the pixels of a square become; see `stand_ins`.
    multiplied_by_input : whether the map holds contributions, so that IᵀΦ is its sum over the
        square, instead of slopes, so that IᵀΦ is the sum of slope times change. Squares only.
    scaled, non_negative_scale : see above; the second needs the first.
    value : "logit" or "probability" of the target.
    """

    name = "infidelity"
    reference = "Yeh et al., NeurIPS 2019, arXiv:1901.09392"
    category = "faithfulness"
    direction = "lower"
    unit = "squared output for the target, 0 or more"
    needs = ("model",)
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
    allowed: ClassVar[dict[str, Any]] = {
        "perturbation": ("squares", "every_square", "noise"),
        "baseline": ("zero", "mean", "blur", "inverted"),
        "value": ("logit", "probability"),
        "samples": "[1, inf)",
        "largest_side": "[1, inf)",
        "noise": "(0, inf)",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
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

    def score(self, batch: MapBatch) -> Tensor:
        kind = self.settings["value"]
        whole = batch.outputs(kind)
        predicted, lost = [], []
        for perturbed, weights in self.perturbations(batch.images):
            lost.append(whole - batch.outputs(kind, perturbed))
            predicted.append((batch.attributions * weights).sum(dim=(1, 2), dtype=torch.float64))
        scales = self.settings["scaled"], self.settings["non_negative_scale"]
        return infidelity(torch.stack(predicted, dim=1), torch.stack(lost, dim=1), *scales).float()

    def perturbations(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The perturbations of images float32 [N, C, H, W] in [0, 1], one of each at a time.

        Yields the perturbed images x - I, float32 [N, C, H, W], and what their maps are weighted
        with to give IᵀΦ, float32 [N, H, W]: I summed over channels, or 1 where a pixel is removed.
        """
        if self.settings["perturbation"] == "noise":
            draws = image_samples(images, f"{self.name} noise")
            for _ in range(self.settings["samples"]):
                perturbed = (draws.normal() * self.settings["noise"]).clamp(0, 1)
                yield perturbed, (images - perturbed).sum(dim=1)
            return
        others = stand_ins(images, self.settings["baseline"])
        for square in self._squares(images):
            perturbed = replace_pixels(images, others, square)
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
        drawn = [
            torch.randint(squares.count, (self.settings["samples"],), generator=generator)
            for generator in image_generators(images, f"{self.name} squares")
        ]
        for numbers in torch.stack(drawn, dim=1).to(images.device):
            yield squares.masks(numbers)


def segment_ranks(attributions: Tensor, segments: Tensor, ties: Tensor) -> tuple[Tensor, Tensor]:
    """Place of each pixel's segment in the descending order of the segments' mean attribution.

    int64 [N, H, W] from 0, for attributions float32 and segments int64 [N, H, W] numbered from 0 in
    each image; segments of equal mean go in the order in which `ties` (`tie_order`) meets the first
    pixel of each. And int64 [N], the numbers of segments.
    """
    labels, values = segments.flatten(1), attributions.flatten(1).double()
    counts = labels.amax(dim=1) + 1
    size, pixels = int(counts.max()), labels.shape[1]
    areas = values.new_zeros(len(labels), size).scatter_add_(1, labels, torch.ones_like(values))
    sums = torch.zeros_like(areas).scatter_add_(1, labels, values)
    # One pixel a segment tells its place among equals, so that a large one does not come early.
    numbers = torch.arange(pixels, device=labels.device).expand_as(labels)
    places = torch.empty_like(ties).scatter_(1, ties, numbers)
    first = torch.full((len(labels), size), pixels, device=labels.device)
    first = first.scatter_reduce(1, labels, numbers, "amin")
    found = places.gather(1, first.clamp_max(pixels - 1))
    # Numbers that an image does not use come last.
    order = torch.where(first < pixels, found, pixels).argsort(dim=1, stable=True)
    ranks = descending_ranks(torch.where(areas > 0, sums / areas, -torch.inf), order)
    return ranks.gather(1, labels).view_as(segments), counts


class Irof(Metric):
    """Area over the curve of the output as segments are removed, relative to the whole image.

    Segments (`superpixels`: SLIC for each image; a grid for grey and for small ones) are
    removed in the order of their mean attribution and replaced by the image's mean colour. With f₀
    the target's probability for the image and f_k that without the first k of its L segments, the
    value is 1 - (1/L) Σ (f_{k-1} + f_k) / (2 f₀): the area over the curve f_k / f₀, k = 0 ... L,
    by trapezoids, on an axis from 0 to 1.

    `quantus.IROF` begins with the first removed segment and does not divide by L, so that images
    of many segments count more; it replaces by the mean over the batch of what is left of the
    images, and fails on colour images. With equal segments and replacement it is L times ours plus
    (1 + f₁/f₀) / 2.

    NaN where an image has less than two segments, and where f₀ is below
    `floor`: relative to an output that is not there the value has no bounds (-758 for f₀ = 6e-6),
    and one such image decides a mean over many. With the floor no value is below 1 - 1 / `floor`.
    Networks differ in the images that are left out, mostly ones that they get wrong. Logits are no
    choice: they have no zero to be relative to.

    Segments of equal mean, such as those where a class activation map is zero, go in a random order
    that belongs to the image (`tie_order`): an empty or constant map scores by chance.

    Parameters
    ----------
    segments : how many are asked for; 100 in quantus.
    baseline : what removed pixels become; see `stand_ins`.
    floor : least probability of the target for the unchanged image.
    """

    name = "irof"
    label = "IROF"
    version = 2
    reference = "Rieger and Hansen 2020, arXiv:2003.08747"
    category = "faithfulness"
    direction = "higher"
    unit = "area over the relative probability, at most 1"
    needs = ("model",)
    parameters: ClassVar[dict[str, Any]] = {"segments": 100, "baseline": "mean", "floor": 0.01}
    allowed: ClassVar[dict[str, Any]] = {
        "segments": "[1, inf)",
        "baseline": ("zero", "mean", "blur", "inverted"),
        "floor": "(0, 1)",
    }

    def score(self, batch: MapBatch) -> Tensor:
        images, attributions = batch.images, batch.attributions
        segments = superpixels(images, self.settings["segments"])
        # Means over segments of a constant would differ by rounding.
        flat = attributions.masked_fill(is_constant(attributions, (1, 2), keepdim=True), 0)
        ranks, counts = segment_ranks(flat, segments, tie_order(images))
        others = stand_ins(images, self.settings["baseline"])
        whole = batch.outputs("probability").double()
        before, area = torch.ones_like(whole), torch.zeros_like(whole)
        for step in range(1, int(counts.max()) + 1):
            # Images that have no segments left need no pass.
            rows = (counts >= step).nonzero()[:, 0]
            changed = replace_pixels(images[rows], others[rows], ranks[rows] < step)
            after = chosen_output(batch.logits(changed), batch.targets[rows], "probability")
            ratio = after.double() / whole[rows]
            area[rows] += (before[rows] + ratio) / 2
            before[rows] = ratio
        undefined = holds_nan(attributions) | (counts < 2)
        undefined |= ~(whole >= self.settings["floor"])
        return (1 - area / counts).masked_fill(undefined, torch.nan).to(torch.float32)


class Sufficiency(Metric):
    """Share of images holding the same highlighted pixels for which the prediction is the same.

    The paper's local sufficiency of an explanation e(x) is the probability, over images x', that
    f(x') = f(x) given that e(x) applies to x'. It *applies* here, as an anchor does, to the images
    that hold the highlighted pixels, the `share` of the image with the highest attribution, as they
    stand in x. The *images* x' come from x itself: outside the highlighted pixels they are drawn at
    random, from the image's own pixels or uniformly, the same at every level and for every
    explainer.

    `quantus.Sufficiency` takes x' from the scored batch, so that its values depend on which images
    happen to be scored together; it is refused here.

    f(x) is the predicted class, whichever class is explained. Of pixels that are alike, some are
    taken at random, the same for every map of the image (`tie_order`): an empty or constant map
    highlights random pixels. A random map does not score 0: compare with the random control.

    Parameters
    ----------
    share : of the pixels that are highlighted, above 0 and below 1.
    samples : number of images x', each of which is a forward pass.
    surroundings : "shuffled", the image's own pixels in random order (all channels together);
        "uniform", values uniform in [0, 1].
    """

    name = "sufficiency"
    version = 2
    reference = "Dasgupta et al., ICML 2022, arXiv:2202.00734"
    paper_treatment = (
        "does not say which pixels of a signed map are highlighted (quantus: the largest "
        "magnitudes); those that speak against the class do not suffice for it"
    )
    category = "faithfulness"
    direction = "higher"
    unit = "share of images, 0 to 1"
    needs = ("model",)
    parameters: ClassVar[dict[str, Any]] = {"share": 0.1, "samples": 50, "surroundings": "shuffled"}
    allowed: ClassVar[dict[str, Any]] = {
        "share": "(0, 1)",
        "samples": "[1, inf)",
        "surroundings": ("shuffled", "uniform"),
    }

    def score(self, batch: MapBatch) -> Tensor:
        images, attributions = batch.images, batch.attributions
        predicted = batch.logits().argmax(dim=1)
        count = max(round(self.settings["share"] * images.shape[2] * images.shape[3]), 1)
        outside = pixel_ranks(attributions, images) >= count
        same = torch.zeros(len(images), device=images.device)
        for others in self.neighbours(images):
            mixed = replace_pixels(images, others, outside)
            same += chosen_output(batch.logits(mixed), predicted, "accuracy")
        share: Tensor = same / self.settings["samples"]
        return share.masked_fill(holds_nan(attributions), torch.nan)

    def neighbours(self, images: Tensor) -> Iterator[Tensor]:
        """`samples` times what surrounds the highlighted pixels, float32 [N, C, H, W] in [0, 1].

        Each image's own pixels in another order, or uniform noise, drawn with a generator of the
        image's own.
        """
        how = self.settings["surroundings"]
        draws = image_samples(images, f"{self.name} {how}")
        flat = images.flatten(start_dim=2)
        for _ in range(self.settings["samples"]):
            if how == "uniform":
                yield draws.uniform()
            else:
                order = draws.orders(flat.shape[2]).unsqueeze(1)
                yield flat.gather(2, order.expand_as(flat)).view(images.shape)
