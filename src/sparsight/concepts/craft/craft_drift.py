"""How CRAFT's concepts of one network differ from those of another: on the same crops."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsight.concepts.base import Findings, Measured
from sparsight.concepts.craft.coherence import (
    cosine_coherence,
    matched_by_chance,
    matched_concepts,
    top_crops,
)
from sparsight.concepts.craft.craft_rows import concept_name

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
        for measure, values in _compared(first[name], second[name], wanted):
            for concept, value in enumerate(values.tolist()):
                rows.append(Measured(measure, value, name, concept_name(concept)))
            means[measure].append(float(values.nanmean()))
            rows.append(Measured(measure, means[measure][-1], name))
    for measure, found in means.items():
        rows.append(Measured(measure, float(torch.tensor(found).nanmean())))
    return rows


def matched_on_crops(own: Findings, reference: Findings) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each class that both have, the reference's partners of its concepts and their correlation.

    See `matched_concepts`; a figure shows pairs by it.
    """
    first, second = _classes(own), _classes(reference)
    found = {}
    for name in first:
        if name in second:
            left, right = _same(first[name].keys, second[name].keys)
            found[name] = matched_concepts(
                first[name].coefficients[left], second[name].coefficients[right]
            )
    return found


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


def _compared(own: _Class, reference: _Class, wanted: int) -> Iterator[tuple[str, Tensor]]:
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
