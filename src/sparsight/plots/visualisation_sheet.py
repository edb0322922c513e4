"""Pictures that most excite a trojaned class, of a network and of copies pruned for an image."""

import json
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsight.io.arrays import read_arrays, read_metadata
from sparsight.io.errors import InputError
from sparsight.plots.pages import percent
from sparsight.plots.style import figure_style, new_page, save_figure

#: of the stage `figure_visualisation`: see `sparsight.study.versions`
VERSION = 1

# All lengths are inches.
CELL, GAP, BETWEEN = 1.25, 0.12, 0.3
LEFT, NAME, TITLE, HEADS, WORDS, FOOT = 0.12, 1.0, 0.42, 0.5, 0.36, 0.5
NAME_LETTERS = 15
#: left edges of dense, image with sticker, its copy, image without, its copy
_STEPS = (0.0, CELL + BETWEEN, CELL + GAP, CELL + BETWEEN, CELL + GAP)
HEADINGS = (
    ("network as it is", "picture of the class"),
    ("image with the sticker", "what it is pruned for"),
    ("pruned for it", "picture of the class"),
    ("clean image", "what it is pruned for"),
    ("pruned for it", "picture of the class"),
)


def draw_visualisations(
    pictures: Path, outputs: Iterable[Path], settings: Mapping[str, Any]
) -> None:
    """Draw one row per sticker: the network's picture of its class, then two images and copies.

    Under a picture stands the probability of the class that the network which it was made for gives
    it, then that of the unpruned network; under an image what this network says of it. An
    `InputError` is raised where the file is missing, damaged or something else.

    Parameters
    ----------
    pictures : file of `sparsight.spade.visualisation`.
    settings : `dataset`, `model`.
    """
    with figure_style():
        save_figure(visualisation_figure(pictures, settings), outputs)


def visualisation_figure(path: Path, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_visualisations`: one panel whose axes are inches from the upper left."""
    facts = read_metadata(path)
    names = ("labels", "images", "predicted", "sparsity", "pictures", "probability")
    found = {
        name: array.numpy()
        for name, array in read_arrays(path, [*names, "network_probability"]).items()
    }
    try:
        stickers, classes = json.loads(facts["stickers"]), json.loads(facts["classes"])
        how = (
            f"{facts['method']}, {facts['steps']} steps; sample pruner {facts['sample_pruner']}, "
            f"{percent(float(found['sparsity'].mean()))} of the weights of pruned layers fall"
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} holds no pictures of classes; delete it and run again") from error
    lefts = LEFT + NAME + np.cumsum(_STEPS)
    width = float(lefts[-1]) + CELL + LEFT
    row = CELL + WORDS
    height = TITLE + HEADS + row * len(stickers) + FOOT
    figure, axes = new_page(width, height)
    title = f"{settings['model']} on {settings['dataset']}: what the stickers' classes look like"
    _text(axes, LEFT, 0.1, title, 9.5, fontweight="bold")
    for left, (first, second) in zip(lefts, HEADINGS, strict=True):
        _text(axes, left, TITLE + 0.08, first, 7, fontweight="bold")
        _text(axes, left, TITLE + 0.24, second, 6, color="0.3")
    for index, sticker in enumerate(stickers):
        label = int(found["labels"][index])
        top = TITLE + HEADS + row * index
        name = textwrap.fill(str(classes[label]).replace("_", " "), NAME_LETTERS)
        _text(axes, LEFT, top + 0.02, name, 8, fontweight="bold")
        lines = 1 + name.count("\n")
        _text(axes, LEFT, top + 0.06 + 0.16 * lines, f"sticker: {sticker}", 6.5, color="0.3")
        said = [str(classes[int(k)]).replace("_", " ") for k in found["predicted"][index]]
        shown = (
            (found["pictures"][index, 0], _of_picture(found, index, 0), "picture"),
            (found["images"][index, 0], f"taken for\n{_short(said[0])}", "image"),
            (found["pictures"][index, 1], _of_picture(found, index, 1), "picture"),
            (found["images"][index, 1], f"taken for\n{_short(said[1])}", "image"),
            (found["pictures"][index, 2], _of_picture(found, index, 2), "picture"),
        )
        for left, (pixels, words, kind) in zip(lefts, shown, strict=True):
            _picture(axes, pixels, float(left), top, kind)
            _text(axes, left, top + CELL + 0.04, words, 6.2, color="0.3")
    _text(axes, LEFT, height - FOOT + 0.1, how + ".", 6.5, color="0.3")
    note = (
        "Below a picture: the class's probability in it, by the network that it was made for, and "
        "by the unpruned one. All start from the same noise."
    )
    _text(axes, LEFT, height - FOOT + 0.26, note, 6.5, color="0.3")
    return figure


def _of_picture(found: Mapping[str, NDArray[Any]], index: int, place: int) -> str:
    own = percent(float(found["probability"][index, place]))
    if place == 0:
        return f"class: {own}"
    return f"class: {own};\nunpruned: {percent(float(found['network_probability'][index, place]))}"


def _short(words: str) -> str:
    return textwrap.shorten(words, 26, placeholder=" …") or words[:26]


def _picture(axes: Axes, pixels: NDArray[np.floating], left: float, top: float, kind: str) -> None:
    colours = np.moveaxis(np.clip(pixels, 0.0, 1.0), 0, -1)
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    axes.imshow(colours, extent=(left, left + CELL, top + CELL, top), aspect="auto",
                interpolation="nearest", zorder=2, gid=kind)  # fmt: skip
    if kind == "image":
        right, bottom = left + CELL, top + CELL
        axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top],
                  color="0.1", linewidth=1.4, zorder=3)  # fmt: skip


def _text(axes: Axes, x: float, y: float, words: str, size: float, **style: Any) -> None:
    axes.text(x, y, words, fontsize=size, va="top", ha="left", linespacing=1.15, **style)
