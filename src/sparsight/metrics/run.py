"""Score the explanations of one checkpoint and one family with all metrics of that family."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsight.data.packed import Batch, PackedSplit
from sparsight.explain.base import build_explainers, build_items
from sparsight.explain.network import frozen
from sparsight.io.arrays import ArrayReader
from sparsight.io.device import set_determinism
from sparsight.io.entries import Wanted
from sparsight.io.errors import InputError
from sparsight.io.job import followed
from sparsight.io.tables import read_table
from sparsight.metrics.base import BatchExplainer, MapBatch, Metric
from sparsight.metrics.budget import DEFAULT_COST, re_explaining, within_budget
from sparsight.metrics.preparation import masks_for
from sparsight.metrics.registry import METRICS
from sparsight.metrics.rows import ImageFacts, OldRows, ScoreRows

logger = logging.getLogger(__name__)

#: of the stage `scoring`: see `sparsight.study.versions`
VERSION = 1

TARGETS = ("true", "predicted", "dense_predicted")


def score_family(
    settings: Mapping[str, Any],
    packed_test: Path | str,
    explanations: Path | str,
    predictions: Path | str,
    output: Path | str,
    network: nn.Module | None,
    identity: Mapping[str, Any],
    device: torch.device,
    dense_predictions: Path | str | None = None,
    *,
    wanted: Wanted | None = None,
    inputs: Mapping[str, Path | str] | None = None,
) -> None:
    """Score an explanations file and write the tidy table of scores.

    Images are streamed in batches; beside one batch, memory holds only a few integers per image.

    With `wanted`, scores that the table holds already stay in it if they were made from the same
    `inputs` and maps, and only the others are computed.

    Parameters
    ----------
    settings : `explainers` (name to {method, parameters}), `metrics` (name to {method,
        parameters}), `conditions`, `batch_size`, `threads`, `target`; `re_explaining_cost`: metrics
        that explain anew leave out explainers that take more forward passes an image (60).
    packed_test : the packed split that the images come from.
    explanations : tensors `{explainer}/{condition}` float32 [N, h, w] and `image_ids`, and, unless
        it holds controls, `targets/{condition}`; metadata `explainers` with the facts of each, and
        the `data_hash` of the split.
    predictions : the checkpoint's predictions.parquet; the one source of `predicted` and
        `correct`, so that all families agree on them.
    output : the parquet file, columns as in `sparsight.metrics.rows.SCHEMA`; its metadata hold the
        target rule and the facts of each metric, with `step_values` of curves.
    network : in any mode; None where no metric needs it.
    identity : study, dataset, model, pruner, seed, level, density.
    device : where metrics are computed; the network is there already.
    dense_predictions : predictions.parquet of the dense parent; needed for controls where the
        target is `dense_predicted`.
    wanted : pairs `explainer/metric` as entries of the table (`sparsight.io.entries`).
    inputs : name to each file but the maps that all scores depend on.

    Raises
    ------
    InputError
        One sentence, for files that do not fit together or settings that cannot be used.
    """
    if "threads" in settings:
        set_determinism(int(settings["threads"]))
    old = None
    if wanted is not None:
        old = OldRows(output, wanted, inputs or {}, [explanations])
        logger.info("%s", old.update)
        if not old.update.missing:
            os.utime(output)
            return
        settings = {**settings, **old.missing_of(settings, "explainers", "metrics")}
    scorers: dict[str, Metric] = build_items(METRICS, "metrics", settings["metrics"])
    facts = {name: _facts(metric) for name, metric in scorers.items()}
    with ExitStack() as stack:
        split = stack.enter_context(PackedSplit.open(packed_test))
        maps = stack.enter_context(ArrayReader(explanations))
        if network is not None:
            stack.enter_context(frozen(network))
        work = _Work(settings, scorers, split, maps, predictions, dense_predictions)
        work.check(network)
        recorded = {"target_rule": settings["target"]}
        if old is not None:
            facts = {**old.facts("metrics"), **facts}
            recorded |= old.update.result.metadata()
        rows = stack.enter_context(
            ScoreRows(
                output,
                identity,
                list(settings["explainers"]),
                list(settings["conditions"]),
                list(scorers),
                {**recorded, "metrics": json.dumps(facts, sort_keys=True)},
            )
        )
        if old is not None:
            work.groups = old.missing_in(work.groups)
            for part in old.kept():
                rows.append(part)
        for start, batch in work.batches():
            for condition in settings["conditions"]:
                _score_batch(work, start, batch.to(device), condition, network, rows)


def _sharing(metrics: Mapping[str, Metric]) -> list[dict[str, Metric]]:
    """Metrics that share passes and want the same maps, together; all others alone."""
    groups: dict[tuple[str, ...], dict[str, Metric]] = {}
    for name, metric in metrics.items():
        # A configured name holds no slash, so a metric that shares nothing is alone.
        key = (metric.shares or f"/{name}", metric.treatment, metric.normalisation)
        groups.setdefault((*key, metric.mask_rule), {})[name] = metric
    return list(groups.values())


def _facts(metric: Metric) -> dict[str, Any]:
    names = ("category", "direction", "unit", "reference", "needs", "treatment", "normalisation")
    found = {name: getattr(metric, name) for name in (*names, "mask_rule", "reducer", "step_axis")}
    return {**found, "step_values": metric.step_values()}


def _score_batch(
    work: "_Work",
    start: int,
    batch: Batch,
    condition: str,
    network: nn.Module | None,
    rows: ScoreRows,
) -> None:
    images = batch.images(condition)
    facts = work.image_facts(start, batch, condition)
    targets = torch.from_numpy(facts.target).to(images.device)
    masks = {rule: masks_for(batch, rule) for rule in {m.mask_rule for m in work.metrics.values()}}
    for explainer in work.explainers:
        raw = work.maps.rows(f"{explainer}/{condition}", start, start + len(batch))
        raw = raw.to(images.device)
        # Metrics that want the same treatment share the prepared maps.
        prepared: dict[tuple[str, str], Tensor] = {}
        for group in work.groups[explainer]:
            first = next(iter(group.values()))
            key = (first.treatment, first.normalisation)
            if key not in prepared:
                prepared[key] = work.prepared(explainer, raw, images, first)
            given = MapBatch(
                prepared[key],
                images,
                targets,
                masks[first.mask_rule],
                network,
                work.bound_explainer(explainer, batch, images, first),
            )
            found = first.score_together(group, given)
            for name in group:
                rows.add(explainer, condition, name, facts, found[name])


@dataclass
class _Work:
    """What is scored, and how the input files belong together."""

    settings: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    split: PackedSplit
    maps: ArrayReader
    predictions: Path | str
    dense_predictions: Path | str | None

    def __post_init__(self) -> None:
        self.explainers: Mapping[str, Any] = self.settings["explainers"]
        self._size = (self.split.image_shape[1], self.split.image_shape[2])
        self._image_ids = self.maps.rows("image_ids").numpy()
        self._positions = _places(self.split.image_ids().numpy(), self._image_ids, self.split.path)
        self._predicted = self._by_condition(self.predictions)
        # As it was when the maps were made: parameters may change an explainer's facts.
        self._recorded = json.loads(self.maps.metadata.get("explainers", "{}"))
        limit = self.settings.get("re_explaining_cost", DEFAULT_COST)
        wanted = within_budget(self.metrics, self.explainers, self._recorded, limit)
        self.groups = {name: _sharing(metrics) for name, metrics in wanted.items()}
        used = {name: self.explainers[name] for name, some in wanted.items() if re_explaining(some)}
        self._loaded = build_explainers(used)
        self._dense: dict[str, NDArray[np.int64]] = {}
        if self.settings["target"] == "dense_predicted" and not self._has_targets():
            if self.dense_predictions is None:
                raise InputError(
                    f"{self.maps.path} holds no targets, and the target dense_predicted needs the "
                    "predictions of the dense parent"
                )
            self._dense = self._by_condition(self.dense_predictions)

    def check(self, network: nn.Module | None) -> None:
        """Raise an `InputError` where settings and files do not fit together."""
        if self.settings["target"] not in TARGETS:
            known = ", ".join(TARGETS)
            raise InputError(f"target '{self.settings['target']}' is unknown (known: {known})")
        if int(self.settings["batch_size"]) < 1:
            raise InputError(f"batch_size is {self.settings['batch_size']}, it must be 1 or more")
        for name, metric in self.metrics.items():
            if "mask" in metric.needs and not self.split.has_masks:
                raise InputError(
                    f"metric {name} needs masks, which {self.split.path} does not have; take it "
                    "out of `metrics` for this data set"
                )
            if {"model", "explainer"} & set(metric.needs) and network is None:
                raise InputError(f"metric {name} needs the network, and none was given")
        if self.maps.metadata.get("data_hash") != self.split.data_hash:
            raise InputError(
                f"{self.maps.path} was not made from {self.split.path}; delete it and run "
                "snakemake again"
            )
        for explainer in self.explainers:
            for condition in self.settings["conditions"]:
                shape = self.maps.shape(f"{explainer}/{condition}")
                if len(shape) != 3 or shape[0] != len(self._image_ids):
                    raise InputError(
                        f"{self.maps.path} holds '{explainer}/{condition}' of shape {shape} for "
                        f"{len(self._image_ids)} images; delete it and run snakemake again"
                    )

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """First row in the explanations file, and the images of that row and those after it."""
        size = int(self.settings["batch_size"])
        starts = range(0, len(self._image_ids), size)
        for start in followed(starts, "batches scored", len(starts)):
            yield start, self.split.select(self._positions[start : start + size].tolist())

    def image_facts(self, start: int, batch: Batch, condition: str) -> ImageFacts:
        """What is known of the images of `batch`, which begins at row `start`."""
        rows = slice(start, start + len(batch))
        labels = batch.labels.cpu().numpy()
        predicted = self._predicted[condition][rows]
        if self._has_targets():
            target = self.maps.rows(f"targets/{condition}", rows.start, rows.stop).numpy()
        elif self.settings["target"] == "true":
            target = labels
        elif self.settings["target"] == "predicted":
            target = predicted
        else:
            target = self._dense[condition][rows]
        return ImageFacts(target, self._image_ids[rows], labels, predicted)

    def prepared(self, explainer: str, raw: Tensor, images: Tensor, metric: Metric) -> Tensor:
        """Raw maps of `explainer` as `metric` wants them."""
        size = (images.shape[2], images.shape[3])
        return metric.prepared(raw, size, self._recorded[explainer]["interpolation"])

    def bound_explainer(
        self, explainer: str, batch: Batch, images: Tensor, metric: Metric
    ) -> BatchExplainer | None:
        """A call that explains the images of `batch` anew, for a metric that needs it."""
        if "explainer" not in metric.needs:
            return None
        return BatchExplainer(
            self._loaded[explainer],
            batch.image_ids,
            explainer,
            lambda raw: self.prepared(explainer, raw, images, metric),
        )

    def _has_targets(self) -> bool:
        # The controls are made once per data set and know of no network.
        return any(name.startswith("targets/") for name in self.maps.names)

    def _by_condition(self, path: Path | str) -> dict[str, NDArray[np.int64]]:
        """Predictions in the order of the explanations, for each condition."""
        table = read_table(path, ["image_id", "condition", "predicted"])
        found = {}
        for condition in self.settings["conditions"]:
            part = table.filter(pc.equal(table["condition"].cast("string"), condition))
            places = _places(part["image_id"].to_numpy(), self._image_ids, path, condition)
            found[condition] = part["predicted"].to_numpy()[places].astype(np.int64)
        return found


def _places(
    known: NDArray[np.int64], wanted: NDArray[np.int64], path: Path | str, condition: str = ""
) -> NDArray[np.int64]:
    """Where each of the `wanted` ids stands in `known`; `InputError` for one that does not."""
    order = np.argsort(known)
    place = np.searchsorted(known, wanted, sorter=order).clip(max=max(len(known) - 1, 0))
    found = order[place] if len(known) else np.zeros(0, dtype=np.int64)
    missing = wanted[known[found] != wanted] if len(known) else wanted
    if len(missing):
        where = f" under condition {condition}" if condition else ""
        raise InputError(
            f"{path} holds no image {missing[0]}{where}, which was explained; delete the "
            "explanations and run snakemake again"
        )
    return found
