"""Data sources by name."""

from sparsight.registration import Registry

SOURCES = Registry(
    "data source",
    {
        "cub200": "sparsight.data.cub200:Cub200",
        "derm7pt": "sparsight.data.derm7pt:Derm7pt",
        "digits": "sparsight.data.digits:Digits",
        "ham10000": "sparsight.data.ham10000:Ham10000",
        "imagenette": "sparsight.data.imagenette:Imagenette",
        "mnist": "sparsight.data.mnist:Mnist",
        "shapes": "sparsight.data.shapes:Shapes",
        "trojaned": "sparsight.data.trojaned:Trojaned",
    },
)
