"""Does the gain of a metric vanish with another fit of the heatmap?"""

import math
from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import ClaimTest, Evidence, above, mean_over_networks
from sparsight.analysis.claims.curves import ClaimCurves


class GainExplained(ClaimTest):
    """`share` x gain of a metric minus the gain of `matched_metric`; true where it is above 0.

    The gain is the change from `from_level` to `to_level`. The claim: the metric gains, and with a
    fit of the heatmap that does not depend on its blur less than `share` of that gain remains.
    Linear in both gains, so that no ratio of small numbers is tested. Both the gain and the
    difference must be shown (intersection-union); only the difference can refute the claim.
    Networks that gain nothing on average leave nothing to explain: the claim is then moot and
    undecided.
    """

    name: ClassVar[str] = "gain_explained"
    reference: ClassVar[str] = "Berger 1982, doi:10.1080/00401706.1982.10487790"
    parameters: ClassVar[dict[str, Any]] = {
        "matched_metric": "required",
        "from_level": 0,
        "to_level": "required",
        "share": 0.5,
    }
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0)}
    refers: ClassVar[dict[str, str]] = {
        "matched_metric": "metric",
        "from_level": "level",
        "to_level": "level",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, matched = str(self.claim["metric"]), str(self.settings["matched_metric"])
        share = float(self.settings["share"])
        levels = int(self.settings["from_level"]), int(self.settings["to_level"])
        explainer = self.claim["explainer"]
        gain, drawn = networks.curve(explainer, metric, self.subset).change(*levels)
        left, drawn_left = networks.curve(explainer, matched, self.subset).change(*levels)
        values = share * gain - left
        complete = np.isfinite(values)
        total, rest = (
            (float(part[complete].mean()) for part in (gain, left))
            if complete.any()
            else (math.nan, math.nan)
        )
        p_for, p_against = math.nan, math.nan
        if total > 0:
            (p_difference, p_against), (p_gain, _) = above(values), above(gain[complete])
            # not max(): it may pass a NaN over
            p_for = float(np.maximum(p_difference, p_gain))
            remark = f"{metric} gains {total:.3g}, {matched} {rest:.3g} ({100 * rest / total:.0f}%)"
        else:
            remark = f"moot: {metric} does not gain (mean change {total:.3g})"
        span = f"from level {levels[0]} to {levels[1]}"
        return Evidence(
            statistic=f"{share:g} × gain of {metric} {span}, minus gain of {matched}",
            values=values,
            replicates=mean_over_networks(values, share * drawn - drawn_left),
            p_for=p_for,
            p_against=p_against,
            holds_from=0.0,
            remark=remark if complete.any() else "",
        )
