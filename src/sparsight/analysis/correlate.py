"""Do accuracy and a metric of explanations move together, and more so than a control does?"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.curves import (
    ACCURACY,
    ACCURACY_ROWS,
    KEYS,
    Curve,
    Doubles,
    Floats,
    networks_by_subset,
    read_curves,
)
from sparsight.analysis.statistics import (
    CONSTANT,
    CORRELATION,
    CORRELATION_GAP,
    Series,
    adjusted_p,
    control_flags,
    correlation_interval,
    first_difference,
    kendall,
    naive_p,
    one_sample_t,
    pearson,
    rank_partial,
    spearman,
    student_interval,
)
from sparsight.analysis.tables import FEWEST_LEVELS, MEAN, MOST_EMPTY
from sparsight.io.errors import InputError

_OF_TWO = {of.__name__: of for of in (pearson, spearman, kendall, first_difference)}
COEFFICIENTS = (*_OF_TWO, "rank_partial")
#: Coefficients with an interval over draws of images. First differences have none: their noise is
#: that of the images, which a draw doubles, so that no interval covered what it said.
DRAWN_COEFFICIENTS = ("pearson", "spearman")
CURVE = [*KEYS, "subset"]
CORRELATED_SUBSETS = ("all", "correct_at_both")


def coefficient(name: str, metric: Series, accuracy: Series, density: Series) -> float:
    """One of `COEFFICIENTS` over levels [n], in [-1, 1] or NaN."""
    if name == "rank_partial":
        return rank_partial(metric, accuracy, density)
    return _OF_TWO[name](metric, accuracy)


@dataclass(frozen=True)
class Association:
    """One network's levels at which a metric is defined: four series [n], levels ascending."""

    levels: NDArray[np.int64]
    metric: Series
    accuracy: Series
    density: Series

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """From rows of `levels.csv` of one network; those without `mean` are left out."""
        series = rows.dropna(subset=["mean", "accuracy"]).sort_values("level")
        metric, accuracy, density = (
            series[name].to_numpy(dtype=np.float64) for name in ("mean", "accuracy", "density")
        )
        return cls(series["level"].to_numpy(dtype=np.int64), metric, accuracy, density)

    @cached_property
    def coefficients(self) -> dict[str, float]:
        """Each of `COEFFICIENTS`, in [-1, 1] or NaN."""
        series = self.metric, self.accuracy, self.density
        return {name: coefficient(name, *series) for name in COEFFICIENTS}

    def at(self, levels: Iterable[int]) -> "Association":
        """The same network at some of its levels."""
        kept = np.isin(self.levels, list(levels))
        if kept.all():
            return self
        columns = (self.metric, self.accuracy, self.density)
        return Association(self.levels[kept], *(column[kept] for column in columns))


def drawn_coefficients(metric: Floats, accuracy: Floats) -> dict[str, Doubles]:
    """Each of `DRAWN_COEFFICIENTS` in every draw of images, float64 [B].

    `metric` and `accuracy` are means [L, B] of L levels, ascending, in B draws. NaN where the
    function of `sparsight.analysis.statistics` is, or a level is undefined in the draw.
    """
    return {
        "pearson": _correlate(metric, accuracy),
        "spearman": _correlate(_ranks(metric), _ranks(accuracy)),
    }


def _correlate(x: Floats, y: Floats) -> Doubles:
    """Pearson r over the first axis; NaN where a series is constant or too short."""
    if x.shape[0] < FEWEST_LEVELS:
        return np.full(x.shape[1], np.nan)
    one, other = (_centre(values) for values in (x, y))
    size = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    r = (one * other).sum(axis=0) / np.where(size > 0, size, np.nan)
    return np.asarray(np.clip(r, -1.0, 1.0), dtype=np.float64)


def _centre(values: Floats) -> Doubles:
    """Deviations from the mean over the first axis; 0 in draws in which the series is constant."""
    wide = np.asarray(values, dtype=np.float64)
    constant = np.ptp(wide, axis=0) <= CONSTANT * np.max(np.abs(wide), axis=0)
    return np.where(constant, 0.0, wide - wide.mean(axis=0))


