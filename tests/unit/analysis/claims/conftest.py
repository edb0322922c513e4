"""Statistics of a few networks, written by hand."""

import numpy as np
import pandas as pd
import pytest

from sparsight.analysis.curves import ChainRows

CHAIN = {"study": "demo", "dataset": "digits", "model": "cnn", "pruner": "magnitude"}
CLAIM = {
    **{"name": "a", "claim": "It is so.", "dataset": "digits", "model": "cnn"},
    **{"pruner": "magnitude", "condition": "noisy", "explainer": "cam", "metric": "iou"},
}


@pytest.fixture
def claim():
    """Function from a test and its keys to a claim."""
    return lambda test, **keys: {**CLAIM, "test": test, **keys}


@pytest.fixture
def curves():
    """Function from (explainer, metric, subset) -> means [seeds, levels] to `ChainRows`.

    Levels are halved from one to the next. The draws of images are the mean plus
    `spread` x (-1, 0, 1) of each row: B is 3.
    """

    def make(means, spread=0.0, density=None, levels=None, **chain):
        rows, draws = [], []
        for (explainer, metric, subset), table in sorted(means.items()):
            table = np.asarray(table, dtype=np.float64)
            for seed in range(table.shape[0]):
                for place in range(table.shape[1]):
                    level = place if levels is None else levels[place]
                    rows.append(
                        {
                            **CHAIN,
                            **chain,
                            "seed": seed + 1,
                            "level": level,
                            "density": 0.5**level if density is None else density[seed][place],
                            "checkpoint_pruner": "magnitude" if level else "dense",
                            "explainer": explainer,
                            "condition": "noisy",
                            "metric": metric,
                            "subset": subset,
                            "n": 10,
                            "undefined": 0,
                            "mean": table[seed, place],
                        }
                    )
                    draws.append(table[seed, place] + spread * np.array([-1.0, 0.0, 1.0]))
        return ChainRows(pd.DataFrame(rows), np.array(draws, dtype=np.float32))

    return make


@pytest.fixture
def p_above():
    """One-sided p of Student t with two degrees of freedom, which has a closed form."""
    return lambda t: 0.5 - t / (2.0 * np.sqrt(2.0 + t * t))
