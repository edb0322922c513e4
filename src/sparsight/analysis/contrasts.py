"""Levels against dense, hard images against easy ones, correct predictions against incorrect.

Each table is written from `statistics.parquet` of all chains of a study, in any order, one
explainer at a time. `settings` are `controls` (explainers that are controls) and `statistics` (with
`confidence`). Files that are missing, corrupt or do not belong together are an `InputError`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    networks_by_subset,
    read_curves,
    read_explainers,
    with_bits,
)
from sparsight.analysis.resample import BOTH, CHANGE_AT_BOTH, CORRECT, INCORRECT, STRATA
from sparsight.analysis.statistics import (
    FAMILY,
    SHARE,
    UNBOUNDED,
    Range,
    adjusted_p,
    control_flags,
    one_sample_t,
    percentile_interval,
    student_interval,
)
from sparsight.analysis.tables import ALL_LEVELS, MEAN

#: of the stage `contrasts`: see `sparsight.study.versions`
VERSION = 3
CONTRASTED_SUBSETS = ("all", BOTH)
PLACE = ["dataset", "model", "pruner", "level", "explainer", "condition", "metric", "subset"]


def contrast(
    statistics: Iterable[Path], evaluations: Path, output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `contrasts.csv`.

    One row per data set, model, pruner, level, explainer, condition, metric and subset (`all`,
    `correct_at_both`), and the same for the accuracy over all test images (explainer "", metric
    "accuracy"), whose interval over networks is on the logit scale. `difference` is the mean over
    networks of this level minus level 0 of the same network, in `correct_at_both` image by image
    over what both get right; only networks that are defined at both enter. Differences below 1e-6
    of the values, the rounding of scores, are 0. `p` is that of the paired t; it is empty with
    fewer than two networks and where all networks differ by the same amount, which no test covers.
    """
    confidence = float(settings["statistics"]["confidence"])
    rows = [
        {**names, "subset": subset, **row}
        for names, found in _curves(statistics, (*CONTRASTED_SUBSETS, CHANGE_AT_BOTH), True)
        for subset, networks in found.items()
        if subset in CONTRASTED_SUBSETS
        for row in _contrast_rows(
            networks,
            _changes(subset, found),
            confidence,
            SHARE if names["metric"] == ACCURACY else UNBOUNDED,
        )
    ]
    _write_contrasts("contrasts", rows, evaluations, output, settings["controls"])


def _curves(
    statistics: Iterable[Path], subsets: Sequence[str], accuracy: bool = False
) -> Iterator[tuple[dict[str, str], dict[str, Curve]]]:
    """`networks_by_subset` of all explainers, and of the accuracy, one after the other."""
    paths = [Path(path) for path in statistics]
    for explainer in [*([ACCURACY_ROWS] if accuracy else []), *read_explainers(paths)]:
        yield from networks_by_subset(read_curves(paths, [explainer]), subsets)


def _changes(subset: str, found: Mapping[str, Curve]) -> Curve:
    """Differences to the dense networks; of `correct_at_both` they were taken image by image."""
    if subset != BOTH:
        return found[subset].against_dense()
    # Dense networks alone: nothing was pruned, or nothing of it explained.
    return found.get(CHANGE_AT_BOTH) or found[subset].undefined()


def _contrast_rows(
    values: Curve,
    changes: Curve,
    confidence: float,
    bounds: Range = UNBOUNDED,
) -> Iterator[dict[str, Any]]:
    """A row per level; `changes` are the differences to dense, `bounds` the range of `values`."""
    intervals = {
        "mean_images": values.image_intervals(confidence),
        "difference_images": changes.image_intervals(confidence),
    }
    for place, level in enumerate(values.levels):
        mean = student_interval(values.mean[:, place].tolist(), confidence, bounds)
        change = one_sample_t(changes.mean[:, place], confidence)
        yield {
            "level": level,
            "density": _mean_density(values, place),
            "n_seeds": mean.networks,
            **{"mean": mean.mean, "mean_low": mean.low, "mean_high": mean.high},
            **change.columns("difference"),
            **({} if change.n else {"seeds_up": None, "seeds_down": None}),
            **{f"{name}_low": low[place] for name, (low, _) in intervals.items()},
            **{f"{name}_high": high[place] for name, (_, high) in intervals.items()},
        }


def _mean_density(curve: Curve, place: int) -> float:
    """Over the networks at a level whose density is known."""
    density = curve.density[:, place]
    known = density[np.isfinite(density)]
    return float(known.mean()) if known.size else np.nan


def _write_contrasts(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    evaluations: Path,
    output: Path,
    controls: Sequence[str],
    family: Sequence[str] = FAMILY,
) -> None:
    """Write the table `name` from rows of contrasts; see `adjusted_p` for `family`."""
    names = tables.TABLES[name].names
    table = pd.DataFrame(rows, columns=[*names, *(set(family) - set(names))])
    table = with_bits(table, evaluations)
    table["control"] = control_flags(table, controls)
    table["p_adjusted"] = adjusted_p(table, controls, family)
    tables.write(name, output, table.sort_values(PLACE)[names])


#: of the stage `strata`: see `sparsight.study.versions`
STRATA_VERSION = 2
GAP = "hard_minus_easy"


