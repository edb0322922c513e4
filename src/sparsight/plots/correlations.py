"""How metrics correlate with accuracy: every network, their mean, the controls; and as a table."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sparsight.analysis import tables
from sparsight.analysis.tables import FEWEST_LEVELS, MEAN
from sparsight.io.errors import InputError
from sparsight.plots.labels import label_of, labels_of
from sparsight.plots.panels import Block, Panel, counts, draw_curves, pages, place_title
from sparsight.plots.style import (
    CONTROL,
    INK,
    Look,
    figure_style,
    of_network,
    order_names,
    places,
    save_figure,
    title_of,
)

#: of the stage `figure_correlations`: see `sparsight.study.versions`
VERSION = 2
_ROW = 0.165
_LOOK = {"explainer": Look(INK, "o", "-"), "control": Look(CONTROL, "o", "-")}
# Seeds stand above the mean, the published form below.
_PUBLISHED_AT = 0.28
_PUBLISHED: dict[str, Any] = {"linestyle": "", "marker": "s", "markersize": 2.8,
                              "markerfacecolor": "white", "markeredgewidth": 0.8}  # fmt: skip


def draw_correlations(
    correlations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw Pearson r per seed, their mean with its interval, and the published form.

    A block per pruner and condition; in it a panel per metric, rows are explainers, controls below
    a line. The mean is filled where it differs from 0 after adjustment. Where r is not defined the
    row says why ("constant" series, or "too few levels") instead of showing a number; where it is
    defined for some seeds only, their number is given. An `InputError` is raised where there is
    nothing to draw.

    From `correlations.csv`; `settings` hold `dataset`, `model`; optional `levels` (default "all"),
    `subset` (default "all"), `metrics` and `explainers` (their order; `metrics` may be a mapping),
    `confidence` (default 0.95), `pruners` and `retrain` (see `places`).
    """
    frame = correlation_rows(correlations, settings)
    with figure_style():
        save_figure(correlations_pages(frame, settings), outputs)


