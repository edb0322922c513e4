"""What networks do with every single image, as curves whose draws each leave one image out.

Means without one image each are all that a jackknife needs, whatever is computed from the means:
see `sparsight.analysis.crossed`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.curves import DENSE, Curve
from sparsight.analysis.resample import (
    BOTH,
    CHANGE_AT_BOTH,
    CORRECT,
    INCORRECT,
    members_of_subsets,
)
from sparsight.analysis.scores import (
    NAMES,
    Entries,
    ScoreFile,
    of_study,
    read_chain,
    read_scalars,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: values and marks of images: both [N], NaN where an image has no value
_Values = tuple[Numbers, Mask]


class Checkpoint(NamedTuple):
    """A network at a pruning level; level 0 is that of the pruner "dense"."""

    dataset: str
    model: str
    pruner: str
    seed: int
    level: int


class Networks(NamedTuple):
    """Networks of all seeds under one pruner, looked at under one condition of the images."""

    dataset: str
    model: str
    pruner: str
    condition: str


@dataclass(frozen=True)
class ImageCurve(Curve):
    """A curve whose `replicates` [S, L, N] are the means without each of N images.

    Attributes
    ----------
    scored : bool [N], images that were looked at; without any other the mean stays as it is.
    """

    scored: Mask = None  # type: ignore[assignment]


class Scored(NamedTuple):
    """Scores of one explainer by one metric at a checkpoint.

    Attributes
    ----------
    image_id : int64 [n], ascending.
    values : float64 [n]; NaN where undefined.
    empty : bool [n], whether the map is empty.
    """

    image_id: NDArray[np.int64]
    values: Numbers
    empty: Mask


#: by checkpoint, condition, explainer and metric
Scores = dict[tuple[Checkpoint, str, str, str], Scored]
#: predictions of a checkpoint by condition: see `sparsight.analysis.scores.read_chain`
Predictions = Mapping[str, pd.DataFrame]


class StudyImages:
    """Scores and predictions of a study, image by image.

    Parameters
    ----------
    scores, predictions : of every checkpoint.
    densities : share of prunable weights left, in (0, 1]; a checkpoint may lack.
    """

    def __init__(
        self,
        scores: Scores,
        predictions: Mapping[Checkpoint, Predictions],
        densities: Mapping[Checkpoint, float],
    ) -> None:
        self._scores, self._predictions, self._densities = scores, predictions, densities

    @classmethod
    def read(
        cls,
        scores: Iterable[Path],
        predictions: Mapping[Checkpoint, Path],
        densities: Mapping[Checkpoint, float],
        reducers: Mapping[str, str],
        entries: Entries,
        agreement: Iterable[Path] = (),
    ) -> "StudyImages":
        """Read files of scores, as far as `entries` name them, of predictions and of agreement.

        `reducers` and `entries` are those of `read_scalars`. Agreement is that of a pruned network
        with its dense parent; a map without any is taken for empty. An `InputError` where files
        are missing, corrupt or do not belong together.
        """
        predicted = read_predictions(predictions)
        # files of networks that no claim is about hold nothing to read
        named = defaultdict(lambda: {"explainers": [], "metrics": []}, entries)
        found: Scores = {}
        for path in scores:
            file, by_condition = read_scalars(path, reducers, named)
            place = _place_of(file)
            for part in by_condition:
                _check(path, part.image_id, part.correct, predicted, place, part.condition)
                for k, (explainer, metric) in enumerate(part.columns):
                    seen = part.scored[:, k]
                    found[place, part.condition, explainer, metric] = Scored(
                        part.image_id[seen], part.values[seen, k], part.empty[seen, k]
                    )
        for path in agreement:
            found |= read_agreement(path, named, predicted)
        return cls(found, predicted, densities)

    def seeds(self, of: Networks) -> list[int]:
        """Seeds of the networks, ascending."""
        return sorted({place.seed for place in self._predictions if place[:3] == of[:3]})

    def image_ids(self, of: Networks) -> NDArray[np.int64]:
        """Test images of the data set, ascending, [N]."""
        place = next(place for place in self._predictions if place[:2] == of[:2])
        ids = self._predicted(place, of.condition).index
        return ids.to_numpy(dtype=np.int64)

    def accuracy(self, of: Networks) -> ImageCurve:
        """Accuracy over all test images, in [0, 1]."""
        levels = self._levels(of)
        everything = np.ones(len(self.image_ids(of)), dtype=np.bool_)

        def at(place: Checkpoint) -> _Values:
            correct = self._predicted(place, of.condition)["correct"]
            return correct.to_numpy(dtype=np.float64), everything

        return self._curve(of, levels, at, "all")

    def curve(self, of: Networks, explainer: str, metric: str, subset: str) -> ImageCurve:
        """One metric of one explainer over a subset of the explained images.

        `subset` is one of `sparsight.analysis.resample.SUBSETS`, or `CHANGE_AT_BOTH`. An
        `InputError` where no network was scored.
        """
        names, seeds = (of.condition, explainer, metric), self.seeds(of)
        levels = [
            level
            for level in self._levels(of)
            if any((self._place(of, seed, level), *names) in self._scores for seed in seeds)
        ]
        if not levels:
            raise InputError(
                f"there are no scores of {explainer} by {metric} for {of.model} on {of.dataset} "
                f"under {of.pruner} ({of.condition} images); name what runs"
            )
        ids = self.image_ids(of)

        def at(place: Checkpoint) -> _Values:
            values, seen = np.full(len(ids), np.nan), np.zeros(len(ids), dtype=np.bool_)
            if (found := self._scores.get((place, *names))) is not None:
                images = np.searchsorted(ids, found.image_id)
                values[images], seen[images] = found.values, True
            return values, seen

        return self._curve(of, levels, at, subset)

    def drift_before_flips(
        self, of: Networks, explainer: str, metric: str, level: int
    ) -> tuple[Numbers, Mask]:
        """How far explanations have moved at a level, and which predictions flip at the next one.

        Of every network and image, [S, N]: 1 minus the agreement with the dense network, NaN where
        it is undefined or where the prediction has differed from the dense network's at this level
        or at one before; and whether it differs at the next one.
        """
        names, ids, seeds = (of.condition, explainer, metric), self.image_ids(of), self.seeds(of)
        drift, flips = np.full((len(seeds), len(ids)), np.nan), []
        for row, seed in enumerate(seeds):
            predicted = [
                self._predicted(self._place(of, seed, at), of.condition)["predicted"].to_numpy()
                for at in range(level + 2)
            ]
            if (found := self._scores.get((self._place(of, seed, level), *names))) is not None:
                drift[row, np.searchsorted(ids, found.image_id)] = 1.0 - found.values
            drift[row, (np.array(predicted[1:-1]) != predicted[0]).any(axis=0)] = np.nan
            flips.append(predicted[-1] != predicted[0])
        return drift, np.array(flips)

    def empty_share(
        self, of: Networks, explainer: str, metric: str, levels: Iterable[int]
    ) -> float:
        """Largest share of empty maps at one of the levels, over all networks and images.

        NaN where nothing was scored.
        """
        shares = [
            float(np.concatenate(found).mean())
            for level in levels
            if (
                found := [
                    self._scores[key].empty
                    for seed in self.seeds(of)
                    if (key := (self._place(of, seed, level), of.condition, explainer, metric))
                    in self._scores
                ]
            )
        ]
        return max(shares, default=float("nan"))

    def dense_and_majority(self, of: Networks) -> tuple[float, float]:
        """Accuracy of the dense networks, and of always saying the most frequent label."""
        found = [self._predicted(self._place(of, s, 0), of.condition) for s in self.seeds(of)]
        accuracy = float(np.mean([one["correct"].mean() for one in found]))
        return accuracy, float(found[0]["label"].value_counts(normalize=True).iloc[0])

    def _levels(self, of: Networks) -> list[int]:
        pruned = {place.level for place in self._predictions if place[:3] == of[:3]}
        return sorted({0, *pruned})

    @staticmethod
    def _place(of: Networks, seed: int, level: int) -> Checkpoint:
        return Checkpoint(of.dataset, of.model, of.pruner if level else DENSE, seed, level)

    def _predicted(self, place: Checkpoint, condition: str) -> pd.DataFrame:
        try:
            return self._predictions[place][condition]
        except KeyError as error:
            raise InputError(
                f"{'/'.join(map(str, place))} has no predictions of the condition '{condition}'; "
                "run snakemake again"
            ) from error

    def _curve(
        self,
        of: Networks,
        levels: Sequence[int],
        at: Callable[[Checkpoint], _Values],
        subset: str,
    ) -> ImageCurve:
        """Describe the values of all networks at the levels."""
        seeds, ids = self.seeds(of), self.image_ids(of)
        shape = (len(seeds), len(levels))
        mean, density = np.full(shape, np.nan), np.full(shape, np.nan)
        without, n = np.full((*shape, len(ids)), np.nan), np.zeros(shape, dtype=np.int64)
        scored = np.zeros(len(ids), dtype=np.bool_)
        for row, seed in enumerate(seeds):
            dense = self._predicted(self._place(of, seed, 0), of.condition)
            start = at(self._place(of, seed, 0))[0] if subset == CHANGE_AT_BOTH else None
            for column, level in enumerate(levels):
                place = self._place(of, seed, level)
                values, seen = at(place)
                predicted = self._predicted(place, of.condition)
                density[row, column] = self._densities.get(place, np.nan)
                if not seen.any():
                    continue
                scored |= seen
                if start is not None:
                    values = values - start if level else np.full(len(ids), np.nan)
                mean[row, column], without[row, column], n[row, column] = describe(
                    values, seen, subset, predicted, dense
                )
        return ImageCurve(
            tuple(seeds), np.array(levels, dtype=np.int64), mean, density, without, n, scored=scored
        )


def describe(
    values: Numbers, seen: Mask, subset: str, predicted: pd.DataFrame, dense: pd.DataFrame
) -> tuple[float, Numbers, int]:
    """Mean of N values over a subset, the mean without each image [N], and how many entered.

    The subsets are those of `members_of_subsets`, and so is their standardisation on the label
    (`describe_subsets`). NaN where no image is left.

    Parameters
    ----------
    values : float64 [N]; what is not finite is undefined.
    seen : bool [N], images that were scored.
    predicted, dense : predictions of the network and of its dense parent, by image [N].
    """
    images = np.flatnonzero(seen)
    parts = (
        predicted["correct"].to_numpy(dtype=np.bool_),
        dense["correct"].to_numpy(dtype=np.bool_),
        dense["margin"].to_numpy(dtype=np.float64),
    )
    members = members_of_subsets(images, *(part[images] for part in parts))
    name = BOTH if subset == CHANGE_AT_BOTH else subset
    finite = np.isfinite(values)
    if name in (CORRECT, INCORRECT):
        sides = [np.zeros(len(values), dtype=np.bool_) for _ in range(2)]
        for side, key in zip(sides, (CORRECT, INCORRECT), strict=True):
            side[images] = members[key]
        label = np.unique(predicted["label"].to_numpy(), return_inverse=True)[1]
        right, wrong = (side & finite for side in sides)
        return _matched(values, right, wrong, label, name == CORRECT)
    inside = np.zeros(len(values), dtype=np.bool_)
    inside[images] = members[name]
    inside &= finite
    weighted, count = np.where(inside, values, 0.0), int(inside.sum())
    total = weighted.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return (
            float(total / count) if count else np.nan,
            (total - weighted) / (count - inside),
            count,
        )


def _matched(
    values: Numbers, right: Mask, wrong: Mask, label: NDArray[np.int64], of_right: bool
) -> tuple[float, Numbers, int]:
    """As `describe`, over correct (or incorrect) images, standardised on the label.

    Leaving an image out changes the sums of its own label only.
    """
    labels = int(label.max()) + 1

    def by_label(weights: Numbers) -> Numbers:
        return np.bincount(label, weights=weights, minlength=labels).astype(np.float64)

    filled = np.where(np.isfinite(values), values, 0.0)
    count = [by_label(side.astype(np.float64)) for side in (right, wrong)]
    total = [by_label(np.where(side, filled, 0.0)) for side in (right, wrong)]

    def terms(counts: Sequence[Numbers], totals: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
        """Numerators and denominators that labels contribute."""
        both = (counts[0] > 0) & (counts[1] > 0)
        own = totals[0] * counts[1] / np.where(both, counts[0], 1.0) if of_right else totals[1]
        return np.where(both, own, 0.0), np.where(both, counts[1], 0.0)

    top, bottom = terms(count, total)
    top_without, bottom_without = terms(
        [count[k][label] - side for k, side in enumerate((right, wrong))],
        [total[k][label] - np.where(side, filled, 0.0) for k, side in enumerate((right, wrong))],
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = top.sum() / bottom.sum()
        without = (top.sum() - top[label] + top_without) / (
            bottom.sum() - bottom[label] + bottom_without
        )
    entered = count[0 if of_right else 1][(count[0] > 0) & (count[1] > 0)].sum()
    return float(mean), without, int(entered)


def _place_of(file: ScoreFile) -> Checkpoint:
    return Checkpoint(file.dataset, file.model, file.pruner, file.seed, file.level)


def read_agreement(
    path: Path, entries: Entries, predicted: Mapping[Checkpoint, Predictions]
) -> Scores:
    """Agreement of a pruned network with its dense parent; nothing of a dense network's file."""
    file = ScoreFile.open(path)
    rows = read_table(path, [*NAMES, "image_id", "value"]).unify_dictionaries()
    frame = of_study(rows, file.network, entries).to_pandas().sort_values("image_id")
    found: Scores = {}
    # dense networks are compared with those of other seeds, which is no agreement with a parent
    for (explainer, condition, metric), part in frame.groupby(NAMES, observed=True):
        values = part["value"].to_numpy(dtype=np.float64)
        ids = part["image_id"].to_numpy(dtype=np.int64)
        if file.pruner != DENSE:
            _check(path, ids, None, predicted, _place_of(file), str(condition))
            key = _place_of(file), str(condition), str(explainer), str(metric)
            found[key] = Scored(ids, values, ~np.isfinite(values))
    return found


