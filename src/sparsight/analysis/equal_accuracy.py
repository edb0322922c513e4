"""Ways of pruning at equal accuracy: what explanations are like where networks have lost as much.

At equal density, the pruner whose networks err more also has the explanations that moved more. So
each network's curve over levels is read off where its accuracy has fallen by a given loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.agreement import DENSE_PARENT
from sparsight.analysis.curves import ACCURACY, KEYS, Doubles, difference, performance_curves
from sparsight.analysis.statistics import control_flags, student_interval
from sparsight.analysis.tables import MEAN

VERSION = 1
#: accuracy of the dense network minus that of the pruned one, at which pruners are compared
LOSSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
#: kinds of rows: agreement with the dense parent, and metrics minus those of the dense network
AGREEMENT, CHANGE = "agreement", "change"
# Differences of shares: .29 - .28 is less than .01 by some 1e-17.
_ROUNDING = 1e-9


class Reached(NamedTuple):
    """Where each of S networks first loses so much accuracy: between two of its levels.

    Attributes
    ----------
    lower, upper : int64 [S], places of the two levels; equal where the first one has just this
        loss.
    share : float64 [S] in (0, 1], how much of the loss from the lower to the upper level it is; NaN
        where the loss is not reached, or before the first level.
    apart : float64 [S] in [0, 1], accuracy of the lower level minus that of the upper one; 0 where
        the upper level has just this loss.
    """

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    share: Doubles
    apart: Doubles

    def between(self, values: Doubles) -> Doubles:
        """Values [S, L] there: [S], linear in the accuracy; NaN where one of the two levels is."""
        networks = np.arange(len(values))
        low, high = values[networks, self.lower], values[networks, self.upper]
        return np.asarray(low + self.share * (high - low))


def first_reached(losses: Doubles, loss: float) -> Reached:
    """Where networks first lose `loss` of their accuracy.

    `losses` [S, L] are those of all levels but the dense one, whose map agrees with itself and
    tells nothing of a pruner; NaN where the accuracy is unknown. Nothing is extrapolated: the loss
    is not reached where the first level has lost more already, or the last one less.
    """
    networks = len(losses)
    lower, upper = (np.zeros(networks, dtype=np.int64) for _ in range(2))
    share, apart = (np.full(networks, np.nan) for _ in range(2))
    for network, lost in enumerate(losses):
        known = np.flatnonzero(np.isfinite(lost))
        reached = known[lost[known] >= loss - _ROUNDING]
        if not reached.size:
            continue
        last = reached[0]
        before = known[known < last]
        exact = lost[last] <= loss + _ROUNDING
        if not (exact or before.size):
            continue
        first = before[-1] if before.size else last
        lower[network], upper[network] = first, last
        width = lost[last] - lost[first]
        share[network] = 1.0 if exact else (loss - lost[first]) / width
        apart[network] = 0.0 if exact else width
    return Reached(lower, upper, share, apart)


def run(
    evaluations: Path,
    levels: Path,
    agreement: Path,
    equal_accuracy: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `equal_accuracy.csv`.

    A row for each loss of `LOSSES` and each network (seed) of every curve, and one with the seed
    "mean" over the networks that reach the loss. The accuracy is that of the test split, for the
    same condition of the images; levels are those at which the explainer ran.

    Parameters
    ----------
    evaluations : `evaluations.parquet`; `levels`, `agreement` : those tables.
    settings : `statistics` (with `confidence`), `controls` (explainers that are controls), `floors`
        (each pruner that prunes, to those that only retrain and rewind as it does).
    """
    accuracy = performance_curves(evaluations, "test", ACCURACY)
    networks = ["dataset", "model", "pruner", "condition"]
    performance = dict(iter(accuracy.groupby(networks)))
    compared = tables.read("agreement", agreement)
    compared = compared[(compared["reference"] == DENSE_PARENT) & (compared["seed"] != MEAN)]
    compared = compared.astype({"seed": "int64"})
    scored = tables.read("levels", levels)
    scored = scored[scored["subset"] == "all"]
    confidence = float(settings["statistics"]["confidence"])
    found: list[dict[str, Any]] = []
    for kind, frame in ((AGREEMENT, compared), (CHANGE, scored)):
        retrained = _retrained(compared) if kind == AGREEMENT else {}
        for names, rows in frame[frame["pruner"].isin(list(settings["floors"]))].groupby(KEYS):
            dataset, model, pruner, explainer, condition, metric = names
            curve = dict(zip(KEYS, names, strict=True)) | {"kind": kind}
            floor = _mean_by_seed(
                retrained.get((dataset, model, other, explainer, condition, metric), {})
                for other in settings["floors"][pruner]
            )
            known = performance[dataset, model, pruner, condition]
            for row in _rows(rows, known, kind == CHANGE, floor, confidence):
                found.append(curve | row)
    table = pd.DataFrame(found, columns=tables.TABLES["equal_accuracy"].names)
    table["control"] = control_flags(table, settings["controls"])
    numbers = [name for name, of in tables.TABLES["equal_accuracy"].dtypes.items()
               if of == "float64"]  # fmt: skip
    # Where nothing is defined, a column would hold no numbers, and be written as it comes.
    tables.write("equal_accuracy", equal_accuracy, table.astype(dict.fromkeys(numbers, "float64")))


