"""A sheet of heatmaps: the same few images at several levels under several explainers."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import ArrayReader, read_arrays
from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy
from sparsight.plots.pages import percent
from sparsight.plots.style import figure_style, new_page, order_names, save_figure
from sparsight.rounding import FULL_BITS, ROUNDING

Map = NDArray[np.float32]
# Which class a map explains, in words.
TARGETS = {
    "true": "the label",
    "predicted": "the predicted class",
    "dense_predicted": "the class that the dense network predicts",
}


@dataclass
class Checkpoint:
    """What one checkpoint says of the chosen images (k of them).

    Attributes
    ----------
    level, density, bits : of the checkpoint; the share of prunable weights left, in [0, 1], and
        the bits of each, from 2 to 32.
    predicted : int64 [k], the class that the network predicts; empty before explanations are read.
    maps : explainer to float32 [k, h, w]; one that was not explained at this level is missing.
    """

    level: int
    density: float
    predicted: NDArray[np.int64]
    bits: int = FULL_BITS
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
    families : family to its explainers that look at a network, both in the order of the sheet.
    targets : family to the class that its maps explain, in words; "" where the file does not say.
    signed : explainers whose negative values mean evidence against the class.
    title : whose networks.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    classes: list[str]
    checkpoints: list[Checkpoint]
    controls: dict[str, Map]
    families: dict[str, list[str]]
    targets: dict[str, str]
    signed: frozenset[str]
    title: str


def load_sheet(
    packed: Path,
    evaluations: Sequence[Path],
    explanations: Sequence[Path],
    controls: Sequence[Path],
    settings: Mapping[str, Any],
) -> Sheet:
    """Read what `draw_heatmaps` shows; see there."""
    condition = str(settings["condition"])
    files = [ExplanationFile(path, condition, settings) for path in (*explanations, *controls)]
    if not evaluations or not files:
        raise InputError("a sheet of heatmaps needs at least one evaluation and its explanations")
    positions = _first_of_each_class(packed, files, int(settings["images"]))
    with PackedSplit.open(packed) as split:
        batch = split.select(positions)
        classes = split.classes
    image_ids = batch.image_ids.numpy()
    checkpoints, title = _checkpoints(evaluations)
    shared: dict[str, Map] = {}
    members: dict[str, str] = {}
    targets: dict[str, str] = {}
    for file in files:
        maps = file.maps(image_ids)
        if file.path in controls:
            shared |= maps
            continue
        owner = checkpoints.get(file.path.parent.parent)
        if owner is None:
            raise InputError(f"{file.path} has no evaluation.json among the given ones beside it")
        owner.maps |= maps
        members |= dict.fromkeys(maps, file.path.stem)
        targets[file.path.stem] = TARGETS.get(file.target, file.target)
        owner.predicted = file.predicted(image_ids)
    wanted = list(settings.get("explainers", ()))
    families: dict[str, list[str]] = {}
    for name in order_names(members, wanted, ()):
        families.setdefault(members[name], []).append(name)
    return Sheet(
        images=batch.images(condition).numpy(),
        labels=batch.labels.numpy(),
        image_ids=image_ids,
        classes=classes,
        checkpoints=sorted(checkpoints.values(), key=lambda checkpoint: checkpoint.level),
        controls={name: shared[name] for name in order_names(shared, wanted, ())},
        families=families,
        targets=targets,
        signed=frozenset(name for file in files for name in file.signed),
        title=f"{title}, {condition} images",
    )


class ExplanationFile:
    """Facts of an explanations file under one condition, and its rows for chosen images.

    Attributes
    ----------
    explainers : those of the file, or of them those in `settings["explainers"]`, if it has any.
    signed : of them those whose negative values mean evidence against the class.
    row_of : image id to its row.
    target : which class the maps explain, a key of `TARGETS`.
    """

    def __init__(self, path: Path, condition: str, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.condition = condition
        with ArrayReader(path) as reader:
            ids = reader.rows("image_ids").tolist()
            metadata = reader.metadata
            names = set(reader.names)
        self.target = metadata.get("target", "")
        self.row_of = {image_id: row for row, image_id in enumerate(ids)}
        try:
            facts = json.loads(metadata["explainers"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path} does not name its explainers; explain the images again"
            ) from error
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
        # What is read was verified when the file was first opened.
        with ArrayReader(self.path, verify=()) as reader:
            rows = [self.row_of[int(image_id)] for image_id in image_ids]
            return np.concatenate([reader.rows(tensor, row, row + 1).numpy() for row in rows])

    def map_rows(self, explainer: str, image_ids: Iterable[int]) -> Map:
        """Maps of one explainer, float32 [n, h, w]; every image must be in `row_of`."""
        return self._rows(f"{explainer}/{self.condition}", image_ids)

    def maps(self, image_ids: NDArray[np.int64]) -> dict[str, Map]:
        """Explainer to its maps [n, h, w]."""
        return {name: self.map_rows(name, image_ids) for name in self.explainers}

    def predicted(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Classes that the network predicts, int64 [n]."""
        return self._rows(f"predictions/{self.condition}", image_ids)


