"""The table of claims: intervals, correction, verdicts; its error rate where nothing is true."""

import math

import numpy as np
import pytest

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import adjust_p, check_claims, claims_table, verdict
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.curves import Curve
from sparsight.analysis.tables import TABLES, read
from sparsight.io.errors import InputError
from tests.tables import write_statistics

ACCURACY = ("", "accuracy", "all")
IOU = ("cam", "iou", "all")
ROOT3 = math.sqrt(3.0)


def loss(claim, name, smallest, **keys):
    return claim("no_loss", name=name, of="accuracy", density=0.5, smallest=smallest, **keys)


def table_of(claims, curves, confidence=0.95):
    tests = [CLAIMS.load(c["test"])(c) for c in claims]
    return claims_table(tests, [ClaimCurves(curves, c) for c in claims], confidence)


@pytest.fixture
def accuracies(curves):
    """Losses .01, .02, .03 at level 1: mean .02, sd .01."""
    return curves({ACCURACY: [[0.9, 0.89], [0.9, 0.88], [0.9, 0.87]]}, spread=0.001)


def test_a_row_on_paper(claim, accuracies, p_above):
    frame = table_of([loss(claim, "kept", 0.12, published=0.0)], accuracies)
    assert frame.columns.tolist() == TABLES["claims"].names
    (row,) = frame.to_dict("records")
    t = 10 * ROOT3  # (.12 - .02) / (.01 / sqrt(3))
    assert row["p_for"] == pytest.approx(p_above(t), rel=1e-6)
    assert row["p"] == row["p_adjusted"] == pytest.approx(2 * p_above(t), rel=1e-6)
    assert row["verdict"] == "supported"
    # t(.975, 2) = 4.302653
    assert row["estimate"] == pytest.approx(0.02)
    assert row["high"] - row["estimate"] == pytest.approx(4.302653 * 0.01 / ROOT3, rel=1e-6)
    assert row["estimate"] - row["low"] == pytest.approx(row["high"] - row["estimate"])
    assert (row["images_low"], row["images_high"]) == pytest.approx((0.02, 0.02), abs=1e-6)
    assert (row["n_seeds"], row["per_seed"]) == (3, "0.01;0.02;0.03")
    assert (row["holds_to"], row["published"]) == (0.12, 0.0)
    assert (row["explainer"], row["metric"], row["subset"]) == ("", "accuracy", "all")
    assert (row["claim"], row["condition"], row["remark"]) == ("It is so.", "noisy", "")


def test_one_correction_for_all_rows(claim, accuracies, p_above):
    claims = [loss(claim, "kept", 0.12), loss(claim, "lost", -0.08), loss(claim, "open", 0.02)]
    frame = table_of(claims, accuracies).set_index("name")
    p = 2 * p_above(10 * ROOT3)  # about .0033
    assert frame["p"].tolist() == pytest.approx([p, p, 1.0], rel=1e-5)
    assert frame["p_adjusted"].tolist() == pytest.approx([3 * p, 3 * p, 1.0], rel=1e-5)
    assert frame["verdict"].tolist() == ["supported", "contradicted", "undecided"]
    # the same evidence among more claims is not enough
    more = [*claims, *(loss(claim, f"open_{i}", 0.02) for i in range(15))]
    assert set(table_of(more, accuracies)["verdict"]) == {"undecided"}
    # nor at a stricter level
    assert set(table_of(claims, accuracies, 0.999)["verdict"]) == {"undecided"}


def test_a_claim_without_a_test_counts_in_the_correction():
    found = adjust_p([0.01, math.nan, 0.04])
    assert found[[0, 2]] == pytest.approx([0.03, 0.08])
    assert math.isnan(found[1])
    assert np.isnan(adjust_p([math.nan])).all()
    assert len(adjust_p([])) == 0


