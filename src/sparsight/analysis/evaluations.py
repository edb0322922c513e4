"""Evaluations of all checkpoints as one tidy table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sparsight.io.errors import InputError
from sparsight.io.json_files import read_json
from sparsight.io.remedies import remedy

CHECKPOINT = ["study", "dataset", "model", "pruner", "seed", "level"]
EVALUATION_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in CHECKPOINT[:4]),
        ("seed", pa.int64()),
        ("level", pa.int64()),
        *((name, pa.string()) for name in ("split", "condition", "metric")),
        ("value", pa.float64()),
    ]
)
EVALUATION_COLUMNS: list[str] = EVALUATION_SCHEMA.names


def read_evaluations(paths: Iterable[Path]) -> pd.DataFrame:
    """Gather `evaluation.json` files into one tidy frame.

    Parameters
    ----------
    paths : one file per checkpoint, in any order.

    Returns
    -------
    DataFrame with the columns `EVALUATION_COLUMNS`, sorted by all but the value. `seed` and `level`
    are int64, `value` is float64. Rows about weights (`density_prunable`, `density_all`,
    `density:{layer}` as shares in [0, 1]; `surviving` and `prunable` as counts) belong to no split
    and no condition: both are None there. A quantity that is not defined (AUROC where there are
    more than two classes) has no row.

    Raises
    ------
    InputError
        When a file is missing, is not an evaluation, when two files describe one checkpoint, or
        when the files come from different studies.
    """
    rows: list[dict[str, Any]] = []
    owner: dict[tuple[Any, ...], Path] = {}
    for path in paths:
        identity, measured = _read_one(Path(path))
        key = tuple(identity.values())
        if key in owner:
            raise InputError(
                f"{path} and {owner[key]} evaluate the same checkpoint; give each checkpoint once"
            )
        owner[key] = Path(path)
        rows += [{**identity, **row} for row in measured]
    if not rows:
        raise InputError("no evaluation.json was given; evaluate at least one checkpoint first")
    frame = pd.DataFrame(rows, columns=EVALUATION_COLUMNS)
    if frame["study"].nunique() > 1:
        names = ", ".join(sorted(frame["study"].unique()))
        raise InputError(f"evaluations of several studies ({names}); summarise one study at a time")
    frame = frame.astype({"seed": "int64", "level": "int64", "value": "float64"})
    order = EVALUATION_COLUMNS[:-1]
    return frame.sort_values(order, kind="stable", na_position="first", ignore_index=True)


def _read_one(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    content = read_json(path)
    try:
        identity: dict[str, Any] = {name: str(content[name]) for name in CHECKPOINT[:4]}
        identity |= {name: int(content[name]) for name in CHECKPOINT[4:]}
        return identity, _performance(content["splits"]) + _weights(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a complete evaluation ({type(error).__name__}: {error}); {remedy(path)}"
        ) from error


def _performance(splits: dict[str, dict[str, dict[str, float | None]]]) -> list[dict[str, Any]]:
    return [
        {"split": split, "condition": condition, "metric": metric, "value": float(value)}
        for split, conditions in splits.items()
        for condition, measured in conditions.items()
        for metric, value in measured.items()
        if value is not None
    ]


def _weights(content: dict[str, Any]) -> list[dict[str, Any]]:
    density = content["density"]
    values = {
        "density_prunable": density["prunable"],
        "density_all": density["all_parameters"],
        # Written since masks may be left alone in training; equal to `prunable` before.
        "density_nonzero": density.get("nonzero", density["prunable"]),
        "surviving": content["surviving"],
        "prunable": content["prunable"],
        **{f"density:{layer}": share for layer, share in density["layers"].items()},
    }
    return [
        {"split": None, "condition": None, "metric": metric, "value": float(value)}
        for metric, value in values.items()
    ]
