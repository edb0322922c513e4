"""Occlusion: what the target logit loses when a window of the image is covered."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.explain.base import Explainer, ImageBatch, detached_float32, target_logits
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant


class Occlusion(Explainer):
    """Mean loss of the target logit over the square windows that cover a pixel.

    Windows of `window` x `window` pixels start every `stride` pixels, the last ones cut off by the
    border, and are filled in all channels with the grey value `baseline`. The paper slides such a
    square over the image; the mean over windows is captum's. Where no window changes the logit
    beyond rounding, the map is 0.

    The cost is one pass per window and one for the whole image: with the defaults 170 for images of
    28x28, 962 for 64x64 and 12,322 for 224x224. One window of the whole batch is one pass.
    """

    name: ClassVar[str] = "occlusion"
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901"
    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "none"
    value_range: ClassVar[str] = "any; in units of the logit"
    cost: ClassVar[int] = 170
    cost_depends_on_image: ClassVar[bool] = True
    parameters: ClassVar[dict[str, Any]] = {"window": 4, "stride": 2, "baseline": 0.0}
    allowed: ClassVar[dict[str, Any]] = {"window": "[1, inf)", "stride": "[1, inf)"}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        window, stride = self.settings["window"], self.settings["stride"]
        if stride > window:
            raise InputError(
                f"explainer 'occlusion': stride is {stride}, but must be from 1 to the window of "
                f"{window}, or pixels would be left out"
            )

    def explain(self, batch: ImageBatch) -> Tensor:
        model, images, targets = batch.model, batch.images, batch.targets
        height, width = images.shape[2:]
        window = self.settings["window"]
        if window > min(height, width):
            raise InputError(
                f"explainer 'occlusion': window is {window}, but the images have only "
                f"{height}x{width} pixels"
            )
        losses = images.new_zeros(len(images), height, width)
        covers = images.new_zeros(height, width)
        with torch.no_grad():
            whole = target_logits(model(images), targets)
            lowest, highest = whole, whole
            for top in self._starts(height):
                for left in self._starts(width):
                    rows, columns = slice(top, top + window), slice(left, left + window)
                    covered = images.clone()
                    covered[:, :, rows, columns] = self.settings["baseline"]
                    rest = target_logits(model(covered), targets)
                    lowest, highest = lowest.minimum(rest), highest.maximum(rest)
                    loss = whole - rest
                    losses[:, rows, columns] += loss[:, None, None]
                    covers[rows, columns] += 1
        unmoved = is_constant(torch.stack([lowest, highest]), 0)
        return detached_float32((losses / covers).masked_fill(unmoved[:, None, None], 0))

    def _starts(self, side: int) -> range:
        """First pixels of the windows along a side; the last window reaches the end."""
        window, stride = self.settings["window"], self.settings["stride"]
        count = math.ceil(max(side - window, 0) / stride) + 1
        return range(0, count * stride, stride)

    def cost_on(self, shape: tuple[int, int, int]) -> int:
        """One pass per window and one for the whole image."""
        return len(self._starts(shape[1])) * len(self._starts(shape[2])) + 1
