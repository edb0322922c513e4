"""Greedy search for layer sparsities on calibration images."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.parameters import checked_parameters, hint
from sparsight.spade.copies import DEFAULTS, hessians_of, restore, working_copy
from sparsight.spade.hessians import MEGABYTE, bytes_of_image
from sparsight.spade.layers import PrunedLayer, covers, pruned_layers
from sparsight.spade.search_criteria import Criterion
from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.solving import check_columns, set_weights, solved_weights
from sparsight.spade.sparsities import check_sparsity

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
    all layers and images fit into `memory_mb`, else once for each unit.

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
        unit do not fit into `memory_mb`, or when the solver fails on a layer.
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
        hessians = self._hessians(searched) if self._all_fit(searched, parts) else None
        found = {layer.name: 0.0 for layer in layers}
        trace: list[dict[str, Any]] = []
        for name, own in parts:
            sparsity = self._search(
                name, own, self._hessians(own) if hessians is None else hessians, grid, trace
            )
            found.update({layer.name: sparsity for layer in own})
        return found, trace

    def _search(
        self,
        unit: str,
        layers: Sequence[PrunedLayer],
        hessians: Mapping[str, Tensor],
        grid: Sequence[float],
        trace: list[dict[str, Any]],
    ) -> float:
        """Choose a unit's sparsity and keep its weights; the table of what was tried grows."""
        best = 0.0
        best_measures: dict[str, float] = {}
        best_weights: dict[str, Tensor] = {}
        first = len(trace)
        for sparsity in grid:
            weights = {
                layer.name: solved_weights(
                    self.network.get_parameter(f"{layer.name}.weight"),
                    layer,
                    sparsity,
                    self.solver,
                    hessians.get(layer.name),
                    self.image_ids.tolist(),
                    self.seed_name,
                )
                for layer in layers
            }
            measures = self._measures({**self.weights, **weights})
            trace += [
                {"layer": unit, "sparsity": sparsity, "measure": measure, "value": value}
                for measure, value in measures.items()
            ]
            if not best_measures or self.criterion.better(measures, best_measures):
                best, best_measures, best_weights = sparsity, measures, weights
        self.weights.update(best_weights)
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

    def _hessians(self, layers: Sequence[PrunedLayer]) -> dict[str, Tensor]:
        if not self.solver.needs_hessian:
            return {}
        restore(self.copied, self.network)
        return hessians_of(
            self.copied, self.images, self.image_ids, layers, self.settings, self.seed_name
        )

    def _all_fit(self, layers: Sequence[PrunedLayer], units: Sequence[Unit]) -> bool:
        """Whether the Hessians of all layers fit at once; InputError if not even a unit's do."""
        budget, needs = self.settings["memory_mb"] * MEGABYTE, self.solver.needs_hessian
        # the sparse weights of all layers are held to the end
        held = bytes_of_image(layers, hessians=False)
        if len(self.images) * (held + bytes_of_image(layers, needs)) <= budget:
            return True
        for name, own in units:
            needed = len(self.images) * (held + bytes_of_image(own, needs))
            if needed > budget:
                raise InputError(
                    f"'memory_mb' is {self.settings['memory_mb']}, but the search in '{name}' with "
                    f"{len(self.images)} images takes {-(-needed // MEGABYTE)} MB; raise it, or "
                    "calibrate with fewer images"
                )
        return False


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
