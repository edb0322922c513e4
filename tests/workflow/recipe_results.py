"""Uses what the recipes of CONTRIBUTING.md have added to a copy of the project; prints JSON.

Run in the copy's folder with the copy's library; `test_recipes.py` reads what it prints. It is a
process of its own, since pytest's has the original library, and one for all recipes, since
importing torch and the attribution libraries takes long.
"""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from sparsight.analysis.claims.base import ClaimCurves
from sparsight.analysis.claims.decide import claims_table, look_at
from sparsight.analysis.claims.images import Checkpoint, Scored, StudyImages
from sparsight.analysis.claims.registry import CLAIMS
from sparsight.concepts.base import StudiedNetwork
from sparsight.concepts.features import SplitFeatures
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import fetch_dataset, prepare_dataset
from sparsight.explain.base import ImageBatch, build_explainers, explain_batch
from sparsight.explain.network import frozen, named_layer
from sparsight.io.errors import InputError
from sparsight.metrics.base import MapBatch
from sparsight.metrics.preparation import prepare
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.base import build_network, prunable_parameters
from sparsight.models.registry import MODELS
from sparsight.pruning.masks import Step, dense_masks, next_masks
from sparsight.pruning.observation import Observation
from sparsight.pruning.registry import CRITERIA
from sparsight.spade.registry import SOLVERS
from sparsight.study.configuration import (
    catalogue_and_study,
    normalise,
    resolve,
)
from sparsight.study.yaml_files import load_yaml


def merged(below, above):
    """What Snakemake makes of an overlay."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: merged(below.get(key), above[key]) for key in above}}


def problems():
    """Problems of the configuration with each recipe's overlay."""
    base = catalogue_and_study(Path(), own=True)
    return {
        path.stem: resolve(normalise(merged(base, load_yaml(path))))[1]
        for path in sorted(Path("studies").glob("example_*.yaml"))
    }


def entries(study, group):
    """What a recipe's overlay adds to a part of the catalogue."""
    return load_yaml(Path(f"studies/{study}.yaml"))["catalogue"][group]


