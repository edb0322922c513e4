"""Do accuracy and a metric of explanations move together over pruning levels?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsight.analysis.statistics import (
    Series,
    first_difference,
    kendall,
    naive_p,
    pearson,
    rank_partial,
    spearman,
    student_interval,
)
from sparsight.analysis.summaries import read_levels
from sparsight.io.tables import write_csv

CURVE = ["dataset", "model", "pruner", "explainer", "condition", "metric", "subset"]
COEFFICIENTS = ["pearson", "spearman", "kendall", "first_difference", "rank_partial"]
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
]
MEAN = "mean"


def correlate(levels: Path, output: Path, settings: Mapping[str, Any]) -> None:
    """Write `correlations.csv` from `levels.csv`.

    One row per data set, model, pruner, explainer, condition, metric, subset, range of levels and
    seed, and one with the seed "mean". `levels` is "all" or "density_at_least_{floor}": most of a
    correlation usually comes from the collapse at the sparse end, which the second range leaves
    out.

    Columns
    -------
    control : whether the explainer never looks at the network. Where a control correlates as well
        as an explainer, the correlation says nothing about that explainer.
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

    A cell is empty where the quantity is not defined (a series that is constant, as that of a
    model-independent control; too few levels). It is never 0 in its place.

    Parameters
    ----------
    levels, output : the tables.
    settings : `controls` (names of the explainers that are controls), `density_floor` (default
        0.02), `confidence` (default 0.95).
    """
    frame = read_levels(levels)
    controls = set(settings.get("controls", ()))
    floor = float(settings.get("density_floor", 0.02))
    confidence = float(settings.get("confidence", 0.95))
    ranges = {"all": frame, f"density_at_least_{floor:g}": _above(frame, floor)}
    rows = [
        {**dict(zip(CURVE, names, strict=True)), "levels": label, **row}
        for label, part in ranges.items()
        for names, curve in part.groupby(CURVE, sort=True)
        for row in _correlate_curve(curve, confidence)
    ]
    table = pd.DataFrame(rows, columns=CORRELATION_COLUMNS)
    table["control"] = table["explainer"].isin(controls).map({True: "true", False: "false"})
    # Stable: the seeds of a curve stay in their order, their mean last.
    write_csv(output, table.sort_values([*CURVE, "levels"], kind="stable"))


def _above(frame: pd.DataFrame, floor: float) -> pd.DataFrame:
    """Levels at which every network of a curve keeps at least the share `floor` of its weights.

    Networks of one level can differ by a weight; judged one by one, the seeds of a curve would
    have different numbers of levels.
    """
    smallest = frame.groupby([*CURVE, "level"])["density"].transform("min")
    # A configured density is met up to rounding of whole weights to a share.
    return frame[smallest >= floor * (1.0 - 1e-9)]


def _correlate_curve(curve: pd.DataFrame, confidence: float) -> Iterator[dict[str, Any]]:
    """Rows of one curve: one per seed, then their mean."""
    per_seed: list[dict[str, Any]] = []
    for seed, rows in curve.groupby("seed", sort=True):
        series = rows.dropna(subset=["mean", "accuracy"]).sort_values("level")
        metric, accuracy, density = (_series(series, c) for c in ("mean", "accuracy", "density"))
        per_seed.append(
            {
                "seed": str(seed),
                "n_seeds": 1,
                "n_levels": len(series),
                "pearson": pearson(metric, accuracy),
                "spearman": spearman(metric, accuracy),
                "kendall": kendall(metric, accuracy),
                "first_difference": first_difference(metric, accuracy),
                "rank_partial": rank_partial(metric, accuracy, density),
            }
        )
    yield from per_seed
    summary: dict[str, Any] = {"seed": MEAN, "n_seeds": len(per_seed)}
    for name in COEFFICIENTS:
        interval = student_interval([row[name] for row in per_seed], confidence)
        summary[name] = interval.mean
        summary |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        summary[f"{name}_seeds"] = interval.networks
    yield summary | _published(curve)


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


def _series(frame: pd.DataFrame, column: str) -> Series:
    return np.asarray(frame[column], dtype=np.float64)
