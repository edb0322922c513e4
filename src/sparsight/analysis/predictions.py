"""What the networks of a chain predict, aligned on the test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

COLUMNS = ("image_id", "condition", "label", "predicted", "margin")


@dataclass(frozen=True)
class Predictions:
    """One checkpoint's predictions under one condition; arrays have N values, one per image.

    Attributes
    ----------
    image_id : int64, ascending.
    label : int64, the class that the image has.
    correct : bool, whether the network predicts it.
    margin : float64, the top logit minus the second; NaN where a logit is.
    """

    image_id: NDArray[np.int64]
    label: NDArray[np.int64]
    correct: NDArray[np.bool_]
    margin: NDArray[np.float64]


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read a checkpoint's `predictions.parquet`: condition to predictions.

    Raises
    ------
    InputError
        When the file is missing, corrupt, or does not hold every image once per condition.
    """
    table = read_table(path, COLUMNS)
    conditions = np.asarray(table["condition"].to_pylist(), dtype=str)
    columns = {name: table[name].to_numpy() for name in COLUMNS if name != "condition"}
    found: dict[str, Predictions] = {}
    for condition in np.unique(conditions).tolist():
        chosen = np.flatnonzero(conditions == condition)
        chosen = chosen[np.argsort(columns["image_id"][chosen], kind="stable")]
        one = {name: values[chosen] for name, values in columns.items()}
        found[condition] = Predictions(
            image_id=one["image_id"].astype(np.int64),
            label=one["label"].astype(np.int64),
            correct=one["predicted"] == one["label"],
            margin=one["margin"].astype(np.float64),
        )
        if np.any(np.diff(found[condition].image_id) == 0):
            raise InputError(f"{path} predicts an image twice; delete it and run snakemake again")
    if not found:
        raise InputError(f"{path} holds no predictions; delete it and run snakemake again")
    _require_equal_images([path] * len(found), list(found.values()))
    return found


def read_chain(paths: Sequence[Path]) -> list[dict[str, Predictions]]:
    """Read the predictions of several checkpoints on the same test images.

    Raises
    ------
    InputError
        As `read_predictions`, and when they do not predict the same images and conditions.
    """
    chain = [read_predictions(path) for path in paths]
    for path, found in zip(paths, chain, strict=True):
        if found.keys() != chain[0].keys():
            raise InputError(
                f"{path} and {paths[0]} predict under different conditions; "
                "delete both and run snakemake again"
            )
    _require_equal_images(paths, [next(iter(found.values())) for found in chain])
    return chain


def _require_equal_images(paths: Sequence[Path], found: Sequence[Predictions]) -> None:
    for path, one in zip(paths, found, strict=True):
        first = found[0]
        if not (
            np.array_equal(one.image_id, first.image_id) and np.array_equal(one.label, first.label)
        ):
            raise InputError(
                f"{path} does not predict the same images as {paths[0]} (under each condition); "
                "delete both and run snakemake again"
            )
