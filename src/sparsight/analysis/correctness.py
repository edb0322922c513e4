"""Do correct predictions explain better than incorrect ones?"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.bootstrap import percentile_interval
from sparsight.analysis.inference import one_sample_t
from sparsight.analysis.multiplicity import adjusted_p, control_flags
from sparsight.analysis.networks import KEYS, Networks, networks_by_subset
from sparsight.analysis.resampled import read_curves, read_explainers
from sparsight.analysis.subsets import CORRECT, INCORRECT
from sparsight.io.tables import write_csv

#: of the stage `correctness`: see `sparsight.study.versions`
VERSION = 1

MEAN = "mean"
ALL_LEVELS = "all"
CORRECTNESS_COLUMNS = [
    *("dataset", "model", "pruner", "level", "explainer", "control", "condition", "metric"),
    *("seed", "n_seeds", "n_levels", "density", "n_correct", "n_incorrect"),
    *("mean_correct", "mean_incorrect"),
    *("difference", "difference_low", "difference_high"),
    *("difference_images_low", "difference_images_high"),
    *("effect_size", "seeds_up", "seeds_down", "p", "p_adjusted"),
]
Doubles = NDArray[np.float64]
Entering = NDArray[np.bool_]
_WHOLE = ("n_seeds", "n_levels", "n_correct", "n_incorrect", "seeds_up", "seeds_down")


def compare_predictions(
    statistics: Iterable[Path], output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `correctness.csv` from the statistics of all chains of a study.

    Per data set, model, pruner, level, explainer, condition and metric one row for each seed and
    one with the seed "mean"; the same once more with the level "all", the mean over the levels of a
    network that have correct and incorrect images. One explainer at a time is in memory.

    Columns
    -------
    n_seeds, n_levels : networks, and levels of a network, that enter (rows "mean": the fewest).
    density : mean over networks of the share of prunable weights left; empty for all levels.
    n_correct, n_incorrect : images of labels that have both, summed over what enters.
    mean_correct, mean_incorrect : matched on the label, see `sparsight.analysis.subsets`.
    difference : of correct minus incorrect predictions. `difference_low`, `difference_high`: in
        rows "mean", Student t interval over networks. `difference_images_low`,
        `difference_images_high`: percentile interval over draws of images *for these networks* (in
        the row of a seed, for that network). A draw without incorrect images of a level has no
        difference there; over all levels it is then the mean over the others.
    effect_size : difference in standard deviations between networks; rows "mean".
    seeds_up, seeds_down : networks whose difference is above, below 0; rows "mean".
    p : two-sided, of the t test over networks; empty with fewer than two and without spread.
    p_adjusted : Benjamini-Hochberg within data set, model and pruner, over all rows "mean" but
        those of controls.

    A cell is empty where the quantity is not defined.

    Parameters
    ----------
    statistics : `statistics.parquet` of each chain, in any order.
    output : the table.
    settings : `controls` (explainers that are controls), `statistics` (with `confidence`).

    Raises
    ------
    InputError
        When files are missing, corrupt, or do not belong together.
    """
    paths = [Path(path) for path in statistics]
    confidence = float(settings["statistics"]["confidence"])
    rows = [
        {**names, **row}
        for explainer in read_explainers(paths)
        for names, found in networks_by_subset(
            read_curves(paths, [explainer]), (CORRECT, INCORRECT)
        )
        if CORRECT in found and INCORRECT in found
        for row in _curve(found[CORRECT], found[INCORRECT], confidence)
    ]
    table = pd.DataFrame(rows, columns=CORRECTNESS_COLUMNS)
    table["control"] = control_flags(table, settings["controls"])
    table["p_adjusted"] = adjusted_p(table, settings["controls"])
    # Stable: levels and seeds of a curve stay in their order.
    table = table.sort_values(KEYS, kind="stable")
    write_csv(output, table.astype(dict.fromkeys(_WHOLE, "Int64")))


def _curve(correct: Networks, incorrect: Networks, confidence: float) -> Iterator[dict[str, Any]]:
    """Rows of one curve: all levels first, then level by level."""
    gap = correct.minus(incorrect)
    every = np.isfinite(gap.mean)
    for row in _rows(correct, incorrect, gap, every, confidence):
        yield {**row, "level": ALL_LEVELS}
    for place, level in enumerate(gap.levels):
        here = np.zeros_like(every)
        here[:, place] = every[:, place]
        density = gap.density[:, place]
        known = density[np.isfinite(density)]
        for row in _rows(correct, incorrect, gap, here, confidence):
            yield {**row, "level": str(level), "density": known.mean() if known.size else np.nan}


def _over_levels(values: Doubles, entering: Entering) -> Doubles:
    """Mean [S] of [S, L] over the entering levels; NaN where there are none."""
    count = entering.sum(axis=1)
    total = np.where(entering, values, 0.0).sum(axis=1)
    return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)


def _drawn_over_levels(replicates: NDArray[np.float32], entering: Entering) -> Doubles:
    """Mean [S, B] of [S, L, B] over the entering levels that are defined in a draw."""
    chosen = entering.any(axis=0)
    part = replicates[:, chosen]
    defined = entering[:, chosen, np.newaxis] & np.isfinite(part)
    count = defined.sum(axis=1)
    total = np.where(defined, part, np.float32(0.0)).sum(axis=1, dtype=np.float64)
    return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)


def _rows(
    correct: Networks, incorrect: Networks, gap: Networks, entering: Entering, confidence: float
) -> Iterator[dict[str, Any]]:
    """One row per seed, then their mean, over the entering levels, bool [S, L]."""
    found = _over_levels(gap.mean, entering)
    replicates = _drawn_over_levels(gap.replicates, entering)
    low, high = percentile_interval(replicates, confidence)
    per_seed = {
        "n_levels": entering.sum(axis=1),
        "n_correct": (correct.n * entering).sum(axis=1),
        "n_incorrect": (incorrect.n * entering).sum(axis=1),
        "mean_correct": _over_levels(correct.mean, entering),
        "mean_incorrect": _over_levels(incorrect.mean, entering),
        "difference": found,
        "difference_images_low": low,
        "difference_images_high": high,
    }
    for place, seed in enumerate(gap.seeds):
        values = {name: column[place] for name, column in per_seed.items()}
        yield {"seed": str(seed), "n_seeds": int(np.isfinite(found[place])), **values}
    yield {"seed": MEAN, **_mean_row(per_seed, replicates, confidence)}


def _mean_row(
    per_seed: Mapping[str, NDArray[Any]], replicates: Doubles, confidence: float
) -> dict[str, Any]:
    defined = np.isfinite(per_seed["difference"])
    counts = ("n_correct", "n_incorrect")
    if not defined.any():
        return {"n_seeds": 0, "n_levels": 0, **dict.fromkeys(counts, 0)}
    test = one_sample_t(per_seed["difference"], confidence)
    # Undefined where one of these networks is: without it, this were the mean over other networks.
    low, high = percentile_interval(replicates[defined].mean(axis=0), confidence)
    averages = ("mean_correct", "mean_incorrect")
    return {
        "n_seeds": test.n,
        "n_levels": int(per_seed["n_levels"][defined].min()),
        **{name: float(per_seed[name][defined].mean()) for name in averages},
        **{name: int(per_seed[name].sum()) for name in counts},
        "difference": test.mean,
        "difference_low": test.low,
        "difference_high": test.high,
        "difference_images_low": float(low),
        "difference_images_high": float(high),
        "effect_size": test.effect_size,
        "seeds_up": test.up,
        "seeds_down": test.down,
        "p": test.p,
    }
