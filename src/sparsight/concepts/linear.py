"""Labelled concepts as linear functions of a network's pooled features.

The labels of a bank, the functions and how well they find their images, how far they have moved
from another network's, and the base class of the methods that fit them.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from sparsight.concepts.base import (
    WHOLE,
    ConceptMethod,
    Findings,
    Measured,
    Ranked,
    StudiedNetwork,
    with_mean,
)
from sparsight.concepts.features import BANK
from sparsight.concepts.registry import SAME
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant


@dataclass(frozen=True)
class Standardiser:
    """Subtracts a mean and divides by a deviation."""

    mean: Tensor  # float64 [D]
    deviation: Tensor  # float64 [D], 1 where a feature does not vary

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """The mean and population standard deviation of each column of `values` [N, D]."""
        wide = values.double()
        deviation = wide.std(dim=0, correction=0)
        # Deviations that are rounding errors of the mean would blow noise up to size 1.
        return cls(wide.mean(dim=0), deviation.masked_fill(is_constant(wide, 0), 1.0))

    def __call__(self, values: Tensor) -> Tensor:
        """`values` [N, D] on the common scale, float64."""
        return (values.double() - self.mean) / self.deviation

    def fold(self, vectors: Tensor, intercepts: Tensor) -> tuple[Tensor, Tensor]:
        """The function of raw features that equals v · standardised + b.

        `vectors`, `intercepts`: float64 [K, D] and [K], of standardised features. Returns vectors
        and intercepts for raw features, float64.
        """
        raw = vectors.double() / self.deviation
        return raw, intercepts.double() - raw @ self.mean


def varies(values: Tensor) -> Tensor:
    """Whether each column of `values` [N, D] differs between rows beyond rounding, bool [D]."""
    return ~is_constant(values, 0)


#: measures that `quality` gives
QUALITY = ("concept_accuracy", "concept_balanced_accuracy")


@dataclass(frozen=True)
class LinearConcepts:
    """A linear function w·x + b of pooled features for each concept."""

    names: tuple[str, ...]  # of the K concepts
    vectors: Tensor  # float32 [K, D], w
    intercepts: Tensor  # float32 [K], b

    def scores(self, features: Tensor) -> Tensor:
        """w·x + b of features [N, D], float32 [N, K]; above 0 speaks for the concept."""
        wide = features.double() @ self.vectors.double().T + self.intercepts.double()
        return wide.float()

    def margins(self, features: Tensor) -> Tensor:
        """Signed distance (w·x + b) / ‖w‖ from the boundary, float32 [N, K]; 0 where w is 0.

        Ghosh & Batmanghelich 2023 (arXiv:2307.13698), in the units of the features.
        """
        lengths = torch.linalg.vector_norm(self.vectors.double(), dim=1)
        values: Tensor = self.scores(features).double() / lengths
        return values.masked_fill(lengths == 0, 0.0).float()


def quality(
    concepts: LinearConcepts, features: Tensor, labels: Tensor, known: Tensor
) -> list[Measured]:
    """`concept_accuracy` and `concept_balanced_accuracy` of each concept, and their means.

    Returns rows; the balanced accuracy is NaN where all these images or none show the concept, and
    the accuracy where there are none, which leaves it out of the mean.

    Parameters
    ----------
    features : float32 [N, D] of the bank's test images.
    labels : bool [N, K].
    known : bool [N, K]; a concept is measured on the images of which it is known.
    """
    right = (concepts.scores(features) > 0) == labels
    rows: list[Measured] = []
    shares = (accuracy(right, known), balanced_accuracy(right, labels, known))
    for measure, values in zip(QUALITY, shares, strict=True):
        rows += with_mean(measure, values, concepts=concepts.names)
    return rows


def accuracy(right: Tensor, known: Tensor) -> Tensor:
    """The share of the known images that is right, float64 [K]; NaN without any.

    `right`, `known`: bool [N, K]: whether the prediction is right, and whether the truth is known.
    """
    return (right & known).sum(dim=0).double() / known.sum(dim=0)


def balanced_accuracy(right: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Mean over both sides of the share that is right, float64 [K]; NaN with one side only.

    `right`, `labels`, `known`: bool [N, K]: whether the prediction is right, the truth, and whether
    it is known.
    """
    with_it, without = labels & known, ~labels & known
    hits, misses = (right & with_it).sum(dim=0), (right & without).sum(dim=0)
    return (hits / with_it.sum(dim=0) + misses / without.sum(dim=0)).double() / 2


