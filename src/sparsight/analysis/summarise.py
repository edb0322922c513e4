"""One study's evaluations and scores as whole tables, the table of levels and that of steps."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from sparsight.analysis import tables
from sparsight.analysis.curves import DENSE, complete_curves, with_bits
from sparsight.analysis.scores import (
    IDENTITY,
    NAMES,
    SCHEMA,
    Entries,
    ScoreFile,
    append_scores,
    describe_scores,
    load_dense_correct,
    load_scores,
    of_study,
    open_database,
    open_files,
)
from sparsight.analysis.statistics import control_flags, student_interval
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.io.files import read_json, remedy
from sparsight.io.tables import TableWriter, read_table
from sparsight.rounding import FULL_BITS

CHECKPOINT = ["study", "dataset", "model", "pruner", "seed", "level"]
EVALUATION_COLUMNS = tables.TABLES["evaluations"].names


def read_evaluations(paths: Iterable[Path]) -> pd.DataFrame:
    """Gather the `evaluation.json` of every checkpoint, in any order, into one tidy frame.

    The columns are those of the table `evaluations`; rows are sorted by all but the value. Rows
    about weights (`density_prunable`, `density_all`, `density:{layer}` as shares in [0, 1];
    `surviving` and `prunable` as counts, `bits`) have neither split nor condition: both are None. A
    quantity that is not defined (AUROC where there are more than two classes) has no row. An
    `InputError` where a file is missing or no evaluation, where two describe one checkpoint, and
    for files of several studies.
    """
    rows: list[dict[str, Any]] = []
    owner: dict[tuple[Any, ...], Path] = {}
    for path in map(Path, paths):
        content = read_json(path)
        try:
            identity: dict[str, Any] = {name: str(content[name]) for name in CHECKPOINT[:4]}
            identity |= {name: int(content[name]) for name in CHECKPOINT[4:]}
            rows += [{**identity, **row} for row in _measurements(content)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _incomplete_file(path, "evaluation", error) from error
        key = tuple(identity.values())
        if key in owner:
            raise InputError(
                f"{path} and {owner[key]} evaluate the same checkpoint; give each checkpoint once"
            )
        owner[key] = path
    if not rows:
        raise InputError("no evaluation.json was given; evaluate at least one checkpoint first")
    frame = pd.DataFrame(rows, columns=EVALUATION_COLUMNS)
    if frame["study"].nunique() > 1:
        names = ", ".join(sorted(frame["study"].unique()))
        raise InputError(f"evaluations of several studies ({names}); summarise one study at a time")
    frame = frame.astype({"seed": "int64", "level": "int64", "value": "float64"})
    order = EVALUATION_COLUMNS[:-1]
    return frame.sort_values(order, kind="stable", na_position="first", ignore_index=True)


def _incomplete_file(path: Path, what: str, error: Exception) -> InputError:
    fault = f"{type(error).__name__}: {error}"
    return InputError(f"{path} is not a complete {what} ({fault}); {remedy(path)}")


def _measurements(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows about performance, then about weights."""
    for split, conditions in content["splits"].items():
        for condition, measured in conditions.items():
            for metric, value in measured.items():
                if value is not None:
                    where = {"split": split, "condition": condition}
                    yield {**where, "metric": metric, "value": float(value)}
    density = content["density"]
    values = {
        "density_prunable": density["prunable"],
        "density_all": density["all_parameters"],
        # Written since masks may be left alone in training; equal to `prunable` before.
        "density_nonzero": density.get("nonzero", density["prunable"]),
        # Written since weights may be quantised; no earlier ones were.
        "bits": content.get("bits", FULL_BITS),
        "surviving": content["surviving"],
        "prunable": content["prunable"],
        **{f"density:{layer}": share for layer, share in density["layers"].items()},
    }
    for metric, value in values.items():
        yield {"split": None, "condition": None, "metric": metric, "value": float(value)}


def read_removals(paths: Iterable[Path]) -> pd.DataFrame:
    """What removing whole units saves, of each `evaluation.json` that says so; there may be none.

    The columns are those of a checkpoint and `tables.SAVINGS`.
    """
    rows: list[dict[str, Any]] = []
    for path in map(Path, paths):
        content = read_json(path)
        if removal := content.get("removal"):
            try:
                identity = {name: content[name] for name in CHECKPOINT}
                rows.append({**identity, **{name: removal[name] for name in tables.SAVINGS}})
            except (KeyError, TypeError) as error:
                raise _incomplete_file(path, "evaluation", error) from error
    types = {name: tables.TABLES["levels"].dtypes[name] for name in tables.SAVINGS}
    types |= dict.fromkeys(("seed", "level"), "int64")
    return pd.DataFrame(rows, columns=[*CHECKPOINT, *tables.SAVINGS]).astype(types)


#: of the stage `summary`: see `sparsight.study.versions`
VERSION = 3
CURVE = ["dataset", "model", "seed", "explainer", "condition", "metric", "subset"]
LEVEL_KEYS = list(tables.TABLES["levels"].keys)
LEVEL_COLUMNS = tables.TABLES["levels"].names
DEFAULT_MEMORY = "1500MB"


