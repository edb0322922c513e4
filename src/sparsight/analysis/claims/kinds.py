"""The tests of claims about accuracy and about metrics of explanations."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.analysis.claims.base import (
    ClaimCurves,
    ClaimTest,
    Evidence,
    Numbers,
    above,
    both,
    mean_in_words,
    mean_over_networks,
    percent,
    sign,
)
from sparsight.analysis.correlate import DRAWN_COEFFICIENTS, drawn_coefficients
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, Curve, difference
from sparsight.analysis.resample import CORRECT, INCORRECT
from sparsight.analysis.statistics import first_difference, kendall, pearson, rank_partial, spearman
from sparsight.io.errors import InputError


class Change(ClaimTest):
    """Mean of a metric over `levels` minus that of the dense network; true where it is positive.

    One difference per network, Student t over networks. `expected` turns the sign of the claim.

    Two kinds of control can be taken away, each paired by seed: `minus_control`, the same change
    of another explainer; and `minus_pruner`, the same change under another pruner, over all its
    levels. With a pruner that prunes nothing (rate 0) the second asks whether it is the pruning
    that changes the metric, and not the training that goes with it.
    """

    name: ClassVar[str] = "change"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {
        "levels": "required",
        "expected": "positive",
        "minus_control": "",
        "minus_pruner": "",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "levels": "range of levels",
        "minus_control": "explainer",
        "minus_pruner": "pruner",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, explainer = str(self.claim["metric"]), str(self.claim["explainer"])
        first, last = (int(level) for level in self.settings["levels"])
        values, drawn = _change(networks.curve(explainer, metric, self.subset), first, last)
        text = f"{metric} over levels {first} to {last} minus that of dense"
        before = mean_in_words(values)
        if control := self.settings["minus_control"]:
            curve = networks.curve(control, metric, self.subset)
            values, drawn = _minus((values, drawn), _change(curve, first, last))
            text += f", minus the same of {control}"
        if pruner := self.settings["minus_pruner"]:
            others = networks.of_pruner(pruner)
            other = _all_levels(others.curve(explainer, metric, self.subset))
            if control:
                # what the control gains there must be taken away there too
                other = _minus(other, _all_levels(others.curve(control, metric, self.subset)))
            values, drawn = _minus((values, drawn), other)
            text += f", minus that of {pruner}"
        return Evidence(
            statistic=text,
            values=values,
            replicates=mean_over_networks(values, drawn),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{before} before the control is taken away" if control or pruner else "",
        )


def _change(curve: Curve, first: int, last: int) -> tuple[Numbers, Numbers]:
    """Mean over levels `first` to `last` minus level 0: [S] and replicates [S, B].

    Undefined where the metric is undefined at a measured level: a mean over other levels would be
    another quantity. Levels at which the explainer was not run are left out.
    """
    inside = [int(level) for level in curve.levels if first <= level <= last]
    if not inside:
        size = curve.replicates.shape
        return np.full(size[0], np.nan), np.full((size[0], size[2]), np.nan)
    changes = [curve.change(0, level) for level in inside]
    values = np.mean([change for change, _ in changes], axis=0)
    return values, np.mean([drawn for _, drawn in changes], axis=0)


def _all_levels(curve: Curve) -> tuple[Numbers, Numbers]:
    return _change(curve, 1, int(curve.levels.max()))


def _minus(
    change: tuple[Numbers, Numbers], control: tuple[Numbers, Numbers]
) -> tuple[Numbers, Numbers]:
    return change[0] - control[0], change[1] - control[1]


class BetweenPruners(ClaimTest):
    """Mean over `levels` under the claim's pruner minus that under `other_pruner`.

    True where it is positive (`expected` turns that). One difference per network, paired by seed,
    Student t over networks. `of` is "accuracy" or a metric. Both pruners must have all of these
    levels, at densities that the study has made equal.
    """

    name: ClassVar[str] = "between_pruners"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "of": "required",
        "other_pruner": "required",
        "levels": "required",
        "expected": "positive",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "of": "measure",
        "other_pruner": "pruner",
        "levels": "range of levels",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, other = str(self.settings["of"]), str(self.settings["other_pruner"])
        first, last = (int(level) for level in self.settings["levels"])
        own, drawn = _mean(self._curve(networks, of), first, last)
        others, others_drawn = _mean(self._curve(networks.of_pruner(other), of), first, last)
        values = difference(own, others)
        columns = {"metric": of}
        if of == ACCURACY:
            columns = {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
        span = f"level {first}" if first == last else f"levels {first} to {last}"
        return Evidence(
            statistic=f"{of} at {span} under {self.claim['pruner']} minus that under {other}",
            values=values,
            replicates=mean_over_networks(values, difference(drawn, others_drawn)),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{mean_in_words(own)} and {mean_in_words(others)}",
            columns=columns,
        )

    def _curve(self, networks: ClaimCurves, of: str) -> Curve:
        if of == ACCURACY:
            return networks.accuracy()
        return networks.curve(self.claim["explainer"], of, self.subset)


def _mean(curve: Curve, first: int, last: int) -> tuple[Numbers, Numbers]:
    """Mean over levels `first` to `last`: [S] and replicates [S, B]; NaN where one is missing."""
    levels = [curve.at(level) for level in range(first, last + 1)]
    return (
        np.mean([values for values, _ in levels], axis=0),
        np.mean([drawn for _, drawn in levels], axis=0),
    )


class BetweenExplainers(ClaimTest):
    """Metric of the claim's explainer minus that of `other_explainer`, at one level.

    True where it is positive (`expected` turns that). One difference per network, Student t over
    networks. Both explain the same images. Made for explainers on copies that are pruned for each
    image: against the same explainer on the network itself, or on copies pruned in another way.
    """

    name: ClassVar[str] = "between_explainers"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {
        "other_explainer": "required",
        "level": 0,
        "expected": "positive",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "other_explainer": "explainer of the same images",
        "level": "level",
    }

    def explainers(self) -> set[str]:
        """See `ClaimTest.explainers`."""
        return super().explainers() | {str(self.settings["other_explainer"])}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        level, other = int(self.settings["level"]), str(self.settings["other_explainer"])
        own, drawn = self._at(networks, str(self.claim["explainer"]), level)
        others, others_drawn = self._at(networks, other, level)
        values = np.asarray(difference(own, others), dtype=np.float64)
        metric = self.claim["metric"]
        return Evidence(
            statistic=(
                f"{metric} of {self.claim['explainer']} at level {level} minus that of {other}"
            ),
            values=values,
            replicates=mean_over_networks(values, difference(drawn, others_drawn)),
            **sign(values, self.settings["expected"])._asdict(),
            remark=f"{mean_in_words(own)} and {mean_in_words(others)}",
        )

    def _at(self, networks: ClaimCurves, explainer: str, level: int) -> tuple[Numbers, Numbers]:
        return networks.curve(explainer, self.claim["metric"], self.subset).at(level)


_Coefficient = Callable[[Numbers, Numbers, Numbers], float]
_COEFFICIENTS: dict[str, tuple[_Coefficient, str]] = {
    "pearson": (lambda x, y, _: pearson(x, y), "Pearson r"),
    "spearman": (lambda x, y, _: spearman(x, y), "Spearman ρ"),
    "kendall": (lambda x, y, _: kendall(x, y), "Kendall τ"),
    "first_difference": (
        lambda x, y, _: first_difference(x, y),
        "Pearson r of the steps from level to level",
    ),
    "rank_partial": (rank_partial, "rank correlation given density"),
}


class Correlation(ClaimTest):
    """Correlation of a metric with the accuracy over levels; true where it is positive.

    One coefficient per network over its own levels, then Student t over networks: levels of one
    network are ordered and autocorrelated, and are not taken for observations. With
    `minus_control`, the coefficient minus that of another explainer on the same levels, paired by
    seed. `density_floor` leaves out the levels below that share of weights.
    """

    name: ClassVar[str] = "correlation"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {
        "coefficient": "pearson",
        "minus_control": "",
        "density_floor": 0.0,
        "expected": "positive",
    }
    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "coefficient": ("pearson", "spearman", "kendall", "first_difference", "rank_partial"),
        "expected": ("positive", "negative"),
    }
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"density_floor": (0.0, 1.0)}
    refers: ClassVar[dict[str, str]] = {"minus_control": "explainer"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, floor = str(self.claim["metric"]), float(self.settings["density_floor"])
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        accuracy = networks.accuracy().on(curve.levels)
        control = self.settings["minus_control"]
        other = networks.curve(control, metric, self.subset).on(curve.levels) if control else None
        used = np.isfinite(curve.mean) & np.isfinite(accuracy.mean) & curve.above(floor)
        if other is not None:
            used &= np.isfinite(other.mean)
        values = self._coefficients(curve, accuracy, used)
        drawn = np.empty((len(values), 0))
        if other is not None:
            values = values - self._coefficients(other, accuracy, used)
        elif self.settings["coefficient"] in DRAWN_COEFFICIENTS:
            drawn = self._drawn(curve, accuracy, used)
        return Evidence(
            statistic=self._words(metric, used, floor),
            values=values,
            replicates=mean_over_networks(values, drawn),
            **sign(values, self.settings["expected"])._asdict(),
            correlation=drawn.shape[1] > 0,
            remark="" if control else self._published_form(curve, accuracy, used),
        )

    def _coefficients(self, curve: Curve, accuracy: Curve, used: NDArray[np.bool_]) -> Numbers:
        """Of each network [S]."""
        coefficient, _ = _COEFFICIENTS[self.settings["coefficient"]]
        return np.array(
            [
                coefficient(metric[levels], performance[levels], density[levels])
                for metric, performance, density, levels in zip(
                    curve.mean, accuracy.mean, curve.density, used, strict=True
                )
            ]
        )

    def _drawn(self, curve: Curve, accuracy: Curve, used: NDArray[np.bool_]) -> Numbers:
        """Of each network in each draw of images [S, B]."""
        name = self.settings["coefficient"]
        return np.array(
            [
                drawn_coefficients(metric[levels], performance[levels])[name]
                for metric, performance, levels in zip(
                    curve.replicates, accuracy.replicates, used, strict=True
                )
            ]
        )

    def _words(self, metric: str, used: NDArray[np.bool_], floor: float) -> str:
        _, name = _COEFFICIENTS[self.settings["coefficient"]]
        control = self.settings["minus_control"]
        where = f"{used.any(axis=0).sum()} levels"
        if floor > 0:
            where += f" that keep at least {100 * floor:g}% of the weights"
        text = f"{name} of {metric} and accuracy over {where}"
        return f"{text}, minus the same of {control}" if control else text

    def _published_form(self, curve: Curve, accuracy: Curve, used: NDArray[np.bool_]) -> str:
        """The seed-averaged coefficient, where the published number is one."""
        levels = used.all(axis=0)
        if self.claim.get("published") is None or len(used) < 2 or not levels.any():
            return ""
        coefficient, _ = _COEFFICIENTS[self.settings["coefficient"]]
        x, y, density = (
            part[:, levels].mean(axis=0) for part in (curve.mean, accuracy.mean, curve.density)
        )
        found = coefficient(x, y, density)
        return f"seeds averaged first: {found:.3f}" if np.isfinite(found) else ""


class CorrectMinusIncorrect(ClaimTest):
    """A metric over correct minus over incorrect predictions, matched on the label.

    True where the difference is positive (`expected`). Each network's differences are averaged over
    the levels at which it has both kinds of predictions; `density_floor` leaves out the levels
    below that share of weights, whose networks may know nothing.
    """

    name: ClassVar[str] = "correct_minus_incorrect"
    reference: ClassVar[str] = "Student 1908, doi:10.1093/biomet/6.1.1"
    parameters: ClassVar[dict[str, Any]] = {"density_floor": 0.0, "expected": "positive"}
    choices: ClassVar[dict[str, tuple[str, ...]]] = {"expected": ("positive", "negative")}
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"density_floor": (0.0, 1.0)}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        explainer, metric = self.claim["explainer"], str(self.claim["metric"])
        floor = float(self.settings["density_floor"])
        correct = networks.curve(explainer, metric, CORRECT)
        incorrect = networks.curve(explainer, metric, INCORRECT).on(correct.levels)
        gap = difference(correct.mean, incorrect.mean)
        used = np.isfinite(gap) & correct.above(floor)
        values = np.full(len(used), np.nan)
        drawn = np.full((len(used), correct.replicates.shape[2]), np.nan)
        for seed, levels in enumerate(used):
            if levels.any():
                values[seed] = gap[seed, levels].mean()
                both = difference(
                    correct.replicates[seed, levels], incorrect.replicates[seed, levels]
                )
                drawn[seed] = both.mean(axis=0)
        where = f" that keep at least {100 * floor:g}% of the weights" if floor > 0 else ""
        return Evidence(
            statistic=f"{metric} of correct minus incorrect predictions of a label, mean over "
            f"{used.any(axis=0).sum()} levels{where}",
            values=values,
            replicates=mean_over_networks(values, drawn),
            **sign(values, self.settings["expected"])._asdict(),
            columns={"subset": f"{CORRECT} - {INCORRECT}"},
        )


class GainExplained(ClaimTest):
    """`share` x gain of a metric minus the gain of `matched_metric`; true where it is above 0.

    The gain is the change from `from_level` to `to_level`. The claim: the metric gains, and with a
    fit of the heatmap that does not depend on its blur less than `share` of that gain remains.
    Linear in both gains, so that no ratio of small numbers is tested. Both the gain and the
    difference must be shown (intersection-union); only the difference can refute the claim.
    Networks that gain nothing on average leave nothing to explain: the claim is then moot and
    undecided.
    """

    name: ClassVar[str] = "gain_explained"
    reference: ClassVar[str] = "Berger 1982, doi:10.1080/00401706.1982.10487790"
    parameters: ClassVar[dict[str, Any]] = {
        "matched_metric": "required",
        "from_level": 0,
        "to_level": "required",
        "share": 0.5,
    }
    ranges: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0)}
    refers: ClassVar[dict[str, str]] = {
        "matched_metric": "metric",
        "from_level": "level",
        "to_level": "level",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, matched = str(self.claim["metric"]), str(self.settings["matched_metric"])
        share = float(self.settings["share"])
        levels = int(self.settings["from_level"]), int(self.settings["to_level"])
        explainer = self.claim["explainer"]
        gain, drawn = networks.curve(explainer, metric, self.subset).change(*levels)
        left, drawn_left = networks.curve(explainer, matched, self.subset).change(*levels)
        values = share * gain - left
        complete = np.isfinite(values)
        total, rest = (
            (float(part[complete].mean()) for part in (gain, left))
            if complete.any()
            else (math.nan, math.nan)
        )
        p_for, p_against = math.nan, math.nan
        if total > 0:
            (p_difference, p_against), (p_gain, _) = above(values), above(gain[complete])
            # not max(): it may pass a NaN over
            p_for = float(np.maximum(p_difference, p_gain))
            remark = f"{metric} gains {total:.3g}, {matched} {rest:.3g} ({100 * rest / total:.0f}%)"
        else:
            remark = f"moot: {metric} does not gain (mean change {total:.3g})"
        span = f"from level {levels[0]} to {levels[1]}"
        return Evidence(
            statistic=f"{share:g} × gain of {metric} {span}, minus gain of {matched}",
            values=values,
            replicates=mean_over_networks(values, share * drawn - drawn_left),
            p_for=p_for,
            p_against=p_against,
            holds_from=0.0,
            remark=remark if complete.any() else "",
        )


class NoLoss(ClaimTest):
    """The dense network's mean minus that of a sparse level; true where it is below `margin`.

    A test of non-inferiority: "no significant difference" would reward few networks, so the margin
    of what counts as no loss is declared beforehand, in units of the quantity. `of` is "accuracy"
    or a metric of which more is better. The level is the sparsest at which every network still
    keeps the share `density` of its weights.
    """

    name: ClassVar[str] = "no_loss"
    reference: ClassVar[str] = "Walker & Nowacki 2011, doi:10.1007/s11606-010-1513-8"
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "of": "required",
        "density": "required",
        "margin": "required",
    }
    ranges: ClassVar[dict[str, tuple[float, float]]] = {
        "density": (0.0, 1.0),
        "margin": (0.0, 1e9),
    }
    refers: ClassVar[dict[str, str]] = {"of": "measure"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, margin = str(self.settings["of"]), float(self.settings["margin"])
        if of == ACCURACY:
            curve = networks.accuracy()
            columns = {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
        else:
            curve = networks.curve(self.claim["explainer"], of, self.subset)
            columns = {"metric": of}
        level = self._level(curve)
        left = float(np.mean(curve.density[:, curve.levels == level]))
        values, drawn = curve.change(level, 0)
        # below the margin: margin - loss is above 0
        p_for, p_against = above(margin - values)
        return Evidence(
            statistic=f"fall of {of} from dense to level {level} ({percent(left)} of weights left)",
            values=values,
            replicates=mean_over_networks(values, drawn),
            p_for=p_for,
            p_against=p_against,
            holds_to=margin,
            columns=columns,
        )

    def _level(self, curve: Curve) -> int:
        density = float(self.settings["density"])
        kept = curve.above(density) & (curve.levels > 0) & np.isfinite(curve.mean).all(axis=0)
        # without a density nobody knows how sparse a level is
        kept &= np.isfinite(curve.density).all(axis=0)
        if not kept.any():
            raise InputError(
                f"the claim '{self.claim['name']}' asks for a level that keeps at least the share "
                f"{density:g} of the weights, but no pruned level with values does; raise levels "
                "or lower density"
            )
        sparsest = np.argmin(np.where(kept, curve.density.mean(axis=0), np.inf))
        return int(curve.levels[sparsest])


class Peak(ClaimTest):
    """The level at which a metric's mean is highest; true where it lies within `between`.

    A test of equivalence: two one-sided t tests over the networks' levels, the first of equals
    where a network has ties. Levels are whole numbers, so networks may well agree on one. Then
    there is no spread and no test, and the verdict is *undecided*, inside the range or outside:
    agreement of three networks is no measure of how far a fourth would be. Choose the test `rise`
    where that is to be expected; it compares heights, which always differ.
    """

    name: ClassVar[str] = "peak"
    reference: ClassVar[str] = "Schuirmann 1987, doi:10.1007/BF01068419"
    parameters: ClassVar[dict[str, Any]] = {"between": "required"}
    refers: ClassVar[dict[str, str]] = {"between": "range of levels"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric = str(self.claim["metric"])
        low, high = (float(level) for level in self.settings["between"])
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        values = _highest(curve.mean, curve.levels.astype(np.float64))
        # a level without a mean is none in the draws either
        drawn = np.where(np.isfinite(curve.mean)[:, :, np.newaxis], curve.replicates, np.nan)
        peaks = _highest(drawn.swapaxes(1, 2), curve.levels.astype(np.float64))
        below_high = above(values, high)[::-1]
        p_for, p_against = both(above(values, low), below_high)
        return Evidence(
            statistic=f"level at which {metric} is highest",
            values=values,
            replicates=mean_over_networks(values, peaks),
            p_for=p_for,
            p_against=p_against,
            holds_from=low,
            holds_to=high,
        )


def _highest(means: Numbers, levels: Numbers) -> Numbers:
    """Level [...] of the highest of means [..., L], the first of equals; NaN without any."""
    defined = np.isfinite(means)
    place = np.argmax(np.where(defined, means, -np.inf), axis=-1)
    return np.where(defined.any(axis=-1), levels[place], np.nan)


class Rise(ClaimTest):
    """A metric's mean at level `at` minus that at `against` and `after`; true where both are > 0.

    Both differences must be shown (intersection-union test). The row reports the one with the
    smaller mean, on which the claim hangs.
    """

    name: ClassVar[str] = "rise"
    reference: ClassVar[str] = "Berger 1982, doi:10.1080/00401706.1982.10487790"
    parameters: ClassVar[dict[str, Any]] = {"at": "required", "against": 0, "after": "required"}
    refers: ClassVar[dict[str, str]] = {"at": "level", "against": "level", "after": "level"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, at = str(self.claim["metric"]), int(self.settings["at"])
        others = [int(self.settings[key]) for key in ("against", "after")]
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        changes = [curve.change(level, at) for level in others]
        # one set of networks for both
        complete = np.isfinite(changes[0][0]) & np.isfinite(changes[1][0])
        values = [np.where(complete, change, np.nan) for change, _ in changes]
        means = [change[complete].mean() if complete.any() else np.nan for change in values]
        weaker = int(means[1] < means[0])
        p_for, p_against = both(above(values[0]), above(values[1]))
        remark = f"the other difference, to level {others[1 - weaker]}: {means[1 - weaker]:.3g}"
        return Evidence(
            statistic=f"{metric} at level {at} minus that at level {others[weaker]}",
            values=values[weaker],
            replicates=mean_over_networks(values[weaker], changes[weaker][1]),
            p_for=p_for,
            p_against=p_against,
            holds_from=0.0,
            remark=remark if complete.any() else "",
        )
