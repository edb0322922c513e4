"""Networks that are not the project's own: timm's, torchvision's, and those of a user's function.

The module that a library or a function gives stays as it is, with its names and its state_dict; it
is only called by a network that has what every `Architecture` has. What that needs to know (which
module is the classifier, where maps are taken) is found by tracing: see `sparsight.models.tracing`.
"""

import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import nn

from sparsight.io.errors import InputError, near_miss, shorten
from sparsight.models.base import IMAGENET_MEAN, IMAGENET_STD, Architecture, Normalise
from sparsight.models.registry import factory_of
from sparsight.models.rewriting import compiled, graph_of, rewrite, separate

#: option that says what is done to images first; it is not handed on
NORMALISATION = "normalisation"
#: timm's option for the number of channels
CHANNELS = "in_chans"
#: arguments of libraries that load weights, which is not for options to do
LOADING = ("pretrained", "weights", "checkpoint_path", "pretrained_cfg", "weights_backbone")
#: images of networks whose library does not say which it is for
DEFAULT_SHAPE = (3, 224, 224)
#: characters of a library's message in one of ours
LONGEST = 160


class ForeignNetwork(Architecture):
    """A network of others behind the face of an `Architecture`.

    It has the modules, parameters and buffers of `module` under their names; `module` itself is
    none of them. The normalisation comes first, and is part of no state_dict. In training, of
    several outputs (auxiliary classifiers) only the first counts.

    Parameters
    ----------
    name : in the configuration.
    module : maps images [N, C, H, W] to logits [N, classes].
    normalise : what is done to images in [0, 1] first, if anything.
    """

    reference: ClassVar[str] = "not ours"
    module: nn.Module
    normalise: Normalise | None

    def __init__(
        self, name: str, module: nn.Module, class_count: int, normalise: Normalise | None
    ) -> None:
        # Neither is a submodule; `training` asks for the first.
        vars(self).update(module=module, normalise=normalise)
        super().__init__(class_count)
        vars(self)["name"] = name
        self._modules = module._modules
        self._parameters = module._parameters
        self._buffers = module._buffers
        self._non_persistent_buffers_set = module._non_persistent_buffers_set

    def know(self, traced: Mapping[str, Any]) -> None:
        """Take what tracing has found for facts."""
        vars(self).update(
            traced=dict(traced),
            explain_layer=traced["explain_layer"],
            feature_cut=traced["feature_cut"],
            classifiers=tuple(traced["classifiers"]),
            training_only=tuple(traced["training_only"]),
        )
        if traced["tokens"]:
            vars(self)["num_prefix_tokens"] = traced["tokens"]["prefix"]

    @property
    def training(self) -> bool:
        """Whether it trains: the module's own answer."""
        return bool(vars(self)["module"].training)

    @training.setter
    def training(self, mode: bool) -> None:
        vars(self)["module"].training = mode

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """All modules by name, the normalisation last."""
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if self.normalise is not None:
            yield f"{prefix}.normalise" if prefix else "normalise", self.normalise

    def get_submodule(self, target: str) -> nn.Module:
        """A module by its name; none is hidden behind a fact of the same name."""
        if target == "normalise" and self.normalise is not None:
            return self.normalise
        return self.module.get_submodule(target)

    def _apply(self, function: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        if self.normalise is not None:
            self.normalise._apply(function, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(function, recurse)  # type: ignore[no-untyped-call]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See `Architecture.forward`."""
        found = self.module(images if self.normalise is None else self.normalise(images))
        if self.training and isinstance(found, tuple):
            found = found[0]
        logits: torch.Tensor = found
        return logits

    def class_logits(self, maps: torch.Tensor) -> torch.Tensor:
        """See `Architecture.class_logits`: what follows the feature cut in the forward pass."""
        if not self.feature_cut:
            raise InputError(f"architecture {self.name} has no feature cut: {self.traced['uncut']}")
        if "_tail" not in vars(self):
            vars(self)["_tail"] = tail_behind(self.module, self.feature_cut)
        owner, function = vars(self)["_tail"]
        logits: torch.Tensor = function(self.module.get_submodule(owner), maps)
        return logits


def tail_behind(module: nn.Module, cut: str) -> tuple[str, Callable[..., torch.Tensor]]:
    """What a network does with the output of the module `cut`, as a function.

    Returns the name of the module whose forward pass calls `cut`, and a function of that module and
    of maps; InputError where the images are needed beside the maps.
    """
    owner, graph = logits_graph(module)
    name = cut.removeprefix(f"{owner}.")
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(calls) != 1:
        raise InputError(f"'{cut}' runs {len(calls)} times in the forward pass of the network")
    output = next(node for node in graph.nodes if node.op == "output")
    needed: set[torch.fx.Node] = set()
    waiting = list(output.all_input_nodes)
    while waiting:
        node = waiting.pop()
        if node not in needed and node is not calls[0]:
            needed.add(node)
            waiting.extend(node.all_input_nodes)
    tail = torch.fx.Graph()
    made = {calls[0]: tail.placeholder("maps")}
    for node in graph.nodes:
        if node in needed:
            if node.op == "placeholder":
                raise InputError(f"what follows '{cut}' needs more than its output")
            made[node] = tail.node_copy(node, made.__getitem__)
    tail.output(made[output.all_input_nodes[0]])
    return owner, compiled(module.get_submodule(owner), tail)


def logits_graph(module: nn.Module) -> tuple[str, torch.fx.Graph]:
    """The operations of a network, and the name of the module that does them.

    That is not the network itself where all it does is to call one module.
    """
    owner = ""
    while True:
        graph = graph_of(module.get_submodule(owner))
        if graph is None:
            raise InputError(
                f"torch.fx cannot follow the forward pass of '{owner}'"
                if owner
                else "torch.fx cannot follow the forward pass of the network"
            )
        steps = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
        if len(steps) != 1 or steps[0].op != "call_module":
            return owner, graph
        inner = module.get_submodule(".".join(filter(None, (owner, str(steps[0].target)))))
        if not list(inner.children()):
            return owner, graph
        owner = ".".join(filter(None, (owner, str(steps[0].target))))


class ForeignArchitecture:
    """Builds the networks of `timm.NAME`, `torchvision.NAME` or `PATH/file.py:function`.

    A function gets the options as keywords and, where it takes `num_classes` (or any keyword), the
    number of classes. It returns a module that maps float32 images [N, C, H, W] in [0, 1] to
    logits. Where these are others than the data set's classes, the layer that gives them is
    replaced by a new one of the right size.
    """

    version: ClassVar[int] = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def build(
        self,
        class_count: int,
        seed: int,
        options: Mapping[str, Any],
        traced: Mapping[str, Any] | None = None,
    ) -> ForeignNetwork:
        """See `base.build_network`."""
        if traced is None:
            from sparsight.models.tracing import trace

            traced = trace(self, class_count, options)[0]["traced"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.plain(class_count, options)
            for name in traced["classifiers"]:
                replace_classifier(network, name, class_count)
        separate(network.module)
        rewrite(network.module, traced["rewritten"])
        network.know(traced)
        return network

    def plain(self, class_count: int, options: Mapping[str, Any]) -> ForeignNetwork:
        """The network as the library or the function gives it, without facts."""
        given = dict(options)
        stated = given.pop(NORMALISATION, None)
        for key in LOADING:
            if key in given:
                raise InputError(
                    f"architecture {self.name}: the option {key} would load weights; drop it, and "
                    "name a file as initial_weights"
                )
        module = self._module(class_count, given)
        statistics = self._statistics(module, stated, given)
        normalise = Normalise(*statistics) if statistics else None
        network = ForeignNetwork(self.name, module, class_count, normalise)
        network.options = dict(options)
        return network

    def shape(self, module: nn.Module, options: Mapping[str, Any]) -> tuple[int, int, int]:
        """(C, H, W) of the images that the library means the network for."""
        channels, *sides = getattr(module, "pretrained_cfg", {}).get("input_size") or DEFAULT_SHAPE
        if self._library() == "torchvision" and (weights := _torchvision_weights(self.name)):
            sides = weights.transforms().crop_size * 2
        return options.get(CHANNELS, channels), sides[0], sides[1]

    def _library(self) -> str:
        return "" if factory_of(self.name) else self.name.partition(".")[0]

    def imagenet_weights(self) -> str:
        """File of torchvision's ImageNet weights; empty where there is none."""
        weights = _torchvision_weights(self.name) if self._library() == "torchvision" else None
        return str(weights.url).rpartition("/")[2] if weights else ""

    def _module(self, class_count: int, options: dict[str, Any]) -> nn.Module:
        factory = factory_of(self.name)
        if factory is None:
            create = (_timm if self._library() == "timm" else _torchvision)(self.name)
            options = {**options, "num_classes": class_count}
        else:
            create = _function(*factory)
            wanted = inspect.signature(create).parameters
            if "num_classes" in wanted or any(p.kind is p.VAR_KEYWORD for p in wanted.values()):
                options = {"num_classes": class_count, **options}
        try:
            module = create(**options)
        # Code of others may fail in any way.
        except Exception as error:
            raise InputError(
                f"architecture {self.name} cannot be built: {in_short(error)}; correct its options"
                + (" or the function" if factory else "")
            ) from error
        if not isinstance(module, nn.Module):
            raise InputError(
                f"architecture {self.name} gives a {type(module).__name__}; let the function "
                "return a torch.nn.Module"
            )
        return module.train()

    def _stated(self, stated: Mapping[str, Any], key: str) -> Sequence[float]:
        values = stated[key]
        smallest = 0 if key == "std" else -math.inf
        if (
            isinstance(values, list | tuple)
            and values
            and all(type(value) in (int, float) and smallest < value < math.inf for value in values)
        ):
            return values
        raise InputError(
            f"architecture {self.name}: the option {NORMALISATION}.{key} is "
            f"{shorten(repr(values), LONGEST)}, but must be a list of "
            f"{'positive ' * (key == 'std')}numbers, one per channel"
        )

    def _statistics(
        self, module: nn.Module, stated: Any, options: Mapping[str, Any]
    ) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and standard deviation of the channels that it was trained with."""
        if isinstance(stated, Mapping) and set(stated) == {"mean", "std"}:
            return self._stated(stated, "mean"), self._stated(stated, "std")
        if stated == "imagenet":
            return IMAGENET_MEAN, IMAGENET_STD
        if stated not in (None, "none"):
            raise InputError(
                f"architecture {self.name}: the option {NORMALISATION} is {stated!r}, but must be "
                "none, imagenet, or the keys mean and std"
            )
        if stated == "none" or not self._library():
            return None
        if self._library() == "timm":
            facts = getattr(module, "pretrained_cfg", None) or {}
            mean, std = facts.get("mean", IMAGENET_MEAN), facts.get("std", IMAGENET_STD)
        else:
            weights = _torchvision_weights(self.name)
            found = weights.transforms() if weights else None
            mean = getattr(found, "mean", IMAGENET_MEAN)
            std = getattr(found, "std", IMAGENET_STD)
        # Statistics of colours say nothing of other channels.
        return (mean, std) if options.get(CHANNELS, len(mean)) == len(mean) else None


def replace_classifier(network: ForeignNetwork, name: str, class_count: int) -> None:
    """Give the linear layer or convolution `name` as many outputs as there are classes."""
    old = network.get_submodule(name)
    bias = old.bias is not None
    new: nn.Module
    if isinstance(old, nn.Linear) and old.out_features != class_count:
        new = nn.Linear(old.in_features, class_count, bias=bias)
    elif isinstance(old, nn.Conv2d) and old.out_channels != class_count:
        size: Any = old.kernel_size
        new = nn.Conv2d(old.in_channels, class_count, size, old.stride, old.padding, bias=bias)  # type: ignore[arg-type]
    else:
        return
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, new)


def in_short(error: BaseException) -> str:
    """The message of an exception of foreign code, on one line."""
    return shorten(f"{type(error).__name__}: {error}", LONGEST)


def _timm(name: str) -> Callable[..., nn.Module]:
    try:
        import timm
    except ImportError as error:
        raise InputError(f"architecture {name} needs timm, which is not installed") from error
    own = name.partition(".")[2]
    if not timm.is_model(own):
        raise InputError(_unknown(name, timm.list_models()))
    return lambda **options: timm.create_model(own, pretrained=False, **options)


def _torchvision(name: str) -> Callable[..., nn.Module]:
    import torchvision.models

    own, known = name.partition(".")[2], torchvision.models.list_models(module=torchvision.models)
    if own not in known:
        raise InputError(_unknown(name, known))
    return lambda **options: torchvision.models.get_model(own, weights=None, **options)


def _unknown(name: str, known: Sequence[str]) -> str:
    library, _, own = name.partition(".")
    near = near_miss(own, known) or f" ({len(known)} are known)"
    return f"architecture {name}: {library} has no image classifier '{own}'{near}"


def _torchvision_weights(name: str) -> Any:
    """The library's own choice of weights, or None."""
    import torchvision.models

    weights = torchvision.models.get_model_weights(name.partition(".")[2])
    return getattr(weights, "IMAGENET1K_V1", None) or next(iter(weights), None)


def _function(path: str, function: str) -> Callable[..., nn.Module]:
    """A function of a file, which may import others that lie next to it."""
    with _importing_from(Path(path).resolve().parent):
        module = _executed(path)
    found: Callable[..., nn.Module] | None = getattr(module, function, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if inspect.isroutine(value)]
        raise InputError(f"{path} has no function '{function}'{near_miss(function, names)}")
    return found


def _executed(path: str) -> ModuleType:
    name = f"sparsight_architecture_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise InputError(f"{path} does not exist; correct the architecture")
    module = importlib.util.module_from_spec(spec)
    # What looks a class up by its module (dataclasses do) finds it there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # Code of others may fail in any way.
    except Exception as error:
        raise InputError(f"{path} cannot be imported: {in_short(error)}; correct it") from error
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
