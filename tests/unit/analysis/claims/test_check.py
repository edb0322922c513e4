"""The table of claims: intervals, levels, verdicts; its error rate where nothing is true."""

import math
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import claims_table, look_at
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.analysis.tables import TABLES, read
from sparsight.analysis.verdicts import e_value, look_levels
from sparsight.io.errors import InputError
from tests.tables import write_rows

ACCURACY = ("", "accuracy", "all")
IOU = ("cam", "iou", "all")
#: change by .2, .3, .4 and .3 from level 0 to level 1: mean .3, standard error .1 / sqrt(6)
RISES = [[0.1, 0.3], [0.2, 0.5], [0.0, 0.4], [0.3, 0.6]]
ERROR = 0.1 / math.sqrt(6.0)


@pytest.fixture
def table(curves):
    """Function from claims and means to the rows by name; keys go to the networks."""

    def make(claims, means, *, alpha=0.05, looks=(), look=0, **keys):
        networks = curves(means, **keys)
        found = [look_at(CLAIMS.load(c["test"])(c), ClaimCurves(networks, c)) for c in claims]
        return claims_table(found, alpha, looks, look).set_index("name", drop=False)

    return make


@pytest.fixture
def rises(claim):
    """Function from keys to a claim that `RISES` rise."""
    return lambda name="a", **keys: claim("change", **{"name": name, "levels": [1, 1], **keys})


def t(p, df=3):
    return stats.t.ppf(1 - p / 2, df)


def p_of(z, df=3):
    return 2 * stats.t.sf(abs(z), df)