def data_set():
    """The new data set is fetched and packed; without its file, it says what to do."""
    settings = {**entries("example_shapes", "datasets")["example_shapes"], "data_folder": "data"}
    manifest, ids = Path("packed/fetched.json"), Path("packed/shapes/ids.parquet")
    try:
        fetch_dataset(settings, manifest)
        missing = ""
    except InputError as error:
        missing = str(error)
    labels = np.arange(50) % 2
    masks = np.zeros((50, 28, 28), dtype=np.uint8)
    masks[:, 8:16, 8:20] = 255
    images = masks // 2
    Path("data/shapes").mkdir(parents=True)
    np.savez("data/shapes/shapes.npz", images=images, labels=labels, masks=masks)
    fetch_dataset(settings, manifest)
    prepare_dataset(settings, manifest, ids, "example_shapes")
    found = {"missing": missing}
    for name in ("train", "test"):
        with PackedSplit.open(ids.with_name(f"{name}.safetensors")) as split:
            found[name] = [len(split), list(split.image_shape), split.image_ids()[0].item()]
            batch = split.rows(0, 4)
            found["mean"] = batch.images("clean").mean().item()
    content = Path("data/shapes/shapes.npz").read_bytes()
    Path("data/shapes/shapes.npz").write_bytes(content[: len(content) // 2])
    try:
        prepare_dataset(settings, manifest, ids, "example_shapes")
    except InputError as error:
        found["corrupt"] = str(error)
    return found


def model():
    """The new architecture's outputs, and the sizes of its layers beside its facts."""
    architecture = MODELS.load("example_strided")
    network, sizes = build_network(architecture, 3, seed=1), {}
    for layer in architecture.layers:
        named_layer(network, layer).register_forward_hook(
            lambda _, __, output, layer=layer: sizes.update({layer: list(output.shape[2:])})
        )
    logits = network(torch.rand(2, *architecture.input_shape))
    facts = {layer: list(size) for layer, size in architecture.layers.items()}
    return {"logits": list(logits.shape), "sizes": sizes, "facts": facts}


def pruner(network):
    """Two levels of the new pruner on a network, and scores of a layer worked out by hand."""
    entry = entries("example_lamp", "pruners")["example_lamp"]
    criterion = CRITERIA.load(entry["criterion"])()
    scores = criterion.scores(Observation(prunable_parameters(network), seed=1))
    masks, counts, nested = dense_masks(network), [], True
    for density in entry["densities"]:
        before = masks
        masks = next_masks(scores, before, Step(density=density), entry.get("scope", "global"))
        counts.append(sum(int(mask.sum()) for mask in masks.values()))
        nested &= all(bool((before[name] | ~masks[name]).all()) for name in masks)
    by_hand = criterion.scores(Observation({"w": torch.tensor([[-3.0, 1.0], [2.0, 0.0]])}, seed=1))[
        "w"
    ]
    return {"counts": counts, "nested": nested, "by_hand": by_hand.tolist()}


def explainers(network, images):
    """Shape, smallest and largest value of every new explainer's maps, and captum's same map."""
    new = {
        **entries("example_input_gradient", "explainers"),
        **entries("example_libraries", "explainers"),
        "reference": {"method": "captum.InputXGradient"},
    }
    targets, image_ids = torch.tensor([3, 7]), torch.tensor([0, 1])
    with frozen(network):
        maps = explain_batch(build_explainers(new), ImageBatch(network, images, targets, image_ids))
    difference = (maps["example_input_gradient"] - maps.pop("reference")).abs().max()
    found = {n: [list(m.shape), m.min().item(), m.max().item()] for n, m in maps.items()}
    return {"maps": found, "difference": difference.item()}


def metrics(images):
    """Scores of the new metrics on maps whose scores are known."""
    raw = torch.zeros(4, 28, 28)
    masks = torch.zeros(4, 28, 28, dtype=torch.bool)
    masks[:3, :14] = True
    raw[0, 0, 0], raw[0, 20, 0], raw[0, 21, 0] = 3, 1, -5  # three quarters of 4 inside
    raw[1, 20, 5] = 2  # nothing inside
    raw[3, 0, 0] = 1  # and an empty mask; raw[2] shows nothing
    found = {}
    for study in ("example_mass", "example_quantus"):
        ((name, entry),) = entries(study, "metrics").items()
        metric = METRICS.load(entry["method"])(**entry.get("parameters", {}))
        maps = prepare(raw, (28, 28), "none", metric.treatment, metric.normalisation)
        given = None if metric.mask_rule == "none" else masks
        scores = metric.score(
            MapBatch(maps, images.repeat(2, 1, 1, 1), torch.zeros(4).long(), given)
        )
        found[name] = [None if value.isnan() else value.item() for value in scores]
    return found


def agreement():
    """Values of the new agreement metric on maps whose signs are known."""
    ((_, entry),) = entries("example_signs", "agreement").items()
    metric = AGREEMENT.load(entry["method"])()
    first = torch.tensor([[[1, -2], [0, 3]], [[1, -2], [0, 3]], [[1, 1], [1, 1]]]).float()
    second = torch.tensor([[[9, -1], [0, 1]], [[9, -1], [0, -1]], [[1, 2], [3, 4]]]).float()
    first, second = (metric.prepare_maps(maps, (2, 2), "none") for maps in (first, second))
    nothing = torch.zeros(3, 1, 2, 2), torch.zeros(3).long()
    ways = {"one_way": (first, second), "other_way": (second, first)}
    return {
        name: numbers(metric.score(MapBatch(own, *nothing, reference=other)))
        for name, (own, other) in ways.items()
    }


def concepts():
    """What the new concept method finds in features whose class means are known."""
    ((_, entry),) = entries("example_channels", "concepts").items()
    method = CONCEPTS.load(entry["method"])(**entry["parameters"])
    paths = {split: Path(f"packed/shapes/{split}.safetensors") for split in ("train", "test")}

    def found_in(pooled):
        labels = torch.tensor([0, 0, 1, 1])
        features = SplitFeatures(torch.tensor(pooled), torch.zeros(4, 2), labels, torch.arange(4))
        return method.find(
            StudiedNetwork(
                network=None,
                features=SimpleNamespace(split={"test": features}.__getitem__),
                splits=paths,
                bank=paths,
                seed=1,
                batch_size=4,
                images=4,
                device=torch.device("cpu"),
            )
        )

    own = found_in([[1.0, 1.0], [3.0, 1.0], [0.0, 4.0], [0.0, 2.0]])
    other = found_in([[1.0, 1.0], [3.0, 1.0], [9.0, 4.0], [0.0, 2.0]])
    pairs = {"self": own, "other": other}
    return {
        "ranked": [[row.class_name, row.concept, row.rank, row.weight] for row in own.ranked],
        "selectivity": [row.value for row in own.measured],
        "same_first": {
            name: [row.value for row in method.compare(own, reference)]
            for name, reference in pairs.items()
        },
    }


def solver():
    """What the new solver leaves of a layer whose products can be worked out by hand."""
    entry = entries("example_wanda", "sample_pruners")["example_wanda"]
    weights = torch.tensor([[[-3.0, 1.0, 0.0], [1.0, 2.0, 5.0]]])
    hessians = torch.tensor([1.0, 16.0, 4.0]).diag()[None]
    return SOLVERS.load(entry["solver"])().solve(weights, hessians, torch.tensor([3]), 1, None)


def numbers(values):
    """A list with None for what is undefined, which JSON cannot write."""
    return [None if math.isnan(value) else float(value) for value in values]


def claim():
    """What the new test says of the recipe's claim on three networks, and of wrong claims."""
    overlay = load_yaml(Path("studies/example_change.yaml"))
    (claim,) = overlay["claims"]
    claim = {"dataset": "digits", "model": "cnn", "pruner": "random", "condition": "noisy", **claim}
    predicted = pd.DataFrame({"label": [0, 1, 2], "correct": True, "margin": 1.0})
    scores, predictions = {}, {}
    for seed in (1, 2, 3):
        for level, pruner in ((0, "dense"), (5, "random")):
            place = Checkpoint("digits", "cnn", pruner, seed, level)
            values = 0.5 + level / 50 * (np.array([-1.0, 0.0, 1.0]) - seed)
            scored = Scored(np.arange(3), values, np.zeros(3, dtype=bool))
            scores[place, "noisy", "saliency", "soft_iou"] = scored
            predictions[place] = {"noisy": predicted}
    study = StudyImages(scores, predictions, {})
    found = look_at(CLAIMS.load(claim["test"])(claim), ClaimCurves(study, claim))
    row = claims_table([found]).iloc[0]
    base = merged(catalogue_and_study(Path(), own=True), overlay)
    wrong = {}
    for key, value in (("end", 6), ("expected", "falling")):
        config = {**base, "claims": [{**base["claims"][0], key: value}]}
        wrong[key] = resolve(normalise(config))[1]
    return {
        "statistic": row["statistic"],
        "matrix": found.matrix.tolist(),
        "errors": [row["se_networks"], row["se_images"], row["se_residual"]],
        "p": row["p"],
        "holds": numbers([row["holds_from"], row["holds_to"]]),
        "wrong": wrong,
    }


def main():
    """Print all results."""
    torch.manual_seed(0)
    network = build_network(MODELS.load("thesis_cnn"), 10, seed=1)
    images = torch.rand(2, 1, 28, 28)
    json.dump(
        {
            "library": sys.modules["sparsight.models.registry"].__file__,
            "problems": problems(),
            "data_set": data_set(),
            "model": model(),
            "pruner": pruner(network),
            "explainers": explainers(network, images),
            "metrics": metrics(images),
            "agreement": agreement(),
            "concepts": concepts(),
            "solver": solver().tolist(),
            "claim": claim(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