@dataclass(frozen=True)
class ConceptLabels:
    """The concepts that vary, each once."""

    # of the K concepts, in the bank's order; those that were merged are joined by " = "
    names: tuple[str, ...]
    # bool [N, K] by split, in the order of the packed file; splits without images are left out
    splits: Mapping[str, Tensor]
    # bool [N, K] by split, whether an image is an example of a concept at all, with or without it;
    # `splits` means nothing where it is not
    known: Mapping[str, Tensor]
    # what was dropped, what was merged and what is not known, for the report
    notes: tuple[str, ...]


def concept_labels(bank: Mapping[str, Path], fewest: int = 1) -> ConceptLabels:
    """Labels of the concepts that the bank's training split can teach.

    Dropped are concepts that do not vary over the training images, or that fewer than `fewest` of
    them show or lack; only images of which a concept is known count. Concepts that are known of the
    same training images, with equal labels, are merged: they could not be told apart. A concept
    that is the complement of another is kept, since both names say something, and their vectors
    point opposite ways. Of merged concepts, the labels of the first are used on all splits.

    `bank`: packed files by split, with "train" among them; `fewest`: training images, at least 1,
    that must show a concept, and as many that must not. Raises InputError when the bank has no
    concepts or no training images, or no concept is left.
    """
    whole, known, all_names = _read(bank)
    if "train" not in whole:
        raise InputError(
            "the concept bank has no training images; give one with a training split as "
            "'concept_bank'"
        )
    rarer = rarer_side(whole["train"], known["train"]).tolist()
    constant = [name for name, count in zip(all_names, rarer, strict=True) if count == 0]
    rare = [name for name, count in zip(all_names, rarer, strict=True) if 0 < count < fewest]
    groups = _equal_columns(
        whole["train"], known["train"], [k for k, n in enumerate(rarer) if n >= max(fewest, 1)]
    )
    if not groups:
        raise InputError(
            f"none of the {len(all_names)} concepts of the bank varies enough: at least {fewest} "
            "training images must show a concept and as many must not; take more images or a "
            "smaller 'fewest'"
        )
    names = tuple(SAME.join(all_names[k] for k in group) for group in groups)
    first = torch.tensor([group[0] for group in groups])
    notes = []
    for why, dropped in (
        ("do not vary over the training images", constant),
        (f"have fewer than {fewest} training images on one side", rare),
    ):
        if dropped:
            notes.append(f"{len(dropped)} concepts that {why} were dropped: {', '.join(dropped)}")
    if merged := [name for name in names if SAME in name]:
        notes.append(
            "concepts that the training images do not tell apart were merged into "
            f"{len(merged)}: {', '.join(merged)}"
        )
    missing = (~known["train"][:, first]).sum(dim=0).tolist()
    if few := [f"{name} ({count})" for name, count in zip(names, missing, strict=True) if count]:
        notes.append(
            f"{len(few)} concepts are not known of all {len(known['train'])} training images and "
            f"learnt from the others (images left out): {', '.join(few)}"
        )
    return ConceptLabels(
        names,
        {split: values[:, first] for split, values in whole.items()},
        {split: values[:, first] for split, values in known.items()},
        tuple(notes),
    )


def rarer_side(shown: Tensor, known: Tensor) -> Tensor:
    """Images on the rarer side of each concept, with it or without it, int64 [K].

    `shown`, `known`: bool [N, K]; an image of which a concept is not known is on neither side.
    """
    return torch.minimum((shown & known).sum(dim=0), (~shown & known).sum(dim=0))


def _read(bank: Mapping[str, Path]) -> tuple[dict[str, Tensor], dict[str, Tensor], list[str]]:
    """All labels and of which images they are known, by split, and the names of all concepts."""
    found: dict[str, Tensor] = {}
    known: dict[str, Tensor] = {}
    names: list[str] = []
    for split, path in bank.items():
        with PackedSplit.open(path) as packed:
            if len(packed):
                rows = packed.subset("all")
                found[split], known[split] = packed.concepts(rows), packed.concepts_known(rows)
                names = packed.concept_names
    return found, known, names


def _equal_columns(shown: Tensor, known: Tensor, wanted: Sequence[int]) -> list[list[int]]:
    """Columns among `wanted`, those with the same images on both sides in one group, in order."""
    groups: dict[bytes, list[int]] = {}
    # Equal labels of images that are known to both are not enough: the two kinds of a structure
    # have nothing but negative examples in common.
    sides = torch.stack([shown & known, ~shown & known])
    for column in wanted:
        groups.setdefault(sides[..., column].numpy().tobytes(), []).append(column)
    return list(groups.values())


