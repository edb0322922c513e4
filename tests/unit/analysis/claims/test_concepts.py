"""Claims about concepts, worked out on paper."""

import math

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import check_claims, look_at
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.crossed import NetworkShare, crossed
from sparsight.analysis.tables import read
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table, write_table
from tests.tables import write_rows

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


IOU = ("cam", "iou", "all")
DENSE = [[0.9], [0.8], [0.7]]
# over two levels minus dense: -0.1, -0.2, -0.3
PRUNED = [[0.8, 0.8, 0.0], [0.7, 0.5, 0.0], [0.4, 0.4, 0.0]]
ACCURACY = {"dense": DENSE, "magnitude": PRUNED, "retrain": [[0.9], [0.7], [0.6]]}


@pytest.fixture
def look(curves, claim):
    """Function from a test, its keys, and tables of concepts and of orders to what is found."""

    def find(test, table, orders=None, **keys):
        whole = curves({IOU: [[0, 1]] * 3}).joined(curves({IOU: [[0, 1]] * 3}, pruner="retrain"))
        given = claim(test, **keys)
        return look_at(CLAIMS.load(test)(given), ClaimCurves(whole, given, table, orders))

    return find


@pytest.fixture
def evidence(look):
    return lambda *args, **keys: look(*args, **keys).evidence


@pytest.mark.parametrize(
    ("expected", "bounds"), [("positive", (0.0, math.nan)), ("negative", (math.nan, 0.0))]
)
def test_a_measure_over_levels_minus_dense(look, expected, bounds):
    found = look("concept_change", table_of(accuracy=ACCURACY), **LEVELS, expected=expected)
    evidence = found.evidence
    assert evidence.quantity.values == pytest.approx([-0.1, -0.2, -0.3])
    assert evidence.statistic == "accuracy of pcbm over levels 1 to 2 minus that of dense"
    assert (evidence.holds_from, evidence.holds_to) == pytest.approx(bounds, nan_ok=True)
    # of the network as a whole, without maps
    assert found.image_id.tolist() == [-1]
    assert found.matrix == pytest.approx(np.array([[-0.1], [-0.2], [-0.3]]))
    assert found.estimate == crossed(found.matrix)
    assert math.isnan(found.empty_share)
    assert evidence.columns["explainer"] == "pcbm"
    assert evidence.columns["condition"] == "clean"


def test_the_value_itself(evidence):
    found = evidence("concept_change", table_of(accuracy=ACCURACY), **LEVELS, against="nothing")
    assert found.quantity.values == pytest.approx([0.8, 0.6, 0.4])
    assert found.statistic == "accuracy of pcbm over levels 1 to 2"


def test_minus_another_measure_and_another_pruner(evidence):
    of_f = {"dense": [[1.0]] * 3, "magnitude": [[0.5, 0.7]] * 3, "retrain": [[0.9]] * 3}
    table = table_of(accuracy=ACCURACY, accuracy_of_f=of_f)
    keys = {**LEVELS, "minus_measure": "accuracy_of_f"}
    found = evidence("concept_change", table, **keys)
    # the other one falls by 0.4
    assert found.quantity.values == pytest.approx([0.3, 0.2, 0.1])
    found = evidence("concept_change", table, **keys, against="nothing")
    assert found.quantity.values == pytest.approx([0.2, 0.0, -0.2])
    found = evidence("concept_change", table, **LEVELS, minus_pruner="retrain")
    # retrained: 0, -0.1, -0.1
    assert found.quantity.values == pytest.approx([-0.1, -0.1, -0.2])
    assert found.remark == "-0.2 before that of retrain is taken away"
    assert found.retrained == pytest.approx([0, -0.1, -0.1])


def test_undefined_at_one_level_is_undefined(evidence):
    pruned = [[0.8, np.nan], [0.7, 0.5], [0.4, 0.4]]
    table = table_of(accuracy={**ACCURACY, "magnitude": pruned})
    found = evidence("concept_change", table, **LEVELS)
    assert np.isnan(found.quantity.values).tolist() == [True, False, False]
    # no rows at all at a level is not undefined, but not measured
    found = evidence("concept_change", table_of(accuracy=ACCURACY), **{**LEVELS, "levels": [7, 9]})
    assert np.isnan(found.quantity.values).all()


def test_drift_beyond_retraining(evidence):
    likeness = {
        "dense": [[0.1]] * 3,
        "magnitude": [[0.5, 0.7], [0.4, 0.4], [0.2, 0.2]],
        "retrain": [[0.8], [0.7], [0.6]],
    }
    found = evidence("concept_drift_beyond_retraining", table_of(jaccard=likeness), **DRIFT)
    assert found.quantity.values == pytest.approx([-0.2, -0.3, -0.4])
    assert found.retrained == pytest.approx([0.8, 0.7, 0.6])
    assert found.holds_to == 0
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


