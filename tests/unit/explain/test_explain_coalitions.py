"""LIME and KernelSHAP on games whose answer is known, and what holds for both."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, build_explainers
from sparsight.explain.randomness import image_generator
from sparsight.explain.registry import EXPLAINERS
from sparsight.explain.surrogates import (
    KernelShap,
    Lime,
    shapley_values,
    superpixels,
    weighted_ridge,
)
from sparsight.io.errors import InputError

Batch = tuple[Tensor, Tensor, Tensor]
METHODS = {"lime": {}, "kernel_shap": {}}
ZERO = torch.tensor([0])


def build(method: str, **parameters: object) -> Explainer:
    return build_explainers({"x": {"method": method, "parameters": parameters}})["x"]


def linear(images: Tensor, bias: float = 0.7) -> nn.Module:
    """Two classes, each the sum over pixels of weight times value, plus a constant."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 2))
    model[1].bias.data.fill_(bias)
    return model.requires_grad_(False)


def perceptron(images: Tensor) -> nn.Module:
    torch.manual_seed(3)
    hidden = nn.Linear(images[0].numel(), 16)
    # far from linear
    hidden.weight.data.mul_(6)
    return nn.Sequential(nn.Flatten(), hidden, nn.Tanh(), nn.Linear(16, 3)).requires_grad_(False)


def image(height: int, width: int, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.rand(1, channels, height, width, generator=generator)


def segment_sums(values: Tensor, segments: Tensor) -> Tensor:
    """Sum of `values` [H,W] over each segment, on all its pixels."""
    sums = torch.zeros(int(segments.max()) + 1).index_add(0, segments.flatten(), values.flatten())
    return sums[segments]


def value_of(coalition: tuple[int, ...], model: nn.Module, images: Tensor, pieces: Tensor) -> float:
    """Logit of class 1 where the superpixels in `coalition` are on, the others black."""
    on = torch.isin(pieces, torch.tensor(coalition, dtype=torch.int64))
    return float(model(images * on)[0, 1])


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("lime", {"ridge": 0.0, "n_samples": 40}),
        ("lime", {"ridge": 0.0, "n_samples": 40, "kernel_width": 5.0}),
        # sampled, the last without its complement; and with all 510 coalitions
        ("kernel_shap", {"n_samples": 41}),
        ("kernel_shap", {"n_samples": 510}),
    ],
)
@pytest.mark.parametrize("baseline", ["grey", "mean"])
def test_a_network_that_adds_up_superpixels_gets_its_addends(
    method: str, parameters: dict[str, float], baseline: str
) -> None:
    images = image(9, 9, 3)
    segments = superpixels(images, 9)[0]
    model = linear(images)
    explainer = build(method, segments=9, baseline=baseline, grey=0.25, **parameters)
    found = explainer.explain(ImageBatch(model, images, ZERO, torch.tensor([5]), "x"))[0]
    off = torch.full_like(images[0], 0.25)
    if baseline == "mean":
        off = torch.stack([segment_sums(part, segments) / 9 for part in images[0]])
    weights = model[1].weight[0].view(3, 9, 9)
    expected = segment_sums((weights * (images[0] - off)).sum(0), segments)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert (expected < 0).any()


def test_shapley_values_by_brute_force() -> None:
    images = image(6, 9)
    pieces = superpixels(images, 6)[0]
    model = perceptron(images)
    players = range(6)
    expected = []
    for player in players:
        total = 0.0
        for order in itertools.permutations(players):
            before = order[: order.index(player)]
            total += value_of((*before, player), model, images, pieces)
            total -= value_of(before, model, images, pieces)
        expected.append(total / math.factorial(6))
    explainer = KernelShap(segments=6, n_samples=62, baseline="grey")
    found = explainer.explain(ImageBatch(model, images, ZERO + 1, ZERO, "x"))[0]
    torch.testing.assert_close(found, torch.tensor(expected)[pieces], atol=1e-5, rtol=1e-4)
    # Not the gain of adding a superpixel last: the network is no sum.
    last = [
        value_of(tuple(players), model, images, pieces)
        - value_of(tuple(p for p in players if p != player), model, images, pieces)
        for player in players
    ]
    assert (found - torch.tensor(last)[pieces]).abs().max() > 0.01


