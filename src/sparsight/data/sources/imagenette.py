"""ImageNette: photographs of ten classes of ImageNet, in the archives of its author."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sparsight.data.download import fetch_archive
from sparsight.data.draws import SPLIT_ORDER, split_column, stratified_order
from sparsight.data.location import has_files
from sparsight.data.pictures import PictureSource
from sparsight.data.settings import (
    mirror_list,
    number_of,
    section,
    seed_number,
    share_or_number,
    whole_number,
)
from sparsight.io.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# ImageNet's own file names: image n of a class's training images, or of the validation images.
_NAME = re.compile(
    r"(?:(?P<wnid>n[0-9]{8})_(?P<train>[0-9]{1,6})|ILSVRC2012_val_(?P<val>[0-9]{8}))\.JPEG"
)
IDS_PER_CLASS = 1_000_000
MOST_FILES = 20_000
# Seed of the order in which test images are chosen: another validation split keeps them.
TEST_ORDER = 0


class Imagenette(PictureSource):
    """ImageNette (version 2): 9,469 training and 3,925 validation photographs of ten classes.

    The official validation set is the test split. `train` and `validation` come from the official
    training set. Greyscale photographs become RGB.

    An image's id says which image of ImageNet (ILSVRC 2012) it is, by the number in its file name:
    1,000,000 · class + n for training image n of a class, 10,000,000 + n for validation image n. So
    it depends neither on the split, nor on the archive's size, nor on which files are there.
    (ImageNette mixes the two: its training set has 366 of ImageNet's validation images.)

    Settings
    --------
    variant : `full`, 320 (the default) or 160: which archive, by the photographs' shorter side.
    size : side of the packed images in pixels.
    resize : `aspect`: the shorter side to `size`, then the middle; or `squash`: both sides to
        `size`, as published (CogInterp 2025).
    split : {validation: 0.0, seed: 0}: share (below 1) or number of the training images that is set
        aside for validation, stratified and seeded; 0 makes no validation split.
    train_images : `all` (the default), or how many of the remaining training images to use,
        stratified; a larger number includes the images of a smaller one.
    test_images : `all` (the default), or how many images of the official validation set to use.
    partial : accept a folder that has only a part of the original files.
    mirrors : addresses of folders with the archives, tried in order.
    """

    name: ClassVar[str] = "imagenette"
    reference: ClassVar[str] = (
        "Howard 2019, github.com/fastai/imagenette; ImageNet: Russakovsky et al. 2015, "
        "doi:10.1007/s11263-015-0816-y"
    )
    licence: ClassVar[str] = "ImageNet terms of access: non-commercial research and education"
    folder: ClassVar[str] = "imagenette2-320"
    has_masks: ClassVar[bool] = False
    image_shape: ClassVar[tuple[int, int, int]] = (3, 224, 224)
    complete_splits: ClassVar[tuple[str, ...]] = ()
    class_count: ClassVar[int] = 10
    test_images: ClassVar[int] = 3925
    original_images: ClassVar[tuple[int, int]] = (13_394, 3_925)
    # None where a number or a word is possible: 320 and `all` in effect.
    parameters: ClassVar[dict[str, Any]] = {
        "variant": None,
        "size": 224,
        "resize": "aspect",
        "split": {"validation": 0.0, "seed": 0},
        "train_images": None,
        "test_images": None,
        "partial": False,
        "mirrors": ["https://s3.amazonaws.com/fast-ai-imageclas/"],
    }
    folders: ClassVar[dict[str, str]] = {
        "full": "imagenette2",
        "320": "imagenette2-320",
        "160": "imagenette2-160",
    }
    # SHA-256 of the archives.
    archives: ClassVar[dict[str, str]] = {
        "imagenette2.tgz": "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
        "imagenette2-320.tgz": "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
        "imagenette2-160.tgz": "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    }
    #: numbers of the classes among ImageNet's 1,000, by which classifiers of all of these are cut
    imagenet_classes: ClassVar[tuple[int, ...]] = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
    # In the order of the labels: WordNet id, name, images in `train` and in `val`.
    classes: ClassVar[tuple[tuple[str, str, int, int], ...]] = (
        ("n01440764", "tench", 963, 387),
        ("n02102040", "English springer", 955, 395),
        ("n02979186", "cassette player", 993, 357),
        ("n03000684", "chain saw", 858, 386),
        ("n03028079", "church", 941, 409),
        ("n03394916", "French horn", 956, 394),
        ("n03417042", "garbage truck", 961, 389),
        ("n03425413", "gas pump", 931, 419),
        ("n03445777", "golf ball", 951, 399),
        ("n03888257", "parachute", 960, 390),
    )

    @classmethod
    def folder_of(cls, settings: Mapping[str, Any]) -> str:
        """The archive's own folder: `imagenette2`, `imagenette2-320` or `imagenette2-160`."""
        given = settings.get("variant")
        # YAML reads 320 as a number.
        variant = "320" if given is None else str(given)
        if variant not in cls.folders:
            raise InputError(f"'variant' must be one of {', '.join(cls.folders)}, not {variant!r}")
        return cls.folders[variant]

    @classmethod
    def class_names(cls) -> list[str]:
        """Such as `English springer`."""
        return [name for _, name, _, _ in cls.classes]

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """See `Source.fetch`. A folder with files is checked for completeness and kept as it is.

        Otherwise the archive is fetched.
        """
        if not has_files(folder):
            name = f"{self.folder_of(settings)}.tgz"
            mirrors = mirror_list(settings, self.parameters["mirrors"])
            fetch_archive(name, folder.parent, folder, self.archives[name], mirrors)
        for part in ("train", "val"):
            self._files(settings, folder, part)

    def listing(self, settings: Mapping[str, Any], folder: Path) -> "pd.DataFrame":
        """See `PictureSource.listing`."""
        import pandas as pd

        values = section(settings, "split", self.parameters["split"])
        seed = seed_number(values["seed"], "split: seed")
        validation = share_or_number(values["validation"], "split: validation")
        train, val = (self._files(settings, folder, part) for part in ("train", "val"))
        aside = number_of(validation, len(train))
        if (validation and not aside) or aside >= len(train):
            raise InputError(
                f"'split: validation: {validation}' sets aside {aside} of {len(train)} training "
                "images; choose a share or number that leaves images on both sides, or 0"
            )
        wanted = _wanted(settings, "train_images", len(train) - aside, "training images")
        tested = _wanted(settings, "test_images", len(val), "test images")
        labels = np.array([label for *_, label in (*train, *val)], np.int64)
        order = stratified_order(labels[: len(train)], seed, SPLIT_ORDER)
        test_order = stratified_order(labels[len(train) :], TEST_ORDER, SPLIT_ORDER)
        places = {
            "train": order[aside : aside + wanted],
            "validation": order[:aside],
            "test": len(train) + test_order[:tested],
        }
        listing = pd.DataFrame([*train, *val], columns=["path", "name", "image_id", "label"])
        classes = pd.Categorical.from_codes(labels, pd.Index(self.class_names()))
        return listing.assign(split=split_column(places, len(labels)), **{"class": classes})

    def _files(
        self, settings: Mapping[str, Any], folder: Path, part: str
    ) -> list[tuple[Path, str, int, int]]:
        """Path, name, id and label of each file of `train` or `val`; complete, unless a part."""
        classes = [wnid for wnid, *_ in self.classes]
        if not any((folder / part / wnid).is_dir() for wnid in classes):
            holds = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
            raise InputError(
                f"{folder} has no folder {part}/{classes[0]} nor one of another class (it holds "
                f"{holds}); move the folders train and val of the archive there"
            )
        files: list[tuple[Path, str, int, int]] = []
        for label, (wnid, _, *counts) in enumerate(self.classes):
            place = folder / part / wnid
            paths = sorted(place.glob("[!.]*"))
            for path in paths:
                files.append((path, f"{part}/{wnid}/{path.name}", _image_id(path, label), label))
            expected = counts[part == "val"]
            if len(paths) != expected and not self.accepts_part(settings):
                raise InputError(
                    f"{place} has {len(paths)} of {expected} images; add the missing ones, "
                    "or accept a part with 'partial: true'"
                )
        if not files:
            raise InputError(
                f"{folder / part} has no images in folders such as {classes[0]}; add those "
                "of the archive"
            )
        return files


def _image_id(path: Path, label: int) -> int:
    """See `Imagenette`; the name must be that of an image of the folder's class."""
    match, wnid = _NAME.fullmatch(path.name), path.parent.name
    if match is None or match["wnid"] not in (None, wnid):
        raise InputError(f"{path} is no file of ImageNette's class {wnid}; move it away")
    if match["val"]:
        return 10 * IDS_PER_CLASS + int(match["val"])
    return label * IDS_PER_CLASS + int(match["train"])


def _wanted(settings: Mapping[str, Any], key: str, available: int, what: str) -> int:
    wanted = settings.get(key)
    if wanted is None or wanted == "all":
        return available
    count = whole_number(wanted, key, 1, MOST_FILES)
    if count > available:
        raise InputError(f"'{key}' asks for {count} of {available} {what}; ask for fewer, or 'all'")
    return count
