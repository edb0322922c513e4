"""Concept activation vectors: directions that are known, and what they may not depend on."""

import pytest
import torch

from sparsight.concepts.labelled.activation_vectors import Fitting, Labelled, activation_vectors
from sparsight.concepts.labelled.drawing import drawn_order, two_sides
from sparsight.io.errors import InputError

FITTING = Fitting("svm", (0.01, 0.1, 1.0), 0, 0.25, "test")


def planted(count: int, seed: int, noise: float = 0.3) -> Labelled:
    """Concept 0 is feature 1 above 2, concept 1 feature 0 below -1, of four features."""
    draw = torch.Generator().manual_seed(seed)
    shown = torch.rand(count, 2, generator=draw) < 0.5
    features = noise * torch.randn(count, 4, generator=draw)
    features[:, 1] += torch.where(shown[:, 0], 3.0, 1.0)
    features[:, 0] += torch.where(shown[:, 1], -2.0, 0.0)
    # the scale of a feature must not matter
    features[:, 3] *= 1000
    return Labelled(features, shown, torch.arange(count) + 100)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_vectors_point_to_where_the_concept_is(classifier: str) -> None:
    fitting = Fitting(classifier, (0.1,), 0, 0.25, "test")
    concepts, strengths = activation_vectors(
        ["up", "left"], planted(400, 0), planted(100, 1), fitting
    )
    assert concepts.names == ("up", "left")
    assert strengths.tolist() == pytest.approx([0.1, 0.1])
    directions = concepts.vectors / concepts.vectors.norm(dim=1, keepdim=True)
    expected = torch.tensor([[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]])
    assert (directions * expected).sum(dim=1).min() > 0.97
    # the boundaries lie half-way
    middle = torch.tensor([[0.0, 2.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]])
    assert concepts.margins(middle).diag().abs().max() < 0.2


def test_order_of_the_images_does_not_matter() -> None:
    train, validation = planted(200, 0, 1.0), planted(100, 1, 1.0)
    fitting = Fitting("svm", (0.01, 1.0), 20, 0.25, "test")
    mixed = train.select(torch.randperm(200, generator=torch.Generator().manual_seed(3)))
    for held in (validation, None):
        first, chosen = activation_vectors(["up", "left"], train, held, fitting)
        second, again = activation_vectors(["up", "left"], mixed, held, fitting)
        assert torch.allclose(first.vectors, second.vectors, rtol=1e-3, atol=1e-6)
        assert torch.equal(chosen, again)
    # another seed draws other images
    other = Fitting("svm", (0.01, 1.0), 20, 0.25, "other")
    third, _ = activation_vectors(["up", "left"], train, None, other)
    assert not torch.allclose(first.vectors, third.vectors, rtol=1e-3, atol=1e-6)


def test_validation_images_choose_the_strength() -> None:
    """Images that are labelled by the vector of one C choose that C."""
    train, draw = planted(60, 0, 2.0), torch.Generator().manual_seed(5)
    features = 3 * torch.randn(300, 4, generator=draw)
    features[:, 3] *= 1000
    nothing = Labelled(features, torch.zeros(300, 2, dtype=torch.bool), torch.arange(300) + 1000)
    for strength in (1e-4, 1e2):
        alone = Fitting("logistic", (strength,), 0, 0.25, "test")
        concepts, _ = activation_vectors(["up", "left"], train, nothing, alone)
        judges = nothing._replace(shown=concepts.scores(features) > 0)
        both = Fitting("logistic", (1e2, 1e-4), 0, 0.25, "test")
        found, chosen = activation_vectors(["up", "left"], train, judges, both)
        assert chosen.tolist() == pytest.approx([strength] * 2)
        assert torch.equal(found.vectors, concepts.vectors)


def test_among_equals_the_smallest_strength_is_chosen() -> None:
    far = planted(60, 0, 0.01)
    for validation in (planted(40, 1, 0.01), None):
        fitting = Fitting("svm", (1.0, 0.1, 10.0), 0, 0.25, "test")
        _, chosen = activation_vectors(["up", "left"], far, validation, fitting)
        assert chosen.tolist() == pytest.approx([0.1, 0.1])


def test_held_out_images_are_used_in_the_end() -> None:
    """Of 20 images a quarter chooses C; the vectors are those of all 20."""
    train = planted(20, 0, 1.0)
    fitting = Fitting("logistic", (0.1,), 0, 0.25, "test")
    alone, _ = activation_vectors(["up", "left"], train, None, fitting)
    judged, _ = activation_vectors(["up", "left"], train, planted(9, 1), fitting)
    assert torch.allclose(alone.vectors, judged.vectors, rtol=1e-4, atol=1e-7)


def test_one_image_on_a_side_is_enough() -> None:
    train = planted(10, 0, 0.01)
    train.shown[:] = torch.arange(10)[:, None] == 4
    concepts, _ = activation_vectors(["up", "left"], train, None, FITTING)
    assert concepts.vectors.isfinite().all()


def test_so_many_images_of_each_side_are_taken() -> None:
    shown = torch.tensor([True, False, True, True, False, False, True])
    order = torch.tensor([6, 5, 4, 3, 2, 1, 0])
    assert two_sides(order, shown, 2).tolist() == [6, 3, 5, 4]
    assert two_sides(order, shown, 9).tolist() == [6, 3, 2, 0, 5, 4, 1]
    assert two_sides(order, shown, 0).tolist() == [6, 3, 2, 0, 5, 4, 1]


def test_the_order_belongs_to_ids_and_name() -> None:
    ids = torch.arange(50)
    order = drawn_order(ids, "a")
    assert sorted(order.tolist()) == ids.tolist()
    assert order.tolist() != drawn_order(ids, "b").tolist()
    # without the last images the others keep their order
    fewer = drawn_order(ids[:30], "a")
    assert fewer.tolist() == [row for row in order.tolist() if row < 30]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier": "forest"}, "svm, logistic, not 'forest'"),
        ({"strengths": ()}, "'strengths' must be"),
        ({"strengths": (0.0,)}, "'strengths' must be"),
        ({"images_per_side": -1}, "'images_per_side'"),
        ({"held_out": 1.0}, "'held_out'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Fitting(**{**vars(FITTING), **change})
