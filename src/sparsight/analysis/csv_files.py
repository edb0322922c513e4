"""Reading tables of the summary back, with the types that they were written with."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import remedy


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
        When the file is missing, cannot be read as a table, or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; run snakemake again to make it")
    strings, floats, integers = list(texts), list(numbers), list(whole)
    types = {
        **dict.fromkeys(strings, "str"),
        **dict.fromkeys(floats, "float64"),
        **dict.fromkeys(integers, "int64"),
    }
    frame = parsed_csv(path, types, {name: [""] for name in floats})
    lacking = sorted({*strings, *floats, *integers} - set(frame.columns))
    if lacking:
        raise InputError(f"{path} has no column '{lacking[0]}'; {remedy(path)}")
    return frame


def parsed_csv(
    path: Path, types: Mapping[str, str], undefined: Mapping[str, list[str]] | list[str]
) -> pd.DataFrame:
    """A CSV file with columns of given types, or one sentence.

    Parameters
    ----------
    types : column to its type.
    undefined : what stands for an undefined value, of all columns or by column.

    Raises
    ------
    CorruptFile
        When the file is empty, cut off within a row, or holds other types.
    """
    try:
        return pd.read_csv(path, dtype=dict(types), keep_default_na=False, na_values=undefined)
    # pandas's errors of parsing and decoding are ValueErrors
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise CorruptFile(f"{path} is corrupt ({reason}); {remedy(path)}") from error
