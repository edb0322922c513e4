"""Which metrics an explainer can afford: some explain every image many times over."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from sparsight.metrics.base import Metric

logger = logging.getLogger(__name__)

#: forward passes an image, up to which metrics explain anew unless a study says otherwise
DEFAULT_COST = 60


def re_explaining(metrics: Mapping[str, Metric]) -> list[str]:
    """Names of the metrics that explain images anew."""
    return [name for name, metric in metrics.items() if "explainer" in metric.needs]


def within_budget(
    metrics: Mapping[str, Metric],
    explainers: Iterable[str],
    recorded: Mapping[str, Mapping[str, Any]],
    limit: float,
) -> dict[str, dict[str, Metric]]:
    """For each explainer, the metrics that it is scored with; what is left out is logged, once.

    Parameters
    ----------
    metrics : configured name to metric.
    explainers : configured names.
    recorded : name to the facts kept with the explanations, of which `cost` (forward passes an
        image) is read where a metric explains anew.
    limit : greatest cost of an explainer with which such metrics are taken.
    """
    anew = re_explaining(metrics)
    # An explainer that is not in the file is refused elsewhere.
    costs = {name: recorded[name]["cost"] for name in explainers if anew and name in recorded}
    dear = {name: cost for name, cost in costs.items() if cost > limit}
    if dear:
        logger.info(
            "%s explain anew and are left out where that costs more than %g forward passes an "
            "image: %s",
            ", ".join(anew),
            limit,
            ", ".join(f"{name} ({cost:g})" for name, cost in dear.items()),
        )
    return {
        name: {own: metrics[own] for own in metrics if not (name in dear and own in anew)}
        for name in explainers
    }
