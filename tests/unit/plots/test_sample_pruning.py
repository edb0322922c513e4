"""Explainers on copies pruned for each image: what the gain costs in distance from the network."""

import numpy as np
import pandas as pd
import pytest

from sparsight.plots.sample_pruning import sample_pruning_pages
from sparsight.plots.style import figure_style

SETTINGS = {
    "dataset": "birds",
    "model": "cnn",
    "explainers": ["saliency", "all"],
    "metrics": {"pixel_roc_auc": {"direction": "higher"}},
    "confidence": 0.95,
}


def panels_of(shares):
    """Panels of sample pruners that remove these shares, and move predictions by as many nats."""
    rows = [
        {"pruner": "dense", "level": 0, "condition": "clean", "explainer": explainer, "n_seeds": 4,
         "n_images": 20, "metric": "pixel_roc_auc", "sample_pruner": f"of_{i}",
         "difference": 0.01 * i, "difference_low": -0.02, "difference_high": 0.02,
         "images_low": -0.01, "images_high": 0.01, "p_adjusted": 0.5, "against_mean": 0.9,
         "sparsity": share, "divergence": share}
        for i, share in enumerate(shares)
        for explainer in ("saliency", "all")
    ]  # fmt: skip
    names = [f"of_{i}" for i in range(len(shares))]
    with figure_style():
        found = sample_pruning_pages(pd.DataFrame(rows), {**SETTINGS, "sample_pruners": names})
    return [axes for page in found for axes in page.axes]


def test_shares_that_differ_are_shown_by_distance_from_the_network():
    _, doses = panels_of([0.3, 0.6, 0.9])
    assert doses.get_xscale() == "log"
    marks = [
        np.asarray(mark.get_offsets()) for mark in doses.collections if mark.get_gid() == "open"
    ]
    found = np.concatenate(marks)
    assert found[np.argsort(found[:, 0])] == pytest.approx(
        np.array([[0.3, 0], [0.6, 0.01], [0.9, 0.02]])
    )


def test_a_copy_that_has_not_moved_is_shown_at_the_edge():
    _, doses = panels_of([0.0, 0.5])
    low, high = doses.get_xlim()
    assert 0 < low <= 1e-6 < 0.5 < high


def test_equal_shares_have_one_panel():
    assert len(panels_of([0.5, 0.5])) == 1
