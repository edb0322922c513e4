"""Is a metric higher, or lower, over a range of levels than in the dense networks?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import (
    ClaimTest,
    Evidence,
    mean_in_words,
    mean_over_networks,
    sign,
)
from sparsight.analysis.claims.curves import ClaimCurves, LevelCurve, Numbers


class Change(ClaimTest):
    """Mean of a metric over `levels` minus that of the dense network; true where it is positive.

    One difference per network, Student t over networks. `expected` turns the sign of the claim.

    Two kinds of control can be taken away, each paired by seed: `minus_control`, the same change
    of another explainer; and `minus_pruner`, the same change under another pruner, over all its
    levels. With a pruner that prunes nothing (rate 0) the second asks whether it is the pruning
    that changes the metric, and not the training that goes with it.
    """

    name: ClassVar[str] = "change"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {
        "levels": "required",
        "expected": "positive",
        "minus_control": "",
        "minus_pruner": "",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "levels": "range of levels",
        "minus_control": "explainer",
        "minus_pruner": "pruner",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, explainer = str(self.claim["metric"]), str(self.claim["explainer"])
        first, last = (int(level) for level in self.settings["levels"])
        values, drawn = _change(networks.curve(explainer, metric, self.subset), first, last)
        text = f"{metric} over levels {first} to {last} minus that of dense"
        before = mean_in_words(values)
        if control := self.settings["minus_control"]:
            curve = networks.curve(control, metric, self.subset)
            values, drawn = _minus((values, drawn), _change(curve, first, last))
            text += f", minus the same of {control}"
        if pruner := self.settings["minus_pruner"]:
            others = networks.of_pruner(pruner)
            other = _all_levels(others.curve(explainer, metric, self.subset))
            if control:
                # what the control gains there must be taken away there too
                other = _minus(other, _all_levels(others.curve(control, metric, self.subset)))
            values, drawn = _minus((values, drawn), other)
            text += f", minus that of {pruner}"
        return Evidence(
            statistic=text,
            values=values,
            replicates=mean_over_networks(values, drawn),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{before} before the control is taken away" if control or pruner else "",
        )


def _change(curve: LevelCurve, first: int, last: int) -> tuple[Numbers, Numbers]:
    """Mean over levels `first` to `last` minus level 0: [S] and replicates [S, B].

    Undefined where the metric is undefined at a measured level: a mean over other levels would be
    another quantity. Levels at which the explainer was not run are left out.
    """
    inside = [int(level) for level in curve.levels if first <= level <= last]
    if not inside:
        size = curve.replicates.shape
        return np.full(size[0], np.nan), np.full((size[0], size[2]), np.nan)
    changes = [curve.change(0, level) for level in inside]
    values = np.mean([change for change, _ in changes], axis=0)
    return values, np.mean([drawn for _, drawn in changes], axis=0)


def _all_levels(curve: LevelCurve) -> tuple[Numbers, Numbers]:
    return _change(curve, 1, int(curve.levels.max()))


def _minus(
    change: tuple[Numbers, Numbers], control: tuple[Numbers, Numbers]
) -> tuple[Numbers, Numbers]:
    return change[0] - control[0], change[1] - control[1]
