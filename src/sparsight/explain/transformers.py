"""Explainers that follow tokens through the attention of a transformer."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from sparsight.explain.attention import record_attention
from sparsight.explain.base import Explainer, ImageBatch, detached_float32, target_logits
from sparsight.explain.network import require_equal_logits
from sparsight.io.errors import InputError


class AttentionMap(Explainer):
    """What the tokens that the logit is read from take from each patch, layer by layer.

    Every self-attention gives a matrix [T,T] of what each token takes from each token of the layer
    before. Their product, the last layer's first, leads from what is read to the patches. The logit
    is read from the tokens that have a gradient behind the last attention: the class token, or,
    where a mean is taken, the patches; rows of several such tokens are averaged. The maps have the
    grid of the patches; tokens that stand for no patch are left out of them.
    """

    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "mean over heads"
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    needs_attention: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = True

    @abstractmethod
    def taken(self, weights: Tensor, gradients: Tensor) -> Tensor:
        """Matrix [N,T,T] of a layer, from the weights of its attention and the gradients there.

        Both are float32 [N,H,T,T]. Without `needs_gradients`, `gradients` may be anything.
        """

    def explain(self, batch: ImageBatch) -> Tensor:
        weights, logits, grid, _ = record_attention(batch.model, batch.images, self.name)
        score = target_logits(logits, batch.targets).sum()
        differentiated = weights if self.needs_gradients else weights[-1:]
        gradients = torch.autograd.grad(score, differentiated)
        rows = _read_tokens(gradients[-1], grid.prefix)
        for place in reversed(range(len(weights))):
            gradient = gradients[place if self.needs_gradients else -1]
            rows = (rows.unsqueeze(1) @ self.taken(weights[place].detach(), gradient)).squeeze(1)
        return detached_float32(grid.maps(rows))


def _read_tokens(gradients: Tensor, prefix: int) -> Tensor:
    """Which tokens the logit is read from, [N,T], each row summing to 1.

    `gradients` are those of the logit at the weights [N,H,T,T] of the last attention. Where they
    are 0, as in a network whose pruned weights let nothing through, the first of `prefix` tokens is
    taken, or all patches.
    """
    read = gradients.ne(0).any(dim=3).any(dim=1)
    usual = torch.zeros_like(read)
    usual[:, : 1 if prefix else None] = True
    read = torch.where(read.any(dim=1, keepdim=True), read, usual)
    return read / read.sum(dim=1, keepdim=True)


class AttentionRollout(AttentionMap):
    """Attention rollout: attention of all layers multiplied, shortcuts included.

    Each layer's matrix is half the mean of its heads and half the identity, which stands for the
    shortcut around the attention (section 3). It knows no class: every target has the same map.
    """

    name: ClassVar[str] = "attention_rollout"
    reference: ClassVar[str] = "arXiv:2005.00928"
    value_range: ClassVar[str] = "0 to 1; with the tokens that stand for no patch, a map sums to 1"
    # the backward pass ends at the last attention
    cost: ClassVar[int] = 2
    needs_gradients: ClassVar[bool] = False

    def taken(self, weights: Tensor, gradients: Tensor) -> Tensor:
        mean = weights.mean(dim=1)
        return (mean + torch.eye(mean.shape[-1]).to(mean)) / 2


class GradientAttention(AttentionMap):
    """Attention weighted by its gradient, handed on through all layers.

    Each layer adds the mean over heads of the positive part of gradient times attention to what it
    was given (the paper's rule for self-attention), so that heads that the target's logit does not
    depend on, or depends on negatively, count nothing.
    """

    name: ClassVar[str] = "gradient_attention"
    label: ClassVar[str] = "gradient × attention"
    reference: ClassVar[str] = "arXiv:2103.15679"
    value_range: ClassVar[str] = "0 or more"
    cost: ClassVar[int] = 3

    def taken(self, weights: Tensor, gradients: Tensor) -> Tensor:
        mean = (gradients * weights).clamp_min(0).mean(dim=1)
        return mean + torch.eye(mean.shape[-1]).to(mean)


class LeGrad(Explainer):
    """Positive gradient of each layer's own logit at the weights of its attention.

    What follows the last block is also run on the tokens behind every other block. The gradient of
    the logit that this gives, at the attention of that block alone, is averaged over heads and
    reading tokens, and over blocks. A block is the largest module that holds one self-attention.
    The paper scales a map to [0, 1], which is left to the scoring.
    """

    name: ClassVar[str] = "legrad"
    label: ClassVar[str] = "LeGrad"
    reference: ClassVar[str] = "arXiv:2404.03214"
    signed: ClassVar[bool] = False
    reduction: ClassVar[str] = "mean over heads"
    value_range: ClassVar[str] = "0 or more"
    # two forward passes; the backward passes lead through a block each
    cost: ClassVar[int] = 4
    native: ClassVar[str] = "layer"
    interpolation: ClassVar[str] = "bilinear"
    needs_attention: ClassVar[bool] = True

    def explain(self, batch: ImageBatch) -> Tensor:
        weights, logits, grid, blocks = record_attention(batch.model, batch.images, self.name)
        sizes = {None if block is None else block.output.shape for block in blocks}
        if None in sizes or len(sizes) > 1:
            raise InputError(
                "explainer 'legrad' needs a module for every block of a transformer, and tokens of "
                "one size behind them all; name another explainer"
            )
        outputs = torch.cat([block.output for block in blocks if block])
        last = blocks[-1]
        assert last is not None
        with torch.enable_grad(), last.module.register_forward_hook(lambda *_: outputs):
            of_all = batch.model(batch.images).unflatten(0, (len(blocks), len(batch)))
        require_equal_logits(of_all[-1].detach(), logits.detach(), self.name)
        total = torch.zeros(len(batch), weights[0].shape[-1]).to(logits)
        for own, attention in zip(of_all, weights, strict=True):
            score = target_logits(own, batch.targets).sum()
            (gradient,) = torch.autograd.grad(score, attention, retain_graph=True)
            total += gradient.clamp_min(0).mean(dim=(1, 2))
        return detached_float32(grid.maps(total / len(blocks)))
