"""The modules of batch normalisation that keep statistics for prediction."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparsight.models.weighted import predicts


def batch_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """Batch normalisations with running statistics by name, without those only for training."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and predicts(network, name)
    }
