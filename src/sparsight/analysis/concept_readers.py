"""Reading the summary tables of concepts back, with the types that they were written with."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsight.analysis.concept_tables import LONG, SHORT
from sparsight.io.errors import InputError

_NAMES = ("dataset", "model", "pruner", "concept", "method", "class", "seed")


def read_concepts(path: Path) -> pd.DataFrame:
    """Read `concepts.csv`: `seed` is a string (a number or "mean"), numbers are float64.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    texts = (*_NAMES, "kind", "measure", "concept_label", "direction", "unit", "reference")
    ends = ("", "_low", "_high", "_seeds", "_p", "_p_adjusted")
    comparisons = ("difference", "minus_retrain_floor", "minus_seed_floor")
    numbers = (
        *("density", "n_seeds", "averaged_over", "value", "low", "high"),
        *(f"{name}{end}" for name in comparisons for end in ends),
    )
    return _read(path, texts, numbers)


def read_concept_tables(path: Path) -> pd.DataFrame:
    """Read `concept_tables.csv`: `seed` is a string, names are "" where there are fewer.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    places = range(1, LONG + 1)
    texts = (*_NAMES, *(f"top_{place}" for place in places))
    numbers = (
        "density",
        *(f"weight_{place}" for place in places),
        *(f"shared_top_{length}" for length in (SHORT, LONG)),
    )
    return _read(path, texts, numbers)


def _read(path: Path, texts: Iterable[str], numbers: Iterable[str]) -> pd.DataFrame:
    path, strings, floats = Path(path), list(texts), list(numbers)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    # Only an empty number is undefined: a concept may be called "none" or "null".
    frame = pd.read_csv(
        path,
        dtype={
            **dict.fromkeys(strings, "str"),
            **dict.fromkeys(floats, "float64"),
            "level": "int64",
        },
        keep_default_na=False,
        na_values={name: [""] for name in floats},
    )
    lacking = sorted({*strings, *floats, "level"} - set(frame.columns))
    if lacking:
        raise InputError(f"{path} has no column '{lacking[0]}'; delete it and run snakemake again")
    return frame
