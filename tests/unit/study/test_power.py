"""What claims can show before a run: the spread of a pilot, at the study's numbers."""

import math
import subprocess
import sys

import pandas as pd
import pytest

from sparsight.analysis.verdicts import detectable, excludable, look_levels, networks_to_show
from sparsight.study.costs.predict import Forecast
from sparsight.study.power import find_pilot, prospects, summary_line, table_lines
from sparsight.study.progress import network_line

CLAIM = {
    **{"name": "a", "claim": "It is so.", "test": "change", "pruner": "magnitude"},
    **{"explainer": "saliency", "metric": "soft_iou", "levels": [1, 3], "published": 0.05},
    **{"smallest": 0.02, "because": "No figure shows less."},
}
STUDY = {
    **{"seeds": [1, 2, 3, 4, 5], "explainers": ["saliency"], "metrics": ["soft_iou"]},
    "families": {"gradient": {"images": 100, "levels": "all"}},
}
#: variances .0008 by network, .002 by image, .04 of what is left, from 4 networks and 50 images
PARTS = {
    **{"n_seeds": 4, "n_images": 50, "se_networks": math.sqrt(0.0008 / 4)},
    **{"se_images": math.sqrt(0.002 / 50), "se_residual": math.sqrt(0.04 / 200)},
}
ROW = {"name": "a", "test": "change", "dataset": "digits", **PARTS}


@pytest.fixture
def write(tmp_path):
    """Function that writes rows of claims of a reference, or of a study's own earlier run."""

    def table(rows, reference="", own=""):
        folder = tmp_path / ("reference" if reference else "") / (reference or own)
        path = folder / ("" if reference else "summary") / "claims.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
        return path

    return table


@pytest.fixture
def planned(study_of, tmp_path):
    """Function from claims and changes of the study to their prospects."""

    def find(*claims, **overlay):
        study = study_of({**STUDY, "claims": list(claims), **overlay})
        return list(prospects(study, tmp_path, tmp_path / "reference"))

    return find


def pilot_at(path):
    """The components of a reference's file."""
    claim = {**CLAIM, "dataset": "digits"}
    return find_pilot(claim, "other", path.parents[2], path.parents[1]).components


def test_variances_come_back_from_the_parts_of_a_standard_error(write, tmp_path):
    path = write([{**ROW, "name": "other", "n_seeds": 9}, ROW], "spread")
    found = find_pilot({**CLAIM, "dataset": "digits"}, "mine", tmp_path, tmp_path / "reference")
    assert (found.source, found.images) == (path, 50)
    assert found.components == pytest.approx((0.0008, 0.002, 0.04))


def test_the_nearest_pilot_is_taken(write, tmp_path):
    def source(**claim):
        where = tmp_path, tmp_path / "reference"
        found = find_pilot({**CLAIM, "dataset": "digits", **claim}, "mine", *where)
        return found and found.source

    assert source() is None
    far = write([{**ROW, "dataset": "mnist"}], "a_far")
    assert source() == far
    near = write([ROW], "b_near")
    assert source() == near
    reference = write([{**ROW, "dataset": "mnist"}], "mine")
    assert source() == reference
    # a row without an interval is none
    write([{**ROW, "se_networks": math.nan}], own="mine")
    assert source() == reference
    own = write([ROW], own="mine")
    assert source() == own
    assert source(name="b") is None
    assert source(test="rise") is None


def test_older_tables_without_these_columns_are_no_pilots(write, tmp_path):
    write([{key: ROW[key] for key in ("name", "test", "dataset", "n_seeds")}], "old")
    claim = {**CLAIM, "dataset": "digits"}
    assert find_pilot(claim, "mine", tmp_path, tmp_path / "reference") is None


def test_a_claim_is_planned_with_the_numbers_of_the_study(write, planned):
    path = write([ROW], "pilot")
    (found,) = planned(CLAIM)
    components = pilot_at(path)
    assert found.networks == 5
    variance, df = components.at(5, 100)
    assert found.shows == pytest.approx(detectable(variance, df, 0.05))
    assert found.excludes == pytest.approx(excludable(variance, df, 0.05))
    assert found.needed == networks_to_show(components, 100, 0.05, 0.05)
    assert detectable(*components.at(found.needed, 100), 0.05) <= 0.05
    assert (found.effect, found.published, found.source) == (0.05, 0.05, path)
    without = {key: value for key, value in CLAIM.items() if key != "published"}
    (smaller,) = planned(without)
    assert smaller.effect == 0.02
    assert math.isnan(smaller.published)
    assert smaller.needed > found.needed


