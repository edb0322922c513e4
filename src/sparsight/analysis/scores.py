"""Score files and predictions of one checkpoint at a time: checked, sorted, described.

Memory is bounded by the largest single file and by `memory_limit`, never by their number: a file
holds all rows of its explainers at its checkpoint, so no statistic of a level needs a second file.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sparsight.analysis.curves import DENSE
from sparsight.analysis.tables import TABLES
from sparsight.io.errors import InputError
from sparsight.io.tables import TableWriter, read_table

#: `dataset/model` to the `explainers` and `metrics` that a study names for that network
Entries = Mapping[str, Mapping[str, Sequence[str]]]
# name -> aggregate over the rows of one curve, columns `step` (0, 1, ...) and `value`
REDUCERS = {
    "mean": "avg(value)",
    "sum": "sum(value)",
    "first": "arg_min(value, step)",
    "last": "arg_max(value, step)",
    # Area under a curve between its first and last step, by trapezoids (RISE, arXiv 1806.07421).
    "area": "(sum(value) - (arg_min(value, step) + arg_max(value, step)) / 2) / (count(*) - 1)",
    # Area over a curve that begins with the whole image: Samek et al. 2017 (arXiv 1509.06321,
    # equation 12), the mean of f(x_0) - f(x_k) over k = 0 ... L.
    "aopc": "arg_min(value, step) - avg(value)",
    # As arXiv 2509.21387 has it: against the first perturbed step, and divided by one more than
    # there are perturbed steps.
    "aopc_published": "(max(value) FILTER (WHERE step = 1) * (count(*) - 1)"
    " - sum(value) + arg_min(value, step)) / count(*)",
}


def read_chain(paths: Sequence[Path]) -> list[dict[str, pd.DataFrame]]:
    """Read `predictions.parquet` of several checkpoints: of each, condition to its predictions.

    They are by image id, ascending, with the columns `label` and `predicted` (int64), `correct`
    (bool) and `margin` (float64, the top logit minus the second; NaN where a logit is). An
    `InputError` where a file is
    missing, corrupt, empty or has an image twice, or where images or conditions differ.
    """
    chain = [_read_predictions(path) for path in paths]
    first = next(iter(chain[0].values()))
    for path, found in zip(paths, chain, strict=True):
        if found.keys() != chain[0].keys():
            raise InputError(
                f"{path} and {paths[0]} predict under different conditions; "
                "delete both and run snakemake again"
            )
        if not all(one["label"].equals(first["label"]) for one in found.values()):
            raise InputError(
                f"{path} does not predict the same images as {paths[0]} (under each condition); "
                "delete both and run snakemake again"
            )
    return chain


def _read_predictions(path: Path) -> dict[str, pd.DataFrame]:
    table = read_table(path, ["image_id", "condition", "label", "predicted", "margin"])
    frame = table.to_pandas().sort_values("image_id", kind="stable")
    if frame.duplicated(["condition", "image_id"]).any():
        raise InputError(f"{path} predicts an image twice; delete it and run snakemake again")
    if frame.empty:
        raise InputError(f"{path} holds no predictions; delete it and run snakemake again")
    frame["correct"] = frame["predicted"] == frame["label"]
    frame = frame.astype(
        {"image_id": "int64", "label": "int64", "predicted": "int64", "margin": "float64"}
    )
    parts = frame.set_index("image_id").groupby("condition", sort=True)
    columns = ["label", "predicted", "correct", "margin"]
    return {str(condition): rows[columns] for condition, rows in parts}


SCHEMA = TABLES["scores"].arrow_schema()
IDENTITY = ["study", "dataset", "model", "pruner", "seed", "level", "density"]
ORDER = "explainer, condition, metric, image_id, step"
NAMES = ["explainer", "condition", "metric"]
STATISTICS = [*NAMES, "subset", "n", "undefined", "mean", "sd", "median", "empty_share"]
_SCALARS = f"""
CREATE OR REPLACE TEMP TABLE scalars AS
SELECT explainer, condition, metric, image_id, correct, empty, value FROM scores WHERE step < 0
UNION ALL
SELECT explainer, condition, metric, image_id, bool_and(correct), bool_or(empty),
    CASE any_value(reducer) {" ".join(f"WHEN '{k}' THEN {v}" for k, v in REDUCERS.items())} END
