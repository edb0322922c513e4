"""Every checkpoint: how far its explanations have moved against the accuracy that it has lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn.objects as so
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsight.analysis import tables
from sparsight.analysis.agreement import DENSE_PARENT
from sparsight.analysis.curves import ACCURACY, performance_curves
from sparsight.analysis.tables import MEAN
from sparsight.plots.panels import counts, explainer_pages, look_handles
from sparsight.plots.style import (
    Look,
    figure_style,
    looks,
    metric_of,
    of_network,
    pruners_of,
    save_figure,
)

VERSION = 2


def run(
    agreement: Path, evaluations: Path, svg: Path, png: Path, settings: Mapping[str, Any]
) -> None:
    """Draw one metric of agreement over the accuracy lost: a panel for each explainer.

    A mark is one pruned checkpoint, in the look of its pruner: its mean agreement with its dense
    parent over all images, and the accuracy of the parent minus its own on the test split, for the
    same condition of the images. What was only retrained is a dark cross.

    From `agreement.csv` and `evaluations.parquet`; `settings` hold `dataset`, `model`, `metric` (of
    agreement), `pruners` in their order, `retrain`, and those of `grouping`. An `InputError` is
    raised where there is nothing to draw.
    """
    frame = tables.read("agreement", agreement)
    frame = of_network(
        frame, agreement, settings, metric=settings["metric"], reference=DENSE_PARENT
    )
    with figure_style():
        save_figure(checkpoints_pages(with_loss(frame, evaluations), settings), [svg, png])


def with_loss(agreement: pd.DataFrame, evaluations: Path) -> pd.DataFrame:
    """Rows of single networks, with the accuracy that each has `lost`, in percentage points."""
    accuracy = performance_curves(evaluations, "test", ACCURACY)
    network = ["dataset", "model", "pruner", "condition", "seed"]
    dense = accuracy[accuracy["level"] == 0].set_index(network)["value"].rename("dense")
    accuracy = accuracy.join(dense, on=network)
    accuracy["lost"] = 100 * (accuracy["dense"] - accuracy["value"])
    rows = agreement[agreement["seed"] != MEAN].astype({"seed": accuracy["seed"].dtype})
    return rows.merge(accuracy[[*network, "level", "lost"]], on=[*network, "level"])


def checkpoints_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `run`, from the rows that `with_loss` gives."""
    # Without what is only retrained, colours are those of the other figures of these pruners.
    look = looks(pruners_of(frame, settings)) | {
        name: Look("0.25", "X", "-")
        for name in settings.get("retrain", ())
        if name in set(frame["pruner"])
    }
    scales = {
        "color": so.Nominal({name: of.colour for name, of in look.items()}, order=[*look]),
        "marker": so.Nominal({name: of.marker for name, of in look.items()}, order=[*look]),
    }

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        (
            so.Plot(rows, x="lost", y="mean", color="pruner", marker="pruner")
            .add(so.Dot(pointsize=4, edgecolor="w", edgewidth=0.4), legend=False)
            .scale(**scales)
            .on(axes)
            .plot()
        )

    return explainer_pages(
        frame, settings, f"agreement by {metric_of(settings)}, every checkpoint",
        "agreement with dense", "mean", draw,
        lambda _: (_losses, "accuracy lost (percentage points)"), together=True,
        facts=counts(frame, settings),
        extra=look_handles(look, settings, "pruner", linestyle=""),
    )  # fmt: skip


def _losses(axes: Axes, bare: bool, labels: int) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(labels))
