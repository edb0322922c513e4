"""What a search for sparsities holds copies against."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsight.explain.network import frozen, logit_gradient
from sparsight.io.errors import InputError
from sparsight.metrics.localisation import pixel_roc_auc
from sparsight.spade.augmentation import PUBLISHED, copy_batches

#: from a network, images [N, C, H, W] and targets [N] to maps [N, H, W]
Explanation = Callable[[nn.Module, Tensor, Tensor], Tensor]
Measures = Mapping[str, float]


class Criterion(ABC):
    """Measures copies, and says which sparsity it prefers. `name` stands in the configuration."""

    name: ClassVar[str]

    @abstractmethod
    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        """Measures of the copy that was pruned for the calibration image at `place`."""

    @abstractmethod
    def better(self, found: Measures, best: Measures) -> bool:
        """Whether a sparsity is preferred to the best of all that are lower.

        Parameters
        ----------
        found, best : means of the measures over the calibration images.
        """


def saliency(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """|gradient| of the target logit, largest over channels, float32 [N, H, W]."""
    return logit_gradient(network, images, targets).abs().amax(1)


class GroundTruth(Criterion):
    """As published: the largest mean pixel ROC AUC of an explanation against the truth.

    Of equal sparsities the lowest is taken. Masks are needed, and sparsities found so must not be
    judged on the same images.

    Parameters
    ----------
    images, targets : float32 [B, C, H, W] in [0, 1] and int64 [B], the calibration images and the
        classes that are explained.
    masks : bool [B, H, W], where the evidence lies.
    explain : what is held against the masks, without a sign.

    Raises
    ------
    InputError
        When a mask is empty or the whole image.

    Reference
    ---------
    Soltani Moakhar et al. 2024, arXiv 2310.04519.
    """

    name: ClassVar[str] = "ground_truth"

    def __init__(
        self, images: Tensor, targets: Tensor, masks: Tensor, explain: Explanation = saliency
    ) -> None:
        shares = masks.double().mean((1, 2))
        if bool(((shares == 0) | (shares == 1)).any()):
            raise InputError(
                "the criterion 'ground_truth' needs masks that are neither empty nor the whole "
                "image; leave out the others"
            )
        self._images, self._targets, self._masks = images, targets, masks
        self._explain = explain

    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        """`pixel_roc_auc` in [0, 1]; see `Criterion.measure`."""
        one = slice(place, place + 1)
        maps = self._explain(copy, self._images[one], self._targets[one])
        return {"pixel_roc_auc": float(pixel_roc_auc(maps, self._masks[one]))}

    def better(self, found: Measures, best: Measures) -> bool:
        """See `Criterion.better`."""
        return found["pixel_roc_auc"] > best["pixel_roc_auc"]


class WithoutTruth(Criterion):
    """Ours: the largest sparsity at which copies still do what the network does.

    A copy is held against the network on augmentations of its image that it was not pruned for.
    `kept_prediction` is the share of them on which it predicts the network's class, and
    `kept_probability` its mean probability of that class as a share of the network's, at most 1.

    Parameters
    ----------
    network : the dense network; left as it was.
    images, image_ids : the calibration images, float32 [B, C, H, W] in [0, 1] and int64 [B].
    seed_name : as that of the search; the augmentations have a seed of their own.
    keep_prediction, keep_probability : what the measures must reach in the mean over images.
    count : augmentations of each image.
    augment, batch_size : as for the Hessians.
    """

    name: ClassVar[str] = "without_truth"

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        image_ids: Tensor,
        seed_name: str,
        keep_prediction: float = 0.95,
        keep_probability: float = 0.9,
        count: int = 32,
        augment: Mapping[str, Any] = PUBLISHED,
        batch_size: int = 64,
    ) -> None:
        self._images, self._image_ids = images, image_ids
        self._seed_name = f"{seed_name}:held_out"
        self._least = {"kept_prediction": keep_prediction, "kept_probability": keep_probability}
        self._count, self._augment, self._batch_size = count, augment, batch_size
        with frozen(network):
            found = [self._probabilities(network, place) for place in range(len(images))]
        self._classes = [each.argmax(1) for each in found]
        self._dense = [each.amax(1) for each in found]

    def _probabilities(self, network: nn.Module, place: int) -> Tensor:
        """Softmax outputs on the held-out augmentations of an image, float64 [count, classes]."""
        one = slice(place, place + 1)
        batches = copy_batches(
            self._images[one],
            self._count,
            self._image_ids[one],
            self._seed_name,
            self._augment,
            self._batch_size,
        )
        with torch.no_grad():
            parts = [network(copies.flatten(0, 1)).double() for _, _, copies in batches]
        return torch.cat(parts).softmax(1)

    def measure(self, copy: nn.Module, place: int) -> dict[str, float]:
        """`kept_prediction` and `kept_probability` in [0, 1]; see `Criterion.measure`."""
        found, classes = self._probabilities(copy, place), self._classes[place]
        kept = found.gather(1, classes.unsqueeze(1)).mean() / self._dense[place].mean()
        return {
            "kept_prediction": float((found.argmax(1) == classes).double().mean()),
            # no image makes up for another by being more certain than the network
            "kept_probability": float(kept.clamp(max=1)),
        }

    def better(self, found: Measures, best: Measures) -> bool:
        """Higher sparsities are preferred as long as both measures are reached."""
        return all(found[measure] >= least for measure, least in self._least.items())
