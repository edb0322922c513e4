"""A pruned copy of a network for each image, how faithful it is, and explanations on it."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from sparsight.explain.base import Explainer, ImageBatch, explain_batch, target_logits
from sparsight.explain.network import frozen
from sparsight.explain.randomness import image_generator
from sparsight.io.errors import InputError, InvariantError, hint
from sparsight.io.files import read_json, remedy
from sparsight.io.job import log_progress
from sparsight.registration import checked_parameters
from sparsight.spade.layers import (
    PrunedLayer,
    check_sparsity,
    group_counts,
    layer_sparsities,
    matrices,
    pruned_layers,
)
from sparsight.spade.registry import SOLVERS
from sparsight.spade.sample import MEGABYTE, PUBLISHED, images_at_once, sample_hessians
from sparsight.spade.solvers import SampleSolver

Settings = Mapping[str, Any]


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

    Returns float32 [B, *weight.shape], to be read only: where nothing falls it is a view of
    `weight`. Raises InputError when the solver fails on the layer, InvariantError when it leaves
    fewer zeros than it was asked for.

    Parameters
    ----------
    weight : float32, of the layer's own shape.
    sparsity : share of all weights of the layer that is to be zero, from 0 to below 1.
    hessians : [B, groups, K, K] as `sample_hessians` gives them; None where the solver needs none.
    image_ids : B ids; with `seed_name` and the layer's name they seed what the solver draws.
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
        raise _failure(solver, layer, str(error).rstrip(".")) from error
    if found.shape != (images * layer.groups, *dense.shape[1:]):
        raise _failure(solver, layer, f"its result has the shape {tuple(found.shape)}")
    if not bool(found.isfinite().all()):
        raise _failure(solver, layer, "its result is not finite")
    found = found.to(weight.dtype).masked_fill(gone.repeat(images, 1, 1), 0)
    if bool(((found == 0).sum((1, 2)) < asked).any()):
        raise InvariantError(
            f"solver '{solver.name}' leaves fewer zeros in layer '{layer.name}' than asked for"
        )
    return found.reshape(images, *weight.shape)


def _failure(solver: SampleSolver, layer: PrunedLayer, why: str) -> InputError:
    return InputError(
        f"solver '{solver.name}' fails on layer '{layer.name}': {why}; take another solver, or "
        "give the layer sparsity 0"
    )


def check_columns(solver: SampleSolver, layers: Sequence[PrunedLayer]) -> None:
    """InputError where a layer has more columns than the solver's parameter, or else its fact,
    `largest_columns` accepts (0: any number)."""
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


#: of the stage `sample_pruning`: see `sparsight.study.versions`
VERSION = 1
#: settings of a sample pruner that say how a sample is made (augmented copies of an image, in the
#: words of a recipe's `augment`), and what it may cost (copies in a forward pass; memory for
#: Hessians and sparse weights); the schema of the configuration says the same
DEFAULTS: dict[str, Any] = {
    "augmentations": 1024,
    "augment": PUBLISHED,
    "batch_size": 256,
    "memory_mb": 2000,
}


def pruned_copies(
    network: nn.Module,
    images: Tensor,
    image_ids: Tensor,
    solver: SampleSolver,
    sparsities: Mapping[str, float],
    settings: Mapping[str, Any],
    seed_name: str,
) -> Iterator[tuple[int, nn.Module]]:
    """Prune a copy of a network for every image.

    There is one copy, whose weights are overwritten for each image: use it before you ask for the
    next, and do not keep it. The network itself is neither run nor changed. All Hessians are those
    of the network as it is given, also where an earlier layer is pruned.

    Sparsity is the share of all weights of a layer that is zero in the copy, floor(sparsity *
    weights) at least; zeros of an earlier pruning stay, and count.

    Returns an iterator of places in the batch, 0 to B - 1 in order, each with its pruned copy, in
    evaluation mode and with frozen parameters.
    Raises InputError for settings or sparsities that cannot be used, and while iterating, when the
    solver fails on a layer.
    Reference: Soltani Moakhar et al. 2024, arXiv 2310.04519.

    Parameters
    ----------
    network : gives logits [N, classes] for float32 images in [0, 1].
    images : float32 [B, C, H, W] in [0, 1], on the network's device.
    image_ids : int64 [B]. With `seed_name` they seed augmentation and solver, so that a copy does
        not depend on its batch.
    solver : how weights are chosen.
    sparsities : layer to sparsity, as `layer_sparsities` gives them; layers that are left out keep
        their weights.
    settings : `augmentations`, `augment`, `batch_size`, `memory_mb`; see `DEFAULTS` for those left
        out. `memory_mb` decides for how many images Hessians are held at once.
    seed_name : names the use, such as the configured sample pruner.
    """
    chosen = checked_parameters("sample pruning", DEFAULTS, settings)
    if len(images) != len(image_ids):
        raise InputError(f"there are {len(images)} images but {len(image_ids)} image ids")
    copied = working_copy(network)
    layers = pruned_layers(copied, images) if len(images) else []
    known = [layer.name for layer in layers]
    for name, sparsity in sparsities.items() if layers else ():
        if name not in known:
            raise InputError(f"sparsities: '{name}' is no pruned layer{hint(name, known)}")
        check_sparsity(f"sparsities: '{name}'", sparsity)
    layers = [layer for layer in layers if sparsities.get(layer.name)]
    check_columns(solver, layers)
    together = images_at_once(layers, chosen["memory_mb"] * MEGABYTE, solver.needs_hessian)

    def copies() -> Iterator[tuple[int, nn.Module]]:
        ids = image_ids.tolist()
        for start in range(0, len(images), together):
            rows = slice(start, start + together)
            restore(copied, network)
            hessians: dict[str, Tensor] = {}
            if solver.needs_hessian and layers:
                hessians = sample_hessians(
                    copied,
                    images[rows],
                    image_ids[rows],
                    layers,
                    chosen["augmentations"],
                    seed_name,
                    chosen["augment"],
                    chosen["batch_size"],
                )
            weights = {
                layer.name: solved_weights(
                    network.get_parameter(f"{layer.name}.weight"),
                    layer,
                    sparsities[layer.name],
                    solver,
                    # let go one by one, so that the sparse weights find room
                    hessians.pop(layer.name, None),
                    ids[rows],
                    seed_name,
                )
                for layer in layers
            }
            for place in range(len(ids[rows])):
                restore(copied, network)
                set_weights(copied, {name: found[place] for name, found in weights.items()})
                yield start + place, copied

    return copies()


def working_copy(network: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode, with frozen parameters and without gradients."""
    copied = copy.deepcopy(network)
    copied.zero_grad(set_to_none=True)
    return copied.eval().requires_grad_(False)


