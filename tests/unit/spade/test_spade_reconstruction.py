"""The error of a pruned layer's outputs."""

import torch

from sparsight.spade.reconstruction import reconstruction_error


def test_error_is_the_mean_squared_error_of_the_outputs() -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn((2, 5, 40), generator=draw, dtype=torch.float64)
    dense, sparse = torch.randn((2, 2, 3, 5), generator=draw)
    errors = ((sparse.double() - dense.double()) @ inputs).square().sum(dim=1).mean(dim=1)
    found = reconstruction_error(dense, sparse, 2 / 40 * inputs @ inputs.mT)
    torch.testing.assert_close(found, errors)
    assert found.dtype == torch.float64


def test_error_on_paper() -> None:
    # ½ (1·2·1 + 3·4·3) for the lost weights 1 and 3, and nothing for an equal row
    dense = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
    sparse = torch.tensor([[[0.0, 0.0], [5.0, 7.0]]])
    hessian = torch.tensor([[[2.0, 0.0], [0.0, 4.0]]])
    assert reconstruction_error(dense, sparse, hessian).tolist() == [19.0]
