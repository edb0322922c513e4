"""Structures: weights that fall together, in groups of N out of M or as whole units.

A unit is a channel of a convolutional network, an attention head or a hidden unit of a transformer.
A mask of units zeroes a unit and everything tied to it, while all shapes stay: the rows of the
weight that makes it, its bias, the scale and shift of its normalisation, and the columns of all
layers that read it.
"""

import bisect
import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError, InvariantError
from sparsight.models.base import ATTENDING, prunable_parameters
from sparsight.pruning.masks import Step

logger = logging.getLogger(__name__)

#: a parameter and one of its dimensions
Place = tuple[str, int]
#: how far the density may be from the one that was asked for without a warning
_DENSITY_TOLERANCE = 0.01
#: what float64 sums explain of a difference between logits, as a share of the largest
_ROUNDING = 1e-9
_REMEDY = "choose another structure, such as unstructured or n:4"


def n_of_m_masks(scores: Tensors, masks: Tensors, step: Step, length: int) -> Tensors:
    """N of each M weights that follow each other along a layer's input channels survive.

    N is the density times M, to the nearest whole number from 1 on. Layers whose input channels are
    no multiple of M keep all weights. (Mishra et al. 2021, arXiv 2104.08378, for 2 of 4.)

    Parameters
    ----------
    scores, masks : of [outputs, inputs per group of the convolution, ...], on the CPU.
    step : to a density.
    length : M.

    Raises
    ------
    InputError
        When no layer has a multiple of M inputs.
    """
    assert step.density is not None
    kept = max(round(step.density * length), 1)
    if kept != step.density * length:
        logger.warning(
            "a density of %g cannot be reached with groups of %d weights: %d of them are kept",
            step.density,
            length,
            kept,
        )
    found, dense = {}, []
    for name, mask in masks.items():
        if mask.shape[1] % length:
            dense.append(name)
            found[name] = mask
            continue
        # [outputs, positions, groups, M]
        own = scores[name].detach().cpu().double().masked_fill(~mask, -torch.inf)
        grouped = own.flatten(2).transpose(1, 2) if own.ndim > 2 else own[:, None]
        grouped = grouped.unflatten(2, (-1, length))
        order = grouped.argsort(dim=3, stable=True, descending=True)[..., :kept]
        chosen = torch.zeros_like(grouped, dtype=torch.bool).scatter_(3, order, True)
        chosen = chosen.flatten(2).transpose(1, 2) if own.ndim > 2 else chosen.flatten(2)[:, 0]
        found[name] = chosen.reshape(mask.shape) & mask
    if len(dense) == len(masks):
        raise InputError(
            f"no layer has a multiple of {length} input channels, so that none can keep {kept} of "
            f"{length} weights; choose another structure"
        )
    if dense:
        logger.info("%s stay dense: their inputs are no multiple of %d", ", ".join(dense), length)
    return found


@dataclass(frozen=True)
class UnitGroup:
    """Units of one kind.

    Attributes
    ----------
    name : of the layer or block that makes them.
    count : how many there are.
    ties : place to the unit (from 0 on) that each index along the dimension belongs to, int64; -1
        is none.
    """

    name: str
    count: int
    ties: Mapping[Place, Tensor]


