"""Testing with concept activation vectors."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.concepts.base import ConceptMethod, Findings, Measured, StudiedNetwork
from sparsight.concepts.labelled.activation_vectors import CLASSIFIERS, Labelled, fit_direction
from sparsight.concepts.labelled.concept_labels import ConceptLabels, concept_labels, rarer_side
from sparsight.concepts.labelled.drawing import drawn_order, two_sides
from sparsight.concepts.labelled.linear_method import labelled
from sparsight.concepts.labelled.standardise import Standardiser
from sparsight.concepts.tcav.directional import class_slopes, pooled_outputs, positive_shares
from sparsight.concepts.tcav.score_tests import against_random
from sparsight.concepts.tcav.tcav_rows import score_drift, score_rows
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from sparsight.io.job import followed


# captum.concept.TCAV is the reference in tests, and not used here: it writes every vector and
# activation to disk with pickle and reads them back, one experiment at a time.
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
    all positions at once: at image scale the whole output of a layer has a million values, and a
    vector of them would tell where a concept lies in a hundred images more than what it is.
    Channels are standardised over the bank for the fit, and the derivative is taken in the same
    units, by the chain rule Σ slope · deviation · vector: the step in a channel is in proportion
    to how much the channel varies, so that a channel that is nearly dead does not count.

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
    reference: ClassVar[str] = "Kim et al. 2018, arXiv:1711.11279"
    needs: ClassVar[tuple[str, ...]] = ("concept_labels",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "tcav_score": ("", "share, 0 to 1", "images of a class whose logit rises with a concept"),
        "random_score": ("", "share, 0 to 1", "the same for random concepts, mean over draws"),
        "p_value": ("", "0 to 1", "of the scores against those of random concepts"),
        "adjusted_p": ("", "0 to 1", "the same, adjusted for all concepts of the class"),
        "effect_size": (
            "",
            "standard deviations",
            "score minus that of random concepts, in deviations between draws",
        ),
        "significant_share": (
            "",
            "share, 0 to 1",
            "pairs of class and concept with an adjusted p below .05",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "tcav_change": (
            "",
            "0 to 1",
            "mean absolute difference of TCAV scores over the concepts of a class",
        ),
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

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        settings = self.settings
        if settings["classifier"] not in CLASSIFIERS:
            raise InputError(
                f"concept method tcav: 'classifier' must be one of {', '.join(CLASSIFIERS)}, not "
                f"{settings['classifier']!r}"
            )
        if settings["draws"] < 2 or settings["images_per_side"] < 1 or settings["strength"] <= 0:
            raise InputError(
                "concept method tcav needs at least 2 'draws', 1 image in 'images_per_side' and a "
                "positive 'strength'"
            )

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
        slopes, targets = class_slopes(
            checkpoint.network, path, rows, layer, checkpoint.batch_size, checkpoint.device
        )
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

        concepts, random = [], []
        draws = self.settings["draws"]
        for draw in followed(range(draws), "draws of images", draws):
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
    train = labelled(checkpoint, labels, "train")
    if layer == checkpoint.features.feature_cut:
        return train, 0
    rows = torch.arange(len(train.image_ids))
    pooled = pooled_outputs(
        checkpoint.network,
        checkpoint.bank["train"],
        rows,
        layer,
        checkpoint.batch_size,
        checkpoint.device,
    )
    return train._replace(pooled=pooled), len(rows)