def test_levels_are_shared_by_looks_and_by_secondary_claims(write, planned):
    write([ROW, {**ROW, "name": "b"}, {**ROW, "name": "c"}], "pilot")
    looks = [2, 5, 8]
    (plain,) = planned(CLAIM)
    found = planned(CLAIM, seeds={"first": 1, "look": looks})
    assert [one.networks for one in found] == looks
    (without,) = planned({**CLAIM, "name": "d"}, seeds={"first": 1, "look": looks})
    assert (without.networks, without.source) == (8, None)
    # the second look has as many networks as the plain study, and a part of its level
    assert found[1].shows > plain.shows
    assert found[1].shows > found[2].shows
    # two networks decide nothing, but what the claim needs is known
    assert math.isnan(found[0].shows)
    assert math.isnan(found[0].excludes)
    assert found[0].needed > found[1].needed
    alpha = look_levels(looks)[1]
    (pilot,) = {one.source for one in found}
    components = pilot_at(pilot)
    assert found[1].shows == pytest.approx(detectable(*components.at(5, 100), alpha))
    family = [
        {**CLAIM, "tier": "primary"},
        {**CLAIM, "name": "b", "tier": "secondary", "after": "a"},
        {**CLAIM, "name": "c", "tier": "secondary", "after": "a"},
    ]
    first, second, third = planned(*family)
    assert first.shows == plain.shows
    assert second.shows == third.shows
    assert second.shows == pytest.approx(detectable(*components.at(5, 100), 0.025))


def test_levels_and_accuracies_are_no_effects(write, planned):
    write([{**ROW, "test": "peak"}], "pilot")
    keys = ("name", "claim", "pruner", "explainer", "metric", "smallest", "because")
    claim = {key: CLAIM[key] for key in keys} | {"test": "peak", "between": [1, 3]}
    (found,) = planned({**claim, "published": 2})
    assert found.effect == 0.02
    assert math.isnan(found.published)
    for key in ("smallest", "because"):
        del claim[key]
    (_, row) = table_lines(planned({**claim, "published": 2}))
    assert row.split()[6] == "–"


def test_the_table_says_what_is_known(write, planned):
    unknown = {**CLAIM, "name": "b"}
    path = write([ROW], "pilot")
    header, first, second = table_lines(planned(CLAIM, unknown))
    (found, _) = planned(CLAIM, unknown)
    assert header.split()[:6] == ["claim", "networks", "published", "smallest", "shows", "excludes"]
    shown = [f"{value:.2g}" for value in (found.shows, found.excludes)]
    assert first.split() == ["a", "5", "0.05", "0.02", *shown, str(found.needed), str(path)]
    assert second.split() == ["b", "5", "0.05", "0.02", "–", "–", "–", "no", "pilot"]
    (line,) = table_lines([])
    assert "no claims" in line


@pytest.mark.parametrize(("smaller", "counts"), [(1.0, (0, 0)), (0.5, (1, 0)), (0.0001, (1, 1))])
def test_a_dry_run_says_it_in_a_line(write, planned, smaller, counts):
    parts = ("se_networks", "se_images", "se_residual")
    write([{**ROW, **{key: ROW[key] * math.sqrt(smaller) for key in parts}}], "pilot")
    line = summary_line(planned(CLAIM, {**CLAIM, "name": "b"}))
    assert line.startswith(f"Claims: with 5 networks, {counts[0]} of 1 effects are shown")
    assert f"and {counts[1]} excluded" in line
    assert "1 have no pilot" in line


def test_fewer_than_four_networks_are_warned_of(planned):
    found = planned(CLAIM, seeds=[1, 2, 3])
    assert summary_line(found) == "Claims: 3 networks decide none of them; train 4 at least."
    assert list(table_lines(found))[-1] == summary_line(found)
    assert summary_line([]) == ""
    assert "decide none" not in summary_line(planned(CLAIM))


def test_one_more_network_costs_what_the_longest_of_those_planned_does():
    forecast = Forecast(seconds={("train",): 60.0, ("prune",): 30.0})
    jobs = {"1": [("prune",)], "2": [("train",), ("prune",), ("prune",)]}
    assert (
        network_line(jobs, forecast) == "One more network (seed) takes about 2 min 0 s of one core."
    )


def test_a_plain_plan_imports_no_scientific_library():
    code = (
        "import sys, sparsight.study.looks, sparsight.study.configuration, "
        "sparsight.study.costs.predict, sparsight.study.settings\n"
        "assert not {'torch', 'scipy', 'sparsight.study.power'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
