"""Images that pruning makes a network forget, and classes that it harms.

Networks of one accuracy may err on other images: Hooker et al. 2019, arXiv 1911.05248.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.claims.images import (
    Checkpoint,
    Predictions,
    Scored,
    read_agreement,
    read_predictions,
)
from sparsight.analysis.curves import DENSE
from sparsight.analysis.statistics import SHARE, adjusted_p, one_sample_t, student_interval

#: of the stage `exemplars`: see `sparsight.study.versions`
VERSION = 1
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


class _Chains(NamedTuple):
    """Predictions of the networks of one pruner under one condition.

    Attributes
    ----------
    seeds : ascending, [S].
    image_id, label : of N images.
    predicted : int64 [S, L + 1, N], level 0 first.
    """

    seeds: list[int]
    image_id: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def first_flips(self) -> NDArray[np.int64]:
        """First level at which a prediction is not that of level 0; 0 without one: [S, N]."""
        differs = self.predicted[:, 1:] != self.predicted[:, :1]
        return np.where(differs.any(axis=1), differs.argmax(axis=1) + 1, 0)


def find_exemplars(
    predictions: Sequence[Path],
    agreement: Iterable[Path],
    exemplars: Path,
    harm: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `exemplars.parquet` and `class_harm.csv`.

    An `InputError` is raised where files are missing, corrupt, or do not belong together.

    Parameters
    ----------
    predictions : `predictions.parquet` of every checkpoint, parallel to `settings["checkpoints"]`.
    agreement : files as `sparsight.metrics.agreement` writes them, in any order.
    settings : `checkpoints` (lists of data set, model, pruner, seed, level), `entries` (see
        `sparsight.analysis.scores.of_study`), `confidence`.
    """
    places = [Checkpoint(*place) for place in settings["checkpoints"]]
    predicted = read_predictions(dict(zip(places, map(Path, predictions), strict=True)))
    drifts = _drifts(agreement, settings["entries"], predicted)
    images, classes = [_NO_IMAGES], []
    for names, chains in _chains(predicted):
        images += [part.assign(**names) for part in _of_images(chains, drifts[(*names.values(),)])]
        classes += [{**names, **row} for row in _of_classes(chains, float(settings["confidence"]))]
    tables.write("exemplars", exemplars, pd.concat(images).sort_values(_KEYS, ignore_index=True))
    table = pd.DataFrame(classes, columns=tables.TABLES["class_harm"].names)
    table["p_adjusted"] = adjusted_p(table)
    tables.write("class_harm", harm, table.sort_values(list(tables.TABLES["class_harm"].keys)))


_KEYS = list(tables.TABLES["exemplars"].keys)
_NO_IMAGES = pd.DataFrame(columns=tables.TABLES["exemplars"].names)
#: explainer, metric, level and seed to the agreement with the dense network
_Drifts = dict[tuple[str, str], dict[int, dict[int, Scored]]]


def _drifts(
    agreement: Iterable[Path],
    entries: Mapping[str, Any],
    predicted: Mapping[Checkpoint, Predictions],
) -> Mapping[tuple[str, ...], _Drifts]:
    """Agreement by data set, model, pruner and condition."""
    found: dict[tuple[str, ...], _Drifts] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for path in sorted(map(Path, agreement)):
        scores = read_agreement(path, entries, predicted)
        for (place, condition, explainer, metric), scored in scores.items():
            levels = found[place.dataset, place.model, place.pruner, condition]
            levels[explainer, metric][place.level][place.seed] = scored
    return found


def _chains(
    predicted: Mapping[Checkpoint, Predictions],
) -> Iterator[tuple[dict[str, str], _Chains]]:
    """Each data set, model, pruner and condition, with its networks."""
    for dataset, model, pruner in sorted({p[:3] for p in predicted if p.pruner != DENSE}):
        own = [place for place in predicted if place[:3] == (dataset, model, pruner)]
        seeds = sorted({place.seed for place in own})
        levels = sorted({place.level for place in own})
        dense = Checkpoint(dataset, model, DENSE, seeds[0], 0)
        for condition, first in sorted(predicted[dense].items()):
            matrix = [
                [
                    predicted[place][condition]["predicted"].to_numpy(dtype=np.int64)
                    for place in (
                        dense._replace(seed=seed),
                        *(Checkpoint(dataset, model, pruner, seed, level) for level in levels),
                    )
                ]
                for seed in seeds
            ]
            names = {"dataset": dataset, "model": model, "pruner": pruner, "condition": condition}
            ids, label = (part.to_numpy(dtype=np.int64) for part in (first.index, first["label"]))
            yield names, _Chains(seeds, ids, label, np.array(matrix))


