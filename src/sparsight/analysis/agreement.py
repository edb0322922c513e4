"""How far explanations move under pruning, next to how far they move for other reasons.

The other reasons are the floors: networks that were retrained, and networks of other seeds. Memory
is bounded by the largest single file and the draw of images, never by the number of files.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.curves import DENSE, with_bits
from sparsight.analysis.scores import Entries, ScoreFile, of_study, open_files
from sparsight.analysis.statistics import (
    Counts,
    adjusted_p,
    control_flags,
    draw_counts,
    one_sample_t,
    percentile_interval,
    replicate_means,
    student_interval,
)
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

CURVE = ["explainer", "condition", "metric"]
REFERENCE = ["reference_pruner", "reference_seed", "reference_level"]


def describe(
    file: ScoreFile,
    image_ids: NDArray[np.int64],
    counts: Counts,
    entries: Entries | None = None,
) -> dict[tuple[str, ...], tuple[dict[str, Any], NDArray[np.float32]]]:
    """Agreement of one checkpoint, averaged over the networks that it was compared with.

    Parameters
    ----------
    image_ids : int64 [N] of all images of the data set's files, ascending.
    counts : float32 [B, N], `draw_counts` of them.
    entries : what to read of the file: see `sparsight.analysis.scores.of_study`.

    Returns
    -------
    (explainer, condition, metric) to facts and float32 [B], the mean in each draw of images. `n`
    counts the finite values of all images and references, `undefined` the others; `sd` (n - 1 in
    the denominator) and `median` are over them. `mean` is the mean over the references of each
    one's mean over images, so that each network has the same weight, and `references` how many of
    them are defined. NaN where there is nothing to average. An `InputError` where an image is
    compared twice with one network.
    """
    columns = [*CURVE, *REFERENCE, "image_id", "value"]
    table = read_table(file.path, columns).unify_dictionaries()
    frame = of_study(table, file.network, entries).to_pandas()
    twice = frame.duplicated([*CURVE, *REFERENCE, "image_id"])
    if twice.any():
        raise InputError(
            f"{file.path} compares image {frame.loc[twice, 'image_id'].iloc[0]} twice with one "
            "network; delete it and run snakemake again"
        )
    groups = frame.groupby([*CURVE, *REFERENCE], observed=True, sort=True)
    compared = groups.size()
    ids = np.unique(frame["image_id"].to_numpy())
    row = np.searchsorted(ids, frame["image_id"].to_numpy())
    values = np.full((len(ids), len(compared)), np.nan, dtype=np.float32)
    values[row, groups.ngroup().to_numpy()] = frame["value"].to_numpy(dtype=np.float32)
    drawn = replicate_means(counts[:, np.searchsorted(image_ids, ids)], values)
    members: dict[tuple[str, ...], list[int]] = {}
    for index, name in enumerate(compared.index):
        members.setdefault(tuple(str(part) for part in name[: len(CURVE)]), []).append(index)
    return {
        key: (
            _statistics(values[:, columns], int(compared.iloc[columns].sum())),
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
    defined = rows[np.isfinite(rows).any(axis=1)]
    if not len(defined):
        return np.full(rows.shape[1], np.nan, dtype=np.float32)
    return np.asarray(defined.mean(axis=0), dtype=np.float32)


DENSE_PARENT, SEED_FLOOR = "dense_parent", "seed_floor"
FLOORS = ("retrain_floor", SEED_FLOOR)
FEWEST_NETWORKS = 3


def pseudo_values(values: Mapping[int, float], partners: Mapping[int, int]) -> dict[int, float]:
    """The jackknife's value of each network for the mean over all pairs of networks.

    A pair belongs to two networks, so the means of the n networks over their partners are not
    independent, and they spread less than their mean errs: where networks differ, a t interval over
    them is two to four times too short (for n = 2 it has no width). The pseudo-value
    n θ - (n - 1) θ₋ᵢ (θ is the mean over all pairs, θ₋ᵢ over those without network i) counts
    each network's influence in full; here it is (2 (n - 1) vᵢ - n θ) / (n - 2). See Arvesen 1969,
    "Jackknifing U-statistics", Annals of Mathematical Statistics 40, 2076-2100.

    Parameters
    ----------
    values : network (seed) to vᵢ, its mean agreement with every other one; NaN is left out.
    partners : network to the number of others that vᵢ is the mean of.

    Returns
    -------
    Network to pseudo-value. Their mean is θ; all are NaN below three networks, or where a pair of
    those with a value has none.
    """
    defined = {seed: value for seed, value in values.items() if np.isfinite(value)}
    count, found = len(defined), dict.fromkeys(values, np.nan)
    if count < FEWEST_NETWORKS or any(partners[seed] != count - 1 for seed in defined):
        return found
    centre = float(np.mean(list(defined.values())))
    for seed, value in defined.items():
        found[seed] = (2 * (count - 1) * value - count * centre) / (count - 2)
    return found


class Floors:
    """The retrain floor and the seed floor of every curve.

    Parameters
    ----------
    rows : dataset, model, pruner, seed, mean, density, reference and references (how many networks
        the mean is over) of every network, and what names a curve.
    retrain : the pruners that only retrain.
    curve : the columns that name a curve of a data set and model.
    """

    def __init__(
        self, rows: Iterable[Mapping[str, Any]], retrain: set[str], curve: Sequence[str] = CURVE
    ) -> None:
        self._curve = itemgetter("dataset", "model", *curve)
        self._retrain = retrain
        self._retrained: dict[Any, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._dense: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["pruner"] == DENSE:
                self._dense[self._curve(row)].append(row)
            elif row["pruner"] in retrain and np.isfinite(row["mean"]):
                self._retrained[self._curve(row)][row["seed"]].append(row["mean"])

    def mean_row(self, rows: Sequence[Mapping[str, Any]], confidence: float) -> dict[str, Any]:
        """Columns of the row of the seed "mean" of one curve's level, from those of its networks.

        For pruned networks they include, for each of `FLOORS`, `minus_{floor}` (the mean over the
        seeds that have both) and its `_low`, `_high`, `_seeds` and `_p`, from the t test of the
        differences paired by seed.
        """
        first, values = rows[0], _by_seed(rows)
        # No other row can tell by how much the mean over pairs errs.
        spread = _spread(rows) if first["reference"] == SEED_FLOOR else values
        interval = student_interval(list(spread.values()), confidence)
        defined = [value for value in values.values() if np.isfinite(value)]
        found = {
            "seed": MEAN,
            "density": float(np.mean([row["density"] for row in rows])),
            "n_seeds": len(defined),
            "mean": float(np.mean(defined)) if defined else np.nan,
            "low": interval.low,
            "high": interval.high,
        }
        if first["pruner"] in (DENSE, *self._retrain):
            return found
        levels = self._retrained.get(self._curve(first), {})
        retrained = {seed: float(np.mean(means)) for seed, means in levels.items()}
        dense = self._dense.get(self._curve(first), [])
        floors = (retrained, retrained), (_by_seed(dense), _spread(dense))
        for name, (floor, spread) in zip(FLOORS, floors, strict=True):
            paired = _differences(values, floor)
            test = one_sample_t(_differences(values, spread), confidence)
            # Below three networks the seed floor has no spread, but a mean.
            estimate = test.mean if test.n else (float(np.mean(paired)) if paired else np.nan)
            key = f"minus_{name}"
            found |= {key: estimate, f"{key}_low": test.low, f"{key}_high": test.high}
            found |= {f"{key}_seeds": len(paired), f"{key}_p": test.p}
        return found


def _by_seed(rows: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    return {row["seed"]: row["mean"] for row in rows}


def _spread(rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Values with the mean of the seed floor, and the spread that a test of it needs."""
    return pseudo_values(_by_seed(rows), {row["seed"]: row["references"] for row in rows})


