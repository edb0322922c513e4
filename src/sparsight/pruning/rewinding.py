"""Where the weights of a round start."""

from sparsight.io.checkpoints import Tensors
from sparsight.io.errors import InputError


def rewound_epoch(rewind: str) -> int:
    """The epoch at which retraining starts: k for `epoch:k`, else 0."""
    kind, _, epoch = rewind.partition(":")
    return int(epoch) if kind == "epoch" else 0


def rewind_point(rewind: str, points: dict[str, Tensors], predecessor: Tensors) -> Tensors:
    """State (parameters and buffers) to which a round goes back before its mask is applied.

    Parameters
    ----------
    rewind : `init` (the random initialisation), `pretrained` (the shared start: after pretraining,
        where there is any), `epoch:k` (the start trained for k epochs by the retraining recipe) or
        `none` (the predecessor's trained weights: fine-tuning).
    points : rewind points by name.
    predecessor : the state of the level before.

    Raises
    ------
    InputError
        When the point is not among `points`.
    """
    if rewind == "none":
        return predecessor
    if rewind not in points:
        raise InputError(
            f"the rewind point '{rewind}' is not in the start files (they hold {', '.join(points)})"
        )
    return points[rewind]
