"""How sparse each layer becomes, and how many zeros that is."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from sparsight.io.errors import InputError
from sparsight.parameters import hint
from sparsight.spade.layers import PrunedLayer, covers

#: the paper's for LRP on ResNet-50 (arXiv 2310.04519), found on ground truth; layers that are not
#: named keep their weights
_PUBLISHED_BLOCKS: dict[str, tuple[float, ...]] = {
    "layer1": (0.2, 0.8, 0.0),
    "layer2": (0.2, 0.0, 0.99, 0.95),
    "layer3": (0.8, 0.8, 0.9, 0.8, 0.0, 0.0),
    "layer4": (0.95, 0.95, 0.95),
}
_PUBLISHED_CLASSIFIER = 0.95
#: name to sparsity by module
PRESETS: dict[str, dict[str, float]] = {
    "published_resnet50": {
        **{
            f"{stage}.{block}": sparsity
            for stage, blocks in _PUBLISHED_BLOCKS.items()
            for block, sparsity in enumerate(blocks)
        },
        "fc": _PUBLISHED_CLASSIFIER,
    },
    "published_feature_visualisation": {
        "layer3.4": 0.95,
        "layer3.5": 0.95,
        "layer4": 0.95,
        "fc": 0.95,
    },
}
#: the preset that is made for the number of blocks of a residual network
BY_STAGE = "published_by_stage"
FORMS = ("constant", "preset", "layers")


def layer_sparsities(
    layers: Sequence[PrunedLayer], settings: Mapping[str, Any]
) -> dict[str, float]:
    """The sparsity of every layer.

    Parameters
    ----------
    layers : of `pruned_layers`.
    settings : exactly one of
        `constant`, a sparsity for all layers;
        `preset`: `published_resnet50` or `published_feature_visualisation`, both for ResNet-50, or
        `published_by_stage`, for other residual networks (`by_stage`);
        `layers`, a mapping of patterns to sparsities. A pattern is the name of a layer or of a
        module around it (`layer4`), or has `*` and `?`. Of several that name a layer the longest
        holds; a layer that none names keeps its weights.

    Returns
    -------
    layer to sparsity from 0 to below 1, for all layers, in their order.

    Raises
    ------
    InputError
        For another form, a sparsity outside its range, a pattern that names no layer, or two
        equally long ones that disagree.
    """
    given = [form for form in FORMS if form in settings]
    if len(given) != 1 or len(settings) != 1:
        raise InputError(
            f"sparsities has the keys {', '.join(sorted(settings)) or 'none'}; it must have "
            f"exactly one of {', '.join(FORMS)}"
        )
    value = settings[given[0]]
    if given[0] == "constant":
        value = {"*": value}
    elif given[0] == "preset":
        if value not in (*PRESETS, BY_STAGE):
            raise InputError(
                f"unknown preset of sparsities '{value}'{hint(str(value), [*PRESETS, BY_STAGE])}"
            )
        value = by_stage(layers) if value == BY_STAGE else PRESETS[value]
    return from_patterns(layers, value)


def from_patterns(layers: Sequence[PrunedLayer], patterns: Mapping[str, float]) -> dict[str, float]:
    """Sparsities by the patterns that name each layer; see `layer_sparsities`."""
    names = [layer.name for layer in layers]
    for pattern, sparsity in patterns.items():
        check_sparsity(f"sparsities: '{pattern}'", sparsity)
        if not any(covers(pattern, name) for name in names):
            raise InputError(f"sparsities: '{pattern}' names no pruned layer{hint(pattern, names)}")
    return {name: _sparsity(name, patterns) for name in names}


def _sparsity(name: str, patterns: Mapping[str, float]) -> float:
    # By length and not by place: mappings of a configuration are sorted by their keys.
    matching = [pattern for pattern in patterns if covers(pattern, name)]
    longest = max(map(len, matching), default=0)
    values = {float(patterns[pattern]) for pattern in matching if len(pattern) == longest}
    if len(values) > 1:
        equal = sorted(pattern for pattern in matching if len(pattern) == longest)
        raise InputError(
            f"sparsities: {' and '.join(map(repr, equal))} disagree on layer '{name}'; write its "
            "full name"
        )
    return values.pop() if values else 0.0


def check_sparsity(where: str, sparsity: Any) -> None:
    """InputError unless `sparsity` is a number from 0 to below 1."""
    number = isinstance(sparsity, (int, float)) and not isinstance(sparsity, bool)
    if not number or not 0 <= sparsity < 1:
        raise InputError(f"{where} is {sparsity!r}; it must be a number from 0 to below 1")


def by_stage(layers: Sequence[PrunedLayer]) -> dict[str, float]:
    """The published sparsities of ResNet-50 carried over to a residual network of other depth.

    Each block takes the value of the published block at the same relative depth of the same stage:
    the first that of the first, the last that of the last, and those between that of the nearest
    (of two equally near, the later). For ResNet-50 it is `published_resnet50`.

    This is ours and not the paper's. Stages of all residual networks work at the same resolutions,
    and the published values differ more between stages and within them by depth than by the layer
    in a block, of which they know nothing; but they were tuned for one network and one explainer.
    `sparsity_search` finds others.

    Raises
    ------
    InputError
        When the network has no stages `layer1` to `layer4` of numbered blocks and no `fc`.
    """
    found: dict[str, float] = {}
    for stage, published in _PUBLISHED_BLOCKS.items():
        parts = [layer.name.split(".") for layer in layers]
        blocks = {
            int(part[1]) for part in parts if part[0] == stage and part[1:2] and part[1].isdigit()
        }
        if not blocks:
            raise InputError(
                f"the preset {BY_STAGE} is for residual networks, but there is no block in a stage "
                f"'{stage}'; give sparsities by layers"
            )
        last = max(blocks)
        for block in blocks:
            # one block alone is a last one: it leads to the next stage
            depth = Fraction(block, last) if last else Fraction(1)
            place = math.floor(depth * (len(published) - 1) + Fraction(1, 2))
            found[f"{stage}.{block}"] = published[place]
    return {**found, "fc": _PUBLISHED_CLASSIFIER}


def zeros_asked(sparsity: float, weights: int) -> int:
    """floor(sparsity * weights), the sparsity taken exactly as it is written in decimals."""
    return math.floor(Fraction(str(sparsity)) * weights)


def shared_out(total: int, sizes: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `sizes`, in whole numbers and by largest remainder.

    Of equal remainders the first get more. No share is larger than its size where `total` is at
    most their sum.
    """
    whole = sum(sizes)
    if not whole:
        return [0] * len(sizes)
    shares = [total * size // whole for size in sizes]
    remainders = [total * size % whole for size in sizes]
    order = sorted(range(len(sizes)), key=lambda place: (-remainders[place], place))
    for place in order[: total - sum(shares)]:
        shares[place] += 1
    return shares


def group_counts(sparsity: float, layer: PrunedLayer, zeros: Sequence[int]) -> list[int]:
    """How many weights of each group are to be zero, those counted that are zero already.

    A layer's sparsity is the share of all its weights, and zeros of an earlier pruning count: a
    layer that has as many keeps its weights. Those still to be made are divided in proportion to
    the weights that each group has left.

    Parameters
    ----------
    zeros : that each group has already.
    """
    asked = zeros_asked(sparsity, layer.weights) - sum(zeros)
    left = [layer.rows * layer.columns - own for own in zeros]
    shares = shared_out(max(asked, 0), left)
    return [own + share for own, share in zip(zeros, shares, strict=True)]
