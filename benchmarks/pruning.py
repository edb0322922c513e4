"""What choosing the weights that fall costs, beside the bare computation, on a ResNet-18."""

import copy
import time

import torch
from sidebyside import Row, alone, compare
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from sparsight.models.base import build_network, prunable_parameters
from sparsight.models.resnet import ResNet18
from sparsight.pruning.masks import Step, dense_masks
from sparsight.pruning.observation import Calibration
from sparsight.pruning.registry import CRITERIA
from sparsight.pruning.schedules import RigL
from sparsight.pruning.selection import Rule
from sparsight.training.loop import Recipe, Stream, TrainingData, train

SIDE, CLASSES, IMAGES, BATCH, DENSITY = 32, 10, 512, 64, 0.1


def network_of(width: int) -> nn.Module:
    """Random weights, in evaluation mode."""
    return build_network(ResNet18, CLASSES, 0, {"width": width, "stem": "small"}).eval()


def images() -> tuple[Tensor, Tensor]:
    """Random images, uint8 [N, 3, H, W], and labels."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=draw)
    return pixels, torch.randint(CLASSES, (IMAGES,), generator=draw)


def ours(network: nn.Module, criterion: str, scope: str = "global") -> dict[str, Tensor]:
    """The masks of one round."""
    rule = Rule(CRITERIA.load(criterion)(), scope)
    looked = Calibration(*images(), BATCH)
    step = Step(density=DENSITY)
    return rule.select(network, dense_masks(network), step, 0, looked, (3, SIDE, SIDE))[0]


def bare_magnitude(network: nn.Module) -> None:
    """torch's own pruning of all weights at once."""
    other = copy.deepcopy(network)
    layers = [(m, "weight") for m in other.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=1 - DENSITY)


def highest(scores: list[Tensor], count: int) -> list[Tensor]:
    """Masks of the `count` highest scores of all layers."""
    flat = torch.cat([score.flatten() for score in scores])
    threshold = flat.topk(count).values[-1]
    return [score >= threshold for score in scores]


def bare_snip(network: nn.Module) -> None:
    """One pass, products, one threshold; batch normalisation as in training."""
    other = copy.deepcopy(network).train()
    weights = list(prunable_parameters(other).values())
    pixels, labels = images()
    for part, truth in zip(pixels.split(BATCH), labels.split(BATCH), strict=True):
        loss = functional.cross_entropy(other(part.float() / 255), truth) * len(part) / IMAGES
        loss.backward()
    scores = [(weight.grad * weight).detach().abs() for weight in weights]
    highest(scores, int(DENSITY * sum(weight.numel() for weight in weights)))


def bare_synflow(network: nn.Module) -> None:
    """100 passes of an image of ones, as in the public code; in float64, as ours."""
    other = copy.deepcopy(network).double()
    with torch.no_grad():
        for value in other.state_dict().values():
            if value.is_floating_point():
                value.abs_()
    weights = list(prunable_parameters(other).values())
    total = sum(weight.numel() for weight in weights)
    ones = torch.ones(1, 3, SIDE, SIDE, dtype=torch.float64)
    for number in range(1, 101):
        other.zero_grad()
        other(ones).sum().backward()
        scores = [(weight.grad * weight).detach().abs() for weight in weights]
        masks = highest(scores, int(total * DENSITY ** (number / 100)))
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight.mul_(mask)


def epoch(network: nn.Module, dynamic: bool) -> None:
    """Epochs of a sparse network, with or without RigL's changes as often as published."""
    masks = Rule(CRITERIA.load("random")(), "erk").select(
        network, dense_masks(network), Step(density=DENSITY), 0
    )[0]
    recipe = Recipe(epochs=15, batch_size=16, optimiser={"name": "sgd", "learning_rate": 0.01})
    change = RigL(0, every=100, until=0.75, drop=0.3) if dynamic else None
    train(
        copy.deepcopy(network),
        TrainingData(*images(), 0),
        recipe,
        Stream(0, "bench"),
        masks=masks,
        change_masks=change,
    )


def rows() -> list[Row]:
    """Rounds by magnitude, SNIP and SynFlow, an epoch of RigL, and a whole network by OBS."""
    torch.set_num_threads(1)
    wide, narrow = network_of(64), network_of(16)
    goal = "≥ 0.91"
    return [
        compare(
            "masks by magnitude, ResNet-18 of width 64",
            lambda: ours(wide, "magnitude"),
            lambda: bare_magnitude(wide),
            "torch.nn.utils.prune",
            goal,
        ),
        compare(
            f"masks by SNIP, width 16, {IMAGES} images of {SIDE} pixels",
            lambda: ours(narrow, "snip"),
            lambda: bare_snip(narrow),
            "bare loop",
            goal,
            pairs=3,
        ),
        compare(
            "masks by SynFlow, width 16",
            lambda: ours(narrow, "synflow"),
            lambda: bare_synflow(narrow),
            "bare loop",
            goal,
            pairs=3,
        ),
        compare(
            "an epoch with RigL, width 16, masks changed every 100 of 480 steps",
            lambda: epoch(narrow, True),
            lambda: epoch(narrow, False),
            "the same without changes",
            "≥ 0.95",
            pairs=3,
        ),
        alone(
            f"OBS of all layers, width 64, {IMAGES} images of {SIDE} pixels, CPU seconds",
            lambda: ours(wide, "obs", "layer"),
            "–",
            "≤ 300 s",
            repeats=1,
            clock=time.process_time,
        ),
    ]
