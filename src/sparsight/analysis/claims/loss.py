"""Is nothing lost down to a density?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import (
    ClaimTest,
    Evidence,
    above,
    mean_over_networks,
    percent,
)
from sparsight.analysis.claims.curves import ClaimCurves, LevelCurve
from sparsight.analysis.resampled import ACCURACY, ACCURACY_ROWS
from sparsight.io.errors import InputError


class NoLoss(ClaimTest):
    """The dense network's mean minus that of a sparse level; true where it is below `margin`.

    A test of non-inferiority: "no significant difference" would reward few networks, so the margin
    of what counts as no loss is declared beforehand, in units of the quantity. `of` is "accuracy"
    or a metric of which more is better. The level is the sparsest at which every network still
    keeps the share `density` of its weights.
    """

    name: ClassVar[str] = "no_loss"
    reference: ClassVar[str] = "Walker & Nowacki 2011, doi:10.1007/s11606-010-1513-8"
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "of": "required",
        "density": "required",
        "margin": "required",
    }
    ranges: ClassVar[dict[str, tuple[float, float]]] = {
        "density": (0.0, 1.0),
        "margin": (0.0, 1e9),
    }
    refers: ClassVar[dict[str, str]] = {"of": "measure"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, margin = str(self.settings["of"]), float(self.settings["margin"])
        if of == ACCURACY:
            curve = networks.accuracy()
            columns = {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
        else:
            curve = networks.curve(self.claim["explainer"], of, self.subset)
            columns = {"metric": of}
        level = self._level(curve)
        left = float(np.mean(curve.density[:, curve.levels == level]))
        values, drawn = curve.change(level, 0)
        # below the margin: margin - loss is above 0
        p_for, p_against = above(margin - values)
        return Evidence(
            statistic=f"fall of {of} from dense to level {level} ({percent(left)} of weights left)",
            values=values,
            replicates=mean_over_networks(values, drawn),
            p_for=p_for,
            p_against=p_against,
            holds_to=margin,
            columns=columns,
        )

    def _level(self, curve: LevelCurve) -> int:
        density = float(self.settings["density"])
        kept = curve.above(density) & (curve.levels > 0) & np.isfinite(curve.mean).all(axis=0)
        # without a density nobody knows how sparse a level is
        kept &= np.isfinite(curve.density).all(axis=0)
        if not kept.any():
            raise InputError(
                f"the claim '{self.claim['name']}' asks for a level that keeps at least the share "
                f"{density:g} of the weights, but no pruned level with values does; raise levels "
                "or lower density"
            )
        sparsest = np.argmin(np.where(kept, curve.density.mean(axis=0), np.inf))
        return int(curve.levels[sparsest])
