"""Features on a common scale, and linear functions of them brought back to the raw scale."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from sparsight.rounding import is_constant


@dataclass(frozen=True)
class Standardiser:
    """Subtracts a mean and divides by a deviation.

    Attributes
    ----------
    mean, deviation : float64 [D]; the deviation is 1 where a feature does not vary.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """The mean and population standard deviation of each column of `values` [N, D]."""
        wide = values.double()
        deviation = wide.std(dim=0, correction=0)
        # Deviations that are rounding errors of the mean would blow noise up to size 1.
        return cls(wide.mean(dim=0), deviation.masked_fill(is_constant(wide, 0), 1.0))

    def __call__(self, values: Tensor) -> Tensor:
        """`values` [N, D] on the common scale, float64."""
        return (values.double() - self.mean) / self.deviation

    def fold(self, vectors: Tensor, intercepts: Tensor) -> tuple[Tensor, Tensor]:
        """The function of raw features that equals v · standardised + b.

        Parameters
        ----------
        vectors, intercepts : float64 [K, D] and [K], of standardised features.

        Returns
        -------
        vectors and intercepts for raw features, float64.
        """
        raw = vectors.double() / self.deviation
        return raw, intercepts.double() - raw @ self.mean


def varies(values: Tensor) -> Tensor:
    """Whether each column of `values` [N, D] differs between rows beyond rounding, bool [D]."""
    return ~is_constant(values, 0)