def test_the_glove_game() -> None:
    # Superpixel 0 alone is worth nothing, nor are 1 and 2 without it; with either it is worth 1.
    # Of the six orders, 1 comes directly before 0's completion in one: values 4/6, 1/6, 1/6.
    sets = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    outputs = sets[:, 0] * sets[:, 1:].amax(1)
    proper = sets[1:-1]
    sizes = proper.sum(1).long()
    weights = torch.tensor([2 / (math.comb(3, s) * s * (3 - s)) for s in sizes.tolist()])
    found = shapley_values(proper, outputs[1:-1], weights.double(), outputs[0], outputs[-1])
    torch.testing.assert_close(found, torch.tensor([4.0, 1.0, 1.0], dtype=torch.float64) / 6)


@pytest.mark.parametrize("n_samples", [2, 5, 24])
def test_efficiency_holds_for_any_number_of_samples(n_samples: int) -> None:
    images = image(12, 12)
    pieces, model = superpixels(images, 16)[0], perceptron(images)
    explainer = KernelShap(segments=16, n_samples=n_samples, baseline="grey")
    found = explainer.explain(ImageBatch(model, images, ZERO + 1, ZERO, "x"))[0]
    values = torch.stack([found[pieces == piece].mean() for piece in pieces.unique()])
    gain = value_of(tuple(range(16)), model, images, pieces) - value_of((), model, images, pieces)
    assert values.sum().item() == pytest.approx(gain, abs=1e-5)


def test_coalitions_are_drawn_from_the_shapley_kernel_in_pairs() -> None:
    found = KernelShap(n_samples=20000).coalitions(16, torch.Generator().manual_seed(0))
    assert found[0].all()
    assert not found[1].any()
    proper = found[2:]
    assert torch.equal(proper[0::2], ~proper[1::2])
    sizes = torch.arange(1, 16)
    share = 1 / (sizes * (16 - sizes))
    drawn = torch.bincount(proper.sum(1), minlength=16)[1:] / len(proper)
    torch.testing.assert_close(drawn, share / share.sum(), atol=0.012, rtol=0)
    # No superpixel is preferred.
    torch.testing.assert_close(
        proper[0::2].float().mean(0), torch.full((16,), 0.5), atol=0.02, rtol=0
    )


def test_limes_kernel_on_paper() -> None:
    # A quarter of four superpixels: cosine 1/2, distance 1/2; nothing: distance 1.
    rows = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]).bool()
    expected = torch.tensor([1.0, math.exp(-0.5), math.exp(-2.0)], dtype=torch.float64)
    torch.testing.assert_close(Lime(kernel_width=0.5).weights(rows), expected)


def test_lime_draws_each_superpixel_with_one_half_after_the_whole_image() -> None:
    found = Lime(n_samples=4000).coalitions(5, torch.Generator().manual_seed(0))
    assert found.shape == (4000, 5)
    assert found[0].all()
    torch.testing.assert_close(found.float().mean(0), torch.full((5,), 0.5), atol=0.03, rtol=0)


def test_weighted_ridge_on_paper() -> None:
    # One input, 0 or 1, and outputs 1 and 4 of weights 1 and 3. Means 3/4 and 13/4; the sums about
    # them are 3/4 and 9/4, so that the slope is 9/4 / (3/4 + penalty).
    inputs = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    outputs, weights = torch.tensor([[1.0, 4.0], [1.0, 3.0]], dtype=torch.float64)
    for penalty, slope in ((0.0, 3.0), (0.75, 1.5)):
        found = weighted_ridge(inputs, outputs, weights, penalty)
        assert found.tolist() == [pytest.approx(slope)]


