"""Grouping of explainers, the level axis, and labels at the edge."""

from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.text import Text

from sparsight.io.errors import InputError
from sparsight.plots.style import (
    CURVES,
    chain_axis,
    distinct_bits,
    grouping,
    has_gaps,
    label_edge,
    new_figure,
    of_network,
    percent,
    places,
)


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
    ("last", "labels", "named"),
    [(25, 6, [0, 5, 10, 15, 20, 25]), (25, 4, [0, 10, 20]), (5, 6, [0, 1, 2, 3, 4, 5]),
     (5, 4, [0, 2, 4]), (1, 6, [0, 1]), (300, 6, [0, 100, 200, 300])],
)  # fmt: skip
def test_level_axis_names_round_levels_with_their_weights(last, labels, named):
    axes = new_figure(3, 2).subplots()
    chain_axis(axes, {level: 0.5**level for level in range(1, last + 1)}, labels=labels)
    texts = [text.get_text() for text in axes.get_xticklabels() if text.get_text()]
    assert texts == [f"{level}\n{percent(0.5**level)}" for level in named]
    assert axes.get_xlim()[0] < 0
    assert axes.get_xlim()[1] > last


@pytest.mark.parametrize(("levels", "named"), [([1, 2, 5], [0, 1, 2, 5]), ([1, 2, 25], [0])])
def test_a_few_levels_that_stand_apart_are_all_named(levels, named):
    axes = new_figure(3, 2).subplots()
    chain_axis(axes, dict.fromkeys(levels, 0.5), labels=4)
    texts = [text.get_text() for text in axes.get_xticklabels() if text.get_text()]
    assert [int(text.split("\n")[0]) for text in texts] == named


def test_percent_keeps_two_figures():
    shares = (1.0, 0.999, 0.1, 0.0995, 0.0331, 0.00086, 0.0)
    assert [percent(share) for share in shares] == [
        "100%", "100%", "10%", "10%", "3.3%", "0.086%", "0%",
    ]  # fmt: skip


def test_labels_at_the_edge_do_not_overlap_and_keep_their_order():
    figure = new_figure(4, 2)
    axes = figure.subplots()
    axes.set_ylim(0.0, 1.0)
    values = {"a": 0.50, "b": 0.51, "c": 0.505, "low": 0.01, "far": 7.0, "deep": -3.0}
    label_edge(axes, {**values, "unknown": float("nan")}, 1.6)
    figure.draw_without_rendering()
    texts = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    ordered = sorted(texts, key=lambda text: texts[text].y0)
    assert ordered == ["deep -3 ↓", "low", "a", "c", "b", "far 7 ↑"]
    boxes = [texts[text] for text in ordered]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))
    assert boxes[0].y0 >= axes.get_window_extent().y0 - 1
    assert boxes[-1].y1 <= axes.get_window_extent().y1 + 1


def test_levels_of_one_density_are_told_by_their_bits():
    for bits, texts, label in (
        ({0: 32, 1: 8, 2: 4}, ["0\n32 bits", "1\n8 bits", "2\n4 bits"], "pruning level, bits"),
        ({}, ["0", "1", "2"], "pruning level"),
    ):
        axes = new_figure(3, 2).subplots()
        chain_axis(axes, {1: 1.0, 2: 1.0}, bits=bits)
        assert [text.get_text() for text in axes.get_xticklabels()] == texts
        assert axes.get_xlabel() == label


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
