"""One study's evaluations and scores as whole tables, and the table of levels."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sparsight.analysis import tables
from sparsight.analysis.curves import DENSE, complete_curves
from sparsight.analysis.scores import (
    IDENTITY,
    SCHEMA,
    Entries,
    ScoreFile,
    append_scores,
    describe_scores,
    load_dense_correct,
    load_scores,
    open_database,
    open_files,
)
from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy
from sparsight.io.tables import TableWriter

CHECKPOINT = ["study", "dataset", "model", "pruner", "seed", "level"]
EVALUATION_COLUMNS = tables.TABLES["evaluations"].names


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


CHAIN = ["study", "dataset", "model", "pruner", "seed"]
#: column of the table of levels to what conversion.json calls it
COUNTS = {
    "channels": "channels",
    "channels_left": "channels_left",
    "multiply_adds": "multiply_adds",
    "multiply_adds_left": "multiply_adds_converted",
    "multiply_adds_nonzero": "multiply_adds_nonzero",
}
TIMES = ["milliseconds", "milliseconds_converted"]
CONVERSION_COLUMNS = [*COUNTS, *TIMES]


def read_conversions(paths: Iterable[Path]) -> pd.DataFrame:
    """Gather `conversion.json` files into one frame.

    Parameters
    ----------
    paths : one file per chain, in any order; there may be none.

    Returns
    -------
    DataFrame with the columns study, dataset, model, pruner, seed, level and `CONVERSION_COLUMNS`:
    units and multiply-adds per image (Int64) and milliseconds per batch (float64); undefined where
    a network could not be converted. Level 0 is the dense network as the chain measured it.

    Raises
    ------
    InputError
        When a file is missing or no conversion, or two files describe one chain.
    """
    rows: list[dict[str, Any]] = []
    owner: dict[tuple[Any, ...], Path] = {}
    for path in map(Path, paths):
        found = _conversion(path)
        key = tuple(found[0][name] for name in CHAIN)
        if key in owner:
            raise InputError(f"{path} and {owner[key]} convert the same chain; give each once")
        owner[key] = path
        rows += found
    whole = dict.fromkeys(("seed", "level"), "int64")
    types = {**whole, **dict.fromkeys(COUNTS, "Int64"), **dict.fromkeys(TIMES, "float64")}
    return pd.DataFrame(rows, columns=[*CHAIN, "level", *CONVERSION_COLUMNS]).astype(types)


def _conversion(path: Path) -> list[dict[str, Any]]:
    content = read_json(path)
    try:
        chain = {name: content[name] for name in CHAIN}
        found = [
            {
                **chain,
                "level": int(entry["level"]),
                **{column: entry[name] for column, name in COUNTS.items()},
                **{column: entry[column] for column in TIMES},
            }
            for entry in content["levels"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a complete conversion ({type(error).__name__}: {error}); {remedy(path)}"
        ) from error
    if not found:
        raise InputError(f"{path} holds no level; {remedy(path)}")
    return found


#: of the stage `summary`: see `sparsight.study.versions`
VERSION = 1
CURVE = ["dataset", "model", "seed", "explainer", "condition", "metric", "subset"]
LEVEL_KEYS = list(tables.TABLES["levels"].keys)
LEVEL_COLUMNS = tables.TABLES["levels"].names
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
    files = _score_files(scores, evaluated, settings.get("entries"))
    tables.write("evaluations", evaluations_table, evaluated)
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
            load_scores(database, file, settings.get("entries"))
            append_scores(database, file, writer)
            statistics = describe_scores(database, file)
            described.append(statistics.assign(**{name: getattr(file, name) for name in IDENTITY}))
    split = str(settings.get("split", "test"))
    tables.write("levels", levels_table, _levels(described, evaluated, converted, split))


def _conversions(paths: Iterable[Path], evaluated: pd.DataFrame) -> pd.DataFrame:
    converted = read_conversions(paths)
    foreign = converted[~converted["study"].isin(evaluated["study"])]
    if not foreign.empty:
        raise InputError(
            f"a conversion of the study '{foreign.iloc[0]['study']}' was given with evaluations of "
            f"'{evaluated.iloc[0]['study']}'; summarise one study at a time"
        )
    return converted.drop(columns="study")


def _score_files(
    paths: Iterable[Path], evaluated: pd.DataFrame, entries: Entries | None
) -> list[ScoreFile]:
    """All score files in their order, checked against the evaluations of the same checkpoints."""
    files = open_files(paths, entries)
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
