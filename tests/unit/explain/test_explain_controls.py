"""Controls: known answers, and random maps that belong to an image."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch
from sparsight.explain.controls import CentrePrior, Edges, InputImage, RandomMap, greyscale
from sparsight.io.errors import InputError

NO_NETWORK = nn.Identity()


def explain(explainer: Explainer, images: Tensor, ids: list[int], name: str = "control") -> Tensor:
    targets = torch.zeros(len(images), dtype=torch.int64)
    return explainer.explain(ImageBatch(NO_NETWORK, images, targets, torch.tensor(ids), name))


def test_greyscale_on_paper() -> None:
    pixel = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    assert greyscale(pixel).item() == pytest.approx(0.299 + 0.587 / 2 + 0.114 / 4)
    assert greyscale(pixel[:, :1]).item() == 1
    assert greyscale(pixel[:, :2]).item() == 0.75


def test_random_maps_do_not_depend_on_the_batch() -> None:
    images = torch.zeros(3, 1, 6, 5)
    whole = explain(RandomMap(), images, [4, 8, 2])
    assert torch.equal(explain(RandomMap(), images[:2], [2, 4]), whole[[2, 0]])
    assert torch.equal(explain(RandomMap(), images[:1], [8]), whole[1:2])


def test_random_maps_depend_on_image_and_name_and_on_nothing_global() -> None:
    images = torch.zeros(1, 1, 6, 5)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = explain(RandomMap(), images, [4])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(explain(RandomMap(), images, [4]), first)
    assert not torch.equal(explain(RandomMap(), images, [5]), first)
    assert not torch.equal(explain(RandomMap(), images, [4], "other"), first)


def test_random_maps_are_uniform() -> None:
    found = explain(RandomMap(), torch.zeros(50, 1, 20, 20), list(range(50)))
    assert found.dtype == torch.float32
    assert found.shape == (50, 20, 20)
    assert found.min() >= 0
    assert found.max() < 1
    # Standard errors for 20,000 values: 0.002 and 0.0006.
    assert found.mean().item() == pytest.approx(0.5, abs=0.01)
    assert found.var().item() == pytest.approx(1 / 12, abs=0.003)


def test_edges_of_a_vertical_and_a_horizontal_step() -> None:
    images = torch.zeros(2, 1, 4, 6)
    images[0, :, :, 3:] = 1
    images[1, :, 2:, :] = 1
    found = explain(Edges(), images, [0, 1])
    assert torch.equal(found[0], torch.tensor([0.0, 0, 1, 1, 0, 0]).expand(4, 6))
    assert torch.equal(found[1], torch.tensor([0.0, 1, 1, 0]).view(4, 1).expand(4, 6))


def test_edges_of_a_corner() -> None:
    # Around the corner of a quadrant both kernels see 3/4 on its inner pixel: 3/4 * sqrt(2).
    image = torch.zeros(1, 1, 6, 6)
    image[:, :, 3:, 3:] = 1
    found = explain(Edges(), image, [0])[0]
    assert found[3, 3].item() == pytest.approx(0.75 * 2**0.5)
    assert found[2, 2].item() == pytest.approx(0.25 * 2**0.5)
    assert found[5, 5].item() == 0


def test_centre_prior_peak_symmetry_and_width() -> None:
    found = explain(CentrePrior(sigma=0.25), torch.zeros(2, 3, 9, 21), [0, 1])
    assert torch.equal(found[0], found[1])
    prior = found[0]
    assert prior[4, 10] == 1 == prior.max()
    torch.testing.assert_close(prior, prior.flip(0))
    torch.testing.assert_close(prior, prior.flip(1))
    # Column 10 + 21/4 would be one standard deviation; column 15 is 5/21 of the side away.
    assert prior[4, 15].item() == pytest.approx(
        torch.exp(torch.tensor(-0.5 * (5 / 21 / 0.25) ** 2))
    )
    assert prior[0, 10].item() == pytest.approx(torch.exp(torch.tensor(-0.5 * (4 / 9 / 0.25) ** 2)))


def test_centre_prior_of_an_even_side_peaks_between_its_pixels() -> None:
    prior = explain(CentrePrior(), torch.zeros(1, 1, 28, 28), [0])[0]
    assert (prior == prior.max()).nonzero().tolist() == [[13, 13], [13, 14], [14, 13], [14, 14]]


def test_centre_prior_needs_a_width() -> None:
    with pytest.raises(InputError, match="sigma is 0"):
        CentrePrior(sigma=0)


def test_input_is_the_image() -> None:
    images = torch.rand(2, 1, 4, 4)
    assert torch.equal(explain(InputImage(), images, [0, 1]), images[:, 0])
