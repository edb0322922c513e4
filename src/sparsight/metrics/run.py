"""Score the explanations of a checkpoint and a family, alone or against those of other networks."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsight.data.packed import Batch, PackedSplit
from sparsight.explain.base import build_explainers, build_items
from sparsight.explain.network import frozen
from sparsight.explain.run import TARGET_RULES, places_of, predicted_classes
from sparsight.io.arrays import ArrayReader
from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.entries import (
    BETWEEN,
    Stored,
    Update,
    Wanted,
    digest,
    maps_digest,
    present,
    table_metadata,
    with_items,
)
from sparsight.io.errors import InputError
from sparsight.io.gpu import choose_device, set_determinism
from sparsight.io.job import log_progress
from sparsight.io.tables import TableWriter, table_parts, verify_table
from sparsight.metrics.base import BatchExplainer, MapBatch, Metric
from sparsight.metrics.preparation import masks_for
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.networks import load_network
from sparsight.rounding import is_constant

logger = logging.getLogger(__name__)

#: of the stage `scoring`: see `sparsight.study.versions`
VERSION = 2
#: of the stage `agreement`
AGREEMENT_VERSION = 1

#: forward passes an image, up to which metrics explain anew unless a study says otherwise
DEFAULT_COST = 60
# Agreement of maps for different classes says nothing of the networks.
_FIXED_TARGETS = ("true", "dense_predicted")
# Facts of a metric that the table's metadata hold.
_FACTS = ("category", "direction", "unit", "reference", "treatment", "normalisation")
_OF_SCORES = ("needs", "mask_rule", "reducer", "step_axis")
_OF_AGREEMENT = ("resolution", "settings")


TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("study", TEXT),
        ("dataset", TEXT),
        ("model", TEXT),
        ("pruner", TEXT),
        ("seed", pa.int32()),
        ("level", pa.int32()),
        ("density", pa.float64()),
        ("explainer", TEXT),
        ("condition", TEXT),
        ("target", pa.int32()),
        ("image_id", pa.int64()),
        ("label", pa.int32()),
        ("predicted", pa.int32()),
        ("correct", pa.bool_()),
        ("empty", pa.bool_()),
        ("metric", TEXT),
        ("step", pa.int32()),
        ("value", pa.float32()),
    ]
)
#: of the table of agreement: which network each was compared with
AGREEMENT_SCHEMA = pa.schema(
    [
        *(field for field in SCHEMA if field.name != "empty"),
        ("reference_pruner", TEXT),
        ("reference_seed", pa.int32()),
        ("reference_level", pa.int32()),
    ]
)
IDENTITY = ("study", "dataset", "model", "pruner", "seed", "level", "density")
VARYING = ("explainer", "condition", "metric")
# Rows kept before a row group is written: some 1 MB, and a few while they are encoded.
GROUP_ROWS = 16384
SCALAR_STEP = -1


class ScoreRows:
    """Make score rows of batches; a table holds all of them after `flush`.

    Parameters
    ----------
    writer : of the table.
    identity : the values of `IDENTITY`; InputError where one is missing.
    names : all names that may occur: of each `explainer`, `condition` and `metric`.
    references : `pruner`, `seed` and `level` of the networks that this one is compared with, for a
        table of agreement.
    """

    def __init__(
        self,
        writer: TableWriter,
        identity: Mapping[str, Any],
        names: Mapping[str, Sequence[str]],
        references: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        for name in IDENTITY:
            if name not in identity:
                raise InputError(f"the scores of {writer.path} need the identity value '{name}'")
        self._identity = {name: identity[name] for name in IDENTITY}
        self._writer, self._names, self._references = writer, names, references
        self._parts: list[dict[str, NDArray[Any]]] = []
        self._count = 0

    def add(
        self,
        names: Sequence[str],
        images: Mapping[str, NDArray[Any]],
        values: Tensor,
        reference: int = 0,
    ) -> None:
        """Add the scores of a batch of N images.

        Parameters
        ----------
        names : of the explainer, the condition and the metric.
        images : `target`, `image_id`, `label`, `predicted`, `correct` and `empty`, [N] each.
        values : float32 [N], or [N, steps] for a curve, which agreement has not.
        reference : its place among the references.
        """
        count, steps = len(images["image_id"]), values.shape[1:]
        curves = self._references is None
        if len(values) != count or len(steps) > curves:
            raise InputError(
                f"metric {names[2]} gave scores of shape {tuple(values.shape)} for {count} images; "
                f"it must give [N]{' or [N, steps]' if curves else ''}"
            )
        size = values.numel()
        codes = [self._names[kind].index(name) for kind, name in zip(VARYING, names, strict=True)]
        rows: dict[str, NDArray[Any]] = {
            kind: np.full(size, code, dtype=np.int32)
            for kind, code in zip((*VARYING, "reference"), (*codes, reference), strict=True)
        }
        for name, of_images in images.items():
            rows[name] = np.repeat(of_images, steps[0] if steps else 1)
        rows["step"] = np.tile(np.arange(steps[0]) if steps else SCALAR_STEP, count)
        rows["value"] = values.detach().cpu().numpy().astype(np.float32).reshape(-1)
        self._parts.append(rows)
        self._count += size
        if self._count >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what was added since."""
        if not self._count:
            return
        columns: dict[str, Any] = {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }
        for name in VARYING:
            columns[name] = _text(columns[name], self._names[name])
        chosen = columns.pop("reference")
        if self._references is not None:
            columns["reference_pruner"] = _text(chosen, [r["pruner"] for r in self._references])
            for key in ("seed", "level"):
                columns[f"reference_{key}"] = np.array([r[key] for r in self._references])[chosen]
        for name, value in self._identity.items():
            if SCHEMA.field(name).type == TEXT:
                columns[name] = _text(np.zeros(self._count, dtype=np.int32), [str(value)])
            else:
                columns[name] = np.full(self._count, value)
        self._writer.append(columns)
        self._parts, self._count = [], 0


