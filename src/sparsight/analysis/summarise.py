"""One study's evaluations and scores as whole tables, and the table of levels."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sparsight.analysis.conversions import CHAIN, CONVERSION_COLUMNS, read_conversions
from sparsight.analysis.curves import DENSE, complete_curves
from sparsight.analysis.evaluations import CHECKPOINT, EVALUATION_SCHEMA, read_evaluations
from sparsight.analysis.scores import (
    IDENTITY,
    SCHEMA,
    ScoreFile,
    append_scores,
    describe_scores,
    load_dense_correct,
    load_scores,
    open_database,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import TableWriter, write_csv, write_table

#: of the stage `summary`: see `sparsight.study.versions`
VERSION = 1

CURVE = ["dataset", "model", "seed", "explainer", "condition", "metric", "subset"]
LEVEL_KEYS = [
    "dataset",
    "model",
    "pruner",
    "seed",
    "level",
    "explainer",
    "condition",
    "metric",
    "subset",
]
LEVEL_COLUMNS = [
    *LEVEL_KEYS,
    "checkpoint_pruner",
    "density",
    "accuracy",
    "n",
    "undefined",
    "mean",
    "sd",
    "median",
    *CONVERSION_COLUMNS,
]
DEFAULT_MEMORY = "1500MB"


def summarise(
    evaluations: Iterable[Path],
    scores: Iterable[Path],
    conversions: Iterable[Path] = (),
    *,
    evaluations_table: Path,
    scores_table: Path,
    levels_table: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `evaluations.parquet`, `scores.parquet` and `levels.csv`.

    The bytes of the outputs do not depend on the order in which the files are given.

    Parameters
    ----------
    evaluations : `evaluation.json` of every checkpoint.
    scores : `scores/{family}.parquet` of every scored checkpoint, the dense ones included.
    conversions : `conversion.json` of the chains; may be empty.
    evaluations_table : tidy table, see `read_evaluations`.
    scores_table : all score rows, ordered by checkpoint, then by file (its explainers), then by
        explainer, condition, metric, image and step; columns as in `SCHEMA`.
    levels_table : one row per data set, model, pruner, seed, level, explainer, condition, metric
        and subset (`all`, `correct_at_both`), see `describe_scores` for the statistics. `density`
        is the share of prunable weights left and `accuracy` that of the report split under the same
        condition over *all* its images. Level 0 is the dense network, repeated under each pruner
        (`checkpoint_pruner` is then `dense`). What conversion saves stands in
        `CONVERSION_COLUMNS`, the same in all rows of a level; empty where that is not known.
    settings : `memory_limit` (default "1500MB"), `split` that reports (default "test"), `reducers`
        (metric name to mean, sum, first or last; only for metrics that score several steps).

    Raises
    ------
    InputError
        When files are missing, doubled, or do not belong together.
    """
    evaluated = read_evaluations(evaluations)
    converted = _conversions(conversions, evaluated)
    files = _score_files(scores, evaluated)
    write_table(
        evaluations_table,
        pa.Table.from_pandas(evaluated, EVALUATION_SCHEMA, preserve_index=False),
    )
    described: list[pd.DataFrame] = []
    limit = str(settings.get("memory_limit", DEFAULT_MEMORY))
    with (
        open_database(limit, scores_table.parent, settings.get("reducers", {})) as database,
        TableWriter(scores_table, SCHEMA) as writer,
    ):
        loaded_network: tuple[str, str, int] | None = None
        for file in files:
            network = (file.dataset, file.model, file.seed)
            if network != loaded_network:
                load_dense_correct(database, _dense_files(files, network))
                loaded_network = network
            load_scores(database, file)
            append_scores(database, file, writer)
            statistics = describe_scores(database, file)
            described.append(statistics.assign(**{name: getattr(file, name) for name in IDENTITY}))
    split = str(settings.get("split", "test"))
    write_csv(levels_table, _levels(described, evaluated, converted, split))


def _conversions(paths: Iterable[Path], evaluated: pd.DataFrame) -> pd.DataFrame:
    converted = read_conversions(paths)
    foreign = converted[~converted["study"].isin(evaluated["study"])]
    if not foreign.empty:
        raise InputError(
            f"a conversion of the study '{foreign.iloc[0]['study']}' was given with evaluations of "
            f"'{evaluated.iloc[0]['study']}'; summarise one study at a time"
        )
    return converted.drop(columns="study")


def _score_files(paths: Iterable[Path], evaluated: pd.DataFrame) -> list[ScoreFile]:
    """All score files in their order, checked against the evaluations of the same checkpoints."""
    files = sorted(ScoreFile.open(Path(path)) for path in paths)
    rows = evaluated[evaluated["metric"] == "density_prunable"]
    density = {
        tuple(row[:-1]): row[-1] for row in rows[[*CHECKPOINT, "value"]].itertuples(index=False)
    }
    for file in files:
        checkpoint = tuple(getattr(file, name) for name in CHECKPOINT)
        if checkpoint not in density:
            raise InputError(
                f"{file.path} scores a checkpoint {checkpoint} that was not evaluated; "
                "give its evaluation.json too"
            )
        if abs(density[checkpoint] - file.density) > 1e-6:
            raise InputError(
                f"{file.path} was scored at density {file.density:g} but its checkpoint was "
                f"evaluated at {density[checkpoint]:g}; explain and score it again"
            )
        if (file.pruner == DENSE) != (file.level == 0):
            raise InputError(
                f"{file.path} belongs to level {file.level} of '{file.pruner}'; "
                f"level 0, and only it, must belong to '{DENSE}'"
            )
    owner: dict[tuple[Any, ...], Path] = {}
    for file in files:
        for explainer in file.explainers:
            key = (*(getattr(file, name) for name in CHECKPOINT), explainer)
            if key in owner:
                raise InputError(
                    f"{owner[key]} and {file.path} both score the explainer '{explainer}' at one "
                    "checkpoint; give each file once and let each explainer belong to one family"
                )
            owner[key] = file.path
    return files


def _dense_files(files: list[ScoreFile], network: tuple[str, str, int]) -> list[ScoreFile]:
    return [
        file
        for file in files
        if file.pruner == DENSE and (file.dataset, file.model, file.seed) == network
    ]


def _levels(
    described: list[pd.DataFrame], evaluated: pd.DataFrame, converted: pd.DataFrame, split: str
) -> pd.DataFrame:
    if not described:
        return pd.DataFrame(columns=LEVEL_COLUMNS)
    frame = pd.concat(described, ignore_index=True)
    performance = evaluated[(evaluated["split"] == split) & (evaluated["metric"] == "accuracy")]
    accuracy = performance[[*CHECKPOINT, "condition", "value"]].rename(
        columns={"value": "accuracy"}
    )
    frame = frame.merge(accuracy, on=[*CHECKPOINT, "condition"], how="left", validate="m:1")
    if frame["accuracy"].isna().any():
        lost = frame[frame["accuracy"].isna()].iloc[0]
        raise InputError(
            f"'{lost['pruner']}' level {lost['level']} seed {lost['seed']} has no accuracy on the "
            f"split '{split}' under the condition '{lost['condition']}'; evaluate that condition"
        )
    curves = complete_curves(frame, CURVE).sort_values(LEVEL_KEYS, ignore_index=True)
    # After the curves are complete: level 0 of each pruner takes its own chain's measurement.
    whole = curves.merge(converted, on=[*CHAIN[1:], "level"], how="left", validate="m:1")
    return whole[LEVEL_COLUMNS]
