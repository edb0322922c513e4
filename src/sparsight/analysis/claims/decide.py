"""Decide the claims of a study: estimates over networks and images, α of each row, verdicts."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.claims.base import ClaimCurves, ClaimTest, Evidence
from sparsight.analysis.claims.images import Checkpoint, StudyImages
from sparsight.analysis.claims.kinds import Pooled
from sparsight.analysis.claims.registry import CLAIMS, COMMON_KEYS
from sparsight.analysis.concepts import convergence_refusal
from sparsight.analysis.crossed import Crossed, Estimate, NetworkShare, crossed, pool
from sparsight.analysis.curves import DENSE
from sparsight.analysis.sample_pruning import read_fidelity
from sparsight.analysis.tables import MOST_EMPTY, join_values
from sparsight.analysis.verdicts import (
    OPEN,
    REPLICATED,
    SUPPORTED,
    SUPPORTED_SMALLER,
    Decision,
    Question,
    Row,
    allocate,
    decide,
    e_value,
    images_needed,
    look_levels,
    networks_needed,
    p_bound,
    p_decided,
    p_equivalent,
    verdict,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import write_table

logger = logging.getLogger(__name__)
#: of the stage `claims`: see `sparsight.study.versions`
VERSION = 3
_COPIED = [key for key in COMMON_KEYS if key not in ("tier", "published", "smallest")]
#: share of copies that must predict as their network does
FAITHFUL = 0.9
_HOLDS = (REPLICATED, SUPPORTED_SMALLER, SUPPORTED)
Numbers = NDArray[np.float64]


def check_claims(
    scores: Iterable[Path],
    predictions: Iterable[Path],
    evaluations: Path,
    output: Path,
    matrices: Mapping[str, Path],
    settings: Mapping[str, Any],
    agreement: Iterable[Path] = (),
    fidelities: Iterable[Path] = (),
    concepts: Iterable[Path] = (),
    orders: Iterable[Path] = (),
) -> None:
    """Write `claims.csv`, one row a claim in the order of the configuration, and their matrices.

    What each column says, and how a row is decided, is in `docs/claims.md`. An `InputError` is
    raised where the study lacks what a claim is about.

    Parameters
    ----------
    scores : files of scores that hold the explainers of the claims; more do no harm.
    predictions : those of the checkpoints in `settings`, parallel to them.
    evaluations : `evaluations.parquet`, which has the densities.
    matrices : claim to its parquet file: what each image of each network says of the quantity.
    settings : `claims` (mappings with `name`, `claim`, `test`, `dataset`, `model`, `pruner`,
        `condition`, and what the test asks for), `checkpoints` (lists of data set, model, pruner,
        seed, level), `copies` (claim to the sample pruners on whose copies it explains),
        `reducers`, `statistics` (with `confidence`), `look` and `looks` (0 and empty without
        looks).
    agreement : files of agreement, where a claim is about it.
    fidelities : files of the fidelity of copies, where a claim is about explanations on them.
    concepts : `concepts.csv`, where a claim is about concepts.
    orders : `concept_tables.csv`, where a claim is about the order of concepts.
    """
    tests = [CLAIMS.load(claim["test"])(claim) for claim in settings["claims"]]
    places = [Checkpoint(*place) for place in settings["checkpoints"]]
    study = StudyImages.read(
        scores,
        dict(zip(places, map(Path, predictions), strict=True)),
        _densities(evaluations),
        settings["reducers"],
        _entries(tests),
        agreement,
    )
    measured, ordered = (
        pd.concat(parts) if (parts := [tables.read(name, Path(path)) for path in paths]) else None
        for name, paths in (("concepts", concepts), ("concept_tables", orders))
    )
    copies, fidelity = settings["copies"], _fidelity(fidelities)
    found: dict[str, Found] = {}
    # pooled claims rest on the others
    for test in sorted(tests, key=lambda test: isinstance(test, Pooled)):
        name = str(test.claim["name"])
        if isinstance(test, Pooled):
            found[name] = pooled(test, found)
            continue
        reason = _refusal(test, measured) or _unfaithful(test, copies.get(name, []), fidelity)
        if reason:
            logger.warning("claim %s is not testable here: %s", name, reason)
        networks = ClaimCurves(study, test.claim, measured, ordered)
        found[name] = look_at(test, networks, reason)
        _write_matrix(Path(matrices[name]), found[name])
    in_order = [found[str(test.claim["name"])] for test in tests]
    looks, look = list(settings["looks"]), int(settings["look"])
    alpha = 1.0 - float(settings["statistics"]["confidence"])
    tables.write("claims", output, claims_table(in_order, alpha, looks, look))


@dataclass(frozen=True)
class Found:
    """A claim and what the networks say of it.

    Attributes
    ----------
    asked : what the claim says of the quantity.
    also : estimate of what must be above 0 as well; None where nothing must.
    seeds : of the networks, [S].
    image_id, matrix : of `ClaimCurves.differences`; without rows for a pooled claim.
    empty_share : the largest share of empty maps at a level that counts; NaN without maps.
    reason : why the claim has no test, whatever its numbers; "" where it has one.
    """

    test: ClaimTest
    evidence: Evidence
    asked: Question
    estimate: Estimate
    also: Estimate | None = None
    seeds: Sequence[int] = ()
    image_id: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    matrix: Numbers = field(default_factory=lambda: np.empty((0, 0)))
    empty_share: float = math.nan
    reason: str = ""

    @property
    def name(self) -> str:
        """Name of the claim."""
        return str(self.test.claim["name"])

    @property
    def is_testable(self) -> bool:
        """Whether there is something to test, whatever the numbers."""
        return not (self.reason or self.empty_share > MOST_EMPTY)

    @property
    def p(self) -> float:
        """The smallest α at which the row is decided."""
        if not self.is_testable:
            return 1.0
        also, choices = 0.0, self.evidence.choices
        if self.also is not None:
            also = self.also.p(0.0) if self.also.has_test and self.also.value > 0.0 else 1.0
        return min(1.0, choices * p_decided(self.estimate, self.asked, also / choices))

    def decide(self, alpha: float) -> Decision:
        """The verdict at the row's α."""
        share = 0.0 if math.isnan(self.empty_share) else self.empty_share
        level = alpha / self.evidence.choices
        found = decide(self.estimate, self.asked, level, share, self.reason)
        if found.verdict in _HOLDS and self.also is not None:
            low, _ = self.also.interval(1.0 - alpha)
            if not low > 0.0:
                left = verdict(*self.estimate.interval(1.0 - level), self.asked, also=False)
                reason = f"it is not shown that {self.evidence.also_words}"
                return Decision(left, reason if left == OPEN else "")
        return found


