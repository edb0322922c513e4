"""What conversion saves at every level of every chain, from `conversion.json`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.io.errors import InputError
from sparsight.io.json_files import read_json
from sparsight.io.remedies import remedy

CHAIN = ["study", "dataset", "model", "pruner", "seed"]
#: column of the table of levels to what conversion.json calls it
COUNTS = {
    "channels": "channels",
    "channels_left": "channels_left",
    "multiply_adds": "multiply_adds",
    "multiply_adds_left": "multiply_adds_converted",
    "multiply_adds_nonzero": "multiply_adds_nonzero",
}
TIMES = ["milliseconds", "milliseconds_converted"]
CONVERSION_COLUMNS = [*COUNTS, *TIMES]


def read_conversions(paths: Iterable[Path]) -> pd.DataFrame:
    """Gather `conversion.json` files into one frame.

    Parameters
    ----------
    paths : one file per chain, in any order; there may be none.

    Returns
    -------
    DataFrame with the columns study, dataset, model, pruner, seed, level and `CONVERSION_COLUMNS`:
    units and multiply-adds per image (Int64) and milliseconds per batch (float64); undefined where
    a network could not be converted. Level 0 is the dense network as the chain measured it.

    Raises
    ------
    InputError
        When a file is missing or no conversion, or two files describe one chain.
    """
    rows: list[dict[str, Any]] = []
    owner: dict[tuple[Any, ...], Path] = {}
    for path in map(Path, paths):
        found = _read_one(path)
        key = tuple(found[0][name] for name in CHAIN)
        if key in owner:
            raise InputError(f"{path} and {owner[key]} convert the same chain; give each once")
        owner[key] = path
        rows += found
    whole = dict.fromkeys(("seed", "level"), "int64")
    types = {**whole, **dict.fromkeys(COUNTS, "Int64"), **dict.fromkeys(TIMES, "float64")}
    return pd.DataFrame(rows, columns=[*CHAIN, "level", *CONVERSION_COLUMNS]).astype(types)


def _read_one(path: Path) -> list[dict[str, Any]]:
    content = read_json(path)
    try:
        chain = {name: content[name] for name in CHAIN}
        found = [
            {
                **chain,
                "level": int(entry["level"]),
                **{column: entry[name] for column, name in COUNTS.items()},
                **{column: entry[column] for column in TIMES},
            }
            for entry in content["levels"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a complete conversion ({type(error).__name__}: {error}); {remedy(path)}"
        ) from error
    if not found:
        raise InputError(f"{path} holds no level; {remedy(path)}")
    return found
