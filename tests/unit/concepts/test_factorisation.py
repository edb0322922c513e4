"""Factors: exact where they can be, equal by both libraries, seeded, and without leftovers."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from sparsight.concepts.craft import (
    BACKENDS,
    coefficients_of,
    craft_class,
    factorise,
    overcomplete_class,
    reconstruction_error,
)
from sparsight.explain.randomness import seeded
from sparsight.io.errors import InputError

each_backend = pytest.mark.parametrize("backend", sorted(BACKENDS))


def activations(count=500, width=40, concepts=12, noise=0.05, seed=0):
    """Sparse non-negative mixtures of sparse non-negative parts, as those behind a ReLU."""
    draw = torch.Generator().manual_seed(seed)
    parts = torch.rand((concepts, width), generator=draw).pow(4)
    shares = torch.rand((count, concepts), generator=draw).pow(3)
    return shares @ parts + noise * torch.rand((count, width), generator=draw)


@each_backend
def test_separate_parts_are_found(backend):
    # Each row is one of three parts, in its own strength: the factors are those parts.
    parts = torch.tensor([[0.6, 0.8, 0, 0, 0], [0, 0, 1.0, 0, 0], [0, 0, 0, 0.8, 0.6]])
    owners, strengths = torch.arange(30) % 3, 1 + torch.arange(30) / 30
    found = factorise(strengths[:, None] * parts[owners], 3, backend, 0)
    partner = (found.basis @ parts.T).argmax(dim=1)
    assert sorted(partner.tolist()) == [0, 1, 2]
    torch.testing.assert_close(found.basis, parts[partner], atol=1e-3, rtol=0)
    expected = torch.zeros(30, 3)
    expected[torch.arange(30), owners] = strengths
    torch.testing.assert_close(found.coefficients, expected[:, partner], atol=1e-3, rtol=0)
    assert found.coefficients.dtype == found.basis.dtype == torch.float32


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("concepts", [3, 10])
def test_both_libraries_reconstruct_equally_well(seed, concepts):
    given = activations(seed=seed)
    errors = {}
    for backend in BACKENDS:
        found = factorise(given, concepts, backend, seed)
        assert (found.coefficients >= 0).all()
        assert (found.basis >= 0).all()
        assert ((found.basis.norm(dim=1) - 1).abs() < 1e-5).all()
        errors[backend] = reconstruction_error(given, found.coefficients, found.basis)
    assert 0.05 < errors["craft_xai"] < 0.5
    assert errors["craft_xai"] == pytest.approx(errors["overcomplete"], rel=0.02)


def test_a_concept_that_alternating_least_squares_gave_up_is_sought_again():
    draw = torch.Generator().manual_seed(0)
    parts = torch.tensor([[3.0, 4, 0, 0, 0], [0, 0, 2, 0, 0], [0, 0, 0, 6, 8]])
    given = torch.arange(1, 31)[:, None] * parts[torch.arange(30) % 3]
    given += 30 * torch.rand(given.shape, generator=draw)
    with seeded(0, torch.device("cpu")):
        alone, basis = overcomplete_class()(3).fit(given)
    assert not basis.any(dim=1).all()
    found = factorise(given, 3, "overcomplete", 0)
    assert found.basis.any(dim=1).all()
    better, worse = (
        reconstruction_error(given, *pair)
        for pair in ((found.coefficients, found.basis), (alone, basis))
    )
    assert better < 0.7 * worse


@each_backend
# 12 concepts are more than there are channels: then the start is drawn
@pytest.mark.parametrize("concepts", [5, 12])
def test_equal_seeds_give_equal_factors_whatever_ran_before(backend, concepts):
    given = activations(count=100, width=8)
    first = factorise(given, concepts, backend, 3)
    np.random.rand(5), torch.rand(5)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    again = factorise(given, concepts, backend, 3)
    assert torch.equal(first.coefficients, again.coefficients)
    assert torch.equal(first.basis, again.basis)
    assert (np.random.get_state()[1] == states[0]).all()
    assert torch.equal(torch.get_rng_state(), states[1])
    if concepts == 12:
        assert not torch.equal(factorise(given, concepts, backend, 4).basis, first.basis)


@each_backend
def test_a_network_without_activations_has_concepts_of_zeros(backend):
    found = factorise(torch.zeros(20, 8), 3, backend, 0)
    assert found.coefficients.shape == (20, 3)
    assert found.basis.shape == (3, 8)
    assert not found.coefficients.any()
    assert not found.basis.any()


@each_backend
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_one_feature_for_all_crops_is_one_concept(backend, noise):
    draw = torch.Generator().manual_seed(0)
    given = torch.tensor([[3.0, 0, 4]]) * (1 + noise * torch.randn((20, 3), generator=draw))
    found = factorise(given, 5, backend, 0)
    torch.testing.assert_close(found.basis[0], torch.tensor([0.6, 0, 0.8]))
    torch.testing.assert_close(found.coefficients[:, 0], torch.full((20,), 5.0))
    assert len(found.coefficients[:, 0].unique()) == 1
    assert not found.basis[1:].any()
    assert not found.coefficients[:, 1:].any()


@each_backend
def test_one_channel_that_works_does_for_all_concepts(backend):
    given = torch.zeros(20, 8)
    given[:, 2] = torch.arange(20)
    found = factorise(given, 3, backend, 0)
    for part in (found.coefficients, found.basis):
        assert part.isfinite().all()
    torch.testing.assert_close(found.coefficients @ found.basis, given, atol=1e-2, rtol=0)


def test_what_is_refused():
    with pytest.raises(InputError, match="unknown backend 'sklearn'"):
        factorise(torch.rand(4, 4), 2, "sklearn", 0)
    with pytest.raises(InputError, match="negative"):
        factorise(torch.rand(4, 4) - 0.5, 2, "craft_xai", 0)


@pytest.mark.parametrize("concepts", [1, 4, 10])
def test_coefficients_are_the_solution_of_each_row(concepts):
    draw = torch.Generator().manual_seed(concepts)
    basis = torch.rand((concepts, 30), generator=draw).pow(3)
    given = torch.rand((25, 30), generator=draw).pow(2)
    expected = np.stack([nnls(basis.T.double().numpy(), row)[0] for row in given.double().numpy()])
    found = coefficients_of(given, basis)
    assert concepts == 1 or (expected == 0).any()
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-4, rtol=1e-3)
    alone = torch.cat([coefficients_of(row[None], basis) for row in given])
    torch.testing.assert_close(alone, found, atol=1e-5, rtol=1e-5)


def test_an_unused_concept_gets_nothing():
    basis = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0.6, 0.8]])
    found = coefficients_of(torch.tensor([[2.0, 3, 4]]), basis)
    torch.testing.assert_close(found, torch.tensor([[2.0, 0, 5]]))
    assert coefficients_of(torch.empty(0, 3), basis).shape == (0, 3)


def test_no_placeholder_is_left():
    assert craft_class().__name__ == "Craft"
    assert overcomplete_class().__name__ == "NMF"
    # find_spec of a module that has none raises ValueError
    importlib.util.find_spec("tensorflow")
    assert "tensorflow" not in sys.modules
    assert "overcomplete" not in sys.modules
