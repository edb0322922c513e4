"""How far explanations move under pruning, beside how far they move for other reasons."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.agreement_files import (
    CURVE,
    AgreementFile,
    Described,
    describe,
    mean_of_defined,
)
from sparsight.analysis.agreement_floors import FLOORS, Floors, floor_spread
from sparsight.analysis.bootstrap import draw_counts, percentile_interval
from sparsight.analysis.curves import DENSE
from sparsight.analysis.inference import benjamini_hochberg
from sparsight.analysis.statistics import student_interval
from sparsight.io.errors import InputError
from sparsight.io.tables import write_csv

#: of the stage `agreement_table`: see `sparsight.study.versions`
VERSION = 1

LEVEL = ["dataset", "model", "pruner", "level"]
MEAN = "mean"
DIFFERENCE = ("", "_low", "_high", "_seeds", "_p", "_p_adjusted")
AGREEMENT_COLUMNS = [
    *LEVEL,
    "explainer",
    "control",
    *CURVE[1:],
    "subset",
    "seed",
    "reference",
    "density",
    "n_seeds",
    "n",
    "undefined",
    *("mean", "low", "high", "images_low", "images_high", "sd", "median"),
    *(f"minus_{floor}{part}" for floor in FLOORS for part in DIFFERENCE),
]
_WHOLE = ("n_seeds", "n", "undefined", *(f"minus_{floor}_seeds" for floor in FLOORS))


def summarise_agreement(
    agreement: Iterable[Path], output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `agreement.csv` from the agreement of all checkpoints.

    One row per data set, model, pruner, level, explainer, condition, metric and seed, and one with
    the seed "mean". A pruned or retrained network was compared with the dense network of its seed
    (`reference` is "dense_parent"), a dense network with those of all other seeds ("seed_floor");
    the rows of a retraining pruner are the *retrain floor*: networks that differ in nothing but the
    order of their batches. Agreement below that floor is what pruning does.

    Columns
    -------
    n, undefined : values (images, for the seed floor images × other seeds) with and without a
        defined value: maps that are constant have none.
    mean, sd, median : over the n; for the seed floor, `mean` is the mean over the other seeds.
    low, high : in rows "mean", Student t interval over seeds. A dense network takes part in several
        pairs, so the interval of the seed floor is over the jackknife's pseudo-values
        (`pseudo_values`); below three networks it has none.
    images_low, images_high : in rows "mean", percentile interval over draws of images *for these
        networks*.
    minus_retrain_floor : mean over seeds of the agreement of a pruned network minus that of the
        retrained networks of its seed (the mean over their levels); with _low, _high and _p of the
        paired t over _seeds networks, and _p_adjusted (Benjamini-Hochberg within data set, model
        and pruner, controls not counted).
    minus_seed_floor : likewise, minus the seed floor, with its pseudo-values.

    A cell is empty where the quantity is not defined.

    Parameters
    ----------
    agreement : files as `sparsight.metrics.agreement` writes them, read one at a time.
    output : the table.
    settings : `statistics` (`replicates`, `bootstrap_seed`, `confidence`), `retrain` (pruners that
        only retrain), `controls` (explainers that are controls).

    Raises
    ------
    InputError
        When files are missing, doubled, or do not belong together.
    """
    statistics = settings["statistics"]
    confidence = float(statistics["confidence"])
    by_seed: list[dict[str, Any]] = []
    images: dict[tuple[Any, ...], tuple[float, float]] = {}
    for _, files in groupby(_files(agreement), lambda file: file.dataset):
        members = list(files)
        ids = np.unique(np.concatenate([file.image_ids() for file in members]))
        counts = draw_counts(ids, int(statistics["replicates"]), int(statistics["bootstrap_seed"]))
        for place, level in groupby(members, lambda file: file.place):
            drawn: dict[tuple[str, ...], list[NDArray[np.float32]]] = {}
            for file in level:
                for curve, described in describe(file, ids, counts).items():
                    by_seed.append(_row(file, curve, described))
                    drawn.setdefault(curve, []).append(described.replicates)
            for curve, replicates in drawn.items():
                low, high = percentile_interval(mean_of_defined(np.stack(replicates)), confidence)
                images[place + curve] = (float(low), float(high))
    retrain, controls = set(settings["retrain"]), set(settings["controls"])
    rows = list(_with_means(by_seed, images, retrain, confidence))
    table = pd.DataFrame(rows, columns=AGREEMENT_COLUMNS)
    table["control"] = table["explainer"].isin(controls).map({True: "true", False: "false"})
    write_csv(output, _adjusted(table).astype(dict.fromkeys(_WHOLE, "Int64")))


