"""Does a metric of explanations run the same course as the accuracy?"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.analysis.association import DRAWN_COEFFICIENTS, drawn_coefficients
from sparsight.analysis.claims.base import ClaimTest, Evidence, mean_over_networks, sign
from sparsight.analysis.claims.curves import ClaimCurves, LevelCurve, Numbers
from sparsight.analysis.statistics import (
    first_difference,
    kendall,
    pearson,
    rank_partial,
    spearman,
)

_Coefficient = Callable[[Numbers, Numbers, Numbers], float]
_COEFFICIENTS: dict[str, tuple[_Coefficient, str]] = {
    "pearson": (lambda x, y, _: pearson(x, y), "Pearson r"),
    "spearman": (lambda x, y, _: spearman(x, y), "Spearman ρ"),
    "kendall": (lambda x, y, _: kendall(x, y), "Kendall τ"),
    "first_difference": (
        lambda x, y, _: first_difference(x, y),
        "Pearson r of the steps from level to level",
    ),
    "rank_partial": (rank_partial, "rank correlation given density"),
}


class Correlation(ClaimTest):
    """Correlation of a metric with the accuracy over levels; true where it is positive.

    One coefficient per network over its own levels, then Student t over networks: levels of one
    network are ordered and autocorrelated, and are not taken for observations. With
    `minus_control`, the coefficient minus that of another explainer on the same levels, paired by
    seed. `density_floor` leaves out the levels below that share of weights.
    """

    name: ClassVar[str] = "correlation"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {
        "coefficient": "pearson",
        "minus_control": "",
        "density_floor": 0.0,
        "expected": "positive",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "coefficient": ("pearson", "spearman", "kendall", "first_difference", "rank_partial"),
        "expected": ("positive", "negative"),
    }
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"density_floor": (0.0, 1.0)}
    refers: ClassVar[dict[str, str]] = {"minus_control": "explainer"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, floor = str(self.claim["metric"]), float(self.settings["density_floor"])
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        accuracy = networks.accuracy().on(curve.levels)
        control = self.settings["minus_control"]
        other = networks.curve(control, metric, self.subset).on(curve.levels) if control else None
        used = np.isfinite(curve.mean) & np.isfinite(accuracy.mean) & curve.above(floor)
        if other is not None:
            used &= np.isfinite(other.mean)
        values = self._coefficients(curve, accuracy, used)
        drawn = np.empty((len(values), 0))
        if other is not None:
            values = values - self._coefficients(other, accuracy, used)
        elif self.settings["coefficient"] in DRAWN_COEFFICIENTS:
            drawn = self._drawn(curve, accuracy, used)
        return Evidence(
            statistic=self._words(metric, used, floor),
            values=values,
            replicates=mean_over_networks(values, drawn),
            **sign(values, self.settings["expected"])._asdict(),
            correlation=drawn.shape[1] > 0,
            remark="" if control else self._published_form(curve, accuracy, used),
        )

    def _coefficients(
        self, curve: LevelCurve, accuracy: LevelCurve, used: NDArray[np.bool_]
    ) -> Numbers:
        """Of each network [S]."""
        coefficient, _ = _COEFFICIENTS[self.settings["coefficient"]]
        return np.array(
            [
                coefficient(metric[levels], performance[levels], density[levels])
                for metric, performance, density, levels in zip(
                    curve.mean, accuracy.mean, curve.density, used, strict=True
                )
            ]
        )

    def _drawn(self, curve: LevelCurve, accuracy: LevelCurve, used: NDArray[np.bool_]) -> Numbers:
        """Of each network in each draw of images [S, B]."""
        name = self.settings["coefficient"]
        return np.array(
            [
                drawn_coefficients(metric[levels], performance[levels])[name]
                for metric, performance, levels in zip(
                    curve.replicates, accuracy.replicates, used, strict=True
                )
            ]
        )

    def _words(self, metric: str, used: NDArray[np.bool_], floor: float) -> str:
        _, name = _COEFFICIENTS[self.settings["coefficient"]]
        control = self.settings["minus_control"]
        where = f"{used.any(axis=0).sum()} levels"
        if floor > 0:
            where += f" that keep at least {100 * floor:g}% of the weights"
        text = f"{name} of {metric} and accuracy over {where}"
        return f"{text}, minus the same of {control}" if control else text

    def _published_form(
        self, curve: LevelCurve, accuracy: LevelCurve, used: NDArray[np.bool_]
    ) -> str:
        """The seed-averaged coefficient, where the published number is one."""
        levels = used.all(axis=0)
        if self.claim.get("published") is None or len(used) < 2 or not levels.any():
            return ""
        coefficient, _ = _COEFFICIENTS[self.settings["coefficient"]]
        x, y, density = (
            part[:, levels].mean(axis=0) for part in (curve.mean, accuracy.mean, curve.density)
        )
        found = coefficient(x, y, density)
        return f"seeds averaged first: {found:.3f}" if np.isfinite(found) else ""
