"""The network architectures by name."""

from sparsight.registration import Registry

MODELS = Registry(
    "architecture",
    {
        "inception_v3": "sparsight.models.inception:InceptionV3",
        "resnet18": "sparsight.models.resnet:ResNet18",
        "resnet50": "sparsight.models.resnet:ResNet50",
        "thesis_cnn": "sparsight.models.thesis_cnn:ThesisCnn",
    },
)
