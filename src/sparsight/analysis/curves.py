"""Curves over pruning levels, of one network and of several.

A *chain* is one network's pruner, with the dense network as level 0. `statistics.parquet` holds a
chain's means by subset of images with their replicates.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

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
from sparsight.rounding import FULL_BITS

DENSE = "dense"


def complete_curves(frame: pd.DataFrame, series: Sequence[str]) -> pd.DataFrame:
    """Let each pruner's curve start at the dense network, which all pruners share.

    `series` are the columns that, with the pruner, name one curve; none may hold undefined values.
    Each row of the pruner "dense" is repeated under every pruner that has rows in the same series,
    and only there. The new column `checkpoint_pruner` says whose checkpoint was measured.
    """
    dense = frame["pruner"] == DENSE
    pruned = frame[~dense]
    owners = pruned[[*series, "pruner"]].drop_duplicates()
    start = frame[dense].drop(columns="pruner").merge(owners, on=list(series))
    parts = start.assign(checkpoint_pruner=DENSE), pruned.assign(checkpoint_pruner=pruned["pruner"])
    return pd.concat(parts)[[*frame.columns, "checkpoint_pruner"]].reset_index(drop=True)


def performance_curves(evaluations: Path, split: str, metric: str) -> pd.DataFrame:
    """One performance measure (`metric` of `split`) of all checkpoints in `evaluations.parquet`.

    The columns are dataset, model, pruner, seed, level, condition, value, density (share of
    prunable weights left, in (0, 1]), bits (2 to 32) and checkpoint_pruner; sorted. Without such
    rows an `InputError` is raised.
    """
    frame = read("evaluations", evaluations)
    checkpoint = ["dataset", "model", "pruner", "seed", "level"]
    wanted = frame[(frame["split"] == split) & (frame["metric"] == metric)]
    if wanted.empty:
        raise InputError(
            f"{evaluations} has no '{metric}' of the split '{split}'; evaluate it first"
        )
    joined = wanted[[*checkpoint, "condition", "value"]]
    for name, column in (("density_prunable", "density"), ("bits", "bits")):
        found = frame.loc[frame["metric"] == name, [*checkpoint, "value"]]
        joined = joined.merge(found.rename(columns={"value": column}), on=checkpoint, how="left")
    # tables of earlier versions have no bits: nothing was quantised
    joined["bits"] = joined["bits"].fillna(FULL_BITS)
    curves = complete_curves(joined, ["dataset", "model", "seed", "condition"])
    return curves.sort_values([*checkpoint, "condition"], ignore_index=True)


def with_bits(table: pd.DataFrame, evaluations: Path) -> pd.DataFrame:
    """The table with the column `bits`, as `evaluations.parquet` has them of each level's weights.

    `table` has dataset, model, pruner and level (a number, or text that may name no level: then
    bits are undefined). They are the mean over networks, and those of the dense network at level 0,
    which all pruners share.
    """
    frame = read("evaluations", evaluations)
    place = ["dataset", "model", "pruner", "level"]
    found = frame[frame["metric"] == "bits"].groupby(place)["value"].mean().rename("bits")
    level = pd.to_numeric(table["level"], errors="coerce").fillna(-1).astype(int)
    owner = table["pruner"].where(level > 0, DENSE)
    asked = table[["dataset", "model"]].assign(pruner=owner, level=level)
    # Tables of earlier versions have no bits: nothing was quantised.
    bits = asked.join(found, on=place)["bits"].fillna(FULL_BITS).where(level >= 0)
    return table.assign(bits=bits)


def mean_over_seeds(frame: pd.DataFrame, series: Sequence[str], value: str) -> pd.DataFrame:
    """Mean of the column `value`, of the density and of bits over the networks of each level.

    `series` are the columns that name one curve, without the seed. The columns are those, level,
    density, bits where they are known, `value` and seeds (networks with a value). A level at which
    a network lacks a value is left out: the mean would jump because its members change, not because
    the networks do.
    """
    expected = frame.groupby(list(series))["seed"].nunique().rename("expected").reset_index()
    averaged = [name for name in ("density", "bits", value) if name in frame]
    means = {**{name: (name, "mean") for name in averaged}, "seeds": ("seed", "nunique")}
    grouped = frame.dropna(subset=[value]).groupby([*series, "level"], as_index=False).agg(**means)
    whole = grouped.merge(expected, on=list(series)).query("seeds == expected")
    return whole.drop(columns="expected").reset_index(drop=True)


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

    The metadata say of which draw it is: `replicates` and `bootstrap_seed`.
    """

    def __init__(self, path: Path, replicates: int, bootstrap_seed: int) -> None:
        metadata = {"replicates": str(replicates), "bootstrap_seed": str(bootstrap_seed)}
        super().__init__(path, statistics_schema(replicates), metadata)
        self._replicates = replicates

    def append_explainer(self, frame: pd.DataFrame, replicates: NDArray[np.float32]) -> None:
        """Append the rows of one explainer, in any order; call in the order of their names.

        `frame` has the columns of `STATISTICS_SCHEMA`; replicates, float32 [rows, B], are parallel.
        """
        rows = frame.reset_index(drop=True).sort_values(ORDER, kind="stable")
        ordered = np.ascontiguousarray(replicates[rows.index.to_numpy()], dtype=np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(ordered.ravel()), self._replicates)
        table = pa.Table.from_pandas(rows, STATISTICS_SCHEMA, preserve_index=False)
        self.append(table.append_column(_REPLICATES, lists))


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
    """Read `statistics.parquet` of each chain, in any order of paths.

    `explainers` are the row groups to read, "" that of the accuracy; None reads all. An
    `InputError` is raised for a file that is missing, corrupt or no such table, and where two files
    hold one chain or do not come from one draw.
    """
    parts = sorted((_read(Path(path), explainers) for path in paths), key=lambda part: part[:3])
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
        with _open(Path(path)) as (file, _):
            found.update(_explainers(file))
    return sorted(found - {ACCURACY_ROWS})