def _ranks(values: Floats) -> Doubles:
    """Ranks along the first axis, ties at their mean rank; NaN where the draw has a NaN.

    A constant series has equal ranks.
    """
    from scipy.stats import rankdata  # late: it takes a second to import

    constant = np.ptp(values, axis=0) <= CONSTANT * np.max(np.abs(values), axis=0)
    ranks = np.where(constant, 1.0, rankdata(values, axis=0))
    return np.where(np.isnan(values).any(axis=0), np.nan, ranks)


#: values of `CURVE` to the networks, with their replicates
_Loaded = Mapping[tuple[str, ...], Curve]


def _load(paths: Sequence[Path], explainer: str) -> dict[tuple[str, ...], Curve]:
    """The curves of one explainer (or of the accuracy) in the statistics of all chains."""
    curves = networks_by_subset(read_curves(paths, [explainer]), CORRELATED_SUBSETS)
    return {
        _key({**names, "subset": subset}): curve
        for names, subsets in curves
        for subset, curve in subsets.items()
    }


def _intervals(
    loaded: _Loaded,
    names: Mapping[str, str],
    networks: Mapping[int, Association],
    confidence: float,
) -> dict[str, float]:
    """`{coefficient}_images_low` and `_high` of the mean over networks; both meet the same draw.

    `names` are the values of `CURVE`; of each network (by seed) the levels of its association
    enter. Networks whose coefficient is not defined are left out, as they are of the estimate. NaN
    where no network has the coefficient, or more than 1% of the draws do not have it.
    """
    metric = _find(loaded, names)
    of_accuracy = {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
    accuracy = _find(loaded, {**names, **of_accuracy})
    drawn: dict[str, list[Doubles]] = {name: [] for name in DRAWN_COEFFICIENTS}
    for seed, one in networks.items():
        defined = [name for name in drawn if not np.isnan(one.coefficients[name])]
        if defined:
            x, y = (_levels(part, seed, one.levels, names) for part in (metric, accuracy))
            found = drawn_coefficients(x, y)
            for name in defined:
                drawn[name].append(found[name])
    limits: dict[str, float] = {}
    for name, parts in drawn.items():
        low = high = math.nan
        if parts:
            estimate = float(np.nanmean([n.coefficients[name] for n in networks.values()]))
            low, high = correlation_interval(np.mean(parts, axis=0), estimate, confidence)
        limits |= {f"{name}_images_low": low, f"{name}_images_high": high}
    return limits


def _key(names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names[key] for key in CURVE)


def _find(loaded: _Loaded, names: Mapping[str, str]) -> Curve:
    if _key(names) not in loaded:
        raise _missing(names)
    return loaded[_key(names)]


def _levels(
    networks: Curve, seed: int, levels: NDArray[np.int64], names: Mapping[str, str]
) -> NDArray[np.float32]:
    """Floats [L, B] of one network at some levels."""
    if seed not in networks.seeds or not np.isin(levels, networks.levels).all():
        raise _missing({**names, "seed": str(seed), "levels": ", ".join(map(str, levels))})
    places = np.searchsorted(networks.levels, levels)
    return np.asarray(networks.replicates[networks.seeds.index(seed), places], dtype=np.float32)


def _missing(names: Mapping[str, str]) -> InputError:
    wanted = ", ".join(f"{key} '{name}'" for key, name in names.items())
    return InputError(
        f"the statistics of the chains lack rows that the table of levels has ({wanted}); "
        "delete statistics.parquet of this pruner and run snakemake again"
    )


GAP_COEFFICIENTS = ("pearson", "spearman", "first_difference", "rank_partial")
PLACE = ["dataset", "model", "pruner", "condition", "metric", "subset", "levels"]
#: values of `PLACE`, then of each explainer its networks by seed
Curves = Mapping[tuple[str, ...], Mapping[str, Mapping[int, Association]]]


def write_control_gaps(
    curves: Curves, output: Path, controls: Collection[str], confidence: float
) -> None:
    """Write `control_gaps.csv`: correlations with accuracy, less those of the controls.

    One row per data set, model, pruner, explainer, control, condition, metric, subset, range of
    levels and coefficient. Of both, only the levels that both have are used: an explainer that ran
    at six levels is compared with the control at these six. Controls are compared with no other,
    and those whose coefficient is defined for no network (their score is constant) have no row.
    """
    rows = [
        {**dict(zip(PLACE, place, strict=True)), **row}
        for place, found in curves.items()
        for row in _gaps(found, controls, confidence)
    ]
    table = pd.DataFrame(rows, columns=tables.TABLES["control_gaps"].names)
    table["p_adjusted"] = adjusted_p(table, ())
    names = [*("dataset", "model", "pruner", "explainer", "control"), *PLACE[3:]]
    # Stable: coefficients stay in their order.
    tables.write("control_gaps", output, table.sort_values(names, kind="stable"))


def _gaps(
    found: Mapping[str, Mapping[int, Association]], controls: Collection[str], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of the explainers that share data set, model, pruner, images, metric and range."""

    @cache
    def coefficients(name: str, seed: int, levels: tuple[int, ...]) -> dict[str, float]:
        return found[name][seed].at(levels).coefficients

    explainers, against = sorted(set(found) - set(controls)), sorted(set(found) & set(controls))
    for explainer, control in product(explainers, against):
        one, other = found[explainer], found[control]
        # the levels that both have, of each network that both have
        levels = {
            seed: tuple(np.intersect1d(one[seed].levels, other[seed].levels).tolist())
            for seed in sorted(set(one) & set(other))
        }
        counts = np.array([len(at) for at in levels.values()])
        for name in GAP_COEFFICIENTS:
            pairs = [
                [coefficients(who, seed, at)[name] for who in (explainer, control)]
                for seed, at in levels.items()
            ]
            values = np.array(pairs).reshape(-1, 2)
            if np.isnan(values[:, 1]).all():
                continue
            both = np.isfinite(values).all(axis=1)
            test = one_sample_t(values[both, 0] - values[both, 1], confidence, CORRELATION_GAP)
            means = values[both].mean(axis=0) if test.n else (np.nan, np.nan)
            yield {
                **{"explainer": explainer, "control": control, "coefficient": name},
                "n_seeds": test.n,
                "n_levels": int(counts[both].min()) if test.n else 0,
                **{"explainer_mean": means[0], "control_mean": means[1]},
                **test.columns("gap"),
            }


#: of the stage `correlations`: see `sparsight.study.versions`
VERSION = 2


def correlate(
    levels: Path,
    statistics: Iterable[Path],
    output: Path,
    gaps: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `correlations.csv` from `levels.csv`, and `control_gaps.csv` next to it.

    One row per data set, model, pruner, explainer, condition, metric, subset, range of levels and
    seed, and one with the seed "mean". `levels` is "all" or "density_at_least_{floor}": most of a
    correlation usually comes from the collapse at the sparse end, which the second range leaves
    out. Pruners with fewer than three levels have no rows.

    Where maps are empty, what follows the accuracy is their number: the columns `…_shown` leave
    out, of each network, the levels at which more than a tenth of the maps is empty.

    Where a control correlates as well as an explainer, the correlation says nothing about that
    explainer; see `write_control_gaps`. `published_p` is wrong as a test: levels are ordered and
    autocorrelated (independent AR(.7) series of 26 levels fall below .05 in 24% of cases). The
    intervals over images take in each draw the coefficient of every network, then their mean
    (`correlation_interval`); they are empty where more than 1% of the draws lack the mean of a
    level. Intervals over networks are those of `student_interval` on Fisher's scale; `p` takes r as
    one number per network, without a transform. A cell is empty, never 0,
    where the quantity is not defined (a series that is constant, as that of a model-independent
    control; too few levels). An `InputError` is raised where files are missing, corrupt, or do not
    belong together.

    Parameters
    ----------
    levels : `levels.csv`.
    statistics : `statistics.parquet` of each chain of the same study, in any order.
    output, gaps : the tables; see `write_control_gaps` for the second.
    settings : `controls` (names of the explainers that are controls), `statistics` (with
        `confidence` and `density_floor`).
    """
    floor = float(settings["statistics"]["density_floor"])
    confidence = float(settings["statistics"]["confidence"])
    controls = set(settings["controls"])
    frame = tables.read("levels", levels)
    # Retraining, for one, has a single level and no curve.
    count = frame.groupby(["dataset", "model", "pruner"])["level"].transform("nunique")
    frame = frame[(count >= FEWEST_LEVELS) & frame["subset"].isin(CORRELATED_SUBSETS)]
    # Levels at which every network of a curve keeps the share `floor`, up to the rounding of whole
    # weights: judged one by one, the seeds of a curve would have different numbers of levels.
    smallest = frame.groupby([*CURVE, "level"])["density"].transform("min")
    above = frame[smallest >= floor * (1.0 - 1e-9)]
    ranges = {"all": frame, f"density_at_least_{floor:g}": above}
    paths = [Path(path) for path in statistics]
    accuracy = _load(paths, ACCURACY_ROWS)
    rows: list[dict[str, Any]] = []
    curves: dict[tuple[str, ...], dict[str, dict[int, Association]]] = {}
    # The replicates of one explainer at a time are in memory.
    for explainer in sorted(frame["explainer"].unique()):
        loaded = {**accuracy, **_load(paths, explainer)}
        for label, part in ranges.items():
            for key, curve in part[part["explainer"] == explainer].groupby(CURVE, sort=True):
                names = {column: str(name) for column, name in zip(CURVE, key, strict=True)}
                networks = {
                    int(str(seed)): Association.of(of_seed)
                    for seed, of_seed in curve.groupby("seed", sort=True)
                }
                *seeds, mean = _correlate_curve(networks, curve, confidence)
                mean |= _intervals(loaded, names, networks, confidence)
                rows += [{**names, "levels": label, **row} for row in (*seeds, mean)]
                place = tuple({**names, "levels": label}[name] for name in PLACE)
                curves.setdefault(place, {})[explainer] = networks
    table = pd.DataFrame(rows, columns=tables.TABLES["correlations"].names)
    table["control"] = control_flags(table, controls)
    table["p_adjusted"] = adjusted_p(table, controls)
    # Stable: the seeds of a curve stay in their order, their mean last.
    tables.write("correlations", output, table.sort_values([*CURVE, "levels"], kind="stable"))
    write_control_gaps(curves, gaps, controls, confidence)


def _correlate_curve(
    networks: Mapping[int, Association], curve: pd.DataFrame, confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of one curve: one per seed, then their mean."""
    shown = {seed: _where_shown(curve[curve["seed"] == seed]) for seed in networks}
    for seed, one in networks.items():
        counts = {"seed": str(seed), "n_seeds": 1, "n_levels": len(one.levels)}
        yield {**counts, **one.coefficients, **shown[seed]}
    summary: dict[str, Any] = {"seed": MEAN, "n_seeds": len(networks)}
    for name in COEFFICIENTS:
        values = [one.coefficients[name] for one in networks.values()]
        interval = student_interval(values, confidence, CORRELATION)
        summary[name] = interval.mean
        summary |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        summary[f"{name}_seeds"] = interval.networks
    of_seeds = pd.DataFrame(shown.values())
    summary["empty_share"] = of_seeds["empty_share"].mean()
    summary["n_levels_shown"] = of_seeds["n_levels_shown"].min()
    for name in (f"{coefficient}_shown" for coefficient in DRAWN_COEFFICIENTS):
        interval = student_interval(of_seeds[name].tolist(), confidence, CORRELATION)
        summary |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        summary[f"{name}_seeds"] = interval.networks
    p = one_sample_t([one.coefficients["pearson"] for one in networks.values()], confidence).p
    yield {**summary, **_published(curve), "p": p}


def _where_shown(rows: pd.DataFrame) -> dict[str, float]:
    """Of one network: its share of empty maps, and coefficients of levels with few of them."""
    defined = rows.dropna(subset=["mean", "accuracy"])
    # A share that is not known (NaN) is not small.
    one = Association.of(defined[defined["empty_share"] <= MOST_EMPTY])
    return {
        "empty_share": float(defined["empty_share"].mean()),
        "n_levels_shown": len(one.levels),
        **{f"{name}_shown": one.coefficients[name] for name in DRAWN_COEFFICIENTS},
    }


def _published(curve: pd.DataFrame) -> dict[str, Any]:
    """Pearson r and naive p of the seed-averaged series (levels that all seeds share)."""
    # [levels, seeds]; a level that a seed lacks, or at which it is undefined, gives NaN.
    table = curve.pivot(index="level", columns="seed", values=["mean", "accuracy"])
    metric, accuracy = (
        table[name].to_numpy(dtype=np.float64).mean(axis=1) for name in ("mean", "accuracy")
    )
    shared = np.isfinite(metric) & np.isfinite(accuracy)
    x, y = metric[shared], accuracy[shared]
    found = {"published_form": pearson(x, y), "published_p": naive_p(x, y)}
    return {"n_levels": int(shared.sum()), **found}
