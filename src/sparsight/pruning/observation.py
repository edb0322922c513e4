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
class Observation:
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

    def mean(
        self,
        of: Callable[[Tensor, Tensor], Tensor],
        batch_size: int | None = None,
        loss: Loss = functional.cross_entropy,
    ) -> Tensors:
        """Mean over the batches of what `of` makes of a weight and its gradient.

        A batch counts by its images.
        """
        weights, count = self.parameters(), 0
        total = self.zeros()
        for images, gradients in self.gradients(batch_size, loss):
            count += images
            for name, gradient in gradients.items():
                total[name] += images * of(weights[name].detach(), gradient)
        return {name: value / count for name, value in total.items()}

    def mean_gradient(self, loss: Loss = functional.cross_entropy) -> Tensors:
        """Gradient of the mean loss over all calibration images."""
        return self.mean(lambda _weight, gradient: gradient, loss=loss)

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


@dataclass(frozen=True)
class Calibration:
    """Images that criteria look at.

    Attributes
    ----------
    images : [N, C, H, W] on the network's device, uint8, or float32 in [0, 1].
    labels : int64 [N].
    batch_size : images per forward pass.
    """

    images: Tensor
    labels: Tensor
    batch_size: int = 64

    def drawn(self, count: int, seed: int) -> "Calibration":
        """A random subset of `count` images, all where there are fewer.

        It is the same at every level and for every pruner of a seed.
        """
        draw = generator(self.images.device, seed, "calibration")
        order = torch.randperm(len(self.images), generator=draw, device=self.images.device)
        chosen = order[:count]
        return Calibration(self.images[chosen], self.labels[chosen], self.batch_size)
