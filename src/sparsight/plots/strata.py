"""Whether explanations of hard images change more: one metric, one panel per explainer."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsight.analysis.table_readers import read_contrasts
from sparsight.io.errors import InputError
from sparsight.plots.contrasts import difference_label
from sparsight.plots.multiples import draw_zero, multiples_figure
from sparsight.plots.panels import beside, has_gaps, of_network
from sparsight.plots.style import Look, figure_style, legend_below, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: of the stage `figure_strata`: see `sparsight.study.versions`
VERSION = 1

STRATA = {
    "hard": Look("#1f2a6b", "o", "-"),
    "medium": Look("#c8501e", "s", (0, (5, 1.5)), hollow=True),
    "easy": Look("#74b9e8", "^", (0, (1, 1.2))),
}
# Strata of one level stand side by side, further apart where there is room.
STEP, WIDE_STEP = 0.9, 2.7


def draw_strata(strata: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the dense networks among hard, medium and easy images.

    Thin vertical lines are paired t intervals over seeds; they may leave the panel.

    Parameters
    ----------
    strata : `strata.csv`.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`, `metric`; optional `metrics` (metric to its facts `unit` and
        `direction`) and those of `panels.grouping` and `panels.places`.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    frame = of_network(read_contrasts(strata), strata, settings, metric=settings["metric"])
    frame = frame[frame["subset"].isin(STRATA)]
    if frame.empty:
        raise InputError(f"{strata} has no rows of the subsets {', '.join(STRATA)} to draw")
    with figure_style():
        save_figure(strata_figure(frame, settings), outputs)


def strata_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_strata`, from its rows of `strata.csv`."""
    from matplotlib.lines import Line2D

    metric = settings["metric"]
    label = difference_label(metric, settings, "minus dense")
    figure = multiples_figure(frame, settings, label, f", {metric} by difficulty", _panel)
    handles = [Line2D([], [], **_line(look), label=f"{n} images") for n, look in STRATA.items()]
    seeds = bool(frame["difference_low"].notna().any())
    text = "t interval over seeds" if seeds else "one seed: no t interval"
    handles.append(Line2D([], [], color="0.4", linewidth=0.8, label=text))
    legend_below(figure, handles)
    return figure


def _line(look: Look) -> dict[str, Any]:
    return {**look.line, "linewidth": 1.1, "markersize": 3.0}


def _panel(axes: "Axes", rows: pd.DataFrame, _: str) -> None:
    draw_zero(axes)
    for index, (name, look) in enumerate(STRATA.items()):
        found = rows[rows["subset"] == name].dropna(subset=["difference"])
        if found.empty:
            continue
        gaps = has_gaps(found["level"])
        step = WIDE_STEP if gaps else STEP
        across = found["level"] + beside(rows["level"], (index - 1) * step)
        axes.vlines(across, found["difference_low"], found["difference_high"], color=look.colour,
                    linewidth=0.8, alpha=0.6, zorder=2, gid="interval")  # fmt: skip
        style = {**_line(look), "linestyle": ""} if gaps else _line(look)
        every = 1 if gaps or len(found) <= 9 else 3
        axes.plot(across, found["difference"], **style, markevery=(index % every, every), zorder=3,
                  gid=name)  # fmt: skip
