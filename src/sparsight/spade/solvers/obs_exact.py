"""Optimal brain surgeon weight by weight: the exact solver of SPADE."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsight.io.errors import InputError
from sparsight.spade.solvers.base import SampleSolver, check_damping
from sparsight.spade.solvers.counting import Falling, kept_nonzero, lowest, without_loss
from sparsight.spade.solvers.damping import cholesky, columns_with_signal, damped
from sparsight.spade.solvers.removal import removals


class ObsExact(SampleSolver):
    """OBC: greedy removal in every row, then one order of losses over all rows.

    1. In each row, the weight with the least loss w²/(2 [H⁻¹]_jj) falls, the others adapt, and H⁻¹
       loses the row and column (arXiv 2208.11580, equations 3 and 4, algorithm 1), until
       nothing is left. The losses are kept.
    2. Over all rows of an image, the row whose next loss is least gives up its next weight, until
       the count is reached (algorithm 2).
    3. Each row's kept weights become those of least squares given its mask, which is what the
       removals lead to, without their rounding.

    "Exact" is the handling of each removal; the order is greedy. Zeros and weights of columns
    without signal fall before everything else. All in float64.

    Parameters: `damping` is a share of the mean diagonal. `rows` are worked on at a time: memory
    is about 3·rows·K² numbers. Work grows with O·K³: `largest_columns` is the most columns that are
    accepted, 0 for any number.
    """

    name: ClassVar[str] = "obs_exact"
    reference: ClassVar[str] = "arXiv 2310.04519; Frantar et al. 2022, arXiv 2208.11580"
    needs_hessian: ClassVar[bool] = True
    largest_columns: ClassVar[int] = 576
    parameters: ClassVar[dict[str, Any]] = {"damping": 0.01, "rows": 32, "largest_columns": 576}

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        check_damping(f"solver {self.name}", self.settings["damping"])
        if self.settings["rows"] < 1:
            raise InputError(
                f"solver {self.name}: rows is {self.settings['rows']}, but must be at least 1"
            )

    def solve(
        self,
        weights: Tensor,
        hessians: Tensor | None,
        counts: Tensor,
        block: int,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:
        """See `SampleSolver.solve`.

        Raises
        ------
        InputError
            Also for more columns than `largest_columns`.
        """
        self.check(weights, hessians, counts, block)
        assert hessians is not None
        limit = self.settings["largest_columns"]
        if limit and weights.shape[2] > limit:
            raise InputError(
                f"solver {self.name}: the layer has {weights.shape[2]} columns, more than the "
                f"limit of {limit}; take obs_fast, leave the layer dense, or raise the parameter "
                "largest_columns"
            )
        falling = without_loss(weights, columns_with_signal(hessians), counts.to(weights.device))
        found = weights.masked_fill(falling.free & (weights != 0), 0)
        # no Hessian is factorised where nothing else falls: it need not be invertible
        chosen = falling.remaining.nonzero().squeeze(1)
        if len(chosen):
            part = Falling(
                falling.free[chosen], falling.contested[chosen], falling.remaining[chosen]
            )
            found[chosen] = self._surgery(weights[chosen], hessians[chosen], part)
        return found

    def _surgery(self, weights: Tensor, hessians: Tensor, falling: Falling) -> Tensor:
        owner, damping = f"solver {self.name}", self.settings["damping"]
        images, rows, columns = weights.shape
        matrices = damped(hessians, damping, torch.float64)
        inverses = torch.cholesky_inverse(cholesky(matrices, owner, damping))
        # one list of rows over all images, and the image of each
        image_of = torch.arange(images, device=weights.device).repeat_interleave(rows)
        flat = weights.to(torch.float64).flatten(0, 1)
        contested = falling.contested.flatten(0, 1)
        steps = min(columns, int(falling.remaining.max()))
        parts = torch.arange(len(flat), device=weights.device).split(self.settings["rows"])
        removed = [
            removals(flat[part], matrices, inverses, image_of[part], contested[part], steps)
            for part in parts
        ]
        places = torch.cat([places_of for places_of, _ in removed])
        losses = torch.cat([losses_of for _, losses_of in removed])
        numbers = rows_give(losses.reshape(images, rows, steps), falling.remaining)
        fallen = (places < numbers.reshape(-1, 1)) | falling.free.flatten(0, 1)
        adapted = [
            least_squares(flat[part], matrices, image_of[part], fallen[part], owner, damping)
            for part in parts
        ]
        return kept_nonzero(torch.cat(adapted), fallen).reshape(weights.shape)


def rows_give(losses: Tensor, remaining: Tensor) -> Tensor:
    """How many weights each row loses when always the row with the least next loss gives one.

    A later loss in a row can be smaller than an earlier one, but cannot come before it: a weight's
    place in the order is the largest loss of its row so far.

    Parameters
    ----------
    losses : float64 [B, O, steps], of each row's removals in their order; infinite after the last.
    remaining : int64 [B], how many fall in all.

    Returns
    -------
    int64 [B, O].
    """
    return lowest(losses.cummax(dim=2).values, remaining).sum(dim=2)


def least_squares(
    weights: Tensor, matrices: Tensor, image_of: Tensor, fallen: Tensor, owner: str, damping: float
) -> Tensor:
    """Rows whose kept weights take over from the fallen ones as well as they can.

    With F fallen and S kept, the change d of the kept weights solves H_SS d = H_SF w_F: the least
    ½ (w' - w) H (w' - w)ᵀ.

    Parameters
    ----------
    weights : float64 [R, K].
    matrices : float64 [B, K, K], damped Hessians.
    image_of : int64 [R], which matrix is a row's.
    fallen : bool [R, K].
    owner, damping : for the message where a matrix is not positive definite.

    Returns
    -------
    float64 [R, K], zero where fallen; bit for bit `weights` elsewhere in rows that lose nothing.
    """
    own = matrices[image_of]
    lost = (own @ weights.masked_fill(~fallen, 0)[:, :, None]).masked_fill(fallen[:, :, None], 0)
    kept = ~fallen
    own.masked_fill_(~(kept[:, :, None] & kept[:, None, :]), 0)
    own.diagonal(dim1=1, dim2=2).masked_fill_(fallen, 1)
    change = torch.cholesky_solve(lost, cholesky(own, owner, damping))
    return (weights + change.squeeze(2)).masked_fill(fallen, 0)
