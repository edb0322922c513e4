"""How often metrics send an image through the network, for one explainer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sparsight.metrics.registry import METRICS
from sparsight.study.plan import metric_facts


@dataclass(frozen=True)
class Passes:
    """What metrics need for an image and an explainer.

    Attributes
    ----------
    passes : forward passes; a backward pass counts as two.
    imputations : images in which pixels are replaced by what surrounds them.
    """

    passes: float
    imputations: float


def metric_passes(
    entries: Iterable[Mapping[str, Any]], explainer_cost: float, limit: float
) -> Passes:
    """Passes and imputations of metrics together; what metrics share counts once.

    Parameters
    ----------
    entries : of the catalogue: `method` and `parameters`.
    explainer_cost : forward passes of the explainer, for an image.
    limit : metrics that explain anew leave out explainers that cost more.
    """
    passes = imputations = 0.0
    done: set[tuple[Any, ...]] = set()
    for entry in entries:
        method, facts = entry["method"], metric_facts(entry["method"])
        given = {**facts.get("parameters", {}), **(entry.get("parameters") or {})}
        shared = {key: str(value) for key, value in given.items() if key != "value"}
        # The published form of ROAD removes the same pixels.
        key = (method.removesuffix("_published"), *sorted(shared.items()))
        if facts.get("shares") == "perturbed_explanations":
            key = ("perturbed_explanations", str(given["samples"]), str(given["radius"]))
        anew = "explainer" in facts["needs"]
        if key in done or METRICS.is_foreign(method) or (anew and explainer_cost > limit):
            continue
        done.add(key)
        if facts.get("shares") == "road":
            imputations += len(given["percentages"])
        passes += _passes(method, given, explainer_cost)
    return Passes(passes, imputations)


def _passes(method: str, given: Mapping[str, Any], cost: float) -> float:
    """Passes of a metric of our own; none for those that only look at the map."""
    samples = given.get("samples", 0)
    if "percentages" in given:
        return float(len(given["percentages"]))
    if "steps" in given:
        return float(given["steps"] + 1)
    if method == "irof":
        return float(given["segments"] + 1)
    if method == "random_logit":
        return float(given["others"] * cost)
    if method == "efficient_mprt":
        return float(given["draws"] * cost)
    if method == "smooth_mprt":
        return float(samples * (given["layers"] + 1) * cost)
    if method in ("max_sensitivity", "average_sensitivity", "local_lipschitz"):
        return float(samples * cost)
    return float(samples)
