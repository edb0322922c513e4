"""The functions that `import sparsight` offers, on a tiny network."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import sparsight
from sparsight.io.errors import InputError


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def masks():
    masks = torch.zeros(5, 8, 8)
    masks[:, 2:6, 2:6] = 1
    return masks


TARGETS = torch.tensor([0, 1, 2, 0, 1])


def gradient_of(network, images, targets):
    wanted = images.clone().requires_grad_()
    network(wanted).gather(1, targets[:, None]).sum().backward()
    return wanted.grad[:, 0].abs()


def test_a_gradient_is_the_gradient_and_the_network_stays_as_it_was(network, images):
    network.train()
    network[0].bias.requires_grad_(False)
    maps = sparsight.explain(network, images, "saliency", TARGETS)
    network[0].bias.requires_grad_(True)
    torch.testing.assert_close(maps, gradient_of(network, images, TARGETS))
    network[0].bias.requires_grad_(False)
    sparsight.explain(network, images, ["grad_cam", "guided_backprop"])
    assert network.training
    assert [p.requires_grad for p in network.parameters()] == [True, False, True, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_the_predicted_classes_are_explained_by_default(network, images):
    predicted = network(images).argmax(dim=1)
    maps = sparsight.explain(network, images)
    torch.testing.assert_close(maps, gradient_of(network, images, predicted))


def test_several_methods_and_batches_give_what_one_gives(network, images):
    both = sparsight.explain(network, images, ["saliency", "smooth_grad", "grad_cam"], batch_size=2)
    assert list(both) == ["saliency", "smooth_grad", "grad_cam"]
    for name, maps in both.items():
        torch.testing.assert_close(maps, sparsight.explain(network, images, name))


def test_a_parameter_goes_to_the_methods_that_know_it(network, images):
    maps = sparsight.explain(
        network, images, ["saliency", "grad_cam", "captum.LayerGradCam"], TARGETS, layer="0"
    )
    torch.testing.assert_close(maps["saliency"], gradient_of(network, images, TARGETS))
    alone = sparsight.explain(network, images, "grad_cam", TARGETS, layer="0")
    torch.testing.assert_close(maps["grad_cam"], alone)
    torch.testing.assert_close(maps["captum.LayerGradCam"].clamp_min(0), alone)
    with pytest.raises(InputError, match="depth"):
        sparsight.explain(network, images, ["saliency", "grad_cam"], depth=2)
    with pytest.raises(InputError, match="depth"):
        sparsight.explain(network, images, "saliency", depth=2)
    with pytest.raises(InputError, match="salience"):
        sparsight.explain(network, images, "salience")
    with pytest.raises(InputError, match="empty"):
        sparsight.explain(network, images, [])


class Blocks(nn.Module):
    """A residual block that runs one ReLU twice, then pooling: as networks of torchvision."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.block = nn.ModuleDict({"conv": nn.Conv2d(4, 4, 3, padding=1), "relu": nn.ReLU()})
        self.last = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        maps = self.block["relu"](self.stem(images))
        maps = self.last(self.block["relu"](self.block["conv"](maps) + maps))
        return self.head(self.squeeze(self.pool(maps)).flatten(1))


