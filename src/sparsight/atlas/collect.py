"""What an atlas shows of a study, read from its files: predictions, scores, agreement and maps."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.claims.images import (
    Checkpoint,
    Predictions,
    read_agreement,
)
from sparsight.analysis.curves import DENSE
from sparsight.analysis.scores import read_scalars
from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import read_arrays
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table
from sparsight.plots.heatmaps import TARGETS, ExplanationFile

Numbers = NDArray[np.float64]
#: at most so many of the explained images, the first of the shared evaluation subset
IMAGES = 250
#: condition, explainer and metric
_Score = tuple[str, str, str]


class Values:
    """Scores and agreement of every checkpoint, by image.

    Parameters
    ----------
    predicted : of every checkpoint: see `read_predictions`.
    scores, agreement : files of every checkpoint and family.
    settings : `reducers`, `entries`, `agreement_entries`: see `sparsight.analysis.scores`.
    """

    def __init__(
        self,
        predicted: Mapping[Checkpoint, Predictions],
        scores: Iterable[Path],
        agreement: Iterable[Path],
        settings: Mapping[str, Any],
    ) -> None:
        self._found: dict[Checkpoint, dict[_Score, pd.Series[float]]] = defaultdict(dict)
        for path in scores:
            file, by_condition = read_scalars(path, settings["reducers"], settings["entries"])
            place = Checkpoint(file.dataset, file.model, file.pruner, file.seed, file.level)
            for part in by_condition:
                for column, (explainer, metric) in enumerate(part.columns):
                    key = part.condition, explainer, metric
                    self._found[place][key] = part.column(column)
        for path in agreement:
            found = read_agreement(path, settings["agreement_entries"], predicted)
            for (place, *names), scored in found.items():
                condition, explainer, metric = names
                series = pd.Series(scored.values, index=scored.image_id)
                self._found[place][condition, explainer, metric] = series

    def table(
        self, places: Sequence[Checkpoint], score: _Score, image_ids: NDArray[np.int64]
    ) -> Numbers:
        """One score of checkpoints and images, [C, N]; NaN where there is none or no number."""
        table = np.full((len(places), len(image_ids)), np.nan)
        for row, place in enumerate(places):
            if (series := self._found.get(place, {}).get(score)) is not None:
                table[row] = series.reindex(image_ids).to_numpy(dtype=np.float64)
        table[~np.isfinite(table)] = np.nan
        return table


class Maps:
    """The stored maps of a data set's networks, and of its controls, under one condition."""

    def __init__(
        self,
        files: Mapping[Checkpoint, Sequence[Path]],
        controls: Sequence[Path],
        condition: str,
        explainers: Sequence[str],
    ) -> None:
        settings = {"explainers": explainers}
        self.condition = condition
        self._files = {
            place: [ExplanationFile(path, condition, settings) for path in paths]
            for place, paths in files.items()
        }
        self._controls = [ExplanationFile(path, condition, settings) for path in controls]

    def image_ids(self) -> set[int]:
        """Images of which there is a map."""
        everything = [*self._controls, *(one for files in self._files.values() for one in files)]
        return {image_id for file in everything for image_id in file.row_of}

    def facts(self) -> dict[str, dict[str, Any]]:
        """Explainer to `signed`, `target` (in words) and `control` (whether no network is needed).

        In the order of the files.
        """
        found: dict[str, dict[str, Any]] = {}
        for of_network in (True, False):
            files = [one for files in self._files.values() for one in files]
            for file in files if of_network else self._controls:
                target = TARGETS.get(file.target, file.target) if of_network else ""
                for name in file.explainers:
                    facts = {"signed": name in file.signed, "target": target}
                    found.setdefault(name, {**facts, "control": not of_network})
        return found

    def of(
        self, place: Checkpoint | None, explainer: str, image_ids: Sequence[int]
    ) -> dict[int, NDArray[np.float32]]:
        """Image id to its map [h, w] at a checkpoint, or of a control; what lacks is left out."""
        for file in self._controls if place is None else self._files.get(place, ()):
            if explainer in file.explainers:
                there = [image_id for image_id in image_ids if image_id in file.row_of]
                if there:
                    return dict(zip(there, file.map_rows(explainer, there), strict=True))
        return {}


