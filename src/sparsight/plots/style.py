"""What all figures share: how they look, whose rows they show, and how they are written.

Equal tables give equal bytes. Colours also differ in lightness, and every curve has its own marker
and dash, so that figures can be read in grey and by the colour-blind.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle

from sparsight.io.errors import InputError
from sparsight.io.files import atomic_path
from sparsight.plots.labels import label_of

DPI = 200
#: inches of a journal's page: 180 mm wide, and at most 247 mm tall
WIDTH, TALLEST = 180 / 25.4, 247 / 25.4
#: points of the smallest text
SIZE = 7
_TEXTS = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize")
_RC: dict[str, Any] = {
    **dict.fromkeys([*_TEXTS, "legend.fontsize", "legend.title_fontsize"], SIZE),
    "font.family": "DejaVu Sans",
    "axes.edgecolor": "0.6",
    "axes.linewidth": 0.6,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "savefig.dpi": DPI,
    # matplotlib names svg elements at random unless told what to derive the names from.
    "svg.hashsalt": "sparsight",
}

#: of what looks at the network, and of controls
INK, CONTROL = "#1f2a6b", "0.4"
# A mean shows about this many markers, however many levels there are.
MARKERS = 9
Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How one curve is drawn."""

    colour: str
    marker: str
    dash: Dash
    hollow: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of matplotlib for a thick line in this look."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dash,
            "linewidth": 1.7,
            "markersize": 4.5,
            "fillstyle": "none" if self.hollow else "full",
        }


# From dark to light, alternating in hue.
_COLOURS = ("#1f2a6b", "#a3195b", "#0072b2", "#c8501e", "#2a9d6f", "#d9a100", "#74b9e8", "#b79ad6")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Dash, ...] = ("-", (0, (6, 1)), (0, (6, 1, 1, 1)), "-")
_CONTROL_COLOURS = ("0.20", "0.38", "0.50", "0.60")
_CONTROL_MARKERS = ("x", "+", "o", "s")
_CONTROL_DASHES: tuple[Dash, ...] = ((0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (2, 3)))