class TestRow:
    def test_on_paper(self, table, rises):
        frame = table([rises(smallest=0.05, because="half a cell")], {IOU: RISES})
        assert frame.columns.tolist() == TABLES["claims"].names
        (row,) = frame.to_dict("records")
        assert row["estimate"] == pytest.approx(0.3)
        assert row["low"] == pytest.approx(0.3 - t(0.05) * ERROR)
        assert row["high"] == pytest.approx(0.3 + t(0.05) * ERROR)
        assert (row["alpha"], row["tier"], row["look"]) == (0.05, "exploratory", 0)
        assert row["df"] == pytest.approx(3)
        assert (row["n_seeds"], row["n_images"]) == (4, 1)
        assert row["per_seed"] == "0.2;0.3;0.4;0.3"
        assert row["p"] == pytest.approx(p_of(0.3 / ERROR))
        assert row["p_equivalent"] == 1
        assert np.isnan([row["published"], row["p_published"], row["p_half_published"]]).all()
        assert row["e_value"] == pytest.approx(e_value([0.2, 0.3, 0.4, 0.3]))
        assert (row["verdict"], row["verdict_reason"]) == ("supported", "")
        assert np.isnan([row["networks_needed"], row["images_needed"]]).all()
        assert (row["smallest"], row["because"]) == (0.05, "half a cell")
        assert row["holds_from"] == 0
        assert math.isnan(row["holds_to"])
        assert (row["explainer"], row["metric"], row["subset"]) == ("cam", "iou", "all")
        assert (row["claim"], row["condition"], row["remark"]) == ("It is so.", "noisy", "")
        assert row["empty_share"] == 0

    def test_the_error_of_one_image_is_that_of_networks(self, table, rises):
        (row,) = table([rises()], {IOU: RISES}).to_dict("records")
        assert row["se_networks"] == pytest.approx(ERROR)
        assert (row["se_images"], row["se_residual"]) == (0, 0)
        assert math.isnan(row["se_retrain"])

    def test_images_add_their_part(self, table, claim):
        # level 0 minus level 1 does not move with an image; a value does, in all networks alike
        asked = claim("value", of="iou", level=1, published=0.4, smallest=0.3)
        keys = {"images": 5, "spread": 0.2}
        (row,) = table([asked], {IOU: RISES}, **keys).to_dict("records")
        # images are off by -.2, -.1, 0, .1, .2: variance .1 / 4
        assert row["se_images"] == pytest.approx(math.sqrt(0.025 / 5))
        values = [0.3, 0.5, 0.4, 0.6]
        assert row["se_networks"] == pytest.approx(np.std(values, ddof=1) / 2)
        assert row["se_residual"] == pytest.approx(0, abs=1e-9)
        error = math.hypot(row["se_networks"], row["se_images"])
        between, shared = np.var(values, ddof=1) / 4, 0.025 / 5
        df = (between + shared) ** 2 / (between**2 / 3 + shared**2 / 4)
        assert row["df"] == pytest.approx(min(df, 6))
        assert row["high"] == pytest.approx(0.45 + t(0.05, row["df"]) * error)
        assert (row["n_seeds"], row["n_images"]) == (4, 5)
        (row,) = table([claim("change", levels=[1, 1])], {IOU: RISES}, **keys).to_dict("records")
        assert row["se_images"] == pytest.approx(0, abs=1e-9)

    def test_the_error_of_retraining(self, curves, rises):
        whole = curves({IOU: RISES}).joined(
            curves({IOU: [[0, 0.1], [0, 0.2], [0, 0.3], [0, np.nan]]}, pruner="retrain")
        )
        asked = rises(minus_pruner="retrain")
        found = look_at(CLAIMS.load("change")(asked), ClaimCurves(whole, asked))
        (row,) = claims_table([found]).to_dict("records")
        # of the three that are defined, sd .1
        assert row["se_retrain"] == pytest.approx(0.1 / math.sqrt(3))
        assert row["remark"].endswith("defined in 3 of 4 networks")
        assert (row["n_seeds"], row["per_seed"]) == (3, "0.1;0.1;0.1;")

    @pytest.mark.parametrize(
        ("published", "verdict"),
        [
            (0.32, "replicated"),
            (0.9, "supported, smaller than published"),
            (0.1, "supported"),
        ],
    )
    def test_against_published(self, table, rises, published, verdict):
        (row,) = table([rises(published=published)], {IOU: RISES}).to_dict("records")
        assert row["published"] == published
        assert row["p_published"] == pytest.approx(p_of((0.3 - published) / ERROR))
        assert row["p_half_published"] == pytest.approx(p_of((0.3 - published / 2) / ERROR))
        assert row["verdict"] == verdict

    def test_published_that_is_no_effect(self, table, claim):
        # a fall of accuracy is asked to be below .5; its published size is not one to exceed
        asked = claim("no_loss", of="accuracy", density=0.5, smallest=0.5, published=0.0)
        accuracy = [[0.9, 0.8], [0.9, 0.7], [0.9, 0.75], [0.9, 0.85]]
        (row,) = table([asked], {ACCURACY: accuracy}).to_dict("records")
        assert np.isnan([row["p_published"], row["p_half_published"], row["p_equivalent"]]).all()
        assert (row["smallest"], row["holds_to"]) == (0.5, 0.5)
        # the bound is what the evidence is against
        assert row["e_value"] == pytest.approx(e_value([0.1, 0.2, 0.15, 0.05], 0.5))
        assert row["p"] == pytest.approx(p_of((0.5 - 0.125) / (np.std([2, 4, 3, 1], ddof=1) / 40)))
        assert row["verdict"] == "supported"

    def test_no_effect_of_practical_size(self, table, rises):
        rows = [[0, 0.01], [0, -0.01], [0, 0.005], [0, 0.003]]
        (row,) = table([rises(smallest=0.05, published=0.3)], {IOU: rows}).to_dict("records")
        changes = np.array(rows)[:, 1]
        distance = (0.05 - changes.mean()) / (changes.std(ddof=1) / 2)
        assert row["p_equivalent"] == pytest.approx(p_of(distance))
        assert row["verdict"] == "no effect of practical size"

    def test_another_direction(self, table, rises):
        asked = [rises("up", smallest=0.05), rises("down", expected="negative", smallest=0.05)]
        frame = table(asked, {IOU: RISES})
        assert frame["verdict"].tolist() == ["supported", "contradicted"]
        assert frame.loc["up", "p"] == frame.loc["down", "p"]
        assert frame.loc["down", "holds_to"] == 0


