"""What a solver of sample-targeted pruning is: one call from dense weights to sparse ones."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters


class SampleSolver(ABC):
    """Prunes a layer for one image so that its outputs on that image's inputs stay.

    All solvers count alike: weights that are zero already have fallen and stay zero, and count as
    the first of the `counts`. Where there are as many zeros as asked, or more, nothing falls and
    the weights come back bit for bit. Otherwise exactly as many are zero as asked.

    The facts below are literals, because the workflow reads them from the source without
    importing it (`Registry.facts`).

    Attributes
    ----------
    name : name in the registry.
    version : raised when its numbers change, see `sparsight.study.versions`.
    reference : paper, as arXiv id.
    needs_hessian : False for controls, which do not look at the image's inputs.
    largest_columns : the most columns K that are accepted, 0 for any number. A parameter of the
        same name wins.
    parameters : name to default; `"required"` where there is none.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    needs_hessian: ClassVar[bool]
    largest_columns: ClassVar[int] = 0
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.settings = checked_parameters(f"solver {self.name}", self.parameters, parameters)

    @abstractmethod
    def solve(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:
        """Prune the weights of a layer, separately for each of B pairs of image and group.

        Parameters
        ----------
        weights : float32 [B, O, K], dense, one row an output and one column an unfolded input. It
            may be an expanded view and is not changed.
        hessians : float32 or float64 [B, K, K], (2/N) X Xᵀ over the N unfolded inputs of the image,
            symmetric, positive semidefinite and not damped. Controls ignore it.
        counts : int64 [B], how many of the O·K weights become zero, from 0 to O·K.
        block : columns whose masks are chosen together, kh·kw; the last block may be shorter. Only
            `obs_fast` looks at it.
        generators : one for each of the B, for solvers that draw.

        Returns
        -------
        float32 [B, O, K], new memory.

        Raises
        ------
        InputError
            For shapes, types, counts or values that do not fit; the caller adds the layer's name.
        """

    def check(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
    ) -> None:
        """Refuse what `solve` cannot use.

        Raises
        ------
        InputError
            As `solve` says.
        """
        owner = f"solver {self.name}"
        if weights.ndim != 3 or weights.dtype != torch.float32:
            raise InputError(
                f"{owner}: weights are {weights.dtype} {tuple(weights.shape)}, but must be float32 "
                "[images, outputs, columns]"
            )
        images, rows, columns = weights.shape
        if counts.shape != (images,) or counts.dtype != torch.int64:
            raise InputError(
                f"{owner}: counts are {counts.dtype} {tuple(counts.shape)}, but must be int64 "
                f"[{images}], one for each image"
            )
        if bool(((counts < 0) | (counts > rows * columns)).any()):
            raise InputError(
                f"{owner}: counts go from {int(counts.min())} to {int(counts.max())}, but the "
                f"layer has {rows * columns} weights to lose"
            )
        if block < 1:
            raise InputError(f"{owner}: a block has {block} columns, but must have at least 1")
        if not bool(torch.isfinite(weights).all()):
            raise InputError(f"{owner}: the weights hold NaN or infinity; train the network anew")
        if self.needs_hessian:
            _check_hessians(owner, hessians, (images, columns, columns))


def _check_hessians(owner: str, hessians: Tensor | None, shape: tuple[int, int, int]) -> None:
    if hessians is None:
        raise InputError(f"{owner} needs the Hessians of the layer's inputs; give it one an image")
    if hessians.shape != shape or hessians.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"{owner}: Hessians are {hessians.dtype} {tuple(hessians.shape)}, but must be float32 "
            f"or float64 {shape}"
        )
    if not bool(torch.isfinite(hessians).all()):
        raise InputError(
            f"{owner}: the Hessians hold NaN or infinity; the layer's inputs are too large"
        )


def check_damping(owner: str, damping: float) -> None:
    """Refuse a damping that is not a share of 0 or more.

    Raises
    ------
    InputError
        For a negative number or NaN.
    """
    if not damping >= 0:
        raise InputError(
            f"{owner}: damping is {damping}, but must be 0 or more (a share of the mean diagonal)"
        )
