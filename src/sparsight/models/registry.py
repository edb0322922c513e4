"""The network architectures by name."""

from sparsight.registration import Registry

MODELS = Registry(
    "architecture",
    {
        "resnet18": "sparsight.models.resnet:ResNet18",
        "thesis_cnn": "sparsight.models.thesis_cnn:ThesisCnn",
    },
)
