"""CRAFT: concepts as non-negative factors of the activations of crops, class by class."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.base import WHOLE, ConceptMethod, Findings, Measured, Ranked, StudiedNetwork
from sparsight.concepts.craft_crops import (
    CropReader,
    class_purity,
    class_purity_chance,
    cosine_coherence,
    crop_keys,
    images_of_class,
    importance_entropy,
    mask_purity,
    matched_by_chance,
    matched_concepts,
    of_most_important,
    reconstruction_error,
    sample_of,
    top_crops,
)
from sparsight.concepts.craft_factors import (
    Factors,
    coefficients_of,
    concept_importances,
    factorise,
    pools_first,
    replicated_design,
)
from sparsight.concepts.linear import varies
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError
from sparsight.io.job import log_progress


@dataclass(frozen=True)
class ClassConcepts:
    """What CRAFT finds in one class; K concepts, n crops of N images."""

    name: str  # of the class
    label: int  # of the class
    positions: Tensor  # int64 [N], of its images in the split
    factors: Factors  # coefficients [n, K] of its crops, and basis [K, D]
    error: float  # relative error of the reconstruction
    keys: Tensor  # int64 [n], see `crop_keys`
    importances: Tensor  # float32 [K], mean over images of the total-order indices
    order: Tensor  # int64 [K], the concepts from the most important on
    purity: Tensor  # float32 [K], see `mask_purity`; NaN without masks
    mask_share: float  # what the purity of a concept would be that lies anywhere
    within: Tensor  # float32 [K], see `cosine_coherence`: of the sample, in the own space
    between: Tensor  # float32 [K], see `cosine_coherence`: of the sample, in the own space
    sample_rows: Tensor  # int64 [m], a sample of the crops, see `sample_of`
    sample_features: Tensor  # float32 [m, D] of the sample: a yardstick for other networks
    heat_maps: Tensor  # float32 [M, h, w, K], coefficients at each place of the first images


def find_class(
    reader: CropReader,
    name: str,
    label: int,
    positions: Tensor,
    settings: Mapping[str, Any],
    seed: int,
) -> ClassConcepts:
    """Find the concepts of one class.

    Parameters
    ----------
    reader : of the split that the images are in.
    positions : int64 [N], of the images, at least one.
    settings : of `Craft`.
    """
    activations = reader.activations(positions)
    factors = factorise(activations, settings["concepts"], settings["backend"], seed)
    importances, heat_maps = _whole_images(reader, positions, factors.basis, label, settings, seed)
    keys = crop_keys(reader.split.image_ids()[positions], reader.grid)
    rows = sample_of(keys, settings["sample_crops"])
    members = top_crops(factors.coefficients[rows], settings["top_crops"])
    within, between = cosine_coherence(activations[rows], members)
    return ClassConcepts(
        name=name,
        label=label,
        positions=positions,
        factors=factors,
        error=reconstruction_error(activations, factors.coefficients, factors.basis),
        keys=keys,
        importances=importances,
        order=importances.argsort(descending=True, stable=True),
        purity=_purities(reader, positions, factors, settings["top_crops"]),
        mask_share=reader.mask_share(positions),
        within=within,
        between=between,
        sample_rows=rows,
        sample_features=activations[rows],
        heat_maps=heat_maps,
    )


def _whole_images(
    reader: CropReader,
    positions: Tensor,
    basis: Tensor,
    label: int,
    settings: Mapping[str, Any],
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Importances [K], and the coefficients [M, h, w, K] of the images to be shown."""
    masks = replicated_design(len(basis), settings["designs"], settings["sampler"], seed)
    basis, masks = basis.to(reader.device), masks.to(reader.device)
    total, shown, pools = torch.zeros(len(basis), dtype=torch.float64), [], None
    left = settings["picture_images"]
    for maps in reader.maps(positions):
        pools = pools_first(reader.network, maps) if pools is None else pools
        found = place_coefficients(maps, basis)
        total += concept_importances(
            reader.network,
            found,
            basis,
            label,
            masks,
            settings["designs"],
            pools,
            reader.batch_size,
        ).sum(dim=0)
        shown.append(found[:left].cpu())
        left -= len(shown[-1])
    return (total / len(positions)).float(), torch.cat(shown)


