"""What the figures with a panel per explainer draw: contrasts, strata, correctness, agreement."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sparsight.io.errors import InputError
from sparsight.plots.agreement import agreement_figure, draw_agreement
from sparsight.plots.contrasts import (
    STRATA,
    contrasts_figure,
    correctness_figure,
    draw_contrasts,
    draw_correctness,
    draw_strata,
    strata_figure,
)
from tests.tables import write_rows

SEEDS = ("1", "2", "3")


@pytest.fixture
def contrasts(make_levels, contrasts_of):
    return contrasts_of(make_levels(pruners=("magnitude", "random")))


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes]


def blocks(figure):
    return [part.get_suptitle() for part in figure.subfigs]


def bars(marks):
    return [tuple(segment[:, 1]) for mark in marks
            for segment in mark.get_segments() if len(segment)]  # fmt: skip


# --------------------------------------------------------------------------------- contrasts


def test_a_panel_per_explainer_and_a_block_per_pruner(contrasts, settings):
    figure = contrasts_figure(contrasts, {**settings, "pruners": ["random", "magnitude"]})
    own = ["cam", "mean_activation (control)", "saliency", "occlusion"]
    assert titles(figure) == own * 2
    assert blocks(figure) == ["pruner random, noisy images", "pruner magnitude, noisy images"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_points_are_filled_where_they_differ(contrasts, settings, lines_of):
    axes = contrasts_figure(contrasts, settings).axes[0]
    (significant,), (other,) = lines_of(axes, "significant"), lines_of(axes, "open")
    assert list(significant.get_xdata()) == [1, 3, 5]
    assert list(other.get_xdata()) == [2, 4]
    assert to_hex(significant.get_markerfacecolor()) != "#ffffff"
    assert to_hex(other.get_markerfacecolor()) == "#ffffff"
    rows = contrasts[(contrasts["explainer"] == "cam") & (contrasts["pruner"] == "magnitude")]
    expected = rows.set_index("level")["difference"]
    np.testing.assert_allclose(significant.get_ydata(), expected[[1, 3, 5]])
    np.testing.assert_allclose(other.get_ydata(), expected[[2, 4]])


def test_the_level_of_significance_is_that_of_the_intervals(contrasts, settings, lines_of):
    axes = contrasts_figure(contrasts, {**settings, "confidence": 0.999}).axes[0]
    assert not len(lines_of(axes, "significant")[0].get_xdata())


def test_both_intervals_are_drawn(contrasts, settings, marks_of):
    axes = contrasts_figure(contrasts, settings).axes[0]
    rows = contrasts[(contrasts["explainer"] == "cam") & (contrasts["pruner"] == "magnitude")]
    rows = rows.dropna(subset=["difference"])
    for kind, part in (("interval", "difference"), ("images", "difference_images")):
        expected = list(zip(rows[f"{part}_low"], rows[f"{part}_high"], strict=True))
        np.testing.assert_allclose(bars(marks_of(axes, kind)), expected)


def test_the_retrain_floor_is_a_band_of_the_same_explainer(contrasts, settings, marks_of):
    figure = contrasts_figure(contrasts, settings)
    floor = contrasts[(contrasts["pruner"] == "retrain") & (contrasts["level"] == 1)]
    for axes, name in zip(figure.axes, ("cam", "mean_activation", "saliency"), strict=False):
        row = floor[floor["explainer"] == name].iloc[0]
        (band,) = marks_of(axes, "floor")
        assert band.get_y() == pytest.approx(row["difference_low"])
        assert band.get_y() + band.get_height() == pytest.approx(row["difference_high"])


def test_one_seed_has_image_intervals_only(make_levels, contrasts_of, settings, marks_of, lines_of):
    figure = contrasts_figure(contrasts_of(make_levels(seeds=(1,))), settings)
    axes = figure.axes[0]
    assert not bars(marks_of(axes, "interval"))
    assert len(bars(marks_of(axes, "images"))) == 5
    # The floor has no interval either: a line, no band.
    assert not marks_of(axes, "floor")
    assert len(lines_of(axes, "floor")) == 1
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one seed: no t interval" in names


def test_skipped_levels_are_not_connected_and_undefined_ones_not_drawn(
    contrasts, settings, lines_of
):
    contrasts.loc[contrasts["level"] == 3, "difference"] = np.nan
    cam, _, _, occlusion = contrasts_figure(contrasts, settings).axes
    assert list(lines_of(cam, "significant")[0].get_xdata()) == [1, 5]
    assert list(lines_of(occlusion, "significant")[0].get_xdata()) == [5]
    assert not lines_of(occlusion, "mean")


def test_wide_intervals_do_not_squeeze_the_points(contrasts, settings):
    wide = contrasts.assign(difference_low=-50.0, difference_high=50.0)
    low, high = contrasts_figure(wide, settings).axes[0].get_ylim()
    assert -1 < low < 0 < high < 1


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


@pytest.fixture
def strata(make_levels, contrasts_of):
    names = (*STRATA, "hard_minus_easy")
    return pd.concat([contrasts_of(make_levels(), subset=name).assign(place=i)
                      for i, name in enumerate(names)])  # fmt: skip


def test_three_lines_hold_the_strata(strata, settings, lines_of, marks_of):
    strata["difference"] += strata["place"]
    figure = strata_figure(strata[strata["subset"].isin(STRATA)], settings)
    cam, occlusion = figure.axes[0], figure.axes[3]
    for place, name in enumerate(STRATA):
        (line,) = lines_of(cam, name)
        found = strata[(strata["subset"] == name) & (strata["explainer"] == "cam")]
        found = found[found["pruner"] == "magnitude"].dropna(subset=["difference"])
        np.testing.assert_allclose(line.get_ydata(), found["difference"])
        assert place <= line.get_ydata()[0] + 0.5 < place + 1
        assert lines_of(occlusion, name)[0].get_linestyle() == "None"
    looks = [(look.colour, look.marker, look.dash) for look in STRATA.values()]
    assert all(len(set(parts)) == 3 for parts in zip(*looks, strict=True))
    assert len(marks_of(cam, "interval")) == 3
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:3] == ["hard images", "medium images", "easy images"]


def test_strata_files(tmp_path, strata, settings, check_file):
    path = tmp_path / "strata.csv"
    write_rows("strata", path, strata[strata["explainer"] == "cam"])
    draw_strata(path, [tmp_path / "figure.svg"], settings)
    check_file(tmp_path / "figure.svg")
    write_rows("strata", path, strata[strata["subset"] == "hard_minus_easy"])
    with pytest.raises(InputError, match="no rows of the subsets hard, medium, easy"):
        draw_strata(path, [tmp_path / "x.svg"], settings)


# -------------------------------------------------------------------------------- correctness


@pytest.fixture
def correctness(make_levels, contrasts_of):
    rows = contrasts_of(make_levels()).drop(columns="subset").fillna({"difference": 0.02})
    whole = rows[rows["level"] == 1].assign(level="all", difference=0.07, difference_low=0.05,
                                            difference_high=0.09)  # fmt: skip
    means = pd.concat([rows, whole]).assign(seed="mean")
    seeds = [means.assign(seed=seed, difference=means["difference"] + 0.001 * int(seed))
             for seed in SEEDS]  # fmt: skip
    return pd.concat([means, *seeds]).astype({"level": "str"})


def test_correctness_draws_seeds_levels_and_all_levels(correctness, settings, lines_of, marks_of):
    axes = correctness_figure(correctness, settings).axes[0]
    points = [*lines_of(axes, "significant")[0].get_xdata(), *lines_of(axes, "open")[0].get_xdata()]
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


@pytest.fixture
def agreement(make_levels):
    rows = []
    keys = ["pruner", "level", "explainer", "density"]
    whole = make_levels()[lambda frame: ~frame["explainer"].str.startswith("control")]
    for (pruner, level, explainer, density), _ in whole.groupby(keys):
        floor = pruner == "retrain"
        place = {"dataset": "digits", "model": "cnn", "condition": "noisy", "metric": "ssim",
                 "subset": "all", "control": "false", "explainer": explainer, "density": density,
                 "low": np.nan, "high": np.nan}  # fmt: skip
        owner = {"pruner": pruner, "level": level, "reference": "dense_parent"}
        if level == 0:
            # Written for every pruner; the table has them once.
            owner = {"pruner": "dense", "level": 0, "reference": "seed_floor"}
        mean = 0.4 if level == 0 else 0.9 if floor else 0.8 - 0.1 * level
        rows += [
            {**place, **owner, "seed": seed, "mean": mean + 0.01 * int(seed)} for seed in SEEDS
        ]
        rows.append({**place, **owner, "seed": "mean", "mean": mean, "low": mean - 0.05,
                     "high": mean + 0.05})  # fmt: skip
    return pd.DataFrame(rows).drop_duplicates(["pruner", "level", "explainer", "seed"])


def test_agreement_draws_curve_seeds_and_both_floors(agreement, settings, lines_of, marks_of):
    figure = agreement_figure(agreement, {**settings, "metric": "ssim"})
    assert titles(figure) == ["cam", "mean_activation (control)", "saliency", "occlusion"]
    assert blocks(figure) == ["pruner magnitude, noisy images"]
    axes = figure.axes[0]
    (mean,) = lines_of(axes, "mean")
    assert list(mean.get_xdata()) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(mean.get_ydata(), [0.7, 0.6, 0.5, 0.4, 0.3])
    assert len(lines_of(axes, "seed")) == 3
    floors = sorted(line.get_ydata()[0] for line in lines_of(axes, "floor"))
    np.testing.assert_allclose(floors, [0.4, 0.9])
    for kind, low in (("retrained", 0.85), ("other seeds", 0.35)):
        (band,) = marks_of(axes, kind)
        assert band.get_y() == pytest.approx(low)
    assert sorted(text.get_text() for text in axes.texts) == ["other seeds", "retrained"]
    assert axes.get_ylim()[1] > 0.9


def test_agreement_without_floors_or_several_seeds(agreement, settings):
    frame = agreement[(agreement["pruner"] == "magnitude") & agreement["seed"].isin(["1", "mean"])]
    figure = agreement_figure(frame, {**settings, "metric": "ssim"})
    assert not figure.axes[0].texts
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["one seed: no interval"]


def test_agreement_files(tmp_path, agreement, settings, check_file):
    path = tmp_path / "agreement.csv"
    write_rows("agreement", path, agreement[agreement["explainer"] == "cam"])
    draw_agreement(path, [tmp_path / "figure.svg"], {**settings, "metric": "ssim"})
    check_file(tmp_path / "figure.svg")
    with pytest.raises(InputError, match="no rows left with metric 'soft_iou'"):
        draw_agreement(path, [tmp_path / "x.svg"], settings)
