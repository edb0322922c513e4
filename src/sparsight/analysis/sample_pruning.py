"""What pruning for the sample does to an explanation's score, image by image."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sparsight.analysis import tables
from sparsight.analysis.curves import difference, with_bits
from sparsight.analysis.scores import Entries, read_scalars
from sparsight.analysis.statistics import (
    adjusted_p,
    draw_counts,
    one_sample_t,
    percentile_interval,
    replicate_means,
)
from sparsight.io.errors import InputError
from sparsight.io.tables import read_table

#: columns of `spade/{family}.parquet`: one row per image and condition
FIDELITY_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "model", "pruner")),
        ("seed", pa.int64()),
        ("level", pa.int32()),
        *((name, pa.string()) for name in ("sample_pruner", "family", "condition")),
        ("image_id", pa.int64()),
        # whether copy and network predict the same class of the image
        ("same_prediction", pa.bool_()),
        # Kullback-Leibler divergence of the copy's softmax output from the network's, in nats
        ("divergence", pa.float64()),
        # probability of the explained class in the copy, as a share of that in the network
        ("probability_kept", pa.float64()),
        # share of zeros among the weights of the layers that are pruned
        ("sparsity", pa.float64()),
    ]
)
FIDELITY_MEASURES = ["same_prediction", "divergence", "probability_kept", "sparsity"]
_ONE_COPY = ["dataset", "model", "pruner", "seed", "level", "sample_pruner", "condition"]


def read_fidelity(paths: Iterable[Path]) -> pd.DataFrame:
    """Fidelity of every copy, one row each, measures as float64.

    All families run on equal copies, so that an image has as many rows as there are families: the
    first is kept. An `InputError` where a file is missing, corrupt or none of fidelity.
    """
    names = FIDELITY_SCHEMA.names
    tables = [read_table(path, names).select(names) for path in sorted(map(Path, paths))]
    parts = [FIDELITY_SCHEMA.empty_table(), *(table.cast(FIDELITY_SCHEMA) for table in tables)]
    whole = pa.concat_tables(parts).to_pandas().drop_duplicates([*_ONE_COPY, "image_id"])
    found: pd.DataFrame = whole.astype(dict.fromkeys(FIDELITY_MEASURES, "float64"))
    return found.reset_index(drop=True)


#: of the stage `sample_pruning_table`: see `sparsight.study.versions`
VERSION = 2
#: what a sample pruner is compared with where that is the network itself
UNPRUNED = "unpruned"
#: the mean over all explainers, as the published table ends
ALL_EXPLAINERS = "all"
PLACE = ["dataset", "model", "pruner", "level"]
#: seed, sample pruner (or UNPRUNED), explainer -> by condition and metric, a score by image id
_Scores = dict[tuple[int, str, str], dict[tuple[str, str], "pd.Series[float]"]]
#: of one network, two scores ("one", "other") by image id, all defined
_Pair = pd.DataFrame


def summarise_sample_pruning(
    scores: Iterable[Path],
    fidelities: Iterable[Path],
    evaluations: Path,
    output: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write `sample_pruning.csv`: each explainer on pruned copies against itself, paired by image.

    One row per checkpoint, explainer, sample pruner, its counterpart, condition and metric.
    A sample pruner is compared with `unpruned`, the network as it is, and against every sample
    pruner that comes after it in the configuration: its controls. Only images that both have, with
    a defined score in both, enter. Rows of the explainer `all` are the mean over the explainers, of
    the images that are defined for all of them.

    The intervals over images use one draw of images for all networks. The fidelity of the copies is
    the mean over all images that were pruned for, then over networks. An `InputError` is raised
    where a file is missing or corrupt, or where an explainer was scored on pruned copies but never
    on the network itself.

    Parameters
    ----------
    scores : score files of the families on pruned copies and of those of their explainers.
    fidelities : fidelity files of the families on pruned copies.
    evaluations : `evaluations.parquet`, for the bits of the weights.
    settings : `pairs` (derived explainer to its sample pruner and explainer), `sample_pruners` in
        their order, `statistics` (`replicates`, `bootstrap_seed`, `confidence`), `reducers`.
    """
    pairs = {name: tuple(pair) for name, pair in settings["pairs"].items()}
    order = [str(name) for name in settings["sample_pruners"]]
    found, densities = _scores(scores, pairs, settings.get("reducers", {}), settings.get("entries"))
    copies = [*PLACE, "sample_pruner", "condition"]
    of_networks = read_fidelity(fidelities).groupby([*copies, "seed"])[FIDELITY_MEASURES].mean()
    fidelity: dict[Any, Any] = of_networks.groupby(copies).mean().to_dict("index")
    rows = []
    for place, networks in sorted(found.items()):
        identity = dict(zip(PLACE, place, strict=True))
        density = float(np.mean(densities[place]))
        for row in _rows(place, networks, order, settings["statistics"]):
            means = fidelity.get((*place, row["sample_pruner"], row["condition"]), {})
            rows.append({**identity, "density": density, **row, **dict(means)})
    table = pd.DataFrame(rows, columns=tables.TABLES["sample_pruning"].names)
    table = with_bits(table, evaluations)
    table["p_adjusted"] = adjusted_p(table, ())
    names = [*PLACE, "explainer", "sample_pruner", "against", "condition", "metric"]
    tables.write("sample_pruning", output, table.sort_values(names, kind="stable"))


