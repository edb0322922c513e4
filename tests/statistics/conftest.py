"""Simulations with known truth: their table, printed after the tests, and what may pass."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
from scipy import stats

from tests.tallies import SIMULATION

# A right estimator is refused with this probability when the seed of a simulation changes.
CHANCE = 1e-4
# A check that would accept anything within more than this is no check.
WIDEST = 0.03


@dataclass(frozen=True)
class Simulated:
    """Checks rates against what theory says, up to the binomial error of the simulation itself."""

    note: Callable[[tuple[str, str, str, str]], None]

    def _row(self, what: str, rate: float, trials: int, verdict: str) -> None:
        self.note((what, f"{100 * rate:.1f}%", str(trials), verdict))

    def nominal(self, what: str, hits: Iterable[bool], rate: float) -> None:
        """The true rate may be `rate`, and the simulation is large enough to tell."""
        found = list(hits)
        count, trials = sum(map(bool, found)), len(found)
        reach = stats.norm.isf(CHANCE / 2) * math.sqrt(rate * (1 - rate) / trials)
        self._row(what, count / trials, trials, f"nominal {100 * rate:g}%")
        assert reach <= WIDEST, f"{what}: {trials} trials are too few"
        assert stats.binomtest(count, trials, rate).pvalue > CHANCE, f"{what}: {count}/{trials}"

    def between(
        self, what: str, hits: Iterable[bool], low: float, high: float, verdict: str = "fails"
    ) -> None:
        """The true rate lies between two numbers beyond the error of the simulation."""
        found = list(hits)
        count, trials = sum(map(bool, found)), len(found)
        self._row(what, count / trials, trials, f"{verdict}: {100 * low:g} to {100 * high:g}%")
        for bound, side in ((low, "greater"), (high, "less")):
            test = stats.binomtest(count, trials, bound, alternative=side)
            assert bound in (0.0, 1.0) or test.pvalue < CHANCE, f"{what}: {count}/{trials}"

    def at_most(self, what: str, hits: Iterable[bool], rate: float) -> None:
        """The true rate may be `rate` or less."""
        found = list(hits)
        count, trials = sum(map(bool, found)), len(found)
        self._row(what, count / trials, trials, f"at most {100 * rate:g}%")
        test = stats.binomtest(count, trials, rate, alternative="greater")
        assert test.pvalue > CHANCE, f"{what}: {count}/{trials}"


@pytest.fixture
def simulated(request: pytest.FixtureRequest) -> Simulated:
    """Checks that also print."""
    return Simulated(lambda row: request.node.user_properties.append((SIMULATION, row)))