def _first_of_each_class(packed: Path, files: Sequence[ExplanationFile], count: int) -> list[int]:
    """Positions of the first `count` images of the evaluation subset, from different classes.

    Where there are fewer classes than `count`, classes repeat once all have had their turn.
    """
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
        facts = read_json(path)
        try:
            owners.add((facts["dataset"], facts["model"], int(facts["seed"])))
            if int(facts["level"]) > 0:
                pruners.add(facts["pruner"])
            density = float(facts["density"]["prunable"])
            level, bits = int(facts["level"]), int(facts.get("bits", FULL_BITS))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a complete evaluation; {remedy(path)}") from error
        found[path.parent] = Checkpoint(level, density, np.empty(0, dtype=np.int64), bits)
    if len(owners) > 1 or len(pruners) > 1:
        raise InputError("a sheet of heatmaps shows one network and one pruner; give one at a time")
    dataset, model, seed = owners.pop()
    pruner = f", pruner {pruners.pop()}" if pruners else ""
    return found, f"{model} on {dataset}, seed {seed}{pruner}"


#: of the stage `figure_heatmaps`: see `sparsight.study.versions`
VERSION = 1
SEQUENTIAL = "magma"
# Both ends of an ordinary diverging map turn into the same grey; here the negative end stays light.
DIVERGING = ("#3f9bd8", "#ffffff", "#67001f")
WRONG = "#a3195b"
# All lengths are inches.
CELL, PITCH = 0.43, 0.46
LABELS = 1.85
BETWEEN = 0.28
PICTURE, NARROWEST_LABEL = 0.95, 0.75
HEADER, LINE = 0.45, 0.085
HEADING = 0.19
CAPTION = 0.16
TITLE, KEYS = 0.35, 0.6
WIDEST = 14.2
# Letters that fit into the width of a cell, in small and in ordinary print, and in an inch, of a
# class and of an image's number.
CELL_LETTERS, CELL_LETTERS_LARGE, INCH_LETTERS, INCH_LETTERS_SMALL = 11, 6, 13, 16
# x, y of the upper left corner and the length of the sides
Box = tuple[float, float, float]


def draw_heatmaps(
    packed: Path,
    evaluations: Iterable[Path],
    explanations: Iterable[Path],
    controls: Iterable[Path],
    outputs: Iterable[Path],
    settings: Mapping[str, Any],
) -> None:
    """Draw the sheet: images side by side; explainers are rows, and under each image its levels.

    The images are the first of the shared evaluation subset that belong to different classes and
    that all families explained, so they are the same in every sheet of a data set and nobody chose
    them. Only their rows are read. Maps are drawn at their own resolution and each is scaled by
    itself, so colours cannot be compared between maps. An `InputError` is raised where files do not
    belong together or an image is not among the explained ones.

    Parameters
    ----------
    packed : packed split whose images were explained.
    evaluations : `evaluation.json` of each checkpoint to show, one pruner and seed (and its dense
        level 0).
    explanations : `explanations/{family}.safetensors` beside them, any number of families each.
    controls : explanations of the controls, made once per data set.
    settings : `condition` ("clean" or "noisy"), `images` (how many); optional `explainers` (their
        order, which also limits them to these).
    """
    sheet = load_sheet(
        packed, _paths(evaluations), _paths(explanations), _paths(controls), settings
    )
    with figure_style():
        save_figure(sheet_figure(sheet), outputs)


def _paths(given: Iterable[Path]) -> list[Path]:
    return [Path(path) for path in given]


