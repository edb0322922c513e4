"""One sentence of result: `python -m sparsight.study.headline results/STUDY`."""

import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sparsight.analysis.results import Results, load_results
from sparsight.analysis.tables import MEAN
from sparsight.io.errors import InputError
from sparsight.rounding import FULL_BITS
from sparsight.study.labels import entry_label

_CHAIN = ["dataset", "model", "condition"]


def headline(results: Results) -> str:
    """Whether explanations moved before predictions flipped, or else the first verdict.

    It is about the first explainer that has a floor: the mean agreement with the dense network of
    networks that were only retrained. An image counts when its prediction is not the dense one
    from level 2 on, or a later one, in some network; its map has moved when, at the level before,
    its drift (mean over networks) is larger than that of the floor.
    """
    if "exemplars" in results and "agreement" in results:
        named = results.configuration.get("explainers", [])
        floors = _floors(results["agreement"], named)
        if len(floors):
            catalogue = results.configuration.get("catalogue", {})
            return _moved_first(results["exemplars"], floors.iloc[0], catalogue)
    for claim in results["claims"].to_dict("records") if "claims" in results else ():
        return f"{claim['claim']} Verdict: {claim['verdict']}."
    return "No network was only retrained and nothing was claimed, so there is nothing to sum up."


def _floors(agreement: pd.DataFrame, named: list[str]) -> pd.DataFrame:
    """Rows of networks that were only retrained, by the order in which explainers are named."""
    whole = (agreement["density"] == 1) & (agreement["bits"] == FULL_BITS)
    retrained = whole & (agreement["pruner"] != "dense")
    chosen = (agreement["seed"] == MEAN) & (agreement["subset"] == "all") & ~agreement["control"]
    rows = agreement[retrained & chosen & (agreement["level"] > 0)]
    place = {name: number for number, name in enumerate(named)}
    order = rows["explainer"].map(lambda name: place.get(name, len(place)))
    return rows.assign(order=order).sort_values(["order", "level"], kind="stable")


def _moved_first(exemplars: pd.DataFrame, floor: pd.Series, catalogue: Mapping[str, Any]) -> str:
    same = (
        exemplars[[*_CHAIN, "explainer", "metric"]] == floor[[*_CHAIN, "explainer", "metric"]]
    ).all(axis=1)
    rows = exemplars[same]
    flips = rows[(rows["flips"] > 0) & (rows["level"] > 1)].sort_values("level")
    first = flips.drop_duplicates(["pruner", "image_id"])
    if first.empty:
        where = floor["dataset"]
        return f"Pruning flips the prediction of no explained image of {where} after level 1."
    moved = int((first["drift"] > 1 - floor["mean"]).sum())
    networks = int(first["n_seeds"].iloc[0])
    name = floor["explainer"]
    known = name in catalogue.get("explainers", {})
    label = entry_label(catalogue, "explainers", name) if known else name
    return (
        f"On {floor['dataset']}, pruning flips the prediction of {len(first)} explained images at "
        f"level 2 or later in at least one of {networks} networks; at the level before, the "
        f"{label} map of {moved} of them had already moved further from that of the "
        f"dense network than retraining alone moves maps on average ({floor['metric']})."
    )


def main(arguments: list[str]) -> None:
    """Entry point; leaves with an error message when the folder cannot be used."""
    if len(arguments) != 1:
        sys.exit("usage: python -m sparsight.study.headline FOLDER    (such as results/STUDY)")
    try:
        sys.stdout.write(headline(load_results(arguments[0])) + "\n")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