def look_at(test: ClaimTest, networks: ClaimCurves, reason: str = "") -> Found:
    """What the networks say of a claim; `reason` says why it has no test all the same."""
    evidence = test.evidence(networks)
    ids, matrix = networks.differences(evidence.quantity)
    also = None
    if evidence.also is not None:
        also = crossed(networks.differences(evidence.also)[1])
    return Found(
        test,
        evidence,
        evidence.question(test.claim),
        evidence.estimate(matrix),
        also,
        networks.seeds,
        ids,
        matrix,
        networks.empty_share(evidence.levels, evidence.other_levels),
        reason or evidence.moot or networks.not_learnt(),
    )


def claims_table(
    found: Sequence[Found], alpha: float = 0.05, looks: Sequence[int] = (), look: int = 0
) -> pd.DataFrame:
    """The table of `check_claims`.

    `alpha` is that of the primaries together and of the secondaries together, over all `looks`;
    `look` is the number of the present one, from 1, or 0 without looks.
    """

    @cache
    def nominal(whole: float) -> float:
        return look_levels(looks, whole)[look - 1] if look else whole

    rows = [
        Row(one.name, str(claim.get("tier", "")), str(claim.get("after", "")), one.p)
        for one in found
        for claim in [one.test.claim]
    ]
    shares = allocate(rows, alpha, nominal)
    lines = [
        {**_row(one, share.alpha), "tier": share.tier, "look": look}
        for one, share in zip(found, shares, strict=True)
    ]
    return pd.DataFrame(lines, columns=tables.TABLES["claims"].names)


