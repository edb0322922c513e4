"""Accuracy and metrics over pruning levels and over density (figures 3.1 and 3.2 of the thesis)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsight.analysis.curves import mean_over_seeds, performance_curves
from sparsight.analysis.summaries import read_levels
from sparsight.io.errors import InputError
from sparsight.plots.style import (
    Look,
    density_axis,
    figure_style,
    level_axis,
    looks,
    new_figure,
    ordered,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = ("level", "density")
# A mean shows about this many markers, however many levels there are.
MARKERS = 9
# Small dots keep a lone defined level between undefined ones visible.
THIN: dict[str, Any] = {
    "alpha": 0.5,
    "linewidth": 0.7,
    "marker": ".",
    "markersize": 2.5,
    "markeredgewidth": 0,
}
PANEL_WIDTH, PANEL_HEIGHT = 3.6, 2.5


def draw_accuracy(evaluations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw accuracy against level (left) and density (right), one row per condition.

    Every network (seed) is a thin line, the mean over them a thick one; colours are pruners.

    Parameters
    ----------
    evaluations : `evaluations.parquet`.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`; optional `split` (default "test"), `performance` (default
        "accuracy") and `pruners` (their order).

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    split, measure = settings.get("split", "test"), settings.get("performance", "accuracy")
    frame = performance_curves(evaluations, split, measure)
    frame = _network(frame, evaluations, settings)
    with figure_style():
        save_figure(accuracy_figure(frame, settings), outputs)


def accuracy_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_accuracy`, from the rows that `performance_curves` gives."""
    pruners = ordered(frame["pruner"], settings.get("pruners", ()), ())
    look = looks(pruners)
    conditions = sorted(frame["condition"].unique())
    label = f"{settings.get('performance', 'accuracy').replace('_', ' ')}, share, 0 to 1"
    figure, grid = _grid(len(conditions), settings)
    for axes_row, condition in zip(grid, conditions, strict=True):
        rows = frame[frame["condition"] == condition]
        for across, axes in zip(ACROSS, axes_row, strict=True):
            _curves(axes, rows, "pruner", "value", across, look)
            _x_axis(axes, across, frame["density"])
        axes_row[0].set_ylabel(f"{label}\n(higher is better)")
        axes_row[0].set_title(f"{condition} images", loc="left")
    _legend(figure, look, frame["seed"].nunique())
    return figure


