"""The most important concepts of every class and level, in the form of the published tables."""

from typing import Any

import pandas as pd

from sparsight.analysis.curves import DENSE

#: lengths of the tables of arXiv 2307.13698, and the longer one
SHORT, LONG = 3, 5
KEYS = ["dataset", "model", "concept", "method", "pruner", "seed", "class", "level"]
TABLE_COLUMNS = [
    *KEYS,
    "density",
    *(f"{what}_{place}" for place in range(1, LONG + 1) for what in ("top", "weight")),
    f"shared_top_{SHORT}",
    f"shared_top_{LONG}",
]


def top_concepts(rankings: pd.DataFrame) -> pd.DataFrame:
    """The table `concept_tables.csv`: one row per network, level, method and class.

    Columns
    -------
    class : empty where one order holds for all classes.
    top_1 to top_5, weight_1 to weight_5 : names and weights of the concepts, the first one first;
        empty where there are fewer.
    shared_top_3, shared_top_5 : how many of the first 3 (5) are among the first 3 (5) of the dense
        network of the same seed; empty where that has no order for the class.

    Parameters
    ----------
    rankings : see `sparsight.analysis.concept_files.read_rankings`.
    """
    ordered = rankings[rankings["rank"] <= LONG].sort_values([*KEYS, "rank"])
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    names: dict[tuple[Any, ...], list[str]] = {}
    for key, rows in ordered.groupby(KEYS, sort=True):
        labels = rows["concept_label"].tolist()
        names[key] = labels
        found[key] = {
            **dict(zip(KEYS, key, strict=True)),
            "density": rows["density"].iloc[0],
            **{f"top_{place}": label for place, label in enumerate(labels, start=1)},
            **{f"weight_{place}": w for place, w in enumerate(rows["weight"], start=1)},
        }
    for key, row in found.items():
        dense = names.get(_dense(key))
        if dense is not None:
            for length in (SHORT, LONG):
                shared = set(names[key][:length]) & set(dense[:length])
                row[f"shared_top_{length}"] = len(shared)
    table = pd.DataFrame(list(found.values()), columns=TABLE_COLUMNS)
    return table.astype({f"shared_top_{length}": "Int64" for length in (SHORT, LONG)})


def _dense(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key of the dense network of a row's seed and class."""
    whole = dict(zip(KEYS, key, strict=True))
    return tuple({**whole, "pruner": DENSE, "level": 0}[name] for name in KEYS)
