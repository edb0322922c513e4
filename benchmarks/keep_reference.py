"""Keep a run as a reference: its tables and the figures that are asked for, small enough for git.

    make keep STUDY=norm_layer_ablation FIGURES="claims accuracy" WITHOUT="curves strata"

writes `results/reference/{study}/` from `results/{study}/`: all tables but the scores of every
image and those of WITHOUT, `claims/*.parquet`, pages, `provenance.json`, and of each kind of figure
its PNGs in fewer colours. Large tables are parquet, with numbers in single precision. The README is
written by hand, and stays.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sparsight.analysis import tables
from sparsight.analysis.tables import TABLES
from sparsight.io.files import read_json

ROOT = Path(__file__).parents[1]
REFERENCES = ROOT / "results" / "reference"
#: bytes of a table from which on it is kept in single precision
LARGE = 100_000
COLOURS = 64
PAGES = ("claims.html", "concept_tables.html", "methods.md", "references.bib", "provenance.json")


def main(study: str, kinds: list[str], without: list[str]) -> None:
    """Keep the tables but these, and the figures of these kinds."""
    run, kept = ROOT / "results" / study, REFERENCES / study
    summary = run / "summary"
    if not summary.is_dir():
        sys.exit(f"{summary} is not there; run studies/{study}.yaml first")
    if read_json(summary / "provenance.json")["checkpoints"]["dirty"] != [False]:
        sys.exit(f"results/{study} was not made by committed code alone; run it from a clean clone")
    pictures = {}
    for kind in kinds:
        found = [*(run / "figures").glob(f"{kind}*.png")]
        pictures |= {path: path.name for path in found}
        of_kind = [*(run / "figures").glob(f"{kind}/*.png")]
        pictures |= {path: f"{kind}_{path.name}" for path in of_kind}
        if not (found or of_kind):
            sys.exit(f"results/{study}/figures has no {kind}")
    for old in kept.glob("*"):
        if old.is_dir():
            shutil.rmtree(old)
        elif old.suffix in (".csv", ".parquet") or old.name in PAGES:
            old.unlink()
    (kept / "figures").mkdir(parents=True)
    for name in TABLES:
        for source in summary.glob(f"{name}.*"):
            if source.suffix in (".csv", ".parquet") and name not in ("scores", *without):
                keep_table(name, source, kept)
    for name in PAGES:
        if (summary / name).is_file():
            shutil.copy(summary / name, kept)
    for matrix in summary.glob("claims/*.parquet"):
        (kept / "claims").mkdir(exist_ok=True)
        frame = in_single_precision(pd.read_parquet(matrix))
        frame.to_parquet(kept / "claims" / matrix.name, index=False)
    for picture, name in pictures.items():
        keep_picture(picture, kept / "figures" / name)


def keep_table(name: str, source: Path, folder: Path) -> None:
    """Copy a table; a large one in single precision."""
    frame = tables.read(name, source)
    if source.stat().st_size < LARGE or name == "claims":
        shutil.copy(source, folder)
    else:
        in_single_precision(frame).to_parquet(folder / f"{name}.parquet", index=False)


def in_single_precision(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its numbers as float32."""
    return frame.astype(dict.fromkeys(frame.select_dtypes("float64"), np.float32))


def keep_picture(source: Path, target: Path, colours: int = COLOURS) -> None:
    """Copy a picture in fewer colours."""
    with Image.open(source) as picture:
        small = picture.convert("RGB").quantize(colours)
    small.save(target, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("figures", nargs="*")
    parser.add_argument("--without", nargs="*", default=[])
    given = parser.parse_args()
    main(given.study, given.figures, given.without)
