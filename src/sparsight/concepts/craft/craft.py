"""CRAFT: concepts as non-negative factors of the activations of crops, class by class."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sparsight.concepts.base import ConceptMethod, Findings, Measured, StudiedNetwork
from sparsight.concepts.craft.class_concepts import ClassConcepts, find_class
from sparsight.concepts.craft.craft_drift import compare_craft
from sparsight.concepts.craft.craft_rows import kept_arrays, measured_rows, ranked_rows
from sparsight.concepts.craft.craft_settings import check_craft
from sparsight.concepts.craft.crops import CropReader, images_of_class
from sparsight.concepts.craft.pictures import concept_pictures
from sparsight.concepts.labelled.standardise import varies
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from sparsight.io.job import followed


class Craft(ConceptMethod):
    """Concepts of each class from crops of its images, with their importance and coherence.

    The crops' activations at the feature cut, averaged over places, are factorised: A ~ U W with
    U, W >= 0. A row of W is a concept, `concept_00` and so on; U says how much of it is in each
    crop. A concept's importance for the class is the total-order Sobol index of its logit (see
    `sparsight.concepts.craft.importance`), averaged over the images.

    Rows: in each class the concepts by importance; `weight` is the importance, `value` the mean
    coefficient over the crops (rows of W have length 1: coefficients are in units of activation).

    Chance: `mask_share`, `class_purity_chance` and `stability_chance` say what the purities and the
    stability are when concepts mean nothing. Few top crops of few classes have a high class purity
    by chance: the expected share of the most frequent class among as many crops that are drawn from
    the same pool (in closed form). The best matching of concepts correlates by chance, too: the
    stability after the crops of one network are put into another order (mean of ten, the same for
    every pair). Crops of one image are alike, which such an order does not keep.

    A network that has collapsed maps all crops to one feature. Then no crop has more of a concept
    than another: concepts have no top crops, purities and cosines are NaN, the stability is 0, and
    a note says so. Where only some crops are tied, their order is drawn.

    Passes: one for each crop and each image, and `top_crops` a concept for their maps where there
    are masks. What masked coefficients send through the head alone is not counted.

    Parameters
    ----------
    backend : `craft_xai` or `overcomplete`, whose factorisation is used.
    concepts : of each class.
    patch : side of a crop as a share of the image's; 2/7 is the published 64 of 224 pixels.
    split : where the images come from.
    classes : names of classes; empty: all.
    images_of_class : how many images of each class; where there are fewer, all.
    choose : `shared`, the same images of a class in every network, so that coefficients can be
        compared crop by crop and no number moves because other images were looked at; or `correct`,
        as published: only images that this network classifies correctly, which with sparser
        networks become fewer, and easier.
    designs, sampler : masks, see `replicated_design`; published: 32, `halton`.
    top_crops : how many crops a concept's numbers are about.
    top_concepts : how many of a class's most important concepts the means over concepts are about,
        and the pictures.
    sample_crops : how many crops of each class cosines and class purity are about; their features
        are kept, so fewer where there are many classes.
    pooled_concepts : concepts of all classes together, for class purity; 0: as many as there are
        classes, and at least `concepts`.
    picture_classes, picture_crops, picture_images, picture_side : how many classes, crops of a
        concept and images of a class are kept as pictures, and their longest side in pixels.

    Arrays
    ------
    `class_labels` int64 [G], in the order in which the classes come in the rows; `basis` float32
    [G, K, D]; `importances` float32 [G, K]; `coefficients` float32 [n, K], `crop_classes` int64
    [n] (places in `class_labels`) and `crop_keys` int64 [n] of all crops; `sample_features`
    float32 [m, D] and `sample_rows` int64 [m], features of a sample of crops and their rows among
    all crops; and those of `concept_pictures`.
    """

    name: ClassVar[str] = "craft"
    reference: ClassVar[str] = "Fel et al. 2023, arXiv:2211.10154"
    shared_names: ClassVar[bool] = False
    sheet: ClassVar[bool] = True
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "mask_purity": (
            "higher",
            "share, 0 to 1",
            "coefficients inside the object's mask over a concept's top crops",
        ),
        "mask_share": ("", "share, 0 to 1", "area of the mask in all crops: purity by chance"),
        "class_purity": (
            "higher",
            "share, 0 to 1",
            "most frequent class among the top crops of a concept of all classes together",
        ),
        "class_purity_chance": (
            "",
            "share, 0 to 1",
            "the same of as many crops drawn at random: class_purity by chance",
        ),
        "cosine_within": (
            "higher",
            "cosine, 0 to 1",
            "similarity of a concept's top crops in the network's own feature space",
        ),
        "cosine_between": (
            "lower",
            "cosine, 0 to 1",
            "similarity of a concept's top crops to those of the others, in the own space",
        ),
        "cosine_gap": ("higher", "cosine, -1 to 1", "cosine_within minus cosine_between"),
        "reconstruction_error": ("lower", "share, 0 to 1", "|A - UW| / |A|, Frobenius"),
        "importance_entropy": (
            "",
            "share, 0 to 1",
            "entropy of the importances divided by its largest value",
        ),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "stability": (
            "higher",
            "correlation, -1 to 1",
            "correlation of matched concepts' coefficients on the same crops",
        ),
        "stability_chance": (
            "",
            "correlation, -1 to 1",
            "the same with the crops of one side in another order: stability by chance",
        ),
        "reference_cosine_within": (
            "higher",
            "cosine, 0 to 1",
            "similarity of a concept's top crops in the reference's feature space",
        ),
        "reference_cosine_between": (
            "lower",
            "cosine, 0 to 1",
            "similarity of a concept's top crops to those of the others, in the reference's space",
        ),
        "reference_cosine_gap": (
            "higher",
            "cosine, -1 to 1",
            "reference_cosine_within minus reference_cosine_between",
        ),
    }
    chance: ClassVar[dict[str, str]] = {
        "mask_purity": "mask_share",
        "class_purity": "class_purity_chance",
        "stability": "stability_chance",
    }
    parameters: ClassVar[dict[str, Any]] = {
        "backend": "craft_xai",
        "concepts": 10,
        "patch": 0.2857142857142857,
        "split": "train",
        "classes": [],
        "images_of_class": 500,
        "choose": "shared",
        "designs": 32,
        "sampler": "sobol",
        "top_crops": 10,
        "top_concepts": 5,
        "sample_crops": 500,
        "pooled_concepts": 0,
        "picture_classes": 10,
        "picture_crops": 5,
        "picture_images": 3,
        "picture_side": 64,
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_craft(self.settings)

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`.

        Raises
        ------
        InputError
            For a split or a class that there is none of, and for negative features.
        """
        name = self.settings["split"]
        if name not in checkpoint.splits:
            raise InputError(
                f"CRAFT's 'split' is '{name}'; the data set has {', '.join(checkpoint.splits)}"
            )
        with PackedSplit.open(checkpoint.splits[name]) as split:
            reader = CropReader(
                checkpoint.network,
                split,
                self.settings["patch"],
                checkpoint.batch_size,
                checkpoint.device,
            )
            classes, notes = self._classes(checkpoint, reader)
            arrays = {**kept_arrays(classes), **concept_pictures(reader, classes, self.settings)}
        return Findings(
            ranked=[row for found in classes for row in ranked_rows(found)],
            measured=measured_rows(classes, self.settings, checkpoint.seed),
            arrays=arrays,
            notes=notes,
            passes=reader.passes,
        )

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`; each network's classes are those of its rows.

        `stability` is about all crops that both looked at. The cosines are those of
        `cosine_coherence`, of the reference's sample of crops: the own coefficients say which are
        a concept's top crops, the reference's features how alike they are. Whatever has the same
        reference is so measured by one yardstick. Means are over all concepts of a class.
        """
        return compare_craft(own, reference, self.settings["top_crops"])

    def _classes(
        self, checkpoint: StudiedNetwork, reader: CropReader
    ) -> tuple[list[ClassConcepts], list[str]]:
        split, settings = reader.split, self.settings
        unknown = [name for name in settings["classes"] if name not in split.classes]
        if unknown:
            raise InputError(
                f"CRAFT's 'classes' names '{unknown[0]}', which is no class of '{split.dataset}' "
                f"(known: {', '.join(split.classes)})"
            )
        correct = None
        if settings["choose"] == "correct":
            features = checkpoint.features.split(settings["split"])
            correct = features.logits.argmax(dim=1) == features.labels
        labels, ids, wanted = split.labels(), split.image_ids(), settings["images_of_class"]
        chosen = {
            name: images_of_class(labels, ids, label, wanted, correct)
            for label, name in enumerate(split.classes)
            if not settings["classes"] or name in settings["classes"]
        }
        classes = [
            find_class(
                reader, name, split.classes.index(name), positions, settings, checkpoint.seed
            )
            for name, positions in followed(chosen.items(), "classes", len(chosen))
            if len(positions)
        ]
        notes = _notes({name: len(positions) for name, positions in chosen.items()}, wanted)
        return classes, [*notes, *_collapsed(classes)]


def _notes(counts: Mapping[str, int], wanted: int) -> list[str]:
    """Sentences on classes of which there are fewer images than wanted, or none."""
    notes, fewer = [], [count for count in counts.values() if count < wanted]
    if fewer:
        notes.append(
            f"CRAFT looked at fewer than {wanted} images of {len(fewer)} of {len(counts)} classes, "
            f"at {min(fewer)} of one"
        )
    none = [name for name, count in counts.items() if not count]
    if none:
        notes.append(f"CRAFT found no images, and so no concepts, of {', '.join(none)}")
    return notes


def _collapsed(classes: Sequence[ClassConcepts]) -> list[str]:
    """A sentence on classes whose crops the network does not tell apart."""
    equal = [found.name for found in classes if not varies(found.factors.coefficients).any()]
    if not equal:
        return []
    return [
        f"the network maps all crops of {len(equal)} of {len(classes)} classes to one feature: no "
        "crop has more of a concept than another, so purities and cosines are NaN and the "
        "stability is 0"
    ]
