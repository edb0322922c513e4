"""Many tests in one table: what to write beside their ps."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from sparsight.analysis.inference import benjamini_hochberg

#: all exploratory tests of one pruner on one data set and model are one family
FAMILY = ("dataset", "model", "pruner")


def adjusted_p(
    table: pd.DataFrame, controls: Collection[str], family: Sequence[str] = FAMILY
) -> pd.Series:
    """Adjusted `p` of each row, by Benjamini and Hochberg within each family.

    Parameters
    ----------
    table : with the columns `explainer`, `p` and those of `family`.
    controls : explainers that are controls. They are the yardstick, no finding: they are not
        counted and have no adjusted p.
    family : columns; rows that are equal in them are one family.

    Returns
    -------
    float64, parallel to the table; NaN for controls and for rows without p.
    """
    found = pd.Series(np.nan, index=table.index, dtype="float64")
    for _, rows in table[~table["explainer"].isin(list(controls))].groupby(list(family)):
        found[rows.index] = benjamini_hochberg(rows["p"].to_numpy(dtype=np.float64))
    return found


def control_flags(table: pd.DataFrame, controls: Collection[str]) -> pd.Series:
    """Whether each row's explainer is a control, as it stands in all tables: "true" or "false"."""
    return table["explainer"].isin(list(controls)).map({True: "true", False: "false"})
