"""The tests of claims about accuracy and about metrics of explanations."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.analysis.claims.base import (
    ClaimCurves,
    ClaimTest,
    Evidence,
    Numbers,
    SignedClaim,
    mean_in_words,
)
from sparsight.analysis.correlate import coefficient, drawn_coefficients
from sparsight.analysis.curves import ACCURACY, ACCURACY_ROWS, Curve, Quantity
from sparsight.analysis.resample import CORRECT, INCORRECT
from sparsight.analysis.statistics import (
    ABOVE_CHANCE,
    CORRELATION,
    CORRELATION_GAP,
    SHARE,
    UNBOUNDED,
)
from sparsight.io.errors import InputError
from sparsight.spade.registry import derived_name


class Change(SignedClaim):
    """Mean of a metric over `levels` minus that of the dense network; true where it is positive.

    `expected` turns the sign of the claim. Levels at which the explainer was not run are left out.

    Two kinds of control can be taken away, each paired by seed: `minus_control`, the same change
    of another explainer; and `minus_pruner`, the same change under another pruner, over all its
    levels. With a pruner that prunes nothing (rate 0) the second asks whether it is the pruning
    that changes the metric, and not the training that goes with it.
    """

    name: ClassVar[str] = "change"
    parameters: ClassVar[dict[str, Any]] = {
        "levels": "required",
        "expected": "positive",
        "minus_control": "",
        "minus_pruner": "",
    }
    refers: ClassVar[dict[str, str]] = {
        "levels": "range of levels",
        "minus_control": "explainer",
        "minus_pruner": "pruner",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, control = self.claim["metric"], self.settings["minus_control"]
        first, last = (int(level) for level in self.settings["levels"])

        def change(of: ClaimCurves, explainer: str, first: int, last: int | None) -> Quantity:
            return of.curve(explainer, metric, self.subset).over(first, last, start=0)

        found = change(networks, self.claim["explainer"], first, last)
        text = f"{metric} over levels {first} to {last} minus that of dense"
        before, more = mean_in_words(found.values), {}
        if control:
            found = found.less(change(networks, control, first, last))
            text += f", minus the same of {control}"
        if pruner := self.settings["minus_pruner"]:
            others = networks.of_pruner(pruner)
            other = change(others, self.claim["explainer"], 1, None)
            if control:
                # what the control gains there must be taken away there too
                other = other.less(change(others, control, 1, None))
            beside = others.curve(self.claim["explainer"], metric, self.subset).levels
            more = {"retrained": other.values, "other_levels": tuple(beside.tolist())}
            found = found.less(other)
            text += f", minus that of {pruner}"
        remark = f"{before} before the control is taken away" if control or pruner else ""
        levels = (0, *range(first, last + 1))
        return self.decide(text, found, remark=remark, levels=levels, **more)


class BetweenPruners(SignedClaim):
    """Mean over `levels` under the claim's pruner minus that under `other_pruner`.

    True where it is positive (`expected` turns that); paired by seed. `of` is "accuracy", a metric
    or an agreement with the dense parent. Both pruners must have all of these levels, at densities
    that the study has made equal; `other_levels` are those of the other pruner where they differ,
    such as one that only retrains.
    """

    name: ClassVar[str] = "between_pruners"
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {
        "of": "required",
        "other_pruner": "required",
        "levels": "required",
        "other_levels": [],
        "expected": "positive",
    }
    refers: ClassVar[dict[str, str]] = {
        "of": "any measure",
        "other_pruner": "pruner",
        "levels": "range of levels",
        "other_levels": "range of levels of the other pruner",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, other = str(self.settings["of"]), str(self.settings["other_pruner"])
        first, last = (int(level) for level in self.settings["levels"])
        spans = (first, last), tuple(self.settings["other_levels"] or (first, last))
        own, others = (
            Quantity.mean_of([curve.at(level) for level in range(start, end + 1)])
            for each, (start, end) in zip((networks, networks.of_pruner(other)), spans, strict=True)
            for curve in [_measure(self, each, of)]
        )
        span = f"level {first}" if first == last else f"levels {first} to {last}"
        return self.decide(
            f"{of} at {span} under {self.claim['pruner']} minus that under {other}",
            own.minus(others),
            levels=tuple(range(first, last + 1)),
            other_levels=tuple(range(spans[1][0], spans[1][1] + 1)),
            remark=f"{mean_in_words(own.values)} and {mean_in_words(others.values)}",
            columns=_columns(of),
        )


def _measure(test: ClaimTest, networks: ClaimCurves, of: str) -> Curve:
    """The accuracy, or the metric of this name."""
    if of == ACCURACY:
        return networks.accuracy()
    return networks.curve(test.claim["explainer"], of, test.subset)


def _columns(of: str) -> dict[str, str]:
    if of == ACCURACY:
        return {"explainer": ACCURACY_ROWS, "metric": ACCURACY, "subset": "all"}
    return {"metric": of}


class BetweenExplainers(SignedClaim):
    """Metric of the claim's explainer minus that of `other_explainer`, at one level.

    True where it is positive (`expected` turns that). Both explain the same images. Made for
    explainers on copies that are pruned for each image: against the same explainer on the network
    itself, or on copies pruned in another way.
    """

    name: ClassVar[str] = "between_explainers"
    parameters: ClassVar[dict[str, Any]] = {
        "other_explainer": "required",
        "level": 0,
        "expected": "positive",
    }
    refers: ClassVar[dict[str, str]] = {
        "other_explainer": "explainer of the same images",
        "level": "level",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        level, metric = int(self.settings["level"]), self.claim["metric"]
        names = self.claim["explainer"], self.settings["other_explainer"]
        own, others = (networks.curve(name, metric, self.subset).at(level) for name in names)
        return self.decide(
            f"{metric} of {names[0]} at level {level} minus that of {names[1]}",
            own.minus(others),
            levels=(level,),
            remark=f"{mean_in_words(own.values)} and {mean_in_words(others.values)}",
        )


_WORDS = {
    "pearson": "Pearson r",
    "spearman": "Spearman ρ",
    "kendall": "Kendall τ",
    "first_difference": "Pearson r of the steps from level to level",
    "rank_partial": "rank correlation given density",
}


#: coefficients that change smoothly with the means; ranks jump
_SMOOTH = ("pearson", "first_difference")


class Correlation(SignedClaim):
    """Correlation of a metric with the accuracy over levels; true where it is positive.

    One coefficient per network over its own levels: levels of one network are ordered and
    autocorrelated, and are not taken for observations. With
    `minus_control`, the coefficient minus that of another explainer on the same levels, paired by
    seed. `density_floor` leaves out the levels below that share of weights.
    """

    name: ClassVar[str] = "correlation"
    scale: ClassVar[str] = "correlation"
    parameters: ClassVar[dict[str, Any]] = {
        "coefficient": "pearson",
        "minus_control": "",
        "density_floor": 0.0,
        "expected": "positive",
    }
    allowed: ClassVar[dict[str, Any]] = {
        "coefficient": ("pearson", "spearman", "kendall", "first_difference", "rank_partial"),
        "density_floor": "[0, 1]",
        "expected": ("positive", "negative"),
    }
    refers: ClassVar[dict[str, str]] = {"minus_control": "explainer"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, floor = self.claim["metric"], float(self.settings["density_floor"])
        name, control = self.settings["coefficient"], self.settings["minus_control"]
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        accuracy = networks.accuracy().on(curve.levels)
        used = np.isfinite(curve.mean) & np.isfinite(accuracy.mean) & curve.above(floor)
        if control:
            other = networks.curve(control, metric, self.subset).on(curve.levels)
            used &= np.isfinite(other.mean)
        found = _over_levels(name, curve, accuracy, used)
        if control:
            found = found.less(_over_levels(name, other, accuracy, used))
        text = f"{_WORDS[name]} of {metric} and accuracy over {_levels(used, floor)}"
        return self.decide(
            f"{text}, minus the same of {control}" if control else text,
            found,
            levels=tuple(curve.levels[used.any(axis=0)].tolist()),
            bounds=CORRELATION_GAP if control else CORRELATION,
            remark="" if control else self._published_form(curve, accuracy, used),
        )

    def _published_form(self, curve: Curve, accuracy: Curve, used: NDArray[np.bool_]) -> str:
        """The seed-averaged coefficient, where the published number is one."""
        levels = used.all(axis=0)
        if self.claim.get("published") is None or len(used) < 2 or not levels.any():
            return ""
        series = (part[:, levels] for part in (curve.mean, accuracy.mean, curve.density))
        means = (part.mean(axis=0) for part in series)
        found = coefficient(self.settings["coefficient"], *means)
        return f"seeds averaged first: {found:.3f}" if np.isfinite(found) else ""


def _over_levels(name: str, curve: Curve, accuracy: Curve, used: NDArray[np.bool_]) -> Quantity:
    """A coefficient over the levels of each network, and without each image.

    Coefficients that jump with ranks are of the network as a whole.
    """
    networks = list(zip(curve.mean, accuracy.mean, curve.density, used, strict=True))
    values = np.array(
        [coefficient(name, x[levels], y[levels], z[levels]) for x, y, z, levels in networks]
    )
    if name not in _SMOOTH:
        return Quantity(values, np.empty((len(values), 0)))
    without = zip(curve.replicates, accuracy.replicates, used, strict=True)
    step = (lambda means: np.diff(means, axis=0)) if name == "first_difference" else _as_is
    drawn = [
        drawn_coefficients(step(x[levels]), step(y[levels]))["pearson"] for x, y, levels in without
    ]
    return Quantity(values, np.array(drawn))


def _as_is(means: Numbers) -> Numbers:
    return means


def _levels(used: NDArray[np.bool_], floor: float) -> str:
    """The levels that enter, in words."""
    words = f"{used.any(axis=0).sum()} levels"
    return words + (f" that keep at least {100 * floor:g}% of the weights" if floor > 0 else "")


class CorrectMinusIncorrect(SignedClaim):
    """A metric over correct minus over incorrect predictions, matched on the label.

    True where the difference is positive (`expected`). Each network's differences are averaged over
    the levels at which it has both kinds of predictions; `density_floor` leaves out the levels
    below that share of weights, whose networks may know nothing.
    """

    name: ClassVar[str] = "correct_minus_incorrect"
    parameters: ClassVar[dict[str, Any]] = {"density_floor": 0.0, "expected": "positive"}
    allowed: ClassVar[dict[str, Any]] = {
        "density_floor": "[0, 1]",
        "expected": ("positive", "negative"),
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        explainer, metric = self.claim["explainer"], self.claim["metric"]
        floor = float(self.settings["density_floor"])
        correct = networks.curve(explainer, metric, CORRECT)
        incorrect = networks.curve(explainer, metric, INCORRECT).on(correct.levels)
        gap = correct.minus(incorrect)
        used = np.isfinite(gap.mean) & correct.above(floor)
        values = np.full(len(used), np.nan)
        drawn = np.full((len(used), gap.replicates.shape[2]), np.nan)
        for seed, levels in enumerate(used):
            if levels.any():
                values[seed] = gap.mean[seed, levels].mean()
                drawn[seed] = gap.replicates[seed, levels].mean(axis=0)
        return self.decide(
            f"{metric} of correct minus incorrect predictions of a label, mean over "
            f"{_levels(used, floor)}",
            Quantity(values, drawn),
            levels=tuple(correct.levels[used.any(axis=0)].tolist()),
            columns={"subset": f"{CORRECT} - {INCORRECT}"},
        )


class DriftForetellsFlip(SignedClaim):
    """How well drift at a level foretells which predictions flip at the next; true above chance.

    Drift is 1 minus the agreement (`metric`) of an image's explanation with that of the dense
    network, and a prediction flips where it is not the dense network's (Hooker et al. 2019). The
    quantity is the area under the ROC curve over the images that have not flipped so far, minus
    .5, which is what chance gives: an area of 1 is .5, and so `smallest` and `published` are
    differences from chance too. Each network's areas are averaged over those of the `levels` at
    whose next level at least two of these images flip and two do not.
    """

    name: ClassVar[str] = "drift_foretells_flip"
    reference: ClassVar[str] = "Hooker et al. 2019, arXiv:1911.05248"
    scale: ClassVar[str] = "above chance"
    parameters: ClassVar[dict[str, Any]] = {"levels": "required", "expected": "positive"}
    refers: ClassVar[dict[str, str]] = {"levels": "range of levels before the last"}
    of_agreement: ClassVar[bool] = True

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        explainer, metric = self.claim["explainer"], self.claim["metric"]
        first, last = (int(level) for level in self.settings["levels"])
        levels = tuple(range(first, last + 1))
        areas = [networks.foretelling(explainer, metric, level) for level in levels]
        values = np.array([area.values for area in areas]) - 0.5
        drawn = np.array([area.drawn for area in areas]) - 0.5
        defined = np.isfinite(values)
        count = np.where(defined.any(axis=0), defined.sum(axis=0), np.nan)
        # an area is defined without each image, or not at all
        found = Quantity(
            np.where(defined, values, 0.0).sum(axis=0) / count,
            np.where(defined[:, :, np.newaxis], drawn, 0.0).sum(axis=0) / count[:, np.newaxis],
        )
        at = f"level {first}" if first == last else f"levels {first} to {last}"
        return self.decide(
            f"area under the ROC curve of drift by {metric} at {at} for flips at the next level, "
            "minus .5",
            found,
            levels=levels,
            bounds=ABOVE_CHANCE,
            remark=f"{defined.sum()} areas of {defined.size} are defined",
        )


class GainExplained(ClaimTest):
    """`share` x gain of a metric minus the gain of `matched_metric`; true where it is above 0.

    The gain is the change from `from_level` to `to_level`. The claim: the metric gains, and with a
    fit of the heatmap that does not depend on its blur less than `share` of that gain remains.
    Linear in both gains, so that no ratio of small numbers is tested. Both the gain and the
    difference must be shown (intersection-union); only the difference can refute the claim.
    Networks that gain nothing on average leave nothing to explain.
    """

    name: ClassVar[str] = "gain_explained"
    scale: ClassVar[str] = ""
    reference: ClassVar[str] = "Berger 1982, doi:10.1080/00401706.1982.10487790"
    parameters: ClassVar[dict[str, Any]] = {
        "matched_metric": "required",
        "from_level": 0,
        "to_level": "required",
        "share": 0.5,
    }
    allowed: ClassVar[dict[str, Any]] = {"share": "[0, 1]"}
    refers: ClassVar[dict[str, str]] = {
        "matched_metric": "metric",
        "from_level": "level",
        "to_level": "level",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        names = self.claim["metric"], self.settings["matched_metric"]
        share = float(self.settings["share"])
        levels = int(self.settings["from_level"]), int(self.settings["to_level"])
        curves = (networks.curve(self.claim["explainer"], name, self.subset) for name in names)
        gain, left = (curve.change(*levels) for curve in curves)
        found = Quantity(share * gain.values, share * gain.drawn).less(left)
        complete = np.isfinite(found.values)
        moot, remark = "", ""
        if complete.any():
            total, rest = (float(part.values[complete].mean()) for part in (gain, left))
            if total > 0:
                kept = f"{names[1]} {rest:.3g} ({100 * rest / total:.0f}%)"
                remark = f"{names[0]} gains {total:.3g}, {kept}"
            else:
                moot = f"{names[0]} does not gain (mean change {total:.3g})"
        span = f"from level {levels[0]} to {levels[1]}"
        text = f"{share:g} × gain of {names[0]} {span}, minus gain of {names[1]}"
        return Evidence(
            text,
            found,
            holds_from=0.0,
            levels=levels,
            also=gain,
            also_words=f"{names[0]} gains",
            moot=moot,
            remark=remark,
        )


class NoLoss(ClaimTest):
    """The dense network's mean minus that of a sparse level; true where it is below `smallest`.

    A test of non-inferiority: "no significant difference" would reward few networks, so the
    smallest loss that matters is declared beforehand, in units of the quantity. `of` is "accuracy"
    or a metric of which more is better. The level is the sparsest at which every network still
    keeps the share `density` of its weights.
    """

    name: ClassVar[str] = "no_loss"
    reference: ClassVar[str] = "Walker & Nowacki 2011, doi:10.1007/s11606-010-1513-8"
    needs: ClassVar[tuple[str, ...]] = ("smallest",)
    parameters: ClassVar[dict[str, Any]] = {"of": "required", "density": "required"}
    allowed: ClassVar[dict[str, Any]] = {"density": "[0, 1]"}
    refers: ClassVar[dict[str, str]] = {"of": "measure"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of = str(self.settings["of"])
        curve = _measure(self, networks, of)
        level = self._level(curve)
        left = float(np.mean(curve.density[:, curve.levels == level]))
        return Evidence(
            f"fall of {of} from dense to level {level} ({100 * left:.2g}% of weights left)",
            curve.change(level, 0),
            holds_to=float(self.claim["smallest"]),
            levels=(0, level),
            columns=_columns(of),
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
        return int(curve.levels[np.argmin(np.where(kept, curve.density.mean(axis=0), np.inf))])


class Value(ClaimTest):
    """A quantity at a level; true where it lies within `smallest` of `published`.

    `of` is "accuracy" or a metric.
    """

    name: ClassVar[str] = "value"
    reference: ClassVar[str] = "Schuirmann 1987, doi:10.1007/BF01068419"
    scale: ClassVar[str] = "measure"
    needs: ClassVar[tuple[str, ...]] = ("published", "smallest")
    parameters: ClassVar[dict[str, Any]] = {"of": "required", "level": "required"}
    refers: ClassVar[dict[str, str]] = {"of": "any measure", "level": "level"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, level = str(self.settings["of"]), int(self.settings["level"])
        published, smallest = (float(self.claim[key]) for key in ("published", "smallest"))
        return Evidence(
            f"{of} at level {level}",
            _measure(self, networks, of).at(level),
            holds_from=published - smallest,
            holds_to=published + smallest,
            levels=(level,),
            bounds=SHARE if of == ACCURACY else UNBOUNDED,
            columns=_columns(of),
        )


class BetweenCopies(SignedClaim):
    """A metric on copies pruned for each image minus that on others, mean over `explainers`.

    True where it is positive (`expected` turns that). The copies are those of `sample_pruner` and
    of `other_sample_pruner`, or the network itself where that is empty.
    """

    name: ClassVar[str] = "between_copies"
    needs: ClassVar[tuple[str, ...]] = ("metric",)
    parameters: ClassVar[dict[str, Any]] = {
        "sample_pruner": "required",
        "other_sample_pruner": "",
        "explainers": "required",
        "level": 0,
        "expected": "positive",
    }
    refers: ClassVar[dict[str, str]] = {
        "sample_pruner": "sample pruner",
        "other_sample_pruner": "sample pruner",
        "explainers": "explainers on copies",
        "level": "level",
    }

    def explainers(self) -> set[str]:
        """See `ClaimTest.explainers`."""
        return {name for names in self._names() for name in names}

    def _names(self) -> list[list[str]]:
        """The explainers on the copies, and on the others."""
        copies = (str(self.settings[key]) for key in ("sample_pruner", "other_sample_pruner"))
        return [
            [derived_name(copy, name) if copy else name for name in self.settings["explainers"]]
            for copy in copies
        ]

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        level, metric = int(self.settings["level"]), self.claim["metric"]
        own, others = (
            Quantity.mean_of([networks.curve(n, metric, self.subset).at(level) for n in names])
            for names in self._names()
        )
        pruner, other = self.settings["sample_pruner"], self.settings["other_sample_pruner"]
        beside = f"copies of {other}" if other else "the network itself"
        count = len(self.settings["explainers"])
        return self.decide(
            f"{metric} on copies of {pruner} minus that on {beside}, mean of {count} explainers",
            own.minus(others),
            levels=(level,),
            remark=f"{mean_in_words(own.values)} and {mean_in_words(others.values)}",
            columns={"explainer": derived_name(pruner, "*")},
        )


class Peak(ClaimTest):
    """The level at which a metric's mean is highest; true where it lies within `between`.

    The first of equals where a network has ties. It jumps from level to level, so that its interval
    is that of Student's t over networks, for these images. Levels are whole numbers, so networks
    may well agree on one: then there is no spread, and no test. Choose the test `rise` where that
    is to be expected; it compares heights, which always differ.
    """

    name: ClassVar[str] = "peak"
    scale: ClassVar[str] = "level"
    reference: ClassVar[str] = "Schuirmann 1987, doi:10.1007/BF01068419"
    parameters: ClassVar[dict[str, Any]] = {"between": "required"}
    refers: ClassVar[dict[str, str]] = {"between": "range of levels"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric = self.claim["metric"]
        low, high = (float(level) for level in self.settings["between"])
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        peaks = _highest(curve.mean, curve.levels)
        return Evidence(
            f"level at which {metric} is highest",
            Quantity(peaks, np.empty((len(peaks), 0))),
            low,
            high,
            # empty maps elsewhere can only lower what is not the peak
            levels=tuple(np.unique(peaks[np.isfinite(peaks)]).astype(int).tolist()),
        )


def _highest(means: Numbers, levels: NDArray[np.int64]) -> Numbers:
    """Level [S] of the highest of means [S, L], the first of equals; NaN without any."""
    defined = np.isfinite(means)
    place = np.argmax(np.where(defined, means, -np.inf), axis=-1)
    return np.where(defined.any(axis=-1), levels[place], np.nan)


class Rise(ClaimTest):
    """A metric's mean at level `at` minus that at `against` and `later`; true where both are > 0.

    The row reports the difference with the smaller mean, on which the claim hangs; the other must
    be shown as well. Since it is chosen from two by its value, its interval is at half of the
    row's α (Bonferroni).
    """

    name: ClassVar[str] = "rise"
    reference: ClassVar[str] = "Berger 1982, doi:10.1080/00401706.1982.10487790"
    parameters: ClassVar[dict[str, Any]] = {"at": "required", "against": 0, "later": "required"}
    refers: ClassVar[dict[str, str]] = {"at": "level", "against": "level", "later": "level"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        metric, at = self.claim["metric"], int(self.settings["at"])
        others = [int(self.settings[key]) for key in ("against", "later")]
        curve = networks.curve(self.claim["explainer"], metric, self.subset)
        changes = [curve.change(level, at) for level in others]
        # one set of networks for both
        complete = np.isfinite([change.values for change in changes]).all(axis=0)
        changes = [c._replace(values=np.where(complete, c.values, np.nan)) for c in changes]
        means = [c.values[complete].mean() if complete.any() else np.nan for c in changes]
        weaker = int(means[1] < means[0])
        remark = f"the other difference, to level {others[1 - weaker]}: {means[1 - weaker]:.3g}"
        return Evidence(
            f"{metric} at level {at} minus that at level {others[weaker]}",
            changes[weaker],
            holds_from=0.0,
            levels=(at, *others),
            also=changes[1 - weaker],
            also_words=f"it is above level {others[1 - weaker]}",
            choices=2,
            remark=remark if complete.any() else "",
        )


class Pooled(ClaimTest):
    """The same claim on several data sets or models, as one: see `sparsight.analysis.crossed.pool`.

    `of` names the claims. Their networks are independent, and their effects may differ.
    """

    name: ClassVar[str] = "pooled"
    reference: ClassVar[str] = "Hartung & Knapp 2001, doi:10.1002/sim.791"
    needs: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[dict[str, Any]] = {"of": "required"}
    scale: ClassVar[str] = ""
    refers: ClassVar[dict[str, str]] = {"of": "claims"}

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """Never called: the rows of the claims that it names are its evidence."""
        raise TypeError("a pooled claim has the evidence of the claims that it names")
