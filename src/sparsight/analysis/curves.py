"""Curves over pruning levels, of one network and of several.

A *chain* is one network's pruner, with the dense network as level 0. `statistics.parquet` holds a
chain's means by subset of images with their replicates.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparsight.analysis.statistics import CONSTANT, percentile_interval
from sparsight.analysis.tables import read
from sparsight.io.errors import InputError
from sparsight.io.files import remedy
from sparsight.io.tables import TableWriter, checked_parquet

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
    frame = read("evaluations", evaluations)
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


#: explainer of the rows that hold the accuracy
ACCURACY_ROWS = ""
ACCURACY = "accuracy"
#: all columns but `replicates`, whose type depends on their number
STATISTICS_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("study", "dataset", "model", "pruner")),
        ("seed", pa.int64()),
        ("level", pa.int32()),
        ("density", pa.float64()),
        *((name, pa.string()) for name in ("checkpoint_pruner", "explainer", "condition")),
        *((name, pa.string()) for name in ("metric", "subset")),
        ("n", pa.int64()),
        ("undefined", pa.int64()),
        ("mean", pa.float64()),
    ]
)
#: what names a chain
CHAIN = ["study", "dataset", "model", "pruner", "seed"]
#: order of the rows
ORDER = ["explainer", "condition", "metric", "subset", "level"]
_REPLICATES = "replicates"


def statistics_schema(replicates: int) -> pa.Schema:
    """`STATISTICS_SCHEMA` and the column `replicates`, a list of as many float32."""
    return STATISTICS_SCHEMA.append(pa.field(_REPLICATES, pa.list_(pa.float32(), replicates)))


class StatisticsWriter(TableWriter):
    """Write `statistics.parquet`, one row group per explainer; it appears when the block ends well.

    Parameters
    ----------
    path : the file.
    replicates, bootstrap_seed : of the draw; kept in the metadata.
    """

    def __init__(self, path: Path, replicates: int, bootstrap_seed: int) -> None:
        metadata = {"replicates": str(replicates), "bootstrap_seed": str(bootstrap_seed)}
        super().__init__(path, statistics_schema(replicates), metadata)
        self._replicates = replicates

    def append_explainer(self, frame: pd.DataFrame, replicates: NDArray[np.float32]) -> None:
        """Append the rows of one explainer; call in the order of their names.

        Parameters
        ----------
        frame : columns of `STATISTICS_SCHEMA`, in any order of rows.
        replicates : float32 [rows, B], parallel to `frame`.
        """
        rows = frame.reset_index(drop=True).sort_values(ORDER, kind="stable")
        ordered = np.ascontiguousarray(replicates[rows.index.to_numpy()], dtype=np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(ordered.ravel()), self._replicates)
        table = pa.Table.from_pandas(rows, STATISTICS_SCHEMA, preserve_index=False)
        self.append(table.append_column(_REPLICATES, lists))


def write_statistics(
    path: Path, frame: pd.DataFrame, replicates: NDArray[np.float32], bootstrap_seed: int
) -> None:
    """Write a whole `statistics.parquet`: columns of `STATISTICS_SCHEMA`, float32 [rows, B]."""
    whole = frame.reset_index(drop=True)
    with StatisticsWriter(path, replicates.shape[1], bootstrap_seed) as writer:
        for _, rows in whole.groupby("explainer", sort=True):
            writer.append_explainer(rows, replicates[rows.index.to_numpy()])


@dataclass(frozen=True)
class Curves:
    """Rows of one or more chains.

    Attributes
    ----------
    frame : columns of `STATISTICS_SCHEMA`, with a RangeIndex; sorted by chain, then as in the file.
    replicates : float32 [rows, B], parallel to the frame. Column b holds the same draw of images in
        all rows; NaN where the mean is undefined in it.
    """

    frame: pd.DataFrame
    replicates: NDArray[np.float32]


def read_curves(paths: Iterable[Path], explainers: Collection[str] | None = None) -> Curves:
    """Read chains, whole or some explainers of them.

    Parameters
    ----------
    paths : `statistics.parquet` of each chain, in any order.
    explainers : names; "" stands for the rows of the accuracy. None reads all. Only their row
        groups are read.

    Raises
    ------
    InputError
        When a file is missing, corrupt or no such table, when two files hold one chain, or when
        they do not come from one draw.
    """
    parts = sorted(_read(Path(path), explainers) for path in paths)
    if not parts:
        return Curves(pd.DataFrame(columns=STATISTICS_SCHEMA.names), np.empty((0, 0), np.float32))
    for first, second in pairwise(parts):
        if first.chain == second.chain:
            raise InputError(
                f"{first.path} and {second.path} hold the same chain; give each chain once"
            )
        if first.draw != second.draw:
            raise InputError(
                f"{first.path} and {second.path} were resampled with different draws; "
                "delete both and run snakemake again"
            )
    frame = pa.concat_tables([part.table for part in parts]).to_pandas()
    return Curves(frame, np.concatenate([part.replicates for part in parts]))


def read_explainers(paths: Iterable[Path]) -> list[str]:
    """Names of the explainers that the chains hold, sorted, without the rows of the accuracy."""
    found: set[str] = set()
    for path in paths:
        with _opened(Path(path)) as (file, _):
            found.update(_explainers(file))
    return sorted(found - {ACCURACY_ROWS})


@dataclass(frozen=True, order=True)
class _Part:
    chain: tuple[Any, ...]
    draw: tuple[str, ...]
    path: Path
    table: pa.Table = field(compare=False)
    replicates: NDArray[np.float32] = field(compare=False)


def _read(path: Path, explainers: Collection[str] | None) -> _Part:
    with _opened(path) as (file, draw):
        names = enumerate(_explainers(file))
        groups = [i for i, name in names if explainers is None or name in explainers]
        table = file.read_row_groups(groups)
        (chain,) = file.read_row_group(0, columns=CHAIN).slice(0, 1).to_pylist()
    values = table[_REPLICATES].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    replicates = values.reshape(table.num_rows, int(draw[0]))
    return _Part(tuple(chain.values()), draw, path, table.drop_columns([_REPLICATES]), replicates)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[pq.ParquetFile, tuple[str, ...]]]:
    """A file of statistics and its draw: how many replicates, and their seed."""
    with checked_parquet(path) as file:
        metadata = file.schema_arrow.metadata or {}
        draw = tuple(metadata.get(k, b"").decode() for k in (b"replicates", b"bootstrap_seed"))
        if not all(draw):
            raise InputError(f"{path} does not say how it was resampled; {remedy(path)}")
        if not file.schema_arrow.equals(statistics_schema(int(draw[0]))):
            raise InputError(
                f"{path} does not have the columns of statistics of a chain; {remedy(path)}"
            )
        yield file, draw


def _explainers(file: pq.ParquetFile) -> list[str]:
    """The explainer of each row group."""
    column = STATISTICS_SCHEMA.names.index("explainer")
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    # the writer gives every explainer a group of its own, so the first name is the only one
    return [group.column(column).statistics.min for group in groups]


KEYS = ["dataset", "model", "pruner", "explainer", "condition", "metric"]
Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Networks:
    """One quantity of S networks at L levels.

    Attributes
    ----------
    seeds, levels : ascending, [S] and [L].
    density : float64 [S, L], share of prunable weights left; NaN where a network lacks the level.
    n : int64 [S, L], images with a defined value; 0 where a network lacks the level.
    mean : float64 [S, L], NaN where undefined.
    replicates : float32 [S, L, B], NaN where undefined. Column b is the same draw throughout.
    """

    seeds: tuple[int, ...]
    levels: tuple[int, ...]
    density: Doubles
    n: NDArray[np.int64]
    mean: Doubles
    replicates: NDArray[np.float32]

    def minus(self, other: "Networks") -> "Networks":
        """Difference to another quantity of the same networks and levels, paired by both.

        Differences within the rounding of float32 scores are 0: a control scores the same at every
        level, and a test of what is left would be one of rounding errors.
        """
        return replace(
            self,
            mean=difference(self.mean, other.mean),
            replicates=difference(self.replicates, other.replicates),
        )

    def against_dense(self) -> "Networks":
        """Difference to level 0 of the same network; NaN at level 0 itself and where it is not."""
        if 0 not in self.levels:
            return self.undefined()
        dense = self.levels.index(0)
        mean = difference(self.mean, self.mean[:, [dense]])
        replicates = difference(self.replicates, self.replicates[:, [dense]])
        mean[:, dense] = np.nan
        replicates[:, dense] = np.nan
        return replace(self, mean=mean, replicates=replicates)

    def undefined(self) -> "Networks":
        """The same networks and levels without any value."""
        nothing = np.full_like(self.mean, np.nan), np.full_like(self.replicates, np.nan)
        return replace(self, mean=nothing[0], replicates=nothing[1])

    def image_intervals(self, confidence: float) -> tuple[Doubles, Doubles]:
        """Limits [L] of the mean over networks on other images, *for these networks*.

        The networks with a defined mean are averaged draw by draw. A draw in which one of them is
        undefined is undefined: without it the average would be one of other networks.
        """
        defined = np.isfinite(self.mean)
        count = defined.sum(axis=0)
        total = np.where(defined[..., np.newaxis], self.replicates, np.float32(0.0)).sum(axis=0)
        average = total / np.where(count, count, np.nan)[:, np.newaxis]
        return percentile_interval(average, confidence)


def difference(one: Floats, other: Floats) -> Any:
    """`one` - `other`, exactly 0 where they agree up to the rounding of float32 scores."""
    found = one - other
    size = np.maximum(np.abs(one), np.abs(other))
    # False where either is NaN, which then stays
    return np.where(np.abs(found) <= CONSTANT * size, np.zeros_like(found), found)


def networks_by_subset(
    curves: Curves, subsets: Collection[str]
) -> Iterator[tuple[dict[str, str], dict[str, Networks]]]:
    """The curves of each data set, model, pruner, explainer, condition and metric.

    Parameters
    ----------
    curves : chains of one study; which networks they are of is told by the seed.
    subsets : which subsets of images are wanted.

    Yields
    ------
    `KEYS` with their values, in sorted order, and subset to its networks. All subsets of a key have
    the same seeds and levels.

    Raises
    ------
    InputError
        When the chains belong to several studies.
    """
    studies = sorted(set(curves.frame["study"]))
    if len(studies) > 1:
        raise InputError(
            f"statistics of several studies ({', '.join(studies)}); give one study at a time"
        )
    wanted = curves.frame[curves.frame["subset"].isin(list(subsets))]
    for names, rows in wanted.groupby(KEYS, sort=True):
        seeds, levels = np.unique(rows["seed"]), np.unique(rows["level"])
        found = {}
        for subset, part in rows.groupby("subset", sort=True):
            place = (
                np.searchsorted(seeds, part["seed"].to_numpy()),
                np.searchsorted(levels, part["level"].to_numpy()),
            )
            shape = (len(seeds), len(levels))
            images = np.zeros(shape, dtype=np.int64)
            images[place] = part["n"].to_numpy()
            replicates = np.full((*shape, curves.replicates.shape[1]), np.nan, dtype=np.float32)
            replicates[place] = curves.replicates[part.index.to_numpy()]
            found[str(subset)] = Networks(
                seeds=tuple(seeds.tolist()),
                levels=tuple(levels.tolist()),
                density=_placed(part["density"].to_numpy(), place, shape),
                n=images,
                mean=_placed(part["mean"].to_numpy(), place, shape),
                replicates=replicates,
            )
        yield {key: str(name) for key, name in zip(KEYS, names, strict=True)}, found


def _placed(values: Doubles, place: tuple[Any, Any], shape: tuple[int, int]) -> Doubles:
    whole = np.full(shape, np.nan)
    whole[place] = values
    return whole
