"""Reading the tables of statistics back, with the types that they were written with."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsight.analysis.csv_files import read_csv

KEYS = ("dataset", "model", "pruner", "explainer", "condition", "metric")


def read_statistics(
    path: Path, names: Iterable[str] = (), numbers: Iterable[str] = ()
) -> pd.DataFrame:
    """Read a table of the summary: names as strings, `control` as bool, numbers as float64.

    Parameters
    ----------
    path : a .csv file with the columns dataset, model, pruner, explainer, condition, metric.
    names : further columns of strings that it must have.
    numbers : columns of numbers that it must have; empty cells become NaN.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    frame = read_csv(path, (*KEYS, *names), numbers)
    # Read as bool by itself where it is not among the names.
    if "control" in frame and frame["control"].dtype != bool:
        frame["control"] = frame["control"] == "true"
    return frame


def _floats(*names: str, ends: tuple[str, ...] = ("", "_low", "_high")) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in names for end in ends)


_CONTRASTS = (
    "density",
    "n_seeds",
    *_floats("mean", "difference", ends=("", "_low", "_high", "_images_low", "_images_high")),
    "p",
    "p_adjusted",
)


def read_contrasts(path: Path) -> pd.DataFrame:
    """Read `contrasts.csv` or `strata.csv`: a level a row, held against the dense networks.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    frame = read_statistics(path, ("subset",), ("level", *_CONTRASTS))
    return frame.astype({"level": "int64"})


def read_correctness(path: Path) -> pd.DataFrame:
    """Read `correctness.csv`: correct minus incorrect predictions.

    `level` is NaN for all levels, `seed` a string (a number or "mean").

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    ends = ("", "_low", "_high", "_images_low", "_images_high")
    numbers = ("density", *_floats("difference", ends=ends), "p_adjusted")
    frame = read_statistics(path, ("level", "seed"), numbers)
    return frame.assign(level=pd.to_numeric(frame["level"], errors="coerce"))


def read_agreement(path: Path) -> pd.DataFrame:
    """Read `agreement.csv`: `seed` is a string (a number or "mean").

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    frame = read_statistics(
        path, ("subset", "seed", "reference"), ("level", "density", "mean", "low", "high")
    )
    return frame.astype({"level": "int64"})


def read_step_curves(path: Path) -> pd.DataFrame:
    """Read `curves.csv`: `seed` is a string (a number or "mean"), `level` and `step` are int64.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    numbers = ("level", "density", "step", "axis_value", "n_seeds", "mean", "low", "high")
    frame = read_statistics(path, ("seed",), numbers)
    return frame.astype(dict.fromkeys(("level", "step"), "int64"))


def read_correlation_table(path: Path) -> pd.DataFrame:
    """Read `correlations.csv`: `seed` is a string (a number or "mean"), `control` a bool.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    numbers = ("n_seeds", "n_levels", *_floats("pearson"), "pearson_seeds", "published_form")
    return read_statistics(path, ("subset", "levels", "seed", "control"), (*numbers, "p_adjusted"))


def read_conversion(path: Path) -> pd.DataFrame:
    """Read `levels.csv` with its columns of the conversion; `seed` and `level` are int64.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    columns = ("seed", "level", "density", "channels", "channels_left", "multiply_adds",
               "multiply_adds_left", "multiply_adds_nonzero", "milliseconds",
               "milliseconds_converted")  # fmt: skip
    return read_statistics(path, ("subset",), columns).astype({"seed": "int64", "level": "int64"})


def read_sample_pruning(path: Path) -> pd.DataFrame:
    """Read `sample_pruning.csv`: `level` is int64.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    numbers = ("level", "n_seeds", "mean", "against_mean", "images_low", "images_high",
               *_floats("difference"), "p_adjusted")  # fmt: skip
    frame = read_statistics(path, ("sample_pruner", "against"), numbers)
    return frame.astype({"level": "int64"})
