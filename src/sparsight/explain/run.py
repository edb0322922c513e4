"""One explain job: a family of explainers over the evaluation subset, streamed into one file."""

import itertools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsight.data.packed import Batch, PackedSplit, batches
from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    build_explainers,
    explain_batch,
    target_logits,
)
from sparsight.explain.network import frozen
from sparsight.io.arrays import ArrayWriter
from sparsight.io.device import set_determinism
from sparsight.io.errors import InputError
from sparsight.io.job import followed
from sparsight.io.tables import read_table

logger = logging.getLogger(__name__)

_GAPS = "completeness_gaps/"
#: of the stage `explaining`: see `sparsight.study.versions`
VERSION = 1

TARGET_RULES = ("true", "predicted", "dense_predicted")
#: explainers, images and their condition -> maps by name
ExplainBatch = Callable[[Mapping[str, Explainer], ImageBatch, str], dict[str, Tensor]]


class PredictedClasses:
    """Predicted classes by image id, from a checkpoint's `predictions.parquet`.

    Parameters
    ----------
    path : the table, with columns image_id, condition, predicted.
    condition : `clean` or `noisy`.
    """

    def __init__(self, path: Path, condition: str) -> None:
        self._path, self._condition = path, condition
        table = read_table(path, ["image_id", "condition", "predicted"])
        rows = table["condition"].to_numpy() == condition
        ids = table["image_id"].to_numpy()[rows]
        order = np.argsort(ids, kind="stable")
        self._ids = torch.from_numpy(ids[order].astype(np.int64))
        self._classes = torch.from_numpy(
            table["predicted"].to_numpy()[rows][order].astype(np.int64)
        )

    def of(self, image_ids: Tensor) -> Tensor:
        """Classes of `image_ids` (int64 [N] both); InputError if the table lacks one of them."""
        if len(self._ids):
            places = torch.searchsorted(self._ids, image_ids).clamp_max(len(self._ids) - 1)
            missing = image_ids[self._ids[places] != image_ids]
        else:
            places, missing = image_ids, image_ids
        if len(missing):
            raise InputError(
                f"{self._path} lacks image {int(missing[0])} in condition '{self._condition}'; "
                "delete it and run snakemake again"
            )
        return self._classes[places]


@dataclass(frozen=True)
class _Classes:
    """What is explained in one condition (None: the labels), and what the network predicts."""

    targets: PredictedClasses | None
    predictions: PredictedClasses


@dataclass(frozen=True)
class _Family:
    """All that a batch needs to be explained; `classes` is empty for controls."""

    explainers: Mapping[str, Explainer]
    model: nn.Module
    conditions: Sequence[str]
    classes: Mapping[str, _Classes]
    device: torch.device
    explain: ExplainBatch

    def rows(self, batch: Batch) -> dict[str, Tensor]:
        """Rows of every tensor of the file for a batch, on the CPU."""
        rows = {"image_ids": batch.image_ids}
        for condition in self.conditions:
            targets = batch.labels
            if self.classes:
                classes = self.classes[condition]
                rows[f"predictions/{condition}"] = classes.predictions.of(batch.image_ids)
                if classes.targets is not None:
                    targets = classes.targets.of(batch.image_ids)
                rows[f"targets/{condition}"] = targets
            images, wanted = batch.images(condition).to(self.device), targets.to(self.device)
            given = ImageBatch(self.model, images, wanted, batch.image_ids)
            maps = self.explain(self.explainers, given, condition)
            rows.update({f"{name}/{condition}": part.cpu() for name, part in maps.items()})
            # Copies of the network, one an image, are not here to be asked.
            if self.explain is on_the_network:
                complete = {n: maps[n] for n, one in self.explainers.items() if one.complete}
                for name, gaps in completeness_gaps(complete, given).items():
                    rows[f"{_GAPS}{name}/{condition}"] = gaps.cpu()
        return rows


def on_the_network(
    explainers: Mapping[str, Explainer], batch: ImageBatch, condition: str
) -> dict[str, Tensor]:
    """Explain a batch on the network itself: see `explain_batch`."""
    return explain_batch(explainers, batch)


def completeness_gaps(maps: Mapping[str, Tensor], batch: ImageBatch) -> dict[str, Tensor]:
    """How far the sums of maps are from the logit minus that of a black image.

    Parameters
    ----------
    maps : name to float32 [N,h,w].
    batch : what was explained.

    Returns
    -------
    name to float32 [N], |sum of the map - difference| / |difference|: 0 where both are equal, and
    infinite where only the difference is 0.
    """
    if not maps:
        return {}
    with torch.no_grad():
        black = batch.model(torch.zeros_like(batch.images[:1])).expand(len(batch), -1)
        whole = target_logits(batch.model(batch.images), batch.targets)
        difference = whole - target_logits(black, batch.targets)
    goal = difference.double()
    found = {}
    for name, part in maps.items():
        missing = (part.double().sum(dim=(1, 2)) - goal).abs()
        found[name] = torch.where(missing == 0, 0, missing / goal.abs()).float()
    return found


def _log_gaps(gaps: Mapping[str, list[Tensor]]) -> None:
    for name, parts in gaps.items():
        whole = torch.cat(parts)
        logger.info(
            "%s: sums of maps miss the logit minus that of a black image by %.1f%% in the median "
            "and %.1f%% at most",
            name.partition("/")[2],
            100 * float(whole.median()),
            100 * float(whole.max()),
        )


