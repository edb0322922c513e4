"""The modules whose weights may be pruned."""

from torch import nn

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def predicts(network: nn.Module, name: str) -> bool:
    """Whether the module or parameter `name` is none of what the network has for training only.

    Those are named by the fact `training_only`; a network without it has none.
    """
    only = getattr(network, "training_only", ())
    return not any(name == module or name.startswith(f"{module}.") for module in only)


def weighted_modules(
    network: nn.Module, kinds: tuple[type[nn.Module], ...] = WEIGHTED
) -> dict[str, nn.Module]:
    """Convolutions and linear layers by name, without those that no prediction uses.

    Parameters
    ----------
    network : any module; its fact `training_only` is respected.
    kinds : of module, where others than convolutions and linear layers are wanted.
    """
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, kinds) and predicts(network, name)
    }
