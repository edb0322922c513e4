"""A sheet of concepts: crops that have most of each, of a dense network beside a pruned one."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsight.concepts.identity import read_identity
from sparsight.io.arrays import read_arrays
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table
from sparsight.plots.pages import percent
from sparsight.plots.style import figure_style, new_page, save_figure

#: of the stage `figure_concept_sheet`: see `sparsight.study.versions`
VERSION = 1

#: arrays that a method with a sheet keeps
ARRAYS = ("top_crops", "pictures", "heat_maps")
CLASSES, CONCEPTS, CROPS = 4, 4, 5
SEQUENTIAL = "magma"
# All lengths are inches.
CELL, PITCH = 0.62, 0.66
LEFT, BETWEEN, LABEL = 0.1, 0.35, 0.72
TITLE, HEADS, CLASS, KEYS = 0.36, 0.36, 0.3, 0.42
NAME_LETTERS = 80


@dataclass(frozen=True)
class Concepts:
    """What a sheet shows of one network.

    Attributes
    ----------
    names : class to its concepts with their weights, the first one first.
    crops : class to float [K, crops, h, w, 3] in [0, 1]; all 0 where there are fewer crops.
    picture : class to float [h, w, 3] in [0, 1], an image of it.
    heat : class to float [K, h, w], how much of each concept is where in that image.
    title : whose they are.
    """

    names: dict[str, list[tuple[str, float]]]
    crops: dict[str, NDArray[np.floating]]
    picture: dict[str, NDArray[np.floating]]
    heat: dict[str, NDArray[np.floating]]
    title: str


def draw_concept_sheet(
    dense: tuple[Path, Path],
    pruned: tuple[Path, Path],
    outputs: Iterable[Path],
    settings: Mapping[str, Any],
) -> None:
    """Draw the first concepts of the first classes, dense on the left, pruned on the right.

    A row is a concept with its importance: the crops that have most of it, and one image of the
    class with a heat map of the concept (and a line around the upper half of its values). Concepts
    of two networks in one row have the same rank, and nothing else in common: they are not matched.
    An `InputError` is raised where a file is missing or damaged, or the networks have no class in
    common.

    Parameters
    ----------
    dense, pruned : `concepts/{concept}.parquet` and `.safetensors` of each network. The arrays are
        `top_crops` uint8 [classes, concepts, crops, C, p, p], `pictures` uint8 [classes, images, C,
        s, s] and `heat_maps` float32 [classes, concepts, images, h, w]; classes in the order in
        which they come in the table, concepts by rank.
    outputs : .svg, .png or .pdf files.
    settings : `dataset`, `model`, `concept`.
    """
    sides = [load_concepts(*files) for files in (dense, pruned)]
    with figure_style():
        save_figure(sheet_figure(sides[0], sides[1], settings), outputs)


def load_concepts(table: Path, arrays: Path) -> Concepts:
    """Read what a sheet shows of one network."""
    identity = read_identity(table)
    names: dict[str, list[tuple[str, float]]] = {}
    columns = read_table(table, ["class", "concept", "rank", "weight"]).to_pylist()
    for row in columns:
        names.setdefault(row["class"], [])
    for row in sorted(columns, key=lambda row: int(row["rank"])):
        names[row["class"]].append((row["concept"], row["weight"]))
    found = read_arrays(arrays, ARRAYS)
    shown = list(names)[: len(found["top_crops"])]
    level = int(identity["level"])
    whose = f"{identity['pruner']}, level {level}" if level else "dense"
    return Concepts(
        names={name: names[name] for name in shown},
        crops=_by_class(shown, _pictures(found["top_crops"].numpy())),
        picture=_by_class(shown, _pictures(found["pictures"].numpy())[:, 0]),
        heat=_by_class(shown, found["heat_maps"].numpy()[:, :, 0]),
        title=f"{whose}, {percent(float(identity['density']))} of weights left",
    )


def _by_class(
    names: Iterable[str], values: NDArray[np.floating]
) -> dict[str, NDArray[np.floating]]:
    return dict(zip(names, values, strict=False))


def _pictures(values: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Colours last, in [0, 1]; grey pictures in three channels."""
    found = np.moveaxis(values, -3, -1).astype(np.float32) / 255.0
    return np.repeat(found, 3, axis=-1) if found.shape[-1] == 1 else found


