"""Eigen-CAM: what a layer's channels have most in common."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.explain.base import detached_float32
from sparsight.explain.cam import ClassActivationMap
from sparsight.rounding import is_constant

# A share of the largest possible agreement below which a sign would be that of rounding errors.
_UNDECIDED = 1e-9


class EigenCam(ClassActivationMap):
    """ReLU of the activations projected on their first right singular vector.

    With the activations of an image as a matrix of positions by channels, this is the paper's
    projection on V1: without centring, so that behind a ReLU all values are 0 or more anyway.
    `centred` subtracts each channel's mean first, as the library does.

    It knows no class: every target has the same map. It is listed with the methods all the same,
    and not with the controls, because its authors offer it as an explanation. What it scores says
    nothing of the class; read it next to `mean_activation`, the control that knows as little.

    A singular vector has no sign. Here it is that which makes the map agree with the channels' mean
    (their inner product is positive), and where that is 0, that which makes the map's largest value
    positive. The library (1.5.7) takes the sign that LAPACK happens to return, so that for some
    images, or with another LAPACK, its ReLU keeps the background instead; this is its issue 315.

    An image whose activations are not finite has a map of NaN.
    """

    name: ClassVar[str] = "eigen_cam"
    reference: ClassVar[str] = "arXiv:2008.00299"
    reduction: ClassVar[str] = "first principal component"
    cost: ClassVar[int] = 1
    parameters: ClassVar[dict[str, Any]] = {"layer": "", "centred": False}
    needs_gradients: ClassVar[bool] = False

    def map_of(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """See `ClassActivationMap.map_of`; `gradients` is not looked at."""
        rows = activations.flatten(2).transpose(1, 2).double()
        finite = rows.isfinite().flatten(1).all(dim=1)
        rows = torch.where(finite[:, None, None], rows, 0)
        if self.settings["centred"]:
            constant = is_constant(rows, 1, keepdim=True)
            rows = (rows - rows.mean(dim=1, keepdim=True)).masked_fill(constant, 0)
        projection = _first_projection(rows)
        projection = torch.where(finite[:, None], projection * _sign(projection, rows), torch.nan)
        shape = (len(activations), *activations.shape[2:])
        return detached_float32(projection.clamp_min(0).view(shape))


def _first_projection(rows: Tensor) -> Tensor:
    """Rows float64 [N,P,C] times their first right singular vector, [N,P], of either sign.

    From the eigenvectors of the smaller of the two Gram matrices. It has the squares of the
    singular values: for activations in single precision, double precision has room for them.
    """
    columns = rows.transpose(1, 2)
    if rows.shape[1] > rows.shape[2]:
        first: Tensor = torch.linalg.eigh(columns @ rows).eigenvectors[:, :, -1:]
        return (rows @ first).squeeze(2)
    found = torch.linalg.eigh(rows @ columns)
    values: Tensor = found.eigenvalues[:, -1:]
    vectors: Tensor = found.eigenvectors[:, :, -1]
    return vectors * values.clamp_min(0).sqrt()


def _sign(projection: Tensor, rows: Tensor) -> Tensor:
    """1 or -1, [N,1], for projections [N,P] of rows [N,P,C]."""
    total = rows.sum(dim=2)
    agreement = (projection * total).sum(dim=1, keepdim=True)
    most = projection.norm(dim=1, keepdim=True) * total.norm(dim=1, keepdim=True)
    peak = projection.gather(1, projection.abs().argmax(dim=1, keepdim=True))
    decisive = torch.where(agreement.abs() > _UNDECIDED * most, agreement, peak)
    return torch.where(decisive < 0, -1.0, 1.0)
