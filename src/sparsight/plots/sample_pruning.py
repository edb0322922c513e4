"""What pruning for the sample does to each explainer's score, beside its controls."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from sparsight.analysis import tables
from sparsight.analysis.sample_pruning import ALL_EXPLAINERS, UNPRUNED
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.plots.labels import label_of
from sparsight.plots.panels import Block, Panel, counts, draw_curves, look_handles, pages
from sparsight.plots.style import figure_style, looks, of_network, save_figure, title_of

#: of the stage `figure_sample_pruning`: see `sparsight.study.versions`
VERSION = 3

_LINE_HEIGHT = 0.27
#: nats below which distances between predictions are rounding
_SAME = 1e-6
_BETTER = {"higher": "right is better", "lower": "left is better"}


def draw_sample_pruning(table: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw the difference to the explainer on the network itself, one panel per metric.

    Each sample pruner has a mark of its own per explainer: filled where the adjusted p is below 1
    minus the confidence. Pale bars are t intervals over networks, thin lines intervals over images
    for these networks. At the right stands the explainer's score on the network itself. Where the
    copies of sample pruners lose different shares of their weights, further panels show the mean
    of all explainers against how far the copies' predictions have moved. An `InputError` is raised
    where there is nothing to draw.

    From `sample_pruning.csv`; `settings` hold `dataset`, `model`, `explainers`, `sample_pruners`
    (in their order), `metrics` (name to `direction`, `unit`), `confidence`.
    """
    wanted = {**settings, "explainers": [*settings["explainers"], ALL_EXPLAINERS]}
    frame = of_network(tables.read("sample_pruning", table), table, wanted, against=UNPRUNED)
    with figure_style():
        save_figure(sample_pruning_pages(frame, wanted), outputs)


def sample_pruning_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_sample_pruning`, from its rows."""
    metrics = [name for name in settings["metrics"] if name in set(frame["metric"])]
    if not metrics:
        raise InputError("no metric was scored on pruned copies; choose one that looks at maps")
    explainers = [name for name in settings["explainers"] if name in set(frame["explainer"])]
    look = looks([n for n in settings["sample_pruners"] if n in set(frame["sample_pruner"])])
    alpha = 1 - float(settings["confidence"])
    row = frame["explainer"].map({name: place for place, name in enumerate(explainers)})
    frame = frame.assign(seed=MEAN, row=row, differs=frame["p_adjusted"] < alpha)
    blocks, doses = [], []
    for (pruner, level, condition), here in frame.groupby(["pruner", "level", "condition"]):
        panels = [
            Panel(_title(name, settings),
                  partial(_draw, rows=rows, explainers=explainers, look=look, settings=settings),
                  None)
            for name in metrics
            if len(rows := here[here["metric"] == name])
        ]  # fmt: skip
        network = (
            f"{label_of(settings, 'pruner', str(pruner))}, level {level}" if level else "dense"
        )
        heading = f"{network}, {condition} images"
        blocks.append(Block(heading, panels, across="difference",
                            height=_LINE_HEIGHT * len(explainers)))  # fmt: skip
        doses += _doses(here[here["explainer"] == ALL_EXPLAINERS], heading, metrics, look, settings)
    facts = counts(frame, {"test_images": int(frame["n_images"].max())})
    draw = partial(
        pages,
        facts=facts,
        words={"filled": f"adjusted p < {alpha:.2g}", "mean": ""},
        extra=look_handles(look, settings, "sample_pruner", linestyle=""),
        columns=3,
    )
    title = f"{title_of(settings)}, pruned for each image"
    found = draw(title, blocks)
    return [*found, *draw(f"{title}: gain and distance", doses)] if doses else found


def _doses(
    rows: pd.DataFrame,
    heading: str,
    metrics: list[str],
    look: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> list[Block]:
    """The gain against the distance of the copies from the network, where their shares differ."""
    if rows["sparsity"].round(3).nunique() < 2:
        return []
    # A copy that says what the network says stands at the edge of the logarithmic axis.
    rows = rows.assign(divergence=rows["divergence"].clip(lower=_SAME))

    def draw(axes: Axes, of_metric: pd.DataFrame) -> None:
        axes.axhline(0.0, color="0.35", linewidth=0.8, zorder=1.5, gid="zero")
        draw_curves(axes, of_metric, look, hue="sample_pruner", value="difference",
                    across="divergence", ends=("difference_low", "difference_high"),
                    filled="differs", images=("images_low", "images_high"))  # fmt: skip
        # whole decades, so that at least two have a label
        reach = np.log10(of_metric["divergence"])
        axes.set_xscale("log")
        axes.set_xlim(10 ** np.floor(reach.min() - 0.05), 10 ** np.ceil(reach.max() + 0.05))
        axes.xaxis.set_minor_formatter(NullFormatter())

    panels = [
        Panel(label_of(settings, "metric", name), partial(draw, of_metric=found), name)
        for name in metrics
        if len(found := rows[rows["metric"] == name].dropna(subset=["divergence", "difference"]))
    ]
    across = "how far the copies' predictions have moved: Kullback-Leibler divergence in nats"
    return [Block(f"{heading}, mean of all explainers", panels, label="difference", across=across)]


def _title(metric: str, settings: Mapping[str, Any]) -> str:
    better = _BETTER.get(settings["metrics"][metric]["direction"], "neither is better")
    return f"{label_of(settings, 'metric', metric)}\n({better})"


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    explainers: list[str],
    look: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    axes.axvline(0.0, color="0.35", linewidth=0.8, zorder=1.5, gid="zero")
    draw_curves(axes, rows, look, hue="sample_pruner", value="difference", across="row",
                ends=("difference_low", "difference_high"), flat=True, filled="differs",
                images=("images_low", "images_high"), dodge=0.8 / len(look))  # fmt: skip
    for place, start in rows.groupby("row")["against_mean"].mean().dropna().items():
        axes.annotate(f"{start:.3g}", (1.01, place), xycoords=("axes fraction", "data"),
                      va="center", color="0.35", gid="start")  # fmt: skip
    names = [
        "mean of all" if name == ALL_EXPLAINERS else label_of(settings, "explainer", name)
        for name in explainers
    ]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    if ALL_EXPLAINERS in explainers:
        axes.axhline(len(names) - 1.5, color="0.6", linewidth=0.6)