def _text(codes: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(names), pa.string()))


class OldRows:
    """The rows of a table that a job updates, each belonging to an entry `explainer/metric`.

    All entries depend on the files `inputs`, an entry also on the maps of its explainer in the
    files `maps`; see `sparsight.io.entries.Update`.
    """

    def __init__(
        self,
        path: Path | str,
        wanted: Wanted,
        inputs: Mapping[str, Path | str],
        maps: Sequence[Path | str],
    ) -> None:
        self.path = Path(path)
        digests = {name: digest(file) for name, file in inputs.items()}
        own = maps_digest(maps)
        self._metadata = table_metadata(path) or {}
        self.update = Update(Stored.of(self._metadata), wanted, digests, own)
        try:
            # Before anything is computed: a damaged table is made again as a whole.
            if self.update.kept:
                verify_table(path)
        except InputError as error:
            logger.warning("%s; all of it is made again", error)
            self._metadata = {}
            self.update = Update(None, wanted, digests, own)

    def facts(self, key: str) -> dict[str, Any]:
        """What the metadata hold under `key` of the items of kept entries."""
        used = {name.partition(BETWEEN)[2] for name in self.update.kept}
        whole = json.loads(self._metadata.get(key, "{}"))
        return {name: whole[name] for name in whole if name in used}

    def missing_of(self, settings: Mapping[str, Any], *groups: str) -> dict[str, Any]:
        """The two groups of settings, of the items that entries are missing of."""
        found: dict[str, Any] = {}
        for place, group in enumerate(groups):
            used = {name.split(BETWEEN)[place] for name in self.update.missing}
            found[group] = {name: settings[group][name] for name in settings[group] if name in used}
        return found

    def kept_rows(self) -> Iterator[pa.Table]:
        """The rows of kept entries, a row group at a time."""
        if not self.update.kept:
            return
        wanted = pa.array(self.update.kept, pa.string())
        for part in table_parts(self.path):
            pairs = pc.binary_join_element_wise(
                part["explainer"].cast(pa.string()), part["metric"].cast(pa.string()), BETWEEN
            )
            chosen = part.filter(pc.is_in(pairs, wanted))
            if chosen.num_rows:
                yield chosen


