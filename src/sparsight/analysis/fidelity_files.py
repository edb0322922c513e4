"""Fidelity of copies that were pruned for an image to their network: files, and their reading."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

#: columns of `spade/{family}.parquet`: one row per image and condition
FIDELITY_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "model", "pruner")),
        ("seed", pa.int64()),
        ("level", pa.int32()),
        *((name, pa.string()) for name in ("sample_pruner", "family", "condition")),
        ("image_id", pa.int64()),
        # whether copy and network predict the same class of the image
        ("same_prediction", pa.bool_()),
        # Kullback-Leibler divergence of the copy's softmax output from the network's, in nats
        ("divergence", pa.float64()),
        # probability of the explained class in the copy, as a share of that in the network
        ("probability_kept", pa.float64()),
        # share of zeros among the weights of the layers that are pruned
        ("sparsity", pa.float64()),
    ]
)
FIDELITY_MEASURES = ["same_prediction", "divergence", "probability_kept", "sparsity"]
_ONE_COPY = ["dataset", "model", "pruner", "seed", "level", "sample_pruner", "condition"]


def read_fidelity(paths: Iterable[Path]) -> pd.DataFrame:
    """Fidelity of every copy, one row each, measures as float64.

    All families run on equal copies, so that an image has as many rows as there are families: the
    first is kept.

    Raises
    ------
    InputError
        When a file is missing, corrupt or none of fidelity.
    """
    frames = []
    for path in sorted(map(Path, paths)):
        table = read_table(path)
        lacking = [name for name in FIDELITY_SCHEMA.names if name not in table.column_names]
        if lacking:
            raise InputError(f"{path} has no column '{lacking[0]}'; delete it and run again")
        frames.append(table.select(FIDELITY_SCHEMA.names).cast(FIDELITY_SCHEMA).to_pandas())
    whole = (
        pd.concat(frames, ignore_index=True)
        if frames
        else FIDELITY_SCHEMA.empty_table().to_pandas()
    )
    whole = whole.drop_duplicates([*_ONE_COPY, "image_id"]).reset_index(drop=True)
    found: pd.DataFrame = whole.astype(dict.fromkeys(FIDELITY_MEASURES, "float64"))
    return found
