"""What concept methods and sample pruning compute on networks with fixed random weights.

Items have the names of methods, solvers and stages; each stands alone.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize  # noqa: F401  loaded late elsewhere, and then with threads of its own
import sklearn.svm  # noqa: F401
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from sparsight.concepts.base import Findings, StudiedNetwork
from sparsight.concepts.features import Features, extract_features
from sparsight.concepts.registry import CONCEPTS
from sparsight.data.packing import pack
from sparsight.data.sources.shapes import Shapes
from sparsight.io.arrays import read_arrays
from sparsight.models.base import build_network
from sparsight.models.resnet import ResNet18
from sparsight.models.thesis_cnn import ThesisCnn
from sparsight.spade import toy
from sparsight.spade.copies import fidelity, pruned_copies
from sparsight.spade.layers import layer_sparsities, pruned_layers
from sparsight.spade.registry import SOLVERS
from sparsight.spade.search import GroundTruth, WithoutTruth, search_sparsities
from sparsight.spade.visualisation import mean_magnitude, visualisation
from sparsight.study.versions import versions

Numbers = dict[str, Tensor]
SPLITS = {"train": 240, "validation": 64, "test": 64}
#: method to the parameters that it is run with, by a word for each
CONCEPT_RUNS: dict[str, dict[str, dict[str, Any]]] = {
    "cav": {"svm": {}, "logistic": {"classifier": "logistic", "images_per_side": 0}},
    "concept_predictor": {"": {}},
    "craft": {
        backend: {
            **{"backend": backend, "sampler": sampler, "choose": choose, "concepts": 4},
            **{"patch": 0.5, "images_of_class": 12, "designs": 8, "top_crops": 5},
            **{"sample_crops": 60, "picture_classes": 2, "picture_side": 12},
        }
        for backend, sampler, choose in (
            ("craft_xai", "sobol", "shared"),
            ("overcomplete", "halton", "correct"),
        )
    },
    "dissection": {"": {"quantile": 0.05}, "layer2": {"layer": "layer2", "minimum_iou": 0.01}},
    "pcbm": {
        "svm": {"strength": 1e-2, "l1_ratio": 0.5, "residual_strength": 1e-2},
        "predictor": {"scores": "predictor", "strength": 1e-2, "l1_ratio": 0.0, "hybrid": False},
    },
    "tcav": {"": {"draws": 3}, "layer2": {"layer": "layer2", "draws": 4, "classifier": "logistic"}},
}
SAMPLE = {"augmentations": 6, "batch_size": 8}


def all_numbers(folder: Path) -> Iterator[tuple[str, int | str, Numbers]]:
    """Name, version and numbers of everything here, by one thread: a solver that stops on the way
    makes more of rounding than the tolerance allows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # scipy's and scikit-learn's, which torch does not know
            yield from concept_numbers(folder)
            yield from sample_numbers(folder)
    finally:
        torch.set_num_threads(threads)


def concept_numbers(folder: Path) -> Iterator[tuple[str, int | str, Numbers]]:
    """Name, version and numbers of the shared features and of each concept method."""
    options = {"size": 32, "split": {**SPLITS, "seed": 0}, "noise": {"maximum": 0}}
    pack(Shapes(), options, folder, folder / "packed")
    splits = {name: folder / "packed" / f"{name}.safetensors" for name in SPLITS}
    device = torch.device("cpu")
    studied = []
    for seed in (0, 1):
        path = folder / f"features{seed}.safetensors"
        network = build_network(ResNet18, 8, seed, options={"width": 8, "stem": "small"})
        network.eval().requires_grad_(False)
        extract_features(network, splits, None, path, 32, device)
        studied.append(
            StudiedNetwork(network, Features(path), splits, splits, seed, 32, 40, device)
        )
    features = {
        f"{seed} {name}": values
        for seed, each in enumerate(studied)
        for name, values in sorted(read_arrays(each.features.path).items())
    }
    yield "features", versions(["features"])["features"], features
    for method, runs in CONCEPT_RUNS.items():
        item = CONCEPTS.item(method)
        numbers: Numbers = {}
        for run, parameters in runs.items():
            built = CONCEPTS.load(method)(**parameters)
            first, second = (built.find(each) for each in studied)
            compared = built.compare(first, second)
            found = _numbers_of(first)
            found["compared"] = torch.tensor([row.value for row in compared])
            numbers |= {f"{run} {name}".strip(): values for name, values in found.items()}
        yield f"{item.kind} {method}", f"{item.attribute} {item.version}", numbers
    for each in studied:
        each.features.close()


