"""Greedy search for layer sparsities on calibration images, and what it compares copies with."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.data.packed import Batch, PackedSplit
from sparsight.explain.network import frozen, logit_gradient
from sparsight.io.errors import InputError
from sparsight.io.files import write_json
from sparsight.io.gpu import choose_device, set_determinism
from sparsight.io.job import log_progress
from sparsight.metrics.base import MapBatch
from sparsight.metrics.localisation import PixelRocAuc
from sparsight.models.networks import load_network
from sparsight.registration import checked_parameters
from sparsight.spade.copies import (
    DEFAULTS,
    check_columns,
    configured_solver,
    restore,
    sample_settings,
    set_weights,
    solved_weights,
    working_copy,
)
from sparsight.spade.layers import PrunedLayer, check_sparsity, pruned_layers
from sparsight.spade.sample import (
    MEGABYTE,
    PUBLISHED,
    bytes_of_image,
    bytes_of_weights,
    copy_batches,
    sample_hessians,
)
from sparsight.spade.solvers import SampleSolver

#: from a network, images [N, C, H, W] and targets [N] to maps [N, H, W]
Explanation = Callable[[nn.Module, Tensor, Tensor], Tensor]
Measures = Mapping[str, float]


class Criterion(ABC):
    """Measures copies, and says which sparsity it prefers. `name` stands in the configuration."""

    name: ClassVar[str]

    @abstractmethod
    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        """Measures of the copy that was pruned for the calibration image at `place`."""

    @abstractmethod
    def better(self, found: Measures, best: Measures) -> bool:
        """Whether a sparsity is preferred to the best of all that are lower.

        `found`, `best`: means of the measures over the calibration images.
        """


def saliency(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """|gradient| of the target logit, largest over channels, float32 [N, H, W]."""
    return logit_gradient(network, images, targets).abs().amax(1)


class GroundTruth(Criterion):
    """As published: the largest mean pixel ROC AUC of an explanation against the truth.

    It is the metric `pixel_roc_auc` of the tables, of absolute attributions. Of equal sparsities
    the lowest is taken. Sparsities found so must not be judged on the same
    images. Raises InputError when a mask is empty or the whole image.
    Reference: Soltani Moakhar et al. 2024, arXiv 2310.04519.

    Parameters
    ----------
    images, targets : float32 [B, C, H, W] in [0, 1] and int64 [B], the calibration images and the
        classes that are explained.
    masks : bool [B, H, W], where the evidence lies.
    explain : what is compared with the masks; of signed maps the magnitude counts.
    """

    name: ClassVar[str] = "ground_truth"

    def __init__(
        self, images: Tensor, targets: Tensor, masks: Tensor, explain: Explanation = saliency
    ) -> None:
        shares = masks.double().mean((1, 2))
        if bool(((shares == 0) | (shares == 1)).any()):
            raise InputError(
                "the criterion 'ground_truth' needs masks that are neither empty nor the whole "
                "image; leave out the others"
            )
        self._images, self._targets, self._masks = images, targets, masks
        self._explain, self._metric = explain, PixelRocAuc()

    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        """`pixel_roc_auc` in [0, 1]; see `Criterion.measure`."""
        one = slice(place, place + 1)
        images, targets = self._images[one], self._targets[one]
        height, width = images.shape[2:]
        raw = self._explain(copy, images, targets)
        maps = self._metric.prepare_maps(raw, (height, width), "none")
        scores = self._metric.score(MapBatch(maps, images, targets, self._masks[one]))
        return {"pixel_roc_auc": float(scores)}

    def better(self, found: Measures, best: Measures) -> bool:
        """See `Criterion.better`."""
        return found["pixel_roc_auc"] > best["pixel_roc_auc"]


class WithoutTruth(Criterion):
    """Ours: the largest sparsity at which copies still do what the network does.

    A copy is compared with the network on `count` augmentations of its image that it was not pruned
    for. `kept_prediction` is the share of them on which it predicts the network's class, and
    `kept_probability` its mean probability of that class as a share of the network's, at most 1.
    `keep_prediction` and `keep_probability` must be reached in the mean over images. For the other
    parameters see `sample_hessians`; the augmentations have a seed of their own.
    """

    name: ClassVar[str] = "without_truth"

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        image_ids: Tensor,
        seed_name: str,
        keep_prediction: float = 0.95,
        keep_probability: float = 0.9,
        count: int = 32,
        augment: Mapping[str, Any] = PUBLISHED,
        batch_size: int = 64,
    ) -> None:
        self._images, self._image_ids = images, image_ids
        self._seed_name = f"{seed_name}:held_out"
        self._least = {"kept_prediction": keep_prediction, "kept_probability": keep_probability}
        self._count, self._augment, self._batch_size = count, augment, batch_size
        with frozen(network):
            self._dense = [self._probabilities(network, place) for place in range(len(images))]

    def _probabilities(self, network: nn.Module, place: int) -> Tensor:
        """Softmax outputs on the held-out augmentations of an image, float64 [count, classes]."""
        images, ids = (each[place : place + 1] for each in (self._images, self._image_ids))
        batches = copy_batches(
            images, self._count, ids, self._seed_name, self._augment, self._batch_size
        )
        with torch.no_grad():
            parts = [network(copies.flatten(0, 1)).double() for _, _, copies in batches]
        return torch.cat(parts).softmax(1)

    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        """`kept_prediction` and `kept_probability` in [0, 1]; see `Criterion.measure`."""
        found, dense = self._probabilities(copy, place), self._dense[place]
        classes = dense.argmax(1)
        kept = found.gather(1, classes.unsqueeze(1)).mean() / dense.amax(1).mean()
        return {
            "kept_prediction": float((found.argmax(1) == classes).double().mean()),
            # no image makes up for another by being more certain than the network
            "kept_probability": float(kept.clamp(max=1)),
        }

    def better(self, found: Measures, best: Measures) -> bool:
        """Higher sparsities are preferred as long as both measures are reached."""
        return all(found[measure] >= least for measure, least in self._least.items())


#: of the stage `sparsity_search`: see `sparsight.study.versions`
VERSION = 1
#: images whose masks are looked at together
_CHUNK = 64
#: sparsities that are tried
GRID = (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99)


def search_sparsities(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    solver: SampleSolver,
    criterion: Criterion,
    settings: Mapping[str, Any],
    seed_name: str,
    grid: Sequence[float] = GRID,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Choose the sparsity of one layer after the other, from the classifier backwards.

    Layers after the one that is tried have the sparsities chosen for them, those before it are
    dense. Hessians are those of the dense network; they are made once for each image where those of
    all layers and images fit into `memory_mb`, else once for each layer, of as many images at a
    time as fit.

    Returns layer to sparsity, for all layers; and what was tried, a dict per layer, sparsity and
    measure with `layer`, `sparsity`, `measure`, `value` (mean over images) and `chosen`.
    Raises InputError for settings or a grid that cannot be used, without images, when the Hessians
    of a layer for one image do not fit into `memory_mb`, or when the solver fails on a layer.

    `grid`: sparsities from 0 to below 1; 0 is always among them. For the other parameters see
    `pruned_copies`; the images, also those of the criterion, are for calibration alone.
    """
    chosen = checked_parameters("sparsity search", DEFAULTS, settings)
    if not len(images) or len(images) != len(image_ids):
        raise InputError(
            f"a search needs as many image ids as images, at least one; there are {len(image_ids)} "
            f"and {len(images)}"
        )
    for sparsity in grid:
        check_sparsity("grid: a sparsity", sparsity)
    search = _Search(network, images, image_ids, solver, criterion, chosen, seed_name)
    return search.run(sorted({0.0, *map(float, grid)}))


