"""Data sources by name."""

from sparsight.registration import Registry

SOURCES = Registry(
    "data source",
    {
        "digits": "sparsight.data.digits:Digits",
        "imagenette": "sparsight.data.imagenette:Imagenette",
        "mnist": "sparsight.data.mnist:Mnist",
        "shapes": "sparsight.data.shapes:Shapes",
    },
)