def summarise(
    evaluations: Iterable[Path],
    scores: Iterable[Path],
    *,
    evaluations_table: Path,
    scores_table: Path,
    levels_table: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `evaluations.parquet`, `scores.parquet` and `levels.csv`.

    The bytes of the outputs do not depend on the order in which the files are given. An
    `InputError` is raised where files are missing, doubled, or do not belong together.

    Parameters
    ----------
    evaluations : `evaluation.json` of every checkpoint.
    scores : `scores/{family}.parquet` of every scored checkpoint, the dense ones included.
    evaluations_table : see `read_evaluations`.
    scores_table : all score rows, ordered by checkpoint, then by file (its explainers), then by
        explainer, condition, metric, image and step.
    levels_table : see `describe_scores` for the statistics. Level 0 is the dense network, repeated
        under each pruner (`checkpoint_pruner` is then `dense`). What the removal of units saves
        is the same in all rows of a level; empty where no whole channels were pruned.
    settings : `memory_limit` (default "1500MB"), `split` that reports (default "test"), `reducers`
        (metric name to mean, sum, first or last; only for metrics that score several steps).
    """
    evaluations = list(evaluations)
    evaluated, savings = read_evaluations(evaluations), read_removals(evaluations)
    files = _score_files(scores, evaluated, settings.get("entries"))
    bits = _of_weights(evaluated, "bits")
    tables.write("evaluations", evaluations_table, evaluated)
    described: list[pd.DataFrame] = []
    limit = str(settings.get("memory_limit", DEFAULT_MEMORY))
    with (
        open_database(limit, scores_table.parent, settings.get("reducers", {})) as database,
        TableWriter(scores_table, SCHEMA) as writer,
    ):
        loaded: tuple[str, str, int] | None = None
        for file in files:
            if file.network != loaded:
                loaded = file.network
                dense = [one for one in files if one.pruner == DENSE and one.network == loaded]
                load_dense_correct(database, dense)
            load_scores(database, file, settings.get("entries"))
            append_scores(database, file, int(bits[_checkpoint(file)]), writer)
            statistics = describe_scores(database, file)
            described.append(statistics.assign(**{name: getattr(file, name) for name in IDENTITY}))
    split = str(settings.get("split", "test"))
    tables.write("levels", levels_table, _levels(described, evaluated, savings, split))


def _score_files(
    paths: Iterable[Path], evaluated: pd.DataFrame, entries: Entries | None
) -> list[ScoreFile]:
    """All score files in their order, checked against the evaluations of the same checkpoints."""
    files = open_files(paths, entries)
    density = _of_weights(evaluated, "density_prunable")
    for file in files:
        checkpoint = _checkpoint(file)
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


def _checkpoint(file: ScoreFile) -> tuple[Any, ...]:
    return tuple(getattr(file, name) for name in CHECKPOINT)


def _of_weights(evaluated: pd.DataFrame, metric: str) -> dict[tuple[Any, ...], float]:
    """Checkpoint to one of the numbers about its weights."""
    rows = evaluated[evaluated["metric"] == metric]
    keys = rows[CHECKPOINT].itertuples(index=False, name=None)
    return dict(zip(keys, rows["value"], strict=True))


def _levels(
    described: list[pd.DataFrame], evaluated: pd.DataFrame, savings: pd.DataFrame, split: str
) -> pd.DataFrame:
    if not described:
        return pd.DataFrame(columns=LEVEL_COLUMNS)
    frame = pd.concat(described, ignore_index=True)
    accuracy = evaluated[(evaluated["split"] == split) & (evaluated["metric"] == "accuracy")]
    accuracy = accuracy[[*CHECKPOINT, "condition", "value"]].rename(columns={"value": "accuracy"})
    frame = frame.merge(accuracy, on=[*CHECKPOINT, "condition"], how="left", validate="m:1")
    if frame["accuracy"].isna().any():
        lost = frame[frame["accuracy"].isna()].iloc[0]
        raise InputError(
            f"'{lost['pruner']}' level {lost['level']} seed {lost['seed']} has no accuracy on the "
            f"split '{split}' under the condition '{lost['condition']}'; evaluate that condition"
        )
    bits = evaluated.loc[evaluated["metric"] == "bits", [*CHECKPOINT, "value"]]
    frame = frame.merge(bits.rename(columns={"value": "bits"}), on=CHECKPOINT, validate="m:1")
    curves = complete_curves(frame, CURVE).sort_values(LEVEL_KEYS, ignore_index=True)
    savings = savings.drop(columns="study")
    whole = curves.merge(savings, on=CHECKPOINT[1:], how="left", validate="m:1")
    return whole[LEVEL_COLUMNS]


#: of the stage `curves_table`: see `sparsight.study.versions`
CURVES_VERSION = 2
STEP_CURVE = ["dataset", "model", "pruner", "level", *NAMES]


def summarise_steps(
    scores: Iterable[Path], evaluations: Path, output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `curves.csv`: at every step of a metric, the mean over the images.

    One row per data set, model, pruner, seed, level, explainer, condition, metric and step, and one
    with the seed "mean". Level 0 is the dense network, repeated under each pruner. A curve that was
    not scored (an explainer that is too costly for a metric, a level at which a family is not
    explained) has no rows. Rows of a level stand curve by curve, those of the mean last, each in
    the order of its steps; the bytes do not depend on the order of the files. `axis_value` is where
    the step lies on the metric's `step_axis` (20 of "pixels removed, %"); the step itself where the
    metric does not say. An `InputError` is raised where files are missing, corrupt, doubled, or do
    not belong together.

    Parameters
    ----------
    scores : `scores/{family}.parquet` of every scored checkpoint. They are read one at a time, and
        only the rows with steps are kept while one is described.
    evaluations : `evaluations.parquet`, for the bits of the weights.
    settings : `metrics` (names of those whose steps are wanted), `controls` (explainers that are
        controls), `confidence` of the intervals.
    """
    axes: dict[str, list[float]] = {}
    wanted = set(settings["metrics"])
    entries = settings.get("entries")
    found = [_describe_steps(file, wanted, axes, entries) for file in open_files(scores, entries)]
    by_seed = complete_curves(
        pd.concat([_EMPTY, *found]).astype(_EMPTY.dtypes), ["dataset", "model", "seed", *NAMES]
    )
    means = _over_seeds(by_seed, float(settings["confidence"]))
    rows = pd.concat([by_seed.assign(order=by_seed["seed"]), means])
    rows = rows.sort_values([*STEP_CURVE, "order", "step"], ignore_index=True)
    table = with_bits(rows, evaluations)
    table = table.assign(control=control_flags(rows, settings["controls"]))
    tables.write("curves", output, table[tables.TABLES["curves"].names])


#: what is known of each step of one network, without rows
_EMPTY = pd.DataFrame(
    {
        **{name: pd.Series(dtype="object") for name in ("dataset", "model", "pruner", *NAMES)},
        **{name: pd.Series(dtype="int64") for name in ("seed", "level", "step")},
        **{name: pd.Series(dtype="int64") for name in ("n_seeds", "n", "undefined")},
        **{name: pd.Series(dtype="float64") for name in ("density", "axis_value", "mean")},
    }
)


def _describe_steps(
    file: ScoreFile, wanted: set[str], axes: dict[str, list[float]], entries: Entries | None
) -> pd.DataFrame:
    """Means over images at each step of one checkpoint; `axes` collects where steps stand."""
    table = read_table(file.path, [*NAMES, "step", "value"]).unify_dictionaries()
    facts = json.loads((table.schema.metadata or {}).get(b"metrics", b"{}"))
    table = of_study(table, file.network, entries)
    rows = table.filter(pc.field("step") >= 0).to_pandas()
    rows = rows[rows["metric"].isin(wanted)]
    values = rows["value"].astype("float64")
    grouped = rows.assign(value=values.where(np.isfinite(values))).groupby(
        [*NAMES, "step"], observed=True, sort=True
    )["value"]
    found = grouped.agg(n="count", images="size", mean="mean").reset_index()
    found = found.astype({**dict.fromkeys(NAMES, "str"), "step": "int64"})
    found["axis_value"] = found["step"].astype("float64")
    for metric, steps in found.groupby("metric")["step"]:
        axis = list(facts.get(metric, {}).get("step_values", ()))
        if axes.setdefault(metric, axis) != axis:
            raise InputError(
                f"{file.path} was scored with other steps of the metric '{metric}' than the files "
                "before it; delete it and run snakemake again"
            )
        if axis and steps.max() >= len(axis):
            raise InputError(
                f"{file.path} holds step {steps.max()} of the metric '{metric}', whose axis has "
                f"{len(axis)} steps; delete it and run snakemake again"
            )
        if axis:
            found.loc[steps.index, "axis_value"] = np.asarray(axis, dtype=np.float64)[steps]
    names = ("dataset", "model", "pruner", "seed", "level", "density")
    whole: pd.DataFrame = found.assign(
        **{name: getattr(file, name) for name in names},
        undefined=found["images"] - found["n"],
        n_seeds=found["mean"].notna().astype("int64"),
    )
    return whole[list(_EMPTY)]


def _over_seeds(by_seed: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Rows of the seed "mean", one for each level's step."""
    key = [*STEP_CURVE, "step"]
    whole = by_seed.groupby(key, sort=True).agg(
        density=("density", "mean"),
        axis_value=("axis_value", "first"),
        n=("n", "sum"),
        undefined=("undefined", "sum"),
    )
    means = by_seed.groupby(key, sort=True)["mean"].agg(list)
    intervals = [student_interval(values, confidence) for values in means]
    columns = ["mean", "low", "high", "n_seeds"]
    found = pd.DataFrame(intervals, columns=columns, index=means.index)
    return whole.join(found).reset_index().assign(seed=MEAN, order=np.inf)
