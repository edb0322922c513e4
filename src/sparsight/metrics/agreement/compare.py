"""Compare one network's explanations of a family with those of its reference networks."""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsight.data.packed import PackedSplit
from sparsight.explain.base import build_items
from sparsight.explain.run import PredictedClasses
from sparsight.io.arrays import ArrayReader
from sparsight.io.device import set_determinism
from sparsight.io.entries import Wanted
from sparsight.io.errors import InputError
from sparsight.metrics.agreement.rows import AgreementRows, Reference
from sparsight.metrics.base import MapBatch, Metric
from sparsight.metrics.registry import AGREEMENT
from sparsight.metrics.rows import ImageFacts, OldRows

logger = logging.getLogger(__name__)

#: of the stage `agreement`: see `sparsight.study.versions`
VERSION = 1

# Agreement of maps for different classes says nothing of the networks.
FIXED_TARGETS = ("true", "dense_predicted")


def compare_family(
    settings: Mapping[str, Any],
    packed_test: Path | str,
    explanations: Path | str,
    predictions: Path | str,
    references: Sequence[Path | str],
    output: Path | str,
    identity: Mapping[str, Any],
    device: torch.device,
    *,
    wanted: Wanted | None = None,
    inputs: Mapping[str, Path | str] | None = None,
) -> None:
    """Write the tidy table of agreement of one explanations file with each reference file.

    Maps are streamed in batches; beside one batch, memory holds a few integers per image.

    With `wanted`, rows that the table holds already stay in it if they were made from the same
    `inputs` and maps, and only the others are computed.

    Parameters
    ----------
    settings : `agreement` (name to {method, parameters}), `explainers` (those to compare, by name),
        `conditions`, `batch_size`, `threads`, `target`, and `references`: pruner, seed and level of
        each file of `references`, in that order.
    packed_test : the packed split that the images come from.
    explanations, references : files as `sparsight.explain.run.explain_family` writes them.
    predictions : the checkpoint's predictions.parquet.
    output : the parquet file, columns as in `sparsight.metrics.agreement.rows.SCHEMA`; `predicted`
        and `correct` are those of the checkpoint, not of the references. Where the target is
        `dense_predicted` and the dense networks of two seeds predict different classes of an image,
        its value is NaN. Metadata: the target rule and the facts of each metric.
    identity : study, dataset, model, pruner, seed, level, density of the checkpoint.
    device : where to compute.
    wanted : pairs `explainer/metric` as entries of the table (`sparsight.io.entries`).
    inputs : name to each file but the maps that all rows depend on.

    Raises
    ------
    InputError
        One sentence, for files that do not fit together or settings that cannot be used.
    """
    if "threads" in settings:
        set_determinism(int(settings["threads"]))
    old = None
    if wanted is not None:
        old = OldRows(output, wanted, inputs or {}, [explanations, *references])
        logger.info("%s", old.update)
        if not old.update.missing:
            os.utime(output)
            return
        settings = {**settings, **old.missing_of(settings, "explainers", "agreement")}
    metrics = build_items(AGREEMENT, "agreement", settings["agreement"])
    names = {key: list(settings[f"{key}s"]) for key in ("explainer", "condition")}
    names["metric"] = list(metrics)
    facts = {name: _facts(metric) for name, metric in metrics.items()}
    with ExitStack() as stack:
        split = stack.enter_context(PackedSplit.open(packed_test))
        own = stack.enter_context(ArrayReader(explanations))
        others = [stack.enter_context(ArrayReader(path)) for path in references]
        who = [Reference(r["pruner"], int(r["seed"]), r["level"]) for r in settings["references"]]
        work = _Work(settings, split, own, others, Path(predictions))
        work.check(who, int(identity["seed"]))
        metadata = {"target_rule": settings["target"]}
        if old is not None:
            facts = {**old.facts("metrics"), **facts}
            metadata |= old.update.result.metadata()
        metadata["metrics"] = json.dumps(facts, sort_keys=True)
        rows = stack.enter_context(AgreementRows(output, identity, names, who, metadata))
        if old is not None:
            for part in old.kept():
                rows.append(part)
        for start, stop in work.batches():
            for condition in names["condition"]:
                images = work.image_facts(condition, start, stop)
                same = work.same_class(condition, start, stop)
                shown = (
                    work.images(condition, start, stop).to(device),
                    torch.from_numpy(images.target).to(device),
                )
                for explainer in names["explainer"]:
                    maps = work.maps(f"{explainer}/{condition}", start, stop, device)
                    for name, metric in metrics.items():
                        if old is not None and not old.is_missing(explainer, name):
                            continue
                        key = {"explainer": explainer, "condition": condition, "metric": name}
                        first, *rest = (work.prepared(explainer, m, metric) for m in maps)
                        for place, second in enumerate(rest):
                            values = metric.score(MapBatch(first, *shown, reference=second)).cpu()
                            values = values.masked_fill(~same[place], torch.nan)
                            rows.add(key, place, images, values)


def _facts(metric: Metric) -> dict[str, Any]:
    names = ("category", "direction", "unit", "reference", "treatment", "normalisation")
    return {name: getattr(metric, name) for name in (*names, "resolution", "settings")}


