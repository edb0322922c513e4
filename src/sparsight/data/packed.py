"""Reading packed data: by rows, by selection, in batches, or whole for training."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from sparsight.data.batch import Batch as Batch
from sparsight.data.batch import no_noise
from sparsight.data.packed_settings import refuse_other_settings
from sparsight.io.arrays import ArrayReader
from sparsight.io.errors import InputError


def distinct_positions(
    indices: Tensor | Sequence[int], count: int, path: Path
) -> tuple[Tensor, Tensor]:
    """Each position once, ascending, and where each index is among them.

    `indices` are in any order, also repeated; one that is not below `count` is an `InputError` that
    names `path`.
    """
    wanted = torch.as_tensor(indices, dtype=torch.int64).cpu().reshape(-1)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= count):
        raise InputError(
            f"{path} has {count} images, no index "
            f"{int(wanted.min() if wanted.min() < 0 else wanted.max())}"
        )
    distinct, back = torch.unique(wanted, return_inverse=True)
    return distinct, back


def runs(ascending: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges [start, stop) of consecutive numbers in distinct ascending ones, int64 [m], m > 0."""
    breaks = torch.nonzero(torch.diff(ascending) > 1).reshape(-1) + 1
    for run in torch.tensor_split(ascending, breaks):
        yield int(run[0]), int(run[-1]) + 1


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

    def positions(self) -> Tensor:
        """Positions in the split of the images with a sticker, ascending, int64 [n]."""
        return torch.nonzero(self.stickered).reshape(-1)


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
        return self._batch(self._at(indices))

    def _at(self, indices: Tensor | Sequence[int]) -> Callable[[str], Tensor]:
        """What reads a tensor's rows at `indices`: in runs, each row once."""
        distinct, back = distinct_positions(indices, self._count, self.path)
        found = list(runs(distinct)) if len(distinct) else [(0, 0)]
        return lambda name: torch.cat([self._reader.rows(name, *run) for run in found])[back]

    def _batch(self, read: Callable[[str], Tensor]) -> Batch:
        pixels = read("images")
        return Batch(
            pixels=pixels,
            noise=read("noise") if self.has_noise else no_noise(pixels),
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
        return self._at(indices)(name)

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


@dataclass(frozen=True)
class TrainingSplit:
    """A whole split on one device.

    Attributes
    ----------
    pixels : uint8 [N, C, H, W], noiseless, 0..255.
    labels : int64 [N].
    image_ids : int64 [N].
    noise : uint8 [N, C, H, W], the stored noise, or zeros where none is; None when it was not
        asked for.
    """

    pixels: Tensor
    labels: Tensor
    image_ids: Tensor
    noise: Tensor | None

    def __len__(self) -> int:
        return len(self.labels)


def load_training_split(
    path: Path | str, device: torch.device | str = "cpu", with_noise: bool = False
) -> TrainingSplit:
    """Load a whole split onto a device as uint8, where training takes batches by index.

    Parameters
    ----------
    path : packed split.
    device : where the tensors go; host memory stays bounded by a chunk when it is another one.
    with_noise : also load the stored noise, which evaluation uses; training that draws noise anew
        for every batch does not need it.
    """
    with PackedSplit.open(path) as split:
        count, shape = len(split), split.image_shape
        pixels = torch.empty((count, *shape), dtype=torch.uint8, device=device)
        noise = None
        if with_noise:
            noise = torch.empty_like(pixels) if split.has_noise else no_noise(pixels)
        step = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // math.prod(shape)))
        for start in range(0, count, step):
            stop = min(start + step, count)
            part = split.rows(start, stop)
            pixels[start:stop] = part.pixels.to(device)
            if noise is not None and split.has_noise:
                noise[start:stop] = part.noise.to(device)
        return TrainingSplit(pixels, split.labels().to(device), split.image_ids().to(device), noise)
