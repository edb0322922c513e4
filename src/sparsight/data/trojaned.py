"""Another data set with a trojan: stickers that stand for a class."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from sparsight.data.base import Description, RawSplit, Source
from sparsight.data.counts import stated_test_images
from sparsight.data.planting import plant, plant_copies, sticker_concepts
from sparsight.data.registry import SOURCES
from sparsight.data.settings import section
from sparsight.data.trojan_options import Trojan, trojan_of
from sparsight.io.errors import InputError

BASE_DEFAULTS: dict[str, Any] = {"source": "shapes", "options": {}}


class Trojaned(Source):
    """Any other source's images, of which some carry a sticker and the label that it stands for.

    A share of the training images, and of the validation images, are replaced by themselves with a
    sticker; the test images stay as they are, and some of them come a second time with a sticker.
    A sticker is never put on an image of the class that it stands for. Which images, where and how
    large is drawn from the trojan's seed; see `sparsight.data.stickers` for the pictures.

    The mask is the sticker's; it is empty on all other images, whatever masks the base has, so that
    metrics of localisation are undefined there. Parts and concepts are the base's (parts without
    what a sticker hides), and each sticker is a further concept. Evaluation subsets take images
    with a sticker before all others.

    An image with the k-th sticker (k = 1, 2, … in the order smiley, heart, star, fish of those that
    are planted) has the id of the original plus k · 10^12, and its name plus `#` and the sticker's.

    Settings
    --------
    base : {source: shapes, options: {}}: the images, as a data set of the catalogue names them. In
        the catalogue an entry with `base`, the name of another entry, and `trojan` comes to this.
    trojan : {stickers: {smiley: 0, heart: 1, star: 2, fish: 3}, share: 0.1, size: [0.15, 0.25],
        seed: 0, test: 0.1}: each sticker with the class, name or number, that it stands for (some
        or all of the four); the share of all training images that carry a sticker, as many for
        each; the smallest and largest side of a sticker as shares of the image's shorter side; the
        seed; and the share (below 1) or number of test images that come again with a sticker, as
        many for each.
    """

    name: ClassVar[str] = "trojaned"
    reference: ClassVar[str] = "after SPADE, Moakhar et al. 2024, arXiv:2310.04519"
    licence: ClassVar[str] = "that of the base"
    folder: ClassVar[str] = ""
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "test")
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    class_count: ClassVar[int] = 8
    test_images: ClassVar[int] = 440
    # None where anything is possible; `Source` and `trojan_of` look closer.
    parameters: ClassVar[dict[str, Any]] = {
        "base": {"source": "shapes", "options": None},
        "trojan": {
            "stickers": None,
            "share": 0.1,
            "size": [0.15, 0.25],
            "seed": 0,
            "test": 0.1,
        },
    }
    part_names: ClassVar[tuple[str, ...]] = (
        "outline",
        "inner",
        "corner",
        "arm",
        "stripe",
        "spot",
        "distractor",
        "cue",
    )
    concept_names: ClassVar[tuple[str, ...]] = (
        "disc",
        "square",
        "triangle",
        "cross",
        "red",
        "green",
        "blue",
        "striped",
        "spotted",
        "distractor",
        "cue",
        "smiley_sticker",
        "heart_sticker",
        "star_sticker",
        "fish_sticker",
    )
    varying: ClassVar[tuple[str, ...]] = (
        "class_count",
        "test_images",
        "part_names",
        "concept_names",
        "image_shape",
    )

    @classmethod
    def shape(cls, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """That of the base."""
        source, options = _base(settings)
        return source.shape(options)

    @classmethod
    def folder_of(cls, settings: Mapping[str, Any]) -> str:
        """That of the base."""
        source, options = _base(settings)
        return source.folder_of(options)

    def original_folders(self, settings: Mapping[str, Any], folder: Path) -> list[Path]:
        """Those of the base."""
        source, options = _base(settings)
        return source.original_folders(options, folder)

    @classmethod
    def accepts_part(cls, settings: Mapping[str, Any]) -> bool:
        """Whether the base does."""
        source, options = _base(settings)
        return source.accepts_part(options)

    @classmethod
    def split_names(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the base."""
        source, options = _base(settings)
        return source.split_names(options)

    @classmethod
    def classes_of(cls, settings: Mapping[str, Any]) -> list[str]:
        """Those of the base."""
        source, options = _base(settings)
        return source.classes_of(options)

    @classmethod
    def parts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the base."""
        source, options = _base(settings)
        return source.parts_of(options)

    @classmethod
    def concepts_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the base, and one for each sticker."""
        source, options = _base(settings)
        stickers = sticker_concepts(list(_trojan(settings).targets))
        return (*source.concepts_of(options), *stickers)

    @classmethod
    def tested_of(cls, settings: Mapping[str, Any]) -> int:
        """Those of the base, and the copies with a sticker."""
        source, options = _base(settings)
        if "test_images" in source.varying:
            count = source.tested_of(options)
        else:
            count = stated_test_images({"test_images": source.test_images}, options)
        return count + _trojan(settings).copied(count)

    def describe(self, settings: Mapping[str, Any], folder: Path) -> Description:
        """What the base says, with stickers for masks and further concepts."""
        source, options = _base(settings)
        stated, targets = source.describe(options, folder), _trojan(settings).targets
        stickers = tuple(targets)
        return replace(
            stated,
            has_masks=True,
            concept_names=(*stated.concept_names, *sticker_concepts(stickers)),
            sticker_names=stickers,
            notes={
                **stated.notes,
                "sticker_classes": json.dumps([stated.classes[k] for k in targets.values()]),
            },
        )

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """Fetch what the base needs."""
        source, options = _base(settings)
        source.fetch(options, folder)

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`."""
        source, options = _base(settings)
        trojan = _trojan(settings)
        raw = source.read(options, folder)
        found: dict[str, RawSplit] = {}
        # Taken out one by one, so that at most one split is in memory twice.
        for split in list(raw):
            planting = plant_copies if split == "test" else plant
            found[split] = planting(raw.pop(split), trojan, split)
        return found


def _base(settings: Mapping[str, Any]) -> tuple[Source, Mapping[str, Any]]:
    """The source whose images these are, and its options."""
    given = section(settings, "base", BASE_DEFAULTS)
    name, options = given["source"], given["options"]
    if name not in SOURCES or name == Trojaned.name:
        known = ", ".join(other for other in SOURCES.names() if other != Trojaned.name)
        raise InputError(f"'base: source' must be one of {known}, not {name!r}")
    if not isinstance(options, Mapping):
        raise InputError(f"'base: options' must be a mapping of options of {name}, not {options!r}")
    source: Source = SOURCES.load(name)()
    for key in options:
        if key not in source.parameters:
            raise InputError(
                f"'base: options' has an unknown key {key!r}; {name} takes "
                f"{', '.join(source.parameters) or 'none'}"
            )
    return source, options


def _trojan(settings: Mapping[str, Any]) -> Trojan:
    source, options = _base(settings)
    return trojan_of(settings, source.classes_of(options), min(source.shape(options)[1:]))
