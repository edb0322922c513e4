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
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, DENSE, ChainRows, Curve, Quantity
from sparsight.analysis.resample import BOTH, CHANGE_AT_BOTH
from sparsight.analysis.statistics import (
    UNBOUNDED,
    Range,
    correlation_interval,
    one_sample_t,
    percentile_interval,
)
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

    Each method raises an `InputError` that names the key for which there are no rows.

    Parameters
    ----------
    curves : chains of a study, of at least this one's explainers; others are left out.
    claim : `name`, `dataset`, `model`, `pruner`, `condition`.
    concepts : rows of `concepts.csv`, where a claim is about concepts.
    orders : rows of `concept_tables.csv`, where a claim is about the order of concepts.
    """

    def __init__(
        self,
        curves: ChainRows,
        claim: Mapping[str, Any],
        concepts: pd.DataFrame | None = None,
        orders: pd.DataFrame | None = None,
    ) -> None:
        self._claim, self._curves = claim, curves
        self._concepts, self._orders = concepts, orders
        self._frame = self._choose(curves.frame, self._own("pruner", "condition"))
        self.seeds = sorted({int(seed) for seed in self._frame["seed"]})

    def of_pruner(self, pruner: str) -> "ClaimCurves":
        """The same networks under another pruner; seeds must be the same to be paired."""
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
        """One metric of one explainer over a subset of the images."""
        wanted = {"explainer": explainer, "metric": metric, "subset": subset}
        rows = self._choose(self._frame, wanted)
        replicates = self._curves.replicates[rows.index.to_numpy()].astype(np.float64)
        found = Curve.of(rows, replicates, seeds=self.seeds)
        if subset != BOTH:
            return found
        return replace(found, changes=self.curve(explainer, metric, CHANGE_AT_BOTH))

    def concept(self, wanted: ConceptMeasure) -> Curve:
        """One number about concepts, of the networks as a whole or of a class or concept; B is 0.

        Comparisons have no level 0, at which a network would be compared with itself.
        """
        rows = self._concepts
        if rows is None:
            raise self._missing("concepts")
        pruners = [self._claim["pruner"], *([] if wanted.kind == COMPARED else [DENSE])]
        columns = ("concept", "kind", "measure", "class", "concept_label")
        named = {**self._own(), **dict(zip(columns, wanted, strict=True))}
        return self._of_seeds(self._choose(rows[rows["pruner"].isin(pruners)], named), "value")

    def in_top(
        self, concept: str, class_name: str, length: int, wanted: Callable[[str], bool]
    ) -> Curve:
        """1 where a concept is among the first `length` of a class, 0 where it is not; B is 0.

        `concept` is the configured method; `wanted` tells whether a name is that of the concept. A
        class without any concept at a level that was looked at has 0.
        """
        if self._orders is None:
            raise self._missing("order of concepts")
        rows = self._orders[self._orders["pruner"].isin([self._claim["pruner"], DENSE])]
        rows = self._choose(rows, {**self._own(), "concept": concept})
        of_class = self._choose(rows, {"class": class_name})
        first = of_class[[f"top_{place}" for place in range(1, length + 1)]]
        found = first.map(wanted).any(axis=1).reindex(rows.index, fill_value=False)
        rows = rows.assign(found=found.astype("float64"))
        rows = rows.groupby(["seed", "level"], as_index=False)[["found", "density"]].max()
        return self._of_seeds(rows, "found")

    def _own(self, *more: str) -> dict[str, Any]:
        return {key: self._claim[key] for key in ("dataset", "model", *more)}

    def _choose(self, rows: pd.DataFrame, wanted: Mapping[str, str]) -> pd.DataFrame:
        """The rows with these values."""
        for key, value in wanted.items():
            rows = rows[rows[key] == value]
            if rows.empty:
                raise self._missing(f"{key} '{value}'" + ("" if value else " (all together)"))
        return rows

    def _of_seeds(self, rows: pd.DataFrame, value: str) -> Curve:
        """Rows of tables, where seeds are texts, as a curve without draws of images."""
        rows = rows[rows["seed"].isin([str(seed) for seed in self.seeds])]
        return Curve.of(rows, np.empty((len(rows), 0)), seeds=self.seeds, value=value)

    def _missing(self, what: str) -> InputError:
        return InputError(
            f"the claim '{self._claim['name']}' is about the {what}, of which the statistics hold "
            "nothing; name one that runs"
        )


@dataclass(frozen=True)
class Evidence:
    """What the networks say of a claim.

    Attributes
    ----------
    statistic : the quantity in words.
    quantity : one number of each network; without draws (B is 0) where it has no sound interval
        over images.
    p_for : one-sided p against all values of the quantity for which the claim is false.
    p_against : one-sided p against all values for which it is true.
    holds_from, holds_to : the claim is true where the quantity lies between them; NaN is no bound.
    remark : what a reader has to know.
    columns : what the claim's row says instead of the configuration (`explainer`, `metric`, ...).
    correlation : whether the interval over images is that of a correlation, which is reflected.
    bounds : range of the quantity, which its interval over networks does not leave.
    counted : whether the quantity only counts networks; Student t has no sound interval for it.
    """

    statistic: str
    quantity: Quantity
    p_for: float
    p_against: float
    holds_from: float = math.nan
    holds_to: float = math.nan
    remark: str = ""
    columns: Mapping[str, str] | None = None
    correlation: bool = False
    bounds: Range = UNBOUNDED
    counted: bool = False

    @property
    def values(self) -> Numbers:
        """The quantity of each network (seed), float64 [S]; NaN where it is undefined."""
        return self.quantity.values

    @property
    def replicates(self) -> Numbers:
        """Mean over the networks with a value in each draw of images, float64 [B]."""
        defined = np.isfinite(self.values)
        if not defined.any():
            return np.full(self.quantity.drawn.shape[1], np.nan)
        return np.asarray(self.quantity.drawn[defined].mean(axis=0))

    def images_interval(self, confidence: float) -> tuple[float, float]:
        """Interval of the mean over networks, over draws of images; NaN where there is none."""
        if self.correlation and np.isfinite(self.values).any():
            estimate = float(np.nanmean(self.values))
            return correlation_interval(self.replicates, estimate, confidence)
        low, high = percentile_interval(self.replicates, confidence)
        return float(low), float(high)


class Sign(NamedTuple):
    """A test of the side of a bound on which a quantity lies, in the order of `Evidence`."""

    p_for: float
    p_against: float
    holds_from: float
    holds_to: float


class ClaimTest(ABC):
    """One kind of claim. Facts are literals: the workflow reads them without importing the class.

    Attributes
    ----------
    name, reference : as in the configuration; of the procedure.
    needs : those of the common keys `explainer`, `metric`, `published` and `smallest` that a claim
        must give.
    scale : what `published` is, which bounds it: "correlation", "level", "share", "measure" (an
        accuracy or a metric) or "difference" of such; "" where it has no bounds. A correlation, a
        share or a difference may be taken from another one.
    parameters : further keys of a claim to their defaults, `"required"` where there is none.
    allowed : such a key to the words that it may be, or the interval in which its number lies.
    refers : such a key to what it names: "explainer", "explainer of the same images", "metric",
        "measure" (a metric or "accuracy"), "pruner", "retraining pruner", "level", "range of
        levels" or "whole number"; "concept" (a configured concept method), "concept measure",
        "concept comparison", "levels of concepts", "class of concepts" or "named concept".
    orders : whether the orders of concepts (`concept_tables.csv`) are read.
    """

    name: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ("explainer", "metric")
    scale: ClassVar[str] = "difference"
    parameters: ClassVar[dict[str, Any]] = {}
    allowed: ClassVar[dict[str, Any]] = {}
    refers: ClassVar[dict[str, str]] = {}
    orders: ClassVar[bool] = False

    def __init__(self, claim: Mapping[str, Any]) -> None:
        self.claim = claim
        own = {key: value for key, value in claim.items() if key not in COMMON_KEYS}
        self.settings = {**self.parameters, **own}
        self.subset = str(claim.get("subset", "all"))

    def explainers(self) -> set[str]:
        """Explainers whose rows are read."""
        kinds = ("explainer", "explainer of the same images")
        named = {self.settings[key] for key, kind in self.refers.items() if kind in kinds}
        return {name for name in (self.claim.get("explainer"), *named) if name}

    def concepts(self) -> set[str]:
        """Concept methods whose rows are read."""
        return {str(self.settings[k]) for k, kind in self.refers.items() if kind == "concept"}

    @abstractmethod
    def evidence(self, networks: ClaimCurves) -> Evidence:
        """Test the claim; an `InputError` where the statistics lack what it is about."""


class SignedClaim(ClaimTest):
    """A claim on the sign of a quantity, `expected`: one number a network, Student t over them."""

    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    allowed: ClassVar[dict[str, Any]] = {"expected": ("positive", "negative")}

    def decide(self, statistic: str, quantity: Quantity, **more: Any) -> Evidence:
        """Whether the mean over networks has the expected sign; `more` goes to `Evidence`."""
        tested = sign(quantity.values, self.settings["expected"])
        return Evidence(statistic, quantity, *tested, **more)


def p_above(values: Numbers, bound: float = 0.0) -> tuple[float, float]:
    """`p_for` and `p_against` of "the mean over networks [S] is above `bound`".

    Student t, one-sided. NaN with fewer than two networks, and where all have one value: an
    estimate without spread has no test.
    """
    test = one_sample_t(values - bound)
    return test.p_greater, test.p_less


def sign(values: Numbers, expected: str) -> Sign:
    """Test whether the mean over networks [S] has the `expected` sign, positive or negative."""
    return _on_side(*p_above(values), expected, 0.0)


def sign_test(values: Numbers, expected: str, bound: float = 0.0) -> Sign:
    """Test whether more networks [S] are on the `expected` side of `bound` than on the other.

    The exact sign test; of one 0 or 1 minus another, paired by network, it is McNemar's. Networks
    on the bound say nothing: where all are, both ps are 1. NaN without any network.
    """
    from scipy import stats  # late: it takes a second to import

    defined = values[np.isfinite(values)] - bound
    if not defined.size:
        return _on_side(math.nan, math.nan, expected, bound)
    sides = np.array([(defined > 0).sum(), (defined < 0).sum()])
    p_above, p_below = stats.binom.sf(sides - 1, sides.sum(), 0.5).tolist()
    return _on_side(p_above, p_below, expected, bound)


def _on_side(p_above: float, p_below: float, expected: str, bound: float) -> Sign:
    if expected == "positive":
        return Sign(p_above, p_below, bound, math.nan)
    return Sign(p_below, p_above, math.nan, bound)


def p_both(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """`p_for` and `p_against` of "both are so" from those of the two; NaN where one has no test.

    For: both must be shown, so the larger p (intersection-union; Berger 1982,
    doi:10.1080/00401706.1982.10487790). Against: one suffices, and which of them is chosen after
    the fact, so twice the smaller p (Bonferroni).
    """
    ps = np.array([first, second])
    if np.isnan(ps).any():
        return math.nan, math.nan
    return float(ps[:, 0].max()), float(min(1.0, 2.0 * ps[:, 1].min()))


def mean_in_words(values: Numbers) -> str:
    """Mean over the networks with a value, on three digits; for remarks."""
    return f"{np.nanmean(values):.3g}" if np.isfinite(values).any() else "undefined"