def place_coefficients(maps: Tensor, basis: Tensor) -> Tensor:
    """Coefficients float32 [n, h, w, K] at each place of maps [n, D, h, w], of a basis [K, D]."""
    places = maps.permute(0, 2, 3, 1)
    return coefficients_of(places.flatten(0, 2), basis).view(*places.shape[:3], len(basis))


def _purities(reader: CropReader, positions: Tensor, factors: Factors, wanted: int) -> Tensor:
    """Mask purity of each concept; the top crops go through the network again for their maps."""
    members = top_crops(factors.coefficients, wanted)
    sizes = [len(rows) for rows in members]
    if not reader.split.has_masks or not sum(sizes):
        return torch.full((len(members),), torch.nan)
    rows = torch.cat(members)
    owners = torch.repeat_interleave(torch.arange(len(members)), torch.tensor(sizes))
    basis = factors.basis.to(reader.device)
    heat: list[Tensor] = []
    for maps in reader.crop_maps(positions, rows):
        found = place_coefficients(maps, basis).cpu()
        own = owners[len(heat) : len(heat) + len(found)]
        heat.extend(found[torch.arange(len(found)), :, :, own])
    masks = reader.masks(positions, rows)
    pairs = zip(torch.stack(heat).split(sizes), masks.split(sizes), strict=True)
    return torch.tensor([mask_purity(own_heat, own_masks) for own_heat, own_masks in pairs])


def concept_name(index: int) -> str:
    """Name of a row of a class's basis: `concept_00`, ..."""
    return f"concept_{index:02d}"


def ranked_rows(found: ClassConcepts) -> list[Ranked]:
    """The concepts of a class by importance; `value` is the mean coefficient over its crops."""
    means = found.factors.coefficients.mean(dim=0)
    return [
        Ranked(
            found.name,
            concept_name(concept),
            place + 1,
            float(found.importances[concept]),
            float(means[concept]),
        )
        for place, concept in enumerate(found.order.tolist())
    ]


def measured_rows(
    classes: Sequence[ClassConcepts], settings: Mapping[str, Any], seed: int
) -> list[Measured]:
    """Numbers of each concept and class, and means over all classes.

    What is about concepts is averaged over the `top_concepts` most important ones of each class;
    see `of_most_important` for those that are tied.
    """
    return [
        *_of_concepts(classes, settings["top_concepts"]),
        *_of_classes(classes),
        *_of_pooled(classes, settings, seed),
    ]


def kept_arrays(classes: Sequence[ClassConcepts]) -> dict[str, Tensor]:
    """The arrays that `Craft` describes, without the pictures."""
    if not classes:
        return {}
    sizes = torch.tensor([len(found.keys) for found in classes])
    starts = (sizes.cumsum(0) - sizes).tolist()
    rows = [found.sample_rows + start for start, found in zip(starts, classes, strict=True)]
    return {
        "class_labels": torch.tensor([found.label for found in classes]),
        "basis": torch.stack([found.factors.basis for found in classes]),
        "importances": torch.stack([found.importances for found in classes]),
        "coefficients": torch.cat([found.factors.coefficients for found in classes]),
        "crop_classes": torch.repeat_interleave(torch.arange(len(classes)), sizes),
        "crop_keys": torch.cat([found.keys for found in classes]),
        "sample_features": torch.cat([found.sample_features for found in classes]),
        "sample_rows": torch.cat(rows),
    }


def _of_concepts(classes: Sequence[ClassConcepts], top_concepts: int) -> Iterator[Measured]:
    for measure in ("mask_purity", "cosine_within", "cosine_between", "cosine_gap"):
        most_important = [torch.empty(0)]
        for found in classes:
            values = {
                "mask_purity": found.purity,
                "cosine_within": found.within,
                "cosine_between": found.between,
                "cosine_gap": found.within - found.between,
            }[measure]
            for concept, value in enumerate(values.tolist()):
                yield Measured(measure, value, found.name, concept_name(concept))
            most_important.append(of_most_important(values, found.importances, top_concepts))
        yield Measured(measure, _mean(torch.cat(most_important)))


def _of_classes(classes: Sequence[ClassConcepts]) -> Iterator[Measured]:
    numbers = {
        "mask_share": [found.mask_share for found in classes],
        "reconstruction_error": [found.error for found in classes],
        "importance_entropy": [importance_entropy(found.importances) for found in classes],
    }
    for measure, values in numbers.items():
        for found, value in zip(classes, values, strict=True):
            yield Measured(measure, value, found.name)
        yield Measured(measure, _mean(torch.tensor(values)))


