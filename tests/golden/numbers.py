"""What the stages and items of the project compute, as a few numbers each.

A fingerprint of an array is its size, its mean, its standard deviation and four projections on
fixed random directions, so that no element can change unnoticed, and a difference says how large it
is. Stages are those of the tiny study that the tests of the workflow run; items (explainers,
metrics, criteria, concept methods, sample solvers) compute on a network with fixed random weights,
so that each stands alone.
"""

import copy
import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from sparsight.concepts.registry import CONCEPTS
from sparsight.data.packed import PackedSplit
from sparsight.explain.base import ImageBatch, build_explainers, explain_batch
from sparsight.explain.network import frozen
from sparsight.explain.registry import EXPLAINERS
from sparsight.io.arrays import read_arrays
from sparsight.io.tables import read_table
from sparsight.metrics.base import BatchExplainer, MapBatch
from sparsight.metrics.preparation import masks_for, prepare
from sparsight.metrics.registry import AGREEMENT, METRICS
from sparsight.models.registry import MODELS
from sparsight.pruning.observation import Observation
from sparsight.pruning.registry import CRITERIA
from sparsight.registration import Registry
from sparsight.spade.registry import SOLVERS
from sparsight.study.configuration import catalogue_and_study
from sparsight.study.versions import STAGES, versions
from tests.golden import concepts_and_samples

IMAGES = 8
LEVELS = ("tiny/level01", "tiny/level02", "retrain/level01")
#: stage to the files that hold its numbers, in the order in which they depend on each other
FILES: dict[str, list[str]] = {
    "packing": ["data/packed/digits/train.safetensors", "data/packed/digits/test.safetensors"],
    "training": ["start.safetensors", "dense/level00/checkpoint.safetensors"],
    "pruning": [f"{level}/checkpoint.safetensors" for level in LEVELS],
    "explaining": ["tiny/level02/explanations/cam.safetensors"],
    "scoring": ["tiny/level02/scores/cam.parquet"],
    "agreement": ["tiny/level02/agreement/cam.parquet"],
    "summary": ["summary/evaluations.parquet", "summary/levels.csv"],
    "agreement_table": ["summary/agreement.csv"],
    "contrasts": ["summary/contrasts.csv"],
    "correctness": ["summary/correctness.csv"],
    "strata": ["summary/strata.csv"],
    "correlations": ["summary/correlations.csv", "summary/control_gaps.csv"],
    "claims": ["summary/claims.csv"],
}
#: measured, not computed
TIMES = {"seconds", "milliseconds", "ms", "speedup"}


def fingerprint(values: np.ndarray) -> list[float]:
    """Size, mean, standard deviation and four projections; NaN count as zero, and are counted."""
    flat = np.asarray(values, np.float64).ravel()
    undefined = ~np.isfinite(flat)
    flat = np.where(undefined, 0.0, flat)
    found = [float(flat.size), float(undefined.sum())]
    if flat.size:
        directions = np.random.default_rng(flat.size).standard_normal((4, flat.size))
        scale = math.sqrt(flat.size)
        found += [flat.mean(), flat.std(), *(directions @ flat / scale)]
    return [float(f"{value:.9g}") for value in found]


