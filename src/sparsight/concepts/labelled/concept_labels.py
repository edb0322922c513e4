"""Which concepts of a bank can be learnt, which images show them, and of which that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sparsight.concepts.names import SAME
from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError


@dataclass(frozen=True)
class ConceptLabels:
    """The concepts that vary, each once.

    Attributes
    ----------
    names : of the K concepts, in the bank's order; those that were merged are joined by " = ".
    splits : bool [N, K] by split, in the order of the packed file; splits without images are left
        out.
    known : bool [N, K] by split, whether an image is an example of a concept at all, with or
        without it; `splits` means nothing where it is not.
    notes : what was dropped, what was merged and what is not known, for the report.
    """

    names: tuple[str, ...]
    splits: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    notes: tuple[str, ...]


def concept_labels(bank: Mapping[str, Path], fewest: int = 1) -> ConceptLabels:
    """Labels of the concepts that the bank's training split can teach.

    Dropped are concepts that do not vary over the training images, or that fewer than `fewest` of
    them show or lack; only images of which a concept is known count. Concepts that are known of the
    same training images, with equal labels, are merged: they could not be told apart. A concept
    that is the complement of another is kept, since both names say something, and their vectors
    point opposite ways. Of merged concepts, the labels of the first are used on all splits.

    Parameters
    ----------
    bank : packed files by split, with "train" among them.
    fewest : training images, at least 1, that must show a concept, and as many that must not.

    Raises
    ------
    InputError
        When the bank has no concepts or no training images, or no concept is left.
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
    notes = (
        *_dropped("do not vary over the training images", constant),
        *_dropped(f"have fewer than {fewest} training images on one side", rare),
        *_merged([name for name in names if SAME in name]),
        *_unknown(names, known["train"][:, first]),
    )
    return ConceptLabels(
        names,
        {split: values[:, first] for split, values in whole.items()},
        {split: values[:, first] for split, values in known.items()},
        notes,
    )


def rarer_side(shown: Tensor, known: Tensor) -> Tensor:
    """Images on the rarer side of each concept, with it or without it, int64 [K].

    Parameters
    ----------
    shown, known : bool [N, K]; an image of which a concept is not known is on neither side.
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


def _unknown(names: Sequence[str], known: Tensor) -> list[str]:
    missing = (~known).sum(dim=0).tolist()
    few = [f"{name} ({count})" for name, count in zip(names, missing, strict=True) if count]
    if not few:
        return []
    return [
        f"{len(few)} concepts are not known of all {len(known)} training images and learnt from "
        f"the others (images left out): {', '.join(few)}"
    ]
