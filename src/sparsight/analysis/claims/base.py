"""What a claim is tested on, what its test gives, and the tests that several kinds share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.claims.registry import COMMON_KEYS
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, DENSE, ChainRows, Curve
from sparsight.analysis.resample import BOTH, CHANGE_AT_BOTH
from sparsight.analysis.statistics import correlation_interval, one_sample_t, percentile_interval
from sparsight.analysis.tables import COMPARED
from sparsight.io.errors import InputError

Numbers = NDArray[np.float64]


class ConceptMeasure(NamedTuple):
    """Names one number about concepts: the configured method, and the columns of `concepts.csv`."""

    concept: str
    kind: str
    measure: str
    class_name: str = ""
    label: str = ""


class ClaimCurves:
    """The networks of one claim: a data set, a model, a pruner and a condition of the images.

    Parameters
    ----------
    curves : chains of a study, of at least this one's explainers; others are left out.
    claim : `name`, `dataset`, `model`, `pruner`, `condition`.
    concepts : rows of `concepts.csv`, where a claim is about concepts.
    orders : rows of `concept_tables.csv`, where a claim is about the order of concepts.

    Raises
    ------
    InputError
        When the chains hold none of these networks.
    """

    def __init__(
        self,
        curves: ChainRows,
        claim: Mapping[str, Any],
        concepts: pd.DataFrame | None = None,
        orders: pd.DataFrame | None = None,
    ) -> None:
        self._claim, self._curves, self._concepts = claim, curves, concepts
        self._orders = orders
        frame = curves.frame
        kept = np.ones(len(frame), dtype=np.bool_)
        for key in ("dataset", "model", "pruner", "condition"):
            kept &= (frame[key] == claim[key]).to_numpy(dtype=np.bool_)
            if not kept.any():
                raise self._missing(f"{key} '{claim[key]}'")
        self._frame = frame[kept]
        self._replicates = curves.replicates
        self.seeds = sorted({int(seed) for seed in self._frame["seed"]})

    def _missing(self, what: str) -> InputError:
        return InputError(
            f"the claim '{self._claim['name']}' is about the {what}, of which the statistics hold "
            "nothing; name one that runs"
        )

    def of_pruner(self, pruner: str) -> "ClaimCurves":
        """The same networks, pruned by another pruner.

        Raises
        ------
        InputError
            When there are none, or not of the same seeds: they could not be paired.
        """
        claim = {**self._claim, "pruner": pruner}
        found = ClaimCurves(self._curves, claim, self._concepts, self._orders)
        if found.seeds != self.seeds:
            raise InputError(
                f"the claim '{self._claim['name']}' pairs {self._claim['pruner']} with {pruner}, "
                f"whose seeds are {found.seeds}, not {self.seeds}; run both with the same seeds"
            )
        return found

    def accuracy(self) -> Curve:
        """Accuracy over all test images, in [0, 1]."""
        return self.curve(ACCURACY_ROWS, ACCURACY, "all")

    def curve(self, explainer: str, metric: str, subset: str) -> Curve:
        """One metric of one explainer over a subset of the images.

        Raises
        ------
        InputError
            When there are no such rows.
        """
        curve = self._curve(explainer, metric, subset)
        if subset != BOTH:
            return curve
        return replace(curve, changes=self._curve(explainer, metric, CHANGE_AT_BOTH))

    def concept(self, wanted: ConceptMeasure) -> Curve:
        """One number about concepts, of the networks as a whole or of a class or concept.

        It has no replicates: B is 0. Comparisons have no level 0, at which a network would be
        compared with itself.

        Raises
        ------
        InputError
            When there are no such rows.
        """
        rows = self._concepts
        if rows is None:
            raise self._missing("concepts")
        own = rows["pruner"] == self._claim["pruner"]
        rows = rows[own if wanted.kind == COMPARED else own | (rows["pruner"] == DENSE)]
        columns = ("concept", "kind", "measure", "class", "concept_label")
        named = {key: self._claim[key] for key in ("dataset", "model")}
        for key, value in {**named, **dict(zip(columns, wanted, strict=True))}.items():
            rows = rows[rows[key] == value]
            if rows.empty:
                raise self._missing(f"{key} '{value}'" if value else f"{wanted.measure} of it all")
        rows = rows[rows["seed"].isin([str(seed) for seed in self.seeds])]
        return Curve.of(rows, np.empty((len(rows), 0)), seeds=self.seeds, value="value")

    def in_top(
        self, concept: str, class_name: str, length: int, wanted: Callable[[str], bool]
    ) -> Curve:
        """1 where a concept is among the first `length` of a class, 0 where it is not.

        A class without any concept at a level that was looked at has 0; B is 0.

        Parameters
        ----------
        concept : the configured method.
        class_name : "" where one order holds for all classes.
        wanted : whether a name is that of the concept.

        Raises
        ------
        InputError
            When there are no such orders.
        """
        if self._orders is None:
            raise self._missing("order of concepts")
        rows = self._orders[self._orders["pruner"].isin([self._claim["pruner"], DENSE])]
        named = {key: self._claim[key] for key in ("dataset", "model")}
        for key, value in {**named, "concept": concept}.items():
            rows = rows[rows[key] == value]
            if rows.empty:
                raise self._missing(f"{key} '{value}'")
        of_class = rows["class"] == class_name
        if not of_class.any():
            raise self._missing(f"class '{class_name}'" if class_name else "order of all classes")
        first = rows[[f"top_{place}" for place in range(1, length + 1)]]
        found = first.map(wanted).any(axis=1) & of_class
        rows = rows.assign(found=found.astype("float64"))
        rows = rows[rows["seed"].isin([str(seed) for seed in self.seeds])]
        rows = rows.groupby(["seed", "level"], as_index=False)[["found", "density"]].max()
        return Curve.of(rows, np.empty((len(rows), 0)), seeds=self.seeds, value="found")

    def _curve(self, explainer: str, metric: str, subset: str) -> Curve:
        rows = self._frame
        wanted = {"explainer": explainer, "metric": metric, "subset": subset}
        for key, value in wanted.items():
            rows = rows[rows[key] == value]
            if rows.empty:
                raise self._missing(f"{key} '{value}'")
        return Curve.of(
            rows, self._replicates[rows.index.to_numpy()].astype(np.float64), seeds=self.seeds
        )


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
