"""Criteria that look at the network or at images, against answers known by definition."""

import copy
import itertools

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from sparsight.io.errors import InputError
from sparsight.models.base import prunable_parameters
from sparsight.pruning.criteria import layer_inputs, weight_relevance
from sparsight.pruning.masks import Step, dense_masks
from sparsight.pruning.observation import Calibration, Observation
from sparsight.pruning.registry import CRITERIA
from sparsight.pruning.selection import Rule

COUNT, SIDE, CLASSES = 24, 8, 3


def small() -> nn.Sequential:
    """Two convolutions with batch normalisation, and a linear layer."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )
    with torch.no_grad():
        for weight in prunable_parameters(network).values():
            weight.mul_(3)
    network.train()(torch.rand(16, 2, SIDE, SIDE))
    return network.eval()


def images() -> tuple[Tensor, Tensor]:
    """Calibration images and labels."""
    draw = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (COUNT, 2, SIDE, SIDE), dtype=torch.uint8, generator=draw)
    return pixels, torch.randint(CLASSES, (COUNT,), generator=draw)


def seen(network: nn.Module, batch_size: int = 7) -> Observation:
    """All that a criterion may ask."""
    weights = {name: value.detach().clone() for name, value in prunable_parameters(network).items()}
    pixels, labels = images()
    return Observation(
        weights, 5, copy.deepcopy(network), pixels, labels, (2, SIDE, SIDE), batch_size
    )


def scores(name: str, evidence: Observation) -> dict[str, Tensor]:
    """Of a criterion of the registry."""
    found: dict[str, Tensor] = CRITERIA.load(name)().scores(evidence)
    return {key: value.detach() for key, value in found.items()}


@pytest.mark.parametrize("name", sorted(CRITERIA.entries))
def test_scores_have_the_shapes_of_the_weights_and_do_not_depend_on_the_batch_size(
    name: str,
) -> None:
    first, second = (scores(name, seen(small(), size)) for size in (COUNT, COUNT))
    for key, value in prunable_parameters(small()).items():
        assert first[key].shape == value.shape
        assert torch.isfinite(first[key]).all()
        assert torch.equal(first[key], second[key])
    # What is defined batch by batch may depend on it, and statistics of batches do.
    if name not in ("taylor", "movement", "snip", "iterative_snip", "grasp"):
        other = scores(name, seen(small(), 7))
        for key, value in first.items():
            assert torch.allclose(other[key], value, rtol=2e-3, atol=1e-7), key


@pytest.mark.parametrize("name", sorted(CRITERIA.entries))
def test_a_criterion_has_at_most_25_lines_beside_what_it_says_of_itself(name: str) -> None:
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(CRITERIA.load(name)))
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    outer = [node for node in methods if node.name in ("scores", "adapt")]
    lines = sum((node.end_lineno or 0) - (node.body[0].end_lineno or 0) for node in outer)
    assert lines <= 25


def test_lamp_by_hand() -> None:
    found = scores("lamp", Observation({"a": torch.tensor([[-3.0, 1.0], [2.0, 0.0]])}, 0))["a"]
    assert found.flatten().tolist() == pytest.approx([1, 1 / 14, 4 / 13, 0])


def linear() -> tuple[nn.Linear, Observation]:
    """A linear layer, and what a criterion sees of it: four images of two pixels."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    pixels = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 1.0]])
    labels = torch.tensor([0, 1, 1, 0])
    weights = {"0.weight": layer.weight.detach().clone()}
    network = nn.Sequential(copy.deepcopy(layer))
    return layer, Observation(weights, 0, network, pixels, labels, (2,), 2)


def single_gradients(network: nn.Linear, evidence: Observation) -> Tensor:
    """Gradient of the loss of each image, by the formula (p - y) xᵀ: [N, 2, 2]."""
    assert evidence.images is not None
    assert evidence.labels is not None
    off = network(evidence.images).softmax(1) - functional.one_hot(evidence.labels, 2)
    return (off[:, :, None] * evidence.images[:, None, :]).detach()


def test_gradient_criteria_on_a_linear_layer() -> None:
    network, evidence = linear()
    gradients, weight = single_gradients(network, evidence), evidence.weights["0.weight"]
    assert torch.allclose(scores("snip", evidence)["0.weight"], (gradients.mean(0) * weight).abs())
    fisher = weight.square() * gradients.square().mean(0) / 2
    assert torch.allclose(scores("fisher", evidence)["0.weight"], fisher)
    batches = gradients.unflatten(0, (2, 2)).mean(1)
    taylor = (batches * weight).square().mean(0)
    assert torch.allclose(scores("taylor", evidence)["0.weight"], taylor)


