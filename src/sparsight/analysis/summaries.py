"""Reading the summary tables back, with the types that they were written with."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sparsight.analysis.csv_files import parsed_csv
from sparsight.io.errors import InputError
from sparsight.io.files import remedy

_NAMES = ("dataset", "model", "pruner", "explainer", "condition", "metric", "subset")


def read_levels(path: Path) -> pd.DataFrame:
    """Read `levels.csv`: names as strings, seed, level and counts as int64, the rest float64.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    whole = dict.fromkeys(("seed", "level", "n", "undefined"), "int64")
    parts = dict.fromkeys(("density", "accuracy", "mean", "sd", "median"), "float64")
    names = dict.fromkeys((*_NAMES, "checkpoint_pruner"), "str")
    return _read(path, {**names, **whole, **parts})


def read_correlations(path: Path) -> pd.DataFrame:
    """Read `correlations.csv`: `seed` is a string (a number or "mean"), `control` a bool.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    names = dict.fromkeys((*_NAMES, "levels", "seed", "control"), "str")
    values = ("pearson", "pearson_low", "pearson_high", "pearson_seeds", "published_form")
    whole = dict.fromkeys(("n_seeds", "n_levels"), "int64")
    frame = _read(path, {**names, **whole, **dict.fromkeys(values, "float64")})
    return frame.assign(control=frame["control"] == "true")


def _read(path: Path, types: Mapping[str, str]) -> pd.DataFrame:
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    # Only an empty cell is undefined: an explainer may be called "none" or "null".
    frame = parsed_csv(path, types, [""])
    lacking = sorted(set(types) - set(frame.columns))
    if lacking:
        raise InputError(f"{path} has no column '{lacking[0]}'; {remedy(path)}")
    return frame