class _Work:
    """The open files of a job, and what every batch takes from them."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        split: PackedSplit,
        own: ArrayReader,
        others: Sequence[ArrayReader],
        predictions: Path,
    ) -> None:
        self.settings, self.split, self.own, self.others = settings, split, own, others
        self._ids = own.rows("image_ids")
        self._positions = _positions(split, self._ids, own.path)
        self._labels = split.labels()[self._positions]
        self._predicted = {
            condition: PredictedClasses(predictions, condition).of(self._ids)
            for condition in settings["conditions"]
        }
        self._recorded: dict[str, Any] = json.loads(own.metadata["explainers"])

    def batches(self) -> Iterator[tuple[int, int]]:
        """First row of each batch, and the row behind its last."""
        size = int(self.settings["batch_size"])
        for start in range(0, len(self._ids), size):
            yield start, min(start + size, len(self._ids))

    def image_facts(self, condition: str, start: int, stop: int) -> ImageFacts:
        """Target, id, label and the checkpoint's prediction of the images of a batch."""
        rows = slice(start, stop)
        return ImageFacts(
            target=self.own.rows(f"targets/{condition}", start, stop).numpy(),
            image_id=self._ids[rows].numpy(),
            label=self._labels[rows].numpy(),
            predicted=self._predicted[condition][rows].numpy(),
        )

    def images(self, condition: str, start: int, stop: int) -> Tensor:
        """The images of a batch, float32 [n, C, H, W]."""
        return self.split.select(self._positions[start:stop].tolist()).images(condition)

    def same_class(self, condition: str, start: int, stop: int) -> list[Tensor]:
        """For each reference, whether it explains the same class, bool [n]."""
        name = f"targets/{condition}"
        own = self.own.rows(name, start, stop)
        return [other.rows(name, start, stop) == own for other in self.others]

    def maps(self, name: str, start: int, stop: int, device: torch.device) -> list[Tensor]:
        """Raw maps float32 [n, h, w] of the checkpoint, then of each reference."""
        return [file.rows(name, start, stop).to(device) for file in (self.own, *self.others)]

    def prepared(self, explainer: str, raw: Tensor, metric: Metric) -> Tensor:
        """Raw maps of `explainer` as `metric` wants them."""
        size = self.split.image_shape[1:]
        return metric.prepared(raw, size, self._recorded[explainer]["interpolation"])

    def check(self, references: Sequence[Reference], seed: int) -> None:
        """Raise an `InputError` where settings and files do not fit together."""
        rule = self.settings["target"]
        if rule not in FIXED_TARGETS:
            raise InputError(
                f"agreement needs the target {' or '.join(FIXED_TARGETS)}, not '{rule}': two "
                "networks may predict different classes; change `explaining.target`, or let "
                "`agreement` be []"
            )
        if int(self.settings["batch_size"]) < 1:
            raise InputError(f"batch_size is {self.settings['batch_size']}, it must be 1 or more")
        if len(references) != len(self.others):
            raise InputError(
                f"{len(self.others)} files of references were given, and settings 'references' "
                f"names {len(references)}; name each file's pruner, seed and level"
            )
        for file in (self.own, *self.others):
            if file.metadata.get("data_hash") != self.split.data_hash:
                raise InputError(
                    f"{file.path} was not made from {self.split.path}; delete it and run snakemake "
                    "again"
                )
        for other, reference in zip(self.others, references, strict=True):
            self._check_maps(other)
            # Networks of one seed share their dense parent, hence its predictions.
            if rule == "true" or reference.seed == seed:
                self._check_targets(other)

    def _check_maps(self, other: ArrayReader) -> None:
        again = f"as {self.own.path} does; delete both and run snakemake again"
        if not torch.equal(other.rows("image_ids"), self._ids):
            raise InputError(
                f"{other.path} does not explain the same images in the same order {again}"
            )
        recorded = json.loads(other.metadata["explainers"])
        for explainer in self.settings["explainers"]:
            if explainer not in self._recorded:
                raise InputError(
                    f"{self.own.path} holds no explainer '{explainer}'; delete it and run "
                    "snakemake again"
                )
            if recorded.get(explainer) != self._recorded[explainer]:
                raise InputError(
                    f"{other.path} does not hold '{explainer}' with the same parameters {again}"
                )
            for condition in self.settings["conditions"]:
                name = f"{explainer}/{condition}"
                if other.shape(name) != self.own.shape(name):
                    raise InputError(
                        f"{other.path} does not hold '{name}' of the same shape {again}"
                    )

    def _check_targets(self, other: ArrayReader) -> None:
        for condition in self.settings["conditions"]:
            own, found = (f.rows(f"targets/{condition}") for f in (self.own, other))
            if not torch.equal(own, found):
                row = int(torch.nonzero(own != found)[0])
                raise InputError(
                    f"{self.own.path} explains class {own[row]} of image {self._ids[row]} "
                    f"({condition}) and {other.path} class {found[row]}, so that their maps cannot "
                    "be compared; delete both and run snakemake again"
                )


def _positions(split: PackedSplit, wanted: Tensor, path: Path) -> Tensor:
    """Places of the images `wanted` int64 [N]; `InputError` for one that the split lacks."""
    ids = split.image_ids().numpy()
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids, wanted.numpy(), sorter=order).clip(max=max(len(ids) - 1, 0))
    found = order[place]
    missing = wanted.numpy()[ids[found] != wanted.numpy()]
    if len(missing):
        raise InputError(
            f"{split.path} holds no image {missing[0]}, which {path} explains; delete the "
            "explanations and run snakemake again"
        )
    return torch.from_numpy(found)