def score_checkpoint(
    settings: Mapping[str, Any],
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    predictions: Path | str,
    explanations: Path | str,
    output: Path | str,
    wildcards: Mapping[str, str],
    gpu: int,
    dense_predictions: Path | str | None = None,
    references: Sequence[Path | str] | None = None,
    wanted: Wanted | None = None,
) -> None:
    """Score one family of explanations of one checkpoint with all metrics.

    See `score_family`; `settings` also name the `study`, `wildcards` dataset, model, pruner, seed
    and level of the checkpoint, and `gpu` how many GPUs the job was granted. The `items` of
    `wanted` are added to the settings.
    """
    device = choose_device(gpu)
    identity = {
        "study": settings["study"],
        **{name: wildcards[name] for name in ("dataset", "model", "pruner")},
        "seed": int(wildcards["seed"]),
        "level": int(wildcards["level"]),
        "density": read_checkpoint(checkpoint).density,
    }
    score_family(
        with_items(settings, wanted),
        packed_test,
        explanations,
        predictions,
        output,
        load_network(checkpoint, device) if references is None else None,
        identity,
        device,
        dense_predictions or None,
        references,
        wanted=wanted,
        inputs=present(
            test=packed_test,
            checkpoint=checkpoint,
            predictions=predictions,
            dense_predictions=dense_predictions,
        ),
    )


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
    references: Sequence[Path | str] | None = None,
    *,
    wanted: Wanted | None = None,
    inputs: Mapping[str, Path | str] | None = None,
) -> None:
    """Score an explanations file and write the tidy table of scores, or of agreement.

    Images are streamed in batches; memory holds one batch and a few integers per image. InputError
    for files that do not fit together or settings that cannot be used.

    With `wanted`, rows that the table holds already stay in it if they were made from the same
    `inputs` and maps, and only the others are computed.

    Parameters
    ----------
    settings : `explainers` and `metrics` (name to {method, parameters}), `conditions`,
        `batch_size`, `threads`, `target`; `re_explaining_cost`: metrics that explain anew leave out
        explainers that take more forward passes an image (60). With `references`: `agreement`
        instead of `metrics`, and `references`, pruner, seed and level of each file, in that order.
    packed_test : the packed split that the images come from.
    explanations, references : tensors `{explainer}/{condition}` float32 [N, h, w] and `image_ids`,
        and, unless it holds controls, `targets/{condition}`; metadata `explainers` with the facts
        of each, and the `data_hash` of the split. With `references` the maps are compared with
        those of each of these files.
    predictions : the checkpoint's predictions.parquet; the one source of `predicted` and
        `correct`, so that all families agree on them.
    output : the parquet file, columns as in `SCHEMA` or `AGREEMENT_SCHEMA`; `empty` says whether
        the map is constant up to rounding, most often 0 throughout. Its metadata hold the target
        rule and the facts of each metric, with `step_values` of curves. Where two networks
        were explained for different classes of an image, its agreement is NaN.
    network : in any mode; None where no metric needs it.
    identity : study, dataset, model, pruner, seed, level, density.
    device : where metrics are computed; the network is there already.
    dense_predictions : predictions.parquet of the dense parent; needed for controls where the
        target is `dense_predicted`.
    wanted : pairs `explainer/metric` as entries of the table (`sparsight.io.entries`).
    inputs : name to each file but the maps that all rows depend on.
    """
    if "threads" in settings:
        set_determinism(int(settings["threads"]))
    key, registry = ("metrics", METRICS) if references is None else ("agreement", AGREEMENT)
    old = None
    if wanted is not None:
        old = OldRows(output, wanted, inputs or {}, [explanations, *(references or ())])
        logger.info("%s", old.update)
        if not old.update.missing:
            os.utime(output)
            return
        settings = {**settings, **old.missing_of(settings, "explainers", key)}
    metrics: dict[str, Metric] = build_items(registry, key, settings[key])
    metadata = {"target_rule": settings["target"]}
    names = (*_FACTS, *(_OF_SCORES if references is None else _OF_AGREEMENT))
    facts = {n: {fact: getattr(one, fact) for fact in names} for n, one in metrics.items()}
    if references is None:
        for name, metric in metrics.items():
            facts[name]["step_values"] = metric.step_values()
    if old is not None:
        facts = {**old.facts("metrics"), **facts}
        metadata |= old.update.result.metadata()
    metadata["metrics"] = json.dumps(facts, sort_keys=True)
    with ExitStack() as stack:
        split = stack.enter_context(PackedSplit.open(packed_test))
        maps = stack.enter_context(ArrayReader(explanations))
        others = [stack.enter_context(ArrayReader(path)) for path in references or ()]
        if network is not None:
            stack.enter_context(frozen(network))
        missing = None if old is None else old.update.missing
        work = _Work(settings, metrics, split, maps, others, network, device, missing)
        who = None if references is None else settings["references"]
        if who is not None:
            work.check_references(who, int(identity["seed"]))
        work.read_classes(Path(predictions), dense_predictions)
        known = {
            "explainer": list(settings["explainers"]),
            "condition": list(settings["conditions"]),
            "metric": list(metrics),
        }
        schema = SCHEMA if references is None else AGREEMENT_SCHEMA
        writer = stack.enter_context(TableWriter(output, schema, metadata))
        rows = ScoreRows(writer, identity, known, who)
        if old is not None:
            for part in old.kept_rows():
                writer.append(part)
        for start, batch in work.batches():
            for condition in known["condition"]:
                work.score(start, batch.to(device), condition, rows)
        rows.flush()