def draw_metric(levels: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the mean of one metric against level (left) and density (right).

    One row per pruner and condition. Every network (seed) is a thin line, the mean over them a
    thick one; colours are explainers, controls are grey and dashed. A control whose values lie so
    far off that the explainers would be squeezed flat is named with its mean at the edge of the
    panel instead.

    Parameters
    ----------
    levels : `levels.csv`.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`, `metric`, `metrics` (metric name to its facts `unit` and
        `direction`), `controls` (names); optional `subset` (default "all"), `explainers` and
        `pruners` (their order).

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    frame = _network(read_levels(levels), levels, settings)
    metric, subset = settings["metric"], settings.get("subset", "all")
    frame = frame[(frame["metric"] == metric) & (frame["subset"] == subset)]
    if frame.empty:
        raise InputError(f"{levels} has no rows of the metric '{metric}' for '{subset}' images")
    with figure_style():
        save_figure(metric_figure(frame, settings), outputs)


def metric_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_metric`, from the rows of `levels.csv` of one metric and subset."""
    controls = list(settings.get("controls", ()))
    explainers = ordered(frame["explainer"], settings.get("explainers", ()), controls)
    look = looks(explainers, controls)
    pruners = ordered(frame["pruner"], settings.get("pruners", ()), ())
    places = [(p, c) for p in pruners for c in sorted(frame["condition"].unique())]
    figure, grid = _grid(len(places), settings)
    for axes_row, (pruner, condition) in zip(grid, places, strict=True):
        rows = frame[(frame["pruner"] == pruner) & (frame["condition"] == condition)]
        far = _far_controls(rows, controls)
        near = rows[~rows["explainer"].isin(far)]
        for across, axes in zip(ACROSS, axes_row, strict=True):
            _curves(axes, near, "explainer", "mean", across, look)
            _x_axis(axes, across, frame["density"])
        _name_far_controls(axes_row[1], far)
        axes_row[0].set_ylabel(metric_label(settings["metric"], settings.get("metrics", {})))
        axes_row[0].set_title(f"pruner {pruner}, {condition} images", loc="left")
    _legend(figure, look, frame["seed"].nunique())
    return figure


def metric_label(metric: str, facts: Mapping[str, Mapping[str, str]]) -> str:
    """Name, unit and direction of a metric for an axis, on up to three lines."""
    known = facts.get(metric, {})
    lines = [metric]
    if known.get("unit"):
        lines.append(known["unit"])
    direction = known.get("direction")
    lines.append(f"({direction} is better)" if direction else "(direction not stated)")
    return "\n".join(lines)


def _network(frame: pd.DataFrame, source: Path, settings: Mapping[str, Any]) -> pd.DataFrame:
    dataset, model = settings["dataset"], settings["model"]
    rows: pd.DataFrame = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
    if rows.empty:
        raise InputError(
            f"{source} has no curve of '{model}' on '{dataset}'; a curve needs a pruned level"
        )
    return rows


def _grid(rows: int, settings: Mapping[str, Any]) -> tuple["Figure", list[list["Axes"]]]:
    """A figure with two panels a row that share their y axis."""
    figure = new_figure(2 * PANEL_WIDTH + 1.9, PANEL_HEIGHT * rows + 0.4)
    title = f"{settings['model']} on {settings['dataset']}"
    figure.suptitle(title, fontsize=9, fontweight="bold", x=0.01, ha="left")
    grid = figure.subplots(rows, len(ACROSS), squeeze=False, sharey="row")
    return figure, [list(axes_row) for axes_row in grid]


def _x_axis(axes: "Axes", across: str, densities: "pd.Series[float]") -> None:
    if across == "level":
        level_axis(axes)
    else:
        density_axis(axes, list(densities))


def _curves(
    axes: "Axes",
    frame: pd.DataFrame,
    name: str,
    value: str,
    across: str,
    look: Mapping[str, Look],
) -> None:
    """A thin line per seed and a thick one for their mean, for each of the names."""
    drawn = [key for key in look if key in set(frame[name])]
    for index, key in enumerate(drawn):
        curve = frame[frame[name] == key]
        style = look[key]
        for _, rows in curve.groupby("seed"):
            rows = rows.sort_values("level")
            axes.plot(rows[across], rows[value], color=style.colour, zorder=2, gid="seed", **THIN)
        mean = mean_over_seeds(curve, [name], value).sort_values("level")
        every = max(1, round(len(mean) / MARKERS))
        # Curves that lie upon each other show different markers, since these start staggered.
        axes.plot(
            mean[across],
            mean[value],
            **style.line,
            markevery=(index % every, every),
            zorder=3,
            gid="mean",
            label=key,
        )


def _far_controls(rows: pd.DataFrame, controls: Sequence[str]) -> dict[str, tuple[float, bool]]:
    """Controls that would squeeze the explainers flat: name to (mean, whether it lies above)."""
    real = rows.loc[~rows["explainer"].isin(controls), "mean"].dropna()
    if real.empty:
        return {}
    low, high = float(real.min()), float(real.max())
    reach = max(high - low, 0.02 * abs(high))
    found: dict[str, tuple[float, bool]] = {}
    for name, values in rows[rows["explainer"].isin(controls)].groupby("explainer")["mean"]:
        if values.max() < low - reach or values.min() > high + reach:
            found[str(name)] = (float(values.mean()), bool(values.min() > high))
    return found


def _name_far_controls(axes: "Axes", far: Mapping[str, tuple[float, bool]]) -> None:
    for above in (True, False):
        lines = [
            f"{name} {mean:.3g} {'↑' if above else '↓'}"
            for name, (mean, is_above) in far.items()
            if is_above == above
        ]
        if lines:
            axes.annotate(
                "off the axis:\n" + "\n".join(lines),
                (1.02, 1.0 if above else 0.0),
                xycoords="axes fraction",
                ha="left",
                va="top" if above else "bottom",
                fontsize=7,
                color="0.35",
                gid="far",
            )


def _legend(figure: "Figure", look: Mapping[str, Look], seeds: int) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **style.line, label=name) for name, style in look.items()]
    if seeds > 1:
        handles.append(Line2D([], [], color="0.3", linewidth=1.7, label=f"mean of {seeds} seeds"))
        handles.append(Line2D([], [], color="0.3", label="one seed", **THIN))
    else:
        handles.append(Line2D([], [], linestyle="", label="one seed: no spread to show"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3.2)
