"""Random copies of a network: what is drawn, what stays, and that the network itself does."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from sparsight.io.errors import InputError
from sparsight.metrics import randomisation
from sparsight.metrics.randomisation import NetworkRandomiser, drawable_layers
from sparsight.models.registry import MODELS

LAYERS = ["0", "1", "3", "4", "8"]


def states(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def equal(first, second):
    assert first.keys() == second.keys()
    return {name for name in first if torch.equal(first[name], second[name])}


def randomised_layers(network, copied):
    same = equal(states(network), states(copied))
    changed = {name.partition(".")[0] for name in network.state_dict() if name not in same}
    return [name for name in LAYERS if name in changed]


def test_layers_are_those_with_weights_in_their_order(network):
    assert list(drawable_layers(network)) == LAYERS
    assert list(drawable_layers(nn.Linear(2, 3))) == [""]
    # a norm without weights or statistics has nothing to draw
    assert list(drawable_layers(nn.Sequential(nn.InstanceNorm2d(3), nn.Conv2d(3, 1, 1)))) == ["1"]


@pytest.mark.parametrize("name", sorted(MODELS.entries))
def test_layers_of_every_architecture_come_in_the_order_of_the_forward_pass(name):
    torch.manual_seed(0)
    network = MODELS.load(name)(class_count=3).eval()
    layers, ran = drawable_layers(network), []
    for layer, module in layers.items():
        module.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    shape = (given or max(32, network.minimum_side) for given in network.input_shape)
    with torch.no_grad():
        network(torch.rand(1, *shape))
    assert list(layers) == ran


def test_stages_go_from_one_end_to_the_other(network):
    randomiser = NetworkRandomiser(0, True)
    for order, layers in (("bottom_up", LAYERS), ("top_down", LAYERS[::-1])):
        for count, ends in ((5, [1, 2, 3, 4, 5]), (2, [2, 5]), (1, [5]), (9, [1, 2, 3, 4, 5])):
            found = [
                randomised_layers(network, one) for one in randomiser.stages(network, count, order)
            ]
            assert found == [[name for name in LAYERS if name in layers[:end]] for end in ends]
    assert randomised_layers(network, randomiser.randomise(network)) == LAYERS


def test_batch_norms_have_seen_nothing(network):
    before = network[1]
    assert not torch.equal(before.running_mean, torch.zeros(4))
    norm = NetworkRandomiser(0, True).randomise(network)[1]
    expected = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    for name, value in expected.items():
        assert (getattr(norm, name) == value).all(), name
        assert not (getattr(before, name) == value).all(), name
    assert norm.num_batches_tracked == 0


def test_weights_belong_to_seed_and_layer_alone(network):
    first = states(NetworkRandomiser(0, True).randomise(network))
    torch.manual_seed(99)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    again = states(NetworkRandomiser(0, True).randomise(other))
    assert equal(first, again) == set(first)
    reseeded = states(NetworkRandomiser(1, True).randomise(network))
    assert not {"0.weight", "3.weight", "8.weight", "8.bias"} & equal(first, reseeded)
    twins = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    drawn = NetworkRandomiser(0, True).randomise(twins)
    assert not torch.equal(drawn[0].weight, drawn[1].weight)
    # as `reset_parameters` draws: uniform in ± 1 / sqrt(fan in)
    weight = NetworkRandomiser(0, True).randomise(nn.Linear(100, 400)).weight
    assert weight.abs().max().item() == pytest.approx(0.1, rel=1e-3)
    assert weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)


def test_pruned_weights_stay_zero_unless_told(network):
    with torch.no_grad():
        network[3].weight[:, ::2] = 0
        network[8].weight[1] = 0
        network[8].bias.zero_()
    alive = {name: network.state_dict()[name] != 0 for name in ("3.weight", "8.weight")}
    kept = NetworkRandomiser(0, True).randomise(network).state_dict()
    filled = NetworkRandomiser(0, False).randomise(network).state_dict()
    for name, mask in alive.items():
        assert torch.equal(kept[name] != 0, mask)
        assert (filled[name] != 0).all()
        assert torch.equal(kept[name][mask], filled[name][mask])
    assert (kept["8.bias"] != 0).all()


def test_sparsity_is_that_of_the_moment(network):
    """The weights are drawn once; what is pruned may change between two calls."""
    randomiser = NetworkRandomiser(0, True)
    assert (randomiser.randomise(network)[8].weight != 0).all()
    network[8].weight[0] = 0
    assert (randomiser.randomise(network)[8].weight[0] == 0).all()


def test_the_network_and_the_global_generator_stay_as_they_are(network):
    network.train().requires_grad_(True)
    before, generator = states(network), torch.get_rng_state()
    for copied in NetworkRandomiser(0, True).stages(network, 3, "top_down"):
        assert not any(module.training for module in copied.modules())
        assert not any(parameter.requires_grad for parameter in copied.parameters())
        own = {tensor.data_ptr() for tensor in copied.state_dict().values()}
        assert not own & {tensor.data_ptr() for tensor in network.state_dict().values()}
        copied(torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), generator)
    assert equal(before, states(network)) == set(before)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_weights_are_drawn_once_and_go_with_the_network(network, monkeypatch):
    calls = []

    def counted(layer, name, seed):
        calls.append(name)
        return drawn_weights(layer, name, seed)

    drawn_weights = randomisation.drawn_weights
    monkeypatch.setattr(randomisation, "drawn_weights", counted)
    randomiser, mine = NetworkRandomiser(0, True), copy.deepcopy(network)
    for _ in range(3):
        randomiser.randomise(mine)
        list(randomiser.stages(mine, 5, "top_down"))
    assert calls == LAYERS
    randomiser.randomise(network)
    assert calls == LAYERS * 2
    gone = weakref.ref(mine)
    del mine
    gc.collect()
    assert gone() is None
    assert len(randomiser._drawn) == 1


class Token(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 500))
        self.head = nn.Linear(2, 2)
        self.attention = nn.MultiheadAttention(4, 2)


def test_tokens_and_attention_are_drawn_too():
    network = nn.ModuleDict({"body": Token()})
    layers = ["body", "body.head", "body.attention", "body.attention.out_proj"]
    assert list(drawable_layers(network)) == layers
    drawn = NetworkRandomiser(0, True).randomise(network)["body"]
    # normal, as transformers draw their tokens, and not that of the network
    assert drawn.token.mean().item() == pytest.approx(0, abs=0.003)
    assert drawn.token.std().item() == pytest.approx(0.02, rel=0.1)
    before = network["body"].attention
    assert not torch.equal(drawn.attention.in_proj_weight, before.in_proj_weight)
    # as `nn.MultiheadAttention` draws: uniform, by Xavier
    assert drawn.attention.in_proj_weight.abs().max().item() <= (6 / (4 + 12)) ** 0.5
    assert not torch.equal(drawn.attention.out_proj.weight, before.out_proj.weight)
    again = NetworkRandomiser(0, True).randomise(network)["body"]
    assert torch.equal(drawn.token, again.token)


def test_networks_that_cannot_be_randomised():
    with pytest.raises(InputError, match="no layer that can be randomised"):
        drawable_layers(nn.Sequential(nn.ReLU()))
