"""Conversion: a masked network without its dead units, which computes the same.

Unstructured pruning leaves layers in their dense shape, so ordinary hardware saves nothing. What it
can save are units (channels of a convolution, neurons of a linear layer) that have become dead.
Only units that the weights prove dead are removed, none that merely stay silent on some images.

Own code: torch.nn.utils.prune only masks, the sparsifier in torch.ao.pruning chooses channels
itself, and torch-simplify stopped at torchvision 0.11.
"""

import copy
import logging
import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from sparsight.data.packed import PackedSplit
from sparsight.io.errors import InputError, InvariantError
from sparsight.io.files import write_json
from sparsight.io.gpu import set_determinism
from sparsight.models.networks import load_network

#: of the stage `conversion`: see `sparsight.study.versions`
VERSION = 1

IDENTITY = ("study", "dataset", "model", "pruner")
DEFAULT_BATCH_SIZE, DEFAULT_REPEATS, WARM_UP = 100, 30, 3
# Largest difference between logits, relative to the largest logit, that float32 sums explain.
TOLERANCE = 1e-4
WEIGHTED = (nn.Conv2d, nn.Linear)
CONVERTIBLE = "only plain chains of Conv2d, ReLU, MaxPool2d, Flatten and Linear are converted"

logger = logging.getLogger(__name__)


