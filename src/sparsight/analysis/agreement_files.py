"""Files of agreement, one checkpoint's family at a time: opened, checked, described.

Memory is bounded by the largest single file and the draw of images, never by the number of files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from sparsight.analysis.bootstrap import Counts, replicate_means
from sparsight.analysis.curves import DENSE
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

IDENTITY = ["study", "dataset", "model", "pruner", "seed", "level", "density"]
CURVE = ["explainer", "condition", "metric"]
REFERENCE = ["reference_pruner", "reference_seed", "reference_level"]


@dataclass(frozen=True, order=True)
class AgreementFile:
    """One checkpoint's agreement of one family; sorted, the seeds of a level come together."""

    dataset: str
    model: str
    pruner: str
    level: int
    seed: int
    explainers: tuple[str, ...]
    study: str
    density: float
    path: Path

    @property
    def place(self) -> tuple[str, str, str, int]:
        """The level, without the seed."""
        return self.dataset, self.model, self.pruner, self.level

    @classmethod
    def open(cls, path: Path) -> "AgreementFile | None":
        """Read whose agreement a file holds; None where it holds no rows.

        Raises
        ------
        InputError
            When the file is missing, corrupt, lacks a column or mixes checkpoints.
        """
        table = read_table(path, [*IDENTITY, "explainer"])
        # Grouping leaves one row per explainer, so that the rest is done on a handful.
        rows = table.group_by(table.column_names).aggregate([]).to_pandas()
        if rows.empty:
            return None
        who = rows[IDENTITY].drop_duplicates()
        if len(who) != 1:
            raise InputError(
                f"{path} holds rows of {len(who)} checkpoints instead of one; delete it and run "
                "snakemake again"
            )
        one = who.iloc[0]
        found = cls(
            **{name: str(one[name]) for name in ("study", "dataset", "model", "pruner")},
            seed=int(one["seed"]),
            level=int(one["level"]),
            density=float(one["density"]),
            explainers=tuple(sorted(rows["explainer"].astype(str))),
            path=Path(path),
        )
        if (found.pruner == DENSE) != (found.level == 0):
            raise InputError(
                f"{path} belongs to level {found.level} of '{found.pruner}'; level 0, and only it, "
                f"must belong to '{DENSE}'"
            )
        return found

    def image_ids(self) -> NDArray[np.int64]:
        """Ids of its images, ascending, int64 [n]."""
        column = read_table(self.path, ["image_id"])["image_id"]
        return np.sort(pc.unique(column).to_numpy())


class Described(NamedTuple):
    """What a file says of one explainer, condition and metric at its checkpoint.

    Attributes
    ----------
    facts : n, undefined, mean, sd, median, and `references`: how many networks have a defined mean.
    replicates : float32 [B], the mean in each draw of images.
    """

    facts: dict[str, Any]
    replicates: NDArray[np.float32]


def describe(
    file: AgreementFile, image_ids: NDArray[np.int64], counts: Counts
) -> dict[tuple[str, ...], Described]:
    """Agreement of one checkpoint, averaged over the networks that it was compared with.

    Parameters
    ----------
    file : the file.
    image_ids : int64 [N] of all images of the data set's files, ascending.
    counts : float32 [B, N], `draw_counts` of them.

    Returns
    -------
    (explainer, condition, metric) to what was found. `n` counts the finite values of all images and
    references, `undefined` the others; `sd` (n - 1 in the denominator) and `median` are over them.
    `mean` is the mean over the references of each one's mean over images, so that each network has
    the same weight. NaN where there is nothing to average.

    Raises
    ------
    InputError
        When an image is compared twice with one network.
    """
    columns = [*CURVE, *REFERENCE, "image_id", "value"]
    frame = read_table(file.path, columns).to_pandas()
    groups = frame.groupby([*CURVE, *REFERENCE], observed=True, sort=True)
    column = groups.ngroup().to_numpy()
    names = groups.size().index
    ids = np.unique(frame["image_id"].to_numpy())
    row = np.searchsorted(ids, frame["image_id"].to_numpy())
    rows_of = np.bincount(row * len(names) + column, minlength=len(ids) * len(names))
    if rows_of.max() > 1:
        twice = ids[int(rows_of.argmax()) // len(names)]
        raise InputError(
            f"{file.path} compares image {twice} twice with one network; delete it and run "
            "snakemake again"
        )
    values = np.full((len(ids), len(names)), np.nan, dtype=np.float32)
    values[row, column] = frame["value"].to_numpy(dtype=np.float32)
    drawn = replicate_means(counts[:, np.searchsorted(image_ids, ids)], values)
    members: dict[tuple[str, ...], list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(tuple(str(part) for part in name[: len(CURVE)]), []).append(index)
    compared = rows_of.reshape(values.shape).sum(axis=0)
    return {
        key: Described(
            _statistics(values[:, columns], int(compared[columns].sum())),
            mean_of_defined(drawn[:, columns].T),
        )
        for key, columns in members.items()
    }


def _statistics(values: NDArray[np.float32], compared: int) -> dict[str, Any]:
    """Statistics of one curve's values [images, references], NaN where undefined or absent."""
    exact = values.astype(np.float64)
    per_reference = np.array([_mean(column[np.isfinite(column)]) for column in exact.T])
    finite = exact[np.isfinite(exact)]
    return {
        "n": finite.size,
        "undefined": compared - finite.size,
        "references": int(np.isfinite(per_reference).sum()),
        "mean": _mean(per_reference[np.isfinite(per_reference)]),
        "sd": float(finite.std(ddof=1)) if finite.size > 1 else np.nan,
        "median": float(np.median(finite)) if finite.size else np.nan,
    }


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else np.nan


def mean_of_defined(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the rows [K, B] that are defined in any draw, NaN where one of them is not; [B].

    A network without any defined value is left out of all draws. One that is undefined in some
    draws only makes those undefined: else the mean would jump with its members.
    """
    kept = rows[np.isfinite(rows).any(axis=1)]
    if not len(kept):
        return np.full(rows.shape[1], np.nan, dtype=np.float32)
    return np.asarray(kept.mean(axis=0), dtype=np.float32)
