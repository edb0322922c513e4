"""The test of claims that compare ways of pruning where networks have lost as much accuracy."""

from typing import Any, ClassVar

import numpy as np

from sparsight.analysis.claims.base import (
    ClaimCurves,
    Evidence,
    Numbers,
    SignedClaim,
    mean_in_words,
)
from sparsight.analysis.curves import Curve, Quantity
from sparsight.analysis.equal_accuracy import Reached, first_reached


class AtEqualAccuracy(SignedClaim):
    """A metric or agreement of the claim's pruner minus that of `other_pruner`, at equal accuracy.

    True where it is positive (`expected` turns that); paired by seed. `of` is read off where each
    network has lost `loss` of the accuracy of its dense network: see
    `sparsight.analysis.equal_accuracy`. A network that does not reach the loss under all pruners,
    between two levels, is undefined. `other_pruners` instead of `other_pruner` takes the mean over
    several, and so does `pruners`, of which the claim's pruner is one, on its own side.
    """

    name: ClassVar[str] = "at_equal_accuracy"
    needs: ClassVar[tuple[str, ...]] = ("explainer",)
    parameters: ClassVar[dict[str, Any]] = {
        "of": "required",
        "loss": "required",
        "pruners": [],
        "other_pruner": "",
        "other_pruners": [],
        "expected": "positive",
    }
    allowed: ClassVar[dict[str, Any]] = {"loss": "(0, 1)", "expected": ("positive", "negative")}
    refers: ClassVar[dict[str, str]] = {
        "of": "metric or agreement",
        "loss": "loss of accuracy",
        "pruners": "pruners that prune",
        "other_pruner": "pruner that prunes",
        "other_pruners": "pruners that prune",
    }

    def evidence(self, networks: ClaimCurves) -> Evidence:
        """See `ClaimTest.evidence`."""
        of, loss = str(self.settings["of"]), float(self.settings["loss"])
        own = self.settings["pruners"] or [self.claim["pruner"]]
        others = self.settings["other_pruners"] or [self.settings["other_pruner"]]
        found: dict[str, Quantity] = {}
        apart: dict[str, Numbers] = {}
        levels: dict[str, tuple[int, ...]] = {}
        for pruner in (*own, *others):
            each = networks if pruner == self.claim["pruner"] else networks.of_pruner(pruner)
            curve = each.curve(self.claim["explainer"], of, self.subset)
            found[pruner], reached = at_loss(curve, each.accuracy(), loss)
            defined = np.isfinite(found[pruner].values)
            pruned = curve.levels[curve.levels > 0]
            # what lies before a level that has just this loss does not count
            before = reached.lower[defined & (reached.share < 1.0)]
            places = np.concatenate([before, reached.upper[defined]])
            levels[pruner] = tuple(np.unique(pruned[places]).tolist())
            apart[pruner] = reached.apart
        sides = [Quantity.mean_of([found[pruner] for pruner in side]) for side in (own, others)]
        means = " and ".join(mean_in_words(side.values) for side in sides)
        widths = ", ".join(f"{mean_in_words(apart[pruner])} ({pruner})" for pruner in found)
        return self.decide(
            f"{of} at a loss of {loss:g} in accuracy under {', '.join(own)} minus that under "
            f"{', '.join(others)}",
            sides[0].minus(sides[1]),
            levels=levels.pop(self.claim["pruner"]),
            other_levels=levels,
            remark=f"{means}; levels lie this far apart in accuracy: {widths}",
            columns={"metric": of},
        )


def at_loss(curve: Curve, accuracy: Curve, loss: float) -> tuple[Quantity, Reached]:
    """A curve's values where its networks first lose `loss` of their accuracy; and where that is.

    Without an image, the accuracies change too, and with them how far the loss is from the lower to
    the upper level. That is linearised, (δs = ((s - 1) δa - s δb) / (b - a) at the losses a and b):
    levels that one image sets apart would else have no distance without it.

    Of a subset that holds other images at every level, metrics are changes from the dense network:
    what it has of these images would not cancel between pruners.
    """
    # Agreement has no level 0: it is a comparison with the dense network already.
    if curve.changes is not None and 0 in curve.levels:
        curve = curve.changes
    pruned = curve.levels[curve.levels > 0]
    dense, there, curve = accuracy.at(0), accuracy.on(pruned), curve.on(pruned)
    losses = dense.values[:, np.newaxis] - there.mean
    reached, networks = first_reached(losses, loss), np.arange(len(losses))
    lower, upper = (networks, reached.lower), (networks, reached.upper)
    share = reached.share[:, np.newaxis]

    def moved(place: tuple[Any, Any]) -> Any:
        """By how much the loss at a level changes without each image: [S, N]."""
        return dense.drawn - there.replicates[place] - losses[place][:, np.newaxis]

    width = (losses[upper] - losses[lower])[:, np.newaxis]
    change = (share - 1.0) * moved(lower) - share * moved(upper)
    # the first level, at which the loss is just this one, has no level before it
    share = share + change / np.where(width > 0.0, width, np.inf)
    low, high = curve.replicates[lower], curve.replicates[upper]
    return Quantity(reached.between(curve.mean), low + share * (high - low)), reached
