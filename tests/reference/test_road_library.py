"""ROAD's imputation against that of pytorch-grad-cam, which solves the authors' sparse system."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.ndimage import gaussian_filter

from sparsight.metrics.imputation import linear_imputation

# of the library's own use of numpy
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")

PERCENTAGES = range(1, 92, 10)


@pytest.mark.parametrize("sigma", [0, 1.5, 5])
@pytest.mark.parametrize("size", [(28, 28), (33, 46)])
def test_imputed_images_are_those_of_the_library(sigma, size):
    draw = np.random.default_rng(int(sigma * 10) + size[0])
    image = torch.from_numpy(gaussian_filter(draw.random((3, *size)), (0, 1, 1))).float()
    heatmap = gaussian_filter(draw.random(size), sigma).ravel()
    ranks = np.empty(heatmap.size, dtype=np.int64)
    ranks[np.argsort(-heatmap)] = np.arange(heatmap.size)
    removed = np.stack([ranks < round(one * heatmap.size / 100) for one in PERCENTAGES])
    removed = torch.from_numpy(removed.reshape(-1, *size))
    found = linear_imputation(image[None], removed[None])[0]
    library = NoisyLinearImputer(noise=0.0)
    for mask, ours in zip(removed, found, strict=True):
        expected = library(image, (~mask).float())
        error = (ours - expected)[:, mask].norm(dim=1) / expected[:, mask].norm(dim=1)
        assert error.max() <= 1e-3
        assert torch.equal(ours[:, ~mask], expected[:, ~mask])
