"""A transformer small enough to be worked out by hand, written in the ways that people write it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

WAYS = ("written_out", "fused", "torch", "torch_sequence_first", "torch_layer")


class SelfAttention(nn.Module):
    """Attention of `way`; `qkv` and `out` hold the weights, whatever runs."""

    def __init__(self, width: int, heads: int, way: str) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.way = heads, way
        if way.startswith("torch"):
            self.first = way == "torch_sequence_first"
            self.inner = nn.MultiheadAttention(width, heads, batch_first=not self.first)
            self.inner.in_proj_weight, self.inner.in_proj_bias = self.qkv.weight, self.qkv.bias
            self.inner.out_proj.weight, self.inner.out_proj.bias = self.out.weight, self.out.bias

    def forward(self, tokens: Tensor) -> Tensor:
        if self.way.startswith("torch"):
            inputs = tokens.transpose(0, 1) if self.first else tokens
            given: Tensor = self.inner(inputs, inputs, inputs, need_weights=self.first)[0]
            return given.transpose(0, 1) if self.first else given
        parts = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        if self.way == "fused":
            found = functional.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
            found = functional.softmax(scores, dim=-1) @ value
        mixed: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """Attention and a perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, way: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, way)
        self.into, self.gelu, self.back = nn.Linear(width, 6), nn.GELU(), nn.Linear(6, width)
        if way == "torch_layer":
            self.layer = nn.TransformerEncoderLayer(
                width, heads, 6, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.layer.self_attn = self.attention.inner
            self.layer.linear1, self.layer.linear2 = self.into, self.back
            self.layer.norm1, self.layer.norm2 = self.norm1, self.norm2

    def forward(self, tokens: Tensor) -> Tensor:
        if self.attention.way == "torch_layer":
            found: Tensor = self.layer(tokens)
            return found
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.back(self.gelu(self.into(self.norm2(tokens))))


class Tiny(nn.Module):
    """Patches of 4 pixels, `depth` blocks, and a head on the class token or the patches' mean."""

    def __init__(
        self,
        way: str = "fused",
        width: int = 8,
        depth: int = 2,
        heads: int = 2,
        side: tuple[int, int] = (2, 3),
        class_token: bool = True,
        classes: int = 3,
    ) -> None:
        super().__init__()
        self.side, self.with_class = side, class_token
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        # what runs through these is the same, held in other forms
        self.innermost, self.tokens, self.embedded = nn.Identity(), nn.Identity(), nn.Identity()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, side[0] * side[1] + class_token, width))
        self.blocks = nn.Sequential(*[Block(width, heads, way) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.innermost(self.patches(images).permute(0, 2, 3, 1))
        tokens = self.tokens(maps.flatten(1, 2))
        if self.with_class:
            tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = self.norm(self.blocks(self.embedded(tokens + self.positions)))
        found: Tensor = self.head(tokens[:, 0] if self.with_class else tokens.mean(dim=1))
        return found


def tiny(seed: int = 0, **options: object) -> Tiny:
    """In evaluation mode and frozen, with weights that are large enough to matter."""
    network = Tiny(**options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            size = 0.3 if parameter.ndim == 1 else 0.7
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return network.eval().requires_grad_(False)


def images_of(network: Tiny, count: int = 3) -> Tensor:
    """Random images [count,1,H,W] for the network."""
    height, width = (4 * side for side in network.side)
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(7))


def written_out(network: Tiny, images: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Attention weights [N,H,T,T] of the blocks, tokens [N,T,D] behind them, and the logits.

    Operation by operation, with nothing of the modules but their weights; the graph starts at the
    weights of the first attention.
    """

    def linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
        return torch.einsum("...i,oi->...o", inputs, layer.weight) + layer.bias

    def norm(layer: nn.LayerNorm, inputs: Tensor) -> Tensor:
        mean = inputs.mean(dim=-1, keepdim=True)
        variance = ((inputs - mean) ** 2).mean(dim=-1, keepdim=True)
        return (inputs - mean) / (variance + layer.eps).sqrt() * layer.weight + layer.bias

    rows = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).squeeze(1).flatten(1, 2)
    weight = network.patches.weight.flatten(1)
    tokens = torch.einsum("ntp,dp->ntd", rows, weight) + network.patches.bias
    if network.with_class:
        tokens = torch.cat([network.class_token.expand(len(images), -1, -1), tokens], dim=1)
    tokens = tokens + network.positions
    weights, behind = [], []
    for block in network.blocks:
        assert isinstance(block, Block)
        heads = block.attention.heads
        parts = linear(block.attention.qkv, norm(block.norm1, tokens)).chunk(3, dim=2)
        query, key, value = (one.unflatten(2, (heads, -1)) for one in parts)
        scores = torch.einsum("nihd,njhd->nhij", query, key) / query.shape[-1] ** 0.5
        attention = scores.exp() / scores.exp().sum(dim=3, keepdim=True)
        attention = attention if attention.requires_grad else attention.requires_grad_()
        weights.append(attention)
        mixed = torch.einsum("nhij,njhd->nihd", attention, value).flatten(2)
        tokens = tokens + linear(block.attention.out, mixed)
        hidden = linear(block.into, norm(block.norm2, tokens))
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        tokens = tokens + linear(block.back, hidden)
        behind.append(tokens)
    return weights, behind, read_out(network, tokens)


def read_out(network: Tiny, tokens: Tensor) -> Tensor:
    """Logits [N,K] of tokens [N,T,D] behind a block."""
    normed = functional.layer_norm(
        tokens, tokens.shape[2:], network.norm.weight, network.norm.bias, network.norm.eps
    )
    read = normed[:, 0] if network.with_class else normed.mean(dim=1)
    return read @ network.head.weight.T + network.head.bias


def pointing(depth: int = 2) -> Tiny:
    """Its class token attends, in every block, to the brightest of 2 x 3 patches, and reads it.

    Of two channels, the first holds the brightness of a patch and the second marks the class token.
    The logit of class 1 grows with the first, and that of class 0 falls.
    """
    network = Tiny("fused", width=2, depth=depth, heads=1, classes=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.patches.weight[0] = 1 / 16
        network.class_token[0, 0, 1] = 1
        for block in network.blocks:
            assert isinstance(block, Block)
            block.norm1, block.norm2 = nn.Identity(), nn.Identity()
            # queries of the class token, keys and values of the brightness
            block.attention.qkv.weight[0, 1] = 20
            block.attention.qkv.weight[2, 0] = 1
            block.attention.qkv.weight[4, 0] = 1
            block.attention.out.weight[0, 0] = 1
        network.norm = nn.Identity()
        network.head.weight[:, 0] = torch.tensor([-1.0, 1.0])
    return network.eval().requires_grad_(False)
