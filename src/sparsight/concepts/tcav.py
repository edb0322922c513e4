"""Testing with concept activation vectors.

captum.concept.TCAV is the reference in tests, and not used here: it writes every vector and
activation to disk with pickle and reads them back, one experiment at a time.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsight.concepts.base import (
    ConceptMethod,
    Findings,
    Measured,
    Ranked,
    StudiedNetwork,
    with_mean,
)
from sparsight.concepts.cav import (
    ConceptLabels,
    Labelled,
    Standardiser,
    class_means,
    concept_labels,
    drawn_order,
    fit_direction,
    labelled_features,
    rarer_side,
    shared_names,
    two_sides,
)
from sparsight.data.packed import PackedSplit, batches
from sparsight.explain.network import activations_and_gradients, record_outputs
from sparsight.io.job import log_progress
from sparsight.models.base import Architecture


@torch.no_grad()
def pooled_outputs(
    network: Architecture, path: Path, rows: Tensor, layer: str, batch_size: int
) -> Tensor:
    """Outputs of `layer`, averaged over positions, of the images at `rows` of a packed split.

    One forward pass an image. Returns float32 [n, D], on the CPU.
    Raises InputError when the network has no such layer, or it has no feature maps.
    """
    found, device = [], next(network.parameters()).device
    for batch in batches(path, rows, batch_size):
        with record_outputs(network, [layer]) as outputs:
            network(batch.images("clean").to(device))
        found.append(outputs[layer].detach().mean(dim=(2, 3)).cpu())
    return torch.cat(found)


def class_slopes(
    network: Architecture, path: Path, rows: Tensor, layer: str, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Slope of each image's own class logit as all positions of a channel rise together.

    One forward and one backward pass an image; see `pooled_outputs`. Returns gradients summed over
    positions, float32 [n, D], on the CPU, and labels int64 [n].
    """
    slopes, labels, device = [], [], next(network.parameters()).device
    for batch in batches(path, rows, batch_size):
        there = batch.to(device)
        images, targets = there.images("clean"), there.labels
        _, gradients = activations_and_gradients(network, images, targets, [layer])[layer]
        slopes.append(gradients.sum(dim=(2, 3)).cpu())
        labels.append(batch.labels)
    return torch.cat(slopes), torch.cat(labels)


def positive_shares(slopes: Tensor, labels: Tensor, vectors: Tensor, class_count: int) -> Tensor:
    """TCAV scores: the share of each class's images whose logit rises along a vector.

    `slopes`, `labels`: float32 [n, D] and int64 [n]; `vectors`: [..., D], any number of concept
    activation vectors. Returns float64 [class_count, ...]; NaN for a class without images.
    Reference: Kim et al. 2018 (arXiv:1711.11279) equation 2.
    """
    flat = vectors.reshape(-1, vectors.shape[-1]).to(slopes.dtype)
    rises = (slopes @ flat.T > 0).double()
    shares = class_means(rises, labels, class_count)
    return shares.reshape(class_count, *vectors.shape[:-1])


Array = NDArray[np.float64]
# Shares of images are the same up to rounding, or differ by an image at least.
NO_SPREAD = 1e-12


class ScoreTest(NamedTuple):
    """Arrays float64 [C, K] for C classes and K concepts; NaN for classes without images."""

    p: Array  # two-sided
    adjusted: Array  # for the K concepts of a class
    # in standard deviations between draws (Cohen's d), positive where the concept's scores are
    # above those of random ones; NaN where neither varies between draws
    effect: Array


