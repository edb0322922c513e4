"""Does an explainer correlate with accuracy more than a control does?"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.association import Association
from sparsight.analysis.inference import one_sample_t
from sparsight.analysis.multiplicity import adjusted_p
from sparsight.io.tables import write_csv

GAP_COEFFICIENTS = ("pearson", "spearman", "first_difference", "rank_partial")
PLACE = ["dataset", "model", "pruner", "condition", "metric", "subset", "levels"]
CONTROL_GAP_COLUMNS = [
    *("dataset", "model", "pruner", "explainer", "control"),
    *("condition", "metric", "subset", "levels", "coefficient"),
    *("n_seeds", "n_levels", "explainer_mean", "control_mean"),
    *("gap", "gap_low", "gap_high", "effect_size", "seeds_up", "seeds_down", "p", "p_adjusted"),
]
#: values of `PLACE`, then of each explainer its networks by seed
Curves = Mapping[tuple[str, ...], Mapping[str, Mapping[int, Association]]]


def write_control_gaps(
    curves: Curves, output: Path, controls: Collection[str], confidence: float
) -> None:
    """Write `control_gaps.csv`: correlations with accuracy, less those of the controls.

    One row per data set, model, pruner, explainer, control, condition, metric, subset, range of
    levels and coefficient. Of both, only the levels that both have are used: an explainer that ran
    at six levels is held against the control at these six. Controls whose coefficient is defined
    for no network (their score is constant) have no row.

    Columns
    -------
    n_seeds : networks in which both coefficients are defined; only these enter.
    n_levels : the fewest levels of one of them.
    explainer_mean, control_mean : mean coefficient over these networks.
    gap : the difference, paired by network; `gap_low`, `gap_high` the t interval over networks,
        `effect_size` in standard deviations between networks, `seeds_up` and `seeds_down` networks
        above and below 0, `p` two-sided (empty below two networks).
    p_adjusted : Benjamini-Hochberg within data set, model and pruner.

    Parameters
    ----------
    curves : values of `PLACE`, then explainer to its networks, by seed.
    output : the table.
    controls : explainers that are controls; they are held against no other.
    confidence : of the intervals, in (0, 1).
    """
    rows = [
        {**dict(zip(PLACE, place, strict=True)), **row}
        for place, found in curves.items()
        for row in _gaps(found, controls, confidence)
    ]
    table = pd.DataFrame(rows, columns=CONTROL_GAP_COLUMNS)
    table["p_adjusted"] = adjusted_p(table, ())
    names = [*("dataset", "model", "pruner", "explainer", "control"), *PLACE[3:]]
    # Stable: coefficients stay in their order.
    write_csv(output, table.sort_values(names, kind="stable"))


def _gaps(
    found: Mapping[str, Mapping[int, Association]], controls: Collection[str], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of the explainers that share data set, model, pruner, images, metric and range."""

    @cache
    def coefficients(name: str, seed: int, levels: tuple[int, ...]) -> dict[str, float]:
        return found[name][seed].at(levels).coefficients

    for explainer in sorted(set(found) - set(controls)):
        for control in sorted(set(found) & set(controls)):
            levels = _shared(found[explainer], found[control])
            pairs = [
                tuple(coefficients(name, seed, at) for name in (explainer, control))
                for seed, at in levels.items()
            ]
            counts = np.array([len(at) for at in levels.values()])
            for name in GAP_COEFFICIENTS:
                values = np.array([[one[name], other[name]] for one, other in pairs])
                row = _gap(values.reshape(-1, 2), counts, confidence)
                if row:
                    yield {"explainer": explainer, "control": control, "coefficient": name, **row}


def _shared(
    one: Mapping[int, Association], other: Mapping[int, Association]
) -> dict[int, tuple[int, ...]]:
    """The levels that both have, of each network that both have."""
    return {
        seed: tuple(np.intersect1d(one[seed].levels, other[seed].levels).tolist())
        for seed in sorted(set(one) & set(other))
    }


def _gap(values: Any, counts: Any, confidence: float) -> dict[str, Any]:
    """Columns of one row from coefficients [S, 2]; none where the control has no coefficient."""
    if np.isnan(values[:, 1]).all():
        return {}
    both = np.isfinite(values).all(axis=1)
    test = one_sample_t(values[both, 0] - values[both, 1], confidence)
    means = values[both].mean(axis=0) if test.n else (np.nan, np.nan)
    return {
        "n_seeds": test.n,
        "n_levels": int(counts[both].min()) if test.n else 0,
        "explainer_mean": means[0],
        "control_mean": means[1],
        "gap": test.mean,
        "gap_low": test.low,
        "gap_high": test.high,
        "effect_size": test.effect_size,
        "seeds_up": test.up,
        "seeds_down": test.down,
        "p": test.p,
    }
