"""Means of each level over subsets of images, as they are and in every draw of the bootstrap.

Images that belong to the same subsets and have the same label form a *cell*. Every subset is a sum
of cells, so one product of counts and values serves them all.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, DENSE, StatisticsWriter
from sparsight.analysis.scores import (
    Scalars,
    ScoredCheckpoint,
    ScoreFile,
    read_chain,
    read_scalars,
)
from sparsight.analysis.statistics import Counts, centres, draw_counts, ratio, replicate_means
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

CORRECT, INCORRECT = "correct_matched", "incorrect_matched"
#: strata by the dense network's margin, from the smallest
STRATA = ("hard", "medium", "easy")
BOTH = "correct_at_both"
SUBSETS = ("all", BOTH, *STRATA, CORRECT, INCORRECT)
#: rows that hold no means but mean changes: this network's value minus the dense network's, image
#: by image, over what both get right. The subset `correct_at_both` holds other images at every
#: level, so its means must not be subtracted from each other.
CHANGE_AT_BOTH = "change_at_both"
Floats = NDArray[np.floating]
Members = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class SubsetMeans:
    """Means of K columns over one subset.

    Attributes
    ----------
    n, undefined : int64 [K], images with and without a finite value.
    mean : float64 [K], NaN where n is 0.
    replicates : float32 [B, K], NaN where a replicate drew none of the n.
    """

    n: NDArray[np.int64]
    undefined: NDArray[np.int64]
    mean: NDArray[np.float64]
    replicates: NDArray[np.float32]


def members_of_subsets(
    image_id: NDArray[np.int64],
    correct: NDArray[np.bool_],
    dense_correct: NDArray[np.bool_],
    dense_margin: NDArray[np.float64],
) -> dict[str, NDArray[np.bool_]]:
    """Which of N images belong to each of `SUBSETS`: bool [N].

    `correct_at_both` needs this network and the dense one of the same seed to be right. `hard`,
    `medium` and `easy` are thirds by the *dense* network's margin, so that a stratum holds the same
    images at every level; ties go by image id, the first thirds take what is left over, and an
    image without a margin is in none. `correct_matched` and `incorrect_matched` hold what this
    network gets right and wrong, and are matched on the label by `describe_subsets`.
    """
    found = {
        "all": np.ones(len(image_id), dtype=np.bool_),
        BOTH: correct & dense_correct,
    }
    order = np.lexsort((image_id, dense_margin))
    ranked = order[np.isfinite(dense_margin[order])]
    for name, places in zip(STRATA, np.array_split(ranked, len(STRATA)), strict=True):
        found[name] = np.zeros(len(image_id), dtype=np.bool_)
        found[name][places] = True
    return {**found, CORRECT: correct, INCORRECT: ~correct}


def describe_subsets(
    values: NDArray[np.float64],
    scored: NDArray[np.bool_],
    label: NDArray[np.int64],
    members: Members,
    counts: Counts,
) -> dict[str, SubsetMeans]:
    """Means over each subset.

    The means of `correct_matched` and `incorrect_matched` are standardised on the label: within
    each label that has both, the mean over its correct (incorrect) images; then their average,
    weighted by the label's number of incorrect images. Their difference does not mix "correct" with
    "an easy class". A replicate judges by the images that it drew which labels have both.

    Parameters
    ----------
    values : [N, K]; what is not finite is undefined.
    scored : bool [N, K], whether a value was to be had; others are not even counted as undefined.
    label : int64 [N].
    members : of `members_of_subsets`.
    counts : float32 [B, N], how often each replicate drew each image.

    Returns
    -------
    Subset to means; `n` of the matched subsets counts images of labels that have both, `undefined`
    all that are correct (incorrect) and lack a value.
    """
    finite = np.isfinite(values)
    centre = centres(np.asarray(values, dtype=np.float32))
    deviations = np.where(finite, values - centre, 0.0)
    matrix, weight = _factors(deviations, finite)
    order, cells = _cells(label, members)
    matrix, names = matrix[order], list(members)
    observed = _sums(np.ones((1, len(values))), matrix, weight, cells, names)
    drawn = _sums(counts[:, order], matrix.astype(np.float32), weight, cells, names)
    lost = scored & ~finite
    return {
        name: SubsetMeans(
            n=np.rint(observed[name].images[0]).astype(np.int64),
            undefined=lost[chosen].sum(axis=0, dtype=np.int64),
            mean=ratio(observed[name].sums, observed[name].weights, centre)[0],
            replicates=ratio(drawn[name].sums, drawn[name].weights, centre),
        )
        for name, chosen in members.items()
    }


#: of each label its cells: a slice of the sorted images, and the subsets they are in
_Labels = list[list[tuple[slice, list[str]]]]


def _cells(label: NDArray[np.int64], members: Members) -> tuple[NDArray[np.int64], _Labels]:
    """An order of the images by label and subsets, and the cells in that order."""
    keys = np.stack([np.asarray(key, dtype=np.int64) for key in (*members.values(), label)])
    order = np.lexsort(keys)
    # rows of label, last subset, …, first subset
    found, starts, counts = np.unique(
        keys[::-1, order].T, axis=0, return_index=True, return_counts=True
    )
    cells: dict[int, list[tuple[slice, list[str]]]] = defaultdict(list)
    for cell, start, count in zip(found, starts, counts, strict=True):
        subsets = [name for name, inside in zip(members, cell[:0:-1], strict=True) if inside]
        cells[int(cell[0])].append((slice(start, start + count), subsets))
    return order, list(cells.values())


def _factors(deviations: Floats, finite: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
    """[N, F]: K deviations, the finite members of columns that lack some, and ones.

    Also [K], which of the F columns sums a column's weights: nearly all share the last.
    """
    missing = np.flatnonzero(~finite.all(axis=0))
    weight = np.full(finite.shape[1], finite.shape[1] + len(missing), dtype=np.int64)
    weight[missing] = finite.shape[1] + np.arange(len(missing))
    return np.hstack([deviations, finite[:, missing], np.ones((len(finite), 1))]), weight


class _Sums(NamedTuple):
    """Weighted sums of deviations, their weights, and the images that entered; each [R, K]."""

    sums: Floats
    weights: Floats
    images: Floats


def _sums(
    weights: Floats, matrix: Floats, weight: NDArray[np.int64], cells: _Labels, names: Sequence[str]
) -> dict[str, _Sums]:
    """Sums for every subset, with weights [R, N] of the images in the order of the cells."""
    width, shape = len(weight), (len(weights), matrix.shape[1])
    total = {name: np.zeros(shape, weights.dtype) for name in names}
    # numerators of both matched subsets, their common denominator, correct images that entered
    matched = [np.zeros((len(weights), width), weights.dtype) for _ in range(4)]
    for label in cells:
        right, wrong = (np.zeros(shape, weights.dtype) for _ in range(2))
        into = {**total, CORRECT: right, INCORRECT: wrong}
        for images, subsets in label:
            product = weights[:, images] @ matrix[images]
            for name in subsets:
                into[name] += product
        _match(right, wrong, weight, matched)
    correct, incorrect, denominator, entered = matched
    return {
        **{name: _Sums(whole[:, :width], *[whole[:, weight]] * 2) for name, whole in total.items()},
        CORRECT: _Sums(correct, denominator, entered),
        INCORRECT: _Sums(incorrect, denominator, denominator),
    }


def _match(
    right: Floats, wrong: Floats, weight: NDArray[np.int64], matched: list[NDArray[np.floating]]
) -> None:
    """Add one label to the numerators and denominators of the matched subsets."""
    width = len(weight)
    some_right, some_wrong = right[:, weight], wrong[:, weight]
    both = (some_right > 0) & (some_wrong > 0)
    if not both.any():
        return
    correct, incorrect, denominator, entered = matched
    scale = np.where(both, some_wrong / np.where(both, some_right, 1.0), 0.0)
    correct += right[:, :width] * scale.astype(right.dtype)
    incorrect += np.where(both, wrong[:, :width], 0.0)
    denominator += np.where(both, some_wrong, 0.0)
    entered += np.where(both, some_right, 0.0)


#: of the stage `resampling`: see `sparsight.study.versions`
VERSION = 1


def resample_chain(
    scores: Iterable[Path],
    predictions: Sequence[Path],
    dense_predictions: Path,
    output: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `statistics.parquet` of one chain: one network's pruner, the dense network as level 0.

    One score file at a time is in memory, next to those of the dense network (8 bytes a score), the
    draw and the chain's replicates (4 bytes x replicates x rows of the output). The bytes do not
    depend on the order of the score files. An `InputError` is raised where files are missing or
    corrupt, or do not belong together or to this chain.

    Parameters
    ----------
    scores : score files of all levels and families of the chain, level 0's included.
    predictions : `predictions.parquet` of each checkpoint, parallel to `settings["levels"]`.
    dense_predictions : that of the dense network, which strata and `correct_at_both` refer to.
    output : see `sparsight.analysis.curves`. Rows with the explainer "" hold the accuracy over all
        test images; their density is that of the level's score files, NaN at a level without any.
    settings : `study`, `dataset`, `model`, `pruner`, `seed`, `levels`, `statistics` (with
        `replicates`, `bootstrap_seed`), `reducers` (as in `summarise`, optional).
    """
    statistics = settings["statistics"]
    replicates, seed = int(statistics["replicates"]), int(statistics["bootstrap_seed"])
    levels = [int(level) for level in settings["levels"]]
    if len(levels) != len(predictions):
        raise InputError(f"{len(predictions)} files of predictions for {len(levels)} levels")
    dense, *networks = read_chain([dense_predictions, *predictions])
    counts = draw_counts(next(iter(dense.values())).index.to_numpy(), replicates, seed)
    chain = _Chain(settings, dict(zip(levels, networks, strict=True)), dense, counts)
    # The dense network's scores come first: changes are taken from them, image by image.
    of_levels = [(pc.min(read_table(p, ["level"])["level"]).as_py() != 0, Path(p)) for p in scores]
    for _, path in sorted(of_levels):
        chain.add(read_scalars(path, settings.get("reducers", {}), settings.get("entries")))
    chain.add_accuracy()
    with StatisticsWriter(output, replicates, seed) as writer:
        for explainer in sorted(chain.rows):
            frames, parts = zip(*chain.rows.pop(explainer), strict=True)
            writer.append_explainer(pd.concat(frames, ignore_index=True), np.concatenate(parts))


