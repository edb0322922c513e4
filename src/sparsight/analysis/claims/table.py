"""`claims.csv`: its columns, and reading it back."""

from pathlib import Path

import pandas as pd

from sparsight.analysis.csv_files import read_csv
from sparsight.io.errors import InputError

SUPPORTED, CONTRADICTED, UNDECIDED = VERDICTS = ("supported", "contradicted", "undecided")
TEXTS = (
    *("name", "claim", "test", "dataset", "model", "pruner"),
    *("explainer", "metric", "condition", "subset", "statistic"),
)
NUMBERS = (
    *("published", "holds_from", "holds_to", "estimate", "low", "high"),
    *("images_low", "images_high", "n_seeds"),
)
PS = ("p_for", "p_against", "p", "p_adjusted")
CLAIM_COLUMNS = [*TEXTS, *NUMBERS, "per_seed", *PS, "verdict", "remark"]


def joined(values: list[float]) -> str:
    """One value per seed in a cell: four digits, semicolons between; undefined ones are empty."""
    return ";".join("" if value != value else f"{value:.4g}" for value in values)


def split(cell: str) -> list[float]:
    """The values of a cell that `joined` wrote, without the undefined ones."""
    return [float(part) for part in cell.split(";") if part]


def read_claims(path: Path) -> pd.DataFrame:
    """Read `claims.csv`: numbers as float64 (NaN where a cell is empty), all else as strings.

    Raises
    ------
    InputError
        When the file is missing, lacks a column, or holds a verdict that there is not.
    """
    numbers = [*NUMBERS, *PS]
    texts = [column for column in CLAIM_COLUMNS if column not in numbers]
    frame = read_csv(path, texts, numbers)
    unknown = sorted(set(frame["verdict"]) - set(VERDICTS))
    if unknown:
        raise InputError(
            f"{path} has the verdict '{unknown[0]}'; delete it and run snakemake again"
        )
    return frame
