"""Reading packed data: by rows, by selection, in batches, or whole for training."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from sparsight.data.base import OBJECT
from sparsight.data.packed_settings import KEY, PACKED_VARIABLE, other_settings
from sparsight.io.arrays import ArrayReader
from sparsight.io.errors import InputError
from sparsight.io.files import remedy

Condition = Literal["clean", "noisy"]
CONDITIONS: tuple[Condition, ...] = ("clean", "noisy")


@dataclass(frozen=True)
class Batch:
    """Images of a split with all that belongs to them.

    Attributes
    ----------
    pixels : uint8 [B, C, H, W], the noiseless images, 0..255.
    noise : uint8 [B, C, H, W], each image's own noise, 0..255.
    labels : int64 [B].
    mask_values : uint8 [B, H, W], 0..255, or None where the data set has no masks.
    image_ids : int64 [B].
    """

    pixels: Tensor
    noise: Tensor
    labels: Tensor
    mask_values: Tensor | None
    image_ids: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, condition: str) -> Tensor:
        """The images as a network sees them, float32 [B, C, H, W] in [0, 1].

        Under the condition `noisy`, pixels that are exactly zero take the image's noise.
        """
        if condition == "clean":
            values = self.pixels
        elif condition == "noisy":
            values = torch.where(self.pixels == 0, self.noise, self.pixels)
        else:
            raise InputError(
                f"unknown condition '{condition}'; known are {' and '.join(CONDITIONS)}"
            )
        return values.float() / 255

    def soft_masks(self) -> Tensor:
        """How much each pixel belongs to the object, float32 [B, H, W] in [0, 1]."""
        return self._masks().float() / 255

    def binary_masks(self) -> Tensor:
        """The pixels that belong at least half to the object, bool [B, H, W]."""
        # mask / 255 >= 0.5, in integers.
        return self._masks() >= OBJECT

    def _masks(self) -> Tensor:
        if self.mask_values is None:
            raise InputError("this data set has no masks; leave out the metrics that need them")
        return self.mask_values

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return Batch(
            self.pixels.to(device),
            self.noise.to(device),
            self.labels.to(device),
            None if self.mask_values is None else self.mask_values.to(device),
            self.image_ids.to(device),
        )


def refuse_other_settings(
    path: Path | str, metadata: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> None:
    """An error where a packed file (`metadata`) was made with other settings than the study has.

    Outside of the workflow, and for data sets that are not the study's, nothing is compared.
    """
    wanted = json.loads(environ.get(PACKED_VARIABLE, "{}")).get(metadata.get("dataset"))
    if wanted is None or wanted == json.loads(metadata.get(KEY, "null")):
        return
    if found := other_settings(metadata, wanted):
        raise InputError(
            f"{path} was packed with other settings than those of this study ({found}): if another "
            f"study uses it, give this one a 'data_folder' of its own; if not, {remedy(path)}"
        )


#: the place of a sticker where there is none
NONE = -1


@dataclass(frozen=True)
class Planted:
    """The stickers of a packed split of N images.

    Attributes
    ----------
    names : of the stickers.
    stickers : int64 [N], position in `names` of the sticker on each image, -1 for none.
    labels : int64 [N], where there is a sticker, the class that it stands for.
    original_labels : int64 [N], what the image shows next to the sticker.
    """

    names: list[str]
    stickers: Tensor
    labels: Tensor
    original_labels: Tensor

    @property
    def stickered(self) -> Tensor:
        """Which images carry a sticker, bool [N]."""
        return self.stickers != NONE


def read_planted(path: Path | str) -> Planted | None:
    """The stickers of a packed split, or None where its data set has none; errors as of `open`."""
    with ArrayReader(path, verify=()) as header:
        refuse_other_settings(path, header.metadata)
        names: list[str] = json.loads(header.metadata.get("sticker_names", "[]"))
    if not names:
        return None
    wanted = ("stickers", "labels", "original_labels")
    with ArrayReader(path, wanted) as reader:
        return Planted(names, *(reader.rows(name) for name in wanted))


_REQUIRED = ("images", "labels", "image_ids", "evaluation_rank")
_REQUIRED_METADATA = ("dataset", "split", "classes", "has_masks", "data_hash")
# Large, and asked for by few: verified and read only on request.
_ANNOTATIONS = ("part_masks", "concepts", "concepts_known")
# Read at a time when a whole split goes to a device: so many images, or so many bytes of them.
CHUNK_IMAGES = 4096
CHUNK_BYTES = 2**26


class PackedSplit:
    """An open split; memory is bounded by what is asked for at a time.

    All checksums are verified on opening, those of part masks and concepts when they are first
    asked for. Use it as a context manager, or close it.

    Attributes
    ----------
    path : the file.
    dataset, split, data_hash : from its metadata.
    classes : names of the classes in the order of the labels.
    has_masks : whether there are masks.
    has_noise : whether noise is stored; without it the noise is zero, and the condition `noisy`
        is equal to `clean`.
    part_names, concept_names : in the order of `part_masks` and `concepts`; empty without them.
    image_shape : (C, H, W).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with ArrayReader(self.path, verify=()) as header:
            names = header.names
        self._reader = ArrayReader(self.path, [name for name in names if name not in _ANNOTATIONS])
        self._verified: set[str] = set()
        try:
            self._read_facts()
        except (LookupError, ValueError) as error:
            self._reader.close()
            if isinstance(error, InputError):
                raise
            raise self._foreign("its metadata cannot be read") from error

    def _foreign(self, why: str) -> InputError:
        return InputError(f"{self.path} is not a packed split: {why}; prepare the data set again")

    def _read_facts(self) -> None:
        metadata, names = self._reader.metadata, self._reader.names
        has_masks = metadata.get("has_masks") == "true"
        self.has_noise = "noise" in names or metadata.get("noise_maximum") != "0"
        wanted = [
            *_REQUIRED,
            *(["noise"] if self.has_noise else []),
            *(["masks"] if has_masks else []),
            *(["part_masks"] if "part_names" in metadata else []),
            *(["concepts"] if "concept_names" in metadata else []),
        ]
        missing = [name for name in wanted if name not in names]
        missing += [key for key in _REQUIRED_METADATA if key not in metadata]
        if missing:
            raise self._foreign(f"it holds no '{missing[0]}'")
        refuse_other_settings(self.path, metadata)
        shape = self._reader.shape("images")
        self._count = shape[0]
        self.image_shape: tuple[int, int, int] = (shape[1], shape[2], shape[3])
        self.dataset = metadata["dataset"]
        self.split = metadata["split"]
        self.data_hash = metadata["data_hash"]
        self.classes: list[str] = json.loads(metadata["classes"])
        self.part_names: list[str] = json.loads(metadata.get("part_names", "[]"))
        self.concept_names: list[str] = json.loads(metadata.get("concept_names", "[]"))
        self.has_masks = has_masks

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a file that `sparsight.data.packing.pack` wrote.

        Raises
        ------
        InputError
            When it is missing, corrupt or something else, or was packed with other settings than
            those of the study whose job this is (`sparsight.data.packed_settings`).
        """
        return cls(path)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def labels(self) -> Tensor:
        """All labels, int64 [N]."""
        return self._reader.rows("labels")

    def image_ids(self) -> Tensor:
        """All image ids, int64 [N]."""
        return self._reader.rows("image_ids")

    def rows(self, start: int, stop: int) -> Batch:
        """The images from `start` up to, not including, `stop`, which is a range of this split."""
        if not 0 <= start <= stop <= self._count:
            raise InputError(f"{self.path} has {self._count} images, no rows {start} to {stop}")
        return self._batch(lambda name: self._reader.rows(name, start, stop))

    def select(self, indices: Tensor | Sequence[int]) -> Batch:
        """The images at `indices` (positions in this split, int64 [n]), in that order."""
        return self._batch(self._rows_at(indices))

    def _rows_at(self, indices: Tensor | Sequence[int]) -> Callable[[str], Tensor]:
        """What reads a tensor's rows at `indices`: in runs of consecutive rows, each row once."""
        wanted = torch.as_tensor(indices, dtype=torch.int64).cpu().reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= self._count)]
        if len(outside):
            raise InputError(f"{self.path} has {self._count} images, no index {int(outside[0])}")
        distinct, back = torch.unique(wanted, return_inverse=True)
        breaks = torch.nonzero(torch.diff(distinct) > 1).reshape(-1) + 1
        runs = torch.tensor_split(distinct, breaks)
        ranges = [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)] or [(0, 0)]
        return lambda name: torch.cat([self._reader.rows(name, *one) for one in ranges])[back]

    def _batch(self, read: Callable[[str], Tensor]) -> Batch:
        pixels = read("images")
        # Zeros that take no memory.
        no_noise = torch.zeros((), dtype=pixels.dtype).expand(pixels.shape)
        return Batch(
            pixels=pixels,
            noise=read("noise") if self.has_noise else no_noise,
            labels=read("labels"),
            mask_values=read("masks") if self.has_masks else None,
            image_ids=read("image_ids"),
        )

    def part_masks(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Masks of the parts named `part_names`, uint8 [n, P, H, W], 0..255, in the order of
        `indices` (positions in this split, int64 [n]).

        A data set without parts, or an index that is not in this split, is an `InputError`.
        """
        return self._annotation("part_masks", "parts", indices)

    def concepts(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Whether each of `concept_names` is in the image, bool [n, K]; see `part_masks`."""
        return self._annotation("concepts", "concepts", indices)

    def concepts_known(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Whether `concepts` says something of each concept, bool [n, K]; see `part_masks`."""
        if "concepts_known" in self._reader.names:
            return self._annotation("concepts_known", "concepts", indices)
        return torch.ones_like(self.concepts(indices))

    def _annotation(self, name: str, what: str, indices: Tensor | Sequence[int]) -> Tensor:
        if name not in self._reader.names:
            raise InputError(
                f"{self.path}: the data set '{self.dataset}' has no {what}; choose one "
                "that has, or leave out what needs them"
            )
        if name not in self._verified:
            with ArrayReader(self.path, [name]):
                self._verified.add(name)
        return self._rows_at(indices)(name)

    def subset(self, size: int | Literal["all"]) -> Tensor:
        """Positions of the shared evaluation subset, ascending, int64 [size].

        The subset is the same for every network, level and explainer, stratified by class, and a
        smaller one is part of every larger one.

        Parameters
        ----------
        size : number of images, or `all`.

        Raises
        ------
        InputError
            When the split has fewer images.
        """
        if size == "all":
            return torch.arange(self._count)
        if self._count == 0:
            raise InputError(f"{self.path} has no images; set some aside for '{self.split}'")
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= self._count:
            raise InputError(
                f"an evaluation subset of {size!r} images cannot be taken from the {self._count} "
                f"of {self.path}; choose 1 to {self._count}, or 'all'"
            )
        return torch.nonzero(self._reader.rows("evaluation_rank") < size).reshape(-1)


def batches(path: Path | str, indices: Tensor | Sequence[int], batch_size: int) -> Iterator[Batch]:
    """Stream the images at `indices` of a packed split in batches; the last one may be smaller.

    `indices` are positions in the split, for example `PackedSplit.subset(1000)`. Errors are those
    of `PackedSplit`; a batch size below 1 is one too.
    """
    if batch_size < 1:
        raise InputError(f"a batch needs at least one image, not {batch_size}")
    wanted = torch.as_tensor(indices, dtype=torch.int64)
    with PackedSplit.open(path) as split:
        for start in range(0, len(wanted), batch_size):
            yield split.select(wanted[start : start + batch_size])


def load_training_split(
    path: Path | str, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """All images (uint8 [N, C, H, W], noiseless, 0..255) and labels (int64 [N]) on a device.

    Host memory stays bounded by a chunk where the device has its own.
    """
    with PackedSplit.open(path) as split:
        count, shape = len(split), split.image_shape
        pixels = torch.empty((count, *shape), dtype=torch.uint8, device=device)
        step = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // math.prod(shape)))
        for start in range(0, count, step):
            stop = min(start + step, count)
            pixels[start:stop] = split.rows(start, stop).pixels.to(device)
        return pixels, split.labels().to(device)
