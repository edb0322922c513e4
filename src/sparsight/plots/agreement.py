"""How far explanations move from the dense network's, next to how far they move for less."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsight.analysis import tables
from sparsight.analysis.tables import MEAN
from sparsight.plots.panels import (
    counts,
    draw_curves,
    draw_floor,
    explainer_pages,
    own_look,
    same_place,
)
from sparsight.plots.style import figure_style, metric_of, of_network, save_figure

#: of the stage `figure_agreement`: see `sparsight.study.versions`
VERSION = 2

SEED_FLOOR = "seed_floor"


def draw_agreement(agreement: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the agreement with the dense network's explanations at every level, and its two floors.

    Every network (seed) is a thin line or a dot, the mean a thick one with its t interval over
    seeds. Dashed, with a darker band: dense networks that were only retrained, against their dense
    parent. Dotted, with a paler band: dense networks of other seeds against each other. Bands are t
    intervals over seeds. An `InputError` is raised where there is nothing to draw.

    From `agreement.csv`; `settings` hold `dataset`, `model`, `metric` (of agreement); optional
    `retrain` and those of `grouping` and `places`.
    """
    frame = tables.read("agreement", agreement)
    frame = of_network(frame, agreement, settings, metric=settings["metric"])
    with figure_style():
        save_figure(agreement_pages(frame, settings), outputs)


def agreement_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_agreement`, from its rows of `agreement.csv`."""
    retrained = frame["pruner"].isin(list(settings.get("retrain", ())))
    other = frame["reference"] == SEED_FLOOR
    mean = frame["seed"] == MEAN
    floors = {"retrain floor": frame[retrained & ~other & mean], "seed floor": frame[other & mean]}
    curves = frame[~retrained & ~other]

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        for kind, found in floors.items():
            draw_floor(axes, same_place(found, rows), kind)
        draw_curves(axes, rows, own_look(rows, settings), hue="explainer", value="mean")

    metric = metric_of(settings)
    label = f"{metric} with the dense network's map\n1 is equal"
    return explainer_pages(curves, settings, f"agreement by {metric}", label, "mean", draw,
                           facts=counts(curves, settings))  # fmt: skip
