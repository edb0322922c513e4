"""Claims about concepts, worked out on paper."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from sparsight.analysis.claims.base import ClaimCurves, sign_test
from sparsight.analysis.claims.decide import check_claims
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.tables import read
from sparsight.io.errors import InputError
from tests.tables import write_rows, write_statistics

ROOT3 = math.sqrt(3.0)
LEVELS = {"levels": [1, 2], "concept": "pcbm", "measure": "accuracy"}
DRIFT = {**LEVELS, "measure": "jaccard", "expected": "negative", "floor": "retrain"}


def table_of(**measures):
    """Rows of `concepts.csv`: measure to pruner to values [seeds, levels from 0 or 1]."""
    rows = []
    for measure, pruners in measures.items():
        kind = "compared" if measure == "jaccard" else "found"
        for pruner, values in pruners.items():
            for seed, row in enumerate(values, start=1):
                for level, value in enumerate(row, start=0 if pruner == "dense" else 1):
                    place = {"dataset": "digits", "model": "cnn", "pruner": pruner}
                    rows.append(
                        {
                            **place,
                            **{"level": level, "concept": "pcbm", "method": "bottleneck"},
                            **{"kind": kind, "measure": measure, "class": "", "value": value},
                            **{"concept_label": "", "seed": str(seed), "density": 0.5},
                        }
                    )
    return pd.DataFrame(rows)


DENSE = [[0.9], [0.8], [0.7]]
# over two levels minus dense: -0.1, -0.2, -0.3
PRUNED = [[0.8, 0.8, 0.0], [0.7, 0.5, 0.0], [0.4, 0.4, 0.0]]
ACCURACY = {"dense": DENSE, "magnitude": PRUNED, "retrain": [[0.9], [0.7], [0.6]]}


@pytest.fixture
def evidence(curves, claim):
    """Function from a test, its keys, and tables of concepts and of orders to the evidence."""

    def find(test, table, orders=None, **keys):
        chains = [curves({("cam", "iou", "all"): [[0, 1]] * 3}, pruner=p) for p in PRUNERS]
        frame = pd.concat([chain.frame for chain in chains], ignore_index=True)
        whole = type(chains[0])(frame, np.concatenate([chain.replicates for chain in chains]))
        given = claim(test, **keys)
        return CLAIMS.load(test)(given).evidence(ClaimCurves(whole, given, table, orders))

    return find


PRUNERS = ("magnitude", "retrain")


@pytest.mark.parametrize("expected", ["positive", "negative"])
def test_a_measure_over_levels_minus_dense(evidence, p_above, expected):
    found = evidence("concept_change", table_of(accuracy=ACCURACY), **LEVELS, expected=expected)
    assert found.values == pytest.approx([-0.1, -0.2, -0.3])
    assert found.statistic == "accuracy of pcbm over levels 1 to 2 minus that of dense"
    # mean -0.2, sd 0.1, three networks: t = -2 sqrt(3)
    p = p_above(2 * ROOT3)
    ps = (1 - p, p) if expected == "positive" else (p, 1 - p)
    assert (found.p_for, found.p_against) == pytest.approx(ps)
    assert found.replicates.size == 0
    assert found.columns["explainer"] == "pcbm"
    assert found.columns["condition"] == "clean"


def test_the_value_itself(evidence):
    found = evidence("concept_change", table_of(accuracy=ACCURACY), **LEVELS, against="nothing")
    assert found.values == pytest.approx([0.8, 0.6, 0.4])
    assert found.statistic == "accuracy of pcbm over levels 1 to 2"


def test_minus_another_measure_and_another_pruner(evidence):
    of_f = {"dense": [[1.0]] * 3, "magnitude": [[0.5, 0.7]] * 3, "retrain": [[0.9]] * 3}
    table = table_of(accuracy=ACCURACY, accuracy_of_f=of_f)
    keys = {**LEVELS, "minus_measure": "accuracy_of_f"}
    found = evidence("concept_change", table, **keys)
    # the other one falls by 0.4
    assert found.values == pytest.approx([0.3, 0.2, 0.1])
    found = evidence("concept_change", table, **keys, against="nothing")
    assert found.values == pytest.approx([0.2, 0.0, -0.2])
    found = evidence("concept_change", table, **LEVELS, minus_pruner="retrain")
    # retrained: 0, -0.1, -0.1
    assert found.values == pytest.approx([-0.1, -0.1, -0.2])
    assert found.remark == "-0.2 before that of retrain is taken away"


def test_undefined_at_one_level_is_undefined(evidence):
    pruned = [[0.8, np.nan], [0.7, 0.5], [0.4, 0.4]]
    table = table_of(accuracy={**ACCURACY, "magnitude": pruned})
    found = evidence("concept_change", table, **LEVELS)
    assert np.isnan(found.values).tolist() == [True, False, False]
    # no rows at all at a level is not undefined, but not measured
    found = evidence("concept_change", table_of(accuracy=ACCURACY), **{**LEVELS, "levels": [7, 9]})
    assert np.isnan(found.values).all()


def test_drift_beyond_retraining(evidence, p_above):
    likeness = {
        "dense": [[0.1]] * 3,
        "magnitude": [[0.5, 0.7], [0.4, 0.4], [0.2, 0.2]],
        "retrain": [[0.8], [0.7], [0.6]],
    }
    found = evidence("concept_drift_beyond_retraining", table_of(jaccard=likeness), **DRIFT)
    assert found.values == pytest.approx([-0.2, -0.3, -0.4])
    # mean -0.3, sd 0.1
    assert found.p_for == pytest.approx(p_above(3 * ROOT3))
    assert found.remark == "0.4 pruned, 0.7 of retrain"
    assert found.statistic.endswith("with dense over levels 1 to 2 minus that of retrain")


IN_TOP = {
    **{"concept": "pcbm", "class": "gull", "entry": "web", "levels": [1, 1], "top": 2},
}


def orders_of(**pruners):
    """Rows of `concept_tables.csv`: pruner to orders "a,b,c" [seeds][levels from 0 or 1]."""
    rows = []
    for pruner, seeds in pruners.items():
        for seed, levels in enumerate(seeds, start=1):
            for level, names in enumerate(levels, start=0 if pruner == "dense" else 1):
                for class_name, order in (("gull", names), ("tern", "fork,web,tail")):
                    if not order:
                        continue
                    first = [*order.split(","), *[""] * 5][:5]
                    rows.append(
                        {
                            **{"dataset": "digits", "model": "cnn", "pruner": pruner},
                            **{"concept": "pcbm", "method": "pcbm", "class": class_name},
                            **{"seed": str(seed), "level": level, "density": 0.5},
                            **{f"top_{place}": name for place, name in enumerate(first, 1)},
                        }
                    )
    return pd.DataFrame(rows)


DENSE_ORDERS = [["beak,tail,web"], ["beak,tail,web"], ["web,tail"]]
# enters, stays away, stays
PRUNED_ORDERS = [["tail,web", ""], ["tail,beak,web", ""], ["tail,foot = web", ""]]


def test_a_concept_enters_the_first_few(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    found = evidence("concept_in_top", None, table, **IN_TOP)
    assert found.values.tolist() == [1, 0, 0]
    # one network that changed: heads of one coin, or anything
    assert (found.p_for, found.p_against) == (0.5, 1)
    assert found.statistic == (
        "share of networks with web in the top 2 of gull over levels 1 to 1 minus that of dense"
    )
    assert found.remark == "in 0.667 of the networks, in 0.333 of the dense ones; exact sign test"
    found = evidence("concept_in_top", None, table, **IN_TOP, expected="negative")
    assert (found.p_for, found.p_against) == (1, 0.5)
    # of three it was among the dense networks' too
    found = evidence("concept_in_top", None, table, **{**IN_TOP, "top": 3})
    assert found.values.tolist() == [0, 0, 0]
    assert (found.p_for, found.p_against) == (1, 1)


def test_a_class_without_concepts_has_none_of_them(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    found = evidence("concept_in_top", None, table, **{**IN_TOP, "levels": [2, 2]})
    assert found.values.tolist() == [0, 0, -1]
    # a level that was not looked at is something else
    found = evidence("concept_in_top", None, table, **{**IN_TOP, "levels": [3, 3]})
    assert np.isnan(found.values).all()
    assert np.isnan([found.p_for, found.p_against]).all()


def test_a_concept_that_enters_by_training_alone(evidence):
    retrained = [["web"], ["web"], ["beak"]]
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS, retrain=retrained)
    found = evidence("concept_in_top", None, table, **IN_TOP, minus_pruner="retrain")
    assert found.values.tolist() == [0, -1, 1]
    assert (found.p_for, found.p_against) == (0.75, 0.75)
    assert found.statistic.endswith(", minus that of retrain")


def test_whether_a_concept_is_there_at_all(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    found = evidence("concept_in_top", None, table, **IN_TOP, against="nothing")
    assert found.values.tolist() == [1, 0, 1]
    # two of three: at least two heads of three, at least one
    assert (found.p_for, found.p_against) == (0.5, 0.875)
    assert found.holds_from == 0.5


@pytest.mark.parametrize(
    ("up", "down", "p"), [(3, 0, 0.125), (5, 0, 1 / 32), (0, 0, 1), (5, 1, 7 / 64)]
)
def test_the_sign_test_is_that_of_scipy(up, down, p):
    values = np.array([0.5] * up + [-1.0] * down + [0.0, np.nan])
    found = sign_test(values, "positive")
    assert found.p_for == pytest.approx(p)
    if up + down:
        expected = [
            binomtest(up, up + down, alternative=side).pvalue for side in ("greater", "less")
        ]
        assert (found.p_for, found.p_against) == pytest.approx(expected)


def test_orders_that_lack_are_said(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    for keys, words in (
        ({"concept": "cav"}, "is about the concept 'cav', of which"),
        ({"class": "duck"}, "is about the class 'duck', of which"),
        ({"class": ""}, r"is about the class '' \(all together\), of which"),
    ):
        with pytest.raises(InputError, match=words):
            evidence("concept_in_top", None, table, **{**IN_TOP, **keys})
    with pytest.raises(InputError, match="is about the order of concepts, of which"):
        evidence("concept_in_top", None, None, **IN_TOP)


def test_what_lacks_is_said(evidence):
    table = table_of(accuracy=ACCURACY)
    for keys, words in (
        ({"concept": "cav"}, "is about the concept 'cav', of which"),
        ({"class": "gull"}, "is about the class 'gull', of which"),
    ):
        with pytest.raises(InputError, match=words):
            evidence("concept_change", table, **{**LEVELS, **keys})
    with pytest.raises(InputError, match="is about the concepts, of which"):
        evidence("concept_change", None, **LEVELS)


def test_a_count_of_networks_has_no_interval_of_student(curves, claim, tmp_path):
    chain = curves({("cam", "iou", "all"): [[0, 1]] * 3})
    write_statistics(tmp_path / "s.parquet", chain.frame, chain.replicates, 0)
    orders = tmp_path / "concept_tables.csv"
    dense = [["beak,tail"]] * 3
    table = orders_of(dense=dense, magnitude=[["web"]] * 3)
    write_rows("concept_tables", orders, table)
    settings = {
        "claims": [{**claim("concept_in_top"), **IN_TOP}],
        "statistics": {"confidence": 0.95},
    }
    check_claims([tmp_path / "s.parquet"], tmp_path / "claims.csv", settings, orders=[orders])
    (row,) = read("claims", tmp_path / "claims.csv").to_dict("records")
    assert (row["estimate"], row["n_seeds"], row["per_seed"]) == (1, 3, "1;1;1")
    assert np.isnan([row["low"], row["high"]]).all()
    # three networks that agree: 1/8 on one side, which decides nothing
    assert row["p"] == pytest.approx(0.25)
    assert row["verdict"] == "undecided"
    assert (row["explainer"], row["metric"]) == ("pcbm", "top 2")


def test_a_claim_that_rests_on_fits_that_had_not_converged_has_no_test(
    curves, claim, tmp_path, caplog
):
    chain = curves({("cam", "iou", "all"): [[0, 1, 1], [1, 3, 3], [2, 4, 6]]}, spread=0.1)
    write_statistics(tmp_path / "all.parquet", chain.frame, chain.replicates, 0)
    claims = [
        claim("change", name="of_a_metric", levels=[1, 2]),
        {**claim("concept_change", name="of_concepts"), **LEVELS, "expected": "negative"},
    ]
    settings = {"claims": claims, "statistics": {"confidence": 0.95}}
    reached, failed = [[1, 1]] * 3, [[1, 1], [1, 0], [0, 1]]
    for pruners, remark in (
        ({"dense": [[1]] * 3, "magnitude": reached, "retrain": [[0]] * 3}, ""),
        ({"dense": [[1]] * 3, "magnitude": failed}, "2 of 9 fits had not converged"),
        ({"dense": [[0]] * 3, "magnitude": reached}, "3 of 9 fits had not converged"),
    ):
        table = table_of(accuracy=ACCURACY, converged=pruners)
        concepts = tmp_path / "concepts.csv"
        write_rows("concepts", concepts, table)
        caplog.clear()
        check_claims([tmp_path / "all.parquet"], tmp_path / "claims.csv", settings, [concepts])
        other, found = read("claims", tmp_path / "claims.csv").itertuples()
        # the claim stays in the family of the correction
        assert other.p_adjusted == pytest.approx(2 * other.p)
        assert found.per_seed == "-0.1;-0.2;-0.3"
        assert np.isnan(found.p) == bool(remark)
        assert (found.verdict == "undecided") or not remark
        assert remark in found.remark
        assert [record.levelname for record in caplog.records] == ["WARNING"] * bool(remark)
        assert all("of_concepts" in record.message for record in caplog.records)


def test_all_claims_share_one_correction(curves, claim, tmp_path):
    chain = curves({("cam", "iou", "all"): [[0, 1, 1], [1, 3, 3], [2, 4, 6]]}, spread=0.1)
    for seed, rows in chain.frame.groupby("seed"):
        path = tmp_path / f"{seed}.parquet"
        write_statistics(path, rows, chain.replicates[rows.index.to_numpy()], 0)
    concepts = tmp_path / "concepts.csv"
    write_rows("concepts", concepts, table_of(accuracy=ACCURACY))
    claims = [
        claim("change", name="of_a_metric", levels=[1, 2]),
        {**claim("concept_change", name="of_concepts"), **LEVELS, "expected": "negative"},
    ]
    settings = {"claims": claims, "statistics": {"confidence": 0.95}}
    paths = sorted(tmp_path.glob("*.parquet"))
    check_claims(paths, tmp_path / "claims.csv", settings, [concepts])
    found = read("claims", tmp_path / "claims.csv")
    assert found["name"].tolist() == ["of_a_metric", "of_concepts"]
    # both have t = 2 sqrt(3) of three networks; Holm doubles the smaller p, and the other follows
    assert found["p"].iloc[0] == pytest.approx(found["p"].iloc[1])
    assert found["p_adjusted"].tolist() == pytest.approx((2 * found["p"]).tolist())
    row = found.iloc[1]
    assert (row["explainer"], row["metric"], row["condition"]) == ("pcbm", "accuracy", "clean")
    assert np.isnan(row["images_low"])
    assert row["per_seed"] == "-0.1;-0.2;-0.3"
    # a whole number of claims about metrics needs no table of concepts
    check_claims(paths, tmp_path / "one.csv", {**settings, "claims": claims[:1]})
    assert len(read("claims", tmp_path / "one.csv")) == 1
