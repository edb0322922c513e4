"""Draw the pictures of docs/pictures.md: a digit and its maps at 26 levels of pruning, and sheets.

`make pictures` runs what they need of the studies, and writes docs/assets. The digit, which opens
README.md, is the first of the evaluation subset, as in every sheet of heatmaps: nobody chose it.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keep_reference import keep_picture
from matplotlib import colormaps
from matplotlib.figure import Figure

from sparsight.plots.heatmaps import SEQUENTIAL, Sheet, diverging, load_sheet
from sparsight.plots.pages import percent
from sparsight.rounding import ROUNDING

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "docs" / "assets"
NETWORK = Path("results", "pictures", "digits", "thesis_cnn_digits", "seed333")
LABELS = {
    "grad_cam_pp_conv2": "Grad-CAM++",
    "saliency": "Saliency",
    "input_x_gradient": "Input × gradient",
    "deep_lift": "DeepLIFT",
}
#: levels 0 to 25
LEVELS = 26
#: in cells of the picture: left of the maps, and above them
LEFT, ABOVE = 3.2, 1.6
COLOURS = 255
#: sheets as studies draw them: the study, settings beyond its own, and the figure
SHEETS: dict[str, tuple[str, str, str]] = {
    "sheet_shapes": ("demo", "", "heatmaps/shapes__resnet18_shapes__demo_shapes"),
    "sheet_digits": ("demo", "", "heatmaps/digits__thesis_cnn_digits__demo_digits"),
    "sheet_concepts": (
        "concepts_shapes",
        "",
        "concept_sheets/shapes__resnet18_shapes__magnitude__craft_shapes",
    ),
    "sheet_visualisation": (
        "spade_shapes",
        "sample_pruning={visualised: {classes: 2, steps: 256}}",
        "visualisation/shapes_4000_stickers__resnet18_shapes",
    ),
    "toy": ("spade_shapes", "sample_pruning={toy: true}", "sample_pruning_toy"),
}


def main() -> None:
    """Run the studies and write the pictures."""
    digit()
    for name, (study, settings, figure) in SHEETS.items():
        picture = f"results/{study}/figures/{figure}.png"
        run(study, [picture], ["--config", settings] if settings else [])
        keep_picture(ROOT / picture, ASSETS / f"{name}.png", COLOURS)


def run(study: str, files: Sequence[str], settings: Sequence[str] = ()) -> None:
    """Make these files of a study."""
    snakemake = ["snakemake", "--cores", *(sys.argv[1:2] or ["1"]), *settings]
    warm = [sys.executable, "workflow/warm/run.py", *snakemake]
    command = [*warm, "--configfile", f"studies/{study}.yaml", "--", *files]
    subprocess.run(command, cwd=ROOT, check=True)


def digit() -> None:
    """The digit over all levels."""
    folders = [NETWORK / "dense" / "level00"]
    folders += [NETWORK / "thesis_lth_exact" / f"level{level:02d}" for level in range(1, LEVELS)]
    explanations = [folder / "explanations" / "gradient.safetensors" for folder in folders]
    run("pictures", [str(path) for path in explanations])
    sheet = load_sheet(
        ROOT / "data" / "packed" / "digits" / "test.safetensors",
        [ROOT / folder / "evaluation.json" for folder in folders],
        [ROOT / path for path in explanations],
        [],
        {"condition": "clean", "images": 1, "explainers": list(LABELS)},
    )
    picture = ASSETS / "digit.png"
    strip(sheet).savefig(picture, dpi=120)
    keep_picture(picture, picture, COLOURS)


def strip(sheet: Sheet) -> Figure:
    """The first image, and below each level's density and prediction its maps."""
    width, height = LEFT + LEVELS, ABOVE + len(LABELS)
    figure = Figure(figsize=(15, 15 * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(sheet.images[0].transpose(1, 2, 0), cmap="gray", extent=(0.1, 1.4, 1.4, 0.1))
    for y, text in ((0.35, "weights left"), (1.15, "prediction")):
        axes.text(LEFT - 0.1, y, text, ha="right", va="center", color="0.35", fontsize=9)
    for row, label in enumerate(LABELS.values()):
        axes.text(LEFT - 0.1, ABOVE + row + 0.5, label, ha="right", va="center", fontsize=10)
    for column, checkpoint in enumerate(sheet.checkpoints):
        left, predicted = LEFT + column, int(checkpoint.predicted[0])
        middle = {"x": left + 0.5, "ha": "center", "va": "center"}
        right = predicted == sheet.labels[0]
        said = {"color": "black"} if right else {"color": "#a3195b", "fontweight": "bold"}
        axes.text(y=0.35, s=percent(checkpoint.density), fontsize=8, **middle)
        axes.text(y=1.15, s=f"{predicted} {'✓' if right else '✗'}", fontsize=10, **middle, **said)
        for row, name in enumerate(LABELS):
            top = ABOVE + row
            values = checkpoint.maps[name][0]
            low, high = float(values.min()), float(values.max())
            box = (left + 0.04, left + 0.96, top + 0.96, top + 0.04)
            if high - low <= ROUNDING * max(abs(low), abs(high)):
                axes.imshow(np.full((1, 1, 3), 0.85), extent=box)
                axes.text(y=top + 0.5, s="empty", fontsize=8, **middle)
                continue
            signed = name in sheet.signed
            reach = max(abs(low), abs(high))
            colours = diverging() if signed else colormaps[SEQUENTIAL]
            axes.imshow(values, cmap=colours, interpolation="nearest", extent=box,
                        vmin=-reach if signed else low, vmax=reach if signed else high)  # fmt: skip
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.axis("off")
    return figure


if __name__ == "__main__":
    main()
