"""Reading packed data: by rows, by selection, in batches, or whole for training."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

# Re-exported: whoever opens a split handles its batches.
from sparsight.data.batch import Batch as Batch
from sparsight.io.arrays import ArrayReader
from sparsight.io.errors import InputError

_REQUIRED = ("images", "labels", "noise", "image_ids", "evaluation_rank")
_REQUIRED_METADATA = ("dataset", "split", "classes", "has_masks", "data_hash")
# Rows that are read at a time when a whole split goes to a device.
CHUNK_IMAGES = 4096


class PackedSplit:
    """An open split; memory is bounded by what is asked for at a time.

    All checksums are verified on opening. Use it as a context manager, or close it.

    Attributes
    ----------
    path : the file.
    dataset, split, data_hash : from its metadata.
    classes : names of the classes in the order of the labels.
    has_masks : whether there are masks.
    image_shape : (C, H, W).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader = ArrayReader(self.path)
        try:
            self._read_facts()
        except InputError:
            self._reader.close()
            raise

    def _read_facts(self) -> None:
        metadata, names = self._reader.metadata, self._reader.names
        has_masks = metadata.get("has_masks") == "true"
        wanted = [*_REQUIRED, *(["masks"] if has_masks else [])]
        missing = [name for name in wanted if name not in names]
        missing += [key for key in _REQUIRED_METADATA if key not in metadata]
        if missing:
            raise InputError(
                f"{self.path} is not a packed split: it holds no '{missing[0]}'; prepare the data "
                "set again"
            )
        shape = self._reader.shape("images")
        self._count = shape[0]
        self.image_shape: tuple[int, int, int] = (shape[1], shape[2], shape[3])
        self.dataset = metadata["dataset"]
        self.split = metadata["split"]
        self.data_hash = metadata["data_hash"]
        self.classes: list[str] = json.loads(metadata["classes"])
        self.has_masks = has_masks

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a file that `sparsight.data.packing.pack` wrote.

        Raises
        ------
        InputError
            When it is missing, corrupt or something else.
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
        """The images from `start` up to, not including, `stop`.

        Raises
        ------
        InputError
            When that is not a range of this split.
        """
        if not 0 <= start <= stop <= self._count:
            raise InputError(f"{self.path} has {self._count} images, no rows {start} to {stop}")
        read = self._reader.rows
        return Batch(
            pixels=read("images", start, stop),
            noise=read("noise", start, stop),
            labels=read("labels", start, stop),
            mask_values=read("masks", start, stop) if self.has_masks else None,
            image_ids=read("image_ids", start, stop),
        )

    def select(self, indices: Tensor | Sequence[int]) -> Batch:
        """The images at `indices` (positions in this split, int64 [n]), in that order.

        Raises
        ------
        InputError
            When an index is not in this split.
        """
        wanted = torch.as_tensor(indices, dtype=torch.int64).cpu().reshape(-1)
        if len(wanted) == 0:
            return self.rows(0, 0)
        if wanted.min() < 0 or wanted.max() >= self._count:
            raise InputError(
                f"{self.path} has {self._count} images, no index "
                f"{int(wanted.min() if wanted.min() < 0 else wanted.max())}"
            )
        distinct, back = torch.unique(wanted, return_inverse=True)
        parts = [self.rows(start, stop) for start, stop in _runs(distinct)]
        masks = [part.mask_values for part in parts if part.mask_values is not None]
        return Batch(
            pixels=torch.cat([part.pixels for part in parts])[back],
            noise=torch.cat([part.noise for part in parts])[back],
            labels=torch.cat([part.labels for part in parts])[back],
            mask_values=torch.cat(masks)[back] if masks else None,
            image_ids=torch.cat([part.image_ids for part in parts])[back],
        )

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


def _runs(ascending: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges [start, stop) of consecutive numbers in distinct ascending indices."""
    breaks = torch.nonzero(torch.diff(ascending) > 1).reshape(-1) + 1
    for run in torch.tensor_split(ascending, breaks):
        yield int(run[0]), int(run[-1]) + 1


def batches(path: Path | str, indices: Tensor | Sequence[int], batch_size: int) -> Iterator[Batch]:
    """Stream the images at `indices` in batches; memory is bounded by `batch_size`.

    Parameters
    ----------
    path : packed split.
    indices : positions in the split, for example `PackedSplit.subset(1000)`.
    batch_size : images in a batch; the last one may be smaller.

    Raises
    ------
    InputError
        When the file or an index cannot be used, or the batch size is not positive.
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
    noise : uint8 [N, C, H, W], the stored noise; None when it was not asked for.
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
        noise = torch.empty_like(pixels) if with_noise else None
        for start in range(0, count, CHUNK_IMAGES):
            stop = min(start + CHUNK_IMAGES, count)
            part = split.rows(start, stop)
            pixels[start:stop] = part.pixels.to(device)
            if noise is not None:
                noise[start:stop] = part.noise.to(device)
        return TrainingSplit(pixels, split.labels().to(device), split.image_ids().to(device), noise)