class Images:
    """The images of a data set that an atlas shows: the first ones of the evaluation subset."""

    def __init__(self, packed: Path, explained: set[int]) -> None:
        self.packed = packed
        facts = read_arrays(packed, ["evaluation_rank", "image_ids", "labels"])
        ids = facts["image_ids"].numpy()
        order = [
            p for p in np.argsort(facts["evaluation_rank"].numpy()) if int(ids[p]) in explained
        ]
        self.explained = len(order)
        self.positions = order[:IMAGES]
        self.image_ids: NDArray[np.int64] = ids[self.positions]
        self.labels: NDArray[np.int64] = facts["labels"].numpy()[self.positions]
        if not self.positions:
            raise InputError(f"none of the images of {packed} was explained; explain them first")
        with PackedSplit.open(packed) as split:
            self.classes = list(split.classes)
            self.concept_names = list(split.concept_names)

    def pixels(self, condition: str, start: int, stop: int) -> NDArray[np.uint8]:
        """Images `start` to `stop` as the networks see them, uint8 [n, C, H, W]."""
        with PackedSplit.open(self.packed) as split:
            values = split.select(self.positions[start:stop]).images(condition)
        return np.asarray((values * 255).round().byte().numpy())

    def concepts(self) -> NDArray[np.bool_]:
        """Which of the data set's concepts are in each image, bool [N, K]."""
        if not self.concept_names:
            return np.zeros((len(self.positions), 0), dtype=np.bool_)
        with PackedSplit.open(self.packed) as split:
            return np.asarray(split.concepts(self.positions).numpy(), dtype=np.bool_)


def read_performance(evaluations: Path) -> dict[Checkpoint, dict[str, Any]]:
    """Checkpoint to `density`, `bits`, and `accuracy` by condition, from `evaluations.parquet`."""
    frame = tables.read("evaluations", evaluations)
    found: dict[Checkpoint, dict[str, Any]] = defaultdict(lambda: {"accuracy": {}})
    for row in frame.to_dict("records"):
        names = row["dataset"], row["model"], row["pruner"]
        known = found[Checkpoint(*names, int(row["seed"]), int(row["level"]))]
        if row["metric"] == "density_prunable":
            known["density"] = float(row["value"])
        elif row["metric"] == "bits":
            known["bits"] = int(row["value"])
        elif row["metric"] == "accuracy" and row["split"] == "test":
            known["accuracy"][row["condition"]] = float(row["value"])
    return found


def read_probabilities(path: Path, condition: str, image_ids: NDArray[np.int64]) -> Numbers:
    """Probability of the predicted class, float64 [N], of a checkpoint's `predictions.parquet`."""
    frame = read_table(path, ["image_id", "condition", "probability"]).to_pandas()
    own = frame[frame["condition"] == condition].set_index("image_id")["probability"]
    return np.asarray(own.reindex(image_ids), dtype=np.float64)


def checkpoints_of(network: Mapping[str, Any], seed: int) -> list[Checkpoint]:
    """The checkpoints of one seed: dense first, then each pruner's levels.

    `network`: `dataset`, `model`, `pruners` (name to the number of its levels).
    """
    names = network["dataset"], network["model"]
    pruned = (
        Checkpoint(*names, pruner, seed, level)
        for pruner, levels in network["pruners"].items()
        for level in range(1, levels + 1)
    )
    return [Checkpoint(*names, DENSE, seed, 0), *pruned]


def floor_range(
    values: Values,
    network: Mapping[str, Any],
    retraining: Sequence[str],
    score: _Score,
    image_ids: NDArray[np.int64],
) -> list[Numbers]:
    """Lowest and highest score of each image over networks of all seeds that were only retrained.

    Two arrays [N], NaN where no retrained network has a score.
    """
    places = [
        place
        for seed in network["seeds"]
        for place in checkpoints_of(network, seed)
        if place.pruner in retraining
    ]
    table = values.table(places, score, image_ids)
    defined = np.isfinite(table).any(axis=0) if len(table) else np.zeros(len(image_ids), np.bool_)
    found = []
    for reduce in (np.nanmin, np.nanmax):
        edge = np.full(len(image_ids), np.nan)
        if defined.any():
            edge[defined] = reduce(table[:, defined], axis=0)
        found.append(edge)
    return found
