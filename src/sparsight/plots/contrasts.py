"""Levels against dense, hard images against easy ones, correct predictions against incorrect."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.analysis.tables import ALL_LEVELS, MEAN
from sparsight.io.errors import InputError
from sparsight.plots.panels import (
    counts,
    draw_curves,
    draw_floor,
    draw_zero,
    explainer_pages,
    own_look,
    same_place,
)
from sparsight.plots.style import Look, figure_style, metric_of, of_network, save_figure

#: of the stage `figure_contrasts`: see `sparsight.study.versions`
VERSION = 2
_ENDS = ("difference_low", "difference_high")
_IMAGES = ("difference_images_low", "difference_images_high")


def draw_contrasts(contrasts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the dense networks at every level.

    Points are means over seeds, filled where they differ from 0 after adjustment; pale bars are
    paired t intervals over seeds, thin lines intervals over images *for these networks*. The band
    is the retrain floor: the t interval of the same difference for dense networks that were only
    retrained. An `InputError` is raised where there is nothing to draw.

    From `contrasts.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric
    to its facts `unit` and `direction`), `subset` (default "all"), `confidence` (default 0.95),
    `retrain`, and those of `grouping` and `places`.
    """
    wanted = {"metric": settings["metric"], "subset": settings.get("subset", "all")}
    frame = of_network(tables.read("contrasts", contrasts), contrasts, settings, **wanted)
    with figure_style():
        save_figure(contrasts_pages(frame, settings), outputs)


def contrasts_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_contrasts`, from its rows of `contrasts.csv`."""
    alpha = round(1 - float(settings.get("confidence", 0.95)), 10)
    frame = frame.assign(seed=MEAN, differs=frame["p_adjusted"] < alpha)
    floors = frame[frame["pruner"].isin(list(settings.get("retrain", ()))) & (frame["level"] > 0)]

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        draw_zero(axes)
        draw_floor(axes, same_place(floors, rows), "retrain floor", "difference", _ENDS)
        draw_curves(axes, rows, own_look(rows, settings), hue="explainer", value="difference",
                    images=_IMAGES, filled="differs", ends=_ENDS)  # fmt: skip

    return explainer_pages(
        frame, settings, f"{metric_of(settings)} against dense",
        difference_label(settings, "minus dense"), "difference", draw,
        facts=counts(frame, settings),
        words={"filled": f"differs from dense, adjusted p < {alpha:.2g}", "mean": ""},
    )  # fmt: skip


def difference_label(settings: Mapping[str, Any], what: str) -> str:
    """Label of a y axis with differences: metric, what is subtracted, unit, what is better."""
    facts = settings.get("metrics", {}).get(settings["metric"], {})
    # What a unit says of steps, behind a semicolon, would not fit.
    unit = f" ({facts['unit'].partition(';')[0]})" if facts.get("unit") else ""
    direction = facts.get("direction")
    better = f"{direction} is better" if direction else "direction not stated"
    return f"{metric_of(settings)} {what}{unit}\n{better}"


#: of the stage `figure_strata`: see `sparsight.study.versions`
STRATA_VERSION = 2
STRATA = {
    "hard": Look("#1f2a6b", "o", "-"),
    "medium": Look("#c8501e", "s", (0, (5, 1.5)), hollow=True),
    "easy": Look("#74b9e8", "^", (0, (1, 1.2))),
}


def draw_strata(strata: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the dense networks among hard, medium and easy images.

    Pale vertical lines are paired t intervals over seeds. An `InputError` is raised where there is
    nothing to draw.

    From `strata.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric to
    its facts `unit` and `direction`) and those of `grouping` and `places`.
    """
    frame = of_network(tables.read("strata", strata), strata, settings, metric=settings["metric"])
    frame = frame[frame["subset"].isin(STRATA)]
    if frame.empty:
        raise InputError(f"{strata} has no rows of the subsets {', '.join(STRATA)} to draw")
    with figure_style():
        save_figure(strata_pages(frame, settings), outputs)


def strata_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_strata`, from its rows of `strata.csv`."""

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        draw_zero(axes)
        draw_curves(axes, rows, STRATA, hue="subset", value="difference", dodge=0.008, ends=_ENDS)

    return explainer_pages(
        frame.assign(seed=MEAN), settings, f"{metric_of(settings)} by difficulty",
        difference_label(settings, "minus dense"), "difference", draw,
        facts=counts(frame, settings), words={"mean": ""},
        extra=[Line2D([], [], **look.line, label=f"{n} images") for n, look in STRATA.items()],
    )  # fmt: skip


#: of the stage `figure_correctness`: see `sparsight.study.versions`
CORRECTNESS_VERSION = 2


def draw_correctness(
    correctness: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw the metric of correct minus that of incorrect predictions at every level.

    Every network (seed) is a thin line or a dot. Points are means over seeds, filled where they
    differ from 0 after adjustment; pale bars are t intervals over seeds, thin lines intervals over
    images *for these networks*. The dashed line with its band is the difference over all levels and
    its t interval. An `InputError` is raised where there is nothing to draw.

    From `correctness.csv`; `settings` hold `dataset`, `model`, `metric`; optional `metrics` (metric
    to its facts `unit` and `direction`), `confidence` (default 0.95) and those of `grouping` and
    `places`.
    """
    frame = tables.read("correctness", correctness)
    frame = of_network(frame, correctness, settings, metric=settings["metric"])
    with figure_style():
        save_figure(correctness_pages(frame, settings), outputs)


def correctness_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_correctness`, from its rows."""
    alpha = round(1 - float(settings.get("confidence", 0.95)), 10)
    every = frame["level"] == ALL_LEVELS
    whole = frame[every & (frame["seed"] == MEAN)]
    levels = frame[~every].astype({"level": "int64"})
    levels["differs"] = levels["p_adjusted"] < alpha

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        draw_zero(axes)
        own = same_place(whole, rows)
        draw_floor(axes, own[own["pruner"] == rows["pruner"].iloc[0]], "all levels", "difference",
                   ends=_ENDS)  # fmt: skip
        draw_curves(axes, rows, own_look(rows, settings), hue="explainer", value="difference",
                    images=_IMAGES, filled="differs", ends=_ENDS)  # fmt: skip

    return explainer_pages(
        levels, settings, f"{metric_of(settings)} of correct and incorrect predictions",
        difference_label(settings, "of correct minus incorrect"), "difference", draw,
        facts=counts(levels, settings),
        words={"filled": f"differs from 0, adjusted p < {alpha:.2g}", "mean": ""},
    )  # fmt: skip
