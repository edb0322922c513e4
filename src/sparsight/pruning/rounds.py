"""The rounds of pruning: rewind point, dense network, and prune, rewind, retrain, check, write.

Mistakes of published code are behind switches (`PUBLISHED_BUGS` of `sparsight.pruning.registry`),
all off by default.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsight.data.packed import PackedSplit, load_training_split
from sparsight.io.checkpoints import (
    Checkpoint,
    Tensors,
    read_checkpoint,
    read_groups,
    write_checkpoint,
    write_groups,
)
from sparsight.io.errors import InputError, InvariantError
from sparsight.io.files import PACKAGE, package_file, write_json
from sparsight.io.gpu import choose_device, device_name, set_determinism
from sparsight.io.provenance import content_hash, provenance, sha256_of
from sparsight.io.tables import write_table
from sparsight.models.base import Architecture, build_network, tied_names
from sparsight.models.networks import load_network, traced_metadata
from sparsight.models.registry import MODELS
from sparsight.models.weights import read_weights, take_body, take_weights, weights_file
from sparsight.pruning.criteria import RandomOrder
from sparsight.pruning.masks import Step, dense_masks, densities, groups_of
from sparsight.pruning.observation import Calibration
from sparsight.pruning.quantisation import check_quantised, measured_bits, quantise, quantised
from sparsight.pruning.registry import (
    CRITERIA,
    DYNAMIC,
    ITERATIVE,
    ONE_SHOT,
    UNITS,
    UNSTRUCTURED,
    WHILE_TRAINING,
)
from sparsight.pruning.removal import measure_removal
from sparsight.pruning.schedules import MaskSchedule, mask_schedule
from sparsight.pruning.selection import Rule
from sparsight.pruning.structures import Units, find_units
from sparsight.rounding import FULL_BITS
from sparsight.training.distillation import Distillation, Teacher
from sparsight.training.evaluation import evaluate
from sparsight.training.loop import (
    Judge,
    Outcome,
    Recalibration,
    Recipe,
    Stream,
    TrainingData,
    cpu_state,
    derived_seed,
    recalibrate,
    train,
)

#: of the stage `pruning`: see `sparsight.study.versions`
VERSION = 1

#: owner of level 00, shared by all pruners
DENSE = "dense"
#: images per forward pass where a job does not say
DEFAULT_BATCH_SIZE = 500
#: images of a batch that is timed with and without the units that have fallen
TIMED_IMAGES = 8
#: value of `initial_weights` for torchvision's weights; other values are paths, or `random`
IMAGENET = "imagenet"
#: below it, the code of arXiv 2307.13698 takes a weight for pruned; the code that it follows: 1e-6
FROZEN_BELOW = 6e-7

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What every training job gets."""

    settings: Mapping[str, Any]  # configuration values of the job
    identity: Mapping[str, Any]  # study, dataset, model, pruner, seed, level
    version: Mapping[str, Any]  # versions of the stages and items that the job runs
    splits: Mapping[str, Path]  # packed splits by name ("train", "test", ...)
    device: torch.device  # where it runs

    @property
    def seed(self) -> int:
        """Seed of the network."""
        return int(self.identity["seed"])

    @property
    def level(self) -> int:
        """Level of the network; 0 is dense."""
        return int(self.identity["level"])

    @property
    def schedule(self) -> str:
        """When the weights of its level fall, as `sparsight.pruning.registry` names it."""
        return str(self.settings.get("schedule", ITERATIVE))

    @property
    def published_bugs(self) -> Collection[str]:
        """Mistakes of published code that this job repeats."""
        bugs: Collection[str] = self.settings.get("published_bugs", ())
        return bugs

    def fingerprint(self, *inputs: Path) -> str:
        """Identity of a training in progress: settings, versions, data and input files."""
        digests = [_file_digest(path) for path in (*self.splits.values(), *inputs)]
        return content_hash([dict(self.settings), dict(self.identity), dict(self.version), digests])


def _file_digest(path: Path) -> str:
    """Digest of a file; of ours, that of the header, which holds the digests of all its tensors."""
    if path.suffix != ".safetensors":
        return sha256_of(path)
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return content_hash(file.read(size).decode())


