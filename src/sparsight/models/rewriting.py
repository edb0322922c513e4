"""Activations and poolings as modules of their own, each used once, in networks of others.

Methods that treat operations by rules of their own (DeepLIFT, LRP, hooks of other libraries) find
them by their modules. So a module that is registered in several places is copied, none works in
place, and in the forward passes that call functions (`torch.relu`), or a module several times,
each call gets a module: that takes `torch.fx`, module by module. Only what runs in evaluation mode
is rewritten; what trains is the library's own code.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import MethodType
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

#: functions that have a module of the same arguments: name to the module and their names
_POOL = ("kernel_size", "stride", "padding")
_FUNCTIONS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "relu": (nn.ReLU, ("inplace",)),
    "relu6": (nn.ReLU6, ("inplace",)),
    "leaky_relu": (nn.LeakyReLU, ("negative_slope", "inplace")),
    "elu": (nn.ELU, ("alpha", "inplace")),
    "gelu": (nn.GELU, ("approximate",)),
    "silu": (nn.SiLU, ("inplace",)),
    "hardswish": (nn.Hardswish, ("inplace",)),
    "max_pool2d": (nn.MaxPool2d, (*_POOL, "dilation", "ceil_mode", "return_indices")),
    "avg_pool2d": (nn.AvgPool2d, (*_POOL, "ceil_mode", "count_include_pad", "divisor_override")),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d, ("output_size",)),
}
# torch gives some functions other names than those by which they are called.
_NAMES = {
    functional.max_pool2d: "max_pool2d",
    functional.adaptive_avg_pool2d: "adaptive_avg_pool2d",
}
#: where torch has the modules that hold no weights
_STATELESS = ("torch.nn.modules.activation", "torch.nn.modules.pooling")


#: runs a network on the same images each time, and gives its logits
Run = Callable[[], torch.Tensor]


class _OneModule(fx.Tracer):
    """Sees the operations of one module; the modules inside it are single steps."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def own_graph(module: nn.Module) -> fx.Graph | None:
    """The operations of a module's forward pass in evaluation mode; None where torch.fx fails.

    Parameters that have a default value have it in the graph.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(module).forward).parameters.items()
        if parameter.default is not parameter.empty
    }
    training, before = module.training, dict(vars(module))
    try:
        # Only its own: whatever it asks of `self.training` is answered while it is traced.
        module.training = False
        graph = _OneModule().trace(module, concrete_args=defaults or None)
    # Tracing runs the module's own code, which may fail in any way.
    except Exception:
        return None
    finally:
        module.training = training
        constants = [name for name in vars(module) if name not in before]
        for name in constants:
            delattr(module, name)
    # A tensor that the code makes would have to be kept by the module, on its device.
    return None if constants else graph


def graph_of(module: nn.Module) -> fx.Graph | None:
    """As `own_graph`; of a rewritten module, what it runs."""
    forward = getattr(vars(module).get("forward"), "__func__", None)
    graph: fx.Graph | None = getattr(forward, "graph", None)
    return graph or own_graph(module)


def compiled(module: nn.Module, graph: fx.Graph) -> Callable[..., Any]:
    """The function that a graph of a module stands for; its first argument is the module."""
    function: Callable[..., Any] = type(fx.GraphModule(module, graph)).forward
    return function


def is_stateless(module: nn.Module) -> bool:
    """Whether it is an activation or a pooling without weights, of torch's own."""
    parts = (module.parameters(), module.buffers(), module.children())
    return (
        not any(any(True for _ in part) for part in parts) and type(module).__module__ in _STATELESS
    )


def separate(network: nn.Module) -> None:
    """Give every place its own activation and pooling, none of which works in place."""
    seen: set[nn.Module] = set()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()) + _shared(parent):
            if is_stateless(child):
                if child in seen:
                    child = copy.deepcopy(child)
                    setattr(parent, name, child)
                seen.add(child)
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]


def _shared(parent: nn.Module) -> list[tuple[str, nn.Module]]:
    """Children that a parent holds under several names; `named_children` gives the first only."""
    first = dict(parent.named_children())
    return [(n, m) for n, m in parent._modules.items() if m is not None and n not in first]


def rewritable(network: nn.Module) -> list[str]:
    """Names of the modules with calls that need modules of their own; the network's is empty."""
    return [
        name
        for name, module in network.named_modules()
        if not is_stateless(module)
        and not type(module).__module__.startswith("torch.")
        and (graph := own_graph(module)) is not None
        and _calls(module, graph)
    ]


