"""What concept methods say of their work: concepts that were dropped or merged, few images, ..."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sparsight.analysis.csv_files import read_csv
from sparsight.concepts.findings_files import identity_of
from sparsight.io.tables import read_table

#: whose notes they are
OWNER = ["dataset", "model", "concept", "method"]
NOTE_COLUMNS = [*OWNER, "note", "networks", "of"]


def concept_notes(paths: Iterable[Path]) -> pd.DataFrame:
    """The table `concept_notes.csv`: each sentence of a method once, with its networks.

    Columns
    -------
    dataset, model, concept, method : the configured name, and the method behind it.
    note : the sentence.
    networks, of : in how many of how many checkpoints (dense, pruned and retrained, of all seeds).

    Parameters
    ----------
    paths : tables of measures of all checkpoints; only their metadata are read. The notes of a
        method that most networks have come first, then by their text.
    """
    rows: list[dict[str, str]] = []
    looked_at: list[dict[str, str]] = []
    for path in map(Path, paths):
        table = read_table(path, [])
        identity = identity_of(table, path)
        owner = {name: identity[name] for name in OWNER}
        looked_at.append(owner)
        found = (table.schema.metadata or {}).get(b"notes", b"[]").decode()
        # a method may say the same of two classes
        rows += [{**owner, "note": str(note)} for note in dict.fromkeys(json.loads(found))]
    notes = pd.DataFrame(rows, columns=[*OWNER, "note"])
    counted = notes.groupby([*OWNER, "note"], as_index=False).size()
    total = pd.DataFrame(looked_at, columns=OWNER).groupby(OWNER, as_index=False).size()
    whole = counted.rename(columns={"size": "networks"}).merge(
        total.rename(columns={"size": "of"}), on=OWNER
    )
    order = [*OWNER, "networks", "note"]
    ascending = [name != "networks" for name in order]
    return whole.sort_values(order, ascending=ascending)[NOTE_COLUMNS].reset_index(drop=True)


def read_concept_notes(path: Path) -> pd.DataFrame:
    """Read `concept_notes.csv`: numbers are int64, all else strings.

    Raises
    ------
    InputError
        When the file is missing or lacks a column.
    """
    return read_csv(path, [*OWNER, "note"], whole=("networks", "of"))
