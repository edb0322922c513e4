"""Are correct predictions explained better than incorrect ones?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import ClaimTest, Evidence, mean_over_networks, sign
from sparsight.analysis.claims.curves import ClaimCurves
from sparsight.analysis.networks import difference
from sparsight.analysis.subsets import CORRECT, INCORRECT


class CorrectMinusIncorrect(ClaimTest):
    """A metric over correct minus over incorrect predictions, matched on the label.

    True where the difference is positive (`expected`). Each network's differences are averaged over
    the levels at which it has both kinds of predictions; `density_floor` leaves out the levels
    below that share of weights, whose networks may know nothing.
    """

    name: ClassVar[str] = "correct_minus_incorrect"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {"density_floor": 0.0, "expected": "positive"}
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"density_floor": (0.0, 1.0)}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        explainer, metric = self.claim["explainer"], str(self.claim["metric"])
        floor = float(self.settings["density_floor"])
        correct = networks.curve(explainer, metric, CORRECT)
        incorrect = networks.curve(explainer, metric, INCORRECT).on(correct.levels)
        gap = difference(correct.mean, incorrect.mean)
        used = np.isfinite(gap) & correct.above(floor)
        values = np.full(len(used), np.nan)
        drawn = np.full((len(used), correct.replicates.shape[2]), np.nan)
        for seed, levels in enumerate(used):
            if levels.any():
                values[seed] = gap[seed, levels].mean()
                both = difference(
                    correct.replicates[seed, levels], incorrect.replicates[seed, levels]
                )
                drawn[seed] = both.mean(axis=0)
        where = f" that keep at least {100 * floor:g}% of the weights" if floor > 0 else ""
        return Evidence(
            statistic=f"{metric} of correct minus incorrect predictions of a label, mean over "
            f"{used.any(axis=0).sum()} levels{where}",
            values=values,
            replicates=mean_over_networks(values, drawn),
            **sign(values, self.settings["expected"])._asdict(),
            columns={"subset": f"{CORRECT} - {INCORRECT}"},
        )
