"""Pictures that excite a class: known answers, horama's own, seeds, shapes."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.spade.visualisation import NOISE, mean_magnitude, visualisation

SHORT = {"steps": 8, "crops": 3}


class Colours(nn.Module):
    """The logit of a class is how far the mean of a channel lies above that of all."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return self.scale * (means - means.mean(1, keepdim=True))


def test_the_class_of_a_colour_gets_that_colour():
    for colour in range(3):
        picture = visualisation(Colours(), colour, (3, 16, 16), {"steps": 60, "crops": 2})
        means = picture.mean((1, 2))
        assert picture.shape == (3, 16, 16)
        assert 0 <= picture.min() <= picture.max() <= 1
        assert means.argmax() == colour
        assert 10 * float(means[colour] - means.mean()) > 0.2


def test_fourier_is_that_of_horama(residual):
    from horama import fourier

    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected, _ = fourier(
            lambda crops: residual.eval()(crops)[:, 1].mean(),
            total_steps=4,
            image_size=32,
            model_input_size=32,
            noise=NOISE,
            values_range=(0.0, 1.0),
            crops_per_iteration=3,
            box_size=(0.4, 0.7),
            device="cpu",
        )
    found = visualisation(residual, 1, (3, 32, 32), {"steps": 4, "crops": 3, "seed": 3})
    torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize("method", ["fourier", "maco"])
def test_a_seed_decides_and_nothing_else_does(method, residual):
    magnitude = mean_magnitude(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    settings = {**SHORT, "method": method}
    before = torch.get_rng_state(), [p.clone() for p in residual.parameters()]
    first = visualisation(residual, 0, (3, 32, 32), settings, magnitude)
    assert torch.equal(torch.get_rng_state(), before[0])
    torch.rand(5)
    assert torch.equal(visualisation(residual, 0, (3, 32, 32), settings, magnitude), first)
    other = visualisation(residual, 0, (3, 32, 32), {**settings, "seed": 1}, magnitude)
    assert not torch.allclose(other, first)
    assert not torch.equal(visualisation(residual, 1, (3, 32, 32), settings, magnitude), first)
    assert all(torch.equal(*pair) for pair in zip(residual.parameters(), before[1], strict=True))
    assert all(p.requires_grad for p in residual.parameters())


def test_steps_raise_the_logit():
    def logit(steps: int) -> float:
        picture = visualisation(Colours(), 2, (3, 16, 16), {"steps": steps, "crops": 2})
        with torch.no_grad():
            return float(Colours()(picture[None])[0, 2])

    assert logit(40) > logit(1) + 0.3


@pytest.mark.parametrize(("shape", "side"), [((1, 28, 28), 28), ((3, 31, 31), 32)])
def test_grey_images_and_odd_sides(shape, side):
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, images: Tensor) -> Tensor:
            assert images.shape[1:] == shape
            return self.layer(images.mean((1, 2, 3))[:, None])

    for method in ("fourier", "maco"):
        magnitude = mean_magnitude(torch.rand(2, *shape))
        picture = visualisation(Mean(), 0, shape, {**SHORT, "method": method}, magnitude)
        assert picture.shape == (shape[0], side, side)


def test_magnitude_of_a_grey_picture_is_that_of_its_spectrum():
    pictures = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = mean_magnitude(pictures)
    own = torch.fft.rfft2(pictures[:, 0]).abs().mean(0)
    assert found.shape == (3, 8, 5)
    # grey lies on fixed weights of the decorrelated colours
    ratios = found / own
    torch.testing.assert_close(ratios, ratios[:, :1, :1].expand_as(ratios))
    torch.testing.assert_close(mean_magnitude(pictures.expand(-1, 3, -1, -1)), found)


@pytest.mark.parametrize(
    ("settings", "shape", "said"),
    [
        ({"method": "deep"}, (3, 8, 8), "fourier and maco"),
        ({"steps": 0}, (3, 8, 8), "'steps'"),
        ({"crops": 0}, (3, 8, 8), "'crops'"),
        ({"step": 1}, (3, 8, 8), "step"),
        ({}, (3, 8, 9), "square"),
        ({}, (2, 8, 8), "channels"),
        ({"method": "maco"}, (3, 8, 8), "magnitude"),
    ],
)
def test_what_cannot_be_used(settings, shape, said):
    with pytest.raises(InputError, match=said):
        visualisation(Colours(), 0, shape, settings)
