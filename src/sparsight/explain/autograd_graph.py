"""What a network has computed, read from its graph: the operations that a rule must know.

A method that treats certain operations by rules of its own (DeepLIFT, guided backpropagation) is
silently something else where an operation escapes it. Modules do not tell: `torch.relu` in a
`forward` belongs to none. The graph tells every operation between the pixels and the score.
"""

from collections.abc import Collection, Iterator

from torch import Tensor
from torch.autograd.graph import Node

from sparsight.io.errors import InputError

# Operations that are linear in the images when the network is in evaluation mode (up to a constant,
# as batch normalisation), so that their gradient explains them exactly.
_LINEAR = frozenset(
    (
        *("Add", "Sub", "Neg", "Sum", "Mean"),
        *("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"),
        *("AvgPool2D", "AdaptiveAvgPool2D", "UpsampleNearest2D", "UpsampleBilinear2D"),
        *("ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D", "Flip", "Roll", "Repeat"),
        *("View", "UnsafeView", "ReshapeAlias", "AsStrided", "Alias", "Clone", "ToCopy"),
        *("T", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Expand"),
        *("Cat", "Stack", "Select", "Slice", "Split", "SplitWithSizes", "Gather", "Index"),
        # the pixels themselves
        "AccumulateGrad",
    )
)
# Linear as long as only one factor depends on the images.
_PRODUCTS = frozenset(
    ("Convolution", "CudnnConvolution", "Addmm", "Linear", "Mm", "Mv", "Bmm", "Mul", "Div")
)


def graph_nodes(score: Tensor) -> Iterator[Node]:
    """All nodes of the graph that led to `score`, each once, in no particular order."""
    waiting = [score.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(follower for follower, _ in node.next_functions)


def operation(node: Node) -> str:
    """Name of a node's operation: "Relu" for ReluBackward0."""
    return node.name().partition("Backward")[0].rpartition("::")[2]


def require_operations(score: Tensor, known: Collection[str], explainer: str, remedy: str) -> None:
    """Refuse a network that computes anything but linear operations and those in `known`.

    Parameters
    ----------
    score : computed from images that ask for gradients, by a network whose parameters do not.
    known : names of operations (see `operation`).
    explainer : for the message.
    remedy : end of the message.

    Raises
    ------
    InputError
        That names the operation.
    """
    for node in graph_nodes(score):
        name = operation(node)
        if name not in known and name not in _LINEAR and not _scales(node, name):
            raise InputError(
                f"explainer '{explainer}' has no rule for the operation '{name}' of this network; "
                f"{remedy}"
            )


def _scales(node: Node, name: str) -> bool:
    """Whether the node multiplies something by constants."""
    depends = [follower is not None for follower, _ in node.next_functions]
    over_images = name == "Div" and not depends[0]
    return name in _PRODUCTS and sum(depends) == 1 and not over_images