@dataclass
class _Search:
    """A search in progress: `weights` are those chosen so far, layer to [images, ...]."""

    network: nn.Module
    images: Tensor
    image_ids: Tensor
    solver: SampleSolver
    criterion: Criterion
    settings: Mapping[str, Any]
    seed_name: str
    weights: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.copied = working_copy(self.network)

    def run(self, grid: Sequence[float]) -> tuple[dict[str, float], list[dict[str, Any]]]:
        layers = pruned_layers(self.copied, self.images)[::-1]
        check_columns(self.solver, layers)
        at_once = self._images_at_once(layers, len(grid))
        hessians = None if at_once else self._hessians(layers, slice(0, len(self.images)))
        trace: list[dict[str, Any]] = []
        found: dict[str, float] = {}
        for layer in log_progress(layers, "layers searched", len(layers)):
            together = at_once.get(layer.name, len(self.images))
            weights = self._candidates(layer, grid, hessians, together)
            found[layer.name] = self._choose(layer, dict(zip(grid, weights, strict=True)), trace)
        return dict(reversed(found.items())), trace

    def _candidates(
        self,
        layer: PrunedLayer,
        grid: Sequence[float],
        hessians: Mapping[str, Tensor] | None,
        at_once: int,
    ) -> list[Tensor]:
        """A layer's weights [images, ...] at each sparsity; makes `hessians` where None."""
        dense = self.network.get_parameter(f"{layer.name}.weight").detach()
        images = len(self.images)
        found = [dense.new_empty(images, *dense.shape) for _ in grid]
        for start in range(0, images, at_once):
            rows = slice(start, min(start + at_once, images))
            made = self._hessians([layer], rows) if hessians is None else hessians
            for sparsity, weights in zip(grid, found, strict=True):
                weights[rows] = solved_weights(
                    dense,
                    layer,
                    sparsity,
                    self.solver,
                    made.get(layer.name),
                    self.image_ids[rows].tolist(),
                    self.seed_name,
                )
        return found

    def _choose(
        self, layer: PrunedLayer, candidates: Mapping[float, Tensor], trace: list[dict[str, Any]]
    ) -> float:
        """Choose a layer's sparsity and keep its weights; the table of what was tried grows."""
        best, tried = 0.0, {}
        for sparsity, weights in candidates.items():
            tried[sparsity] = self._mean_measures({**self.weights, layer.name: weights})
            if len(tried) == 1 or self.criterion.better(tried[sparsity], tried[best]):
                best = sparsity
        self.weights[layer.name] = candidates[best]
        trace += [
            {"layer": layer.name, "sparsity": sparsity, "measure": measure, "value": value}
            | {"chosen": sparsity == best}
            for sparsity, measures in tried.items()
            for measure, value in measures.items()
        ]
        return best

    def _mean_measures(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """Means of the criterion's measures over all images."""
        found = []
        for place in range(len(self.images)):
            restore(self.copied, self.network)
            set_weights(self.copied, {name: own[place] for name, own in weights.items()})
            found.append(self.criterion.measure(self.copied, place))
        return {measure: sum(each[measure] for each in found) / len(found) for measure in found[0]}

    def _hessians(self, layers: Sequence[PrunedLayer], rows: slice) -> dict[str, Tensor]:
        if not self.solver.needs_hessian:
            return {}
        restore(self.copied, self.network)
        return sample_hessians(
            self.copied,
            self.images[rows],
            self.image_ids[rows],
            layers,
            self.settings["augmentations"],
            self.seed_name,
            self.settings["augment"],
            self.settings["batch_size"],
        )

    def _images_at_once(self, layers: Sequence[PrunedLayer], tried: int) -> dict[str, int]:
        """Layer to the images whose Hessians fit at once; empty where those of all layers do."""
        budget, needs = self.settings["memory_mb"] * MEGABYTE, self.solver.needs_hessian
        images = len(self.images)
        # held for all images: the weights chosen so far, and a layer's at each sparsity tried
        chosen = images * bytes_of_weights(layers)
        held = {each.name: chosen + images * tried * bytes_of_weights([each]) for each in layers}
        if max(held.values(), default=0) + images * bytes_of_image(layers, needs) <= budget:
            return {}
        found = {}
        for layer in layers:
            name, each = layer.name, bytes_of_image([layer], needs)
            if held[name] + each > budget:
                raise InputError(
                    f"'memory_mb' is {self.settings['memory_mb']}, but the search in '{name}' with "
                    f"{images} images takes {-(-(held[name] + each) // MEGABYTE)} MB; raise it, or "
                    "calibrate with fewer images"
                )
            found[name] = min(images, (budget - held[name]) // each)
        return found


def search_checkpoint(
    settings: Mapping[str, Any],
    *,
    calibration: Path | str,
    checkpoint: Path | str,
    output: Path | str,
    gpu: int,
) -> None:
    """Search the sparsities of a checkpoint's layers on calibration images.

    Raises InputError when the split is that of the test, has too few images (with masks, where they
    are asked for), or for unusable settings.

    Parameters
    ----------
    settings : `threads`, and `sample_pruner` as of `explain_samples`, with `sparsities: {search:
        ...}`: `criterion`, `images`, `grid`, and `keep_prediction` and `keep_probability` of the
        criterion without truth.
    calibration : packed split, not that of the test.
    checkpoint : the network.
    output : JSON file: `sparsities` (layer to share), `tried` (a row per layer, share and measure),
        `image_ids` of the calibration images, and their `split`.
    gpu : how many GPUs the job was granted.
    """
    set_determinism(settings["threads"])
    device = choose_device(gpu)
    network = load_network(checkpoint, device)
    chosen = settings["sample_pruner"]
    search = chosen["sparsities"]["search"]
    with_truth = search["criterion"] == GroundTruth.name
    with PackedSplit.open(calibration) as split:
        if split.split == "test":
            raise InputError(
                f"{calibration} holds the test images, which sparsities must not be chosen on; "
                "take another split"
            )
        batch = _calibration_images(split, int(search["images"]), with_truth).to(device)
        of_split = split.split
    images = batch.images("clean")
    criterion: Criterion
    if with_truth:
        assert batch.mask_values is not None  # such images were chosen
        criterion = GroundTruth(images, batch.labels, batch.mask_values > 0)
    else:
        criterion = WithoutTruth(
            network,
            images,
            batch.image_ids.cpu(),
            chosen["name"],
            search["keep_prediction"],
            search["keep_probability"],
            augment=chosen["augment"],
            batch_size=chosen["batch_size"],
        )
    sparsities, tried = search_sparsities(
        network,
        images,
        batch.image_ids.cpu(),
        configured_solver(chosen),
        criterion,
        sample_settings(chosen),
        chosen["name"],
        search["grid"],
    )
    ids = batch.image_ids.tolist()
    write_json(
        output, {"sparsities": sparsities, "tried": tried, "image_ids": ids, "split": of_split}
    )
    logging.info("sparsities: %s", ", ".join(f"{k} {v:g}" for k, v in sparsities.items()))


def _calibration_images(split: PackedSplit, wanted: int, with_mask: bool) -> Batch:
    """Images of the split's shared subset, those with a mask where the truth is asked for."""
    if not with_mask:
        return split.select(split.subset(wanted))
    if not split.has_masks:
        raise InputError(
            f"{split.path} has no masks, which the criterion ground_truth needs; take without_truth"
        )
    size = min(wanted, len(split))
    # Masks are large and most of what there is may have none: look at no more than it takes.
    while len(found := _with_masks(split, split.subset(size))) < wanted:
        if size == len(split):
            raise InputError(
                f"{split.path} has {len(found)} images with a mask to calibrate on, not {wanted}; "
                "ask for fewer"
            )
        size = min(2 * size, len(split))
    return split.select(found[:wanted])


def _with_masks(split: PackedSplit, positions: Tensor) -> list[int]:
    found: list[int] = []
    for chunk in positions.split(_CHUNK):
        masks = split.select(chunk).mask_values
        assert masks is not None  # asked before
        shares = (masks > 0).double().mean((1, 2))
        found += chunk[(shares > 0) & (shares < 1)].tolist()
    return found
