"""Explain, score, compare and prune in memory, for notebooks: the same code that the workflow runs.

Images are float32 [N, C, H, W] in [0, 1], as `sparsight` packs them; what a network needs beyond
that (the mean and spread of ImageNet) is part of the network.
"""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch, explain_batch
from sparsight.explain.network import frozen
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.metrics.base import BatchExplainer, MapBatch, Metric
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.base import prunable_parameters
from sparsight.pruning.masks import Step, dense_masks, next_masks
from sparsight.pruning.registry import CRITERIA
from sparsight.registration import Registry, UnknownName


def explain(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    method: str = "saliency",
    *,
    image_ids: Tensor | None = None,
    **parameters: Any,
) -> Tensor:
    """How much each position of each image counts for its target class.

    Parameters
    ----------
    network : gives logits [N, K]; it is used in evaluation mode, and left as it was.
    images : float32 [N, C, H, W] in [0, 1], on the network's device.
    targets : int64 [N], the classes to explain.
    method : an explainer of docs/explainers.md, or `captum.<Class>` or `grad_cam.<Class>`.
    image_ids : int64 [N], which seed methods that draw at random; 0, 1, 2, ... by default.
    parameters : of the method. Methods that look at a layer need `layer`, the name of a module,
        where the network is none of sparsight's.

    Returns
    -------
    float32 [N, h, w], raw: neither normalised nor resized, at the resolution of image or layer.
    An `InputError` is raised for an unknown method or parameter, or inputs that it cannot explain.
    """
    batch = ImageBatch(network, images, targets, _ids(images, image_ids), seed_name=method)
    with frozen(network):
        return explain_batch({method: _load(EXPLAINERS, method)(**parameters)}, batch)[method]


def score(
    maps: Tensor,
    images: Tensor,
    targets: Tensor,
    metric: str = "soft_iou",
    *,
    masks: Tensor | None = None,
    network: nn.Module | None = None,
    method: str = "",
    method_parameters: Mapping[str, Any] | None = None,
    image_ids: Tensor | None = None,
    **parameters: Any,
) -> Tensor:
    """Score each map with a metric, treated, resized and normalised as the metric wants it.

    Parameters
    ----------
    maps : float32 [N, h, w], as `explain` gives them.
    images, targets : what was explained.
    metric : a metric of docs/metrics.md, or `quantus.<Class>`.
    masks : float32 in [0, 1] or bool [N, H, W], where the objects are; metrics of localisation
        need them.
    network : the explained network; metrics of faithfulness, among others, need it.
    method, method_parameters : how the maps were made, for metrics that explain again (robustness,
        randomisation). Maps of unknown origin are enlarged bilinearly.
    image_ids : as of `explain`.
    parameters : of the metric.

    Returns
    -------
    float32 [N], or [N, steps] for a metric with steps; NaN where it is undefined.
    An `InputError` is raised for an unknown metric or parameter, and where the metric needs what is
    not given.
    """
    chosen = _load(METRICS, metric)(**parameters)
    explainer = _load(EXPLAINERS, method)(**(method_parameters or {})) if method else None
    prepare_maps = partial(
        chosen.prepare_maps,
        size=(images.shape[2], images.shape[3]),
        interpolation=explainer.interpolation if explainer else "bilinear",
    )
    again: BatchExplainer | None = None
    if explainer is not None:
        again = BatchExplainer(explainer, _ids(images, image_ids), method, prepare_maps)
    if masks is not None:
        rules = {"none": None, "binary": masks >= 0.5}
        masks = rules.get(chosen.mask_rule, masks.float())
    batch = MapBatch(prepare_maps(maps), images, targets, masks, network, again)
    with frozen(network) if network is not None else nullcontext():
        return _score(chosen, batch)


def compare(first: Tensor, second: Tensor, metric: str = "spearman", **parameters: Any) -> Tensor:
    """How far two networks' maps of the same images and classes agree.

    Parameters
    ----------
    first, second : float32 [N, h, w], as `explain` gives them.
    metric : an agreement metric of docs/metrics.md.
    parameters : of the metric.

    Returns
    -------
    float32 [N]; NaN where one of the maps is constant.
    An `InputError` is raised for an unknown metric or parameter, or maps that differ in shape.
    """
    if first.shape != second.shape:
        raise InputError(f"maps {tuple(first.shape)} and {tuple(second.shape)} differ in shape")
    chosen = _load(AGREEMENT, metric)(**parameters)
    size = (first.shape[1], first.shape[2])
    maps, others = (chosen.prepare_maps(maps, size, "none") for maps in (first, second))
    # no metric of agreement looks at images or classes
    nothing = torch.empty(len(first), 0), torch.zeros(len(first), dtype=torch.int64)
    return _score(chosen, MapBatch(maps, *nothing, reference=others))


def prune(
    network: nn.Module,
    rate: float,
    criterion: str = "magnitude",
    *,
    scope: str = "global",
    masks: Tensors | None = None,
    seed: int = 0,
) -> tuple[nn.Module, Tensors]:
    """Set the lowest weights to zero; biases and normalisation layers stay.

    Parameters
    ----------
    network : is left as it is.
    rate : share of the surviving weights that fall, in [0, 1].
    criterion : how weights are scored: "magnitude", "random", or one of your own.
    scope : "global" (all weights compete) or "layer" (the rate falls in every layer).
    masks : of an earlier round; what fell stays zero.
    seed : of criteria that draw at random.

    Returns
    -------
    A pruned copy, and bool masks by parameter for the next round or for training.
    An `InputError` is raised for an unknown criterion or scope, or a rate outside [0, 1].
    """
    if not 0 <= rate <= 1 or scope not in ("global", "layer"):
        raise InputError(f"rate {rate} must be in [0, 1] and scope '{scope}' global or layer")
    pruned = copy.deepcopy(network)
    weights = prunable_parameters(pruned)
    scores = _load(CRITERIA, criterion)().scores(weights, seed)
    found = next_masks(scores, masks or dense_masks(pruned), Step(rate=rate), scope)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(found[name].to(weight.device))
    return pruned, found


def _load(registry: Registry, name: str) -> Any:
    try:
        return registry.load(name)
    except UnknownName as error:
        raise InputError(str(error)) from error


def _ids(images: Tensor, image_ids: Tensor | None) -> Tensor:
    return torch.arange(len(images)) if image_ids is None else image_ids.cpu()


def _score(metric: Metric, batch: MapBatch) -> Tensor:
    return metric.score(batch).detach()
