"""A unit that answers to two regions of a plane, and what is left of it after pruning for one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsight.io.arrays import write_arrays
from sparsight.io.gpu import set_determinism
from sparsight.io.tables import write_csv
from sparsight.spade.copies import set_weights, solved_weights, working_copy
from sparsight.spade.layers import layer_of
from sparsight.spade.solvers import ObsFast, SampleMagnitude, SampleSolver

#: of the stage `toy`: see `sparsight.study.versions`
VERSION = 1


class Region(NamedTuple):
    """A disc in the plane in which the unit is to be positive."""

    name: str
    centre: tuple[float, float]
    radius: float

    def holds(self, points: Tensor) -> Tensor:
        """Which of the points [N, 2] lie inside, bool [N]."""
        inside: Tensor = (points - torch.tensor(self.centre)).square().sum(1) < self.radius**2
        return inside


#: scenario 1 is a sample from the larger region, scenario 2 one from the smaller
REGIONS = (Region("larger", (-1.1, -0.4), 1.2), Region("smaller", (1.6, 1.3), 0.6))
#: the plane reaches from minus to plus this on both axes
REACH = 3.0
#: points on each axis of the grid on which activation is measured
GRID = 121
#: units in each of two hidden layers; the first keeps its weights, as the stem of a network does
HIDDEN = 32
POINTS, STEPS = 1000, 800
#: the sample: so many points, normally distributed with this deviation about a region's centre
SAMPLE_POINTS, SAMPLE_DEVIATION = 512, 0.2
SPARSITIES = (0.3, 0.5, 0.7, 0.9)
#: networks that are trained; the planes of the first are kept for the figure
NETWORKS = 5
#: sparsity of the planes that are kept
SHOWN = 0.5


def train_unit(seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Train a small network with one output unit on points of the plane.

    Returns the network, giving a logit [N, 1] for float32 [N, 2]; its training points, uniform in
    the plane, float32 [POINTS, 2]; and whether each lies in a region, bool [POINTS].
    """
    draw = torch.Generator().manual_seed(seed)
    points = REACH * (2 * torch.rand(POINTS, 2, generator=draw) - 1)
    inside = REGIONS[0].holds(points) | REGIONS[1].holds(points)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = nn.Sequential(
            *(nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()),
            nn.Linear(HIDDEN, 1),
        )
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, weight_decay=1e-3)
    for _ in range(STEPS):
        optimiser.zero_grad()
        logits = network(points)[:, 0]
        functional.binary_cross_entropy_with_logits(logits, inside.float()).backward()
        optimiser.step()
    return network.eval().requires_grad_(False), points, inside


def sample_of(region: Region, seed: int) -> Tensor:
    """Points about the centre of a region, float32 [SAMPLE_POINTS, 2]."""
    draw = torch.Generator().manual_seed(seed)
    spread = SAMPLE_DEVIATION * torch.randn(SAMPLE_POINTS, 2, generator=draw)
    return torch.tensor(region.centre) + spread


def pruned_for(
    network: nn.Sequential, sample: Tensor, solver: SampleSolver, sparsity: float
) -> nn.Module:
    """A copy that is pruned for a sample float32 [N, 2], all layers but the first.

    The points take the part of an image's augmented copies: Hessians are (2 / N) X Xᵀ over them.
    """
    copied, inputs = working_copy(network), sample
    for place, module in enumerate(network):
        if place and isinstance(module, nn.Linear):
            columns = inputs.double()
            hessian = (2 / len(columns) * columns.T @ columns)[None, None]
            layer = layer_of(str(place), module)
            weights = solved_weights(module.weight, layer, sparsity, solver, hessian, [0], "toy")
            set_weights(copied, {layer.name: weights[0]})
        inputs = module(inputs)
    return copied


def plane() -> Tensor:
    """The grid, float32 [GRID * GRID, 2], row by row from the lower left."""
    axis = torch.linspace(-REACH, REACH, GRID)
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)


def activation(network: nn.Module) -> Tensor:
    """The unit's activation max(logit, 0) over the plane, float32 [GRID, GRID]."""
    with torch.no_grad():
        values: Tensor = network(plane())[:, 0].relu()
    return values.reshape(GRID, GRID)


def shares(values: Tensor, own: Region, other: Region) -> dict[str, float]:
    """Shares of the activation's sum: `own_region`, `other_region` and `elsewhere`.

    NaN where the unit is silent in the whole plane.
    """
    points, flat = plane(), values.flatten().double()
    total = float(flat.sum())
    if total <= 0:
        return dict.fromkeys(("own_region", "other_region", "elsewhere"), float("nan"))
    mine, others = (float(flat[each.holds(points)].sum()) / total for each in (own, other))
    return {"own_region": mine, "other_region": others, "elsewhere": 1.0 - mine - others}


def prune_toy(settings: Mapping[str, Any], *, table: Path | str, planes: Path | str) -> None:
    """Prune the unit of several networks for a sample from each region, by SPADE and by magnitude.

    The toy of the project page of arXiv 2310.04519, with data of our own.

    Parameters
    ----------
    table : csv file, a row per network (`seed`), `scenario`, `solver` (`dense`: not pruned) and
        `sparsity`: `own_region`, `other_region`, `elsewhere` (see `shares`), `activation_on_sample`
        and `sample_positive`, the mean activation and the share of points with a positive one.
    planes : safetensors file, of the first network at `SHOWN`: `points`, `inside`; `dense` float32
        [GRID, GRID]; `obs_fast` and `magnitude` [2, GRID, GRID], by scenario; `samples` [2, N, 2].
    """
    set_determinism(settings["threads"])
    solvers: tuple[SampleSolver, ...] = (ObsFast(), SampleMagnitude())
    samples = [sample_of(region, place) for place, region in enumerate(REGIONS)]
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Tensor] = {"samples": torch.stack(samples)}
    for seed in range(NETWORKS):
        network, points, inside = train_unit(seed)
        shown: dict[str, list[Tensor]] = {solver.name: [] for solver in solvers}
        for place, sample in enumerate(samples):
            pruned: list[tuple[str, float, nn.Module]] = [("dense", 0.0, network)]
            pruned += [
                (solver.name, sparsity, pruned_for(network, sample, solver, sparsity))
                for solver in solvers
                for sparsity in SPARSITIES
            ]
            for name, sparsity, copied in pruned:
                values = activation(copied)
                with torch.no_grad():
                    answers = copied(sample)[:, 0]
                rows.append(
                    {
                        **{"seed": seed, "scenario": place + 1},
                        **{"solver": name, "sparsity": sparsity},
                        **shares(values, REGIONS[place], REGIONS[1 - place]),
                        "activation_on_sample": float(answers.relu().mean()),
                        "sample_positive": float((answers > 0).double().mean()),
                    }
                )
                if sparsity == SHOWN:
                    shown[name].append(values)
        if seed == 0:
            arrays |= {"points": points, "inside": inside, "dense": activation(network)}
            arrays |= {name: torch.stack(values) for name, values in shown.items()}
    write_csv(table, pd.DataFrame(rows))
    write_arrays(planes, arrays, {"sparsity": str(SHOWN), "reach": str(REACH)})
