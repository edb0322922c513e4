"""How far explanations move under each pruner, where networks have lost as much accuracy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sparsight.analysis import tables
from sparsight.analysis.equal_accuracy import AGREEMENT, LOSSES
from sparsight.analysis.tables import MEAN
from sparsight.plots.panels import (
    Axis,
    counts,
    draw_curves,
    draw_floor,
    explainer_pages,
    look_handles,
    nothing_to_show,
)
from sparsight.plots.style import (
    figure_style,
    looks,
    metric_of,
    of_network,
    pruners_of,
    save_figure,
)

VERSION = 3
# Marks of one loss share this much of the distance to the next one on the logarithmic axis.
_DODGE = 0.5


def run(equal_accuracy: Path, svg: Path, png: Path, settings: Mapping[str, Any]) -> None:
    """Draw one metric of agreement over the loss of accuracy: a panel for each explainer.

    A line is a pruner's mean over the networks that reach the loss, with the t interval over them;
    hollow where not all of them do. The band is the retrain floor with its t interval. An explainer
    without any value has no panel; without any panel, a sentence says why.

    From `equal_accuracy.csv`; `settings` hold `dataset`, `model`, `metric` (of agreement),
    `pruners` in their order, and those of `grouping`.
    """
    frame = tables.read("equal_accuracy", equal_accuracy)
    frame = of_network(frame, equal_accuracy, settings, kind=AGREEMENT, metric=settings["metric"])
    with figure_style():
        save_figure(equal_accuracy_pages(frame, settings), [svg, png])


def equal_accuracy_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `run`, from its rows of `equal_accuracy.csv`."""
    # One look for a pruner in all figures of a network, also where others lose too little.
    look = looks(pruners_of(frame, settings))
    means = frame[(frame["seed"] == MEAN) & frame["pruner"].isin(look)]
    about = f"agreement by {metric_of(settings)} at equal accuracy"
    if not means["value"].notna().any():
        lost = f"{100 * LOSSES[0]:g} to {100 * LOSSES[-1]:g} points of accuracy"
        why = f"No network loses {lost} between two of its levels: there is nothing to compare."
        return [nothing_to_show(settings, about, why)]
    shown = [name for name in look if means.loc[means["pruner"] == name, "value"].notna().any()]
    whole = means["n_seeds"] == means["of_seeds"]
    # Pruners stand beside their loss, so that none is hidden.
    aside = _DODGE * np.min(np.diff(np.log(LOSSES)))
    place = {name: aside * ((i + 0.5) / len(shown) - 0.5) for i, name in enumerate(shown)}
    means = means[means["pruner"].isin(shown)]
    means = means.assign(
        level=means["loss"].map({loss: i for i, loss in enumerate(LOSSES)}), whole=whole,
        across=100 * means["loss"] * np.exp(means["pruner"].map(place).astype(float)),
    )  # fmt: skip

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        ends = ("retrain_floor_low", "retrain_floor_high")
        draw_floor(axes, rows, "retrain floor", "retrain_floor", ends)
        draw_curves(axes, rows, look, hue="pruner", value="value", across="across", filled="whole")

    facts = counts(means.drop(columns="level").assign(n_seeds=means["of_seeds"]), settings)
    facts += f" · {len(LOSSES)} losses, between levels"
    partly = bool((~whole & means["value"].notna()).any())
    return explainer_pages(
        means, settings, about, "agreement with dense", "value", draw, _losses, together=True,
        facts=facts, columns=4,
        words={"filled": "all networks lose as much" if partly else "", "mean": "",
               "open": "some networks only"},
        extra=look_handles({name: look[name] for name in shown}, settings, "pruner", linewidth=1.0),
    )  # fmt: skip


def _losses(rows: pd.DataFrame) -> tuple[Axis, str]:
    def draw(axes: Axes, bare: bool, labels: int) -> None:
        axes.set_xscale("log")
        axes.set_xlim(100 * LOSSES[0] / 1.45, 100 * LOSSES[-1] * 1.45)
        axes.xaxis.set_major_locator(FixedLocator([100 * loss for loss in LOSSES]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "" if bare else f"{value:g}"))

    return draw, "accuracy lost against dense, percentage points (log scale)"