def test_a_concept_enters_the_first_few(look):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    found = look("concept_in_top", None, table, **IN_TOP)
    assert found.evidence.quantity.values.tolist() == [1, 0, 0]
    assert (found.evidence.counted, found.asked.holds_from) == (True, 0.5)
    assert found.estimate == NetworkShare.of([1, 0, 0])
    assert found.evidence.statistic == (
        "share of networks in which web enters the top 2 of gull over levels 1 to 1"
    )
    assert found.evidence.remark == "in 0.667 of the networks, in 0.333 of the dense ones"
    assert found.evidence.columns["metric"] == "top 2"


def test_a_concept_leaves_the_first_few(evidence):
    table = orders_of(dense=[["web"], ["tail"], ["web"]], magnitude=[["tail"], ["web"], ["web"]])
    found = evidence("concept_in_top", None, table, **IN_TOP, expected="negative")
    # the second enters, the third stays
    assert found.quantity.values.tolist() == [1, 0, 0]
    assert "in which web leaves the top 2" in found.statistic
    assert found.holds_from == 0.5


def test_a_concept_that_was_there_already_does_not_enter(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    found = evidence("concept_in_top", None, table, **{**IN_TOP, "top": 3})
    assert found.quantity.values.tolist() == [0, 0, 0]


def test_a_class_without_concepts_has_none_of_them(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    keys = {**IN_TOP, "levels": [2, 2]}
    found = evidence("concept_in_top", None, table, **keys, expected="negative")
    # the third dense network had it
    assert found.quantity.values.tolist() == [0, 0, 1]
    # a level that was not looked at is something else
    found = evidence("concept_in_top", None, table, **{**IN_TOP, "levels": [3, 3]})
    assert np.isnan(found.quantity.values).all()


def test_a_concept_that_enters_by_training_alone(evidence):
    retrained = [["web"], ["web"], ["beak"]]
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS, retrain=retrained)
    keys = {**IN_TOP, "minus_pruner": "retrain"}
    found = evidence("concept_in_top", None, table, **keys)
    # changes by pruning 1, 0, 0 and by retraining 1, 1, -1
    assert found.quantity.values.tolist() == [0, 0, 1]
    found_less = evidence("concept_in_top", None, table, **keys, expected="negative")
    assert found_less.quantity.values.tolist() == [0, 1, 0]
    assert found.statistic.endswith(", more than under retrain")
    assert found_less.statistic.endswith(", more than under retrain")
    assert found.remark.endswith("; 0.333 under retrain")


def test_whether_a_concept_is_there_at_all(evidence):
    table = orders_of(dense=DENSE_ORDERS, magnitude=PRUNED_ORDERS)
    found = evidence("concept_in_top", None, table, **IN_TOP, against="nothing")
    assert found.quantity.values.tolist() == [1, 0, 1]
    assert found.holds_from == 0.5
    # at more than half of the levels: of the first network at one of two
    both = evidence(
        "concept_in_top", None, table, **{**IN_TOP, "levels": [1, 2]}, against="nothing"
    )
    assert both.quantity.values.tolist() == [0, 0, 0]
    away = evidence("concept_in_top", None, table, **IN_TOP, against="nothing", expected="negative")
    assert away.quantity.values.tolist() == [0, 1, 0]
    assert "in which web is not in the top 2" in away.statistic


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


@pytest.fixture
def run(tmp_path):
    """Function from claims and tables to `claims.csv`, of as many networks without any scores."""

    def run(claims, networks, **tables):
        places = [
            ["digits", "cnn", pruner, seed, level]
            for seed in range(1, networks + 1)
            for pruner, level in (("dense", 0), ("magnitude", 1), ("retrain", 1))
        ]
        predictions = []
        for number in range(len(places)):
            predictions.append(tmp_path / f"predictions{number}.parquet")
            columns = {"image_id": [1, 2, 3], "condition": ["noisy"] * 3, "label": [0, 1, 2]}
            write_table(predictions[-1], {**columns, "predicted": [0, 1, 2], "margin": [1.0] * 3})
        evaluations = tmp_path / "evaluations.parquet"
        write_rows("evaluations", evaluations, pd.DataFrame({"metric": ["density_prunable"]}))
        paths = {}
        for key, table in tables.items():
            name = {"orders": "concept_tables"}.get(key, key)
            paths[key] = [tmp_path / f"{name}.csv"]
            write_rows(name, paths[key][0], table)
        settings = {
            **{"claims": claims, "checkpoints": places, "reducers": {}, "copies": {}},
            **{"statistics": {"confidence": 0.95}, "look": 0, "looks": []},
        }
        output = tmp_path / "claims.csv"
        matrices = {claim["name"]: tmp_path / f"{claim['name']}.parquet" for claim in claims}
        check_claims([], predictions, evaluations, output, matrices, settings, **paths)
        return read("claims", output).set_index("name")

    return run


@pytest.mark.parametrize(
    ("networks", "verdict", "reason"),
    [
        (3, "open", "4 networks at least"),
        (5, "open", "6 networks would decide it"),
        (6, "supported", ""),
    ],
)
def test_a_count_of_networks_has_an_exact_interval(run, claim, tmp_path, networks, verdict, reason):
    table = orders_of(dense=[["beak,tail"]] * networks, magnitude=[["web"]] * networks)
    row = run([{**claim("concept_in_top"), **IN_TOP}], networks, orders=table).loc["a"]
    assert (row["estimate"], row["n_seeds"], row["n_images"]) == (1, networks, 1)
    assert row["per_seed"] == ";".join("1" * networks)
    assert (row["low"], row["high"]) == pytest.approx((0.025 ** (1 / networks), 1))
    # heads in all of them, or tails
    assert row["p"] == pytest.approx(2 * 0.5**networks)
    assert (row["verdict"], row["verdict_reason"]) == (verdict, reason)
    assert (row["explainer"], row["metric"]) == ("pcbm", "top 2")
    assert np.isnan(row[["df", "se_networks", "e_value", "empty_share"]].astype(float)).all()
    assert (row["networks_needed"] == 6) if networks < 6 else pd.isna(row["networks_needed"])
    answers = read_table(tmp_path / "a.parquet").to_pandas()
    assert answers["difference"].tolist() == [1] * networks
    assert set(answers["image_id"]) == {-1}


def test_a_claim_that_rests_on_fits_that_had_not_converged_has_no_test(run, claim, caplog):
    accuracy = {name: [*rows, rows[0]] for name, rows in ACCURACY.items()}
    claims = [
        claim("concept_change", name="first", tier="primary", expected="negative", **LEVELS),
        {**claim("concept_change", name="second", tier="primary", after="first"), **LEVELS},
    ]
    claims[1]["concept"] = "other"
    reached, failed = [[1, 1]] * 4, [[1, 1], [1, 0], [0, 1], [1, 1]]
    for pruners, reason in (
        ({"dense": [[1]] * 4, "magnitude": reached, "retrain": [[0]] * 4}, ""),
        ({"dense": [[1]] * 4, "magnitude": failed}, "2 of 12 fits had not converged"),
        ({"dense": [[0]] * 4, "magnitude": reached}, "4 of 12 fits had not converged"),
    ):
        table = table_of(accuracy=accuracy, converged=pruners)
        other = table_of(accuracy=accuracy).assign(concept="other")
        caplog.clear()
        frame = run(claims, 4, concepts=pd.concat([table, other]))
        row = frame.loc["first"]
        assert row["per_seed"] == "-0.1;-0.2;-0.3;-0.1"
        assert row["verdict_reason"] == reason
        assert row["verdict"] == ("not testable here" if reason else "supported")
        # nothing comes after what has no test
        assert frame.loc["second", "tier"] == ("exploratory" if reason else "primary")
        assert [record.levelname for record in caplog.records] == ["WARNING"] * bool(reason)
        assert all("first" in record.message for record in caplog.records)


def test_a_row_of_a_measure_of_concepts(run, claim):
    accuracy = {name: [*rows, rows[0]] for name, rows in ACCURACY.items()}
    asked = claim("concept_change", minus_pruner="retrain", expected="negative", **LEVELS)
    row = run([asked], 4, concepts=table_of(accuracy=accuracy)).loc["a"]
    # -.1, -.2, -.3, -.1 less 0, -.1, -.1, 0
    wanted = crossed([[-0.1], [-0.1], [-0.2], [-0.1]])
    assert row["estimate"] == pytest.approx(wanted.value)
    assert (row["low"], row["high"]) == pytest.approx(wanted.interval(0.95))
    assert row["se_retrain"] == pytest.approx(np.std([0, 0.1, 0.1, 0], ddof=1) / 2)
    assert (row["explainer"], row["metric"], row["condition"]) == ("pcbm", "accuracy", "clean")
    assert (row["n_images"], row["verdict"]) == (1, "supported")
    assert pd.isna(row["empty_share"])