def pooled(test: Pooled, others: Mapping[str, Found]) -> Found:
    """A claim on several data sets as one; those that have no test are left out.

    An `InputError` where claims count networks, whose shares may have no variance, or report one of
    several quantities, which may be another one in each.
    """
    parts = [others[name] for name in test.settings["of"]]
    for one in parts:
        if one.evidence.counted or one.evidence.choices > 1:
            raise InputError(
                f"the claim '{test.claim['name']}' pools '{one.name}', and the test "
                f"'{one.test.name}' gives no estimate to pool; name claims of another test in 'of'"
            )
    entered = [one for one in parts if one.is_testable and one.estimate.variance > 0]
    left = [one.name for one in parts if one not in entered]
    first, names = parts[0].evidence, ", ".join(test.settings["of"])
    evidence = replace(
        first,
        statistic=f"pooled over {names}: {first.statistic}",
        retrained=None,
        remark=f"without {', '.join(left)}" if left else "",
    )
    return Found(
        test,
        evidence,
        first.question(test.claim),
        pool([one.estimate for one in entered]),
        pool([one.also for one in entered if one.also]) if parts[0].also else None,
        reason="" if len(entered) > 1 else "fewer than two of the pooled claims have a test",
    )


def _refusal(test: ClaimTest, concepts: pd.DataFrame | None) -> str:
    """Why the fits that a claim about concepts rests on allow no test of it; "" where they do."""
    if concepts is None or not test.concepts():
        return ""
    others = (test.settings.get(key, "") for key in ("floor", "minus_pruner"))
    pruners = {DENSE, test.claim["pruner"], *others}
    return convergence_refusal(
        concepts, test.claim["dataset"], test.claim["model"], pruners, test.concepts()
    )


def _fidelity(paths: Iterable[Path]) -> "pd.Series[float]":
    """Share of copies that predict as their network, by data set, model and sample pruner."""
    copies = read_fidelity(paths).groupby(["dataset", "model", "sample_pruner"])
    return copies["same_prediction"].mean()


def _unfaithful(
    test: ClaimTest, sample_pruners: Iterable[str], fidelity: "pd.Series[float]"
) -> str:
    """Why the copies that a claim is about are none; "" where they are, or it is about none."""
    for name in sample_pruners:
        kept = fidelity.get((test.claim["dataset"], test.claim["model"], name), 1.0)
        if kept < FAITHFUL:
            return f"copies of {name} keep the prediction in {100 * kept:.0f}% of the images only"
    return ""


def _row(found: Found, alpha: float) -> dict[str, Any]:
    evidence, asked, estimate, claim = found.evidence, found.asked, found.estimate, found.test.claim
    level = alpha / evidence.choices
    low, high = estimate.interval(1.0 - level)
    decision = found.decide(alpha)
    per_seed = _means(found.matrix)
    bounds = [asked.holds_from, asked.holds_to]
    bound = min((b for b in bounds if not math.isnan(b)), key=lambda b: abs(b - estimate.value))
    return {
        **{key: claim.get(key, "") for key in _COPIED},
        "subset": found.test.subset,
        **(evidence.columns or {}),
        "statistic": evidence.statistic,
        "published": asked.published,
        "smallest": claim.get("smallest", math.nan),
        "holds_from": asked.holds_from,
        "holds_to": asked.holds_to,
        "estimate": estimate.value,
        "low": low,
        "high": high,
        "alpha": level,
        "df": estimate.df,
        "n_seeds": estimate.networks,
        "n_images": getattr(estimate, "images", math.nan),
        "per_seed": join_values(per_seed.tolist()),
        **_errors(found),
        "p": p_bound(estimate, asked),
        "p_published": estimate.p(asked.published) if asked.has_size else math.nan,
        "p_half_published": estimate.p(asked.published / 2) if asked.has_size else math.nan,
        "p_equivalent": p_equivalent(estimate, asked),
        "e_value": e_value(per_seed, bound) if per_seed.size and not evidence.counted else math.nan,
        "empty_share": found.empty_share,
        **_needed(found, level, decision),
        "verdict": decision.verdict,
        "verdict_reason": decision.reason,
        "remark": _remark(found),
    }