def correlation_rows(correlations: Path, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of `correlations.csv` that a figure with these settings draws.

    Raises
    ------
    InputError
        When there are none.
    """
    wanted = {name: settings.get(name, "all") for name in ("levels", "subset")}
    frame = of_network(tables.read("correlations", correlations), correlations, settings, **wanted)
    if not places(frame, settings):
        raise InputError(f"{correlations} has no pruner to draw; choose one that removes weights")
    return frame


def _order(frame: pd.DataFrame, settings: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Explainers with controls last, metrics, and how many explainers are none."""
    controls = set(frame.loc[frame["control"], "explainer"])
    explainers = order_names(frame["explainer"], settings.get("explainers", ()), controls)
    metrics = order_names(frame["metric"], settings.get("metrics", ()), ())
    return explainers, metrics, len(explainers) - len(controls)


def _blocks(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[tuple[str, pd.DataFrame]]:
    """Heading and rows of each pruner and condition."""
    alpha = 1 - float(settings.get("confidence", 0.95))
    frame = frame.assign(differs=frame["p_adjusted"] < alpha)
    return [
        (place_title(pruner, condition, settings),
         frame[(frame["pruner"] == pruner) & (frame["condition"] == condition)])
        for pruner, condition in places(frame, settings)
    ]  # fmt: skip


def correlations_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_correlations`, from the rows that `correlation_rows` gives."""
    explainers, metrics, real = _order(frame, settings)
    frame = frame.assign(
        row=frame["explainer"].map({name: place for place, name in enumerate(explainers)}),
        kind=frame["control"].map({True: "control", False: "explainer"}),
    )
    blocks = []
    for heading, here in _blocks(frame, settings):
        panels = [
            Panel(label_of(settings, "metric", metric),
                  partial(_draw, rows=here[here["metric"] == metric], explainers=explainers,
                          real=real, settings=settings), None)
            for metric in metrics
        ]  # fmt: skip
        blocks.append(Block(heading, panels, across="Pearson r with accuracy over levels",
                            height=_ROW * len(explainers)))  # fmt: skip
    alpha = 1 - float(settings.get("confidence", 0.95))
    which = settings.get("levels", "all").replace("_", " ")
    return pages(
        f"{title_of(settings)}, correlation with accuracy, levels: {which}", blocks,
        counts(frame, settings), columns=4,
        words={"filled": f"mean, differs from 0 (adjusted p < {alpha:.2g})", "open": "mean",
               "mean": ""},
        extra=[Line2D([], [], color=INK, label="published form (seeds averaged first)",
                      **_PUBLISHED)],
    )  # fmt: skip


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    explainers: list[str],
    real: int,
    settings: Mapping[str, Any],
) -> None:
    axes.axvline(0.0, color="0.6", linewidth=0.8, zorder=1)
    # Bands guide the eye from a name to a panel far to its right.
    for place in range(1, len(explainers), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="0.96", zorder=0, linewidth=0)
    means = rows[rows["seed"] == MEAN]
    if rows["pearson"].notna().any():
        draw_curves(axes, rows, _LOOK, hue="kind", value="pearson", across="row", flat=True,
                    ends=("pearson_low", "pearson_high"), filled="differs")  # fmt: skip
    defined = means.dropna(subset=["pearson"])
    for kind, found in defined.groupby("kind", sort=False):
        axes.plot(found["published_form"], found["row"] + _PUBLISHED_AT, gid="published",
                  zorder=3, color=_LOOK[str(kind)].colour, **_PUBLISHED)  # fmt: skip
    for row in means.to_dict("records"):
        why = "too few levels" if row["n_levels"] < FEWEST_LEVELS else "constant"
        if row["pearson"] == row["pearson"]:
            few = row["pearson_seeds"] < row["n_seeds"]
            why = f"{row['pearson_seeds']} of {row['n_seeds']} networks" if few else ""
        left = -1.05 if why.endswith("networks") and row["pearson"] > 0 else 0.0
        axes.text(left, row["row"], why, color="0.35", va="center", gid="why",
                  ha="left" if left else "center")  # fmt: skip
    if 0 < real < len(explainers):
        axes.axhline(real - 0.5, color="0.4", linewidth=0.8, gid="controls")
    axes.set_yticks(range(len(explainers)), labels_of(settings, "explainer", explainers))
    axes.set_ylim(len(explainers) - 0.5, -0.5)
    axes.set_xlim(-1.12, 1.12)
    axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0], ["−1", "−½", "0", "½", "1"])
    axes.grid(axis="y", visible=False)


#: of the stage `figure_correlation_table`: see `sparsight.study.versions`
CORRELATION_TABLE_VERSION = 2
# As dark as each other: the sign is printed, the strength can be seen in grey.
_TINTS = LinearSegmentedColormap.from_list("signed", ["#82a9d4", "#ffffff", "#de9678"])
#: columns of a table that a page has room for
_WIDEST = 11


def draw_correlation_table(
    correlations: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw mean Pearson r over seeds as a table: explainers by metrics, controls below a line.

    The tint says how strong r is, its hue and the number's sign which direction; bold numbers
    differ from 0 after adjustment. A dash stands where r is not defined, and in brackets are means
    of some of the seeds only. An `InputError` is raised where there is nothing to draw.

    From `correlations.csv`; `settings` are those of `draw_correlations`.
    """
    frame = correlation_rows(correlations, settings)
    with figure_style():
        save_figure(correlation_table_pages(frame, settings), outputs)


def correlation_table_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_correlation_table`, from the rows that `correlation_rows` gives."""
    explainers, metrics, real = _order(frame, settings)
    parts = -(-len(metrics) // _WIDEST)
    chunks = [metrics[len(metrics) * i // parts : len(metrics) * (i + 1) // parts]
              for i in range(parts)]  # fmt: skip
    blocks = [
        Block(heading, [
            Panel("", partial(_table, rows=here[here["seed"] == MEAN], explainers=explainers,
                              metrics=chunk, real=real, settings=settings), None)
            for chunk in chunks
        ], height=0.19 * len(explainers) + 0.45)
        for heading, here in _blocks(frame, settings)
    ]  # fmt: skip
    return pages(f"{title_of(settings)}, mean Pearson r with accuracy; bold: differs from 0",
                 blocks, counts(frame, settings), columns=1)  # fmt: skip


def _table(
    axes: Axes,
    rows: pd.DataFrame,
    explainers: list[str],
    metrics: list[str],
    real: int,
    settings: Mapping[str, Any],
) -> None:
    cells = rows.set_index(["explainer", "metric"])
    values = cells["pearson"].unstack().reindex(index=explainers, columns=metrics)
    sns.heatmap(values, vmin=-1, vmax=1, cmap=_TINTS, cbar=False, linewidths=0.8,
                linecolor="white", ax=axes)  # fmt: skip
    for row in rows.to_dict("records"):
        explainer, metric = row["explainer"], row["metric"]
        if metric in metrics:
            few = row["pearson_seeds"] < row["n_seeds"]
            text = f"{row['pearson']:+.2f}".replace("-", "−")
            text = "–" if row["pearson"] != row["pearson"] else f"({text})" if few else text
            axes.text(metrics.index(metric) + 0.5, explainers.index(explainer) + 0.5, text,
                      ha="center", va="center", gid="r",
                      fontweight="bold" if row["differs"] else "normal")  # fmt: skip
    axes.set_yticks(
        [n + 0.5 for n in range(len(explainers))],
        [label_of(settings, "explainer", name) for name in explainers],
        rotation=0,
    )
    axes.set_xticks([n + 0.5 for n in range(len(metrics))], labels_of(settings, "metric", metrics),
                    rotation=35, ha="left",
                    rotation_mode="anchor")  # fmt: skip
    axes.xaxis.tick_top()
    if 0 < real < len(explainers):
        axes.axhline(real, color="0.2", linewidth=1.0, gid="controls")
