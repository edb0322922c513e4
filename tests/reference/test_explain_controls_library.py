"""Sobel edges against scipy."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from sparsight.explain.base import ImageBatch
from sparsight.explain.controls import Edges


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_edges_equal_scipy(seed: int, height: int, width: int) -> None:
    images = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(seed))
    ids = torch.zeros(2, dtype=torch.int64)
    found = Edges().explain(ImageBatch(nn.Identity(), images, ids, ids, "edges")).numpy()
    grey = images[:, 0].double().numpy()
    across, down = (
        np.stack([ndimage.sobel(image, axis=axis, mode="nearest") / 4 for image in grey])
        for axis in (0, 1)
    )
    np.testing.assert_allclose(found, np.hypot(across, down), atol=1e-5)