@dataclass(frozen=True)
class Units:
    """All units of a network, numbered from 0 on, group by group.

    Attributes
    ----------
    names : of the groups.
    group : int64 [units], the group of each unit.
    ties : as those of a `UnitGroup`, with the numbers of all units.
    shapes : of the tied parameters.
    removable : whether they are channels, which `sparsight.pruning.removal` can take out.
    """

    names: tuple[str, ...]
    group: Tensor
    ties: Mapping[Place, Tensor]
    shapes: Mapping[str, torch.Size]
    removable: bool = False

    def __len__(self) -> int:
        return len(self.group)

    def alive(self, masks: Tensors) -> Tensor:
        """Which units have a weight left, bool [units]."""
        found = torch.zeros(len(self) + 1, dtype=torch.bool)
        for (name, dim), unit in self.ties.items():
            if name in masks:
                found[unit[masks[name].movedim(dim, 0).flatten(1).any(1)]] = True
        return found[:-1]  # the last stands for no unit

    def masks(self, alive: Tensor) -> Tensors:
        """Tied parameter to bool: what is left of it when the units in `alive` are."""
        there = torch.cat([alive, torch.tensor([True])])
        found = {name: torch.ones(shape, dtype=torch.bool) for name, shape in self.shapes.items()}
        for (name, dim), unit in self.ties.items():
            found[name].movedim(dim, -1).logical_and_(there[unit])
        return found

    def further_masks(self, masks: Tensors) -> Tensors:
        """Masks of what falls with the units though `masks` do not count it, by parameter.

        That is biases, and the scale and shift of normalisation; what loses nothing is left out.
        """
        tied = self.masks(self.alive(masks))
        return {name: mask for name, mask in tied.items() if name not in masks and not mask.all()}

    def survivors(self, alive: Tensor, masks: Tensors) -> int:
        """How many prunable weights are left when only the units in `alive` are."""
        there = torch.cat([alive, torch.tensor([True])])
        total = 0
        for name, mask in masks.items():
            left = 1
            for dim, size in enumerate(mask.shape):
                unit = self.ties.get((name, dim))
                left *= size if unit is None else int(there[unit].sum())
            total += left
        return total

    def scores(self, scores: Tensors, masks: Tensors) -> Tensor:
        """Mean of the scores of each unit's surviving weights, float64 [units].

        A weight in a row of one unit and a column of another counts for both; one in a row and a
        column of the same unit counts once.
        """
        sums = torch.zeros(2, len(self) + 1, dtype=torch.float64)
        for name, mask in masks.items():
            # [2, ...]: scores of survivors, and how many there are
            score = scores[name].detach().cpu().double()
            both = torch.stack([score.where(mask, torch.zeros(())), mask.double()])
            places = {dim: self.ties[name, dim] for dim in (0, 1) if (name, dim) in self.ties}
            for dim, unit in places.items():
                part = both.movedim(dim + 1, 1).reshape(2, len(unit), -1).sum(2)
                sums.index_add_(1, unit % len(sums[0]), part)
            if len(places) == 2:
                same = (places[0][:, None] == places[1]) & (places[0] >= 0)[:, None]
                rows, columns = same.nonzero(as_tuple=True)
                twice = both[:, rows, columns].flatten(2).sum(2) if mask.ndim > 2 else both[:, same]
                sums.index_add_(1, places[0][rows], -twice)
        return (sums[0] / sums[1])[:-1]

    def fall(
        self, scores: Tensors, masks: Tensors, target: float, scope: str = "global"
    ) -> Tensors:
        """Masks after so many units have fallen that nearest to `target` weights survive.

        At least one unit of each group stays.

        Parameters
        ----------
        scores, masks : prunable parameter to float scores, and to bool before the step.
        target : number of prunable weights.
        scope : `global`, all units compete and those of the lowest mean score fall; `layer`, each
            group loses the same share of its units, rounded down.
        """
        before = self.alive(masks)
        own = self.scores(scores, masks)
        # from the best to the worst; ties fall in the order of the units
        order = own.flip(0).argsort(descending=True, stable=True).sub(len(own) - 1).neg()
        order = order[before[order]]
        ranks = torch.full((len(self),), len(self))
        for group in range(len(self.names)):
            members = order[self.group[order] == group]
            ranks[members] = torch.arange(len(members))
        falling = order[ranks[order] > 0].flip(0)
        sizes = self.group.bincount()
        shares = sorted({Fraction(k, int(n)) for n in sizes.unique() for k in range(int(n))})

        def left(step: int) -> Tensor:
            if scope == "layer":
                lost = torch.tensor([int(shares[step] * int(size)) for size in sizes])
                return before & (ranks < (sizes - lost)[self.group])
            alive = before.clone()
            alive[falling[:step]] = False
            return alive

        steps = len(shares) - 1 if scope == "layer" else len(falling)
        alive = left(_nearest(lambda step: self.survivors(left(step), masks), steps, target))
        tied = self.masks(alive)
        found = {name: mask & tied.get(name, mask) for name, mask in masks.items()}
        check_units(self, found, int(alive.sum()))
        return found


