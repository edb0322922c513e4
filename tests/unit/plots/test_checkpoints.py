"""What the figure of every checkpoint draws."""

import numpy as np
import pandas as pd
import pytest

from sparsight.io.errors import InputError
from sparsight.plots.checkpoints import checkpoints_pages, run, with_loss
from tests.tables import write_rows
from tests.unit.plots.conftest import PRUNERS

PLACE = {"dataset": "digits", "model": "cnn", "condition": "noisy"}
EXPLAINERS = ("mean_activation", "saliency", "cam")


@pytest.fixture
def settings(settings):
    return {**settings, "metric": "ssim", "pruners": PRUNERS}


def accuracy(pruner, seed, level):
    place = [*PRUNERS, "retrain"].index(pruner)
    return 0.9 - 0.01 * seed - (0.01 * (place + 1) * level if pruner != "retrain" else -0.005)


@pytest.fixture
def agreement():
    """Two networks of each pruner at two levels, their means, and a floor."""
    rows = [
        {**PLACE, "pruner": pruner, "seed": seed, "level": level, "explainer": explainer,
         "metric": "ssim", "reference": reference, "mean": 0.9 - 0.1 * level - 0.01 * number}
        for pruner in [*PRUNERS, "retrain"]
        for seed in ("0", "1", "mean")
        for level in (1, 2)
        for number, explainer in enumerate(EXPLAINERS)
        for reference in ("dense_parent", "seed_floor")
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def evaluations(tmp_path):
    checkpoints = [("dense", seed, 0, 0.9 - 0.01 * seed) for seed in (0, 1)]
    checkpoints += [
        (pruner, seed, level, accuracy(pruner, seed, level))
        for pruner in [*PRUNERS, "retrain"]
        for seed in (0, 1)
        for level in (1, 2)
    ]
    rows = [
        {"study": "s", "dataset": "digits", "model": "cnn", "pruner": pruner, "seed": seed,
         "level": level, "split": split, "condition": condition, "metric": metric, "value": value}
        for pruner, seed, level, right in checkpoints
        for split, condition, metric, value in (
            ("test", "noisy", "accuracy", right),
            ("train", "noisy", "accuracy", 1.0),
            ("", "", "density_prunable", 0.5**level),
        )
    ]  # fmt: skip
    path = tmp_path / "evaluations.parquet"
    write_rows("evaluations", path, pd.DataFrame(rows))
    return path


def test_each_network_stands_by_what_it_has_lost_of_its_own_parent(agreement, evaluations):
    rows = with_loss(agreement[agreement["reference"] == "dense_parent"], evaluations)
    assert len(rows) == 15 * 2 * 2 * 3
    found = rows[(rows["pruner"] == PRUNERS[3]) & (rows["level"] == 2)]
    np.testing.assert_allclose(found["lost"], 8)
    np.testing.assert_allclose(rows.loc[rows["pruner"] == "retrain", "lost"], -0.5)


def test_a_mark_for_each_checkpoint_and_a_look_for_each_pruner(settings, agreement, evaluations):
    of_parent = agreement[agreement["reference"] == "dense_parent"]
    (figure,) = checkpoints_pages(with_loss(of_parent, evaluations), settings)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["cam", "mean_activation (control)", "saliency"]
    for axes in figure.axes:
        (marks,) = axes.collections
        assert len(marks.get_offsets()) == 15 * 2 * 2
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*PRUNERS, "retrain"]


def test_the_files_are_whole_and_equal(settings, agreement, evaluations, tmp_path, check_draw):
    path = tmp_path / "agreement.csv"
    write_rows("agreement", path, agreement)

    def draw(outputs):
        run(path, evaluations, outputs[0], outputs[-1], settings)

    check_draw(draw)
    with pytest.raises(InputError, match="iou"):
        run(
            path, evaluations, tmp_path / "a.svg", tmp_path / "a.png", {**settings, "metric": "iou"}
        )