def drift_of_margins(own: Findings, reference: Findings) -> list[Measured]:
    """`margin_correlation` of the concepts that both have, and its mean; see `margin_correlation`.

    Both findings have the arrays `margins` [N, K] and `image_ids` [N] and the text `concepts`.

    Raises InputError when the margins are those of other images, or no concept is in both.
    """
    _same_images(own, reference, "image_ids")
    names, mine, theirs = shared_names(own, reference, "concepts")
    values = margin_correlation(
        own.arrays["margins"][:, mine], reference.arrays["margins"][:, theirs]
    )
    return with_mean("margin_correlation", values, concepts=names)


def drift_of_features(own: Findings, reference: Findings) -> list[Measured]:
    """`feature_cka` and `feature_cka_debiased` of the arrays `features` [n, D] of both."""
    _same_images(own, reference, "feature_ids")
    first, second = own.arrays["features"], reference.arrays["features"]
    return [
        Measured("feature_cka", linear_cka(first, second)),
        Measured("feature_cka_debiased", linear_cka(first, second, debiased=True)),
    ]


def shared_names(
    own: Findings, reference: Findings, text: str
) -> tuple[list[str], list[int], list[int]]:
    """Names that both findings list under `text`, and where each of them has these.

    Raises InputError when there are none.
    """
    mine, theirs = list(own.texts[text]), list(reference.texts[text])
    names = [name for name in mine if name in theirs]
    if not names:
        raise InputError(
            f"two networks that are compared share none of their {text}; run snakemake again for "
            "both"
        )
    return names, [mine.index(name) for name in names], [theirs.index(name) for name in names]


def _same_images(own: Findings, reference: Findings, array: str) -> None:
    if not torch.equal(own.arrays[array], reference.arrays[array]):
        raise InputError(
            "concepts of two networks were found on different test images; run snakemake again "
            "for both"
        )


def margin_correlation(own: Tensor, reference: Tensor) -> Tensor:
    """Pearson correlation over images of each concept's margins.

    `own`, `reference`: float32 [N, K], of the same images and concepts. Returns float64 [K]; NaN
    where either does not vary, and below three images.
    """
    if len(own) < 3:
        return torch.full((own.shape[1],), torch.nan, dtype=torch.float64)
    first = own.double() - own.double().mean(dim=0)
    second = reference.double() - reference.double().mean(dim=0)
    lengths = [torch.linalg.vector_norm(values, dim=0) for values in (first, second)]
    found: Tensor = (first * second).sum(dim=0) / (lengths[0] * lengths[1])
    defined = varies(own) & varies(reference)
    return found.clamp(-1, 1).masked_fill(~defined, torch.nan)


def linear_cka(own: Tensor, reference: Tensor, debiased: bool = False) -> float:
    """Centred kernel alignment of two feature spaces with the linear kernel.

    ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features, Kornblith et al. 2019 (arXiv:1905.00414) equation 3
    and section 3: 1 for features that are equal up to rotation and scale. With fewer images than
    features it tends to 1 whatever these are. The debiased form replaces the three terms by the
    unbiased estimate of HSIC (Song et al. 2012, equation 5; Nguyen et al. 2021, arXiv:2010.15327,
    equation 3): about 0 for unrelated features, and it can be negative.

    `own`, `reference`: float32 [n, D] and [n, D'], of the same images. Returns NaN where either
    does not vary, and below four images (two without the correction).
    """
    if len(own) < (4 if debiased else 2) or not varies(own).any() or not varies(reference).any():
        return float("nan")
    grams = []
    for features in (own.double(), reference.double()):
        centred = features - features.mean(dim=0)
        grams.append(centred @ centred.T)
    alignment = _hsic if debiased else _inner
    first, second = grams
    scale = (alignment(first, first) * alignment(second, second)).sqrt()
    return float(alignment(first, second) / scale)