class TestOpen:
    ROWS = ([0, 0.5], [0, -0.3], [0, 0.4], [0, 0.2])

    def test_what_would_decide_it(self, table, rises):
        (row,) = table([rises()], {IOU: self.ROWS}).to_dict("records")
        sd = np.std([0.5, -0.3, 0.4, 0.2], ddof=1)
        needed = next(n for n in range(4, 99) if t(0.05, n - 1) * sd / math.sqrt(n) < 0.2)
        assert row["networks_needed"] == needed > 4
        assert math.isnan(row["images_needed"])
        assert row["verdict"] == "open"
        assert row["verdict_reason"] == f"{needed} networks would decide it"

    def test_three_networks_are_too_few(self, table, rises):
        (row,) = table([rises()], {IOU: RISES[:3]}).to_dict("records")
        assert (row["verdict"], row["verdict_reason"]) == ("open", "4 networks at least")
        assert row["low"] > 0
        assert row["networks_needed"] == 4

    def test_one_network_has_no_interval(self, table, rises):
        (row,) = table([rises()], {IOU: RISES[:1]}).to_dict("records")
        assert (row["verdict"], row["verdict_reason"]) == ("open", "4 networks at least")
        assert row["estimate"] == pytest.approx(0.2)
        names = ["low", "high", "df", "p", "se_networks", "networks_needed", "images_needed"]
        assert np.isnan([row[name] for name in names]).all()
        assert (row["e_value"], row["per_seed"]) == (1, "0.2")

    def test_what_hangs_on_something_else_is_not_decided_by_networks(self, table, claim):
        # the rise to level 1 is shown, half of its gain is more than is left; the gain is not
        iou = [[0, -1], [0, 0], [0, 2], [0, 1]]
        affine = [[0, -11], [0, -10], [0, -9], [0, -10]]
        asked = claim("gain_explained", matched_metric="affine", to_level=1)
        (row,) = table([asked], {IOU: iou, ("cam", "affine", "all"): affine}).to_dict("records")
        assert (row["verdict"], row["verdict_reason"]) == ("open", "it is not shown that iou gains")
        assert np.isnan([row["networks_needed"], row["images_needed"]]).all()


class TestNotTestable:
    @pytest.mark.parametrize(
        ("empty", "testable"), [({1: 0.1}, True), ({1: 0.11}, False), ({2: 0.9}, True)]
    )
    def test_empty_maps(self, table, rises, empty, testable):
        means = {IOU: [[*row, 0.0] for row in RISES]}
        (row,) = table([rises()], means, empty=empty).to_dict("records")
        # a level that does not count may be empty
        assert row["empty_share"] == empty.get(1, 0)
        assert row["verdict"] == ("supported" if testable else "not testable here")
        reason = "" if testable else "maps are empty in 11% of the images"
        assert row["verdict_reason"] == reason
        # the numbers stay
        assert row["estimate"] == pytest.approx(0.3)
        assert row["p"] == pytest.approx(p_of(0.3 / ERROR))
        assert math.isnan(row["networks_needed"])

    def test_accuracy_has_no_maps(self, table, claim):
        asked = claim("no_loss", of="accuracy", density=0.5, smallest=0.5)
        (row,) = table([asked], {ACCURACY: RISES}, empty={1: 0.9}).to_dict("records")
        assert math.isnan(row["empty_share"])
        assert row["verdict"] == "supported"

    def test_a_task_that_is_not_learnt(self, curves, rises):
        networks = curves({IOU: RISES})
        networks.dense_and_majority = lambda of: (0.1, 0.1)
        found = look_at(CLAIMS.load("change")(rises()), ClaimCurves(networks, rises()))
        (row,) = claims_table([found]).to_dict("records")
        assert row["verdict"] == "not testable here"
        reason = "the task is not learnt (accuracy 0.100, most frequent label 0.100)"
        assert row["verdict_reason"] == reason

    def test_networks_that_do_not_differ(self, table, rises):
        (row,) = table([rises()], {IOU: [[0.1, 0.4]] * 4}).to_dict("records")
        assert row["verdict_reason"] == "the networks do not differ"
        assert row["estimate"] == pytest.approx(0.3)
        assert np.isnan([row["low"], row["p"], row["e_value"], row["networks_needed"]]).all()

    def test_no_network_has_a_value(self, table, rises, claim):
        means = {IOU: [[1.0, 1.0, np.nan]] * 4, ACCURACY: [[0.9, 0.8, 0.7]] * 4}
        claims = [rises("never", levels=[1, 2]), claim("correlation", name="constant")]
        for _, row in table(claims, means, images=3, spread=0.1).iterrows():
            assert (row["verdict"], row["verdict_reason"]) == (
                "not testable here",
                "undefined in all networks",
            )
            assert (row["n_seeds"], row["per_seed"], row["remark"]) == (0, ";;;", "")
            assert row[["estimate", "low", "p", "se_networks"]].isna().all()

    def test_some_networks_have_no_value(self, table, claim):
        means = {IOU: [[1, 2, 4], [1, 2, 5], [1, 1, 1]], ACCURACY: [[1, 2, 3]] * 3}
        (row,) = table([claim("correlation")], means).to_dict("records")
        assert row["remark"] == "defined in 2 of 3 networks"
        assert row["n_seeds"] == 2
        assert row["per_seed"].endswith(";")