def _columns(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of every tensor, or of every column of numbers."""
    if path.suffix == ".safetensors":
        for name, tensor in sorted(read_arrays(path).items()):
            yield name, tensor.to(torch.float64).numpy()
    elif path.suffix == ".parquet":
        table = read_table(path)
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
                yield name, column.to_numpy().astype(np.float64)
    else:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        for name in rows[0]:
            numbers = [_number(row[name]) for row in rows]
            if any(number is not None for number in numbers):
                yield name, np.array([math.nan if n is None else n for n in numbers])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def stage_numbers(project: Path) -> dict[str, dict[str, Any]]:
    """Stage to its version and the fingerprints of its files in a finished tiny study."""
    study = project / "results" / "tiny"
    found = {}
    for stage, names in FILES.items():
        numbers = {}
        for name in names:
            chain = study / "digits" / "tiny" / "seed1"
            places = (project / name, study / name, chain / name)
            path = next(place for place in places if place.is_file())
            for column, values in _columns(path):
                if not TIMES & set(column.split("_")):
                    numbers[f"{name}: {column}"] = fingerprint(values)
        found[stage] = {"version": versions([stage])[stage], "numbers": numbers}
    return found


class Fixed:
    """A batch of digits and a network with fixed random weights."""

    def __init__(self, packed_test: Path) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = MODELS.load("thesis_cnn")().eval()
        with PackedSplit.open(packed_test) as split:
            self.batch = split.select(list(range(IMAGES)))
        self.images, self.targets = self.batch.images("clean"), self.batch.labels
        self.ids = self.batch.image_ids
        drawn = np.random.default_rng(0).standard_normal((3, IMAGES, 28, 28))
        self.maps = torch.from_numpy(drawn.astype(np.float32))


def _entries(catalogue: dict[str, Any], registry: Registry) -> dict[str, dict[str, Any]]:
    """Method to the first entry of the catalogue that names it, where an entry does."""
    found: dict[str, dict[str, Any]] = {}
    for entry in catalogue.values():
        if not registry.is_foreign(entry["method"]):
            found.setdefault(entry["method"], entry)
    return found


def item_numbers(root: Path, packed_test: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Item to its version and the fingerprint of what it computes on a fixed network.

    `folder` is for files that are needed on the way.
    """
    fixed = Fixed(packed_test)
    catalogue = catalogue_and_study(root, own=True)["catalogue"]
    with frozen(fixed.network):
        computed: list[tuple[Registry, str, Callable[[], Tensor]]] = [
            *_explained(fixed, _entries(catalogue["explainers"], EXPLAINERS)),
            *_scored(fixed, _entries(catalogue["metrics"], METRICS)),
            *_compared(fixed, _entries(catalogue["agreement"], AGREEMENT)),
            *_ordered(fixed),
        ]
        found = {}
        for registry, name, compute in computed:
            item = registry.item(name)
            found[f"{item.kind} {name}"] = {
                "version": f"{item.attribute} {item.version}",
                "numbers": {"values": fingerprint(compute().detach().double().numpy())},
            }
    for name, version, values in concepts_and_samples.all_numbers(folder):
        numbers = {key: fingerprint(each.detach().double().numpy()) for key, each in values.items()}
        found[name] = {"version": version, "platform": platform(), "numbers": numbers}
    return found


def _explained(
    fixed: Fixed, entries: dict[str, dict[str, Any]]
) -> Iterator[tuple[Registry, str, Callable[[], Tensor]]]:
    for method, entry in entries.items():
        facts = EXPLAINERS.facts(method)
        if "thesis_cnn" in facts.get("excluded_models", ()) or facts.get("needs_attention"):
            continue

        def compute(method: str = method, entry: dict[str, Any] = entry) -> Tensor:
            built = build_explainers({method: entry})
            maps = explain_batch(
                built, ImageBatch(fixed.network, fixed.images, fixed.targets, fixed.ids)
            )
            return maps[method]

        yield EXPLAINERS, method, compute


def _scored(
    fixed: Fixed, entries: dict[str, dict[str, Any]]
) -> Iterator[tuple[Registry, str, Callable[[], Tensor]]]:
    saliency = build_explainers({"saliency": {"method": "saliency"}})["saliency"]
    for method, entry in entries.items():

        def compute(method: str = method, entry: dict[str, Any] = entry) -> Tensor:
            metric = METRICS.load(method)(**(entry.get("parameters") or {}))

            def prepared(raw: Tensor) -> Tensor:
                return prepare(raw, (28, 28), "bilinear", metric.treatment, metric.normalisation)

            again = None
            if "explainer" in metric.needs:
                again = BatchExplainer(saliency, fixed.ids, "saliency", prepared)
            return metric.score(
                MapBatch(
                    prepared(fixed.maps[0]),
                    fixed.images,
                    fixed.targets,
                    masks_for(fixed.batch, metric.mask_rule),
                    fixed.network,
                    again,
                ),
            )

        yield METRICS, method, compute


def _compared(
    fixed: Fixed, entries: dict[str, dict[str, Any]]
) -> Iterator[tuple[Registry, str, Callable[[], Tensor]]]:
    for method, entry in entries.items():

        def compute(method: str = method, entry: dict[str, Any] = entry) -> Tensor:
            metric = AGREEMENT.load(method)(**(entry.get("parameters") or {}))
            first, second = (
                metric.prepare_maps(maps, (28, 28), "bilinear")
                for maps in (fixed.maps[0], fixed.maps[0] + fixed.maps[1])
            )
            batch = MapBatch(first, fixed.images, fixed.targets, reference=second)
            return metric.score(batch)

        yield AGREEMENT, method, compute


def _ordered(fixed: Fixed) -> Iterator[tuple[Registry, str, Callable[[], Tensor]]]:
    weights = {name: value for name, value in fixed.network.state_dict().items() if value.ndim > 1}
    for name in sorted(CRITERIA.entries):

        def compute(name: str = name) -> Tensor:
            network = copy.deepcopy(fixed.network).requires_grad_(True)
            shape = tuple(fixed.images.shape[1:])
            seen = Observation(weights, 3, network, fixed.images, fixed.targets, shape)
            scores = CRITERIA.load(name)().scores(seen)
            return torch.cat([score.flatten() for score in scores.values()])

        yield CRITERIA, name, compute


def platform() -> str:
    """What the last digits depend on: libraries choose their kernels by the processor."""
    cpu = Path("/proc/cpuinfo")
    facts = (
        dict(line.split(":", 1) for line in cpu.read_text().splitlines() if ":" in line)
        if cpu.is_file()
        else {}
    )
    named = {key.strip(): value.strip() for key, value in facts.items()}
    processor = [named.get(key, "") for key in ("vendor_id", "cpu family", "model")]
    capability = torch.backends.cpu.get_cpu_capability()
    return ", ".join([f"torch {torch.__version__}", capability, *filter(None, processor)])


def module_of(name: str) -> str:
    """Where the version of a stage or item is stated."""
    if name in STAGES:
        module, _, attribute = STAGES[name].partition(":")
        return f"{attribute or 'VERSION'} in {module}"
    for registry in (EXPLAINERS, METRICS, AGREEMENT, CRITERIA, CONCEPTS, SOLVERS):
        if name.startswith(f"{registry.kind} "):
            item = registry.item(name.removeprefix(f"{registry.kind} "))
            return f"`version` of {item.attribute} in {item.module}"
    raise KeyError(name)


def write(path: Path, numbers: dict[str, Any]) -> None:
    """Record numbers, one line for each fingerprint."""
    text = json.dumps({"platform": platform(), **numbers}, indent=1)
    text = re.sub(r"\[[^\[\]]*\]", lambda found: " ".join(found[0].split()), text)
    path.write_text(text + "\n", encoding="utf-8")
