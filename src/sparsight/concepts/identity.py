"""Whose concepts a table holds, and what is counted for all methods; without torch, for tables."""

from pathlib import Path

import pyarrow as pa

from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

#: in the metadata of all tables: whose concepts they hold
IDENTITY = ("study", "dataset", "model", "pruner", "seed", "level", "density", "concept", "method")
#: measures that every method has: images that went forward for it and for the shared features, and
#: the part of them that all methods share
PASSES = {
    "forward_passes": ("lower", "images", "forward passes, a backward pass counts as two"),
    "shared_passes": ("lower", "images", "those of them that all methods of a checkpoint share"),
}


def read_identity(path: Path | str) -> dict[str, str]:
    """Whose concepts a table of findings or drift holds, from its metadata.

    Raises InputError when the file is missing, corrupt, or of another kind.
    """
    return identity_of(read_table(path, []), path)


def identity_of(table: pa.Table, path: Path | str) -> dict[str, str]:
    """`read_identity` of a table that was read already."""
    metadata = table.schema.metadata or {}
    found = {key.decode(): value.decode() for key, value in metadata.items()}
    missing = [name for name in IDENTITY if name not in found]
    if missing:
        raise InputError(
            f"{path} does not say whose concepts it holds (no '{missing[0]}'); delete it and run "
            "snakemake again"
        )
    return {name: found[name] for name in IDENTITY}
