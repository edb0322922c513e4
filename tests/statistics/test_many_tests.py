"""Corrections for many tests that depend on each other, as metrics of one explainer do."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from sparsight.analysis.statistics import benjamini_hochberg, one_sample_t

TRUE, FALSE, SEEDS, TRIALS = 5, 15, 5, 600


@pytest.fixture(autouse=True)
def _light_collections() -> Iterator[None]:
    """statsmodels collects garbage in every call: let it look at little."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def p_of_one_study(rng: np.random.Generator) -> list[float]:
    """p of 20 metrics over five networks that share half of their variance; 5 have an effect."""
    shared = rng.standard_normal((SEEDS, 1))
    values = np.sqrt(0.5) * (shared + rng.standard_normal((SEEDS, TRUE + FALSE)))
    values[:, :TRUE] += 4.0
    return [one_sample_t(column).p for column in values.T]


def test_benjamini_hochberg_under_positive_dependence(simulated):
    rng = np.random.default_rng(0)
    p = np.array([p_of_one_study(rng) for _ in range(TRIALS)])
    corrected = {
        "uncorrected": p < 0.05,
        "Benjamini-Hochberg": np.array([benjamini_hochberg(row) for row in p]) < 0.05,
    }
    any_false = {name: found[:, TRUE:].any(axis=1) for name, found in corrected.items()}
    power = {name: found[:, :TRUE].mean() for name, found in corrected.items()}
    what = "family-wise error of 20 tests, 15 of nothing: "
    simulated.between(f"{what}uncorrected", any_false["uncorrected"], 0.2, 0.5)

    found = corrected["Benjamini-Hochberg"]
    share = found[:, TRUE:].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    # whether a discovery drawn at random from a study's is false: its rate is the mean share
    drawn = rng.random(TRIALS) < share
    bound = 0.05 * FALSE / (TRUE + FALSE)
    simulated.at_most("false discoveries among those of Benjamini-Hochberg", drawn, bound)
    error = share.std(ddof=1) / np.sqrt(TRIALS)
    assert share.mean() <= bound + 3.7 * error
    # it is not bought by finding nothing
    assert power["Benjamini-Hochberg"] > 0.5
