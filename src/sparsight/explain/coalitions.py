"""Explainers that switch superpixels on and off and fit a linear model to what the network says.

Our own, because captum's Lime and KernelShap explain one image at a time, draw from the global
generator and, for KernelShap, meet efficiency only up to the weight of two samples. Given the same
perturbations they are compared in the tests.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, detached_float32, target_logits
from sparsight.explain.randomness import image_generator
from sparsight.explain.superpixels import superpixels
from sparsight.io.errors import InputError
from sparsight.rounding import is_constant

#: parameter to the words that it may be
_CHOICES = {"output": ("logit", "probability"), "baseline": ("mean", "grey")}


class CoalitionExplainer(Explainer):
    """Explains an image by the network's output for coalitions, sets of superpixels that are on.

    A subclass says which coalitions of an image are asked for, and how the outputs become one value
    per superpixel; that value stands on all of the superpixel's pixels.

    Where the outputs do not differ beyond rounding, all values are 0.

    Common parameters: `segments`, about how many superpixels an image has (`superpixels`);
    `n_samples`, how many coalitions are asked for; `output`, "logit" or "probability" of the
    target; `baseline`, what superpixels that are off show: "mean", their own mean colour, or
    "grey", the grey value `grey` in all channels.

    One coalition of every image in the batch is one pass: memory stays that of one batch.
    """

    signed: ClassVar[bool] = True
    reduction: ClassVar[str] = "none"
    native: ClassVar[str] = "pixel"
    interpolation: ClassVar[str] = "none"

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for key, words in _CHOICES.items():
            if self.settings[key] not in words:
                raise InputError(
                    f"explainer '{self.name}': {key} is '{self.settings[key]}', but must be "
                    f"{' or '.join(words)}"
                )
        for key, least in (("segments", 2), ("n_samples", 2)):
            self._require_at_least(key, least)

    def _require_at_least(self, key: str, least: float) -> None:
        if not self.settings[key] >= least:
            raise InputError(
                f"explainer '{self.name}': {key} is {self.settings[key]}, but must be at least "
                f"{least}"
            )

    @abstractmethod
    def coalitions(self, segments: int, generator: torch.Generator) -> Tensor:
        """Coalitions bool [S, segments] of an image with that many superpixels.

        The first row is the whole image.
        """

    @abstractmethod
    def values(self, coalitions: Tensor, outputs: Tensor) -> Tensor:
        """One value per superpixel, float64 [M], from bool [S,M] and float64 [S] on the CPU."""

    def explain(
        self, model: nn.Module, images: Tensor, targets: Tensor, image_ids: Tensor, seed_name: str
    ) -> Tensor:
        """See `Explainer.explain`; maps have image size."""
        images = images.detach()
        segments = superpixels(images, self.settings["segments"])
        counts = (segments.amax(dim=(1, 2)) + 1).tolist()
        asked = [
            self.coalitions(count, image_generator(image_id, seed_name))
            for count, image_id in zip(counts, image_ids.tolist(), strict=True)
        ]
        outputs = self._outputs(model, images, targets, segments, asked)
        values = torch.zeros(len(images), max(counts), dtype=torch.float64)
        for row, coalitions in enumerate(asked):
            said = outputs[row, : len(coalitions)]
            # Rounding of a network that does not look at the image explains nothing.
            if not bool(is_constant(said, 0)):
                values[row, : counts[row]] = self.values(coalitions, said)
        maps = values.to(images).gather(1, segments.flatten(1))
        return detached_float32(maps.view_as(segments))

    def _outputs(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        segments: Tensor,
        asked: list[Tensor],
    ) -> Tensor:
        """Outputs of the target float64 [N, most coalitions] on the CPU; the rest are padding."""
        hidden = self._hidden(images, segments)
        # An image with fewer coalitions is asked for itself as a whole instead.
        longest, widest = max(map(len, asked)), max(part.shape[1] for part in asked)
        shown = torch.ones(len(images), longest, widest, dtype=torch.bool)
        for row, part in enumerate(asked):
            shown[row, : part.shape[0], : part.shape[1]] = part
        shown = shown.to(images.device)
        places = segments.flatten(1)
        found = []
        with torch.no_grad():
            for step in range(longest):
                on = shown[:, step].gather(1, places).view_as(segments).unsqueeze(1)
                logits = model(torch.where(on, images, hidden))
                found.append(self._output(logits, targets))
        return torch.stack(found, dim=1).cpu().double()

    def _output(self, logits: Tensor, targets: Tensor) -> Tensor:
        score = target_logits(logits, targets)
        if self.settings["output"] == "logit":
            return score
        return (score - logits.logsumexp(dim=1)).exp()

    def _hidden(self, images: Tensor, segments: Tensor) -> Tensor:
        """The images [N,C,H,W] with all superpixels off."""
        if self.settings["baseline"] == "grey":
            return torch.full_like(images, self.settings["grey"])
        # On the CPU in double precision: sums by index have no fixed order on other devices.
        pixels = images.flatten(2).cpu().double()
        places = segments.flatten(1).unsqueeze(1).cpu().expand_as(pixels)
        sums = pixels.new_zeros(*pixels.shape[:2], int(places.max()) + 1)
        sizes = sums.scatter_add(2, places, torch.ones_like(pixels))
        means = sums.scatter_add(2, places, pixels) / sizes.clamp_min(1)
        return means.gather(2, places).view_as(images).to(images)


def least_squares(rows: Tensor, goals: Tensor) -> Tensor:
    """The shortest x [M] that minimises |rows x - goals|, float64 [S,M] and [S] on the CPU."""
    # By singular values: rows may depend on each other.
    found: Tensor = torch.linalg.lstsq(rows, goals.unsqueeze(1), driver="gelsd").solution
    return found.squeeze(1)
