"""What differs between two studies, on the console and on a page."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.differences import differences
from sparsight.analysis.results import load_results
from sparsight.io.files import write_json
from sparsight.study.compare import MOST_ROWS, main
from tests.tables import write_rows

REFERENCES = Path(__file__).parents[3] / "results" / "reference"
NAMES = {"dataset": "digits", "model": "cnn", "pruner": "magnitude", "condition": "clean"}
SETTINGS = {
    "study": "first",
    "seeds": [0, 1, 2],
    "explaining": {"images": 100, "target": "true"},
    "claims": [{"name": "holds", "smallest": 0.1}],
    "statistics": {"confidence": 0.9},
}


def contrast(mean=0.5, width=0.1, **names):
    row = {
        **NAMES,
        "level": 1,
        "explainer": "cam",
        "metric": "iou",
        "subset": "all",
        "density": 0.5,
    }
    bounds = {"mean": mean, "mean_low": mean - width, "mean_high": mean + width}
    return {**row, **bounds, "difference": np.nan, **names}


def study(folder, *, contrasts=(), claims=(), settings=SETTINGS):
    summary = folder / "summary"
    if contrasts:
        write_rows("contrasts", summary / "contrasts.csv", pd.DataFrame(contrasts))
    write_rows("claims", summary / "claims.csv", pd.DataFrame(claims or [{"name": "holds"}]))
    if settings:
        write_json(summary / "provenance.json", {"settings": settings})
    return folder


@pytest.fixture
def compared(tmp_path):
    def found(a, b):
        folders = [study(tmp_path / name, **what) for name, what in (("a", a), ("b", b))]
        return differences(*map(load_results, folders))

    return found


def test_a_difference_has_the_interval_of_independent_estimates(compared):
    """Half-widths .03 and .04 add up to .05 (3, 4, 5): .06 is more, .04 is not."""
    near, far = {"metric": "near"}, {"metric": "far"}
    found = compared(
        {"contrasts": [contrast(0.5, 0.03, **near), contrast(0.5, 0.03, **far)]},
        {"contrasts": [contrast(0.54, 0.04, **near), contrast(0.44, 0.04, **far)]},
    )
    rows = found.numbers.set_index("metric")
    assert list(rows.index) == ["far", "near"], "the furthest beyond comes first"
    assert list(rows["beyond"]) == [True, False]
    assert rows.loc["far", ["difference", "low", "high"]].tolist() == pytest.approx(
        [-0.06, -0.11, -0.01]
    )
    assert rows.loc["near", ["low", "high"]].tolist() == pytest.approx([-0.01, 0.09])
    assert (found.compared, found.equal, found.without_interval) == (2, 0, 0)


def test_the_ends_that_face_each_other_decide(compared):
    """A, .5 [.4, .52], lies below B, .6 [.55, .9]: hypot(.02, .05) is less than .1."""
    a = contrast(0.5, mean_low=0.4, mean_high=0.52)
    b = contrast(0.6, mean_low=0.55, mean_high=0.9)
    assert compared({"contrasts": [a]}, {"contrasts": [b]}).numbers["beyond"].all()
    assert (
        not compared({"contrasts": [a | {"mean_high": 0.6}]}, {"contrasts": [b]})
        .numbers["beyond"]
        .any()
    )


def test_rows_are_equal_without_an_interval_or_in_one_study_only(compared):
    rows = [
        contrast(),
        contrast(width=np.nan, explainer="one_network"),
        contrast(width=0, explainer="edges"),
    ]
    found = compared(
        {"contrasts": [*rows, contrast(level=2)]},
        {"contrasts": [*rows, contrast(explainer="saliency"), contrast(metric="gini")]},
    )
    assert (found.compared, found.equal, found.without_interval) == (1, 1, 2)
    assert found.numbers.empty
    only = found.only.set_index("study")
    assert only["rows"].to_dict() == {"A": 1, "B": 2}
    assert only.loc["A", "values"] == "level 2"
    assert only.loc["B", "values"] == "explainer saliency; metric gini"


def test_studies_of_two_networks_are_matched_and_said_to_be(compared):
    """Each has one model that the other lacks, and two pruners: pruners are not matched."""
    found = compared(
        {"contrasts": [contrast(0.2), contrast(pruner="random")]},
        {"contrasts": [contrast(0.8, model="vit"), contrast(pruner="x", model="vit")]},
    )
    assert found.matched == {"model": ("cnn", "vit"), "pruner": ("random", "x")}
    assert found.numbers["difference"].tolist() == pytest.approx([0.6])
    found = compared(
        {"contrasts": [contrast(), contrast(pruner="random")]},
        {"contrasts": [contrast(pruner="x")]},
    )
    assert found.matched == {}
    assert found.compared == 0


def test_verdicts_that_changed_or_stand_in_one_study(compared):
    claim = {"name": "holds", "verdict": "supported", "estimate": -0.1, "low": -0.2, "high": np.nan}
    same = {"name": "same", "verdict": "open"}
    found = compared(
        {"claims": [claim, same, {"name": "old", "verdict": "open", "estimate": np.nan}]},
        {"claims": [claim | {"verdict": "open", "high": 0.3}, same | {"estimate": 7}]},
    )
    assert found.same_verdicts == 1
    assert found.verdicts.to_numpy().tolist() == [
        ["holds", "supported, −0.1", "open, −0.1 [−0.2, 0.3]"],
        ["old", "open", "–"],
    ]


def test_settings_are_named_by_their_keys(compared):
    other = {
        **SETTINGS,
        "study": "second",
        "seeds": [0, 1],
        "explaining": {"images": 200, "target": "true", "levels": [0, 3]},
        "claims": [{"name": "holds", "smallest": 0.2}, {"name": "new", "smallest": 1}],
    }
    found = compared({}, {"settings": other})
    assert found.settings.to_numpy().tolist() == [
        ["explaining.images", "100", "200"],
        ["explaining.levels", "–", "0, 3"],
        ["seeds", "0, 1, 2", "0, 1"],
        ["claims.holds.smallest", "0.1", "0.2"],
        ["claims.new", "–", '{"name": "new", "smallest": 1}'],
    ]
    assert found.confidence == 0.9


def test_settings_that_a_study_does_not_state_are_not_compared(compared):
    found = compared({}, {"settings": None})
    assert not found.settings_known
    assert found.settings.empty


def test_of_long_lists_only_what_differs_is_said(compared):
    a, b = {"metrics": [*"abcdefgh"]}, {"metrics": [*"abcdefgx"]}
    found = compared({"settings": a}, {"settings": b})
    assert found.settings.to_numpy().tolist() == [
        ["metrics", "h (and 7 that both have)", "x (and 7 that both have)"]
    ]


def test_console_and_page(tmp_path, capsys):
    many = [contrast(0.1 * level, 0.01, level=level) for level in range(MOST_ROWS + 5)]
    moved = [row | {"mean": row["mean"] + 1, "mean_low": row["mean_low"] + 1,
                    "mean_high": row["mean_high"] + 1} for row in many]  # fmt: skip
    a = study(tmp_path / "a", contrasts=many)
    b = study(tmp_path / "b", contrasts=moved, claims=[{"name": "<holds>", "verdict": "open"}])
    page = tmp_path / "pages" / "difference.html"
    main([str(a), str(b), "--page", str(page)])
    text = capsys.readouterr().out
    assert f"A: {a}\nB: {b}\n" in text
    assert (
        "25 rows that both have, 0 are equal, and 25 differ by more than their 90% intervals"
        in text
    )
    assert "0.1 [0.09 to 0.11]" in text
    assert "… and 5 more, which --page FILE.html shows" in text
    html = page.read_text()
    assert html.count("<td>1 [0.986 to 1.01]</td>") == 25
    assert "&lt;holds&gt;" in html
    assert "http" not in html, "it loads nothing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "."], "nowhere holds no tables of a study; give its folder, results/NAME"),
        (["a", "a", "--page", "a"], "cannot be written .*; give another --page"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    study(tmp_path / "a")
    with pytest.raises(SystemExit, match=message):
        main(arguments)


def test_committed_references_as_a_user_compares_them():
    folders = [str(REFERENCES / name) for name in ("lth_ham10000_cpu", "lth_cub200_cpu")]
    command = [sys.executable, "-m", "sparsight", "compare", *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "dataset ham10000_64 of A with cub200_64 of B" in done.stdout
    assert "explaining.images" in done.stdout
    assert "decline_of_the_code" in done.stdout, "a claim of birds only"
    wrong = subprocess.run([*command[:3], "compares"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("usage: sparsight compare A B")) == (1, True)


def test_a_reference_does_not_differ_from_itself():
    results = load_results(REFERENCES / "lth_ham10000_cpu")
    found = differences(results, results)
    assert found.compared == found.equal > 500
    assert found.settings.empty
    assert found.verdicts.empty
    assert found.only.empty
    assert found.same_verdicts == 7
