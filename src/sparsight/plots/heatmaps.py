"""A sheet of heatmaps: the same images at several levels under several explainers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsight.plots.sheets import Checkpoint, Map, Sheet, load_sheet
from sparsight.plots.style import figure_style, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

SEQUENTIAL = "magma"
# Both ends of an ordinary diverging map turn into the same grey; here the negative end stays light.
DIVERGING = ("#3f9bd8", "#ffffff", "#67001f")
CELL = 0.92
ROW_LABEL = 1.5
IMAGE_WIDTH = 1.5
HEADER = 0.62
CAPTION = 0.22


def draw_heatmaps(
    packed: Path,
    evaluations: Iterable[Path],
    explanations: Iterable[Path],
    controls: Iterable[Path],
    outputs: Iterable[Path],
    settings: Mapping[str, Any],
) -> None:
    """Draw the sheet: a block per image; in it, explainers are rows and levels columns.

    The images are the first of the shared evaluation subset that belong to different classes, so
    they are the same in every sheet of a data set and nobody chose them. Only their rows are read.
    Maps are drawn at their own resolution and each is scaled by itself, so colours cannot be
    compared between maps.

    Parameters
    ----------
    packed : packed split whose images were explained.
    evaluations : `evaluation.json` of each checkpoint to show, one pruner and seed (and its dense
        level 0).
    explanations : `explanations/{family}.safetensors` beside them, any number of families each.
    controls : explanations of the controls, made once per data set.
    outputs : .svg, .png or .pdf files.
    settings : `condition` ("clean" or "noisy"), `images` (how many); optional `explainers` (their
        order, which also limits them to these).

    Raises
    ------
    InputError
        When files do not belong together or an image is not among the explained ones.
    """
    sheet = load_sheet(
        packed, _paths(evaluations), _paths(explanations), _paths(controls), settings
    )
    with figure_style():
        save_figure(sheet_figure(sheet), outputs)


def _paths(given: Iterable[Path]) -> list[Path]:
    return [Path(path) for path in given]


def sheet_figure(sheet: Sheet) -> "Figure":
    """The figure of `draw_heatmaps`."""
    explainers = list(dict.fromkeys(n for c in sheet.checkpoints for n in c.maps))
    columns = max(len(sheet.checkpoints), 1)
    control_rows = math.ceil(len(sheet.controls) / columns)
    block = HEADER + CELL * len(explainers) + (CELL + CAPTION) * control_rows
    count = len(sheet.images)
    width = IMAGE_WIDTH + ROW_LABEL + CELL * columns
    figure = new_figure(max(width, 5.0), block * count + 0.9)
    figure.suptitle(sheet.title, fontsize=9, fontweight="bold", x=0.01, ha="left")
    parts = figure.add_gridspec(count + 1, 1, height_ratios=[block] * count + [0.55])
    for index in range(count):
        _draw_block(figure, parts[index, 0], sheet, index, explainers, control_rows)
    _draw_keys(figure, parts[count, 0], bool(sheet.signed & {*explainers, *sheet.controls}))
    return figure


def _draw_block(
    figure: "Figure",
    place: "SubplotSpec",
    sheet: Sheet,
    index: int,
    explainers: Sequence[str],
    control_rows: int,
) -> None:
    """One image: itself on the left, then a row per explainer, then the controls."""
    columns = max(len(sheet.checkpoints), 1)
    rows = len(explainers) + control_rows
    grid = place.subgridspec(
        max(rows, 1),
        columns + 2,
        width_ratios=[IMAGE_WIDTH, ROW_LABEL, *[CELL] * columns],
        height_ratios=[CELL] * len(explainers) + [CELL + CAPTION] * control_rows or [CELL],
    )
    image = figure.add_subplot(grid[0 : min(2, max(rows, 1)), 0])
    _draw_image(image, sheet, index)
    for row, name in enumerate(explainers):
        _write_name(figure.add_subplot(grid[row, 1]), name)
        for column, checkpoint in enumerate(sheet.checkpoints):
            axes = figure.add_subplot(grid[row, column + 2])
            if name in checkpoint.maps:
                draw_map(axes, checkpoint.maps[name][index], name in sheet.signed)
            else:
                _blank(axes, "not\nexplained")
            if row == 0:
                _write_header(axes, sheet, checkpoint, index)
    for number, (name, maps) in enumerate(sheet.controls.items()):
        row, column = len(explainers) + number // columns, number % columns
        if column == 0:
            _write_name(figure.add_subplot(grid[row, 1]), "controls\n(same at every level)")
        axes = figure.add_subplot(grid[row, column + 2])
        draw_map(axes, maps[index], name in sheet.signed)
        axes.set_xlabel(name.removeprefix("control_"), fontsize=7, labelpad=1.5)


def _draw_image(axes: "Axes", sheet: Sheet, index: int) -> None:
    pixels = sheet.images[index]
    if len(pixels) == 1:
        axes.imshow(pixels[0], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    else:
        axes.imshow(np.moveaxis(pixels[:3], 0, -1), interpolation="nearest")
    _bare(axes)
    label = int(sheet.labels[index])
    axes.set_title(f"class {sheet.classes[label]}", fontsize=8)
    axes.set_xlabel(f"image {int(sheet.image_ids[index])}", fontsize=7, labelpad=2)


def _write_header(axes: "Axes", sheet: Sheet, checkpoint: Checkpoint, index: int) -> None:
    """Level, density, predicted class, and whether it is right (by sign and by colour)."""
    title = f"level {checkpoint.level}\n{100 * checkpoint.density:.3g}% left"
    colour = "black"
    if len(checkpoint.predicted):
        predicted = int(checkpoint.predicted[index])
        right = predicted == int(sheet.labels[index])
        title += f"\n{sheet.classes[predicted]} {'✓' if right else '✗'}"
        colour = "black" if right else "#a3195b"
    axes.set_title(title, fontsize=7, color=colour, pad=3)


def draw_map(axes: "Axes", values: Map, signed: bool) -> None:
    """Draw one heatmap [h, w], scaled by itself and at its own resolution.

    Unsigned maps go from their minimum to their maximum, signed ones are centred on zero. A map
    without contrast is drawn flat and says "constant"; one with values that are not finite is not
    drawn.
    """
    if not np.isfinite(values).all():
        _blank(axes, "undefined")
        return
    low, high = float(values.min()), float(values.max())
    flat = high - low <= 1e-7 * max(abs(low), abs(high))
    if signed:
        reach = max(abs(low), abs(high)) or 1.0
        shown: dict[str, Any] = {"cmap": diverging(), "vmin": -reach, "vmax": reach}
    else:
        shown = {"cmap": SEQUENTIAL, "vmin": low, "vmax": high if high > low else low + 1.0}
    if flat:
        shown = {"cmap": "gray", "vmin": low - 1.0, "vmax": low + 0.25}
    # Nearest: what is seen is what the explainer gave, at its own resolution.
    axes.imshow(values, interpolation="nearest", **shown)
    if flat:
        axes.text(0.5, 0.5, "constant", transform=axes.transAxes, fontsize=6, ha="center",
                  va="center")  # fmt: skip
    _bare(axes)


def diverging() -> "Colormap":
    """Light blue for evidence against, white for none, dark red for evidence in favour."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("evidence", list(DIVERGING))


