"""Explaining images, each on a copy of the network that is pruned for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, explain_batch
from sparsight.io.job import followed
from sparsight.spade.copies import pruned_copies
from sparsight.spade.fidelity import fidelity
from sparsight.spade.solvers.base import SampleSolver


@dataclass
class OnPrunedCopies:
    """Explains batches on pruned copies, and remembers how faithful these are.

    Every image is pruned for once, whatever the number of explainers, which are named
    `{sample pruner}__{explainer}`. An explainer that draws at random draws what it draws for the
    network itself: scores of the two are compared image by image.

    Attributes
    ----------
    name : configured name of the sample pruner.
    solver, sparsities, settings : see `pruned_copies`.
    rows : fidelity of the copies so far, one row per image and condition: `condition`, `image_id`,
        `same_prediction`, `divergence` (nats), `probability_kept` and `sparsity`.

    Reference
    ---------
    Soltani Moakhar et al. 2024, arXiv 2310.04519.
    """

    name: str
    solver: SampleSolver
    sparsities: Mapping[str, float]
    settings: Mapping[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __call__(
        self,
        explainers: Mapping[str, Explainer],
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        image_ids: Tensor,
        condition: str,
    ) -> dict[str, Tensor]:
        """Maps of a batch by name, float32 [N, h, w], as `explain_batch` gives them."""
        own = {name.removeprefix(f"{self.name}__"): each for name, each in explainers.items()}
        parts: list[dict[str, Tensor]] = []
        copies = pruned_copies(
            model, images, image_ids, self.solver, self.sparsities, self.settings, self.name
        )
        for place, copied in followed(copies, "images of a batch pruned for", len(images)):
            one = slice(place, place + 1)
            here = images[one], targets[one]
            parts.append(explain_batch(own, copied, *here, image_ids[one]))
            self._remember(model, copied, *here, int(image_ids[place]), condition)
        return {
            name: torch.cat([part[base] for part in parts])
            for name, base in zip(explainers, own, strict=True)
        }

    def _remember(
        self,
        model: nn.Module,
        copied: nn.Module,
        image: Tensor,
        target: Tensor,
        image_id: int,
        condition: str,
    ) -> None:
        pruned = [layer for layer, sparsity in self.sparsities.items() if sparsity > 0]
        found = {k: v[0].item() for k, v in fidelity(model, copied, image, target, pruned).items()}
        whole = found["network_probability"]
        self.rows.append(
            {
                "condition": condition,
                "image_id": image_id,
                "same_prediction": bool(found["same_prediction"]),
                "divergence": found["divergence"],
                # A class that the network itself gives no probability can keep none.
                "probability_kept": found["copy_probability"] / whole if whole > 0 else None,
                "sparsity": 1.0 - found["density"],
            }
        )