class Link(NamedTuple):
    """A module of a chain: its name in the network, and the shape of its output for one image."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


def read_chain(network: nn.Module, example: torch.Tensor) -> list[Link]:
    """The modules of a network, in evaluation mode, in the order in which data pass them.

    InputError when the network is no plain chain; the message names what does not fit. Only the
    shape of `example`, float32 [N, C, H, W], counts.
    """
    chain = []
    hidden = example[:1]
    with torch.no_grad():
        for name in _module_names(network):
            module = network.get_submodule(name)
            _check(name, module, hidden)
            hidden = module(hidden)
            chain.append(Link(name, module, tuple(hidden.shape[1:])))
    if not any(isinstance(link.module, WEIGHTED) for link in chain):
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
    if not all(parameter.isfinite().all() for parameter in module.parameters()):
        raise InputError(
            f"the module '{name}' has weights that are not finite; train the network again"
        )


@dataclass(frozen=True)
class LayerReport:
    """What conversion does to a layer."""

    # units before and after; those of the last layer are the outputs of the network, which are
    # never removed
    channels: int
    channels_left: int
    multiply_adds: int  # per image, of dense kernels before conversion
    multiply_adds_converted: int  # per image, of dense kernels after it
    # per image, of the non-zero weights alone before conversion: what hardware for sparse weights
    # could come down to
    multiply_adds_nonzero: int


@dataclass(frozen=True)
class Report:
    """What conversion does to a network: layer to report, in the order of the data."""

    layers: dict[str, LayerReport]

    def total(self, quantity: str) -> int:
        """Sum over the layers of a quantity of `LayerReport`; channels without the outputs."""
        reports = list(self.layers.values())
        counted = reports[:-1] if quantity.startswith("channels") else reports
        return sum(int(getattr(report, quantity)) for report in counted)


#: sums over layers, in conversion.json and its `per_layer`
COUNTS = tuple(field.name for field in fields(LayerReport))


class Constant(nn.Module):
    """A network through which nothing flows: the same logits [classes] for every image."""

    logits: torch.Tensor

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        return self.logits.expand(len(images), -1)


def convert(model: nn.Module, example: torch.Tensor) -> tuple[nn.Module, Report]:
    """Remove the dead units of a network.

    A unit is removed when nothing flows in (all its incoming weights are zero, so that its output
    is constant and moves into the biases of the next layer) or when nothing flows out (all its
    outgoing weights are zero); again, until no unit is. A constant unit stays where the next layer
    pads its input with zeros, unless its output is zero too: the borders would change.

    `model` is a plain chain of Conv2d, ReLU, MaxPool2d, Flatten and Linear in evaluation mode, its
    masked weights exactly zero; it is not changed. Of `example`, float32 [N, C, H, W], only the
    shape counts. Returns the smaller network, equal to the model up to the rounding of float32, and
    the report. When a layer loses all its units the network is a `Constant`. An InputError names
    the module that cannot be converted.
    """
    chain = read_chain(model, example)
    layers = _layers(chain, example.shape[1])
    while _remove_dead_units(layers):
        pass
    flows = all(bool(layer.alive.any()) for layer in layers)
    if not flows:
        for layer in layers[:-1]:
            layer.alive.zero_()
    report = Report({layer.link.name: layer.report() for layer in layers})
    if not flows:
        with torch.no_grad():
            # Where nothing flows, any image gives the same.
            return Constant(model(example[:1])[0].clone()).eval(), report
    rebuilt = {layer.link.name: layer.rebuild() for layer in layers}
    modules = (
        (link.name.replace(".", "_"), rebuilt.get(link.name) or copy.deepcopy(link.module))
        for link in chain
    )
    return nn.Sequential(OrderedDict(modules)).eval(), report


class _Layer:
    """A layer with weights, on its way to be smaller.

    `weight` is float64 [units, units of the layer before, weights between the two], `bias` float64
    [units], `alive` bool [units] and `inputs` the `alive` of the layer before.
    """

    def __init__(self, link: Link, inputs: torch.Tensor) -> None:
        module = link.module
        assert isinstance(module, WEIGHTED)
        self.link, self.module, self.inputs = link, module, inputs
        units = link.shape[0]
        # After Flatten a channel becomes consecutive features: one row of weights per channel.
        self.weight = module.weight.detach().double().reshape(units, len(inputs), -1)
        given = module.bias
        self.bias = torch.zeros(units).double() if given is None else given.detach().double()
        self.alive = torch.ones(units, dtype=torch.bool)
        self.rectified = False

    @property
    def pads_with_zeros(self) -> bool:
        """Whether the borders of the input are set to zero."""
        module = self.module
        if isinstance(module, nn.Linear) or module.padding_mode != "zeros":
            return False
        if module.padding == "same":
            return max(module.kernel_size) > 1
        return module.padding != "valid" and any(module.padding)

    def flowing_in(self) -> torch.Tensor:
        """Units that any living unit before reaches, bool [units]."""
        return (self.weight[:, self.inputs] != 0).any(dim=2).any(dim=1)

    def flowing_out(self) -> torch.Tensor:
        """Units of the layer before that reach any living unit of this one, bool."""
        return (self.weight[self.alive] != 0).any(dim=2).any(dim=0)

    def constants(self) -> torch.Tensor:
        """What units give the next layer when nothing flows in, float64 [units]."""
        # Pooling takes the maximum of equal values.
        return self.bias.clamp(min=0) if self.rectified else self.bias

    def rebuild(self) -> nn.Module:
        """The layer without its dead units."""
        old, new = self.module, copy.deepcopy(self.module)
        weight, bias = self.weight[self.alive][:, self.inputs], self.bias[self.alive]
        shape = (len(weight), -1, *old.weight.shape[2:])
        new.weight = nn.Parameter(weight.reshape(shape).to(old.weight.dtype))
        has_bias = old.bias is not None or bool(bias.any())
        new.bias = nn.Parameter(bias.to(old.weight.dtype)) if has_bias else None
        outputs, inputs = new.weight.shape[:2]
        if isinstance(new, nn.Linear):
            new.out_features, new.in_features = outputs, inputs
        else:
            new.out_channels, new.in_channels = outputs, inputs
        return new

    def report(self) -> LayerReport:
        """Counts, before and after."""
        positions = math.prod(self.link.shape[1:])
        left = self.weight[self.alive][:, self.inputs]
        return LayerReport(
            channels=len(self.alive),
            channels_left=int(self.alive.sum()),
            multiply_adds=self.weight.numel() * positions,
            multiply_adds_converted=left.numel() * positions,
            multiply_adds_nonzero=int(self.module.weight.count_nonzero()) * positions,
        )


def _layers(chain: list[Link], channels: int) -> list[_Layer]:
    found: list[_Layer] = []
    inputs = torch.ones(channels, dtype=torch.bool)
    for link in chain:
        if isinstance(link.module, WEIGHTED):
            found.append(_Layer(link, inputs))
            inputs = found[-1].alive
        elif isinstance(link.module, nn.ReLU) and found:
            found[-1].rectified = True
    return found


def _remove_dead_units(layers: list[_Layer]) -> bool:
    """One pass over all layers but the last; whether any unit was removed."""
    before = sum(int(layer.alive.sum()) for layer in layers)
    for layer, following in pairwise(layers):
        values = layer.constants()
        constant = layer.alive & ~layer.flowing_in()
        if following.pads_with_zeros:
            constant &= values == 0
        moved = following.weight[:, constant].sum(dim=2) @ values[constant]
        following.bias = following.bias + moved
        layer.alive &= following.flowing_out() & ~constant
    return sum(int(layer.alive.sum()) for layer in layers) < before


def measure_conversion(
    settings: Mapping[str, Any],
    *,
    checkpoints: Sequence[Path | str],
    packed_test: Path | str,
    output: Path | str,
) -> None:
    """Write `conversion.json` of a chain: what removing dead units saves at every level.

    The file holds study, dataset, model, seed, pruner and `levels`, a list with, per level:
    `channels`, `multiply_adds` and others per image (see `LayerReport` and `Report.total`), also
    `per_layer`; `milliseconds` and `milliseconds_converted` of a batch (CPU time, medians, measured
    in turn in this process); `largest_difference` between the logits of the two networks on that
    batch; and `reason`, null, or why the network cannot be converted: then all numbers are null.

    Parameters
    ----------
    settings : study, dataset, model, seed, pruner (the chain), threads, batch_size (images,
        default 100) and repeats (default 30).
    checkpoints : of the chain in the order of levels; the first is the dense network's.
    packed_test : packed split that the batch is taken from, with noise, its images repeated when
        there are too few.
    output : the file.

    InvariantError when a converted network does not compute the same.
    """
    set_determinism(settings["threads"])
    images = _batch(packed_test, settings.get("batch_size", DEFAULT_BATCH_SIZE))
    repeats = settings.get("repeats", DEFAULT_REPEATS)
    measured = []
    dense: dict[str, torch.Size] = {}
    for level, path in enumerate(checkpoints):
        network = load_network(path, torch.device("cpu"))
        shapes = {name: value.shape for name, value in network.named_parameters()}
        dense = dense or shapes
        found = measure_network(network, images, repeats) if shapes == dense else _narrower()
        measured.append({"level": level, **found})
        logger.info("level %d: %s", level, {k: v for k, v in measured[-1].items() if k in COUNTS})
    identity = {key: settings[key] for key in IDENTITY}
    write_json(output, {**identity, "seed": int(settings["seed"]), "levels": measured})


def measure_network(network: nn.Module, images: torch.Tensor, repeats: int) -> dict[str, Any]:
    """Convert one network and measure both forms on a batch.

    Returns one entry of `levels`, without the level; see `measure_conversion`. `network` is in
    evaluation mode on the CPU, `images` are float32 [N, C, H, W], and the time of a batch is taken
    `repeats` times.
    """
    try:
        converted, report = convert(network, images)
    except InputError as error:
        return _unconverted(str(error))
    with torch.inference_mode():
        logits = network(images)
        difference = (logits - converted(images)).abs().max().item()
        if not difference <= TOLERANCE * max(1.0, logits.abs().max().item()):
            raise InvariantError(f"the logits of a converted network differ by {difference:g}")
        masked, smaller = alternating_medians(
            lambda: network(images), lambda: converted(images), repeats
        )
    return {
        **{name: report.total(name) for name in COUNTS},
        "per_layer": {name: asdict(layer) for name, layer in report.layers.items()},
        "milliseconds": masked,
        "milliseconds_converted": smaller,
        "largest_difference": difference,
        "reason": None,
    }


def _narrower() -> dict[str, Any]:
    """The entry of a network that structured pruning has converted already."""
    return _unconverted(
        "its layers are narrower than the dense network's, so that its own counts and times are no "
        "shares of that one's"
    )


def _unconverted(reason: str) -> dict[str, Any]:
    logger.warning("not converted: %s", reason)
    times = ("milliseconds", "milliseconds_converted")
    numbers = (*COUNTS, "per_layer", *times, "largest_difference")
    return {**dict.fromkeys(numbers), "reason": reason}


def _batch(path: Path | str, size: int) -> torch.Tensor:
    with PackedSplit.open(path) as split:
        if len(split) == 0 or size < 1:
            raise InputError(f"{path} has {len(split)} images, of which no batch of {size} is made")
        return split.select(torch.arange(size) % len(split)).images("noisy")


def alternating_medians(
    first: Callable[[], object], second: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Median milliseconds of CPU time of two ways, run in turn: both meet the same disturbances.

    CPU time, because a workflow runs other jobs at the same time, whose turns on a core would count
    several times over. With one thread it is what an idle machine takes.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for index in range(WARM_UP + repeats):
        # Who goes first alternates: the second finds warmer caches.
        for which in (0, 1) if index % 2 else (1, 0):
            started = time.process_time()
            (first, second)[which]()
            if index >= WARM_UP:
                taken[which].append(1000 * (time.process_time() - started))
    return statistics.median(taken[0]), statistics.median(taken[1])