class Tokens(nn.Module):
    """Patches, and a linear layer over tokens: as a vision transformer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, stride=2)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.mix(self.patches(images).flatten(2).transpose(1, 2)).mean(dim=1))


def test_the_layer_is_found(network, images):
    maps = sparsight.explain(network, images, "grad_cam", TARGETS)
    # behind the convolution and its ReLU, before the pooling
    wanted = sparsight.explain(network, images, "grad_cam", TARGETS, layer="1")
    torch.testing.assert_close(maps, wanted)
    torch.manual_seed(0)
    blocks = Blocks().eval()
    maps = sparsight.explain(blocks, images, "grad_cam", TARGETS)
    wanted = sparsight.explain(blocks, images, "grad_cam", TARGETS, layer="last")
    torch.testing.assert_close(maps, wanted)
    assert maps.shape == (5, 4, 4)
    for other in (Tokens(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3))):
        with pytest.raises(InputError, match="layer"):
            sparsight.explain(other, images, "grad_cam")


def test_images_of_another_range_are_refused_and_can_be_normalised_in_the_network(network, images):
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        sparsight.explain(network, images * 2 - 1)
    with pytest.raises(InputError, match="float32"):
        sparsight.explain(network, images[0])
    whole = nn.Sequential(sparsight.Normalise((0.5,), (0.25,)), network)
    maps = sparsight.explain(whole, images, "saliency", TARGETS)
    wanted = gradient_of(network, (images - 0.5) / 0.25, TARGETS) / 0.25
    torch.testing.assert_close(maps, wanted)


def test_localisation_needs_masks_and_finds_the_object(images, masks):
    inside = sparsight.score(masks, images, "relevance_mass_accuracy", masks=masks)
    torch.testing.assert_close(inside, torch.ones(5))
    outside = sparsight.score(1 - masks, images, "relevance_mass_accuracy", masks=masks)
    torch.testing.assert_close(outside, torch.zeros(5))
    with pytest.raises(InputError, match="masks"):
        sparsight.score(masks, images, "soft_iou")
    with pytest.raises(InputError, match="maps"):
        sparsight.score(masks[:4], images, "entropy")


def test_metrics_that_ask_the_network_or_explain_again(network, images):
    maps = sparsight.explain(network, images, "saliency", TARGETS)
    curve = sparsight.score(maps, images, "deletion", TARGETS, network=network)
    assert curve.shape[0] == 5
    assert curve.ndim == 2
    # the first step is the whole image
    wanted = network(images).softmax(dim=1).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(curve[:, 0], wanted.detach())
    again = sparsight.score(
        maps, images, "max_sensitivity", TARGETS, network=network, method="saliency", batch_size=2
    )
    assert again.shape == (5,)
    assert (again > 0).all()
    with pytest.raises(InputError, match="network"):
        sparsight.score(maps, images, "deletion")


def test_several_maps_and_metrics_give_a_tidy_table(network, images, masks):
    maps = sparsight.explain(network, images, ["saliency", "grad_cam"])
    ids = torch.arange(10, 15)
    metrics = ["relevance_mass_accuracy", "deletion", "max_sensitivity"]
    table = sparsight.score(
        maps, images, metrics, masks=masks, network=network, image_ids=ids, samples=3
    )
    assert list(table) == ["explainer", "metric", "image_id", "value"]
    assert len(table) == 2 * 3 * 5
    assert sorted(table["image_id"].unique()) == ids.tolist()
    assert table.attrs["metrics"]["deletion"]["direction"] == "lower"
    values = table.set_index(["explainer", "metric"])["value"]
    alone = sparsight.score(maps["grad_cam"], images, metrics[0], masks=masks, method="grad_cam")
    np.testing.assert_allclose(values["grad_cam", metrics[0]], alone, rtol=1e-6)
    # steps become the area under the curve, by trapezoids
    curve = sparsight.score(maps["saliency"], images, "deletion", network=network).double()
    area = torch.trapezoid(curve, dim=1) / (curve.shape[1] - 1)
    np.testing.assert_allclose(values["saliency", "deletion"], area, rtol=1e-6)
    # a tensor is a table too where several metrics are asked for
    table = sparsight.score(maps["saliency"], images, ["entropy", "gini_sparseness"])
    assert set(table["explainer"]) == {"maps"}


def test_maps_agree_with_themselves_and_not_with_their_reverse(network, images):
    maps = sparsight.explain(network, images)
    torch.testing.assert_close(sparsight.compare(maps, maps, "spearman"), torch.ones(5))
    opposite = sparsight.compare(maps, -maps, "spearman")
    torch.testing.assert_close(opposite, -torch.ones(5))
    with pytest.raises(InputError, match="differ in shape"):
        sparsight.compare(maps, maps[:, :4])
    table = sparsight.compare({"a": maps}, {"a": -maps}, ["spearman", "top_k_iou"], share=0.25)
    assert table.groupby("metric")["value"].mean().round(6).to_dict() == {
        "spearman": -1,
        "top_k_iou": 1,
    }
    with pytest.raises(InputError, match="a cannot be compared with b"):
        sparsight.compare({"a": maps}, {"b": maps})


def test_pruning_takes_the_smallest_weights_round_by_round(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pruned, masks = sparsight.prune(network, 0.5)
    weights = torch.cat([network[place].weight.flatten().abs() for place in (0, 4)])
    kept = torch.cat([pruned[place].weight.flatten() for place in (0, 4)])
    assert int((kept != 0).sum()) == 42
    assert weights[kept == 0].max() <= weights[kept != 0].min()
    assert torch.equal(pruned[4].bias, network[4].bias)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    again, fewer = sparsight.prune(pruned, 0.5, masks=masks)
    assert sum(int(mask.sum()) for mask in fewer.values()) == 21
    assert all(bool((mask <= masks[name]).all()) for name, mask in fewer.items())
    assert int((again[0].weight != 0).sum()) == int(fewer["0.weight"].sum())
    with pytest.raises(InputError, match="magnitudes"):
        sparsight.prune(network, 0.5, "magnitudes")
    with pytest.raises(InputError, match="rate 2"):
        sparsight.prune(network, 2)
    with pytest.raises(InputError, match="no convolutions"):
        sparsight.prune(nn.Flatten(), 0.5)
    with pytest.raises(InputError, match="images"):
        sparsight.prune(network, 0.5, "wanda")


def test_pruning_by_what_images_say(network, images):
    labels = network(images).argmax(1)
    for criterion in ("wanda", "snip", "synflow", "obs"):
        pruned, masks = sparsight.prune(
            network, 0.5, criterion, scope="layer", images=images, labels=labels
        )
        for name, mask in masks.items():
            assert int(mask.sum()) == -(-mask.numel() // 2)
            assert torch.equal(pruned.get_parameter(name) != 0, mask)
    # survivors make up for what has fallen
    assert not torch.equal(
        pruned[0].weight[masks["0.weight"]], network[0].weight[masks["0.weight"]]
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_work_is_done_where_the_network_is(network, images, masks):
    methods = ["saliency", "grad_cam", "edges"]
    wanted = sparsight.explain(network, images, methods)
    network.cuda()
    for place in ("cpu", "cuda"):
        maps = sparsight.explain(network, images.to(place), methods)
        for name, own in maps.items():
            assert own.device.type == place
            torch.testing.assert_close(own.cpu(), wanted[name], rtol=1e-3, atol=1e-4)
        metrics = ["soft_iou", "deletion", "max_sensitivity"]
        table = sparsight.score(maps, images.to(place), metrics, masks=masks, network=network)
        # a control that knows no network is not explained again
        assert table["value"].notna().all()
        pruned, _ = sparsight.prune(network, 0.5)
        others = sparsight.explain(pruned, images.to(place), methods)
        assert len(sparsight.compare(maps, others, ["spearman", "ssim"])) == 30


def test_importing_the_package_imports_nothing_else():
    code = "import sys; old = set(sys.modules); import sparsight; print(*set(sys.modules) - old)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # `types` is of the standard library, and mostly there already
    assert set(run.stdout.split()) - {"types"} == {"sparsight"}