def restore(copied: nn.Module, network: nn.Module) -> None:
    """Give a copy the network's weights and buffers again, and its own state of evaluation."""
    with torch.no_grad():
        copied.load_state_dict(network.state_dict())
    copied.eval().requires_grad_(False)


def logit_fidelity(network: Tensor, copy: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Compare the logits [N, classes] of a network and of a copy on the same images.

    Returns measures of each image [N]: `same_prediction`, bool, whether the largest logits are of
    the same class; `divergence`, float32, KL(network ‖ copy) of the softmax outputs in nats;
    `network_probability` and `copy_probability`, float32 in [0, 1], of the targets, int64 [N].
    Raises InputError when a target is not one of the classes.
    """
    # in float64: logits far apart leave differences below the rounding of float32
    of_network, of_copy = network.double().log_softmax(1), copy.double().log_softmax(1)
    divergence = (of_network.exp() * (of_network - of_copy)).sum(1)
    return {
        "same_prediction": network.argmax(1) == copy.argmax(1),
        # rounding can leave -1e-17
        "divergence": divergence.clamp(min=0).float(),
        "network_probability": target_logits(of_network, targets).exp().float(),
        "copy_probability": target_logits(of_copy, targets).exp().float(),
    }


def measured_density(network: nn.Module, layers: Iterable[str]) -> float:
    """Share of the weights of named layers that are not zero; 1 where no layer is named."""
    weights = [network.get_parameter(f"{name}.weight") for name in layers]
    total = sum(weight.numel() for weight in weights)
    return sum(int((weight != 0).sum()) for weight in weights) / total if total else 1.0


def fidelity(
    network: nn.Module,
    copy: nn.Module,
    images: Tensor,
    targets: Tensor,
    layers: Iterable[str],
) -> dict[str, Tensor]:
    """Compare a copy with its network on images, usually the one that it was pruned for.

    Returns the measures of `logit_fidelity`, and `density`, float32 [N], the share of non-zero
    weights that the copy has in the pruned `layers`, the same for all images. Both networks are
    left as they were. Raises InputError when a target is not one of the classes.
    """
    with frozen(network), frozen(copy), torch.no_grad():
        found = logit_fidelity(network(images), copy(images), targets)
    density = measured_density(copy, layers)
    return {**found, "density": torch.full((len(images),), density, device=images.device)}


def configured_solver(chosen: Settings) -> SampleSolver:
    """The solver of a sample pruner with `solver` and `parameters`."""
    solver: SampleSolver = SOLVERS.load(chosen["solver"])(**chosen["parameters"])
    return solver


def sample_settings(chosen: Settings) -> dict[str, Any]:
    """What `pruned_copies` and `search_sparsities` take as `settings`, of a sample pruner."""
    return {key: chosen[key] for key in DEFAULTS}


@dataclass
class OnPrunedCopies:
    """Explains batches on pruned copies, and remembers how faithful these are.

    Every image is pruned for once, whatever the number of explainers, which are named
    `{sample pruner}__{explainer}`. An explainer that draws at random draws what it draws for the
    network itself: scores of the two are compared image by image.

    Reference: Soltani Moakhar et al. 2024, arXiv 2310.04519.
    """

    name: str  # configured name of the sample pruner
    # see `pruned_copies`
    solver: SampleSolver
    sparsities: Mapping[str, float]
    settings: Mapping[str, Any]
    # fidelity of the copies so far, one row per image and condition: `condition`, `image_id`,
    # `same_prediction`, `divergence` (nats), `probability_kept` and `sparsity`
    rows: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_settings(
        cls, chosen: Settings, network: nn.Module, image: Tensor, searched: Path | str | None
    ) -> Self:
        """A sample pruner of the configuration: `name`, `solver`, `parameters`, `sparsities` and
        what `sample_settings` takes.

        `image`: any one, float32 [1, C, H, W], on the network's device; `searched`: file of
        `search_checkpoint`, where the sparsities were searched for.
        """
        if searched:
            try:
                shares: dict[str, Any] = read_json(searched)["sparsities"]
                sparsities = {layer: float(share) for layer, share in shares.items()}
            except (KeyError, AttributeError, TypeError) as error:
                raise InputError(f"{searched} holds no sparsities; {remedy(searched)}") from error
        else:
            sparsities = layer_sparsities(pruned_layers(network, image), chosen["sparsities"])
        return cls(chosen["name"], configured_solver(chosen), sparsities, sample_settings(chosen))

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers that lose weights."""
        return [layer for layer, sparsity in self.sparsities.items() if sparsity > 0]

    def copies(
        self, network: nn.Module, images: Tensor, image_ids: Tensor
    ) -> Iterator[tuple[int, nn.Module]]:
        """See `pruned_copies`."""
        return pruned_copies(
            network, images, image_ids, self.solver, self.sparsities, self.settings, self.name
        )

    def __call__(
        self, explainers: Mapping[str, Explainer], batch: ImageBatch, condition: str
    ) -> dict[str, Tensor]:
        """Maps of a batch by name, float32 [N, h, w], as `explain_batch` gives them."""
        own = {name.removeprefix(f"{self.name}__"): each for name, each in explainers.items()}
        parts: list[dict[str, Tensor]] = []
        copies = self.copies(batch.model, batch.images, batch.image_ids)
        for place, copied in log_progress(copies, "images of a batch pruned for", len(batch)):
            one = batch.rows(slice(place, place + 1))
            parts.append(explain_batch(own, replace(one, model=copied)))
            measured = fidelity(one.model, copied, one.images, one.targets, self.layer_names)
            found = {name: values[0].item() for name, values in measured.items()}
            whole = found["network_probability"]
            self.rows.append(
                {
                    "condition": condition,
                    "image_id": int(one.image_ids),
                    "same_prediction": bool(found["same_prediction"]),
                    "divergence": found["divergence"],
                    # A class that the network itself gives no probability can keep none.
                    "probability_kept": found["copy_probability"] / whole if whole > 0 else None,
                    "sparsity": 1.0 - found["density"],
                }
            )
        return {
            name: torch.cat([part[base] for part in parts])
            for name, base in zip(explainers, own, strict=True)
        }
