"""Small hand-made studies: evaluations, scores and statistics of a few checkpoints."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparsight.io.tables import write_table
from tests.tables import write_statistics

WriteEvaluation = Callable[..., Path]
WriteScores = Callable[..., Path]
WriteChains = Callable[..., list[Path]]


@pytest.fixture
def write_evaluation(tmp_path: Path) -> WriteEvaluation:
    """Write one `evaluation.json`; keyword arguments override its identity and numbers."""

    def write(
        pruner: str = "dense",
        level: int = 0,
        seed: int = 1,
        accuracy: float = 0.9,
        density: float = 1.0,
        model: str = "cnn",
        study: str = "demo",
        splits: dict[str, Any] | None = None,
    ) -> Path:
        performance = {
            "accuracy": accuracy,
            "balanced_accuracy": accuracy,
            "auroc": None,
            "loss": 1.0 - accuracy,
            "images": 100,
        }
        content = {
            "study": study,
            "dataset": "digits",
            "model": model,
            "pruner": pruner,
            "seed": seed,
            "level": level,
            "splits": splits or {"test": {"clean": performance}},
            "density": {
                "prunable": density,
                "all_parameters": density,
                "layers": {"conv": density},
            },
            "surviving": round(1000 * density),
            "prunable": 1000,
        }
        folder = tmp_path / study / model / f"seed{seed}" / pruner / f"level{level:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "evaluation.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def write_scores(tmp_path: Path) -> WriteScores:
    """Write one score file from rows (explainer, metric, image_id, correct, value[, step]).

    Maps of images in `empty` are empty.
    """

    def write(
        rows: Sequence[Sequence[Any]],
        pruner: str = "dense",
        level: int = 0,
        seed: int = 1,
        density: float = 1.0,
        model: str = "cnn",
        study: str = "demo",
        family: str = "cam",
        condition: str = "clean",
        metadata: Mapping[str, str] | None = None,
        empty: Collection[int] = (),
    ) -> Path:
        count = len(rows)
        columns = {
            "study": [study] * count,
            "dataset": ["digits"] * count,
            "model": [model] * count,
            "pruner": [pruner] * count,
            "seed": [seed] * count,
            "level": [level] * count,
            "density": [density] * count,
            "explainer": [row[0] for row in rows],
            "condition": [condition] * count,
            "target": [0] * count,
            "image_id": [row[2] for row in rows],
            "label": [0] * count,
            "predicted": [0 if row[3] else 1 for row in rows],
            "correct": [bool(row[3]) for row in rows],
            "empty": [row[2] in empty for row in rows],
            "metric": [row[1] for row in rows],
            "step": [row[5] if len(row) > 5 else -1 for row in rows],
            "value": [float(row[4]) for row in rows],
        }
        folder = tmp_path / study / model / f"seed{seed}" / pruner / f"level{level:02d}" / "scores"
        path = folder / f"{family}.parquet"
        write_table(path, columns, metadata)
        return path

    return write


#: replicates of a mean are it plus these times the row's `spread`: the limits of 50% are ±0.01
OFFSETS = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])


@pytest.fixture
def write_chains(tmp_path: Path) -> WriteChains:
    """Write `statistics.parquet` of each chain from rows; returns their paths.

    A row has seed, level, mean, and what differs from the defaults below; `spread` (default 1) and
    `replicates` say how it was resampled.
    """

    def write(rows: Sequence[Mapping[str, Any]]) -> list[Path]:
        usual = {
            **{"study": "demo", "dataset": "digits", "model": "cnn", "pruner": "magnitude"},
            **{"explainer": "cam", "condition": "clean", "metric": "iou", "subset": "all"},
            **{"n": 100, "undefined": 0, "spread": 1.0, "replicates": None},
        }
        frame = pd.DataFrame([{**usual, "density": 0.5 ** row["level"], **row} for row in rows])
        frame["checkpoint_pruner"] = frame["pruner"].where(frame["level"] > 0, "dense")
        paths = []
        for (pruner, seed), chain in frame.groupby(["pruner", "seed"]):
            replicates = [
                row.mean + row.spread * OFFSETS if row.replicates is None else row.replicates
                for row in chain.assign(mean=chain["mean"].astype(float)).itertuples()
            ]
            path = tmp_path / f"{chain['study'].iloc[0]}__seed{seed}__{pruner}.parquet"
            columns = chain.drop(columns=["spread", "replicates"])
            write_statistics(path, columns, np.array(replicates, dtype=np.float32), 0)
            paths.append(path)
        return paths

    return write
