"""What is constant up to rounding, in one place: such values show nothing; bits of weights."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: Values that differ by at most this share of their magnitude are equal up to rounding: about eight
#: units in the last place of float32. The sums of a layer differ by one or two of these with the
#: place in a vector register, and bilinear enlargement adds one or two more.
ROUNDING = 1e-6
#: of weights that are not quantised
FULL_BITS = 32


def is_constant(values: "Tensor", dims: int | tuple[int, ...], keepdim: bool = False) -> "Tensor":
    """Whether values differ over `dims` by no more than rounding.

    The scale is the largest magnitude of the values themselves: a map of 1e-30 and 0 is not
    constant, one of 0.7 and the next number above it is.

    Parameters
    ----------
    values : float tensor that was computed in single precision (or better).
    dims : along which values are compared.
    keepdim : whether `dims` stay, with size 1.

    Returns
    -------
    bool, `values` without `dims`. False where there is NaN or infinity.
    """
    highest, lowest = values.amax(dims, keepdim), values.amin(dims, keepdim)
    # Infinity minus infinity is NaN, which compares as false, but infinity minus 1 is at most
    # ROUNDING times infinity.
    size = highest.abs().maximum(lowest.abs())
    return (highest - lowest <= ROUNDING * size) & size.isfinite()
