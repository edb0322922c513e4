"""Correlations over levels on other images, *for these networks*."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsight.analysis.association import DRAWN_COEFFICIENTS, Association, drawn_coefficients
from sparsight.analysis.bootstrap import correlation_interval
from sparsight.analysis.networks import KEYS, Networks, networks_by_subset
from sparsight.analysis.resampled import ACCURACY, ACCURACY_ROWS, read_curves
from sparsight.io.errors import InputError


class DrawnCorrelations:
    """Intervals of correlations over draws of images, from the statistics of all chains.

    Metric and accuracy meet the same draw. The replicates of one explainer are in memory at a time,
    so ask for one explainer after the other.

    Parameters
    ----------
    statistics : `statistics.parquet` of each chain.
    confidence : of the intervals, in (0, 1).

    Raises
    ------
    InputError
        When files are missing, corrupt, or do not belong together.
    """

    def __init__(self, statistics: Iterable[Path], confidence: float) -> None:
        self._paths = [Path(path) for path in statistics]
        self._confidence = confidence
        self._accuracy = self._read(ACCURACY_ROWS)
        self._explainer, self._loaded = ACCURACY_ROWS, self._accuracy

    def intervals(
        self, names: Mapping[str, str], networks: Mapping[int, Association]
    ) -> dict[str, float]:
        """`{coefficient}_images_low` and `_high` of the mean over networks.

        Parameters
        ----------
        names : dataset, model, pruner, explainer, condition, metric and subset of the curve.
        networks : seed to the levels that enter. Networks whose coefficient is not defined are left
            out of its mean, as they are of the estimate.

        Returns
        -------
        Limits in [-1, 1]; NaN where no network has the coefficient, or more than 1% of the draws do
        not have it.

        Raises
        ------
        InputError
            When the statistics lack the curve, or a level of it.
        """
        if names["explainer"] != self._explainer:
            self._explainer, self._loaded = names["explainer"], self._read(names["explainer"])
        rows_of_accuracy = {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
        metric = _find(self._loaded, names)
        accuracy = _find(self._accuracy, {**names, **rows_of_accuracy})
        drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in DRAWN_COEFFICIENTS}
        for seed, one in networks.items():
            if np.isnan([one.coefficients[name] for name in DRAWN_COEFFICIENTS]).all():
                continue
            x, y = (_levels(part, seed, one.levels, names) for part in (metric, accuracy))
            for name, values in drawn_coefficients(x, y).items():
                if not np.isnan(one.coefficients[name]):
                    drawn[name].append(values)
        found: dict[str, float] = {}
        for name, parts in drawn.items():
            low = high = math.nan
            if parts:
                estimate = np.nanmean([one.coefficients[name] for one in networks.values()])
                low, high = correlation_interval(
                    np.mean(parts, axis=0), float(estimate), self._confidence
                )
            found |= {f"{name}_images_low": low, f"{name}_images_high": high}
        return found

    def _read(self, explainer: str) -> dict[tuple[str, ...], dict[str, Networks]]:
        curves = read_curves(self._paths, [explainer])
        found = networks_by_subset(curves, ("all", "correct_at_both"))
        return {tuple(names[key] for key in KEYS): subsets for names, subsets in found}


def _find(
    loaded: Mapping[tuple[str, ...], Mapping[str, Networks]], names: Mapping[str, str]
) -> Networks:
    try:
        return loaded[tuple(names[key] for key in KEYS)][names["subset"]]
    except KeyError:
        raise _lacking(names) from None


def _levels(
    networks: Networks, seed: int, levels: NDArray[np.int64], names: Mapping[str, str]
) -> NDArray[np.float32]:
    """Replicates [L, B] of one network at some levels."""
    if seed not in networks.seeds or not set(levels.tolist()) <= set(networks.levels):
        raise _lacking({**names, "seed": str(seed), "levels": ", ".join(map(str, levels))})
    places = np.searchsorted(networks.levels, levels)
    return np.asarray(networks.replicates[networks.seeds.index(seed), places], dtype=np.float32)


def _lacking(names: Mapping[str, str]) -> InputError:
    wanted = ", ".join(f"{key} '{name}'" for key, name in names.items())
    return InputError(
        f"the statistics of the chains lack rows that the table of levels has ({wanted}); "
        "delete statistics.parquet of this pruner and run snakemake again"
    )
