"""Write the atlas of a study: a page, and its data as scripts, which also load from a file.

A script under `data/` calls `atlas.receive(KEY, VALUE)`, where KEY is its own name. The page loads
`study` first and everything else when it is shown.
"""

import json
import logging
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from sparsight.analysis.claims.images import Checkpoint, read_predictions
from sparsight.atlas.collect import (
    Images,
    Maps,
    Numbers,
    Values,
    checkpoints_of,
    floor_range,
    read_performance,
    read_probabilities,
)
from sparsight.atlas.sprites import LOSSLESS_MAP, encode_map, fit_map, make_sprite, to_colours
from sparsight.io.errors import InputError
from sparsight.io.files import write_text
from sparsight.plots.concept_sheet import load_concepts
from sparsight.plots.heatmaps import SEQUENTIAL, diverging
from sparsight.rounding import FULL_BITS

VERSION = 2
logger = logging.getLogger(__name__)
#: images whose maps are in one script: fewer make more files, more take longer to show the first
CHUNK = 5
#: longest side of an image, and of its thumbnail, in pixels
LARGEST_IMAGE, LARGEST_THUMBNAIL = 256, 48
#: classes, concepts of each, and crops of each that the view of concepts shows at most
CLASSES, CONCEPTS, CROPS = 20, 5, 5
LARGEST_CROP = 64
#: explainer and metric to scores [C, N], and to the floors, by `floor_name`: two edges of [N]
Scores = dict[str, dict[str, tuple[Numbers, dict[str, list[Numbers]]]]]
#: the page, and the libraries that it loads from its own folder
PARTS = ("page", "vendor")


class Files(NamedTuple):
    """What an atlas is made from.

    Attributes
    ----------
    evaluations : `evaluations.parquet`.
    packed : data set to its packed test split.
    predictions : checkpoint to its `predictions.parquet`.
    explanations : checkpoint to its explanation files.
    controls : data set to the explanation files of its controls.
    scores, agreement : files of all checkpoints and families.
    concepts : checkpoint and method to its table and its arrays.
    """

    evaluations: Path
    packed: Mapping[str, Path]
    predictions: Mapping[Checkpoint, Path]
    explanations: Mapping[Checkpoint, Sequence[Path]]
    controls: Mapping[str, Sequence[Path]]
    scores: Sequence[Path]
    agreement: Sequence[Path]
    concepts: Mapping[tuple[Checkpoint, str], tuple[Path, Path]]

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        evaluations: Path,
        *,
        packed: Sequence[Path],
        predictions: Sequence[Path],
        explanations: Sequence[Path] = (),
        controls: Sequence[Path] = (),
        scores: Sequence[Path] = (),
        agreement: Sequence[Path] = (),
        concepts: Sequence[Path] = (),
        concept_arrays: Sequence[Path] = (),
    ) -> "Files":
        """Lists of files, parallel to the lists of `settings` that say whose they are.

        `settings`: `checkpoints` (of the predictions) and `explained`, lists of data set, model,
        pruner, seed, level; `controls`, data sets; `described`, the same with a method of concepts.
        """
        maps: dict[Checkpoint, list[Path]] = defaultdict(list)
        for place, path in zip(settings["explained"], explanations, strict=True):
            maps[Checkpoint(*place)].append(path)
        by_dataset: dict[str, list[Path]] = defaultdict(list)
        for dataset, path in zip(settings["controls"], controls, strict=True):
            by_dataset[dataset].append(path)
        places = [Checkpoint(*place) for place in settings["checkpoints"]]
        described = [(Checkpoint(*place), name) for *place, name in settings["described"]]
        return cls(
            evaluations=evaluations,
            packed={path.parent.name: path for path in packed},
            predictions=dict(zip(places, predictions, strict=True)),
            explanations=maps,
            controls=by_dataset,
            scores=scores,
            agreement=agreement,
            concepts=dict(zip(described, zip(concepts, concept_arrays, strict=True), strict=True)),
        )


