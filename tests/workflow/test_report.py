"""The report holds every figure and table with its caption."""

import csv
import json
import re
import shutil
import subprocess

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


#: writes the place of the landing text into the document once the page is drawn
MEASURE = """<script>window.addEventListener("load", () => setTimeout(() => {
  const place = document.querySelector(".prose").getBoundingClientRect();
  document.body.dataset.landing = JSON.stringify([place.top, place.bottom]);
}, 500));</script>"""


@pytest.mark.parametrize("width", [390, 1400, 1920])
def test_the_landing_text_fits_the_window(landing_page: Project, width: int) -> None:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--disable-background-networking", "--virtual-time-budget=5000"]
    command += [f"--window-size={width},900", str(landing_page.folder / "measured.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r'data-landing="(\[.*?\])"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    top, bottom = json.loads(found.group(1))
    # its first line is in the window
    assert 0 <= top < 300
    assert 0 < bottom - top <= 600
    assert "What the study tiny found" in done.stdout


@pytest.fixture(scope="module")
def landing_page(finished_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The report of the finished study, with a script that measures its first page."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed, so nothing can draw the report")
    folder = tmp_path_factory.mktemp("landing") / "project"
    shutil.copytree(finished_once.folder, folder, symlinks=True)
    project = Project(folder)
    project.run("--report", "report.html")
    text = (project.folder / "report.html").read_text(encoding="utf-8")
    (project.folder / "measured.html").write_text(text + MEASURE, encoding="utf-8")
    return project
