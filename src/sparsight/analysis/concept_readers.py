"""Reading the summary tables of concepts back, with the types that they were written with."""

from pathlib import Path

import pandas as pd

from sparsight.analysis.concepts import LONG, SHORT
from sparsight.analysis.csv_files import read_csv

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
    return read_csv(path, texts, numbers, ("level",))


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
    return read_csv(path, texts, numbers, ("level",))