def rewrite(network: nn.Module, names: Iterable[str]) -> None:
    """Give every call in these modules its own module, and let them run it in evaluation mode.

    The names of what is there stay. A new module is called by its function (`relu`), or by the
    module that was called before it, with a number behind (`relu_1`) where the name is taken.
    """
    for name in names:
        module = network.get_submodule(name)
        graph = own_graph(module)
        if graph is None:
            continue
        added = []
        for node, new in _calls(module, graph):
            called = node.op == "call_module"
            base = str(node.target).replace(".", "_") if called else _name(node)
            free = (f"{base}_{k}" for k in range(1, len(graph.nodes) + 2))
            target = next(x for x in (base, *free) if not hasattr(module, x))
            module.add_module(target, new)
            added.append(target)
            node.op, node.target = "call_module", target
            node.args, node.kwargs = (_input(node),), {}
        _install(module, graph, added)


def _install(module: nn.Module, graph: fx.Graph, added: list[str]) -> None:
    own, rewritten = type(module).forward, compiled(module, graph)

    def forward(self: nn.Module, *inputs: Any, **options: Any) -> Any:
        # A call with more than was traced is the library's own affair.
        as_traced = not self.training and len(inputs) == 1 and not options
        return (rewritten if as_traced else own)(self, *inputs, **options)

    forward.__dict__.update(graph=graph, added=added)
    # A method of this module, which a deep copy of it takes along as one of the copy.
    module.forward = MethodType(forward, module)


def undo(network: nn.Module, names: Iterable[str]) -> None:
    """Take back what `rewrite` did to these modules."""
    for name in names:
        module = network.get_submodule(name)
        forward = getattr(vars(module).pop("forward", None), "__func__", None)
        for added in getattr(forward, "added", ()):
            delattr(module, added)


def rewrite_equal(network: nn.Module, names: Sequence[str], run: Run) -> list[str]:
    """Rewrite those of these modules with which `run` gives the same up to rounding; their names.

    The library's own code, which trains, must give the same too with the modules that were added.
    """
    expected = run()

    def same() -> bool:
        try:
            return equal(run(), expected)
        # Code that was written by a program from code of others.
        except Exception:
            return False

    def fits(names: Sequence[str]) -> bool:
        rewrite(network, names)
        states = [vars(network.get_submodule(name)) for name in names]
        forwards = [state.pop("forward", None) for state in states]
        as_before = same()
        for state, forward in zip(states, forwards, strict=True):
            if forward is not None:
                state["forward"] = forward
        if as_before and same():
            return True
        undo(network, names)
        return False

    return list(names) if fits(names) else [name for name in names if fits([name])]


def _calls(module: nn.Module, graph: fx.Graph) -> list[tuple[fx.Node, nn.Module]]:
    """Each call that needs a module of its own, with that module."""
    found: list[tuple[fx.Node, nn.Module]] = []
    called: set[str] = set()
    for node in graph.nodes:
        if node.op == "call_module":
            target = module.get_submodule(str(node.target))
            if node.target in called and is_stateless(target):
                found.append((node, copy.deepcopy(target)))
            called.add(str(node.target))
        elif node.op in ("call_function", "call_method") and (new := _module_for(node)):
            found.append((node, new))
    return found


def _name(node: fx.Node) -> str:
    """The name of a function, without what says that it works in place."""
    if node.op == "call_method":
        return str(node.target).rstrip("_")
    target: Any = node.target
    return _NAMES.get(target) or str(getattr(target, "__name__", "")).strip("_")


def _input(node: fx.Node) -> Any:
    return node.args[0] if node.args else node.kwargs["input"]


def _module_for(node: fx.Node) -> nn.Module | None:
    """The module that does what a call of a function does; None where there is none."""
    kind, names = _FUNCTIONS.get(_name(node), (None, ()))
    own = getattr(node.target, "__module__", "") or ""
    if kind is None or (node.op == "call_function" and not own.startswith(("torch", "_"))):
        return None
    options = {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
    options.pop("input", None)
    if options.pop("return_indices", False) or options.keys() - {*names}:
        return None
    if any(isinstance(value, fx.Node) for value in options.values()):
        return None
    options.pop("inplace", None)
    return kind(**options)


def equal(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two arrays differ by rounding at most."""
    scale = float(expected.abs().max())
    return bool((found - expected).abs().max() <= 1e-5 * scale + 1e-12)
