"""Pruning for the sample against the network itself: pairing, controls, fidelity, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.sample_pruning import (
    FIDELITY_SCHEMA,
    read_fidelity,
    summarise_sample_pruning,
)
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table
from tests.tables import write_bits

from .conftest import WriteScores

PAIRS = {
    "fast__saliency": ["fast", "saliency"],
    "fast__lime": ["fast", "lime"],
    "magnitude__saliency": ["magnitude", "saliency"],
    "magnitude__lime": ["magnitude", "lime"],
}
SETTINGS = {
    "pairs": PAIRS,
    "sample_pruners": ["fast", "magnitude"],
    "reducers": {},
    "statistics": {"replicates": 200, "bootstrap_seed": 0, "confidence": 0.95},
}
WriteFidelity = Callable[..., Path]


@pytest.fixture
def write_fidelity(tmp_path: Path) -> WriteFidelity:
    """Write one file of fidelity from rows (image_id, same_prediction, divergence)."""

    def write(rows: list[tuple[int, bool, float]], pruner: str, family: str, seed: int = 1) -> Path:
        names = {"dataset": "digits", "model": "cnn", "pruner": "dense", "seed": seed, "level": 0}
        names |= {"sample_pruner": pruner, "family": family, "condition": "clean"}
        records = [
            {**names, "image_id": i, "same_prediction": s, "divergence": d,
             "probability_kept": 0.5, "sparsity": 0.9}
            for i, s, d in rows
        ]  # fmt: skip
        frame = pd.DataFrame(records)[FIDELITY_SCHEMA.names]
        path = tmp_path / f"fidelity_{pruner}_{family}_{seed}.parquet"
        write_table(path, {name: frame[name].tolist() for name in frame})
        return path

    return write


def table(paths: list[Path], fidelities: list[Path], tmp_path: Path) -> pd.DataFrame:
    output = tmp_path / "sample_pruning.csv"
    evaluations = write_bits(tmp_path, ("digits", "cnn", "dense", 1, 0, 4))
    summarise_sample_pruning(paths, fidelities, evaluations, output, SETTINGS)
    return pd.read_csv(output)


def scores_of(values: dict[str, list[float]], first: int = 0) -> list[list[Any]]:
    """Rows of one metric: explainer to values of images `first` and following."""
    return [
        [name, "auc", first + i, True, value]
        for name, some in values.items()
        for i, value in enumerate(some)
    ]


def test_differences_are_taken_image_by_image_over_the_images_that_both_have(
    write_scores: WriteScores, tmp_path: Path
) -> None:
    own = scores_of({"saliency": [0.1, 0.2, 0.3, 0.9, 0.5, 0.5, 0.5]})
    # Image 0 is missing on the copies; image 7 on the network itself.
    copies = scores_of({"fast__saliency": [0.4, 0.5, 0.7, 0.5, 0.6, 0.6, 0.0]}, first=1)
    paths = [
        write_scores(own, family="gradient"),
        write_scores(copies, family="fast__gradient"),
    ]
    found = table(paths, [], tmp_path)
    assert list(found.columns) == TABLES["sample_pruning"].names
    row = found[found["against"] == "unpruned"].iloc[0]
    # 0.4-0.2, 0.5-0.3, 0.7-0.9, 0, 0.1, 0.1
    assert row["n_images"] == 6
    assert row["bits"] == 4
    assert row["difference"] == pytest.approx(0.4 / 6)
    assert row["mean"] == pytest.approx(3.3 / 6)
    assert row["against_mean"] == pytest.approx(2.9 / 6)
    assert row["images_up"] == pytest.approx(4 / 6)
    assert row["images_down"] == pytest.approx(1 / 6)
    assert row["images_low"] < row["difference"] < row["images_high"]
    assert np.isnan(row["p"])


def test_an_undefined_score_leaves_its_image_out_of_the_pair(
    write_scores: WriteScores, tmp_path: Path
) -> None:
    paths = [
        write_scores(scores_of({"saliency": [0.5, float("nan"), 0.5]}), family="gradient"),
        write_scores(scores_of({"fast__saliency": [0.6, 1.0, 0.8]}), family="fast__gradient"),
    ]
    row = table(paths, [], tmp_path).iloc[0]
    assert row["n_images"] == 2
    assert row["difference"] == pytest.approx(0.2)


def test_networks_are_the_unit_of_the_test(write_scores: WriteScores, tmp_path: Path) -> None:
    paths = []
    for seed, gain in ((1, 0.1), (2, 0.2), (3, 0.3)):
        paths += [
            write_scores(scores_of({"saliency": [0.5, 0.6] * 3}), family="gradient", seed=seed),
            write_scores(
                scores_of({"fast__saliency": [0.5 + gain, 0.6 + gain] * 3}),
                family="fast__gradient",
                seed=seed,
            ),
        ]
    row = table(paths, [], tmp_path).iloc[0]
    assert row["n_seeds"] == 3
    assert row["difference"] == pytest.approx(0.2)
    # t = 0.2 / (0.1 / sqrt 3) = 3.4641 with two degrees of freedom
    assert row["p"] == pytest.approx(0.07418, abs=1e-5)
    assert row["difference_low"] == pytest.approx(0.2 - 4.30265 * 0.1 / 3**0.5, abs=1e-5)
    assert row["effect_size"] == pytest.approx(2.0)
    # Both images gain alike, so that other images change nothing.
    assert row["images_low"] == pytest.approx(row["images_high"])


def test_a_targeted_choice_is_held_against_its_controls_and_all_explainers_are_averaged(
    write_scores: WriteScores, tmp_path: Path
) -> None:
    paths = [
        write_scores(scores_of({"saliency": [0.1, 0.1]}), family="gradient"),
        write_scores(scores_of({"lime": [0.3, 0.5]}), family="perturbation"),
        write_scores(scores_of({"fast__saliency": [0.5, 0.5]}), family="fast__gradient"),
        write_scores(scores_of({"fast__lime": [0.3, 0.3]}), family="fast__perturbation"),
        write_scores(scores_of({"magnitude__saliency": [0.4, 0.2]}), family="magnitude__gradient"),
        write_scores(scores_of({"magnitude__lime": [0.1, 0.1]}), family="magnitude__perturbation"),
    ]
    found = table(paths, [], tmp_path).set_index(["explainer", "sample_pruner", "against"])
    assert found.loc[("saliency", "fast", "magnitude"), "difference"] == pytest.approx(0.2)
    assert found.loc[("all", "fast", "unpruned"), "difference"] == pytest.approx((0.4 - 0.1) / 2)
    assert found.loc[("all", "fast", "magnitude"), "mean"] == pytest.approx(0.4)
    assert ("saliency", "magnitude", "fast") not in found.index


def test_fidelity_of_the_copies_stands_beside_each_number(
    write_scores: WriteScores, write_fidelity: WriteFidelity, tmp_path: Path
) -> None:
    paths = [
        write_scores(scores_of({"saliency": [0.1, 0.1]}), family="gradient"),
        write_scores(scores_of({"fast__saliency": [0.5, 0.5]}), family="fast__gradient"),
        write_scores(scores_of({"magnitude__saliency": [0.5, 0.5]}), family="magnitude__gradient"),
    ]
    fidelities = [
        write_fidelity([(0, True, 0.0), (1, False, 1.0)], "fast", "fast__gradient"),
        # A second family on equal copies changes nothing.
        write_fidelity([(0, True, 0.0), (1, False, 1.0)], "fast", "fast__perturbation"),
        write_fidelity([(0, False, 4.0), (1, False, 2.0)], "magnitude", "magnitude__gradient"),
    ]
    assert len(read_fidelity(fidelities)) == 4
    found = table(paths, fidelities, tmp_path).set_index(["sample_pruner", "against"])
    assert found.loc[("fast", "unpruned"), "same_prediction"] == pytest.approx(0.5)
    assert found.loc[("fast", "unpruned"), "divergence"] == pytest.approx(0.5)
    assert found.loc[("magnitude", "unpruned"), "divergence"] == pytest.approx(3.0)
    assert found.loc[("magnitude", "unpruned"), "same_prediction"] == 0.0


def test_an_explainer_without_its_scores_on_the_network_is_refused(
    write_scores: WriteScores, tmp_path: Path
) -> None:
    paths = [write_scores(scores_of({"fast__saliency": [0.5]}), family="fast__gradient")]
    with pytest.raises(
        InputError, match=r"saliency was scored on pruned copies of cnn on digits \(seed 1"
    ):
        table(paths, [], tmp_path)
    assert not (tmp_path / "sample_pruning.csv").exists()


def test_a_file_of_something_else_is_no_fidelity(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_table(path, {"image_id": [1]})
    with pytest.raises(InputError, match=r"x\.parquet has no column 'dataset'"):
        read_fidelity([path])