def read_predictions(paths: Mapping[Checkpoint, Path]) -> dict[Checkpoint, Predictions]:
    """Predictions of every checkpoint; an `InputError` where a data set's differ in images."""
    found: dict[Checkpoint, Predictions] = {}
    for dataset in dict.fromkeys(place.dataset for place in paths):
        own = [place for place in paths if place.dataset == dataset]
        found |= dict(zip(own, read_chain([paths[place] for place in own]), strict=True))
    return found


def _check(
    path: Path,
    image_id: NDArray[np.int64],
    correct: Mask | None,
    predicted: Mapping[Checkpoint, Predictions],
    place: Checkpoint,
    condition: str,
) -> None:
    """Raise an `InputError` where scores and predictions are not of the same images."""
    predictions = predicted.get(place, {}).get(condition)
    if predictions is None:
        raise InputError(
            f"{path} scores a checkpoint or condition ({condition}) whose predictions are not "
            "given; delete it and run snakemake again"
        )
    found = predictions.index.get_indexer(pd.Index(image_id))
    if (found < 0).any():
        raise InputError(
            f"{path} scores image {image_id[found < 0][0]}, which its network was not evaluated "
            "on; delete its predictions and run snakemake again"
        )
    if correct is None:
        return
    if not np.array_equal(predictions["correct"].to_numpy()[found], correct):
        raise InputError(
            f"{path} and the predictions of its checkpoint disagree on which images are "
            "classified correctly; score the explanations again"
        )
