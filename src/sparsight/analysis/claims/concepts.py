"""Do a network's concepts change with pruning, and beyond what retraining changes?"""

from typing import Any, ClassVar

from sparsight.analysis.claims.base import (
    ClaimCurves,
    ClaimTest,
    ConceptMeasure,
    Evidence,
    SignedClaim,
    mean_in_words,
    sign_test,
)
from sparsight.analysis.curves import Curve, Quantity
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
        remark = ""
        if pruner := self.settings["minus_pruner"]:
            remark = f"{mean_in_words(found.values)} before that of {pruner} is taken away"
            found = found.less(self._quantity(networks.of_pruner(pruner), 1, None))
            text += f", minus that of {pruner}"
        return self.decide(text, found, remark=remark, columns=_columns(self.settings))

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
            remark=f"{means[0]} pruned, {means[1]} of {floor}",
            columns=_columns(self.settings),
        )


class ConceptInTop(ClaimTest):
    """Does a concept enter the first few of a class (`expected: negative`: does it leave them)?

    `entry` is the concept's name and `top` the length of the list. The quantity is 1 where it is in
    the list and 0 where not, averaged over `levels`, minus that of dense, one number per network;
    the claim is true where it is positive in more networks than it is negative. The exact sign test
    over networks decides (for one level McNemar's). Its two-sided p of three networks that agree
    is 1/4, of six 1/32, before the correction for all claims: fewer cannot decide.

    `against: nothing` leaves dense out of it: is the concept in the list at more than half of the
    levels, in more than half of the networks? `minus_pruner` takes the same quantity under another
    pruner away, over all its levels and paired by seed: does it enter when nothing is pruned, too?
    """

    name: ClassVar[str] = "concept_in_top"
    scale: ClassVar[str] = "share"
    reference: ClassVar[str] = "McNemar 1947, doi:10.1007/BF02295996"
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
        text = f"share of networks with {settings['entry']} in the top {settings['top']}"
        text += f" of {settings['class']}" if settings["class"] else ""
        text += f" over levels {first} to {last}"
        if dense is not None:
            text += " minus that of dense"
            remark += f", in {mean_in_words(curve.at(0).values)} of the dense ones"
        if pruner := settings["minus_pruner"]:
            others = self._in_top(networks.of_pruner(pruner)).over(1, None, dense)
            found = found.less(others)
            text += f", minus that of {pruner}"
            remark += f"; {mean_in_words(others.values)} under {pruner}"
        elif dense is None:
            bound = 0.5
        return Evidence(
            text,
            found,
            *sign_test(found.values, settings["expected"], bound),
            remark=f"{remark}; exact sign test",
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