@dataclass
class _Chain:
    """What is known of a chain, and the rows found so far, by explainer."""

    settings: Mapping[str, Any]
    networks: Mapping[int, Mapping[str, pd.DataFrame]]
    dense: Mapping[str, pd.DataFrame]
    counts: Counts
    rows: dict[str, list[tuple[pd.DataFrame, NDArray[np.float32]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    densities: dict[int, tuple[float, Path]] = field(default_factory=dict)
    owners: dict[tuple[int, str, str], Path] = field(default_factory=dict)
    #: the dense network's scores by condition, explainer and metric
    starts: dict[tuple[str, str, str], "pd.Series[float]"] = field(default_factory=dict)

    def add(self, scored: ScoredCheckpoint) -> None:
        """Describe one score file."""
        file = scored.file
        self._check(file)
        for scalars in scored.scalars:
            for explainer in {explainer for explainer, _ in scalars.columns}:
                key = (file.level, scalars.condition, explainer)
                owner = self.owners.setdefault(key, file.path)
                if owner != file.path:
                    raise InputError(
                        f"{owner} and {file.path} both score the explainer '{explainer}' at one "
                        "checkpoint; let each explainer belong to one family"
                    )
            self._describe(file.level, scalars, file.path)

    def add_accuracy(self) -> None:
        """Describe the accuracy of every level over all test images."""
        keys = [(level, name) for level, found in self.networks.items() for name in found]
        correct = np.stack([self.networks[level][name]["correct"] for level, name in keys], axis=1)
        rows = [{**self._identity(level), "condition": condition} for level, condition in keys]
        frame = pd.DataFrame(rows).assign(
            **{"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"},
            **{"n": len(correct), "undefined": 0, "mean": correct.mean(axis=0)},
        )
        replicates = replicate_means(self.counts, correct.astype(np.float32))
        self.rows[ACCURACY_ROWS] = [(frame, np.ascontiguousarray(replicates.T))]

    def _identity(self, level: int) -> dict[str, Any]:
        names = ("study", "dataset", "model", "pruner")
        return {
            **{name: str(self.settings[name]) for name in names},
            "seed": int(self.settings["seed"]),
            "level": level,
            "density": self.densities[level][0] if level in self.densities else np.nan,
            "checkpoint_pruner": DENSE if level == 0 else str(self.settings["pruner"]),
        }

    def _check(self, file: ScoreFile) -> None:
        """Raise an `InputError` where a file is none of this chain."""
        wanted = {name: str(self.settings[name]) for name in ("study", "dataset", "model", "seed")}
        wanted["pruner"] = DENSE if file.level == 0 else str(self.settings["pruner"])
        for name, value in wanted.items():
            if str(getattr(file, name)) != value:
                raise InputError(
                    f"{file.path} has {name} '{getattr(file, name)}' where the chain has "
                    f"'{value}'; give only score files of one chain"
                )
        if file.level not in self.networks:
            raise InputError(
                f"{file.path} scores level {file.level}, whose predictions are not given"
            )
        density, other = self.densities.setdefault(file.level, (file.density, file.path))
        if density != file.density:
            raise InputError(
                f"{file.path} and {other} were scored at different densities of one level; "
                "explain and score it again"
            )

    def _describe(self, level: int, scalars: Scalars, path: Path) -> None:
        network = self.networks[level].get(scalars.condition)
        dense = self.dense.get(scalars.condition)
        if network is None or dense is None:
            raise InputError(
                f"{path} scores the condition '{scalars.condition}', which the predictions of its "
                "chain lack; delete them and run snakemake again"
            )
        place = network.index.get_indexer(pd.Index(scalars.image_id))
        if (place < 0).any():
            raise InputError(
                f"{path} scores image {scalars.image_id[place < 0][0]}, which its network was not "
                "evaluated on; delete its predictions and run snakemake again"
            )
        label, correct = (network[name].to_numpy()[place] for name in ("label", "correct"))
        if not np.array_equal(correct, scalars.correct):
            raise InputError(
                f"{path} and the predictions of its checkpoint disagree on which images are "
                "classified correctly; score the explanations again"
            )
        of_dense = (dense[name].to_numpy()[place] for name in ("correct", "margin"))
        members = members_of_subsets(scalars.image_id, correct, *of_dense)
        counts = self.counts[:, place]
        found = describe_subsets(scalars.values, scalars.scored, label, members, counts)
        names = [(scalars.condition, *column) for column in scalars.columns]
        if level == 0:
            self.starts |= {name: scalars.column(k) for k, name in enumerate(names)}
        else:
            changes = np.full(scalars.values.shape, np.nan)
            for k, name in enumerate(names):
                if name in self.starts:
                    start = self.starts[name].reindex(scalars.image_id).to_numpy()
                    changes[:, k] = scalars.values[:, k] - start
            pairs = {CHANGE_AT_BOTH: members[BOTH]}
            found |= describe_subsets(changes, scalars.scored, label, pairs, counts)
        for explainer in sorted({explainer for explainer, _ in scalars.columns}):
            mine = [i for i, (name, _) in enumerate(scalars.columns) if name == explainer]
            frame = pd.concat(
                pd.DataFrame(
                    {
                        "metric": [scalars.columns[i][1] for i in mine],
                        "subset": subset,
                        "n": means.n[mine],
                        "undefined": means.undefined[mine],
                        "mean": means.mean[mine],
                    }
                )
                for subset, means in found.items()
            ).assign(explainer=explainer, condition=scalars.condition, **self._identity(level))
            parts = [means.replicates[:, mine].T for means in found.values()]
            self.rows[explainer].append((frame, np.concatenate(parts)))
