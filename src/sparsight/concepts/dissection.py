"""Network dissection: which single units are active where a concept is."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsight.concepts.base import (
    WHOLE,
    ConceptMethod,
    Findings,
    Measured,
    Ranked,
    StudiedNetwork,
    with_mean,
)
from sparsight.data.packed import PackedSplit
from sparsight.explain.network import record_outputs
from sparsight.io.errors import InputError
from sparsight.rounding import ROUNDING

#: so many values of enlarged maps are in memory at a time
CHUNK_VALUES = 2**24


class TopValues:
    """The largest values of each unit, gathered batch by batch: an exact quantile.

    `count`: how many values each unit will have in all; `share`: of them that may lie above the
    threshold, which bounds the memory.
    """

    def __init__(self, count: int, share: float) -> None:
        # so many may lie above; the next one is the threshold
        self._wanted = min(int(share * count) + 1, count)
        self._values = torch.empty(0)

    def add(self, maps: Tensor) -> None:
        """Take in maps float32 [n, U, h, w] of any number of images."""
        values = maps.transpose(0, 1).flatten(1)
        if self._values.numel():
            values = torch.cat([self._values, values], dim=1)
        self._values = values.topk(min(self._wanted, values.shape[1]), dim=1).values

    def thresholds(self) -> Tensor:
        """float32 [U]: the smallest value of the unit that at most `share` of them exceed."""
        return self._values[:, -1]


class Overlaps:
    """Intersection and union of units' regions with masks, added up over images.

    A unit's region is where its map, brought to the size of the masks (bilinear), is above its
    threshold by more than rounding, which enlarging a plateau at the threshold adds. So a unit
    whose value is the same everywhere has no region.

    `thresholds`: float32 [U]; `concepts`: P, how many masks an image has.
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

    A region that covers the share a of all places lies within a mask of the larger share b: a / b;
    it covers a smaller mask: 1. `mask_shares`: float64 [P]; `region_share`: the most of a region.
    """
    return (region_share / mask_shares).clamp_max(1)


OBJECT = "object"


class Dissection(ConceptMethod):
    """Overlap of each unit's most active places with parts and object, over the test images.

    A unit is a channel of the layer. Its threshold is the value that `quantile` of its activations
    over all images and places exceed; its region is where its map, enlarged to the size of the
    masks, is above the threshold. A unit detects the concept with which its region has the highest
    intersection over union (pixels added up over all images), if that is at least `minimum_iou`.
    The concepts are the parts of the data set, where it has any, and `object`, its mask.

    A unit that does not vary over images and places beyond rounding has no region and detects
    nothing.

    A region covers about `quantile` of all places, and no more than a / b of its union with a mask
    can be common to both, where a and the larger b are their shares of all places. With .005 and
    .04 no unit can detect what covers more than an eighth of the images, as objects do; `iou_bound`
    says it for each concept, and a note names those out of reach. The bound goes by the largest
    region where that, of an enlarged map, is larger than `quantile`.

    Rows: one order of the concepts for all classes, by `weight`, the highest intersection over
    union of any unit; `value` is the number of units that detect it. A concept that is in none of
    the images has no row.

    Passes: two for each image.

    Parameters
    ----------
    layer : name of a module; empty: the architecture's feature cut.
    quantile : share of a unit's activations above its threshold.
    minimum_iou : of a detector.

    Arrays
    ------
    `iou` float32 [U, concepts], the concepts in the order of the rows; `thresholds` float32 [U];
    `detects` int64 [U], place of the concept that a unit detects, -1 for none.
    """

    name: ClassVar[str] = "dissection"
    label: ClassVar[str] = "network dissection"
    reference: ClassVar[str] = "Bau et al. 2017, arXiv:1704.05796"
    needs: ClassVar[tuple[str, ...]] = ("masks",)
    measures: ClassVar[dict[str, tuple[str, str, str]]] = {
        "detectors": ("higher", "units", "units that detect a concept"),
        "detector_share": ("higher", "share, 0 to 1", "detectors among all units"),
        "detected_concepts": ("higher", "concepts", "concepts that some unit detects"),
        "best_iou": ("higher", "share, 0 to 1", "highest overlap of any unit with a concept"),
        "iou_bound": (
            "",
            "share, 0 to 1",
            "highest overlap that a region up to the largest size can have with a concept",
        ),
        "dead_units": ("lower", "units", "units that are active nowhere"),
    }
    comparisons: ClassVar[dict[str, tuple[str, str, str]]] = {
        "kept_detectors": (
            "higher",
            "share, 0 to 1",
            "detectors of the reference that detect the same concept here; of one start",
        ),
        "shared_concepts": ("higher", "share, 0 to 1", "detected by both among those by either"),
    }
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "quantile": 0.005, "minimum_iou": 0.04}
    allowed: ClassVar[dict[str, Any]] = {"quantile": "(0, 1)", "minimum_iou": "(0, 1)"}

    def find(self, checkpoint: StudiedNetwork) -> Findings:
        """See `ConceptMethod.find`.

        Raises InputError when the network has no such layer, or one without maps.
        """
        with PackedSplit.open(checkpoint.splits["test"]) as split:
            positions = split.subset(min(checkpoint.images, len(split)))
            thresholds, dead = self._thresholds(checkpoint, split, positions)
            names = [*split.part_names, OBJECT]
            overlaps = Overlaps(thresholds, len(names))
            for maps, masks in self._batches(checkpoint, split, positions):
                overlaps.add(maps, masks)
        iou = overlaps.intersection_over_union()
        best = iou.amax(dim=0).nan_to_num(-1.0)
        descending = best.argsort(descending=True, stable=True).tolist()
        order = [index for index in descending if best[index] >= 0]
        iou = iou[:, order]
        detects = torch.full((len(iou),), -1)
        if order:
            highest = iou.max(dim=1)
            detects = torch.where(
                highest.values >= self.settings["minimum_iou"], highest.indices, -1
            )
        names = [names[index] for index in order]
        largest = max(self.settings["quantile"], overlaps.largest_region_share())
        bounds = overlap_bounds(overlaps.mask_shares()[order], largest)
        return Findings(
            ranked=[
                Ranked(WHOLE, name, place + 1, best[index].item(), (detects == place).sum().item())
                for place, (name, index) in enumerate(zip(names, order, strict=True))
            ],
            measured=[
                *_measured_rows(names, iou, detects, dead),
                *with_mean("iou_bound", bounds, concepts=names),
            ],
            arrays={"iou": iou, "thresholds": thresholds.cpu(), "detects": detects},
            notes=self._out_of_reach(names, bounds, largest),
            passes=2 * len(positions),
        )

    def _out_of_reach(self, names: Sequence[str], bounds: Tensor, largest: float) -> list[str]:
        """A note on the concepts that no unit can detect, whatever it does."""
        least = self.settings["minimum_iou"]
        pairs = zip(names, bounds.tolist(), strict=True)
        named = ", ".join(f"{name} ({bound:.3g})" for name, bound in pairs if bound < least)
        found = f"a region of {largest:g} of the places cannot overlap by {least:g} with {named}; "
        return [f"{found}their size is too different"] if named else []

    def compare(self, own: Findings, reference: Findings) -> Sequence[Measured]:
        """See `ConceptMethod.compare`.

        `kept_detectors` asks the same unit, so it says something only of networks whose units
        correspond: a level and its dense parent. NaN where the reference detects nothing, and where
        the two have other numbers of units: another tool has removed some.
        """
        # name of the concept that each detector detects
        named: list[dict[int, str]] = []
        for findings in (own, reference):
            by_rank = {row.rank: row.concept for row in findings.ranked}
            places = enumerate(findings.arrays["detects"].tolist())
            named.append({unit: by_rank[place + 1] for unit, place in places if place >= 0})
        first, second = named
        kept = [first.get(unit) == concept for unit, concept in second.items()]
        if len(own.arrays["detects"]) != len(reference.arrays["detects"]):
            kept = []
        either = set(first.values()) | set(second.values())
        both = set(first.values()) & set(second.values())
        return [
            Measured("kept_detectors", sum(kept) / len(kept) if kept else torch.nan),
            Measured("shared_concepts", len(both) / len(either) if either else torch.nan),
        ]

    def _maps(
        self, checkpoint: StudiedNetwork, split: PackedSplit, positions: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The layer's maps [n, U, h, w] of the images, in batches, and the images' positions."""
        layer = self.settings["layer"] or checkpoint.network.feature_cut
        for part in positions.split(checkpoint.batch_size):
            images = split.select(part).images("clean").to(checkpoint.device)
            with torch.no_grad(), record_outputs(checkpoint.network, [layer]) as outputs:
                checkpoint.network(images)
            yield outputs[layer].detach(), part

    def _thresholds(
        self, checkpoint: StudiedNetwork, split: PackedSplit, positions: Tensor
    ) -> tuple[Tensor, int]:
        """Threshold of each unit, and how many units are nowhere above 0."""
        top: TopValues | None = None
        active = torch.zeros(0, dtype=torch.bool)
        for maps, _ in self._maps(checkpoint, split, positions):
            above = (maps > 0).any(dim=3).any(dim=2).any(dim=0)
            if top is None:
                count = len(positions) * maps.shape[2] * maps.shape[3]
                top, active = TopValues(count, self.settings["quantile"]), above
            top.add(maps)
            active = active | above
        if top is None:
            raise InputError(f"{split.path} has no images; dissection needs some")
        return top.thresholds(), int((~active).sum())

    def _batches(
        self, checkpoint: StudiedNetwork, split: PackedSplit, positions: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for maps, part in self._maps(checkpoint, split, positions):
            whole = split.select(part).binary_masks().unsqueeze(1)
            parts = split.part_masks(part) >= 128 if split.part_names else whole[:, :0]
            yield maps, torch.cat([parts, whole], dim=1).to(maps.device)


def _measured_rows(
    names: Sequence[str], iou: Tensor, detects: Tensor, dead: int
) -> Iterator[Measured]:
    count = int((detects >= 0).sum())
    yield Measured("detectors", count)
    yield Measured("detector_share", count / len(iou))
    yield Measured("detected_concepts", len(detects[detects >= 0].unique()))
    yield Measured("dead_units", dead)
    best = iou.amax(dim=0) if len(names) else torch.empty(0)
    for place, name in enumerate(names):
        yield Measured("detectors", int((detects == place).sum()), WHOLE, name)
        yield Measured("best_iou", float(best[place]), WHOLE, name)
    yield Measured("best_iou", float(best.nanmean()))
