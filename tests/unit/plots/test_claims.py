"""What the table of claims shows, as a picture and as a page."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from sparsight.io.errors import InputError
from sparsight.plots.claims import LEFT, TEXT_WIDTH, WIDTH, claims_figure, draw_claims, wrap_lines
from sparsight.plots.pages import bounds, claims_page, interval, number, p_words
from sparsight.plots.style import new_figure
from tests.tables import write_rows

SETTINGS = {"study": "demo", "statistics": {"confidence": 0.95}}
NAN = math.nan
CAPTION = Path(__file__).parents[3] / "workflow" / "report" / "claims.rst"


def row(**changes):
    found = {
        **{"name": "kept", "claim": "Nothing is lost.", "test": "no_loss", "dataset": "digits"},
        **{"model": "cnn", "pruner": "magnitude", "explainer": "", "metric": "accuracy"},
        **{"condition": "noisy", "subset": "all", "statistic": "fall of accuracy"},
        **{"published": 0.001, "holds_from": NAN, "holds_to": 0.01},
        **{"estimate": 0.002, "low": -0.001, "high": 0.005},
        **{"images_low": 0.0015, "images_high": 0.0025, "n_seeds": 3},
        **{"per_seed": "0.001;0.002;0.003", "p_for": 0.001, "p_against": 0.999},
        **{"p": 0.002, "p_adjusted": 0.006, "verdict": "supported", "remark": ""},
    }
    return {**found, **changes}


ROWS = [
    row(),
    row(claim="It rises.", holds_from=0.0, holds_to=NAN, published=NAN, verdict="contradicted"),
    row(claim="At six.", holds_from=5.0, holds_to=7.0, estimate=NAN, low=NAN, high=NAN, per_seed="",
        images_low=NAN, images_high=NAN, p_adjusted=NAN, verdict="undecided", published=NAN,
        remark="the networks do not differ: no test"),
]  # fmt: skip


@pytest.fixture
def figure():
    return claims_figure(ROWS, "Claims", 0.95)


def texts_of(figure, kind):
    return [text for text in figure.texts if text.get_gid() == kind]


def test_a_forest_shows_the_row(figure, lines_of):
    axes = figure.axes[0]
    data = {
        kind: list(lines_of(axes, kind)[0].get_xdata())
        for kind in ("seeds", "mean", "interval", "images", "published")
    }
    assert data == {
        "seeds": [0.001, 0.002, 0.003],
        "mean": [0.002],
        "interval": [-0.001, 0.005],
        "images": [0.0015, 0.0025],
        "published": [0.001],
    }
    heights = [lines_of(axes, kind)[0].get_ydata()[0] for kind in ("seeds", "mean", "images")]
    assert sorted(heights, reverse=True) == heights
    low, high = axes.get_xlim()
    assert low < -0.001
    assert high > 0.01


@pytest.mark.parametrize(("index", "low", "high"), [(0, None, 0.01), (1, 0.0, None), (2, 5, 7)])
def test_shaded_is_where_the_claim_is_true(figure, index, low, high):
    axes = figure.axes[index]
    (span,) = [patch for patch in axes.patches if patch.get_gid() == "true"]
    edges = axes.get_xlim()
    assert span.get_x() == pytest.approx(edges[0] if low is None else low)
    assert span.get_x() + span.get_width() == pytest.approx(edges[1] if high is None else high)


def test_a_verdict_is_a_word_and_a_symbol_on_different_ground(figure):
    verdicts = texts_of(figure, "verdict")
    assert [text.get_text() for text in verdicts] == [
        "✓ supported",
        "✗ contradicted",
        "○ undecided",
    ]
    assert len({text.get_bbox_patch().get_facecolor() for text in verdicts}) == 3


def test_what_is_undefined_says_so(figure):
    assert [text.get_text() for text in figure.axes[2].texts] == ["undefined"]
    words = [text.get_text() for text in figure.texts]
    assert "no test" in words
    assert "the networks do not differ: no test" in words


def test_nothing_overlaps_and_nothing_is_cut():
    long = "A claim of many words, WIDE ONES TOO, " * 5 + "and_of_one_name_without_any_space_" * 4
    figure = claims_figure([row(claim=long, remark=long), *ROWS], "Claims", 0.95)
    figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in figure.texts]
    width, height = figure.get_size_inches() * figure.dpi
    assert all(x.x0 >= 0 and x.x1 <= width and x.y0 >= 0 and x.y1 <= height for x in extents)
    overlaps = [
        (one, other)
        for i, one in enumerate(extents)
        for other in extents[:i]
        # letters without tails leave air; lines may touch but not cover each other
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 3
    ]
    assert overlaps == []
    edge = LEFT[1] / WIDTH * width
    assert all(text.get_window_extent().x1 < edge for text in texts_of(figure, "claim"))


def test_wrapping_loses_no_letter():
    text = "one two_that_is_much_longer_than_the_column_is_wide_" + "x" * 60 + " $3 and four"
    lines = wrap_lines(new_figure(1, 1), text, 8.5, {"fontweight": "bold"})
    assert len(lines) > 2
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap_lines(new_figure(1, 1), "short one", 8.5, {}) == ["short one"]
    assert LEFT[1] - LEFT[0] > TEXT_WIDTH


def test_words():
    assert number(-0.01234) == "−0.0123"
    assert number(NAN) == "–"
    assert interval(0.1, 0.25) == "0.1 to 0.25"
    assert interval(NAN, 0.25) == "–"
    assert [p_words(p) for p in (NAN, 0.0004, 0.0123, 1.0)] == [
        "no test",
        "< 0.001",
        "0.012",
        "1.000",
    ]
    spoken = [bounds(one).replace("\N{NO-BREAK SPACE}", " ") for one in ROWS]
    assert spoken == ["true below 0.01", "true above 0", "true from 5 to 7"]


class Page(HTMLParser):
    """Cells of a table, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"th", "td"} & set(self.open):
            self.cells[-1] += data


