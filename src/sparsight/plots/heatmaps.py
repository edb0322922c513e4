"""A sheet of heatmaps: the same few images at several levels under several explainers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from sparsight.data.packed import PackedSplit
from sparsight.io.arrays import ArrayReader, read_arrays
from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy
from sparsight.plots.labels import label_of
from sparsight.plots.pages import percent
from sparsight.plots.style import (
    SIZE,
    TALLEST,
    WIDTH,
    Page,
    figure_style,
    order_names,
    save_figure,
    text_width,
    title_of,
    wrap_lines,
)
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
    checkpoints, title = _checkpoints(evaluations, settings)
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


def _checkpoints(
    evaluations: Sequence[Path], settings: Mapping[str, Any]
) -> tuple[dict[Path, Checkpoint], str]:
    """Checkpoints by folder, and whose networks they are, by their labels."""
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
    pruner = f", pruner {label_of(settings, 'pruner', pruners.pop())}" if pruners else ""
    whose = title_of({**settings, "dataset": dataset, "model": model})
    return found, f"{whose}, seed {seed}{pruner}"


#: of the stage `figure_heatmaps`: see `sparsight.study.versions`
VERSION = 3
SEQUENTIAL = "magma"
# Both ends of an ordinary diverging map turn into the same grey; here the negative end stays light.
#: share of the largest value from which on a negative one is hatched
NEGATIVE = 0.15
DIVERGING = ("#3f9bd8", "#ffffff", "#67001f")
WRONG = "#a3195b"
# All lengths are inches. Cells are as large as a page's width allows, from the smallest on.
LARGEST, SMALLEST, AIR = 0.46, 0.4, 0.03
LABELS, BETWEEN, PICTURE = 1.25, 0.16, 0.85
HEADING, LINE, TITLE, KEYS = 0.19, 0.115, 0.32, 0.72
#: of the class's name that a network predicts, which stands upright
NAME = 0.95
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
        save_figure(sheet_pages(sheet, settings), outputs)


def _paths(given: Iterable[Path]) -> list[Path]:
    return [Path(path) for path in given]


@dataclass(frozen=True)
class _Grid:
    """Where a page's cells are: columns are levels, bands of images stand below each other."""

    cell: float
    block: float
    per_band: int
    header: float
    band: float
    controls: int

    @classmethod
    def of(cls, sheet: Sheet) -> "_Grid":
        """As many images side by side as there is room for."""
        columns = max(len(sheet.checkpoints), 1)
        room = WIDTH - LABELS - 0.1
        narrowest = max(columns * (SMALLEST + AIR), PICTURE + 0.75) + BETWEEN
        per_band = max(1, min(len(sheet.images), int(room / narrowest)))
        block = room / per_band
        cell = min(LARGEST, (block - BETWEEN) / columns - AIR)
        header = 0.3 + (NAME + 0.1 if _upright(sheet) else LINE)
        rows = sum(len(names) for names in sheet.families.values())
        controls = -(-len(sheet.controls) // columns)
        below = HEADING + (cell + AIR + 3 * LINE) * controls if controls else 0.0
        band = PICTURE + 0.1 + header + HEADING * len(sheet.families) + (cell + AIR) * rows + below
        return cls(cell, block, per_band, header, band + BETWEEN, controls)


def _upright(sheet: Sheet) -> bool:
    """Whether names of classes stand upright, all of them: as soon as one is too long."""
    return any(text_width(f"{name} ✓") > SMALLEST for name in sheet.classes)


def sheet_pages(sheet: Sheet, settings: Mapping[str, Any] = {}) -> list[Figure]:
    """The pages of `draw_heatmaps`; `settings` hold labels."""
    grid = _Grid.of(sheet)
    bands = -(-len(sheet.images) // grid.per_band)
    on_page = max(1, int((TALLEST - TITLE - KEYS) / grid.band))
    count = -(-bands // on_page)
    found = []
    for number in range(count):
        shown = range(number * on_page, min((number + 1) * on_page, bands))
        page = Page(TITLE + grid.band * len(shown) + KEYS)
        which = f" ({number + 1} of {count})" if count > 1 else ""
        page.text(0.1, 0.1, sheet.title + which, SIZE + 1, fontweight="bold")
        for place, band in enumerate(shown):
            top = TITLE + grid.band * place
            _names(page, sheet, grid, top, settings)
            first = band * grid.per_band
            for index in range(first, min(first + grid.per_band, len(sheet.images))):
                _block(page, sheet, grid, index, (LABELS + grid.block * (index - first), top))
        names = {name for names in sheet.families.values() for name in names} | set(sheet.controls)
        _keys(page, page.height - KEYS, sheet, bool(sheet.signed & names))
        found.append(page.frame())
    return found


def _names(page: Page, sheet: Sheet, grid: _Grid, top: float, settings: Mapping[str, Any]) -> None:
    """Left of a band of images: what the rows are."""
    right, y = LABELS - 0.1, top + PICTURE + 0.1
    for line, text in enumerate(("pruning level", "weights left", "predicted class")):
        page.text(right, y + 0.125 * line, text, ha="right", color="0.35")
    y += grid.header
    for family, names in sheet.families.items():
        target = sheet.targets.get(family)
        said = f"{family}: explains {target}" if target else family
        page.text(0.1, y + 0.04, said, color="0.35")
        y += HEADING
        for name in names:
            lines = wrap_lines(label_of(settings, "explainer", name), LABELS - 0.2)
            page.text(right, y + grid.cell / 2, "\n".join(lines), ha="right", va="center")
            y += grid.cell + AIR
    if sheet.controls:
        page.text(0.1, y + 0.04, "controls: the same at every level", color="0.35")


def _block(page: Page, sheet: Sheet, grid: _Grid, index: int, place: tuple[float, float]) -> None:
    """One image: itself, then its levels as columns and the explainers as rows."""
    left, top = place
    pixels, pitch = sheet.images[index], grid.cell + AIR
    picture = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[:3], 0, -1)
    page.picture(picture, (left, top, PICTURE), cmap="gray", vmin=0.0, vmax=1.0)
    said = (f"class {sheet.classes[int(sheet.labels[index])]}", f"image {sheet.image_ids[index]}")
    room = grid.block - PICTURE - 0.12
    lines = [line for text in said for line in wrap_lines(text, room)]
    page.text(left + PICTURE + 0.06, top + 0.1, "\n".join(lines))
    for column, checkpoint in enumerate(sheet.checkpoints):
        x, y = left + pitch * column, top + PICTURE + 0.1
        _header(page, sheet, checkpoint, index, (x + grid.cell / 2, y))
        y += grid.header
        for names in sheet.families.values():
            y += HEADING
            for explainer in names:
                box = (x, y, grid.cell)
                if explainer in checkpoint.maps:
                    signed = explainer in sheet.signed
                    draw_map(page, checkpoint.maps[explainer][index], signed, box)
                else:
                    _blank(page, "–", box)
                y += pitch
    y = top + grid.band - BETWEEN - (pitch + 3 * LINE) * grid.controls
    for number, (control, maps) in enumerate(sheet.controls.items()):
        x = left + pitch * (number % max(len(sheet.checkpoints), 1))
        under = y + (pitch + 3 * LINE) * (number // max(len(sheet.checkpoints), 1))
        draw_map(page, maps[index], control in sheet.signed, (x, under, grid.cell))
        lines = wrap_lines(control.removeprefix("control_"), grid.cell)
        page.text(x + grid.cell / 2, under + grid.cell + 0.02, "\n".join(lines[:3]), ha="center")


def _header(
    page: Page, sheet: Sheet, checkpoint: Checkpoint, index: int, place: tuple[float, float]
) -> None:
    """Level, density or bits, predicted class, and whether it is right (by sign and by colour)."""
    x, y = place
    page.text(x, y, str(checkpoint.level), ha="center", fontweight="bold")
    same = [one.bits for one in sheet.checkpoints if one.density == checkpoint.density]
    left = percent(checkpoint.density) if len(set(same)) == 1 else f"{checkpoint.bits} bits"
    page.text(x, y + 0.125, left, ha="center", color="0.2")
    if len(checkpoint.predicted):
        predicted = int(checkpoint.predicted[index])
        right = predicted == int(sheet.labels[index])
        said = f"{sheet.classes[predicted]} {'✓' if right else '✗'}"
        upright = _upright(sheet)
        lines = wrap_lines(said, NAME if upright else 9.0)
        page.text(x, y + 0.25, "\n".join(lines), ha="center", rotation=90 if upright else 0,
                  color="black" if right else WRONG,
                  fontweight="normal" if right else "bold")  # fmt: skip


def draw_map(page: Page, values: Map, signed: bool, box: Box) -> None:
    """Draw one heatmap [h, w], scaled by itself and at its own resolution.

    Unsigned maps go from their minimum to their maximum, signed ones are centred on zero, and what
    is clearly negative is hatched. A map without contrast is drawn flat and says so; one with
    values that are not finite is not drawn.
    """
    if not np.isfinite(values).all():
        _blank(page, "NaN", box)
        return
    low, high = float(values.min()), float(values.max())
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        page.picture(values, box, cmap="gray", vmin=low - 1.0, vmax=low + 0.25)
        page.text(box[0] + box[2] / 2, box[1] + box[2] / 2, "flat", ha="center", va="center")
        return
    if not signed:
        page.picture(values, box, cmap=SEQUENTIAL, vmin=low, vmax=high)
        return
    reach = max(abs(low), abs(high))
    page.picture(values, box, cmap=diverging(), vmin=-reach, vmax=reach)
    if low < -NEGATIVE * reach and min(values.shape) > 1:
        x, y, side = box
        across, down = ((np.arange(n) + 0.5) * side / n for n in values.shape[::-1])
        hatched = page.axes.contourf(
            x + across, y + down, values, levels=[-reach, -NEGATIVE * reach], colors="none",
            hatches=["/" * 7], zorder=2.5,
        )  # fmt: skip
        hatched.set(edgecolor="0.25", linewidth=0.0)


def diverging() -> Colormap:
    """Light blue for evidence against, white for none, dark red for evidence in favour."""
    return LinearSegmentedColormap.from_list("evidence", list(DIVERGING))


def _blank(page: Page, text: str, box: Box) -> None:
    x, y, side = box
    look: dict[str, Any] = {"facecolor": "0.94", "edgecolor": "0.8", "linewidth": 0.4}
    page.axes.add_patch(Rectangle((x, y), side, side, **look))
    page.text(box[0] + box[2] / 2, box[1] + box[2] / 2, text, ha="center", va="center",
              color="0.35")  # fmt: skip


def _keys(page: Page, top: float, sheet: Sheet, any_signed: bool) -> None:
    """What the colours and words mean; every map has its own scale."""
    ramp = np.linspace(0.0, 1.0, 128, dtype=np.float32)[None]
    keys: list[tuple[str, Any, tuple[str, str]]] = [
        ("unsigned map", SEQUENTIAL, ("its minimum", "its maximum"))
    ]
    if any_signed:
        keys.append(("signed map", diverging(), ("against the class (hatched)", "in favour")))
    for number, (title, colours, ends) in enumerate(keys):
        x, width = 0.1 + 3.4 * number, 3.2
        page.text(x, top, f"{title} (each scaled by itself)")
        page.picture(ramp, (x, top + 0.14, width), 0.09, cmap=colours, zorder=1)
        page.text(x, top + 0.26, ends[0])
        page.text(x + width, top + 0.26, ends[1], ha="right")
    levels, images = len(sheet.checkpoints), len(sheet.images)
    counted = f"1 network · {levels} level{'s' * (levels != 1)} · {images} images"
    words = "flat: constant map, NaN: undefined, –: not explained at this level"
    page.text(0.1, top + 0.42, f"{counted}   {words}", color="0.35")