def _files(paths: Iterable[Path]) -> list[AgreementFile]:
    """All files with rows in their order; refused where they do not belong together."""
    opened = [AgreementFile.open(Path(path)) for path in paths]
    files = sorted(file for file in opened if file is not None)
    studies = sorted({file.study for file in files})
    if len(studies) > 1:
        raise InputError(
            f"agreement of several studies ({', '.join(studies)}); summarise one study at a time"
        )
    owner: dict[tuple[Any, ...], Path] = {}
    for file in files:
        for explainer in file.explainers:
            key = (*file.place, file.seed, explainer)
            if key in owner:
                raise InputError(
                    f"{owner[key]} and {file.path} both compare the explainer '{explainer}' of one "
                    "checkpoint; give each file once and let each explainer belong to one family"
                )
            owner[key] = file.path
    return files


def _row(file: AgreementFile, curve: tuple[str, ...], described: Described) -> dict[str, Any]:
    return {
        **dict(zip(LEVEL, file.place, strict=True)),
        **dict(zip(CURVE, curve, strict=True)),
        "subset": "all",
        "seed": file.seed,
        "reference": "seed_floor" if file.pruner == DENSE else "dense_parent",
        "density": file.density,
        "n_seeds": 1,
        **described.facts,
    }


def _with_means(
    by_seed: list[dict[str, Any]],
    images: Mapping[tuple[Any, ...], tuple[float, float]],
    retrain: set[str],
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of each curve's level: the seeds in their order, then their mean."""
    floors = Floors(by_seed, retrain)
    names = [*LEVEL, *CURVE]
    ordered = sorted(by_seed, key=lambda row: (*(row[name] for name in names), row["seed"]))
    for key, members in groupby(ordered, lambda row: tuple(row[name] for name in names)):
        rows = list(members)
        yield from rows
        low, high = images[key]
        values = {row["seed"]: row["mean"] for row in rows}
        first = rows[0]
        is_floor = first["pruner"] in (DENSE, *retrain)
        # No other row can tell by how much the mean over pairs errs.
        spread = floor_spread(rows) if first["pruner"] == DENSE else values
        interval = student_interval(list(spread.values()), confidence)
        defined = [value for value in values.values() if np.isfinite(value)]
        yield {
            **{name: first[name] for name in (*names, "subset", "reference")},
            "seed": MEAN,
            "density": float(np.mean([row["density"] for row in rows])),
            "n_seeds": len(defined),
            **{name: sum(row[name] for row in rows) for name in ("n", "undefined")},
            "mean": float(np.mean(defined)) if defined else np.nan,
            "low": interval.low,
            "high": interval.high,
            "images_low": low,
            "images_high": high,
            **({} if is_floor else floors.differences(first, values, confidence)),
        }


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust the ps of each pruner's rows; each floor is a family of its own."""
    tested = table[(table["seed"] == MEAN) & (table["control"] == "false")]
    for _, rows in tested.groupby(["dataset", "model", "pruner"]):
        for floor in FLOORS:
            p = rows[f"minus_{floor}_p"].to_numpy(dtype=np.float64)
            table.loc[rows.index, f"minus_{floor}_p_adjusted"] = benjamini_hochberg(p)
    # Where nothing was tested, a column would hold no numbers, and be written as it comes.
    return table.astype({name: "float64" for name in table.columns if name.startswith("minus_")})