FROM scores LEFT JOIN reducers USING (metric) WHERE step >= 0
GROUP BY explainer, condition, metric, image_id
"""
_DESCRIBE = """
WITH member AS (
    SELECT s.explainer, s.condition, s.metric, s.value, s.empty, true AS in_all,
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
    median(value) FILTER ({member} AND isfinite(value)) AS median,
    avg(empty::INTEGER) FILTER ({member}) AS empty_share
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
    def open(cls, path: Path, entries: Entries | None = None) -> "ScoreFile":
        """Read whose scores a file holds; `explainers` are those of `entries` (see `of_study`).

        An `InputError` where the file is missing, corrupt, empty, lacks a column or mixes
        checkpoints.
        """
        return cls.of(path, _read(path, [*IDENTITY, "explainer", "metric"]), entries)

    @classmethod
    def of(cls, path: Path, table: pa.Table, entries: Entries | None = None) -> "ScoreFile":
        """As `open`, from a file's rows with the columns `IDENTITY`, explainer and metric."""
        found = {name: table[name].unique().to_pylist() for name in IDENTITY}
        several = [name for name, values in found.items() if len(values) > 1]
        if several or not table.num_rows:
            fault = f"rows of several checkpoints ({several[0]})" if several else "no rows"
            raise InputError(f"{path} holds {fault} instead of those of one; score it again")
        one = {name: values[0] for name, values in found.items()}
        # Grouping leaves one row per entry, so that the rest is done on a handful.
        rows = table.select(["explainer", "metric"]).group_by(["explainer", "metric"]).aggregate([])
        rows = of_study(rows, [one["dataset"], one["model"]], entries)
        explainers = tuple(sorted(set(rows["explainer"].to_pylist())))
        return cls(**one, explainers=explainers, path=Path(path))

    @property
    def network(self) -> tuple[str, str, int]:
        """Data set, model and seed."""
        return self.dataset, self.model, self.seed

    @property
    def place(self) -> tuple[str, str, str, int]:
        """The level, without the seed."""
        return self.dataset, self.model, self.pruner, self.level


def open_files(paths: Iterable[Path], entries: Entries | None = None) -> list[ScoreFile]:
    """All files in their order.

    An `InputError` as of `ScoreFile.open`, and where files do not belong together: of several
    studies, or with one explainer of a checkpoint twice.
    """
    files = sorted(ScoreFile.open(Path(path), entries) for path in paths)
    studies = sorted({file.study for file in files})
    if len(studies) > 1:
        raise InputError(
            f"files of several studies ({', '.join(studies)}); give one study at a time"
        )
    owner: dict[tuple[Any, ...], Path] = {}
    for file in files:
        if (file.pruner == DENSE) != (file.level == 0):
            raise InputError(
                f"{file.path} belongs to level {file.level} of '{file.pruner}'; "
                f"level 0, and only it, must belong to '{DENSE}'"
            )
        for explainer in file.explainers:
            other = owner.setdefault((*file.place, file.seed, explainer), file.path)
            if other is not file.path:
                raise InputError(
                    f"{other} and {file.path} both hold the explainer '{explainer}' of one "
                    "checkpoint; give each file once and let each explainer belong to one family"
                )
    return files


def of_study(table: pa.Table, network: Sequence[Any], entries: Entries | None) -> pa.Table:
    """The rows of one checkpoint that a study names: a file keeps what the study named before.

    `table` has the columns explainer and metric, `network` begins with its data set and model;
    `entries` of None leaves all rows.
    """
    if entries is None:
        return table
    names = entries["/".join(network[:2])]
    chosen = [
        pc.is_in(table[column].cast(pa.string()), pa.array(names[f"{column}s"], pa.string()))
        for column in ("explainer", "metric")
    ]
    return table.filter(pc.and_(*chosen))


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        found = read_table(path, columns).select(columns)
        found = found.cast(pa.schema([SCHEMA.field(name) for name in columns]))
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path} has a column of an unexpected type ({error}); score the explanations again"
        ) from error
    if any(found[name].null_count for name in ("explainer", "metric") if name in columns):
        raise InputError(f"{path} has rows without a name; score the explanations again")
    return found


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
    scratch = scratch_parent / ".duckdb"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch_parent.mkdir(parents=True, exist_ok=True)
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
    try:
        with connection as database:
            # it would fill the logs of long jobs
            database.execute("SET enable_progress_bar = false")
            _name_reducers(database, reducers)
            yield database
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _name_reducers(database: duckdb.DuckDBPyConnection, reducers: Mapping[str, str]) -> None:
    database.execute("CREATE TEMP TABLE reducers (metric VARCHAR, reducer VARCHAR)")
    for metric, reducer in sorted(reducers.items()):
        if reducer not in REDUCERS:
            raise InputError(
                f"reducer '{reducer}' of the metric '{metric}' is unknown; "
                f"choose one of {', '.join(REDUCERS)}"
            )
        database.execute("INSERT INTO reducers VALUES (?, ?)", [metric, reducer])


