"""Which concepts of a bank can be learnt, and which images show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError

#: joins the names of concepts that no image of the training split tells apart
SAME = " = "


@dataclass(frozen=True)
class ConceptLabels:
    """The concepts that vary, each once.

    Attributes
    ----------
    names : of the K concepts, in the bank's order; those that were merged are joined by " = ".
    splits : bool [N, K] by split, in the order of the packed file; splits without images are left
        out.
    notes : what was dropped and what was merged, for the report.
    """

    names: tuple[str, ...]
    splits: Mapping[str, Tensor]
    notes: tuple[str, ...]


def concept_labels(bank: Mapping[str, Path], fewest: int = 1) -> ConceptLabels:
    """Labels of the concepts that the bank's training split can teach.

    Dropped are concepts that do not vary over the training images, or that fewer than `fewest` of
    them show or lack. Concepts with equal labels on all training images are merged: they could not
    be told apart. A concept that is the complement of another is kept, since both names say
    something, and their vectors point opposite ways. Of merged concepts, the labels of the first
    are used on all splits.

    Parameters
    ----------
    bank : packed files by split, with "train" among them.
    fewest : training images, at least 1, that must show a concept, and as many that must not.

    Raises
    ------
    InputError
        When the bank has no concepts or no training images, or no concept is left.
    """
    whole, known = _read(bank)
    if "train" not in whole:
        raise InputError(
            "the concept bank has no training images; give one with a training split as "
            "'concept_bank'"
        )
    train = whole["train"]
    positives = train.sum(dim=0)
    rarer = torch.minimum(positives, len(train) - positives)
    constant = [name for name, count in zip(known, rarer.tolist(), strict=True) if count == 0]
    rare = [name for name, count in zip(known, rarer.tolist(), strict=True) if 0 < count < fewest]
    groups = _equal_columns(train, [k for k, n in enumerate(rarer.tolist()) if n >= max(fewest, 1)])
    if not groups:
        raise InputError(
            f"none of the {len(known)} concepts of the bank varies enough: at least {fewest} "
            "training images must show a concept and as many must not; take more images or a "
            "smaller 'fewest'"
        )
    names = tuple(SAME.join(known[k] for k in group) for group in groups)
    first = torch.tensor([group[0] for group in groups])
    notes = (
        *_dropped("do not vary over the training images", constant),
        *_dropped(f"have fewer than {fewest} training images on one side", rare),
        *_merged([name for name in names if SAME in name]),
    )
    return ConceptLabels(names, {split: values[:, first] for split, values in whole.items()}, notes)


def _read(bank: Mapping[str, Path]) -> tuple[dict[str, Tensor], list[str]]:
    """All labels by split, and the names of all concepts."""
    found: dict[str, Tensor] = {}
    names: list[str] = []
    for split, path in bank.items():
        with PackedSplit.open(path) as packed:
            if len(packed):
                found[split] = packed.concepts(packed.subset("all"))
                names = packed.concept_names
    return found, names


def _equal_columns(labels: Tensor, wanted: Sequence[int]) -> list[list[int]]:
    """Columns of `labels` among `wanted`, those that are equal in one group, in their order."""
    groups: dict[bytes, list[int]] = {}
    for column in wanted:
        groups.setdefault(labels[:, column].numpy().tobytes(), []).append(column)
    return list(groups.values())


def _dropped(why: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"{len(names)} concepts that {why} were dropped: {', '.join(names)}"]


def _merged(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f"concepts that the training images do not tell apart were merged into {len(names)}: "
        + ", ".join(names)
    ]
