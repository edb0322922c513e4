"""What an interval says of a claim, at which level, and what it would take to decide the rest.

**Verdict.** It follows from the interval at confidence 1 - α. All statements that are read off one
interval are true if the interval contains the truth, so they need no correction among themselves: a
verdict is wrong with probability α.

**α of each row** (`allocate`). Primaries are tested in their order at .05 each, up to the first
that stays open; secondaries by Holm, once their parent is decided; all other rows are exploratory.
Each of the two families keeps 5% of false signs if rows are decided by their sign. A row without an
effect that is decided because its published effect is excluded also opens the way to the next row:
the chance of any falsely supported claim is then up to 5% with two primaries and 7.5% with three
(`tests/statistics`).

**Sequential runs.** Looks share α (`look_levels`). An e-value is valid at any time (`e_value`).
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsight.analysis.claims.registry import FEWEST_NETWORKS
from sparsight.analysis.crossed import Components, Crossed, Estimate, NetworkShare
from sparsight.analysis.statistics import is_constant
from sparsight.analysis.tables import MOST_EMPTY

Numbers = NDArray[np.float64]
REPLICATED = "replicated"
SUPPORTED_SMALLER = "supported, smaller than published"
SUPPORTED = "supported"
NO_EFFECT = "no effect of practical size"
CONTRADICTED = "contradicted"
LESS_THAN_HALF = "less than half of published"
SMALLER = "smaller than published"
OPEN = "open"
NOT_TESTABLE = "not testable here"

MOST_NETWORKS, MOST_IMAGES = 1_000, 100_000


@dataclass(frozen=True)
class Question:
    """What a claim says of its quantity; NaN where it says nothing.

    Attributes
    ----------
    holds_from, holds_to : the claim is true where the quantity lies between them.
    published : the study's own number.
    smallest : the smallest effect that matters, above 0.
    """

    holds_from: float = math.nan
    holds_to: float = math.nan
    published: float = math.nan
    smallest: float = math.nan

    @property
    def has_size(self) -> bool:
        """Whether `published` is an effect: the claim is on a sign, and has the same."""
        upwards = self.holds_from == 0 and math.isnan(self.holds_to) and self.published > 0
        downwards = self.holds_to == 0 and math.isnan(self.holds_from) and self.published < 0
        return upwards or downwards


def verdict(low: float, high: float, asked: Question, also: bool = True) -> str:
    """The verdict that an interval gives; the first of these that is true, `OPEN` if none is.

    ========================= ======================================================================
    replicated                the claim holds, and the interval contains published and lies above
                              half of it
    no effect of practical    the interval lies within ±smallest; checked before *supported*, since
    size                      with enough networks even a negligible effect has a sure sign
    supported, smaller than   the claim holds, and the interval lies below published
    published
    supported                 the claim holds: it is true in the whole interval
    contradicted              the claim is false in the whole interval
    less than half of         the interval lies below half of published
    published
    smaller than published    the interval lies below published
    ========================= ======================================================================

    "Below" and "above" change places if the claim is that a quantity is negative. Published is
    compared in size only if it is an effect (`Question.has_size`). An interval of NaN is open. If
    an interval is not open, none within it is.

    `also` says whether what else must be true for the claim to hold is shown. Without it the
    interval still says all that does not rest on it.
    """
    if asked.has_size and asked.published < 0:
        low, high = -high, -low
        asked = Question(-asked.holds_to, -asked.holds_from, -asked.published, asked.smallest)
    start, end, published = asked.holds_from, asked.holds_to, asked.published
    # comparisons with NaN are false
    bounded = also and not (math.isnan(start) and math.isnan(end))
    holds = bounded and (math.isnan(start) or low > start) and (math.isnan(end) or high < end)
    below = high < published and asked.has_size
    if holds and low <= published <= high and not (asked.has_size and low <= published / 2):
        return REPLICATED
    if max(-low, high) < asked.smallest:
        return NO_EFFECT
    if holds:
        return SUPPORTED_SMALLER if below else SUPPORTED
    if high < start or low > end:
        return CONTRADICTED
    if below:
        return LESS_THAN_HALF if high < published / 2 else SMALLER
    return OPEN


def p_decided(estimate: Estimate, asked: Question, also: float = 0.0) -> float:
    """The smallest α whose interval gives another verdict than `OPEN`; 1 if none does.

    The p of a claim's row, for `allocate`: the smallest of the ps of the statements that would
    decide it. NaN of the estimate (no test) and too few networks give 1. `also` is the p of what
    else must be true for the claim to hold.
    """
    if not estimate.has_test or estimate.networks < FEWEST_NETWORKS:
        return 1.0
    value, p, published = estimate.value, estimate.p, asked.published
    is_false = value < asked.holds_from or value > asked.holds_to
    found = [1.0, max(p_bound(estimate, asked), 0.0 if is_false else also)]
    if asked.has_size and abs(value - published) > 0 and (value < published) == (published > 0):
        found.append(p(published))
    if abs(value) < asked.smallest:
        found.append(p_equivalent(estimate, asked))
    return min(found)


def p_bound(estimate: Estimate, asked: Question) -> float:
    """Two-sided p against the bound on which the claim's truth hangs; NaN without an interval.

    With two bounds it is that of the one that is crossed, and inside the larger one.
    """
    start, end, value = asked.holds_from, asked.holds_to, estimate.value
    bounds = [bound for bound in (start, end) if not math.isnan(bound)]
    outside = [bound for bound, over in ((start, value < start), (end, value > end)) if over]
    return max((estimate.p(bound) for bound in outside or bounds), default=math.nan)


def p_equivalent(estimate: Estimate, asked: Question) -> float:
    """The α whose interval just reaches ±smallest; 1 where the estimate is beyond, NaN without."""
    if math.isnan(asked.smallest) or not estimate.has_test:
        return math.nan
    if abs(estimate.value) >= asked.smallest:
        return 1.0
    return max(estimate.p(asked.smallest), estimate.p(-asked.smallest))


class Decision(NamedTuple):
    """A verdict; `reason` says why there is none here, or what would decide it, else ""."""

    verdict: str
    reason: str = ""


def decide(
    estimate: Estimate, asked: Question, alpha: float, empty_share: float = 0.0, reason: str = ""
) -> Decision:
    """The verdict of a row, never "undecided" alone.

    Parameters
    ----------
    estimate : over networks and images (`Crossed`), over networks (`NetworkShare`), or
        pooled over data sets.
    alpha : the row's level, of `allocate`.
    empty_share : the largest share of images whose maps are empty, in [0, 1], NaN without maps.
    reason : why the claim has no test here, whatever its numbers: the task was not learnt, the copy
        is not faithful; "" where it has one.

    """
    if reason:
        return Decision(NOT_TESTABLE, reason)
    if empty_share > MOST_EMPTY:
        empty = f"maps are empty in {100 * empty_share:.0f}% of the images"
        return Decision(NOT_TESTABLE, empty)
    if math.isnan(estimate.value):
        return Decision(NOT_TESTABLE, "undefined in all networks")
    if estimate.networks < FEWEST_NETWORKS:
        return Decision(OPEN, f"{FEWEST_NETWORKS} networks at least")
    if not estimate.has_test:
        return Decision(NOT_TESTABLE, "the networks do not differ")
    found = verdict(*estimate.interval(1.0 - alpha), asked)
    if found != OPEN:
        return Decision(found)
    if not isinstance(estimate, Crossed | NetworkShare):
        return Decision(OPEN, "more data sets would decide it")
    counts = {
        "networks": networks_needed(estimate, asked, alpha),
        "images": images_needed(estimate, asked, alpha),
    }
    words = [f"{count:,} {what}" for what, count in counts.items() if count]
    if not words:
        return Decision(OPEN, "neither more networks nor more images alone would decide it")
    return Decision(OPEN, f"{' or '.join(words)} would decide it")


def networks_needed(estimate: Crossed | NetworkShare, asked: Question, alpha: float) -> int | None:
    """The fewest networks, on as many images, that decide the row at this level.

    It assumes that the estimate and the variance components stay as they are. None where even
    `MOST_NETWORKS` do not suffice: the images' error remains, or the estimate is too near a bound.
    """

    def decides(networks: int) -> bool:
        return _is_decided(estimate.at(networks, estimate.images), asked, alpha)

    return _fewest(decides, FEWEST_NETWORKS, MOST_NETWORKS) if estimate.has_test else None


def images_needed(estimate: Crossed | NetworkShare, asked: Question, alpha: float) -> int | None:
    """The fewest images, with as many networks, that decide the row; see `networks_needed`.

    None also for a quantity without images, and below `FEWEST_NETWORKS`.
    """
    if estimate.networks < FEWEST_NETWORKS or estimate.images < 2 or not estimate.has_test:
        return None

    def decides(images: int) -> bool:
        return _is_decided(estimate.at(estimate.networks, images), asked, alpha)

    return _fewest(decides, 2, MOST_IMAGES)


def _is_decided(estimate: Estimate, asked: Question, alpha: float) -> bool:
    return verdict(*estimate.interval(1.0 - alpha), asked) != OPEN


def _fewest(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The first whole number in [low, high] that is enough, more being enough too."""
    found = low + bisect_left(range(low, high + 1), True, key=enough)
    return found if found <= high else None


