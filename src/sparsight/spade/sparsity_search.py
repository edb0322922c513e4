"""Greedy search for layer sparsities on calibration images."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.io.job import followed
from sparsight.parameters import checked_parameters, hint
from sparsight.spade.copies import DEFAULTS, hessians_of, restore, working_copy
from sparsight.spade.hessians import MEGABYTE, bytes_of_image, bytes_of_weights
from sparsight.spade.layers import PrunedLayer, covers, pruned_layers
from sparsight.spade.search_criteria import Criterion
from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.solving import check_columns, set_weights, solved_weights
from sparsight.spade.sparsities import check_sparsity

#: of the stage `sparsity_search`: see `sparsight.study.versions`
VERSION = 1

#: sparsities that are tried
GRID = (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99)

Unit = tuple[str, list[PrunedLayer]]


def search_sparsities(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    solver: SampleSolver,
    criterion: Criterion,
    settings: Mapping[str, Any],
    seed_name: str,
    grid: Sequence[float] = GRID,
    units: Sequence[str] | None = None,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Choose the sparsity of one layer after the other, from the classifier backwards.

    Layers after the one that is tried have the sparsities chosen for them, those before it are
    dense. Hessians are those of the dense network; they are made once for each image where those of
    all layers and images fit into `memory_mb`, else once for each unit, of as many images at a time
    as fit.

    Parameters
    ----------
    network, images, image_ids, solver, settings, seed_name : as of `pruned_copies`; the images are
        for calibration alone.
    criterion : for the same images.
    grid : sparsities from 0 to below 1; 0 is always among them.
    units : names of layers or of modules around them, whose layers get one sparsity together, such
        as the blocks of a residual network; layers in none of them stay dense. None: every layer
        alone.

    Returns
    -------
    layer to sparsity, for all layers; and what was tried, a dict per unit, sparsity and measure
    with `layer` (the unit), `sparsity`, `measure`, `value` (mean over images) and `chosen`.

    Raises
    ------
    InputError
        For settings, a grid or units that cannot be used, without images, when the Hessians of a
        unit for one image do not fit into `memory_mb`, or when the solver fails on a layer.
    """
    chosen = checked_parameters("sparsity search", DEFAULTS, settings)
    if not len(images) or len(images) != len(image_ids):
        raise InputError(
            f"a search needs as many image ids as images, at least one; there are {len(image_ids)} "
            f"and {len(images)}"
        )
    for sparsity in grid:
        check_sparsity("grid: a sparsity", sparsity)
    search = _Search(network, images, image_ids, solver, criterion, chosen, seed_name)
    return search.run(sorted({0.0, *map(float, grid)}), units)


