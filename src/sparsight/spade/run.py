"""The job of sample-targeted pruning: explaining images, each on a copy pruned for it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsight.data.packed import PackedSplit
from sparsight.explain.run import explain_family
from sparsight.io.entries import Wanted, present, with_items
from sparsight.io.files import atomic_path
from sparsight.io.gpu import choose_device, set_determinism
from sparsight.io.tables import write_table
from sparsight.models.networks import load_network
from sparsight.spade.copies import OnPrunedCopies

Settings = Mapping[str, Any]


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
    explaining = OnPrunedCopies.from_settings(chosen, network, image, sparsities)
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
    rows = [{**identity, **row} for row in explaining.rows]
    write_table(fidelity, {key: [row[key] for row in rows] for key in rows[0]})
