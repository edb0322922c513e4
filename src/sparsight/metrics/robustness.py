"""Robustness: how much an explanation changes when its image hardly does."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.metrics.base import MapBatch, Metric, image_samples, per_image


def perturbed_images(images: Tensor, samples: int, radius: float, noise: str) -> Iterator[Tensor]:
    """`samples` times the images [N, C, H, W] with noise on every value, the image's own.

    "uniform" noise is in [-radius, radius) (the ball of the maximum norm); "normal" noise has the
    radius as its standard deviation. Not cut to [0, 1], as in the papers: black and white areas
    would else move only half as much.
    """
    draws = image_samples(images, "perturbed images")
    for _ in range(samples):
        yield images + radius * (draws.normal() if noise == "normal" else draws.uniform() * 2 - 1)


def norms(values: Tensor) -> Tensor:
    """Euclidean norm of each of `values` [N, ...], float64 [N]: squares of small ones are not 0."""
    found: Tensor = torch.linalg.vector_norm(per_image(values), dim=1, dtype=torch.float64)
    return found


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """‖after - before‖ / ‖before‖ of each map [N, H, W], float64 [N].

    NaN where `before` is all 0 or one of the maps holds NaN.
    """
    size = norms(before)
    return norms(after - before) / size.where(size > 0, torch.nan)


class PerturbationMetric(Metric):
    """Base of the metrics that compare a map with those of perturbed copies of its image.

    Metrics with the same perturbations share the maps: they are explained once.

    Parameters
    ----------
    samples : perturbed copies of each image, each of which is explained.
    radius, noise : see `perturbed_images`; copies are not cut to [0, 1].
    """

    category = "robustness"
    direction = "lower"
    needs = ("model", "explainer")
    shares = "perturbed_explanations"
    parameters: ClassVar[dict[str, Any]] = {"samples": 50, "radius": 0.2, "noise": "uniform"}
    allowed: ClassVar[dict[str, Any]] = {
        "samples": "[1, inf)",
        "radius": "(0, inf)",
        "noise": ("uniform", "normal"),
    }

    @abstractmethod
    def change(self, before: Tensor, after: Tensor, images: Tensor, perturbed: Tensor) -> Tensor:
        """How much each map has changed, float64 [N].

        Parameters
        ----------
        before, after : maps float32 [N, H, W] of `images` and of `perturbed`.
        images, perturbed : float32 [N, C, H, W].
        """

    def summary(self, changes: Tensor) -> Tensor:
        """One number [N] of the changes [samples, N]: the largest."""
        return changes.amax(dim=0)

    def score(self, batch: MapBatch) -> Tensor:
        return self.score_together({"": self}, batch)[""]

    @classmethod
    def score_together(cls, metrics: Mapping[str, Metric], batch: MapBatch) -> dict[str, Tensor]:
        groups: dict[tuple[Any, ...], dict[str, PerturbationMetric]] = {}
        for name, metric in metrics.items():
            assert isinstance(metric, PerturbationMetric)
            key = tuple(metric.settings[one] for one in ("samples", "radius", "noise"))
            groups.setdefault(key, {})[name] = metric
        found = {}
        for (samples, radius, noise), group in groups.items():
            changes: dict[str, list[Tensor]] = {name: [] for name in group}
            for perturbed in perturbed_images(batch.images, samples, radius, noise):
                maps = batch.explain_again(images=perturbed)
                for name, metric in group.items():
                    changes[name].append(
                        metric.change(batch.attributions, maps, batch.images, perturbed)
                    )
            for name, metric in group.items():
                found[name] = metric.summary(torch.stack(changes[name])).to(torch.float32)
        return {name: found[name] for name in metrics}


class MaxSensitivity(PerturbationMetric):
    """Largest relative change of the map among randomly perturbed copies of the image.

    max ‖Φ(x + δ) - Φ(x)‖ / ‖Φ(x)‖ over `samples` draws of δ: the paper's SENS_MAX by sampling,
    divided by the size of the map as in the authors' code, captum and quantus, so that explainers
    and networks of different scale compare. Defaults are those of the authors' code. It is NaN for
    an all-zero map (captum divides by 1 and quantus by 0) and where a map of a copy holds NaN.

    The class that is explained stays the same, and an explainer that draws, draws the same numbers
    for every copy: what counts is the image alone.
    """

    name = "max_sensitivity"
    label = "maximum sensitivity"
    reference = "Yeh et al., NeurIPS 2019, arXiv:1901.09392"
    unit = "change relative to the map's norm, 0 or more"

    def change(self, before: Tensor, after: Tensor, images: Tensor, perturbed: Tensor) -> Tensor:
        return relative_change(before, after)


class AverageSensitivity(MaxSensitivity):
    """Mean relative change of the map among randomly perturbed copies of the image.

    As `MaxSensitivity`, with the mean in place of the maximum: it does not grow with the number of
    samples. quantus.AvgSensitivity leaves out copies whose map holds NaN; here the value is NaN.
    """

    name = "average_sensitivity"
    reference = (
        "Yeh et al., NeurIPS 2019, arXiv:1901.09392; the mean after Bhatt et al., IJCAI 2020, "
        "arXiv:2005.00631"
    )

    def summary(self, changes: Tensor) -> Tensor:
        """The mean [N] of the changes [samples, N]."""
        return changes.mean(dim=0)


class LocalLipschitz(PerturbationMetric):
    """Largest change of the map for the distance that the image has moved.

    max ‖Φ(x + δ) - Φ(x)‖₂ / ‖δ‖₂ over `samples` draws of δ: the paper's L̂, by sampling
    (the authors search with Bayesian optimisation). Its value scales with the attributions and with
    the number of pixels, so compare within a data set, and by default each map is first divided by
    its own greatest magnitude (`scaling: maximum`; or `none`): a network whose logits are twice as
    large is not less robust. quantus.LocalLipschitzEstimate divides by the greatest magnitude in
    the batch and adds normal noise (`noise: normal, radius: 0.1`). NaN for an all-zero map, and
    where a copy's map holds NaN or an image has not moved.
    """

    name = "local_lipschitz"
    label = "local Lipschitz constant"
    reference = "Alvarez-Melis and Jaakkola 2018, arXiv:1806.08049"
    unit = "change of the map for the change of the image, 0 or more"
    parameters: ClassVar[dict[str, Any]] = {
        "samples": 50,
        "radius": 0.2,
        "noise": "uniform",
        "scaling": "maximum",
    }
    allowed: ClassVar[dict[str, Any]] = {
        "samples": "[1, inf)",
        "radius": "(0, inf)",
        "noise": ("uniform", "normal"),
        "scaling": ("maximum", "none"),
    }

    def change(self, before: Tensor, after: Tensor, images: Tensor, perturbed: Tensor) -> Tensor:
        if self.settings["scaling"] == "maximum":
            before, after = _scale_to_one(before), _scale_to_one(after)
        moved = norms(perturbed - images)
        defined = (moved > 0) & (norms(before) > 0)
        return norms(after - before) / moved.where(defined, torch.nan)


def _scale_to_one(maps: Tensor) -> Tensor:
    """Maps [N, H, W] divided by their own greatest magnitude; an all-zero map stays as it is."""
    highest = maps.abs().amax(dim=(1, 2), keepdim=True)
    return maps / torch.where(highest == 0, torch.ones_like(highest), highest)