def against_random(scores: Array, random: Array) -> ScoreTest:
    """Welch's two-sided t test of each concept's scores against those of random concepts.

    The draws share the images of one bank, so p speaks of the choice of images from it, not of
    other banks or other networks.

    Where neither group varies between draws there is no t, and p is that of the exact permutation
    test of the means: twice the share of assignments of the R + R' scores to groups that part them
    as these do, 2 R! R'! / (R + R')!, at most 1; 1 where all scores are the same.

    `scores`: [R, C, K], TCAV scores of R draws; `random`: [R', C], those of random concepts.
    Reference: Kim et al. 2018 (arXiv:1711.11279) section 3.5; Welch 1947
    (doi:10.1093/biomet/34.1-2.28); Benjamini & Hochberg 1995
    (doi:10.1111/j.2517-6161.1995.tb02031.x).
    """
    from scipy import stats  # late: it takes a second to import

    other = random[:, :, np.newaxis]
    spread = scores.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)
    varies, there = spread > NO_SPREAD, ~np.isnan(spread)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # of groups without spread, whose results are not used
        warnings.simplefilter("ignore", RuntimeWarning)
        p = np.asarray(stats.ttest_ind(scores, other, axis=0, equal_var=False).pvalue)
        difference = scores.mean(axis=0) - other.mean(axis=0)
        effect = np.where(varies, difference / np.sqrt(spread / 2), np.nan)
    parted = min(1.0, 2 / math.comb(len(scores) + len(random), len(scores)))
    constant = np.where(np.abs(difference) > NO_SPREAD, parted, 1.0)
    p = np.where(varies, p, np.where(there, constant, np.nan))
    adjusted = np.full_like(p, np.nan)
    for row, values in enumerate(p):
        tested = ~np.isnan(values)
        if tested.any():
            adjusted[row, tested] = stats.false_discovery_control(values[tested])
    return ScoreTest(p, adjusted, effect)


SIGNIFICANT = 0.05
#: scores are means of shares, kept in single precision: closer ones are equal
EQUAL = 1e-6


def score_rows(
    arrays: Mapping[str, Tensor], concepts: Sequence[str], classes: Sequence[str]
) -> tuple[list[Ranked], list[Measured]]:
    """Ranks and measures of `Tcav`; classes without images have no ranks.

    `arrays`: those that `Tcav` describes.
    """
    scores, random = arrays["scores"].double().mean(dim=0), arrays["random"].double().mean(dim=0)
    ranked: list[Ranked] = []
    measured: list[Measured] = []
    adjusted, effect_sizes = arrays["adjusted_p"], arrays["effect_size"]
    pairs = {"tcav_score": scores, "p_value": arrays["p"], "adjusted_p": adjusted}
    pairs["effect_size"] = effect_sizes
    for label, class_name in enumerate(classes):
        if scores[label].isnan().any():
            continue
        measured.append(Measured("random_score", random[label].item(), class_name))
        measured += [
            Measured(measure, value, class_name, concept)
            for measure, values in pairs.items()
            for concept, value in zip(concepts, values[label].tolist(), strict=True)
        ]
        own, effects = scores[label].tolist(), effect_sizes[label].nan_to_num(0.0).tolist()
        order = sorted(range(len(concepts)), key=lambda k: (-own[k], -effects[k]))
        ranked += [
            Ranked(class_name, concepts[k], rank, own[k], adjusted[label, k].item())
            for rank, k in enumerate(order, start=1)
        ]
    significant = (adjusted < SIGNIFICANT).sum() / (~adjusted.isnan()).sum()
    return ranked, [*measured, Measured("significant_share", significant.item())]


def score_drift(own: Findings, reference: Findings) -> list[Measured]:
    """`tcav_change` of each class and on average, and `tcav_side_agreement`.

    A score that equals that of random concepts is on neither side, and its pair counts half, as
    drawing a side does on average. The agreement is NaN where no pair has a side, a class has no
    images, or nothing is significant in the reference.

    Raises InputError when the findings share no concept or no class.
    """
    _, mine, theirs = shared_names(own, reference, "concepts")
    classes, my_rows, their_rows = shared_names(own, reference, "classes")
    scores, sides = [], []
    for findings, rows, columns in ((own, my_rows, mine), (reference, their_rows, theirs)):
        score = findings.arrays["scores"].double().mean(dim=0)[rows][:, columns]
        difference = score - findings.arrays["random"].double().mean(dim=0)[rows, None]
        scores.append(score)
        # 1 above random concepts, -1 below, 0 where they are equal
        sides.append(difference.sign() * (difference.abs() > EQUAL))
    (first, second), (side, was) = scores, sides
    changes = (first - second).abs().mean(dim=1)
    counted = (reference.arrays["adjusted_p"][their_rows][:, theirs] < SIGNIFICANT) & ~first.isnan()
    same = ((1 + side * was) / 2)[counted].mean()
    if not side[counted].any():
        same = torch.tensor(torch.nan)
    changed = with_mean("tcav_change", changes, classes=classes)
    return [*changed, Measured("tcav_side_agreement", same.item())]


