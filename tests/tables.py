"""Tables of the summary from the few columns that a test is about."""

from pathlib import Path

import numpy as np
import pandas as pd

from sparsight.analysis.curves import StatisticsWriter
from sparsight.analysis.tables import TABLES, write

_NEUTRAL = {"str": "", "bool": False, "int64": 0, "int32": 0}


def completed(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with all columns of a table; what lacks is empty, false, 0 or undefined."""
    found = frame.reset_index(drop=True)
    whole = pd.DataFrame(index=found.index)
    for column, dtype in TABLES[name].dtypes.items():
        empty = _NEUTRAL.get(dtype, float("nan"))
        values = found[column] if column in found else pd.Series(empty, index=found.index)
        if dtype == "bool":
            values = values.isin([True, "true"])
        if dtype == "str":
            values = values.astype("object")
        whole[column] = values.fillna(empty).astype("object" if dtype == "str" else dtype)
    return whole


def write_rows(name: str, path: Path, frame: pd.DataFrame) -> None:
    """Write the completed rows; see `completed`."""
    write(name, path, completed(name, frame))


def write_statistics(
    path: Path, frame: pd.DataFrame, replicates: np.ndarray, bootstrap_seed: int
) -> None:
    """Write a whole `statistics.parquet`: columns of `STATISTICS_SCHEMA`, float32 [rows, B]."""
    whole = frame.reset_index(drop=True)
    with StatisticsWriter(path, replicates.shape[1], bootstrap_seed) as writer:
        for _, rows in whole.groupby("explainer", sort=True):
            writer.append_explainer(rows, replicates[rows.index.to_numpy()])


def write_bits(folder: Path, *rows: tuple[str, str, str, int, int, int]) -> Path:
    """Write an `evaluations.parquet` of dataset, model, pruner, seed, level and bits alone."""
    names = ["dataset", "model", "pruner", "seed", "level", "value"]
    path = folder / "evaluations.parquet"
    write_rows("evaluations", path, pd.DataFrame([*rows], columns=names).assign(metric="bits"))
    return path
