"""A method's measures of concepts, and their drift from the dense network's, over levels."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsight.analysis import tables
from sparsight.analysis.curves import DENSE
from sparsight.analysis.tables import COMPARED, FOUND, MEAN
from sparsight.io.errors import InputError
from sparsight.plots.labels import label_of
from sparsight.plots.panels import (
    KEYS,
    Block,
    Panel,
    counts,
    draw_curves,
    draw_floor,
    level_axis,
    pages,
)
from sparsight.plots.style import INK, Look, figure_style, of_network, save_figure, title_of

#: of the stage `figure_concepts`: see `sparsight.study.versions`
VERSION = 2

# What a measure is tested against, by kind.
_TESTED = {FOUND: "difference_p_adjusted", COMPARED: "minus_retrain_floor_p_adjusted"}
_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}

#: kind and name of a measure
Measure = tuple[str, str]


def draw_concepts(concepts: Path, outputs: Iterable[Path], settings: Mapping[str, Any]) -> None:
    """Draw every measure and comparison of one concept method, a panel for each.

    Every network (seed) is a thin line or a dot, the mean a thick one with its t interval over
    seeds. A mean is filled where it differs from dense (for comparisons: from the retrain floor) at
    an adjusted p below 1 - confidence. Dashed: networks that were only retrained; dotted, for
    comparisons: dense networks of other seeds; dash-dotted: the measure by chance, mean over seeds.
    Numbers of single classes and concepts are in the table. An `InputError` is raised where there
    is nothing to draw.

    From `concepts.csv`; `settings` hold `dataset`, `model`, `concept`, `pruners` (in their order),
    `retrain`, `confidence`, `measures` (kind to measure to (direction, unit)), `chance` (measure to
    its chance level).
    """
    frame = of_network(
        tables.read("concepts", concepts), concepts, settings, concept=str(settings["concept"])
    )
    whole = frame[(frame["class"] == "") & (frame["concept_label"] == "")]
    with figure_style():
        save_figure(concepts_pages(whole, settings), outputs)


def concepts_pages(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Figure]:
    """The pages of `draw_concepts`, from its rows of `concepts.csv` on networks as a whole."""
    alpha = 1.0 - float(settings["confidence"])
    tested = frame["kind"].map(_TESTED)
    p = frame["difference_p_adjusted"].where(
        tested == _TESTED[FOUND], frame["minus_retrain_floor_p_adjusted"]
    )
    frame = frame.assign(differs=p < alpha)
    measures = _measures(frame, settings)
    pruners = [name for name in settings["pruners"] if (frame["pruner"] == name).any()]
    if not measures or not pruners:
        raise InputError(
            f"{settings['concept']} has no measure with a value under a pruner that removes "
            "weights, so there is nothing to draw; choose such a pruner"
        )
    blocks = []
    for pruner in pruners:
        panels = [
            Panel(_title(measure, settings),
                  partial(_draw, frame=frame, pruner=pruner, measure=measure, settings=settings),
                  "/".join(measure))
            for measure in measures
        ]  # fmt: skip
        axis, across = level_axis(_curve(frame, pruner))
        blocks.append(
            Block(f"pruner {label_of(settings, 'pruner', pruner)}", panels, axis, across=across)
        )
    about = f"concepts by {label_of(settings, 'concept', settings['concept'])}"
    words = {"filled": f"not as dense (comparisons: as retrained), adjusted p < {alpha:.2g}"}
    return pages(f"{title_of(settings)}, {about}", blocks,
                 counts(frame, settings), words=words, columns=4)  # fmt: skip


def _measures(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[Measure]:
    """Those of the facts that have any value, in their order: the own ones, then comparisons.

    A chance level has its place in the panel of its measure.
    """
    defined = frame.dropna(subset=["value"])
    there = set(zip(defined["kind"], defined["measure"], strict=True))
    known = [
        (kind, name) for kind in (FOUND, COMPARED) for name in settings["measures"].get(kind, {})
    ]
    levels = settings.get("chance", {}).items()
    beside = {(k, level) for k, _ in known for name, level in levels if (k, name) in there}
    return [measure for measure in known if measure in there and measure not in beside]


def _curve(rows: pd.DataFrame, pruner: str) -> pd.DataFrame:
    """A measure's rows under a pruner; what a network is alone begins with dense."""
    first = (rows["pruner"] == DENSE) & (rows["kind"] == FOUND)
    return rows[(rows["pruner"] == pruner) | first].sort_values("level")


def _draw(
    axes: Axes, frame: pd.DataFrame, pruner: str, measure: Measure, settings: Mapping[str, Any]
) -> None:
    kind, name = measure
    of_kind = frame[frame["kind"] == kind]
    rows = of_kind[of_kind["measure"] == name]
    mean = rows[rows["seed"] == MEAN]
    draw_floor(axes, mean[mean["pruner"].isin(list(settings["retrain"]))], "retrain floor", "value")
    other = (mean["pruner"] == DENSE) & (mean["kind"] == COMPARED)
    draw_floor(axes, mean[other], "seed floor", "value")
    draw_curves(axes, _curve(rows, pruner), {name: Look(INK, "o", "-")}, hue="measure",
                value="value", filled="differs")  # fmt: skip
    by_chance = of_kind["measure"] == settings.get("chance", {}).get(name, "")
    chance = _curve(of_kind[by_chance & (of_kind["seed"] == MEAN)], pruner).dropna(subset=["value"])
    if len(chance):
        # a single level has no line of its own
        axes.plot(chance["level"], chance["value"], marker="_" if len(chance) == 1 else "",
                  zorder=2.5, gid="chance", **KEYS["chance"][1])  # fmt: skip


def _title(measure: Measure, settings: Mapping[str, Any]) -> str:
    kind, name = measure
    direction, unit = settings["measures"][kind][name]
    words = f"{name} with dense" if kind == COMPARED else name
    return f"{words}{_ARROWS[direction]}" + (f"\n({unit})" if unit else "")