@pytest.mark.parametrize(
    ("ps", "wanted"),
    [
        ((0.01, 0.99, 0.02), "supported"),
        ((0.99, 0.01, 0.02), "contradicted"),
        ((0.01, 0.99, 0.05), "undecided"),
        ((math.nan, math.nan, math.nan), "undecided"),
        ((0.01, 0.01, 0.02), "undecided"),
    ],
)
def test_verdict(ps, wanted):
    assert verdict(*ps, level=0.05) == wanted


def test_remarks_say_why_there_is_no_test(claim, curves):
    agreed = curves({ACCURACY: [[0.9, 0.8]] * 3})
    (row,) = table_of([loss(claim, "a", 0.5)], agreed).to_dict("records")
    assert row["remark"] == "the networks do not differ: no test"
    assert (row["verdict"], row["estimate"]) == ("undecided", pytest.approx(0.1))
    assert math.isnan(row["p"])
    (row,) = table_of([loss(claim, "a", 0.5)], curves({ACCURACY: [[0.9, 0.8]]})).to_dict("records")
    assert row["remark"] == "one network: no test"
    assert math.isnan(row["low"])
    partly = curves({IOU: [[1, 2, 4], [1, 2, 5], [1, 1, 1]], ACCURACY: [[1, 2, 3]] * 3})
    (row,) = table_of([claim("correlation")], partly).to_dict("records")
    assert row["remark"] == "defined in 2 of 3 networks"
    assert row["n_seeds"] == 2
    assert row["per_seed"].endswith(";")
    never = curves({IOU: [[1, 1, 1]] * 2, ACCURACY: [[1, 2, 3]] * 2})
    (row,) = table_of([claim("correlation")], never).to_dict("records")
    assert row["remark"] == "undefined in all networks"
    assert math.isnan(row["estimate"])


def test_files(claim, curves, tmp_path):
    whole = curves(
        {ACCURACY: [[0.9, 0.89], [0.9, 0.88], [0.9, 0.87]], IOU: [[0.2, 0.1]] * 3}, spread=0.001
    )
    paths = []
    for seed, rows in whole.frame.groupby("seed"):
        paths.append(tmp_path / f"{seed}.parquet")
        write_statistics(paths[-1], rows, whole.replicates[rows.index], 0)
    claims = [loss(claim, "kept", 0.12), claim("correlation", name="same")]
    settings = {"claims": claims, "statistics": {"confidence": 0.95}}
    outputs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    check_claims(paths, outputs[0], settings)
    check_claims(paths[::-1], outputs[1], settings)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    frame = read("claims", outputs[0])
    assert frame["name"].tolist() == ["kept", "same"]
    assert frame.loc[0, "explainer"] == ""
    assert frame.loc[0, "p"] == pytest.approx(table_of(claims, whole).loc[0, "p"], rel=1e-4)
    assert frame.loc[1, "verdict"] == "undecided"
    assert math.isnan(frame.loc[1, "p_adjusted"])


def test_a_damaged_table_is_refused(claim, accuracies, tmp_path):
    path = tmp_path / "claims.csv"
    with pytest.raises(InputError, match="does not exist"):
        read("claims", path)
    frame = table_of([loss(claim, "kept", 0.12)], accuracies)
    frame.drop(columns="images_low").to_csv(path, index=False)
    with pytest.raises(InputError, match="no column 'images_low'"):
        read("claims", path)


def test_without_claims_there_is_an_empty_table(tmp_path, curves):
    path = tmp_path / "claims.csv"
    settings = {"claims": [], "statistics": {"confidence": 0.95}}
    check_claims([], path, settings)
    assert read("claims", path).empty


# ------------------------------------------------------------------------------- error rates

STUDIES = 250
LEVELS = 8


def boundary_claims(claim):
    """Claims whose quantity lies on the bound in `boundary_means`: every verdict is wrong."""
    iou, own = {"metric": "iou"}, {"explainer": "own"}
    return [
        claim("correlation", **iou),
        claim("correlation", coefficient="spearman", metric="mass"),
        loss(claim, "loss", 0.01),
        claim("rise", metric="hill", at=2, later=4),
        claim("peak", metric="summit", between=[1, 3]),
        claim("gain_explained", metric="gain", matched_metric="left", to_level=1),
        claim("correct_minus_incorrect", **own),
    ]


