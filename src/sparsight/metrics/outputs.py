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
        logits = model(some)
        if kind == "probability":
            parts.append(target_logits(logits.softmax(dim=1), classes))
        elif kind == "correct":
            parts.append((logits.argmax(dim=1) == classes).float())
        else:
            parts.append(target_logits(logits, classes))
    return torch.cat(parts) if parts else images.new_zeros(0)
