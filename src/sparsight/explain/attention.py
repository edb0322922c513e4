"""The attention of a network, seen operation by operation, whatever library it was written with.

Fused kernels (`scaled_dot_product_attention`, that of `nn.MultiheadAttention`) never give the
weights of their attention. Here they are spelled out as products and a softmax while a forward pass
runs; the modules of the network are not touched, so that there is nothing to restore.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sparsight.io.errors import InputError
from sparsight.models.tokens import TokenGrid, prefix_tokens, token_grid


class SpelledAttention(TorchFunctionMode):
    """Inside a `with` block, attention runs as products and a softmax, which `operation` sees.

    Biases and masks that are added to the products are supported. What else attention can be told
    (keys and values that are appended, shared by heads, or hidden) is an InputError.
    """

    def operation(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Run an operation of torch; operations in here are not seen."""
        return func(*args, **kwargs)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, or what it is spelled out as."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        spelled = _SPELLED.get(name)
        if spelled is None:
            return self.operation(name, func, args, kwargs)
        with self:
            return spelled(*args, **kwargs)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    """What attention gives [..., T, D], and its weights [..., T, T]."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    products = (query * scale) @ key.transpose(-2, -1)
    if mask is not None and mask.dtype == torch.bool:
        products = products.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        products = products + mask
    weights = products.softmax(dim=-1)
    return weights @ value, weights


def _scaled_dot_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention`, in evaluation."""
    _require_plain(is_causal=is_causal, enable_gqa=enable_gqa)
    return _attend(query, key, value, attn_mask, scale)[0]


def _multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`torch.nn.functional.multi_head_attention_forward` of [T,N,D], in evaluation."""
    _require_plain(
        bias_k=bias_k is not None,
        add_zero_attn=add_zero_attn,
        key_padding_mask=key_padding_mask is not None,
        attn_mask=attn_mask is not None,
        static_k=static_k is not None,
        unbatched=query.ndim != 3,
    )
    weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    if in_proj_weight is not None:
        weights = in_proj_weight.chunk(3)
    biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    query, key, value = (
        functional.linear(part, weight, bias).unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)
        for part, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    found, attention = _attend(query, key, value, None, None)
    joined = found.permute(2, 0, 1, 3).flatten(2)
    shown = attention.mean(dim=1) if average_attn_weights else attention
    output = functional.linear(joined, out_proj_weight, out_proj_bias)
    return output, shown if need_weights else None


_SPELLED: dict[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": _scaled_dot_product,
    "multi_head_attention_forward": _multi_head,
}


def _require_plain(**options: bool) -> None:
    for name, given in options.items():
        if given:
            raise InputError(
                f"the network's attention uses '{name}', which methods that look into attention do "
                "not support; explain it with another method"
            )


def require_attention(explainer: str, found: int) -> None:
    """InputError for a network in which `explainer` found no attention."""
    if not found:
        raise InputError(
            f"explainer '{explainer}' needs a network with attention, and this one has none; name "
            "another explainer"
        )


class _Recorder(SpelledAttention):
    """Keeps every softmax over the last dimension of an array of three dimensions or more."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def operation(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        result = func(*args, **kwargs)
        if name != "softmax" or result.ndim < 3:
            return result
        dim = args[1] if len(args) > 1 else kwargs.get("dim")
        if dim not in (-1, result.ndim - 1):
            return result
        # The graph starts at the first attention.
        kept = result if result.requires_grad else result.detach().requires_grad_()
        self.weights.append(kept)
        return kept


class Block(NamedTuple):
    """The largest module that holds one self-attention and no other, and its output [N,T,D]."""

    module: nn.Module
    output: Tensor


class Attention(NamedTuple):
    """What a forward pass attended to.

    Attributes
    ----------
    weights : float32 [N,H,T,T] of each self-attention, in order: of image, head, reading token and
        token that is read. A row sums to 1. They are part of the graph of `logits`.
    logits : float32 [N,K].
    grid : where tokens lie.
    blocks : one for each self-attention; None where no module holds it alone and gives tokens.
    """

    weights: list[Tensor]
    logits: Tensor
    grid: TokenGrid
    blocks: list[Block | None]


def record_attention(model: nn.Module, images: Tensor, explainer: str) -> Attention:
    """One forward pass of images float32 [N,C,H,W], with the weights of all self-attention.

    InputError, with the name of the explainer, where the network has no attention, where it attends
    within windows or to other tokens than those that read (there is no way through all layers
    then), or where the tokens fill no grid.
    """
    recorder = _Recorder()
    with _blocks_seen(model, recorder) as blocks, torch.enable_grad(), recorder:
        logits = model(images)
    weights = recorder.weights
    require_attention(explainer, len(weights))
    tokens = weights[0].shape[-1]
    for place, one in enumerate(weights):
        if one.ndim != 4 or one.shape[0] != len(images) or one.shape[2:] != (tokens, tokens):
            raise InputError(
                f"explainer '{explainer}' follows tokens through layers in which each attends to "
                f"all others; attention {place + 1} of this network has weights of shape "
                f"{list(one.shape)} for {len(images)} images, so it attends within windows, or its "
                "tokens are not those of the layer before; name another explainer"
            )
    grid = token_grid(tokens, images.shape, prefix_tokens(model))
    if grid is None:
        raise InputError(
            f"explainer '{explainer}' cannot tell which of {tokens} tokens stand for which part of "
            f"an image of {images.shape[2]} x {images.shape[3]} pixels; name another explainer"
        )
    found = [blocks.get(place) for place in range(len(weights))]
    return Attention(weights, logits, grid, found)


@contextmanager
def _blocks_seen(model: nn.Module, recorder: _Recorder) -> Iterator[dict[int, Block]]:
    """Fill a dict, place of an attention to its block, in a forward pass inside the block."""
    found: dict[int, Block] = {}
    before: list[int] = []

    def leave(module: nn.Module, _inputs: Any, output: Any) -> None:
        last = len(recorder.weights)
        # A module that holds another one ends after it.
        if last == before.pop() + 1 and isinstance(output, Tensor) and output.ndim == 3:
            found[last - 1] = Block(module, output)

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.enter_context(
                module.register_forward_pre_hook(lambda *_: before.append(len(recorder.weights)))
            )
            hooks.enter_context(module.register_forward_hook(leave))
        yield found
