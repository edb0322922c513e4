"""Metrics that score several steps: the mean over images at each step, level by level."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from sparsight.analysis import tables
from sparsight.analysis.curves import complete_curves
from sparsight.analysis.scores import Entries, ScoreFile, of_study, open_files
from sparsight.analysis.statistics import control_flags, student_interval
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

#: of the stage `curves_table`: see `sparsight.study.versions`
VERSION = 1

SCORED = ["explainer", "condition", "metric"]
SERIES = ["dataset", "model", "seed", *SCORED]
CURVE = ["dataset", "model", "pruner", "level", *SCORED]


def summarise_steps(scores: Iterable[Path], output: Path, settings: Mapping[str, Any]) -> None:
    """Write `curves.csv`: at every step of a metric, the mean over the images.

    One row per data set, model, pruner, seed, level, explainer, condition, metric and step, and one
    with the seed "mean". Level 0 is the dense network, repeated under each pruner. A curve that was
    not scored (an explainer that is too costly for a metric, a level at which a family is not
    explained) has no rows. Rows of a level stand curve by curve, those of the mean last, each in
    the order of its steps; the bytes do not depend on the order of the files.

    The columns are those of `sparsight.analysis.tables`. `axis_value` is where the step lies on the
    metric's `step_axis` (20 of "pixels removed, %"); the step itself where the metric does not say.

    Parameters
    ----------
    scores : `scores/{family}.parquet` of every scored checkpoint. They are read one at a time, and
        only the rows with steps are kept while one is described.
    output : the table.
    settings : `metrics` (names of those whose steps are wanted), `controls` (explainers that are
        controls), `confidence` of the intervals.

    Raises
    ------
    InputError
        When files are missing, corrupt, doubled, or do not belong together.
    """
    axes: dict[str, list[float]] = {}
    wanted = set(settings["metrics"])
    entries = settings.get("entries")
    found = [_described(file, wanted, axes, entries) for file in open_files(scores, entries)]
    by_seed = complete_curves(pd.concat([_EMPTY, *found]).astype(_EMPTY.dtypes), SERIES)
    means = _over_seeds(by_seed, float(settings["confidence"]))
    rows = pd.concat([by_seed.assign(order=by_seed["seed"]), means])
    rows = rows.sort_values([*CURVE, "order", "step"], ignore_index=True)
    table = rows.assign(control=control_flags(rows, settings["controls"]))
    tables.write("curves", output, table[tables.TABLES["curves"].names])


#: what is known of each step of one network, without rows
_EMPTY = pd.DataFrame(
    {
        **{name: pd.Series(dtype="object") for name in ("dataset", "model", "pruner", *SCORED)},
        **{name: pd.Series(dtype="int64") for name in ("seed", "level", "step")},
        **{name: pd.Series(dtype="int64") for name in ("n_seeds", "n", "undefined")},
        **{name: pd.Series(dtype="float64") for name in ("density", "axis_value", "mean")},
    }
)


def _described(
    file: ScoreFile, wanted: set[str], axes: dict[str, list[float]], entries: Entries | None
) -> pd.DataFrame:
    """Means over images at each step of one checkpoint; `axes` collects where steps stand."""
    table = read_table(file.path, [*SCORED, "step", "value"]).unify_dictionaries()
    facts = json.loads((table.schema.metadata or {}).get(b"metrics", b"{}"))
    table = of_study(table, (file.dataset, file.model), entries)
    rows = table.filter(pc.field("step") >= 0).to_pandas()
    rows = rows[rows["metric"].isin(wanted)]
    values = rows["value"].astype("float64")
    grouped = rows.assign(value=values.where(np.isfinite(values))).groupby(
        [*SCORED, "step"], observed=True, sort=True
    )["value"]
    found = grouped.agg(n="count", images="size", mean="mean").reset_index()
    found = found.astype(dict.fromkeys(SCORED, "str"))
    for metric in found["metric"].unique():
        axis = list(facts.get(metric, {}).get("step_values", ()))
        if axes.setdefault(metric, axis) != axis:
            raise InputError(
                f"{file.path} was scored with other steps of the metric '{metric}' than the files "
                "before it; delete it and run snakemake again"
            )
    steps = zip(found["metric"], found["step"], strict=True)
    whole: pd.DataFrame = found.assign(
        **{name: getattr(file, name) for name in ("dataset", "model", "pruner", "seed", "level")},
        density=file.density,
        axis_value=[_axis_value(axes[metric], metric, step, file.path) for metric, step in steps],
        undefined=found["images"] - found["n"],
        n_seeds=found["mean"].notna().astype("int64"),
    )
    return whole[list(_EMPTY)]


def _axis_value(axis: list[float], metric: str, step: int, path: Path) -> float:
    if axis and step >= len(axis):
        raise InputError(
            f"{path} holds step {step} of the metric '{metric}', whose axis has {len(axis)} steps; "
            "delete it and run snakemake again"
        )
    return float(axis[step]) if axis else float(step)


def _over_seeds(by_seed: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Rows of the seed "mean", one for each level's step."""
    key = [*CURVE, "step"]
    whole = by_seed.groupby(key, sort=True).agg(
        density=("density", "mean"),
        axis_value=("axis_value", "first"),
        n=("n", "sum"),
        undefined=("undefined", "sum"),
    )
    means = by_seed.groupby(key, sort=True)["mean"].agg(list)
    intervals = [student_interval(values, confidence) for values in means]
    columns = ["mean", "low", "high", "n_seeds"]
    found = pd.DataFrame(intervals, columns=columns, index=means.index)
    return whole.join(found).reset_index().assign(seed=MEAN, order=np.inf)
