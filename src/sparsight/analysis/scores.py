"""Score files, one checkpoint's family at a time, in DuckDB: checked, sorted, described.

Memory is bounded by the largest single file and by `memory_limit`, never by their number: a file
holds all rows of its explainers at its checkpoint, so no statistic of a level needs a second file.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from sparsight.analysis.reducers import REDUCERS
from sparsight.io.errors import InputError
from sparsight.io.tables import TableWriter, read_table

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("study", "dataset", "model", "pruner")),
        ("seed", pa.int64()),
        ("level", pa.int32()),
        ("density", pa.float64()),
        *((name, pa.string()) for name in ("explainer", "condition")),
        *((name, pa.int64()) for name in ("target", "image_id", "label", "predicted")),
        ("correct", pa.bool_()),
        ("metric", pa.string()),
        ("step", pa.int32()),
        ("value", pa.float64()),
    ]
)
IDENTITY = ["study", "dataset", "model", "pruner", "seed", "level", "density"]
ORDER = "explainer, condition, metric, image_id, step"
STATISTICS = [
    "explainer",
    "condition",
    "metric",
    "subset",
    "n",
    "undefined",
    "mean",
    "sd",
    "median",
]

_SCALARS = f"""
CREATE OR REPLACE TEMP TABLE scalars AS
SELECT explainer, condition, metric, image_id, correct, value FROM scores WHERE step < 0
UNION ALL
SELECT explainer, condition, metric, image_id, bool_and(correct),
    CASE any_value(reducer) {" ".join(f"WHEN '{k}' THEN {v}" for k, v in REDUCERS.items())} END
FROM scores LEFT JOIN reducers USING (metric) WHERE step >= 0
GROUP BY explainer, condition, metric, image_id
"""

_DESCRIBE = """
WITH member AS (
    SELECT s.explainer, s.condition, s.metric, s.value, true AS in_all,
        s.correct AND d.correct AS in_both
    FROM scalars s LEFT JOIN dense_correct d USING (condition, image_id)
)
{}
ORDER BY explainer, condition, metric, subset
""".format(
    "\nUNION ALL\n".join(
        f"""
SELECT explainer, condition, metric, '{subset}' AS subset,
    count(*) FILTER ({member} AND isfinite(value)) AS n,
    count(*) FILTER ({member} AND NOT coalesce(isfinite(value), false)) AS undefined,
    avg(value) FILTER ({member} AND isfinite(value)) AS mean,
    stddev_samp(value) FILTER ({member} AND isfinite(value)) AS sd,
    median(value) FILTER ({member} AND isfinite(value)) AS median
FROM member GROUP BY explainer, condition, metric"""
        for subset, member in (("all", "in_all"), ("correct_at_both", "in_both"))
    )
)


@dataclass(frozen=True, order=True)
class ScoreFile:
    """One checkpoint's scores of one family; sorts by checkpoint, then by explainers."""

    dataset: str
    model: str
    pruner: str
    seed: int
    level: int
    explainers: tuple[str, ...]
    study: str
    density: float
    path: Path

    @classmethod
    def open(cls, path: Path) -> "ScoreFile":
        """Read whose scores a file holds.

        Raises
        ------
        InputError
            When the file is missing, corrupt, empty, lacks a column or mixes checkpoints.
        """
        table = _read(path, [*IDENTITY, "explainer"])
        # Grouping leaves one row per explainer, so that the rest is done on a handful.
        rows = table.group_by(table.column_names).aggregate([]).to_pandas()
        who = rows[IDENTITY].drop_duplicates()
        if len(who) != 1:
            found = "no rows" if who.empty else f"rows of {len(who)} checkpoints"
            raise InputError(f"{path} holds {found} instead of those of one; score it again")
        one = who.iloc[0]
        return cls(
            **{name: str(one[name]) for name in ("study", "dataset", "model", "pruner")},
            seed=int(one["seed"]),
            level=int(one["level"]),
            density=float(one["density"]),
            explainers=tuple(sorted(rows["explainer"])),
            path=Path(path),
        )