def _of_pooled(
    classes: Sequence[ClassConcepts], settings: Mapping[str, Any], seed: int
) -> Iterator[Measured]:
    """Class purity, and what it is by chance: of concepts of all classes together, from the
    samples of crops."""
    found: dict[str, list[float]] = {"class_purity": [], "class_purity_chance": []}
    if classes:
        concepts = settings["pooled_concepts"] or max(settings["concepts"], len(classes))
        features = torch.cat([found.sample_features for found in classes])
        sizes = torch.tensor([len(found.sample_features) for found in classes])
        owners = torch.repeat_interleave(torch.arange(len(classes)), sizes)
        factors = factorise(features, concepts, settings["backend"], seed)
        members = top_crops(factors.coefficients, settings["top_crops"])
        found["class_purity"] = [class_purity(owners[rows]) for rows in members]
        # most concepts have equally many top crops
        drawn = {len(rows) for rows in members}
        chance = {count: class_purity_chance(sizes.tolist(), count) for count in drawn}
        found["class_purity_chance"] = [chance[len(rows)] for rows in members]
    for measure, values in found.items():
        for concept, value in enumerate(values):
            yield Measured(measure, value, WHOLE, f"pooled_{concept:02d}")
        yield Measured(measure, _mean(torch.tensor(values)))


def _mean(values: Tensor) -> float:
    """Without what is not defined; NaN where nothing is."""
    return float(values.nanmean())


STABILITY = ("stability", "stability_chance")
COSINES = ("reference_cosine_within", "reference_cosine_between", "reference_cosine_gap")


@dataclass(frozen=True)
class _Class:
    """What the findings of one network hold about one class."""

    coefficients: Tensor
    keys: Tensor
    sample_features: Tensor
    sample_keys: Tensor


def compare_craft(own: Findings, reference: Findings, wanted: int) -> list[Measured]:
    """See `Craft.compare`; `wanted` is the number of top crops."""
    first, second = _classes(own), _classes(reference)
    rows: list[Measured] = []
    means: dict[str, list[float]] = {measure: [] for measure in (*STABILITY, *COSINES)}
    for name in first:
        if name not in second:
            continue
        for measure, values in _comparisons(first[name], second[name], wanted):
            for concept, value in enumerate(values.tolist()):
                rows.append(Measured(measure, value, name, concept_name(concept)))
            means[measure].append(float(values.nanmean()))
            rows.append(Measured(measure, means[measure][-1], name))
    for measure, found in means.items():
        rows.append(Measured(measure, float(torch.tensor(found).nanmean())))
    return rows


def _classes(findings: Findings) -> dict[str, _Class]:
    """By name; the rows name the classes in the order of the arrays."""
    names = list(dict.fromkeys(row.class_name for row in findings.ranked))
    arrays = findings.arrays
    found = {}
    for place, name in enumerate(names):
        own = arrays["crop_classes"] == place
        sample = arrays["crop_classes"][arrays["sample_rows"]] == place
        found[name] = _Class(
            arrays["coefficients"][own],
            arrays["crop_keys"][own],
            arrays["sample_features"][sample],
            arrays["crop_keys"][arrays["sample_rows"][sample]],
        )
    return found