class Row(NamedTuple):
    """A claim in the division of α: `after` names its parent, `p` is its `p_decided`."""

    name: str
    tier: str
    after: str
    p: float


class Share(NamedTuple):
    """`tier` primary, secondary or exploratory; `alpha` the level of the row's interval."""

    tier: str
    alpha: float


def allocate(
    rows: Sequence[Row],
    alpha: float = 0.05,
    nominal: Callable[[float], float] = lambda alpha: alpha,
) -> list[Share]:
    """The level of each row, parallel to `rows`.

    Primaries have `alpha` each in their order, as long as all before are decided (fixed sequence:
    Maurer, Hothorn & Lehmacher 1995). Secondaries are one Holm family (Holm 1979): each has `alpha`
    over the number of those not decided before it, if its parent is decided. Those whose parent is
    not decided count in the family too, so that its size does not depend on the data. All other
    rows, and secondaries without a parent, are exploratory, at `alpha`, uncorrected.

    `nominal` turns a level into that of the present look; see `look_levels`.
    """
    found = {row.name: Share("exploratory", nominal(alpha)) for row in rows}
    decided: set[str] = set()
    for row in (row for row in rows if row.tier == "primary"):
        found[row.name] = Share("primary", nominal(alpha))
        if not row.p < nominal(alpha):
            break
        decided.add(row.name)
    left = [row for row in rows if row.tier == "secondary"]
    while left:
        level = nominal(alpha / len(left))
        entered = [row for row in left if row.after in decided]
        found |= {row.name: Share("secondary", level) for row in entered}
        best = min(entered, key=lambda row: row.p, default=None)
        if best is None or not best.p < level:
            break
        decided.add(best.name)
        left.remove(best)
    return [found[row.name] for row in rows]


