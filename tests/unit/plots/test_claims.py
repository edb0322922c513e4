"""What the table of claims shows, as a picture and as a page."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from sparsight.analysis import verdicts
from sparsight.io.errors import InputError
from sparsight.plots.claims import LEFT, WIDTHS, claims_pages, draw_claims
from sparsight.plots.pages import (
    SIGNS,
    axis_limits,
    bounds,
    by_tier,
    claim_rows,
    claims_page,
    error_words,
    facts,
    interval,
    notes,
    number,
    variance_shares,
)
from sparsight.plots.style import WIDTH, figure_style, wrap_lines
from tests.tables import write_rows

SETTINGS = {"study": "demo"}
NAN = math.nan
CAPTION = Path(__file__).parents[3] / "workflow" / "report" / "claims.rst"


def row(**changes):
    found = {
        **{"name": "kept", "claim": "Nothing is lost.", "test": "no_loss", "tier": "exploratory"},
        **{"after": "", "dataset": "digits", "model": "cnn", "pruner": "magnitude"},
        **{"explainer": "", "metric": "accuracy", "condition": "noisy", "subset": "all"},
        **{"statistic": "fall of accuracy", "published": 0.001, "smallest": 0.01},
        **{"because": "one image in a hundred", "holds_from": NAN, "holds_to": 0.01},
        **{"estimate": 0.002, "low": -0.001, "high": 0.005, "alpha": 0.05, "df": 3.0},
        **{"n_seeds": 3, "n_images": 200, "per_seed": "0.001;0.002;0.003"},
        **{"se_networks": 0.003, "se_images": 0.004, "se_residual": 0.0, "se_retrain": 0.002},
        **{"p": 0.002, "p_published": 0.3, "p_half_published": 0.2, "p_equivalent": 0.001},
        **{"e_value": 3.2, "empty_share": NAN, "look": 0},
        **{"networks_needed": NAN, "images_needed": NAN},
        **{"verdict": verdicts.REPLICATED, "verdict_reason": "", "remark": ""},
    }
    return {**found, **changes}


NO_ERRORS = {f"se_{part}": NAN for part in ("networks", "images", "residual", "retrain")}
NO_INTERVAL = {"low": NAN, "high": NAN, **NO_ERRORS, "e_value": NAN}
NO_SMALLEST = {"smallest": NAN, "because": ""}
RISES = {"claim": "It rises.", "test": "change", "holds_from": 0.0, "holds_to": NAN}
ROWS = [
    row(),
    row(name="rise", **RISES, published=NAN, verdict=verdicts.CONTRADICTED),
    row(name="peak", claim="At six.", holds_from=5.0, holds_to=7.0, estimate=NAN, per_seed="",
        **NO_INTERVAL, **NO_SMALLEST, verdict=verdicts.NOT_TESTABLE,
        verdict_reason="the networks do not differ"),
]  # fmt: skip
#: every verdict, and whatever a row can lack
ALL = [
    row(name="second", tier="primary", after="first", **RISES, verdict=verdicts.OPEN,
        verdict_reason="12 networks or 300 images would decide it", look=2, empty_share=0.034),
    row(name="first", tier="primary", alpha=0.0115, e_value=2.3e7),
    row(name="third", tier="secondary", after="first", verdict=verdicts.SUPPORTED_SMALLER,
        alpha=0.05 / 8, **RISES),
    row(name="value", test="value", holds_from=0.901, holds_to=0.921, published=0.911,
        estimate=0.92, low=0.9, high=0.93, per_seed="0.92;0.91;0.93", verdict=verdicts.SUPPORTED),
    row(name="pooled", test="pooled", pruner="", explainer="cam", n_images=NAN,
        per_seed="", **NO_ERRORS, e_value=NAN, verdict=verdicts.NO_EFFECT),
    row(name="level", n_images=1, se_images=NAN, se_residual=NAN, verdict=verdicts.SMALLER),
    row(name="half", verdict=verdicts.LESS_THAN_HALF, **NO_SMALLEST),
    row(name="unreached", after="second", **RISES, verdict=verdicts.OPEN,
        verdict_reason="4 networks at least"),
    *ROWS,
]  # fmt: skip
GIDS = ("claim", "numbers", "errors", "verdict", "reason")


@pytest.fixture(scope="module")
def figure():
    with figure_style():
        (page,) = claims_pages(ROWS, "Claims")
    return page


@pytest.fixture(scope="module")
def whole():
    with figure_style():
        return claims_pages(ALL, "Claims")


def texts_of(figure, kind):
    return [text for text in figure.axes[0].texts if text.get_gid() == kind]


def forests_of(figure):
    return [axes for axes in figure.axes[1:] if axes.lines]


def test_a_forest_shows_the_row(figure, lines_of):
    axes = forests_of(figure)[0]
    data = {
        kind: list(lines_of(axes, kind)[0].get_xdata())
        for kind in ("seeds", "mean", "interval", "published")
    }
    assert data == {
        "seeds": [0.001, 0.002, 0.003],
        "mean": [0.002],
        "interval": [-0.001, 0.005],
        "published": [0.001],
    }
    kinds = ("seeds", "mean", "published")
    heights = [lines_of(axes, kind)[0].get_ydata()[0] for kind in kinds]
    assert sorted(heights, reverse=True) == heights
    low, high = axes.get_xlim()
    assert low < -0.01
    assert high > 0.01


@pytest.mark.parametrize(("index", "low", "high"), [(0, None, 0.01), (1, 0.0, None), (2, 5, 7)])
def test_shaded_is_where_the_claim_is_true(figure, marks_of, index, low, high):
    axes = forests_of(figure)[index]
    (span,) = marks_of(axes, "true")
    edges = axes.get_xlim()
    assert span.get_x() == pytest.approx(edges[0] if low is None else low)
    assert span.get_x() + span.get_width() == pytest.approx(edges[1] if high is None else high)


def test_hatched_is_what_is_too_small_to_matter(figure, marks_of):
    (span,) = marks_of(forests_of(figure)[0], "small")
    assert [span.get_x(), span.get_width()] == pytest.approx([-0.01, 0.02])
    assert span.get_hatch()


def test_a_published_value_is_not_compared_with_effects_round_0(marks_of):
    """The axis of an accuracy of .92 does not reach down to 0."""
    value = next(one for one in ALL if one["test"] == "value")
    assert axis_limits(value)[0] > 0.8
    axes = forests_of(claims_pages([value], "Claims")[0])[0]
    assert all(math.isnan(span.get_x()) for span in marks_of(axes, "small"))


def test_a_bar_has_the_shares_of_the_variance(figure):
    assert variance_shares(row()) == pytest.approx(
        {"networks": 0.36, "images": 0.64, "residual": 0}
    )
    bars = [axes for axes in figure.axes[1:] if not axes.lines]
    assert len(bars) == 2
    widths = [patch.get_width() for patch in bars[0].patches]
    assert widths == pytest.approx([0.36, 0.64, 0.0])
    assert len({(p.get_facecolor(), p.get_hatch()) for p in bars[0].patches}) == 3


def test_parts_of_the_error_that_are_not_known_are_not_drawn():
    whole = ["■ networks 0.003", "▨ images 0.004", "□ residual 0", "retraining alone 0.002"]
    assert error_words(row()) == whole
    assert error_words(row(se_retrain=NAN)) == whole[:3]
    assert error_words(row(**NO_ERRORS)) == []
    assert variance_shares(row(**NO_ERRORS)) == {}
    assert variance_shares(row(se_networks=0.0, se_images=0.0)) == {}
    # a quantity of the network as a whole has no images whose error could be 0
    one = row(n_images=1, se_images=0.0, se_retrain=NAN)
    assert error_words(one) == whole[:1]
    assert variance_shares(one) == {"networks": 1.0}


def test_every_verdict_has_a_word_a_symbol_and_a_ground(whole):
    found = {
        text.get_text().replace("\n", " "): text
        for page in whole
        for text in texts_of(page, "verdict")
    }
    assert set(found) == {f"{sign.symbol} {name}" for name, sign in SIGNS.items()}
    assert len({sign.symbol for sign in SIGNS.values()}) == len(SIGNS) == 9
    grounds = {
        kind: {
            found[f"{sign.symbol} {name}"].get_bbox_patch().get_facecolor()
            for name, sign in SIGNS.items()
            if sign.kind == kind
        }
        for kind in ("holds", "against", "neither")
    }
    assert {len(colours) for colours in grounds.values()} == {1}
    # told apart in grey too
    greys = sorted(sum(next(iter(colours))[:3]) / 3 for colours in grounds.values())
    assert greys[1] - greys[0] > 0.3
    assert greys[2] - greys[1] > 0.05


def test_what_is_undefined_says_so(figure):
    assert [text.get_text() for text in forests_of(figure)[2].texts] == ["undefined"]
    reason = " ".join(text.get_text() for text in texts_of(figure, "reason"))
    assert reason == "the networks do not differ"


def test_primaries_come_first_and_in_their_order(whole):
    found = {tier: [one["name"] for one in rows] for tier, rows in by_tier(ALL).items()}
    assert list(found) == ["primary", "secondary", "exploratory"]
    assert found["primary"] == ["first", "second"]
    assert found["exploratory"][0] == "value"
    headings = [text.get_text() for page in whole for text in page.axes[0].texts]
    places = [headings.index(f"{tier.capitalize()} claims") for tier in found]
    assert places == sorted(places)
    assert "secondary" not in by_tier(ROWS)


def test_what_a_claim_comes_after():
    spoken = {one["name"]: notes(one) for one in ALL}
    assert "second · primary, after first" in spoken["second"]
    assert "first · primary" in spoken["first"]
    assert "unreached · exploratory, since second is not decided" in spoken["unreached"]
    assert "smallest effect 0.01: one image in a hundred" in spoken["first"]
    # it is about more than the data set that its row has
    assert spoken["pooled"][1] == "cam · noisy images"


def test_facts():
    assert facts(ALL[0]) == [
        ("95% interval", "−0.001 to 0.005"),
        ("published", "0.001"),
        ("smallest effect", "±0.01"),
        ("over", "3 networks × 200 images"),
        ("empty maps", "3.4%"),
        ("e-value", "3.2"),
        ("look", "2"),
    ]
    assert facts(ALL[1])[0] == ("98.85% interval", "−0.001 to 0.005")
    assert facts(ALL[1])[-1] == ("e-value", "over 1,000")
    undefined = row(**NO_INTERVAL, **NO_SMALLEST, published=NAN, n_images=1)
    assert facts(undefined) == [("over", "3 networks")]


def test_nothing_overlaps_and_nothing_is_cut():
    long = "A claim of many words, WIDE ONES TOO, " * 5 + "and_of_one_name_without_any_space_" * 4
    wide = {"low": -0.000123, "high": -0.0000456, "estimate": -0.0000789, "alpha": 0.0062123}
    nasty = row(claim=long, remark=long, because=long, verdict=verdicts.SUPPORTED_SMALLER,
                verdict_reason=long, se_retrain=0.0000123, se_images=0.0000123, **wide)  # fmt: skip
    with figure_style():
        pages = claims_pages([nasty, *ALL], "Claims")
        for figure in pages:
            figure.draw_without_rendering()
    assert len(pages) > 1
    for figure in pages:
        _check_page(figure)


def _check_page(figure):
    legend = figure.legends[0].get_texts()
    extents = [text.get_window_extent() for text in (*figure.axes[0].texts, *legend)]
    width, height = figure.get_size_inches() * figure.dpi
    assert all(x.x0 >= 0 and x.x1 <= width and x.y0 >= 0 and x.y1 <= height for x in extents)
    covered = [
        (one, other)
        for i, one in enumerate(extents)
        for other in extents[:i]
        # letters without tails leave air; lines may touch but not cover each other
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 3
    ]
    assert covered == []
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts_of(figure, "verdict")]
    reasons = [text.get_window_extent() for text in texts_of(figure, "reason")]
    assert max(box.x1 for box in boxes) < width
    assert not any(box.overlaps(reason) for box in boxes for reason in reasons)
    # each column ends before the next begins
    for column, kind in ((1, "claim"), (2, "errors"), (3, "numbers")):
        edge = LEFT[column] / WIDTH * width
        assert max(text.get_window_extent().x1 for text in texts_of(figure, kind)) < edge
    panels = [axes.get_tightbbox() for axes in figure.axes[1:]]
    texts = [text.get_window_extent() for kind in GIDS for text in texts_of(figure, kind)]
    assert not any(panel.overlaps(text) for panel in panels for text in texts)
    assert not any(one.overlaps(two) for i, one in enumerate(panels) for two in panels[:i])


def test_columns_leave_room():
    for left, width, end in zip(LEFT, WIDTHS, [*LEFT[1:], WIDTH], strict=True):
        assert left + width < end


def test_wrapping_loses_no_letter():
    text = "one two_that_is_much_longer_than_the_column_is_wide_" + "x" * 60 + " $3 and four"
    lines = wrap_lines(text, 3.6, 8.5, weight="bold")
    assert len(lines) > 2
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap_lines("short one", 3.6) == ["short one"]
    # a name breaks behind its underscores
    assert wrap_lines("a_name_of_many_words", 0.5) == ["a_name_", "of_many_", "words"]


def test_words():
    assert number(-0.01234) == "−0.0123"
    assert number(NAN) == "–"
    assert interval(0.1, 0.25) == "0.1 to 0.25"
    assert interval(NAN, 0.25) == "–"
    spoken = [bounds(one).replace("\N{NO-BREAK SPACE}", " ") for one in ROWS]
    assert spoken == ["true below 0.01", "true above 0", "true from 5 to 7"]
    assert bounds(row(holds_to=NAN)) == ""


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
    page = Page(claims_page(ROWS, "Claims"))
    assert page.open == []
    scopes = [attrs["scope"] for tag, attrs in page.tags if tag == "th"]
    assert scopes == ["col"] * 4 + ["rowgroup"] + ["row"] * 3
    assert page.cells[5].startswith("Nothing is lost.")
    assert page.cells[6].split("\n")[1] == "0.002"
    for words in ("−0.001 to 0.005", "±0.01", "3 networks × 200 images"):
        assert words in page.cells[6]
    assert "".join(error_words(row())) == page.cells[7].strip()
    assert page.cells[8] == "✓✓ replicated"
    assert page.cells[-2:] == ["–", "– not testable herethe networks do not differ"]
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert next(attrs for tag, attrs in page.tags if tag == "html")["lang"] == "en"


def test_marks_of_the_page_lie_within_its_strips():
    page = Page(claims_page(ALL, "Claims"))
    marks = [attrs for tag, attrs in page.tags if tag == "i" and "left" in attrs.get("style", "")]
    places = [list(map(float, re.findall(r"[\d.-]+(?=%)", mark["style"]))) for mark in marks]
    assert all(place[0] >= 0 and sum(place) <= 100 for place in places)
    assert {mark["class"] for mark in marks} == {
        *("true", "small", "zero", "seed", "interval", "mean", "published")
    }
    assert page.open == []


def test_no_verdict_is_called_undecided():
    assert "ndecided" not in claims_page(ALL, "Claims") + CAPTION.read_text()


def test_text_of_a_claim_is_no_markup():
    nasty = '<script>alert("x")</script> & $a_1$'
    changes = dict.fromkeys(("claim", "remark", "statistic", "because", "verdict_reason"), nasty)
    text = claims_page([row(**changes)], nasty)
    assert "<script" not in text
    assert Page(text).cells[5].startswith(nasty)
    (figure,) = claims_pages([row(**changes)], nasty)
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    assert "$a_1$" in " ".join(text.get_text() for text in texts)
    assert not any(text.get_parse_math() for text in texts)


def test_files(tmp_path, check_file):
    path = tmp_path / "claims.csv"
    write_rows("claims", path, pd.DataFrame(ALL))
    figures, page = [tmp_path / "c.svg", tmp_path / "c.png"], tmp_path / "c.html"
    draw_claims(path, figures, page, SETTINGS)
    before = [output.read_bytes() for output in (*figures, page)]
    draw_claims(path, figures, page, SETTINGS)
    assert [output.read_bytes() for output in (*figures, page)] == before
    for output in figures:
        check_file(output)
    assert "Claims of the study demo" in page.read_text(encoding="utf-8")


def test_texts_name_what_is_configured_by_its_label(tmp_path):
    path = tmp_path / "claims.csv"
    texts = {"statistic": "accuracy under whole_units", "remark": "undefined (whole_units)"}
    write_rows("claims", path, pd.DataFrame([row(pruner="whole_units", **texts)]))
    (found,) = claim_rows(path, {"labels": {"pruner": {"whole_units": "whole units"}}})
    assert found["statistic"] == "accuracy under whole units"
    assert found["remark"] == "undefined (whole units)"
    assert found["pruner"] == "whole units"


@pytest.mark.parametrize(("column", "value"), [("verdict", "proved"), ("tier", "tertiary")])
def test_an_unknown_word_in_the_table(tmp_path, column, value):
    path = tmp_path / "claims.csv"
    write_rows("claims", path, pd.DataFrame(ROWS).assign(**{column: value}))
    with pytest.raises(InputError, match=f"{column} '{value}'"):
        draw_claims(path, [], tmp_path / "c.html", SETTINGS)


def test_a_study_without_claims(tmp_path):
    write_rows("claims", tmp_path / "claims.csv", pd.DataFrame())
    draw_claims(tmp_path / "claims.csv", [tmp_path / "c.svg"], tmp_path / "c.html", SETTINGS)
    assert (tmp_path / "c.svg").is_file()
    assert "The study makes no claims." in (tmp_path / "c.html").read_text()
    (figure,) = claims_pages([], "Claims")
    assert [text.get_text() for text in figure.axes[0].texts][-1] == "The study makes no claims."


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
    assert [name for name in SIGNS if name not in text] == []
    assert "in their order at 0.05 each" in text