def test_the_page_is_a_table_with_heads():
    page = Page(claims_page(ROWS, "Claims", 0.95))
    assert page.open == []
    scopes = [attrs["scope"] for tag, attrs in page.tags if tag == "th"]
    assert scopes == ["col"] * 7 + ["row"] * 3
    assert page.cells[7].startswith("Nothing is lost.")
    assert page.cells[8:14] == [
        "0.002",
        "−0.001 to 0.005",
        "0.0015 to 0.0025",
        "0.001",
        "0.006",
        "✓ supported",
    ]
    assert page.cells[-6:] == ["–", "–", "–", "–", "no test", "○ undecided"]
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert next(attrs for tag, attrs in page.tags if tag == "html")["lang"] == "en"


def test_text_of_a_claim_is_no_markup():
    nasty = '<script>alert("x")</script> & $a_1$'
    text = claims_page([row(claim=nasty, remark=nasty, statistic=nasty)], nasty, 0.95)
    assert "<script" not in text
    assert Page(text).cells[7].startswith(nasty)
    figure = claims_figure([row(claim=nasty)], nasty, 0.95)
    figure.draw_without_rendering()
    assert "$a_1$" in " ".join(text.get_text() for text in figure.texts)
    assert not any(text.get_parse_math() for text in figure.texts)


def test_files(tmp_path, check_file):
    path = tmp_path / "claims.csv"
    write_rows("claims", path, pd.DataFrame(ROWS))
    figures, page = [tmp_path / "c.svg", tmp_path / "c.png"], tmp_path / "c.html"
    draw_claims(path, figures, page, SETTINGS)
    before = [output.read_bytes() for output in (*figures, page)]
    draw_claims(path, figures, page, SETTINGS)
    assert [output.read_bytes() for output in (*figures, page)] == before
    for output in figures:
        check_file(output)
    assert "Claims of the study demo" in page.read_text(encoding="utf-8")
    write_rows("claims", path, pd.DataFrame(ROWS).assign(verdict="proved"))
    with pytest.raises(InputError, match="verdict 'proved'"):
        draw_claims(path, figures, page, SETTINGS)


def test_a_study_without_claims(tmp_path):
    write_rows("claims", tmp_path / "claims.csv", pd.DataFrame())
    draw_claims(tmp_path / "claims.csv", [tmp_path / "c.svg"], tmp_path / "c.html", SETTINGS)
    assert (tmp_path / "c.svg").is_file()
    assert (tmp_path / "c.html").is_file()
    figure = claims_figure([], "Claims", 0.95)
    assert [text.get_text() for text in figure.texts][-1] == "The study makes no claims."


@pytest.mark.parametrize("settings", [{}, {"statistics": {"confidence": 0.95}, "claims": []}])
def test_caption(settings):
    jinja2, docutils = pytest.importorskip("jinja2"), pytest.importorskip("docutils.core")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    snakemake = SimpleNamespace(params=SimpleNamespace(settings=settings))
    source = environment.from_string(CAPTION.read_text()).render(snakemake=snakemake)
    html = docutils.publish_parts(
        source, writer="html", settings_overrides={"halt_level": 2, "report_level": 2}
    )["body"]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))
    assert "Undecided is not refuted" in text
    assert "5% of such studies" in text
    assert "p_adjusted against 0.05" in text
