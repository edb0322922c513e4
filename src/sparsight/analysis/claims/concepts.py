"""Do a network's concepts change with pruning, and beyond what retraining changes?"""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import (
    ClaimCurves,
    ClaimTest,
    ConceptMeasure,
    Evidence,
    Numbers,
    mean_in_words,
    sign,
    sign_test,
)
from sparsight.analysis.curves import Curve
from sparsight.analysis.tables import COMPARED, FOUND
from sparsight.concepts.registry import SAME

#: concepts are looked for in clean images, whatever the condition of explanations
_CONDITION = "clean"


class ConceptChange(ClaimTest):
    """Mean of a measure of concepts over `levels` minus that of dense; true where it is positive.

    One number per network, Student t over networks; `expected` turns the sign of the claim. The
    measure is that of the whole network, of a `class`, of a concept (`concept_label`), or of both.
    `against: nothing` leaves dense out of it: is the measure itself positive over `levels`?

    `minus_measure` takes the same quantity of another measure of the same method away (does one
    accuracy fall further than another?), `minus_pruner` the same quantity under another pruner over
    all its levels, each paired by seed.
    """

    name: ClassVar[str] = "concept_change"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
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
    choices: ClassVar[dict[str, tuple[str, ...]]] = {
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
        first, last = (int(level) for level in self.settings["levels"])
        values = self._quantity(networks, first, last)
        text = f"{_named(self.settings)} over levels {first} to {last}"
        if self.settings["against"] == "dense":
            text += " minus that of dense"
        if other := self.settings["minus_measure"]:
            text += f", minus the same of {other}"
        remark = ""
        if pruner := self.settings["minus_pruner"]:
            remark = f"{mean_in_words(values)} before that of {pruner} is taken away"
            others = networks.of_pruner(pruner)
            values = values - self._quantity(others, 1, None)
            text += f", minus that of {pruner}"
        return Evidence(
            statistic=text,
            values=values,
            replicates=np.empty(0),
            **sign(values, self.settings["expected"])._asdict(),
            remark=remark,
            columns=_columns(self.settings),
        )

    def _quantity(self, networks: ClaimCurves, first: int, last: int | None) -> Numbers:
        """Mean over levels of the measure, or of its change from dense, of each network [S]."""
        dense = 0 if self.settings["against"] == "dense" else None
        values = _over(networks.concept(_measure(self.settings, FOUND)), first, last, dense)
        if other := self.settings["minus_measure"]:
            wanted = _measure({**self.settings, "measure": other}, FOUND)
            values = values - _over(networks.concept(wanted), first, last, dense)
        return values


class ConceptDrift(ClaimTest):
    """How a measure of likeness to dense concepts differs between pruning and retraining alone.

    The mean over `levels` of a comparison with the dense parent, minus that of the networks of the
    same seed that were only retrained (`floor`, a pruner that prunes nothing), over all its
    levels. Student t over networks. `expected` says on which side pruning is: "negative" for
    measures of likeness that pruning lowers, such as a Jaccard index.
    """

    name: ClassVar[str] = "concept_drift_beyond_retraining"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
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
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
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
        first, last = (int(level) for level in self.settings["levels"])
        wanted, floor = _measure(self.settings, COMPARED), str(self.settings["floor"])
        pruned = _over(networks.concept(wanted), first, last, None)
        retrained = _over(networks.of_pruner(floor).concept(wanted), 1, None, None)
        values = pruned - retrained
        return Evidence(
            statistic=(
                f"{_named(self.settings)} with dense over levels {first} to {last} minus that of "
                f"{floor}"
            ),
            values=values,
            replicates=np.empty(0),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{mean_in_words(pruned)} pruned, {mean_in_words(retrained)} of {floor}",
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
    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "expected": ("positive", "negative"),
        "against": ("dense", "nothing"),
    }
    # as many as `concept_tables.csv` lists
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"top": (1, 5)}
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
        settings = self.settings
        first, last = (int(level) for level in settings["levels"])
        dense = 0 if settings["against"] == "dense" else None
        curve = self._in_top(networks)
        values, bound = _over(curve, first, last, dense), 0.0
        remark = f"in {mean_in_words(_over(curve, first, last, None))} of the networks"
        text = f"share of networks with {settings['entry']} in the top {settings['top']}"
        text += f" of {settings['class']}" if settings["class"] else ""
        text += f" over levels {first} to {last}"
        if dense is not None:
            text += " minus that of dense"
            remark += f", in {mean_in_words(curve.at(0)[0])} of the dense ones"
        if pruner := settings["minus_pruner"]:
            others = _over(self._in_top(networks.of_pruner(pruner)), 1, None, dense)
            values = values - others
            text += f", minus that of {pruner}"
            remark += f"; {mean_in_words(others)} under {pruner}"
        elif dense is None:
            bound = 0.5
        return Evidence(
            statistic=text,
            values=values,
            replicates=np.empty(0),
            **sign_test(values, settings["expected"], bound)._asdict(),
            remark=f"{remark}; exact sign test",
            columns={**_columns({**settings, "measure": f"top {settings['top']}"})},
            counted=True,
        )

    def _in_top(self, networks: ClaimCurves) -> Curve:
        """0 or 1 of each network and level; concepts that were merged have all their names."""
        concept, entry = str(self.settings["concept"]), str(self.settings["entry"])
        return networks.in_top(
            concept,
            str(self.settings["class"]),
            int(self.settings["top"]),
            lambda name: name == entry or entry in name.split(SAME),
        )


def _measure(settings: dict[str, Any], kind: str) -> ConceptMeasure:
    parts = (settings[key] for key in ("measure", "class", "concept_label"))
    return ConceptMeasure(str(settings["concept"]), kind, *map(str, parts))


def _over(curve: Curve, first: int, last: int | None, dense: int | None) -> Numbers:
    """Mean over the levels `first` to `last` (to the end where it is None) of each network [S].

    Undefined where the measure is undefined at one of them: a mean over other levels would be
    another quantity.
    """
    end = int(curve.levels.max()) if last is None else last
    inside = [int(level) for level in curve.levels if first <= level <= end]
    if not inside:
        return np.full(len(curve.mean), np.nan)
    if dense is None:
        return np.asarray(np.mean([curve.at(level)[0] for level in inside], axis=0))
    return np.asarray(np.mean([curve.change(dense, level)[0] for level in inside], axis=0))


def _named(settings: dict[str, Any]) -> str:
    """The measure in words, with what it is about."""
    about = [settings[key] for key in ("class", "concept_label") if settings[key]]
    return f"{settings['measure']} of {', '.join([settings['concept'], *about])}"


def _columns(settings: dict[str, Any]) -> dict[str, str]:
    columns = {"explainer": str(settings["concept"]), "metric": str(settings["measure"])}
    return {**columns, "condition": _CONDITION, "subset": "all"}
