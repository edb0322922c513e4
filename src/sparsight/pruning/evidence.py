"""What a criterion sees: the network as it stands, and training images to ask it about."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.models.base import batch_norms
from sparsight.training.loop import generator

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Evidence:
    """A network that is about to be pruned, and its calibration images.

    Attributes
    ----------
    weights : prunable parameter to weight; what has fallen is zero.
    seed : of the network, for criteria that draw.
    network : gives logits; a copy that a criterion may change; nothing where it needs none.
    images : calibration subset of the training split [N, C, H, W]: uint8, or float32 in [0, 1];
        None where there is none.
    labels : int64 [N].
    image_shape : channels, height and width of the images.
    batch_size : images per forward pass, which bounds the memory.
    """

    weights: Tensors
    seed: int
    network: nn.Module = field(default_factory=nn.Identity)
    images: Tensor | None = None
    labels: Tensor | None = None
    image_shape: Sequence[int] = ()
    batch_size: int = 64

    def batches(self, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Calibration images, float32 [B, C, H, W] in [0, 1], and labels, int64 [B]."""
        if self.images is None or self.labels is None:
            raise InputError("the criterion looks at training images, but was given none")
        size = batch_size or self.batch_size
        for pixels, labels in zip(self.images.split(size), self.labels.split(size), strict=True):
            yield (pixels if pixels.is_floating_point() else pixels.float() / 255), labels

    def parameters(self) -> Tensors:
        """The prunable parameters of the network themselves, on its device."""
        return {name: self.network.get_parameter(name) for name in self.weights}

    def zeros(self) -> Tensors:
        """A zero for every weight, on the network's device, to sum into."""
        return {name: torch.zeros_like(weight) for name, weight in self.parameters().items()}

    def gradients(
        self, batch_size: int | None = None, loss: Loss = functional.cross_entropy
    ) -> Iterator[tuple[int, Tensors]]:
        """Batch by batch: how many images it has, and the gradient of its mean loss."""
        parameters = self.parameters()
        for images, labels in self.batches(batch_size):
            value = loss(self.network(images), labels)
            found = torch.autograd.grad(value, list(parameters.values()))
            yield len(labels), dict(zip(parameters, found, strict=True))

    def mean_gradient(self, loss: Loss = functional.cross_entropy) -> Tensors:
        """Gradient of the mean loss over all calibration images."""
        total, count = self.zeros(), 0
        for images, gradients in self.gradients(loss=loss):
            count += images
            for name, gradient in gradients.items():
                total[name] += images * gradient
        return {name: value / count for name, value in total.items()}

    @contextmanager
    def own_statistics(self) -> Iterator[None]:
        """Let batch normalisation use each batch's statistics, as in training, inside the block.

        An untrained network has no others.
        """
        norms = batch_norms(self.network).values()
        for norm in norms:
            norm.train()
        yield
        for norm in norms:
            norm.eval()


def calibration(images: Tensor, labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A random subset of `count` training images, all where there are fewer.

    It is the same at every level and for every pruner of a seed.
    """
    draw = generator(images.device, seed, "calibration")
    chosen = torch.randperm(len(images), generator=draw, device=images.device)[:count]
    return images[chosen], labels[chosen]