def test_the_probability_of_the_target() -> None:
    images = image(4, 4)
    model = linear(images)
    found = KernelShap(segments=4, baseline="grey", output="probability").explain(
        ImageBatch(model, images, ZERO, ZERO, "x")
    )[0]
    gain = model(images).softmax(1)[0, 0] - model(torch.zeros_like(images)).softmax(1)[0, 0]
    assert found[::2, ::2].sum().item() == pytest.approx(gain.item(), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_images_with_different_numbers_of_superpixels_do_not_mix(method: str) -> None:
    # Stripes are cut into more superpixels than a plain image is.
    images = image(48, 48, 3).repeat(3, 1, 1, 1) * 0.1
    images[1, :, :, ::16] = 1
    images[2, 0, 20:] = 1
    counts = [int(part.max()) + 1 for part in superpixels(images, 4)]
    assert len(set(counts)) > 1
    model, targets, ids = perceptron(images), torch.tensor([0, 2, 1]), torch.tensor([5, 6, 9])
    explainer = build(method, segments=4, n_samples=30)
    whole = explainer.explain(ImageBatch(model, images, targets, ids, "x"))
    for row in range(3):
        part = slice(row, row + 1)
        alone = explainer.explain(ImageBatch(model, images[part], targets[part], ids[part], "x"))
        torch.testing.assert_close(alone[0], whole[row], atol=1e-6, rtol=1e-4)
    assert whole.abs().amax(dim=(1, 2)).min() > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_batch_size_and_order_do_not_matter(network: nn.Module, batch: Batch, method: str) -> None:
    order = [4, 0, 6, 2, 1, 5, 3]
    explainer = build(method, segments=9, n_samples=30)
    whole = explainer.explain(ImageBatch(network, *batch, "x"))
    shuffled = explainer.explain(ImageBatch(network, *(part[order] for part in batch), "x"))
    first = explainer.explain(ImageBatch(network, *(part[:1] for part in batch), "x"))
    assert whole.shape == (7, 28, 28)
    assert whole.dtype == torch.float32
    assert whole.abs().amax(dim=(1, 2)).min() > 1e-4
    torch.testing.assert_close(shuffled, whole[order], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(first, whole[:1], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_randomness_belongs_to_image_and_name(
    network: nn.Module, batch: Batch, method: str
) -> None:
    images, targets, ids = batch
    explainer = build(method, segments=9, n_samples=30)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = explainer.explain(ImageBatch(network, *batch, "x"))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(explainer.explain(ImageBatch(network, *batch, "y")), first, atol=1e-5)
    assert not torch.allclose(
        explainer.explain(ImageBatch(network, images, targets, ids + 1, "x")), first
    )
    drawn = explainer.coalitions(9, image_generator(int(ids[0]), "x"))
    assert torch.equal(drawn, explainer.coalitions(9, image_generator(int(ids[0]), "x")))


@pytest.mark.parametrize(
    ("method", "parameters", "cost"),
    [
        ("lime", {"n_samples": 7}, 7),
        ("kernel_shap", {"n_samples": 7, "segments": 9}, 9),
    ],
)
def test_passes_of_one_batch_as_many_as_the_cost_says(
    method: str, parameters: dict[str, int], cost: int, network: nn.Module, batch: Batch
) -> None:
    rows: list[int] = []
    handle = network.get_submodule("conv1").register_forward_hook(
        lambda module, given, output: rows.append(len(output))
    )
    copy = batch[0].clone()
    explainer = build(method, **parameters)
    explainer.explain(ImageBatch(network, *batch, "x"))
    handle.remove()
    assert rows == [7] * cost
    assert explainer.facts()["cost"] == cost
    assert torch.equal(batch[0], copy)


@pytest.mark.parametrize("method", METHODS)
def test_facts_are_those_of_the_defaults(method: str) -> None:
    assert build(method).facts()["cost"] == EXPLAINERS.facts(method)["cost"]
    assert EXPLAINERS.facts(method)["native"] == "pixel"


@pytest.mark.parametrize(
    ("method", "parameters", "sentence"),
    [
        ("lime", {"segments": 1}, "segments is 1, but must be at least 2"),
        ("kernel_shap", {"n_samples": 1}, "n_samples is 1, but must be at least 2"),
        ("lime", {"ridge": -1.0}, "ridge is -1.0, but must be at least 0"),
        ("lime", {"kernel_width": 0.0}, "kernel_width is 0.0, but must be at least 0.01"),
        ("lime", {"baseline": "black"}, "baseline is 'black', but must be one of mean, grey"),
        (
            "kernel_shap",
            {"output": "loss"},
            "output is 'loss', but must be one of logit, probability",
        ),
    ],
)
def test_unusable_parameters(method: str, parameters: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build(method, **parameters)


@pytest.mark.parametrize(("segments", "passes"), [(4, 16), (6, 64)])
def test_the_cost_of_kernel_shap_is_an_upper_bound(
    segments: int, passes: int, network: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images may have more superpixels than asked for: six have 62 proper coalitions, not 14."""
    cut = (torch.arange(28 * 28) % segments).view(1, 28, 28).expand(7, -1, -1)
    monkeypatch.setattr("sparsight.explain.surrogates.superpixels", lambda images, count: cut)
    rows: list[int] = []
    network.register_forward_hook(lambda module, given, output: rows.append(len(output)))
    explainer = build("kernel_shap", n_samples=70, segments=4)
    explainer.explain(ImageBatch(network, *batch, "x"))
    assert len(rows) == passes <= explainer.facts()["cost"] == 72
