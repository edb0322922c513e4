"""What the figures with a panel per explainer draw: contrasts, strata, correctness, agreement."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from sparsight.io.errors import InputError
from sparsight.plots.agreement import agreement_pages, draw_agreement
from sparsight.plots.contrasts import (
    STRATA,
    contrasts_pages,
    correctness_pages,
    draw_contrasts,
    draw_correctness,
    draw_strata,
    strata_pages,
)
from tests.tables import write_rows


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes]


def blocks(figure):
    return [part.get_suptitle() for part in figure.subfigs]


def bars(marks):
    return [tuple(segment[:, 1]) for mark in marks
            for segment in mark.get_segments() if len(segment)]  # fmt: skip


# --------------------------------------------------------------------------------- contrasts


def test_a_panel_per_explainer_and_a_block_per_pruner(contrasts, settings):
    (figure,) = contrasts_pages(contrasts, {**settings, "pruners": ["random", "magnitude"]})
    own = ["cam", "mean_activation (control)", "saliency", "occlusion"]
    assert titles(figure) == own * 2
    assert blocks(figure) == ["pruner random, noisy images", "pruner magnitude, noisy images"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_points_are_filled_where_they_differ(contrasts, settings, points_of, marks_of):
    axes = contrasts_pages(contrasts, settings)[0].axes[0]
    significant, other = points_of(axes, "filled"), points_of(axes, "open")
    assert significant[:, 0].tolist() == [1, 3, 5]
    assert other[:, 0].tolist() == [2, 4]
    alpha = [marks_of(axes, kind)[0].get_facecolor()[0, 3] for kind in ("filled", "open")]
    assert alpha == [1, 0]
    rows = contrasts[(contrasts["explainer"] == "cam") & (contrasts["pruner"] == "magnitude")]
    expected = rows.set_index("level")["difference"]
    np.testing.assert_allclose(significant[:, 1], expected[[1, 3, 5]])
    np.testing.assert_allclose(other[:, 1], expected[[2, 4]])


def test_the_level_of_significance_is_that_of_the_intervals(contrasts, settings, points_of):
    axes = contrasts_pages(contrasts, {**settings, "confidence": 0.999})[0].axes[0]
    assert not len(points_of(axes, "filled"))


def test_both_intervals_are_drawn(contrasts, settings, marks_of):
    axes = contrasts_pages(contrasts, settings)[0].axes[0]
    rows = contrasts[(contrasts["explainer"] == "cam") & (contrasts["pruner"] == "magnitude")]
    rows = rows.dropna(subset=["difference"])
    for kind, part in (("interval", "difference"), ("images", "difference_images")):
        expected = list(zip(rows[f"{part}_low"], rows[f"{part}_high"], strict=True))
        np.testing.assert_allclose(bars(marks_of(axes, kind)), expected)


def test_the_retrain_floor_is_a_band_of_the_same_explainer(contrasts, settings, marks_of):
    (figure,) = contrasts_pages(contrasts, settings)
    floor = contrasts[(contrasts["pruner"] == "retrain") & (contrasts["level"] == 1)]
    for axes, name in zip(figure.axes, ("cam", "mean_activation", "saliency"), strict=False):
        row = floor[floor["explainer"] == name].iloc[0]
        (band,) = marks_of(axes, "retrain floor")
        assert band.get_y() == pytest.approx(row["difference_low"])
        assert band.get_y() + band.get_height() == pytest.approx(row["difference_high"])


def test_one_seed_has_image_intervals_only(
    make_levels, contrasts_of, settings, marks_of, lines_of, legend_of
):
    (figure,) = contrasts_pages(contrasts_of(make_levels(seeds=(1,))), settings)
    axes = figure.axes[0]
    assert not bars(marks_of(axes, "interval"))
    assert len(bars(marks_of(axes, "images"))) == 5
    # The floor has no interval either: a line, no band.
    assert not marks_of(axes, "retrain floor")
    assert len(lines_of(axes, "retrain floor")) == 1
    facts, *names = legend_of(figure)
    assert facts.startswith("1 network: no spread over networks · 6 levels")
    assert "t interval over networks" not in names


def test_skipped_levels_have_a_dotted_line_and_undefined_ones_are_not_drawn(
    contrasts, settings, lines_of, points_of
):
    contrasts.loc[contrasts["level"] == 3, "difference"] = np.nan
    cam, _, _, occlusion = contrasts_pages(contrasts, settings)[0].axes
    assert points_of(cam, "filled")[:, 0].tolist() == [1, 5]
    # A hole in a line that is drawn through.
    assert np.isnan(lines_of(cam, "mean")[0].get_ydata()).tolist() == [1, 0, 0, 1, 0, 0]
    assert points_of(occlusion, "filled")[:, 0].tolist() == [5]
    assert not lines_of(occlusion, "mean")
    (dotted,) = lines_of(occlusion, "gapped") or [None]
    assert dotted is None or dotted.get_linestyle() not in ("-", "None")


def test_wide_intervals_do_not_squeeze_the_points(contrasts, settings, lines_of):
    wide = contrasts.assign(difference_low=-50.0, difference_high=50.0)
    axes = contrasts_pages(wide, settings)[0].axes[0]
    low, high = axes.get_ylim()
    assert -1 < low < 0 < high < 1
    # They are marked where they leave the panel.
    for cut in lines_of(axes, "cut"):
        # the last one is that of the floor
        assert list(cut.get_xdata())[:-1] == [1, 2, 3, 4, 5]


def test_contrast_files(tmp_path, make_levels, contrasts_of, settings, check_draw):
    path = tmp_path / "contrasts.csv"
    frame = contrasts_of(make_levels())
    write_rows("contrasts", path, frame[frame["explainer"].isin(["cam", "control_edges"])])
    check_draw(lambda outputs: draw_contrasts(path, outputs, settings))
    for change in ({"pruners": ["retrain"]}, {"families": {"controls": ["cam", "control_edges"]},
                                              "controls": ["cam", "control_edges"]}):  # fmt: skip
        with pytest.raises(InputError, match="no explainer that looks at a network"):
            draw_contrasts(path, [tmp_path / "x.svg"], {**settings, **change})


# ------------------------------------------------------------------------------------- strata


def test_three_lines_hold_the_strata(strata, settings, lines_of, marks_of, legend_of):
    strata["difference"] += strata["place"]
    (figure,) = strata_pages(strata[strata["subset"].isin(STRATA)], settings)
    cam, occlusion = figure.axes[0], figure.axes[3]
    for place, name in enumerate(STRATA):
        colour = to_hex(STRATA[name].colour)
        (line,) = [one for one in lines_of(cam, "mean") if to_hex(one.get_color()) == colour]
        found = strata[(strata["subset"] == name) & (strata["explainer"] == "cam")]
        found = found[found["pruner"] == "magnitude"].dropna(subset=["difference"])
        np.testing.assert_allclose(line.get_ydata()[1:], found["difference"])
        assert place <= line.get_ydata()[1] + 0.5 < place + 1
    assert lines_of(occlusion, "mean") == []
    looks = [(look.colour, look.marker, look.dash) for look in STRATA.values()]
    assert all(len(set(parts)) == 3 for parts in zip(*looks, strict=True))
    assert len(bars(marks_of(cam, "interval"))) == 3 * 5
    assert legend_of(figure)[1:4] == ["hard images", "medium images", "easy images"]


def test_strata_files(tmp_path, strata, settings, check_file):
    path = tmp_path / "strata.csv"
    write_rows("strata", path, strata[strata["explainer"] == "cam"])
    draw_strata(path, [tmp_path / "figure.svg"], settings)
    check_file(tmp_path / "figure.svg")
    write_rows("strata", path, strata[strata["subset"] == "hard_minus_easy"])
    with pytest.raises(InputError, match="no rows of the subsets hard, medium, easy"):
        draw_strata(path, [tmp_path / "x.svg"], settings)


# -------------------------------------------------------------------------------- correctness


def test_correctness_draws_seeds_levels_and_all_levels(
    correctness, settings, lines_of, marks_of, points_of
):
    axes = correctness_pages(correctness, settings)[0].axes[0]
    points = [*points_of(axes, "filled")[:, 0], *points_of(axes, "open")[:, 0]]
    assert sorted(points) == [0, 1, 2, 3, 4, 5]
    assert len(lines_of(axes, "seed")) == 3
    assert lines_of(axes, "all levels")[0].get_ydata()[0] == pytest.approx(0.07)
    (band,) = marks_of(axes, "all levels")
    assert band.get_y() == pytest.approx(0.05)
    label = axes.figure.get_supylabel()
    assert "of correct minus incorrect" in label.replace("\n", " ")
    # Longer ones reach into the panels beside and the heading above.
    assert max(map(len, label.split("\n"))) <= 26


def test_correctness_files(tmp_path, correctness, settings, check_file):
    path = tmp_path / "correctness.csv"
    write_rows("correctness", path, correctness[correctness["explainer"] == "cam"])
    draw_correctness(path, [tmp_path / "figure.svg"], settings)
    check_file(tmp_path / "figure.svg")


# ---------------------------------------------------------------------------------- agreement


def test_agreement_draws_curve_seeds_and_both_floors(
    agreement, settings, lines_of, marks_of, legend_of
):
    (figure,) = agreement_pages(agreement, {**settings, "metric": "ssim"})
    assert titles(figure) == ["cam", "mean_activation (control)", "saliency", "occlusion"]
    assert blocks(figure) == ["pruner magnitude, noisy images"]
    axes = figure.axes[0]
    (mean,) = lines_of(axes, "mean")
    assert list(mean.get_xdata()) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(mean.get_ydata(), [0.7, 0.6, 0.5, 0.4, 0.3])
    assert len(lines_of(axes, "seed")) == 3
    dashes = set()
    for kind, value in (("retrain floor", 0.9), ("seed floor", 0.4)):
        (line,), (band,) = lines_of(axes, kind), marks_of(axes, kind)
        assert line.get_ydata()[0] == pytest.approx(value)
        assert band.get_y() == pytest.approx(value - 0.05)
        dashes.add(str(line._dash_pattern))
        assert any(text.startswith(kind) for text in legend_of(figure))
    assert len(dashes) == 2
    assert axes.get_ylim()[1] > 0.9


def test_agreement_without_floors_or_several_seeds(agreement, settings, legend_of):
    frame = agreement[(agreement["pruner"] == "magnitude") & agreement["seed"].isin(["1", "mean"])]
    frame = frame.assign(low=np.nan, high=np.nan)
    (figure,) = agreement_pages(frame, {**settings, "metric": "ssim"})
    facts, *names = legend_of(figure)
    assert facts.startswith("1 network: no spread")
    assert not any("floor" in name or "interval" in name for name in names)


def test_agreement_files(tmp_path, agreement, settings, check_file):
    path = tmp_path / "agreement.csv"
    write_rows("agreement", path, agreement[agreement["explainer"] == "cam"])
    draw_agreement(path, [tmp_path / "figure.svg"], {**settings, "metric": "ssim"})
    check_file(tmp_path / "figure.svg")
    with pytest.raises(InputError, match="no rows left with metric 'soft_iou'"):
        draw_agreement(path, [tmp_path / "x.svg"], settings)
