"""Removal: a smaller network without the units that are zero, and what that saves.

Masks leave layers in their dense shape, so ordinary hardware saves nothing until whole channels are
taken out. torch-pruning does that (Fang et al. 2023, arXiv 2301.12900).
"""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError, InvariantError
from sparsight.models.base import predicts
from sparsight.pruning.structures import Units, channel_groups

REPEATS, WARM_UP = 10, 2
#: largest difference between logits, as a share of the largest logit, that float32 sums explain
TOLERANCE = 1e-4


def remove_units(network: nn.Module, units: Units, masks: Tensors, image: Tensor) -> nn.Module:
    """A copy of a convolutional network without its fallen units, with equal logits.

    Parameters
    ----------
    network : its fallen units, with everything tied to them, are zero; left as it is.
    units : those of the network, channels.
    masks : prunable parameter to bool.
    image : float32 [1, C, H, W].

    Returns
    -------
    The smaller network, on the CPU in evaluation mode.

    Raises
    ------
    InputError
        When torch-pruning cannot do it.
    """
    smaller = copy.deepcopy(network).cpu().eval().requires_grad_(True)
    graph, groups = channel_groups(smaller, image)
    fallen, names = ~units.alive(masks), {m: name for name, m in smaller.named_modules()}
    for _, root in groups:
        made = units.ties.get((f"{names[root]}.weight", 0))
        if made is None:
            continue
        gone = ((made >= 0) & fallen[made]).nonzero().squeeze(1).tolist()
        if gone:
            remove = graph.get_pruner_of_module(root).prune_out_channels
            try:
                graph.get_pruning_group(root, remove, gone).prune()
            except Exception as error:
                raise InputError(
                    f"torch-pruning cannot remove channels of {names[root]} ({error})"
                ) from error
    return smaller


def measure_removal(
    network: nn.Module, units: Units, masks: Tensors, images: Tensor
) -> dict[str, int | float]:
    """What removing the fallen units of a network saves.

    Parameters
    ----------
    network, units, masks : see `remove_units`.
    images : float32 [N, C, H, W] on the CPU.

    Returns
    -------
    `parameters` that predict; `multiply_adds` per image; and `milliseconds` per image, of CPU time,
    the median of batches of N images; each also as `..._left` of the smaller network.

    Raises
    ------
    InputError
        When torch-pruning cannot remove the units.
    InvariantError
        When the smaller network does not compute the same.
    """
    import torch_pruning  # as in `channel_groups`

    dense = copy.deepcopy(network).cpu().eval()
    smaller = remove_units(dense, units, masks, images[:1])
    found: dict[str, int | float] = {}
    with torch.inference_mode():
        logits = dense(images)
        difference = float((logits - smaller(images)).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(logits.abs().max())):
            raise InvariantError(f"logits differ by {difference:g} once units are removed")
        times = alternating_medians(lambda: dense(images), lambda: smaller(images))
    for each, suffix, taken in zip((dense, smaller), ("", "_left"), times, strict=True):
        counted = [p for name, p in each.named_parameters() if predicts(each, name)]
        found[f"parameters{suffix}"] = sum(value.numel() for value in counted)
        operations, _ = torch_pruning.utils.count_ops_and_params(each, images[:1])
        found[f"multiply_adds{suffix}"] = int(operations)
        found[f"milliseconds{suffix}"] = taken / len(images)
    return found


def alternating_medians(
    first: Callable[[], object], second: Callable[[], object], repeats: int = REPEATS
) -> tuple[float, float]:
    """Median milliseconds of CPU time of two ways, run in turn: both meet the same disturbances.

    CPU time, because a workflow runs other jobs at the same time, whose turns on a core would count
    several times over. With one thread it is what an idle machine takes.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for index in range(WARM_UP + repeats):
        # Who goes first alternates: the second finds warmer caches.
        for which in (0, 1) if index % 2 else (1, 0):
            started = time.process_time()
            (first, second)[which]()
            if index >= WARM_UP:
                taken[which].append(1000 * (time.process_time() - started))
    return statistics.median(taken[0]), statistics.median(taken[1])
