"""Networks of others: what is found by tracing them, and that they stay what they were."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.errors import InputError
from sparsight.models.base import Normalise, build_network, prunable_parameters, tied_names
from sparsight.models.foreign import ForeignArchitecture, ForeignNetwork
from sparsight.models.networks import load_network, traced_metadata
from sparsight.models.registry import MODELS
from sparsight.models.tracing import trace
from sparsight.pruning.masks import dense_masks, densities
from sparsight.pruning.rounds import check_start

SHAPE = (3, 32, 32)
#: networks that tests build by the name of a class or function here
NETS = '''
import torch
from torch import nn
from torch.nn import functional


class Reused(nn.Module):
    """One activation in two places, functions instead of modules, and layers in another order."""

    def __init__(self, width=4, num_classes=5):
        super().__init__()
        self.last = nn.Linear(width, num_classes)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.layers = nn.ModuleList([nn.Conv2d(width, width, 1)])

    def forward(self, images):
        hidden = self.act(self.first(images))
        hidden = functional.max_pool2d(hidden, 2, ceil_mode=True)
        hidden = self.act(self.second(hidden))
        hidden = torch.relu_(self.layers[0](hidden))
        return self.last(functional.adaptive_avg_pool2d(hidden, 1).flatten(1))


def chain():
    act = nn.ReLU(inplace=True)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), act, nn.Conv2d(4, 6, 3), act, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 11),
    )


class Tied(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Conv2d(4, 4, 3, padding=1)
        self.again = self.block
        self.share = nn.Conv2d(4, 4, 3, padding=1)
        self.share.weight = self.stem_weight = self.block.weight
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        x = torch.relu(self.again(torch.relu(self.block(torch.relu(self.stem(x))))))
        return self.head(torch.relu(self.share(x)).mean((2, 3)))


class Wrapped(nn.Module):
    """The network itself does nothing but call another."""

    def __init__(self, num_classes):
        super().__init__()
        self.inner = Reused(num_classes=num_classes)

    def forward(self, x):
        return self.inner(x)


class Drops(nn.Module):
    """Nobody takes what the activation gives: it works in place."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        x = self.conv(x)
        self.act(x)
        return self.head(x.mean((2, 3)))


