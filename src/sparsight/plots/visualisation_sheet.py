"""Pictures that most excite a trojaned class, of a network and of copies pruned for an image."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsight.io.arrays import read_arrays, read_metadata
from sparsight.io.errors import InputError
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

#: of the stage `figure_visualisation`: see `sparsight.study.versions`
VERSION = 3

# All lengths are inches.
CELL, GAP, BETWEEN = 1.04, 0.1, 0.24
LEFT, NAME, TITLE, HEADS, WORDS, FOOT = 0.1, 0.95, 0.36, 0.4, 0.42, 0.62
#: left edges of dense, image with sticker, its copy, image without, its copy
_STEPS = (0.0, CELL + BETWEEN, CELL + GAP, CELL + BETWEEN, CELL + GAP)
HEADINGS = (
    ("network as it is", "picture of the class"),
    ("with the sticker", "what it is pruned for"),
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
    settings : `dataset`, `model`, `labels`.
    """
    with figure_style():
        save_figure(visualisation_figure(pictures, settings), outputs)


def visualisation_figure(path: Path, settings: Mapping[str, Any]) -> Figure:
    """The figure of `draw_visualisations`: one page."""
    facts = read_metadata(path)
    names = ("labels", "images", "predicted", "sparsity", "pictures", "probability")
    found = {
        name: array.numpy()
        for name, array in read_arrays(path, [*names, "network_probability"]).items()
    }
    try:
        stickers, classes = json.loads(facts["stickers"]), json.loads(facts["classes"])
        how = (
            f"{facts['method']}, {facts['steps']} steps; sample pruner "
            f"{label_of(settings, 'sample_pruner', facts['sample_pruner'])}, "
            f"{percent(float(found['sparsity'].mean()))} of the weights of pruned layers fall"
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} holds no pictures of classes; delete it and run again") from error
    lefts = (LEFT + NAME + np.cumsum(_STEPS)).tolist()
    row = CELL + WORDS
    page = Page(TITLE + HEADS + row * len(stickers) + FOOT)
    title = f"{title_of(settings)}: what the stickers' classes look like"
    page.text(LEFT, 0.1, title, SIZE + 1, fontweight="bold")
    for left, (first, second) in zip(lefts, HEADINGS, strict=True):
        page.text(left, TITLE, first, fontweight="bold")
        page.text(left, TITLE + 0.14, second, color="0.3")
    for index, sticker in enumerate(stickers):
        top = TITLE + HEADS + row * index
        name = str(classes[int(found["labels"][index])]).replace("_", " ")
        lines = wrap_lines(name, NAME - 0.1, weight="bold")
        page.text(LEFT, top + 0.02, "\n".join(lines), fontweight="bold")
        about = wrap_lines(f"sticker: {sticker}", NAME - 0.1)
        page.text(LEFT, top + 0.06 + 0.125 * len(lines), "\n".join(about), color="0.3")
        said = [str(classes[int(k)]).replace("_", " ") for k in found["predicted"][index]]
        shown = (
            (found["pictures"][index, 0], _of_picture(found, index, 0), "picture"),
            (found["images"][index, 0], f"taken for {said[0]}", "image"),
            (found["pictures"][index, 1], _of_picture(found, index, 1), "picture"),
            (found["images"][index, 1], f"taken for {said[1]}", "image"),
            (found["pictures"][index, 2], _of_picture(found, index, 2), "picture"),
        )
        for left, (pixels, words, kind) in zip(lefts, shown, strict=True):
            _picture(page, pixels, left, top, kind)
            lines = [part for line in words.split("\n") for part in wrap_lines(line, CELL)]
            page.text(left, top + CELL + 0.04, "\n".join(lines[:3]), color="0.3")
    note = (
        f"1 network, dense · {2 * len(stickers)} images. {how}. Below a picture: the class's "
        "probability in it, by the network that it was made for, and by the unpruned one. All "
        "start from the same noise."
    )
    lines = wrap_lines(note, WIDTH - 2 * LEFT)
    page.text(LEFT, page.height - FOOT + 0.1, "\n".join(lines), color="0.3")
    return page.frame()


def _of_picture(found: Mapping[str, NDArray[Any]], index: int, place: int) -> str:
    own = percent(float(found["probability"][index, place]))
    if place == 0:
        return f"class: {own}"
    return f"class: {own};\nunpruned: {percent(float(found['network_probability'][index, place]))}"


def _picture(page: Page, pixels: NDArray[np.floating], left: float, top: float, kind: str) -> None:
    colours = np.moveaxis(np.clip(pixels, 0.0, 1.0), 0, -1)
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    page.picture(colours, (left, top, CELL), gid=kind)
    if kind == "image":
        right, bottom = left + CELL, top + CELL
        page.axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top],
                       color="0.1", linewidth=1.4, zorder=3)  # fmt: skip
