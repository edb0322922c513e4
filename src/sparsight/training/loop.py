"""The training loop: data in memory, masks held at every step, resumable after every epoch."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.io.state import read_state, write_state
from sparsight.training.randomness import derived_seed, generator
from sparsight.training.recipe import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """A training split on the device.

    Attributes
    ----------
    images : uint8 [N, C, H, W].
    labels : int64 [N].
    noise_maximum : largest noise value, of 255, that a zero pixel can get.
    """

    images: torch.Tensor
    labels: torch.Tensor
    noise_maximum: int


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
) -> None:
    """Train `network` in place from `first_epoch` to `last_epoch` (the recipe's end by default).

    Every epoch seeds its own random numbers from `stream` and its index: an interrupted training
    and an unbroken one, or epochs 0 to k and k to the end, give equal weights.

    Parameters
    ----------
    masks : prunable parameter to bool tensor; pruned weights are zero after every step.
    state_file, fingerprint : where the state of each finished epoch is kept, and of what work.

    Raises
    ------
    InputError
        When the loss stops being finite: the recipe diverges.
    """
    last_epoch = recipe.epochs if last_epoch is None else last_epoch
    optimiser = recipe.build_optimiser(network.parameters())
    epoch = first_epoch
    if state_file is not None and (state := read_state(state_file, fingerprint)) is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        epoch = state["epoch"]
        logger.info("resumed after epoch %d", epoch)
        for group in optimiser.param_groups:
            # the schedule below is advanced from the start and sets the rate itself
            group["lr"] = group.pop("initial_lr")
    schedule = recipe.build_schedule(optimiser, epoch)
    parameters = dict(network.named_parameters())
    held = [(parameters[name], mask.to(data.images.device)) for name, mask in masks.items()]
    network.train()
    while epoch < last_epoch:
        loss, accuracy = _train_epoch(network, data, recipe, stream, epoch, optimiser, held)
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss} after epoch {epoch + 1}; lower the recipe's learning_rate"
            )
        rate = optimiser.param_groups[0]["lr"]
        schedule.step()
        epoch += 1
        logger.info(
            "%s epoch %d/%d rate %g loss %.5f accuracy %.4f",
            stream.stage,
            epoch,
            last_epoch,
            rate,
            loss,
            accuracy,
        )
        if state_file is not None and epoch < last_epoch:
            state = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch,
            }
            write_state(state_file, state, fingerprint)
    network.eval()


def _train_epoch(
    network: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    stream: Stream,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    held: list[tuple[nn.Parameter, torch.Tensor]],
) -> tuple[float, float]:
    """One pass; mean loss and accuracy over the batches as they were trained."""
    device = data.images.device
    order = torch.randperm(
        len(data.labels),
        generator=generator(device, stream.seed, stream.stage, epoch, "order"),
        device=device,
    )
    noise = generator(device, stream.seed, stream.stage, epoch, "noise") if recipe.noise else None
    # for layers that draw on their own, such as dropout
    torch.manual_seed(derived_seed(stream.seed, stream.stage, epoch, "layers"))
    total_loss = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for batch in order.split(recipe.batch_size):
        labels = data.labels[batch]
        logits = network(batch_images(data.images[batch], data.noise_maximum, noise))
        loss = functional.cross_entropy(logits, labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for parameter, mask in held:
                parameter.mul_(mask)
            total_loss += loss * len(batch)
            correct += (logits.argmax(1) == labels).sum()
    return total_loss.item() / len(order), correct.item() / len(order)
