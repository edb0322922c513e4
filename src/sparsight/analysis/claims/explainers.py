"""Does one explainer score higher than another on the same networks?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import (
    ClaimTest,
    Evidence,
    mean_in_words,
    mean_over_networks,
    sign,
)
from sparsight.analysis.claims.curves import ClaimCurves, Numbers
from sparsight.analysis.networks import difference


class BetweenExplainers(ClaimTest):
    """Metric of the claim's explainer minus that of `other_explainer`, at one level.

    True where it is positive (`expected` turns that). One difference per network, Student t over
    networks. Both explain the same images. Made for explainers on copies that are pruned for each
    image: against the same explainer on the network itself, or on copies pruned in another way.
    """

    name: ClassVar[str] = "between_explainers"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {
        "other_explainer": "required",
        "level": 0,
        "expected": "positive",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "other_explainer": "explainer of the same images",
        "level": "level",
    }

    def explainers(self) -> set[str]:
        """See `ClaimTest.explainers`."""
        return super().explainers() | {str(self.settings["other_explainer"])}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        level, other = int(self.settings["level"]), str(self.settings["other_explainer"])
        own, drawn = self._at(networks, str(self.claim["explainer"]), level)
        others, others_drawn = self._at(networks, other, level)
        values = np.asarray(difference(own, others), dtype=np.float64)
        metric = self.claim["metric"]
        return Evidence(
            statistic=(
                f"{metric} of {self.claim['explainer']} at level {level} minus that of {other}"
            ),
            values=values,
            replicates=mean_over_networks(values, difference(drawn, others_drawn)),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{mean_in_words(own)} and {mean_in_words(others)}",
        )

    def _at(self, networks: ClaimCurves, explainer: str, level: int) -> tuple[Numbers, Numbers]:
        return networks.curve(explainer, self.claim["metric"], self.subset).at(level)