def _nearest(count: Callable[[int], int], steps: int, target: float) -> int:
    """The step from 0 to `steps` whose count, which never rises, is nearest to `target`."""
    below = bisect.bisect_left(range(steps), -target, key=lambda step: -count(step))
    return min((max(below - 1, 0), below), key=lambda step: abs(count(step) - target))


def unit_masks(
    units: Units,
    score: Callable[[Tensors], Tensors],
    masks: Tensors,
    density: float,
    scope: str,
    rounds: int = 1,
) -> Tensors:
    """Masks of prunable parameters after a step of the structure `units`, nested in `masks`.

    Parameters
    ----------
    score : masks to scores of prunable parameters.
    density : share of prunable weights that is wanted; what is off by more than a percentage point
        is logged as a warning.
    scope : see `Units.fall`.
    rounds : how many times units are scored; the same share of weights falls in each.
    """
    total = sum(mask.numel() for mask in masks.values())
    begun = sum(int(mask.sum()) for mask in masks.values())
    wanted = min(density * total, begun)
    for number in range(1, rounds + 1):
        target = begun * (wanted / begun) ** (number / rounds)
        masks = units.fall(score(masks), masks, target, scope)
    reached = sum(int(mask.sum()) for mask in masks.values()) / total
    logger.info("%d of %d units are left", int(units.alive(masks).sum()), len(units))
    if abs(reached - density) > _DENSITY_TOLERANCE:
        logger.warning("whole units reach a density of %.4f, not %g", reached, density)
    return masks


def check_units(units: Units, masks: Tensors, count: int) -> None:
    """Each unit is wholly there or wholly gone, `count` are there, and no output is dead."""
    alive = units.alive(masks)
    if int(alive.sum()) != count:
        raise InvariantError(f"{int(alive.sum())} units are left, not {count}")
    left = units.group[alive].bincount(minlength=len(units.names))
    for name, here in zip(units.names, left.tolist(), strict=True):
        if not here:
            raise InvariantError(f"no unit of {name} is left")
    whole = units.masks(alive)
    there = torch.cat([alive, torch.tensor([True])])
    for name, mask in masks.items():
        if not torch.equal(mask, whole.get(name, torch.ones_like(mask))):
            raise InvariantError(f"a unit of {name} is neither wholly there nor wholly gone")
        rows = there[units.ties[name, 0]] if (name, 0) in units.ties else torch.ones(len(mask)) > 0
        if not mask[rows].flatten(1).any(1).all():
            raise InvariantError(f"an output of {name} is dead though its unit is left")