def _of_images(chains: _Chains, drifts: _Drifts) -> Iterator[pd.DataFrame]:
    """Rows of all images by level, then of those that are explained, by explainer and metric."""
    first = chains.first_flips
    texts = [";".join(str(level or "") for level in of_image) for of_image in first.T.tolist()]
    whole = pd.DataFrame(
        {
            "image_id": chains.image_id,
            "label": chains.label,
            "n_seeds": len(chains.seeds),
            "first_flips": texts,
        }
    )
    for level in range(1, chains.predicted.shape[1]):
        flipped = ((first > 0) & (first <= level)).mean(axis=0)
        rows = whole.assign(level=level, flipped=flipped, flips=(first == level).mean(axis=0))
        yield rows.assign(explainer="", metric="", drift=np.nan)
        for (explainer, metric), by_level in drifts.items():
            if not (scored := by_level.get(level - 1)):
                continue
            parts = [pd.Series(1.0 - one.values, index=one.image_id) for one in scored.values()]
            # the mean skips networks that lack a value
            drift = pd.concat(parts, axis=1).mean(axis=1)
            found = rows[rows["image_id"].isin(drift.index)]
            values = drift.reindex(found["image_id"]).to_numpy()
            yield found.assign(explainer=explainer, metric=metric, drift=values)


def _of_classes(chains: _Chains, confidence: float) -> Iterator[dict[str, Any]]:
    """Rows of each class and level; level 0 has a recall and no change of it."""
    correct = (chains.predicted == chains.label).astype(np.float64)
    accuracy = correct.mean(axis=2)
    for label in np.unique(chains.label):
        recall = correct[:, :, chains.label == label].mean(axis=2)
        for level in range(recall.shape[1]):
            nothing = np.full(len(recall), np.nan)
            change, overall = (
                part[:, level] - part[:, 0] if level else nothing for part in (recall, accuracy)
            )
            mean = student_interval(recall[:, level].tolist(), confidence, SHARE)
            harm = one_sample_t(change - overall, confidence)
            yield {
                "level": level,
                "label": int(label),
                "n_seeds": mean.networks,
                "n_images": int((chains.label == label).sum()),
                **{"recall": mean.mean, "recall_low": mean.low, "recall_high": mean.high},
                "change": float(change.mean()),
                "accuracy_change": float(overall.mean()),
                **harm.columns("relative_change"),
                **({} if harm.n else {"seeds_up": None, "seeds_down": None}),
            }


def foretelling(scores: Numbers, happens: Mask) -> tuple[float, Numbers]:
    """How well scores tell what happens from what does not: the area under the ROC curve.

    It is the chance that a score of what happens is the higher one, ties counting a half (Hanley
    and McNeil 1982, doi:10.1148/radiology.143.1.7063747).

    Parameters
    ----------
    scores : [N]; what is not finite does not count.
    happens : [N].

    Returns
    -------
    The area, and the same without each of the images [N]; NaN with fewer than two images of a kind,
    of which one could not be left out.
    """
    defined = np.isfinite(scores)
    yes, no = np.flatnonzero(defined & happens), np.flatnonzero(defined & ~happens)
    if min(len(yes), len(no)) < 2:
        return np.nan, np.full(len(scores), np.nan)
    # of each that happens, how many others it beats; of each other, by how many it is beaten
    beats = _below(scores[no], scores[yes])
    beaten = len(yes) - _below(scores[yes], scores[no])
    total = beats.sum()
    area = float(total / (len(yes) * len(no)))
    without = np.full(len(scores), area)
    without[yes] = (total - beats) / ((len(yes) - 1) * len(no))
    without[no] = (total - beaten) / (len(yes) * (len(no) - 1))
    return area, without


def _below(others: Numbers, values: Numbers) -> Numbers:
    """How many of the others lie below each value, ties counting a half."""
    ordered = np.sort(others)
    sides = [np.searchsorted(ordered, values, side) for side in ("left", "right")]
    return np.asarray((sides[0] + sides[1]) / 2.0, dtype=np.float64)