class _Search:
    """A search under way: the weights that were chosen so far, for each image."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        image_ids: Tensor,
        solver: SampleSolver,
        criterion: Criterion,
        settings: Mapping[str, Any],
        seed_name: str,
    ) -> None:
        self.network, self.copied = network, working_copy(network)
        self.images, self.image_ids = images, image_ids
        self.solver, self.criterion = solver, criterion
        self.settings, self.seed_name = settings, seed_name
        #: layer to its sparse weights for each image
        self.weights: dict[str, Tensor] = {}

    def run(
        self, grid: Sequence[float], units: Sequence[str] | None
    ) -> tuple[dict[str, float], list[dict[str, Any]]]:
        layers = pruned_layers(self.copied, self.images)
        parts = _units(layers, units)
        searched = [layer for _, own in parts for layer in own]
        check_columns(self.solver, searched)
        everything = slice(0, len(self.images))
        at_once = self._images_at_once(searched, parts, len(grid))
        hessians = None if at_once else self._hessians(searched, everything)
        found = {layer.name: 0.0 for layer in layers}
        trace: list[dict[str, Any]] = []
        for name, own in followed(parts, "units searched", len(parts)):
            weights = self._candidates(own, grid, hessians, at_once.get(name, len(self.images)))
            sparsity = self._choose(name, dict(zip(grid, weights, strict=True)), trace)
            found.update({layer.name: sparsity for layer in own})
        return found, trace

    def _candidates(
        self,
        layers: Sequence[PrunedLayer],
        grid: Sequence[float],
        hessians: Mapping[str, Tensor] | None,
        at_once: int,
    ) -> list[dict[str, Tensor]]:
        """A unit's weights by layer, [images, ...], at each sparsity; `hessians` None: not made."""
        dense = {x.name: self.network.get_parameter(f"{x.name}.weight").detach() for x in layers}
        images = len(self.images)
        found = [
            {name: own.new_empty(images, *own.shape) for name, own in dense.items()} for _ in grid
        ]
        for start in range(0, images, at_once):
            rows = slice(start, min(start + at_once, images))
            made = self._hessians(layers, rows) if hessians is None else hessians
            for sparsity, weights in zip(grid, found, strict=True):
                for layer in layers:
                    weights[layer.name][rows] = solved_weights(
                        dense[layer.name],
                        layer,
                        sparsity,
                        self.solver,
                        made.get(layer.name),
                        self.image_ids[rows].tolist(),
                        self.seed_name,
                    )
        return found

    def _choose(
        self,
        unit: str,
        candidates: Mapping[float, dict[str, Tensor]],
        trace: list[dict[str, Any]],
    ) -> float:
        """Choose a unit's sparsity and keep its weights; the table of what was tried grows."""
        best = 0.0
        best_measures: dict[str, float] = {}
        first = len(trace)
        for sparsity, weights in candidates.items():
            measures = self._measures({**self.weights, **weights})
            trace += [
                {"layer": unit, "sparsity": sparsity, "measure": measure, "value": value}
                for measure, value in measures.items()
            ]
            if not best_measures or self.criterion.better(measures, best_measures):
                best, best_measures = sparsity, measures
        self.weights.update(candidates[best])
        for row in trace[first:]:
            row["chosen"] = row["sparsity"] == best
        return best

    def _measures(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """Means of the criterion's measures over all images."""
        found = []
        for place in range(len(self.images)):
            restore(self.copied, self.network)
            set_weights(self.copied, {name: own[place] for name, own in weights.items()})
            found.append(self.criterion.measure(self.copied, place))
        return {measure: sum(each[measure] for each in found) / len(found) for measure in found[0]}

    def _hessians(self, layers: Sequence[PrunedLayer], rows: slice) -> dict[str, Tensor]:
        if not self.solver.needs_hessian:
            return {}
        restore(self.copied, self.network)
        return hessians_of(
            self.copied,
            self.images[rows],
            self.image_ids[rows],
            layers,
            self.settings,
            self.seed_name,
        )

    def _images_at_once(
        self, layers: Sequence[PrunedLayer], units: Sequence[Unit], tried: int
    ) -> dict[str, int]:
        """Unit to the images whose Hessians fit at once; empty where those of all layers do."""
        budget, needs = self.settings["memory_mb"] * MEGABYTE, self.solver.needs_hessian
        images = len(self.images)
        # held for all images: the weights chosen so far, and a unit's at each sparsity tried
        chosen = images * bytes_of_weights(layers)
        held = {name: chosen + images * tried * bytes_of_weights(own) for name, own in units}
        if max(held.values(), default=0) + images * bytes_of_image(layers, needs) <= budget:
            return {}
        found = {}
        for name, own in units:
            each = bytes_of_image(own, needs)
            if held[name] + each > budget:
                raise InputError(
                    f"'memory_mb' is {self.settings['memory_mb']}, but the search in '{name}' with "
                    f"{images} images takes {-(-(held[name] + each) // MEGABYTE)} MB; raise it, or "
                    "calibrate with fewer images"
                )
            found[name] = min(images, (budget - held[name]) // each)
        return found


def _units(layers: Sequence[PrunedLayer], names: Sequence[str] | None) -> list[Unit]:
    """Units with their layers, from the classifier backwards; see `search_sparsities`."""
    if names is None:
        return [(layer.name, [layer]) for layer in reversed(layers)]
    found: dict[str, list[PrunedLayer]] = {}
    places: dict[str, int] = {}
    for place, layer in enumerate(layers):
        holders = [name for name in names if covers(name, layer.name)]
        if len(holders) > 1:
            raise InputError(
                f"units: layer '{layer.name}' is in {' and '.join(map(repr, holders))}; name one"
            )
        for name in holders:
            found.setdefault(name, []).append(layer)
            places[name] = place
    for name in names:
        if name not in found:
            known = [layer.name for layer in layers]
            raise InputError(f"units: '{name}' names no pruned layer{hint(name, known)}")
    return [(name, found[name]) for name in sorted(found, key=places.__getitem__, reverse=True)]
