"""Concept activation vectors: directions that are known, and what they may not depend on."""

import pytest
import torch

from sparsight.concepts.cav import (
    Cav,
    Fitting,
    Labelled,
    Standardiser,
    activation_vectors,
    drawn_order,
    fit_direction,
    two_sides,
)
from sparsight.io.errors import InputError
from tests.unit.concepts.planted import believed, mislabelled, two_kinds

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
    return Labelled(features, shown, torch.arange(count) + 100, torch.ones_like(shown))


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
    shown = torch.zeros(300, 2, dtype=torch.bool)
    nothing = Labelled(features, shown, torch.arange(300) + 1000, ~shown)
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
    "change",
    [
        {"classifier": "forest"},
        {"strengths": []},
        {"strengths": [0.0]},
        {"images_per_side": -1},
        {"held_out": 1.0},
    ],
)
def test_settings_that_cannot_be_used_are_refused(change: dict) -> None:
    with pytest.raises(InputError, match=rf"\.{next(iter(change))} is .* but must "):
        Cav(**change)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
@pytest.mark.parametrize("count", [0, 8])
@pytest.mark.parametrize("with_validation", [True, False])
def test_images_of_which_a_concept_is_not_known_are_left_out(
    classifier: str, count: int, with_validation: bool
) -> None:
    names, fitting = ["first", "second"], Fitting(classifier, (0.01, 1.0), count, 0.25, "test")
    train, validation = two_kinds(90, 0), two_kinds(30, 1) if with_validation else None
    concepts, chosen = activation_vectors(names, train, validation, fitting)
    assert (concepts.vectors[:, 0] > 0).all()
    right = (concepts.scores(train.pooled) > 0) == train.shown
    assert right[train.known].double().mean() > 0.9
    other, again = activation_vectors(
        names, mislabelled(train), None if validation is None else mislabelled(validation), fitting
    )
    assert torch.equal(other.vectors, concepts.vectors)
    assert torch.equal(again, chosen)
    # taken for negative examples, images of the second kind turn the first concept round
    wrong, _ = activation_vectors(
        names, believed(train), None if validation is None else believed(validation), fitting
    )
    assert wrong.vectors[0, 0] < 0


def test_so_many_known_images_of_each_side_are_taken() -> None:
    """A channel of its own for each image shows which images a vector was fitted on."""
    train = two_kinds(60, 0)._replace(pooled=torch.eye(60))
    for count, expected in ((6, [(6, 6), (6, 6)]), (0, [(20, 10), (30, 10)])):
        fitting = Fitting("svm", (0.1,), count, 0.25, "test")
        concepts, _ = activation_vectors(["first", "second"], train, train, fitting)
        for k, sides in enumerate(expected):
            taken = concepts.vectors[k].abs() > 1e-6
            assert not taken[~train.known[:, k]].any()
            shown = train.shown[taken, k].sum().item()
            assert (shown, taken.sum().item() - shown) == sides


def test_known_validation_images_choose_the_strength() -> None:
    """A third of the images is labelled by the vector of one C, the others, not known, by that of
    another."""
    train, draw = planted(60, 0, 2.0), torch.Generator().manual_seed(5)
    features = 3 * torch.randn(300, 4, generator=draw)
    features[:, 3] *= 1000
    labels = {}
    for strength in (1e-4, 1e2):
        alone = Fitting("logistic", (strength,), 0, 0.25, "test")
        labels[strength] = activation_vectors(["up", "left"], train, None, alone)[0].scores(
            features
        )
    both = Fitting("logistic", (1e2, 1e-4), 0, 0.25, "test")
    known = (torch.arange(300) % 3 == 0)[:, None].expand(300, 2)
    for strength, other in ((1e-4, 1e2), (1e2, 1e-4)):
        shown = torch.where(known, labels[strength], labels[other]) > 0
        judges = Labelled(features, shown, torch.arange(300) + 1000, known)
        _, chosen = activation_vectors(["up", "left"], train, judges, both)
        assert chosen.tolist() == pytest.approx([strength] * 2)
        _, chosen = activation_vectors(["up", "left"], train, believed(judges), both)
        assert chosen.tolist() == pytest.approx([other] * 2)


def test_a_concept_without_known_validation_images_is_judged_by_held_out_ones() -> None:
    train, validation = planted(60, 5, 2.0), planted(60, 55, 2.0)
    fitting = Fitting("logistic", (1e-4, 1e-2, 1e2), 0, 0.25, "test")
    judged, by_validation = activation_vectors(["up", "left"], train, validation, fitting)
    alone, by_held_out = activation_vectors(["up", "left"], train, None, fitting)
    known = torch.tensor([False, True]).expand(60, 2)
    mixed, chosen = activation_vectors(
        ["up", "left"], train, validation._replace(known=known), fitting
    )
    # neither the smallest nor what the validation images would have chosen
    assert 1e-3 < by_held_out[0] < by_validation[0]
    assert chosen.tolist() == [by_held_out[0], by_validation[1]]
    assert torch.equal(mixed.vectors[0], alone.vectors[0])
    assert torch.equal(mixed.vectors[1], judged.vectors[1])


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_where_all_is_known_nothing_has_changed(classifier: str) -> None:
    """Bit for bit the vectors of before, when an image was on one side or on the other."""
    train = believed(two_kinds(60, 0, 0.7))
    fitting = Fitting(classifier, (0.1,), 8, 0.25, "test")
    concepts, _ = activation_vectors(["first", "second"], train, train, fitting)
    scale, order = Standardiser.of(train.pooled), drawn_order(train.image_ids, "test")
    for k in range(2):
        sides = [order[train.shown[order, k]], order[~train.shown[order, k]]]
        rows = torch.cat([side[:8] for side in sides]).numpy()
        inputs, shown = scale(train.pooled).numpy(), train.shown[:, k].numpy()
        vector, intercept = fit_direction(classifier, 0.1, inputs[rows], shown[rows])
        raw, shifted = scale.fold(torch.from_numpy(vector)[None], torch.tensor([intercept]))
        assert torch.equal(concepts.vectors[k], raw[0].float())
        assert concepts.intercepts[k].item() == pytest.approx(shifted.item(), rel=1e-6)