def explain_family(
    settings: Mapping[str, Any],
    packed_test: Path,
    output: Path,
    network: nn.Module | None,
    predictions: Path | None,
    dense_predictions: Path | None,
    device: torch.device,
    explain: ExplainBatch = on_the_network,
) -> None:
    """Explain the evaluation subset with all explainers of a family and write their raw maps.

    Peak memory is that of one batch, whatever the number of images. The file's bytes depend on the
    settings, the data and the network alone.

    Parameters
    ----------
    settings : `explainers` (configured name to `{family, method, parameters}`), `conditions`,
        `images` (int or "all"), `batch_size`, `target` ("true", "predicted" or "dense_predicted"),
        `threads` (of torch).
    packed_test : packed split to explain.
    output : safetensors file to write. Tensors: `{explainer}/{condition}` float32 [N,h,w] and
        `image_ids` int64 [N]; with a network also `targets/{condition}` and
        `predictions/{condition}` int64 [N]; and for methods whose maps sum to a difference of
        logits `completeness_gaps/{explainer}/{condition}` float32 [N]. Metadata: `explainers`
        (JSON: method, parameters and facts of each, with the cost for these images), `dataset`,
        `split`, `data_hash`, `conditions`, `images`, `target`.
    network : gives logits [N,K] for float32 images in [0, 1]; None for a family of controls.
    predictions : `predictions.parquet` of the network's checkpoint.
    dense_predictions : that of its dense parent, for the target "dense_predicted".
    device : where to compute.
    explain : how a batch is explained; `sparsight.spade` does it on copies of the network.

    Raises
    ------
    InputError
        For unusable settings or files; nothing is then written.
    """
    set_determinism(settings["threads"])
    explainers = build_explainers(settings["explainers"])
    _check(explainers, network)
    conditions: list[str] = list(settings["conditions"])
    classes = _classes(settings["target"], conditions, network, predictions, dense_predictions)
    with PackedSplit.open(packed_test) as split:
        positions = split.subset(settings["images"])
        shape = split.image_shape
        source = {"dataset": split.dataset, "split": split.split, "data_hash": split.data_hash}
    # Controls look at no network: any module will do.
    model = nn.Identity() if network is None else network.to(device)
    with frozen(model):
        family = _Family(explainers, model, conditions, classes, device, explain)
        size = settings["batch_size"]
        made = map(family.rows, batches(packed_test, positions, size))
        rows = followed(made, "batches explained", -(-len(positions) // size))
        # The sizes of the maps are known only after the first batch.
        first = next(rows)
        layout = {
            name: (part.dtype, (len(positions), *part.shape[1:])) for name, part in first.items()
        }
        metadata = {
            **source,
            "explainers": _facts(settings["explainers"], explainers, shape),
            "conditions": json.dumps(conditions),
            "images": str(len(positions)),
            **({"target": settings["target"]} if classes else {}),
        }
        gaps: dict[str, list[Tensor]] = {n: [] for n in layout if n.startswith(_GAPS)}
        with ArrayWriter(output, layout, metadata) as writer:
            for batch in itertools.chain([first], rows):
                for name, part in batch.items():
                    writer.append(name, part)
                    if name in gaps:
                        gaps[name].append(part)
        _log_gaps(gaps)


def _check(explainers: Mapping[str, Explainer], network: nn.Module | None) -> None:
    if not explainers:
        raise InputError("there is nothing to explain with: 'explainers' is empty")
    for name, explainer in explainers.items():
        if explainer.needs_network and network is None:
            raise InputError(
                f"explainer '{name}' needs a network; put it into another family than 'controls'"
            )


def _classes(
    rule: str,
    conditions: Sequence[str],
    network: nn.Module | None,
    predictions: Path | None,
    dense_predictions: Path | None,
) -> dict[str, _Classes]:
    """Condition to classes; empty without a network."""
    if rule not in TARGET_RULES:
        raise InputError(f"target '{rule}' is not one of {', '.join(TARGET_RULES)}")
    if network is None:
        return {}
    if predictions is None:
        raise InputError("explaining a network needs the predictions.parquet of its checkpoint")
    if rule == "dense_predicted" and dense_predictions is None:
        raise InputError(
            "target 'dense_predicted' needs the predictions.parquet of the dense network"
        )
    found = {}
    for condition in conditions:
        predicted = PredictedClasses(predictions, condition)
        targets = predicted if rule == "predicted" else None
        if rule == "dense_predicted" and dense_predictions is not None:
            targets = PredictedClasses(dense_predictions, condition)
        found[condition] = _Classes(targets, predicted)
    return found


def _facts(
    entries: Mapping[str, Mapping[str, Any]],
    explainers: Mapping[str, Explainer],
    shape: tuple[int, int, int],
) -> str:
    """Method, parameters (with defaults) and facts of each explainer, as JSON.

    The cost is that for the images explained, of `shape` (C, H, W).
    """
    found = {
        name: {
            **explainer.facts(),
            "cost": explainer.cost_on(shape),
            "method": entries[name]["method"],
            "parameters": explainer.settings,
        }
        for name, explainer in explainers.items()
    }
    return json.dumps(found, sort_keys=True)