class TestLevels:
    """Four networks; with four, p is .0019 for RISES and .39 for others."""

    FLAT = ([0, 0.5], [0, -0.3], [0, 0.4], [0, 0.2])
    FALL = ([0, -0.1], [0, -0.12], [0, -0.11], [0, -0.1])
    MEANS: ClassVar = {
        IOU: RISES,
        ("cam", "flat", "all"): FLAT,
        ("cam", "fall", "all"): FALL,
    }

    def test_primaries_up_to_the_first_open_one(self, table, rises):
        claims = [
            rises("first", tier="primary"),
            rises("second", tier="primary", after="first", metric="flat"),
            rises("third", tier="primary", after="second", metric="fall"),
        ]
        frame = table(claims, self.MEANS)
        assert frame["tier"].tolist() == ["primary", "primary", "exploratory"]
        assert frame["alpha"].tolist() == [0.05] * 3
        assert frame["verdict"].tolist() == ["supported", "open", "contradicted"]
        assert frame["after"].tolist() == ["", "first", "second"]

    def test_secondaries_share_alpha(self, table, rises):
        claims = [
            rises("first", tier="primary"),
            rises("up", tier="secondary", after="first"),
            rises("down", tier="secondary", after="first", metric="fall"),
            rises("flat", tier="secondary", after="first", metric="flat"),
            rises("last", tier="secondary", after="flat"),
            rises("free"),
        ]
        frame = table(claims, self.MEANS)
        # of four the smaller p (falls), then of three the other; two are left
        assert frame["alpha"].tolist() == pytest.approx(
            [0.05, 0.05 / 3, 0.05 / 4, 0.05 / 2, 0.05, 0.05]
        )
        tiers = ["primary", "secondary", "secondary", "secondary", "exploratory", "exploratory"]
        assert frame["tier"].tolist() == tiers
        # the interval is that of the level
        row = frame.loc["up"]
        assert row["high"] == pytest.approx(0.3 + t(0.05 / 3) * ERROR)

    def test_what_is_not_testable_decides_nothing(self, table, rises):
        claims = [
            rises("first", tier="primary"),
            rises("of it", tier="secondary", after="first"),
        ]
        frame = table(claims, self.MEANS, empty={1: 0.5})
        assert frame["tier"].tolist() == ["primary", "exploratory"]
        assert set(frame["verdict"]) == {"not testable here"}

    def test_another_alpha(self, table, rises):
        frame = table([rises(tier="primary")], self.MEANS, alpha=0.001)
        assert frame["alpha"].tolist() == [0.001]
        assert frame["verdict"].tolist() == ["open"]
        assert frame["high"].iloc[0] == pytest.approx(0.3 + t(0.001) * ERROR)

    def test_looks(self, table, rises):
        looks = (4, 8, 10)
        claims = [rises("first", tier="primary"), rises("of it", tier="secondary", after="first")]
        for look in (1, 2, 3):
            frame = table(claims, self.MEANS, looks=looks, look=look)
            level = look_levels(looks)[look - 1]
            assert frame["alpha"].tolist() == [level, level]
            assert set(frame["look"]) == {look}
            assert frame["high"].iloc[0] == pytest.approx(0.3 + t(level) * ERROR)

    def test_the_order_of_rows_is_that_of_the_claims(self, table, rises):
        names = ["z", "a", "m"]
        assert table([rises(name) for name in names], self.MEANS)["name"].tolist() == names


@pytest.mark.parametrize("published", [math.nan, 0.5, 3.0])
@pytest.mark.parametrize("smallest", [math.nan, 0.6])
def test_p_is_the_level_at_which_a_row_is_decided(curves, claim, published, smallest):
    generator = np.random.default_rng(7)
    asked = {"published": published, "smallest": smallest}
    asked = {key: value for key, value in asked.items() if not math.isnan(value)}
    claims = [
        claim("rise", at=1, later=2, **asked),
        claim("gain_explained", matched_metric="affine", to_level=1, **asked),
        claim("change", levels=[1, 2], **asked),
    ]
    checked = 0
    for _ in range(25):
        means = {
            ("cam", metric, "all"): centre + 0.6 * generator.standard_normal((5, 3))
            for metric, centre in (("iou", [0, 1, 0.2]), ("affine", [0, 0.2, 0]))
        }
        for one in claims:
            networks = ClaimCurves(curves(means, images=3, spread=0.1), one)
            found = look_at(CLAIMS.load(one["test"])(one), networks)
            if not found.is_testable:
                continue
            if found.p < 0.99:
                assert found.decide(min(found.p * 1.001, 0.999)).verdict != "open"
            if 1e-9 < found.p < 1:
                assert found.decide(found.p * 0.999).verdict == "open"
                checked += 1
    assert checked > 40


def test_without_claims_the_table_has_its_columns():
    frame = claims_table([])
    assert frame.empty
    assert frame.columns.tolist() == TABLES["claims"].names


