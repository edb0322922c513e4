"""Do accuracy and a metric of explanations move together over pruning levels?"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.association import COEFFICIENTS, DRAWN_COEFFICIENTS, Association
from sparsight.analysis.control_gaps import PLACE, write_control_gaps
from sparsight.analysis.correlated_levels import FEWEST_LEVELS
from sparsight.analysis.drawn_correlations import DrawnCorrelations
from sparsight.analysis.inference import one_sample_t
from sparsight.analysis.multiplicity import adjusted_p, control_flags
from sparsight.analysis.statistics import naive_p, pearson, student_interval
from sparsight.analysis.summaries import read_levels
from sparsight.io.tables import write_csv

#: of the stage `correlations`: see `sparsight.study.versions`
VERSION = 1

CURVE = ["dataset", "model", "pruner", "explainer", "condition", "metric", "subset"]
CORRELATED_SUBSETS = ("all", "correct_at_both")
CORRELATION_COLUMNS = [
    *CURVE,
    "levels",
    "control",
    "seed",
    "n_seeds",
    "n_levels",
    *COEFFICIENTS,
    *(f"{name}_{part}" for name in COEFFICIENTS for part in ("low", "high", "seeds")),
    "published_form",
    "published_p",
    *(f"{name}_images_{part}" for name in DRAWN_COEFFICIENTS for part in ("low", "high")),
    "p",
    "p_adjusted",
]
MEAN = "mean"


def correlate(
    levels: Path,
    statistics: Iterable[Path],
    output: Path,
    gaps: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `correlations.csv` from `levels.csv`, and `control_gaps.csv` beside it.

    One row per data set, model, pruner, explainer, condition, metric, subset, range of levels and
    seed, and one with the seed "mean". `levels` is "all" or "density_at_least_{floor}": most of a
    correlation usually comes from the collapse at the sparse end, which the second range leaves
    out. Pruners with fewer than three levels have no rows.

    Columns
    -------
    control : whether the explainer is a control. Where a control correlates as well as an
        explainer, the correlation says nothing about that explainer; see `control_gaps`.
    n_seeds, n_levels : networks and levels that enter. Levels without a defined mean are left out.
    pearson, spearman, kendall : of the metric's mean over images with the accuracy, over levels.
    first_difference : Pearson r of the steps between successive levels.
    rank_partial : Spearman correlation with the rank of the density held fixed.
    {coefficient}_low, _high, _seeds : in rows "mean", Student t interval over seeds, and how many
        seeds had a defined value; empty limits where that is one. The limits are not cut at 1.
    published_form : in rows "mean", Pearson r of the two series averaged over seeds first, as the
        published study computes it.
    published_p : its p under independent levels. It is wrong: levels are ordered and autocorrelated
        (independent AR(.7) series of 26 levels fall below .05 in 24% of cases), so it must not be
        read as a test. It is here for comparison with published numbers.
    pearson_images_low, _high, spearman_images_low, _high : in rows "mean", interval over draws of
        images *for these networks*: in each draw the coefficient of every network, then their mean;
        see `correlation_interval`. Empty where more than 1% of the draws lack the mean of a level.
    p : in rows "mean", two-sided, of the t test of `pearson` over seeds against 0. No transform
        is applied: r is taken as one number per network.
    p_adjusted : Benjamini-Hochberg within data set, model and pruner, over all rows "mean" but
        those of controls.

    A cell is empty where the quantity is not defined (a series that is constant, as that of a
    model-independent control; too few levels). It is never 0 in its place.

    Parameters
    ----------
    levels : `levels.csv`.
    statistics : `statistics.parquet` of each chain of the same study, in any order.
    output, gaps : the tables; see `write_control_gaps` for the second.
    settings : `controls` (names of the explainers that are controls), `statistics` (with
        `confidence` and `density_floor`).

    Raises
    ------
    InputError
        When files are missing, corrupt, or do not belong together.
    """
    floor = float(settings["statistics"]["density_floor"])
    confidence = float(settings["statistics"]["confidence"])
    controls = set(settings["controls"])
    frame = _with_enough_levels(read_levels(levels))
    frame = frame[frame["subset"].isin(CORRELATED_SUBSETS)]
    kept = {"all": frame, f"density_at_least_{floor:g}": _above(frame, floor)}
    drawn = DrawnCorrelations(statistics, confidence)
    rows: list[dict[str, Any]] = []
    curves: dict[tuple[str, ...], dict[str, dict[int, Association]]] = {}
    # Explainer by explainer, for the replicates of one at a time are in memory.
    for label, explainer, part in _by_explainer(kept):
        for key, curve in part.groupby(CURVE, sort=True):
            names = {column: str(name) for column, name in zip(CURVE, key, strict=True)}
            networks = _networks(curve)
            intervals = drawn.intervals(names, networks)
            for row in _correlate_curve(networks, curve, confidence):
                images = intervals if row["seed"] == MEAN else {}
                rows.append({**names, "levels": label, **row, **images})
            place = tuple({**names, "levels": label}[name] for name in PLACE)
            curves.setdefault(place, {})[explainer] = networks
    table = pd.DataFrame(rows, columns=CORRELATION_COLUMNS)
    table["control"] = control_flags(table, controls)
    table["p_adjusted"] = adjusted_p(table, controls)
    # Stable: the seeds of a curve stay in their order, their mean last.
    write_csv(output, table.sort_values([*CURVE, "levels"], kind="stable"))
    write_control_gaps(curves, gaps, controls, confidence)


