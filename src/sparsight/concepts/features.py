"""A network's features of all images, extracted once for all concept methods."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from sparsight.data.packed import PackedSplit, batches
from sparsight.io.arrays import ArrayReader, ArrayWriter
from sparsight.io.errors import InputError
from sparsight.io.job import log_progress
from sparsight.models.base import Architecture

#: of the stage `features`: see `sparsight.study.versions`
VERSION = 1

logger = logging.getLogger(__name__)

#: where the images come from: the network's own data set, or the bank of concept labels
OWN, BANK = "own", "bank"
_ARRAYS = ("pooled", "logits", "labels", "image_ids")


@dataclass(frozen=True)
class SplitFeatures:
    """Features of all images of a split, in the order of the packed file."""

    pooled: Tensor  # float32 [N, D], output of the network's `feature_cut`, averaged over positions
    logits: Tensor  # float32 [N, classes]
    labels: Tensor  # int64 [N]
    image_ids: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)


class Features:
    """The features file of one checkpoint; splits are read when they are asked for.

    Use it as a context manager, or close it. `passes` images went forward through the network to
    make it; the output of its module `feature_cut` was averaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader = ArrayReader(self.path, ())
        try:
            self.passes = int(self._reader.metadata["passes"])
            self.feature_cut = self._reader.metadata["feature_cut"]
            self._bank_is_own = self._reader.metadata["bank_is_own"] == "true"
        except (KeyError, ValueError) as error:
            self._reader.close()
            raise InputError(
                f"{self.path} holds no features; delete it and run snakemake again"
            ) from error

    def split_names(self, source: str = OWN) -> list[str]:
        """The splits that there are of `source` (`OWN` or `BANK`)."""
        source = OWN if self._bank_is_own else source
        found = {name.split("/")[1] for name in self._reader.names if name.startswith(source + "/")}
        return [name for name in ("train", "validation", "test") if name in found]

    def split(self, name: str, source: str = OWN) -> SplitFeatures:
        """Features of a split, verified; InputError when there is none or the file is corrupt."""
        source = OWN if self._bank_is_own else source
        if name not in self.split_names(source):
            raise InputError(
                f"{self.path} has no features of the split '{name}' of '{source}'; it has "
                f"{', '.join(self.split_names(source)) or 'none'}"
            )
        wanted = [f"{source}/{name}/{array}" for array in _ARRAYS]
        with ArrayReader(self.path, wanted) as reader:
            return SplitFeatures(*(reader.rows(array) for array in wanted))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@torch.no_grad()
def extract_features(
    network: Architecture,
    splits: Mapping[str, Path],
    bank: Mapping[str, Path] | None,
    output: Path,
    batch_size: int,
    device: torch.device,
) -> None:
    """Send all clean images once through the network and write what concept methods share.

    Memory is bounded by the batch size.

    Parameters
    ----------
    network : in evaluation mode, on `device`.
    splits : packed files of its data set by split; a split without images is left out.
    bank : those of another data set that has the concept labels; None where it is the same one.
    output : see `Features`.
    """
    sources = {OWN: splits} if bank is None else {OWN: splits, BANK: bank}
    files: dict[str, tuple[Path, int]] = {}
    for source, paths in sources.items():
        for split, path in paths.items():
            with PackedSplit.open(path) as packed:
                files[f"{source}/{split}"] = path, len(packed)
    with PackedSplit.open(next(iter(splits.values()))) as packed:
        first = packed.rows(0, 1).images("clean").to(device)
    shapes = {
        "pooled": (torch.float32, (network.feature_maps(first).shape[1],)),
        "logits": (torch.float32, (network.class_count,)),
        "labels": (torch.int64, ()),
        "image_ids": (torch.int64, ()),
    }
    layout = {
        f"{prefix}/{name}": (dtype, (count, *shape))
        for prefix, (_, count) in files.items()
        for name, (dtype, shape) in shapes.items()
        if count
    }
    passes = sum(count for _, count in files.values())
    metadata = {
        "passes": str(passes),
        "feature_cut": network.feature_cut,
        "bank_is_own": "true" if bank is None else "false",
    }
    with ArrayWriter(output, layout, metadata) as writer:
        for prefix, (path, count) in files.items():
            if count:
                parts = batches(path, torch.arange(count), batch_size)
                for batch in log_progress(parts, f"batches of {prefix}", -(-count // batch_size)):
                    maps = network.feature_maps(batch.images("clean").to(device))
                    writer.append(f"{prefix}/pooled", maps.mean(dim=(2, 3)).cpu())
                    writer.append(f"{prefix}/logits", network.class_logits(maps).cpu())
                    writer.append(f"{prefix}/labels", batch.labels)
                    writer.append(f"{prefix}/image_ids", batch.image_ids)
    logger.info("features of %d images, one forward pass each", passes)