def _scores(
    paths: Iterable[Path],
    pairs: Mapping[str, tuple[str, str]],
    reducers: Mapping[str, str],
    entries: Entries | None,
) -> tuple[dict[tuple[Any, ...], _Scores], dict[tuple[Any, ...], list[float]]]:
    """Scores of each place, and the densities of its networks."""
    bases = {base for _, base in pairs.values()}
    found: dict[tuple[Any, ...], _Scores] = defaultdict(dict)
    densities: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for path in sorted(map(Path, paths)):
        file, of_conditions = read_scalars(path, reducers, entries)
        place = tuple(getattr(file, key) for key in PLACE)
        densities[place][file.seed] = file.density
        for scalars in of_conditions:
            for column, (name, metric) in enumerate(scalars.columns):
                if name not in pairs and name not in bases:
                    continue
                sample_pruner, explainer = pairs.get(name, (UNPRUNED, name))
                per_metric = found[place].setdefault((file.seed, sample_pruner, explainer), {})
                per_metric[(scalars.condition, metric)] = scalars.column(column)
    # Without pruned copies there is nothing to compare.
    there = {p: s for p, s in found.items() if any(key[1] != UNPRUNED for key in s)}
    return there, {place: list(densities[place].values()) for place in there}


def _rows(
    place: tuple[Any, ...],
    networks: _Scores,
    order: Sequence[str],
    statistics: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Rows of one place, without its own columns."""
    seeds = sorted({seed for seed, _, _ in networks})
    explainers = sorted({explainer for _, pruner, explainer in networks if pruner != UNPRUNED})
    for seed, explainer in product(seeds, explainers):
        if (seed, UNPRUNED, explainer) not in networks:
            raise InputError(
                f"{explainer} was scored on pruned copies of {place[1]} on {place[0]} (seed "
                f"{seed}, {place[2]}, level {place[3]}), but not on the network itself; explain "
                "it at the same levels"
            )
    everything = [scores.index for some in networks.values() for scores in some.values()]
    image_id = np.unique(np.concatenate(everything))
    draw = draw_counts(image_id, statistics["replicates"], statistics["bootstrap_seed"])
    for index, sample_pruner in enumerate(order):
        for against in (UNPRUNED, *order[index + 1 :]):
            gathered: dict[tuple[str, str], dict[str, list[_Pair]]] = defaultdict(dict)
            for explainer in explainers:
                for key, pair in _pairs(networks, seeds, explainer, sample_pruner, against).items():
                    gathered[key][explainer] = pair
            for (condition, metric), of_explainers in gathered.items():
                if len(of_explainers) > 1:
                    of_explainers = {**of_explainers, ALL_EXPLAINERS: _mean(of_explainers)}
                for explainer, found in of_explainers.items():
                    yield {
                        **{"explainer": explainer, "sample_pruner": sample_pruner},
                        **{"against": against, "condition": condition, "metric": metric},
                        **_row(found, image_id, draw, statistics["confidence"]),
                    }


def _pairs(
    networks: _Scores, seeds: Sequence[int], explainer: str, one: str, other: str
) -> dict[tuple[str, str], list[_Pair]]:
    """Condition and metric to a pair of each network that has both."""
    found: dict[tuple[str, str], list[_Pair]] = defaultdict(list)
    for seed in seeds:
        own = networks.get((seed, one, explainer), {})
        others = networks.get((seed, other, explainer), {})
        for key in own:
            if key in others:
                both = pd.DataFrame({"one": own[key], "other": others[key]})
                found[key].append(both.where(both.abs() < np.inf).dropna())
    return found


def _mean(of_explainers: Mapping[str, list[_Pair]]) -> list[_Pair]:
    """The mean over explainers, of each network, of the images that all of them have."""
    found = []
    for pairs in zip(*of_explainers.values(), strict=True):
        shared = reduce(pd.Index.intersection, (pair.index for pair in pairs))
        total: Any = sum(pair.loc[shared] for pair in pairs)
        found.append(total / len(pairs))
    return found


def _row(
    pairs: Sequence[_Pair], image_id: NDArray[np.int64], draw: Any, confidence: float
) -> dict[str, Any]:
    """Statistics of one row from the pairs of its networks."""
    filled = [pair for pair in pairs if len(pair)]
    scores = [(pair["one"].to_numpy(), pair["other"].to_numpy()) for pair in filled]
    means = np.array([[one.mean(), other.mean()] for one, other in scores]).reshape(-1, 2)
    changes = [difference(one, other) for one, other in scores]
    test = one_sample_t(difference(means[:, 0], means[:, 1]), confidence)
    replicates = [
        replicate_means(
            draw[:, np.searchsorted(image_id, pair.index)],
            np.asarray(change, dtype=np.float32)[:, np.newaxis],
        )[:, 0]
        for pair, change in zip(filled, changes, strict=True)
    ]
    low, high = percentile_interval(
        np.mean(replicates, axis=0) if replicates else np.empty(0), confidence
    )
    both = means.mean(axis=0) if len(means) else (np.nan, np.nan)
    return {
        "n_seeds": len(filled),
        "n_images": min(map(len, filled), default=0),
        **{"mean": both[0], "against_mean": both[1]},
        **test.columns("difference"),
        **{"images_low": float(low), "images_high": float(high)},
        "images_up": float(np.mean([(c > 0).mean() for c in changes])) if changes else np.nan,
        "images_down": float(np.mean([(c < 0).mean() for c in changes])) if changes else np.nan,
    }
