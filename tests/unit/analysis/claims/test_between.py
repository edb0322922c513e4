"""One pruner against another at the same levels, worked out on paper."""

import math

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, ChainRows
from sparsight.io.errors import InputError

RIGHT, IOU = (ACCURACY_ROWS, ACCURACY, "all"), ("cam", "iou", "all")
OWN = [[0.9, 0.8, 0.6], [0.9, 0.8, 0.8], [0.9, 0.9, 0.9]]
OTHER = [[0.9, 0.7, 0.3], [0.9, 0.6, 0.4], [0.9, 0.6, 0.6]]


def evidence(curves, claim, other, spread=0.0, table=OWN, rows=RIGHT):
    parts = [curves({rows: table}), curves({rows: other}, spread=spread, pruner="buggy")]
    whole = ChainRows(
        pd.concat([part.frame for part in parts], ignore_index=True),
        np.concatenate([part.replicates for part in parts]),
    )
    return CLAIMS.load("between_pruners")(claim).evidence(ClaimCurves(whole, claim))


def about(claim, levels=(1, 2), **keys):
    found = claim("between_pruners", other_pruner="buggy", levels=list(levels), **keys)
    return {"of": "accuracy", **found}


@pytest.mark.parametrize("expected", ["positive", "negative"])
def test_accuracy_paired_by_seed(curves, claim, p_above, expected):
    found = evidence(curves, about(claim, expected=expected), OTHER)
    # .7 - .5, .8 - .5, .9 - .6
    assert found.values.tolist() == pytest.approx([0.2, 0.3, 0.3])
    # mean .8 / 3, standard error sqrt(1 / 3) / 10 / sqrt(3) = .1 / 3
    p = p_above(8)
    ps = (p, 1 - p) if expected == "positive" else (1 - p, p)
    assert (found.p_for, found.p_against) == pytest.approx(ps)
    assert found.statistic == "accuracy at levels 1 to 2 under magnitude minus that under buggy"
    assert found.remark == "0.8 and 0.533"
    assert found.columns == {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
    assert found.replicates.tolist() == pytest.approx([0.8 / 3] * 3)


def test_the_draws_of_both_pruners_are_paired(curves, claim):
    found = evidence(curves, about(claim), OTHER, spread=0.1)
    # the other pruner is .1 lower, equal and .1 higher in the three draws
    assert found.replicates.tolist() == pytest.approx([0.8 / 3 + 0.1, 0.8 / 3, 0.8 / 3 - 0.1])


def test_a_single_level_of_a_metric(curves, claim):
    found = evidence(curves, about(claim, levels=(2, 2), of="iou"), OTHER, rows=IOU)
    assert found.values.tolist() == pytest.approx([0.3, 0.4, 0.3])
    assert found.statistic.startswith("iou at level 2 under")
    assert found.columns == {"metric": "iou"}


def test_a_level_that_one_of_them_lacks_makes_it_undefined(curves, claim):
    found = evidence(curves, about(claim), [row[:2] for row in OTHER])
    assert np.isnan(found.values).all()
    assert math.isnan(found.p_for)
    assert found.remark == "0.8 and undefined"


def test_seeds_that_cannot_be_paired(curves, claim):
    with pytest.raises(InputError, match="seeds are \\[1, 2\\], not \\[1, 2, 3\\]"):
        evidence(curves, about(claim), OTHER[:2])
