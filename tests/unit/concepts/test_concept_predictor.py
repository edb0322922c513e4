"""The multi-label predictor."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.concepts.cav import ConceptPredictor, Labelled, train_predictor
from sparsight.io.errors import InputError
from sparsight.training.loop import derived_seed, generator
from tests.unit.concepts.planted import believed, mislabelled, two_kinds


def images(features: Tensor, shown: Tensor) -> Labelled:
    return Labelled(features, shown, torch.arange(len(shown)), torch.ones_like(shown))


def recipe_of(epochs: int, learning_rate: float, batch_size: int) -> dict[str, float]:
    return {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}


def test_it_learns_all_concepts_at_once_and_is_seeded() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(300, 5, generator=draw)
    shown = features[:, :2] > 0
    recipe = recipe_of(40, 0.1, 32)
    concepts = train_predictor(["a", "b"], images(features, shown), recipe, 3)
    assert ((concepts.scores(features) > 0) == shown).double().mean() > 0.95
    torch.manual_seed(99)
    again = train_predictor(["a", "b"], images(features, shown), recipe, 3)
    assert torch.equal(concepts.vectors, again.vectors)
    other = train_predictor(["a", "b"], images(features, shown), recipe, 4)
    assert not torch.equal(concepts.vectors, other.vectors)


def test_one_step_is_that_of_gradient_descent() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    shown = torch.tensor([[True, False], [False, True]])
    known = torch.tensor([[True, False], [True, True]])
    train = images(features, shown)._replace(known=known)
    one = train_predictor(["a", "b"], train, recipe_of(1, 0.5, 2), 0)
    # without the step, from almost the same weights: a step too small to see
    start = train_predictor(["a", "b"], train, recipe_of(1, 1e-12, 2), 0)
    # the mean is over four labels, of which one is not known and adds nothing
    errors = (start.scores(features).sigmoid() - shown.float()) * known / 4
    assert torch.allclose(one.vectors, start.vectors - 0.5 * errors.T @ features, atol=1e-6)
    assert torch.allclose(one.intercepts, start.intercepts - 0.5 * errors.sum(0), atol=1e-6)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"batch_size": 0}])
def test_recipes_that_train_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=rf"\.{next(iter(wrong))} is .* but must "):
        ConceptPredictor(**wrong)


def test_labels_that_are_not_known_teach_nothing() -> None:
    train, recipe = two_kinds(120, 0), recipe_of(300, 1.0, 32)
    concepts = train_predictor(["first", "second"], train, recipe, 0)
    assert (concepts.vectors[:, 0] > 1).all()
    right = (concepts.scores(train.pooled) > 0) == train.shown
    assert right[train.known].all()
    other = train_predictor(["first", "second"], mislabelled(train), recipe, 0)
    assert torch.equal(other.vectors, concepts.vectors)
    assert torch.equal(other.intercepts, concepts.intercepts)
    # taken for negative examples, images of the second kind turn the first concept round
    wrong = train_predictor(["first", "second"], believed(train), recipe, 0)
    assert wrong.vectors[0, 0] < 0


def test_where_all_is_known_nothing_has_changed() -> None:
    """Bit for bit the loss without weights, as it was before some labels could be unknown."""
    train = believed(two_kinds(50, 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(5, "concept predictor"))
        layer = nn.Linear(4, 2)
    optimiser = torch.optim.SGD(layer.parameters(), 0.1)
    order = generator(torch.device("cpu"), 5, "concept predictor", "order")
    for _ in range(3):
        for rows in torch.randperm(50, generator=order).split(32):
            optimiser.zero_grad()
            truth = train.shown.float()[rows]
            functional.binary_cross_entropy_with_logits(layer(train.pooled[rows]), truth).backward()
            optimiser.step()
    found = train_predictor(["first", "second"], train, recipe_of(3, 0.1, 32), 5)
    assert torch.equal(found.vectors, layer.weight)
    assert torch.equal(found.intercepts, layer.bias)
