"""Grouping of explainers, the level axis, and pages of panels."""

import pandas as pd
import pytest

from sparsight.io.errors import InputError
from sparsight.plots.pages import NOTHING, percent
from sparsight.plots.panels import (
    Block,
    Panel,
    choose_levels,
    distinct_bits,
    explainer_pages,
    has_gaps,
    level_axis,
    pages,
)
from sparsight.plots.style import CURVES, grouping, new_figure, of_network, places


def test_large_families_are_split_evenly_and_keep_their_order():
    names = [f"method_{i}" for i in range(13)]
    grouped = grouping(names, {"families": {"many": names}})
    assert [len(group.explainers) for group in grouped.groups] == [4, 4, 5]
    assert [group.title for group in grouped.groups] == [f"many ({i} of 3)" for i in (1, 2, 3)]
    assert grouped.explainers == names
    # Within a panel no colour comes twice.
    for group in grouped.groups:
        assert len(group.explainers) <= CURVES
        assert len({grouped.look[n].colour for n in group.explainers}) == len(group.explainers)


def test_families_of_controls_only_are_everywhere(settings):
    found = ["cam", "mean_activation", "saliency", "control_input", "control_edges"]
    grouped = grouping(found, settings)
    assert grouped.everywhere == ("control_edges", "control_input")
    assert [group.title for group in grouped.groups] == ["cam", "gradient"]
    assert grouped.groups[0].explainers == ("cam", "mean_activation")


def test_looks_do_not_depend_on_what_the_table_holds(settings):
    few, many = grouping(["saliency"], settings), grouping(["cam", "saliency"], settings)
    assert few.look["saliency"] == many.look["saliency"]


def test_without_families_all_controls_are_everywhere():
    grouped = grouping(["b", "a", "edges"], {"controls": ["edges"], "explainers": ["b", "a"]})
    assert [group.explainers for group in grouped.groups] == [("b", "a")]
    assert grouped.everywhere == ("edges",)


def test_explainers_of_no_family_are_drawn_too(settings):
    grouped = grouping(["cam", "new"], settings)
    assert [(g.title, g.explainers) for g in grouped.groups] == [("cam", ("cam",)),
                                                                 ("others", ("new",))]  # fmt: skip


def test_places_leave_out_what_retrains():
    frame = pd.DataFrame({"pruner": ["a", "retrain", "b"], "condition": "clean"})
    assert places(frame, {"retrain": ["retrain"]}) == [("a", "clean"), ("b", "clean")]
    assert places(frame, {"pruners": ["b"], "retrain": ["retrain"]}) == [("b", "clean")]


def test_rows_of_another_network_are_refused_by_name(tmp_path):
    frame = pd.DataFrame({"dataset": ["digits"], "model": ["cnn"], "metric": ["iou"]})
    assert len(of_network(frame, tmp_path, {"dataset": "digits", "model": "cnn"}, metric="iou"))
    with pytest.raises(InputError, match="no rows left with metric 'gini'"):
        of_network(frame, tmp_path, {"dataset": "digits", "model": "cnn"}, metric="gini")


def test_gaps_are_levels_left_out_between():
    assert not has_gaps([3, 1, 2])
    assert not has_gaps([])
    assert has_gaps([0, 2])


@pytest.mark.parametrize(
    ("levels", "count", "named"),
    [(range(26), 6, [0, 5, 10, 15, 20, 25]), (range(26), 4, [0, 10, 25]),
     (range(6), 6, [0, 1, 2, 3, 4, 5]), (range(6), 4, [0, 2, 5]), ([0, 1], 6, [0, 1]),
     (range(301), 6, [0, 100, 200, 300]), ([0], 4, [0]), ([0, 1, 2, 5], 6, [0, 1, 2, 5]),
     ([0, 1, 2, 25], 4, [0, 25])],
)  # fmt: skip
def test_the_last_level_is_named_and_labels_do_not_touch(levels, count, named):
    assert choose_levels(list(levels), count) == named


