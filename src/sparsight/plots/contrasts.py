"""Every level held against the dense networks: one metric, one panel per explainer."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsight.analysis.table_readers import read_contrasts
from sparsight.plots.multiples import (
    draw_estimates,
    draw_zero,
    estimate_handles,
    multiples_figure,
)
from sparsight.plots.panels import of_network
from sparsight.plots.style import figure_style, legend_below, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: of the stage `figure_contrasts`: see `sparsight.study.versions`
VERSION = 1

BAND: dict[str, Any] = {"color": "0.55", "alpha": 0.3, "linewidth": 0, "zorder": 0.5}


def draw_contrasts(contrasts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the dense networks at every level.

    Points are means over seeds, filled where they differ from 0 after adjustment; pale bars are
    paired t intervals over seeds, thin lines intervals over images *for these networks*. Bars may
    leave the panel. The grey band is the retrain floor: the t interval of the same difference for
    dense networks that were only trained once more.

    Parameters
    ----------
    contrasts : `contrasts.csv`.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`, `metric`; optional `metrics` (metric to its facts `unit` and
        `direction`), `subset` (default "all"), `confidence` (default 0.95), `retrain`, and those of
        `panels.grouping` and `panels.places`.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    wanted = {"metric": settings["metric"], "subset": settings.get("subset", "all")}
    frame = of_network(read_contrasts(contrasts), contrasts, settings, **wanted)
    with figure_style():
        save_figure(contrasts_figure(frame, settings), outputs)


def contrasts_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_contrasts`, from its rows of `contrasts.csv`."""
    metric, alpha = settings["metric"], round(1 - float(settings.get("confidence", 0.95)), 10)
    floors = frame[frame["pruner"].isin(list(settings.get("retrain", ()))) & (frame["level"] > 0)]

    def draw(axes: "Axes", rows: pd.DataFrame, colour: str) -> None:
        draw_zero(axes)
        if len(rows):
            own = floors[floors["explainer"] == rows["explainer"].iloc[0]]
            _floor(axes, own[own["condition"] == rows["condition"].iloc[0]])
        draw_estimates(axes, rows, colour, alpha)

    label = difference_label(metric, settings, "minus dense")
    figure = multiples_figure(frame, settings, label, f", {metric} against dense", draw)
    _legend(figure, bool(frame["difference_low"].notna().any()), alpha, len(floors) > 0)
    return figure


def difference_label(metric: str, settings: Mapping[str, Any], what: str) -> str:
    """Label of a y axis with differences: metric, what is subtracted, unit, what is better."""
    facts = settings.get("metrics", {}).get(metric, {})
    # What a unit says of steps, behind a semicolon, would not fit.
    unit = f" ({facts['unit'].partition(';')[0]})" if facts.get("unit") else ""
    direction = facts.get("direction")
    better = f"{direction} is better" if direction else "direction not stated"
    return f"{metric} {what}{unit}\n{better}"


def _floor(axes: "Axes", rows: pd.DataFrame) -> None:
    """The retrain floor across the panel: its interval, or a line where it has none."""
    for _, row in rows.dropna(subset=["difference"]).iterrows():
        if row["difference_low"] == row["difference_low"]:
            axes.axhspan(row["difference_low"], row["difference_high"], gid="floor", **BAND)
        axes.axhline(row["difference"], color="0.55", linewidth=0.8, linestyle=(0, (4, 2)),
                     zorder=0.8, gid="floor")  # fmt: skip


def _legend(figure: "Figure", seeds: bool, alpha: float, floor: bool) -> None:
    from matplotlib.patches import Patch

    handles = estimate_handles(seeds, alpha, "differs from dense")
    if floor:
        handles.append(Patch(facecolor="0.55", alpha=0.3, label="retrain floor (dense again)"))
    legend_below(figure, handles)