def sheet_figure(dense: Concepts, pruned: Concepts, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_concept_sheet`: one panel whose axes are inches, from the upper left."""
    classes = [name for name in dense.names if name in pruned.names][:CLASSES]
    if not classes:
        raise InputError(
            f"no class of {settings['dataset']} has concepts in both networks of the sheet; choose "
            "another figures.concept_sheet_level"
        )
    columns = min(CROPS, next(iter(dense.crops.values())).shape[1])
    side = LABEL + PITCH * (columns + 1)
    width = 2 * (LEFT + side) + BETWEEN
    rows = {name: min(CONCEPTS, len(dense.crops[name])) for name in classes}
    height = TITLE + HEADS + sum(CLASS + PITCH * count for count in rows.values()) + KEYS
    figure, axes = new_page(width, height)
    page = _Page(axes, width)
    title = f"{settings['model']} on {settings['dataset']}, concepts by {settings['concept']}"
    page.text(LEFT, 0.1, title, 9.5, fontweight="bold")
    lefts = (LEFT, LEFT + side + BETWEEN)
    for left, of in zip(lefts, (dense, pruned), strict=True):
        page.text(left, TITLE, of.title, 8, fontweight="bold")
        page.text(left, TITLE + 0.17, "importance", 6.2, color="0.3")
        page.text(left + LABEL, TITLE + 0.17, "crops with most of it", 6.2, color="0.3")
        page.text(left + LABEL + PITCH * columns, TITLE + 0.17, "where it is", 6.2, color="0.3")
    top = TITLE + HEADS
    for name in classes:
        page.rule(top + 0.03)
        words = textwrap.shorten(name.replace("_", " "), NAME_LETTERS)
        page.text(LEFT, top + 0.09, words or "all classes", 7.5, fontweight="bold")
        for left, of in zip(lefts, (dense, pruned), strict=True):
            for place in range(min(rows[name], len(of.names[name]), len(of.crops[name]))):
                _concept(page, of, name, place, (left, top + CLASS + PITCH * place), columns)
        top += CLASS + PITCH * rows[name]
    note = (
        "Concepts in one row have the same rank, not the same content. Line: where a concept has "
        "more than half of its largest value in the image."
    )
    page.text(LEFT, height - KEYS + 0.14, note, 6.5, color="0.3")
    return figure


def _concept(
    page: "_Page", of: Concepts, name: str, place: int, at: tuple[float, float], columns: int
) -> None:
    """A concept of a network: its name and importance, its crops, and where it is in an image."""
    left, top = at
    label, weight = of.names[name][place]
    page.text(left, top + 0.12, f"{place + 1}.  {weight:.2g}", 7.5)
    page.text(left, top + 0.3, label.replace("concept_", "no. "), 6, color="0.3")
    for index, crop in enumerate(of.crops[name][place][:columns]):
        page.picture(crop, left + LABEL + PITCH * index, top)
    page.heat(of.picture[name], of.heat[name][place], left + LABEL + PITCH * columns, top)


class _Page:
    """What is drawn on a page of this width; see `new_page`."""

    def __init__(self, axes: Axes, width: float) -> None:
        self.axes, self.width = axes, width

    def text(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        self.axes.text(x, y, text, fontsize=size, va="top", ha="left", **style)

    def rule(self, y: float) -> None:
        self.axes.plot([LEFT, self.width - LEFT], [y, y], color="0.75", linewidth=0.6, gid="rule")

    def picture(self, image: NDArray[np.floating], x: float, y: float) -> None:
        """A picture in a cell; nothing where there is none."""
        if not image.any():
            self.text(x + 0.24, y + 0.22, "–", 8, color="0.5")
            return
        extent = (x, x + CELL, y + CELL, y)
        self.axes.imshow(image, extent=extent, aspect="auto", zorder=2, gid="crop")

    def heat(
        self, image: NDArray[np.floating], values: NDArray[np.floating], x: float, y: float
    ) -> None:
        """A heat map over a grey picture, and a line around the upper half of its values."""
        grey = image.mean(axis=-1)
        extent = (x, x + CELL, y + CELL, y)
        self.axes.imshow(grey, cmap="gray", vmin=0.0, vmax=1.0, extent=extent, aspect="auto",
                         zorder=2, gid="image")  # fmt: skip
        highest = float(values.max(initial=0.0))
        if highest <= 0:
            return
        share = np.clip(values / highest, 0.0, 1.0)
        self.axes.imshow(share, cmap=SEQUENTIAL, vmin=0.0, vmax=1.0, alpha=0.55, extent=extent,
                         aspect="auto", interpolation="bilinear", zorder=3, gid="heat")  # fmt: skip
        rows, columns = share.shape
        if min(rows, columns) > 1:
            across = x + (np.arange(columns) + 0.5) * CELL / columns
            down = y + (np.arange(rows) + 0.5) * CELL / rows
            for colour, width in (("black", 1.6), ("white", 0.7)):
                self.axes.contour(across, down, share, levels=[0.5], colors=colour,
                                  linewidths=width, zorder=4)  # fmt: skip
