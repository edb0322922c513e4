"""What a sheet of heatmaps shows: rows of few images, read from many files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import ArrayReader, read_arrays
from sparsight.io.errors import InputError
from sparsight.io.json_files import read_json
from sparsight.io.remedies import remedy
from sparsight.plots.style import ordered

Map = NDArray[np.float32]
# Which class a map explains, in words.
TARGETS = {
    "true": "the label",
    "predicted": "the predicted class",
    "dense_predicted": "the class that the dense network predicts",
}


@dataclass
class Checkpoint:
    """What one checkpoint says of the chosen images (k of them).

    Attributes
    ----------
    level, density : of the checkpoint; the share of prunable weights left, in [0, 1].
    predicted : int64 [k], the class that the network predicts; empty before explanations are read.
    maps : explainer to float32 [k, h, w]; one that was not explained at this level is missing.
    """

    level: int
    density: float
    predicted: NDArray[np.int64]
    maps: dict[str, Map] = field(default_factory=dict)


@dataclass
class Sheet:
    """All that a sheet shows.

    Attributes
    ----------
    images : float32 [k, C, H, W] in [0, 1], as the networks saw them.
    labels : int64 [k].
    image_ids : int64 [k].
    classes : names of the classes.
    checkpoints : by level.
    controls : control explainer to float32 [k, h, w]; the same at every level.
    families : family to its explainers that look at a network, both in the order of the sheet.
    targets : family to the class that its maps explain, in words; "" where the file does not say.
    signed : explainers whose negative values mean evidence against the class.
    title : whose networks.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    classes: list[str]
    checkpoints: list[Checkpoint]
    controls: dict[str, Map]
    families: dict[str, list[str]]
    targets: dict[str, str]
    signed: frozenset[str]
    title: str


def load_sheet(
    packed: Path,
    evaluations: Sequence[Path],
    explanations: Sequence[Path],
    controls: Sequence[Path],
    settings: Mapping[str, Any],
) -> Sheet:
    """Read what `draw_heatmaps` shows; see there."""
    condition = str(settings["condition"])
    files = [_ExplanationFile(path, condition, settings) for path in (*explanations, *controls)]
    if not evaluations or not files:
        raise InputError("a sheet of heatmaps needs at least one evaluation and its explanations")
    positions = _first_of_each_class(packed, files, int(settings["images"]))
    with PackedSplit.open(packed) as split:
        batch = split.select(positions)
        classes = split.classes
    image_ids = batch.image_ids.numpy()
    checkpoints, title = _checkpoints(evaluations)
    shared: dict[str, Map] = {}
    members: dict[str, str] = {}
    targets: dict[str, str] = {}
    for file in files:
        maps = file.maps(image_ids)
        if file.path in controls:
            shared |= maps
            continue
        owner = checkpoints.get(file.path.parent.parent)
        if owner is None:
            raise InputError(f"{file.path} has no evaluation.json among the given ones beside it")
        owner.maps |= maps
        members |= dict.fromkeys(maps, file.path.stem)
        targets[file.path.stem] = TARGETS.get(file.target, file.target)
        owner.predicted = file.predicted(image_ids)
    wanted = list(settings.get("explainers", ()))
    families: dict[str, list[str]] = {}
    for name in ordered(members, wanted, ()):
        families.setdefault(members[name], []).append(name)
    return Sheet(
        images=batch.images(condition).numpy(),
        labels=batch.labels.numpy(),
        image_ids=image_ids,
        classes=classes,
        checkpoints=sorted(checkpoints.values(), key=lambda checkpoint: checkpoint.level),
        controls={name: shared[name] for name in ordered(shared, wanted, ())},
        families=families,
        targets=targets,
        signed=frozenset(name for file in files for name in file.signed),
        title=f"{title}, {condition} images",
    )


class _ExplanationFile:
    """Facts of an explanations file and its rows for chosen images."""

    def __init__(self, path: Path, condition: str, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.condition = condition
        with ArrayReader(path) as reader:
            ids = reader.rows("image_ids").tolist()
            metadata = reader.metadata
            names = set(reader.names)
        self.target = metadata.get("target", "")
        self.row_of = {image_id: row for row, image_id in enumerate(ids)}
        try:
            facts = json.loads(metadata["explainers"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path} does not name its explainers; explain the images again"
            ) from error
        only = settings.get("explainers")
        self.explainers = [
            name
            for name in facts
            if f"{name}/{condition}" in names and (only is None or name in only)
        ]
        if not any(name.endswith(f"/{condition}") for name in names):
            raise InputError(f"{path} holds no explanations of {condition} images")
        self.signed = [name for name in self.explainers if facts[name]["signed"]]

    def _rows(self, tensor: str, image_ids: Iterable[int]) -> NDArray[Any]:
        # What is read was verified when the file was first opened.
        with ArrayReader(self.path, verify=()) as reader:
            rows = [self.row_of[int(image_id)] for image_id in image_ids]
            return np.concatenate([reader.rows(tensor, row, row + 1).numpy() for row in rows])

    def maps(self, image_ids: NDArray[np.int64]) -> dict[str, Map]:
        return {n: self._rows(f"{n}/{self.condition}", image_ids) for n in self.explainers}

    def predicted(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._rows(f"predictions/{self.condition}", image_ids)


def _first_of_each_class(packed: Path, files: Sequence[_ExplanationFile], count: int) -> list[int]:
    """Positions of the first `count` images of the evaluation subset, from different classes.

    Where there are fewer classes than `count`, classes repeat once all have had their turn.
    """
    facts = read_arrays(packed, ["evaluation_rank", "labels", "image_ids"])
    common = set.intersection(*(set(file.row_of) for file in files))
    labels, ids = facts["labels"].tolist(), facts["image_ids"].tolist()
    ranked = [p for p in np.argsort(facts["evaluation_rank"].numpy()).tolist() if ids[p] in common]
    if len(ranked) < count:
        raise InputError(
            f"{files[0].path} and its sisters share {len(ranked)} images of {packed}, "
            f"fewer than the {count} of the sheet; explain more images or show fewer"
        )
    turns: dict[int, int] = {}
    turn_of = {}
    for position in ranked:
        turn_of[position] = turns[labels[position]] = turns.get(labels[position], -1) + 1
    return sorted(ranked, key=lambda position: turn_of[position])[:count]


def _checkpoints(evaluations: Sequence[Path]) -> tuple[dict[Path, Checkpoint], str]:
    """Checkpoints by folder, and whose networks they are."""
    found: dict[Path, Checkpoint] = {}
    owners: set[tuple[str, str, int]] = set()
    pruners: set[str] = set()
    for path in evaluations:
        facts = read_json(path)
        try:
            owners.add((facts["dataset"], facts["model"], int(facts["seed"])))
            if int(facts["level"]) > 0:
                pruners.add(facts["pruner"])
            density = float(facts["density"]["prunable"])
            level = int(facts["level"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a complete evaluation; {remedy(path)}") from error
        found[path.parent] = Checkpoint(level, density, np.empty(0, dtype=np.int64))
    if len(owners) > 1 or len(pruners) > 1:
        raise InputError("a sheet of heatmaps shows one network and one pruner; give one at a time")
    dataset, model, seed = owners.pop()
    pruner = f", pruner {pruners.pop()}" if pruners else ""
    return found, f"{model} on {dataset}, seed {seed}{pruner}"
