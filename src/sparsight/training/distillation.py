"""Learning from a trained network as well as from labels: its logits, and where it looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.models.base import Architecture


@dataclass(frozen=True)
class Distillation:
    """The entry `distillation` of a pruner in the configuration.

    Attributes
    ----------
    logits : weight of the teacher's logits, 0 to 1; the labels have the rest.
    temperature : above 0, by which the logits of both are divided.
    attention : weight of the difference of the attention maps of the explain layer, from 0.
    """

    logits: float = 0.5
    temperature: float = 4.0
    attention: float = 0.0


def logit_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over images of T^2 KL(teacher || student) of softmax(logits / T), in nats; a scalar.

    The factor T^2 keeps the gradient's size as T changes (Hinton, Vinyals and Dean 2015,
    arXiv 1503.02531, section 2).

    Parameters
    ----------
    student, teacher : logits, float32 [N, classes].
    """
    told = (teacher / temperature).log_softmax(1)
    said = (student / temperature).log_softmax(1)
    return temperature**2 * functional.kl_div(said, told, reduction="batchmean", log_target=True)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over images of the squared distance of two attention maps, 0 to 2; a scalar.

    An attention map is the sum over channels of the squared activations, scaled to length 1 over
    all places; one that is zero everywhere stays so. (Zagoruyko and Komodakis 2017,
    arXiv 1612.03928, equation 2 with p = 2, and the squared distance, as their code has it.)

    Parameters
    ----------
    student, teacher : maps, float32 [N, channels, h, w]; numbers of channels may differ.
    """
    first, second = (
        functional.normalize(maps.square().sum(1).flatten(1)) for maps in (student, teacher)
    )
    return (first - second).square().sum(1).mean()


@contextmanager
def maps_of(network: Architecture) -> Iterator[list[Tensor]]:
    """A list to which each forward pass appends the explain layer's output [N, C, h, w]."""
    found: list[Tensor] = []
    layer: nn.Module = network.get_submodule(network.explain_layer)
    handle = layer.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()


class Teacher:
    """A trained network that another one of its architecture learns from.

    It predicts the batches that the student sees, augmented and noisy as they are, in evaluation
    mode; it learns nothing itself.
    """

    def __init__(self, network: Architecture, facts: Distillation) -> None:
        self.network, self.facts = network.eval(), facts

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, classes] and the explain layer's maps [N, C, h, w], as they are computed."""
        with maps_of(self.network) as maps:
            logits = self.network(images)
        return logits, maps[0]

    def loss(
        self,
        label_loss: Tensor,
        student: tuple[Tensor, Tensor],
        teacher: tuple[Tensor, Tensor],
    ) -> Tensor:
        """The loss of a batch: of labels and logits by their weights, and of attention.

        Parameters
        ----------
        label_loss : mean loss of the student's logits against the labels, a scalar.
        student, teacher : logits [N, classes] and maps [N, C, h, w] of each.
        """
        facts = self.facts
        (logits, maps), (told, shown) = student, teacher
        loss = label_loss
        if facts.logits:
            taught = logit_loss(logits.float(), told.float(), facts.temperature)
            loss = (1 - facts.logits) * label_loss + facts.logits * taught
        if facts.attention:
            loss = loss + facts.attention * attention_loss(maps.float(), shown.float())
        return loss
