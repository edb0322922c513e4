"""The multi-label predictor."""

import pytest
import torch

from sparsight.concepts.labelled.concept_predictor import PredictorRecipe, train_predictor
from sparsight.io.errors import InputError


def test_it_learns_all_concepts_at_once_and_is_seeded() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(300, 5, generator=draw)
    shown = features[:, :2] > 0
    recipe = PredictorRecipe(40, 0.1, 32)
    concepts = train_predictor(["a", "b"], features, shown, recipe, 3)
    assert ((concepts.scores(features) > 0) == shown).double().mean() > 0.95
    torch.manual_seed(99)
    again = train_predictor(["a", "b"], features, shown, recipe, 3)
    assert torch.equal(concepts.vectors, again.vectors)
    other = train_predictor(["a", "b"], features, shown, recipe, 4)
    assert not torch.equal(concepts.vectors, other.vectors)


def test_one_step_is_that_of_gradient_descent() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    shown = torch.tensor([[True], [False]])
    one = train_predictor(["a"], features, shown, PredictorRecipe(1, 0.5, 2), 0)
    # without the step, from almost the same weights: a step too small to see
    start = train_predictor(["a"], features, shown, PredictorRecipe(1, 1e-12, 2), 0)
    errors = (start.scores(features).sigmoid() - shown.float()) / 2
    assert torch.allclose(one.vectors, start.vectors - 0.5 * errors.T @ features, atol=1e-6)
    assert torch.allclose(one.intercepts, start.intercepts - 0.5 * errors.sum(0), atol=1e-6)


@pytest.mark.parametrize("wrong", [(0, 0.1, 32), (1, 0.0, 32), (1, 0.1, 0)])
def test_recipes_that_train_nothing_are_refused(wrong: tuple[int, float, int]) -> None:
    with pytest.raises(InputError, match="at least one epoch"):
        PredictorRecipe(*wrong)