def boundary_means(generator, networks):
    def noise(size=LEVELS):
        return 0.01 * generator.standard_normal((networks, size))

    def walk():
        # autocorrelated levels, as those of a pruned network
        return np.cumsum(noise(), axis=1)

    accuracy = 0.9 + walk()
    accuracy[:, 1] = accuracy[:, 0] - 0.01 + noise(1)[:, 0]
    summit = np.zeros((networks, LEVELS))
    # peaks at 2, 3 or 4: their mean is the bound 3
    summit[np.arange(networks), generator.integers(2, 5, networks)] = 1.0
    gain, left = noise(), noise()
    gain[:, 1], left[:, 1] = gain[:, 1] + 1.0, left[:, 1] + 0.5
    flat = np.ones((networks, LEVELS))
    return {
        ACCURACY: accuracy,
        IOU: walk(),
        ("cam", "mass", "all"): walk(),
        ("cam", "hill", "all"): noise(),
        ("cam", "summit", "all"): summit,
        ("cam", "gain", "all"): gain,
        ("cam", "left", "all"): left,
        ("own", "iou", "correct_matched"): flat + noise(),
        ("own", "iou", "incorrect_matched"): flat,
    }


class Drawn:
    """`ClaimCurves` without a table behind them, for speed."""

    def __init__(self, means):
        self.means = means
        self.seeds = list(range(len(means[ACCURACY])))

    def accuracy(self):
        return self.curve(*ACCURACY)

    def curve(self, explainer, metric, subset):
        mean = self.means[explainer, metric, subset]
        density = np.broadcast_to(0.5 ** np.arange(LEVELS), mean.shape)
        nothing = np.empty((*mean.shape, 0))
        counted = np.zeros(mean.shape, dtype=np.int64)
        return Curve(tuple(self.seeds), np.arange(LEVELS), mean, density, nothing, counted)


@pytest.mark.parametrize("networks", [3, 5])
def test_wrong_verdicts_are_rare(claim, networks, monkeypatch):
    # statsmodels collects garbage at every correction, which takes longer than all else here
    monkeypatch.setattr("gc.collect", lambda: 0)
    generator = np.random.default_rng(networks)
    claims = boundary_claims(claim)
    tests = [CLAIMS.load(c["test"])(c) for c in claims]
    wrong = uncorrected = 0
    for _ in range(STUDIES):
        drawn = Drawn(boundary_means(generator, networks))
        table = claims_table(tests, [drawn] * len(tests), 0.95)
        wrong += bool((table["verdict"] != "undecided").any())
        uncorrected += bool((table["p"] < 0.05).any())
    # three standard errors above 5% of 250 studies: 9.1%
    assert wrong / STUDIES <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
    # seven tests at 5% each, without the correction: the study is wrong far more often
    assert uncorrected / STUDIES > 0.15


def test_true_claims_are_found_with_enough_networks(claim, curves):
    generator = np.random.default_rng(0)
    hill = np.array([0.10, 0.15, 0.20, 0.15, 0.10, 0.05]) + 0.002 * generator.standard_normal(
        (5, 6)
    )
    means = {IOU: hill, ACCURACY: hill + 0.7 + 0.002 * generator.standard_normal((5, 6))}
    claims = [
        claim("correlation", name="r"),
        claim("rise", name="rise", at=2, later=4),
        claim("correlation", name="wrong", expected="negative"),
        claim("no_loss", name="kept", of="iou", density=0.25, smallest=0.01),
    ]
    frame = table_of(claims, curves(means)).set_index("name")
    assert frame["verdict"].to_dict() == {
        "r": "supported",
        "rise": "supported",
        "wrong": "contradicted",
        "kept": "supported",
    }
