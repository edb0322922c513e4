"""Which images of a packed split carry a planted sticker."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sparsight.data.packed_settings import refuse_other_settings
from sparsight.io.arrays import ArrayReader

NONE = -1


@dataclass(frozen=True)
class Planted:
    """The stickers of a packed split of N images.

    Attributes
    ----------
    names : of the stickers.
    stickers : int64 [N], position in `names` of the sticker on each image, -1 for none.
    labels : int64 [N], where there is a sticker, the class that it stands for.
    original_labels : int64 [N], what is to be seen beside the sticker.
    """

    names: list[str]
    stickers: Tensor
    labels: Tensor
    original_labels: Tensor

    @property
    def stickered(self) -> Tensor:
        """Which images carry a sticker, bool [N]."""
        return self.stickers != NONE

    def positions(self) -> Tensor:
        """Positions in the split of the images with a sticker, ascending, int64 [n]."""
        return torch.nonzero(self.stickered).reshape(-1)


def read_planted(path: Path | str) -> Planted | None:
    """The stickers of a packed split, or None where its data set has none planted.

    Raises
    ------
    InputError
        When the file is missing or corrupt, or was packed with other settings than the study's.
    """
    with ArrayReader(path, verify=()) as header:
        refuse_other_settings(path, header.metadata)
        names: list[str] = json.loads(header.metadata.get("sticker_names", "[]"))
    if not names:
        return None
    wanted = ("stickers", "labels", "original_labels")
    with ArrayReader(path, wanted) as reader:
        return Planted(names, *(reader.rows(name) for name in wanted))
