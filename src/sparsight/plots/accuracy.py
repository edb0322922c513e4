"""Accuracy over pruning levels, density and bits (figure 3.1 of the thesis)."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sparsight.analysis.curves import performance_curves
from sparsight.io.errors import InputError
from sparsight.plots.pages import percent
from sparsight.plots.panels import (
    KEYS,
    Axis,
    Block,
    Panel,
    counts,
    distinct_bits,
    draw_curves,
    level_axis,
    look_handles,
    pages,
    with_means,
)
from sparsight.plots.style import (
    Look,
    figure_style,
    looks,
    of_network,
    pruners_of,
    save_figure,
    title_of,
)
from sparsight.rounding import FULL_BITS

#: of the stage `figure_accuracy`: see `sparsight.study.versions`
VERSION = 2

_NAMES = {"level": "pruning levels", "density": "weights left", "bits": "bits of weights"}
#: column along x to its value for a dense network
DENSE_AT = {"level": 0.0, "density": 1.0, "bits": float(FULL_BITS)}


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
        save_figure(accuracy_pages(frame, settings), outputs)


def accuracy_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_accuracy`, from the rows that `performance_curves` gives."""
    pruners = pruners_of(frame, settings)
    if not pruners:
        raise InputError("no pruner has an accuracy to draw; choose a pruner that removes weights")
    look = looks(pruners)
    curves = frame[frame["pruner"].isin(pruners)]
    floors = frame[frame["pruner"].isin(list(settings.get("retrain", ()))) & (frame["level"] > 0)]
    by_bits = [name for name in look if distinct_bits(curves[curves["pruner"] == name])]
    by_density = [name for name in look if name not in by_bits]
    shown = {"level": list(look), "density": by_density, "bits": by_bits}
    measure = settings.get("performance", "accuracy").replace("_", " ")
    label = f"{measure}, share, 0 to 1\n(higher is better)"
    blocks = []
    for condition in _different(curves):
        rows = curves[curves["condition"] == condition]
        floor = floors[floors["condition"] == condition]
        known = {across: rows[rows["pruner"].isin(names)] for across, names in shown.items()}
        panels = [
            Panel(f"over {_NAMES[across]}",
                  partial(_draw, rows=own, floor=floor, across=across, look=look), "",
                  _axis(own, across))
            for across, own in known.items() if len(own)
        ]  # fmt: skip
        blocks.append(Block(f"{condition} images", panels, label=label, height=2.2))
    return pages(f"{title_of(settings)}, {measure}", blocks,
                 counts(frame, {"test_images": "all"}),
                 extra=look_handles(look, settings, "pruner"))  # fmt: skip


def _draw(
    axes: Axes, rows: pd.DataFrame, floor: pd.DataFrame, across: str, look: Mapping[str, Look]
) -> None:
    draw_curves(axes, with_means(rows, ["pruner"], "value"), look, hue="pruner", value="value",
                across=across)  # fmt: skip
    if len(floor):
        axes.plot([DENSE_AT[across]] * len(floor), floor["value"], gid="retrained", zorder=5,
                  **KEYS["retrained"][1])  # fmt: skip


def _axis(rows: pd.DataFrame, across: str) -> Axis:
    """Levels, or a logarithmic axis from dense on the left; an empty network has no place on it."""
    if across == "level":
        levels, label = level_axis(rows)
    values = [value for value in rows[across] if value > 0] or [DENSE_AT[across]]
    lowest, highest = min(values), max([*values, DENSE_AT[across]])

    def draw(axes: Axes, bare: bool, labels: int) -> None:
        if across == "level":
            levels(axes, bare, labels)
            axes.set_xlabel(label)
            return
        reach = max(highest / lowest, 1.5) ** 0.05
        axes.set_xscale("log", nonpositive="mask")
        axes.set_xlim(highest * reach, lowest / reach)
        ticks = sorted(set(values)) if across == "bits" else density_ticks(lowest, highest)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        form = percent if across == "density" else "{:g}".format
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
        axes.set_xlabel(f"{_NAMES[across]} (log scale)")

    return draw


def density_ticks(lowest: float, highest: float) -> list[float]:
    """Round shares from dense to the sparsest, which is among them."""
    steps: tuple[int, ...] = (1, 2, 5) if highest / lowest <= 150 else (1, 3)
    if highest / lowest > 3000:
        steps = (1,)
    ticks = [step * 10.0**power for power in range(-9, 1) for step in steps]
    return [lowest, *(tick for tick in ticks if 1.4 * lowest <= tick <= highest)]


def _different(curves: pd.DataFrame) -> list[str]:
    """The conditions, without those that repeat another: images without noise are clean twice."""
    found: dict[tuple[float, ...], str] = {}
    for condition, rows in curves.groupby("condition", sort=True):
        values = rows.sort_values(["pruner", "seed", "level"])["value"]
        found.setdefault(tuple(values), str(condition))
    return list(found.values())
