"""Every level held against the dense networks, with the trained network as unit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.inference import one_sample_t
from sparsight.analysis.multiplicity import FAMILY, adjusted_p, control_flags
from sparsight.analysis.networks import Networks, networks_by_subset
from sparsight.analysis.resampled import ACCURACY_ROWS, read_curves, read_explainers
from sparsight.analysis.statistics import student_interval
from sparsight.analysis.subsets import BOTH, CHANGE_AT_BOTH
from sparsight.io.tables import write_csv

#: of the stage `contrasts`: see `sparsight.study.versions`
VERSION = 1

CONTRASTED_SUBSETS = ("all", BOTH)
_READ = (*CONTRASTED_SUBSETS, CHANGE_AT_BOTH)
PLACE = ["dataset", "model", "pruner", "level", "explainer", "condition", "metric", "subset"]
CONTRAST_COLUMNS = [
    *("dataset", "model", "pruner", "level", "explainer", "control"),
    *("condition", "metric", "subset", "density", "n_seeds"),
    *("mean", "mean_low", "mean_high", "mean_images_low", "mean_images_high"),
    *("difference", "difference_low", "difference_high"),
    *("difference_images_low", "difference_images_high"),
    *("effect_size", "seeds_up", "seeds_down", "p", "p_adjusted"),
]
_WHOLE = dict.fromkeys(("level", "n_seeds", "seeds_up", "seeds_down"), "Int64")


def contrast(statistics: Iterable[Path], output: Path, settings: Mapping[str, Any]) -> None:
    """Write `contrasts.csv` from the statistics of all chains of a study.

    One row per data set, model, pruner, level, explainer, condition, metric and subset (`all`,
    `correct_at_both`), and the same for the accuracy over all test images (explainer "", metric
    "accuracy"). One explainer at a time is in memory.

    Columns
    -------
    density : mean over networks of the share of prunable weights left.
    n_seeds : networks with a defined mean at this level.
    mean : over these networks, with its Student t interval over networks (`mean_low`, `mean_high`)
        and its percentile interval over draws of images *for these networks* (`mean_images_low`,
        `mean_images_high`).
    difference : mean over networks of this level minus level 0 of the same network, in
        `correct_at_both` image by image over what both get right; intervals
        likewise, the first from the paired t. Only networks that are defined at both enter.
        Differences below 1e-6 of the values, the rounding of scores, are 0.
    effect_size : difference in standard deviations between networks (Cohen's d_z).
    seeds_up, seeds_down : networks whose difference is above, below 0.
    p : two-sided, of the paired t; empty with fewer than two networks and where all networks
        differ by the same amount, which no test covers.
    p_adjusted : Benjamini-Hochberg within data set, model and pruner, over all rows but those of
        controls.

    A cell is empty where the quantity is not defined; the difference of level 0 to itself is none.

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
        {**names, "subset": subset, **row}
        for explainer in [ACCURACY_ROWS, *read_explainers(paths)]
        for names, found in networks_by_subset(read_curves(paths, [explainer]), _READ)
        for subset, networks in found.items()
        if subset in CONTRASTED_SUBSETS
        for row in contrast_rows(networks, _changes(subset, found), confidence)
    ]
    write_contrasts(rows, output, settings["controls"])


def _changes(subset: str, found: Mapping[str, Networks]) -> Networks:
    """Differences to the dense networks; of `correct_at_both` they were taken image by image."""
    if subset != BOTH:
        return found[subset].against_dense()
    if CHANGE_AT_BOTH in found:
        return found[CHANGE_AT_BOTH]
    # Dense networks alone: nothing was pruned, or nothing of it explained.
    return found[subset].against_dense().undefined()


def contrast_rows(
    values: Networks, changes: Networks, confidence: float
) -> Iterator[dict[str, Any]]:
    """One row per level: the columns of `contrast` from `level` on, but for `p_adjusted`.

    Parameters
    ----------
    values : the networks.
    changes : their difference to the dense networks, of the same seeds and levels.
    confidence : of all intervals, in (0, 1).
    """
    images = values.image_intervals(confidence), changes.image_intervals(confidence)
    for place, level in enumerate(values.levels):
        mean = student_interval(values.mean[:, place].tolist(), confidence)
        change = one_sample_t(changes.mean[:, place], confidence)
        density = values.density[:, place]
        known = density[np.isfinite(density)]
        yield {
            "level": level,
            "density": float(known.mean()) if known.size else np.nan,
            "n_seeds": mean.networks,
            **_estimate("mean", mean.mean, mean.low, mean.high),
            **_estimate("mean_images", None, images[0][0][place], images[0][1][place]),
            **_estimate("difference", change.mean, change.low, change.high),
            **_estimate("difference_images", None, images[1][0][place], images[1][1][place]),
            "effect_size": change.effect_size,
            "seeds_up": change.up if change.n else None,
            "seeds_down": change.down if change.n else None,
            "p": change.p,
        }


def _estimate(name: str, value: float | None, low: float, high: float) -> dict[str, float]:
    limits = {f"{name}_low": float(low), f"{name}_high": float(high)}
    return limits if value is None else {name: value, **limits}


def write_contrasts(
    rows: Sequence[Mapping[str, Any]],
    output: Path,
    controls: Sequence[str],
    family: Sequence[str] = FAMILY,
) -> None:
    """Write rows of contrasts, sorted, with their adjusted p; see `adjusted_p` for `family`."""
    table = pd.DataFrame(rows, columns=[*CONTRAST_COLUMNS, *(set(family) - set(CONTRAST_COLUMNS))])
    table["control"] = control_flags(table, controls)
    table["p_adjusted"] = adjusted_p(table, controls, family)
    write_csv(output, table.sort_values(PLACE)[CONTRAST_COLUMNS].astype(_WHOLE))
