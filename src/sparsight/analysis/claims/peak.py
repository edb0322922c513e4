"""At which level is a metric highest?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import ClaimTest, Evidence, above, both, mean_over_networks
from sparsight.analysis.claims.curves import ClaimCurves, Numbers


class Peak(ClaimTest):
    """The level at which a metric's mean is highest; true where it lies within `between`.

    A test of equivalence: two one-sided t tests over the networks' levels, the first of equals
    where a network has ties. Levels are whole numbers, so networks may well agree on one. Then
    there is no spread and no test, and the verdict is *undecided*, inside the range or outside:
    agreement of three networks is no measure of how far a fourth would be. Choose the test `rise`
    where that is to be expected; it compares heights, which always differ.
    """

    name: ClassVar[str] = "peak"
    reference: ClassVar[str] = "Schuirmann 1987, doi:10.1007/BF01068419"
    parameters: ClassVar[dict[str, Any]] = {"between": "required"}
    refers: ClassVar[dict[str, str]] = {"between": "range of levels"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric = str(self.claim["metric"])
        low, high = (float(level) for level in self.settings["between"])
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        values = _highest(curve.mean, curve.levels.astype(np.float64))
        # a level without a mean is none in the draws either
        drawn = np.where(np.isfinite(curve.mean)[:, :, np.newaxis], curve.replicates, np.nan)
        peaks = _highest(drawn.swapaxes(1, 2), curve.levels.astype(np.float64))
        below_high = above(values, high)[::-1]
        p_for, p_against = both(above(values, low), below_high)
        return Evidence(
            statistic=f"level at which {metric} is highest",
            values=values,
            replicates=mean_over_networks(values, peaks),
            p_for=p_for,
            p_against=p_against,
            holds_from=low,
            holds_to=high,
        )


def _highest(means: Numbers, levels: Numbers) -> Numbers:
    """Level [...] of the highest of means [..., L], the first of equals; NaN without any."""
    defined = np.isfinite(means)
    place = np.argmax(np.where(defined, means, -np.inf), axis=-1)
    return np.where(defined.any(axis=-1), levels[place], np.nan)
