"""A sheet of heatmaps: the same images at several levels under several explainers."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsight.io.errors import InputError
from sparsight.plots.style import figure_style, new_figure, ordered, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

Map = NDArray[np.float32]
SEQUENTIAL = "magma"
# Both ends of an ordinary diverging map turn into the same grey; here the negative end stays light.
DIVERGING = ("#3f9bd8", "#ffffff", "#67001f")
CELL = 0.92
ROW_LABEL = 1.5
IMAGE_WIDTH = 1.5
HEADER = 0.62
CAPTION = 0.22


@dataclass
class Checkpoint:
    """What one checkpoint says of the chosen images (k of them).

    Attributes
    ----------
    level, density : of the checkpoint; the share of prunable weights left, in [0, 1].
    predicted : int64 [k], the class that the network predicts; empty before explanations are read.
    maps : explainer to float32 [k, h, w].
    """

    level: int
    density: float
    predicted: NDArray[np.int64]
    maps: dict[str, Map] = field(default_factory=dict)


@dataclass
class Sheet:
    """All that a sheet shows.

    Attributes
    ----------
    images : float32 [k, C, H, W] in [0, 1], as the networks saw them.
    labels : int64 [k].
    image_ids : int64 [k].
    classes : names of the classes.
    checkpoints : by level.
    controls : control explainer to float32 [k, h, w]; the same at every level.
    signed : explainers whose negative values mean evidence against the class.
    title : whose networks.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    classes: list[str]
    checkpoints: list[Checkpoint]
    controls: dict[str, Map]
    signed: frozenset[str]
    title: str


def spread_levels(levels: Sequence[int], count: int) -> list[int]:
    """`count` of the ascending `levels`, evenly spread, the first and the last among them.

    >>> spread_levels(range(26), 6)
    [0, 5, 10, 15, 20, 25]
    """
    if count >= len(levels):
        return list(levels)
    if count < 2:
        return list(levels[:1])
    last = len(levels) - 1
    # Halves are rounded up by hand: round() takes them to even numbers, which is uneven.
    return [levels[math.floor(last * i / (count - 1) + 0.5)] for i in range(count)]