def find_units(network: nn.Module, image_shape: Sequence[int]) -> Units:
    """The units of a network, which is left as it is.

    In networks with attention: heads, and hidden units of blocks of two layers. In others:
    channels, in the groups of torch-pruning (Fang et al. 2023, arXiv 2301.12900); channels that
    residual additions, depthwise convolutions or concatenations couple are one unit.

    Groups whose values reach the logits by another way than through weights that read them are
    left out, since a unit that is zero would not be the same as one that is not there: LayerNorm
    and GroupNorm, for one, average over all channels. So are groups of a single unit and what
    grouped convolutions read or make (ResNeXt), but for depthwise ones.

    Parameters
    ----------
    network : gives logits.
    image_shape : channels, height and width of its images.

    Raises
    ------
    InputError
        When the network cannot be traced, or has no units.
    """
    kind = type(network).__name__
    network = copy.deepcopy(network).cpu().double().eval().requires_grad_(True)
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(1, *image_shape, generator=draw, dtype=torch.float64)
    blocks = list(_attention_groups(network))
    if blocks:
        groups = [*blocks, *_block_groups(network)]
    else:
        groups = [group for group, _ in channel_groups(network, image)[1]]
    groups = [group for group in groups if group.count > 1]
    if not _only_read(network, image, groups):
        groups = [group for group in groups if _only_read(network, image, [group])]
        if not _only_read(network, image, groups):
            raise InputError(f"the units of {kind} depend on each other; {_REMEDY}")
    if not groups:
        raise InputError(f"no whole units can be removed from {kind}; {_REMEDY}")
    parameters = dict(network.named_parameters())
    ties: dict[Place, Tensor] = {}
    first = 0
    for group in groups:
        for place, unit in group.ties.items():
            known = ties.setdefault(place, torch.full_like(unit, -1))
            if bool(((known >= 0) & (unit >= 0)).any()):
                raise InputError(f"units of {kind} overlap at {place[0]}; {_REMEDY}")
            ties[place] = torch.where(unit >= 0, unit + first, known)
        first += group.count
    counts = torch.tensor([group.count for group in groups])
    return Units(
        tuple(group.name for group in groups),
        torch.arange(len(groups)).repeat_interleave(counts),
        ties,
        {name: parameters[name].shape for name, _ in ties},
        removable=not blocks,
    )


@torch.no_grad()
def _only_read(network: nn.Module, image: Tensor, groups: Sequence[UnitGroup]) -> bool:
    """Whether every second unit of groups is without effect once the columns that read it are zero.

    That is tried with other weights in what makes these units: the logits must not change.
    """
    prunable, draw = prunable_parameters(network), torch.Generator().manual_seed(1)
    parameters = {name: network.get_parameter(name) for group in groups for name, _ in group.ties}
    own = {name: value.clone() for name, value in parameters.items()}
    logits = []
    for makers_drawn in (False, True):
        for group in groups:
            for (name, dim), unit in group.ties.items():
                value, odd = parameters[name].movedim(dim, 0), (unit >= 0) & (unit % 2 == 1)
                if dim == 1 and name in prunable:
                    value[odd] = 0
                elif makers_drawn:
                    value[odd] = torch.randn(value[odd].shape, generator=draw, dtype=value.dtype)
        logits.append(network(image))
    for name, value in own.items():
        parameters[name].copy_(value)
    difference, largest = (logits[1] - logits[0]).abs().max(), logits[0].abs().max()
    return bool(difference <= _ROUNDING * max(float(largest), 1.0))


def _attention_groups(network: nn.Module) -> Iterator[UnitGroup]:
    """Attention heads: rows and biases of queries, keys and values, columns of the projection."""
    names = {id(value): name for name, value in network.named_parameters()}
    read: Any
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            made = [(getattr(module, key), 0) for key in (*ATTENDING, "in_proj_bias")]
            made += [(module.bias_k, 2), (module.bias_v, 2)]
            heads, read = module.num_heads, module.out_proj
        else:
            joint, read = (getattr(module, key, None) for key in ("qkv", "proj"))
            heads = getattr(module, "num_heads", 0)
            if not (isinstance(joint, nn.Linear) and isinstance(read, nn.Linear) and heads):
                continue
            if joint.out_features != 3 * read.in_features:
                continue
            made = [(joint.weight, 0), (joint.bias, 0)]
            made += [(getattr(module, key, None), 0) for key in ("q_bias", "v_bias")]
            table = getattr(module, "relative_position_bias_table", None)
            if isinstance(table, nn.Parameter) and table.shape[-1] == heads:
                made.append((table, table.ndim - 1))
        width = read.in_features
        ties = {}
        for value, dim in (*made, (read.weight, 1)):
            if value is not None:
                # the heads of queries, then those of keys, then those of values
                length = min(value.shape[dim], width) // heads
                index = torch.arange(value.shape[dim])
                ties[names[id(value)], dim] = index // length % heads
        yield UnitGroup(name, heads, ties)


