"""One explain job: a family of explainers over the evaluation subset, streamed into one file."""

import itertools
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsight.data.packed import PackedSplit, batches
from sparsight.explain.base import (
    Explainer,
    ImageBatch,
    build_explainers,
    explain_batch,
    target_logits,
)
from sparsight.explain.network import frozen
from sparsight.io.arrays import ArrayReader, ArrayWriter
from sparsight.io.entries import (
    Stored,
    Update,
    Wanted,
    digest,
    header_metadata,
    present,
    with_items,
)
from sparsight.io.errors import InputError
from sparsight.io.gpu import choose_device, set_determinism
from sparsight.io.job import log_progress
from sparsight.io.tables import read_table
from sparsight.models.networks import load_network

logger = logging.getLogger(__name__)

_GAPS = "completeness_gaps/"
#: rows of maps that are copied at a time
_CHUNK = 256
#: of the stage `explaining`: see `sparsight.study.versions`
VERSION = 1

TARGET_RULES = ("true", "predicted", "dense_predicted")
#: explainers, images and their condition -> maps by name
ExplainBatch = Callable[[Mapping[str, Explainer], ImageBatch, str], dict[str, Tensor]]


def places_of(image_ids: Tensor, known: Tensor, source: str) -> Tensor:
    """Where each of `image_ids` stands in `known`, int64 all of them.

    InputError for an image that is not in `source`.
    """
    order = known.argsort()
    places = torch.searchsorted(known[order], image_ids).clamp_max(max(len(known) - 1, 0))
    found = order[places] if len(known) else places
    missing = image_ids[known[found] != image_ids] if len(known) else image_ids
    if len(missing):
        raise InputError(
            f"{source} holds no image {int(missing[0])}; delete what was made from it before and "
            "run snakemake again"
        )
    return found


def predicted_classes(path: Path, condition: str, image_ids: Tensor) -> Tensor:
    """Classes that a checkpoint's `predictions.parquet` has of images, int64 [N] both.

    InputError for an image that is not in the table under this condition.
    """
    table = read_table(path, ["image_id", "condition", "predicted"])
    rows = table["condition"].to_numpy() == condition
    ids, classes = (
        torch.from_numpy(table[name].to_numpy()[rows].astype(np.int64))
        for name in ("image_id", "predicted")
    )
    return classes[places_of(image_ids, ids, f"{path} under condition '{condition}'")]


def on_the_network(
    explainers: Mapping[str, Explainer], batch: ImageBatch, condition: str
) -> dict[str, Tensor]:
    """Explain a batch on the network itself: see `explain_batch`."""
    return explain_batch(explainers, batch)


