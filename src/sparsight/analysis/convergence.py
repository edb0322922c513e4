"""Networks whose concepts rest on a fit that had not converged: what a run has to say of them."""

from collections.abc import Collection

import pandas as pd

from sparsight.analysis.concept_files import FOUND

#: the measure by which a method reports whether its solvers reached their tolerance, 1 or 0
CONVERGED = "converged"


def convergence(concepts: pd.DataFrame) -> pd.DataFrame:
    """Whether the fits of each network converged.

    Parameters
    ----------
    concepts : rows of `concepts.csv`.

    Returns
    -------
    The rows of single networks that report it: `dataset`, `model`, `pruner`, `level`, `seed`,
    `concept`, and `converged` (bool). Methods without a solver report nothing.
    """
    said = (concepts["kind"] == FOUND) & (concepts["measure"] == CONVERGED)
    rows = concepts[said & (concepts["seed"] != "mean") & concepts["value"].notna()]
    columns = ["dataset", "model", "pruner", "level", "seed", "concept"]
    return rows[columns].assign(converged=rows["value"] == 1).reset_index(drop=True)


def convergence_warnings(concepts: pd.DataFrame) -> list[str]:
    """One sentence for each data set, model and concept method with a fit that did not converge.

    Parameters
    ----------
    concepts : rows of `concepts.csv`.
    """
    found = convergence(concepts).groupby(["dataset", "model", "concept"])["converged"]
    return [
        f"{concept} of {dataset} {model}: the fits of {int((~reached).sum())} of {len(reached)} "
        "networks had not converged, and claims that rest on them are not tested; give the method "
        "more 'iterations'"
        for (dataset, model, concept), reached in found
        if not reached.all()
    ]


def unconverged(
    concepts: pd.DataFrame,
    dataset: str,
    model: str,
    pruners: Collection[str],
    names: Collection[str],
) -> str:
    """Why a claim about these networks cannot be tested: "k of n fits had not converged", or "".

    Parameters
    ----------
    concepts : rows of `concepts.csv`.
    pruners : of the networks, at all levels.
    names : configured concept methods.
    """
    rows = convergence(concepts)
    rows = rows[(rows["dataset"] == dataset) & (rows["model"] == model)]
    reached = rows[rows["pruner"].isin(pruners) & rows["concept"].isin(names)]["converged"]
    if reached.all():
        return ""
    return f"{int((~reached).sum())} of {len(reached)} fits had not converged"
