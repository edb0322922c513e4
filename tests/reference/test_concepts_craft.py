"""CRAFT beside craft-xai: the same crops, factors, masks and indices."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sparsight.concepts.craft import (
    CropReader,
    coefficients_of,
    concept_importances,
    craft_class,
    factorise,
    place_coefficients,
    pools_first,
    quiet,
    replicated_design,
    total_indices,
)
from sparsight.data.packed import PackedSplit
from sparsight.explain.randomness import seeded
from sparsight.models.base import Architecture, build_network
from sparsight.models.thesis_cnn import ThesisCnn
from tests.unit.concepts.planted import SmallNetwork, write_split

CONCEPTS, DESIGNS, LABEL = 4, 16, 2


def smooth(channels, side, count=12):
    coarse = torch.rand((count, channels, 6, 6), generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (images * 255).round().to(torch.uint8)


def library(network, patch=0, concepts=CONCEPTS):
    return craft_class()(
        network.feature_maps,
        network.class_logits,
        concepts,
        batch_size=32,
        patch_size=patch,
        device="cpu",
    )


@pytest.fixture(scope="module")
def network() -> Architecture:
    return build_network(SmallNetwork, 4, 0).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def fitted(network, tmp_path_factory) -> tuple:
    """The library fitted to images, and what of it we have: crops, activations and factors."""
    path: Path = tmp_path_factory.mktemp("craft") / "train.safetensors"
    write_split(path, smooth(3, 28), [0] * 12, ["a"])
    with PackedSplit.open(path) as split:
        reader = CropReader(network, split, 2 / 7, 16, torch.device("cpu"))
        images = split.rows(0, 12).images("clean")
        positions = torch.arange(12)
        crops = reader.crops(positions, positions * reader.grid.count)
        activations = reader.activations(positions)
    method = library(network, reader.grid.side)
    with seeded(5, torch.device("cpu")), quiet():
        all_crops, coefficients, basis = method.fit(images)
    ours = factorise(activations, CONCEPTS, "craft_xai", 5)
    return method, images, all_crops, coefficients, basis, crops, activations, ours


def test_crops_and_activations(fitted, network):
    _, _, all_crops, _, _, crops, activations, _ = fitted
    assert len(all_crops) == len(activations) == 12 * 16
    torch.testing.assert_close(crops, all_crops[::16])
    resized = torch.nn.functional.interpolate(all_crops, size=28, mode="bilinear")
    expected = network.feature_maps(resized).mean(dim=(2, 3))
    torch.testing.assert_close(activations, expected, atol=1e-5, rtol=1e-5)


def test_factors_are_those_of_the_library_but_for_their_scale(fitted):
    _, _, _, coefficients, basis, _, _, ours = fitted
    lengths = torch.from_numpy(basis).norm(dim=1)
    torch.testing.assert_close(
        ours.basis, torch.from_numpy(basis) / lengths[:, None], atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        ours.coefficients, torch.from_numpy(coefficients) * lengths, atol=1e-3, rtol=1e-2
    )


def test_coefficients_are_no_further_from_the_activations(fitted, network):
    method, images, *_ = fitted
    theirs = torch.from_numpy(method.transform(images))
    maps, basis = network.feature_maps(images), torch.from_numpy(method.W)
    ours = place_coefficients(maps, basis)
    assert ours.shape == theirs.shape
    places = maps.permute(0, 2, 3, 1)
    own, other = ((places - part @ basis).square().sum(dim=3) for part in (ours, theirs))
    assert (own <= other + 1e-5).all()
    assert own.sum() <= (1 + 1e-5) * other.sum()
    torch.testing.assert_close(ours, theirs, atol=0.02 * float(theirs.max()), rtol=0)


@pytest.mark.parametrize("concepts", [2, 10])
def test_halton_masks_are_those_of_the_library(concepts):
    craft_class()
    from craft.sobol.sampler import HaltonSequence

    expected = HaltonSequence()(concepts, nb_design=32).astype(np.float32)
    found = replicated_design(concepts, 32, "halton", 0)
    torch.testing.assert_close(found, torch.from_numpy(expected))


@pytest.mark.parametrize("seed", range(3))
def test_indices_are_those_of_the_library(seed):
    craft_class()
    from craft.sobol.estimators import JansenEstimator

    masks = replicated_design(5, 32, "halton", 0)
    draw = torch.Generator().manual_seed(seed)
    outputs = torch.randn((4, len(masks)), generator=draw)
    expected = [JansenEstimator()(masks.numpy(), row.numpy(), 32) for row in outputs]
    torch.testing.assert_close(
        total_indices(outputs, 32), torch.from_numpy(np.stack(expected)), atol=1e-5, rtol=1e-5
    )


def test_importances_of_maps_are_those_of_the_library(fitted, network):
    method, images, *_ = fitted
    expected = method.estimate_importance(images, LABEL, DESIGNS)
    coefficients = torch.from_numpy(method.transform(images))
    masks = replicated_design(CONCEPTS, DESIGNS, "halton", 0)
    basis = torch.from_numpy(method.W)
    assert pools_first(network, network.feature_maps(images))
    for pools in (True, False):
        found = concept_importances(
            network, coefficients, basis, LABEL, masks, DESIGNS, pools, 32
        ).mean(dim=0)
        torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-4, rtol=1e-4)
    assert found.std() > 0.01
    # and from our own coefficients
    own = place_coefficients(network.feature_maps(images), basis)
    found = concept_importances(network, own, basis, LABEL, masks, DESIGNS, True, 32).mean(dim=0)
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=0.03, rtol=0)


def test_importances_without_places_are_those_of_the_library():
    """The library's other way, for features that have no places."""
    network = build_network(SmallNetwork, 4, 1).eval().requires_grad_(False)
    activations = torch.rand((40, 32), generator=torch.Generator().manual_seed(0)).pow(3)
    factors = factorise(activations, CONCEPTS, "craft_xai", 0)

    def head(vectors):
        return network.class_logits(vectors[:, :, None, None])

    method = craft_class()(lambda rows: rows, head, CONCEPTS, batch_size=32, device="cpu")
    method.W = factors.basis.numpy()
    method.reducer = None
    method.transform = lambda _inputs: factors.coefficients.numpy()
    expected = method.estimate_importance(None, LABEL, DESIGNS)
    masks = replicated_design(CONCEPTS, DESIGNS, "halton", 0)
    found = concept_importances(
        network,
        factors.coefficients[:, None, None],
        factors.basis,
        LABEL,
        masks,
        DESIGNS,
        True,
        32,
    )
    torch.testing.assert_close(found.mean(dim=0), torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


def test_a_head_that_does_not_pool():
    network = build_network(ThesisCnn, 10, 0).eval().requires_grad_(False)
    images = smooth(1, 28, 3).float() / 255
    method = library(network)
    maps = network.feature_maps(images)
    factors = factorise(maps.permute(0, 2, 3, 1).flatten(0, 2), CONCEPTS, "craft_xai", 0)
    coefficients = coefficients_of(maps.permute(0, 2, 3, 1).flatten(0, 2), factors.basis)
    coefficients = coefficients.view(3, 5, 5, CONCEPTS)
    method.W, method.reducer = factors.basis.numpy(), None
    method.transform = lambda _inputs: coefficients.numpy()
    expected = method.estimate_importance(None, LABEL, DESIGNS)
    masks = replicated_design(CONCEPTS, DESIGNS, "halton", 0)
    assert not pools_first(network, maps)
    found = concept_importances(
        network, coefficients, factors.basis, LABEL, masks, DESIGNS, False, 7
    )
    torch.testing.assert_close(found.mean(dim=0), torch.from_numpy(expected), atol=1e-4, rtol=1e-4)
