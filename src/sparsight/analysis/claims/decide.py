"""Decide the claims of a study: the confirmatory family, with one correction for all."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sparsight.analysis import tables
from sparsight.analysis.claims.base import ClaimCurves, ClaimTest, Evidence
from sparsight.analysis.claims.registry import CLAIMS, COMMON_KEYS
from sparsight.analysis.concepts import convergence_refusal
from sparsight.analysis.curves import ACCURACY_ROWS, DENSE, read_curves
from sparsight.analysis.statistics import holm, one_sample_t
from sparsight.analysis.tables import CONTRADICTED, SUPPORTED, UNDECIDED, join_values

logger = logging.getLogger(__name__)
#: of the stage `claims`: see `sparsight.study.versions`
VERSION = 2
_COPIED = [key for key in COMMON_KEYS if key != "published"]


def check_claims(
    statistics: Iterable[Path],
    output: Path,
    settings: Mapping[str, Any],
    concepts: Iterable[Path] = (),
    orders: Iterable[Path] = (),
) -> None:
    """Write `claims.csv`: one row a claim, in the order of the configuration.

    Claims whose quantity only counts networks have no interval, and those without a sound interval
    over images (steps from level to level, gaps to a control) none over these. A claim without a
    test (one network, no spread between networks, moot, fits that had not converged) counts in the
    correction with p = 1: whether it can be tested depends on the data, and the family must not.

    A verdict is wrong in any row of a study with probability at most 1 - confidence: under every
    dependence of the rows where the quantities lie on their bounds (Holm 1979); for wrong signs of
    others the proof takes the rows for independent (Shaffer 1980). An `InputError` is raised where
    the statistics lack what a claim is about.

    Parameters
    ----------
    statistics : `statistics.parquet` of the chains that the claims are about; more do no harm.
    settings : `claims` (mappings with `name`, `claim`, `test`, `dataset`, `model`, `pruner`,
        `condition`, and what the test asks for), `statistics` (with `confidence`).
    concepts : `concepts.csv`, where a claim is about concepts.
    orders : `concept_tables.csv`, where a claim is about the order of concepts.
    """
    tests = [CLAIMS.load(claim["test"])(claim) for claim in settings["claims"]]
    wanted = {name for test in tests for name in test.explainers()}
    curves = read_curves([Path(path) for path in statistics], {ACCURACY_ROWS, *wanted})
    measured, ordered = (
        pd.concat(parts) if (parts := [tables.read(name, Path(path)) for path in paths]) else None
        for name, paths in (("concepts", concepts), ("concept_tables", orders))
    )
    networks = [ClaimCurves(curves, test.claim, measured, ordered) for test in tests]
    refused = [_refusal(test, measured) for test in tests]
    for test, reason in zip(tests, refused, strict=True):
        if reason:
            logger.warning("claim %s is not testable here: %s", test.claim["name"], reason)
    confidence = float(settings["statistics"]["confidence"])
    tables.write("claims", output, claims_table(tests, networks, confidence, refused))


def claims_table(
    tests: Sequence[ClaimTest],
    networks: Iterable[ClaimCurves],
    confidence: float,
    refused: Iterable[str] | None = None,
) -> pd.DataFrame:
    """The table of `check_claims`, from the tests and the networks of each.

    `refused` says why a claim has no test, whatever its numbers; "" for those that have one.
    """
    reasons = [""] * len(tests) if refused is None else refused
    claims = zip(tests, networks, reasons, strict=True)
    rows = [_row(test, curves, confidence, reason) for test, curves, reason in claims]
    frame = pd.DataFrame(rows, columns=tables.TABLES["claims"].names)
    frame["p_adjusted"] = adjust_p(frame["p"].to_numpy(dtype=np.float64))
    ps = frame[["p_for", "p_against", "p_adjusted"]].to_numpy(dtype=np.float64)
    frame["verdict"] = [verdict(a, b, c, 1.0 - confidence) for a, b, c in ps.tolist()]
    return frame


def _refusal(test: ClaimTest, concepts: pd.DataFrame | None) -> str:
    """Why the fits that a claim about concepts rests on allow no test of it; "" where they do."""
    if concepts is None or not test.concepts():
        return ""
    others = (test.settings.get(key, "") for key in ("floor", "minus_pruner"))
    pruners = {DENSE, test.claim["pruner"], *others}
    return convergence_refusal(
        concepts, test.claim["dataset"], test.claim["model"], pruners, test.concepts()
    )


def adjust_p(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p [n]; a claim without a test (NaN) keeps NaN, but counts with p = 1."""
    given = np.asarray(p, dtype=np.float64)
    tested = np.isfinite(given)
    return np.where(tested, holm(np.where(tested, given, 1.0)), np.nan)


def verdict(p_for: float, p_against: float, p_adjusted: float, level: float) -> str:
    """What the smaller p says where the adjusted one is below the level; else "undecided"."""
    # NaN (no test) is below nothing
    if p_adjusted < level and p_for != p_against:
        return SUPPORTED if p_for < p_against else CONTRADICTED
    return UNDECIDED


def _row(test: ClaimTest, networks: ClaimCurves, confidence: float, refused: str) -> dict[str, Any]:
    found, claim = test.evidence(networks), test.claim
    if refused:
        remark = "; ".join(part for part in (f"not testable here: {refused}", found.remark) if part)
        found = replace(found, p_for=math.nan, p_against=math.nan, remark=remark)
    interval = one_sample_t(found.values, confidence, found.bounds)
    low, high = (math.nan, math.nan) if found.counted else (interval.low, interval.high)
    images_low, images_high = found.images_interval(confidence)
    return {
        **{key: claim.get(key, "") for key in _COPIED},
        "subset": test.subset,
        **(found.columns or {}),
        "statistic": found.statistic,
        "published": claim.get("published", math.nan),
        "holds_from": found.holds_from,
        "holds_to": found.holds_to,
        "estimate": interval.mean,
        "low": low,
        "high": high,
        "images_low": images_low,
        "images_high": images_high,
        "n_seeds": interval.n,
        "per_seed": join_values(found.values.tolist()),
        "p_for": found.p_for,
        "p_against": found.p_against,
        # min() of Python may pass a NaN over
        "p": float(np.minimum(1.0, 2.0 * np.minimum(found.p_for, found.p_against))),
        "remark": found.remark if refused else _remark(found, len(networks.seeds), interval.n),
    }


def _remark(found: Evidence, seeds: int, defined: int) -> str:
    """The test's own remark, and why there is no test where there is none."""
    parts = [found.remark] if found.remark else []
    if defined == 0:
        parts.append("undefined in all networks")
    elif defined < seeds:
        parts.append(f"defined in {defined} of {seeds} networks")
    if defined == 1:
        parts.append("one network: no test")
    elif defined > 1 and math.isnan(found.p_for) and "moot" not in found.remark:
        parts.append("the networks do not differ: no test")
    return "; ".join(parts)
