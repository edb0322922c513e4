"""How often verdicts are false: by row, over the rows of a study, and over time."""

import math

import numpy as np
import pytest
from scipy import special

from sparsight.analysis import verdicts
from sparsight.analysis.crossed import Crossed, crossed
from sparsight.analysis.verdicts import (
    FEWEST_NETWORKS,
    Question,
    Row,
    allocate,
    e_value,
    look_levels,
    p_decided,
    verdict,
)
from tests.statistics.simulate import SPLITS, values

TRIALS = 2000
SIGN = Question(holds_from=0.0)
OF_SUPPORT = (verdicts.REPLICATED, verdicts.SUPPORTED, verdicts.SUPPORTED_SMALLER)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("networks", [3, 4, 5, 10, 20])
def test_signs_where_there_is_no_effect(simulated, networks, split):
    rng = np.random.default_rng(100 + networks)
    drawn = values(rng, TRIALS, networks, split)
    found = [verdict(*crossed(one).interval(0.95), SIGN) != verdicts.OPEN for one in drawn]
    what = f"false signs, {split} dominate, {networks} networks: "
    # 6.6% with three networks and 6.1% with four where images, networks and residual vary alike
    simulated.at_most(f"{what}crossed", found, 0.08 if networks == 3 else 0.062)
    means = drawn.mean(axis=2)
    t = means.mean(axis=1) / means.std(axis=1, ddof=1) * math.sqrt(networks)
    naive = 2 * special.stdtr(networks - 1, -abs(t)) < 0.05
    if split == "images":
        simulated.between(f"{what}t over networks", naive, 0.25, 0.9)
    else:
        simulated.at_most(f"{what}t over networks", naive, 0.1)


PUBLISHED, SMALLEST = 1.0, 0.25


def is_false(found: str, truth: float) -> bool:
    """Whether a verdict on a gain says something that is not so."""
    return {
        verdicts.REPLICATED: truth <= PUBLISHED / 2,
        verdicts.SUPPORTED: truth <= 0,
        verdicts.SUPPORTED_SMALLER: truth <= 0 or truth >= PUBLISHED,
        verdicts.NO_EFFECT: abs(truth) >= SMALLEST,
        verdicts.LESS_THAN_HALF: truth >= PUBLISHED / 2,
        verdicts.SMALLER: truth >= PUBLISHED,
        verdicts.CONTRADICTED: truth >= 0,
        verdicts.OPEN: False,
    }[found]


def test_verdicts_against_published_and_smallest(simulated):
    """Effects at the ends of what verdicts say, where each is easiest to get wrong."""
    rng = np.random.default_rng(4)
    asked = Question(holds_from=0.0, published=PUBLISHED, smallest=SMALLEST)
    for size in (0.15, 0.5):
        drawn = size * values(rng, TRIALS, 5, "networks")
        intervals = np.array([crossed(one).interval(0.95) for one in drawn])
        for truth in (0.0, SMALLEST, PUBLISHED / 2, PUBLISHED):
            found = [verdict(low, high, asked) for low, high in intervals + truth]
            what = f"false verdicts, 5 networks of sd {size}, published 1, effect {truth}"
            simulated.at_most(what, [is_false(one, truth) for one in found], 0.06)
    # they are not bought by staying open: with the smaller sd most are decided
    drawn = 0.15 * values(rng, TRIALS, 5, "networks")
    for truth, expected in ((PUBLISHED, verdicts.REPLICATED), (0.0, verdicts.NO_EFFECT)):
        found = [verdict(*crossed(one + truth).interval(0.95), asked) == expected for one in drawn]
        simulated.between(f"effect {truth} comes out as: {expected}", found, 0.5, 1.0, "power")


def study(rng: np.random.Generator, effects: list[float]) -> list[Crossed]:
    """Estimates of claims over five networks; half of their variance is shared."""
    shared = rng.standard_normal((5, 1))
    drawn = np.sqrt(0.5) * (shared + rng.standard_normal((5, len(effects)))) + effects
    return [crossed(column[:, np.newaxis]) for column in drawn.T]


PRIMARIES = [("primary", "")] * 3


def confirmed(found: list[Crossed], tiers: list[tuple[str, str]], asked: Question) -> list[str]:
    """The verdict of each row that is not exploratory; "" of the others."""
    ps = [p_decided(one, asked) for one in found]
    names = [str(place) for place in range(len(found))]
    rows = [Row(name, *tier, p) for name, tier, p in zip(names, tiers, ps, strict=True)]
    return [
        "" if share.tier == "exploratory" else verdict(*one.interval(1 - share.alpha), asked)
        for one, share in zip(found, allocate(rows), strict=True)
    ]


