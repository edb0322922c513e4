"""The jobs of the pruning chain: rewind point, dense network, one level."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sparsight.io.checkpoints import (
    Checkpoint,
    Tensors,
    read_checkpoint,
    read_groups,
    write_groups,
)
from sparsight.models.base import Architecture
from sparsight.models.weights import weights_file
from sparsight.pruning.invariants import (
    check_masks,
    check_recalibrated,
    check_start,
    check_trained,
)
from sparsight.pruning.level_files import write_level
from sparsight.pruning.masks import Step, dense_masks, next_masks
from sparsight.pruning.mistakes import (
    continued,
    freeze_negative_weights,
    masks_of_regrown,
    stale,
    with_aliased_biases,
)
from sparsight.pruning.pretraining import pretrain_elsewhere, take_initial_weights
from sparsight.pruning.registry import CRITERIA
from sparsight.pruning.rewinding import rewind_point, rewound_epoch
from sparsight.pruning.training_job import (
    Job,
    new_network,
    splits_by_name,
    state_of,
    training_data,
)
from sparsight.training.loop import Stream, TrainingData, train
from sparsight.training.recalibration import Recalibration, recalibrate
from sparsight.training.recipe import Recipe

#: of the stage `pruning`: see `sparsight.study.versions`
VERSION = 1

logger = logging.getLogger(__name__)


def make_rewind_point(
    job: Job, output: Path, weights: Path | None = None, pretraining: Sequence[str | Path] = ()
) -> None:
    """Initialise a network, and pretrain it where the model says so.

    Writes `start.safetensors` with the groups `init` (the random initialisation) and `pretrained`
    (the shared start of all trainings: after pretraining, or the initialisation again).

    Parameters
    ----------
    weights : file of the initial weights, or its manifest; None where they are random.
    pretraining : packed splits of another data set, on which the network is trained first.
    """
    started = time.perf_counter()
    data, data_hash, class_count = training_data(job)
    network = new_network(job, class_count)
    init = state_of(network)
    state_file = output.with_name(".start.epoch_state.safetensors")
    elsewhere = splits_by_name(pretraining)
    inputs = list(elsewhere.values())
    if weights is not None:
        inputs.append(weights_file(weights))
        take_initial_weights(job, network, inputs[-1])
    if elsewhere:
        earlier = output.with_name(".pretraining.epoch_state.safetensors")
        pretrain_elsewhere(job, network, elsewhere, earlier, job.fingerprint(*inputs))
    if job.settings["training"] is not None:
        recipe = Recipe(**job.settings["training"])
        train(
            network,
            data,
            recipe,
            Stream(job.seed, "pretraining"),
            masks={},
            state_file=state_file,
            fingerprint=job.fingerprint(*inputs),
        )
    facts = {"class_count": str(class_count), "data_hash": data_hash}
    write_groups(output, {"init": init, "pretrained": state_of(network)}, facts)
    state_file.unlink(missing_ok=True)
    logger.info("rewind point made in %.1f s", time.perf_counter() - started)


def make_epoch_point(job: Job, start: Path, epoch: int, output: Path) -> None:
    """Train the shared start for `epoch` epochs of the retraining recipe: the point `epoch:k`.

    These are the first epochs of the dense network's own training: same batches, same noise.
    """
    data, _, class_count = training_data(job)
    network = new_network(job, class_count)
    network.load_state_dict(read_groups(start)["pretrained"])
    recipe = Recipe(**job.settings["retraining"])
    stream = Stream(job.seed, "dense/level00")
    state_file = output.with_name(f".{output.stem}.epoch_state.safetensors")
    train(
        network,
        data,
        recipe,
        stream,
        masks={},
        last_epoch=epoch,
        state_file=state_file,
        fingerprint=job.fingerprint(start),
    )
    write_groups(output, {f"epoch:{epoch}": state_of(network)}, {"class_count": str(class_count)})
    state_file.unlink(missing_ok=True)


def train_dense(job: Job, start: Path, folder: Path) -> None:
    """Level 00, shared by all pruners: the retraining recipe from the start, nothing pruned."""
    points = read_groups(start)
    data, data_hash, class_count = training_data(job)
    network = new_network(job, class_count)
    masks = dense_masks(network)
    point = points["pretrained"]
    _run_round(job, network, point, masks, data, folder, 0, data_hash, job.fingerprint(start))


def prune_level(job: Job, start: Path, previous: Path, folder: Path) -> None:
    """One round: score the trained weights, prune, rewind, retrain, check, evaluate, write.

    A recipe of 0 epochs does not retrain. Where the pruner says so, statistics of batch
    normalisation are measured anew on the network as it is then.

    Parameters
    ----------
    start : file with the rewind points that the pruner needs.
    previous : checkpoint of the predecessor.
    folder : the level's folder.

    Raises
    ------
    InvariantError
        When the masks, the start or the trained weights break an invariant of the design.
    """
    settings, bugs = job.settings, job.settings["published_bugs"]
    predecessor = read_checkpoint(previous)
    points = read_groups(start)
    data, data_hash, class_count = training_data(job)
    network = new_network(job, class_count)
    # Dense networks, which all pruners share, have no masks of normalisation layers.
    before = {**dense_masks(network, "norm_layers_pruned" in bugs), **predecessor.masks}
    prunable = {name: predecessor.weights[name] for name in before}
    masks = _pruned(job, prunable, before)
    point = rewind_point(settings["rewind"], points, predecessor.weights)
    if "aliased_biases" in bugs:
        point = with_aliased_biases(point, predecessor.weights, int(job.identity["level"]))
    first_epoch = rewound_epoch(settings["rewind"])
    fingerprint = job.fingerprint(start, previous)
    _run_round(job, network, point, masks, data, folder, first_epoch, data_hash, fingerprint)


def _pruned(job: Job, weights: Tensors, before: Tensors) -> Tensors:
    """Masks after this round's pruning, checked against the invariants."""
    settings, bugs = job.settings, job.settings["published_bugs"]
    if "no_mask_in_training" in bugs:
        masks = masks_of_regrown(weights, before, settings["rate"], settings["scope"])
        check_masks(before, masks)
        return masks
    step = Step(settings["rate"], settings["density"], "openlth_threshold" in bugs)
    scores = CRITERIA.load(settings["criterion"])().scores(weights, job.seed)
    masks = next_masks(scores, before, step, settings["scope"])
    check_masks(before, masks, _expected(before, step, settings["scope"]))
    return masks


