"""Accuracy over pruning levels, density and bits (figure 3.1 of the thesis)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis.curves import performance_curves
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    FLOOR,
    Look,
    bits_axis,
    density_axis,
    distinct_bits,
    draw_mean_and_seeds,
    figure_style,
    legend_below,
    level_axis,
    looks,
    name_figure,
    new_figure,
    of_network,
    pruners_of,
    save_figure,
    seed_handles,
)
from sparsight.rounding import FULL_BITS

#: of the stage `figure_accuracy`: see `sparsight.study.versions`
VERSION = 1

#: column along x to its value for a dense network
DENSE_AT = {"level": 0.0, "density": 1.0, "bits": float(FULL_BITS)}
PANEL_WIDTH, PANEL_HEIGHT = 3.6, 2.5


def draw_accuracy(evaluations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw accuracy against level, density and bits (side by side), one row per condition.

    A pruner whose levels differ in bits alone stands in the panel of bits, not in that of
    densities; without such a pruner there is no panel of bits, and with no other none of densities.
    Every network (seed) is a thin line, the mean over them a thick one; colours are pruners. Dense
    networks that were only retrained are hollow diamonds at the dense level. An `InputError` is
    raised where there is nothing to draw.

    From `evaluations.parquet`; `settings` hold `dataset`, `model`; optional `split` (default
    "test"), `performance` (default "accuracy"), `pruners` (in their order; without it all) and
    `retrain` (pruners that only train once more).
    """
    split, measure = settings.get("split", "test"), settings.get("performance", "accuracy")
    frame = performance_curves(evaluations, split, measure)
    frame = of_network(frame, evaluations, settings)
    with figure_style():
        save_figure(accuracy_figure(frame, settings), outputs)


def accuracy_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_accuracy`, from the rows that `performance_curves` gives."""
    pruners = pruners_of(frame, settings)
    if not pruners:
        raise InputError("no pruner has an accuracy to draw; choose a pruner that removes weights")
    look = looks(pruners)
    curves = frame[frame["pruner"].isin(pruners)]
    retrained = frame[
        frame["pruner"].isin(list(settings.get("retrain", ()))) & (frame["level"] > 0)
    ]
    conditions = _different(curves)
    by_bits = [name for name in look if distinct_bits(curves[curves["pruner"] == name])]
    by_density = [name for name in look if name not in by_bits]
    shown = {"level": list(look), "density": by_density, "bits": by_bits}
    shown = {across: names for across, names in shown.items() if names}
    label = f"{settings.get('performance', 'accuracy').replace('_', ' ')}, share, 0 to 1"
    figure = new_figure(len(shown) * PANEL_WIDTH + 1.0, PANEL_HEIGHT * len(conditions) + 0.4)
    name_figure(figure, settings)
    grid = figure.subplots(len(conditions), len(shown), squeeze=False, sharey="row")
    for axes_row, condition in zip(grid, conditions, strict=True):
        rows = curves[curves["condition"] == condition]
        floor = retrained[retrained["condition"] == condition]
        for (across, names), axes in zip(shown.items(), axes_row, strict=True):
            drawn = [name for name in names if name in set(rows["pruner"])]
            for index, name in enumerate(drawn):
                curve = rows[rows["pruner"] == name]
                draw_mean_and_seeds(axes, curve, across, "value", look[name], name, index)
            dense = [DENSE_AT[across]] * len(floor)
            if len(floor):
                axes.plot(dense, floor["value"], color="0.25", gid="retrained", zorder=5, **FLOOR)
            if across == "level":
                level_axis(axes)
                continue
            draw_axis = density_axis if across == "density" else bits_axis
            draw_axis(axes, list(curves.loc[curves["pruner"].isin(names), across]))
        axes_row[0].set_ylabel(f"{label}\n(higher is better)")
        axes_row[0].set_title(f"{condition} images", loc="left")
    _legend(figure, look, curves["seed"].nunique(), bool(len(retrained)))
    return figure


def _different(curves: pd.DataFrame) -> list[str]:
    """The conditions, without those that repeat another: images without noise are clean twice."""
    found: dict[tuple[float, ...], str] = {}
    for condition, rows in curves.groupby("condition", sort=True):
        values = rows.sort_values(["pruner", "seed", "level"])["value"]
        found.setdefault(tuple(values), str(condition))
    return list(found.values())


def _legend(figure: Figure, look: Mapping[str, Look], seeds: int, retrained: bool) -> None:
    handles = [Line2D([], [], **style.line, label=name) for name, style in look.items()]
    handles += seed_handles(seeds)
    if retrained:
        handles.append(Line2D([], [], color="0.25", label="dense, retrained", **FLOOR))
    legend_below(figure, handles)
