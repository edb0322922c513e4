"""How all figures look and how they are written: the same bytes from the same tables.

Colours also differ in lightness, and every curve has its own marker and dash, so that figures can
be read in grey and by the colour-blind.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsight.io.errors import InputError
from sparsight.io.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DPI = 200
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.edgecolor": "0.6",
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "savefig.dpi": DPI,
    # matplotlib names svg elements at random unless told what to derive the names from.
    "svg.hashsalt": "sparsight",
}

# A mean shows about this many markers, however many levels there are.
MARKERS = 9
# One network. Small dots keep a lone defined level between undefined ones visible.
THIN: dict[str, Any] = {
    "alpha": 0.5,
    "linewidth": 0.7,
    "marker": ".",
    "markersize": 2.5,
    "markeredgewidth": 0,
}
# One dense network that was retrained.
FLOOR: dict[str, Any] = {
    "linestyle": "",
    "marker": "D",
    "markersize": 3.0,
    "fillstyle": "none",
    "markeredgewidth": 0.8,
}

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


def ordered(names: Iterable[str], first: Iterable[str], controls: Iterable[str]) -> list[str]:
    """Names as listed in `first`, then the others by name; controls after all others."""
    given = list(first)
    last = set(controls)
    rank = {name: index for index, name in enumerate(given)}
    return sorted(set(names), key=lambda name: (name in last, rank.get(name, len(given)), name))


@contextmanager
def figure_style() -> Iterator[None]:
    """Seaborn's white grid with our sizes; matplotlib's own settings come back afterwards."""
    import matplotlib.style

    with matplotlib.style.context(["seaborn-v0_8-whitegrid", _RC]):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches, bound to no screen and to no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", outputs: Iterable[Path]) -> None:
    """Write a figure to each path, atomically, in the format of its suffix (svg, png or pdf).

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
    _settle(figure)
    for output in map(Path, outputs):
        kind = output.suffix.removeprefix(".")
        if kind not in metadata:
            raise InputError(f"{output} is no figure; its name must end in .svg, .png or .pdf")
        with atomic_path(output) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata[kind], dpi=DPI)


def _settle(figure: "Figure") -> None:
    """Lay the figure out once and round the places of its panels.

    The layout's solver visits constraints in the order of memory addresses, so that its last digits
    differ between runs, and matplotlib derives names in an svg from all digits.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def name_figure(figure: "Figure", settings: Mapping[str, Any], about: str = "") -> None:
    """Write above a figure whose networks it shows, and what of them."""
    title = f"{settings['model']} on {settings['dataset']}{about}"
    figure.suptitle(title, fontsize=9, fontweight="bold", x=0.01, ha="left")


def markers(index: int, points: int) -> tuple[int, int]:
    """Which points of the curve number `index` show a marker: first, and every so many.

    Curves that lie upon each other show different markers, since these start staggered.
    """
    every = max(1, round(points / MARKERS))
    return (index % every, every)


def seed_handles(seeds: int) -> "list[Line2D]":
    """What a legend says of thick and thin lines."""
    from matplotlib.lines import Line2D

    if seeds < 2:
        return [Line2D([], [], linestyle="", label="one seed: no spread to show")]
    return [
        Line2D([], [], color="0.3", linewidth=1.7, label=f"mean of {seeds} seeds"),
        Line2D([], [], color="0.3", label="one seed", **THIN),
    ]


def legend_below(figure: "Figure", handles: Sequence[Any], column: float = 2.3) -> None:
    """A legend under all panels, in as many columns of `column` inches as there is room for."""
    room = max(1, int(figure.get_figwidth() / column))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(room, len(handles)),
                  handlelength=3.0)  # fmt: skip


def level_axis(axes: "Axes") -> None:
    """Pruning levels along x: whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("pruning level")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))


def density_axis(axes: "Axes", densities: Sequence[float]) -> None:
    """Weights left along x: logarithmic, from dense on the left to sparse on the right.

    Parameters
    ----------
    densities : all that are drawn, in [0, 1]. An empty network (0) has no place on the axis; the
        panel over levels shows it.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", nonpositive="mask")
    axes.set_xlabel("weights left (log scale)")
    positive = [density for density in densities if density > 0]
    lowest, highest = (min(positive), max(positive)) if positive else (0.1, 1.0)
    if lowest == highest:
        lowest, highest = lowest / 1.5, highest * 1.5
    reach = (highest / lowest) ** 0.04
    axes.set_xlim(highest * reach, lowest / reach)
    steps: tuple[int, ...] = (1, 2, 5) if highest / lowest <= 150 else (1, 3)
    if highest / lowest > 3000:
        steps = (1,)
    ticks = [step * 10.0**power for power in range(-9, 1) for step in steps]
    inside = [tick for tick in ticks if lowest / reach <= tick <= highest * reach]
    if len(inside) < 2:
        inside = [lowest, highest]
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
