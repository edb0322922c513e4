"""What a network that has died says differs in the last bits at most: nothing to explain."""

import pytest
import torch
from torch import Tensor, nn

from sparsight.explain.base import ImageBatch, build_explainers
from sparsight.explain.cam import EigenCam, ScoreCam
from sparsight.explain.gradient import FullGrad
from sparsight.explain.surrogates import weighted_ridge

Batch = tuple[Tensor, Tensor, Tensor]
EPS = torch.finfo(torch.float32).eps
METHODS = {
    "lime": {"segments": 9, "n_samples": 40},
    "kernel_shap": {"segments": 9, "n_samples": 40},
    "occlusion": {},
    "ablation_cam": {"layer": "0"},
}


class Dead(nn.Module):
    """A convolution that the logits ignore, up to `steps` units in their last place."""

    def __init__(self, steps: int, bias: float) -> None:
        super().__init__()
        self.steps, self.bias = steps, bias
        torch.manual_seed(0)
        self.add_module("0", nn.Conv2d(1, 4, 3))

    def forward(self, images: Tensor) -> Tensor:
        features = self.get_submodule("0")(images)
        places = (features.flatten(1).sum(dim=1) * 1e4).long() % (self.steps + 1)
        logit = self.bias * (1 + places * EPS)
        return logit[:, None].expand(-1, 10)


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_an_output_that_does_not_depend_on_the_image_gets_zero(
    method: str, steps: int, batch: Batch
) -> None:
    model = Dead(steps, -7.123456).eval().requires_grad_(False)
    if steps:
        assert model(batch[0])[:, 0].unique().numel() > 1
    made = build_explainers({"x": {"method": method, "parameters": METHODS[method]}})["x"]
    assert not made.explain(ImageBatch(model, *batch, "x")).any()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_small_effects_are_not_rounding(method: str, batch: Batch) -> None:
    """Two hundred units in the last place are."""
    model = Dead(200, -7.123456).eval().requires_grad_(False)
    made = build_explainers({"x": {"method": method, "parameters": METHODS[method]}})["x"]
    assert made.explain(ImageBatch(model, *batch, "x")).flatten(1).any(dim=1).any()


def test_the_regression_gives_exact_zeros() -> None:
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        coalitions = torch.randint(0, 2, (60, 16), generator=draw).double()
        weights = torch.rand(60, dtype=torch.float64, generator=draw)
        outputs = torch.full((60,), -7.123456, dtype=torch.float64)
        for penalty in (0.0, 1.0):
            assert not weighted_ridge(coalitions, outputs, weights, penalty).any()


@pytest.mark.parametrize("channels", [3, 40])
def test_eigen_cam_of_channels_without_places(channels: int) -> None:
    """Centred, nothing is left of them; not centred, a constant map."""
    draw = torch.Generator().manual_seed(0)
    levels = torch.rand(2, channels, 1, 1, generator=draw)
    steps = torch.randint(0, 4, (2, channels, 5, 5), generator=draw)
    for activations in (levels.expand(-1, -1, 5, 5), levels * (1 + steps * EPS)):
        assert not EigenCam(centred=True).map_of(activations, torch.empty(0)).any()


@pytest.mark.parametrize("rescale", ["layer", "channel"])
def test_full_grad_does_not_stretch_the_last_bits(rescale: str) -> None:
    contributions = torch.full((1, 2, 4, 4), 0.7)
    contributions[0, :, 2:] *= 1 + EPS
    assert not FullGrad(rescale=rescale)._rescaled(contributions).any()


def test_score_cam_shows_black_through_a_channel_of_last_bits() -> None:
    images = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1)).requires_grad_(False)
    constant = torch.full((1, 2, 2, 2), 0.3)
    almost = constant.clone()
    almost[0, 1, 1] *= 1 + EPS
    zero = torch.tensor([0])
    batch = ImageBatch(model, images, zero, zero)
    found = [
        ScoreCam(layer="0").weights(batch, "0", activations, model(images))
        for activations in (constant, almost)
    ]
    assert torch.equal(*found)
