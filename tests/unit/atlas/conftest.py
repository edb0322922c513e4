"""A small study, as its files, whose answers can be worked out: three images, one network.

The maps of image 11 turn round at level 1, its prediction flips at level 2. Image 10 never changes.
Image 12 flips at level 1, and its map is constant from then on.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sparsight.analysis.tables import TABLES
from sparsight.atlas.write import Files, write_atlas
from sparsight.concepts.base import RANKING_SCHEMA
from sparsight.io.arrays import write_arrays
from sparsight.io.tables import write_table
from tests.tables import write_rows

IDS = [10, 11, 12]
LABELS = [0, 1, 1]
#: pruner and level to the predictions of the images
PREDICTED = {
    ("dense", 0): [0, 1, 1],
    ("p", 1): [0, 1, 0],
    ("p", 2): [0, 0, 0],
    ("q", 1): [0, 1, 1],
    ("retrain", 1): [0, 1, 1],
}
#: the same to the agreement with the dense network
AGREEMENT = {
    ("p", 1): [0.9, -0.5, np.nan],
    ("p", 2): [0.8, -0.6, np.nan],
    ("q", 1): [0.7, 0.6, 0.7],
    ("retrain", 1): [0.6, 0.5, 0.4],
}
DENSITY = {("dense", 0): 1.0, ("p", 1): 0.5, ("p", 2): 0.1, ("q", 1): 0.12, ("retrain", 1): 1.0}
SETTINGS = {
    "study": "small",
    "networks": [
        {
            "dataset": "shapes",
            "model": "cnn",
            "seeds": [1],
            "conditions": ["clean"],
            "pruners": {"p": 2, "q": 1, "retrain": 1},
            "floors": {"p": ["retrain"], "q": ["retrain"]},
            "explainers": ["cam", "gradient", "edges"],
            "metrics": ["soft_iou"],
            "concepts": ["craft"],
        }
    ],
    "metrics": {"soft_iou": {"direction": "higher", "unit": "share, 0 to 1"}},
    "agreement": {"spearman": {"direction": "higher", "unit": "rank correlation, -1 to 1"}},
    "labels": {"explainer": {"cam": "Grad-CAM at conv2"}, "pruner": {"q": "random"}},
    "reducers": {},
    "entries": {"shapes/cnn": {"explainers": ["cam", "gradient"], "metrics": ["soft_iou"]}},
    "agreement_entries": {"shapes/cnn": {"explainers": ["cam"], "metrics": ["spearman"]}},
}


def maps_at(pruner: str, level: int) -> torch.Tensor:
    """A ramp for each image; image 11's is turned round by p, image 12's is constant."""
    ramp = torch.arange(16.0).reshape(4, 4)
    maps = torch.stack([ramp, ramp.clone(), ramp.clone()])
    if pruner == "p":
        maps[1] = ramp.flip(0, 1)
        maps[2] = 0.25
    return maps


def write_explanations(path: Path, maps: dict[str, torch.Tensor], signed: dict[str, bool]) -> None:
    tensors = {f"{name}/clean": values for name, values in maps.items()}
    ids = {"image_ids": torch.tensor(IDS), "predictions/clean": torch.tensor(LABELS)}
    facts = {name: {"signed": value} for name, value in signed.items()}
    metadata = {"explainers": json.dumps(facts), "target": "dense_predicted"}
    write_arrays(path, {**tensors, **ids}, metadata)


def write_scores(
    path: Path, place: tuple[str, int], values: dict[tuple[str, str], list[float]]
) -> None:
    rows = pd.DataFrame(
        {"explainer": explainer, "metric": metric, "image_id": image_id, "value": value}
        for (explainer, metric), of_images in values.items()
        for image_id, value in zip(IDS, of_images, strict=True)
    )
    whole = rows.assign(
        study="small", dataset="shapes", model="cnn", pruner=place[0], seed=1, level=place[1],
        density=DENSITY[place], condition="clean", step=-1, empty=False, bits=32, target=0, label=0,
        predicted=0,
        correct=[PREDICTED[place][IDS.index(i)] == LABELS[IDS.index(i)] for i in rows["image_id"]],
    )  # fmt: skip
    schema = TABLES["scores"].arrow_schema()
    table = pa.Table.from_pandas(whole[schema.names], schema=schema, preserve_index=False)
    write_table(path, table)


def write_concepts(folder: Path, level: int) -> tuple[Path, Path]:
    """Two concepts of each class, with two crops each; level 2 has other ones."""
    pruner = "p" if level else "dense"
    rows = [
        ("craft", label, f"{label}_{pruner}_{rank}", rank, 1 / rank, 0.1)
        for label in ("disc", "cross")
        for rank in (1, 2)
    ]
    columns = dict(zip(RANKING_SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True))
    identity = {"study": "small", "dataset": "shapes", "model": "cnn", "pruner": pruner,
                "seed": "1", "level": str(level), "density": str(DENSITY[pruner, level]),
                "concept": "craft", "method": "craft"}  # fmt: skip
    table, arrays = (folder / f"craft{level}.{end}" for end in ("parquet", "safetensors"))
    write_table(table, pa.table(columns, schema=RANKING_SCHEMA), identity)
    # the first pixel of each crop tells class, rank and crop
    crops = torch.arange(1, 9, dtype=torch.uint8).reshape(2, 2, 2, 1, 1, 1) * 30
    crops = crops.expand(2, 2, 2, 3, 6, 6).contiguous()
    pictures, heat = crops[:, 0, :1].clone(), torch.rand(2, 2, 1, 4, 4)
    write_arrays(arrays, {"top_crops": crops, "pictures": pictures, "heat_maps": heat})
    return table, arrays


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, dict]:
    """The files of the study, and the settings of its atlas."""
    folder = tmp_path_factory.mktemp("study")
    packed = folder / "shapes" / "test.safetensors"
    images = torch.arange(3 * 16, dtype=torch.uint8).reshape(3, 1, 4, 4) * 5
    write_arrays(
        packed,
        {"images": images, "labels": torch.tensor(LABELS), "image_ids": torch.tensor(IDS),
         "evaluation_rank": torch.tensor([1, 0, 2])},
        {"dataset": "shapes", "split": "test", "classes": json.dumps(["disc", "cross"]),
         "has_masks": "false", "data_hash": "0", "noise_maximum": "0"},
    )  # fmt: skip
    given: dict[str, list] = {name: [] for name in ("predictions", "explanations", "scores")}
    agreement, evaluations = [], []
    for place, predicted in PREDICTED.items():
        own = folder / f"{place[0]}{place[1]}"
        given["predictions"].append(own / "predictions.parquet")
        frame = {
            "image_id": IDS,
            "condition": ["clean"] * 3,
            "label": LABELS,
            "predicted": predicted,
            "margin": [1.0] * 3,
            "probability": [0.9, 0.8, 0.7],
        }
        write_table(given["predictions"][-1], frame)
        given["explanations"].append(own / "cam.safetensors")
        maps = maps_at(*place)
        write_explanations(
            given["explanations"][-1],
            {"cam": maps, "gradient": maps - 5},
            {"cam": False, "gradient": True},
        )
        given["scores"].append(own / "scores.parquet")
        write_scores(given["scores"][-1], place, {("cam", "soft_iou"): [0.1, 0.2, 0.3]})
        if place in AGREEMENT:
            agreement.append(own / "agreement.parquet")
            write_scores(agreement[-1], place, {("cam", "spearman"): AGREEMENT[place]})
        correct = np.mean([p == of for p, of in zip(predicted, LABELS, strict=True)])
        for metric, value in (
            ("accuracy", correct), ("density_prunable", DENSITY[place]), ("bits", 32.0)
        ):  # fmt: skip
            split, condition = ("test", "clean") if metric == "accuracy" else ("", "")
            evaluations.append(
                {"study": "small", "dataset": "shapes", "model": "cnn", "pruner": place[0],
                 "seed": 1, "level": place[1], "split": split, "condition": condition,
                 "metric": metric, "value": value}
            )  # fmt: skip
    write_rows("evaluations", folder / "evaluations.parquet", pd.DataFrame(evaluations))
    controls = folder / "controls.safetensors"
    write_explanations(controls, {"edges": torch.rand(3, 4, 4)}, {"edges": False})
    places = [["shapes", "cnn", pruner, 1, level] for pruner, level in PREDICTED]
    concepts = [write_concepts(folder, level) for level in (0, 2)]
    described = [["shapes", "cnn", pruner, 1, level, "craft"] for pruner, level in
                 (("dense", 0), ("p", 2))]  # fmt: skip
    settings = {**SETTINGS, "checkpoints": places, "explained": places, "controls": ["shapes"],
                "described": described}  # fmt: skip
    found = Files.of(
        settings,
        folder / "evaluations.parquet",
        packed=[packed],
        **given,
        controls=[controls],
        agreement=agreement,
        concepts=[table for table, _ in concepts],
        concept_arrays=[arrays for _, arrays in concepts],
    )
    return found, settings


@pytest.fixture(scope="session")
def atlas(files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the atlas of the study."""
    folder = tmp_path_factory.mktemp("atlas") / "atlas"
    write_atlas(files[0], folder, files[1])
    return folder