def within_budget(
    metrics: Mapping[str, Metric],
    explainers: Iterable[str],
    recorded: Mapping[str, Mapping[str, Any]],
    limit: float,
) -> dict[str, dict[str, Metric]]:
    """For each explainer, the metrics that it is scored with; what is left out is logged, once.

    Metrics that explain anew are taken where the `cost` (forward passes an image) in an explainer's
    `recorded` facts is at most `limit`.
    """
    anew = _re_explaining(metrics)
    # An explainer that is not in the file is refused elsewhere.
    costs = {name: recorded[name]["cost"] for name in explainers if anew and name in recorded}
    dear = {name: cost for name, cost in costs.items() if cost > limit}
    if dear:
        logger.info(
            "%s explain anew and are left out where that costs more than %g forward passes an "
            "image: %s",
            ", ".join(anew),
            limit,
            ", ".join(f"{name} ({cost:g})" for name, cost in dear.items()),
        )
    return {
        name: {own: metrics[own] for own in metrics if not (name in dear and own in anew)}
        for name in explainers
    }


def _re_explaining(metrics: Mapping[str, Metric]) -> list[str]:
    """Names of the metrics that explain images anew."""
    return [name for name, metric in metrics.items() if "explainer" in metric.needs]


def _sharing(metrics: Mapping[str, Metric]) -> list[dict[str, Metric]]:
    """Metrics that share passes and want the same maps, together; all others alone."""
    groups: dict[tuple[str, ...], dict[str, Metric]] = {}
    for name, metric in metrics.items():
        # A configured name holds no slash, so a metric that shares nothing is alone.
        key = (metric.shares or f"/{name}", metric.treatment, metric.normalisation)
        groups.setdefault((*key, metric.mask_rule), {})[name] = metric
    return list(groups.values())


