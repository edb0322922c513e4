"""The training loop: data in memory, masks held at every step, resumable after every epoch."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sparsight.data.packed import load_training_split
from sparsight.io.checkpoints import Tensors, read_state, write_state
from sparsight.io.errors import InputError
from sparsight.models.base import Architecture
from sparsight.training.augmentation import augment
from sparsight.training.options import SELECTIONS
from sparsight.training.randomness import derived_seed, generator
from sparsight.training.recipe import Recipe, memory_format


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
    """

    rule: str
    epoch: int
    history: list[dict[str, Any]]
    last: Tensors | None = None


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
        if judged is not None and self.rule != "last" and self._is_best(judged):
            state = cpu_state(network)
            self.best = {"epoch": facts["epoch"], "accuracy": judged, "network": state}
        return judged

    def _is_best(self, judged: float) -> bool:
        # the earliest of equals stays
        return self.best is None or judged > self.best["accuracy"]

    def state(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"history": list(self.history), "best": self.best}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.history, self.best = list(state["history"]), state["best"]

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


#: of the stage `training`: see `sparsight.study.versions`
VERSION = 1
logger = logging.getLogger(__name__)
Held = list[tuple[nn.Parameter, torch.Tensor]]
AfterBackward = Callable[[nn.Module], None]


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
        return selection.finish(network, first_epoch)
    if memory_format(network, recipe) == torch.channels_last:
        network.to(memory_format=torch.channels_last)
    optimiser = recipe.build_optimiser(network.parameters())
    epoch = first_epoch
    if state_file is not None and (state := read_state(state_file, fingerprint)) is not None:
        epoch = _resume(network, optimiser, selection, state)
    schedule = recipe.build_schedule(optimiser, epoch)
    parameters = dict(network.named_parameters())
    held = [(parameters[name], mask.to(data.images.device)) for name, mask in masks.items()]
    density = _density(held)
    network.train()
    while epoch < last_epoch:
        begun, watch = time.perf_counter(), Stopwatch(data.images.device)
        loss, accuracy = _train_epoch(
            network, data, recipe, stream, epoch, optimiser, held, watch, after_backward
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
        found = density if judged is None else f" {selection.split} {judged:.4f}{density}"
        took = time.perf_counter() - begun
        _report(stream, last_epoch, facts, found, len(data.labels), watch, took)
        if state_file is not None and epoch < last_epoch:
            state = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch,
                "selection": selection.state(),
            }
            write_state(state_file, state, fingerprint)
    network.to(memory_format=torch.contiguous_format)
    network.eval()
    return selection.finish(network, epoch)


def _resume(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    selection: Selection,
    state: Mapping[str, Any],
) -> int:
    """Take up a state that was kept; how many epochs are done."""
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    selection.resume(state["selection"])
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


def _density(held: Held) -> str:
    """Share of the prunable weights that the masks keep, for the log; nothing without masks."""
    whole = sum(mask.numel() for _, mask in held)
    return f" density {sum(int(mask.sum()) for _, mask in held) / whole:.5f}" if whole else ""


def batches_of(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Parts of `order` [N] of `size` images; a lone last image joins the part before.

    Batch normalisation cannot normalise over a single image where maps have a single pixel.
    """
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _train_epoch(
    network: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    stream: Stream,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    held: Held,
    watch: Stopwatch,
    after_backward: AfterBackward | None,
) -> tuple[float, float]:
    """One pass; mean loss and accuracy over the batches as they were trained."""
    device = data.images.device

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
    for batch in batches_of(order, recipe.batch_size):
        labels = data.labels[batch]
        images = batch_images(data.images[batch], data.noise_maximum, noise)
        if draw is not None:
            images = augment(images, recipe.augment, draw)
        if layout == torch.channels_last:
            images = images.contiguous(memory_format=layout)
        watch.mark()
        logits, loss = _logits_and_loss(network, images, labels, recipe, low_precision)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if after_backward is not None:
            after_backward(network)
        optimiser.step()
        with torch.no_grad():
            for parameter, mask in held:
                parameter.mul_(mask)
            total_loss += loss * len(batch)
            correct += (logits.argmax(1) == labels).sum()
        watch.mark()
    return total_loss.item() / len(order), correct.item() / len(order)


def _logits_and_loss(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, recipe: Recipe, autocast: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [N, classes], float32, and the mean loss, an auxiliary head's share included."""

    def loss_of(logits: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)

    auxiliary, weight = None, 0.0
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=autocast):
        if isinstance(network, Architecture):
            logits, auxiliary = network.training_logits(images)
            weight = network.auxiliary_weight
        else:
            logits = network(images)
    logits = logits.float()
    loss = loss_of(logits)
    return logits, loss if auxiliary is None else loss + weight * loss_of(auxiliary.float())
