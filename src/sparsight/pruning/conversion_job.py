"""The job that converts the networks of a chain, and counts and times what that saves."""

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsight.data.packed import PackedSplit
from sparsight.io.checkpoints import read_checkpoint
from sparsight.io.device import set_determinism
from sparsight.io.errors import InputError, InvariantError
from sparsight.io.files import write_json
from sparsight.models.networks import load_network
from sparsight.pruning.conversion import convert

#: of the stage `conversion`: see `sparsight.study.versions`
VERSION = 1

logger = logging.getLogger(__name__)

IDENTITY = ("study", "dataset", "model", "seed")
#: sums over layers, in conversion.json and its `per_layer`
COUNTS = (
    "channels",
    "channels_left",
    "multiply_adds",
    "multiply_adds_converted",
    "multiply_adds_nonzero",
)
DEFAULT_BATCH_SIZE, DEFAULT_REPEATS, WARM_UP = 100, 30, 3
# Largest difference between logits, relative to the largest logit, that float32 sums explain.
TOLERANCE = 1e-4


def measure_conversion(
    settings: Mapping[str, Any],
    *,
    checkpoints: Sequence[Path | str],
    packed_test: Path | str,
    output: Path | str,
) -> None:
    """Write `conversion.json` of a chain: what removing dead units saves at every level.

    The file holds study, dataset, model, seed, pruner and `levels`, a list with, per level:
    `channels`, `multiply_adds` and others per image (see `LayerReport` and `Report.total`), also
    `per_layer`; `milliseconds` and `milliseconds_converted` of a batch (CPU time, medians, measured
    in turn in this process); `largest_difference` between the logits of the two networks on that
    batch; and `reason`, null, or why the network cannot be converted: then all numbers are null.

    Parameters
    ----------
    settings : study, dataset, model, seed, pruner (the chain), threads, batch_size (images,
        default 100) and repeats (default 30).
    checkpoints : of the chain in the order of levels; the first is the dense network's.
    packed_test : packed split that the batch is taken from, with noise, its images repeated when
        there are too few.
    output : the file.

    Raises
    ------
    InputError
        When the checkpoints are not those of this chain in order.
    InvariantError
        When a converted network does not compute the same.
    """
    set_determinism(settings["threads"])
    levels = [_checked_level(Path(path), index, settings) for index, path in enumerate(checkpoints)]
    images = _batch(packed_test, settings.get("batch_size", DEFAULT_BATCH_SIZE))
    repeats = settings.get("repeats", DEFAULT_REPEATS)
    measured = []
    for level, path in zip(levels, checkpoints, strict=True):
        network = load_network(path, torch.device("cpu"))
        measured.append({"level": level, **measure_network(network, images, repeats)})
        logger.info("level %d: %s", level, {k: v for k, v in measured[-1].items() if k in COUNTS})
    identity = {key: settings[key] for key in IDENTITY}
    write_json(
        output,
        {
            **identity,
            "seed": int(settings["seed"]),
            "pruner": settings["pruner"],
            "levels": measured,
        },
    )


def measure_network(network: nn.Module, images: torch.Tensor, repeats: int) -> dict[str, Any]:
    """Convert one network and measure both forms on a batch.

    Parameters
    ----------
    network : in evaluation mode, on the CPU.
    images : float32 [N, C, H, W].
    repeats : how often the time of a batch is taken.

    Returns
    -------
    One entry of `levels`, without the level; see `measure_conversion`.

    Raises
    ------
    InvariantError
        When the converted network does not compute the same.
    """
    numbers = (
        *COUNTS,
        "per_layer",
        "milliseconds",
        "milliseconds_converted",
        "largest_difference",
    )
    try:
        converted, report = convert(network, images)
    except InputError as error:
        logger.warning("not converted: %s", error)
        return {**dict.fromkeys(numbers), "reason": str(error)}
    with torch.inference_mode():
        logits = network(images)
        difference = (logits - converted(images)).abs().max().item()
        if not difference <= TOLERANCE * max(1.0, logits.abs().max().item()):
            raise InvariantError(f"the logits of a converted network differ by {difference:g}")
        masked, smaller = alternating_medians(
            lambda: network(images), lambda: converted(images), repeats
        )
    return {
        **{name: report.total(name) for name in COUNTS},
        "per_layer": {name: asdict(layer) for name, layer in report.layers.items()},
        "milliseconds": masked,
        "milliseconds_converted": smaller,
        "largest_difference": difference,
        "reason": None,
    }


def _checked_level(path: Path, index: int, settings: Mapping[str, Any]) -> int:
    """The level of a checkpoint that must be the chain's `index`th."""
    facts = read_checkpoint(path).metadata
    for key in IDENTITY:
        if facts.get(key) != str(settings[key]):
            raise InputError(
                f"{path} belongs to {key} '{facts.get(key)}', not '{settings[key]}'; "
                "give the checkpoints of one chain"
            )
    level = int(facts["level"])
    if level != index or (index and facts["pruner"] != settings["pruner"]):
        raise InputError(
            f"{path} is level {level} of '{facts['pruner']}', not {index} of "
            f"'{settings['pruner']}'; give a chain's checkpoints in order, the dense one first"
        )
    return level


def _batch(path: Path | str, size: int) -> torch.Tensor:
    with PackedSplit.open(path) as split:
        if len(split) == 0 or size < 1:
            raise InputError(f"{path} has {len(split)} images, of which no batch of {size} is made")
        return split.select(torch.arange(size) % len(split)).images("noisy")


def alternating_medians(
    first: Callable[[], object], second: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median milliseconds of CPU time of two ways, run in turn: both meet the same disturbances.

    CPU time, because a workflow runs other jobs beside this one, whose turns on a core would count
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