def _retrained(compared: pd.DataFrame) -> dict[Any, dict[int, float]]:
    """Mean agreement over the levels of each pruner's curves, by seed."""
    means = compared.groupby([*KEYS, "seed"])["mean"].mean().dropna()
    found: dict[Any, dict[int, float]] = {}
    for (*names, seed), mean in zip(means.index, means, strict=True):
        found.setdefault(tuple(names), {})[int(seed)] = float(mean)
    return found


def _mean_by_seed(parts: Iterator[Mapping[int, float]]) -> dict[int, float]:
    """Mean over the parts that have a seed."""
    values: dict[int, list[float]] = {}
    for part in parts:
        for seed, value in part.items():
            values.setdefault(seed, []).append(value)
    return {seed: float(np.mean(of)) for seed, of in values.items()}


def _rows(
    rows: pd.DataFrame,
    performance: pd.DataFrame,
    against_dense: bool,
    floor: Mapping[int, float],
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of one curve: of each loss its networks, then their mean.

    Parameters
    ----------
    rows : seed, level and mean of the curve.
    performance : the accuracy of its pruner's networks, as `performance_curves` gives it.
    against_dense : whether the value at level 0 is taken away.
    floor : seed to the agreement after retraining alone.
    """
    means = rows.pivot(index="seed", columns="level", values="mean")
    pruned = [int(level) for level in means.columns if int(level) > 0]
    values = means.reindex(columns=pruned).to_numpy(dtype=np.float64)
    if against_dense:
        dense = means.reindex(columns=[0]).to_numpy(dtype=np.float64)
        values = difference(values, dense)
    accuracy, density = (
        performance.pivot(index="seed", columns="level", values=name).reindex(means.index)
        for name in ("value", "density")
    )
    losses = accuracy[[0]].to_numpy() - accuracy.reindex(columns=pruned).to_numpy()
    with np.errstate(divide="ignore"):
        left = np.log(density.reindex(columns=pruned).to_numpy(dtype=np.float64))
    # An empty network has no place on a logarithmic scale.
    left[np.isinf(left)] = np.nan
    seeds = [int(seed) for seed in means.index]
    retrained = np.array([floor.get(seed, np.nan) for seed in seeds])
    for loss in LOSSES:
        reached = first_reached(losses, loss)
        value = reached.between(values)
        defined = np.isfinite(value)
        facts = {
            "value": value,
            "density": np.where(defined, np.exp(reached.between(left)), np.nan),
            "accuracy_apart": np.where(defined, reached.apart, np.nan),
            "retrain_floor": retrained,
            "minus_retrain_floor": value - retrained,
        }
        for place, seed in enumerate(seeds):
            one = {name: of[place] for name, of in facts.items()}
            yield {
                "loss": loss,
                "seed": str(seed),
                "n_seeds": int(defined[place]),
                "of_seeds": 1,
                **one,
            }
        yield {
            "loss": loss,
            "seed": MEAN,
            "n_seeds": int(defined.sum()),
            "of_seeds": len(seeds),
            **{name: _mean(facts[name]) for name in ("density", "accuracy_apart")},
            **_interval("value", value, confidence, ("low", "high")),
            # The floor is that of all networks: it has no loss.
            **_interval("retrain_floor", list(floor.values()), confidence),
            **_interval("minus_retrain_floor", facts["minus_retrain_floor"], confidence),
        }


def _mean(values: Doubles) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else np.nan


def _interval(
    name: str,
    values: Sequence[float] | Doubles,
    confidence: float,
    limits: tuple[str, str] | None = None,
) -> dict[str, float]:
    """Columns of a mean over networks and its Student t interval."""
    low, high = limits or (f"{name}_low", f"{name}_high")
    found = student_interval(list(values), confidence)
    return {name: found.mean, low: found.low, high: found.high}
