"""Every number on the pages of results is drawn from a committed table, and is up to date."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.statistics import UNBOUNDED
from sparsight.analysis.verdict_table import NOT_RUN, StudyClaims, verdict_rows
from sparsight.io.errors import InputError
from sparsight.study.result_pages import (
    PAGES,
    Numbers,
    estimate,
    known_studies,
    most_surprising,
    needed,
    pages,
    plain,
    with_verdicts,
)

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import decide_references as again  # noqa: E402

RESULTS = ROOT / "docs" / "results"
TEMPLATES = ROOT / "src/sparsight/study/pages/results"
DECIDED_AGAIN = sorted(path.parent for path in again.REFERENCES.glob(f"*/{again.OLD}"))


def test_the_pages_hold_what_the_tables_say() -> None:
    made = pages(ROOT)
    assert sorted(path.name for path in RESULTS.glob("*.md")) == sorted(made)
    old = [name for name in made if (RESULTS / name).read_text(encoding="utf-8") != made[name]]
    assert not old, "out of date in docs/results: run `make docs` and commit them"


def test_the_site_lists_all_pages() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    index = (RESULTS / "README.md").read_text(encoding="utf-8")
    for name in set(PAGES) - {"README.md"}:
        assert f": docs/results/{name}\n" in listed
        assert f"]({name})" in index


def test_the_readme_holds_what_the_tables_say() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_verdicts(readme, ROOT) == readme, "run `make docs` and commit README.md"


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.md")), ids=lambda path: path.stem)
def test_no_template_writes_a_measured_number_out(path: Path) -> None:
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|arXiv \d{4}\.\d{5}", "", path.read_text("utf-8"))
    assert re.findall(r"(?<![\w/])[+−-]?\d*\.\d+", text) == []


def test_the_readme_shows_what_surprises_most() -> None:
    def study(name: str, *found: tuple[str, float, str]) -> StudyClaims:
        claims = [
            {"name": verdict, "claim": verdict, "tier": tier, "published": published}
            for verdict, published, tier in found
        ]
        rows = [{"name": claim["name"], "verdict": claim["name"]} for claim in claims]
        return StudyClaims(name, ["digits"], claims, pd.DataFrame(rows))

    shown = most_surprising(
        [
            study("thesis_a", ("supported", 1, "primary"), ("open", 1, "primary")),
            study("thesis_b", ("open", 1, "primary"), ("contradicted", 1, "secondary")),
            study("coginterp_a", ("no effect of practical size", math.nan, "primary")),
            study(
                "lth_a",
                ("no effect of practical size", 0.1, "primary"),
                ("supported", 0.1, "primary"),
            ),
            study("spade_a", ("less than half of published", 0.1, "primary")),
            study("spade_b", ("contradicted", math.nan, "primary")),
            study("pruning_ways", ("replicated", 0.1, "primary")),
        ]
    )
    assert [row["study"] for row in shown] == [
        *("spade_b", "spade_a", "lth_a", "coginterp_a", "thesis_a")
    ]


def test_every_claim_is_in_the_table_of_verdicts_once() -> None:
    studies = Numbers(ROOT).studies
    rows = [row for group in verdict_rows(studies.values()).values() for row in group]
    shown = {(row["study"], row["name"]) for row in rows}
    assert len(shown) == len(rows)
    run = {row["name"] for row in rows if row["verdict"] != NOT_RUN}
    missing = {
        (name, claim["name"])
        for name, study in studies.items()
        for claim in study.claims
        if (name, claim["name"]) not in shown and claim["name"] not in run
    }
    # the study that `make demo` runs is no result
    assert {name for name, _ in missing} <= {"demo"}


def test_every_claim_says_what_would_decide_it() -> None:
    without = [
        (name, claim["name"])
        for name, study in known_studies(ROOT).items()
        for claim in study["claims"]
        if "published" not in claim and "smallest" not in claim
    ]
    assert without == []


@pytest.mark.parametrize("folder", DECIDED_AGAIN, ids=lambda path: path.name)
def test_the_references_are_decided_as_today(folder: Path, tmp_path: Path) -> None:
    table = again.decide_again(folder, again.claims_of(folder.name))
    again.tables.write("claims", tmp_path / "claims.csv", table)
    committed = (folder / "claims.csv").read_text(encoding="utf-8")
    assert (tmp_path / "claims.csv").read_text(encoding="utf-8") == committed, (
        "run `make references docs` and commit them"
    )


def test_an_estimate_from_a_table_of_means() -> None:
    found = again.estimate(np.array([0.1, 0.3, np.nan, 0.2]), 0.05, 100, UNBOUNDED)
    assert found.value == pytest.approx(0.2)
    assert found.networks == 3
    assert found.variance == pytest.approx(0.1**2 / 3 + 0.05**2)
    assert found.df <= 4
    # more images only take the images' part away
    assert found.at(3, 100_000).variance == pytest.approx(0.1**2 / 3, rel=0.01)
    assert math.isnan(again.estimate(np.array([0.1]), 0.0, 1, UNBOUNDED).variance)


def test_a_number_that_no_table_holds_is_an_error() -> None:
    numbers = Numbers(ROOT)
    study, table = "norm_layer_ablation", "levels"
    assert numbers.value(study, table, "level", level=3) == 3
    for where in ({"explainer": "nothing"}, {"level": 99}):
        with pytest.raises(InputError, match=table):
            numbers.value(study, table, "mean", **where)
    with pytest.raises(InputError, match="nowhere"):
        numbers.value(study, "nowhere", "mean")
    with pytest.raises(InputError, match="'unheard'"):
        numbers.claim(study, "unheard")
    with pytest.raises(InputError, match="'unheard'"):
        numbers.published(study, "unheard")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3164, ".316"),
        (-0.0152, "−.015"),
        (0.00021, ".0002"),
        (-0.0000164, "−.00002"),
        (0.99996, "1.000"),
        (-1.234, "−1.23"),
        (12.34, "12.3"),
        (8333.0, "8333"),
        (-6.0, "−6"),
        (0.0, ".000"),
        (math.nan, "–"),
    ],
)
def test_numbers_in_words(value: float, text: str) -> None:
    assert plain(value) == text


def test_rows_in_words() -> None:
    row = {"estimate": 0.1, "low": -0.2, "high": 0.4}
    assert estimate(row) == ".100 [−.200, .400]"
    assert estimate({**row, "low": math.nan}) == ".100"
    row = {"networks_needed": 12.0, "images_needed": 1500.0, "pooled": False}
    assert needed(row) == "12 networks or 1,500 images"
    assert needed({**row, "networks_needed": math.nan}) == "1,500 images"
    unknown = {**row, "networks_needed": math.nan, "images_needed": math.nan}
    assert needed(unknown) == "more networks and more images"
    assert needed({**unknown, "pooled": True}) == "more data sets"


def test_tables_of_references_are_read_as_they_are() -> None:
    claims = pd.read_csv(ROOT / "results/reference/norm_layer_ablation/claims.csv")
    numbers = Numbers(ROOT)
    for row in claims.to_dict("records"):
        assert numbers.claim("norm_layer_ablation", row["name"])["estimate"] == row["estimate"]
