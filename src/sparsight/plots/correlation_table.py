"""All correlations with accuracy at a glance: a table whose cells are tinted by their value."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsight.plots.correlations import MEAN, correlation_rows, order_of
from sparsight.plots.panels import places
from sparsight.plots.style import figure_style, name_figure, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: of the stage `figure_correlation_table`: see `sparsight.study.versions`
VERSION = 1

CELL_WIDTH, CELL_HEIGHT = 0.52, 0.2
# As dark as each other: the sign is printed, the strength can be seen in grey.
POSITIVE, NEGATIVE = "#c8501e", "#2f6fb0"


def draw_correlation_table(
    correlations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw mean Pearson r over seeds as a table: explainers by metrics, controls below a line.

    The tint says how strong r is, its hue and the number's sign which direction; bold numbers
    differ from 0 after adjustment. A dash stands where r is not defined, and in brackets are means
    of some of the seeds only.

    Parameters
    ----------
    correlations : `correlations.csv`.
    outputs : .svg, .png or .pdf files.
    settings : as of `draw_correlations`.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    frame = correlation_rows(correlations, settings)
    with figure_style():
        save_figure(correlation_table_figure(frame, settings), outputs)


def correlation_table_figure(frame: pd.DataFrame, settings: Mapping[str, Any]) -> "Figure":
    """The figure of `draw_correlation_table`, from its rows of `correlations.csv`."""
    explainers, metrics, controls = order_of(frame, settings)
    blocks = places(frame, settings)
    width = max(2.1 + CELL_WIDTH * len(metrics) + 0.7, 5.0)
    figure = new_figure(width, (CELL_HEIGHT * len(explainers) + 1.45) * len(blocks) + 0.5)
    name_figure(figure, settings, ", mean Pearson r with accuracy")
    alpha = 1 - float(settings.get("confidence", 0.95))
    panels = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
    means = frame[frame["seed"] == MEAN]
    for axes, (pruner, condition) in zip(panels, blocks, strict=True):
        here = means[(means["pruner"] == pruner) & (means["condition"] == condition)]
        for _, row in here.iterrows():
            place = (metrics.index(row["metric"]), explainers.index(row["explainer"]))
            _cell(axes, row, place, alpha)
        axes.set_yticks(range(len(explainers)), explainers, fontsize=7)
        axes.set_ylim(len(explainers) - 0.5, -0.5)
        axes.set_xticks(range(len(metrics)), metrics, fontsize=7, rotation=35, ha="left",
                        rotation_mode="anchor")  # fmt: skip
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2)
        axes.set_xlim(-0.5, len(metrics) - 0.5)
        axes.grid(visible=False)
        axes.set_xlabel(f"pruner {pruner}, {condition} images", fontsize=8, loc="left")
        real = len(explainers) - len(controls)
        if 0 < real < len(explainers):
            axes.axhline(real - 0.5, color="0.2", linewidth=1.0)
    return figure


def _cell(axes: "Axes", row: "pd.Series[Any]", place: tuple[int, int], alpha: float) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    across, down = place
    value = row["pearson"]
    text, weight = "–", "normal"
    if value == value:
        text = f"{value:+.2f}".replace("-", "−")
        if row["pearson_seeds"] < row["n_seeds"]:
            text = f"({text})"
        hue = to_rgb(POSITIVE if value > 0 else NEGATIVE)
        strength = 0.6 * min(abs(float(value)), 1.0)
        tint = tuple(1 - strength * (1 - part) for part in hue)
        axes.add_patch(Rectangle((across - 0.5, down - 0.5), 1, 1, facecolor=tint,
                                 edgecolor="white", linewidth=0.8))  # fmt: skip
        weight = "bold" if row["p_adjusted"] < alpha else "normal"
    axes.text(across, down, text, fontsize=6.5, ha="center", va="center", fontweight=weight,
              gid="r")  # fmt: skip