def _same(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Where the keys that both have are in either."""
    _, left, right = np.intersect1d(first.numpy(), second.numpy(), return_indices=True)
    return torch.from_numpy(left), torch.from_numpy(right)


def _comparisons(own: _Class, reference: _Class, wanted: int) -> Iterator[tuple[str, Tensor]]:
    left, right = _same(own.keys, reference.keys)
    if len(left) > 1:
        pair = own.coefficients[left], reference.coefficients[right]
        found = matched_concepts(*pair)[1], matched_by_chance(*pair)
    else:
        found = (torch.full((own.coefficients.shape[1],), torch.nan),) * 2
    yield from zip(STABILITY, found, strict=True)
    left, right = _same(own.keys, reference.sample_keys)
    members = top_crops(own.coefficients[left], wanted)
    within, between = cosine_coherence(reference.sample_features[right], members)
    yield from zip(COSINES, (within, between, within - between), strict=True)


def small(images: Tensor, side: int) -> Tensor:
    """uint8 [n, C, h, w] of images float32 [n, C, H, W] in [0, 1], at most `side` pixels a side."""
    longest = max(images.shape[2:])
    if longest > side:
        size = [max(1, round(length * side / longest)) for length in images.shape[2:]]
        images = functional.interpolate(
            images, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def concept_pictures(
    reader: CropReader, classes: Sequence[ClassConcepts], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Pictures of the first concepts of the first classes.

    Returns `top_crops` uint8 [classes, concepts, crops, C, p, p]; `picture_concepts` int64
    [classes, concepts], which concepts of the basis they are; `pictures` uint8 [classes, images, C,
    s, s]; `heat_maps` float32 [classes, concepts, images, h, w]. 0 where a class has fewer of them.

    Parameters
    ----------
    reader : of the split that the images are in.
    classes : at least one.
    settings : of `Craft`: how many classes, concepts, crops and images, and of which size.
    """
    shown = classes[: settings["picture_classes"]]
    if not shown:
        return {}
    parts = [_pictures_of(reader, found, settings) for found in shown]
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def _pictures_of(
    reader: CropReader, found: ClassConcepts, settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    concepts, side = found.order[: settings["top_concepts"]], settings["picture_side"]
    coefficients = found.factors.coefficients[:, concepts]
    crops = [
        _fill(small(reader.crops(found.positions, rows), side), settings["picture_crops"])
        for rows in top_crops(coefficients, settings["picture_crops"])
    ]
    wanted = settings["picture_images"]
    images = reader.split.select(found.positions[:wanted]).images("clean")
    heat = _fill(found.heat_maps[..., concepts], wanted)
    return {
        "top_crops": torch.stack(crops),
        "picture_concepts": concepts,
        "pictures": _fill(small(images, side), wanted),
        "heat_maps": heat.permute(3, 0, 1, 2).contiguous(),
    }


def _fill(values: Tensor, wanted: int) -> Tensor:
    """`values` with rows of zeros up to the wanted number."""
    return torch.cat([values, values.new_zeros((wanted - len(values), *values.shape[1:]))])


class Craft(ConceptMethod):
    """Concepts of each class from crops of its images, with their importance and coherence.

    The crops' activations at the feature cut, averaged over places, are factorised: A ~ U W with
    U, W >= 0. A row of W is a concept, `concept_00` and so on; U says how much of it is in each
    crop. A concept's importance for the class is the total-order Sobol index of its logit (see
    `sparsight.concepts.craft_factors`), averaged over the images.

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
        "mask_purity": ("higher", "share, 0 to 1", "top crops' coefficients inside the object"),
        "mask_share": ("", "share, 0 to 1", "area of the mask in all crops: purity by chance"),
        "class_purity": (
            "higher",
            "share, 0 to 1",
            "most frequent class among the top crops of a concept of all classes together",
        ),
        "class_purity_chance": ("", "share, 0 to 1", "the same of as many crops drawn at random"),
        "cosine_within": ("higher", "cosine, 0 to 1", "similarity of a concept's top crops"),
        "cosine_between": ("lower", "cosine, 0 to 1", "similarity to the others' top crops"),
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
    allowed: ClassVar[dict[str, Any]] = {
        "backend": ("craft_xai", "overcomplete"),
        "concepts": "[1, inf)",
        "patch": "(0, 1]",
        "images_of_class": "[1, inf)",
        "choose": ("shared", "correct"),
        "designs": "[2, inf)",
        "sampler": ("sobol", "halton"),
        "top_crops": "[2, inf)",
        "top_concepts": "[1, inf)",
        "sample_crops": "[2, inf)",
        "pooled_concepts": "[0, inf)",
        "picture_classes": "[1, inf)",
        "picture_crops": "[1, inf)",
        "picture_images": "[1, inf)",
        "picture_side": "[1, inf)",
    }

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        replicated_design(1, self.settings["designs"], self.settings["sampler"], 0)

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`.

        Raises InputError for a split or a class that there is none of, and for negative features.
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
            for name, positions in log_progress(chosen.items(), "classes", len(chosen))
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
    """A note on classes whose crops the network does not tell apart."""
    equal = [found.name for found in classes if not varies(found.factors.coefficients).any()]
    if not equal:
        return []
    return [
        f"the network maps all crops of {len(equal)} of {len(classes)} classes to one feature: no "
        "crop has more of a concept than another, so purities and cosines are NaN and the "
        "stability is 0"
    ]
