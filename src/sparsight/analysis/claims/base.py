"""What a claim is decided on, and what the networks say of it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsight.analysis.claims.images import ImageCurve, Networks, StudyImages
from sparsight.analysis.claims.registry import COMMON_KEYS
from sparsight.analysis.crossed import Estimate, NetworkShare, crossed
from sparsight.analysis.curves import ACCURACY, DENSE, Curve, Quantity
from sparsight.analysis.exemplars import foretelling
from sparsight.analysis.resample import BOTH, CHANGE_AT_BOTH
from sparsight.analysis.statistics import UNBOUNDED, Range
from sparsight.analysis.tables import COMPARED
from sparsight.analysis.verdicts import Question
from sparsight.io.errors import InputError

Numbers = NDArray[np.float64]
#: kinds of names (`ClaimTest.refers`) that are metrics
_METRICS = ("metric", "measure", "any measure", "metric or agreement")


class ConceptMeasure(NamedTuple):
    """Names one number about concepts: the configured method, and the columns of `concepts.csv`."""

    concept: str
    kind: str
    measure: str
    class_name: str = ""
    label: str = ""


@dataclass
class _Looked:
    """What was looked at for a claim: images [N] that count, and maps that may be empty."""

    images: NDArray[np.bool_] | None = None
    maps: set[tuple[Networks, str, str]] = field(default_factory=set)


class ClaimCurves:
    """The networks of one claim: a data set, a model, a pruner and a condition of the images.

    Each method raises an `InputError` that names the key for which there are no rows.

    Parameters
    ----------
    study : scores and predictions of the study.
    claim : `name`, `dataset`, `model`, `pruner`, `condition`.
    concepts : rows of `concepts.csv`, where a claim is about concepts.
    orders : rows of `concept_tables.csv`, where a claim is about the order of concepts.
    """

    def __init__(
        self,
        study: StudyImages,
        claim: Mapping[str, Any],
        concepts: pd.DataFrame | None = None,
        orders: pd.DataFrame | None = None,
    ) -> None:
        self._claim, self._study = claim, study
        self._concepts, self._orders = concepts, orders
        self._networks = Networks(
            *(str(claim[key]) for key in ("dataset", "model", "pruner", "condition"))
        )
        self._looked = _Looked()
        self.seeds = study.seeds(self._networks)
        if not self.seeds:
            raise self._missing(f"pruner '{self._networks.pruner}'")

    def of_pruner(self, pruner: str) -> "ClaimCurves":
        """The same networks under another pruner; seeds must be the same to be paired."""
        claim = {**self._claim, "pruner": pruner}
        found = ClaimCurves(self._study, claim, self._concepts, self._orders)
        if found.seeds != self.seeds:
            raise InputError(
                f"the claim '{self._claim['name']}' pairs {self._claim['pruner']} with {pruner}, "
                f"whose seeds are {found.seeds}, not {self.seeds}; run both with the same seeds"
            )
        found._looked = self._looked
        return found

    def accuracy(self) -> Curve:
        """Accuracy over all test images, in [0, 1]."""
        return self._look(self._study.accuracy(self._networks))

    def curve(self, explainer: str, metric: str, subset: str) -> Curve:
        """One metric of one explainer over a subset of the images."""
        names = (explainer, metric)
        self._looked.maps.add((self._networks, *names))
        found = self._look(self._study.curve(self._networks, *names, subset))
        if subset != BOTH:
            return found
        return replace(found, changes=self._study.curve(self._networks, *names, CHANGE_AT_BOTH))

    def _look(self, curve: ImageCurve) -> ImageCurve:
        self._look_at(curve.scored)
        return curve

    def _look_at(self, images: NDArray[np.bool_]) -> None:
        before = self._looked.images
        self._looked.images = images if before is None else np.logical_or(before, images)

    def foretelling(self, explainer: str, metric: str, level: int) -> Quantity:
        """How well the drift at a level foretells which predictions flip at the next one.

        The area under the ROC curve (`sparsight.analysis.exemplars.foretelling`), over the images
        whose prediction has not flipped so far; `metric` is one of agreement.
        """
        self._looked.maps.add((self._networks, explainer, metric))
        drift, flips = self._study.drift_before_flips(self._networks, explainer, metric, level)
        self._look_at(np.asarray(np.isfinite(drift).any(axis=0), dtype=np.bool_))
        areas = [foretelling(*network) for network in zip(drift, flips, strict=True)]
        values, without = zip(*areas, strict=True)
        return Quantity(np.array(values), np.array(without))

    def differences(self, quantity: Quantity) -> tuple[NDArray[np.int64], Numbers]:
        """Image ids [N] and the matrix [S, N] of what each image says of a quantity.

        Pseudo-values of the jackknife: for a mean over images they are the values themselves. For a
        quantity of the network as a whole, N is 1, and the id is -1.
        """
        values, without = quantity
        if self._looked.images is None or without.shape[1] == 0:
            return np.full(1, -1), values[:, np.newaxis]
        ids, n = self._study.image_ids(self._networks), int(self._looked.images.sum())
        ids, without = ids[self._looked.images], without[:, self._looked.images]
        if n == 1:
            return ids, values[:, np.newaxis]
        return ids, n * values[:, np.newaxis] - (n - 1) * without

    def empty_share(
        self, levels: Iterable[int], other_levels: Iterable[int] | Mapping[str, Iterable[int]] = ()
    ) -> float:
        """Largest share of images with an empty map at one of the levels; NaN without maps.

        `other_levels` are those of `of_pruner`, or those of each pruner.
        """
        shares = []
        for of, explainer, metric in sorted(self._looked.maps):
            if of == self._networks:
                at = levels
            elif isinstance(other_levels, Mapping):
                at = other_levels[of.pruner]
            else:
                at = other_levels
            shares.append(self._study.empty_share(of, explainer, metric, at))
        return max((share for share in shares if not math.isnan(share)), default=math.nan)

    def not_learnt(self) -> str:
        """Why the dense networks show nothing: they do no better than the most frequent label."""
        accuracy, majority = self._study.dense_and_majority(self._networks)
        if accuracy > majority:
            return ""
        return (
            f"the task is not learnt (accuracy {accuracy:.3f}, most frequent label {majority:.3f})"
        )

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
            f"the claim '{self._claim['name']}' is about the {what}, of which the study holds "
            "nothing; name one that runs"
        )


@dataclass(frozen=True)
class Evidence:
    """What the networks say of a claim.

    Attributes
    ----------
    statistic : the quantity in words.
    quantity : one number of each network, and the same without each image (N is 0 for a quantity
        of the network as a whole, or one that jumps).
    holds_from, holds_to : the claim is true where the quantity lies between them; NaN is no bound.
    levels, other_levels : at which maps must not be empty, and at which those of another pruner, or
        of each of several.
    bounds : range of the quantity, which its interval does not leave.
    also, also_words : what must be above 0 too for the claim to hold, and that in words.
    choices : from how many quantities, by their values, this one was chosen.
    moot : why there is nothing to decide; "" where there is.
    retrained : the same quantity under a pruner that only retrains, [S]; None without one.
    counted : whether `quantity` is 1 or 0, of which the share of networks is the estimate.
    remark : what a reader has to know.
    columns : what the claim's row says instead of the configuration (`explainer`, `metric`, ...).
    """

    statistic: str
    quantity: Quantity
    holds_from: float = math.nan
    holds_to: float = math.nan
    levels: tuple[int, ...] = ()
    other_levels: tuple[int, ...] | Mapping[str, tuple[int, ...]] = ()
    bounds: Range = UNBOUNDED
    also: Quantity | None = None
    also_words: str = ""
    choices: int = 1
    moot: str = ""
    retrained: Numbers | None = None
    counted: bool = False
    remark: str = ""
    columns: Mapping[str, str] | None = None

    def question(self, claim: Mapping[str, Any]) -> Question:
        """What the claim says of the quantity; `smallest` is an effect where it is on a sign."""
        bounds = [bound for bound in (self.holds_from, self.holds_to) if not math.isnan(bound)]
        on_sign = bounds == [0.0]
        smallest = float(claim.get("smallest", math.nan)) if on_sign else math.nan
        published = float(claim.get("published", math.nan))
        return Question(self.holds_from, self.holds_to, published, smallest)

    def estimate(self, matrix: Numbers) -> Estimate:
        """The estimate from the matrix [S, N] of `ClaimCurves.differences`."""
        return NetworkShare.of(matrix[:, 0]) if self.counted else crossed(matrix, self.bounds)


class ClaimTest(ABC):
    """One kind of claim. Facts are literals: the workflow reads them without importing the class.

    Attributes
    ----------
    name, reference : as in the configuration; of the procedure.
    needs : those of the common keys `explainer`, `metric`, `published` and `smallest` that a claim
        must give.
    scale : what `published` is, which bounds it: "correlation", "level", "share", "measure" (an
        accuracy or a metric), "difference" of such or "above chance" (of a share); "" where it has
        no bounds. A correlation, a share or a difference may be taken from another one.
    parameters : further keys of a claim to their defaults, `"required"` where there is none.
    allowed : such a key to the words that it may be, or the interval in which its number lies.
    refers : such a key to what it names: "explainer", "explainer of the same images", "metric",
        "any measure" (a metric, an agreement or "accuracy"), "measure" (one of which more is
        better), "metric or agreement", "loss of accuracy", "pruner", "retraining pruner", "pruner
        that prunes", "pruners that prune", "level", "range of levels", "range of levels of the
        other pruner", "range of levels before the last", "sample pruner", "explainers on
        copies", "claims" or "whole number"; "concept" (a configured concept method), "concept
        measure", "concept comparison", "levels of concepts", "class of concepts" or "named
        concept".
    orders : whether the orders of concepts (`concept_tables.csv`) are read.
    of_agreement : whether `metric` must be one of agreement, over all images.
    """

    name: ClassVar[str] = ""
    reference: ClassVar[str] = "Obuchowski & Rockette 1995, doi:10.1080/03610919508813243"
    needs: ClassVar[tuple[str, ...]] = ("explainer", "metric")
    scale: ClassVar[str] = "difference"
    parameters: ClassVar[dict[str, Any]] = {}
    allowed: ClassVar[dict[str, Any]] = {}
    refers: ClassVar[dict[str, str]] = {}
    orders: ClassVar[bool] = False
    of_agreement: ClassVar[bool] = False

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

    def metrics(self) -> set[str]:
        """Metrics whose rows are read."""
        named = {self.settings[k] for k, kind in self.refers.items() if kind in _METRICS}
        return {name for name in (self.claim.get("metric"), *named) if name and name != ACCURACY}

    def concepts(self) -> set[str]:
        """Concept methods whose rows are read."""
        return {str(self.settings[k]) for k, kind in self.refers.items() if kind == "concept"}

    @abstractmethod
    def evidence(self, networks: ClaimCurves) -> Evidence:
        """What the networks say; an `InputError` where the study lacks what the claim is about."""


class SignedClaim(ClaimTest):
    """A claim on the sign of a quantity, `expected`."""

    allowed: ClassVar[dict[str, Any]] = {"expected": ("positive", "negative")}

    def decide(self, statistic: str, quantity: Quantity, **more: Any) -> Evidence:
        """The claim is true where the mean has the expected sign; `more` goes to `Evidence`."""
        upwards = self.settings["expected"] == "positive"
        bounds = (0.0, math.nan) if upwards else (math.nan, 0.0)
        return Evidence(statistic, quantity, *bounds, **more)


def mean_in_words(values: Numbers) -> str:
    """Mean over the networks with a value, on three digits; for remarks."""
    return f"{np.nanmean(values):.3g}" if np.isfinite(values).any() else "undefined"