def _read(path: Path, columns: list[str]) -> pa.Table:
    table = read_table(path, columns)
    lacking = sorted(set(columns) - set(table.column_names))
    if lacking:
        raise InputError(f"{path} has no column '{lacking[0]}'; score the explanations again")
    types = pa.schema([SCHEMA.field(name) for name in columns])
    try:
        return table.select(columns).cast(types)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path} has a column of an unexpected type ({error}); score the explanations again"
        ) from error


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_database(
    memory_limit: str, scratch_parent: Path, reducers: Mapping[str, str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database of one thread (results do not depend on the machine's cores).

    Parameters
    ----------
    memory_limit : such as "1500MB"; what does not fit goes to a scratch folder.
    scratch_parent : where that folder is made; it is removed at the end, a killed job's before.
    reducers : metric name to a name in `REDUCERS`, for metrics that score several steps.
    """
    for metric, reducer in reducers.items():
        if reducer not in REDUCERS:
            raise InputError(
                f"reducer '{reducer}' of the metric '{metric}' is unknown; "
                f"choose one of {', '.join(REDUCERS)}"
            )
    with _scratch_folder(scratch_parent / ".duckdb") as scratch:
        options: dict[str, Any] = {
            "threads": 1,
            "memory_limit": memory_limit,
            "preserve_insertion_order": True,
            "temp_directory": str(scratch),
            "autoinstall_known_extensions": False,
        }
        try:
            connection = duckdb.connect(":memory:", config=options)
        except duckdb.Error as error:
            raise InputError(
                f"memory_limit '{memory_limit}' is not a size; write it like '1500MB'"
            ) from error
        with connection as database:
            # it would fill the logs of long jobs
            database.execute("SET enable_progress_bar = false")
            database.execute("CREATE TEMP TABLE reducers (metric VARCHAR, reducer VARCHAR)")
            for metric, reducer in sorted(reducers.items()):
                database.execute("INSERT INTO reducers VALUES (?, ?)", [metric, reducer])
            yield database


def load_scores(database: duckdb.DuckDBPyConnection, file: ScoreFile) -> None:
    """Put a file's rows, sorted, into the table `scores`, and one row per image into `scalars`.

    `scores` lacks the columns `IDENTITY`, which are the same in all rows of a file: sorting them
    would take half of the time.

    Raises
    ------
    InputError
        When a metric with several steps has no reducer, or an image is scored twice.
    """
    varying = [name for name in SCHEMA.names if name not in IDENTITY]
    database.register("loaded", _read(file.path, varying))
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE scores AS SELECT * FROM loaded ORDER BY {ORDER}"
    )
    database.unregister("loaded")
    unreduced = database.execute(
        "SELECT DISTINCT metric FROM scores ANTI JOIN reducers USING (metric) "
        "WHERE step >= 0 ORDER BY metric"
    ).fetchone()
    if unreduced is not None:
        raise InputError(
            f"the metric '{unreduced[0]}' in {file.path} scores several steps; "
            f"name its reducer ({', '.join(REDUCERS)}) in settings 'reducers'"
        )
    database.execute(_SCALARS)
    doubled = database.execute(
        "SELECT explainer, metric, image_id FROM scalars "
        "GROUP BY explainer, condition, metric, image_id HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    if doubled is not None:
        raise InputError(
            f"{file.path} scores image {doubled[2]} twice for '{doubled[0]}' and '{doubled[1]}'; "
            "score the explanations again"
        )


def append_scores(
    database: duckdb.DuckDBPyConnection, file: ScoreFile, writer: TableWriter
) -> None:
    """Append the table `scores`, with the identity of its file, to a parquet file by batches."""
    for batch in pa.RecordBatchReader.from_stream(database.sql("SELECT * FROM scores")):
        rows = pa.Table.from_batches([batch])
        for name in IDENTITY:
            same = pa.scalar(getattr(file, name), SCHEMA.field(name).type)
            rows = rows.append_column(name, pa.repeat(same, len(rows)))
        writer.append(rows)


def load_dense_correct(database: duckdb.DuckDBPyConnection, files: list[ScoreFile]) -> None:
    """Remember which images one seed's dense network gets right, per condition.

    Parameters
    ----------
    files : the dense network's files of one data set, model and seed (all families).

    Raises
    ------
    InputError
        When two files disagree about an image.
    """
    database.execute(
        "CREATE OR REPLACE TEMP TABLE dense_correct "
        "(condition VARCHAR, image_id BIGINT, correct BOOLEAN)"
    )
    for file in files:
        database.register("loaded", _read(file.path, ["condition", "image_id", "correct"]))
        database.execute(
            "INSERT INTO dense_correct SELECT DISTINCT condition, image_id, correct FROM loaded "
            "EXCEPT SELECT * FROM dense_correct"
        )
        database.unregister("loaded")
        torn = database.execute(
            "SELECT image_id FROM dense_correct GROUP BY condition, image_id "
            "HAVING count(*) > 1 ORDER BY image_id"
        ).fetchone()
        if torn is not None:
            raise InputError(
                f"{file.path} and another file of the same network disagree on whether image "
                f"{torn[0]} is classified correctly; score that network again"
            )


def describe_scores(database: duckdb.DuckDBPyConnection, file: ScoreFile) -> pd.DataFrame:
    """Statistics over the images of the table `scalars`.

    Returns
    -------
    DataFrame with the columns `STATISTICS`, one row per explainer, condition, metric and subset.
    `n` counts finite values, `undefined` the others; `mean`, `sd` (n - 1 in the denominator) and
    `median` are over the n, NaN where n is 0 (sd: below 2). The subset `correct_at_both` holds the
    images that this network and the dense network of the same seed both classify correctly; it is
    empty where the study does not score the dense network.

    Raises
    ------
    InputError
        When the dense network was scored, but not on all images of this file.
    """
    missing = database.execute(
        "SELECT count(DISTINCT image_id) FROM scalars ANTI JOIN dense_correct "
        "USING (condition, image_id) WHERE EXISTS (FROM dense_correct)"
    ).fetchone()
    if missing is not None and missing[0]:
        raise InputError(
            f"{file.path} scores {missing[0]} images that the dense network (level 0) of seed "
            f"{file.seed} was not scored on; score both on the same images"
        )
    frame = database.execute(_DESCRIBE).df()
    return frame[STATISTICS].astype({"n": "int64", "undefined": "int64"})