@dataclass
class _Work:
    """What is scored, and how the input files belong together.

    `missing` are the pairs `explainer/metric` to score; None for all.
    """

    settings: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    split: PackedSplit
    maps: ArrayReader
    others: Sequence[ArrayReader]
    network: nn.Module | None
    device: torch.device
    missing: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self.explainers: Mapping[str, Any] = self.settings["explainers"]
        self._ids = self.maps.rows("image_ids")
        self._positions = places_of(self._ids, self.split.image_ids(), str(self.split.path))
        # As it was when the maps were made: parameters may change an explainer's facts.
        self._recorded = json.loads(self.maps.metadata.get("explainers", "{}"))
        limit = self.settings.get("re_explaining_cost", DEFAULT_COST)
        wanted = within_budget(self.metrics, self.explainers, self._recorded, limit)
        if self.missing is not None:
            missing = frozenset(self.missing)
            wanted = {
                name: {n: m for n, m in metrics.items() if f"{name}{BETWEEN}{n}" in missing}
                for name, metrics in wanted.items()
            }
        self.groups = {name: _sharing(metrics) for name, metrics in wanted.items()}
        again = {n: self.explainers[n] for n, some in wanted.items() if _re_explaining(some)}
        self._loaded = build_explainers(again)
        # The controls are made once per data set and know of no network.
        self._has_targets = any(name.startswith("targets/") for name in self.maps.names)
        self._check()

    def _check(self) -> None:
        """Raise an `InputError` where settings and files do not fit together."""
        if self.settings["target"] not in TARGET_RULES:
            known = ", ".join(TARGET_RULES)
            raise InputError(f"target '{self.settings['target']}' is unknown (known: {known})")
        if int(self.settings["batch_size"]) < 1:
            raise InputError(f"batch_size is {self.settings['batch_size']}, it must be 1 or more")
        for name, metric in self.metrics.items():
            if "mask" in metric.needs and not self.split.has_masks:
                raise InputError(
                    f"metric {name} needs masks, which {self.split.path} does not have; take it "
                    "out of `metrics` for this data set"
                )
            if {"model", "explainer"} & set(metric.needs) and self.network is None:
                raise InputError(f"metric {name} needs the network, and none was given")
        for file in (self.maps, *self.others):
            if file.metadata.get("data_hash") != self.split.data_hash:
                raise InputError(
                    f"{file.path} was not made from {self.split.path}; delete it and run snakemake "
                    "again"
                )
        for explainer in self.explainers:
            for condition in self.settings["conditions"]:
                shape = self.maps.shape(f"{explainer}/{condition}")
                if len(shape) != 3 or shape[0] != len(self._ids):
                    raise InputError(
                        f"{self.maps.path} holds '{explainer}/{condition}' of shape {shape} for "
                        f"{len(self._ids)} images; delete it and run snakemake again"
                    )

    def check_references(self, references: Sequence[Mapping[str, Any]], seed: int) -> None:
        """Raise an `InputError` where maps cannot be compared with those of other networks."""
        rule = self.settings["target"]
        if rule not in _FIXED_TARGETS:
            raise InputError(
                f"agreement needs the target {' or '.join(_FIXED_TARGETS)}, not '{rule}': two "
                "networks may predict different classes; change `explaining.target`, or let "
                "`agreement` be []"
            )
        if len(references) != len(self.others):
            raise InputError(
                f"{len(self.others)} files of references were given, and settings 'references' "
                f"names {len(references)}; name each file's pruner, seed and level"
            )
        for other, reference in zip(self.others, references, strict=True):
            self._check_maps(other)
            # Networks of one seed share their dense parent, hence its predictions.
            if rule == "true" or reference["seed"] == seed:
                self._check_targets(other)

    def _check_maps(self, other: ArrayReader) -> None:
        again = f"as {self.maps.path} does; delete both and run snakemake again"
        if not torch.equal(other.rows("image_ids"), self._ids):
            raise InputError(
                f"{other.path} does not explain the same images in the same order {again}"
            )
        recorded = json.loads(other.metadata["explainers"])
        for explainer in self.explainers:
            if recorded.get(explainer) != self._recorded[explainer]:
                raise InputError(
                    f"{other.path} does not hold '{explainer}' with the same parameters {again}"
                )
            for condition in self.settings["conditions"]:
                name = f"{explainer}/{condition}"
                if other.shape(name) != self.maps.shape(name):
                    raise InputError(
                        f"{other.path} does not hold '{name}' of the same shape {again}"
                    )

    def _check_targets(self, other: ArrayReader) -> None:
        for condition in self.settings["conditions"]:
            own, found = (f.rows(f"targets/{condition}") for f in (self.maps, other))
            if not torch.equal(own, found):
                row = int(torch.nonzero(own != found)[0])
                raise InputError(
                    f"{self.maps.path} explains class {own[row]} of image {self._ids[row]} "
                    f"({condition}) and {other.path} class {found[row]}, so that their maps cannot "
                    "be compared; delete both and run snakemake again"
                )

    def read_classes(self, predictions: Path, dense_predictions: Path | str | None) -> None:
        """Read what the network predicts, and what was explained: int64 [N] for each condition."""
        rule, dense = self.settings["target"], dense_predictions
        self._predicted, self._targets = {}, {}
        for condition in self.settings["conditions"]:
            self._predicted[condition] = predicted_classes(predictions, condition, self._ids)
            if self._has_targets:
                found = self.maps.rows(f"targets/{condition}")
            elif rule == "true":
                found = self.split.labels()[self._positions]
            elif rule == "predicted":
                found = self._predicted[condition]
            elif dense is None:
                raise InputError(
                    f"{self.maps.path} holds no targets, and the target dense_predicted needs the "
                    "predictions of the dense parent"
                )
            else:
                found = predicted_classes(Path(dense), condition, self._ids)
            self._targets[condition] = found

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """First row in the explanations file, and the images of that row and those after it."""
        size = int(self.settings["batch_size"])
        starts = range(0, len(self._ids), size)
        for start in log_progress(starts, "batches scored", len(starts)):
            yield start, self.split.select(self._positions[start : start + size].tolist())

    def score(self, start: int, batch: Batch, condition: str, rows: ScoreRows) -> None:
        """Score the images of `batch`, which begins at row `start`, and add what is found."""
        images, stop = batch.images(condition), start + len(batch)
        target = self._targets[condition][start:stop]
        predicted = self._predicted[condition][start:stop]
        facts = {
            "target": target.numpy(),
            "image_id": self._ids[start:stop].numpy(),
            "label": batch.labels.cpu().numpy(),
            "predicted": predicted.numpy(),
            "correct": predicted.eq(batch.labels.cpu()).numpy(),
        }
        same = [other.rows(f"targets/{condition}", start, stop).eq(target) for other in self.others]
        shown = images, target.to(images.device)
        masks = {m.mask_rule: masks_for(batch, m.mask_rule) for m in self.metrics.values()}
        for explainer in self.explainers:
            name = f"{explainer}/{condition}"
            raw = [f.rows(name, start, stop).to(self.device) for f in (self.maps, *self.others)]
            # As the network's explainer gave it, whatever a metric makes of it.
            facts["empty"] = is_constant(raw[0], (1, 2)).cpu().numpy()
            # Metrics that want the same treatment share the maps made ready for them.
            ready: dict[tuple[str, ...], list[Tensor]] = {}
            for group in self.groups[explainer]:
                first = next(iter(group.values()))
                key = (first.treatment, first.normalisation, first.resolution)
                prepare = partial(self._prepare, explainer, first)
                if key not in ready:
                    ready[key] = [prepare(maps) for maps in raw]
                own, *others = ready[key]
                again = None
                if "explainer" in first.needs:
                    method = self._loaded[explainer]
                    again = BatchExplainer(method, batch.image_ids, explainer, prepare)
                scored = MapBatch(own, *shown, masks[first.mask_rule], self.network, again)
                if "reference" in first.needs:
                    for place, other in enumerate(others):
                        pair = replace(scored, reference=other)
                        for metric, values in first.score_together(group, pair).items():
                            values = values.cpu().masked_fill(~same[place], torch.nan)
                            rows.add((explainer, condition, metric), facts, values, place)
                else:
                    for metric, values in first.score_together(group, scored).items():
                        rows.add((explainer, condition, metric), facts, values)

    def _prepare(self, explainer: str, metric: Metric, raw: Tensor) -> Tensor:
        """Raw maps of `explainer` as `metric` wants them."""
        size = (self.split.image_shape[1], self.split.image_shape[2])
        return metric.prepare_maps(raw, size, self._recorded[explainer]["interpolation"])
