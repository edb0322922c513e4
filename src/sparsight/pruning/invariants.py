"""What must hold after every round. Published code has broken each of these."""

from collections.abc import Collection

import torch
from torch import nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InvariantError


def check_masks(
    before: Tensors, after: Tensors, expected_falling: dict[str, int] | int | None = None
) -> None:
    """Masks are nested, and exactly the expected number of weights fell.

    Parameters
    ----------
    expected_falling : over all layers, or per layer; None where published code, whose mistake is
        repeated, lets an unforeseeable number fall.
    """
    fallen = {}
    for name, mask in after.items():
        if (mask & ~before[name]).any():
            raise InvariantError(f"masks are not nested: a pruned weight of {name} came back")
        fallen[name] = int(before[name].sum()) - int(mask.sum())
    total = sum(fallen.values())
    if expected_falling is None:
        return
    if isinstance(expected_falling, int):
        if total != expected_falling:
            raise InvariantError(f"{total} weights fell, not {expected_falling}")
    elif fallen != expected_falling:
        raise InvariantError(f"weights fell as {fallen}, not {expected_falling}")


def check_start(network: nn.Module, point: Tensors, masks: Tensors) -> None:
    """A round starts at its rewind point: what is not prunable is equal, the rest is masked."""
    for name, value in network.state_dict().items():
        expected = point[name].to(value.device)
        if name in masks:
            expected = expected * masks[name].to(value.device)
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
    network: nn.Module, start: Tensors, masks: Tensors, negatives_train: bool = True
) -> None:
    """Pruned weights are zero, survivors are not, and negative weights have trained.

    A survivor that was zero at the start may have stayed so: files of dense networks hold a few
    zeros, and those of dead channels get no gradient.

    Parameters
    ----------
    start : state at the start of the round, masked.
    negatives_train : False where published code, whose mistake is repeated, freezes them.
    """
    moved_negative = moved_positive = negatives = 0
    state = network.state_dict()
    for name, mask in masks.items():
        trained = state[name].cpu()
        first = start[name].cpu()
        stayed = mask & (first == 0) & (trained == 0)
        if not torch.equal((trained != 0) | stayed, mask):
            raise InvariantError(f"the non-zero weights of {name} are not those of its mask")
        moved = trained != first
        negatives += int((first < 0).sum())
        moved_negative += int((moved & (first < 0)).sum())
        moved_positive += int((moved & (first > 0)).sum())
    # With few survivors all negative ones may belong to dead units; chance cannot do that to many.
    if negatives_train and negatives >= 20 and moved_positive and not moved_negative:
        raise InvariantError("no negative weight has trained")
