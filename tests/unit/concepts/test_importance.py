"""Sobol indices on cases worked out on paper, and importances that do not depend on batches."""

import pytest
import torch

from sparsight.concepts.craft import (
    concept_importances,
    pools_first,
    replicated_design,
    total_indices,
)
from sparsight.io.errors import InputError
from sparsight.models.base import build_network
from sparsight.models.thesis_cnn import ThesisCnn
from tests.unit.concepts.planted import ColourNetwork, SmallNetwork

SAMPLERS = ("sobol", "halton")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_replicated_block_exchanges_one_column(sampler):
    masks = replicated_design(3, 8, sampler, 0)
    assert masks.shape == (40, 3)
    assert masks.dtype == torch.float32
    assert ((masks >= 0) & (masks <= 1)).all()
    first, second, *blocks = masks.split(8)
    assert not (first == second).all(dim=0).any()
    for column, block in enumerate(blocks):
        exchanged = first.clone()
        exchanged[:, column] = second[:, column]
        assert torch.equal(block, exchanged)


def test_masks_belong_to_the_seed():
    assert torch.equal(replicated_design(5, 16, "sobol", 1), replicated_design(5, 16, "sobol", 1))
    assert not torch.equal(
        replicated_design(5, 16, "sobol", 1), replicated_design(5, 16, "sobol", 2)
    )
    assert torch.equal(replicated_design(5, 16, "halton", 1), replicated_design(5, 16, "halton", 2))


@pytest.mark.parametrize(
    ("sampler", "designs", "message"),
    [("grid", 8, "unknown sampler"), ("sobol", 12, "power of 2"), ("halton", 1, "at least 2")],
)
def test_impossible_designs(sampler, designs, message):
    with pytest.raises(InputError, match=message):
        replicated_design(3, designs, sampler, 0)


def test_jansen_on_paper():
    # f(A) = 0, 2; its variance is 2. f(C_1) = 2, 2: (4 + 0) / (2 * 2 * 2); f(C_2) = f(A): nothing.
    outputs = torch.tensor([[0.0, 2, 9, 9, 2, 2, 0, 2]])
    assert total_indices(outputs, 2).tolist() == [[0.5, 0.0]]
    # neither a shift nor a scale changes them, nor what stands beside them
    both = torch.cat([outputs * 7 + 3, torch.rand(1, 8)])
    torch.testing.assert_close(total_indices(both, 2)[0], torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_additive_and_interacting_functions(sampler):
    masks = replicated_design(3, 1024, sampler, 0)
    # Σ a_i x_i: the share of a_i²
    found = total_indices((masks @ torch.tensor([3.0, 2, 1]))[None], 1024)[0]
    torch.testing.assert_close(found, torch.tensor([9.0, 4, 1]) / 14, atol=0.02, rtol=0)
    # x_1 x_2: variance 1/9 - 1/16 = 7/144, of which 1/12 * 1/3 = 4/144 hang on each in all
    found = total_indices((masks[:, 0] * masks[:, 1])[None], 1024)[0]
    torch.testing.assert_close(found, torch.tensor([4 / 7, 4 / 7, 0.0]), atol=0.02, rtol=0)


def test_what_does_not_vary_has_no_importance():
    outputs = torch.full((3, 40), 5.0)
    outputs[1] = 0
    # differences of the size of float32's rounding
    outputs[2] += 1e-6 * torch.rand(40, generator=torch.Generator().manual_seed(0))
    assert total_indices(outputs, 8).tolist() == [[0.0] * 3] * 3


def test_which_heads_pool():
    maps = torch.rand(2, 32, 5, 5)
    assert pools_first(build_network(SmallNetwork, 4, 0).eval(), maps)
    thesis = build_network(ThesisCnn, 10, 0).eval()
    assert not pools_first(thesis, torch.rand(2, 8, 5, 5))

    class Maximum(ColourNetwork):
        def class_logits(self, maps):
            return self.classifier(maps.amax(dim=(2, 3)))

    assert not pools_first(Maximum([[1.0, 2, 3]]), torch.rand(2, 3, 4, 4))


def importances(network, coefficients, basis, label=1, pools=None, batch_size=64):
    masks = replicated_design(len(basis), 16, "sobol", 0)
    pools = pools_first(network, torch.rand(1, basis.shape[1], 5, 5)) if pools is None else pools
    return concept_importances(network, coefficients, basis, label, masks, 16, pools, batch_size)


def drawn(concepts, width, images=4):
    draw = torch.Generator().manual_seed(0)
    coefficients = torch.rand((images, 5, 5, concepts), generator=draw).pow(3)
    return coefficients, torch.rand((concepts, width), generator=draw).pow(3)


def test_the_short_way_through_a_pooling_head_gives_the_same():
    network = build_network(SmallNetwork, 4, 0).eval()
    coefficients, basis = drawn(6, 32)
    short = importances(network, coefficients, basis)
    assert short.shape == (4, 6)
    assert (short.sum(dim=1) > 0.5).all()
    torch.testing.assert_close(
        importances(network, coefficients, basis, pools=False), short, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("architecture", [SmallNetwork, ThesisCnn])
def test_an_image_does_not_depend_on_the_others_or_the_batch(architecture):
    network = build_network(architecture, 10, 0).eval()
    coefficients, basis = drawn(3, 32 if architecture is SmallNetwork else 8)
    whole = importances(network, coefficients, basis)
    assert whole.std() > 0.01
    alone = [importances(network, row[None], basis, batch_size=7) for row in coefficients]
    torch.testing.assert_close(torch.cat(alone), whole, atol=1e-4, rtol=0)


def test_only_concepts_that_the_logit_weighs_are_important():
    network = ColourNetwork([[1.0, 0, 0], [0, 2.0, -2.0]])
    coefficients = torch.ones(1, 5, 5, 3)
    assert importances(network, coefficients, torch.eye(3), 0)[0, 1:].tolist() == [0, 0]
    second = importances(network, coefficients, torch.eye(3), 1)[0]
    assert second[0] == 0
    torch.testing.assert_close(second[1:], torch.tensor([0.5, 0.5]), atol=0.1, rtol=0)
    # an image without anything: no NaN
    assert importances(network, 0 * coefficients, torch.eye(3), 1).tolist() == [[0, 0, 0]]
