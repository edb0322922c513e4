"""Numbers on a bottleneck beside the network that it stands for."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsight.concepts.base import Measured
from sparsight.concepts.features import SplitFeatures
from sparsight.training.evaluation import Outputs, measures

#: completeness is a ratio with the network's accuracy above chance below it
LEAST_ABOVE_CHANCE = 0.1


def bottleneck_measures(
    test: SplitFeatures, outputs: Mapping[str, Tensor], weights: Tensor
) -> list[Measured]:
    """All measures of `Pcbm` but those of its concepts and its solvers.

    Parameters
    ----------
    test : the network's own test images.
    outputs : `logits` [N, C] of the bottleneck g, and `hybrid_logits` where there is one.
    weights : [C, K], of the bottleneck.
    """
    models = {
        "network": test.logits,
        "bottleneck": outputs["logits"],
        "hybrid": outputs.get("hybrid_logits"),
    }
    found: dict[str, float] = {}
    for name, logits in models.items():
        if logits is None:
            found |= dict.fromkeys((f"{name}_accuracy", f"{name}_balanced_accuracy"), torch.nan)
            continue
        scored = measures(Outputs(test.image_ids, test.labels, logits))
        for measure in ("accuracy", "balanced_accuracy"):
            found[f"{name}_{measure}"] = float(scored[measure] or 0.0)
    same = outputs["logits"].argmax(dim=1) == test.logits.argmax(dim=1)
    network, bottleneck = found["network_accuracy"], found["bottleneck_accuracy"]
    found["accuracy_gap"] = bottleneck - network
    found["agreement"] = same.double().mean().item()
    found["completeness"] = completeness(bottleneck, network, chance(test.labels))
    found["nonzero_weights"] = float((weights != 0).sum())
    return [Measured(name, value) for name, value in found.items()]


def chance(labels: Tensor) -> float:
    """Accuracy of the best constant answer; 1 / classes where the classes have equal sizes."""
    return (torch.bincount(labels).max() / len(labels)).item()


def completeness(bottleneck: float, network: float, chance: float) -> float:
    """(accuracy of g - chance) / (accuracy of f - chance).

    NaN where f is less than 10 points above chance: the ratio would be noise. Yeh et al. 2020
    (arXiv:1910.07969) definition 3.1, with g in the place of the best function of the concepts.
    """
    # Accuracies are shares of whole numbers: exactly 10 points count.
    if network - chance < LEAST_ABOVE_CHANCE - 1e-9:
        return torch.nan
    return (bottleneck - chance) / (network - chance)


def class_means(scores: Tensor, labels: Tensor, class_count: int) -> Tensor:
    """Mean of each column of `scores` [N, K] over the images of each class, float64 [C, K].

    NaN for a class without images.
    """
    members = torch.nn.functional.one_hot(labels, class_count).double()
    return (members.T @ scores.double()) / members.sum(dim=0)[:, None]
