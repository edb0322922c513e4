"""The jobs of sample-targeted pruning: searching for sparsities, explaining on pruned copies."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sparsight.data.packed import Batch, PackedSplit
from sparsight.explain.run import explain_family
from sparsight.io.device import choose_device, set_determinism
from sparsight.io.entries import Wanted, present, with_items
from sparsight.io.errors import InputError
from sparsight.io.files import atomic_path, write_json
from sparsight.io.tables import write_table
from sparsight.models.networks import load_network
from sparsight.spade.copies import (
    OnPrunedCopies,
    configured_solver,
    configured_sparsities,
    sample_settings,
)
from sparsight.spade.search import Criterion, GroundTruth, WithoutTruth, search_sparsities

Settings = Mapping[str, Any]
_CHUNK = 64


def explain_samples(
    settings: Settings,
    *,
    packed_test: Path | str,
    checkpoint: Path | str,
    predictions: Path | str,
    dense_predictions: Path | str | None,
    sparsities: Path | str | None,
    output: Path | str,
    fidelity: Path | str,
    wildcards: Mapping[str, str],
    gpu: int,
    wanted: Wanted | None = None,
) -> None:
    """Explain the shared images of a checkpoint with one family, each on a copy pruned for it.

    Raises InputError for unusable settings or files, and when the solver fails on a layer.

    Parameters
    ----------
    settings : as of `explain_family`, and `sample_pruner`: `name`, `solver`, `parameters`,
        `sparsities` (see `layer_sparsities`; empty where a file has them), `augmentations`,
        `augment`, `batch_size`, `memory_mb`.
    packed_test, checkpoint, predictions, dense_predictions, output : as of `explain_checkpoint`.
    sparsities : file of `search_checkpoint`, where they were searched for.
    fidelity : table to write: a row per image and condition, see
        `sparsight.analysis.sample_pruning`.
    wildcards : dataset, model, pruner, seed, level and family of the job.
    gpu : how many GPUs the job was granted.
    wanted : see `explain_family`; its `items` are added to the settings. Fidelity belongs to the
        copies: its table is written whenever any image is explained, and stays otherwise.
    """
    # before anything is computed: cuBLAS looks but once whether it is to be deterministic
    set_determinism(settings["threads"])
    device = choose_device(gpu)
    network = load_network(checkpoint, device)
    chosen = settings["sample_pruner"]
    with PackedSplit.open(packed_test) as split:
        image = split.rows(0, 1).to(device).images("clean")
    explaining = OnPrunedCopies(
        name=chosen["name"],
        solver=configured_solver(chosen),
        sparsities=configured_sparsities(network, image, chosen["sparsities"], sparsities),
        settings=sample_settings(chosen),
    )
    table = Path(fidelity)
    if wanted is not None and not table.is_file():
        wanted = replace(wanted, anew=True)
    # Killed after its maps are written, the job leaves no table of other copies next to them.
    before = table.read_bytes() if table.is_file() else b""
    table.unlink(missing_ok=True)
    explained = explain_family(
        with_items(settings, wanted),
        Path(packed_test),
        Path(output),
        network,
        Path(predictions),
        Path(dense_predictions) if dense_predictions else None,
        device,
        explaining,
        wanted=wanted,
        inputs=present(
            test=packed_test,
            checkpoint=checkpoint,
            predictions=predictions,
            dense_predictions=dense_predictions,
            sparsities=sparsities,
        ),
    )
    if not explained:
        with atomic_path(table) as temporary:
            temporary.write_bytes(before)
        return
    identity: dict[str, Any] = {key: wildcards[key] for key in ("dataset", "model", "pruner")}
    identity |= {key: int(wildcards[key]) for key in ("seed", "level")}
    identity |= {"sample_pruner": chosen["name"], "family": wildcards["family"]}
    rows = explaining.rows
    write_table(
        fidelity,
        {
            **{key: [value] * len(rows) for key, value in identity.items()},
            **{key: [row[key] for row in rows] for key in rows[0]},
        },
    )


def search_checkpoint(
    settings: Settings,
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
    with PackedSplit.open(calibration) as split:
        if split.split == "test":
            raise InputError(
                f"{calibration} holds the test images, which sparsities must not be chosen on; "
                "take another split"
            )
        batch = _calibration_images(split, search).to(device)
        of_split = split.split
    images = batch.images("clean")
    sparsities, tried = search_sparsities(
        network,
        images,
        batch.image_ids.cpu(),
        configured_solver(chosen),
        _criterion(search, network, images, batch, chosen),
        sample_settings(chosen),
        chosen["name"],
        search["grid"],
    )
    found = {
        "sparsities": sparsities,
        "tried": tried,
        "image_ids": batch.image_ids.tolist(),
        "split": of_split,
    }
    write_json(output, found)
    logging.info("sparsities: %s", ", ".join(f"{k} {v:g}" for k, v in sparsities.items()))


def _criterion(
    search: Settings, network: nn.Module, images: Tensor, batch: Batch, chosen: Settings
) -> Criterion:
    if search["criterion"] == GroundTruth.name:
        assert batch.mask_values is not None  # such images were chosen
        return GroundTruth(images, batch.labels, batch.mask_values > 0)
    return WithoutTruth(
        network,
        images,
        batch.image_ids.cpu(),
        chosen["name"],
        search["keep_prediction"],
        search["keep_probability"],
        augment=chosen["augment"],
        batch_size=chosen["batch_size"],
    )


def _calibration_images(split: PackedSplit, search: Settings) -> Batch:
    """Images of the split's shared subset, those with a mask where the truth is asked for."""
    wanted, masked = int(search["images"]), search["criterion"] == GroundTruth.name
    if masked and not split.has_masks:
        raise InputError(
            f"{split.path} has no masks, which the criterion ground_truth needs; take without_truth"
        )
    if not masked:
        return split.select(split.subset(wanted).tolist())
    found: list[int] = []
    size = min(wanted, len(split))
    # Masks are large and most of what there is may have none: look at no more than it takes.
    while len(found := _with_masks(split, split.subset(size).tolist())) < wanted:
        if size == len(split):
            raise InputError(
                f"{split.path} has {len(found)} images with a mask to calibrate on, not {wanted}; "
                "ask for fewer"
            )
        size = min(2 * size, len(split))
    return split.select(found[:wanted])


def _with_masks(split: PackedSplit, positions: list[int]) -> list[int]:
    found = []
    for start in range(0, len(positions), _CHUNK):
        chunk = positions[start : start + _CHUNK]
        masks = split.select(chunk).mask_values
        assert masks is not None  # asked before
        shares = (masks > 0).double().mean((1, 2)).tolist()
        found += [p for p, share in zip(chunk, shares, strict=True) if 0 < share < 1]
    return found