def test_level_axis_names_levels_with_their_weights():
    axes = new_figure(3, 2).subplots()
    rows = pd.DataFrame({"level": range(1, 26), "density": [0.5**n for n in range(1, 26)]})
    draw, label = level_axis(rows)
    draw(axes, False, 6)
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert texts == [f"{level}\n{percent(0.5**level)}" for level in (0, 5, 10, 15, 20, 25)]
    assert label == "pruning level, weights left"
    assert axes.get_xlim()[0] < 0
    assert axes.get_xlim()[1] > 25


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (5, [5]), (7, [4, 3]), (11, [4, 3, 4])])
def test_panels_fill_their_rows(count, rows):
    panels = [Panel(str(n), lambda axes: axes.plot([0, 1], [0, 1])) for n in range(count)]
    (page,) = pages("title", [Block("block", panels)], "facts")
    page.draw_without_rendering()
    boxes = [axes.get_position() for axes in page.axes]
    tops = sorted({round(box.y1, 3) for box in boxes}, reverse=True)
    found = [[box for box in boxes if round(box.y1, 3) == top] for top in tops]
    assert [len(row) for row in found] == rows
    for row in found:
        assert max(box.x1 for box in row) - min(box.x0 for box in row) > 0.85


def test_what_does_not_fit_on_a_page_goes_on_on_the_next_one():
    panels = [Panel(str(n), lambda axes: axes.plot([0, 1], [0, 1])) for n in range(60)]
    found = pages("title", [Block("block", panels)], "facts")
    assert len(found) > 1
    assert sum(len(page.axes) for page in found) == 60
    assert [page.get_suptitle() for page in found] == [
        f"title ({n + 1} of {len(found)})" for n in range(len(found))
    ]
    assert {page.subfigs[0].get_suptitle() for page in found} == {"block"}


def test_where_no_value_is_defined_a_sentence_says_so_instead_of_an_error(settings):
    place = {"pruner": "magnitude", "condition": "noisy", "level": 1, "density": 0.5}
    rows = pd.DataFrame({**place, "explainer": ["cam", "saliency"], "spread": float("nan")})
    (figure,) = explainer_pages(rows, settings, "spread", "spread", "spread", pytest.fail)
    assert figure.axes == []
    assert figure.texts[-1].get_gid() == NOTHING
    with pytest.raises(InputError, match="spread"):
        explainer_pages(rows[:0], settings, "spread", "spread", "spread", pytest.fail)


def test_percent_keeps_two_figures():
    shares = (1.0, 0.999, 0.1, 0.0995, 0.0331, 0.00086, 0.0)
    assert [percent(share) for share in shares] == [
        "100%", "100%", "10%", "10%", "3.3%", "0.086%", "0%",
    ]  # fmt: skip


def test_levels_of_one_density_are_told_by_their_bits():
    for bits, texts, label in (
        ([32, 8, 4], ["0\n32 bits", "1\n8 bits", "2\n4 bits"], "pruning level, bits"),
        ([32, 32, 32], ["0", "1", "2"], "pruning level"),
    ):
        axes = new_figure(3, 2).subplots()
        rows = pd.DataFrame({"level": [0, 1, 2], "density": 1.0, "bits": bits})
        draw, found = level_axis(rows)
        draw(axes, False, 6)
        assert [text.get_text() for text in axes.get_xticklabels()] == texts
        assert found == label


@pytest.mark.parametrize(
    ("density", "bits", "found"),
    [
        ([1, 1, 1], [32, 8, 4], {0: 32, 1: 8, 2: 4}),
        ([1, 0.5, 0.2], [32, 8, 4], {}),
        ([1, 1, 1], [32, 32, 32], {}),
    ],
)
def test_bits_are_named_where_densities_do_not_tell_levels_apart(density, bits, found):
    rows = pd.DataFrame({"level": [0, 1, 2], "density": density, "bits": bits})
    assert distinct_bits(rows) == found
    assert distinct_bits(rows.drop(columns="bits")) == {}
