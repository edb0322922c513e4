"""The pages of the report: the answer, figures with captions, tables to sort and filter."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sparsight.analysis.tables import TABLES
from sparsight.plots.report import write_report
from tests.tables import write_rows

CAPTIONS = Path(__file__).parents[3] / "workflow" / "report"
NAMES = {"dataset": "digits", "model": "cnn", "metric": "soft_iou"}
PAGES = [
    {
        "title": "level by level, soft IoU",
        "page": "explanations/metrics__digits__cnn__soft_iou.html",
        "file": "metrics/digits__cnn__soft_iou.svg",
        "caption": "metric",
        "labels": {"figure": "level by level"},
        "names": NAMES,
    },
    {
        "title": "maps",
        "page": "explanations/heatmaps__digits__cnn__magnitude.html",
        "file": "heatmaps/digits__cnn__magnitude.png",
        "caption": "heatmaps",
        "labels": {"figure": "maps"},
        "names": {"dataset": "digits", "model": "cnn", "pruner": "magnitude"},
    },
    {
        "title": "control gaps",
        "page": "tables/control_gaps.html",
        "file": "control_gaps.csv",
        "caption": "control_gaps",
        "labels": {"table": "control gaps"},
        "names": {},
    },
]
SETTINGS = {
    "study": "small",
    "pages": PAGES,
    "carrying": [PAGES[0]["file"]],
    "captions": {
        page["caption"]: (CAPTIONS / f"{page['caption']}.rst").read_text(encoding="utf-8")
        for page in PAGES
    },
    "labels": {"metric": {"soft_iou": "soft IoU"}, "dataset": {"digits": "Digits"}},
    "metrics": {"soft_iou": {"direction": "higher", "unit": "share, 0 to 1"}},
    "statistics": {"confidence": 0.95},
    "confidence": 0.95,
    "retrain": [],
    "claims": True,
    "counts": {"digits/cnn": "3 trained networks, 6 levels, 40 explained images"},
}
CLAIM = {
    "name": "grows",
    "claim": "It <grows>.",
    "test": "change",
    "tier": "primary",
    "metric": "soft_iou",
    "statistic": "change of soft_iou",
    "estimate": 0.5,
    "low": 0.25,
    "high": 0.75,
    "n_seeds": 3,
    "n_images": 40,
    "verdict": "supported",
}


def gaps(**changed):
    kinds = {"str": "x", "bool": False}
    row = {c.name: kinds.get(c.dtype, 1) for c in TABLES["control_gaps"].columns}
    return {**row, "dataset": "digits", "model": "cnn", "metric": "soft_iou", **changed}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of pages of a small study."""
    folder = tmp_path_factory.mktemp("study")
    figures, summary = folder / "figures", folder / "summary"
    for page in PAGES[:2]:
        path = (figures / page["file"]).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((900, 600, 3), 200, dtype=np.uint8)).save(path)
    svg = '<?xml version="1.0"?>\n<svg width="10" height="10"><rect id="drawn"/></svg>'
    (figures / PAGES[0]["file"]).write_text(svg, encoding="utf-8")
    for number in (10, 2):
        other = figures / f"heatmaps/digits__cnn__magnitude.page{number}.png"
        Image.fromarray(np.full((2, number, 3), 200, dtype=np.uint8)).save(other)
    summary.mkdir()
    rows = [gaps(explainer="a", gap=-0.5), gaps(explainer="b</script>", gap=np.nan)]
    write_rows("control_gaps", summary / "control_gaps.csv", pd.DataFrame(rows))
    write_rows("claims", summary / "claims.csv", pd.DataFrame([CLAIM]))
    write_report(
        folder / "report",
        figures=figures,
        tables_in=summary,
        settings=SETTINGS,
    )
    return folder / "report"


def text_of(path):
    return path.read_text(encoding="utf-8")