def _numbers_of(findings: Findings) -> Numbers:
    ranked = [(row.rank, row.weight, row.value) for row in findings.ranked]
    measured = [row.value for row in findings.measured]
    return {
        "ranked": torch.tensor(ranked, dtype=torch.float64),
        "measured": torch.tensor(measured, dtype=torch.float64),
        "passes": torch.tensor([findings.passes]),
        **findings.arrays,
    }


def sample_numbers(folder: Path) -> Iterator[tuple[str, int | str, Numbers]]:
    """Name, version and numbers of each sample solver, and of the stages of sample pruning."""
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(2, 18, 40, generator=draw).double() * (torch.arange(18) % 5)[:, None]
    hessians = inputs @ inputs.transpose(1, 2) / 20
    weights = torch.randn(2, 6, 18, generator=draw)
    weights[:, 1, 3:9] = 0
    counts = torch.tensor([45, 80])
    for name in sorted(SOLVERS.entries):
        item = SOLVERS.item(name)
        generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
        solved = SOLVERS.load(name)().solve(weights, hessians, counts, 9, generators)
        yield f"{item.kind} {name}", f"{item.attribute} {item.version}", {"values": solved}
    stages: Mapping[str, Numbers] = {
        "sample_pruning": _copies(draw),
        "sparsity_search": _searched(draw),
        "visualisation": _pictures(draw),
        "toy": _toy(folder),
    }
    for stage, numbers in stages.items():
        yield stage, versions([stage])[stage], numbers


def _copies(draw: torch.Generator) -> Numbers:
    """Weights of the copies for coloured images and how faithful these are, by solver."""
    network = build_network(ResNet18, 4, 2, options={"width": 4, "stem": "small"}).eval()
    images, ids = torch.rand(2, 3, 24, 24, generator=draw), torch.tensor([3, 8])
    found = {}
    for name in ("obs_fast", "random"):
        given = {"layers": {"*": 0.6, "layer4": 0.9}}
        sparsities = layer_sparsities(pruned_layers(network, images), given)
        solver = SOLVERS.load(name)()
        for place, copied in pruned_copies(
            network, images, ids, solver, sparsities, SAMPLE, "golden"
        ):
            one = images[place : place + 1]
            kept = fidelity(network, copied, one, torch.tensor([1]), sparsities)
            parts = [values.flatten() for values in copied.state_dict().values()]
            found[f"{name} {place} weights"] = torch.cat(parts)
            found[f"{name} {place} fidelity"] = torch.stack([v[0].double() for v in kept.values()])
    return found


def _searched(draw: torch.Generator) -> Numbers:
    """Sparsities and measures, with and without truth."""
    network = build_network(ThesisCnn, 10, 1).eval()
    images, ids = torch.rand(2, 1, 28, 28, generator=draw), torch.tensor([3, 8])
    masks = torch.zeros(2, 28, 28, dtype=torch.bool)
    masks[:, 3:9, 10:20] = True
    solver = SOLVERS.load("obs_fast")()
    found = {}
    for criterion in (
        GroundTruth(images, torch.tensor([4, 7]), masks),
        WithoutTruth(network, images, ids, "golden", 0.8, 0.8, count=4),
    ):
        sparsities, tried = search_sparsities(
            network, images, ids, solver, criterion, SAMPLE, "golden", [0.5, 0.9]
        )
        found[f"{criterion.name} sparsities"] = torch.tensor(list(sparsities.values()))
        found[f"{criterion.name} tried"] = torch.tensor([row["value"] for row in tried])
    return found


def _pictures(draw: torch.Generator) -> Numbers:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    images = torch.rand(3, 3, 16, 16, generator=draw)
    network(images)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.1, generator=draw)
    magnitude = mean_magnitude(images)
    pictures = {
        method: visualisation(
            network, 1, (3, 16, 16), {"method": method, "steps": 6, "crops": 2}, magnitude
        )
        for method in ("fourier", "maco")
    }
    return {"magnitude": magnitude, **pictures}


def _toy(folder: Path) -> Numbers:
    table, planes = folder / "toy.csv", folder / "toy.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "NETWORKS", 1)
        patch.setattr(toy, "STEPS", 40)
        toy.prune_toy({"threads": 1}, table=table, planes=planes)
    frame = pd.read_csv(table).select_dtypes("number")
    columns = {f"table {name}": torch.from_numpy(np.array(frame[name])) for name in frame}
    return {**columns, **read_arrays(planes)}