def _with_enough_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of pruners that have a curve: retraining, for one, has a single level and none."""
    levels = frame.groupby(["dataset", "model", "pruner"])["level"].transform("nunique")
    return frame[levels >= FEWEST_LEVELS]


def _above(frame: pd.DataFrame, floor: float) -> pd.DataFrame:
    """Levels at which every network of a curve keeps at least the share `floor` of its weights.

    Networks of one level can differ by a weight; judged one by one, the seeds of a curve would
    have different numbers of levels.
    """
    smallest = frame.groupby([*CURVE, "level"])["density"].transform("min")
    # A configured density is met up to rounding of whole weights to a share.
    return frame[smallest >= floor * (1.0 - 1e-9)]


def _by_explainer(
    ranges: Mapping[str, pd.DataFrame],
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Range of levels, explainer, rows; the ranges of one explainer after each other."""
    grouped = {label: dict(list(part.groupby("explainer"))) for label, part in ranges.items()}
    for explainer in sorted({str(name) for parts in grouped.values() for name in parts}):
        for label, parts in grouped.items():
            if explainer in parts:
                yield label, explainer, parts[explainer]


def _networks(curve: pd.DataFrame) -> dict[int, Association]:
    return {int(str(seed)): Association.of(rows) for seed, rows in curve.groupby("seed", sort=True)}


def _correlate_curve(
    networks: Mapping[int, Association], curve: pd.DataFrame, confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of one curve: one per seed, then their mean."""
    for seed, one in networks.items():
        counts = {"seed": str(seed), "n_seeds": 1, "n_levels": len(one.levels)}
        yield {**counts, **one.coefficients}
    summary: dict[str, Any] = {"seed": MEAN, "n_seeds": len(networks)}
    for name in COEFFICIENTS:
        values = [one.coefficients[name] for one in networks.values()]
        interval = student_interval(values, confidence)
        summary[name] = interval.mean
        summary |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        summary[f"{name}_seeds"] = interval.networks
    p = one_sample_t([one.coefficients["pearson"] for one in networks.values()], confidence).p
    yield {**summary, **_published(curve), "p": p}


def _published(curve: pd.DataFrame) -> dict[str, Any]:
    """Pearson r and naive p of the seed-averaged series (levels that all seeds share)."""
    # [levels, seeds]; a level that a seed lacks, or at which it is undefined, gives NaN.
    table = curve.pivot(index="level", columns="seed", values=["mean", "accuracy"])
    metric = table["mean"].to_numpy(dtype=np.float64).mean(axis=1)
    accuracy = table["accuracy"].to_numpy(dtype=np.float64).mean(axis=1)
    shared = np.isfinite(metric) & np.isfinite(accuracy)
    x, y = metric[shared], accuracy[shared]
    return {
        "n_levels": int(shared.sum()),
        "published_form": pearson(x, y),
        "published_p": naive_p(x, y),
    }