def test_gates_keep_the_error_of_a_family(simulated):
    """Three primaries, and four secondaries of the first, that claim a sign; any sign counts."""
    rng = np.random.default_rng(5)
    tiers = PRIMARIES + [("secondary", "0")] * 4
    for name, effects in (
        ("no effect in any", [0.0] * 7),
        ("an effect in the first primary", [4.0] + [0.0] * 6),
        ("effects in 2 primaries and 2 secondaries", [4.0, 4.0, 0.0, 4.0, 4.0, 0.0, 0.0]),
    ):
        null = np.array(effects) == 0
        found = [confirmed(study(rng, effects), tiers, SIGN) for _ in range(1000)]
        wrong = np.isin(found, (verdicts.SUPPORTED, verdicts.CONTRADICTED)) & null
        for family, rows in (("primary", slice(0, 3)), ("secondary", slice(3, 7))):
            what = f"any false {family} sign of a study, {name}"
            simulated.at_most(what, wrong[:, rows].any(axis=1), 0.05)
    every = [[p_decided(one, SIGN) for one in study(rng, [0.0] * 7)] for _ in range(1000)]
    naive = (np.array(every) < 0.05).any(axis=1)
    simulated.between("any false sign, no effect in any: all rows at 5%", naive, 0.12, 0.35)


def test_rows_without_an_effect_that_are_decided(simulated):
    """Primaries without any effect, of which the published one is excluded.

    Each is supported in 2.5% and, being decided, opens the way to the next: two are safe, and a
    third is not quite.
    """
    rng = np.random.default_rng(6)
    for decided, asked in (
        ("smaller than published", Question(holds_from=0.0, published=3.0)),
        ("no effect of practical size", Question(holds_from=0.0, smallest=3.0)),
    ):
        found = [confirmed(study(rng, [0.0] * 3), PRIMARIES, asked) for _ in range(TRIALS)]
        wrong = np.isin(found, OF_SUPPORT)
        what = f"any false support, primaries {decided}: "
        simulated.at_most(f"{what}first 2", wrong[:, :2].any(axis=1), 0.05)
        simulated.at_most(f"{what}3", wrong.any(axis=1), 0.075)


SOME = 1.5


def test_an_e_value_may_be_looked_at_at_any_time(simulated):
    """After every network up to 40, stopping where it decides."""
    rng = np.random.default_rng(7)
    drawn = rng.standard_normal((TRIALS, 40))
    ends = range(2, 41)
    e = [any(e_value(one[:n]) >= 20 for n in ends) for one in drawn]
    simulated.at_most("false signs, looking after each of 40 networks: e-value of 20", e, 0.05)
    n = np.arange(1, 41)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = drawn.cumsum(axis=1) / n
        sd = np.sqrt(((drawn**2).cumsum(axis=1) - n * mean**2) / (n - 1))
        p = 2 * special.stdtr(n - 1, -abs(mean / sd) * np.sqrt(n))
    naive = (p[:, 1:] < 0.05).any(axis=1)
    simulated.between("false signs, looking after each of 40 networks: t at 5%", naive, 0.2, 0.5)
    power = [e_value(one[:20] + SOME) >= 20 for one in drawn[:500]]
    simulated.between(
        f"effect of {SOME} sd: e-value of 20 with 20 networks", power, 0.95, 1, "power"
    )


@pytest.mark.parametrize("looks", [(3, 5, 8, 10, 20), (4, 6, 10)])
def test_looks_share_their_level(simulated, looks):
    rng = np.random.default_rng(8)
    drawn = rng.standard_normal((20_000, looks[-1]))
    shared, naive = np.zeros(len(drawn), bool), np.zeros(len(drawn), bool)
    for look, level in zip(looks, look_levels(looks), strict=True):
        seen = drawn[:, :look]
        t = seen.mean(axis=1) / seen.std(axis=1, ddof=1) * math.sqrt(look)
        p = 2 * special.stdtr(look - 1, -abs(t))
        shared |= p < level
        naive |= p < 0.05
    name = ", ".join(map(str, looks))
    simulated.at_most(f"false signs, looks at {name} networks: shared levels", shared, 0.06)
    simulated.between(f"false signs, looks at {name} networks: each at 5%", naive, 0.08, 0.2)


def test_no_verdict_below_four_networks(simulated):
    rng = np.random.default_rng(9)
    drawn = values(rng, 200, FEWEST_NETWORKS - 1, "networks") + 100.0
    decided = [p_decided(crossed(one), SIGN) < 1 for one in drawn]
    simulated.at_most("verdicts with three networks", decided, 0.0)
