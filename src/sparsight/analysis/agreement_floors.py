"""What agreement is held against: networks that were retrained, and networks of other seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsight.analysis.agreement_files import CURVE
from sparsight.analysis.curves import DENSE
from sparsight.analysis.inference import one_sample_t

FLOORS = ("retrain_floor", "seed_floor")
FEWEST_NETWORKS = 3


def pseudo_values(values: Mapping[int, float], partners: Mapping[int, int]) -> dict[int, float]:
    """The jackknife's value of each network for the mean over all pairs of networks.

    A pair belongs to two networks, so the means of the n networks over their partners are not
    independent, and they spread less than their mean errs: where networks differ, a t interval over
    them is two to four times too short (for n = 2 it has no width). The pseudo-value
    n θ - (n - 1) θ₋ᵢ (θ is the mean over all pairs, θ₋ᵢ over those without network i) counts
    each network's influence in full; here it is (2 (n - 1) vᵢ - n θ) / (n - 2).

    Parameters
    ----------
    values : network (seed) to vᵢ, its mean agreement with every other one; NaN is left out.
    partners : network to the number of others that vᵢ is the mean of.

    Returns
    -------
    Network to pseudo-value. Their mean is θ; all are NaN below three networks, or where a pair of
    those with a value has none.

    References
    ----------
    Arvesen 1969, "Jackknifing U-statistics", Annals of Mathematical Statistics 40, 2076-2100.
    """
    defined = {seed: value for seed, value in values.items() if np.isfinite(value)}
    count = len(defined)
    if count < FEWEST_NETWORKS or any(partners[seed] != count - 1 for seed in defined):
        return dict.fromkeys(values, np.nan)
    centre = float(np.mean(list(defined.values())))
    found = dict.fromkeys(values, np.nan)
    for seed, value in defined.items():
        found[seed] = (2 * (count - 1) * value - count * centre) / (count - 2)
    return found


def floor_spread(dense: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """`pseudo_values` of the seed floor from its rows of one curve: seed, mean, references."""
    rows = list(dense)
    values = {row["seed"]: row["mean"] for row in rows}
    return pseudo_values(values, {row["seed"]: row["references"] for row in rows})


@dataclass(frozen=True)
class _Floor:
    """Agreement of one curve's networks that were not pruned, by seed.

    `spread` has the mean of `values` over all seeds, and the spread that a test needs.
    """

    values: dict[int, float]
    spread: dict[int, float]


class Floors:
    """The retrain floor and the seed floor of every curve.

    Parameters
    ----------
    rows : dataset, model, pruner, seed, mean and references of every network, and what names a
        curve.
    retrain : the pruners that only retrain.
    curve : the columns that name a curve of a data set and model.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        retrain: set[str],
        curve: Sequence[str] = CURVE,
    ) -> None:
        self._names = ("dataset", "model", *curve)
        self._retrained: dict[tuple[Any, ...], dict[int, list[float]]] = {}
        self._dense: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["pruner"] == DENSE:
                self._dense.setdefault(self._curve(row), []).append(row)
            elif row["pruner"] in retrain and np.isfinite(row["mean"]):
                levels = self._retrained.setdefault(self._curve(row), {})
                levels.setdefault(row["seed"], []).append(row["mean"])

    def differences(
        self, row: Mapping[str, Any], values: Mapping[int, float], confidence: float
    ) -> dict[str, float]:
        """What pruned networks agree less (or more) than the networks of each floor.

        Parameters
        ----------
        row : names the curve.
        values : seed to agreement of its pruned network; NaN is left out.
        confidence : of the intervals, in (0, 1).

        Returns
        -------
        For each of `FLOORS` `minus_{floor}` (mean over the seeds that have both) and its `_low`,
        `_high`, `_seeds` and `_p`, from the t test of the differences paired by seed.
        """
        found: dict[str, float] = {}
        for name, floor in self._of(row).items():
            paired = _paired(values, floor.values)
            test = one_sample_t(_paired(values, floor.spread), confidence)
            # Below three networks the seed floor has no spread, but a mean.
            estimate = test.mean if test.n else (float(np.mean(paired)) if paired else np.nan)
            key = f"minus_{name}"
            found |= {key: estimate, f"{key}_low": test.low, f"{key}_high": test.high}
            found |= {f"{key}_seeds": len(paired), f"{key}_p": test.p}
        return found

    def _curve(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._names)

    def _of(self, row: Mapping[str, Any]) -> dict[str, _Floor]:
        levels = self._retrained.get(self._curve(row), {})
        retrained = {seed: float(np.mean(means)) for seed, means in levels.items()}
        dense = self._dense.get(self._curve(row), [])
        values = {one["seed"]: one["mean"] for one in dense}
        return {
            "retrain_floor": _Floor(retrained, retrained),
            "seed_floor": _Floor(values, floor_spread(dense)),
        }


def _paired(values: Mapping[int, float], floor: Mapping[int, float]) -> list[float]:
    """Differences of the seeds at which both are defined."""
    both = [values[seed] - floor[seed] for seed in sorted(values) if seed in floor]
    return [difference for difference in both if np.isfinite(difference)]