def completeness_gaps(maps: Mapping[str, Tensor], batch: ImageBatch) -> dict[str, Tensor]:
    """How far the sums of maps, name to float32 [N,h,w], are from the logit minus that of black.

    Name to float32 [N], |sum of the map - difference| / |difference|: 0 where both are equal, and
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


def _explained_rows(
    packed: Path,
    positions: Tensor,
    settings: Mapping[str, Any],
    explainers: Mapping[str, Explainer],
    model: nn.Module,
    classes: Mapping[tuple[str, str], Tensor],
    device: torch.device,
    explain: ExplainBatch,
) -> Iterator[dict[str, Tensor]]:
    """Rows of every tensor of the file, a batch at a time, on the CPU.

    `classes` has int64 [N] of all images for `predictions` and `targets` and a condition; it is
    empty for controls.
    """
    start = 0
    for batch in batches(packed, positions, settings["batch_size"]):
        rows = {"image_ids": batch.image_ids}
        for condition in settings["conditions"]:
            for kind in ("predictions", "targets") if classes else ():
                of_all = classes[kind, condition]
                rows[f"{kind}/{condition}"] = of_all[start : start + len(batch)]
            targets = rows.get(f"targets/{condition}", batch.labels)
            images = batch.images(condition).to(device)
            shown = ImageBatch(model, images, targets.to(device), batch.image_ids)
            maps = explain(explainers, shown, condition)
            rows.update({f"{name}/{condition}": part.cpu() for name, part in maps.items()})
            # Copies of the network, one an image, are not here to be asked.
            if explain is on_the_network:
                complete = {n: maps[n] for n, one in explainers.items() if one.complete}
                for name, gaps in completeness_gaps(complete, shown).items():
                    rows[f"{_GAPS}{name}/{condition}"] = gaps.cpu()
        yield rows
        start += len(batch)


def explain_family(
    settings: Mapping[str, Any],
    packed_test: Path,
    output: Path,
    network: nn.Module | None,
    predictions: Path | None,
    dense_predictions: Path | None,
    device: torch.device,
    explain: ExplainBatch = on_the_network,
    *,
    wanted: Wanted | None = None,
    inputs: Mapping[str, Path | str] | None = None,
) -> bool:
    """Explain the evaluation subset with all explainers of a family and write their raw maps.

    Peak memory is that of one batch, whatever the number of images. The file's bytes depend on the
    settings, the data and the network alone.

    With `wanted`, maps that the file holds already stay in it if they were made from the same
    `inputs`, also those of explainers that are not wanted, and only the others are made.

    Parameters
    ----------
    settings : `explainers` (configured name to `{family, method, parameters}`), `conditions`,
        `images` (int or "all"), `batch_size`, `target` (of `TARGET_RULES`), `threads` (of torch).
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
    wanted : the explainers as entries of the file (`sparsight.io.entries`).
    inputs : name to each file that the maps depend on.

    Returns
    -------
    Whether anything was explained. InputError for unusable settings or files; nothing is then
    written.
    """
    set_determinism(settings["threads"])
    entries, old, update = settings["explainers"], None, None
    if wanted is not None:
        digests = {name: digest(path) for name, path in (inputs or {}).items()}
        update, old = _open_valid(output, wanted, digests)
        logger.info("%s", update)
        if not update.missing:
            os.utime(output)
            return False
        entries = {name: entries[name] for name in update.missing}
    explainers = build_explainers(entries)
    _check(explainers, settings["target"], network, predictions, dense_predictions)
    with PackedSplit.open(packed_test) as split:
        positions = split.subset(settings["images"])
        ids, labels = split.image_ids()[positions], split.labels()[positions]
        shape = split.image_shape
        source = {"dataset": split.dataset, "split": split.split, "data_hash": split.data_hash}
    facts = {
        name: {
            **explainer.facts(),
            "cost": explainer.cost_on(shape),
            "method": entries[name]["method"],
            "parameters": explainer.settings,
        }
        for name, explainer in explainers.items()
    }
    classes: dict[tuple[str, str], Tensor] = {}
    if network is not None and predictions is not None:
        for condition in settings["conditions"]:
            predicted = predicted_classes(predictions, condition, ids)
            targets = {"true": labels, "predicted": predicted}
            if settings["target"] == "dense_predicted" and dense_predictions is not None:
                targets["dense_predicted"] = predicted_classes(dense_predictions, condition, ids)
            classes["predictions", condition] = predicted
            classes["targets", condition] = targets[settings["target"]]
    # Controls look at no network: any module will do.
    model = nn.Identity() if network is None else network.to(device)
    with ExitStack() as stack:
        stack.enter_context(frozen(model))
        made = _explained_rows(
            packed_test, positions, settings, explainers, model, classes, device, explain
        )
        count = -(-len(positions) // settings["batch_size"])
        rows = log_progress(made, "batches explained", count)
        # The sizes of the maps are known only after the first batch.
        first = next(rows)
        layout = {
            name: (part.dtype, (len(positions), *part.shape[1:])) for name, part in first.items()
        }
        gaps: dict[str, list[Tensor]] = {n: [] for n in layout if n.startswith(_GAPS)}
        kept: list[str] = []
        if old is not None and update is not None:
            stack.enter_context(old)
            explained = (name.removeprefix(_GAPS).partition("/") for name in old.names)
            kept = [
                name
                for name, (explainer, slash, _) in zip(old.names, explained, strict=True)
                if slash and explainer in update.kept
            ]
            layout |= {name: old.layout(name) for name in kept}
            recorded = json.loads(old.metadata["explainers"])
            facts |= {name: recorded[name] for name in update.kept}
        metadata = {
            **source,
            "explainers": json.dumps(facts, sort_keys=True),
            "conditions": json.dumps(list(settings["conditions"])),
            "images": str(len(positions)),
            **({"target": settings["target"]} if classes else {}),
            **(update.result.metadata() if update is not None else {}),
        }
        writer = stack.enter_context(ArrayWriter(output, layout, metadata))
        for batch in itertools.chain([first], rows):
            for name, part in batch.items():
                writer.append(name, part)
                if name in gaps:
                    gaps[name].append(part)
        for name in kept:
            assert old is not None
            for start in range(0, len(positions), _CHUNK):
                writer.append(name, old.rows(name, start, start + _CHUNK))
    _log_gaps(gaps)
    return True


def _open_valid(
    output: Path, wanted: Wanted, inputs: Mapping[str, str]
) -> tuple[Update, ArrayReader | None]:
    """What of the file is valid, and the file; without it where it is damaged or none is kept."""
    metadata = header_metadata(output)
    update = Update(Stored.of(metadata or {}), wanted, inputs)
    if not update.kept and update.missing:
        return update, None
    try:
        reader = ArrayReader(output)
        # A header can be whole and not say what its entries promise.
        for name in {*wanted.keys, *update.kept} - {*update.missing}:
            for condition in wanted.settings["conditions"]:
                reader.shape(f"{name}/{condition}")
    except InputError as error:
        logger.warning("%s; all maps are made again", error)
        return Update(None, wanted, inputs), None
    if not update.missing:
        reader.close()
        return update, None
    return update, reader


def _check(
    explainers: Mapping[str, Explainer],
    rule: str,
    network: nn.Module | None,
    predictions: Path | None,
    dense_predictions: Path | None,
) -> None:
    if not explainers:
        raise InputError("there is nothing to explain with: 'explainers' is empty")
    if rule not in TARGET_RULES:
        raise InputError(f"target '{rule}' is not one of {', '.join(TARGET_RULES)}")
    for name, explainer in explainers.items():
        if explainer.needs_network and network is None:
            raise InputError(
                f"explainer '{name}' needs a network; put it into another family than 'controls'"
            )
    if network is not None and predictions is None:
        raise InputError("explaining a network needs the predictions.parquet of its checkpoint")
    if network is not None and rule == "dense_predicted" and dense_predictions is None:
        raise InputError(
            "target 'dense_predicted' needs the predictions.parquet of the dense network"
        )


def explain_checkpoint(
    settings: Mapping[str, Any],
    *,
    packed_test: Path | str,
    output: Path | str,
    checkpoint: Path | str | None = None,
    predictions: Path | str | None = None,
    dense_predictions: Path | str | None = None,
    gpu: int = 0,
    wanted: Wanted | None = None,
) -> None:
    """Explain the shared images of one checkpoint with all explainers of a family.

    See `explain_family`; checkpoint and predictions are left out for a family of controls, `gpu`
    is how many GPUs the job was granted, and the `items` of `wanted` are added to the settings.
    """
    device = choose_device(gpu) if checkpoint else torch.device("cpu")
    explain_family(
        with_items(settings, wanted),
        Path(packed_test),
        Path(output),
        load_network(checkpoint, device) if checkpoint else None,
        Path(predictions) if predictions else None,
        Path(dense_predictions) if dense_predictions else None,
        device,
        wanted=wanted,
        inputs=present(
            test=packed_test,
            checkpoint=checkpoint,
            predictions=predictions,
            dense_predictions=dense_predictions,
        ),
    )