def look_levels(looks: Sequence[int], alpha: float = 0.05) -> list[float]:
    """Two-sided nominal level at each look, so that all together have `alpha`.

    Spending α log(1 + (e - 1) n / n_last) of Pocock's type (Lan & DeMets 1983,
    doi:10.1093/biomet/70.3.659) by integration over the steps of a normal sum (Armitage, McPherson
    & Rowe 1969, doi:10.2307/2343787). Ps of t tests are compared with these levels (Pocock 1977,
    doi:10.1093/biomet/64.2.191), which with so few networks lets a total of 5% become 5.5%. A
    `ValueError` is raised where the numbers of networks, `looks`, do not ascend from 1 or more.
    """
    if any(now <= before for before, now in zip([0, *looks], looks, strict=False)):
        raise ValueError(f"looks must ascend, and these do not: {list(looks)}")
    from scipy import optimize, special  # late: it takes a second to import

    share = np.asarray(looks, dtype=np.float64) / looks[-1]
    spent = np.diff(alpha * np.log1p((math.e - 1.0) * share), prepend=0.0)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    # where the sum lies in studies that go on, and how much of their probability
    places, mass, before, levels = np.zeros(1), np.ones(1), 0, []
    for look, to_spend in zip(looks, spent.tolist(), strict=True):
        step, root = math.sqrt(look - before), math.sqrt(look)
        z = optimize.brentq(_overspent, 0.0, 20.0, args=(places, mass, step, root, to_spend))
        levels.append(2.0 * float(special.ndtr(-z)))
        reached = nodes * z * root
        density = np.exp(-0.5 * ((reached[:, np.newaxis] - places) / step) ** 2) @ mass
        mass = weights * z * root * density / (step * math.sqrt(2.0 * math.pi))
        places, before = reached, look
    return levels