class Tcav(ConceptMethod):
    """Does a class's logit rise towards a concept, more often than towards random concepts?

    The TCAV score of a class and a concept is the share of the class's test images (of the shared
    subset) whose logit for that class has a positive derivative along the concept's vector, at a
    layer. It is the mean over `draws`, each with another choice of images for the vector. Scores
    are tested against as many random concepts, whose vectors tell random images of the bank from
    others: two-sided t test, adjusted for all concepts of a class (Benjamini and Hochberg); see
    `against_random`.

    A draw takes at most half of the images on the rarer side of a concept, and as many of the
    other: draws of the same images would count one vector several times. A note names the concepts
    that have fewer than `images_per_side` images for that reason. An image of which a concept is
    not known is on neither side; it may be among the random ones.

    Vectors are those of outputs averaged over positions, and the derivative is along the vector at
    all positions at once: a vector of a million values would tell where a concept lies in a hundred
    images more than what it is. Channels are standardised over the bank for the fit, and the
    derivative is taken in the same units, by the chain rule Σ slope · deviation · vector: the step
    in a channel is in proportion to how much the channel varies.

    Where nothing but averaging and a linear layer follow (`feature_cut` of the ResNets), the
    derivative is the same for all images of a class: each draw's score is then 0 or 1. An earlier
    layer ("layer3") has scores between.

    The order is, for each class, by TCAV score, then by effect size. `weight` is the score, `value`
    the adjusted p.

    Arrays: `scores` [R, C, K] and `random` [R, C] of R draws; `p`, `adjusted_p`, `effect_size`
    [C, K]; `image_ids` [n] of the images that were asked. Texts: `concepts` [K], `classes` [C].

    Parameters
    ----------
    layer : a module with feature maps; the network's `feature_cut` where it is empty.
    classifier, strength : "svm" or "logistic", and its C.
    images_per_side : images that show a concept, and as many that do not, at most.
    draws : how many vectors of each concept, and how many random ones, at least 2.
    fewest : concepts with fewer training images on a side are dropped.
    """

    name: ClassVar[str] = "tcav"
    label: ClassVar[str] = "TCAV"
    reference: ClassVar[str] = "Kim et al. 2018, arXiv:1711.11279"
    needs: ClassVar[tuple[str, ...]] = ("concept_labels",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "tcav_score": ("", "share, 0 to 1", "images of a class whose logit rises with a concept"),
        "random_score": ("", "share, 0 to 1", "the same for random concepts, mean over draws"),
        "p_value": ("", "0 to 1", "of the scores against those of random concepts"),
        "adjusted_p": ("", "0 to 1", "the same, adjusted for all concepts of the class"),
        "effect_size": ("", "standard deviations", "score minus that of random concepts"),
        "significant_share": (
            "",
            "share, 0 to 1",
            "pairs of class and concept with an adjusted p below .05",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "tcav_change": ("", "0 to 1", "mean absolute difference of a class's TCAV scores"),
        "tcav_side_agreement": (
            "",
            "share, 0 to 1",
            "pairs significant in the reference that lie on the same side of random concepts",
        ),
    }
    parameters: ClassVar[dict[str, Any]] = {
        "layer": "",
        "classifier": "svm",
        "strength": 0.1,
        "images_per_side": 50,
        "draws": 20,
        "fewest": 10,
    }
    allowed: ClassVar[dict[str, Any]] = {
        "classifier": ("svm", "logistic"),
        "strength": "(0, inf)",
        "images_per_side": "[1, inf)",
        "draws": "[2, inf)",
    }

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`."""
        labels = concept_labels(checkpoint.bank, self.settings["fewest"])
        layer = self.settings["layer"] or checkpoint.network.feature_cut
        train, passes = _at_layer(checkpoint, labels, layer)
        vectors, random = self._vectors(train, checkpoint.seed)
        path = checkpoint.splits["test"]
        with PackedSplit.open(path) as packed:
            classes = packed.classes
            rows = packed.subset(min(checkpoint.images, len(packed)))
            image_ids = packed.image_ids()[rows]
        slopes, targets = class_slopes(checkpoint.network, path, rows, layer, checkpoint.batch_size)
        scores, by_chance = (
            positive_shares(slopes, targets, kind, len(classes)).movedim(0, 1)
            for kind in (vectors, random)
        )
        test = against_random(scores.numpy(), by_chance.numpy())
        arrays = {
            "scores": scores.float(),
            "random": by_chance.float(),
            "p": torch.from_numpy(test.p),
            "adjusted_p": torch.from_numpy(test.adjusted),
            "effect_size": torch.from_numpy(test.effect),
            "image_ids": image_ids,
        }
        ranked, measured = score_rows(arrays, labels.names, classes)
        return Findings(
            ranked,
            measured,
            arrays,
            {"concepts": labels.names, "classes": classes},
            (*labels.notes, *self._small_draws(train, labels.names)),
            # A backward pass counts as two.
            passes + 3 * len(rows),
        )

    def _vectors(self, train: Labelled, seed: int) -> tuple[Tensor, Tensor]:
        """Steps along the vectors of the concepts, float32 [R, K, D], and of random ones, [R, D].

        In the units of the outputs: a step of v in standardised ones is v times the deviation.
        """
        count, counts = self.settings["images_per_side"], self._counts(train)
        scale = Standardiser.of(train.pooled)
        inputs = scale(train.pooled).numpy()

        def vector(rows: Tensor, shown: Tensor) -> Tensor:
            settings = self.settings
            found, _ = fit_direction(
                settings["classifier"], settings["strength"], inputs[rows.numpy()], shown.numpy()
            )
            return (torch.from_numpy(found) * scale.deviation).float()

        concepts, random, draws = [], [], self.settings["draws"]
        for draw in log_progress(range(draws), "draws of images", draws):
            order = drawn_order(train.image_ids, f"concept images {seed} draw {draw}")
            sides = [
                two_sides(order[known[order]], shown, some)
                for shown, known, some in zip(train.shown.T, train.known.T, counts, strict=True)
            ]
            concepts.append(
                torch.stack([vector(rows, train.shown[rows, k]) for k, rows in enumerate(sides)])
            )
            other = drawn_order(train.image_ids, f"random images {seed} draw {draw}")
            some = min(count, len(other) // 2)
            random.append(vector(other[: 2 * some], torch.arange(2 * some) < some))
        return torch.stack(concepts), torch.stack(random)

    def _counts(self, train: Labelled) -> list[int]:
        """Images of each side in a draw, for each concept."""
        rarer = rarer_side(train.shown, train.known)
        return (rarer // 2).clamp(1, self.settings["images_per_side"]).tolist()

    def _small_draws(self, train: Labelled, names: Sequence[str]) -> list[str]:
        """A note on the concepts that have too few images for draws of the usual size."""
        wanted = self.settings["images_per_side"]
        small = [
            f"{name} ({count})"
            for name, count in zip(names, self._counts(train), strict=True)
            if count < wanted
        ]
        if not small:
            return []
        return [
            f"{len(small)} concepts have fewer than twice {wanted} training images on a side; "
            "their vectors are drawn from half of the rarer side (images per side): "
            + ", ".join(small)
        ]

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`."""
        return score_drift(own, reference)


def _at_layer(
    checkpoint: StudiedNetwork, labels: ConceptLabels, layer: str
) -> tuple[Labelled, int]:
    """The bank's training images at a layer, and the forward passes that it took."""
    train = labelled_features(checkpoint, labels, "train")
    if layer == checkpoint.features.feature_cut:
        return train, 0
    rows = torch.arange(len(train.image_ids))
    path, batch_size = checkpoint.bank["train"], checkpoint.batch_size
    pooled = pooled_outputs(checkpoint.network, path, rows, layer, batch_size)
    return train._replace(pooled=pooled), len(rows)
