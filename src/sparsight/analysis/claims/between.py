"""Is accuracy, or a metric, higher under one pruner than under another at the same levels?"""

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
from sparsight.analysis.networks import difference
from sparsight.analysis.resampled import ACCURACY, ACCURACY_ROWS


class BetweenPruners(ClaimTest):
    """Mean over `levels` under the claim's pruner minus that under `other_pruner`.

    True where it is positive (`expected` turns that). One difference per network, paired by seed,
    Student t over networks. `of` is "accuracy" or a metric. Both pruners must have all of these
    levels, at densities that the study has made equal.
    """

    name: ClassVar[str] = "between_pruners"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "of": "required",
        "other_pruner": "required",
        "levels": "required",
        "expected": "positive",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "of": "measure",
        "other_pruner": "pruner",
        "levels": "range of levels",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, other = str(self.settings["of"]), str(self.settings["other_pruner"])
        first, last = (int(level) for level in self.settings["levels"])
        own, drawn = _mean(self._curve(networks, of), first, last)
        others, others_drawn = _mean(self._curve(networks.of_pruner(other), of), first, last)
        values = difference(own, others)
        columns = {"metric": of}
        if of == ACCURACY:
            columns = {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
        span = f"level {first}" if first == last else f"levels {first} to {last}"
        return Evidence(
            statistic=f"{of} at {span} under {self.claim['pruner']} minus that under {other}",
            values=values,
            replicates=mean_over_networks(values, difference(drawn, others_drawn)),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{mean_in_words(own)} and {mean_in_words(others)}",
            columns=columns,
        )

    def _curve(self, networks: ClaimCurves, of: str) -> LevelCurve:
        if of == ACCURACY:
            return networks.accuracy()
        return networks.curve(self.claim["explainer"], of, self.subset)


def _mean(curve: LevelCurve, first: int, last: int) -> tuple[Numbers, Numbers]:
    """Mean over levels `first` to `last`: [S] and replicates [S, B]; NaN where one is missing."""
    levels = [curve.at(level) for level in range(first, last + 1)]
    return (
        np.mean([values for values, _ in levels], axis=0),
        np.mean([drawn for _, drawn in levels], axis=0),
    )