def looks(names: Sequence[str], controls: Iterable[str] = ()) -> dict[str, Look]:
    """A look for each name, controls grey and dashed; the same for the same list of names."""
    grey = [name for name in names if name in set(controls)]
    coloured = [name for name in names if name not in grey]
    found: dict[str, Look] = {}
    for index, name in enumerate(coloured):
        # Once colours repeat, markers and dashes do not repeat with them.
        turn = index // len(_COLOURS)
        found[name] = Look(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[(index + turn) % len(_MARKERS)],
            _DASHES[(index + turn) % len(_DASHES)],
        )
    for index, name in enumerate(grey):
        found[name] = Look(
            _CONTROL_COLOURS[index % len(_CONTROL_COLOURS)],
            _CONTROL_MARKERS[index % len(_CONTROL_MARKERS)],
            _CONTROL_DASHES[(index + index // 4) % len(_CONTROL_DASHES)],
            hollow=True,
        )
    return {name: found[name] for name in names}


def order_names(names: Iterable[str], first: Iterable[str], controls: Iterable[str]) -> list[str]:
    """Names as listed in `first`, then the others by name; controls after all others."""
    given = list(first)
    last = set(controls)
    rank = {name: index for index, name in enumerate(given)}
    return sorted(set(names), key=lambda name: (name in last, rank.get(name, len(given)), name))


@contextmanager
def figure_style() -> Iterator[None]:
    """Seaborn's white grid with our sizes; matplotlib's own settings come back afterwards."""
    theme: dict[Any, Any] = {**sns.axes_style("whitegrid"), **_RC}
    with matplotlib.rc_context(theme):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, bound to no screen and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


class Page:
    """A page addressed in inches from its left and upper edge: texts, pictures and panels."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = new_figure(WIDTH, height)
        self.figure.set_layout_engine("none")
        # Else neighbouring pictures are merged into one of fewer pixels.
        self.figure.suppressComposite = True
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.frame()

    def frame(self) -> Figure:
        """The figure; drawing a picture moves the limits, which are set here."""
        self.axes.set(xlim=(0.0, WIDTH), ylim=(self.height, 0.0), aspect="auto")
        return self.figure

    def text(self, x: float, y: float, text: str, size: float = SIZE, **style: Any) -> None:
        """Text whose upper left corner is there; a dollar is a dollar."""
        self.axes.text(x, y, text, fontsize=size, parse_math=False,
                       **{"va": "top", "ha": "left", "linespacing": 1.1, **style})  # fmt: skip

    def picture(
        self, pixels: Any, box: tuple[float, float, float], height: float = 0.0, **how: Any
    ) -> None:
        """Pixels in a frame: x, y and width of the box. What is seen is what there is."""
        x, y, width = box
        height = height or width
        self.axes.imshow(pixels, extent=(x, x + width, y + height, y),
                         **{"interpolation": "nearest", "zorder": 2, **how})  # fmt: skip
        self.axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="0.6",
                                      linewidth=0.4, zorder=3))  # fmt: skip

    def rule(self, y: float, colour: str = "0.75") -> None:
        """A thin line across."""
        self.axes.plot([0.1, WIDTH - 0.1], [y, y], color=colour, linewidth=0.6, gid="rule")

    def panel(self, x: float, y: float, width: float, height: float) -> Axes:
        """A panel of its own."""
        return self.figure.add_axes((x / WIDTH, 1 - (y + height) / self.height, width / WIDTH,
                                     height / self.height))  # fmt: skip


def save_figure(figure: Figure | Sequence[Figure], outputs: Iterable[Path]) -> None:
    """Write a figure to each path, atomically, in the format of its suffix (svg, png or pdf).

    Of several pages the first is that file; others lie next to it as `name.page2.svg`, and so on.
    The files hold no date and no version, so that equal figures are equal files.

    Raises
    ------
    InputError
        When a suffix is none of these.
    """
    metadata: Mapping[str, dict[str, None]] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    pages = [figure] if isinstance(figure, Figure) else list(figure)
    for page in pages:
        _settle(page)
    for output in map(Path, outputs):
        kind = output.suffix.removeprefix(".")
        if kind not in metadata:
            raise InputError(f"{output} is no figure; its name must end in .svg, .png or .pdf")
        for former in output.parent.glob(f"{output.stem}.page*{output.suffix}"):
            former.unlink()
        for number, page in enumerate(pages, start=1):
            name = output.name if number == 1 else f"{output.stem}.page{number}{output.suffix}"
            with atomic_path(output.with_name(name)) as temporary:
                page.savefig(temporary, format=kind, metadata=metadata[kind], dpi=DPI)


def _settle(figure: Figure) -> None:
    """Lay the figure out once and round the places of its panels.

    The layout's solver visits constraints in the order of memory addresses, so that its last digits
    differ between runs, and matplotlib derives names in an svg from all digits.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def text_width(text: str, size: float = SIZE, weight: str = "normal") -> float:
    """Inches that a line takes in a figure, without the little that kerning changes."""
    return sum(_advance(letter, weight) for letter in text) * size / 72


@cache
def _advance(letter: str, weight: str) -> float:
    """The width of a letter, as a share of the size."""
    font = get_font(findfont(FontProperties(family=_RC["font.family"], weight=weight)))
    font.set_size(1000, 72)
    return float(font.load_char(ord(letter)).linearHoriAdvance) / 65536 / 1000


def wrap_lines(text: str, width: float, size: float = SIZE, weight: str = "normal") -> list[str]:
    """Lines of a text that fit a width in inches; words break where they are longer."""
    lines = [""]
    # A no-break space keeps words together.
    for word in filter(None, text.split(" ")):
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, size, weight) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        # A name breaks behind its underscores, and what is still too long anywhere.
        for part in re.findall(r"[^_]*_+|[^_]+", word):
            letters = [part] if text_width(part, size, weight) <= width else list(part)
            for piece in letters:
                if lines[-1] and text_width(lines[-1] + piece, size, weight) > width:
                    lines.append("")
                lines[-1] += piece
    return lines


def title_of(settings: Mapping[str, Any]) -> str:
    """Whose networks a figure shows."""
    model, dataset = (label_of(settings, key, settings[key]) for key in ("model", "dataset"))
    return f"{model} on {dataset}"


def metric_of(settings: Mapping[str, Any]) -> str:
    """The label of the settings' metric."""
    return label_of(settings, "metric", settings["metric"])


# More curves than this in one panel cannot be told apart.
CURVES = 6


@dataclass(frozen=True)
class Group:
    """Explainers that share a panel: all of a family, or a part of it."""

    title: str
    explainers: tuple[str, ...]


@dataclass(frozen=True)
class Grouping:
    """Which explainer is drawn where.

    Attributes
    ----------
    groups : of up to `CURVES` explainers, families in the order of the settings.
    everywhere : controls that look at no network. They are the yardstick of every panel.
    look : of each explainer, the same in all figures of a study.
    """

    groups: tuple[Group, ...]
    everywhere: tuple[str, ...]
    look: Mapping[str, Look]

    @property
    def explainers(self) -> list[str]:
        """All but those of `everywhere`, group by group."""
        return [name for group in self.groups for name in group.explainers]


def grouping(names: Iterable[str], settings: Mapping[str, Any]) -> Grouping:
    """Group the explainers of a table by family.

    Parameters
    ----------
    names : the explainers of the table; others get a look, but no place.
    settings : optional `families` (family to explainers), `controls` (names), `explainers` (their
        order). A family that holds nothing but controls is one of explainers without a network;
        without `families` every control counts as such.
    """
    found = set(names)
    controls = set(settings.get("controls", ()))
    families = {k: list(v) for k, v in settings.get("families", {}).items()}
    known = {name for members in families.values() for name in members}
    rest = order_names(found - known, settings.get("explainers", ()), controls)
    whole = [name for members in families.values() if set(members) <= controls for name in members]
    whole += [name for name in rest if name in controls and not families]
    left = [name for name in rest if name not in whole]
    if left:
        families["others" if families else ""] = left
    members = {k: [n for n in v if n not in whole] for k, v in families.items()}
    members = {
        k: order_names(v, settings.get("explainers", v), controls) for k, v in members.items()
    }
    groups = [
        group
        for family, explainers in members.items()
        for group in _parts(family, [name for name in explainers if name in found])
    ]
    every = [name for explainers in members.values() for name in explainers]
    everywhere = order_names(whole, settings.get("explainers", whole), ())
    return Grouping(
        tuple(groups),
        tuple(name for name in everywhere if name in found),
        looks([*every, *everywhere], controls),
    )


def _parts(family: str, explainers: Sequence[str]) -> list[Group]:
    """A family's explainers in as many panels of about equal size as they need."""
    count = -(-len(explainers) // CURVES)
    found = []
    for index in range(count):
        start, stop = (len(explainers) * i // count for i in (index, index + 1))
        title = family if count == 1 else f"{family} ({index + 1} of {count})".strip()
        found.append(Group(title, tuple(explainers[start:stop])))
    return found


def of_network(
    frame: pd.DataFrame, source: Path, settings: Mapping[str, Any], **wanted: str
) -> pd.DataFrame:
    """Rows of the settings' `dataset` and `model` with these values.

    Of the explainers those of the settings' `explainers`, where they are listed; what belongs to
    no explainer stays.

    Raises
    ------
    InputError
        When no row is left.
    """
    for name, value in {
        "dataset": settings["dataset"],
        "model": settings["model"],
        **wanted,
    }.items():
        frame = frame[frame[name] == value]
        if frame.empty:
            raise InputError(f"{source} has no rows left with {name} '{value}' to draw")
    if "explainer" in frame and "explainers" in settings:
        listed = frame["explainer"].isin([*settings["explainers"], ""])
        frame = frame[listed | frame["explainer"].isna()]
    return frame


def places(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pruner and condition of each curve: the `pruners` of the settings, never those of `retrain`.

    A pruner that only retrains has no curve; it is the floor of the others. Without `pruners` all
    of the table are taken.
    """
    found = set(zip(frame["pruner"], frame["condition"], strict=True))
    conditions = sorted(frame["condition"].unique())
    pruners = pruners_of(frame, settings)
    return [place for place in product(pruners, conditions) if place in found]


def pruners_of(frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """The `pruners` of the settings (without them, those of the table) that have a curve here."""
    there = set(frame["pruner"])
    floors = set(settings.get("retrain", ()))
    listed = list(settings.get("pruners", ())) or sorted(there)
    return [name for name in listed if name in there and name not in floors]