def _overspent(
    z: float, places: Numbers, mass: Numbers, step: float, root: float, to_spend: float
) -> float:
    """How far the probability that a sum ends beyond ±z `root` after a step is above its due."""
    from scipy import special

    above, below = ((side * places - z * root) / step for side in (1.0, -1.0))
    return float(mass @ (special.ndtr(above) + special.ndtr(below))) - to_spend


def e_value(values: ArrayLike, bound: float = 0.0, g: float = 30.0) -> float:
    """Evidence against a mean of `bound` over networks, valid whenever one looks or stops.

    If the mean is `bound`, the chance that it ever reaches 1/α is at most α: 20 decides at .05.
    It is the Bayes factor of the t test, with the prior n(0, g) on the effect in standard
    deviations and the right Haar measure on their size (Pérez-Ortiz et al. 2024, arXiv:2208.07610):

        log E = -½ log(1 + n g) + (n/2) [log(1 + t²/(n-1)) - log(1 + t²/((n-1)(1 + n g)))]

    It speaks of other networks on *these images*. `values` [n], one a network; NaN is left out. 1
    below two networks; NaN where they do not differ.
    """
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    n = found.size
    if n < 2:
        return 1.0
    if is_constant(found):
        return math.nan
    mean = found.mean()
    # t² / (n - 1)
    ratio = float((mean - bound) ** 2 * n / ((found - mean) ** 2).sum())
    shrunk = 1.0 + n * g
    log_e = 0.5 * n * (math.log1p(ratio) - math.log1p(ratio / shrunk)) - 0.5 * math.log(shrunk)
    return math.exp(min(log_e, 700.0))


def detectable(variance: float, df: float, alpha: float, power: float = 0.8) -> float:
    """The effect whose sign is shown with this power, in the unit of the quantity.

    `variance` and `df` are those of `Components.at` for some numbers of networks and images.
    Estimates are normal and their variances χ². It is also the published effect that would be
    excluded with this power if there were none.
    """
    from scipy import special

    reach = _reaches(df, alpha)

    def shown(effect: float) -> float:
        return float((special.ndtr(effect - reach) + special.ndtr(-effect - reach)).mean())

    return _solved(shown, power) * math.sqrt(variance)


def excludable(variance: float, df: float, alpha: float, power: float = 0.8) -> float:
    """The smallest effect that is excluded on both sides, with this power, where there is none.

    The `smallest` at which the verdict *no effect of practical size* is to be expected. Otherwise
    as `detectable`.
    """
    from scipy import special

    reach = _reaches(df, alpha)

    def inside(effect: float) -> float:
        return float(np.maximum(2.0 * special.ndtr(effect - reach) - 1.0, 0.0).mean())

    return _solved(inside, power) * math.sqrt(variance)


def networks_to_show(
    components: Components, images: int, effect: float, alpha: float, power: float = 0.8
) -> int | None:
    """The fewest networks that show an effect of this size with this power; None if none do."""

    def enough(networks: int) -> bool:
        return detectable(*components.at(networks, images), alpha, power) <= abs(effect)

    return _fewest(enough, FEWEST_NETWORKS, MOST_NETWORKS)


def _reaches(df: float, alpha: float) -> Numbers:
    """Half-widths of intervals in true standard errors, at evenly spaced quantiles."""
    from scipy import special

    quantiles = (np.arange(2000) + 0.5) / 2000
    errors = np.sqrt(2.0 * special.gammaincinv(0.5 * df, quantiles) / df)
    return np.asarray(special.stdtrit(df, 1.0 - 0.5 * alpha) * errors)


def _solved(probability: Callable[[float], float], power: float) -> float:
    """The effect in standard errors at which an increasing probability is the power."""
    from scipy import optimize

    return float(optimize.brentq(lambda effect: probability(effect) - power, 0.0, 1e5))
