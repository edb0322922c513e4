"""Curves over pruning levels: the dense start shared by all pruners, and the mean over networks."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

DENSE = "dense"


def complete_curves(frame: pd.DataFrame, series: Sequence[str]) -> pd.DataFrame:
    """Let each pruner's curve start at the dense network, which all pruners share.

    Parameters
    ----------
    frame : rows with at least `pruner`, `level` and the columns `series`. Rows of the dense network
        have the pruner `dense`.
    series : columns that, together with the pruner, name one curve (data set, model, seed, ...);
        none of them may hold undefined values.

    Returns
    -------
    DataFrame in which every dense row is repeated under each pruner that has rows of its own in the
    same series. The added column `checkpoint_pruner` tells whose checkpoint a row was measured on.
    `dense` itself is no curve and does not appear as a pruner.
    """
    names = list(series)
    dense = frame[frame["pruner"] == DENSE]
    pruned = frame[frame["pruner"] != DENSE]
    owners = pruned[[*names, "pruner"]].drop_duplicates()
    start = dense.drop(columns="pruner").merge(owners, on=names, how="inner")
    start["checkpoint_pruner"] = DENSE
    whole = pd.concat([start, pruned.assign(checkpoint_pruner=pruned["pruner"])])
    return whole[[*frame.columns, "checkpoint_pruner"]].reset_index(drop=True)


def performance_curves(evaluations: Path, split: str, metric: str) -> pd.DataFrame:
    """Curves of one performance measure, with the density of each checkpoint.

    Parameters
    ----------
    evaluations : `evaluations.parquet` as written by `summarise`.
    split, metric : which rows, such as "test" and "accuracy".

    Returns
    -------
    DataFrame with the columns dataset, model, pruner, seed, level, condition, value, density (share
    of prunable weights that are left, in (0, 1]) and checkpoint_pruner; sorted.

    Raises
    ------
    InputError
        When the table has no such rows.
    """
    frame = read_table(evaluations).to_pandas()
    checkpoint = ["dataset", "model", "pruner", "seed", "level"]
    wanted = frame[(frame["split"] == split) & (frame["metric"] == metric)]
    if wanted.empty:
        raise InputError(
            f"{evaluations} has no '{metric}' of the split '{split}'; evaluate it first"
        )
    density = frame.loc[frame["metric"] == "density_prunable", [*checkpoint, "value"]]
    joined = wanted[[*checkpoint, "condition", "value"]].merge(
        density.rename(columns={"value": "density"}), on=checkpoint, how="left"
    )
    curves = complete_curves(joined, ["dataset", "model", "seed", "condition"])
    return curves.sort_values([*checkpoint, "condition"], ignore_index=True)


def mean_over_seeds(frame: pd.DataFrame, series: Sequence[str], value: str) -> pd.DataFrame:
    """Mean of `value` and of the density over the networks of each level.

    Parameters
    ----------
    frame : rows with `seed`, `level`, `density`, `value` and the columns `series`.
    series : columns that name one curve, without the seed.
    value : the column to average.

    Returns
    -------
    DataFrame with the columns `series`, level, density, `value`, seeds (how many networks had a
    defined value). A level at which not every network has a value is left out: the mean would
    otherwise jump because its members change, not because the networks do.
    """
    names = list(series)
    expected = frame.groupby(names)["seed"].nunique().rename("expected").reset_index()
    defined = frame.dropna(subset=[value])
    grouped = defined.groupby([*names, "level"], as_index=False).agg(
        **{"density": ("density", "mean"), value: (value, "mean"), "seeds": ("seed", "nunique")}
    )
    whole = grouped.merge(expected, on=names)
    return (
        whole[whole["seeds"] == whole["expected"]].drop(columns="expected").reset_index(drop=True)
    )
