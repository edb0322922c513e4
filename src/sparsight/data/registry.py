"""Data sources by name."""

from sparsight.registration import Registry

SOURCES = Registry(
    "data source",
    {
        "cub200": "sparsight.data.cub200:Cub200",
        "digits": "sparsight.data.digits:Digits",
        "imagenette": "sparsight.data.imagenette:Imagenette",
        "mnist": "sparsight.data.mnist:Mnist",
        "shapes": "sparsight.data.shapes:Shapes",
    },
)
