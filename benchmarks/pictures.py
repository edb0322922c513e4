"""Draw the picture that opens README.md: a handwritten digit and its maps at 26 levels of pruning.

`make pictures` runs studies/pictures.yaml and writes docs/assets/digit.png. The digit is the first
of the evaluation subset, as in every sheet of heatmaps: nobody chose it.
"""

import subprocess
import sys
from pathlib import Path

from PIL import Image

from sparsight.plots.heatmaps import draw_heatmaps

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "assets" / "digit.png"
STUDY = "studies/pictures.yaml"
NETWORK = Path("results", "pictures", "digits", "thesis_cnn_digits", "seed333")
EXPLAINERS = ("grad_cam_pp_conv2", "saliency", "input_x_gradient", "deep_lift")
#: levels 0 to 25
LEVELS = 26
COLOURS, WIDTH = 255, 1800


def main() -> None:
    folders = [NETWORK / "dense" / "level00"]
    folders += [NETWORK / "thesis_lth_exact" / f"level{level:02d}" for level in range(1, LEVELS)]
    explanations = [folder / "explanations" / "gradient.safetensors" for folder in folders]
    command = ["snakemake", "--cores", *(sys.argv[1:2] or ["1"]), "--configfile", STUDY, "--"]
    warm = [sys.executable, "workflow/warm/run.py"]
    subprocess.run([*warm, *command, *map(str, explanations)], cwd=ROOT, check=True)
    draw_heatmaps(
        ROOT / "data" / "packed" / "digits" / "test.safetensors",
        [ROOT / folder / "evaluation.json" for folder in folders],
        [ROOT / path for path in explanations],
        [],
        [PICTURE],
        {"condition": "clean", "images": 1, "explainers": EXPLAINERS},
    )
    with Image.open(PICTURE) as whole:
        picture = whole.convert("RGB")
    size = (WIDTH, round(WIDTH * picture.height / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
