"""Sample-targeted pruning from the configuration through every rule, on stickered shapes."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from sparsight.io.arrays import read_arrays
from tests.workflow.conftest import PARTS, copy_of
from tests.workflow.project import Project

ROOT = Path(__file__).parents[2]
RECIPE = {
    "epochs": 3,
    "batch_size": 32,
    "optimiser": {"name": "adamw", "learning_rate": 0.005, "weight_decay": 0.01},
}
SAMPLE = {"augmentations": 16, "batch_size": 16}
STUDY = {
    "study": "spade",
    "datasets": ["few_stickers"],
    "models": ["small"],
    "pruners": ["short"],
    "seeds": [0],
    "explainers": ["saliency", "grad_cam_layer2", "control_edges"],
    "metrics": ["pixel_roc_auc", "deletion"],
    "agreement": [],
    "explaining": {
        "conditions": ["clean"],
        "target": "true",
        "images": 6,
        "batch_size": 3,
        "levels": "all",
    },
    "families": {"gradient": {"levels": "all"}},
    "sample_pruning": {
        "pruners": ["exact", "fast", "small_first", "any"],
        "images": 6,
        "batch_size": 3,
        "levels": [0, 1],
        "visualised": {"classes": 1, "sample_pruner": "fast", "steps": 4, "crops": 2},
    },
    "claims": [
        {
            **{"name": "gain", "claim": "It gains.", "test": "between_explainers"},
            **{"pruner": "short", "explainer": "fast__saliency", "metric": "pixel_roc_auc"},
            **{"other_explainer": "saliency", "published": 0.05},
        }
    ],
    "catalogue": {
        "datasets": {
            "few_shapes": {
                "source": "shapes",
                "options": {
                    "size": 32,
                    "split": {"train": 240, "validation": 0, "test": 40, "seed": 0},
                },
                "noise": {"maximum": 0},
            },
            "few_stickers": {
                "base": "few_shapes",
                "trojan": {
                    "stickers": {"smiley": 0, "heart": 1},
                    "share": 0.3,
                    "size": [0.25, 0.35],
                    "test": 6,
                },
            },
        },
        "models": {
            "small": {
                "architecture": "resnet18",
                "options": {"width": 4, "stem": "strided"},
                "retraining": RECIPE,
            }
        },
        "pruners": {
            "short": {
                "criterion": "magnitude",
                "scope": "layer",
                "densities": [0.5],
                "rewind": "none",
            }
        },
        "explainers": {
            "grad_cam_layer2": {
                "family": "cam",
                "method": "grad_cam",
                "parameters": {"layer": "layer2"},
            }
        },
        "sample_pruners": {
            "fast": {
                "solver": "obs_fast",
                "sparsities": {
                    "search": {"criterion": "ground_truth", "images": 2, "grid": [0, 0.8]}
                },
                **SAMPLE,
            },
            "exact": {"solver": "obs_exact", "sparsities": {"as": "fast"}, **SAMPLE},
            "small_first": {"solver": "magnitude", "sparsities": {"as": "fast"}, **SAMPLE},
            "any": {"solver": "random", "sparsities": {"constant": 0.9}, **SAMPLE},
        },
    },
}
DENSE = "results/spade/few_stickers/small/seed0/dense/level00"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The study after everything about pruned copies was made."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("spade") / "project", PARTS)
    project.configure(**STUDY)
    project.run(
        "--cores",
        "2",
        "results/spade/summary/sample_pruning.csv",
        "results/spade/summary/claims.csv",
        "results/spade/figures/sample_pruning/few_stickers__small.png",
        "results/spade/figures/visualisation/few_stickers__small.png",
    )
    return project


def rows_of(project: Project) -> list[dict[str, str]]:
    path = project.folder / "results/spade/summary/sample_pruning.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_pair_has_a_row_at_every_level(ran: Project) -> None:
    rows = rows_of(ran)
    found = {
        (r["level"], r["explainer"], r["sample_pruner"], r["against"], r["metric"]) for r in rows
    }
    order = STUDY["sample_pruning"]["pruners"]
    expected = {
        (level, explainer, own, against, metric)
        for level in ("0", "1")
        for explainer in ("saliency", "grad_cam_layer2", "all")
        for index, own in enumerate(order)
        for against in ("unpruned", *order[index + 1 :])
        for metric in ("pixel_roc_auc", "deletion")
    }
    assert found == expected
    assert {r["n_images"] for r in rows if r["metric"] == "pixel_roc_auc"} == {"6"}


def test_controls_have_the_sparsities_that_were_searched_for(ran: Project) -> None:
    searched = json.loads((ran.folder / DENSE / "spade/fast_sparsities.json").read_text())
    assert searched["split"] == "train"
    assert set(searched["sparsities"].values()) <= {0.0, 0.8}
    measured = {}
    for name in ("fast", "exact", "small_first"):
        table = pq.read_table(ran.folder / DENSE / f"spade/{name}__gradient.parquet")
        (measured[name],) = set(table["sparsity"].to_pylist())
    assert measured["exact"] == measured["fast"] == measured["small_first"]
    table = pq.read_table(ran.folder / DENSE / "spade/any__gradient.parquet")
    # floor of nine tenths in every layer
    assert all(0.88 < share <= 0.9 for share in table["sparsity"].to_pylist())


def test_calibration_images_are_none_of_the_explained_ones(ran: Project) -> None:
    searched = json.loads((ran.folder / DENSE / "spade/fast_sparsities.json").read_text())
    explained = pq.read_table(ran.folder / DENSE / "scores/fast__gradient.parquet")
    assert not set(searched["image_ids"]) & set(explained["image_id"].to_pylist())


def test_families_of_one_sample_pruner_run_on_equal_copies(ran: Project) -> None:
    tables = [
        pq.read_table(ran.folder / DENSE / f"spade/fast__{family}.parquet").drop_columns(["family"])
        for family in ("gradient", "cam")
    ]
    assert tables[0].equals(tables[1])


def test_the_claim_and_the_figure_are_there(ran: Project) -> None:
    with (ran.folder / "results/spade/summary/claims.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["explainer"] == "fast__saliency"
    figure = ran.folder / "results/spade/figures/sample_pruning/few_stickers__small.png"
    assert figure.stat().st_size > 10_000


def test_a_class_with_a_sticker_is_visualised(ran: Project) -> None:
    found = read_arrays(ran.folder / DENSE / "spade/visualisation.safetensors")
    assert found["pictures"].shape == (1, 3, 3, 32, 32)
    assert found["labels"].tolist() == [0]
    stickered, clean = found["image_ids"][0].tolist()
    assert stickered >= 10**12 > clean
    pictures = found["pictures"][0]
    assert not torch.equal(pictures[0], pictures[1])
    figure = ran.folder / "results/spade/figures/visualisation/few_stickers__small.png"
    assert figure.stat().st_size > 10_000
