"""How a network is trained: recipe, random numbers, loop, and statistics measured anew.

The data are in memory, masks are held at every step, and a training is resumable after every epoch.
"""

import hashlib
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, StepLR

from sparsight.data.packed import load_training_split
from sparsight.io.checkpoints import Tensors, read_state, write_state
from sparsight.io.errors import InputError, hint
from sparsight.models.base import Architecture, batch_norms
from sparsight.registration import checked_parameters
from sparsight.training.augmentation import augment
from sparsight.training.distillation import Teacher, maps_of
from sparsight.training.options import OPTIMISERS, SCHEDULES, SELECTIONS

#: of the stage `training`: see `sparsight.study.versions`
VERSION = 2
#: channels that oneDNN's AVX2 kernels take at a time
_BLOCK = 8

logger = logging.getLogger(__name__)
AfterBackward = Callable[[nn.Module], None]


@dataclass
class Held:
    """Weights that are held at zero in a training in progress.

    Attributes
    ----------
    network : in training.
    parameters : each parameter with a mask, by name; gradients are those of the last batch.
    masks : bool, on the device, by the same names; what `change` of a training changes in place.
    optimiser : of the training.
    steps : of the whole training.
    """

    network: nn.Module
    parameters: Mapping[str, nn.Parameter]
    masks: Mapping[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    steps: int

    @torch.no_grad()
    def hold(self) -> None:
        """Set what has fallen to zero."""
        for name, mask in self.masks.items():
            self.parameters[name].mul_(mask)

    @property
    def density(self) -> float:
        """Share of the weights with a mask that are there; 1 without any.

        Biases and normalisation that fall with whole units, vectors, are not counted.
        """
        counted = [mask for mask in self.masks.values() if mask.ndim > 1]
        whole = sum(mask.numel() for mask in counted)
        return sum(int(mask.sum()) for mask in counted) / whole if whole else 1.0


#: changes masks after a step, whose number from 1 on it gets
ChangeMasks = Callable[[Held, int], None]


def derived_seed(*parts: str | int) -> int:
    """A 63-bit seed that depends on all `parts` (seed, pruner, level, epoch, purpose).

    Streams are named and not consumed in turn, so that a training resumed at epoch k draws what an
    unbroken one draws.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device, *parts: str | int) -> torch.Generator:
    """A generator on `device` seeded by `derived_seed(*parts)`."""
    return torch.Generator(device).manual_seed(derived_seed(*parts))


def _chosen(
    kind: str, tables: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The name and all parameters of a recipe's optimiser or schedule."""
    name = str(given.get("name"))
    if name not in tables:
        raise InputError(f"unknown {kind} '{name}'{hint(name, tables)}")
    own = {key: value for key, value in given.items() if key != "name"}
    return name, checked_parameters(f"{kind} {name}", tables[name], own)


@dataclass(frozen=True)
class Recipe:
    """One entry `training` or `retraining` of a model in the configuration.

    Attributes
    ----------
    epochs : passes over the training split; with 0 nothing is trained, and all else is unused.
    batch_size : images a step; the last batch of an epoch may be smaller.
    optimiser : `{name: sgd, learning_rate, momentum, weight_decay}` or `{name: adamw | ranger,
        learning_rate, weight_decay, betas, epsilon}`.
    schedule : `{name: constant}`, `{name: multi_step, milestones: [epochs], factor}`, `{name: step,
        every: epochs, factor}` or `{name: cosine, minimum_rate}`; the rate changes between epochs.
    noise : whether zero pixels get noise, drawn anew for every batch.
    augment : `{random_resized_crop: {scale, ratio}, flip: true, colour_jitter: {brightness,
        contrast, saturation, hue}}`; see `sparsight.training.augmentation`.
    label_smoothing : share of the label that is spread evenly over all classes, 0 to 1.
    channels_last : whether convolutions work on images with the channels innermost in memory,
        where that is faster and the network bears it (`memory_format`). It changes rounding only.
    autocast : whether a GPU computes in bfloat16 where that is safe; a CPU never does. The weights,
        and all explaining and scoring, stay float32.
    select : which epoch's network is kept: `last`; `best_validation`, the earliest of highest
        accuracy on the clean validation split; or `best_test`, the same on the test split. The
        latter is a mistake of published code, kept to measure what it does: the reported accuracy
        was itself chosen to be high.
    """

    epochs: int
    batch_size: int = 1
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"name": "constant"})
    noise: bool = False
    augment: Mapping[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0
    channels_last: bool = True
    autocast: bool = False
    select: str = "last"

    def build_optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser without state.

        `sgd` adds the weight decay to the gradient, `adamw` and `ranger` shrink the weights
        (decoupled).

        Reference
        ---------
        AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101. Ranger: rectified Adam (Liu et al.
        2020, arXiv 1908.03265) with lookahead (Zhang et al. 2019, arXiv 1907.08610; six steps, half
        way) and gradient centralisation (Yong et al. 2020, arXiv 2004.01461).
        """
        name, facts = _chosen("optimiser", OPTIMISERS, self.optimiser)
        rate, decay = facts["learning_rate"], facts["weight_decay"]
        if name == "sgd":
            return torch.optim.SGD(
                parameters, lr=rate, momentum=facts["momentum"], weight_decay=decay
            )
        adaptive = {"betas": tuple(facts["betas"]), "eps": facts["epsilon"], "weight_decay": decay}
        if name == "adamw":
            return torch.optim.AdamW(parameters, lr=rate, **adaptive)
        # late: two thirds of a second that other optimisers need not pay
        from pytorch_optimizer import Ranger

        # Before the variance can be rectified, Ranger takes plain momentum steps, as its author's
        # code does. The library's default takes them with the wrong sign: the first go uphill.
        return Ranger(parameters, lr=rate, degenerated_to_sgd=True, **adaptive)

    def build_schedule(self, optimiser: torch.optim.Optimizer, first_epoch: int) -> LRScheduler:
        """A fresh schedule bound to `optimiser`, advanced to `first_epoch`.

        It is advanced step by step, so that the rates are bit for bit those of an unbroken
        training. `cosine` falls from the learning rate in epoch 0 towards `minimum_rate`, which it
        would reach in epoch `epochs` (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5).
        """
        name, facts = _chosen("schedule", SCHEDULES, self.schedule)
        schedule: LRScheduler
        if name == "cosine":
            schedule = CosineAnnealingLR(
                optimiser, T_max=self.epochs, eta_min=facts["minimum_rate"]
            )
        elif name == "step":
            schedule = StepLR(optimiser, step_size=facts["every"], gamma=facts["factor"])
        else:
            milestones = list(facts.get("milestones", []))
            schedule = MultiStepLR(optimiser, milestones=milestones, gamma=facts.get("factor", 1.0))
        with warnings.catch_warnings():
            # torch warns of a schedule that steps before its optimiser; when resuming, it must
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(first_epoch):
                schedule.step()
        return schedule


def memory_format(network: nn.Module, recipe: Recipe) -> torch.memory_format:
    """How the network's device keeps images and maps during training.

    `torch.channels_last` unless the recipe says no: on a CPU always, on a GPU with `autocast` only,
    since its kernels for bfloat16 work so, and those for float32 need not gain.

    oneDNN's backward pass of a strided 1x1 convolution with fewer input channels than a block
    writes past its workspace, on processors with AVX2 and without AVX-512, when the channels are
    innermost (github.com/uxlfoundation/oneDNN/issues/6035, seen with torch 2.15): the heap is
    corrupted, silently at first. Networks with such a layer stay contiguous, on every machine.
    """
    corrupting = any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels // module.groups < _BLOCK
        for module in network.modules()
    )
    on_gpu = any(parameter.is_cuda for parameter in network.parameters())
    faster = recipe.autocast or not on_gpu
    if recipe.channels_last and faster and not corrupting:
        return torch.channels_last
    return torch.contiguous_format


class Stopwatch:
    """Time of an epoch's two phases: making batches, and learning from them.

    A GPU works behind the program's back; there the phases are timed by its own events, which cost
    no waiting before the epoch ends.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[Any] = []
        self.mark()

    def mark(self) -> None:
        """A phase ends: first the making of a batch, then the learning from it, in turn."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> tuple[float, float]:
        """Seconds spent making batches and learning from them, so far."""
        if self._cuda:
            self._marks[-1].synchronize()
            spans = [a.elapsed_time(b) / 1000 for a, b in pairwise(self._marks)]
        else:
            spans = [b - a for a, b in pairwise(self._marks)]
        return sum(spans[::2]), sum(spans[1::2])


class Judge:
    """Accuracy of a network on a clean split, which stays on the device once it was read."""

    def __init__(self, path: Path, batch_size: int, device: torch.device) -> None:
        self.path, self.batch_size, self.device = path, batch_size, device
        self._split: tuple[torch.Tensor, torch.Tensor] | None = None

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> float:
        """Share of correct images, 0 to 1; the network's mode is as before afterwards."""
        if self._split is None:
            self._split = load_training_split(self.path, self.device)
        (images, labels), training = self._split, network.training
        network.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for pixels, truth in zip(
            images.split(self.batch_size), labels.split(self.batch_size), strict=True
        ):
            correct += (network(pixels.float() / 255).argmax(1) == truth).sum()
        network.train(training)
        return correct.item() / len(labels)


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Attributes
    ----------
    rule : by which the network was selected.
    epoch : after how many epochs of the recipe it is what was kept.
    history : one entry per epoch that was trained: epoch, rate, loss, accuracy (both over the
        batches as they were trained), and the accuracy on the split that was judged, if any.
    last : state after the last epoch, on the CPU; None when that is the selected one.
    masks : on the CPU, as the training has left them.
    """

    rule: str
    epoch: int
    history: list[dict[str, Any]]
    last: Tensors | None = None
    masks: Tensors = field(default_factory=dict)


@dataclass
class Selection:
    """Follows a training and keeps the best network so far.

    `judges` maps a split to its judge. That of the rule must be there; under `last`, `validation`
    is asked for the log and the history where it is there.
    """

    rule: str
    judges: Mapping[str, Judge]
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        wanted = SELECTIONS[self.rule]
        if wanted and wanted not in self.judges:
            raise InputError(
                f"'select: {self.rule}' needs images in the split '{wanted}'; set some aside, or "
                "take 'select: last'"
            )
        self.split = wanted or "validation"

    def after_epoch(self, network: nn.Module, facts: dict[str, Any]) -> float | None:
        """Judge the network after an epoch; the split's accuracy, None without a judge."""
        judged = self.judges[self.split](network) if self.split in self.judges else None
        known = {} if judged is None else {f"{self.split}_accuracy": judged}
        self.history.append({**facts, **known})
        # the earliest of equals stays
        is_best = judged is not None and (self.best is None or judged > self.best["accuracy"])
        if is_best and self.rule != "last":
            state = cpu_state(network)
            self.best = {"epoch": facts["epoch"], "accuracy": judged, "network": state}
        return judged

    def finish(self, network: nn.Module, epoch: int) -> Outcome:
        """Load the selected network after `epoch` epochs."""
        if self.best is None or self.best["epoch"] == epoch:
            return Outcome(self.rule, epoch, self.history)
        last = cpu_state(network)
        network.load_state_dict(self.best["network"])
        return Outcome(self.rule, self.best["epoch"], self.history, last)


def cpu_state(network: nn.Module) -> Tensors:
    """A copy of parameters and buffers on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


@dataclass(frozen=True)
class TrainingData:
    """A training split on the device.

    Attributes
    ----------
    images : uint8 [N, C, H, W].
    labels : int64 [N].
    noise_maximum : largest noise value, of 255, that a zero pixel can get.
    judges : splits on which a network is judged after every epoch, by name.
    """

    images: torch.Tensor
    labels: torch.Tensor
    noise_maximum: int
    judges: Mapping[str, Judge] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """Names the random numbers of one training: seed, and the stage (pruner and level)."""

    seed: int
    stage: str


def batch_images(
    images: torch.Tensor, noise_maximum: int, draw: torch.Generator | None
) -> torch.Tensor:
    """float32 images in [0, 1] from uint8; with `draw`, pixels that are exactly zero get noise.

    The noise is uniform over the integers 0 to `noise_maximum`, of 255: the thesis draws it with
    `randint`, and 51 gives [0, 0.2].
    """
    if draw is not None:
        noise = torch.randint(
            noise_maximum + 1, images.shape, dtype=torch.uint8, device=images.device, generator=draw
        )
        images = torch.where(images == 0, noise, images)
    return images.float().div_(255)


def train(
    network: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    stream: Stream,
    *,
    masks: Mapping[str, torch.Tensor],
    first_epoch: int = 0,
    last_epoch: int | None = None,
    state_file: Path | None = None,
    fingerprint: str = "",
    after_backward: AfterBackward | None = None,
    change_masks: ChangeMasks | None = None,
    teacher: Teacher | None = None,
) -> Outcome:
    """Train `network` in place from `first_epoch` to `last_epoch` (the recipe's end by default).

    Every epoch seeds its own random numbers from `stream` and its index: an interrupted training
    and an unbroken one, or epochs 0 to k and k to the end, give equal weights.

    Parameters
    ----------
    masks : prunable parameter to bool tensor; pruned weights are zero after every step.
    last_epoch : where to stop before the recipe's end; the network is then that epoch's, whatever
        the recipe selects.
    state_file, fingerprint : where the state of each finished epoch is kept, and of what work.
    after_backward : called with the network between every backward pass and the optimiser's step;
        mistakes of published code change the gradients there.
    change_masks : called after every step; the masks that it changes are those of the outcome.
    teacher : a network of the same architecture that `network` learns from too.

    Returns
    -------
    Without any epoch to train, the network as it was given, in evaluation mode. Otherwise what the
    epochs were like, and which of them the network is of.

    Raises
    ------
    InputError
        When the loss stops being finite: the recipe diverges; or when the recipe selects by a split
        that is not among the judges.
    """
    selection = Selection(recipe.select if last_epoch is None else "last", data.judges)
    last_epoch = recipe.epochs if last_epoch is None else last_epoch
    if first_epoch >= last_epoch:
        # A recipe of no epochs names no optimiser.
        network.eval()
        return replace(selection.finish(network, first_epoch), masks=dict(masks))
    layout = memory_format(network, recipe)
    for each in (network, teacher.network if teacher else network):
        each.to(memory_format=layout)
    optimiser = recipe.build_optimiser(network.parameters())
    parameters = dict(network.named_parameters())
    held = Held(
        network,
        {name: parameters[name] for name in masks},
        {name: mask.to(data.images.device, copy=True) for name, mask in masks.items()},
        optimiser,
        recipe.epochs * len(batches_of(torch.arange(len(data.labels)), recipe.batch_size)),
    )
    epoch = first_epoch
    if state_file is not None and (state := read_state(state_file, fingerprint)) is not None:
        epoch = _resume(held, selection, state)
    schedule = recipe.build_schedule(optimiser, epoch)
    network.train()
    while epoch < last_epoch:
        begun, watch = time.perf_counter(), Stopwatch(data.images.device)
        loss, accuracy = _train_epoch(
            held, data, recipe, stream, epoch, watch, after_backward, change_masks, teacher
        )
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss} after epoch {epoch + 1}; lower the recipe's learning_rate"
            )
        rate = optimiser.param_groups[0]["lr"]
        schedule.step()
        epoch += 1
        facts = {"epoch": epoch, "rate": rate, "loss": loss, "accuracy": accuracy}
        judged = selection.after_epoch(network, facts)
        density = f" density {held.density:.5f}" if held.masks else ""
        found = density if judged is None else f" {selection.split} {judged:.4f}{density}"
        took = time.perf_counter() - begun
        _report(stream, last_epoch, facts, found, len(data.labels), watch, took)
        if state_file is not None and epoch < last_epoch:
            state = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch,
                "selection": {"history": list(selection.history), "best": selection.best},
            }
            if change_masks is not None:
                state["masks"] = dict(held.masks)
            write_state(state_file, state, fingerprint)
    network.to(memory_format=torch.contiguous_format)
    network.eval()
    kept = {name: mask.cpu() for name, mask in held.masks.items()}
    return replace(selection.finish(network, epoch), masks=kept)


def _resume(held: Held, selection: Selection, state: Mapping[str, Any]) -> int:
    """Take up a state that was kept; how many epochs are done."""
    optimiser = held.optimiser
    held.network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    for name, mask in state.get("masks", {}).items():
        held.masks[name].copy_(mask)
    selection.history = list(state["selection"]["history"])
    selection.best = state["selection"]["best"]
    for group in optimiser.param_groups:
        # the schedule is advanced from the start and sets the rate itself
        group["lr"] = group.pop("initial_lr")
    logger.info("resumed after epoch %d", state["epoch"])
    return int(state["epoch"])


def _report(
    stream: Stream,
    last_epoch: int,
    facts: Mapping[str, Any],
    found: str,
    images: int,
    watch: Stopwatch,
    took: float,
) -> None:
    """One line of an epoch: what was learnt at which density, how fast, and how long is left."""
    waited, worked = watch.seconds()
    seconds = max(waited + worked, 1e-9)
    logger.info(
        "%s epoch %d/%d rate %g loss %.5f accuracy %.4f%s, %.1f s, left %.0f s, "
        "%.0f images/s, %.1f%% making batches",
        stream.stage,
        facts["epoch"],
        last_epoch,
        facts["rate"],
        facts["loss"],
        facts["accuracy"],
        found,
        took,
        # judging included, as all epochs to come do it too
        took * (last_epoch - facts["epoch"]),
        images / seconds,
        100 * waited / seconds,
    )


def batches_of(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Parts of `order` [N] of `size` images; a lone last image joins the part before.

    Batch normalisation cannot normalise over a single image where maps have a single pixel.
    """
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _train_epoch(
    held: Held,
    data: TrainingData,
    recipe: Recipe,
    stream: Stream,
    epoch: int,
    watch: Stopwatch,
    after_backward: AfterBackward | None,
    change_masks: ChangeMasks | None,
    teacher: Teacher | None,
) -> tuple[float, float]:
    """One pass; mean loss and accuracy over the batches as they were trained."""
    network, optimiser, device = held.network, held.optimiser, data.images.device

    def stream_of(purpose: str) -> torch.Generator:
        return generator(device, stream.seed, stream.stage, epoch, purpose)

    order = torch.randperm(len(data.labels), generator=stream_of("order"), device=device)
    noise = stream_of("noise") if recipe.noise else None
    draw = stream_of("augment") if recipe.augment else None
    # for layers that draw on their own, such as dropout
    torch.manual_seed(derived_seed(stream.seed, stream.stage, epoch, "layers"))
    total_loss = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    layout = memory_format(network, recipe)
    low_precision = recipe.autocast and device.type == "cuda"
    batches = batches_of(order, recipe.batch_size)
    for step, batch in enumerate(batches, epoch * len(batches) + 1):
        labels = data.labels[batch]
        images = batch_images(data.images[batch], data.noise_maximum, noise)
        if draw is not None:
            images = augment(images, recipe.augment, draw)
        if layout == torch.channels_last:
            images = images.contiguous(memory_format=layout)
        watch.mark()
        logits, loss = _logits_and_loss(network, images, labels, recipe, low_precision, teacher)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if after_backward is not None:
            after_backward(network)
        optimiser.step()
        held.hold()
        if change_masks is not None:
            change_masks(held, step)
        with torch.no_grad():
            total_loss += loss * len(batch)
            correct += (logits.argmax(1) == labels).sum()
        watch.mark()
    return total_loss.item() / len(order), correct.item() / len(order)


def _logits_and_loss(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    autocast: bool,
    teacher: Teacher | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [N, classes], float32, and the mean loss, an auxiliary head's share included.

    An auxiliary head learns from the labels alone.
    """

    def loss_of(logits: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)

    auxiliary, weight = None, 0.0
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=autocast):
        if teacher is not None and isinstance(network, Architecture):
            taught = teacher(images)
            with maps_of(network) as maps:
                logits, auxiliary = network.training_logits(images)
            weight = network.auxiliary_weight
        elif isinstance(network, Architecture):
            logits, auxiliary = network.training_logits(images)
            weight = network.auxiliary_weight
        else:
            logits = network(images)
    logits = logits.float()
    loss = loss_of(logits)
    if teacher is not None:
        loss = teacher.loss(loss, (logits, maps[0]), taught)
    return logits, loss if auxiliary is None else loss + weight * loss_of(auxiliary.float())


@dataclass(frozen=True)
class Recalibration:
    """The entry `recalibrate_batch_norm` of a pruner in the configuration.

    Attributes
    ----------
    images : how many training images, all where there are fewer.
    batch_size : images a batch. All batches are of one size, since each counts alike: what is left
        over after the last whole batch is not used.
    """

    images: int
    batch_size: int


@torch.no_grad()
def recalibrate(
    network: nn.Module, images: torch.Tensor, facts: Recalibration, seed: int
) -> list[str]:
    """Replace the running mean and variance of every batch normalisation, in place.

    They become the averages over the batches of the batch's own mean and (unbiased) variance, as
    `torch.optim.swa_utils.update_bn` computes them. Batches are normalised by their own statistics
    meanwhile, but all other layers work as they do when predicting: dropout drops nothing. No
    weight moves. The network is in evaluation mode afterwards. (Li et al. 2020, EagleEye,
    arXiv:2007.02491.)

    Parameters
    ----------
    images : training split, uint8 [N, C, H, W]; they are taken as they are, without augmentation
        and noise.
    facts : how many of them.
    seed : of the network; the same images are drawn at every level and for every pruner.

    Returns
    -------
    Names of the buffers that were measured anew.
    """
    norms = batch_norms(network)
    if not norms:
        raise InputError(
            "recalibrate_batch_norm: the network has no batch normalisation; drop the key"
        )
    network.eval()
    momenta = {name: norm.momentum for name, norm in norms.items()}
    for norm in norms.values():
        norm.reset_running_stats()
        # a plain average over all batches
        norm.momentum = None
        norm.train()
    draw = generator(images.device, seed, "recalibration")
    order = torch.randperm(len(images), generator=draw, device=images.device)[: facts.images]
    size = min(facts.batch_size, len(order))
    for batch in order[: len(order) // size * size].split(size):
        network(images[batch].float().div_(255))
    for name, norm in norms.items():
        norm.momentum = momenta[name]
    network.eval()
    return [f"{name}.{key}" for name, norm in norms.items() for key, _ in norm.named_buffers()]