class _Part(NamedTuple):
    chain: tuple[Any, ...]
    draw: tuple[str, ...]
    path: Path
    table: pa.Table
    replicates: NDArray[np.float32]


def _read(path: Path, explainers: Collection[str] | None) -> _Part:
    with _open(path) as (file, draw):
        names = enumerate(_explainers(file))
        groups = [i for i, name in names if explainers is None or name in explainers]
        table = file.read_row_groups(groups)
        (chain,) = file.read_row_group(0, columns=CHAIN).slice(0, 1).to_pylist()
    values = table[_REPLICATES].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    replicates = values.reshape(table.num_rows, int(draw[0]))
    return _Part(tuple(chain.values()), draw, path, table.drop_columns([_REPLICATES]), replicates)


@contextmanager
def _open(path: Path) -> Iterator[tuple[pq.ParquetFile, tuple[str, ...]]]:
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


class Quantity(NamedTuple):
    """One number of each network [S], and the same in each draw of images [S, B].

    `less` and `minus` also take the numbers of several levels, [S, L] and [S, L, B].
    """

    values: Doubles
    drawn: Any

    def minus(self, other: "Quantity") -> "Quantity":
        """The difference, paired by network; 0 where both agree up to rounding in all draws.

        A mean that agrees by chance while draws do not stays as it comes: values and draws belong
        together, and a jackknife would take what the mean lacks for the doing of every image.
        """
        found = self.less(other)
        rounded = [difference(*pair) for pair in zip(self, other, strict=True)]
        agree = (rounded[0] == 0) & ((rounded[1] == 0) | np.isnan(rounded[1])).all(axis=-1)
        return Quantity(
            np.where(agree, rounded[0], found.values),
            np.where(agree[..., np.newaxis], rounded[1], found.drawn),
        )

    def less(self, other: "Quantity") -> "Quantity":
        """The difference, paired by network, as it comes: of what are differences already."""
        return Quantity(self.values - other.values, self.drawn - other.drawn)

    @staticmethod
    def mean_of(parts: Sequence["Quantity"]) -> "Quantity":
        """The mean; undefined where a part is undefined, as it would be another quantity."""
        values, drawn = zip(*parts, strict=True)
        return Quantity(np.mean(values, axis=0), np.mean(drawn, axis=0))


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

        `rows` have the columns seed, level, density, the one that `value` names, and n where it is
        known; `replicates` [rows, B] are parallel. `seeds` and `levels` (by default those of the
        rows) ascend.
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

    def at(self, level: int) -> Quantity:
        """The value at a level; NaN where it was not measured."""
        (place,) = np.nonzero(self.levels == level)
        if place.size == 0:
            nothing = np.full_like(self.replicates[:, :1], np.nan)[:, 0]
            return Quantity(np.full(len(self.mean), np.nan), nothing)
        return Quantity(self.mean[:, place[0]], self.replicates[:, place[0]])

    def change(self, start: int, end: int) -> Quantity:
        """Level `end` minus level `start`, of each network.

        0 where they agree up to the rounding of float32 scores, as those of controls do. In a
        subset that changes with the level, one of the two must be level 0 for the images to be the
        same; changes between two other levels are the difference of their changes from it.
        """
        if self.changes is None:
            return self.at(end).minus(self.at(start))
        nothing = Quantity(np.zeros(len(self.mean)), np.zeros_like(self.replicates[:, 0]))
        first, last = (self.changes.at(level) if level else nothing for level in (start, end))
        return last.less(first)

    def over(self, first: int, last: int | None = None, start: int | None = None) -> Quantity:
        """Mean over the levels `first` to `last` (None: to the end) that were measured.

        With `start`, the mean change from that level. NaN without levels, and where the value is
        undefined at one of them: a mean over other levels would be another quantity.
        """
        end = self.levels.max() if last is None else last
        inside = [int(level) for level in self.levels if first <= level <= end]
        if not inside:
            return self.at(-1)
        if start is None:
            return Quantity.mean_of([self.at(level) for level in inside])
        return Quantity.mean_of([self.change(start, level) for level in inside])

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
        pair = (Quantity(curve.mean, curve.replicates) for curve in (self, other))
        found = Quantity.minus(*pair)
        return replace(self, mean=found.values, replicates=found.drawn)

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

        The networks with a defined mean are averaged draw by draw; a draw in which one of them is
        undefined has no average.
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

    Yields `KEYS` with their values, in sorted order, and each of `subsets` that there is to its
    networks; all subsets of a key have the same seeds and levels. Chains of several studies are an
    `InputError`.
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
