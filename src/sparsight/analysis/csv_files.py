"""Reading tables of the summary back, with the types that they were written with."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsight.io.errors import InputError


def read_csv(
    path: Path, texts: Iterable[str], numbers: Iterable[str] = (), whole: Iterable[str] = ()
) -> pd.DataFrame:
    """Read a table that `sparsight.io.tables.write_csv` wrote.

    Parameters
    ----------
    path : a .csv file.
    texts : columns of strings that it must have. Only an empty *number* is undefined: an explainer
        or concept may be called "none" or have no name.
    numbers : columns that it must have as float64; empty cells become NaN.
    whole : columns that it must have as int64, without empty cells.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    strings, floats, integers = list(texts), list(numbers), list(whole)
    frame = pd.read_csv(
        path,
        dtype={
            **dict.fromkeys(strings, "str"),
            **dict.fromkeys(floats, "float64"),
            **dict.fromkeys(integers, "int64"),
        },
        keep_default_na=False,
        na_values={name: [""] for name in floats},
    )
    lacking = sorted({*strings, *floats, *integers} - set(frame.columns))
    if lacking:
        raise InputError(f"{path} has no column '{lacking[0]}'; delete it and run snakemake again")
    return frame
