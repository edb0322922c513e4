"""The real handwritten digits that come with scikit-learn, brought to the format of MNIST."""

import gzip
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsight.data.base import RawSplit, Source
from sparsight.data.draws import stratified_splits
from sparsight.data.settings import section, seed_number, whole_number
from sparsight.io.errors import InputError

IMAGE_COUNT = 1797
ORIGINAL_SIDE = 8
ORIGINAL_MAXIMUM = 16
SCALED_SIDE = 20
MARGIN = 4


class Digits(Source):
    """1,797 handwritten digits of 8×8 pixels and 17 grey values, embedded in scikit-learn.

    They are the test part of UCI's "Optical Recognition of Handwritten Digits". As in MNIST, the
    digit fills 20×20 of 28×28 pixels and the background is exactly zero. An image's id is its
    index in scikit-learn's order; its mask is the image itself.

    The original has no official split: `test` images are drawn first, then `validation` images,
    both stratified; the rest is `train`.

    Settings
    --------
    split : {test: 500, validation: 0, seed: 0}: numbers of images; `validation: 0` makes no
        validation split.
    """

    name: ClassVar[str] = "digits"
    reference: ClassVar[str] = "Alpaydin and Kaynak 1998, doi:10.24432/C50P49"
    licence: ClassVar[str] = "CC BY 4.0 (UCI), distributed with scikit-learn (BSD 3-Clause)"
    folder: ClassVar[str] = ""
    has_masks: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_count: ClassVar[int] = 10
    test_images: ClassVar[int] = 500
    original_images: ClassVar[tuple[int, int]] = (1_797, 0)
    parameters: ClassVar[dict[str, Any]] = {"split": {"test": 500, "validation": 0, "seed": 0}}

    def fetch(self, settings: Mapping[str, Any], folder: Path) -> None:
        """Nothing to do: the images come with scikit-learn."""

    def read(self, settings: Mapping[str, Any], folder: Path) -> dict[str, RawSplit]:
        """See `Source.read`; `folder` is not used."""
        most, values = IMAGE_COUNT - 1, section(settings, "split", self.parameters["split"])
        test = whole_number(values["test"], "split: test", 1, most)
        validation = whole_number(values["validation"], "split: validation", 0, most)
        seed = seed_number(values["seed"], "split: seed")
        originals, labels = read_original()
        images = bring_to_28(originals)[:, np.newaxis]
        whole = RawSplit(
            images=images,
            labels=labels,
            names=[f"digits:{index}" for index in range(len(labels))],
            image_ids=np.arange(len(labels), dtype=np.int64),
            masks=images[:, 0],
        )
        parts = stratified_splits(labels, seed, test, validation)
        return {name: whole.select(parts[name]) for name in self.split_names(settings)}


def read_original() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The original images, uint8 [1797, 8, 8] with values 0..16, and labels, int64 [1797]."""
    table = _read_table()
    side, count = ORIGINAL_SIDE, IMAGE_COUNT
    if (
        table.shape != (count, side * side + 1)
        or table.min() < 0
        or table[:, :-1].max() > ORIGINAL_MAXIMUM
        or table[:, -1].max() > 9
    ):
        raise InputError(
            f"scikit-learn's digits are not the {count} images of {side}×{side} pixels with values "
            f"0..{ORIGINAL_MAXIMUM} that they should be; install scikit-learn again"
        )
    images = table[:, :-1].astype(np.uint8).reshape(count, side, side)
    return images, table[:, -1].astype(np.int64)


def _read_table() -> NDArray[np.int64]:
    # Importing sklearn.datasets takes seconds; the file that it would read takes milliseconds.
    # `find_spec` of the top package finds it without importing it.
    spec = importlib.util.find_spec("sklearn")
    locations = spec.submodule_search_locations if spec else None
    for location in locations or []:
        path = Path(location) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            try:
                with gzip.open(path, "rt", encoding="ascii") as file:
                    return np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)
            except (OSError, EOFError, ValueError) as error:
                raise InputError(f"{path} is corrupt; install scikit-learn again") from error
    # Another scikit-learn may keep the file elsewhere: then the slow, public way.
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    return np.column_stack([data, target]).astype(np.int64)


def bring_to_28(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale 8×8 images of 0..16 to 20×20 bilinearly, to 0..255, and pad with zeros to 28×28.

    The result is that of `torch.nn.functional.interpolate(mode="bilinear")`, but in integers: the
    weights are tenths, (4i - 3) / 10 being the place of pixel i in the original. So the images are
    the same bits with every library version and on every processor; a value that lies halfway
    between two is rounded up.
    """
    tenths = np.zeros((SCALED_SIDE, ORIGINAL_SIDE), dtype=np.int64)
    for row in range(SCALED_SIDE):
        place = min(max(4 * row - 3, 0), 10 * (ORIGINAL_SIDE - 1))
        first, rest = divmod(place, 10)
        tenths[row, first] += 10 - rest
        if rest:
            tenths[row, first + 1] += rest
    hundredths = tenths @ images.astype(np.int64) @ tenths.T
    scale = 100 * ORIGINAL_MAXIMUM
    scaled = (2 * 255 * hundredths + scale) // (2 * scale)
    return np.pad(scaled.astype(np.uint8), ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
