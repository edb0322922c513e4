"""What an explainer is: one call from images to maps, and facts that tables read."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError, InvariantError, hint
from sparsight.io.job import log_progress
from sparsight.registration import Registry, UnknownName, checked_parameters

_FACTS = (
    *("reference", "signed", "reduction", "value_range", "cost"),
    *("native", "interpolation", "needs_network", "control"),
)
#: (C, H, W) of the images that the fact `cost` is stated for where it depends on them
STATED_SHAPE = (1, 28, 28)


@dataclass(frozen=True)
class ImageBatch:
    """Images to explain, and all that an explainer may ask of them.

    Attributes
    ----------
    model : network in evaluation mode with frozen parameters (`network.frozen`); gives logits
        [N,K]. Explainers with `needs_network` False look neither at it nor at `targets`.
    images : float32 [N,C,H,W] in [0, 1], on the model's device.
    targets : int64 [N], the classes to explain, on the same device.
    image_ids : int64 [N], on the CPU. With `seed_name` they seed what is random, so that a map does
        not depend on its batch (`randomness.image_generator`).
    seed_name : the explainer's configured name.
    """

    model: nn.Module
    images: Tensor
    targets: Tensor
    image_ids: Tensor
    seed_name: str = ""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def inputs(self) -> Tensor:
        """A copy of the images that asks for gradients."""
        return self.images.detach().clone().requires_grad_()

    def rows(self, rows: slice) -> "ImageBatch":
        """The same for some of the images."""
        parts = self.images[rows], self.targets[rows], self.image_ids[rows]
        return ImageBatch(self.model, *parts, self.seed_name)


class Explainer(ABC):
    """Gives every image a map of how much each position counts for the target class.

    The facts are literals: the workflow reads them from the source (`Registry.facts`).

    Attributes
    ----------
    name : name in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, as DOI or arXiv id.
    signed : whether values below zero mean evidence against the target.
    reduction : how channels become one map ("max", "sum", "none", ...).
    value_range : range of the raw values, in words.
    cost : forward passes per image; a backward pass counts as two.
    cost_grows_with : parameter that `cost`, stated for its default, is proportional to.
    cost_depends_on_image : whether `cost` holds for images of 28x28 only; `cost_on` then tells that
        of others.
    native : "pixel", or "layer" for a map at the resolution of a layer.
    interpolation : "bilinear" or "none": how a map is brought to image size when it is scored.
    needs_network : False for controls that look at the image at most, made once per data set.
    control : whether it is no explanation but a baseline to compare them with, which knows nothing
        of the class that is explained and that nobody offers as an explanation.
    complete : whether a map sums, by the method's axiom, to the logit minus that of a black image.
        What is missing of it is measured and kept with the maps (`run.completeness_gaps`).
    parameters : name to default; `"required"` where there is none.
    allowed : parameter to its values, see `sparsight.registration.parameter_problems`.
    excluded_models : registered models on which the method fails or means nothing.
    needs_attention : whether the network must have self-attention (fact `attention` of an
        architecture).
    shares : explainers of the same non-empty `shares` are given to `explain_together` in one call.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    signed: ClassVar[bool]
    reduction: ClassVar[str]
    value_range: ClassVar[str]
    cost: ClassVar[int]
    cost_grows_with: ClassVar[str] = ""
    cost_depends_on_image: ClassVar[bool] = False
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"
    needs_network: ClassVar[bool] = True
    control: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    parameters: ClassVar[dict[str, Any]] = {}
    allowed: ClassVar[dict[str, Any]] = {}
    excluded_models: ClassVar[tuple[str, ...]] = ()
    needs_attention: ClassVar[bool] = False
    shares: ClassVar[str] = ""

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(
            f"explainer {self.name}", self.parameters, parameters, self.allowed
        )

    @abstractmethod
    def explain(self, batch: ImageBatch) -> Tensor:
        """Maps float32 [N,h,w], detached, of raw values: neither normalised nor resized."""

    @classmethod
    def explain_together(
        cls, explainers: Mapping[str, "Explainer"], batch: ImageBatch
    ) -> dict[str, Tensor]:
        """Explain a batch with several explainers (configured name to explainer).

        Override this, and set `shares`, where they can share passes; the results are those of
        separate calls of `explain`.
        """
        return {
            name: explainer.explain(replace(batch, seed_name=name))
            for name, explainer in explainers.items()
        }

    def facts(self) -> dict[str, Any]:
        """The class facts as they hold for this instance: parameters may change some."""
        return {
            **{fact: getattr(self, fact) for fact in _FACTS},
            "cost": self.cost_on(STATED_SHAPE),
            "reduction": self.settings.get("reduction", self.reduction),
        }

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """Forward passes per image of `shape` (C, H, W), with this instance's parameters."""
        key = self.cost_grows_with
        return self.cost * self.settings[key] // self.parameters[key] if key else self.cost


