"""Explainers of transformers, worked out by hand, on transformers however they are written."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.explain.base import ImageBatch
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from tests.unit.explain.tiny_transformer import (
    WAYS,
    Tiny,
    images_of,
    pointing,
    read_out,
    tiny,
    written_out,
)

TARGETS = torch.tensor([0, 2, 1])
OF_ATTENTION = ("attention_rollout", "gradient_attention", "legrad")


def explain(
    method: str, network: nn.Module, images: Tensor, targets: Tensor = TARGETS, **parameters: Any
) -> Tensor:
    found: Tensor = EXPLAINERS.load(method)(**parameters).explain(
        ImageBatch(network, images, targets, torch.arange(len(images)), method)
    )
    return found


def rollout(network: Tiny, images: Tensor) -> Tensor:
    """The whole product [N,T,T]."""
    weights, _, _ = written_out(network, images)
    product = torch.eye(weights[0].shape[-1]).expand(len(images), -1, -1)
    for one in weights:
        product = (one.mean(dim=1) + torch.eye(one.shape[-1])) / 2 @ product
    return product.detach()


def weighted(network: Tiny, images: Tensor, targets: Tensor) -> Tensor:
    """R of Chefer et al., [N,T,T]."""
    weights, _, logits = written_out(network, images)
    gradients = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), weights)
    relevance = torch.eye(weights[0].shape[-1]).expand(len(images), -1, -1)
    for one, gradient in zip(weights, gradients, strict=True):
        mean = torch.relu(gradient * one).mean(dim=1)
        relevance = relevance + mean @ relevance
    return relevance.detach()


def layer_wise(network: Tiny, images: Tensor, targets: Tensor) -> Tensor:
    """LeGrad's mean over blocks, [N,T]."""
    weights, behind, _ = written_out(network, images)
    total = torch.zeros(len(images), weights[0].shape[-1])
    for one, tokens in zip(weights, behind, strict=True):
        score = read_out(network, tokens).gather(1, targets[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, one, retain_graph=True)
        heads, reading = one.shape[1:3]
        total += torch.relu(gradient).sum(dim=(1, 2)) / (heads * reading)
    return total / len(weights)


@pytest.mark.parametrize("way", WAYS)
def test_maps_are_those_written_out(way: str) -> None:
    network = tiny(way=way)
    images = images_of(network)
    torch.testing.assert_close(network(images), written_out(network, images)[2].detach())
    expected = {
        "attention_rollout": rollout(network, images)[:, 0, 1:],
        "gradient_attention": weighted(network, images, TARGETS)[:, 0, 1:],
        "legrad": layer_wise(network, images, TARGETS)[:, 1:],
    }
    for method, maps in expected.items():
        found = explain(method, network, images)
        torch.testing.assert_close(found, maps.unflatten(1, (2, 3)))
        assert not found.requires_grad


def test_networks_without_a_class_token_are_read_at_all_patches() -> None:
    network = tiny(class_token=False)
    images = images_of(network)
    expected = {
        "attention_rollout": rollout(network, images).mean(dim=1),
        "gradient_attention": weighted(network, images, TARGETS).mean(dim=1),
        "legrad": layer_wise(network, images, TARGETS),
    }
    for method, maps in expected.items():
        found = explain(method, network, images)
        torch.testing.assert_close(found, maps.unflatten(1, (2, 3)))


def test_a_dead_head_leaves_the_class_token() -> None:
    network = tiny()
    images = images_of(network)
    network.head.weight.zero_()
    found = explain("attention_rollout", network, images)
    torch.testing.assert_close(found, rollout(network, images)[:, 0, 1:].unflatten(1, (2, 3)))
    for method in ("gradient_attention", "legrad"):
        assert not explain(method, network, images).any()


def test_an_image_has_its_map_in_any_batch() -> None:
    network = tiny()
    images = images_of(network)
    for method in (*OF_ATTENTION, "attn_lrp"):
        whole = explain(method, network, images)
        alone = explain(method, network, images[1:2], TARGETS[1:2])
        torch.testing.assert_close(whole[1:2], alone)


@pytest.mark.parametrize("bright", range(6))
def test_a_patch_that_the_class_token_attends_to_has_the_maximum(bright: int) -> None:
    network = pointing()
    images = torch.full((1, 1, 8, 12), 0.2)
    row, column = divmod(bright, 3)
    images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 0.9
    for method in (*OF_ATTENTION, "attn_lrp", "grad_cam"):
        layer = {"layer": "blocks.0.norm1"} if method == "grad_cam" else {}
        maps = explain(method, network, images, torch.tensor([1]), **layer)
        maps = functional.avg_pool2d(maps, maps.shape[1] // 2)
        assert int(maps.flatten().argmax()) == bright, method
    # class 0 speaks against it
    assert explain("attn_lrp", network, images, torch.tensor([0])).flatten().argmin() // 48 == row


class Lrp:
    """AttnLRP as the paper states it, by relevances instead of gradients; float64.

    `kept` sums the relevance that stays in biases, positions and the expansion of the softmax.
    """

    def __init__(self, network: Tiny) -> None:
        self.network, self.kept = network.double(), torch.zeros(())

    def linear(self, layer: nn.Linear, inputs: Tensor, relevance: Tensor) -> Tensor:
        """The epsilon rule: z_ij / z_j."""
        parts = inputs.unsqueeze(-2) * layer.weight
        whole = parts.sum(dim=-1) + layer.bias
        found = (parts / whole.unsqueeze(-1) * relevance.unsqueeze(-1)).sum(dim=-2)
        self.kept = self.kept + relevance.sum() - found.sum()
        return found

    def norm(self, layer: nn.LayerNorm, inputs: Tensor, relevance: Tensor) -> Tensor:
        """The identity rule for the division, the epsilon rule for the rest."""
        size = inputs.shape[-1]
        deviation = (inputs.var(dim=-1, correction=0, keepdim=True) + layer.eps).sqrt()
        centring = torch.eye(size).double() - 1 / size
        parts = inputs.unsqueeze(-2) * centring * layer.weight[:, None] / deviation.unsqueeze(-1)
        whole = parts.sum(dim=-1) + layer.bias
        found = (parts / whole.unsqueeze(-1) * relevance.unsqueeze(-1)).sum(dim=-2)
        self.kept = self.kept + relevance.sum() - found.sum()
        return found

    @staticmethod
    def product(left: Tensor, right: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
        """Half of each term's share to each factor."""
        parts = left.unsqueeze(-1) * right.unsqueeze(-3)
        shares = parts / (2 * parts.sum(dim=-2, keepdim=True)) * relevance.unsqueeze(-2)
        return shares.sum(dim=-1), shares.sum(dim=-3)

    def softmax(self, inputs: Tensor, relevance: Tensor) -> Tensor:
        """x_i (R_i - s_i times the sum of R)."""
        found = inputs * (relevance - inputs.softmax(-1) * relevance.sum(dim=-1, keepdim=True))
        self.kept = self.kept + relevance.sum() - found.sum()
        return found

    def attention(self, block: Any, inputs: Tensor, relevance: Tensor) -> Tensor:
        attention = block.attention
        parts = attention.qkv(inputs).unflatten(2, (3, attention.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scale = query.shape[-1] ** -0.5
        scores = query @ key.transpose(2, 3) * scale
        weights = scores.softmax(-1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        back = self.linear(attention.out, mixed, relevance)
        back = back.unflatten(2, (attention.heads, -1)).transpose(1, 2)
        of_weights, of_value = self.product(weights, value, back)
        of_scores = self.softmax(scores, of_weights)
        of_query, of_key = self.product(query, key.transpose(2, 3), of_scores)
        whole = torch.stack([of_query, of_key.transpose(2, 3), of_value])
        whole = whole.permute(1, 3, 0, 2, 4).flatten(2)
        return self.linear(attention.qkv, inputs, whole)

    def block(self, block: Any, tokens: Tensor, relevance: Tensor) -> Tensor:
        normed = block.norm1(tokens)
        branch = block.attention(normed)
        middle = tokens + branch
        second = block.norm2(middle)
        hidden = block.into(second)
        through = block.back(block.gelu(hidden))
        share = relevance / (middle + through)
        inner = self.linear(block.back, block.gelu(hidden), through * share)
        inner = self.norm(block.norm2, middle, self.linear(block.into, second, inner))
        share = (middle * share + inner) / middle
        inner = self.norm(block.norm1, tokens, self.attention(block, normed, branch * share))
        return tokens * share + inner

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        network, kept = self.network, []
        maps = network.patches(images).flatten(2).transpose(1, 2)
        before = torch.cat([network.class_token.expand(len(images), -1, -1), maps], dim=1)
        tokens = before + network.positions
        for block in network.blocks:
            kept.append(tokens)
            tokens = block(tokens)
        read = network.norm(tokens[:, 0])
        logits = network.head(read)
        relevance = torch.zeros_like(logits).scatter(
            1, targets[:, None], logits.gather(1, targets[:, None])
        )
        at_token = torch.zeros_like(tokens)
        at_token[:, 0] = self.norm(
            network.norm, tokens[:, 0], self.linear(network.head, read, relevance)
        )
        relevance = at_token
        for block, inputs in zip(reversed(network.blocks), reversed(kept), strict=True):
            relevance = self.block(block, inputs, relevance)
        at_maps = (relevance * before / (before + network.positions))[:, 1:]
        self.kept = self.kept + relevance.sum() - at_maps.sum()
        rows = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).squeeze(1).flatten(1, 2)
        flat = nn.Linear(16, maps.shape[2]).double()
        flat.weight, flat.bias = (
            nn.Parameter(network.patches.weight.flatten(1)),
            network.patches.bias,
        )
        pixels = self.linear(flat, rows, at_maps)
        self.logit = logits.gather(1, targets[:, None]).sum()
        return (
            pixels.unflatten(1, network.side)
            .unflatten(3, (4, 4))
            .transpose(2, 3)
            .flatten(3)
            .flatten(1, 2)
        )


@pytest.mark.parametrize("way", WAYS)
def test_attn_lrp_hands_down_relevance_as_the_paper_states(way: str) -> None:
    network = tiny(way=way).double()
    images = images_of(network).double()
    by_hand = Lrp(network)
    expected = by_hand(images, TARGETS)
    found = explain("attn_lrp", network, images)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        found.double().sum() + by_hand.kept, by_hand.logit, rtol=1e-5, atol=1e-5
    )


class Beside(nn.Module):
    """Convolution and linear layer, and attention that counts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(64, 3)
        )

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1)
        aside = functional.scaled_dot_product_attention(rows, rows, rows).sum(dim=(1, 2))
        found: Tensor = self.plain(images) + 0 * aside[:, None]
        return found


def test_the_gamma_rule_is_that_of_zennit() -> None:
    from zennit.composites import LayerMapComposite
    from zennit.rules import Gamma

    torch.manual_seed(1)
    network = Beside().requires_grad_(False)
    images = torch.rand(3, 1, 8, 8) - 0.5
    found = explain("attn_lrp", network, images, gamma_convolution=0.25, gamma_linear=0.05)
    rules = [(nn.Conv2d, Gamma(gamma=0.25)), (nn.Linear, Gamma(gamma=0.05))]
    wanted = images.clone().requires_grad_()
    with LayerMapComposite(rules).context(network.plain):
        scores = network.plain(wanted).gather(1, TARGETS[:, None])
        (relevance,) = torch.autograd.grad(scores, wanted, scores.detach())
    torch.testing.assert_close(found, relevance[:, 0], rtol=1e-4, atol=1e-6)
    plain = explain("attn_lrp", network, images)
    assert not torch.allclose(found, plain, rtol=1e-2, atol=1e-4)


def test_the_cost_follows_the_rules() -> None:
    method = EXPLAINERS.load("attn_lrp")
    assert method().facts()["cost"] == EXPLAINERS.facts("attn_lrp")["cost"]
    assert method(gamma_linear=0.05).facts()["cost"] > method().facts()["cost"]


def test_attn_lrp_starts_behind_the_normalisation_of_images() -> None:
    from sparsight.models.base import Normalise

    network = tiny()
    images = images_of(network)
    normalised = Normalise([0.4], [0.3])(images)
    expected = explain("attn_lrp", network, normalised)
    found = explain("attn_lrp", nn.Sequential(Normalise([0.4], [0.3]), network), images)
    torch.testing.assert_close(found, expected)


class Windows(nn.Module):
    """Attention inside quarters of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(1, 8, 2, stride=2), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patches(images)
        rows = maps.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 4, 5, 1)
        windows = rows.reshape(-1, 1, 4, 8)
        found = functional.scaled_dot_product_attention(windows, windows, windows)
        logits: Tensor = self.head(found.reshape(len(images), -1, 8).mean(dim=1))
        return logits


class Pooling(nn.Module):
    """One token that reads the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(1, 8, 2, stride=2), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.patches(images).flatten(2).transpose(1, 2).unsqueeze(1)
        found = functional.scaled_dot_product_attention(rows.mean(dim=2, keepdim=True), rows, rows)
        logits: Tensor = self.head(found[:, 0, 0])
        return logits


class Causal(Windows):
    """Tokens that read those before them only."""

    def forward(self, images: Tensor) -> Tensor:
        rows = self.patches(images).flatten(2).transpose(1, 2).unsqueeze(1)
        found = functional.scaled_dot_product_attention(rows, rows, rows, is_causal=True)
        logits: Tensor = self.head(found[:, 0].mean(dim=1))
        return logits


@pytest.mark.parametrize("method", OF_ATTENTION)
@pytest.mark.parametrize("refused", [Windows, Pooling, Causal])
def test_attention_that_leads_through_no_layer_is_refused(
    refused: type[nn.Module], method: str
) -> None:
    torch.manual_seed(0)
    network = refused().requires_grad_(False)
    with pytest.raises(InputError, match="is_causal" if refused is Causal else method):
        explain(method, network, torch.rand(3, 1, 8, 8))


def test_attn_lrp_needs_no_way_through_all_layers() -> None:
    torch.manual_seed(0)
    for network in (Windows(), Pooling()):
        maps = explain("attn_lrp", network.requires_grad_(False), torch.rand(3, 1, 8, 8))
        assert maps.shape == (3, 8, 8)
        assert maps.any()


@pytest.mark.parametrize("method", [*OF_ATTENTION, "attn_lrp"])
def test_a_network_without_attention_is_refused(method: str, network: nn.Module) -> None:
    with pytest.raises(InputError, match=method):
        explain(method, network, torch.rand(3, 1, 28, 28))


class Sigmoid(Tiny):
    """A gate, for which AttnLRP has no rule."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).sigmoid()


def test_attn_lrp_names_an_operation_without_a_rule() -> None:
    network = Sigmoid().requires_grad_(False)
    with pytest.raises(InputError, match="'sigmoid'"):
        explain("attn_lrp", network, images_of(network))


class Rows(nn.Module):
    """Attention over the rows of an image."""

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1).unflatten(2, (1, -1)).transpose(1, 2)
        return functional.scaled_dot_product_attention(rows, rows, rows).mean(dim=(1, 2))


@pytest.mark.parametrize("method", OF_ATTENTION)
def test_tokens_that_fill_no_grid_are_refused(method: str) -> None:
    with pytest.raises(InputError, match=f"'{method}' cannot tell which of 60 tokens"):
        explain(method, Rows(), torch.rand(3, 1, 60, 60))


def test_nothing_stays_in_the_network() -> None:
    network = tiny(way="fused")
    images = images_of(network)
    before = network(images)
    for method in (*OF_ATTENTION, "attn_lrp"):
        explain(method, network, images)
    assert torch.equal(network(images), before)
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


CAMS = (
    *("grad_cam", "grad_cam_pp", "xgrad_cam", "hires_cam", "layer_cam"),
    *("eigen_cam", "score_cam", "ablation_cam", "mean_activation"),
)


@pytest.mark.parametrize("method", CAMS)
def test_class_activation_maps_are_the_same_in_every_form(method: str) -> None:
    network = tiny()
    images = images_of(network)
    network.class_token.zero_()
    network.positions.zero_()
    expected = explain(method, network, images, layer="patches")
    assert expected.any()
    for layer in ("innermost", "tokens", "embedded"):
        found = explain(method, network, images, layer=layer)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_hires_cam_before_the_last_attention_by_hand() -> None:
    network = tiny()
    images = images_of(network)
    tokens: Tensor = network.blocks[1].norm1(network.blocks[0](_embedded(network, images)))
    wanted = tokens.detach().requires_grad_()
    handle = network.blocks[1].norm1.register_forward_hook(lambda *_: wanted)
    with handle:
        score = network(images).gather(1, TARGETS[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, wanted)
    expected = (tokens * gradient).sum(dim=2)[:, 1:].unflatten(1, (2, 3))
    found = explain("hires_cam", network, images, layer="blocks.1.norm1")
    torch.testing.assert_close(found, expected)


def _embedded(network: Tiny, images: Tensor) -> Tensor:
    found: list[Tensor] = []
    with network.embedded.register_forward_hook(
        lambda _module, _inputs, output: found.append(output)
    ):
        network(images)
    return found[0]


def test_a_layer_of_which_only_the_class_token_is_read_is_refused() -> None:
    network = tiny()
    images = images_of(network)
    for method in ("grad_cam", "hires_cam", "layer_cam"):
        with pytest.raises(InputError, match=r"'blocks\.1'"):
            explain(method, network, images, layer="blocks.1")
    network.head.weight.zero_()
    assert not explain("grad_cam", network, images, layer="blocks.1").any()
    pooled = tiny(class_token=False)
    assert explain("hires_cam", pooled, images_of(pooled), layer="blocks.1").any()
