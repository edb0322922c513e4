"""What every architecture says of itself, and what is asked of any network."""

from abc import ABC
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import nn
from torch.autograd.graph import Node
from torch.nn.modules.batchnorm import _BatchNorm

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError
from sparsight.registration import checked_parameters


def check_maps(layer: str, output: Sequence[int], images: Sequence[int]) -> None:
    """Refuse a layer's outputs that are no maps [N, C, h, w], or whose channels are innermost.

    Four dimensions alone say little: windowed transformers give [N, h, w, C], and a mean over the
    places of such an array is one over channels. So maps must have the aspect ratio of the images
    [N, C, H, W], to within a pixel.
    """
    if len(output) != 4:
        kind = "tokens" if len(output) == 3 else "an array"
        raise InputError(
            f"layer '{layer}' gives {kind} of shape {list(output)}, not feature maps [N, C, h, w]; "
            "name a convolution, an activation or a pooling layer"
        )
    if channels_innermost(output, images):
        raise InputError(
            f"layer '{layer}' gives maps with the channels innermost, {list(output)} [N, h, w, C], "
            "not [N, C, h, w]; name a layer behind a permutation of the axes"
        )


def channels_innermost(output: Sequence[int], images: Sequence[int]) -> bool:
    """Whether an output of four dimensions is [N, h, w, C] rather than [N, C, h, w]."""
    _, first, second, third = output
    return _fits(first, second, images) and not _fits(second, third, images)


def _fits(height: int, width: int, images: Sequence[int]) -> bool:
    # A side of n pixels becomes one of n / stride, rounded up or down.
    return abs(height * images[3] - width * images[2]) < max(images[2:]) + 1


def graph_nodes(output: torch.Tensor, stop: Container[Node] = ()) -> Iterator[Node]:
    """All nodes of autograd's graph that led to `output`, each once, in no particular order.

    What led to the nodes in `stop` is left out.
    """
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        if node not in stop:
            waiting.extend(before for before, _ in node.next_functions)


WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)
#: weights of `nn.MultiheadAttention` that no linear layer holds; it has either the first or others
ATTENDING = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def predicts(network: nn.Module, name: str) -> bool:
    """Whether the module or parameter `name` is none of what the network has for training only."""
    only = getattr(network, "training_only", ())
    return not any(name == module or name.startswith(f"{module}.") for module in only)


def weighted_modules(
    network: nn.Module, kinds: tuple[type[nn.Module], ...] = WEIGHTED
) -> dict[str, nn.Module]:
    """Convolutions and linear layers (or other `kinds`) by name, but those only for training."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, kinds) and predicts(network, name)
    }


def prunable_parameters(network: nn.Module, norm_layers: bool = False) -> Tensors:
    """Weights of convolutions, linear layers and attention; never biases, nor of auxiliary heads.

    Modules that only train (fact `training_only`) are neither pruned nor counted. With
    `norm_layers`, a mistake of published code, also the scales of normalisation layers. A weight
    that several modules share is one, under its first name.
    """
    kinds = (*WEIGHTED, *NORMALISING) if norm_layers else WEIGHTED
    held = {
        id(getattr(module, key))
        for module in weighted_modules(network, (*kinds, nn.MultiheadAttention)).values()
        for key in (ATTENDING if isinstance(module, nn.MultiheadAttention) else ("weight",))
    }
    return {name: weight for name, weight in network.named_parameters() if id(weight) in held}


def tied_names(network: nn.Module) -> dict[str, str]:
    """Each further name of a parameter that a network holds under several, to its first name."""
    first: dict[int, str] = {}
    tied = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            tied[name] = first[id(parameter)]
    return tied


def batch_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """Batch normalisations with running statistics by name, without those only for training."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and predicts(network, name)
    }


#: mean and standard deviation of ImageNet's channels, with which its networks were trained
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: what Inception networks were trained with: images in [-1, 1]
INCEPTION_MEAN = (0.5, 0.5, 0.5)
INCEPTION_STD = (0.5, 0.5, 0.5)


class Normalise(nn.Module):
    """(image - mean) / std per channel, as the first module of a network.

    Explainers, metrics and noise work on images in [0, 1]; what a network does to them first is its
    own matter. Mean and deviation are constants and not in the state_dict, whose keys stay those of
    other libraries' networks.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W], normalised."""
        return (images - self.mean) / self.std


