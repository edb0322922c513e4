"""What CRAFT found in the classes of a network, as rows and arrays."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sparsight.concepts.base import WHOLE, Measured, Ranked
from sparsight.concepts.craft.class_concepts import ClassConcepts
from sparsight.concepts.craft.coherence import (
    class_purity,
    class_purity_chance,
    importance_entropy,
    of_most_important,
    top_crops,
)
from sparsight.concepts.craft.factorisation import factorise


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