def _inner(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum()


def _hsic(first: Tensor, second: Tensor) -> Tensor:
    """Unbiased HSIC up to the factor n (n - 3), of Gram matrices [n, n]."""
    n = len(first)
    left, right = (gram - torch.diag(gram.diag()) for gram in (first, second))
    both = left.sum() * right.sum() / ((n - 1) * (n - 2))
    rows = 2 * (left.sum(dim=0) @ right.sum(dim=0)) / (n - 2)
    return (left * right).sum() + both - rows


class Labelled(NamedTuple):
    """Pooled features of some images of a bank, and which concepts they show.

    `pooled` float32 [N, D], `shown` bool [N, K], `image_ids` int64 [N], and `known` bool [N, K]:
    where it is false, the image is neither a positive nor a negative example of the concept.
    """

    pooled: Tensor
    shown: Tensor
    image_ids: Tensor
    known: Tensor

    def select(self, rows: Tensor) -> "Labelled":
        """The images at `rows`, int64 [n]."""
        return Labelled(*(values[rows] for values in self))


class LinearMethod(ConceptMethod):
    """Fits linear functions of pooled features to the concepts that vary in the bank.

    Fitted to and measured on the bank's training and test images of which a concept is known. The
    order of the concepts (one for all classes) is by
    `concept_balanced_accuracy`, which is also `weight`.

    Arrays: `vectors` [K, D] and `intercepts` [K] for raw pooled features; `margins` [N, K], signed
    distances of the network's own test images, and their `image_ids` [N]; `features` [n, D],
    pooled features of the shared test images, and `feature_ids` [n]. Texts: `concepts` [K].
    """

    needs: ClassVar[tuple[str, ...]] = ("concept_labels",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "concept_accuracy": (
            "higher",
            "share, 0 to 1",
            "test images of the bank on the right side of a concept's boundary",
        ),
        "concept_balanced_accuracy": (
            "higher",
            "share, 0 to 1",
            "mean of that share over images with and images without the concept",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "margin_correlation": (
            "",
            "-1 to 1",
            "Pearson's r of a concept's margins on the same images",
        ),
        "feature_cka": ("", "0 to 1", "linear CKA of the pooled features of the same test images"),
        "feature_cka_debiased": ("", "at most 1", "the same without the bias of few images"),
    }

    @abstractmethod
    def fit(
        self, checkpoint: StudiedNetwork, labels: ConceptLabels
    ) -> tuple[LinearConcepts, Mapping[str, Tensor]]:
        """The concepts, and further arrays; `strengths` [K] is each concept's `Ranked.value`."""

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`."""
        labels = concept_labels(checkpoint.bank, self.settings["fewest"])
        if "test" not in labels.splits:
            raise InputError("the concept bank has no test images; give one with a test split")
        concepts, more = self.fit(checkpoint, labels)
        test = labelled_features(checkpoint, labels, "test")
        measured = quality(concepts, test.pooled, test.shown, test.known)
        own = checkpoint.features.split("test")
        with PackedSplit.open(checkpoint.splits["test"]) as packed:
            shared = packed.subset(min(checkpoint.images, len(packed)))
        arrays = {
            "vectors": concepts.vectors,
            "intercepts": concepts.intercepts,
            "margins": concepts.margins(own.pooled),
            "image_ids": own.image_ids,
            "features": own.pooled[shared],
            "feature_ids": own.image_ids[shared],
            **more,
        }
        nothing = torch.full((len(concepts.names),), torch.nan)
        values = dict(zip(concepts.names, more.get("strengths", nothing).tolist(), strict=True))
        return Findings(
            _by_accuracy(measured, values),
            measured,
            arrays,
            {"concepts": concepts.names},
            labels.notes,
        )

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`."""
        return [*drift_of_margins(own, reference), *drift_of_features(own, reference)]


def labelled_features(checkpoint: StudiedNetwork, labels: ConceptLabels, split: str) -> Labelled:
    """Pooled features of a split of the bank, and the concepts that its images show or lack.

    Raises InputError when the features are those of other images.
    """
    found = checkpoint.features.split(split, BANK)
    with PackedSplit.open(checkpoint.bank[split]) as packed:
        if not torch.equal(packed.image_ids(), found.image_ids):
            raise InputError(
                f"{checkpoint.features.path} and {packed.path} hold other images; delete the "
                "first and run snakemake again"
            )
    return Labelled(found.pooled, labels.splits[split], found.image_ids, labels.known[split])


def _by_accuracy(measured: Sequence[Measured], values: Mapping[str, float]) -> list[Ranked]:
    """Concepts by balanced accuracy; those without one come last, ties as in the bank."""
    rows = [row for row in measured if row.measure == "concept_balanced_accuracy" and row.concept]
    # A NaN is unequal to itself.
    rows.sort(key=lambda row: -row.value if row.value == row.value else 1.0)
    return [
        Ranked(WHOLE, row.concept, rank, row.value, values[row.concept])
        for rank, row in enumerate(rows, start=1)
    ]
