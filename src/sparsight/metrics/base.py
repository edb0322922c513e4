"""What every metric has: its facts, its checked parameters and one batched call."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, target_logits
from sparsight.explain.randomness import ImageSamples, seed_of
from sparsight.io.errors import InputError
from sparsight.metrics.preparation import prepare
from sparsight.registration import checked_parameters
from sparsight.rounding import is_constant

T = TypeVar("T")
OutputKind = Literal["logit", "probability", "accuracy"]


@dataclass(frozen=True)
class BatchExplainer:
    """Explains images anew with the explainer whose maps are scored, bound to the ids of a batch.

    Attributes
    ----------
    explainer : the explainer.
    image_ids : int64 [N] of the scored batch.
    name : the explainer's configured name, with which its randomness is seeded.
    prepare : raw maps [n, h, w] to maps [n, H, W], resized, treated and normalised like those
        that are scored.
    """

    explainer: Explainer
    image_ids: Tensor
    name: str
    prepare: Callable[[Tensor], Tensor]

    def __call__(
        self, model: nn.Module, images: Tensor, targets: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """Maps float32 [n, H, W] of `images` float32 [n, C, H, W] for `targets` int64 [n].

        `rows` int64 [n] says from which images of the scored batch the given ones are made, so
        that a random explainer draws for an image what it drew before. By default they are the
        whole batch in order, once or several times over. At most N images are explained at a time.
        """
        count = len(self.image_ids)
        if rows is None:
            if len(images) % count:
                raise InputError(
                    f"{len(images)} images cannot be matched to a batch of {count} without rows"
                )
            rows = torch.arange(len(images)) % count
        ids = self.image_ids.cpu()[rows.cpu()]
        parts = zip(images.split(count), targets.split(count), ids.split(count), strict=True)
        return torch.cat(
            [
                self.prepare(self.explainer.explain(ImageBatch(model, *part, self.name)))
                for part in parts
            ]
        )


@dataclass(frozen=True)
class MapBatch:
    """Maps to score, and all that a metric may ask of their images.

    Attributes
    ----------
    attributions : float32 [N, H, W] at image size, treated and normalised as the metric's facts
        say; a map that held NaN or infinity is NaN throughout.
    images : float32 [N, C, H, W] in [0, 1], as they were explained.
    targets : int64 [N], the class that was explained.
    masks : float32 or bool [N, H, W] as the metric's `mask_rule` says; None where that is "none".
    model : frozen network that gives logits [N, K], where the metric needs it.
    explain : the explainer of the maps (`BatchExplainer`), where the metric needs it.
    reference : maps like `attributions`, of the network to compare with, where the metric needs it.
    """

    attributions: Tensor
    images: Tensor
    targets: Tensor
    masks: Tensor | None = None
    model: nn.Module | None = None
    explain: Callable[..., Tensor] | None = None
    reference: Tensor | None = None

    def __len__(self) -> int:
        return len(self.attributions)

    @property
    def object_masks(self) -> Tensor:
        """`masks`; InputError where there are none."""
        return _present(self.masks, "masks", "leave it out for a data set that has none")

    @property
    def network(self) -> nn.Module:
        """`model`; InputError where there is none."""
        return _present(self.model, "a network", "give it one")

    @property
    def reference_maps(self) -> Tensor:
        """`reference`; InputError where there is none."""
        return _present(self.reference, "maps to compare with", "name it under `agreement`")

    def explain_again(
        self,
        *,
        model: nn.Module | None = None,
        images: Tensor | None = None,
        targets: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Maps of another network, of other images or for other classes; see `BatchExplainer`."""
        explain = _present(self.explain, "an explainer", "give it one")
        return explain(
            self.network if model is None else model,
            self.images if images is None else images,
            self.targets if targets is None else targets,
            rows,
        )

    @torch.no_grad()
    def logits(self, images: Tensor | None = None) -> Tensor:
        """What the network gives for `images` [n, C, H, W], by default the batch's: [n, K]."""
        logits: Tensor = self.network(self.images if images is None else images)
        return logits

    def outputs(self, kind: OutputKind, images: Tensor | None = None) -> Tensor:
        """Output float32 [N] for each image's target, of the batch's images or other ones."""
        return chosen_output(self.logits(images), self.targets, kind)


def _present(value: T | None, what: str, remedy: str) -> T:
    if value is None:
        raise InputError(f"the metric needs {what}, and there is none; {remedy}")
    return value


