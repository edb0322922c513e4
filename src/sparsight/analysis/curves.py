"""ChainRows over pruning levels, of one network and of several.

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
    """ChainRows of one performance measure, with the density of each checkpoint.

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
class ChainRows:
    """Rows of one or more chains.

    Attributes
    ----------
    frame : columns of `STATISTICS_SCHEMA`, with a RangeIndex; sorted by chain, then as in the file.
    replicates : float32 [rows, B], parallel to the frame. Column b holds the same draw of images in
        all rows; NaN where the mean is undefined in it.
    """

    frame: pd.DataFrame
    replicates: NDArray[np.float32]


def read_curves(paths: Iterable[Path], explainers: Collection[str] | None = None) -> ChainRows:
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
        return ChainRows(
            pd.DataFrame(columns=STATISTICS_SCHEMA.names), np.empty((0, 0), np.float32)
        )
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
    return ChainRows(frame, np.concatenate([part.replicates for part in parts]))


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
class Curve:
    """One quantity of S networks (seeds) at L levels.

    Attributes
    ----------
    seeds : ascending, [S].
    levels : int64 [L], ascending.
    mean : float64 [S, L]; NaN where it is undefined or was not measured.
    density : float64 [S, L], share of prunable weights left, in [0, 1]; NaN where unknown.
    replicates : float32 or float64 [S, L, B], the mean in each draw of images, NaN where undefined.
        Column b is the same draw throughout.
    n : int64 [S, L], images with a defined value, where they were counted; else 0.
    changes : of a subset that holds other images at every level, the mean change from the dense
        network, image by image; None where the subset is the same at all levels.
    """

    seeds: tuple[int, ...]
    levels: NDArray[np.int64]
    mean: Doubles
    density: Doubles
    replicates: Floats
    n: NDArray[np.int64]
    changes: "Curve | None" = None

    @classmethod
    def of(
        cls,
        rows: pd.DataFrame,
        replicates: Floats,
        *,
        seeds: Sequence[int],
        levels: NDArray[np.int64] | None = None,
        value: str = "mean",
    ) -> "Curve":
        """Place rows by seed and level.

        Parameters
        ----------
        rows : columns seed, level, density, the one that `value` names, and n where it is known.
        replicates : [rows, B], parallel to the rows.
        seeds, levels : ascending; by default the levels of the rows.
        """
        at = rows["level"].to_numpy(dtype=np.int64)
        levels = np.unique(at) if levels is None else levels
        seed = np.searchsorted(seeds, rows["seed"].to_numpy(dtype=np.int64))
        place, shape = (seed, np.searchsorted(levels, at)), (len(seeds), len(levels))
        mean, density = np.full(shape, np.nan), np.full(shape, np.nan)
        mean[place] = rows[value].to_numpy(dtype=np.float64)
        density[place] = rows["density"].to_numpy(dtype=np.float64)
        drawn = np.full((*shape, replicates.shape[1]), np.nan, dtype=replicates.dtype)
        drawn[place] = replicates
        images = np.zeros(shape, dtype=np.int64)
        if "n" in rows:
            images[place] = rows["n"].to_numpy()
        return cls(tuple(map(int, seeds)), levels, mean, density, drawn, images)

    def at(self, level: int) -> tuple[Doubles, Any]:
        """Means [S] and replicates [S, B] of a level; NaN where it was not measured."""
        (place,) = np.nonzero(self.levels == level)
        if place.size == 0:
            nothing = np.full_like(self.replicates[:, :1], np.nan)[:, 0]
            return np.full(len(self.mean), np.nan), nothing
        return self.mean[:, place[0]], self.replicates[:, place[0]]

    def change(self, start: int, end: int) -> tuple[Doubles, Doubles]:
        """Level `end` minus level `start`, of each network: [S] and replicates [S, B].

        0 where they agree up to the rounding of float32 scores, as those of controls do. In a
        subset that changes with the level, one of the two must be level 0 for the images to be the
        same; changes between two other levels are the difference of their changes from it.
        """
        if self.changes is not None:
            (first, drawn_first), (last, drawn_last) = (
                self._from_dense(start),
                self._from_dense(end),
            )
            return last - first, drawn_last - drawn_first
        (first, drawn_first), (last, drawn_last) = self.at(start), self.at(end)
        return difference(last, first), difference(drawn_last, drawn_first)

    def _from_dense(self, level: int) -> tuple[Doubles, Doubles]:
        assert self.changes is not None  # asked before
        if level == 0:
            return np.zeros(len(self.mean)), np.zeros_like(self.replicates[:, 0])
        return self.changes.at(level)

    def above(self, floor: float) -> NDArray[np.bool_]:
        """Levels at which *every* network keeps at least the share `floor` of its weights: [L].

        Networks of one level can differ by a weight; judged one by one, seeds would have different
        numbers of levels. A level of unknown density counts only where there is no floor.
        """
        if floor <= 0:
            return np.ones(len(self.levels), dtype=np.bool_)
        # a configured density is met up to rounding of whole weights to a share
        enough = self.density >= floor * (1.0 - 1e-9)
        return np.asarray(enough.all(axis=0))

    def on(self, levels: NDArray[np.int64]) -> "Curve":
        """The same curve on other levels, NaN at those that were not measured."""
        place = np.searchsorted(self.levels, levels).clip(max=len(self.levels) - 1)
        known = self.levels[place] == levels
        return Curve(
            self.seeds,
            levels=levels,
            mean=np.where(known, self.mean[:, place], np.nan),
            density=np.where(known, self.density[:, place], np.nan),
            replicates=np.where(known[:, np.newaxis], self.replicates[:, place], np.nan),
            n=np.where(known, self.n[:, place], 0),
        )

    def minus(self, other: "Curve") -> "Curve":
        """Difference to another quantity of the same networks and levels, paired by both.

        Differences within the rounding of float32 scores are 0: a control scores the same at every
        level, and a test of what is left would be one of rounding errors.
        """
        return replace(
            self,
            mean=difference(self.mean, other.mean),
            replicates=difference(self.replicates, other.replicates),
        )

    def against_dense(self) -> "Curve":
        """Difference to level 0 of the same network; NaN at level 0 itself and where it is not."""
        if 0 not in self.levels:
            return self.undefined()
        dense = int(np.searchsorted(self.levels, 0))
        mean = difference(self.mean, self.mean[:, [dense]])
        replicates = difference(self.replicates, self.replicates[:, [dense]])
        mean[:, dense] = np.nan
        replicates[:, dense] = np.nan
        return replace(self, mean=mean, replicates=replicates)

    def undefined(self) -> "Curve":
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
    curves: ChainRows, subsets: Collection[str]
) -> Iterator[tuple[dict[str, str], dict[str, Curve]]]:
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
        seeds, levels = (np.unique(rows[name].to_numpy(np.int64)) for name in ("seed", "level"))
        found = {
            str(subset): Curve.of(
                part, curves.replicates[part.index.to_numpy()], seeds=seeds.tolist(), levels=levels
            )
            for subset, part in rows.groupby("subset", sort=True)
        }
        yield {key: str(name) for key, name in zip(KEYS, names, strict=True)}, found