class Untraceable(nn.Module):
    """What it does depends on the image's values, which no graph can follow."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x):
        if float(x.sum()) < 0:
            x = -x
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


class Upsampling(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Linear(4, num_classes)
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 30, 30))

    def forward(self, x):
        return self.head(torch.relu(self.up(self.down(x)) + self.pos_embed).mean((2, 3)))


class TwoInputs(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, image, mask):
        return self.head((image * mask).mean((2, 3)))


class Answers(nn.Module):
    """Gives what `answer` makes of its logits."""

    def __init__(self, answer, channels=3):
        super().__init__()
        self.conv, self.head, self.answer = nn.Conv2d(channels, 4, 3), nn.Linear(4, 5), answer

    def forward(self, x):
        return self.answer(self.head(self.conv(x).mean((2, 3))))


def a_list(num_classes):
    return Answers(lambda logits: [logits, logits])


def a_dict(num_classes):
    return Answers(lambda logits: {"logits": logits})


def pixels(num_classes):
    return Answers(lambda logits: logits[:, :, None, None].expand(-1, -1, 2, 2))


def not_finite(num_classes):
    return Answers(lambda logits: logits / 0)


def other_count(num_classes):
    return Answers(lambda logits: torch.cat([logits, logits], 1))


def grey(num_classes):
    return Answers(lambda logits: logits, channels=1)


def no_module():
    return "a network"


def raises():
    raise RuntimeError("no such luck")


def with_arguments(width, num_classes):
    return Answers(lambda logits: logits)
'''


@pytest.fixture
def nets(tmp_path: Path) -> Callable[[str], ForeignArchitecture]:
    """The architecture that a function of the file builds."""
    path = tmp_path / "nets.py"
    path.write_text(NETS, encoding="utf-8")

    def architecture(function: str) -> ForeignArchitecture:
        found = MODELS.load(f"{path}:{function}")
        assert isinstance(found, ForeignArchitecture)
        return found

    return architecture


def images(count: int = 2) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(3))


def gradients(network: nn.Module, inputs: Tensor) -> Tensor:
    inputs = inputs.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(inputs).square().sum(), inputs)
    return found


def test_facts_follow_the_data_and_not_the_registration(nets: Any) -> None:
    facts, network = trace(nets("Reused"), 5, {}, SHAPE)
    assert facts["classifiers"] == ["last"]
    assert facts["explain_layer"] == facts["feature_cut"] == "relu"
    assert list(facts["layers"]) == [
        *("first", "act", "max_pool2d", "second", "act_1", "layers.0", "relu"),
        "adaptive_avg_pool2d",
    ]
    assert facts["layers"]["act"] == [32, 32]
    assert facts["layers"]["relu"] == [16, 16]
    assert not facts["attention"]
    assert not facts["batch_norm"]
    # A submodule whose name is that of a fact is found all the same.
    assert isinstance(network.get_submodule("layers.0"), nn.Conv2d)


@pytest.mark.parametrize("function", ["Reused", "Wrapped", "Tied", "Untraceable", "chain"])
def test_a_network_computes_what_it_did_before(nets: Any, function: str) -> None:
    architecture = nets(function)
    network = build_network(architecture, 5, 1, {})
    assert isinstance(network, ForeignNetwork)
    theirs = architecture.plain(5, {}).module
    if function == "chain":
        theirs[6] = nn.Linear(6, 5)
    theirs.load_state_dict(network.state_dict())
    assert list(theirs.state_dict()) == list(network.state_dict())
    for mode in (True, False):
        network.train(mode)
        theirs.train(mode)
        assert torch.equal(network(images()), theirs(images()))
        assert torch.allclose(gradients(network, images()), gradients(theirs, images()))


def test_each_call_has_a_module_of_its_own_that_does_not_work_in_place(nets: Any) -> None:
    network = build_network(nets("Reused"), 5, 1, {}).eval()
    runs: dict[str, int] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU | nn.MaxPool2d):
            assert not getattr(module, "inplace", False)
            module.register_forward_hook(
                lambda *_, name=name: runs.update({name: runs.get(name, 0) + 1})
            )
    with torch.no_grad():
        network(images())
    assert runs == {"act": 1, "act_1": 1, "max_pool2d": 1, "relu": 1}
    pool = network.get_submodule("max_pool2d")
    assert (pool.kernel_size, pool.ceil_mode) == (2, True)


def test_one_activation_in_two_places_is_two(nets: Any) -> None:
    network = build_network(nets("chain"), 11, 1, {})
    assert network.get_submodule("1") is not network.get_submodule("3")
    # A sequence is not given modules that it would run.
    assert [name for name, _ in network.named_children()] == [str(place) for place in range(7)]


@pytest.mark.parametrize("function", ["Reused", "Wrapped", "chain"])
def test_the_halves_give_the_logits(nets: Any, function: str) -> None:
    network = build_network(nets(function), 5, 1, {}).eval()
    with torch.no_grad():
        maps = network.feature_maps(images())
        assert torch.allclose(network.class_logits(maps), network(images()))
        # Any number of maps, of any size.
        assert network.class_logits(maps[:1, :, :1, :1].repeat(7, 1, 1, 1)).shape == (7, 5)


def test_a_network_that_cannot_be_cut_says_so(nets: Any) -> None:
    network = build_network(nets("Untraceable"), 5, 1, {}).eval()
    assert network.feature_cut == ""
    with pytest.raises(InputError, match=r"nets\.py:Untraceable"):
        network.class_logits(torch.zeros(1, 4, 2, 2))


def test_a_copy_is_a_network_of_its_own(nets: Any) -> None:
    network = build_network(nets("Reused"), 5, 1, {"normalisation": "imagenet"}).eval()
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.get_parameter("first.weight").zero_()
        assert not torch.equal(other(images()), network(images()))
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(images()), network(images()))
    other.train()
    assert other.training
    assert not network.training
    other.double()
    assert other(images().double()).dtype == torch.float64


def test_normalisation_is_a_module_and_no_state(nets: Any) -> None:
    stated = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.25]}
    plain = build_network(nets("Reused"), 5, 1, {}).eval()
    network = build_network(nets("Reused"), 5, 1, {"normalisation": stated}).eval()
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert sum(isinstance(module, Normalise) for module in network.modules()) == 1
    mean, std = (torch.tensor(stated[key]).view(3, 1, 1) for key in ("mean", "std"))
    assert torch.allclose(network(images()), plain((images() - mean) / std), atol=1e-6)


def test_a_seed_gives_the_weights_whatever_ran_before(nets: Any) -> None:
    facts, _ = trace(nets("chain"), 5, {}, SHAPE)
    # Layers of the function, and the classifier in the place of that of eleven classes.
    first = build_network(nets("chain"), 5, 7, {}, facts["traced"]).state_dict()
    torch.rand(3)
    again = build_network(nets("chain"), 5, 7, {}).state_dict()
    other = build_network(nets("chain"), 5, 8, {}).state_dict()
    assert first["6.weight"].shape == (5, 6)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["6.weight"], other["6.weight"])


def test_a_checkpoint_comes_back(nets: Any, tmp_path: Path) -> None:
    architecture = nets("chain")
    network = build_network(architecture, 5, 1, {}).eval()
    facts = {"architecture": architecture.name, "class_count": "5", **traced_metadata(network)}
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, Checkpoint(network.state_dict(), dense_masks(network), facts))
    found = load_network(path, torch.device("cpu"))
    assert torch.equal(found(images()), network(images()))
    assert found.explain_layer == network.explain_layer == "3"


def test_tied_weights_are_one(nets: Any) -> None:
    network = build_network(nets("Tied"), 5, 1, {})
    masks = dense_masks(network)
    # Once, under the first of its names.
    assert sorted(masks) == ["head.weight", "stem.weight", "stem_weight"]
    assert tied_names(network)["share.weight"] == "stem_weight"
    assert densities(network, masks)["all_parameters"] == 1
    masks["stem_weight"][0] = False
    point = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        network.get_parameter("block.weight").mul_(masks["stem_weight"])
    # The same weights under another name are masked too.
    check_start(network, point, masks)


def test_weights_of_attention_are_pruned() -> None:
    attention = nn.MultiheadAttention(8, 2)
    assert set(prunable_parameters(attention)) == {"in_proj_weight", "out_proj.weight"}
    apart = nn.ModuleDict({"a": nn.MultiheadAttention(8, 2, kdim=4, vdim=6)})
    names = {f"a.{part}_proj_weight" for part in "qkv"} | {"a.out_proj.weight"}
    assert set(prunable_parameters(apart)) == names


def test_weights_of_unknown_kinds_are_named(nets: Any) -> None:
    facts, network = trace(nets("Upsampling"), 5, {}, SHAPE)
    # The transposed convolution, and not the position embedding: 64 of 3,821 parameters.
    whole = sum(parameter.numel() for parameter in network.parameters())
    assert facts["unknown_weights"] == {"up.weight": 64 / whole}


@pytest.mark.parametrize(
    ("function", "named"),
    [
        ("a_list", "list"),
        ("a_dict", "dict"),
        ("pixels", r"\[2, 5, 2, 2\]"),
        ("not_finite", "finite"),
        ("other_count", "10 logits for 5 classes"),
        ("TwoInputs", "image, mask"),
        ("grey", r"\(3, 32, 32\)"),
        ("no_module", "str"),
        ("raises", "no such luck"),
        ("with_arguments", "width"),
        ("Drops", "in place"),
        ("absent", "absent"),
    ],
)
def test_what_is_no_classifier_is_refused(nets: Any, function: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        trace(nets(function), 5, {}, SHAPE)
    assert "nets.py" in str(caught.value)


def _normalised(mean: Any, std: Any) -> dict[str, Any]:
    return {"normalisation": {"mean": mean, "std": std}}


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("timm.resnet10tt", {}, "resnet10t"),
        ("torchvision.resnet_34", {}, "resnet34"),
        ("timm.resnet10t", {"widht": 3}, "widht"),
        ("timm.resnet10t", {"pretrained": True}, "pretrained"),
        ("timm.resnet10t", {"normalisation": "mine"}, "normalisation"),
        ("timm.resnet10t", _normalised([0.5] * 3, [0.5] * 4), r"normalisation\.std"),
        ("timm.resnet10t", _normalised([0.5] * 2, [0.5] * 3), r"normalisation\.mean"),
        ("timm.resnet10t", _normalised([0.5] * 3, [0.5, 0, 0.5]), r"normalisation\.std"),
        ("timm.resnet10t", _normalised("0.5", [0.5]), r"normalisation\.mean"),
        ("timm.resnet10t", _normalised([], [0.5]), r"normalisation\.mean"),
        ("timm.resnet10t", {"in_chans": 1}, r"\(3, 32, 32\)"),
        ("timm.vit_tiny_patch16_224", {}, r"\(3, 32, 32\)"),
    ],
)
def test_what_a_library_does_not_build_is_refused(
    name: str, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named) as caught:
        trace(MODELS.load(name), 5, options, SHAPE)
    assert name in str(caught.value)


def test_grey_images_become_channels_by_their_normalisation() -> None:
    options = _normalised([0.1, 0.2, 0.3], [0.5])
    _, network = trace(MODELS.load("timm.resnet10t"), 5, options, (1, 32, 32))
    grey = torch.rand(2, 1, 32, 32)
    assert torch.equal(network.eval()(grey), network(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(InputError, match=r"normalisation\.mean"):
        trace(MODELS.load("timm.resnet10t"), 5, _normalised([0.5] * 2, [0.5] * 3), (1, 32, 32))


def test_files_that_hold_no_function_are_refused(tmp_path: Path) -> None:
    for text, named in (("x = (", "SyntaxError"), ("import no_such_thing", "no_such_thing")):
        path = tmp_path / "broken.py"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=named):
            trace(MODELS.load(f"{path}:net"), 5, {}, SHAPE)
    with pytest.raises(InputError, match=r"gone\.py"):
        trace(MODELS.load(f"{tmp_path / 'gone.py'}:net"), 5, {}, SHAPE)


def test_a_file_is_another_item_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("def net(): ...", encoding="utf-8")
    before = MODELS.item(f"{path}:net")
    path.write_text("def net(): pass", encoding="utf-8")
    assert MODELS.item(f"{path}:net") != before
    assert MODELS.item("timm.resnet10t") == MODELS.item("timm.resnet10t")


def test_maps_with_channels_innermost_are_layers() -> None:
    options = {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 24}
    options |= {"depths": (2, 2), "num_heads": (2, 2)}
    swin = MODELS.load("timm.swin_tiny_patch4_window7_224")
    facts, network = trace(swin, 5, options, (3, 32, 32))
    assert facts["explain_layer"] == "norm"
    assert facts["layers"]["norm"] == [8, 8]
    assert facts["layers"]["layers.0"] == [16, 16]
    assert facts["feature_cut"] == ""
    assert network.explain_layer == "norm"


def test_libraries_state_the_normalisation() -> None:
    lite = build_network(MODELS.load("timm.tf_efficientnet_lite0"), 5, 1)
    assert lite.normalise.mean.flatten().tolist() == [0.5, 0.5, 0.5]  # type: ignore[union-attr]
    grey = build_network(MODELS.load("timm.resnet10t"), 5, 1, {"in_chans": 1})
    assert grey.normalise is None
    assert functional.softmax(grey.eval()(torch.rand(2, 1, 64, 64)), 1).shape == (2, 5)


def test_heads_that_only_train_are_not_counted() -> None:
    facts, network = trace(MODELS.load("torchvision.googlenet"), 5, {}, (3, 64, 64))
    assert facts["traced"]["training_only"] == ["aux1", "aux2"]
    assert not any(name.startswith("aux") for name in prunable_parameters(network))
    logits, auxiliary = network.train().training_logits(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    assert auxiliary is None
