"""LIME and KernelSHAP: linear models of the network's output for superpixels on and off.

Our own, because captum's Lime and KernelShap explain one image at a time, draw from the global
generator and, for KernelShap, meet efficiency only up to the weight of two samples. Given the same
perturbations they are compared in the tests.
"""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sparsight.explain.base import Explainer, ImageBatch, detached_float32, target_logits
from sparsight.explain.randomness import image_generators
from sparsight.rounding import is_constant

#: images with a smaller side are cut into a grid: their objects are a few pixels wide
_SMALLEST_SIDE = 48
# Weight of a pixel's place against its colour, and Gaussian smoothing in pixels. scikit-image's
# defaults (10 and none) leave a few segments only of images with noise on them.
_COMPACTNESS, _SMOOTHING = 20.0, 1.0


def superpixels(images: Tensor, count: int) -> Tensor:
    """Superpixels of each image, from that image alone and without randomness.

    RGB images are segmented by SLIC (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120, by
    scikit-image on the CPU), whose number of segments is near `count` and differs between images.
    Images of another number of channels, with a side below 48 pixels, or in which SLIC finds less
    than half or more than twice of `count`, are cut into a grid of at most `count` rectangles,
    whose sides differ by a pixel at most.

    Images are float32 [N,C,H,W] in [0, 1]; returns int64 [N,H,W] on their device: each pixel's
    segment, from 0 without gaps.
    """
    channels, height, width = images.shape[1:]
    rows = min(height, max(1, min(count, round(math.sqrt(count * height / width)))))
    columns = min(width, count // rows)
    row = torch.arange(height) * rows // height
    column = torch.arange(width) * columns // width
    grid = row[:, None] * columns + column
    if channels != 3 or min(height, width) < _SMALLEST_SIDE:
        return grid.to(images.device).expand(len(images), height, width)
    from skimage.segmentation import slic

    found = []
    for image in images.detach().permute(0, 2, 3, 1).cpu().numpy().astype(np.float64):
        labels = slic(
            image, n_segments=count, compactness=_COMPACTNESS, sigma=_SMOOTHING, start_label=0
        )
        numbers, labels = np.unique(labels, return_inverse=True)
        fits = count / 2 <= len(numbers) <= 2 * count
        found.append(torch.from_numpy(labels.reshape(height, width)) if fits else grid)
    return torch.stack(found).to(images.device)


class CoalitionExplainer(Explainer):
    """Explains an image by the network's output for coalitions, sets of superpixels that are on.

    A subclass says which coalitions of an image are asked for, and how the outputs become one value
    per superpixel, which stands on all of its pixels; 0 where the outputs do not differ beyond
    rounding. One coalition of every image in the batch is one pass.

    Parameters
    ----------
    segments : about how many superpixels an image has, see `superpixels`.
    n_samples : how many coalitions are asked for.
    output : "logit" or "probability" of the target.
    baseline, grey : what superpixels that are off show: "mean", their own mean colour, or "grey",
        the grey value `grey` in all channels.
    """

    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "none"
    allowed: ClassVar[dict[str, Any]] = {
        "segments": "[2, inf)",
        "n_samples": "[2, inf)",
        "output": ("logit", "probability"),
        "baseline": ("mean", "grey"),
    }

    @abstractmethod
    def coalitions(self, segments: int, generator: torch.Generator) -> Tensor:
        """Coalitions bool [S, segments] of an image with that many superpixels.

        The first row is the whole image.
        """

    @abstractmethod
    def values(self, coalitions: Tensor, outputs: Tensor) -> Tensor:
        """One value per superpixel, float64 [M], from bool [S,M] and float64 [S] on the CPU."""

    def explain(self, batch: ImageBatch) -> Tensor:
        images = batch.images.detach()
        segments = superpixels(images, self.settings["segments"])
        counts = (segments.amax(dim=(1, 2)) + 1).tolist()
        asked = [
            self.coalitions(count, generator)
            for count, generator in zip(counts, image_generators(batch), strict=True)
        ]
        outputs = self._outputs(batch, segments, asked)
        values = torch.zeros(len(images), max(counts), dtype=torch.float64)
        for row, coalitions in enumerate(asked):
            said = outputs[row, : len(coalitions)]
            # Rounding of a network that does not look at the image explains nothing.
            if not bool(is_constant(said, 0)):
                values[row, : counts[row]] = self.values(coalitions, said)
        maps = values.to(images).gather(1, segments.flatten(1))
        return detached_float32(maps.view_as(segments))

    def _outputs(self, batch: ImageBatch, segments: Tensor, asked: list[Tensor]) -> Tensor:
        """Outputs of the target float64 [N, most coalitions] on the CPU; the rest are padding."""
        images = batch.images.detach()
        hidden = self._hidden(images, segments)
        # An image with fewer coalitions is asked for itself as a whole instead.
        longest, widest = max(map(len, asked)), max(part.shape[1] for part in asked)
        shown = torch.ones(len(images), longest, widest, dtype=torch.bool)
        for row, part in enumerate(asked):
            shown[row, : part.shape[0], : part.shape[1]] = part
        shown = shown.to(images.device)
        places = segments.flatten(1)
        found = []
        with torch.no_grad():
            for step in range(longest):
                on = shown[:, step].gather(1, places).view_as(segments).unsqueeze(1)
                logits = batch.model(torch.where(on, images, hidden))
                score = target_logits(logits, batch.targets)
                if self.settings["output"] == "probability":
                    score = (score - logits.logsumexp(dim=1)).exp()
                found.append(score)
        return torch.stack(found, dim=1).cpu().double()

    def _hidden(self, images: Tensor, segments: Tensor) -> Tensor:
        """The images [N,C,H,W] with all superpixels off."""
        if self.settings["baseline"] == "grey":
            return torch.full_like(images, self.settings["grey"])
        # On the CPU in double precision: sums by index have no fixed order on other devices.
        pixels = images.flatten(2).cpu().double()
        places = segments.flatten(1).unsqueeze(1).cpu().expand_as(pixels)
        sums = pixels.new_zeros(*pixels.shape[:2], int(places.max()) + 1)
        sizes = sums.scatter_add(2, places, torch.ones_like(pixels))
        means = sums.scatter_add(2, places, pixels) / sizes.clamp_min(1)
        return means.gather(2, places).view_as(images).to(images)


def least_squares(rows: Tensor, goals: Tensor) -> Tensor:
    """The shortest x [M] that minimises |rows x - goals|, float64 [S,M] and [S] on the CPU."""
    # By singular values: rows may depend on each other.
    found: Tensor = torch.linalg.lstsq(rows, goals.unsqueeze(1), driver="gelsd").solution
    return found.squeeze(1)


class Lime(CoalitionExplainer):
    """Coefficients of a ridge regression on superpixels that are switched on and off at random.

    As in the authors' code for images, the first of `n_samples` coalitions is the whole image, the
    others have each superpixel with probability one half. A coalition of m of the M superpixels
    lies at the cosine distance D = 1 - sqrt(m / M) from the image and weighs
    sqrt(exp(-D² / `kernel_width`²)) (equation 2). The regression has an unpenalised constant and
    the penalty `ridge`; with 0 it is ordinary least squares.

    Superpixels that are off show their own mean colour, or the grey value `grey` where `baseline`
    is "grey". `segments` is about the number of superpixels; images of one channel or of sides
    below 48 pixels are cut into a grid. Not divided by a superpixel's area: a large one has the
    same value on more pixels.

    The authors' code for images takes the probability, which hardly moves where a network is sure,
    1,000 samples, and the superpixels of quickshift, which takes no number of them.
    """

    name: ClassVar[str] = "lime"
    label: ClassVar[str] = "LIME"
    reference: ClassVar[str] = "Ribeiro et al. 2016, arXiv:1602.04938"
    value_range: ClassVar[str] = "any; in units of the output per superpixel"
    cost: ClassVar[int] = 500
    cost_grows_with: ClassVar[str] = "n_samples"
    parameters: ClassVar[dict[str, Any]] = {
        "segments": 50,
        "n_samples": 500,
        "output": "logit",
        "baseline": "mean",
        "grey": 0.0,
        "kernel_width": 0.25,
        "ridge": 1.0,
    }
    allowed: ClassVar[dict[str, Any]] = {
        "segments": "[2, inf)",
        "n_samples": "[2, inf)",
        "output": ("logit", "probability"),
        "baseline": ("mean", "grey"),
        "ridge": "[0, inf)",
        # Below this, the weight of half an image leaves double precision.
        "kernel_width": "[0.01, inf)",
    }

    def coalitions(self, segments: int, generator: torch.Generator) -> Tensor:
        shape = (self.settings["n_samples"], segments)
        drawn = torch.randint(0, 2, shape, generator=generator).bool()
        drawn[0] = True
        return drawn

    def values(self, coalitions: Tensor, outputs: Tensor) -> Tensor:
        weights = self.weights(coalitions)
        return weighted_ridge(coalitions.double(), outputs, weights, self.settings["ridge"])

    def weights(self, coalitions: Tensor) -> Tensor:
        """Weights float64 [S] of coalitions bool [S,M], in [0, 1]."""
        distances = 1 - coalitions.double().mean(dim=1).sqrt()
        width: float = self.settings["kernel_width"]
        return (-((distances / width) ** 2) / 2).exp()


def weighted_ridge(inputs: Tensor, outputs: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Coefficients float64 [M] of a weighted ridge regression with an unpenalised constant.

    They minimise sum over s of weights_s (outputs_s - c - inputs_s x)² + penalty |x|²; with penalty
    0 and too few samples, the shortest x of those that do. Inputs, outputs and weights (not
    negative) are float64 [S,M], [S] and [S].
    """
    share = weights / weights.sum()
    roots = weights.sqrt()
    # Less the first, outputs that are equal are exactly 0, which their weighted mean need not be.
    outputs = outputs - outputs[:1]
    rows = (inputs - share @ inputs) * roots.unsqueeze(1)
    goals = (outputs - share @ outputs) * roots
    if penalty > 0:
        count = inputs.shape[1]
        rows = torch.cat([rows, math.sqrt(penalty) * torch.eye(count, dtype=rows.dtype)])
        goals = torch.cat([goals, goals.new_zeros(count)])
    return least_squares(rows, goals)


class KernelShap(CoalitionExplainer):
    """Shapley values of superpixels: each one's mean gain in output over all orders of adding them.

    They are the coefficients of a regression weighted by the Shapley kernel (theorem 2), under the
    constraint that they sum to the output for the image minus that with everything off. Where the M
    superpixels have no more than `n_samples` proper coalitions (2^M - 2), all are asked for and the
    values are exact. Otherwise `n_samples` are drawn from the kernel, each followed by its
    complement, which lowers the variance (arXiv:2012.01536).

    Superpixels, `baseline` and `grey` are as in `lime`. The cost is an upper bound: an image with
    few superpixels has fewer coalitions to ask for.
    """

    name: ClassVar[str] = "kernel_shap"
    label: ClassVar[str] = "KernelSHAP"
    reference: ClassVar[str] = "Lundberg and Lee 2017, arXiv:1705.07874"
    value_range: ClassVar[str] = (
        "any; the superpixels' values sum to the output minus that with all of them off"
    )
    cost: ClassVar[int] = 502
    parameters: ClassVar[dict[str, Any]] = {
        "segments": 50,
        "n_samples": 500,
        "output": "logit",
        "baseline": "mean",
        "grey": 0.0,
    }

    def coalitions(self, segments: int, generator: torch.Generator) -> Tensor:
        """The whole image, nothing of it, and then the proper coalitions."""
        if self._asks_all(segments):
            numbers = torch.arange(1, max(1, 2**segments - 1))
            proper = (numbers.unsqueeze(1) >> torch.arange(segments)) % 2 == 1
        else:
            proper = _draw_coalitions(segments, self.settings["n_samples"], generator)
        ends = torch.tensor([[True], [False]]).expand(2, segments)
        return torch.cat([ends, proper])

    def values(self, coalitions: Tensor, outputs: Tensor) -> Tensor:
        proper, count = coalitions[2:], coalitions.shape[1]
        weights = torch.ones(len(proper), dtype=torch.float64)
        if self._asks_all(count):
            # The Shapley kernel of proper coalitions, by size.
            kernel = [0.0] + [
                (count - 1) / (math.comb(count, size) * size * (count - size))
                for size in range(1, count)
            ]
            weights = torch.tensor(kernel, dtype=torch.float64)[proper.sum(dim=1)]
        return shapley_values(proper.double(), outputs[2:], weights, outputs[1], outputs[0])

    def _asks_all(self, segments: int) -> bool:
        return segments < 63 and 2**segments - 2 <= self.settings["n_samples"]

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """The most that the chosen number of samples can cost."""
        return int(self.settings["n_samples"]) + 2


def shapley_values(
    inputs: Tensor, outputs: Tensor, weights: Tensor, nothing: Tensor, whole: Tensor
) -> Tensor:
    """Weighted least squares under the constraint that the values sum to `whole` - `nothing`.

    float64 [M] of inputs (zeros and ones), outputs and weights, float64 [S,M], [S] and [S], and the
    outputs float64 [] with all off and all on. Where the samples do not decide the values, they are
    as near to equal as they can be.
    """
    count = inputs.shape[1]
    equal = (whole - nothing) / count
    if not len(inputs):
        return equal.expand(count)
    sizes = inputs.sum(dim=1)
    roots = weights.sqrt()
    # What differs from an equal split sums to 0, so that taking a constant from a row is allowed;
    # the shortest solution then sums to 0 by itself.
    rows = (inputs - (sizes / count).unsqueeze(1)) * roots.unsqueeze(1)
    goals = (outputs - nothing - sizes * equal) * roots
    return equal + least_squares(rows, goals)


def _draw_coalitions(segments: int, count: int, generator: torch.Generator) -> Tensor:
    """Coalitions drawn in proportion to the Shapley kernel, each followed by its complement."""
    pairs = -(-count // 2)
    sizes = torch.arange(1, segments, dtype=torch.float64)
    chosen = torch.multinomial(
        1 / (sizes * (segments - sizes)), pairs, replacement=True, generator=generator
    )
    # The places of independent numbers are a random order: its first so many are on.
    order = torch.rand(pairs, segments, generator=generator).argsort(dim=1).argsort(dim=1)
    drawn = order <= chosen.unsqueeze(1)
    return torch.stack([drawn, ~drawn], dim=1).flatten(0, 1)[:count]