def _expected(masks: Tensors, step: Step, scope: str) -> dict[str, int] | int:
    counts = {name: (int(mask.sum()), mask.numel()) for name, mask in masks.items()}
    if scope == "layer":
        return {name: step.falling(*count) for name, count in counts.items()}
    return step.falling(sum(c[0] for c in counts.values()), sum(c[1] for c in counts.values()))


def _run_round(
    job: Job,
    network: Architecture,
    point: Tensors,
    masks: Tensors,
    data: TrainingData,
    folder: Path,
    first_epoch: int,
    data_hash: str,
    fingerprint: str,
) -> None:
    """Retrain from `point` under `masks` and write everything that belongs to the level."""
    started = time.perf_counter()
    bugs = job.settings.get("published_bugs", ())
    network.load_state_dict(point)
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask.to(parameters[name].device))
    check_start(network, point, masks)
    start = state_of(network)
    recipe = Recipe(**_recipe(job))
    held = {} if "no_mask_in_training" in bugs else masks
    frozen = "negative_weights_frozen" in bugs
    stage = f"{job.identity['pruner']}/level{int(job.identity['level']):02d}"
    state_file = folder / ".epoch_state.safetensors"
    logger.info("density %.5f", Checkpoint(start, masks).density)
    outcome = train(
        network,
        data,
        recipe,
        Stream(job.seed, stage),
        masks=held,
        first_epoch=first_epoch,
        state_file=state_file,
        fingerprint=fingerprint,
        after_backward=freeze_negative_weights if frozen else None,
    )
    check_trained(network, start, held, negatives_train=not frozen)
    if facts := job.settings.get("recalibrate_batch_norm"):
        _recalibrate(job, network, data, Recalibration(**facts))
    write_level(job, network, masks, folder, data_hash, started, outcome)
    state_file.unlink(missing_ok=True)


def _recalibrate(job: Job, network: Architecture, data: TrainingData, facts: Recalibration) -> None:
    before = state_of(network)
    measured = recalibrate(network, data.images, facts, job.seed)
    check_recalibrated(network, before, measured)
    logger.info("%d statistics of batch normalisation measured anew", len(measured))


def _recipe(job: Job) -> dict[str, Any]:
    recipe, bugs = dict(job.settings["retraining"]), job.settings.get("published_bugs", ())
    if "schedule_never_restarted" in bugs:
        return continued(recipe, int(job.identity["level"]))
    return stale(recipe) if "stale_schedule" in bugs else recipe