def to_image_size(maps: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Bring maps to image size, as the explainer's fact `interpolation` says.

    "bilinear" takes pixel centres as the grid (`align_corners=False`, no antialiasing), which is
    `cv2.resize` with INTER_LINEAR, and so what pytorch-grad-cam does. InputError for another
    `interpolation`, or for "none" where the sizes differ.

    Parameters
    ----------
    maps : float32 [N,h,w]; given back as they are where they have the size already.
    size : (H, W) of the images.
    interpolation : "bilinear" or "none".
    """
    if interpolation not in ("bilinear", "none"):
        raise InputError(f"interpolation '{interpolation}' is neither 'bilinear' nor 'none'")
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    if interpolation == "none":
        raise InputError(
            f"maps of {tuple(maps.shape[1:])} do not have the image size {tuple(size)}, and their "
            "explainer says that they are not to be interpolated"
        )
    resized: Tensor = functional.interpolate(
        maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False
    )
    return resized.squeeze(1)


def target_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """The logit of each image's target: logits [N,K], targets int64 [N] -> [N].

    InputError when a target is not one of the K classes.
    """
    classes = logits.shape[-1]
    if logits.ndim != 2 or bool(((targets < 0) | (targets >= classes)).any()):
        raise InputError(
            f"targets from {int(targets.min())} to {int(targets.max())} cannot be explained with a "
            f"network output of shape {tuple(logits.shape)}; it must give one logit per class"
        )
    return logits.gather(1, targets.unsqueeze(1)).squeeze(1)


def channel_reduction(maps: Tensor, how: str) -> Tensor:
    """Reduce channels, [N,C,h,w] -> [N,h,w]; `how` is "max", "sum" or "mean"."""
    if how not in ("max", "sum", "mean"):
        raise InputError(f"channel reduction '{how}' is not one of max, sum, mean")
    reduced: Tensor = getattr(maps, "amax" if how == "max" else how)(dim=1)
    return reduced


def detached_float32(maps: Tensor) -> Tensor:
    """`maps` without its graph, as contiguous float32."""
    return maps.detach().to(torch.float32).contiguous()


def check_foreign_class(
    library: str, name: str, refused: Mapping[str, str], known: Iterable[str]
) -> None:
    """InputError for a class of another library that cannot be used (why), or that is unknown."""
    if name in refused:
        raise InputError(f"{library}.{name} cannot be used: {refused[name]}")
    if name not in known:
        raise InputError(f"{library} has no class '{name}' that can be used{hint(name, known)}")


def build_items(
    registry: Registry, key: str, entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Explainers or metrics of `registry` from their configuration.

    `entries` is configured name to `{method: ..., parameters: {...}}`. InputError, with the key
    `key` of the configuration, for an unknown method or an unknown, missing or unusable parameter.
    """
    built = {}
    for name, entry in entries.items():
        try:
            built[name] = registry.load(entry["method"])(**(entry.get("parameters") or {}))
        except UnknownName as error:
            raise InputError(f"{key}.{name}.method: {error}") from error
        except InputError as error:
            raise InputError(f"{key}.{name}: {error}") from error
    return built


def build_explainers(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Explainer]:
    """See `build_items`."""
    return build_items(EXPLAINERS, "explainers", entries)


def explain_batch(explainers: Mapping[str, Explainer], batch: ImageBatch) -> dict[str, Tensor]:
    """Maps float32 [N,h,w] of a batch by configured name; explainers share passes where they can.

    The batch's `seed_name` does not matter. InvariantError when an explainer gives anything else.
    """
    groups: dict[str, dict[str, Explainer]] = {}
    for name, explainer in explainers.items():
        # A configured name holds no slash, so an explainer that shares nothing is alone.
        groups.setdefault(explainer.shares or f"/{name}", {})[name] = explainer
    found: dict[str, Tensor] = {}
    for group in log_progress(groups.values(), "explainers of a batch", len(groups)):
        first = next(iter(group.values()))
        found.update(first.explain_together(group, batch))
    for name, maps in found.items():
        if maps.ndim != 3 or len(maps) != len(batch) or maps.dtype != torch.float32:
            raise InvariantError(
                f"explainer '{name}' gave {maps.dtype} {tuple(maps.shape)} for {len(batch)} "
                "images, not float32 [N,h,w]"
            )
    return {name: found[name] for name in explainers}