def write_atlas(files: Files, folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the atlas into `folder`, which is made anew.

    An `InputError` where the study explains no image, or files are missing, damaged or do not
    belong together.

    Parameters
    ----------
    settings : `study`; `networks`, a list of `dataset`, `model`, `seeds`, `conditions`, `pruners`
        (name to the number of its levels), `floors` (pruner to those that only retrain),
        `explainers`, `metrics` and `concepts`; `metrics` and `agreement`, name to `direction` and
        `unit`; `labels` (`sparsight.plots.labels`); `reducers`, `entries`, `agreement_entries`.
    """
    if not any(files.explanations.values()):
        raise InputError(
            f"the study '{settings['study']}' explains no image, so its atlas has nothing to show; "
            "name explainers of networks under `explainers`"
        )
    shutil.rmtree(folder, ignore_errors=True)
    _copy_page(folder)
    _Atlas(files, folder, settings).write()


def _copy_page(folder: Path) -> None:
    """The page and its libraries, which are data of this package."""
    for part in PARTS:
        source = resources.files("sparsight.atlas") / part
        target = folder if part == "page" else folder / part
        target.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            if file.is_file():
                (target / file.name).write_bytes(file.read_bytes())


class _Atlas:
    """The data of an atlas, written one network after the other."""

    def __init__(self, files: Files, folder: Path, settings: Mapping[str, Any]) -> None:
        self.files, self.folder, self.settings = files, folder, settings
        predicted = read_predictions(files.predictions)
        self.predicted = predicted
        self.performance = read_performance(files.evaluations)
        self.values = Values(predicted, files.scores, files.agreement, settings)
        self.images: dict[str, Images] = {}

    def write(self) -> None:
        """Write all data, `study` last: a page without it says that it is not complete."""
        networks = []
        self._find_images()
        for number, network in enumerate(self.settings["networks"]):
            networks.append(self._write_network(number, network))
        datasets = {name: self._write_images(name) for name in self.images}
        self._send(
            "study",
            {
                "study": self.settings["study"],
                "labels": self.settings.get("labels", {}),
                "chunk": CHUNK,
                "networks": networks,
                "datasets": datasets,
                "metrics": self.settings["metrics"],
                "agreement": self.settings["agreement"],
                "palettes": {
                    "sequential": _palette(colormaps[SEQUENTIAL]),
                    "diverging": _palette(diverging()),
                },
            },
        )

    def _send(self, key: str, value: Any) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        write_text(self.folder / "data" / f"{key}.js", f'atlas.receive("{key}",{text});\n')

    def _maps(self, network: Mapping[str, Any], condition: str) -> Maps:
        """Maps of all checkpoints of a network, and of the controls of its data set."""
        own = {
            place: paths
            for place, paths in self.files.explanations.items()
            if place[:2] == (network["dataset"], network["model"])
        }
        controls = self.files.controls.get(network["dataset"], ())
        return Maps(own, controls, condition, network["explainers"])

    def _find_images(self) -> None:
        """The images of each data set: those that any of its networks explains."""
        explained: dict[str, set[int]] = defaultdict(set)
        for network in self.settings["networks"]:
            for condition in network["conditions"]:
                explained[network["dataset"]] |= self._maps(network, condition).image_ids()
        for dataset, ids in explained.items():
            self.images[dataset] = Images(self.files.packed[dataset], ids)

    def _write_images(self, dataset: str) -> dict[str, Any]:
        """Thumbnails and images of a data set under its conditions; facts for `study`."""
        images = self.images[dataset]
        count = len(images.positions)
        networks = [n for n in self.settings["networks"] if n["dataset"] == dataset]
        for condition in dict.fromkeys(c for n in networks for c in n["conditions"]):
            thumbnails = []
            for chunk, (start, stop) in enumerate(chunks(count)):
                pixels = images.pixels(condition, start, stop)
                thumbnails.append(to_colours(pixels, LARGEST_THUMBNAIL))
                whole = to_colours(pixels, LARGEST_IMAGE)
                lossless = max(whole.shape[1:3]) <= LARGEST_THUMBNAIL
                self._send(f"images/{dataset}/{condition}/{chunk}", make_sprite(whole, lossless))
            sprite = make_sprite(np.concatenate(thumbnails), lossless=False)
            self._send(f"images/{dataset}/{condition}/thumbnails", sprite)
        return {
            "classes": images.classes,
            "image_ids": images.image_ids.tolist(),
            "labels": images.labels.tolist(),
            "explained": images.explained,
            "concept_names": images.concept_names,
            "concepts": [np.flatnonzero(row).tolist() for row in images.concepts()],
        }

    def _write_network(self, number: int, network: Mapping[str, Any]) -> dict[str, Any]:
        """Everything of one network; facts for `study`."""
        images = self.images[network["dataset"]]
        facts: dict[str, dict[str, Any]] = {}
        for condition in network["conditions"]:
            maps = self._maps(network, condition)
            facts |= maps.facts()
            for chunk, (start, stop) in enumerate(chunks(len(images.positions))):
                found = self._sprites([None], maps, images.image_ids[start:stop])
                self._send(f"networks/{number}/controls/{condition}/{chunk}", found)
            for seed in network["seeds"]:
                key = f"networks/{number}/{seed}/{condition}"
                self._send(key, self._overview(network, seed, condition, images))
                scores = self._scores(
                    network, seed, condition, images.image_ids, network["metrics"]
                )
                for chunk, (start, stop) in enumerate(chunks(len(images.positions))):
                    ids = images.image_ids[start:stop]
                    found = self._sprites(checkpoints_of(network, seed), maps, ids)
                    part = {"maps": found, "scores": _part(scores, start, stop)}
                    self._send(f"{key}/{chunk}", part)
                logger.info("%s on %s, seed %s, %s images", network["model"], network["dataset"],
                            seed, condition)  # fmt: skip
        return {
            **{key: network[key] for key in ("dataset", "model", "seeds", "conditions")},
            "pruners": list(network["pruners"]),
            "floors": {pruner: floor_name(of) for pruner, of in network["floors"].items()},
            "checkpoints": self._checkpoints(network),
            "explainers": [
                {"name": name, **facts[name]} for name in network["explainers"] if name in facts
            ],
            "concepts": self._write_concepts(number, network),
        }

    def _checkpoints(self, network: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Pruner, level, and by seed density, bits, and accuracy by condition."""
        found: list[dict[str, Any]] = []
        for seed in network["seeds"]:
            for row, place in enumerate(checkpoints_of(network, seed)):
                if row == len(found):
                    found.append({"pruner": place.pruner, "level": place.level, "seeds": {}})
                known = self.performance.get(place, {})
                found[row]["seeds"][str(seed)] = {
                    "density": _short(known.get("density", math.nan)),
                    "bits": known.get("bits", FULL_BITS),
                    "accuracy": {c: _short(v) for c, v in known.get("accuracy", {}).items()},
                }
        return found

    def _overview(
        self, network: Mapping[str, Any], seed: int, condition: str, images: Images
    ) -> dict[str, Any]:
        """Predictions and agreement of all images, by checkpoint [C][N]."""
        places, ids = checkpoints_of(network, seed), images.image_ids
        predicted, probability = [], []
        for place in places:
            found = self.predicted[place][condition]["predicted"].reindex(ids)
            predicted.append(found.astype(int).tolist())
            path = self.files.predictions[place]
            probability.append(_rounded(read_probabilities(path, condition, ids)))
        agreement = self._scores(network, seed, condition, ids, self.settings["agreement"])
        return {
            "predicted": predicted,
            "probability": probability,
            "agreement": _part(agreement, 0, len(ids)),
        }

    def _scores(
        self,
        network: Mapping[str, Any],
        seed: int,
        condition: str,
        image_ids: NDArray[np.int64],
        metrics: Iterable[str],
    ) -> Scores:
        """All scores of one seed; explainers, metrics and floors without any are left out."""
        places = checkpoints_of(network, seed)
        distinct = {floor_name(of): of for of in network["floors"].values()}
        found: Scores = {}
        for explainer in network["explainers"]:
            for metric in metrics:
                score = condition, explainer, metric
                table = self.values.table(places, score, image_ids)
                if not np.isfinite(table).any():
                    continue
                floors = {}
                for name, retraining in distinct.items():
                    edges = floor_range(self.values, network, retraining, score, image_ids)
                    if np.isfinite(edges[0]).any():
                        floors[name] = edges
                found.setdefault(explainer, {})[metric] = table, floors
        return found

    def _sprites(
        self,
        places: Sequence[Checkpoint | None],
        maps: Maps,
        image_ids: NDArray[np.int64],
    ) -> dict[str, Any]:
        """Explainer to the sprite of its maps of a few images; those of controls have no place."""
        found = {}
        for explainer, facts in maps.facts().items():
            if facts["control"] == (places == [None]):
                by_column = [maps.of(place, explainer, image_ids.tolist()) for place in places]
                if any(by_column):
                    signed = bool(facts["signed"])
                    found[explainer] = _map_sprite(by_column, image_ids.tolist(), signed)
        return found

    def _write_concepts(self, number: int, network: Mapping[str, Any]) -> dict[str, list[int]]:
        """Crops of concepts; method to the seeds that have them."""
        found: dict[str, list[int]] = {}
        for method in network["concepts"]:
            for seed in network["seeds"]:
                at = [
                    self.files.concepts.get((place, method))
                    for place in checkpoints_of(network, seed)
                ]
                if any(at):
                    shown = [None if files is None else _concepts_at(*files) for files in at]
                    self._send(f"concepts/{number}/{seed}/{method}", shown)
                    found.setdefault(method, []).append(seed)
        return found


def _part(scores: Scores, start: int, stop: int) -> dict[str, dict[str, Any]]:
    """Scores of some images: `at` [C][n], and `floor`, its name to its lowest and highest [n].

    A checkpoint without any score has None.
    """
    return {
        explainer: {
            metric: {
                "at": [
                    _rounded(row) if known else None for row, known in _rows(table, start, stop)
                ],
                "floor": {
                    name: [_rounded(edge[start:stop]) for edge in edges]
                    for name, edges in floors.items()
                },
            }
            for metric, (table, floors) in by_metric.items()
        }
        for explainer, by_metric in scores.items()
    }


def _rows(table: Numbers, start: int, stop: int) -> Iterator[tuple[Numbers, bool]]:
    """Rows of some images, and whether there is a number."""
    for row in table:
        yield row[start:stop], bool(np.isfinite(row).any())


def floor_name(retraining: Sequence[str]) -> str:
    """What the floor of these pruners is called; pruners that rewind alike share one."""
    return " ".join(retraining)


def chunks(count: int) -> Iterator[tuple[int, int]]:
    """Where the images of each script begin and end."""
    for start in range(0, count, CHUNK):
        yield start, min(start + CHUNK, count)


def _map_sprite(
    by_column: Sequence[Mapping[int, NDArray[np.float32]]], image_ids: Sequence[int], signed: bool
) -> dict[str, Any]:
    """A sprite of the maps of one explainer: rows are images, columns checkpoints.

    `scale` [image][column] is that of `encode_map`, and None where there is no map.
    """
    size = fit_map(next(iter(next(filter(None, by_column)).values()))).shape
    cells: list[NDArray[np.uint8]] = []
    scales: list[list[list[float | None] | None]] = []
    for image_id in image_ids:
        scales.append([])
        for maps in by_column:
            cell, scale = np.zeros(size, dtype=np.uint8), None
            if image_id in maps:
                cell, exact = encode_map(fit_map(maps[image_id]), signed)
                scale = [_short(value) for value in exact]
            cells.append(cell)
            scales[-1].append(scale)
    sprite = make_sprite(np.stack(cells), lossless=max(size) <= LOSSLESS_MAP)
    return {**sprite, "of": len(by_column), "scale": scales}


def _concepts_at(table: Path, arrays: Path) -> dict[str, Any]:
    """Class to its first concepts, with their weights, and one sprite of all crops."""
    concepts = load_concepts(table, arrays)
    names = list(concepts.names)[:CLASSES]
    if not names:
        return {"classes": [], "crops": 0, "sprite": None}
    crops = {name: concepts.crops[name][:CONCEPTS, :CROPS] for name in names}
    cells = [
        to_colours((np.moveaxis(found, -1, -3) * 255).round().astype(np.uint8), LARGEST_CROP)
        for name in names
        for found in crops[name]
    ]
    return {
        "classes": [
            {
                "name": name,
                "concepts": [
                    {"name": concept, "weight": _short(weight)}
                    for concept, weight in concepts.names[name][: len(crops[name])]
                ],
                "rows": len(crops[name]),
            }
            for name in names
        ],
        "crops": next(iter(crops.values())).shape[1],
        "sprite": make_sprite(np.concatenate(cells), lossless=False),
    }


def _palette(colours: Any) -> list[int]:
    """256 colours, as red, green and blue one after the other, 0 to 255."""
    found = (np.asarray(colours(np.arange(256)))[:, :3] * 255).round()
    return [int(value) for value in found.reshape(-1)]


def _short(value: float) -> float | None:
    """A number with four digits that count; None where it is none."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _rounded(values: Numbers) -> list[float | None]:
    """Numbers with three digits that count."""
    return [float(f"{v:.3g}") if math.isfinite(v) else None for v in values.tolist()]