def test_a_figure_has_its_caption_with_labels_and_counts(written):
    page = text_of(written / PAGES[0]["page"])
    assert '<rect id="drawn"/>' in page
    assert "<?xml" not in page
    caption = re.sub(r"<[^>]+>", "", page.partition("<figcaption>")[2])
    caption = re.sub(r"\s+", " ", caption)
    assert "Mean of soft IoU (share, 0 to 1)" in caption
    assert "for cnn on Digits" in caption
    assert "Higher is better." in caption
    assert "3 trained networks, 6 levels, 40 explained images" in caption
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text_of(written / PAGES[1]["page"]))
    widths = [Image.open(io.BytesIO(base64.b64decode(data))).width for data in found]
    # the pages of a figure come in their order
    assert widths == [600, 2, 10]


def test_a_figure_with_nothing_to_show_is_not_listed(written, tmp_path):
    figures = tmp_path / "figures"
    shutil.copytree(written.parent / "figures", figures)
    (figures / PAGES[0]["file"]).write_text('<svg><g id="nothing"/></svg>', encoding="utf-8")
    write_report(
        tmp_path / "report",
        figures=figures,
        tables_in=written.parent / "summary",
        settings=SETTINGS,
    )
    assert not (tmp_path / "report" / PAGES[0]["page"]).exists()
    assert (tmp_path / "report" / PAGES[1]["page"]).exists()


def test_the_answer_has_verdicts_and_then_the_figures_that_carry_them(written):
    page = text_of(written / "answer" / "answer.html")
    assert "It &lt;grows&gt;." in page
    assert "change of soft IoU" in page
    assert "0.25 to 0.75" in page
    assert "3 networks × 40 images" in page
    assert page.index("supported") < page.index('id="drawn"')


def test_the_first_page_says_the_verdict_and_links_to_the_figures(written):
    page = text_of(written / "landing.html")
    assert "supported</b>: It &lt;grows&gt;." in page
    assert "1 claim: 1 supported." in page
    assert f"{written.as_posix()}/{PAGES[0]['page']}" in page
    assert "data:image/webp" in page


def test_without_claims_the_first_page_says_so(written, tmp_path):
    write_report(
        tmp_path,
        figures=written.parent / "figures",
        tables_in=written.parent / "summary",
        settings={**SETTINGS, "claims": False, "carrying": []},
    )
    for page in ("landing.html", "answer/answer.html"):
        assert "makes no claims" in text_of(tmp_path / page)


def test_a_table_stands_in_its_page(written):
    page = text_of(written / "tables" / "control_gaps.html")
    content = re.search(r'id="content">(.*?)</script>', page, re.DOTALL)
    rows = json.loads(content[1])["rows"]
    names = [column.name for column in TABLES["control_gaps"].columns]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    assert [row["gap"] for row in found] == [-0.5, None]
    assert [row["explainer"] for row in found] == ["a", "b</script>"]
    assert {row["metric"] for row in found} == {"soft IoU"}


def test_tables_are_sorted_searched_and_filtered_in_a_browser(written, chromium):
    page = chromium.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((written / "tables" / "control_gaps.html").as_uri())
    place = [column.name for column in TABLES["control_gaps"].columns].index("explainer")

    def explainers():
        return page.locator(f"tbody td:nth-child({place + 1})").all_inner_texts()

    assert explainers() == ["a", "b</script>"]
    head = page.locator(f"thead th:nth-child({place + 1}) button")
    head.click()
    head.click()
    assert explainers() == ["b</script>", "a"]
    page.fill("[name=search]", "script")
    assert explainers() == ["b</script>"]
    page.fill("[name=search]", "")
    page.select_option(f"[name='{place}']", '"a"')
    assert explainers() == ["a"]
    # what is undefined comes last in both directions
    page.select_option(f"[name='{place}']", "")
    gap = page.locator("thead button", has_text=re.compile("^gap$"))
    gap.click()
    assert explainers() == ["a", "b</script>"]
    page.locator("thead button", has_text=re.compile("^gap")).first.click()
    assert explainers() == ["a", "b</script>"]
    page.close()
    assert complaints == []
