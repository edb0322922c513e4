"""A sheet of concepts: crops that have most of each, of a dense network beside a pruned one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsight.concepts.identity import read_identity
from sparsight.io.arrays import read_arrays
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table
from sparsight.plots.labels import label_of
from sparsight.plots.pages import percent
from sparsight.plots.style import (
    SIZE,
    WIDTH,
    Page,
    figure_style,
    save_figure,
    title_of,
    wrap_lines,
)

#: of the stage `figure_concept_sheet`: see `sparsight.study.versions`
VERSION = 3

#: arrays that a method with a sheet keeps
ARRAYS = ("top_crops", "pictures", "heat_maps")
CLASSES, CONCEPTS, CROPS = 4, 4, 5
SEQUENTIAL = "magma"
# All lengths are inches.
CELL, PITCH = 0.43, 0.45
LEFT, BETWEEN, LABEL = 0.1, 0.2, 0.62
TITLE, HEADS, CLASS, KEYS = 0.32, 0.4, 0.24, 0.5


@dataclass(frozen=True)
class Concepts:
    """What a sheet shows of one network.

    Attributes
    ----------
    names : class to its concepts with their weights, the first one first.
    crops : class to float [K, crops, h, w, 3] in [0, 1]; all 0 where there are fewer crops.
    picture : class to float [h, w, 3] in [0, 1], an image of it.
    heat : class to float [K, h, w], how much of each concept is where in that image.
    pruner, level, density : whose they are.
    """

    names: dict[str, list[tuple[str, float]]]
    crops: dict[str, NDArray[np.floating]]
    picture: dict[str, NDArray[np.floating]]
    heat: dict[str, NDArray[np.floating]]
    pruner: str
    level: int
    density: float


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
    settings : `dataset`, `model`, `concept`, `labels`.
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
    return Concepts(
        names={name: names[name] for name in shown},
        crops=_by_class(shown, _pictures(found["top_crops"].numpy())),
        picture=_by_class(shown, _pictures(found["pictures"].numpy())[:, 0]),
        heat=_by_class(shown, found["heat_maps"].numpy()[:, :, 0]),
        pruner=str(identity["pruner"]),
        level=int(identity["level"]),
        density=float(identity["density"]),
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
    """The figure of `draw_concept_sheet`."""
    classes = [name for name in dense.names if name in pruned.names][:CLASSES]
    if not classes:
        raise InputError(
            f"no class of {settings['dataset']} has concepts in both networks of the sheet; choose "
            "another figures.concept_sheet_level"
        )
    columns = min(CROPS, next(iter(dense.crops.values())).shape[1])
    lefts = (LEFT, LEFT + LABEL + PITCH * (columns + 1) + BETWEEN)
    rows = {name: min(CONCEPTS, len(dense.crops[name])) for name in classes}
    page = Page(TITLE + HEADS + sum(CLASS + PITCH * count for count in rows.values()) + KEYS)
    method = label_of(settings, "concept", settings["concept"])
    title = f"{title_of(settings)}, concepts by {method}"
    page.text(LEFT, 0.1, title, SIZE + 1, fontweight="bold")
    for left, of in zip(lefts, (dense, pruned), strict=True):
        pruner = label_of(settings, "pruner", of.pruner)
        whose = f"{pruner}, level {of.level}" if of.level else "dense"
        page.text(left, TITLE, f"{whose}, {percent(of.density)} of weights left", fontweight="bold")
        page.text(left, TITLE + 0.2, "importance", color="0.3")
        page.text(left + LABEL, TITLE + 0.2, "crops with most of it", color="0.3")
        end = left + LABEL + PITCH * columns + CELL
        page.text(end, TITLE + 0.2, "where it is", color="0.3", ha="right")
    top = TITLE + HEADS
    for name in classes:
        page.rule(top + 0.02)
        words = wrap_lines(name.replace("_", " "), WIDTH - 0.3, weight="bold")[0]
        page.text(LEFT, top + 0.06, words or "all classes", fontweight="bold")
        for left, of in zip(lefts, (dense, pruned), strict=True):
            for place in range(min(rows[name], len(of.names[name]), len(of.crops[name]))):
                _concept(page, of, name, place, (left, top + CLASS + PITCH * place), columns)
        top += CLASS + PITCH * rows[name]
    note = (
        f"1 network · 2 levels · 1 image of each of {len(classes)} classes. Concepts in one row "
        "have the same rank, not the same content. Line: where a concept has more than half of its "
        "largest value in the image."
    )
    page.text(LEFT, top + 0.1, "\n".join(wrap_lines(note, WIDTH - 0.2)), color="0.3")
    return page.frame()


def _concept(
    page: Page, of: Concepts, name: str, place: int, at: tuple[float, float], columns: int
) -> None:
    """A concept of a network: its name and importance, its crops, and where it is in an image."""
    left, top = at
    label, weight = of.names[name][place]
    page.text(left, top + 0.03, f"{place + 1}.  {weight:.2g}")
    words = wrap_lines(label.replace("concept_", "no. "), LABEL - 0.05)[:2]
    page.text(left, top + 0.16, "\n".join(words), color="0.3")
    for index, crop in enumerate(of.crops[name][place][:columns]):
        x = left + LABEL + PITCH * index
        if crop.any():
            page.picture(crop, (x, top, CELL), gid="crop")
        else:
            page.text(x + CELL / 2, top + CELL / 2, "–", color="0.5", ha="center", va="center")
    _heat(page, of.picture[name], of.heat[name][place], left + LABEL + PITCH * columns, top)


def _heat(
    page: Page, image: NDArray[np.floating], values: NDArray[np.floating], x: float, y: float
) -> None:
    """A heat map over a grey picture, and a line around the upper half of its values."""
    box = (x, y, CELL)
    page.picture(image.mean(axis=-1), box, cmap="gray", vmin=0.0, vmax=1.0, gid="image")
    highest = float(values.max(initial=0.0))
    if highest <= 0:
        return
    share = np.clip(values / highest, 0.0, 1.0)
    page.picture(share, box, cmap=SEQUENTIAL, vmin=0.0, vmax=1.0, alpha=0.55, gid="heat",
                 interpolation="bilinear", zorder=2.5)  # fmt: skip
    if min(share.shape) > 1:
        across, down = ((np.arange(n) + 0.5) * CELL / n for n in share.shape[::-1])
        for colour, width in (("black", 1.6), ("white", 0.7)):
            page.axes.contour(x + across, y + down, share, levels=[0.5], colors=colour,
                              linewidths=width, zorder=4)  # fmt: skip
