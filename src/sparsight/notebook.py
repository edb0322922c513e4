"""Explain, score, compare and prune in memory, for notebooks: the same code that the workflow runs.

Images are float32 [N, C, H, W] in [0, 1]. What a network does to them first is part of the network:
one that wants normalised images is wrapped, `nn.Sequential(sparsight.Normalise(), network)`.

A method's or metric's name gives a tensor; a list of names, or maps by name, give maps by name and
a tidy table. Tensors may be anywhere: the work is done where the network is.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, explain_batch
from sparsight.explain.network import frozen
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.metrics.base import BatchExplainer, MapBatch, Metric
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.base import prunable_parameters
from sparsight.pruning.masks import Step, dense_masks
from sparsight.pruning.observation import Calibration
from sparsight.pruning.registry import CRITERIA
from sparsight.pruning.selection import Rule
from sparsight.registration import Registry, UnknownName

if TYPE_CHECKING:
    import pandas as pd

#: maps float32 [N, h, w], or several of them by the name of their method
Maps = Tensor | Mapping[str, Tensor]
#: how far images may leave [0, 1], by resizing for example
_TOLERANCE = 1e-3


def explain(
    network: nn.Module,
    images: Tensor,
    methods: str | Sequence[str] = "saliency",
    targets: Tensor | None = None,
    *,
    image_ids: Tensor | None = None,
    batch_size: int = 64,
    **parameters: Any,
) -> Tensor | dict[str, Tensor]:
    """How much each position of each image counts for its class.

    Parameters
    ----------
    network : gives logits [N, K]; it is used in evaluation mode, and left as it was.
    images : float32 [N, C, H, W] in [0, 1].
    methods : an explainer of docs/explainers.md, or `captum.<Class>` or `grad_cam.<Class>`; or a
        list of them, which share passes where they can.
    targets : int64 [N], the classes to explain; by default those that the network predicts.
    image_ids : int64 [N], which seed methods that draw at random; 0, 1, 2, ... by default.
    batch_size : images that are explained at a time; no map depends on it.
    parameters : of the method; of several, each gets those that it knows. Methods that look at a
        layer take `layer`, the name of a module. By default that is the architecture's own, or the
        last module with maps of the size of the last convolution's.

    Returns
    -------
    float32 [N, h, w] where the images are, or these by method. They are raw: neither normalised nor
    resized, at the resolution of image or layer. An `InputError` is raised for an unknown method or
    parameter, or inputs that it cannot explain.
    """
    names = _listed(methods)
    _check_images(images)
    device, ids = _device(network, images), _ids(images, image_ids)
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    with frozen(network):
        explainers = _explainers(names, parameters, network, images[:1].to(device))
        for rows in _batches(len(images), batch_size):
            some = images[rows].to(device)
            wanted = _classes(network, some) if targets is None else targets[rows].to(device)
            batch = ImageBatch(network, some, wanted, ids[rows], seed_name=names[0])
            for name, maps in explain_batch(explainers, batch).items():
                parts[name].append(maps.to(images.device))
    found = {name: torch.cat(maps) for name, maps in parts.items()}
    return found[methods] if isinstance(methods, str) else found


def score(
    maps: Maps,
    images: Tensor,
    metrics: str | Sequence[str] = "soft_iou",
    targets: Tensor | None = None,
    *,
    masks: Tensor | None = None,
    network: nn.Module | None = None,
    method: str = "",
    method_parameters: Mapping[str, Any] | None = None,
    image_ids: Tensor | None = None,
    batch_size: int = 64,
    **parameters: Any,
) -> "Tensor | pd.DataFrame":
    """Score each map with metrics, treated, resized and normalised as each metric wants it.

    Parameters
    ----------
    maps : float32 [N, h, w], or these by method, as `explain` gives them.
    images : float32 [N, C, H, W] in [0, 1], that were explained.
    metrics : a metric of docs/metrics.md, or `quantus.<Class>`, or a list of them.
    targets : int64 [N], the classes that were explained; by default those that the network
        predicts.
    masks : float32 in [0, 1] or bool [N, H, W], where the objects are; metrics of localisation
        need them.
    network : the explained network; metrics of faithfulness, among others, need it.
    method : how a tensor of maps was made, for metrics that explain again (robustness,
        randomisation); of maps by name, the name says it. Maps of unknown origin are enlarged
        bilinearly.
    method_parameters : those that `explain` was given.
    image_ids, batch_size : as of `explain`.
    parameters : of the metric; of several, each gets those that it knows.

    Returns
    -------
    Of one tensor and one metric: float32 [N], or [N, steps] for a metric with steps; NaN where it
    is undefined. Otherwise a table with the columns `explainer`, `metric`, `image_id` and `value`;
    its `attrs["metrics"]` has units and directions, and steps are summed up as in a study's tables.
    An `InputError` is raised for an unknown metric or parameter, and where a metric needs what is
    not given.
    """
    _check_images(images)
    by_name = dict(maps) if isinstance(maps, Mapping) else {method or "maps": maps}
    for name, own in by_name.items():
        if own.ndim != 3 or len(own) != len(images):
            raise InputError(f"maps '{name}' {tuple(own.shape)} are not [{len(images)}, h, w]")
    chosen: dict[str, Metric] = _build(METRICS, _listed(metrics), parameters)
    device, ids = _device(network, images), _ids(images, image_ids)
    explainers: dict[str, Explainer] = {}
    found: dict[tuple[str, str], list[Tensor]] = {(m, k): [] for m in by_name for k in chosen}
    with frozen(network) if network is not None else nullcontext():
        known = [name for name in by_name if name in EXPLAINERS]
        if network is not None and known and any("explainer" in m.needs for m in chosen.values()):
            given = dict(method_parameters or {})
            explainers = _explainers(known, given, network, images[:1].to(device))
        for rows in _batches(len(images), batch_size):
            some = images[rows].to(device)
            wanted = torch.zeros(len(some), dtype=torch.int64, device=device)
            if targets is not None:
                wanted = targets[rows].to(device)
            elif network is not None:
                wanted = _classes(network, some)
            for name, key in found:
                prepared = partial(
                    chosen[key].prepare_maps,
                    size=(images.shape[2], images.shape[3]),
                    interpolation=_interpolation(name),
                )
                again = None
                if name in explainers:
                    again = BatchExplainer(explainers[name], ids[rows], name, prepared)
                batch = MapBatch(
                    prepared(by_name[name][rows].to(device)),
                    some,
                    wanted,
                    None if masks is None else _masks(masks[rows].to(device), chosen[key]),
                    network,
                    again,
                )
                found[name, key].append(_scored(chosen[key], batch).to(images.device))
    values = {place: torch.cat(parts) for place, parts in found.items()}
    if isinstance(maps, Tensor) and isinstance(metrics, str):
        return next(iter(values.values()))
    return _table(values, chosen, ids)


def compare(
    first: Maps,
    second: Maps,
    metrics: str | Sequence[str] = "spearman",
    *,
    image_ids: Tensor | None = None,
    **parameters: Any,
) -> "Tensor | pd.DataFrame":
    """How far two networks' maps of the same images and classes agree.

    Parameters
    ----------
    first, second : float32 [N, h, w], or these by the same names, as `explain` gives them.
    metrics : an agreement metric of docs/metrics.md, or a list of them.
    image_ids : int64 [N], for the table; 0, 1, 2, ... by default.
    parameters : of the metric; of several, each gets those that it knows.

    Returns
    -------
    Of tensors and one metric: float32 [N]; NaN where one of the maps is constant. Otherwise a table
    as that of `score`. An `InputError` is raised for an unknown metric or parameter, or maps that
    differ in names or shape.
    """
    sides = [
        dict(side) if isinstance(side, Mapping) else {"maps": side} for side in (first, second)
    ]
    if sides[0].keys() != sides[1].keys():
        raise InputError(
            f"maps of {', '.join(sides[0])} cannot be compared with {', '.join(sides[1])}"
        )
    chosen: dict[str, Metric] = _build(AGREEMENT, _listed(metrics), parameters)
    values = {}
    for name, maps in sides[0].items():
        others = sides[1][name].to(maps.device)
        if maps.shape != others.shape:
            raise InputError(
                f"maps '{name}' {tuple(maps.shape)} and {tuple(others.shape)} differ in shape"
            )
        for key, metric in chosen.items():
            size = (maps.shape[1], maps.shape[2])
            pair = [metric.prepare_maps(one, size, "none") for one in (maps, others)]
            # no metric of agreement looks at images or classes
            nothing = torch.empty(len(maps), 0), torch.zeros(len(maps), dtype=torch.int64)
            values[name, key] = _scored(metric, MapBatch(pair[0], *nothing, reference=pair[1]))
    if isinstance(first, Tensor) and isinstance(metrics, str):
        return next(iter(values.values()))
    return _table(values, chosen, _ids(next(iter(sides[0].values())), image_ids))


def prune(
    network: nn.Module,
    rate: float,
    criterion: str = "magnitude",
    *,
    scope: str = "global",
    masks: Tensors | None = None,
    seed: int = 0,
    images: Tensor | None = None,
    labels: Tensor | None = None,
) -> tuple[nn.Module, Tensors]:
    """Set the lowest weights to zero; biases and normalisation layers stay.

    Parameters
    ----------
    network : is left as it is.
    rate : share of the surviving weights that fall, in [0, 1].
    criterion : how weights are scored: "magnitude", "wanda", "synflow", ... (docs/pruning.md).
    scope : which weights compete: "global" (all), "layer", "output", "erk" or "uniform_plus".
    masks : of an earlier round; what fell stays zero.
    seed : of criteria that draw at random.
    images, labels : what criteria look at that need data, float32 [N, C, H, W] in [0, 1] and int64
        [N]. `synflow` takes the shape of its image from them.

    Returns
    -------
    A pruned copy, and bool masks by parameter for the next round or for training.
    An `InputError` is raised for an unknown criterion or scope, a rate outside [0, 1], or images
    that are missing.
    """
    if not 0 <= rate <= 1:
        raise InputError(f"rate {rate} must be in [0, 1]")
    pruned = copy.deepcopy(network)
    if not prunable_parameters(pruned):
        raise InputError("the network has no convolutions or linear layers whose weights can fall")
    chosen = _load(CRITERIA, criterion)()
    if images is None and (chosen.needs_data or chosen.needs_network):
        raise InputError(f"criterion '{criterion}' needs images (and labels); give it some")
    subset = None if images is None or labels is None else Calibration(images, labels)
    found, weights = Rule(chosen, scope).select(
        pruned,
        masks or dense_masks(pruned),
        Step(rate=rate),
        seed,
        subset,
        () if images is None else images.shape[1:],
    )
    with torch.no_grad():
        for name, weight in weights.items():
            pruned.get_parameter(name).copy_(weight)
    return pruned, found


# --------------------------------------------------------------------- names and their parameters


def _listed(names: str | Sequence[str]) -> list[str]:
    listed = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    if not listed:
        raise InputError("an empty list of names was given; name at least one")
    return listed


def _load(registry: Registry, name: str) -> Any:
    try:
        return registry.load(name)
    except UnknownName as error:
        raise InputError(str(error)) from error


def _knows(registry: Registry, name: str, parameter: str) -> bool:
    """Whether an item has a parameter; of another library's, only those that it must be given."""
    try:
        facts = registry.facts(name)
    except UnknownName as error:
        raise InputError(str(error)) from error
    if not registry.is_foreign(name):
        return parameter in facts["parameters"]
    needed = facts.get("foreign_classes", {}).get(name.partition(".")[2], ())
    return any(parameter in str(one).split() for one in needed)