def _block_groups(network: nn.Module) -> Iterator[UnitGroup]:
    """Hidden units of blocks of two layers: row and bias of the first, column of the second."""
    names = {id(value): name for name, value in network.named_parameters()}
    for name, module in network.named_modules():
        own = [getattr(module, key, None) for key in ("fc1", "fc2")]
        if isinstance(module, nn.Sequential):
            own = [layer for layer in module if isinstance(layer, nn.Linear)]
        layers = [one for one in own if isinstance(one, nn.Linear | nn.Conv2d)]
        if len(own) != 2 or len(layers) != 2:
            continue
        first, second = layers
        if first.weight.shape[0] != second.weight.shape[1]:
            continue
        index = torch.arange(first.weight.shape[0])
        ties = {(names[id(first.weight)], 0): index, (names[id(second.weight)], 1): index}
        if first.bias is not None:
            ties[names[id(first.bias)], 0] = index
        yield UnitGroup(name, len(index), ties)


def channel_groups(
    network: nn.Module, image: Tensor
) -> tuple[Any, list[tuple[UnitGroup, nn.Module]]]:
    """torch-pruning's graph of a network, its channels, and the layer that each group begins at.

    Parameters
    ----------
    network : in evaluation mode, on the CPU, its parameters with gradients.
    image : [1, C, H, W] of the network's type.

    Raises
    ------
    InputError
        When torch-pruning cannot trace the network.
    """
    import torch_pruning  # takes a second to import, and few jobs need it

    graph = torch_pruning.DependencyGraph()
    try:
        with torch.enable_grad():
            graph.build_dependency(network, image, verbose=False)
            found = list(graph.get_all_groups())
    # Tracing runs the network's own code, which may fail in any way.
    except Exception as error:
        raise InputError(
            f"torch-pruning finds no channels in {type(network).__name__} ({error}); {_REMEDY}"
        ) from error
    modules = {module: name for name, module in network.named_modules()}
    names = {id(value): name for name, value in network.named_parameters()}
    place = {name: number for number, name in enumerate(names.values())}
    groups = []
    for traced in found:
        root = traced[0].dep.target.module
        ties: dict[Place, Tensor] = {}
        tied = [_tied(graph, item.dep) for item in traced]
        for item, places in zip(traced, tied, strict=True):
            for value, dim in places or []:
                unit = ties.setdefault((names[id(value)], dim), torch.full((value.shape[dim],), -1))
                unit[torch.tensor(item.idxs)] = torch.tensor(item.root_idxs)
        if ties and None not in tied:
            groups.append((UnitGroup(modules[root], len(traced[0].idxs), ties), root))
    groups.sort(key=lambda pair: min(place[name] for name, _ in pair[0].ties))
    return graph, groups


def _tied(graph: Any, dependency: Any) -> list[tuple[Tensor, int]] | None:
    """Parameters that a dependency of torch-pruning touches, and along which dimension.

    None where its channels cannot be units.
    """
    module = dependency.target.module
    if isinstance(module, nn.Parameter):
        return [(module, dependency.target.pruning_dim)]
    if isinstance(module, (nn.Linear, _ConvNd)) and not isinstance(module, _ConvTransposeNd):
        grouped = isinstance(module, _ConvNd) and module.groups > 1
        if grouped and not module.groups == module.in_channels == module.out_channels:
            return None
        if grouped or graph.is_out_channel_pruning_fn(dependency.handler):
            return [(p, 0) for p in (module.weight, module.bias) if p is not None]
        return [(module.weight, 1)]
    # these average over channels: `find_units` would find out, but slowly
    if isinstance(module, nn.LayerNorm):
        return None
    if isinstance(module, nn.GroupNorm) and module.num_groups < module.num_channels:
        return None
    if isinstance(module, (_NormBase, nn.GroupNorm, nn.PReLU)):
        own = list(module.parameters(recurse=False))
        return [(value, 0) for value in own if len(value) > 1]
    # what reaches the network's output is no unit
    if type(module).__name__ == "_OutputOp" or list(getattr(module, "parameters", list)()):
        return None
    return []
