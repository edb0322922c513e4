"""One layer, several images: from a solver to the layer's sparse weights for each image."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sparsight.explain.randomness import image_generator
from sparsight.io.errors import InputError, InvariantError
from sparsight.spade.layers import PrunedLayer, matrices
from sparsight.spade.solvers.base import SampleSolver
from sparsight.spade.sparsities import group_counts


def solved_weights(
    weight: Tensor,
    layer: PrunedLayer,
    sparsity: float,
    solver: SampleSolver,
    hessians: Tensor | None,
    image_ids: Sequence[int],
    seed_name: str,
) -> Tensor:
    """A layer's weights as a solver makes them sparse for each of B images.

    What an earlier pruning has set to zero stays zero and is part of the sparsity.

    Parameters
    ----------
    weight : float32, of the layer's own shape; it is only read.
    sparsity : share of all weights of the layer that is to be zero, from 0 to below 1.
    hessians : [B, groups, K, K] as `sample_hessians` gives them; None where the solver needs none.
    image_ids : B ids; with `seed_name` and the layer's name they seed what the solver draws.

    Returns
    -------
    float32 [B, *weight.shape], to be read only: where nothing falls it is a view of `weight`.

    Raises
    ------
    InputError
        When the solver fails on the layer.
    InvariantError
        When it leaves fewer zeros than it was asked for.
    """
    dense = matrices(weight.detach(), layer)
    gone = dense == 0
    zeros = gone.sum((1, 2)).tolist()
    counts = group_counts(sparsity, layer, zeros)
    images = len(image_ids)
    if counts == zeros:
        return weight.detach().expand(images, *weight.shape)
    generators = [
        image_generator(image_id, f"{seed_name}:{layer.name}:{group}")
        for image_id in image_ids
        for group in range(layer.groups)
    ]
    asked = torch.tensor(counts, device=weight.device).repeat(images)
    try:
        found = solver.solve(
            dense.repeat(images, 1, 1),
            None if hessians is None else hessians.flatten(0, 1),
            asked,
            layer.block,
            generators,
        )
    except (torch.OutOfMemoryError, InvariantError):
        raise
    except (ArithmeticError, RuntimeError, ValueError) as error:
        raise _failed(solver, layer, str(error).rstrip(".")) from error
    if found.shape != (images * layer.groups, *dense.shape[1:]):
        raise _failed(solver, layer, f"its result has the shape {tuple(found.shape)}")
    if not bool(found.isfinite().all()):
        raise _failed(solver, layer, "its result is not finite")
    found = found.to(weight.dtype).masked_fill(gone.repeat(images, 1, 1), 0)
    if bool(((found == 0).sum((1, 2)) < asked).any()):
        raise InvariantError(
            f"solver '{solver.name}' leaves fewer zeros in layer '{layer.name}' than asked for"
        )
    return found.reshape(images, *weight.shape)


def _failed(solver: SampleSolver, layer: PrunedLayer, why: str) -> InputError:
    return InputError(
        f"solver '{solver.name}' fails on layer '{layer.name}': {why}; take another solver, or "
        "give the layer sparsity 0"
    )


def check_columns(solver: SampleSolver, layers: Sequence[PrunedLayer]) -> None:
    """InputError where a layer has more columns than the solver accepts (0: any number).

    A solver's parameter of that name goes before its fact.
    """
    most = int(solver.settings.get("largest_columns", solver.largest_columns))
    for layer in layers:
        if 0 < most < layer.columns:
            raise InputError(
                f"solver '{solver.name}' accepts {most} columns, but layer "
                f"'{layer.name}' has {layer.columns}; take another solver, or give the layer "
                "sparsity 0"
            )


def set_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Overwrite the weights of layers, by the name of the layer."""
    with torch.no_grad():
        for name, weight in weights.items():
            network.get_parameter(f"{name}.weight").copy_(weight)
