"""A network as a plain chain of layers, which is what can be converted."""

from dataclasses import dataclass

import torch
from torch import fx, nn

from sparsight.io.errors import InputError

CONVERTIBLE = "only plain chains of Conv2d, ReLU, MaxPool2d, Flatten and Linear are converted"


@dataclass(frozen=True)
class Link:
    """A module of a chain.

    Attributes
    ----------
    name : its name in the network.
    module : a Conv2d, ReLU, MaxPool2d, Flatten or Linear.
    shape : of its output for one image: (C, H, W) or (features,).
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]

    @property
    def has_weights(self) -> bool:
        """Whether this is a convolution or a linear layer."""
        return isinstance(self.module, nn.Conv2d | nn.Linear)


def read_chain(network: nn.Module, example: torch.Tensor) -> list[Link]:
    """The modules of a network in the order in which data pass them.

    Parameters
    ----------
    network : in evaluation mode.
    example : float32 [N, C, H, W], images that it takes; only their shape counts.

    Raises
    ------
    InputError
        When the network is no plain chain; the sentence names what does not fit.
    """
    chain = []
    hidden = example[:1]
    with torch.no_grad():
        for name in _module_names(network):
            module = network.get_submodule(name)
            _check(name, module, hidden)
            hidden = module(hidden)
            chain.append(Link(name, module, tuple(hidden.shape[1:])))
    if not any(link.has_weights for link in chain):
        raise InputError(
            f"{type(network).__name__} has no weights to convert; choose a network with layers"
        )
    return chain


def _module_names(network: nn.Module) -> list[str]:
    """Names of the modules that are called, each on the output of the one before."""
    whole = type(network).__name__
    try:
        graph = fx.Tracer().trace(network)
    # Tracing runs the network's own code, which may fail in any way.
    except Exception as error:
        raise InputError(f"{whole} cannot be traced ({error}); {CONVERTIBLE}") from error
    names: list[str] = []
    before: fx.Node | None = None
    for node in graph.nodes:
        target = str(node.target)
        if node.op == "output":
            if node.args != (before,):
                raise InputError(f"{whole} does not give its last module's output; {CONVERTIBLE}")
        elif node.op == "call_module":
            if node.args != (before,) or node.kwargs or target in names:
                raise InputError(f"the module '{target}' is part of a branch; {CONVERTIBLE}")
            names.append(target)
        elif node.op != "placeholder" or before is not None:
            raise InputError(f"'{node.name}' in {whole} is no module; {CONVERTIBLE}")
        before = node
    return names


def _fits(module: nn.Module, hidden: torch.Tensor) -> bool:
    """Whether units map to units, and a constant input gives a constant output."""
    if type(module) is nn.Conv2d:
        return module.groups == 1
    if type(module) is nn.MaxPool2d:
        # Without dilation every window holds a value of the image, never padding alone.
        return not module.return_indices and bool(torch.tensor(module.dilation).eq(1).all())
    if type(module) is nn.Flatten:
        return (module.start_dim, module.end_dim) == (1, -1)
    return type(module) is nn.ReLU or hidden.ndim == 2


def _check(name: str, module: nn.Module, hidden: torch.Tensor) -> None:
    kind = type(module)
    if kind not in (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear):
        raise InputError(f"the module '{name}' is a {kind.__name__}; {CONVERTIBLE}")
    if not _fits(module, hidden):
        raise InputError(
            f"the module '{name}' is a {kind.__name__} of a special kind; {CONVERTIBLE}, without "
            "groups, dilated pooling or a Linear on what is not flattened"
        )
    for parameter in module.parameters():
        if not parameter.isfinite().all():
            raise InputError(
                f"the module '{name}' has weights that are not finite; train the network again"
            )