def draw_heatmaps(
    packed: Path,
    evaluations: Iterable[Path],
    explanations: Iterable[Path],
    controls: Iterable[Path],
    outputs: Iterable[Path],
    settings: Mapping[str, Any],
) -> None:
    """Draw the sheet: a block per image; in it, explainers are rows and levels columns.

    The images are the first of the shared evaluation subset that belong to different classes, so they
    are the same in every sheet of a data set and nobody chose them. Only their rows are read. Maps are
    drawn at their own resolution and each is scaled by itself, so colours cannot be compared between maps.

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
    given = [[Path(path) for path in paths] for paths in (evaluations, explanations, controls)]
    sheet = load_sheet(packed, *given, settings)
    with figure_style():
        save_figure(sheet_figure(sheet), outputs)


def load_sheet(
    packed: Path,
    evaluations: Sequence[Path],
    explanations: Sequence[Path],
    controls: Sequence[Path],
    settings: Mapping[str, Any],
) -> Sheet:
    """Read what `draw_heatmaps` shows; see there."""
    from sparsight.data.packed import PackedSplit

    condition = str(settings["condition"])
    files = [_ExplanationFile(path, condition, settings) for path in (*explanations, *controls)]
    if not evaluations or not files:
        raise InputError("a sheet of heatmaps needs at least one evaluation and its explanations")
    positions = _first_of_each_class(packed, files, int(settings["images"]))
    with PackedSplit.open(packed) as split:
        batch = split.select(positions)
        classes = split.classes
    image_ids = batch.image_ids.numpy()
    checkpoints, title = _checkpoints(evaluations)
    shared: dict[str, Map] = {}
    for file in files:
        maps = file.maps(image_ids)
        if file.path in controls:
            shared |= maps
            continue
        owner = checkpoints.get(file.path.parent.parent)
        if owner is None:
            raise InputError(f"{file.path} has no evaluation.json among the given ones beside it")
        owner.maps |= maps
        owner.predicted = file.predicted(image_ids)
    wanted = list(settings.get("explainers", ()))
    names = ordered({name for c in checkpoints.values() for name in c.maps}, wanted, ())
    for checkpoint in checkpoints.values():
        checkpoint.maps = {name: checkpoint.maps[name] for name in names if name in checkpoint.maps}
    return Sheet(
        images=batch.images(condition).numpy(),
        labels=batch.labels.numpy(),
        image_ids=image_ids,
        classes=classes,
        checkpoints=sorted(checkpoints.values(), key=lambda checkpoint: checkpoint.level),
        controls={name: shared[name] for name in ordered(shared, wanted, ())},
        signed=frozenset(name for file in files for name in file.signed),
        title=f"{title}, {condition} images",
    )


class _ExplanationFile:
    """Facts of an explanations file and its rows for chosen images."""

    def __init__(self, path: Path, condition: str, settings: Mapping[str, Any]) -> None:
        from sparsight.io.arrays import ArrayReader

        self.path = path
        self.condition = condition
        with ArrayReader(path) as reader:
            ids = reader.rows("image_ids").tolist()
            metadata = reader.metadata
            names = set(reader.names)
        self.row_of = {image_id: row for row, image_id in enumerate(ids)}
        try:
            facts = json.loads(metadata["explainers"])
        except (KeyError, ValueError) as error:
            raise InputError(f"{path} does not name its explainers; explain the images again") from error
        only = settings.get("explainers")
        self.explainers = [
            name
            for name in facts
            if f"{name}/{condition}" in names and (only is None or name in only)
        ]
        if not any(name.endswith(f"/{condition}") for name in names):
            raise InputError(f"{path} holds no explanations of {condition} images")
        self.signed = [name for name in self.explainers if facts[name]["signed"]]

    def _rows(self, tensor: str, image_ids: Iterable[int]) -> NDArray[Any]:
        from sparsight.io.arrays import ArrayReader

        # What is read was verified when the file was first opened.
        with ArrayReader(self.path, verify=()) as reader:
            rows = [self.row_of[int(image_id)] for image_id in image_ids]
            return np.concatenate([reader.rows(tensor, row, row + 1).numpy() for row in rows])

    def maps(self, image_ids: NDArray[np.int64]) -> dict[str, Map]:
        return {n: self._rows(f"{n}/{self.condition}", image_ids) for n in self.explainers}

    def predicted(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._rows(f"predictions/{self.condition}", image_ids)


def _first_of_each_class(
    packed: Path, files: Sequence[_ExplanationFile], count: int
) -> list[int]:
    """Positions of the first `count` images of the evaluation subset, from different classes.

    Where there are fewer classes than `count`, classes repeat once all have had their turn.
    """
    from sparsight.io.arrays import read_arrays

    facts = read_arrays(packed, ["evaluation_rank", "labels", "image_ids"])
    common = set.intersection(*(set(file.row_of) for file in files))
    labels, ids = facts["labels"].tolist(), facts["image_ids"].tolist()
    ranked = [p for p in np.argsort(facts["evaluation_rank"].numpy()).tolist() if ids[p] in common]
    if len(ranked) < count:
        raise InputError(
            f"{files[0].path} and its sisters share {len(ranked)} images of {packed}, "
            f"fewer than the {count} of the sheet; explain more images or show fewer"
        )
    turns: dict[int, int] = {}
    turn_of = {}
    for position in ranked:
        turn_of[position] = turns[labels[position]] = turns.get(labels[position], -1) + 1
    return sorted(ranked, key=lambda position: turn_of[position])[:count]


def _checkpoints(evaluations: Sequence[Path]) -> tuple[dict[Path, Checkpoint], str]:
    """Checkpoints by folder, and whose networks they are."""
    found: dict[Path, Checkpoint] = {}
    owners: set[tuple[str, str, int]] = set()
    pruners: set[str] = set()
    for path in evaluations:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            owners.add((facts["dataset"], facts["model"], int(facts["seed"])))
            if int(facts["level"]) > 0:
                pruners.add(facts["pruner"])
            density = float(facts["density"]["prunable"])
            level = int(facts["level"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not a complete evaluation; delete it and run snakemake again"
            ) from error
        found[path.parent] = Checkpoint(level, density, np.empty(0, dtype=np.int64))
    if len(owners) > 1 or len(pruners) > 1:
        raise InputError("a sheet of heatmaps shows one network and one pruner; give one at a time")
    dataset, model, seed = owners.pop()
    pruner = f", pruner {pruners.pop()}" if pruners else ""
    return found, f"{model} on {dataset}, seed {seed}{pruner}"


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
    parts = figure.subfigures(count + 1, 1, height_ratios=[block] * count + [0.55], squeeze=False)
    for index in range(count):
        _draw_block(parts[index][0], sheet, index, explainers, control_rows)
    _draw_keys(parts[count][0], bool(sheet.signed & {*explainers, *sheet.controls}))
    return figure


def _draw_block(
    part: "SubFigure", sheet: Sheet, index: int, explainers: Sequence[str], control_rows: int
) -> None:
    """One image: itself on the left, then a row per explainer, then the controls."""
    columns = max(len(sheet.checkpoints), 1)
    rows = len(explainers) + control_rows
    grid = part.add_gridspec(
        max(rows, 1),
        columns + 2,
        width_ratios=[IMAGE_WIDTH, ROW_LABEL, *[CELL] * columns],
        height_ratios=[CELL] * len(explainers) + [CELL + CAPTION] * control_rows or [CELL],
    )
    image = part.add_subplot(grid[0 : min(2, max(rows, 1)), 0])
    _draw_image(image, sheet, index)
    for row, name in enumerate(explainers):
        _write_name(part.add_subplot(grid[row, 1]), name)
        for column, checkpoint in enumerate(sheet.checkpoints):
            axes = part.add_subplot(grid[row, column + 2])
            if name in checkpoint.maps:
                draw_map(axes, checkpoint.maps[name][index], name in sheet.signed)
            else:
                _blank(axes, "not\nexplained")
            if row == 0:
                _write_header(axes, sheet, checkpoint, index)
    for number, (name, maps) in enumerate(sheet.controls.items()):
        row, column = len(explainers) + number // columns, number % columns
        if column == 0:
            _write_name(part.add_subplot(grid[row, 1]), "controls\n(same at every level)")
        axes = part.add_subplot(grid[row, column + 2])
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
    without contrast is drawn flat and says "constant"; one with values that are not finite is not drawn.
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


def _draw_keys(part: "SubFigure", any_signed: bool) -> None:
    """What the colours mean; every map has its own scale."""
    ramp = np.linspace(0.0, 1.0, 128, dtype=np.float32)[None]
    keys: list[tuple[str, Any, tuple[str, str]]] = [
        ("unsigned map", SEQUENTIAL, ("its minimum", "its maximum"))
    ]
    if any_signed:
        keys.append(("signed map", diverging(), ("against the class", "in favour")))
    grid = part.add_gridspec(1, 2)
    for column, (title, colours, ends) in enumerate(keys):
        axes = part.add_subplot(grid[0, column])
        axes.imshow(ramp, cmap=colours, aspect="auto", interpolation="nearest")
        axes.set_box_aspect(0.05)
        _bare(axes)
        axes.set_title(f"{title} (each scaled by itself)", fontsize=7, pad=2)
        axes.set_xticks([0, 127], ends, fontsize=7)
        left, right = axes.get_xticklabels()
        left.set_ha("left")
        right.set_ha("right")
