"""Which networks rest on a fit that had not converged."""

import pandas as pd

from sparsight.analysis.concepts import convergence, convergence_warnings, unconverged


def rows(concept: str, values: list[float], measure: str = "converged") -> pd.DataFrame:
    """One network of a pruner for each value, and their mean."""
    place = {"dataset": "birds", "model": "cnn", "pruner": "magnitude", "level": 1}
    named = {"concept": concept, "kind": "found", "measure": measure}
    whole = [{**place, **named, "seed": str(seed), "value": v} for seed, v in enumerate(values)]
    return pd.DataFrame([*whole, {**whole[0], "seed": "mean", "value": 0.5}])


def test_every_method_with_a_fit_that_did_not_converge_is_named_once() -> None:
    table = pd.concat(
        [
            rows("pcbm", [1.0, 0.0, 0.0]),
            rows("predictor", [1.0, 1.0]),
            rows("cav", [0.0], "concept_accuracy"),
            rows("other", [float("nan")]),
        ]
    )
    assert convergence(table)["converged"].tolist() == [True, False, False, True, True]
    (warning,) = convergence_warnings(table)
    for part in ("pcbm", "birds", "cnn", "2 of 3", "iterations"):
        assert part in warning


def test_only_the_networks_of_a_claim_count() -> None:
    table = rows("pcbm", [1.0, 0.0, 0.0])
    where = ("birds", "cnn")
    assert unconverged(table, *where, {"magnitude"}, {"pcbm"}).startswith("2 of 3 ")
    assert unconverged(table, *where, {"random"}, {"pcbm"}) == ""
    assert unconverged(table, *where, {"magnitude"}, {"cav"}) == ""
    assert unconverged(table, "digits", "cnn", {"magnitude"}, {"pcbm"}) == ""
