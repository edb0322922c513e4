"""Is a metric higher at one level than both before and after?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import ClaimTest, Evidence, above, both, mean_over_networks
from sparsight.analysis.claims.curves import ClaimCurves


class Rise(ClaimTest):
    """A metric's mean at level `at` minus that at `against` and `after`; true where both are > 0.

    Both differences must be shown (intersection-union test). The row reports the one with the
    smaller mean, on which the claim hangs.
    """

    name: ClassVar[str] = "rise"
    reference: ClassVar[str] = "Berger 1982, doi:10.1080/00401706.1982.10487790"
    parameters: ClassVar[dict[str, Any]] = {"at": "required", "against": 0, "after": "required"}
    refers: ClassVar[dict[str, str]] = {"at": "level", "against": "level", "after": "level"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, at = str(self.claim["metric"]), int(self.settings["at"])
        others = [int(self.settings[key]) for key in ("against", "after")]
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        changes = [curve.change(level, at) for level in others]
        # one set of networks for both
        complete = np.isfinite(changes[0][0]) & np.isfinite(changes[1][0])
        values = [np.where(complete, change, np.nan) for change, _ in changes]
        means = [change[complete].mean() if complete.any() else np.nan for change in values]
        weaker = int(means[1] < means[0])
        p_for, p_against = both(above(values[0]), above(values[1]))
        remark = f"the other difference, to level {others[1 - weaker]}: {means[1 - weaker]:.3g}"
        return Evidence(
            statistic=f"{metric} at level {at} minus that at level {others[weaker]}",
            values=values[weaker],
            replicates=mean_over_networks(values[weaker], changes[weaker][1]),
            p_for=p_for,
            p_against=p_against,
            holds_from=0.0,
            remark=remark if complete.any() else "",
        )
