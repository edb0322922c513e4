"""How the steps of a curve become one number per image: in SQL, and in numpy.

Both forms must agree (a test compares them): the streaming tables use the first, the resampled
statistics the second.
"""

import numpy as np
from numpy.typing import NDArray

# name -> aggregate over the rows of one curve, columns `step` (0, 1, ...) and `value`
REDUCERS = {
    "mean": "avg(value)",
    "sum": "sum(value)",
    "first": "arg_min(value, step)",
    "last": "arg_max(value, step)",
    # Area under a curve between its first and last step, by trapezoids (RISE, arXiv 1806.07421).
    "area": "(sum(value) - (arg_min(value, step) + arg_max(value, step)) / 2) / (count(*) - 1)",
    # Area over a curve that begins with the whole image: Samek et al. 2017 (arXiv 1509.06321,
    # equation 12), the mean of f(x_0) - f(x_k) over k = 0 ... L.
    "aopc": "arg_min(value, step) - avg(value)",
    # As arXiv 2509.21387 has it: against the first perturbed step, and divided by one more than
    # there are perturbed steps.
    "aopc_published": "(max(value) FILTER (WHERE step = 1) * (count(*) - 1)"
    " - sum(value) + arg_min(value, step)) / count(*)",
}


def collapse(
    values: NDArray[np.float64], starts: NDArray[np.int64], reducer: str
) -> NDArray[np.float64]:
    """One number per curve.

    Parameters
    ----------
    values : float64 [rows], the steps of all curves, curve after curve.
    starts : int64 [curves], where each begins; it ends before the next.
    reducer : a name in `REDUCERS`.
    """
    ends = np.append(starts[1:], len(values))
    if reducer == "first":
        return np.asarray(values[starts])
    if reducer == "last":
        return np.asarray(values[ends - 1])
    sums, counts = np.add.reduceat(values, starts), ends - starts
    if reducer == "area":
        ends_of_curves = values[starts] + values[ends - 1]
        single = counts == 1
        inside = (sums - ends_of_curves / 2) / np.where(single, 1, counts - 1)
        return np.where(single, np.nan, inside)
    if reducer == "aopc":
        return np.asarray(values[starts] - sums / counts)
    if reducer == "aopc_published":
        second = np.where(counts > 1, values[np.minimum(starts + 1, len(values) - 1)], np.nan)
        return np.asarray((second * (counts - 1) - sums + values[starts]) / counts)
    return np.asarray(sums if reducer == "sum" else sums / counts, dtype=np.float64)