def _differences(values: Mapping[int, float], floor: Mapping[int, float]) -> list[float]:
    """Differences of the seeds at which both are defined."""
    both = [values[seed] - floor[seed] for seed in sorted(values) if seed in floor]
    return [difference for difference in both if np.isfinite(difference)]


#: of the stage `agreement_table`: see `sparsight.study.versions`
VERSION = 2
LEVEL = ["dataset", "model", "pruner", "level"]


def summarise_agreement(
    agreement: Iterable[Path], evaluations: Path, output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `agreement.csv` from the agreement of all checkpoints.

    One row per data set, model, pruner, level, explainer, condition, metric and seed, and one with
    the seed "mean". A pruned or retrained network was compared with the dense network of its seed
    (`reference` is "dense_parent"), a dense network with those of all other seeds ("seed_floor");
    the rows of a retraining pruner are the *retrain floor*: networks that differ in nothing but the
    order of their batches. Agreement below that floor is what pruning does.

    `mean` of the seed floor is the mean over the other seeds; a dense network takes part in several
    pairs, so its interval is over the jackknife's pseudo-values (`pseudo_values`), and below three
    networks there is none. The agreement of retrained networks is the mean over their levels. Each
    floor is a family of its own in the correction. An `InputError` is raised where files are
    missing, doubled, or do not belong together.

    Parameters
    ----------
    agreement : files as `sparsight.metrics.agreement` writes them, read one at a time.
    settings : `statistics` (`replicates`, `bootstrap_seed`, `confidence`), `retrain` (pruners that
        only retrain), `controls` (explainers that are controls).
    """
    statistics, entries = settings["statistics"], settings.get("entries")
    confidence = float(statistics["confidence"])
    filled = [path for path in agreement if read_table(path, []).num_rows]
    files = [file for file in open_files(filled, entries) if file.explainers]
    # the seeds of a level come together
    files.sort(key=lambda file: (*file.place, file.seed, file.explainers))
    by_seed: list[dict[str, Any]] = []
    images: dict[tuple[Any, ...], tuple[float, float]] = {}
    for _, of_dataset in groupby(files, lambda file: file.dataset):
        members = list(of_dataset)
        columns = [read_table(file.path, ["image_id"])["image_id"] for file in members]
        ids = np.unique(np.concatenate([pc.unique(column).to_numpy() for column in columns]))
        counts = draw_counts(ids, int(statistics["replicates"]), int(statistics["bootstrap_seed"]))
        for place, level in groupby(members, lambda file: file.place):
            drawn: dict[tuple[str, ...], list[NDArray[np.float32]]] = defaultdict(list)
            for file in level:
                for curve, (facts, replicates) in describe(file, ids, counts, entries).items():
                    by_seed.append(_row(file, curve, facts))
                    drawn[curve].append(replicates)
            for curve, parts in drawn.items():
                low, high = percentile_interval(mean_of_defined(np.stack(parts)), confidence)
                images[place + curve] = (float(low), float(high))
    rows = list(_with_means(by_seed, images, set(settings["retrain"]), confidence))
    table = pd.DataFrame(rows, columns=tables.TABLES["agreement"].names)
    table = with_bits(table, evaluations)
    table["control"] = control_flags(table, settings["controls"])
    for floor in FLOORS:
        table[f"minus_{floor}_p_adjusted"] = adjusted_p(
            table[table["seed"] == MEAN], settings["controls"], name=f"minus_{floor}_p"
        )
    # Where nothing was tested, a column would hold no numbers, and be written as it comes.
    numbers = [name for name in table.columns if name.startswith("minus_")]
    tables.write("agreement", output, table.astype(dict.fromkeys(numbers, "float64")))


def _row(file: ScoreFile, curve: tuple[str, ...], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **dict(zip([*LEVEL, *CURVE], file.place + curve, strict=True)),
        "subset": "all",
        "seed": file.seed,
        "reference": SEED_FLOOR if file.pruner == DENSE else DENSE_PARENT,
        "density": file.density,
        "n_seeds": 1,
        **facts,
    }


def _with_means(
    by_seed: list[dict[str, Any]],
    images: Mapping[tuple[Any, ...], tuple[float, float]],
    retrain: set[str],
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of each curve's level: the seeds in their order, then their mean."""
    floors, curve = Floors(by_seed, retrain), itemgetter(*LEVEL, *CURVE)
    ordered = sorted(by_seed, key=lambda row: (curve(row), row["seed"]))
    for key, members in groupby(ordered, curve):
        rows = list(members)
        yield from rows
        yield {
            **{name: rows[0][name] for name in (*LEVEL, *CURVE, "subset", "reference")},
            **{name: sum(row[name] for row in rows) for name in ("n", "undefined")},
            **floors.mean_row(rows, confidence),
            **dict(zip(("images_low", "images_high"), images[key], strict=True)),
        }