def test_grasp_is_what_the_hessian_does_to_the_gradient() -> None:
    network, evidence = linear()
    assert evidence.images is not None
    assert evidence.labels is not None

    def loss(flat: Tensor) -> Tensor:
        logits = evidence.images @ flat.reshape(2, 2).T  # type: ignore[union-attr]
        return functional.cross_entropy(logits / 200, evidence.labels)  # type: ignore[arg-type]

    flat = network.weight.detach().flatten()
    gradient = torch.autograd.functional.jacobian(loss, flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    expected = flat * (hessian @ gradient)
    found = scores("grasp", evidence)["0.weight"].flatten()
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-12)


def test_movement_sums_over_the_steps_of_a_training() -> None:
    network, evidence = linear()
    assert evidence.images is not None
    assert evidence.labels is not None
    weight, total = network.weight.detach().clone(), torch.zeros(2, 2)
    fallen = weight == 0
    for start in (0, 2):
        pixels, labels = evidence.images[start : start + 2], evidence.labels[start : start + 2]
        off = (pixels @ weight.T).softmax(1) - functional.one_hot(labels, 2)
        gradient = (off[:, :, None] * pixels[:, None, :]).mean(0)
        total -= weight * gradient
        weight -= (0.01 * gradient).masked_fill(fallen, 0)
    assert torch.allclose(scores("movement", evidence)["0.weight"], total)


def test_wanda_is_magnitude_times_the_length_of_the_inputs() -> None:
    network, evidence = linear()
    assert evidence.images is not None
    expected = network.weight.detach().abs() * evidence.images.norm(dim=0)
    assert torch.allclose(scores("wanda", evidence)["0.weight"], expected)


def test_wanda_sees_the_patches_of_each_group_of_a_convolution() -> None:
    network, evidence = small(), seen(small())
    assert evidence.images is not None
    maps = network[:3](evidence.images.float() / 255)
    patches = functional.unfold(maps, 3, padding=1)
    lengths = patches.square().sum((0, 2)).sqrt().reshape(2, 2, 3, 3)
    weight = network[3].weight.detach()
    expected = weight.abs() * lengths.repeat_interleave(2, 0)
    assert torch.allclose(scores("wanda", evidence)["3.weight"], expected, rtol=1e-4)


def test_obs_scores_and_compensation_of_one_row() -> None:
    # Two inputs that are nearly alike: without the second, the first takes over.
    network = nn.Linear(2, 1, bias=False)
    network.weight.data = torch.tensor([[1.0, 0.5]])
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(4000, 1, generator=draw)
    pixels = torch.cat([one, one + 0.01 * torch.randn(4000, 1, generator=draw)], 1)
    evidence = Observation(
        {"0.weight": network.weight.detach().clone()},
        0,
        nn.Sequential(network),
        pixels,
        torch.zeros(4000, dtype=torch.int64),
        (2,),
        500,
    )
    criterion = CRITERIA.load("obs")()
    masks = {"0.weight": torch.tensor([[True, False]])}
    found, kept = criterion.adapt(evidence, masks)
    assert int(found["0.weight"].sum()) == 1
    assert float(kept["0.weight"].sum()) == pytest.approx(1.5, abs=0.02)
    hessian = 2 / 4000 * pixels.double().T @ pixels.double()
    inverse = torch.linalg.inv(hessian + 0.01 * hessian.diagonal().mean() * torch.eye(2))
    expected = evidence.weights["0.weight"].double().square() / (2 * inverse.diagonal())
    assert torch.allclose(criterion.scores(evidence)["0.weight"], expected, rtol=1e-4)


def test_synflow_conserves_what_flows_through_each_layer_without_bias() -> None:
    found = scores("synflow", seen(small()))
    # behind the pooling the same flow passes each layer; the first is normalised by positive scales
    sums = [float(value.sum()) for value in found.values()]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-6)


@pytest.mark.parametrize(
    "normalisation",
    [
        nn.GroupNorm(2, 4),
        timm.layers.LayerNorm2d(4),
        torchvision.models.convnext.LayerNorm2d(4),
        nn.Sequential(nn.Flatten(2), nn.RMSNorm(16), nn.Unflatten(2, (4, 4))),
        nn.Sequential(nn.Flatten(2), nn.LayerNorm(16), nn.Unflatten(2, (4, 4))),
    ],
    ids=["groups", "timm", "torchvision", "mean square", "last axis"],
)
def test_synflow_conserves_what_flows_through_normalisations(normalisation: nn.Module) -> None:
    # four channels of 4 x 4 pixels: scales along a wrong axis give another flow, not an error
    torch.manual_seed(0)
    for value in normalisation.parameters():
        nn.init.uniform_(value, 0.5, 2)
    first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3)
    network = nn.Sequential(first, normalisation, second, nn.Flatten(), nn.Linear(8, 2))
    weights = {name: value.detach().clone() for name, value in prunable_parameters(network).items()}
    found = scores(
        "synflow", Observation(weights, 0, copy.deepcopy(network), image_shape=(1, 4, 4))
    )
    scale = next(normalisation.parameters()).detach()
    along = scale[:, None, None] if len(scale) == 4 else scale.reshape(4, 4)
    kernels = [weights[name].abs() for name in ("0.weight", "2.weight", "4.weight")]
    flow = functional.conv2d(torch.ones(1, 1, 4, 4), kernels[0], padding=1) * along
    flow = functional.conv2d(flow, kernels[1]).flatten() @ kernels[2].T
    for value in found.values():
        assert float(value.sum()) == pytest.approx(float(flow.sum()), rel=1e-5)