class Metric(ABC):
    """Base of all metrics; a subclass states its facts as class attributes.

    These must be literals: the workflow reads them from the source without importing it
    (`Registry.facts`). An adapter to another library sets them on the instance instead.

    Attributes
    ----------
    name : name in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, with DOI or arXiv id where there is one.
    category : "localisation", "complexity", "faithfulness", "robustness", "randomisation", ...;
        "descriptive" for what says nothing of quality.
    direction : "higher" or "lower", whichever is better; "" where neither is.
    unit : what the value counts and its range.
    needs : of "mask", "model", "explainer", "reference", those without which `score` cannot work;
        with "reference" it compares the maps of two networks for the same images and classes.
    resolution : "image", or "native" for maps as they are stored.
    treatment : "signed", "absolute" or "positive" (negative values set to 0); a parameter
        `treatment` overrides it.
    paper_treatment : what the reference does with signed maps where that is something else, and
        why it is not done here; "" where it does the same, or has no signed maps.
    normalisation : "none" or "min_max" (per image to [0, 1]).
    mask_rule : "soft" (float32 in [0, 1]), "binary" (bool, soft mask >= 0.5) or "none".
    reducer : how the steps of a curve become one number in tables, a name in
        `sparsight.analysis.scores.REDUCERS`; "" for metrics that give one number.
    step_axis : what the steps of a curve are steps of, for the axis of a figure, such as
        "pixels removed, %"; "" for metrics that give one number. See `step_values`.
    shares : metrics of the same non-empty `shares`, treatment and normalisation are given to
        `score_together` in one call.
    parameters : name of each parameter to its default; "required" where there is none.
    allowed : parameter to its values, see `sparsight.registration.parameter_problems`.
    """

    name: str
    reference: str
    category: str
    direction: str
    unit: str
    needs: tuple[str, ...] = ()
    resolution: str = "image"
    treatment: str = "signed"
    paper_treatment: str = ""
    normalisation: str = "none"
    mask_rule: str = "none"
    reducer: str = ""
    step_axis: str = ""
    shares: str = ""
    parameters: ClassVar[dict[str, Any]] = {}
    allowed: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(
            f"metric {self.name}", self.parameters, parameters, self.allowed
        )
        self.treatment = self.settings.get("treatment", self.treatment)

    def prepare_maps(self, maps: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
        """Raw maps float32 [N, h, w] as this metric wants them; see `prepare`."""
        wanted = size if self.resolution == "image" else (maps.shape[1], maps.shape[2])
        return prepare(maps, wanted, interpolation, self.treatment, self.normalisation)

    @abstractmethod
    def score(self, batch: MapBatch) -> Tensor:
        """Score a batch: float32 [N], or [N, steps] for a curve; NaN where it is undefined.

        A map that is empty or constant up to rounding is no reason to leave its image out: it
        scores what the definition gives for equal values, or else by chance. Metrics that compare
        two maps have nothing to compare there, and are undefined.

        No row may depend on the other rows. Swapping maps and `reference` must not change the value
        of a metric that compares the two: the interval of the seed floor relies on it.
        """

    def step_values(self) -> list[float]:
        """Where the steps of a curve stand on the axis that `step_axis` names, in their order.

        A curve may end before its axis does. An empty list says that the steps are only counted: 0,
        1, 2, ...; so do metrics that give one number.
        """
        return []

    @classmethod
    def score_together(cls, metrics: Mapping[str, "Metric"], batch: MapBatch) -> dict[str, Tensor]:
        """Score a batch with several metrics (configured name to metric).

        The results are those of separate calls of `score`. Override this, and set `shares`, where
        the metrics can share passes.
        """
        return {name: metric.score(batch) for name, metric in metrics.items()}


def shows_nothing(maps: Tensor) -> Tensor:
    """Whether each map [N, h, w] is constant up to rounding or holds NaN, bool [N].

    Such a map ranks no pixel above another.
    """
    return is_constant(maps, (1, 2)) | maps.amax(dim=(1, 2)).isnan()


def holds_nan(maps: Tensor) -> Tensor:
    """Whether each map [N, h, w] holds NaN, bool [N]."""
    return maps.amax(dim=(1, 2)).isnan()


def equal_where_zero(magnitudes: Tensor) -> Tensor:
    """Rows [N, n] as they are, but ones where a row is 0 throughout.

    Measures of how values are shared out do not depend on their scale, so an empty map is a
    constant one.
    """
    return magnitudes.masked_fill((magnitudes == 0).all(dim=1, keepdim=True), 1)


def per_image(values: Tensor) -> Tensor:
    """Flatten [N, H, W] to [N, H*W]."""
    return torch.flatten(values, start_dim=1)


def ascending(values: Tensor) -> Tensor:
    """Each row of `values` [N, n] in ascending order, NaN last.

    On the CPU numpy sorts: values alone, with vector instructions, which torch's sort, made for
    values with their indices, does not use (some twenty times slower on 28x28 maps).
    """
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.detach().numpy(), axis=1))


def zeros_and_ones(flags: Tensor) -> Tensor:
    """float32 of bool, to count by sums: exact up to 2^24, and much faster than sums of bool.

    By way of bytes: torch converts these with vector instructions, and bool without.
    """
    return flags.view(torch.uint8).float()


def row_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's r of each row of `first` with that of `second`, both [N, n].

    float64 [N] in [-1, 1]; NaN where a row is constant up to rounding or holds NaN.
    """
    a, b = first.double(), second.double()
    # By the range: rounding of the mean keeps the spread of equal values from being exactly 0.
    varies = ~(is_constant(a, 1) | is_constant(b, 1))
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    scale = (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
    return torch.where(varies, (a * b).sum(dim=1) / scale, torch.nan).clamp(-1, 1)


def image_generators(images: Tensor, name: str) -> Iterator[torch.Generator]:
    """A generator on the CPU for each image, seeded by its pixels and the metric's (or use's) name.

    Randomness belongs to an image and a metric, never to a position in a batch. Metrics are given
    no ids, so the pixels, float32 [N, C, H, W] in [0, 1] as they were explained, name the image.
    Every level and explainer sees the same image and therefore the same perturbations.
    """
    # The pixels come from bytes: rounding makes the seed independent of the device's arithmetic.
    pixels = (images.detach() * 255).round().to(torch.uint8).cpu().numpy()
    for image in pixels:
        yield torch.Generator().manual_seed(seed_of(name.encode() + b"\0" + image.tobytes()))


def image_samples(images: Tensor, name: str) -> ImageSamples:
    """Draws that belong to each image, see `image_generators`."""
    return ImageSamples(images, image_generators(images, name))


def chosen_output(logits: Tensor, targets: Tensor, kind: OutputKind) -> Tensor:
    """The output for each image's target, float32 [N], of logits [N, K].

    `kind` is "logit"; "probability" (softmax); or "accuracy", 1 where the target is predicted.
    """
    if kind == "accuracy":
        return (logits.argmax(dim=1) == targets).float()
    return target_logits(logits.softmax(dim=1) if kind == "probability" else logits, targets)
