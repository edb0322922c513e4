"""The report holds every figure and table with its caption."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sparsight.analysis.verdicts import NOT_TESTABLE, OPEN
from sparsight.study.report_pages import CATEGORIES
from tests.workflow.project import CLAIMS, Project

TABLES = [
    "agreement",
    "claims",
    "class_harm",
    "contrasts",
    "control_gaps",
    "correctness",
    "correlations",
    "costs",
    "levels",
    "strata",
]


def test_the_report_is_built_with_captions(finished: Project) -> None:
    said = finished.run("--report", "report.html")
    # docutils reports what it cannot lay out, and goes on
    assert not re.search(r"\((WARNING|ERROR|SEVERE)/\d\)", said), said[-2000:]
    text = (finished.folder / "report.html").read_text(encoding="utf-8")
    # the tiny study has no concepts
    for category in [*CATEGORIES.values()][:-1]:
        assert category in text
    for part in (
        "claims, with verdicts",
        "claims.html",
        "guide.html",
        '"page": "methods, with references"',
        '"figure": "maps"',
        '"metric": "soft IoU"',
        '"metric": "SSIM"',
        "What the study tiny found",
    ):
        assert part in text
    pages = finished.folder / "results" / "tiny" / "report"
    shown = {path.relative_to(pages).as_posix() for path in pages.glob("*/*.html")}
    assert {f"tables/{table}.html" for table in TABLES} <= shown
    assert len(shown) == len(TABLES) + 10 + 1
    assert [path for path in shown if f"results/tiny/report/{path}" not in text] == []
    gaps = (pages / "tables" / "correlations.html").read_text(encoding="utf-8")
    assert "naive and must not be read as a test" in gaps
    (metric,) = pages.glob("explanations/metrics__*.html")
    caption = metric.read_text(encoding="utf-8").partition("<figcaption>")[2]
    assert "never look at the network" in caption
    assert "1 trained network, 3 levels, 40 explained images" in caption


def test_every_claim_has_its_row_and_its_line_for_browsers(finished_once: Project) -> None:
    summary = finished_once.folder / "results" / "tiny" / "summary"
    with (summary / "claims.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [claim["name"] for claim in CLAIMS]
    for row in rows:
        # of one network nothing can be decided
        assert row["verdict"] in (OPEN, NOT_TESTABLE)
        assert row["verdict_reason"]
        assert row["n_seeds"] == "1"
        assert row["p"] == ""
        assert row["dataset"] == "digits"
    page = (summary / "claims.html").read_text(encoding="utf-8")
    assert [claim["name"] for claim in CLAIMS if str(claim["claim"]) not in page] == []
    assert OPEN in page
    assert "ndecided" not in page


def test_methods_cite_what_stands_in_the_references(finished_once: Project) -> None:
    summary = finished_once.folder / "results" / "tiny" / "summary"
    text = (summary / "methods.md").read_text(encoding="utf-8")
    references = (summary / "references.bib").read_text(encoding="utf-8")
    for key in ("alpaydin1998", "chattopadhyay2018", "han2015", "obuchowski1995"):
        assert f"@{key}" in text
        assert f"{{{key}," in references


def test_every_figure_is_there_in_both_forms(finished_once: Project) -> None:
    figures = finished_once.folder / "results" / "tiny" / "figures"
    network = "digits__tiny"
    names = {
        *(f"{folder}/{network}" for folder in ("accuracy", "correlations")),
        f"correlation_tables/{network}",
        *(f"{kind}/{network}__soft_iou" for kind in ("metrics", "contrasts", "strata")),
        f"correctness/{network}__soft_iou",
        f"agreement/{network}__ssim",
        f"heatmaps/{network}__tiny",
        "claims",
    }
    found = {path.relative_to(figures).as_posix() for path in figures.rglob("*.*")}
    assert found == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")}


@pytest.mark.parametrize("width", [390, 1400, 1920])
def test_the_landing_text_fits_the_window(report: Path, chromium: Any, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(report.as_uri())
    text = page.locator(".prose").first
    text.get_by_text("What the study tiny found").wait_for()
    place = text.bounding_box()
    page.close()
    # its first line is in the window
    assert 0 <= place["y"] < 300
    assert 0 < place["height"] <= 600


@pytest.fixture(scope="module")
def report(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the finished study."""
    folder = tmp_path_factory.mktemp("landing") / "project"
    shutil.copytree(finished_once.folder, folder, symlinks=True)
    Project(folder).run("--report", "report.html")
    return folder / "report.html"
