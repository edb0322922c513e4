"""Networks whose layers are drawn anew, one after another; the given network stays as it is."""

import copy
import hashlib
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sparsight.io.errors import InputError
from sparsight.models.weighted import predicts
from sparsight.pruning.masks import prunable_parameters

ORDERS = ("bottom_up", "top_down")


def drawable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules with weights of their own that know how to draw them, in the order of the network.

    Those are the modules with `reset_parameters`, batch norms among them, in the order in which
    they are registered, which is that of the forward pass in all architectures here. What only
    trains (fact `training_only`) takes no part in a prediction, so that drawing it would be a stage
    in which nothing changes: it is left out.

    Raises
    ------
    InputError
        For a module that has weights and cannot draw them: what it knows would outlast the test.
    """
    layers = {}
    for name, module in model.named_modules():
        if not predicts(model, name):
            continue
        weights = next(module.parameters(recurse=False), None)
        statistics = next(module.buffers(recurse=False), None)
        if hasattr(module, "reset_parameters"):
            if weights is not None or statistics is not None:
                layers[name] = module
        elif weights is not None:
            raise InputError(
                f"layer '{name}' ({type(module).__name__}) has weights but no reset_parameters, so "
                "it cannot be randomised; give it one, or leave out the metrics of randomisation"
            )
    if not layers:
        raise InputError("the network has no layer that can be randomised")
    return layers


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def drawn_weights(layer: nn.Module, name: str, seed: int) -> dict[str, Tensor]:
    """What `reset_parameters` makes of a layer, drawn for its name.

    Convolutions and linear layers get new weights and biases; a batch norm becomes one that has
    seen nothing (scale 1, shift 0, mean 0, variance 1). The layer itself stays as it is.

    Parameters
    ----------
    layer : the module.
    name : of the layer; with `seed` it seeds the draw, so that no two layers share numbers.
    seed : of the whole network.

    Returns
    -------
    own parameters and buffers by name, on the layer's device; drawn on the CPU, so that the numbers
    are the same on every device.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    fresh = copy.deepcopy(layer).cpu()
    # `reset_parameters` knows no other generator than torch's own.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        fresh.reset_parameters()  # type: ignore[operator]
    devices = {own: tensor.device for own, tensor in _own_tensors(layer)}
    return {own: tensor.detach().to(devices[own]) for own, tensor in _own_tensors(fresh)}


class NetworkRandomiser:
    """Makes copies of networks with random layers; weights are drawn once for each network.

    What is drawn depends on the layers' kinds, sizes and names alone, and so is the same for all
    images, explainers and levels.

    Parameters
    ----------
    seed : of the weights.
    keep_sparsity : whether pruned weights stay 0: those of convolutions and linear layers that are
        exactly 0. A pruned network is then compared with a random one of the same connections. By
        contrast, dense random weights would undo the pruning and randomise at once.
    """

    def __init__(self, seed: int, keep_sparsity: bool) -> None:
        self._seed, self._keep_sparsity = seed, keep_sparsity
        # Scores are asked for batch by batch; a network that is gone takes its weights with it.
        self._drawn: WeakKeyDictionary[nn.Module, dict[str, dict[str, Tensor]]] = (
            WeakKeyDictionary()
        )

    def stages(self, model: nn.Module, count: int, order: str) -> Iterator[nn.Module]:
        """Copies of `model` in which more and more layers are random, in the end all of them.

        Parameters
        ----------
        model : the network; it is not changed.
        count : of stages, evenly spread over the layers; fewer where there are fewer layers.
        order : "bottom_up" begins at the image, "top_down" at the logits.

        Yields
        ------
        One and the same copy, in evaluation mode and without parameter gradients, further
        randomised each time.
        """
        drawn = self._weights(model)
        names = list(drawn) if order == "bottom_up" else list(drawn)[::-1]
        count = min(count, len(names))
        network = copy.deepcopy(model).eval().requires_grad_(False)
        prunable = set(prunable_parameters(network)) if self._keep_sparsity else set()
        layers = dict(network.named_modules())
        done = 0
        for stage in range(1, count + 1):
            until = stage * len(names) // count
            for name in names[done:until]:
                for own, tensor in _own_tensors(layers[name]):
                    new = drawn[name][own].to(tensor.device)
                    if f"{name}.{own}" in prunable:
                        new = torch.where(tensor == 0, torch.zeros_like(new), new)
                    tensor.copy_(new)
            done = until
            yield network

    def randomised(self, model: nn.Module) -> nn.Module:
        """A copy of `model` with all layers random."""
        return next(self.stages(model, 1, "bottom_up"))

    def _weights(self, model: nn.Module) -> dict[str, dict[str, Tensor]]:
        if model not in self._drawn:
            self._drawn[model] = {
                name: drawn_weights(layer, name, self._seed)
                for name, layer in drawable_layers(model).items()
            }
        return self._drawn[model]