def _blank(axes: "Axes", text: str) -> None:
    axes.set_facecolor("0.92")
    axes.set_aspect("equal")
    axes.set_box_aspect(1)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, fontsize=6, ha="center", va="center")
    _bare(axes)


def _bare(axes: "Axes") -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)


def _write_name(axes: "Axes", name: str) -> None:
    axes.set_axis_off()
    # Long names break where their words do.
    lines = name if len(name) <= 20 or "\n" in name else _broken(name)
    axes.text(0.98, 0.5, lines, transform=axes.transAxes, fontsize=7, ha="right", va="center")


def _broken(name: str) -> str:
    middle = min(
        (i for i, letter in enumerate(name) if letter == "_"),
        key=lambda i: abs(i - len(name) / 2),
        default=len(name) - 1,
    )
    return f"{name[: middle + 1]}\n{name[middle + 1 :]}"


def _draw_keys(figure: "Figure", place: "SubplotSpec", any_signed: bool) -> None:
    """What the colours mean; every map has its own scale."""
    ramp = np.linspace(0.0, 1.0, 128, dtype=np.float32)[None]
    keys: list[tuple[str, Any, tuple[str, str]]] = [
        ("unsigned map", SEQUENTIAL, ("its minimum", "its maximum"))
    ]
    if any_signed:
        keys.append(("signed map", diverging(), ("against the class", "in favour")))
    grid = place.subgridspec(1, 2)
    for column, (title, colours, ends) in enumerate(keys):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(ramp, cmap=colours, aspect="auto", interpolation="nearest")
        axes.set_box_aspect(0.05)
        _bare(axes)
        axes.set_title(f"{title} (each scaled by itself)", fontsize=7, pad=2)
        axes.set_xticks([0, 127], ends, fontsize=7)
        left, right = axes.get_xticklabels()
        left.set_horizontalalignment("left")
        right.set_horizontalalignment("right")
