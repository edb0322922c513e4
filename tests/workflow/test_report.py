"""The report holds every figure and table with its caption."""

import csv
import json
import re
import shutil
import subprocess

import pytest

from sparsight.analysis.verdicts import NOT_TESTABLE, OPEN
from tests.workflow.conftest import PARTS, ROOT, copy_of
from tests.workflow.project import CLAIMS, Project

CATEGORIES = [
    "0 Guide",
    "1 Claims",
    "2 Accuracy",
    "3 Explanations",
    "4 Correlations",
    "5 Agreement",
    "6 Tables",
]
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
    for category in CATEGORIES:
        assert category in text
    for table in TABLES:
        assert f"{table}.csv" in text
    for part in (
        "claims, with verdicts",
        "claims.html",
        "guide.html",
        '"page": "methods, with references"',
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
    assert top >= 0
    assert 0 < bottom - top <= 600


@pytest.fixture(scope="module")
def landing_page(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A report of nothing but the guide, with a script that measures its first page."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed, so nothing can draw the report")
    project = copy_of(ROOT, tmp_path_factory.mktemp("landing") / "project", PARTS)
    guide = "results/tiny/summary/guide.html"
    project.run("--cores", "1", guide)
    project.run("--report", "report.html", guide)
    text = (project.folder / "report.html").read_text(encoding="utf-8")
    (project.folder / "measured.html").write_text(text + MEASURE, encoding="utf-8")
    return project
