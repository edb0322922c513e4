"""Occlusion of linear networks is window sums."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.perturbation import Occlusion
from sparsight.io.errors import InputError

# One class whose logit is the sum over pixels of weight times value.
WEIGHTS = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])
IMAGE = torch.tensor([[1.0, 0.5, 1.0], [2.0, 0.0, 1.0]])


def explain(image: Tensor, weights: Tensor, **parameters: float) -> Tensor:
    model = nn.Sequential(nn.Flatten(), nn.Linear(weights.numel(), 1))
    model[1].weight.data.copy_(weights.reshape(1, -1))
    given = image.view(1, -1, *image.shape[-2:])
    zero = torch.tensor([0])
    return Occlusion(**parameters).explain(
        ImageBatch(model.requires_grad_(False), given, zero, zero, "o")
    )[0]


def test_windows_that_do_not_overlap() -> None:
    # Products: [1, -1, 3] and [1, 0, -1]. The second window holds the last column alone.
    found = explain(IMAGE, WEIGHTS, window=2, stride=2)
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.0, 2.0]] * 2))


def test_a_pixel_gets_the_mean_of_its_windows() -> None:
    # The columns sum to 2, -1 and 2: the windows lose 1 and 1, the middle pixel the mean.
    found = explain(IMAGE + torch.tensor([1.0, 0, 0]), WEIGHTS, window=2, stride=1)
    # The first column now weighs 1.5 more.
    torch.testing.assert_close(found, torch.tensor([[2.5, 1.75, 1.0]] * 2))


def test_single_pixels_are_weight_times_difference_from_the_baseline() -> None:
    found = explain(IMAGE, WEIGHTS, window=1, stride=1, baseline=0.5)
    torch.testing.assert_close(found, WEIGHTS * (IMAGE - 0.5))


def test_all_channels_are_covered_at_once() -> None:
    found = explain(
        torch.stack([IMAGE, IMAGE]), torch.stack([WEIGHTS, 2 * WEIGHTS]), window=1, stride=1
    )
    torch.testing.assert_close(found, 3 * WEIGHTS * IMAGE)


def test_a_window_larger_than_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="window is 3, but the images have only 2x3 pixels"):
        explain(IMAGE, WEIGHTS, window=3, stride=1)


@pytest.mark.parametrize(
    ("shape", "cost"), [((3, 28, 28), 170), ((3, 64, 64), 962), ((3, 224, 224), 12322)]
)
def test_the_cost_is_that_of_the_images(shape: tuple[int, int, int], cost: int) -> None:
    assert Occlusion().cost_on(shape) == cost


@pytest.mark.parametrize(("height", "width"), [(9, 14), (4, 6), (11, 5)])
def test_the_cost_is_the_number_of_passes(height: int, width: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(height * width, 1)).requires_grad_(False)
    passes: list[int] = []
    model.register_forward_hook(lambda module, given, output: passes.append(1))
    zero = torch.tensor([0])
    explainer = Occlusion(window=4, stride=3)
    explainer.explain(ImageBatch(model, torch.rand(1, 1, height, width), zero, zero, "o"))
    assert len(passes) == explainer.cost_on((1, height, width))