def test_the_table_survives_its_file(table, rises, claim, tmp_path):
    claims = [rises("a", published=0.3), claim("peak", name="b", between=[0, 1])]
    frame = table(claims, {IOU: RISES}).reset_index(drop=True)
    path = tmp_path / "claims.csv"
    write_rows("claims", path, frame)
    found = read("claims", path)
    numbers = ["estimate", "low", "p", "p_published", "n_images", "networks_needed"]
    for name in numbers:
        assert found[name].astype(float).to_numpy() == pytest.approx(
            frame[name].astype(float).to_numpy(), nan_ok=True
        )
    assert found["verdict"].tolist() == frame["verdict"].tolist()


def test_a_damaged_table_is_refused(table, rises, tmp_path):
    path = tmp_path / "claims.csv"
    with pytest.raises(InputError, match="does not exist"):
        read("claims", path)
    table([rises()], {IOU: RISES}).drop(columns="tier").to_csv(path, index=False)
    with pytest.raises(InputError, match="no column 'tier'"):
        read("claims", path)


# ------------------------------------------------------------------------------- error rates

STUDIES = 200
LEVELS = 6


def boundary_claims(claim):
    """Claims whose quantity lies on the bound in `boundary_means`: every verdict is wrong."""
    loss = {"of": "accuracy", "density": 0.5, "smallest": 0.01}
    primary, secondary = {"tier": "primary"}, {"tier": "secondary", "after": "decided"}
    return [
        claim("change", name="decided", metric="sure", levels=[1, 1], **primary),
        claim("no_loss", name="loss", after="decided", **loss, **primary),
        claim("rise", name="hill", metric="hill", at=2, later=4, after="loss", **primary),
        claim("correlation", name="r", **secondary),
        claim("peak", name="summit", metric="summit", between=[1, 3], **secondary),
        claim("change", name="change", metric="hill", levels=[1, 3], **secondary),
        claim("change", name="other", metric="still", levels=[1, 3], **secondary),
    ]


def boundary_means(generator, networks):
    def noise():
        return 0.01 * generator.standard_normal((networks, LEVELS))

    accuracy = 0.9 + noise()
    accuracy[:, 1] = accuracy[:, 0] - 0.01 + noise()[:, 0]
    summit = np.zeros((networks, LEVELS))
    # peaks at 2, 3 or 4: their mean is the bound 3
    summit[np.arange(networks), generator.integers(2, 5, networks)] = 1.0
    sure = noise()
    sure[:, 1] += 10.0
    names = {"hill": noise(), "still": noise(), "iou": noise(), "summit": summit, "sure": sure}
    return {ACCURACY: accuracy, **{("cam", name, "all"): means for name, means in names.items()}}


def test_wrong_verdicts_are_rare(claim, table):
    """More networks, and images, are in `tests/statistics`."""
    generator = np.random.default_rng(4)
    claims = boundary_claims(claim)
    parts = []
    for _ in range(STUDIES):
        parts.append(table(claims, boundary_means(generator, 4)))
    rows = pd.concat(parts).assign(study=np.repeat(np.arange(STUDIES), len(claims)))
    assert set(rows.loc["decided", "verdict"]) == {"supported"}
    wrong = rows.drop("decided")
    is_wrong = wrong["verdict"] != "open"
    # three standard errors above 5% of 200 studies: 9.6%
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
    for tier in ("primary", "secondary"):
        of_tier = (is_wrong & (wrong["tier"] == tier)).groupby(wrong["study"]).any()
        assert of_tier.mean() <= most
    # six rows at 5% each: a study would be wrong far more often
    uncorrected = (wrong["p"] < 0.05).groupby(wrong["study"]).any()
    assert uncorrected.mean() > 1.5 * most


def test_true_claims_are_found_with_enough_networks(claim, table):
    generator = np.random.default_rng(0)
    hill = np.array([0.10, 0.15, 0.20, 0.15, 0.10, 0.05])
    hill = hill + 0.002 * generator.standard_normal((5, 6))
    means = {IOU: hill, ACCURACY: hill + 0.7 + 0.002 * generator.standard_normal((5, 6))}
    claims = [
        claim("correlation", name="r"),
        claim("rise", name="rise", at=2, later=4),
        claim("correlation", name="wrong", expected="negative"),
        claim("no_loss", name="kept", of="iou", density=0.25, smallest=0.01),
    ]
    frame = table(claims, means, images=4, spread=0.01)
    assert frame["verdict"].to_dict() == {
        "r": "supported",
        "rise": "supported",
        "wrong": "contradicted",
        "kept": "supported",
    }
