"""The report holds every figure and table with its caption."""

import csv
import re

from tests.workflow.project import CLAIMS, Project

CATEGORIES = [
    "0 Guide",
    "1 Claims",
    "2 Accuracy",
    "3 Explanations",
    "4 Correlations",
    "5 Agreement",
    "6 Savings",
    "7 Tables",
]
TABLES = [
    "agreement",
    "claims",
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
    for category in CATEGORIES:
        assert category in text
    for table in TABLES:
        assert f"{table}.csv" in text
    for part in (
        "claims, with verdicts",
        "claims.html",
        "guide.html",
        '"figure": "heatmaps"',
        "soft_iou",
        "ssim",
    ):
        assert part in text
    captions = re.findall(r'"caption": (\S{4})', text)
    # every table and figure, with the pages of claims and of the guide
    assert len(captions) >= len(TABLES) + 2 + 11
    assert [start for start in captions if not start.startswith('"<')] == []
    for sentence in ("naive and must not be read as a test", "never look at the network"):
        assert sentence in text


def test_every_claim_has_its_row_and_its_line_for_browsers(finished_once: Project) -> None:
    summary = finished_once.folder / "results" / "tiny" / "summary"
    with (summary / "claims.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [claim["name"] for claim in CLAIMS]
    for row in rows:
        # of one network nothing can be tested
        assert row["verdict"] == "undecided"
        assert "one network: no test" in row["remark"]
        assert row["n_seeds"] == "1"
        assert row["p"] == ""
        assert row["dataset"] == "digits"
    page = (summary / "claims.html").read_text(encoding="utf-8")
    assert [claim["name"] for claim in CLAIMS if str(claim["claim"]) not in page] == []
    assert "undecided" in page


def test_every_figure_is_there_in_both_forms(finished_once: Project) -> None:
    figures = finished_once.folder / "results" / "tiny" / "figures"
    network = "digits__tiny"
    names = {
        *(f"{folder}/{network}" for folder in ("accuracy", "conversion", "correlations")),
        f"correlation_tables/{network}",
        *(f"{kind}/{network}__soft_iou" for kind in ("metrics", "contrasts", "strata")),
        f"correctness/{network}__soft_iou",
        f"agreement/{network}__ssim",
        f"heatmaps/{network}__tiny",
        "claims",
    }
    found = {path.relative_to(figures).as_posix() for path in figures.rglob("*.*")}
    assert found == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")}