class Architecture(nn.Module, ABC):
    """A network whose facts are literal class attributes: the workflow reads them from the source.

    `forward` maps images [N, C, H, W] (float32, range 0 to 1) to logits [N, classes]. A network is
    cut in two at the module `feature_cut`: concept methods ask `feature_maps` for maps and
    `class_logits` for the logits of maps that they changed. An architecture writes these two, and
    then `forward` is `class_logits(feature_maps(images))`; or it writes only `forward`, and then it
    has no `class_logits`. (No submodule of a torchvision or timm network has these names; many have
    a submodule `features` or `head`.)
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    #: channels, height, width that it takes; height and width 0: any from `minimum_side` on
    input_shape: ClassVar[tuple[int, int, int]]
    minimum_side: ClassVar[int] = 1
    #: options of the constructor (not `parameters`, which a module has already) and their defaults,
    #: and the values that they may have, as `sparsight.registration.parameter_problems` takes them
    option_defaults: ClassVar[dict[str, Any]] = {}
    option_choices: ClassVar[dict[str, Any]] = {}
    #: modules that a layer explainer may name, in the order of the forward pass, and the height and
    #: width of their outputs; empty where these follow from the image and `layer_strides`
    layers: ClassVar[dict[str, tuple[int, int]]] = {}
    #: the same modules, and how many pixels of the stem's output one of theirs stands for: a side
    #: of n becomes ceil(n / stride); a key may be several names, separated by blanks
    layer_strides: ClassVar[dict[str, int]] = {}
    #: the same modules, in a network whose convolutions are not padded: the window (kernel, stride,
    #: padding) by which each one's side follows from that of the module before, or of the image
    layer_windows: ClassVar[dict[str, tuple[int, int, int]]] = {}
    #: value of the option `stem` to the strides of the layers inside the stem, and under the empty
    #: name that of the whole stem
    stem_strides: ClassVar[dict[str, dict[str, int]]] = {}
    #: where class activation maps are taken by default
    explain_layer: ClassVar[str]
    #: the module whose output is the feature vector or map that concept methods use
    feature_cut: ClassVar[str]
    #: what the loss of an auxiliary head counts, the network's own being 1; 0 where there is none
    auxiliary_weight: ClassVar[float] = 0.0
    #: modules that only train and that no prediction uses, such as an auxiliary head: they are not
    #: pruned, and densities do not count them
    training_only: ClassVar[tuple[str, ...]] = ()
    #: whether it has self-attention, which explainers of transformers need
    attention: ClassVar[bool] = False
    #: file of torchvision's ImageNet weights, whose name ends in the first digits of its SHA-256;
    #: empty where there is none. They are for the default options.
    imagenet_weights: ClassVar[str] = ""
    #: the modules that give logits, drawn anew for other classes; the first is the network's own
    classifiers: ClassVar[tuple[str, ...]] = ()
    #: all options of this network; `build_network` sets them
    options: Mapping[str, Any]
    #: what `sparsight.models.tracing` has found of a network that is not the project's own
    traced: Mapping[str, Any] = {}

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.class_count = class_count
        self.options = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of images [N, C, H, W] in [0, 1]."""
        return self.class_logits(self.feature_maps(images))

    def feature_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Output of the module `feature_cut`, float32 [N, D, h, w]; gradients flow to the images.

        An `InputError` where the architecture has no forward pass at all, or the output is no map.
        """
        if type(self).forward is Architecture.forward:
            raise self._no_halves("has no forward pass")
        found: list[torch.Tensor] = []
        cut = self.get_submodule(self.feature_cut)
        handle = cut.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        try:
            self(images)
        finally:
            handle.remove()
        check_maps(self.feature_cut, found[0].shape, images.shape)
        return found[0]

    def training_logits(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits [N, classes] as training needs them, and those of an auxiliary head, if any."""
        return self(images), None

    def class_logits(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of maps [N, D, h, w] as `feature_maps` gives them."""
        raise self._no_halves("cannot go on from feature maps")

    def _no_halves(self, what: str) -> InputError:
        return InputError(
            f"architecture {self.name} {what}; give {type(self).__name__} the methods "
            f"feature_maps and class_logits, cut at '{self.feature_cut}'"
        )


class Builder(Protocol):
    """What builds networks by facts that are found by tracing: `foreign.ForeignArchitecture`."""

    def build(
        self,
        class_count: int,
        seed: int,
        options: Mapping[str, Any],
        traced: Mapping[str, Any] | None = None,
    ) -> Architecture:
        """See `build_network`."""


def build_network(
    architecture: type[Architecture] | Builder,
    class_count: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
    traced: Mapping[str, Any] | None = None,
) -> Architecture:
    """A freshly initialised network; the same seed gives the same weights whatever ran before.

    Parameters
    ----------
    architecture : what the registry loads.
    options : those that are left out have their defaults; one that the architecture does not have
        or cannot use is an `InputError`.
    traced : of a foreign architecture, what tracing has found (`tracing.trace`); where it is left
        out, it is traced now, with images of the library's own size.
    """
    if not isinstance(architecture, type):
        return architecture.build(class_count, seed, options or {}, traced)
    chosen = checked_parameters(
        f"architecture {architecture.name}",
        architecture.option_defaults,
        options or {},
        architecture.option_choices,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = architecture(class_count, **chosen)
    network.options = chosen
    return network