def test_synflow_and_iterative_snip_prune_in_steps() -> None:
    """Layers survive at a density at which one step leaves some of them empty."""
    torch.manual_seed(3)
    widths = (4, 64, 64, 4)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, bias=False), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    masks, step = dense_masks(network), Step(density=0.01)
    found, _ = Rule(CRITERIA.load("synflow")()).select(network, masks, step, 0, None, (1, 2, 2))
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in found.values()) == -(-total // 100)
    assert all(mask.any() for mask in found.values())


def test_relevance_of_weights_is_what_the_outputs_hand_down() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, bias=False)
    inputs = torch.rand(2, 2, 5, 5)
    outputs = layer(inputs).detach()
    relevance = torch.rand_like(outputs)
    found = weight_relevance(layer, inputs, outputs, relevance)
    assert (found >= 0).all()
    assert (found[layer.weight < 0] == 0).all()
    assert float(found.sum()) == pytest.approx(float(relevance.sum()), rel=1e-3)
    # negative inputs count with negative weights: image, output, input, row, column
    point, signed = nn.Conv2d(2, 3, 1, bias=False), torch.randn(4, 2, 3, 3)
    given = torch.rand(4, 3, 3, 3)
    positive = (point.weight.detach()[None] * signed[:, None]).clamp(min=0)
    shares = positive / (positive.sum(2, keepdim=True) + 1e-6)
    by_hand = (shares * given[:, :, None]).sum((0, 3, 4))[..., None, None]
    found = weight_relevance(point, signed, point(signed).detach(), given)
    assert torch.allclose(found, by_hand, rtol=1e-4)
    linear_layer = nn.Linear(4, 3, bias=False)
    vectors = torch.randn(5, 4)
    gave = linear_layer(vectors).detach()
    handed = torch.rand_like(gave)
    each = weight_relevance(linear_layer, vectors, gave, handed)
    expected = (linear_layer.weight[None] * vectors[:, None, :] / gave[:, :, None]) * handed[
        :, :, None
    ]
    assert torch.allclose(each, expected.sum(0).detach(), rtol=1e-3)


def test_relevance_of_a_network_sums_to_its_logits() -> None:
    """Without biases, each layer hands on all that it gets."""
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3, bias=False)
    )
    evidence = seen(network)
    assert evidence.images is not None
    assert evidence.labels is not None
    logits = network(evidence.images.float() / 255).gather(1, evidence.labels[:, None]).sum()
    signed = CRITERIA.load("relevance")().signed(evidence)
    assert float(signed["3.weight"].sum()) == pytest.approx(float(logits.detach()), rel=1e-3)


@pytest.mark.parametrize("scope", ["layer", "erk"])
def test_obs_keeps_the_outputs_of_layers_better_than_magnitude(scope: str) -> None:
    network, (pixels, labels) = small(), images()
    subset, masks = Calibration(pixels, labels), dense_masks(network)
    inputs: dict[str, Tensor] = {}
    layer_inputs(seen(network, COUNT), lambda name, columns: inputs.update({name: columns}))
    errors: dict[str, dict[str, float]] = {"obs": {}, "magnitude": {}}
    for name, found in errors.items():
        kept, weights = Rule(CRITERIA.load(name)(), scope).select(
            network, masks, Step(density=0.5), 0, subset, (2, SIDE, SIDE)
        )
        for key, columns in inputs.items():
            assert torch.equal(weights[key] != 0, kept[key])
            groups = columns.shape[1]
            change = (weights[key] - network.get_parameter(key).detach()).flatten(1)
            off = change.unflatten(0, (groups, -1)) @ columns
            found[key] = float(off.square().mean())
    # each block of columns loses the same share, which costs more where few weights fall
    assert sum(errors["obs"].values()) < 0.9 * sum(errors["magnitude"].values())


def test_what_needs_images_says_so() -> None:
    with pytest.raises(InputError, match="training images"):
        scores("snip", Observation({"7.weight": small()[7].weight}, 0, small()))


def test_calibration_is_one_subset_for_a_seed() -> None:
    whole = Calibration(*images())
    first = whole.drawn(10, 4)
    assert len(first.labels) == 10
    assert torch.equal(first.images, whole.drawn(10, 4).images)
    assert not torch.equal(first.images, whole.drawn(10, 5).images)
    assert len(whole.drawn(1000, 4).labels) == COUNT
