"""Do a network's concepts change with pruning, and beyond what retraining changes?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import (
    ClaimCurves,
    ClaimTest,
    ConceptMeasure,
    Evidence,
    SignedClaim,
    mean_in_words,
)
from sparsight.analysis.curves import Curve, Quantity
from sparsight.analysis.statistics import SHARE
from sparsight.analysis.tables import COMPARED, FOUND
from sparsight.concepts.registry import SAME


class ConceptChange(SignedClaim):
    """Mean of a measure of concepts over `levels` minus that of dense; true where it is positive.

    `expected` turns the sign of the claim. The measure is that of the whole network, of a `class`,
    of a concept (`concept_label`), or of both. `against: nothing` leaves dense out of it: is the
    measure itself positive over `levels`?

    `minus_measure` takes the same quantity of another measure of the same method away (does one
    accuracy fall further than another?), `minus_pruner` the same quantity under another pruner over
    all its levels, each paired by seed.
    """

    name: ClassVar[str] = "concept_change"
    scale: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "concept": "required",
        "measure": "required",
        "levels": "required",
        "expected": "positive",
        "class": "",
        "concept_label": "",
        "against": "dense",
        "minus_measure": "",
        "minus_pruner": "",
    }
    allowed: ClassVar[dict[str, Any]] = {
        "expected": ("positive", "negative"),
        "against": ("dense", "nothing"),
    }
    refers: ClassVar[dict[str, str]] = {
        "concept": "concept",
        "measure": "concept measure",
        "minus_measure": "concept measure",
        "levels": "levels of concepts",
        "minus_pruner": "pruner",
        "class": "class of concepts",
        "concept_label": "named concept",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        first, last = self.settings["levels"]
        found = self._quantity(networks, first, last)
        text = f"{_words(self.settings)} over levels {first} to {last}"
        if self.settings["against"] == "dense":
            text += " minus that of dense"
        if other := self.settings["minus_measure"]:
            text += f", minus the same of {other}"
        remark, retrained = "", None
        if pruner := self.settings["minus_pruner"]:
            remark = f"{mean_in_words(found.values)} before that of {pruner} is taken away"
            other = self._quantity(networks.of_pruner(pruner), 1, None)
            found, retrained = found.less(other), other.values
            text += f", minus that of {pruner}"
        more = {"remark": remark, "retrained": retrained, "columns": _columns(self.settings)}
        return self.decide(text, found, **more)

    def _quantity(self, networks: ClaimCurves, first: int, last: int | None) -> Quantity:
        """Mean over levels of the measure, or of its change from dense."""
        dense = 0 if self.settings["against"] == "dense" else None
        found = networks.concept(_measure(self.settings, FOUND)).over(first, last, dense)
        if other := self.settings["minus_measure"]:
            wanted = _measure({**self.settings, "measure": other}, FOUND)
            found = found.less(networks.concept(wanted).over(first, last, dense))
        return found


class ConceptDrift(SignedClaim):
    """How a measure of likeness to dense concepts differs between pruning and retraining alone.

    The mean over `levels` of a comparison with the dense parent, minus that of the networks of the
    same seed that were only retrained (`floor`, a pruner that prunes nothing), over all its levels.
    `expected` says on which side pruning is: "negative" for measures of likeness that pruning
    lowers, such as a Jaccard index.
    """

    name: ClassVar[str] = "concept_drift_beyond_retraining"
    scale: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "concept": "required",
        "measure": "required",
        "levels": "required",
        "expected": "required",
        "floor": "required",
        "class": "",
        "concept_label": "",
    }
    refers: ClassVar[dict[str, str]] = {
        "concept": "concept",
        "measure": "concept comparison",
        "levels": "levels of concepts",
        "floor": "retraining pruner",
        "class": "class of concepts",
        "concept_label": "named concept",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        (first, last), floor = self.settings["levels"], self.settings["floor"]
        wanted = _measure(self.settings, COMPARED)
        pruned = networks.concept(wanted).over(first, last)
        retrained = networks.of_pruner(floor).concept(wanted).over(1)
        means = mean_in_words(pruned.values), mean_in_words(retrained.values)
        text = f"{_words(self.settings)} with dense over levels {first} to {last}"
        return self.decide(
            f"{text} minus that of {floor}",
            pruned.less(retrained),
            retrained=retrained.values,
            remark=f"{means[0]} pruned, {means[1]} of {floor}",
            columns=_columns(self.settings),
        )


class ConceptInTop(ClaimTest):
    """Does a concept enter the first few of a class (`expected: negative`: does it leave them)?

    `entry` is the concept's name and `top` the length of the list. Each network answers yes where
    the concept is in the list at more of `levels` (as a share) than in the dense network; the claim
    is true where most networks do. The interval of their share is exact: of four networks it holds
    1/2 even if all agree, of six that agree it does not.

    `against: nothing` leaves dense out of it: is the concept in the list at more than half of the
    levels? `minus_pruner` takes the same share under another pruner away, over all its levels and
    paired by seed: does it enter more than when nothing is pruned?
    """

    name: ClassVar[str] = "concept_in_top"
    scale: ClassVar[str] = "share"
    reference: ClassVar[str] = "Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404"
    needs: ClassVar[tuple[str, ...]] = ()
    orders: ClassVar[bool] = True
    parameters: ClassVar[dict[str, Any]] = {
        "concept": "required",
        "entry": "required",
        "levels": "required",
        "class": "",
        "top": 3,
        "expected": "positive",
        "against": "dense",
        "minus_pruner": "",
    }
    allowed: ClassVar[dict[str, Any]] = {
        "expected": ("positive", "negative"),
        "against": ("dense", "nothing"),
        # as many as `concept_tables.csv` lists
        "top": "[1, 5]",
    }
    refers: ClassVar[dict[str, str]] = {
        "concept": "concept",
        "class": "class of concepts",
        "entry": "named concept",
        "levels": "levels of concepts",
        "top": "whole number",
        "minus_pruner": "pruner",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        settings, bound = self.settings, 0.0
        first, last = settings["levels"]
        dense = 0 if settings["against"] == "dense" else None
        curve = self._in_top(networks)
        found = curve.over(first, last, dense)
        remark = f"in {mean_in_words(curve.over(first, last).values)} of the networks"
        entered = {"dense": "enters", "nothing": "is in"}[settings["against"]]
        if settings["expected"] == "negative":
            entered = {"dense": "leaves", "nothing": "is not in"}[settings["against"]]
        text = f"share of networks in which {settings['entry']} {entered} the top {settings['top']}"
        text += f" of {settings['class']}" if settings["class"] else ""
        text += f" over levels {first} to {last}"
        if dense is not None:
            remark += f", in {mean_in_words(curve.at(0).values)} of the dense ones"
        if pruner := settings["minus_pruner"]:
            others = self._in_top(networks.of_pruner(pruner)).over(1, None, dense)
            found = found.less(others)
            text += f", more than under {pruner}"
            remark += f"; {mean_in_words(others.values)} under {pruner}"
        elif dense is None:
            bound = 0.5
        side = 1.0 if settings["expected"] == "positive" else -1.0
        answers = np.where(side * (found.values - bound) > 0, 1.0, 0.0)
        answers[~np.isfinite(found.values)] = np.nan
        return Evidence(
            text,
            Quantity(answers, np.empty((len(answers), 0))),
            holds_from=0.5,
            bounds=SHARE,
            remark=remark,
            columns=_columns({**settings, "measure": f"top {settings['top']}"}),
            counted=True,
        )

    def _in_top(self, networks: ClaimCurves) -> Curve:
        """0 or 1 of each network and level; concepts that were merged have all their names."""
        concept, class_name, entry = (str(self.settings[k]) for k in ("concept", "class", "entry"))
        return networks.in_top(
            concept,
            class_name,
            int(self.settings["top"]),
            lambda name: name == entry or entry in name.split(SAME),
        )


def _measure(settings: dict[str, Any], kind: str) -> ConceptMeasure:
    parts = (settings[key] for key in ("measure", "class", "concept_label"))
    return ConceptMeasure(str(settings["concept"]), kind, *map(str, parts))


def _words(settings: dict[str, Any]) -> str:
    """The measure in words, with what it is about."""
    about = [settings[key] for key in ("class", "concept_label") if settings[key]]
    return f"{settings['measure']} of {', '.join([settings['concept'], *about])}"


def _columns(settings: dict[str, Any]) -> dict[str, str]:
    columns = {"explainer": str(settings["concept"]), "metric": str(settings["measure"])}
    # concepts are looked for in clean images, whatever the condition of explanations
    return {**columns, "condition": "clean", "subset": "all"}