def stratify(
    statistics: Iterable[Path], evaluations: Path, output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `strata.csv`: rows as those of `contrast`, for other subsets.

    They are `hard`, `medium` and `easy` (thirds of the images by the *dense* network's margin, the
    same images at every level of a chain) and `hard_minus_easy`. There `mean` is that of the hard
    minus that of the easy images of each network, and `difference` is how much more the hard images
    changed from level 0 than the easy ones: 0 where both changed alike. These rows ask another
    question than the strata, and are a family of their own in the correction.
    """
    confidence = float(settings["statistics"]["confidence"])
    rows = [
        {**names, "subset": subset, "is_gap": subset == GAP, **row}
        for names, found in _curves(statistics, STRATA)
        for subset, values, changes in _strata(found)
        for row in _contrast_rows(values, changes, confidence)
    ]
    _write_contrasts("strata", rows, evaluations, output, settings["controls"], (*FAMILY, "is_gap"))


def _strata(found: Mapping[str, Curve]) -> Iterator[tuple[str, Curve, Curve]]:
    """Each stratum and the gap between them: values and changes from level 0."""
    changes = {name: networks.against_dense() for name, networks in found.items()}
    for name, networks in found.items():
        yield name, networks, changes[name]
    hard, easy = STRATA[0], STRATA[-1]
    if hard in found and easy in found:
        yield GAP, found[hard].minus(found[easy]), changes[hard].minus(changes[easy])


#: of the stage `correctness`: see `sparsight.study.versions`
CORRECTNESS_VERSION = 2
Entering = NDArray[np.bool_]


def compare_predictions(
    statistics: Iterable[Path], evaluations: Path, output: Path, settings: Mapping[str, Any]
) -> None:
    """Write `correctness.csv`.

    Per data set, model, pruner, level, explainer, condition and metric one row for each seed and
    one with the seed "mean"; and again with the level "all", the mean over the levels of a
    network that have correct and incorrect images. A draw without incorrect images of a level has
    no difference there; over all levels it is then the mean over the others.
    """
    confidence = float(settings["statistics"]["confidence"])
    rows = [
        {**names, **row}
        for names, found in _curves(statistics, (CORRECT, INCORRECT))
        if CORRECT in found and INCORRECT in found
        for row in _correctness(found[CORRECT], found[INCORRECT], confidence)
    ]
    table = pd.DataFrame(rows, columns=tables.TABLES["correctness"].names)
    table = with_bits(table, evaluations)
    table["control"] = control_flags(table, settings["controls"])
    table["p_adjusted"] = adjusted_p(table, settings["controls"])
    # Stable: levels and seeds of a curve stay in their order.
    tables.write("correctness", output, table.sort_values(KEYS, kind="stable"))


def _correctness(correct: Curve, incorrect: Curve, confidence: float) -> Iterator[dict[str, Any]]:
    """Rows of one curve: all levels first, then level by level."""
    gap = correct.minus(incorrect)
    every = np.isfinite(gap.mean)
    for row in _rows(correct, incorrect, gap, every, confidence):
        yield {**row, "level": ALL_LEVELS}
    for place, level in enumerate(gap.levels):
        here = every & (np.arange(len(gap.levels)) == place)
        for row in _rows(correct, incorrect, gap, here, confidence):
            yield {**row, "level": str(level), "density": _mean_density(gap, place)}


def _rows(
    correct: Curve, incorrect: Curve, gap: Curve, entering: Entering, confidence: float
) -> Iterator[dict[str, Any]]:
    """One row per seed, then their mean, over the entering levels, bool [S, L]."""
    replicates = _drawn_over_levels(gap.replicates, entering)
    low, high = percentile_interval(replicates, confidence)
    per_seed = {
        "n_levels": entering.sum(axis=1),
        "n_correct": (correct.n * entering).sum(axis=1),
        "n_incorrect": (incorrect.n * entering).sum(axis=1),
        "mean_correct": _over_levels(correct.mean, entering),
        "mean_incorrect": _over_levels(incorrect.mean, entering),
        "difference": _over_levels(gap.mean, entering),
        "difference_images_low": low,
        "difference_images_high": high,
    }
    defined = np.isfinite(per_seed["difference"])
    for place, seed in enumerate(gap.seeds):
        values = {name: column[place] for name, column in per_seed.items()}
        yield {"seed": str(seed), "n_seeds": int(defined[place]), **values}
    counts = {name: int(per_seed[name].sum()) for name in ("n_correct", "n_incorrect")}
    mean = {"seed": MEAN, "n_seeds": int(defined.sum()), "n_levels": 0, **counts}
    if defined.any():
        # Undefined where one of these networks is: else this were the mean over other networks.
        low, high = percentile_interval(replicates[defined].mean(axis=0), confidence)
        averages = ("mean_correct", "mean_incorrect")
        mean |= {
            "n_levels": int(per_seed["n_levels"][defined].min()),
            **{name: float(per_seed[name][defined].mean()) for name in averages},
            **one_sample_t(per_seed["difference"], confidence).columns("difference"),
            "difference_images_low": float(low),
            "difference_images_high": float(high),
        }
    yield mean


def _over_levels(values: Doubles, entering: Entering) -> Doubles:
    """Mean [S] of [S, L] over the entering levels; NaN where there are none."""
    count = entering.sum(axis=1)
    total = np.where(entering, values, 0.0).sum(axis=1)
    return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)


def _drawn_over_levels(replicates: NDArray[np.float32], entering: Entering) -> Doubles:
    """Mean [S, B] of [S, L, B] over the entering levels that are defined in a draw."""
    chosen = entering.any(axis=0)
    part = replicates[:, chosen]
    defined = entering[:, chosen, np.newaxis] & np.isfinite(part)
    count = defined.sum(axis=1)
    total = np.where(defined, part, np.float32(0.0)).sum(axis=1, dtype=np.float64)
    return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)