def _means(matrix: Numbers) -> Numbers:
    """Mean of each network over its defined values [S]; NaN without any."""
    defined = np.isfinite(matrix)
    count = defined.sum(axis=1)
    total = np.where(defined, matrix, 0.0).sum(axis=1)
    return np.asarray(total / np.where(count, count, np.nan))


def _errors(found: Found) -> dict[str, float]:
    """The parts of the standard error; NaN where they are unknown."""
    estimate, retrained = found.estimate, found.evidence.retrained
    names = ("se_networks", "se_images", "se_residual")
    parts = estimate.standard_errors() if isinstance(estimate, Crossed) else [math.nan] * 3
    alone = math.nan
    if retrained is not None and np.isfinite(retrained).sum() > 1:
        defined = retrained[np.isfinite(retrained)]
        alone = float(defined.std(ddof=1) / math.sqrt(defined.size))
    return {**dict(zip(names, parts, strict=True)), "se_retrain": alone}


def _needed(found: Found, level: float, decision: Decision) -> dict[str, float]:
    """Networks, or images, that decide an open row alone; NaN where none do."""
    estimate, asked = found.estimate, found.asked
    counts = dict.fromkeys(("networks_needed", "images_needed"), math.nan)
    if isinstance(estimate, Crossed | NetworkShare) and decision.verdict == OPEN:
        networks = networks_needed(estimate, asked, level)
        images = images_needed(estimate, asked, level)
        # fewer than there are if the row hangs on something else
        if networks is not None and networks > estimate.networks:
            counts["networks_needed"] = networks
        if images is not None and images > estimate.images:
            counts["images_needed"] = images
    return counts


def _remark(found: Found) -> str:
    """The test's own remark, and what is undefined."""
    defined = found.estimate.networks
    parts = [found.evidence.remark] if found.evidence.remark else []
    if found.seeds and 0 < defined < len(found.seeds):
        parts.append(f"defined in {defined} of {len(found.seeds)} networks")
    return "; ".join(parts)


def _densities(evaluations: Path) -> dict[Checkpoint, float]:
    """Share of prunable weights left, of every checkpoint."""
    frame = tables.read("evaluations", evaluations)
    rows = frame[frame["metric"] == "density_prunable"]
    places = rows[list(Checkpoint._fields)].itertuples(index=False, name=None)
    return {Checkpoint(*place): value for place, value in zip(places, rows["value"], strict=True)}


def _entries(tests: Iterable[ClaimTest]) -> dict[str, dict[str, list[str]]]:
    """What to read of the files of scores: see `sparsight.analysis.scores.Entries`."""
    found: dict[str, dict[str, list[str]]] = {}
    for test in tests:
        entry = found.setdefault(
            f"{test.claim.get('dataset')}/{test.claim.get('model')}",
            {"explainers": [], "metrics": []},
        )
        entry["explainers"] += test.explainers()
        entry["metrics"] += test.metrics()
    return found


def _write_matrix(path: Path, found: Found) -> None:
    """What each image says of the quantity in each network: difference, or pseudo-value."""
    networks, images = found.matrix.shape
    write_table(
        path,
        {
            "seed": np.repeat(np.asarray(found.seeds, dtype=np.int64), images),
            "image_id": np.tile(found.image_id, networks),
            "difference": found.matrix.ravel().astype(np.float32),
        },
    )
