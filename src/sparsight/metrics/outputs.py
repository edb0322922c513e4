"""What a network says of perturbed images, in passes whose memory is bounded."""

from typing import Literal

import torch
from torch import Tensor, nn

from sparsight.explain.base import target_logits

OutputKind = Literal["logit", "probability", "correct"]


@torch.no_grad()
def target_outputs(
    model: nn.Module, images: Tensor, targets: Tensor, kind: OutputKind, chunk: int
) -> Tensor:
    """The output for each image's target.

    Parameters
    ----------
    model : frozen network that gives logits [N, K].
    images : float32 [N, C, H, W] on the model's device.
    targets : int64 [N].
    kind : "logit"; "probability" (softmax); or "correct", 1 where the target is the prediction.
    chunk : images a forward pass, 1 or more.

    Returns
    -------
    float32 [N].
    """
    parts = []
    for some, classes in zip(images.split(chunk), targets.split(chunk), strict=True):
        parts.append(chosen_output(model(some), classes, kind))
    return torch.cat(parts) if parts else images.new_zeros(0)


def chosen_output(logits: Tensor, targets: Tensor, kind: OutputKind) -> Tensor:
    """What `target_outputs` gives, of logits [N, K] that are there already: float32 [N]."""
    if kind == "probability":
        return target_logits(logits.softmax(dim=1), targets)
    if kind == "correct":
        return (logits.argmax(dim=1) == targets).float()
    return target_logits(logits, targets)
