"""What a test of a claim gives, and the tests with the network as unit that all kinds share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsight.analysis.bootstrap import correlation_interval, percentile_interval
from sparsight.analysis.claims.curves import ClaimCurves, Numbers
from sparsight.analysis.claims.keys import COMMON_KEYS
from sparsight.analysis.inference import one_sample_t


@dataclass(frozen=True)
class Evidence:
    """What the networks say of a claim.

    Attributes
    ----------
    statistic : the quantity in words.
    values : float64 [S], the quantity of each network (seed); NaN where it is undefined.
    replicates : float64 [B], mean over the networks with a value in each draw of images; [0] where
        the quantity has no sound interval over images.
    p_for : one-sided p against all values of the quantity for which the claim is false.
    p_against : one-sided p against all values for which it is true.
    holds_from, holds_to : the claim is true where the quantity lies between them; NaN is no bound.
    remark : what a reader has to know.
    columns : what the claim's row says instead of the configuration (`explainer`, `metric`, ...).
    correlation : whether the quantity is a correlation, whose interval over images is reflected.
    counted : whether the quantity only counts networks; Student t has no sound interval for it.
    """

    statistic: str
    values: Numbers
    replicates: Numbers
    p_for: float
    p_against: float
    holds_from: float = math.nan
    holds_to: float = math.nan
    remark: str = ""
    columns: Mapping[str, str] | None = None
    correlation: bool = False
    counted: bool = False

    def images_interval(self, confidence: float) -> tuple[float, float]:
        """Interval of the mean over networks, over draws of images; NaN where there is none."""
        if self.correlation and np.isfinite(self.values).any():
            estimate = float(np.nanmean(self.values))
            return correlation_interval(self.replicates, estimate, confidence)
        low, high = percentile_interval(self.replicates, confidence)
        return float(low), float(high)


class ClaimTest(ABC):
    """One kind of claim. Facts are literals: the workflow reads them without importing the class.

    Attributes
    ----------
    name, reference : as in the configuration; of the procedure.
    needs : those of the common keys `explainer` and `metric` that a claim must give.
    parameters : further keys of a claim to their defaults, `"required"` where there is none.
    choices : such a key to the words that it may be.
    ranges : such a key to its smallest and largest number.
    refers : such a key to what it names: "explainer", "explainer of the same images", "metric",
        "measure" (a metric or "accuracy"), "pruner", "retraining pruner", "level", "range of
        levels" or "whole number"; "concept" (a configured concept method), "concept measure",
        "concept comparison", "levels of concepts", "class of concepts" or "named concept".
    orders : whether the orders of concepts (`concept_tables.csv`) are read.
    """

    name: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ("explainer", "metric")
    parameters: ClassVar[dict[str, Any]] = {}
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}
    ranges: ClassVar[dict[str, tuple[float, float]]] = {}
    refers: ClassVar[dict[str, str]] = {}
    orders: ClassVar[bool] = False

    def __init__(self, claim: Mapping[str, Any]) -> None:
        self.claim = claim
        own = {key: value for key, value in claim.items() if key not in COMMON_KEYS}
        self.settings = {**self.parameters, **own}
        self.subset = str(claim.get("subset", "all"))

    def explainers(self) -> set[str]:
        """Explainers whose rows are read."""
        named = {self.settings[k] for k, kind in self.refers.items() if kind == "explainer"}
        return {name for name in (self.claim.get("explainer"), *named) if name}

    def concepts(self) -> set[str]:
        """Concept methods whose rows are read."""
        return {str(self.settings[k]) for k, kind in self.refers.items() if kind == "concept"}

    @abstractmethod
    def evidence(self, networks: ClaimCurves) -> Evidence:
        """Test the claim.

        Raises
        ------
        InputError
            When the statistics lack what the claim is about.
        """


def above(values: Numbers, bound: float = 0.0) -> tuple[float, float]:
    """`p_for` and `p_against` of "the mean over networks [S] is above `bound`".

    Student t, one-sided. NaN with fewer than two networks, and where all have one value: an
    estimate without spread has no test.
    """
    test = one_sample_t(values - bound)
    return test.p_greater, test.p_less


class Sign(NamedTuple):
    """A test of the sign of a quantity, by the names of `Evidence`."""

    p_for: float
    p_against: float
    holds_from: float
    holds_to: float


def sign(values: Numbers, expected: str) -> Sign:
    """Test whether the mean over networks [S] has the `expected` sign, positive or negative."""
    p_above, p_below = above(values)
    if expected == "positive":
        return Sign(p_above, p_below, 0.0, math.nan)
    return Sign(p_below, p_above, math.nan, 0.0)


def sign_test(values: Numbers, expected: str, bound: float = 0.0) -> Sign:
    """Test whether more networks [S] are on the `expected` side of `bound` than on the other.

    The exact sign test; of one 0 or 1 minus another, paired by network, it is McNemar's. Networks
    on the bound say nothing: where all are, both ps are 1. NaN without any network.
    """
    defined = values[np.isfinite(values)] - bound
    up, down = int((defined > 0).sum()), int((defined < 0).sum())
    p_above, p_below = (_at_least(k, up + down) for k in (up, down))
    if not defined.size:
        p_above = p_below = math.nan
    if expected == "positive":
        return Sign(p_above, p_below, bound, math.nan)
    return Sign(p_below, p_above, math.nan, bound)


def _at_least(heads: int, tosses: int) -> float:
    """Probability of at least as many heads of a fair coin."""
    ways = sum(math.comb(tosses, k) for k in range(heads, tosses + 1))
    return ways / float(2**tosses)


def both(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """`p_for` and `p_against` of "both are so" from those of the two.

    For: both must be shown, so the larger p (intersection-union). Against: one suffices, and which
    of them is chosen after the fact, so twice the smaller p (Bonferroni). NaN where one has no
    test.

    References
    ----------
    Berger 1982, "Multiparameter hypothesis testing and acceptance sampling".
    """
    ps = np.array([first, second])
    if np.isnan(ps).any():
        return math.nan, math.nan
    return float(ps[:, 0].max()), float(min(1.0, 2.0 * ps[:, 1].min()))


def mean_in_words(values: Numbers) -> str:
    """Mean over the networks with a value, on three digits; for remarks."""
    return f"{np.nanmean(values):.3g}" if np.isfinite(values).any() else "undefined"


def mean_over_networks(values: Numbers, replicates: Numbers) -> Numbers:
    """Mean [B] of replicates [S, B] over the networks whose value [S] is defined."""
    defined = np.isfinite(values)
    if not defined.any():
        return np.full(replicates.shape[1], np.nan)
    return np.asarray(replicates[defined].mean(axis=0))


def percent(density: float) -> str:
    """Share of weights left, for a sentence."""
    return f"{100.0 * density:.2g}%"