def _build(registry: Registry, names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Items by name, each with those of the parameters that it knows; a single one gets all."""
    if len(names) == 1:
        return {names[0]: _load(registry, names[0])(**given)}
    for parameter in given:
        if not any(_knows(registry, name, parameter) for name in names):
            raise InputError(f"none of {', '.join(names)} has a parameter '{parameter}'")
    return {
        name: _load(registry, name)(**{k: v for k, v in given.items() if _knows(registry, name, k)})
        for name in names
    }


def _explainers(
    names: Sequence[str], given: Mapping[str, Any], network: nn.Module, image: Tensor
) -> dict[str, Explainer]:
    """Explainers, with the layer that they look at; `image` is one, where the network is."""
    chosen = dict(given)
    if any(_knows(EXPLAINERS, name, "layer") for name in names) and not {"layer", "layers"} & {
        *given
    }:
        chosen["layer"] = getattr(network, "explain_layer", "") or _last_maps(network, image)
    return _build(EXPLAINERS, names, chosen)


def _last_maps(network: nn.Module, image: Tensor) -> str:
    """The last module that gives maps of the size of the last convolution's.

    An `InputError` where there are none, or where what follows works on tokens.
    """
    ended: list[tuple[str, nn.Module, tuple[int, ...]]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            ended.append((name, module, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name, module in network.named_modules():
            if name:
                hooks.enter_context(module.register_forward_hook(note(name)))
        network(image)
    sizes = [
        s[2:] for _, m, s in ended if isinstance(m, nn.Conv2d) and len(s) == 4 and max(s[2:]) > 1
    ]
    runs = Counter(name for name, _, _ in ended)
    fitting = [
        place
        for place, (name, _, shape) in enumerate(ended)
        if sizes and len(shape) == 4 and shape[2:] == sizes[-1] and runs[name] == 1
    ]
    behind = ended[fitting[-1] :] if fitting else []
    # a linear layer over positions: the maps are the first word of such a network, not the last
    if not fitting or any(isinstance(m, nn.Linear) and len(s) > 2 for _, m, s in behind):
        raise InputError(
            "the network does not end in feature maps of a convolution; give the parameter "
            "'layer', the name of a module that gives maps [N, C, h, w]"
        )
    return ended[fitting[-1]][0]


# ----------------------------------------------------------------------------- batches and tables


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise InputError(
            f"images {images.dtype} {tuple(images.shape)} are not float32 [N, C, H, W], with N at "
            "least 1"
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise InputError(
            f"images from {low:.4g} to {high:.4g} are not in [0, 1]; give them as they are before "
            "normalisation, and nn.Sequential(sparsight.Normalise(mean, std), network) as network"
        )


def _device(network: nn.Module | None, images: Tensor) -> torch.device:
    first = None if network is None else next(network.parameters(), None)
    return images.device if first is None else first.device


def _ids(images: Tensor, image_ids: Tensor | None) -> Tensor:
    return torch.arange(len(images)) if image_ids is None else image_ids.cpu()


def _batches(count: int, size: int) -> Iterator[slice]:
    yield from (slice(start, start + size) for start in range(0, count, size))


@torch.no_grad()
def _classes(network: nn.Module, images: Tensor) -> Tensor:
    classes: Tensor = network(images).argmax(dim=1)
    return classes


def _interpolation(name: str) -> str:
    facts = EXPLAINERS.facts(name) if name in EXPLAINERS else {}
    return str(facts.get("interpolation", "bilinear"))


def _masks(masks: Tensor, metric: Metric) -> Tensor | None:
    return {"none": None, "binary": masks >= 0.5}.get(metric.mask_rule, masks.float())


def _scored(metric: Metric, batch: MapBatch) -> Tensor:
    return metric.score(batch).detach()


def _table(
    values: Mapping[tuple[str, str], Tensor], metrics: Mapping[str, Metric], ids: Tensor
) -> "pd.DataFrame":
    """Scores [N] or [N, steps] by names of maps and metric, as a tidy table."""
    import pandas as pd

    columns = ["explainer", "metric", "image_id", "value"]
    rows = [
        (name, key, image, value)
        for (name, key), scores in values.items()
        for image, value in zip(
            ids.tolist(), _summed_up(scores, metrics[key].reducer).tolist(), strict=True
        )
    ]
    frame = pd.DataFrame(rows, columns=columns)
    frame.attrs["metrics"] = {
        key: {"unit": metric.unit, "direction": metric.direction} for key, metric in metrics.items()
    }
    return frame


def _summed_up(scores: Tensor, reducer: str) -> Tensor:
    """Scores [N], those of steps [N, steps] summed up as in a study's tables."""
    if scores.ndim == 1:
        return scores
    import duckdb
    import pandas as pd

    from sparsight.analysis.scores import REDUCERS

    count, steps = scores.shape
    curves = pd.DataFrame(
        {
            "row": torch.arange(count).repeat_interleave(steps).numpy(),
            "step": torch.arange(steps).repeat(count).numpy(),
            "value": scores.double().cpu().flatten().numpy(),
        }
    )
    with duckdb.connect() as database:
        database.register("curves", curves)
        how = f"SELECT row, {REDUCERS[reducer]} AS value FROM curves GROUP BY row ORDER BY row"
        return torch.tensor(database.execute(how).df()["value"].to_numpy())