def load_scores(
    database: duckdb.DuckDBPyConnection, file: ScoreFile, entries: Entries | None = None
) -> None:
    """Put a file's rows, sorted, into the table `scores`, and one row per image into `scalars`.

    Only rows of `entries` are taken: see `of_study`. `scores` lacks the columns `IDENTITY`, which
    are the same in all rows of a file: sorting them would take half of the time. An `InputError`
    where a metric with several steps has no reducer, or an image is scored twice.
    """
    varying = [name for name in SCHEMA.names if name not in (*IDENTITY, "bits")]
    rows = of_study(_read(file.path, varying), file.network, entries)
    database.register("loaded", rows)
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE scores AS SELECT * FROM loaded ORDER BY {ORDER}"
    )
    database.unregister("loaded")
    _fill_scalars(database, file.path)


def _fill_scalars(database: duckdb.DuckDBPyConnection, path: Path) -> None:
    """One row per image of the table `scores` into the table `scalars`."""
    unreduced = database.execute(
        "SELECT DISTINCT metric FROM scores ANTI JOIN reducers USING (metric) "
        "WHERE step >= 0 ORDER BY metric"
    ).fetchone()
    if unreduced is not None:
        raise InputError(
            f"the metric '{unreduced[0]}' in {path} scores several steps; "
            f"name its reducer ({', '.join(REDUCERS)}) in settings 'reducers'"
        )
    database.execute(_SCALARS)
    doubled = database.execute(
        "SELECT explainer, metric, image_id FROM scalars "
        "GROUP BY explainer, condition, metric, image_id HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    if doubled is not None:
        raise _doubled(path, *doubled)


def _doubled(path: Path, explainer: str, metric: str, image: int) -> InputError:
    return InputError(
        f"{path} scores image {image} twice for '{explainer}' and '{metric}'; score the "
        "explanations again"
    )


def append_scores(
    database: duckdb.DuckDBPyConnection, file: ScoreFile, bits: int, writer: TableWriter
) -> None:
    """Append the table `scores`, with the identity of its file, to a parquet file by batches.

    `bits` are those of the weights of the file's checkpoint.
    """
    identity = {**{name: getattr(file, name) for name in IDENTITY}, "bits": bits}
    for batch in pa.RecordBatchReader.from_stream(database.sql("SELECT * FROM scores")):
        rows = pa.Table.from_batches([batch])
        for name, value in identity.items():
            same = pa.scalar(value, SCHEMA.field(name).type)
            rows = rows.append_column(name, pa.repeat(same, len(rows)))
        writer.append(rows)


def load_dense_correct(database: duckdb.DuckDBPyConnection, files: list[ScoreFile]) -> None:
    """Remember which images one seed's dense network gets right, per condition.

    `files` are those of all families of one data set, model and seed; an `InputError` where two
    disagree about an image.
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
    """Statistics over the images of the table `scalars`: the columns `STATISTICS`.

    One row per explainer, condition, metric and subset. `n` counts finite values, `undefined` the
    others; `mean`, `sd` (n - 1 in the denominator) and `median` are over the n, NaN where n is 0
    (sd: below 2). `empty_share` is that of all images, scored or not, whose map is empty. The
    subset `correct_at_both` holds the images that this network and the dense network of the same
    seed both classify correctly; it is empty where the study does not score the dense network. If
    it does, but not on all images of this file, that is an `InputError`.
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


@dataclass(frozen=True)
class Scalars:
    """One number per image, explainer and metric, for one condition.

    Attributes
    ----------
    condition : "clean" or "noisy".
    columns : K pairs of explainer and metric, sorted.
    image_id : int64 [N], ascending.
    correct : bool [N], whether the network classifies the image correctly.
    values : float64 [N, K]; NaN where undefined.
    scored : bool [N, K], whether there is a row at all.
    empty : bool [N, K], whether the map is empty.
    """

    condition: str
    columns: list[tuple[str, str]]
    image_id: NDArray[np.int64]
    correct: NDArray[np.bool_]
    values: NDArray[np.float64]
    scored: NDArray[np.bool_]
    empty: NDArray[np.bool_]

    def column(self, place: int) -> "pd.Series[float]":
        """The values of one of the columns by image id, of the images that were scored."""
        scored = self.scored[:, place]
        return pd.Series(self.values[scored, place], index=self.image_id[scored])


class ScoredCheckpoint(NamedTuple):
    """One file and its scores, by condition."""

    file: ScoreFile
    scalars: list[Scalars]


def read_scalars(
    path: Path, reducers: Mapping[str, str], entries: Entries | None = None
) -> ScoredCheckpoint:
    """Read the scores of one checkpoint and family as matrices.

    `reducers` say how the steps of a metric become one number (a name in `REDUCERS`), `entries`
    what to read of the file (`of_study`). An `InputError` where the file is missing, corrupt,
    empty, mixes checkpoints or scores an image twice, or where a metric with several steps has no
    reducer.
    """
    columns = [*NAMES, "image_id", "correct", "empty", "step", "value"]
    rows = _read(path, [*IDENTITY, *columns])
    file = ScoreFile.of(path, rows)
    found = of_study(rows.select(columns), file.network, entries)
    # a file without steps has one row an image already, and a database takes longer to open
    if (pc.max(found["step"]).as_py() or 0) >= 0:
        with duckdb.connect(":memory:", config={"threads": 1}) as database:
            _name_reducers(database, reducers)
            database.register("scores", found)
            _fill_scalars(database, path)
            found = database.sql("FROM scalars").to_arrow_table()
    # codes instead of texts, in the order of the names
    frame = found.to_pandas(strings_to_categorical=True)
    for name in NAMES:
        frame[name] = frame[name].cat.reorder_categories(sorted(frame[name].cat.categories))
    conditions = frame.groupby("condition", sort=True, observed=True)
    return ScoredCheckpoint(file, [_matrix(path, str(name), part) for name, part in conditions])


def _matrix(path: Path, condition: str, rows: pd.DataFrame) -> Scalars:
    """Images by pairs of explainer and metric, of one condition."""
    pairs = rows.groupby(["explainer", "metric"], sort=True, observed=True)
    image_id, row = np.unique(rows["image_id"].to_numpy(), return_inverse=True)
    columns = [(str(explainer), str(metric)) for explainer, metric in pairs.size().index]
    place = row, pairs.ngroup().to_numpy()
    values = np.full((len(image_id), len(columns)), np.nan)
    values[place] = rows["value"].to_numpy()
    scored, empty = (np.zeros(values.shape, dtype=np.bool_) for _ in range(2))
    scored[place] = True
    if np.count_nonzero(scored) < len(rows):
        twice = rows[rows.duplicated([*NAMES, "image_id"])].iloc[0]
        raise _doubled(path, twice["explainer"], twice["metric"], twice["image_id"])
    empty[place] = rows["empty"].to_numpy(dtype=np.bool_)
    correct = np.ones(len(image_id), dtype=np.bool_)
    correct[row[~rows["correct"].to_numpy(dtype=np.bool_)]] = False
    return Scalars(condition, columns, image_id, correct, values, scored, empty)