def sheet_figure(sheet: Sheet) -> Figure:
    """The figure of `draw_heatmaps`: one panel whose axes are inches, from the upper left."""
    columns = max(len(sheet.checkpoints), 1)
    block = _block_width(sheet)
    count = len(sheet.images)
    bands = -(-count // max(1, int((WIDEST - LABELS) / block)))
    per_band = -(-count // bands)
    control_rows = -(-len(sheet.controls) // columns)
    rows = sum(len(names) for names in sheet.families.values())
    below = HEADING + (PITCH + CAPTION) * control_rows if control_rows else 0.0
    header = _header_height(sheet)
    band = PICTURE + header + HEADING * len(sheet.families) + PITCH * rows + below + BETWEEN
    width, height = max(LABELS + block * per_band, 5.0), TITLE + band * bands + KEYS
    figure, axes = new_page(width, height)
    # Else neighbouring maps are merged into one picture of fewer pixels.
    figure.suppressComposite = True
    _say(axes, 0.1, 0.18, sheet.title, size=9, weight="bold", ha="left")
    for index in range(count):
        top = TITLE + band * (index // per_band)
        if index % per_band == 0:
            _names(axes, sheet, top)
        _block(axes, sheet, index, LABELS + block * (index % per_band), top)
    shown = {name for names in sheet.families.values() for name in names} | set(sheet.controls)
    _keys(axes, height - KEYS, bool(sheet.signed & shown))
    # Drawing a picture moves the limits.
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def _block_width(sheet: Sheet) -> float:
    """An image's levels, or the image and its label where the levels take less."""
    return max(PITCH * len(sheet.checkpoints), PICTURE + NARROWEST_LABEL) + BETWEEN


def _names(axes: Axes, sheet: Sheet, top: float) -> None:
    """Left of a band of images: what the rows are."""
    right, y = LABELS - 0.12, top + PICTURE
    for line, text in enumerate(("pruning level", "weights left", "predicted class")):
        _say(axes, right, y + 0.08 + 0.13 * line, text, ha="right", colour="0.35")
    y += _header_height(sheet)
    for family, names in sheet.families.items():
        target = sheet.targets.get(family)
        said = f"{family}: explains {target}" if target else family
        _say(axes, 0.1, y + HEADING / 2, said, ha="left", colour="0.35", size=6)
        y += HEADING
        for name in names:
            _say(axes, right, y + CELL / 2, _break_name(name), ha="right")
            y += PITCH
    if sheet.controls:
        _say(axes, 0.1, y + HEADING / 2, "controls: the same at every level", ha="left",
             colour="0.35", size=6)  # fmt: skip


def _block(axes: Axes, sheet: Sheet, index: int, left: float, top: float) -> None:
    """One image: itself, then its levels as columns and the explainers as rows."""
    side = PICTURE - 0.1
    pixels = sheet.images[index]
    shown: dict[str, Any] = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}
    picture = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[:3], 0, -1)
    _show(axes, picture, (left, top, side), **(shown if len(pixels) == 1 else {}))
    label = f"class {sheet.classes[int(sheet.labels[index])]}"
    columns = max(len(sheet.checkpoints), 1)
    room = _block_width(sheet) - side - 0.1
    lines = textwrap.wrap(label, max(8, int(room * INCH_LETTERS)))
    _say(axes, left + side + 0.08, top + 0.3, "\n".join(lines), ha="left", size=8)
    name = textwrap.wrap(f"image {int(sheet.image_ids[index])}", int(room * INCH_LETTERS_SMALL))
    under = top + 0.42 + 0.065 * len(lines) + LINE / 2 * (len(name) - 1)
    _say(axes, left + side + 0.08, under, "\n".join(name), ha="left", colour="0.35")
    header = _header_height(sheet)
    for column, checkpoint in enumerate(sheet.checkpoints):
        x, y = left + PITCH * column, top + PICTURE
        _header(axes, sheet, checkpoint, index, (x + CELL / 2, y))
        y += header
        for names in sheet.families.values():
            y += HEADING
            for explainer in names:
                if explainer in checkpoint.maps:
                    signed = explainer in sheet.signed
                    draw_map(axes, checkpoint.maps[explainer][index], signed, (x, y, CELL))
                else:
                    _blank(axes, "not\nexplained\nat this level", (x, y, CELL))
                y += PITCH
    y = top + PICTURE + header + sum(HEADING + PITCH * len(n) for n in sheet.families.values())
    for number, (control, maps) in enumerate(sheet.controls.items()):
        x = left + PITCH * (number % columns)
        under = y + HEADING + (PITCH + CAPTION) * (number // columns)
        draw_map(axes, maps[index], control in sheet.signed, (x, under, CELL))
        text = control.removeprefix("control_")
        _say(axes, x + CELL / 2, under + CELL + 0.07, text, size=6)


def _header(
    axes: Axes, sheet: Sheet, checkpoint: Checkpoint, index: int, place: tuple[float, float]
) -> None:
    """Level, density or bits, predicted class, and whether it is right (by sign and by colour)."""
    x, y = place
    _say(axes, x, y + 0.08, str(checkpoint.level), weight="bold")
    same = [one.bits for one in sheet.checkpoints if one.density == checkpoint.density]
    left = percent(checkpoint.density) if len(set(same)) == 1 else f"{checkpoint.bits} bits"
    _say(axes, x, y + 0.21, left, colour="0.2")
    if len(checkpoint.predicted):
        predicted = int(checkpoint.predicted[index])
        right = predicted == int(sheet.labels[index])
        lines = _class_lines(sheet.classes[predicted], "✓" if right else "✗")
        size = _class_print(sheet)
        place = (x, y + 0.34 + LINE / 2 * (len(lines) - 1))
        text, colour = "\n".join(lines), "black" if right else WRONG
        _say(axes, *place, text, colour=colour, size=size)


def _class_lines(name: str, verdict: str = "✓") -> list[str]:
    """A class's name and whether it is right, in lines that fit a cell."""
    whole = f"{name} {verdict}"
    return [whole] if len(name) <= CELL_LETTERS_LARGE else textwrap.wrap(whole, CELL_LETTERS)


def _class_print(sheet: Sheet) -> float:
    """One size for all: small as soon as one name needs it."""
    return 4.6 if any(len(name) > CELL_LETTERS_LARGE for name in sheet.classes) else 6.5


def _header_height(sheet: Sheet) -> float:
    """Level, density, and as many lines as the longest of the class names takes."""
    return HEADER + LINE * (max(len(_class_lines(name)) for name in sheet.classes) - 1)


def draw_map(axes: Axes, values: Map, signed: bool, box: Box) -> None:
    """Draw one heatmap [h, w], scaled by itself and at its own resolution.

    Unsigned maps go from their minimum to their maximum, signed ones are centred on zero. A map
    without contrast is drawn flat and says "constant"; one with values that are not finite is not
    drawn and says "undefined".
    """
    if not np.isfinite(values).all():
        _blank(axes, "undefined", box)
        return
    low, high = float(values.min()), float(values.max())
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        _show(axes, values, box, cmap="gray", vmin=low - 1.0, vmax=low + 0.25)
        _say(axes, box[0] + box[2] / 2, box[1] + box[2] / 2, "constant", size=5.5)
        return
    if signed:
        reach = max(abs(low), abs(high))
        _show(axes, values, box, cmap=diverging(), vmin=-reach, vmax=reach)
    else:
        _show(axes, values, box, cmap=SEQUENTIAL, vmin=low, vmax=high)


def diverging() -> Colormap:
    """Light blue for evidence against, white for none, dark red for evidence in favour."""
    return LinearSegmentedColormap.from_list("evidence", list(DIVERGING))


def _show(axes: Axes, values: Map, box: Box, height: float = 0.0, **how: Any) -> None:
    """A picture in a frame. Nearest: what is seen is what the explainer gave."""
    x, y, width = box
    height = height or width
    axes.imshow(values, extent=(x, x + width, y + height, y), interpolation="nearest", **how)
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="0.6", linewidth=0.4))


def _blank(axes: Axes, text: str, box: Box) -> None:
    x, y, side = box
    axes.add_patch(Rectangle((x, y), side, side, facecolor="0.94", edgecolor="0.8", linewidth=0.4))
    _say(axes, x + side / 2, y + side / 2, text, size=5, colour="0.35")


def _say(axes: Axes, x: float, y: float, text: str, **how: Any) -> None:
    size, weight = how.get("size", 6.5), how.get("weight", "normal")
    axes.text(x, y, text, fontsize=size, fontweight=weight, color=how.get("colour", "black"),
              ha=how.get("ha", "center"), va="center", linespacing=1.05)  # fmt: skip


def _break_name(name: str) -> str:
    """Long names break where their words do."""
    if len(name) <= 26:
        return name
    places = [i for i, letter in enumerate(name) if letter == "_"] or [len(name) - 1]
    middle = min(places, key=lambda i: abs(i - len(name) / 2))
    return f"{name[: middle + 1]}\n{name[middle + 1 :]}"


def _keys(axes: Axes, top: float, any_signed: bool) -> None:
    """What the colours mean; every map has its own scale."""
    ramp = np.linspace(0.0, 1.0, 128, dtype=np.float32)[None]
    keys: list[tuple[str, Any, tuple[str, str]]] = [
        ("unsigned map", SEQUENTIAL, ("its minimum", "its maximum"))
    ]
    if any_signed:
        keys.append(("signed map", diverging(), ("against the class", "in favour")))
    for number, (title, colours, ends) in enumerate(keys):
        x, width = 0.25 + 2.45 * number, 2.0
        _say(axes, x + width / 2, top + 0.1, f"{title} (each scaled by itself)")
        _show(axes, ramp, (x, top + 0.2, width), height=0.1, cmap=colours)
        _say(axes, x, top + 0.4, ends[0], ha="left")
        _say(axes, x + width, top + 0.4, ends[1], ha="right")
