"""A unit that answers to two regions of a plane, before and after pruning for one of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.io.arrays import read_arrays, read_metadata
from sparsight.plots.pages import percent
from sparsight.plots.style import SIZE, WIDTH, figure_style, looks, new_figure, save_figure

#: of the stage `figure_toy`: see `sparsight.study.versions`
VERSION = 2

#: what the solvers are called in the figure, in the order of its rows
SOLVERS = {"obs_fast": "SPADE (obs_fast)", "magnitude": "control: smallest weights"}
SCENARIOS = {1: "sample from the larger region", 2: "sample from the smaller region"}
#: points of a sample and of the training that are drawn
_SAMPLE, _TRAINING = 60, 400
Planes = Mapping[str, NDArray[Any]]


def draw_toy(table: Path, planes: Path, outputs: Iterable[Path]) -> None:
    """Draw the unit's activation over the plane, and how much of it stays in the sample's region.

    An `InputError` is raised where a file is missing, damaged or something else.

    Parameters
    ----------
    table, planes : files of `sparsight.spade.toy`.
    outputs : .svg, .png or .pdf files.
    """
    frame = tables.read("sample_pruning_toy", table)
    arrays = {name: array.numpy() for name, array in read_arrays(planes).items()}
    facts = read_metadata(planes)
    with figure_style():
        save_figure(
            toy_figure(frame, arrays, float(facts["sparsity"]), float(facts["reach"])), outputs
        )


def toy_figure(frame: pd.DataFrame, planes: Planes, sparsity: float, reach: float) -> Figure:
    """The figure of `draw_toy`."""
    figure = new_figure(WIDTH, 7.6)
    figure.suptitle("A unit that answers to two regions, pruned for a sample from one",
                    fontsize=SIZE + 1, fontweight="bold", x=0.01, ha="left")  # fmt: skip
    grid = figure.subplots(3, 3, height_ratios=(1.25, 1.25, 1.0))
    for row, (solver, name) in enumerate(SOLVERS.items()):
        if row == 0:
            _plane(grid[0, 0], planes["dense"], planes, None, reach)
            grid[0, 0].set_title("not pruned", loc="left")
        else:
            _key(grid[row, 0])
        for place, scenario in enumerate(SCENARIOS):
            axes = grid[row, place + 1]
            _plane(axes, planes[solver][place], planes, place, reach)
            axes.set_title(f"{name}, {percent(sparsity)} fall", loc="left")
            mine = _of(frame, scenario, solver, 0)
            here = mine.loc[np.isclose(mine["sparsity"], sparsity), "own_region"]
            before = _of(frame, scenario, "dense", 0)["own_region"]
            if len(here) and len(before):
                axes.set_xlabel(
                    f"in the sample's region: {percent(float(before.iloc[0]))} → "
                    f"{percent(float(here.iloc[0]))}", labelpad=3,
                )  # fmt: skip
    grid[2, 0].set_axis_off()
    for place, scenario in enumerate(SCENARIOS):
        _curves(grid[2, place + 1], frame, scenario)
    _legend(grid[2, 0], frame["seed"].nunique(), frame["sparsity"].nunique())
    return figure


def _of(frame: pd.DataFrame, scenario: int, solver: str, seed: int) -> pd.DataFrame:
    chosen = (frame["scenario"] == scenario) & (frame["solver"] == solver)
    return frame[chosen & (frame["seed"] == seed)].sort_values("sparsity")


def _plane(
    axes: Axes, values: NDArray[Any], planes: Planes, place: int | None, reach: float
) -> None:
    highest = float(values.max())
    extent = (-reach, reach, -reach, reach)
    # every panel has a scale of its own: pruning changes how strong the unit answers
    axes.imshow(values, origin="lower", extent=extent, cmap="Greys", vmin=0.0,
                vmax=highest if highest > 0 else 1.0, aspect="equal", gid="activation")  # fmt: skip
    axis = np.linspace(-reach, reach, values.shape[0])
    if highest > 0:
        axes.contour(axis, axis, values, levels=[1e-6], colors="#0072b2", linewidths=1.0)
    points, inside = planes["points"][:_TRAINING], planes["inside"][:_TRAINING].astype(bool)
    marks: dict[str, Any] = {"s": 5, "zorder": 3}
    axes.scatter(*points[inside].T, marker="o", color="#d9a100", linewidths=0.0, **marks)
    axes.scatter(*points[~inside].T, marker="x", color="0.45", linewidths=0.4, **marks)
    if place is not None:
        sample = planes["samples"][place][:_SAMPLE]
        axes.scatter(sample[:, 0], sample[:, 1], s=9, marker="^", facecolor="white",
                     edgecolor="#a3195b", linewidths=0.6, zorder=4, gid="sample")  # fmt: skip
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)


def _key(axes: Axes) -> None:
    axes.set_axis_off()
    point: dict[str, Any] = {"linestyle": ""}
    handles = [
        Patch(facecolor="0.3", label="activation (dark: strong;\neach panel has its scale)"),
        Line2D([], [], color="#0072b2", linewidth=1.2, label="where it begins"),
        Line2D([], [], marker="o", color="#d9a100", markersize=4, markeredgewidth=0,
               label="training point, positive", **point),
        Line2D([], [], marker="x", color="0.45", markersize=4, label="training point, negative",
               **point),
        Line2D([], [], marker="^", markerfacecolor="white", markeredgecolor="#a3195b", markersize=5,
               label="sample", **point),
    ]  # fmt: skip
    axes.legend(handles=handles, loc="center left", frameon=False, borderaxespad=0.0)


def _curves(axes: Axes, frame: pd.DataFrame, scenario: int) -> None:
    look = looks(list(SOLVERS), ["magnitude"])
    for solver in SOLVERS:
        lines = []
        for seed in sorted(set(frame["seed"])):
            rows = pd.concat(
                [_of(frame, scenario, name, seed) for name in ("dense", solver)], ignore_index=True
            )
            lines.append(rows.set_index("sparsity")["own_region"])
            axes.plot(lines[-1].index, lines[-1], color=look[solver].colour, alpha=0.4,
                      linewidth=0.6, gid="network")  # fmt: skip
        mean = pd.concat(lines, axis=1).mean(axis=1)
        axes.plot(mean.index, mean, **look[solver].line, gid="mean")
    axes.set_ylim(-0.04, 1.04)
    axes.set_title(SCENARIOS[scenario], loc="left")
    axes.set_xlabel("share of weights that fall")
    axes.set_ylabel("activation in its region" if scenario == 1 else "")


def _legend(axes: Axes, networks: int, levels: int) -> None:
    look = looks(list(SOLVERS), ["magnitude"])
    handles = [Line2D([], [], label=name, **look[key].line) for key, name in SOLVERS.items()]
    thin = (
        f"thin: each of {networks} networks,\nthick: their mean; {levels} levels,\n"
        f"{_TRAINING} points in place of images"
    )
    handles.append(Line2D([], [], color="0.3", alpha=0.5, linewidth=0.7, label=thin))
    axes.legend(handles=handles, loc="center left", frameon=False, borderaxespad=0.0,
                handlelength=3.0)  # fmt: skip
