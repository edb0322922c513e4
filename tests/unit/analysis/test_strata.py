"""Strata of difficulty: do hard images change more?"""

import math

import pandas as pd
import pytest

from sparsight.analysis.contrasts import stratify
from sparsight.analysis.tables import TABLES
from tests.tables import write_bits

# subset to level to the mean of seeds 1, 2, 3
MEANS = {
    "hard": [(0.30, 0.30, 0.30), (0.34, 0.35, 0.36)],  # changes by .04 .05 .06
    "medium": [(0.40, 0.40, 0.40), (0.41, 0.41, 0.41)],
    "easy": [(0.50, 0.51, 0.52), (0.52, 0.53, 0.54)],  # changes by .02 each
}


def rows_of(means=MEANS, **more):
    return [
        {"seed": seed, "level": level, "mean": mean, "subset": subset, **more}
        for subset, levels in means.items()
        for level, values in enumerate(levels)
        for seed, mean in enumerate(values, start=1)
    ]


def run(tmp_path, paths):
    settings = {"controls": ["edges"], "statistics": {"confidence": 0.5}}
    stratify(paths, write_bits(tmp_path), tmp_path / "strata.csv", settings)
    return pd.read_csv(tmp_path / "strata.csv")


def pick(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_hard_minus_easy_worked_out_on_paper(tmp_path, write_chains):
    table = run(tmp_path, write_chains(rows_of()))
    assert list(table.columns) == TABLES["contrasts"].names
    assert set(table["subset"]) == {"hard", "medium", "easy", "hard_minus_easy"}
    row = pick(table, subset="hard_minus_easy", level=1)
    # .02 .03 .04: the hard images changed by so much more
    assert row["difference"] == pytest.approx(0.03)
    assert row["effect_size"] == pytest.approx(3.0)
    t = 3 * math.sqrt(3)
    assert row["p"] == pytest.approx(1 - t / math.sqrt(2 + t**2))
    assert row["mean"] == pytest.approx(-0.18)
    assert pick(table, subset="hard", level=1)["difference"] == pytest.approx(0.05)
    assert pick(table, subset="medium", level=1)["difference"] == pytest.approx(0.01)
    start = pick(table, subset="hard_minus_easy", level=0)
    assert start["mean"] == pytest.approx(-0.21)
    assert math.isnan(start["difference"])


def test_strata_meet_the_same_draws(tmp_path, write_chains):
    rows = rows_of()
    for row in rows:  # in a draw, hard images change by 2 offsets more and easy ones by one more
        row["spread"] = row["level"] * {"hard": 2.0, "easy": 1.0, "medium": 0.0}[row["subset"]]
    row = pick(run(tmp_path, write_chains(rows)), subset="hard_minus_easy", level=1)
    assert row["difference_images_low"] == pytest.approx(0.03 - 0.01, abs=1e-6)
    assert row["difference_images_high"] == pytest.approx(0.03 + 0.01, abs=1e-6)


def test_strata_that_change_alike_differ_by_nothing(tmp_path, write_chains):
    alike = {"hard": [(0.1, 0.2), (0.1, 0.2)], "easy": [(0.7, 0.3), (0.7 + 1e-12, 0.3 - 1e-12)]}
    rows = rows_of(alike, explainer="edges")
    row = pick(run(tmp_path, write_chains(rows)), subset="hard_minus_easy", level=1)
    assert row["difference"] == 0.0
    assert (row["seeds_up"], row["seeds_down"]) == (0, 0)
    assert math.isnan(row["p"])


def test_the_gap_is_a_family_of_its_own(tmp_path, write_chains):
    means = {**MEANS, "medium": [(0.40, 0.40, 0.40), (0.38, 0.41, 0.45)]}
    table = run(tmp_path, write_chains(rows_of(means)))
    gap = pick(table, subset="hard_minus_easy", level=1)
    assert gap["p_adjusted"] == pytest.approx(gap["p"])
    strata = table[(table["subset"] != "hard_minus_easy") & (table["level"] == 1)]
    # easy images change by .02 in all networks: no test. Two are left.
    p = strata["p"].dropna().sort_values().to_list()
    adjusted = strata["p_adjusted"].dropna().sort_values().to_list()
    assert adjusted == pytest.approx([min(2 * p[0], p[1]), p[1]])


def test_undefined_in_one_stratum_is_undefined_in_the_gap(tmp_path, write_chains):
    means = {**MEANS, "hard": [MEANS["hard"][0], (math.nan, 0.35, 0.36)]}
    table = run(tmp_path, write_chains(rows_of(means)))
    row = pick(table, subset="hard_minus_easy", level=1)
    assert row["n_seeds"] == 2
    assert row["difference"] == pytest.approx((0.03 + 0.04) / 2)
    assert pick(table, subset="easy", level=1)["n_seeds"] == 3


def test_without_strata_there_is_no_gap(tmp_path, write_chains):
    assert run(tmp_path, write_chains(rows_of({"all": MEANS["hard"]}))).empty
    table = run(tmp_path, write_chains(rows_of({"hard": MEANS["hard"]})))
    assert set(table["subset"]) == {"hard"}


def test_the_order_of_the_files_does_not_matter(tmp_path, write_chains):
    paths = write_chains(rows_of() + rows_of(explainer="edges"))
    run(tmp_path, paths)
    before = (tmp_path / "strata.csv").read_bytes()
    run(tmp_path, paths[::-1])
    assert (tmp_path / "strata.csv").read_bytes() == before
