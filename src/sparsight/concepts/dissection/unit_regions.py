"""Where single units of a layer are active, and how that overlaps with what is in the images."""

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.rounding import ROUNDING

#: so many values of enlarged maps are in memory at a time
CHUNK_VALUES = 2**24


class TopValues:
    """The largest values of each unit, gathered batch by batch: an exact quantile.

    Memory is bounded by `share` of all values.

    Parameters
    ----------
    count : how many values each unit will have in all.
    share : of them that may lie above the threshold.
    """

    def __init__(self, count: int, share: float) -> None:
        # so many may lie above; the next one is the threshold
        self._kept = min(int(share * count) + 1, count)
        self._values = torch.empty(0)

    def add(self, maps: Tensor) -> None:
        """Take in maps float32 [n, U, h, w] of any number of images."""
        values = maps.transpose(0, 1).flatten(1)
        if self._values.numel():
            values = torch.cat([self._values, values], dim=1)
        self._values = values.topk(min(self._kept, values.shape[1]), dim=1).values

    def thresholds(self) -> Tensor:
        """float32 [U]: the smallest value of the unit that at most `share` of them exceed."""
        return self._values[:, -1]


class Overlaps:
    """Intersection and union of units' regions with masks, added up over images.

    A unit's region is where its map, brought to the size of the masks (bilinear), is above its
    threshold by more than rounding: enlarging a plateau at the threshold leaves values that are
    above it in the last bits. So a unit whose value is the same everywhere has no region.

    Parameters
    ----------
    thresholds : float32 [U].
    concepts : P, how many masks an image has.
    """

    def __init__(self, thresholds: Tensor, concepts: int) -> None:
        self._thresholds = thresholds + ROUNDING * thresholds.abs()
        self._both = torch.zeros((len(thresholds), concepts), dtype=torch.int64)
        self._regions = torch.zeros(len(thresholds), dtype=torch.int64)
        self._masks = torch.zeros(concepts, dtype=torch.int64)
        self._places = 0

    def add(self, maps: Tensor, masks: Tensor) -> None:
        """Take in maps float32 [n, U, h, w] and masks bool [n, P, H, W] of the same images."""
        size = list(masks.shape[2:])
        flat = masks.flatten(2).float()
        self._masks += masks.flatten(2).sum(dim=(0, 2)).cpu()
        self._places += len(masks) * size[0] * size[1]
        at_once = max(1, CHUNK_VALUES // (len(maps) * size[0] * size[1]))
        for start in range(0, len(self._thresholds), at_once):
            chunk = slice(start, start + at_once)
            enlarged = functional.interpolate(
                maps[:, chunk], size=size, mode="bilinear", align_corners=False
            ).flatten(2)
            regions = (enlarged > self._thresholds[chunk, None]).float()
            # an image's counts are exact in float32
            both = torch.einsum("nup,ncp->nuc", regions, flat)
            self._both[chunk] += both.long().sum(dim=0).cpu()
            self._regions[chunk] += regions.sum(dim=2).long().sum(dim=0).cpu()

    def intersection_over_union(self) -> Tensor:
        """float32 [U, P]; NaN for a concept that is in no image."""
        union = self._regions[:, None] + self._masks - self._both
        found = self._both.double() / union.double()
        return found.masked_fill(self._masks == 0, torch.nan).float()

    def largest_region_share(self) -> float:
        """Share of all places that the largest region of a unit covers."""
        return float(self._regions.max()) / max(self._places, 1)

    def mask_shares(self) -> Tensor:
        """float64 [P]: share of all places that each concept covers."""
        return self._masks.double() / max(self._places, 1)


def overlap_bounds(mask_shares: Tensor, region_share: float) -> Tensor:
    """The largest intersection over union with each mask that a region up to a size can have.

    The region lies within a mask that is larger, and covers one that is as large or smaller: a / b,
    or 1, for its share a and the mask's share b of all places.

    Parameters
    ----------
    mask_shares : float64 [P], of all places.
    region_share : of all places, the most that a region covers.
    """
    return (region_share / mask_shares).clamp_max(1)