def start_job(
    settings: Mapping[str, Any],
    wildcards: Mapping[str, str],
    version: Mapping[str, Any],
    splits: Sequence[str | Path],
    gpu: int,
) -> Job:
    """Fix threads and determinism, choose the device, and name the packed splits.

    `settings` are the configuration's, `study` and `threads` among them; `wildcards` name dataset,
    model and seed, and pruner and level of a level other than dense; `version` has the versions of
    the stages and items that the job runs; `splits` are files `<split>.safetensors`; and `gpu` says
    how many GPUs the job was granted.
    """
    set_determinism(settings["threads"])
    whole = {"study": settings["study"], "pruner": DENSE, "level": "0", **dict(wildcards.items())}
    identity = {key: int(v) if key in ("seed", "level") else v for key, v in whole.items()}
    return Job(settings, identity, version, splits_by_name(splits), choose_device(gpu))


def splits_by_name(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Files `<split>.safetensors` by the name of the split."""
    return {Path(path).stem: Path(path) for path in paths}


def new_network(job: Job, class_count: int) -> Architecture:
    """The freshly initialised network of the job's seed."""
    architecture = MODELS.load(job.settings["architecture"])
    seed, options = derived_seed(job.seed, "initialisation"), job.settings.get("options")
    traced = job.settings.get("traced")
    return build_network(architecture, class_count, seed, options, traced).to(job.device)


def training_data(job: Job) -> tuple[TrainingData, str, int]:
    """The training split on the device, the hash of its data set and the number of classes."""
    path = job.splits["train"]
    with PackedSplit.open(path) as split:
        data_hash, class_count = split.data_hash, len(split.classes)
    images, labels = load_training_split(path, job.device)
    data = TrainingData(images, labels, job.settings["noise_maximum"], judges_of(job))
    return data, data_hash, class_count


def judges_of(job: Job) -> dict[str, Judge]:
    """The splits on which networks are judged after every epoch of their training.

    Those are the validation split, where it holds images, and the test split where a recipe selects
    by it.
    """
    recipes = [job.settings.get(key) or {} for key in ("training", "retraining")]
    by_test = any(recipe.get("select") == "best_test" for recipe in recipes)
    batch_size, found = job.settings.get("evaluation_batch_size", DEFAULT_BATCH_SIZE), {}
    for name in ("validation", "test") if by_test else ("validation",):
        if path := job.splits.get(name):
            with PackedSplit.open(path) as split:
                if len(split):
                    found[name] = Judge(path, batch_size, job.device)
    return found


def make_rewind_point(
    job: Job, output: Path, weights: Path | None = None, pretraining: Sequence[str | Path] = ()
) -> None:
    """Initialise a network, and pretrain it where the model says so.

    Writes `start.safetensors` with the groups `init` (the random initialisation) and `pretrained`
    (the shared start of all trainings: after pretraining, or the initialisation again).

    Parameters
    ----------
    weights : file of the initial weights, or its manifest; None where they are random, or in an
        installed package. The classifiers stay as drawn where the file's are for another number of
        classes, and with torchvision's ImageNet weights always; of all of ImageNet's, those of the
        setting `imagenet_classes` are taken. With the setting `untrained`, nothing trains the
        network later, and a classifier that does not fit is an InputError.
    pretraining : packed splits of another data set, on which the network is trained first.
    """
    started = time.perf_counter()
    data, data_hash, class_count = training_data(job)
    network = new_network(job, class_count)
    init = cpu_state(network)
    elsewhere = splits_by_name(pretraining)
    inputs = list(elsewhere.values())
    given = job.settings.get("initial_weights", "random")
    if weights is None and given.startswith(PACKAGE):
        weights = package_file(given)
    if weights is not None:
        path = weights_file(weights)
        inputs.append(path)
        classes, whole = job.settings.get("imagenet_classes", ()), "untrained" in job.settings
        found, keep = read_weights(path), given != IMAGENET
        kept = take_weights(network, found, path, keep, classes, whole)
        logger.info("weights of %s, classifier %s", path, "too" if kept else "as drawn")
    if elsewhere:
        _pretrain_elsewhere(job, network, elsewhere, output, inputs)
    state_file = output.with_name(".start.epoch_state.safetensors")
    if (recipe := job.settings["training"]) is not None:
        _train(job, network, data, recipe, "pretraining", state_file, inputs)
    facts = {"class_count": str(class_count), "data_hash": data_hash}
    write_groups(output, {"init": init, "pretrained": cpu_state(network)}, facts)
    state_file.unlink(missing_ok=True)
    logger.info("rewind point made in %.1f s", time.perf_counter() - started)


def _train(
    job: Job,
    network: Architecture,
    data: TrainingData,
    recipe: Mapping[str, Any],
    stage: str,
    state_file: Path,
    inputs: Sequence[Path],
    **options: Any,
) -> Outcome:
    """Train by a recipe; an interrupted training of the same job and inputs is continued."""
    return train(
        network,
        data,
        Recipe(**recipe),
        Stream(job.seed, stage),
        state_file=state_file,
        fingerprint=job.fingerprint(*inputs),
        **{"masks": {}, **options},
    )


def _pretrain_elsewhere(
    job: Job, network: Architecture, splits: dict[str, Path], output: Path, inputs: Sequence[Path]
) -> None:
    """Train on another data set, and take all that was learnt there but the classifiers.

    The job's setting `pretraining` holds dataset, recipe and noise_maximum; `network`, of the
    study's classes, is changed in place.
    """
    facts = job.settings["pretraining"]
    changed = {"noise_maximum": facts["noise_maximum"], "training": facts["recipe"]}
    settings = {**job.settings, **changed, "retraining": None}
    elsewhere = replace(job, settings=settings, splits=splits)
    data, _, class_count = training_data(elsewhere)
    other = new_network(elsewhere, class_count)
    take_body(other, network)
    state_file = output.with_name(".pretraining.epoch_state.safetensors")
    stage = f"pretraining/{facts['dataset']}"
    _train(job, other, data, facts["recipe"], stage, state_file, inputs)
    take_body(network, other)
    state_file.unlink(missing_ok=True)


def make_epoch_point(job: Job, start: Path, epoch: int, output: Path) -> None:
    """Train the shared start for `epoch` epochs of the retraining recipe: the point `epoch:k`.

    These are the first epochs of the dense network's own training: same batches, same noise.
    """
    data, _, class_count = training_data(job)
    network = new_network(job, class_count)
    network.load_state_dict(read_groups(start)["pretrained"])
    state_file = output.with_name(f".{output.stem}.epoch_state.safetensors")
    recipe, stage = job.settings["retraining"], "dense/level00"
    _train(job, network, data, recipe, stage, state_file, [start], last_epoch=epoch)
    write_groups(output, {f"epoch:{epoch}": cpu_state(network)}, {"class_count": str(class_count)})
    state_file.unlink(missing_ok=True)


def train_dense(job: Job, start: Path, folder: Path) -> None:
    """Level 00, shared by all pruners: the retraining recipe from the start, nothing pruned."""
    point = read_groups(start)["pretrained"]
    _run_round(job, folder, [start], lambda network, _: Pruned(point, dense_masks(network)))


def prune_level(
    job: Job, start: Path, previous: Path, folder: Path, teacher: Path | None = None
) -> None:
    """One round: score the trained weights, prune, rewind, retrain, check, evaluate, write.

    Where the pruner says so, weights are quantised before the evaluation. Without a criterion
    nothing falls.

    `start` holds the rewind points that the pruner needs, `previous` is the predecessor's
    checkpoint, and the level is written into `folder`. A recipe of 0 epochs does not retrain. Where
    the pruner says so, statistics of batch normalisation are measured anew on the network as it is
    then. Masks, start or trained weights that break an invariant of the design are an
    InvariantError.

    With `teacher`, the checkpoint of the dense network, the level learns from that too, as the
    setting `distillation` says.
    """
    predecessor = read_checkpoint(previous)
    points = read_groups(start)
    rewind = job.settings["rewind"]

    def prune(network: Architecture, data: TrainingData) -> Pruned:
        # Dense networks, which all pruners share, have no masks of normalisation layers.
        norm_layers = "norm_layers_pruned" in job.published_bugs
        before = {**dense_masks(network, norm_layers), **predecessor.masks}
        point = rewind_point(rewind, points, predecessor.weights)
        if "aliased_biases" in job.published_bugs:
            point = with_aliased_biases(point, predecessor.weights, job.level)
        if "criterion" not in job.settings:
            return Pruned(point, before)
        if "no_mask_in_training" in job.published_bugs:
            return Pruned(point, _regrown_masks(job, predecessor.weights, before))
        scored = point if job.schedule not in (ITERATIVE, ONE_SHOT) else predecessor.weights
        network.load_state_dict(scored)
        return _pruned(job, network, data, point, before)

    kind, _, epoch = rewind.partition(":")
    first_epoch = int(epoch) if kind == "epoch" else 0
    inputs = [start, previous, *([teacher] if teacher else [])]
    taught_by = teacher_of(job, teacher) if teacher else None
    _run_round(job, folder, inputs, prune, first_epoch, taught_by)


def teacher_of(job: Job, checkpoint: Path) -> Teacher:
    """The network of a checkpoint as the job's settings have it teach."""
    network = load_network(checkpoint, job.device)
    return Teacher(network, Distillation(**job.settings["distillation"]))


def rewind_point(rewind: str, points: dict[str, Tensors], predecessor: Tensors) -> Tensors:
    """State (parameters and buffers) to which a round goes back before its mask is applied.

    `rewind` is `init` (the random initialisation), `pretrained` (the shared start: after
    pretraining, where there is any), `epoch:k` (the start trained for k epochs by the retraining
    recipe), or `none` (`predecessor`, the state of the level before: fine-tuning). A point that is
    not among `points` is an InputError.
    """
    if rewind == "none":
        return predecessor
    if rewind not in points:
        raise InputError(
            f"the rewind point '{rewind}' is not in the start files (they hold {', '.join(points)})"
        )
    return points[rewind]


@dataclass(frozen=True)
class Pruned:
    """Where a round's training starts.

    Attributes
    ----------
    point : state (parameters and buffers) at the rewind point; masks are not applied yet.
    masks : prunable parameter to bool, as training starts.
    change_masks : of a schedule that changes them while the network trains.
    units : of the network, where whole units fall.
    """

    point: Tensors
    masks: Tensors
    change_masks: MaskSchedule | None = None
    units: Units | None = None


def rule_of(job: Job) -> Rule:
    """How the job's pruner chooses weights."""
    settings = job.settings
    criterion = CRITERIA.load(settings["criterion"])()
    return Rule(criterion, settings["scope"], settings.get("structure", UNSTRUCTURED))


def _pruned(
    job: Job, network: Architecture, data: TrainingData, point: Tensors, before: Tensors
) -> Pruned:
    """Choose what falls of the network, checked against the invariants."""
    settings, rule = job.settings, rule_of(job)
    subset = None
    if facts := settings.get("calibration"):
        whole = Calibration(data.images, data.labels, facts["batch_size"])
        subset = whole.drawn(facts["images"], job.seed)
    shape = data.images.shape[1:]
    units = find_units(network, shape) if rule.structure == UNITS else None

    def select(network: nn.Module, masks: Tensors, step: Step) -> tuple[Tensors, Tensors]:
        found, weights = rule.select(network, masks, step, job.seed, subset, shape, units)
        if rule.structure == UNSTRUCTURED:
            for group in groups_of(masks, step, rule.scope):
                old, new = ({name: part[name] for name in group.names} for part in (masks, found))
                rows = len(masks[group.names[0]]) if group.rows else 1
                check_masks(old, new, rows * group.falling)
        else:
            check_masks(masks, found)
        return found, weights

    step = Step(settings["rate"], settings["density"], "openlth_threshold" in job.published_bugs)
    if job.schedule not in WHILE_TRAINING:
        masks, weights = select(network, before, step)
        point = {**point, **weights} if rule.criterion.adapts_weights else point
        return Pruned(point, masks, units=units)

    def prune_to(network: nn.Module, masks: Tensors, density: float) -> Tensors:
        return select(network, masks, Step(density=density))[0]

    updates = settings["mask_updates"]
    schedule = mask_schedule(job.schedule, updates, job.seed, settings["density"], prune_to)
    if job.schedule in DYNAMIC:
        first = Rule(RandomOrder(), rule.scope)
        before, _ = first.select(network, before, step, job.seed)
    return Pruned(point, before, schedule)


def _regrown_masks(job: Job, weights: Tensors, before: Tensors) -> Tensors:
    masks = masks_of_regrown(weights, before, job.settings["rate"], job.settings["scope"])
    check_masks(before, masks)
    return masks


def _run_round(
    job: Job,
    folder: Path,
    inputs: Sequence[Path],
    prune: Callable[[Architecture, TrainingData], Pruned],
    first_epoch: int = 0,
    teacher: Teacher | None = None,
) -> None:
    """Prune, retrain from the rewind point and write everything that belongs to the level.

    The round depends on the files `inputs`. `prune` gets the job's initialised network, which it
    may change.
    """
    data, data_hash, class_count = training_data(job)
    network = new_network(job, class_count)
    pruned = prune(network, data)
    point, masks, units = pruned.point, pruned.masks, pruned.units
    # what falls with whole units: the checkpoint's masks and densities do not count it
    zeroed = {**masks, **(units.further_masks(masks) if units else {})}
    started = time.perf_counter()
    network.load_state_dict(point)
    with torch.no_grad():
        for name, mask in zeroed.items():
            network.get_parameter(name).mul_(mask.to(job.device))
    check_start(network, point, zeroed)
    start = cpu_state(network)
    held = {} if "no_mask_in_training" in job.published_bugs else zeroed
    frozen = "negative_weights_frozen" in job.published_bugs
    state_file = folder / ".epoch_state.safetensors"
    logger.info("density %.5f", Checkpoint(start, masks).density)
    outcome = _train(
        job,
        network,
        data,
        _recipe(job),
        f"{job.identity['pruner']}/level{job.level:02d}",
        state_file,
        inputs,
        masks=held,
        first_epoch=first_epoch,
        after_backward=freeze_negative_weights if frozen else None,
        change_masks=pruned.change_masks,
        teacher=teacher,
    )
    regrows = job.schedule in DYNAMIC
    if pruned.change_masks is not None:
        held = masks = outcome.masks
        logger.info("density %.5f", Checkpoint(start, masks).density)
    check_trained(network, start, held, negatives_train=not frozen, regrows=regrows)
    if facts := job.settings.get("recalibrate_batch_norm"):
        before = cpu_state(network)
        measured = recalibrate(network, data.images, Recalibration(**facts), job.seed)
        check_recalibrated(network, before, measured)
        logger.info("%d statistics of batch normalisation measured anew", len(measured))
    if bits := job.settings.get("bits"):
        before = cpu_state(network)
        quantise(network, masks, bits)
        check_quantised(network, before, masks, bits)
        if outcome.last is not None:
            tied = tied_names(network)
            last = {
                name: quantised(value, bits) if tied.get(name, name) in masks else value
                for name, value in outcome.last.items()
            }
            outcome = replace(outcome, last=last)
    removal = _removal(job, network, units, masks) if units and units.removable else None
    write_level(job, network, masks, folder, data_hash, started, outcome, removal=removal)
    state_file.unlink(missing_ok=True)


def _removal(
    job: Job, network: nn.Module, units: Units, masks: Tensors
) -> Mapping[str, int | float] | None:
    """What removing the fallen channels saves; None, with a warning, where that is impossible."""
    with PackedSplit.open(job.splits["test"]) as split:
        images = split.select(torch.arange(TIMED_IMAGES) % len(split)).images("clean")
    try:
        return measure_removal(network, units, masks, images)
    except InputError as error:
        logger.warning("%s; what removal saves stays empty", error)
        return None


def _recipe(job: Job) -> Mapping[str, Any]:
    recipe: Mapping[str, Any] = job.settings["retraining"]
    if "schedule_never_restarted" in job.published_bugs:
        return continued_recipe(recipe, job.level)
    if "stale_schedule" in job.published_bugs:
        return {**recipe, "schedule": {"name": "constant"}}  # the initial rate throughout
    return recipe


def check_masks(before: Tensors, after: Tensors, expected: int | None = None) -> None:
    """Masks are nested, and exactly the `expected` number of weights fell.

    None where published code, whose mistake is repeated, lets an unforeseeable number fall.
    """
    fallen = 0
    for name, mask in after.items():
        if (mask & ~before[name]).any():
            raise InvariantError(f"masks are not nested: a pruned weight of {name} came back")
        fallen += int(before[name].sum()) - int(mask.sum())
    if expected is not None and fallen != expected:
        raise InvariantError(f"{fallen} weights of {', '.join(after)} fell, not {expected}")


def check_start(network: nn.Module, point: Tensors, masks: Tensors) -> None:
    """A round starts at its rewind point: what is not prunable is equal, the rest is masked."""
    tied = tied_names(network)
    for name, value in network.state_dict().items():
        expected = point[name].to(value.device)
        if (mask := masks.get(tied.get(name, name))) is not None:
            expected = expected * mask.to(value.device)
        if not torch.equal(value, expected):
            raise InvariantError(f"{name} does not start the round at its rewind point")


def check_recalibrated(network: nn.Module, before: Tensors, measured: Collection[str]) -> None:
    """Recalibration changes statistics of batch normalisation, and nothing else."""
    for name, value in network.state_dict().items():
        if name not in measured and not torch.equal(value.cpu(), before[name].cpu()):
            raise InvariantError(f"recalibration has changed {name}, which is no statistic")
        if not torch.isfinite(value).all():
            raise InvariantError(f"{name} is not finite after recalibration")


def check_trained(
    network: nn.Module,
    start: Tensors,
    masks: Tensors,
    negatives_train: bool = True,
    regrows: bool = False,
) -> None:
    """Pruned weights are zero, survivors are not, and negative weights have trained.

    A survivor that was zero at the start may have stayed so: files of dense networks hold a few
    zeros, and those of dead channels get no gradient. `start` is the masked state at the start of
    the round; `negatives_train` is False where a mistake of published code freezes them; where a
    weight that had fallen `regrows`, it starts at zero again.
    """
    moved_negative = moved_positive = negatives = 0
    state = network.state_dict()
    for name, mask in masks.items():
        trained = state[name].cpu()
        first = start[name].cpu()
        stayed = mask & ((first == 0) | regrows) & (trained == 0)
        if not torch.equal((trained != 0) | stayed, mask):
            raise InvariantError(f"the non-zero weights of {name} are not those of its mask")
        moved = trained != first
        negatives += int((first < 0).sum())
        moved_negative += int((moved & (first < 0)).sum())
        moved_positive += int((moved & (first > 0)).sum())
    # With few survivors all negative ones may belong to dead units; chance cannot do that to many.
    if negatives_train and negatives >= 20 and moved_positive and not moved_negative:
        raise InvariantError("no negative weight has trained")


def write_level(
    job: Job,
    network: Architecture,
    masks: Tensors,
    folder: Path,
    data_hash: str,
    started: float,
    outcome: Outcome | None = None,
    *,
    given: Path | None = None,
    sizes: Mapping[str, int] | None = None,
    removal: Mapping[str, int | float] | None = None,
) -> None:
    """Evaluate a trained network and write checkpoint, predictions, evaluation and provenance.

    The round began at `started` (`time.perf_counter()`); `outcome` is that of its training. A
    network that was not trained here has the file that it was `given` in, and the `sizes` of the
    dense network's parameters (`densities`). `removal` is what `measure_removal` has found.
    """
    paths = [path for _, path in sorted(job.splits.items())]
    batch_size = job.settings["evaluation_batch_size"]
    splits, columns = evaluate(network, paths, batch_size, job.device)
    metadata = {
        **{key: str(value) for key, value in job.identity.items()},
        "architecture": job.settings["architecture"],
        "class_count": str(network.class_count),
        "options": json.dumps(dict(network.options), sort_keys=True),
        **traced_metadata(network),
        "rewind": str(job.settings.get("rewind", "pretrained")),
        "epochs": str(job.settings["retraining"]["epochs"]),
    }
    if given is not None:
        metadata["given"] = str(given)
    weights = cpu_state(network)
    if (bits := measured_bits({name: weights[name] for name in masks})) < FULL_BITS:
        metadata["bits"] = str(bits)
    if sizes is not None and any(sizes[name] != mask.numel() for name, mask in masks.items()):
        metadata["prunable"] = str(sum(sizes[name] for name in masks))
    checkpoint = Checkpoint(weights, masks, metadata)
    content = {
        **{key: job.identity[key] for key in sorted(job.identity)},
        "splits": splits,
        "density": densities(network, masks, sizes),
        "bits": bits,
        "surviving": checkpoint.surviving,
        "prunable": checkpoint.prunable,
    }
    if removal is not None:
        content["removal"] = dict(removal)
    if outcome is not None:
        facts = {"rule": outcome.rule, "epoch": outcome.epoch, "history": outcome.history}
        if outcome.last is not None:  # what taking the last epoch's network would have given
            network.load_state_dict(outcome.last)
            measured, _ = evaluate(network, paths, batch_size, job.device)
            facts["last"] = {"epoch": outcome.history[-1]["epoch"], "splits": measured}
            network.load_state_dict(checkpoint.weights)
        content["selection"] = facts
    seconds = time.perf_counter() - started
    write_checkpoint(folder / "checkpoint.safetensors", checkpoint)
    write_table(folder / "predictions.parquet", columns)
    write_json(folder / "evaluation.json", content)
    written = ("checkpoint.safetensors", "evaluation.json", "predictions.parquet")
    digests = {name: sha256_of(folder / name) for name in written}
    device = device_name(job.device)
    write_json(
        folder / "provenance.json",
        provenance(job.settings, job.version, seconds, device, job.seed, data_hash, digests),
    )


def masks_of_regrown(weights: Tensors, masks: Tensors, rate: float, scope: str) -> Tensors:
    """Masks after a round of `no_mask_in_training`.

    The threshold is the percentile 100 * `rate` (linear interpolation) of the magnitudes of all
    `weights` that are not exactly zero, regrown ones included, whether their mask is set or not;
    one for all layers or one for each, by `scope`. Weights below it lose their mask, and those
    whose mask was cleared before do not get it back.
    """
    found: Tensors = {}
    for names in [[name] for name in masks] if scope == "layer" else [list(masks)]:
        magnitudes = torch.cat([weights[name].detach().flatten().abs().double() for name in names])
        nonzero = magnitudes[magnitudes != 0].numpy()
        # torch.quantile refuses more than 16 million values
        threshold = np.quantile(nonzero, rate) if len(nonzero) else 0
        for name in names:
            found[name] = masks[name] & (weights[name].detach().abs().double() >= threshold)
    return found


def with_aliased_biases(point: Tensors, predecessor: Tensors, level: int) -> Tensors:
    """The rewind point of a round under `aliased_biases`.

    Biases of all layers, those of normalisation layers too, come from the trained predecessor from
    the second round on; in the first they are still those that were saved.
    """
    if level < 2:
        return point
    return {
        name: predecessor[name] if name.rpartition(".")[2] == "bias" else value
        for name, value in point.items()
    }


def continued_recipe(recipe: Mapping[str, Any], level: int) -> dict[str, Any]:
    """The recipe of a round under `schedule_never_restarted`.

    The rate falls as if all rounds so far, the dense network's too, were one training: round k's
    schedule begins after k times the recipe's epochs.

    Raises InputError for a schedule that does not fall in steps.
    """
    schedule = recipe.get("schedule", {"name": "constant"})
    name, done, epochs = schedule["name"], level * recipe["epochs"], recipe["epochs"]
    if name == "constant":
        return dict(recipe)
    if name not in ("step", "multi_step"):
        raise InputError(
            f"schedule_never_restarted knows no continuation of the schedule '{name}'; take step "
            "or multi_step"
        )
    milestones = schedule.get("milestones", ())
    if name == "step":
        milestones = range(schedule["every"], done + epochs, schedule["every"])
    rate = recipe["optimiser"]["learning_rate"]
    for _ in (milestone for milestone in milestones if milestone <= done):
        rate *= schedule["factor"]
    ahead = [milestone - done for milestone in milestones if milestone > done]
    return {
        **recipe,
        "optimiser": {**recipe["optimiser"], "learning_rate": rate},
        "schedule": {"name": "multi_step", "milestones": ahead, "factor": schedule["factor"]},
    }


def freeze_negative_weights(network: nn.Module) -> None:
    """Take the gradient from every weight below `FROZEN_BELOW`, between backward pass and step.

    The public code means the pruned weights, and forgets the absolute value. Weights of all layers
    are concerned, those of normalisation layers too, biases are not. What the optimiser adds of its
    own stays: weight decay shrinks the frozen weights, and momentum carries on a weight that has
    just become negative.
    """
    for name, parameter in network.named_parameters():
        if name.rpartition(".")[2] == "weight" and parameter.grad is not None:
            parameter.grad.masked_fill_(parameter.detach() < FROZEN_BELOW, 0)
