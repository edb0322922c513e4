"""Superpixels: grids on paper, and SLIC that follows colours and looks at one image only."""

import pytest
import torch
from torch import Tensor

from sparsight.explain.surrogates import superpixels


def quarters(side: int = 64) -> Tensor:
    """RGB image [3,side,side] of four colours."""
    image = torch.zeros(3, side, side)
    half = side // 2
    image[0, :half, :half] = 1
    image[1, :half, half:] = 1
    image[2, half:, :half] = 1
    return image


def noisy(images: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (images + 0.2 * torch.rand(images.shape, generator=generator)).clamp(0, 1)


def test_a_grid_on_paper() -> None:
    # Six rectangles of an image half as wide again as high: two rows of three.
    found = superpixels(torch.zeros(1, 1, 4, 6), 6)[0]
    assert found.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 100, 100), (3, 40, 90), (1, 2, 2)])
@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_a_grid_has_no_more_than_asked_and_no_gaps(shape: tuple[int, ...], count: int) -> None:
    found = superpixels(torch.rand(1, *shape), count)[0]
    numbers, sizes = found.unique(return_counts=True)
    assert found.shape == shape[1:]
    assert numbers.tolist() == list(range(len(numbers)))
    assert 0.7 * min(count, 4, shape[1] * shape[2]) <= len(numbers) <= count
    # Sides differ by a pixel at most, and no grid is coarser than it must be.
    rows, columns = len(found[:, 0].unique()), len(found[0].unique())
    assert len(numbers) == rows * columns
    assert sizes.max() <= (shape[1] // rows + 1) * (shape[2] // columns + 1)


def strangers(segments: Tensor) -> float:
    """Share of pixels of another quarter than most of their segment."""
    half = torch.arange(64) // 32
    quarter = half[:, None] * 2 + half
    sizes = [torch.bincount(quarter[segments == number]) for number in segments.unique()]
    return 1 - sum(int(size.max()) for size in sizes) / segments.numel()


@pytest.mark.parametrize("images", [quarters()[None], noisy(quarters()[None])])
def test_slic_follows_colours(images: Tensor) -> None:
    found = superpixels(images, 49)[0]
    numbers = found.unique()
    assert numbers.tolist() == list(range(len(numbers)))
    assert 25 <= len(numbers) <= 60
    # The 49 squares of a grid are cut by the colours' borders, which lie inside the middle ones.
    assert strangers(found) < 0.05
    assert strangers(superpixels(images[:, :1], 49)[0]) > 0.1


def test_an_image_that_slic_cannot_segment_gets_a_grid() -> None:
    generator = torch.Generator().manual_seed(1)
    image = (torch.rand(1, 3, 64, 64, generator=generator) > 0.5).float()
    assert torch.equal(superpixels(image, 2000), superpixels(image[:, :1], 2000))


def test_noise_alone_has_superpixels_too() -> None:
    # Without smoothing SLIC finds a single one.
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = superpixels(image, 50)
    assert 40 <= len(found.unique()) <= 50
    assert not torch.equal(found, superpixels(image[:, :1], 50))


def test_segments_come_from_the_image_alone() -> None:
    images = noisy(torch.stack([quarters(), quarters().flip(1), torch.full((3, 64, 64), 0.5)]))
    whole = superpixels(images, 30)
    assert not torch.equal(whole[0], whole[1])
    for row in (2, 0, 1):
        assert torch.equal(superpixels(images[row : row + 1], 30)[0], whole[row])
